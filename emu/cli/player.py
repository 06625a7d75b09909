"""A replay at this process's terminal: its console, how far it has come, and Ctrl-C."""

from __future__ import annotations

import sys

from minstret.devices.board.board import Board
from minstret.devices.board.traced import Replay
from minstret.emu import host
from minstret.emu.cli.console import Console
from minstret.emu.cli.ending import Figures, Stopwatch, end_facts, show_end, show_missed, write_json
from minstret.emu.cli.log import RunLog
from minstret.emu.cli.progress import HowFar, Progress
from minstret.emu.cli.say import say
from minstret.emu.cli.streams import as_given
from minstret.emu.door.door import Position
from minstret.emu.errors import ConfigError
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.part import takes_pieces
from minstret.emu.report import LookBack
from minstret.emu.session import NO_LIMITS, RunLimits

_KILLED = "the trace ends here: its recording was killed"
_ENDED = "the recording ends here: the guest could have gone on"


class Player:
    """Plays a trace. All that the guest sends has to go to ``show``.

    Attributes:
        console: Where that is shown.
        began_at: The icount at which the replay began.
        is_quiet: Whether to say nothing.
        signals: They end it.
    """

    def __init__(
        self, end: Position, *, stop: RunLimits = NO_LIMITS, is_quiet: bool = False, idle_ok: bool = False
    ) -> None:
        """Make it.

        Args:
            end: Where the trace ends.
            stop: Play up to there; by default to the end.
            is_quiet: Say nothing.
            idle_ok: Whether waiting forever is a good end.
        """
        self._end, self._stop, self.is_quiet, self._idle_ok = end, stop, is_quiet, idle_ok
        self.signals = host.Signals(self._interrupt)
        self.console = Console(host.Output(self.signals))
        self._replay: Replay | None = None
        self._progress = Progress(self._how_far, is_wanted=not is_quiet)
        self.began_at = 0
        self._facts_error: ConfigError | None = None

    def _interrupt(self) -> None:
        if self._replay is not None:
            self._replay.interrupt()

    def _how_far(self) -> HowFar | None:
        if self._replay is None or not self.console.has_blank_line:
            return None
        return how_far(self._replay.board.position, self._end, self._stop)

    @takes_pieces
    def show(self, data: bytes) -> None:
        """Show what the guest has sent."""
        self._progress.above(self.console.write, data)
        if self.console.failed is not None:
            self._interrupt()

    @property
    def was_interrupted(self) -> bool:
        """Whether a signal has ended it, or the console's failure."""
        return self.signals.number is not None or self.console.failed is not None

    def play(self, replay: Replay, log: RunLog | None = None) -> Outcome:
        """Play up to the place that was asked for, and log what happens.

        Raises:
            DivergenceError: it came to something else than the recording.
        """
        self._replay, self.began_at = replay, replay.board.position.icount
        if not self.is_quiet and replay.left_out is not None:
            say(f"minstret: {as_given(replay.left_out)}")
        if log is not None:
            log.begin(replay.board, self.console, self._progress.above)
        self._stopwatch = Stopwatch()
        try:
            with (
                self.signals.caught(), host.keys_dropped(), self._progress.shown(),
                self.console.line_ended_for_errors(self.is_quiet),
            ):  # fmt: skip
                outcome = replay.run(icount=self._stop.icount, virtual_ns=self._stop.virtual_ns)
        finally:
            self.console.output.is_ending = self.signals.number is not None
            self.console.flush()
        self._figures: Figures = self._stopwatch.figures()
        return self._as_asked(outcome)

    def _as_asked(self, outcome: Outcome) -> Outcome:
        """The outcome; for a replay that was interrupted, with the signal or the error that did it."""
        number = self.signals.number
        if outcome.reason is not StopReason.INTERRUPTED:
            return outcome
        if number is None and self.console.failed is not None:
            number = host.failed_by(self.console.failed)
        if number is None or number == host.INTERRUPT:
            return outcome
        return Outcome(StopReason.TERMINATED, signal=number or None)

    def write_facts(self, board: Board, outcome: Outcome, path: str | None) -> None:
        """Write the facts of --json, if there is a path; ``report`` raises the error."""
        if path is not None:
            try:
                write_json(path, end_facts(board, outcome, self._figures, board.digest()))
            except ConfigError as error:
                self._facts_error = error

    def report(self, board: Board, outcome: Outcome, look_back: LookBack) -> None:
        """Say how it ended; ``look_back`` looks at an earlier moment of the trace.

        Raises:
            ConfigError: the file of --json could not be written.
            OSError: the console could not be written; everything else was.
        """
        output_error = self.console.failed if outcome.signal != host.HANG_UP else None
        if outcome.signal and not host.takes_text(sys.stderr):  # told to end, so it waits for nobody
            self.is_quiet = True
        if not self.is_quiet and output_error is None:
            self.console.end_line()
            text = None
            if outcome.reason is StopReason.REACHED and self._stop == NO_LIMITS:
                text = _KILLED if self._replay is None or self._replay.reader.end is None else _ENDED
            show_end(
                board, outcome, self._figures, board.digest(), look_back, from_icount=self.began_at, text=text,
                idle_ok=self._idle_ok,
            )  # fmt: skip
        elif output_error is None:
            show_missed(board, outcome, self.console)
        if self._facts_error is not None:
            raise self._facts_error
        if output_error is not None:
            raise output_error


def how_far(position: Position, end: Position, stop: RunLimits) -> HowFar:
    """How much of the trace has been played."""
    if stop.icount is not None and stop.icount < end.icount:
        done, whole = position.icount, stop.icount
    else:  # a guest that waits executes no instructions, but its time passes
        done, whole = position.virtual_ns, end.virtual_ns if stop.virtual_ns is None else stop.virtual_ns
    return HowFar("replaying", done, whole, position.icount)
