"""What every form of export is, and what it is told of the run before that is gone through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from minstret.emu.door.door import Position
from minstret.emu.images.image import SymbolTable
from minstret.emu.questions.happenings import Happening
from minstret.emu.questions.noting import Happenings

Write = Callable[[bytes], object]
"""Takes a piece of what is exported."""


@dataclass(frozen=True, slots=True)
class TimerFacts:
    """A timer of the board, and what it did in the whole recording, where the trace says that.

    ``saved`` are the checkpoints that its EXTERNAL attribute has saved.
    """

    name: str
    clock: str
    is_external: bool
    fired: int | None = None
    saved: int = 0


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known of a run before it is gone through.

    Attributes:
        name: What it is called: the trace's name.
        made_by: The program that exports it, and its version.
        start: Where it begins.
        privileges: In which privilege each hart is there.
        lines: The names of the interrupt lines.
        sources: The devices at sources of the PLIC, by number.
        pins: Name and bits of each value of the users' devices.
        timers: All of them.
        card: Name and MAC address of the network card; None where there is none.
        console: The name of the UART.
        symbols: Of the programs in it.
    """

    name: str
    made_by: str
    start: Position
    privileges: tuple[int, ...]
    lines: tuple[str, ...]
    sources: dict[int, str]
    pins: tuple[tuple[str, int], ...]
    timers: tuple[TimerFacts, ...]
    card: tuple[str, bytes] | None
    console: str
    symbols: SymbolTable


class Form(Protocol):
    """A form of export."""

    KINDS: ClassVar[frozenset[type[Happening]]]

    def __init__(self, run: RunFacts, write: Write) -> None:
        """Begin to write.

        Raises:
            ConfigError: there is nothing of this form in the run.
        """
        ...

    def add(self, happening: Happening) -> None:
        """Something has happened, at or behind the place of what had happened before."""
        ...

    def finish(self, position: Position) -> None:
        """Nothing more happens up to ``position``, which is the end."""
        ...


def facts_of(replay: Any, happenings: Happenings, *, name: str, made_by: str, symbols: SymbolTable) -> RunFacts:
    """The facts of a replay that nobody has gone through yet."""
    board, machine = replay.board, replay.board.machine
    recorded = {facts["name"]: facts for facts in replay.reader.meta.get("timers", ())}
    timers = [
        TimerFacts(timer.name, timers.clock.type.value, timer.is_external)
        for timers in (*machine.timers, *machine.more_timers) for timer in timers.timers()
    ]  # fmt: skip
    timers = [_as_recorded(timer, recorded.pop(timer.name, None)) for timer in timers]
    timers += [
        _as_recorded(TimerFacts(name, str(facts["clock"]), bool(facts["external"])), facts)
        for name, facts in recorded.items()
    ]
    card = board.card
    return RunFacts(
        name, made_by, machine.position, tuple(int(hart.env.priv) for hart in machine.harts), tuple(happenings.lines),
        dict(board.assembly.sources), tuple(happenings.pins), tuple(timers),
        None if card is None else (card.name, bytes(card.mac)), board.uart.name, symbols,
    )  # fmt: skip


def _as_recorded(timer: TimerFacts, facts: dict[str, Any] | None) -> TimerFacts:
    if facts is None:
        return timer
    return TimerFacts(timer.name, timer.clock, timer.is_external, int(facts["fired"]), int(facts["checkpoints_saved"]))
