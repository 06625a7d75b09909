"""A client that sends anything at all: nothing but packets comes back, and the recording stays what it was."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from support import asm
from support.gdb_clients import framed, payloads_of, timeline_of_code
from support.harts import RAM, program_at, programs_of
from support.random_cases import TIMES
from support.recordings import setup_of_code

from minstret.devices.board.traced import Recording, live_timeline
from minstret.emu import walk
from minstret.emu.gdbpackets import escaped
from minstret.emu.gdbstub import GdbStub
from minstret.emu.monitor import Monitor
from minstret.emu.past import TraceTimeline
from minstret.emu.session import RunLimits
from minstret.emu.timeline import Timeline, Why

INSNS = 400
PACKETS_FAST, PACKETS_SLOW, PACKETS_A_LOOK = 2_000, 10_000, 200
INSTRUCTIONS = tuple(program_at(hart) + at for hart in range(2) for at in (4, 8, 12))
WORDS = (program_at(1) + 0x400, program_at(1) + 0x404)
PLACES = (0, 1, 0x1000, RAM - 2, RAM, RAM + 0xFFFF8, 0x1000_0000, 1 << 31, *WORDS, *INSTRUCTIONS)
NUMBERS = (0, 1, 2, 3, 4, 8, 0x20, 0x21, 0x40, 0xFFF, 0x1000, 0x1001, 0x4000, 1 << 24, 1 << 32, (1 << 63) - 1, 1 << 63)
NAMES = (
    "! ? bc bs c C05 D g G Hg Hc H k m M p P qAttached qC qfThreadInfo qqemu.PhyMemMode Qqemu.PhyMemMode:"
    " qqemu.Supported qRcmd, qSearch:memory: qsThreadInfo QStartNoAckMode qSupported: qSymbol:: qThreadExtraInfo,"
    " QThreadEvents: qXfer:features:read:target.xml: qXfer:memory-map:read:: qXfer:threads:read:: R s S05; T vCont;"
    " vCont? vKill; vRun; X z Z vMustReplyEmpty x"
).split()
COMMANDS = ("when", "seek 10", "seek 50%", "back until event", "info csrs", "events", "why", "type x", "timers", "\x00")
WIRES = ("", "+", "-", "\x03", "$", "#", "#00", "$#00", "$g#67", "}", "\xff\x00", "$m8000", "+++")


@pytest.fixture(autouse=True)
def short_strides(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a diversion the guest may run for ever: then Ctrl-C is not far."""
    monkeypatch.setattr(walk, "POLL_INSNS", 200)


def program() -> bytes:
    """Two harts that store into the page of the second one's code."""
    programs = [
        asm.code(
            asm.auipc(asm.S0, 1 - hart), asm.addi(asm.A0, asm.A0, 1), asm.sw(asm.A0, asm.S0, 0x400),
            asm.lw(asm.A1, asm.S0, 0x404), asm.jal(asm.ZERO, -12),
        )
        for hart in range(2)
    ]  # fmt: skip
    return programs_of(*programs)


CONFIG: dict[str, Any] = {"smp": 2, "quantum": 30}


@pytest.fixture
def timeline(tmp_path: Path) -> TraceTimeline:
    return timeline_of_code(tmp_path, program(), insns=INSNS, **CONFIG)


class Noise:
    """Random packets: most nearly make sense."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def number(self) -> str:
        rng = self.rng
        value = rng.choice((rng.choice(PLACES), rng.choice(NUMBERS), rng.randrange(1 << rng.randrange(1, 65))))
        return rng.choice(("-", "", "", "", "", "", "", "0x")) + f"{value + rng.randrange(-2, 3):x}"

    def arguments(self) -> bytes:
        rng, pieces = self.rng, list[bytes]()
        for _ in range(rng.randrange(5)):
            hexadecimal = rng.randbytes(rng.choice((1, 4, 8, 33, 264))).hex().encode()
            pieces += [
                rng.choice((self.number().encode(), hexadecimal, rng.randbytes(rng.randrange(9)), b"s:1", b"c", b"r")),
                rng.choice((b",", b":", b";", b"=", b".", b"")),
            ]
        return b"".join(pieces)

    def sensible(self) -> bytes:
        """A packet that a debugger might send."""
        rng = self.rng
        place, size, thread = rng.choice(PLACES), rng.choice((1, 2, 4, 7, 8, 0x40)), rng.choice("12")
        return rng.choice((
            b"vCont;c", f"vCont;s:{thread};c".encode(), b"bs", b"bc", b"g",
            f"Z{rng.choice('01')},{rng.choice(INSTRUCTIONS):x},4".encode(),
            f"Z{rng.choice('234')},{rng.choice(WORDS):x},{size:x}".encode(), f"Hg{thread}".encode(),
            f"Hc{thread}".encode(), f"m{place:x},{size:x}".encode(),
            f"M{place:x},{size:x}:{rng.randbytes(size).hex()}".encode(),
            b"X%x,%x:%b" % (place, size, rng.randbytes(size)),
            f"{rng.choice('zZ')}{rng.randrange(5)},{place:x},{size:x}".encode(),
            f"vCont;r{place:x},{place + size:x}:{thread}".encode(),
            f"p{rng.randrange(0x1100):x}".encode(), f"P{rng.randrange(70):x}={rng.randbytes(8).hex()}".encode(),
            b"qRcmd," + rng.choice(COMMANDS).encode().hex().encode(),
            b"qSearch:memory:%x;%x;%b" % (place, size * 100, rng.randbytes(2)),
        ))  # fmt: skip

    def packet(self) -> bytes:
        rng = self.rng
        packet = self.sensible() if rng.random() < 0.5 else rng.choice(NAMES).encode() + self.arguments()
        if rng.random() < 0.3 and packet:
            at = rng.randrange(len(packet))
            packet = packet[:at] + rng.choice((b"", rng.randbytes(1), packet)) + packet[at + rng.randrange(2) :]
        return packet

    def bytes(self) -> bytes:
        """What goes over the line."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.85:
            return framed(escaped(self.packet()))
        if kind < 0.9:
            return framed(self.packet())
        if kind < 0.97:
            return rng.choice(WIRES).encode("latin-1")
        return rng.randbytes(rng.randrange(30))


class Client:
    """Sends noise to a stub."""

    def __init__(self, timeline: Timeline, seed: int) -> None:
        self.noise = Noise(seed)
        self.stub = GdbStub(timeline, monitor=Monitor(timeline, timeline.board.symbols), shows_output=True)
        self._timeline = timeline
        self.connect()

    def _on_stride(self) -> None:
        if self.noise.rng.random() < 0.05:
            self.stub.receive(self.noise.rng.choice((b"\x03", self.noise.bytes())))
            self.stub.on_output(b"text")

    def connect(self) -> None:
        self.stub.connected()
        self.stub.receive(framed(b"qSupported:swbreak+;hwbreak+"))

    def send(self, packets: int) -> None:
        """Send so many packets, and vanish; what came back is well-formed."""
        stub = self.stub
        for _ in range(packets):
            stub.receive(self.noise.bytes())
            self._timeline.on_stride = self._on_stride
            while stub.wants_to_run:
                stub.run()
            self._timeline.on_stride = lambda: None
            payloads_of(stub.output())
            if stub.is_killed or stub.is_detached or stub.wants_to_close or self.noise.rng.random() < 0.002:
                stub.disconnected()
                self.connect()
        stub.disconnected()


def straight(timeline: Timeline) -> dict[int, str]:
    """Digests of the recording, by icount, before anybody has sent anything."""
    digests = {}
    for icount in range(0, INSNS + 1, 40):
        timeline.seek(icount)
        digests[icount] = timeline.board.digest()
    return digests


def send_to_trace(timeline: TraceTimeline, seed: int, packets: int) -> None:
    print(f"{packets} packets, seed {seed}")
    digests = straight(timeline)
    client = Client(timeline, seed)
    for sent in range(0, packets, PACKETS_A_LOOK):
        client.connect()
        client.send(PACKETS_A_LOOK)
        icount = client.noise.rng.choice(list(digests))
        timeline.seek(icount)
        assert timeline.board.digest() == digests[icount], f"at icount {icount} after {sent + PACKETS_A_LOOK} packets"


def test_random_packets_bring_no_error_and_change_no_recording(timeline: TraceTimeline) -> None:
    send_to_trace(timeline, random.randrange(1 << 32), PACKETS_FAST)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(2))
def test_many_random_packets_bring_no_error_and_change_no_recording(timeline: TraceTimeline, part: int) -> None:
    send_to_trace(timeline, random.randrange(1 << 32), PACKETS_SLOW * TIMES)


def send_to_live_run(seed: int, packets: int) -> None:
    """Now and then look at the present; later go back to it, as a replay of what was recorded till then comes there."""
    print(f"{packets} packets, seed {seed}")
    rng, sent = random.Random(seed), 0
    while sent < packets:
        with Recording(None, setup_of_code(program(), **CONFIG)) as recording:
            timeline = live_timeline(recording, limits=RunLimits(10_000))
            client, digests = Client(timeline, rng.randrange(1 << 32)), dict[int, str]()
            while sent < packets:
                client.connect()
                client.send(PACKETS_A_LOOK)
                sent += PACKETS_A_LOOK
                timeline.seek(timeline.end.icount)
                if timeline.step(3).why is not Why.REACHED:
                    break
                digests[timeline.position.icount] = timeline.board.digest()
                if timeline.step().why is not Why.REACHED:  # else what is written from now on is no part of the last
                    break
                icount = rng.choice(list(digests))
                timeline.seek(icount)
                assert timeline.board.digest() == digests[icount], f"at icount {icount} after {sent} packets"


def test_random_packets_to_a_live_run_bring_no_error_and_are_recorded() -> None:
    send_to_live_run(random.randrange(1 << 32), PACKETS_FAST)


@pytest.mark.slow
def test_many_random_packets_to_a_live_run_bring_no_error_and_are_recorded() -> None:
    send_to_live_run(random.randrange(1 << 32), PACKETS_SLOW * TIMES)
