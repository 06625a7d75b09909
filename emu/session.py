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
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

from minstret.emu.door.door import Door, Position
from minstret.emu.door.live import LiveDoor, Source
from minstret.emu.machine import Machine, MachineNotes, MachineState, Outcome, StopReason
from minstret.emu.pages import PageKeeper, SavedPages


class SessionBoard(Protocol):
    """What a session needs of a board."""

    machine: Machine
    console: bytearray
    """Every byte that the guest has sent."""
    heard: int
    """How much of that a test has looked through, bytes."""

    @property
    def position(self) -> Position: ...

    def page_at_power_on(self, page: int) -> bytes:
        """What is in a page of RAM, by number, when the guest begins to run."""
        ...

    def digest(self) -> str: ...


class RunLimits(NamedTuple):
    """How far a run may go, from power-on; None: as far as it will."""

    icount: int | None = None
    virtual_ns: int | None = None

    def reached(self, position: Position) -> StopReason | None:
        """Which of the two a run has come to, if it has."""
        if self.icount is not None and position.icount >= self.icount:
            return StopReason.MAX_INSNS
        if self.virtual_ns is not None and position.virtual_ns >= self.virtual_ns:
            return StopReason.MAX_TIME
        return None


NO_LIMITS = RunLimits()
BoardT = TypeVar("BoardT", bound=SessionBoard)


class End(NamedTuple):
    """How a run ended. ``digest`` covers everything the guest could see then."""

    outcome: Outcome
    position: Position
    digest: str
    uart_sha256: str


def end_of(board: SessionBoard, outcome: Outcome) -> End:
    """How a run has just ended."""
    return End(outcome, board.position, board.digest(), hashlib.sha256(board.console).hexdigest())


@dataclass(frozen=True, slots=True)
class Sent:
    """What the guest has sent up to a moment: what it had sent up to an earlier one, and ``data``."""

    before: Sent | None
    data: bytes
    size: int

    def text(self) -> bytes:
        """All of it."""
        pieces: list[bytes] = []
        sent: Sent | None = self
        while sent is not None:
            pieces.append(sent.data)
            sent = sent.before
        return b"".join(reversed(pieces))


NOTHING_SENT = Sent(None, b"", 0)


@dataclass(frozen=True, slots=True)
class Saved:
    """A moment of a run, kept in memory. Moments share what is the same in them, so there may be hundreds.

    ``heard``: how much of what was sent a test had looked through, bytes.
    """

    position: Position
    state: MachineState
    notes: MachineNotes | None
    pages: SavedPages
    sent: Sent
    door: Any
    heard: int = 0


class Session(Generic[BoardT]):
    """A board and its door. Use it as a context where it has a file: whatever happens, that is closed.

    Attributes:
        door: The board's door.
        board: The board, ready to run.
        end: How the run ended, once ``finish`` was called.
    """

    door: Door

    def __init__(self, door: Door, board: BoardT) -> None:
        self.door = door
        self.board = board
        self.end: End | None = None
        self._pages = PageKeeper(board.machine.memory, board.page_at_power_on)
        self._sent = NOTHING_SENT

    @property
    def is_repeatable(self) -> bool:
        """Whether a board that is made the same way, without a host, would come to where this one is."""
        return False

    def run(self, *, icount: int | None = None, virtual_ns: int | None = None) -> Outcome:
        """Run on, to the end or to a position before it: see Machine.run."""
        return self.board.machine.run(icount=icount, virtual_ns=virtual_ns)

    def save(self) -> Saved:
        """Where the run is, to come back to with ``restore``."""
        return self.save_with(self.door.save())

    def save_with(self, door: Any) -> Saved:
        """The same with a place of the door, perhaps of another one."""
        machine, console = self.board.machine, self.board.console
        if len(console) > self._sent.size:
            self._sent = Sent(self._sent, bytes(console[self._sent.size :]), len(console))
        return Saved(
            machine.position, machine.save_state(), machine.save_notes(), self._pages.save(), self._sent, door,
            self.board.heard,
        )  # fmt: skip

    def restore(self, saved: Saved) -> None:
        """Go to a moment at which this session was; in a recording, to one on the way to the present moment.

        The host is not put back: what it has given since does not come again, and its files stay as they are.
        """
        self._put_board(saved)
        self.door.restore(saved.door)

    def _put_board(self, saved: Saved) -> None:
        """Put all of it there but the door."""
        self._pages.restore(saved.pages)
        self.board.machine.load_state(saved.state, saved.notes)
        self._sent = saved.sent
        self.board.console[:] = saved.sent.text()
        self.board.heard = saved.heard
        self.end = None

    @property
    def pages_at_power_on(self) -> SavedPages:
        """RAM when the guest began to run."""
        return self._pages.power_on

    def release(self, saved: Saved) -> None:
        """Let go of ``saved``, to which nobody will come back: a recording frees what it alone needs."""

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

    door: LiveDoor

    def __init__(self, make: Callable[[Door], BoardT], source: Source | None = None) -> None:
        """Make the board; ``source`` is the host."""
        door = LiveDoor(source)
        super().__init__(door, make(door))

    @property
    def is_repeatable(self) -> bool:
        return not self.door.has_met_host
