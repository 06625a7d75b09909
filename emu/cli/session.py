"""A live run at this process's terminal: what its options ask for, input, limits. ``run`` and ``record`` share it."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import HostAnswers
from minstret.devices.board.console import CONSOLE_TARGET
from minstret.devices.hostside.hostinput.script import ScriptLine, keys_line
from minstret.devices.hostside.side import KEYBOARD
from minstret.emu import host, units
from minstret.emu.cli import lookback
from minstret.emu.cli.console import Console
from minstret.emu.cli.ending import (
    Figures,
    Stopwatch,
    end_facts,
    end_text,
    now_lines,
    show_end,
    show_missed,
    write_json,
)
from minstret.emu.cli.expectations import endings_of, expectation_options, limits_of
from minstret.emu.cli.gdboptions import gdb_options, wanted_gdb
from minstret.emu.cli.log import LOG_FILE, log_options, wanted_log
from minstret.emu.cli.options import make_setup
from minstret.emu.cli.outputs import Named, check_outputs, images_read
from minstret.emu.cli.pcap import PcapFile
from minstret.emu.cli.say import say
from minstret.emu.cli.slow import say_if_slow
from minstret.emu.cli.streams import claim_stdout, input_from_stdin, is_stream, read_script
from minstret.emu.door.door import Event
from minstret.emu.errors import ConfigError
from minstret.emu.files import read_file
from minstret.emu.hart.shared import Counting
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.report import LookBack, fatal_faults, handled_fault, satp_text
from minstret.emu.session import LiveSession, Session
from minstret.emu.text import printable

if TYPE_CHECKING:
    from minstret.devices.board.traced import Recording
    from minstret.emu.cli.livegdb import LiveGdb

_SCRIPT_SIZE_MAX = units.MIB
idle_ok_option = click.option("--idle-ok", is_flag=True, help=(
    "If the guest ends up waiting forever, exit with status 0, not 120."))  # fmt: skip


def host_answers(options: dict[str, Any]) -> HostAnswers:
    """The real host, as far as the options let the guest see it."""
    files = None
    if options["semihosting"] is not None:
        from minstret.emu.hostfiles import HostFiles

        files = HostFiles(options["semihosting"])
    return HostAnswers(host.realtime_ns, host.wall_ns, host.entropy, files)


_INPUT_OPTIONS = (
    click.option("--keys", metavar="TEXT", help=(
        "Type this on the keyboard after 100 ms of virtual time: 'hello<ret>', '<ctrl-c>'. "
        "If the guest is not ready by then, use --input-script.")),
    click.option("--input-script", metavar="FILE", help=(
        "Play a file to console, keyboard and tablet: lines such as 'EXPECT \"login:\" within 20s', 'SEND "
        "\"root\\r\"', 'SLEEP 5ms', 'AT 1.5s: press a' or 'AT icount 1M: move 100 200'. If the guest does not "
        "say what is expected, the run ends with status 126.")),
)  # fmt: skip


def input_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for input that is decided before the run to a command."""
    for option in reversed(_INPUT_OPTIONS):
        function = option(function)
    return function


def session_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for a run's input, output and limits to a command."""
    options = (
        *_INPUT_OPTIONS,
        click.option("--pcap", metavar="FILE", help=(
            "Write the network card's frames to FILE, stamped with virtual time; - is standard output, as for --json."
        )),
        click.option("--max-insns", metavar="N", help=(
            "Stop after N instructions (exit status 123; with --until 126): 1000000, 5M, 2G.")),
        expectation_options,
        click.option("--timeout", type=float, metavar="SECONDS", help=(
            "Stop after this much host time (exit status 124).")),
        idle_ok_option,
        click.option("--ctrl-c", type=click.Choice(("guest", "stop")), default="guest", show_default=True, help=(
            "At a terminal: whether Ctrl-C and Ctrl-Z go to the guest, or stop the run. Ctrl-A x always ends it.")),
        *log_options,
        *gdb_options,
        click.option("--no-input", is_flag=True, help="Don't read standard input."),
        click.option("-q", "--quiet", is_flag=True, help=(
            "No status line and no report on standard error. Errors are told, and an expectation that was missed.")),
        click.option("-v", "--verbose", is_flag=True, help="Say more on standard error, such as what was not loaded."),
        click.option("--json", "json_path", metavar="FILE", help=(
            "Write how the run ended, its counts and its digest to FILE; with - (standard output) the guest's console "
            "goes to standard error.")),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


class ConsoleSource(host.HostSource):
    """The host's input. Writes out pending console output whenever it is asked for input."""

    def __init__(
        self, *, console_target: str | None, timeout_ns: int | None, ctrl_c_stops: bool, reads_stdin: bool = True
    ) -> None:
        super().__init__(
            console_target=console_target, timeout_ns=timeout_ns, ctrl_c_stops=ctrl_c_stops, reads_stdin=reads_stdin
        )
        self.console = Console(host.Output(self.signals, lambda: self.deadline_ns))
        self._has_told = False

    def poll(self, wants_input: bool) -> Iterable[Event]:
        if self.console.has_pending:
            self._flush()
        return super().poll(wants_input)

    def wait(self, timeout_ns: int | None) -> int:
        self._flush()
        return super().wait(timeout_ns)

    def _flush(self) -> None:
        self.console.flush()
        if self.console.failed is not None and not self._has_told:
            self._has_told = True
            self.output_failed(self.console.failed)


class HostedRun:
    """A session with this process's terminal and files around it: what the options ask for, and how it ended."""

    def __init__(self, options: dict[str, Any]) -> None:
        """Make the board that ``options`` ask for, and connect it to the host.

        Raises:
            ConfigError: an option is wrong; the text says which.
        """
        self._from_icount = 0
        self._limits = limits_of(options)
        timeout = options["timeout"]
        if timeout is not None and not 0 < timeout < 1e9:
            raise ConfigError(f"--timeout: expected a number of seconds above 0, got {timeout:g}")
        self._json_path, self._is_quiet = options["json_path"], options["quiet"]
        self._idle_ok: bool = options["idle_ok"]
        self._log = wanted_log(options)
        streams = {"--json": self._json_path, "--pcap": options["pcap"], LOG_FILE: options["log_file"]}
        check_outputs([*self.written(), *streams.items()], self.read(options))
        self._counting = options["counting"]
        self._wanted_gdb = wanted_gdb(options)
        self._is_verbose = options["verbose"]
        self._file_from_stdin = None if options["no_input"] else self.file_from_stdin(options)
        claim_stdout(streams)
        if self._json_path is not None:
            check_writable("--json", self._json_path)
        self.source = self.make_source(options, None if timeout is None else int(timeout * units.NS_PER_S))
        self.console = self.source.console
        self.host = host_answers(options)
        setup = self.make_setup(options)
        if options["pcap"] is not None and setup.config.net is None:
            raise ConfigError("--pcap: there is no network card; add --net user")
        self.session = self.make_session(setup)
        self.board = self.session.board
        self._gdb = self._make_gdb()
        for line in self.board.placement.left_out:
            self.say_more(line)
        self.board.semihosting.on_no_files = self._say_no_files
        self._refused_satp: set[int] = set()
        for hart in self.board.harts:
            hart.core.on_refused_satp = self._say_refused_satp
        self._pcap = None if options["pcap"] is None else PcapFile(options["pcap"])
        if self._pcap is not None:
            self.board.on_frame = self._capture
        if self._log is not None:
            self._log.begin(self.board, self.console)
        self.source.on_command = self._obey
        assert self.board.host_side is not None
        self.source.on_keys = self.board.host_side.input.type_bytes

    def read(self, options: dict[str, Any]) -> list[Named]:
        """Files that are read."""
        return [*images_read(options), ("--input-script", options["input_script"])]

    def written(self) -> tuple[Named, ...]:
        """Files that are written in addition to those of --json and --pcap."""
        return ()

    def file_from_stdin(self, options: dict[str, Any]) -> str | None:
        """Which of the files comes from standard input, in place of what is typed."""
        return input_from_stdin(options)

    def make_source(self, options: dict[str, Any], timeout_ns: int | None) -> ConsoleSource:
        """What the host decides, and the console."""
        return ConsoleSource(
            console_target=CONSOLE_TARGET if has_input(options["no_input"] or self._file_from_stdin) else None,
            timeout_ns=timeout_ns, ctrl_c_stops=options["ctrl_c"] == "stop",
        )  # fmt: skip

    @property
    def sleeps_by_default(self) -> bool:
        """Whether a guest that waits does so in real time, where --icount does not say."""
        return self.source.is_terminal

    def make_setup(self, options: dict[str, Any]) -> Setup:
        """The board that is asked for."""
        setup = make_setup(options, script=wanted_script(options), sleep_by_default=self.sleeps_by_default)
        return replace(setup, endings=endings_of(options))

    def make_session(self, setup: Setup) -> Session[Board]:
        """The board and its door; a recording makes another one."""
        if self._wanted_gdb is not None:  # going back is replaying
            return self.make_recording(setup)
        return LiveSession(
            lambda door: setup.make(door=door, host=self.host, on_console=self.console.write), self.source
        )

    @property
    def _is_repeatable(self) -> bool:
        """Whether a run that is started like this one is the same: nobody has typed, and no debugger wrote anything."""
        return self.session.is_repeatable and self._gdb is None

    def look_back(self) -> LookBack:
        """What looks at an earlier moment of the run, once that has ended."""
        return lookback.in_live_run(self.board) if self._is_repeatable else lookback.nothing

    def has_crashed(self, outcome: Outcome) -> bool:
        """Whether a fault has ended the run, and does so in each run that is started like this one."""
        if outcome.reason is StopReason.WAITS_FOREVER:
            has_fault = any(handled_fault(hart) is not None for hart in self.board.harts)
        else:
            has_fault = bool(fatal_faults(self.board.machine, outcome))
        return (outcome.reason is StopReason.TRAP_LOOP or has_fault) and self._is_repeatable

    def make_recording(self, setup: Setup, path: str | None = None, **options: Any) -> Recording:
        """A board and a door that records, to a file or, without ``path``, in memory."""
        from minstret.devices.board.traced import Recording

        return Recording(
            path, setup, source=self.source, host=self.host, on_console=self.console.write,
            realtime_ns=host.realtime_ns, **options,
        )  # fmt: skip

    def _make_gdb(self) -> LiveGdb | None:
        """What gdb comes to, if the options want it."""
        if self._wanted_gdb is None:
            return None
        from minstret.devices.board.traced import Recording
        from minstret.emu.cli.livegdb import LiveGdb

        assert isinstance(self.session, Recording)
        return LiveGdb(
            self._wanted_gdb, self.session, self.source, limits=self._limits, counting=Counting(self._counting),
            say=self.say, end_text=lambda outcome: end_text(self.board, outcome), on_stop=self.console.flush,
            on_limit=self._at_limit,
        )  # fmt: skip

    @property
    def keys_can_be_typed(self) -> bool:
        """Whether what is typed on the guest's keyboard is in order; a recording may lack it."""
        return True

    def say(self, text: str) -> None:
        """A line on standard error, but not with --quiet."""
        if not self._is_quiet:
            say(f"minstret: {printable(text)}")

    def say_more(self, text: str) -> None:
        """A line on standard error, with --verbose only."""
        if self._is_verbose:
            say(f"minstret: {printable(text)}")

    def _say_refused_satp(self, mode: int) -> None:
        """Once, though each hart may try it."""
        if mode not in self._refused_satp:
            self._refused_satp.add(mode)
            self.say_more(satp_text((mode,), self.board.cpu.features) or "")

    def _say_no_files(self, name: bytes) -> None:
        self.board.semihosting.on_no_files = lambda name: None  # once is enough
        self.say_more(
            f"the guest asked for the file {name.decode(errors='replace')!r}; --semihosting DIR gives it files"
        )

    def _capture(self, frame: bytes) -> None:
        assert self._pcap is not None
        self._pcap.write(self.board.machine.clock.now_ns(), frame)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(self.source.listening())
            host_side = self.board.host_side
            if self.board.timer_model.has_second_clock and host_side is not None:
                thread = host.TimerThread(host_side.timers, self.board.machine.cpu.end_slice)
                host_side.lock = thread.lock
                stack.enter_context(thread.running())
            try:
                with self.console.line_ended_for_errors(self._is_quiet):
                    yield
            finally:
                self.console.output.is_ending = self.source.has_stopped
                self.console.flush()
                if self._pcap is not None:
                    self._pcap.close()
                if self._log is not None:
                    self._log.close()

    def run(self) -> Outcome:
        """Run to the end, then say how it ended.

        Raises:
            OSError: the console could not be written; everything else was.
        """
        if not self._is_quiet:
            say_if_slow(self._counting)
        if self._file_from_stdin is not None:
            self.say(f"{self._file_from_stdin} comes from standard input, so the guest's console has no input")
        with self.source.signals.caught():  # until all is written
            self.begin()
            stopwatch = Stopwatch()
            with self._listening():
                outcome = self._run_to_the_end()
            figures = stopwatch.figures()
            digest = self.session.finish(outcome).digest
            facts_error = self._write_facts(outcome, figures, digest)
        if outcome.signal and not host.takes_text(sys.stderr):  # told to end, so it waits for nobody
            self._is_quiet = True
        output_error = self.console.failed if outcome.signal != host.HANG_UP else None
        if self.tells_end(outcome) and output_error is None:
            self.console.end_line()
            show_end(
                self.board, outcome, figures, digest, self.look_back(), from_icount=self._from_icount,
                text=self._end_text(outcome), idle_ok=self.idle_ok,
            )  # fmt: skip
        elif output_error is None:
            show_missed(self.board, outcome, self.console)
        if facts_error is not None:
            raise facts_error
        if output_error is not None:
            raise output_error
        return outcome

    @property
    def idle_ok(self) -> bool | None:
        """Whether waiting forever is a good end; None where no option says that."""
        return self._idle_ok

    def tells_end(self, outcome: Outcome) -> bool:
        """Whether the user is told how the run ended."""
        return not self._is_quiet

    def _run_to_the_end(self) -> Outcome:
        if self._gdb is not None:
            return self._gdb.run()
        outcome = self.session.run(icount=self._limits.icount, virtual_ns=self._limits.virtual_ns)
        reason = self._limits.reached(self.board.position) if outcome.reason is StopReason.REACHED else None
        return outcome if reason is None else self._at_limit(reason)

    def _at_limit(self, reason: StopReason) -> Outcome:
        """How the run ends where it has come to a limit: it may be that something was expected before."""
        if self.board.expectations.miss(f"--{reason.value} is reached"):
            return self.session.run(icount=self._limits.icount, virtual_ns=self._limits.virtual_ns)
        return Outcome(reason)

    def _end_text(self, outcome: Outcome) -> str | None:
        """How the run ended, where its outcome does not tell."""
        if outcome.reason is not StopReason.INTERRUPTED:
            return None
        if self._gdb is not None and self._gdb.was_killed:
            return "stopped by gdb"
        return "stopped by Ctrl-A x" if self.source.was_left else None

    def _write_facts(self, outcome: Outcome, figures: Figures, digest: str) -> ConfigError | None:
        """Write the file of --json; returns the error, so that the report can be shown before it."""
        if self._json_path is not None:
            try:
                write_json(self._json_path, end_facts(self.board, outcome, figures, digest))
            except ConfigError as error:
                return error
        return None

    def begin(self) -> None:
        """The run begins. At a terminal, where all keys go to the guest, say how to end it."""
        if self.source.is_terminal and host.is_terminal(sys.stderr):
            self.say("Ctrl-A x ends the run, Ctrl-A h lists the other keys")
            insns = units.NS_PER_S >> self.board.config.icount_shift
            self.say_more(
                f"a guest that waits one second in a busy loop executes {insns:,} instructions; "
                "with --icount shift=N it is 10^9 / 2^N"
            )

    def _obey(self, key: str) -> None:
        """A key after Ctrl-A."""
        if key == "c":
            self._say_where()
        elif key == "k" and not self.keys_can_be_typed:
            say("\nminstret: not while recording with --timer-model no-attributes: the replay would have no keys")
        elif key == "k" and KEYBOARD in self.board.config.inputs:
            self.source.keys_go_to_keyboard = not self.source.keys_go_to_keyboard
            say(f"\nminstret: keys go to the {self.source.keys_go_to}")
        elif key == "k":
            say("\nminstret: there is no keyboard; add --input keyboard")
        else:
            say(f"\n{host.ESCAPE_HELP}", nl=False)

    def _say_where(self) -> None:
        say("\n" + "\n".join(f"minstret: {line}" for line in now_lines(self.board)))


def wanted_script(options: dict[str, Any]) -> list[ScriptLine]:
    """The input that --keys and --input-script ask for."""
    lines: list[ScriptLine] = []
    kinds = options["inputs"].split(",")
    if options["keys"] is not None:
        if KEYBOARD not in kinds:
            raise ConfigError("--keys: there is no keyboard to type on; add --input keyboard")
        from minstret.devices.hostside.hostinput.keymap import parse_keys  # few runs have a keyboard

        lines.append(keys_line(parse_keys(options["keys"], "--keys")))
    if options["input_script"] is not None:
        from minstret.devices.hostside.hostinput.parsing import parse_script  # few runs have a script

        path = options["input_script"]
        script = parse_script(_read_text("--input-script", path), path)
        in_vain = next((line for line in script if line.needs_input_device), None)
        if in_vain is not None and not options["inputs"]:
            raise ConfigError(f"{in_vain.source}: there is no input device; add --input keyboard,tablet")
        lines += script
    return lines


def _read_text(option: str, path: str) -> str:
    try:
        data = read_script(_SCRIPT_SIZE_MAX) if is_stream(path) else read_file(path, _SCRIPT_SIZE_MAX)
        return data.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{option}: {path}: not a text file") from None
    except ConfigError as error:
        raise ConfigError(f"{option}: {error}") from None


def has_input(no_input: object) -> bool:
    """Whether the console is to read standard input, and can."""
    if no_input or sys.stdin is None or sys.stdin.closed:
        return False
    try:
        sys.stdin.fileno()
    except (OSError, ValueError):
        return False
    return True


def check_writable(option: str, path: str) -> None:
    """Check at the start that a file can be written at the end.

    Raises:
        ConfigError: it can't.
    """
    folder = os.path.dirname(path) or "."
    if is_stream(path):
        return
    if os.path.isdir(path):
        raise ConfigError(f"{option}: can't write {path}: it is a folder; give a file")
    if os.path.exists(path) and not os.path.isfile(path):
        return  # a pipe or a device: whoever writes to it may not need to make files beside it
    if not os.path.isdir(folder):
        raise ConfigError(f"{option}: can't write {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{option}: can't write {path}: {os.strerror(errno.EACCES)}")
