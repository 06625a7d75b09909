"""Several harts in turns, on either side: ours, and those of a model; and the comparison of both after each turn."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from support.generated_code import RAM
from support.generated_smp import MSIP, SmpProgram, generate
from support.plain_harts import PlainHart, PlainMemory

from minstret.emu.bus import DeviceBus
from minstret.emu.hart.cpu import Cpu
from minstret.emu.hart.engine import IO_SIZE
from minstret.emu.hart.hart import Hart, HartStop
from minstret.emu.hart.memory import GuestMemory
from minstret.emu.hart.shared import PAGE_SIZE, Counting
from minstret.emu.hart.spec import Interrupt

_INSNS_PER_TICK = 100
"""Of time: an instruction takes 1 ns."""
_NO_ROM = 0xFFF0_0000
"""Memory needs a ROM: the model has none, and nothing generated goes to this address."""


class Turn(NamedTuple):
    """A hart runs for so many instructions, or until it waits; before that its software interrupt may be raised."""

    hart: int
    insns: int
    is_woken: bool = False


class AfterTurn(NamedTuple):
    """What a turn ended with."""

    retired: int
    waiting: bool
    minstret: int
    pc: int
    x: tuple[int, ...]


class Side(Protocol):
    """Harts that take turns."""

    def turn(self, turn: Turn) -> AfterTurn: ...

    def ram(self) -> bytes: ...


class PlainSide:
    """The interpreter in plain_harts.py."""

    def __init__(self, program: SmpProgram, kind: type[PlainHart] = PlainHart) -> None:
        self.memory = PlainMemory(RAM, program.image, program.harts)
        self.memory.time = lambda: self.icount() // _INSNS_PER_TICK
        self.harts = [kind(program.xlen, self.memory, number, self.icount) for number in range(program.harts)]
        for hart, entry in zip(self.harts, program.entries, strict=True):
            hart.pc = RAM + entry

    def icount(self) -> int:
        """How many instructions all harts have retired."""
        return sum(hart.retired for hart in self.harts)

    def turn(self, turn: Turn) -> AfterTurn:
        hart = self.harts[turn.hart]
        if turn.is_woken:
            self.memory.msip[turn.hart] = 1
        retired = hart.run(turn.insns)
        hart.leave()
        return AfterTurn(retired, not hart.can_run, hart.minstret, hart.pc, tuple(hart.x))

    def ram(self) -> bytes:
        return bytes(self.memory.ram)


class SoftwareInterrupts:
    """The device of that: a register of 4 bytes for each hart."""

    name, size_bytes = "msip", 0x1000

    def __init__(self) -> None:
        self.harts: list[Hart] = []

    def read(self, offset: int, size: int) -> int:
        return self.harts[offset // 4].mip >> Interrupt.MSI & 1 if offset // 4 < len(self.harts) else 0

    def write(self, offset: int, size: int, value: int) -> None:
        if offset // 4 < len(self.harts):
            self.harts[offset // 4].set_line(Interrupt.MSI, bool(value & 1))


class OurSide:
    """Our harts."""

    def __init__(self, program: SmpProgram, counting: Counting) -> None:
        self.memory = GuestMemory(RAM, len(program.image), _NO_ROM, PAGE_SIZE, io_size=IO_SIZE)
        self.size, self.icount = len(program.image), 0
        bus, msip = DeviceBus(), SoftwareInterrupts()
        bus.attach(MSIP, msip)
        self.harts = [
            Hart(Cpu(program.xlen), self.memory, bus, counting=counting, hart_id=number)
            for number in range(program.harts)
        ]
        msip.harts = self.harts
        self.memory.map_io(MSIP, msip.size_bytes)
        self.memory.write(RAM, program.image)
        for hart, entry in zip(self.harts, program.entries, strict=True):
            hart.env.pc = RAM + entry

    def turn(self, turn: Turn) -> AfterTurn:
        hart, before = self.harts[turn.hart], self.icount
        if turn.is_woken:
            hart.set_line(Interrupt.MSI, True)
        hart.enter(before)
        stop = HartStop.LIMIT
        while hart.icount < before + turn.insns and stop is HartStop.LIMIT:
            stop = hart.run(before + turn.insns)
        assert stop in (HartStop.LIMIT, HartStop.WAITING), f"{stop} at {hart.pc:#x}"
        hart.tell_what_is_stale()
        hart.end_reservation()
        self.icount = hart.icount
        waiting = hart.waiting and not hart.has_wake_up
        return AfterTurn(self.icount - before, waiting, hart.minstret, hart.pc, tuple(hart.env.x))

    def ram(self) -> bytes:
        data = self.memory.peek(RAM, self.size)
        assert data is not None
        return data


def draw_case(seed: str, xlen: int, insns: int = 2500, *, reads_time: bool = False) -> tuple[SmpProgram, list[Turn]]:
    """A program of that seed for two to eight harts, and turns of about ``insns`` instructions together for it."""
    pick = random.Random(seed)
    program = generate(
        seed, xlen, pick.choice((2, 2, 2, 2, 3, 3, 4, 8)), pages=pick.random() < 0.5, reads_time=reads_time
    )
    return program, list(draw_turns(pick, program.harts, insns))


def draw_turns(pick: random.Random, harts: int, insns: int) -> Iterator[Turn]:
    """Turns of about ``insns`` instructions together, short ones and long ones in stretches."""
    while insns > 0:
        longest = pick.choice((1, 2, 5, 20, 100, 400))
        for _ in range(pick.randint(2, 40)):
            turn = Turn(pick.randrange(harts), pick.randint(1, longest), pick.random() < 0.05)
            insns -= turn.insns
            yield turn


class Checked(NamedTuple):
    """What a side was like after a turn."""

    turn: Turn
    after: AfterTurn
    ram: bytes


def run_turns(side: Side, turns: Iterable[Turn]) -> Iterator[Checked]:
    """Take the turns."""
    for turn in turns:
        after = side.turn(turn)
        yield Checked(turn, after, side.ram())


def first_difference(ours: Iterable[Checked], model: Iterable[Checked]) -> str | None:
    """What differs first after a turn; None if nothing does."""
    last: deque[str] = deque(maxlen=8)
    for number, (here, there) in enumerate(zip(ours, model, strict=True)):
        turn = here.turn
        last.append(f"{turn.hart}: {turn.insns}{' woken' * turn.is_woken}")
        where = f"after turn {number} of hart {turn.hart} (the last ones, HART: INSNS: {', '.join(last)})"
        if here.after != there.after:
            return f"{where}: {_named(here.after, there.after)}"
        if here.ram != there.ram:
            at = next(at for at, (a, b) in enumerate(zip(here.ram, there.ram, strict=True)) if a != b)
            return f"{where}: {RAM + at:#x}: {here.ram[at:].hex(' ', 4)[:44]}, model {there.ram[at:].hex(' ', 4)[:44]}"
    return None


def _named(here: AfterTurn, there: AfterTurn) -> str:
    pairs = [(name, getattr(here, name), getattr(there, name)) for name in ("retired", "waiting", "minstret", "pc")]
    pairs += [(f"x{number}", a, b) for number, (a, b) in enumerate(zip(here.x, there.x, strict=True))]
    return ", ".join(f"{name} {a:#x}, model {b:#x}" for name, a, b in pairs if a != b)
