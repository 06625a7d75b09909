"""How far long work has come: one line at the terminal, for work that takes longer than a second.

The line is on standard error, and only if that is a terminal on which a line can be replaced (TERM=dumb is none). rich
draws it; it is imported when a line is due, so that what is done sooner does not pay for it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, TypeVar

from minstret.emu import host
from minstret.emu.units import NS_PER_S

_FIRST_S, _EVERY_S = 1.0, 0.5
_NOTICE_S = 2.0
_WIDTH_MAX = 99
"""Columns. With it a line is so short that a terminal that takes bytes takes all of it."""
_BAR_WIDTH = 20
_WIDTH_OF_ALL = 79
_SPEED_PERIOD_S = 60
"""Speeds are of the last so many seconds."""
_CLEAR = "\r\x1b[K"


_T = TypeVar("_T")


class HowFar(NamedTuple):
    """What is being done, and how much of it has been.

    Attributes:
        text: What.
        done: So much, in any unit.
        whole: Of so much; 0: nobody knows.
        icount: Instructions executed so far, to show their number and speed; None: it is not about instructions.
        is_place: Whether ``done`` is a place, which may go back too, so that no time follows from it.
    """

    text: str
    done: int = 0
    whole: int = 0
    icount: int | None = None
    is_place: bool = False


class Progress:
    """The line. It is gone when the work is done."""

    def __init__(
        self, how_far: Callable[[], HowFar | None], *, notice: str = "", is_wanted: bool = True,
        first_s: float = _FIRST_S,
    ) -> None:  # fmt: skip
        """Make it.

        Args:
            how_far: Asked in another thread; None: show nothing now.
            notice: Written once, two seconds after the work has come anywhere, above the line where one is shown.
            is_wanted: Whether to show anything.
            first_s: Host time after which the line is shown first, seconds.
        """
        self._how_far, self.notice, self._is_wanted, self._first_s = how_far, notice, is_wanted, first_s
        self._lock = threading.Lock()
        self._is_drawn = False
        self._begun_ns: int | None = None
        """When it was first seen that some of the work is done: a machine under load takes long to begin."""

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show it meanwhile. May be done again for other work."""
        end = threading.Event()
        target = self._draw_again_and_again if _is_shown_here() else self._give_notice
        if self._is_wanted and (self.notice or _is_shown_here()):
            with suppress(RuntimeError):  # the host can't start a thread: show nothing
                threading.Thread(target=target, args=(end,), name="progress", daemon=True).start()
        try:
            yield
        finally:
            end.set()
            with self._lock:
                self._hide()

    def above(self, show: Callable[[_T], None], what: _T) -> None:
        """Call ``show(what)``, which may write to the terminal, without the line."""
        with self._lock:
            self._hide()
            show(what)

    def _hide(self) -> None:
        if self._is_drawn:
            self._is_drawn = False
            _write(_CLEAR)

    def _give_notice(self, end: threading.Event) -> None:
        while self.notice and not end.wait(_EVERY_S):
            if self._is_notice_due(self._how_far()):
                _write(f"{self.notice}\n")
                return

    def _is_notice_due(self, how_far: HowFar | None) -> bool:
        if self._begun_ns is None and how_far is not None and how_far.done:
            self._begun_ns = host.realtime_ns()
        return self._begun_ns is not None and host.realtime_ns() - self._begun_ns >= int(_NOTICE_S * NS_PER_S)

    def _draw_again_and_again(self, end: threading.Event) -> None:
        begin_ns = host.realtime_ns()
        if end.wait(self._first_s):
            return
        line = _Line(begin_ns)
        while True:
            with self._lock:
                self._draw(end, line)
            if end.wait(_EVERY_S):
                return

    def _draw(self, end: threading.Event, line: _Line) -> None:
        how_far = self._how_far()
        if how_far is None or end.is_set() or not host.takes_text(sys.stderr):
            return
        if self.notice and self._is_notice_due(how_far):
            self._hide()
            _write(f"{self.notice}\n")
            self.notice = ""
        self._is_drawn = True
        _write(f"\r{line.text(how_far)}\x1b[K")


def _is_shown_here() -> bool:
    return host.is_terminal(sys.stderr) and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _write(text: str) -> None:
    with suppress(OSError, ValueError):  # ValueError: it was closed
        os.write(sys.stderr.fileno(), text.encode(errors="backslashreplace"))


class _Line:
    """Draws it; what it said before tells the speed and the time left."""

    def __init__(self, begin_ns: int) -> None:
        """The work has begun at host time ``begin_ns``."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
        from rich.table import Column

        text, percent, detail = (
            kind(text, markup=False, table_column=Column(no_wrap=True))
            for kind, text in (
                (TextColumn, "{task.description}"), (TaskProgressColumn, "{task.percentage:.0f} %"),
                (TextColumn, "{task.fields[detail]}"),
            )
        )  # fmt: skip
        self._columns, self._few_columns = (text, BarColumn(_BAR_WIDTH), percent, detail), (text, percent)
        self._without_bar = (text, detail)
        self._begin_ns = begin_ns
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(console=self._console, speed_estimate_period=_SPEED_PERIOD_S)
        self._progress.add_task("", total=None, detail="")
        self._progress.add_task("", total=None, visible=False)
        self._work, self._insns = self._progress.tasks

    def text(self, how_far: HowFar) -> str:
        """The line, with the codes for its colours."""
        width = min(_columns() - 1, _WIDTH_MAX)
        progress = self._progress
        progress.update(self._insns.id, completed=how_far.icount or 0)
        progress.update(
            self._work.id, description=how_far.text, completed=min(how_far.done, how_far.whole),
            total=how_far.whole or None,
        )  # fmt: skip
        self._work.fields["detail"] = ", ".join(self._details(how_far))
        if not how_far.whole:
            progress.columns = self._without_bar
        else:
            progress.columns = self._columns if width >= _WIDTH_OF_ALL else self._few_columns
        with self._console.capture() as captured:
            self._console.print(progress.get_renderable(), width=width, no_wrap=True, end="")
        return captured.get().partition("\n")[0].rstrip(" ")

    def _details(self, how_far: HowFar) -> Iterator[str]:
        if how_far.icount is not None:
            speed = self._insns.speed
            yield f"{how_far.icount:,} instructions" + (f" ({speed / 1e6:,.0f} MIPS)" if speed else "")
        left = self._work.time_remaining
        if how_far.whole and left is not None and not how_far.is_place:
            yield f"{_clock_text(left)} left"
        elif not how_far.whole:
            yield f"{_clock_text((host.realtime_ns() - self._begin_ns) / NS_PER_S)} so far"


def _clock_text(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
