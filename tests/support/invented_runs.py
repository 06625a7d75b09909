"""Runs that nobody has executed: happenings of all kinds, for the page that shows them."""

from __future__ import annotations

from random import Random
from typing import Any

from minstret.emu.door.door import Position
from minstret.emu.images.loader import SymbolTable
from minstret.emu.irq import SourceChange
from minstret.emu.questions import happenings as h
from minstret.emu.questions.page.lanes import Lanes
from minstret.emu.questions.page.registers import HartState
from minstret.emu.questions.page.render import Summary

NO_SYMBOLS = SymbolTable()
COMMAND = ("minstret debug --at ", " run.mst")
SUMMARY = Summary(
    "run.mst", "finished, exit code 0", "good", [("virtual time", "0.000184000 s")], ["hart0: pc 0x80000200"]
)
DISCOVER = bytes.fromhex(
    "ffffffffffff525400123456080045000148000000004011789600000000ffffffff004400430134d1b8"
) + bytes.fromhex("0101060012345678" + "00" * 20 + "525400123456" + "00" * 202 + "63825363" + "350101ff" + "00" * 44)


def state(pc: int) -> HartState:
    """A hart at a place, with registers that say where."""
    return HartState(pc, b"".join((pc + number).to_bytes(8, "little") for number in range(32)))


def few_happenings() -> list[h.Happening]:
    """One of each kind, in order, a thousand instructions apart."""
    rows: list[tuple[Any, ...]] = [
        (h.TimerFired, None, "clint.mtimecmp", "virtual", False, 8_000),
        (h.LineChanged, 0, "clint.mtip", True),
        (h.Interrupt, 0, 7, 0, 0x80000010, 3, 0x80000100, 3),
        (h.Trap, 0, 2, 0xFFFFFFFF, 0x80000020, 3, 0x80000100, 3),
        (h.LineChanged, 0, "clint.mtip", False),
        (h.SourceServed, 0, SourceChange.CLAIMED, 10, "uart0"),
        (h.PinChanged, None, "gpio0.out", 8, 0x55),
        (h.PinChanged, None, "gpio0.led", 1, 1),
        (h.HartSwitched, 1),
        (h.HartWaits, 1, True, 0x80000044),
        (h.ConsoleOut, 0, b"hello <script>alert(1)</script>\r\n"),
        (h.ConsoleIn, None, b"yes\r"),
        (h.Frame, 0, DISCOVER, True),
        (h.Frame, None, DISCOVER, False),
        (h.InputEvent, None, "keyboard0", (("KEY_A", 1),)),
        (h.Sent, 0, b"\x01", "keyboard0.leds"),
        (h.HostEvent, None, b"power", "machine.power"),
        (h.Answer, None, b"\0" * 8, "rtc.now"),
        (h.CheckpointPassed, None, "virtual"),
        (h.SnapshotTaken, None, 1),
        (h.Reset, None),
        (h.MarkSet, None, "paused"),
        (h.Ended, 0, "finished", 0, "", 0x80000200),
    ]
    return [kind(1_000 * at, 8_000 * at, *rest) for at, (kind, *rest) in enumerate(rows, 1)]


def lanes_of(happenings: list[h.Happening], harts: int = 2) -> Lanes:
    """Lanes that have taken them, each with registers of its own."""
    lanes = Lanes(Position(0, 0), harts)
    for at, happening in enumerate(happenings):
        lanes.take(happening, state(0x80000000 + 4 * at))
    return lanes


def data_of(happenings: list[h.Happening], harts: int = 2, name: str = "run.mst") -> dict[str, Any]:
    """The data of a run that ends with the last of them."""
    return lanes_of(happenings, harts).data(name, COMMAND, happenings[-1].position, NO_SYMBOLS)


def many_happenings(count: int, seed: int = 1) -> list[h.Happening]:
    """As many, of several kinds, in bursts and gaps; the last one is the end."""
    random, icount, ns, found = Random(seed), 0, 0, list[h.Happening]()
    while len(found) < count - 1:
        step = random.choice((1, 10, 100, 10_000))
        icount += step
        ns += 8 * step + (random.randrange(5_000_000) if random.random() < 0.001 else 0)
        hart, pc = random.randrange(2), 0x80000000 + step
        timer, cause = f"timer{random.randrange(12)}", random.choice((3, 5, 7, 9, 11))
        found.append(random.choices([
            h.TimerFired(icount, ns, None, timer, "virtual", False, ns),
            h.Interrupt(icount, ns, hart, cause, 0, pc, 3, 0x80000100, 3),
            h.Trap(icount, ns, hart, cause + 4, step, pc, 0, 0x80000100, 1),
            h.LineChanged(icount, ns, 0, random.choice(("clint.mtip", "plic.meip")), random.random() < 0.5),
            h.HartSwitched(icount, ns, hart),
            h.Frame(icount, ns, None, DISCOVER, random.random() < 0.5),
        ], (5, 3, 2, 2, 1, 1))[0])  # fmt: skip
    return [*found, h.Ended(icount + 1, ns + 8, 0, "finished", 0, "", 0x80000200)]
