"""Walking in a run: to any instruction, forwards and backwards, to what somebody looks for.

Going back is putting back the nearest kept moment before, and running forward from there: every run is exact, so that
leads to the very same place. A timeline is of a trace (TraceTimeline, past.py) or of a run that is still going on
(LiveTimeline, present.py), whose past is its recording.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from minstret.emu.door.door import Position
from minstret.emu.hart.watches import Watch, WatchHit, WatchKind
from minstret.emu.machine import Outcome

HISTORY_BYTES = 256 << 20
"""How much memory kept moments may take, by default."""
CONSOLE = "uart0.rx"
"""What takes bytes for the guest's console."""


class Why(Enum):
    """Why a move has ended."""

    REACHED = "reached"  # where it was to go
    BREAKPOINT = "breakpoint"  # before an instruction
    WATCH = "watch"  # going forward after an access, going back before it: see Stop.hits
    START = "start"  # nothing is known before
    END = "end"  # of the recording, or of the run: see Stop.outcome
    INTERRUPTED = "interrupted"  # by Timeline.interrupt


@dataclass(frozen=True, slots=True)
class Stop:
    """How a move has ended, and with which hart one looks at it.

    Attributes:
        why: The reason.
        hart: The id of the hart that has stopped.
        hits: With WATCH, the accesses. Their ``old`` and ``new`` are as in forward time.
        outcome: With END, how the run or the recording ended.
    """

    why: Why
    hart: int = 0
    hits: tuple[WatchHit, ...] = ()
    outcome: Outcome | None = None


class Timeline:
    """A place in a run, and moves from it. Every move comes back with the machine between two instructions.

    Attributes:
        board: The board at that place. Going back in a live run makes it another one: ask for it each time.
        on_notice: Called with a line for the user, such as that a diversion begins or is thrown away.
        on_stride: Called now and then during a move, some ms apart: it may call ``interrupt``.
    """

    board: Any  # a Board: this room knows none

    def __init__(self) -> None:
        self.on_notice: Callable[[str], None] = lambda text: None
        self.on_stride: Callable[[], None] = lambda: None
        self._breakpoints: set[int] = set()
        self._watches: list[Watch] = []

    # ---- where

    @property
    def position(self) -> Position:
        raise NotImplementedError

    @property
    def start(self) -> Position:
        """The earliest place there is to go to."""
        raise NotImplementedError

    @property
    def end(self) -> Position:
        """Where the recording ends, or how far the live run has come."""
        raise NotImplementedError

    @property
    def is_at_end(self) -> bool:
        """Whether it is where nothing comes after: the recording ends here, or the run is over."""
        raise NotImplementedError

    @property
    def is_live(self) -> bool:
        """Whether it is at the present of a run that is still going on."""
        return False

    @property
    def is_diverted(self) -> bool:
        """Whether somebody wrote registers or memory in the past: what follows is no recording."""
        raise NotImplementedError

    # ---- moves

    def seek(self, icount: int) -> Stop:
        """Go to the first moment at which so many instructions have retired; no further than start and end."""
        raise NotImplementedError

    def seek_ns(self, virtual_ns: int) -> Stop:
        """Go to the first instruction boundary at or after a virtual time."""
        raise NotImplementedError

    def step(self, insns: int = 1, hart: int | None = None) -> Stop:
        """Go on by so many instructions, back where negative: all harts' together, or those that ``hart`` retires.

        Breakpoints and watches stop it, but not a breakpoint at which it begins.
        """
        raise NotImplementedError

    def run(self) -> Stop:
        """Go on until a breakpoint, a watch or the end."""
        raise NotImplementedError

    def run_back(self) -> Stop:
        """Go back to the last earlier breakpoint or watched access, or to the start."""
        raise NotImplementedError

    def run_back_until(self, *, event: str | None = None, predicate: Callable[[Any], bool] | None = None) -> Stop:
        """Go back to the last earlier moment that fits.

        Args:
            event: The name of something that came through the door, such as ``uart0.rx``, or "" for any: to just
                before it came in.
            predicate: Asked with the board at each breakpoint and watch from the latest back; where there are none of
                these, when each instruction has retired, which is slow.
        """
        raise NotImplementedError

    def interrupt(self) -> None:
        """Let the move that is under way come back soon, with INTERRUPTED."""
        raise NotImplementedError

    # ---- breakpoints and watches: kept here, whatever board they are on

    def add_breakpoint(self, address: int) -> None:
        """Stop before the instruction at a virtual address. ValueError: no instruction can be there."""
        raise NotImplementedError

    def remove_breakpoint(self, address: int) -> None:
        """KeyError: there is none."""
        raise NotImplementedError

    def add_watch(self, kind: WatchKind, address: int, size: int, *, sees_devices: bool = True) -> Watch:
        """Stop after accesses to a physical range. ValueError: it is not all in RAM."""
        raise NotImplementedError

    def remove_watch(self, watch: Watch) -> None:
        """ValueError: it is not watched."""
        raise NotImplementedError

    # ---- changing what is there

    def write_memory(self, address: int, data: bytes, hart: int | None = None) -> bool:
        """Write RAM: at a virtual address as that hart's loads see it, or at a physical one where ``hart`` is None.

        In the past that begins a diversion; at the present of a live run it is recorded. What is there already is not
        written. False where it can't be. Raises TimelineError where it can't be done at this moment; the text says
        what to do.
        """
        raise NotImplementedError

    def write_register(self, name: str, value: int, hart: int = 0) -> None:
        """Set a register by its name in ``board.registers``; see ``write_memory``. KeyError: there is none."""
        raise NotImplementedError

    def type(self, data: bytes) -> None:
        """Give bytes to the guest's console: in the past that begins a diversion, or goes to it."""
        raise NotImplementedError
