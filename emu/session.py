"""Sessions: a board, its door, and where the run is. Live, recording and replaying are sessions of one kind.

    live        what the host decides comes in
    recording   the same, and it is written into a trace (emu/recorded.py, as is the next)
    replaying   a trace decides everything, and what the guest does is compared with it

The board comes in as ``make(door)``, so nothing here knows what a board is made of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from minstret.emu.door.door import Door, Position
from minstret.emu.door.live import LiveDoor, Source
from minstret.emu.machine import Machine, Outcome


class SessionBoard(Protocol):
    """What a session needs of a board."""

    machine: Machine
    console: bytearray
    """Every byte that the guest has sent."""

    @property
    def position(self) -> Position: ...

    def run_until(self, *, icount: int | None = None, virtual_ns: int | None = None) -> Outcome: ...

    def digest(self) -> str: ...


BoardT = TypeVar("BoardT", bound=SessionBoard)


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended. ``digest`` covers everything the guest could see then."""

    outcome: Outcome
    position: Position
    digest: str
    uart_sha256: str


def end_of(board: SessionBoard, outcome: Outcome) -> End:
    """How a run has just ended."""
    return End(outcome, board.position, board.digest(), hashlib.sha256(board.console).hexdigest())


class Session(Generic[BoardT]):
    """A board and its door. Use it as a context where it has a file: whatever happens, that is closed.

    Attributes:
        board: The board, ready to run.
        end: How the run ended, once ``finish`` was called.
    """

    def __init__(self, board: BoardT) -> None:
        self.board = board
        self.end: End | None = None

    @property
    def is_repeatable(self) -> bool:
        """Whether a board that is made the same way, without a host, would come to where this one is."""
        return False

    def run(self, *, icount: int | None = None, virtual_ns: int | None = None) -> Outcome:
        """Run on, to the end or to a position before it: see Machine.run."""
        return self.board.run_until(icount=icount, virtual_ns=virtual_ns)

    def finish(self, outcome: Outcome) -> End:
        """The run is over, and will not go on."""
        self.end = end_of(self.board, outcome)
        return self.end

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing to close."""


class LiveSession(Session[BoardT]):
    """A run in which the host decides what comes in."""

    def __init__(self, make: Callable[[Door], BoardT], source: Source | None = None) -> None:
        """Make the board; ``source`` is the host."""
        self.door = LiveDoor(source)
        super().__init__(make(self.door))

    @property
    def is_repeatable(self) -> bool:
        return not self.door.has_met_host
