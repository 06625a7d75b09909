"""The host side of a board: the user network, the input queue and its script, and what users' devices have there.

The guest sees nothing of it but what comes through the door, so a replay has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from minstret.devices.hostside.chaos import Chaos
from minstret.devices.hostside.hostinput.queue import InputQueue
from minstret.devices.hostside.hostinput.script import InputScript, ScriptLine
from minstret.devices.hostside.usernet.config import Files, UserNetConfig
from minstret.devices.virtio.net import DEFAULT_MAC
from minstret.emu.door.door import Event
from minstret.emu.timers import TimerList
from minstret.emu.wiring import Assembly

if TYPE_CHECKING:
    from minstret.devices.hostside.usernet.network import UserNetwork

NET_TARGET, NET_STREAM = "net0.rx", "net0.tx"
"""The door's names for frames, by direction."""

KEYBOARD, TABLET = "keyboard", "tablet"
INPUTS = (KEYBOARD, TABLET)
"""What ``BoardConfig.inputs`` may have."""


@dataclass(frozen=True, slots=True)
class NetConfig:
    """A network card, on the user network; with ``user`` None nobody is on the other end but ``board.net``."""

    user: UserNetConfig | None = field(default_factory=UserNetConfig)
    mac: bytes = DEFAULT_MAC


def input_target(kind: str) -> str:
    """The door's target for the events of a keyboard or tablet."""
    return f"{kind}0.events"


class HostSide:
    """The host side of one board.

    Attributes:
        network: The user network, None without a card.
        input: Where keys and pointer movements go in.
        script: What plays them at given moments, and talks to the console.
        timers: Those of the host side; see timer_models.py.
        lock: Held while the guest's frames go into the user network.
    """

    def __init__(
        self,
        assembly: Assembly,
        timers: TimerList,
        *,
        net: NetConfig | None,
        seed: int,
        chaos_seed: int | None,
        inputs: Sequence[str],
        files: Files | None,
        script: Sequence[ScriptLine],
    ) -> None:
        """Make what stands on the host side of the parts of ``assembly``."""
        self.timers = timers
        self.lock: AbstractContextManager[object] = nullcontext()
        parts = assembly.machine.parts
        self._post = post = assembly.machine.door.post
        if chaos_seed is not None:
            chaos = Chaos("chaos", chaos_seed, timers, post)
            parts.add_host("chaos", chaos)
            self._post = post = chaos.take
        self.network: UserNetwork | None = None
        if net is not None and net.user is not None:
            from minstret.devices.hostside.usernet.network import UserNetwork  # its packet library takes a while

            user = replace(net.user, seed=seed)
            self.network = UserNetwork("usernet", user, timers, lambda frame: post(Event(NET_TARGET, frame)), files)
            parts.add_host("usernet", self.network)
            assembly.stream(NET_STREAM).listeners.append(self._to_network)
        self.input = InputQueue(
            "input", timers, lambda target, batch: post(Event(target, batch)),
            {kind: input_target(kind) for kind in inputs},
        )  # fmt: skip
        parts.add_host("input", self.input)
        self.script = InputScript("input.script", script, self.input, timers)
        parts.add_host("input.script", self.script)
        parts.add_host("input.script.match", self.script.matcher)
        assembly.make_host_sides(timers, post)
        self.script.start()

    def send_frame(self, frame: bytes) -> None:
        """Send a frame to the card, as the user network does."""
        self._post(Event(NET_TARGET, frame))

    def _to_network(self, frame: bytes) -> None:
        assert self.network is not None
        with self.lock:
            self.network.receive(frame)
