"""A user network with a virtual clock that the test moves."""

from __future__ import annotations

import copy
import json
from typing import Any

from usernet_guest import (
    HOST,
    IP,
    MAC,
    OTHER_MAC,
    address,
    arp_reply,
    dhcp_of,
    dhcp_options,
    discover,
    neighbour_advertisement,
    request,
)

from minstret.devices.hostside.usernet.network import Files, UserNetConfig, UserNetState, UserNetwork
from minstret.emu.clock import VirtualClock
from minstret.emu.state import from_plain, to_plain
from minstret.emu.timers import TimerList
from minstret.emu.units import NS_PER_S

ICOUNT, SHIFT = 1_000_003, 1
"""An odd start: a mixed-up clock shows at once."""
DELAY_NS = 50_000


class DictFiles:
    """Files from a dict; notes what was asked for."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.asked: list[str] = []

    def size(self, name: str) -> int | None:
        self.asked.append(name)
        return len(self.files[name]) if name in self.files else None

    def read(self, name: str, offset: int, size: int) -> bytes:
        return self.files[name][offset : offset + size]


class Bench:
    """The network, and what has come out of it."""

    def __init__(self, files: Files | dict[str, bytes] | None = None, **config: Any) -> None:
        self.icount = ICOUNT
        self.clock = VirtualClock(lambda: self.icount, SHIFT)
        self.timers = TimerList(self.clock)
        self.frames: list[bytes] = []
        served = DictFiles(files) if isinstance(files, dict) else files
        self.net = UserNetwork("net0", UserNetConfig(**config), self.timers, self.frames.append, served)

    @property
    def state(self) -> UserNetState:
        return self.net.state

    @property
    def now_ns(self) -> int:
        return self.clock.now_ns()

    def go_to(self, virtual_ns: int) -> list[bytes]:
        """Let time pass, with each timer at its time; the frames that arrived."""
        while (expire_ns := self.timers.expire_ns()) is not None and expire_ns <= virtual_ns:
            self.clock.warp_to(expire_ns)
            self.timers.run_expired()
        self.clock.warp_to(virtual_ns)
        return self.take()

    def go_by(self, ns: int = 0, s: int = 0) -> list[bytes]:
        return self.go_to(self.now_ns + ns + s * NS_PER_S)

    def take(self) -> list[bytes]:
        taken = list(self.frames)
        self.frames.clear()
        return taken

    def send(self, *frames: bytes) -> list[bytes]:
        """Send frames at once; the frames that have arrived one link delay later."""
        for frame in frames:
            self.net.receive(frame)
        return self.go_by(DELAY_NS)

    def ask(self, frame: bytes) -> bytes:
        """Send a frame that gets exactly one answer."""
        answers = self.send(frame)
        assert len(answers) == 1, [answer.hex() for answer in answers]
        return answers[0]

    def introduce(self, ip: str = IP, mac: bytes = MAC) -> None:
        """Tell the network the guest's MAC address."""
        assert self.send(arp_reply(ip, mac)) == []
        assert self.send(neighbour_advertisement(mac=mac)) == []

    def expire_ns(self, service: str) -> int | None:
        return next((t.expire_ns for t in self.timers.armed() if t.name == f"net0.{service}"), None)

    def saved(self) -> tuple[str, Any]:
        """State and timers, as text and value."""
        return json.dumps(to_plain(self.state)), copy.deepcopy(self.timers.save_state())

    def load(self, saved: tuple[str, Any], now_ns: int) -> None:
        """Go on from what ``saved`` gave in another bench."""
        self.net.state = from_plain(UserNetState, json.loads(saved[0]))
        self.timers.load_state(saved[1])
        self.clock.warp_to(now_ns)


def guest_bench(**more: Any) -> Bench:
    """A bench whose network knows the guest."""
    bench = Bench(**more)
    bench.introduce()
    return bench


def message_type(frame: bytes) -> int:
    return dict(dhcp_options(frame))[53][0]


def lease(bench: Bench, mac: bytes = OTHER_MAC, wanted: str | None = None) -> str:
    """Get an address the usual way."""
    offered = address(dhcp_of(bench.ask(discover(wanted, mac=mac))).yiaddr)
    acknowledged = bench.ask(request(offered, HOST, mac=mac))
    assert message_type(acknowledged) == 5
    return address(dhcp_of(acknowledged).yiaddr)
