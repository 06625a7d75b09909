"""Devices under test: the boards that a test makes with pytest's fixture ``minstret``, and what is told of them.

Each is a Recording. When the test is over its trace is kept or deleted, as --minstret-keep says.
"""

from __future__ import annotations

import gc
import hashlib
import inspect
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from minstret.devices.board.board import Setup
from minstret.devices.board.traced import Recording, Replay
from minstret.dutoptions import board_option_values, limits_of, naming_keywords, setup_of_options
from minstret.emu import host
from minstret.emu.cli.ending import end_text
from minstret.emu.cli.invocation import invocation, with_devices
from minstret.emu.cli.lookback import in_trace, nothing
from minstret.emu.cli.session import host_answers
from minstret.emu.errors import ConfigError, MinstretError, TraceError
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.newfile import is_being_written
from minstret.emu.part import Part
from minstret.emu.report import why
from minstret.emu.session import RunLimits
from minstret.emu.text import printable
from minstret.emu.trace.format import SUFFIX
from minstret.pytest_plugin import FOLDER

TAIL_LINES, TAIL_COLUMNS = 20, 200
"""How much of its console is shown of a board in a failed test."""
_NAME_MAX = 120
_FREE_EVERY = 16
_NOT_FOR_NAMES = re.compile(r"[^\w.=+-]+", re.ASCII)
_IGNORED = "*\n"


class Dut(Recording):
    """A device under test: a recording that goes no further than the limits of its test."""

    def __init__(
        self, name: str, path: Path | None, setup: Setup, options: dict[str, Any], limits: tuple[RunLimits, str]
    ) -> None:  # fmt: skip
        """Make the board.

        Args:
            name: What it boots, for messages.
            path: Of the trace; None: in memory.
            setup: The board.
            options: As ``board_options`` gives them.
            limits: A run that comes there fails the test; and that in words.
        Raises:
            TraceError: the trace can't be written.
            ConfigError: the board can't be made.
        """
        super().__init__(
            path, setup, host=host_answers(options), realtime_ns=host.realtime_ns, overwrite=True
        )  # fmt: skip
        self.name, self.file = name, path
        self.limits, self.limits_shown = limits
        self.last: Outcome | None = None
        """How its last run ended."""
        self._is_broken = False

    def __repr__(self) -> str:
        return f"<Dut {self.name}: {self.position.icount:,} instructions>"

    def run(
        self, *, icount: int | None = None, virtual_ns: int | None = None, hart: int | None = None,
        turns: int | None = None, passes_time: bool = False,
    ) -> Outcome:  # fmt: skip
        """Run on, to the end or to a position before it.

        Raises:
            ExpectationError: it has come to a limit of the test.
        """
        if hart is not None or turns is not None:
            raise ConfigError("a board of the fixture minstret runs to a position, or to its end")
        return self._advance(icount, virtual_ns, passes_time=passes_time)

    def _go(self, icount: int | None, virtual_ns: int | None, *, passes_time: bool = False) -> Outcome:
        try:
            self.last = super()._go(icount, virtual_ns, passes_time=passes_time)
        except BaseException:
            self._is_broken = True
            raise
        return self.last

    @property
    def has_run(self) -> bool:
        """Whether there is a trace."""
        return self.last is not None or self._is_broken

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing: it is closed when its test is over."""

    def close(self, is_kept: bool) -> None:
        """Write how the last run ended, and close the trace; or delete it."""
        if is_kept and self.has_run:
            super().__exit__(None, None, None)
            return
        self.door.abandon(is_between_turns=False)
        if self.file is not None and self.has_run:
            self.file.unlink(missing_ok=True)

    def story(self) -> list[str]:
        """Where it is, and what it said, as a test that fails tells it."""
        board, position, last = self.board, self.position, self.last
        if not self.has_run:
            return [f"{self.name}: it has not run"]
        ended = last if last is not None and last.reason not in _GOES_ON else None
        how = "" if ended is None else f"; {end_text(board, ended)}"
        figures = f"{position.icount:,} instructions, {position.virtual_ns / 1e9:.6f} s virtual"
        lines = [f"{self.name}: {figures}{how}", *self._tail()]
        if ended is not None and ended.reason is StopReason.TRAP_LOOP:
            return lines + board.report(ended).splitlines()
        try:
            look_back = in_trace(self.reader(), board.hart.counting, self.setup.devices)
        except TraceError as error:  # the disk is full, say
            lines, look_back = [*lines, f"no trace: {error}"], nothing
        return lines + [printable(line) for line in why(board.machine, ended, board.symbols, look_back)]

    def _tail(self) -> list[str]:
        """The end of its console."""
        text = self.console.decode(errors="replace").replace("\r\n", "\n")
        lines = text.rstrip("\n").split("\n")
        shown = [f"  | {printable(line.rstrip(), TAIL_COLUMNS)}" for line in lines[-TAIL_LINES:]]
        if not text.strip():
            return ["its console is empty"]
        left = len(lines) - len(shown)
        return [f"its console, without the first {left:,} lines:" if left else "its console:", *shown]


_GOES_ON = (StopReason.REACHED, StopReason.BREAKPOINT, StopReason.WATCH)


class Duts:
    """What a test gets as ``minstret``: called, it makes a board.

    Attributes:
        item: The test.
        has_failed: Whether it has failed so far.
    """

    _freed = count(1)

    def __init__(self, item: pytest.Item, chaos_seed: int | None) -> None:
        """For a test that runs under a chaos seed, or None."""
        self.item, self.has_failed = item, False
        self._config, self._seed = item.config, chaos_seed
        self._keep: str = self._config.getoption("minstret_keep")
        self._makes_pages: bool = self._config.getoption("minstret_report")
        self._limits = limits_of(item)
        self._duts: list[Dut] = []

    def __call__(self, firmware: str | Path | None = None, /, **options: Any) -> Dut:
        """Make a board that is recorded.

        Args:
            firmware: As for ``minstret run``: a file, or a bundled image. A relative path is looked for in the root
                folder of the tests, then in the folder of the test.
            options: Those of ``minstret run`` that describe a board and its script: ``net="user,restrict=on"``,
                ``smp=2``, ``memory="64M"``, ``input_script="talk.txt"``; also ``xlen=32``. What may be given several
                times is a list. ``devices`` may have objects.
        Raises:
            ConfigError: an option is wrong, or the board can't be made.
            TraceError: the trace can't be written.
        """
        dut = self._make(firmware, options)
        self._duts.append(dut)
        return dut

    def _make(self, firmware: str | Path | None, options: dict[str, Any]) -> Dut:
        if self._seed is not None and not options.keys() & {"chaos", "chaos_seed"}:
            options = options | {"chaos": self._seed}
        given = [options.get(name) for name in ("devices", "device")]
        parts = [one for each in given if isinstance(each, list | tuple) for one in each if not isinstance(one, str)]
        known = board_option_values(firmware, options, self._found)
        with naming_keywords(options):
            setup = setup_of_options(known)
        setup = replace(setup, devices=(*setup.devices, *parts))
        name = str(known["firmware"] or known["kernel"] or known["bios"])
        for path in self._paths():
            try:
                with naming_keywords(options):
                    return Dut(Path(name).name, path, setup, known, self._limits)
            except TraceError:
                if path is None or not _is_taken(path):
                    raise
        raise AssertionError("there is always another name")

    def _found(self, path: str) -> str:
        """A path of the test's: from the root folder, or from beside the test. Else as it is."""
        for folder in (self._config.rootpath, self.item.path.parent):
            if (folder / path).exists():
                return str(folder / path)
        return path

    # ---- traces

    def _paths(self) -> Iterator[Path | None]:
        """Where the trace of one more board may be."""
        if self._keep == "none":
            yield None
            return
        folder = trace_folder(self._config)
        make_folder(folder)
        name, used = trace_name(self.item.nodeid), {dut.file for dut in self._duts} | self._kept
        for number in count(1):
            path = folder / f"{name}{f'-{number}' if number > 1 else ''}{SUFFIX}"
            if path not in used:
                yield path

    @property
    def _kept(self) -> set[Path]:
        """Traces that tests of this process have left: a test may run again."""
        return self._config.stash.setdefault(_KEPT, set())

    def close(self) -> list[Path]:
        """The test is over, and its fixtures are down. A trace whose end can't be written is a warning.

        Returns:
            The traces that are kept.
        """
        is_kept = self._keep == "all" or (self._keep == "failed" and self.has_failed)
        for dut in self._duts:
            try:
                dut.close(is_kept)
            except TraceError as error:
                self.item.warn(pytest.PytestWarning(f"minstret: {error}"))
            if next(self._freed) % _FREE_EVERY == 0:
                gc.collect()  # each board is part of a cycle, and maps a gigabyte for translated code
        with_trace = [dut for dut in self._duts if is_kept and dut.file is not None and dut.has_run]
        if self._makes_pages:
            for dut in with_trace:
                self._make_page(dut)
        kept = [dut.file for dut in with_trace if dut.file is not None]
        self._kept.update(kept)
        return kept

    def _make_page(self, dut: Dut) -> None:
        """Make the page of a trace that is kept. One that can't be made is a warning, whatever the reason."""
        assert dut.file is not None
        try:
            write_page(dut.file, _typed(dut.file, self._config), dut.setup.devices)
        except Exception as error:  # the test has failed for another reason, which must be told
            text = printable(f"{type(error).__name__}: {error}")
            self.item.warn(pytest.PytestWarning(f"minstret: no page of {_typed(dut.file, self._config)}: {text}"))

    # ---- what is told

    @staticmethod
    def end_at_users_line(error: BaseException) -> None:
        """Cut an error's traceback where the test calls minstret: the error's text tells the rest."""
        entry = error.__traceback__ if isinstance(error, MinstretError | pytest.fail.Exception) else None
        while entry is not None and entry.tb_next is not None:
            if f"{entry.tb_next.tb_frame.f_globals.get('__name__')}.".startswith("minstret."):
                entry.tb_next = None
            entry = entry.tb_next

    def story(self) -> list[str]:
        """What a report tells of the boards of a test that has failed."""
        seed = [] if self._seed is None else [f"chaos seed {self._seed}"]
        return [*seed, *(line for dut in self._duts for line in (*dut.story(), *self._commands_of(dut)))]

    def commands(self) -> list[str]:
        """What to type for the traces that are kept."""
        return [line for dut in self._duts for line in self._commands_of(dut)]

    def _commands_of(self, dut: Dut) -> list[str]:
        if dut.file is None or not dut.has_run:
            return []
        trace = with_devices(_typed(dut.file, self._config), [_device_text(part) for part in dut.setup.devices])
        page = _typed(page_beside(dut.file), self._config)
        return [
            f"to replay it: {invocation()} replay {trace}", f"to debug it:  {invocation()} debug {trace}",
            *([f"its page:     {page}"] if self._makes_pages else []),
        ]  # fmt: skip


_KEPT = pytest.StashKey[set[Path]]()


def _typed(path: Path, config: pytest.Config) -> str:
    """A path from the folder where pytest was started, if it is in there."""
    folder = config.invocation_params.dir
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _device_text(part: Part) -> str:
    """A device of the user's as --device names it."""
    kind = type(part)
    file = inspect.getsourcefile(kind)
    return f"{os.path.relpath(file) if file else kind.__module__}:{kind.__qualname__}"


# ---- files


def page_beside(trace: Path) -> Path:
    """Where the page of a trace is."""
    return trace.with_suffix(".html")


def write_page(trace: Path, name: str, devices: Sequence[Part]) -> None:
    """Replay a trace, and make its page.

    Args:
        trace: Where it is; the page is beside it.
        name: What to call it, so that it can be typed.
        devices: The users' devices in it.
    """
    from minstret.emu.cli.runpage import page_bytes, run_page
    from minstret.emu.questions.page.collecting import collected

    replay = Replay(trace, devices=devices)
    went, board = collected(replay), replay.board
    look_back = in_trace(replay.reader, board.hart.counting, devices)
    texts = [_device_text(part) for part in devices]
    page = page_bytes([run_page(replay, went, board.symbols, look_back, name=name, devices=texts)])
    page_beside(trace).write_bytes(page)


def trace_folder(config: pytest.Config) -> Path:
    """Where traces are kept."""
    chosen: str | None = config.getoption("minstret_dir")
    return config.rootpath / FOLDER if chosen is None else config.invocation_params.dir / chosen


def make_folder(folder: Path) -> None:
    """Make it, with a file that keeps it out of git.

    Raises:
        TraceError: it can't be.
    """
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ".gitignore").write_text(_IGNORED)
    except OSError as error:
        raise TraceError(f"--minstret-dir: {folder}: can't make that folder: {error.strerror}") from None


def drop_empty(folder: Path) -> None:
    """Remove the folder if no trace is in it."""
    ignore = folder / ".gitignore"
    with suppress(OSError):
        if os.listdir(folder) == [ignore.name] and ignore.read_text() == _IGNORED:
            ignore.unlink()
            folder.rmdir()


def trace_name(node_id: str) -> str:
    """A file's name for a test, another one for each: ``tests.test_cli.test_get-mode`` of ``...::test_get[mode]``."""
    path, _, rest = node_id.partition("::")
    text = f"{path.removesuffix('.py').replace('/', '.')}.{rest.replace('::', '.')}"
    text = re.sub(r"\[(.*)\]$", r"-\1", text, flags=re.DOTALL)
    name = _NOT_FOR_NAMES.sub("_", text)
    if name == text and len(name) <= _NAME_MAX:
        return name
    return f"{name[:_NAME_MAX]}-{hashlib.sha256(node_id.encode(errors='surrogatepass')).hexdigest()[:8]}"


def _is_taken(path: Path) -> bool:
    """Whether another process records there."""
    try:
        return is_being_written(str(path))
    except OSError:
        return False
