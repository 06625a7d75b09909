"""A board that goes on live where a trace has ended, or from one of its snapshots.

with the command:   minstret replay --live run.mst
from Python:        with go_live("run.mst") as session: session.run()
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import BoardConfig, HostAnswers
from minstret.devices.board.traced import Recording, Replay, setup_of
from minstret.devices.hostside.hostinput.script import ScriptLine
from minstret.devices.hostside.timer_models import TIMER_MODELS
from minstret.devices.hostside.usernet.config import Files
from minstret.emu.door.live import Source
from minstret.emu.door.recording import RecordOptions
from minstret.emu.errors import ConfigError, TraceError
from minstret.emu.golive import GoneLive, check_can_go_on, check_versions, moment_at_end, moment_at_snapshot
from minstret.emu.hart.shared import Counting
from minstret.emu.part import Part
from minstret.emu.session import LiveSession
from minstret.emu.trace.reader import TraceReader


class _Live(GoneLive[Board], LiveSession[Board]):
    """A live run that began in a trace."""


class _Recording(GoneLive[Board], Recording):
    """The same, recorded."""


def setup_to_go_on(
    reader: TraceReader, *, files: Files | None = None, script: Sequence[ScriptLine] = (), sleep: bool = False,
    slice_insns_max: int | None = None, counting: Counting = Counting.CODE,
    devices: Sequence[type[Part] | Part] = (), devices_may_have_changed: bool = False,
) -> Setup:  # fmt: skip
    """The recorded board with its host side, of which ``files`` and ``script`` are not in the trace.

    Args:
        reader: The trace.
        files: What the user network's TFTP server offers from now on.
        script: The recorded script again: it goes on with the line that comes next.
        sleep: Whether the host waits as long as the guest idles.
        slice_insns_max: Never visible to the guest; None for the default.
        counting: How to count instructions. Never visible.
        devices: The classes of the users' devices that were recorded.
        devices_may_have_changed: Whether their source may be another than at the recording.
    Raises:
        TraceError: the trace makes no board here, or no live one.
        ConfigError: the board has no use for ``files``.
    """
    setup = setup_of(reader, devices, devices_may_have_changed)
    config = setup.config
    if config.timer_model != TIMER_MODELS[0]:
        raise TraceError(
            f"{reader.path}: recorded with --timer-model {config.timer_model}, which is for comparison: it replays, but"
            " can't go on live"
        )
    if files is not None and config.net is None:
        raise ConfigError(f"there is no network card in {reader.path}, so nothing asks for files by TFTP")
    config = replace(
        config, sleep=sleep, counting=counting, slice_insns_max=slice_insns_max or BoardConfig().slice_insns_max
    )
    return replace(setup, config=config, files=files, script=tuple(script))


class GoingLive:
    """A trace, and the live session that goes on from it: ``replay`` plays up to there, then ``begin``. Use it as a
    context, as it may have a file.

    Attributes:
        session: The live session, or where ``output`` was given the recording. It runs after ``begin``.
        replay: Plays to the end of the trace; None where a snapshot is the place.
        has_begun: Whether the session is live.
    """

    def __init__(
        self, reader: TraceReader, setup: Setup, *, snapshot: int | None = None, output: str | Path | None = None,
        source: Source | None = None, host: HostAnswers | None = None,
        on_console: Callable[[bytes], None] | None = None, options: RecordOptions | None = None,
        overwrite: bool = False, realtime_ns: Callable[[], int] = lambda: 0,
    ) -> None:  # fmt: skip
        """Make the live board, and without a ``snapshot`` also that of the replay.

        Args:
            reader: The trace.
            setup: From ``setup_to_go_on``.
            snapshot: Go on from there; by default from the trace's end.
            output: Record the live part into a new trace, which begins with a snapshot.
            source: What the host gives, by itself.
            host: What the host answers.
            on_console: Called with what the guest sends, in the replay too.
            options: How to record.
            overwrite: Replace an existing file.
            realtime_ns: Host time, which paces the commits.
        Raises:
            TraceError: the run can't go on from there, or the file can't be made.
        """
        check_can_go_on(reader, snapshot, input_may_come=source is not None and source.is_open)
        self.reader = reader
        self._snapshot = snapshot
        self.session: _Live | _Recording
        if output is None:
            self.session = _Live(lambda door: setup.make(door=door, host=host, on_console=on_console), source)
        else:
            self.session = _Recording(
                output, setup, source=source, host=host, on_console=on_console, options=options, overwrite=overwrite,
                realtime_ns=realtime_ns,
            )  # fmt: skip
        self.session.origin = reader
        check_versions(self.session, reader)
        self.has_begun = False
        self.replay = None
        if snapshot is None:
            config = setup.config
            self.replay = Replay(
                reader, on_console=on_console, slice_insns_max=config.slice_insns_max, counting=config.counting,
                devices=setup.devices, devices_may_have_changed=True,  # the setup has checked that
            )  # fmt: skip

    def begin(self) -> _Live | _Recording:
        """Put the session where the replay is, or to the snapshot. The replay is let go of.

        Raises:
            TraceError: the host side there does not fit the board, or nothing can happen there any more.
        """
        session = self.session
        if self.replay is None:
            assert self._snapshot is not None
            moment = moment_at_snapshot(session, self.reader, self._snapshot)
        else:
            moment = moment_at_end(session, self.replay)
            self.replay = None
        session.go_to(moment, session.board.meet_host)
        self.has_begun = True
        return session

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.has_begun:
            self.session.__exit__(kind, error, traceback)
        elif isinstance(self.session, _Recording):
            self.session.door.abandon(is_between_turns=False)

    @property
    def script_lines_left(self) -> int:
        """After ``begin``: how many lines of the recording's input script were still to come."""
        assert self.session.board.host_side is not None
        recorded: int = self.reader.meta.get("outside", {}).get("script_lines", 0)
        return max(0, recorded - self.session.board.host_side.script.state.next_line)


def go_live(
    trace: TraceReader | str | Path, *, snapshot: int | None = None, output: str | Path | None = None,
    source: Source | None = None, host: HostAnswers | None = None, files: Files | None = None,
    script: Sequence[ScriptLine] = (), on_console: Callable[[bytes], None] | None = None, sleep: bool = False,
    options: RecordOptions | None = None, overwrite: bool = False, devices: Sequence[type[Part] | Part] = (),
) -> _Live | _Recording:  # fmt: skip
    """Play a trace to its end, or go to a snapshot of it: the session that goes on live from there.

    Use the session as a context where ``output`` is given. See ``setup_to_go_on`` and ``GoingLive`` for the arguments.

    Raises:
        TraceError: the run can't go on from there.
        DivergenceError: the replay came to something else than the recording.
    """
    reader = trace if isinstance(trace, TraceReader) else TraceReader(str(trace))
    setup = setup_to_go_on(reader, files=files, script=script, sleep=sleep, devices=devices)
    going = GoingLive(
        reader, setup, snapshot=snapshot, output=output, source=source, host=host, on_console=on_console,
        options=options, overwrite=overwrite,
    )  # fmt: skip
    with ExitStack() as stack:
        stack.push(going)
        if going.replay is not None:
            going.replay.run()
        session = going.begin()
        stack.pop_all()
        return session
