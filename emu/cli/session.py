"""A live run: console, input, limits, and the report at its end. ``run`` and ``record`` share it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import click

from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import HostAnswers
from minstret.devices.board.console import CONSOLE_TARGET
from minstret.devices.hostside.hostinput.keymap import parse_keys
from minstret.devices.hostside.hostinput.script import ScriptLine, keys_line, parse_script
from minstret.devices.hostside.side import KEYBOARD
from minstret.emu import host, units
from minstret.emu.cli.options import make_setup
from minstret.emu.cli.outputs import Named, check_outputs, images_read
from minstret.emu.cli.pcap import PcapFile
from minstret.emu.cli.say import say
from minstret.emu.cli.slow import say_if_slow
from minstret.emu.cli.streams import (
    claim_stdout,
    input_from_stdin,
    is_stream,
    read_script,
    shown_output,
    write_output,
)
from minstret.emu.door.door import Event
from minstret.emu.errors import ConfigError, HostError, MinstretError
from minstret.emu.files import read_file
from minstret.emu.hart.shared import Counting
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.report import (
    SATP_MODES,
    busiest_text,
    harts_facts,
    harts_text,
    headline,
    interrupt_facts,
    last_trap_text,
    satp_text,
    where_facts,
    where_text,
)
from minstret.emu.session import LiveSession, Session
from minstret.emu.text import printable

NEWLINE = 0x0A
_DIGEST_SHOWN = 16
_RETRACED_INSNS = 8
_SCRIPT_SIZE_MAX = units.MIB
_RETRACE_RUN_MAX = {Counting.BLOCKS: 100_000_000, Counting.INSTRUCTIONS: 50_000_000, Counting.PYTHON: 500_000}
"""Instructions. A run that got stuck is repeated to find its last instructions, if it is no longer than this: a second
at most."""


idle_ok_option = click.option("--idle-ok", is_flag=True, help=(
    "If the guest ends up waiting forever, exit with status 0, not 120."))  # fmt: skip


def host_answers(options: dict[str, Any]) -> HostAnswers:
    """The real host, as far as the options let the guest see it."""
    files = None
    if options["semihosting"] is not None:
        from minstret.emu.hostfiles import HostFiles

        files = HostFiles(options["semihosting"])
    return HostAnswers(host.realtime_ns, host.wall_ns, host.entropy, files)


def session_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for a run's input, output and limits to a command."""
    options = (
        click.option("--keys", metavar="TEXT", help=(
            "Type this on the keyboard after 100 ms of virtual time: 'hello<ret>', '<ctrl-c>'. "
            "If the guest is not ready by then, use --input-script.")),
        click.option("--input-script", metavar="FILE", help=(
            "Play a file to keyboard and tablet: lines such as 'AT 1.5s: press a' or 'AT icount 1000000: move 100 "
            "200'.")),
        click.option("--pcap", metavar="FILE", help=(
            "Write the network card's frames to FILE, stamped with virtual time; - is standard output, as for --json."
        )),
        click.option("--max-insns", metavar="N", help="Stop after N instructions (exit status 123): 1000000, 5M, 2G."),
        click.option("--timeout", type=float, metavar="SECONDS", help=(
            "Stop after this much host time (exit status 124).")),
        idle_ok_option,
        click.option("--ctrl-c", type=click.Choice(("guest", "stop")), default="guest", show_default=True, help=(
            "At a terminal: whether Ctrl-C and Ctrl-Z go to the guest, or stop the run. Ctrl-A x always ends it.")),
        click.option("--no-input", is_flag=True, help="Don't read standard input."),
        click.option("-q", "--quiet", is_flag=True, help="No status line and no report on standard error."),
        click.option("-v", "--verbose", is_flag=True, help="Say more on standard error, such as what was not loaded."),
        click.option("--json", "json_path", metavar="FILE", help=(
            "Write how the run ended, its counts and its digest to FILE; with - (standard output) the guest's console "
            "goes to standard error.")),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


class Console:
    """The guest's console on standard output. Writes whole lines; a partial line when the machine looks for input."""

    def __init__(self, output: host.Output) -> None:
        """Write to ``output``."""
        self.output = output
        self.failed: OSError | None = None
        """Why nothing can be written any more."""
        self._pending = bytearray()
        self.last_byte = NEWLINE

    def write(self, data: bytes) -> None:
        self._pending += data
        if data.endswith(b"\n"):
            self.flush()

    def flush(self) -> None:
        if not self._pending:
            return
        data, self._pending = bytes(self._pending), bytearray()
        if self.failed is not None:
            return
        try:
            written = self.output.write(data)
        except OSError as error:
            self.failed = error
            return
        self._pending = bytearray(data[written:]) + self._pending
        self.last_byte = data[written - 1] if written else self.last_byte

    @property
    def is_at_line_start(self) -> bool:
        """Whether the guest has ended its line."""
        return not self._pending and self.last_byte == NEWLINE

    def end_line(self) -> None:
        """Begin a new line on standard error where the guest left one unfinished."""
        if self.last_byte != NEWLINE:
            say("")

    @contextmanager
    def line_ended_for_errors(self, is_quiet: bool) -> Iterator[None]:
        """Write what there is before an error is told, and but for --quiet give its message a line of its own."""
        try:
            yield
        except MinstretError:
            self.flush()
            if not is_quiet:
                self.end_line()
            raise


class ConsoleSource(host.HostSource):
    """The host's input. Writes out pending console output whenever it is asked for input."""

    def __init__(self, *, console_target: str | None, timeout_ns: int | None, ctrl_c_stops: bool) -> None:
        super().__init__(console_target=console_target, timeout_ns=timeout_ns, ctrl_c_stops=ctrl_c_stops)
        self.console = Console(host.Output(self.signals, lambda: self.deadline_ns))
        self._has_told = False

    def poll(self, wants_input: bool) -> Iterable[Event]:
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


class Figures(NamedTuple):
    """Host time that a run took, ns."""

    wall_ns: int
    user_ns: int

    def mips(self, icount: int) -> float:
        return icount * 1e3 / self.user_ns if self.user_ns else 0.0


class Stopwatch:
    """Measures host time from its creation on."""

    def __init__(self) -> None:
        self._wall_ns, self._user_ns = host.realtime_ns(), host.user_ns()

    def figures(self) -> Figures:
        return Figures(host.realtime_ns() - self._wall_ns, host.user_ns() - self._user_ns)


class HostedRun:
    """A session with this process's terminal and files around it: what the options ask for, and how it ended."""

    def __init__(self, options: dict[str, Any]) -> None:
        """Make the board that ``options`` ask for, and connect it to the host.

        Raises:
            ConfigError: an option is wrong; the text says which.
        """
        self._limit = None if options["max_insns"] is None else units.parse_count(options["max_insns"], "--max-insns")
        timeout = options["timeout"]
        if timeout is not None and not 0 < timeout < 1e9:
            raise ConfigError(f"--timeout: expected a number of seconds above 0, got {timeout:g}")
        self._json_path, self._is_quiet, self._idle_ok = options["json_path"], options["quiet"], options["idle_ok"]
        reads = [*images_read(options), ("--input-script", options["input_script"])]
        check_outputs([*self.written(), ("--json", self._json_path), ("--pcap", options["pcap"])], reads)
        self._counting = options["counting"]
        self._is_verbose = options["verbose"]
        self._file_from_stdin = None if options["no_input"] else input_from_stdin(options)
        claim_stdout({"--json": self._json_path, "--pcap": options["pcap"]})
        if self._json_path is not None:
            check_writable("--json", self._json_path)
        script = _script(options)
        if options["pcap"] is not None and options["net"] == "none":
            raise ConfigError("--pcap: there is no network card; add --net user")
        self.source = ConsoleSource(
            console_target=CONSOLE_TARGET if _has_input(options["no_input"] or self._file_from_stdin) else None,
            timeout_ns=None if timeout is None else int(timeout * units.NS_PER_S),
            ctrl_c_stops=options["ctrl_c"] == "stop",
        )
        self.console = self.source.console
        self.host = host_answers(options)
        setup = make_setup(options, script=script, sleep_by_default=self.source.is_terminal)
        self.session = self.make_session(setup)
        self.board = self.session.board
        for line in self.board.placement.left_out:
            self.say_more(line)
        self.board.semihosting.on_no_files = self._say_no_files
        self._refused_satp: set[int] = set()
        for hart in self.board.harts:
            hart.core.on_refused_satp = self._say_refused_satp
        self._pcap = None if options["pcap"] is None else PcapFile(options["pcap"])
        if self._pcap is not None:
            self.board.on_frame = self._capture
        self.source.on_command = self._obey
        assert self.board.host_side is not None
        self.source.on_keys = self.board.host_side.input.type_bytes

    def written(self) -> tuple[Named, ...]:
        """Files that are written in addition to those of --json and --pcap."""
        return ()

    def make_session(self, setup: Setup) -> Session[Board]:
        """The board and its door; a recording makes another one."""
        return LiveSession(
            lambda door: setup.make(door=door, host=self.host, on_console=self.console.write), self.source
        )

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
            self.say_more(satp_text((mode,)) or "")

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
            self._greet()
            stopwatch = Stopwatch()
            with self._listening():
                outcome = self.session.run(icount=self._limit)
            figures = stopwatch.figures()
            if outcome.reason is StopReason.REACHED:
                outcome = Outcome(StopReason.MAX_INSNS)
            digest = self.session.finish(outcome).digest
            facts_error = self._write_facts(outcome, figures, digest)
        output_error = self.console.failed if outcome.signal != host.HANG_UP else None
        if not self._is_quiet and output_error is None:
            self.console.end_line()
            text = "stopped by Ctrl-A x" if self.source.was_left else None
            show_end(self.board, outcome, figures, digest, self.session.is_repeatable, text=text, idle_ok=self._idle_ok)
        if facts_error is not None:
            raise facts_error
        if output_error is not None:
            raise output_error
        return outcome

    def _write_facts(self, outcome: Outcome, figures: Figures, digest: str) -> ConfigError | None:
        """Write the file of --json; returns the error, so that the report can be shown before it."""
        if self._json_path is not None:
            try:
                write_json(self._json_path, end_facts(self.board, outcome, figures, digest))
            except ConfigError as error:
                return error
        return None

    def _greet(self) -> None:
        """At a terminal, where all keys go to the guest, say how to end the run."""
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


def _script(options: dict[str, Any]) -> list[ScriptLine]:
    """The input that --keys and --input-script ask for."""
    lines: list[ScriptLine] = []
    kinds = options["inputs"].split(",")
    if options["keys"] is not None:
        if KEYBOARD not in kinds:
            raise ConfigError("--keys: there is no keyboard to type on; add --input keyboard")
        lines.append(keys_line(parse_keys(options["keys"], "--keys")))
    if options["input_script"] is not None:
        path = options["input_script"]
        if not options["inputs"]:
            raise ConfigError("--input-script: there is no input device; add --input keyboard,tablet")
        text = _read_text("--input-script", path)
        lines += parse_script(text, path)
    return lines


def _read_text(option: str, path: str) -> str:
    try:
        data = read_script(_SCRIPT_SIZE_MAX) if is_stream(path) else read_file(path, _SCRIPT_SIZE_MAX)
        return data.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{option}: {path}: not a text file") from None
    except ConfigError as error:
        raise ConfigError(f"{option}: {error}") from None


def _has_input(no_input: object) -> bool:
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
    if not os.path.isdir(folder):
        raise ConfigError(f"{option}: can't write {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{option}: can't write {path}: {os.strerror(errno.EACCES)}")


_OUTPUT_LOST = "stopped: the console's output can't be written"


def end_text(board: Board, outcome: Outcome) -> str:
    """How a run ended, in a few words."""
    if outcome.reason is StopReason.FINISHED:
        return f"guest finished with {outcome.exit_code}"
    if outcome.reason in (StopReason.WAITS_FOREVER, StopReason.TRAP_LOOP):
        return headline(board.machine, outcome, board.symbols)
    return {
        StopReason.REACHED: "stopped by --to",
        StopReason.MAX_INSNS: "stopped by --max-insns",
        StopReason.BREAKPOINT: "stopped at a breakpoint",
        StopReason.WATCH: "stopped by a watch",
        StopReason.TIMEOUT: "stopped by --timeout",
        StopReason.INTERRUPTED: "stopped by Ctrl-C",
        StopReason.END_OF_TIME: "virtual time has reached its limit, 292 years after power-on",
        StopReason.TERMINATED: f"stopped by {host.signal_name(outcome.signal)}" if outcome.signal else _OUTPUT_LOST,
    }[outcome.reason]


def show_end(
    board: Board, outcome: Outcome, figures: Figures, digest: str, is_repeatable: bool, from_icount: int = 0,
    text: str | None = None, idle_ok: bool = False,
) -> None:  # fmt: skip
    """Report the end of a run on standard error.

    Args:
        is_repeatable: Whether a second run would be the same, so that it can be repeated to look closer.
        from_icount: Where the run began; for its speed.
        text: How it ended, if the caller knows more than ``outcome`` tells.
        idle_ok: Whether waiting forever is a good end.
    """
    position = board.position
    if outcome.reason is StopReason.TRAP_LOOP:
        is_short = position.icount <= _RETRACE_RUN_MAX[board.hart.counting]
        recent = _retraced(board) if is_repeatable and is_short else ()
        lines = [board.report(outcome, recent), *hint_lines(board)]
    else:
        lines = [printable(line) for line in (text or end_text(board, outcome), *where_lines(board, outcome, idle_ok))]
    for line in lines:
        say(f"minstret: {line}")
    say(
        f"minstret: {position.icount:,} instructions, {position.virtual_ns / 1e9:.6f} s virtual,"
        f" {figures.wall_ns / 1e9:.2f} s host ({figures.mips(position.icount - from_icount):.0f} MIPS),"
        f" digest {digest[:_DIGEST_SHOWN]}"
    )


def _retraced(board: Board) -> Sequence[int]:
    """The last instructions, found by a second board; none if the host has no memory for one."""
    try:
        return board.retrace(_RETRACED_INSNS)
    except (HostError, MemoryError):
        return ()


def now_lines(board: Board) -> list[str]:
    """Where a run is at the moment; of several harts each has a line."""
    position, several = board.position, len(board.harts) > 1
    state = "waits" if all(hart.waiting for hart in board.harts) else "runs"
    pc = board.hart.pc
    name = board.symbols.describe(pc)
    place = "" if several else f" at pc {pc:#x}{f' <{name}>' if name else ''}"
    text = f"the guest {state}{place}, {position.icount:,} instructions, {position.virtual_ns / 1e9:.6f} s virtual"
    return [text, *(harts_text(board.machine, board.symbols) if several else ())]


def where_lines(board: Board, outcome: Outcome, idle_ok: bool = False) -> list[str]:
    """Where the guest was and its last trap, unless it finished by itself; of several harts each has a line."""
    if outcome.reason is StopReason.FINISHED:
        return []
    harts, hints = harts_text(board.machine, board.symbols), hint_lines(board)
    last_trap = last_trap_text(board.hart, board.position.icount, board.symbols)
    if outcome.reason is StopReason.WAITS_FOREVER:  # which has said where
        wants_input = "its input has ended: keep standard input open, or " if board.machine.input_can_wake() else ""
        advice = f"{wants_input}add --idle-ok if this is a good end (status 0)"
        text = "a good end (--idle-ok)" if idle_ok else advice
        return [*harts, text, *hints] if len(harts) > 1 else [f"{text}; {last_trap}", *hints]
    if len(harts) > 1:
        return [*harts, *hints]
    return [f"the guest was at {where_text(board.hart, board.symbols)}; {last_trap}", *hints]


def hint_lines(board: Board) -> list[str]:
    """Why the guest may be stuck: the interrupts it takes most often, and values of satp that were refused."""
    modes = {mode for hart in board.harts if int(hart.env.satp) == 0 for mode in hart.core.refused_satp_modes}
    texts = busiest_text(board.interrupt_counts()), satp_text(modes)
    return [text for text in texts if text is not None]


def end_facts(board: Board, outcome: Outcome, figures: Figures, digest: str) -> dict[str, Any]:
    """The content of the --json file."""
    position = board.position
    facts: dict[str, Any] = {
        "exit_code": outcome.exit_code,
        "stop_reason": outcome.reason.value,
        "icount": position.icount,
        "virtual_ns": position.virtual_ns,
        "digest": digest,
        "uart_sha256": hashlib.sha256(board.console).hexdigest(),
        "wall_s": figures.wall_ns / 1e9,
        "user_s": figures.user_ns / 1e9,
        "mips": round(figures.mips(position.icount), 1),
        "counter": board.hart.counting.value,
        "message": end_text(board, outcome),
    }
    if outcome.reason is not StopReason.FINISHED:
        facts |= where_facts(board.hart, board.symbols)
        facts["interrupts"] = interrupt_facts(board.interrupt_counts())
        refused = {mode for hart in board.harts for mode in hart.core.refused_satp_modes}
        facts["satp_refused"] = [SATP_MODES.get(mode, str(mode)) for mode in sorted(refused)]
    if len(board.harts) > 1:
        facts["hart"] = board.hart.hart_id
        facts["harts"] = harts_facts(board.machine, board.symbols)
    if board.net is not None:
        state = board.net.state
        facts["net"] = {
            "sent": state.sent, "received": state.received, "dropped_no_buffer": state.dropped_no_buffer,
            "dropped_bad_size": state.dropped_bad_size,
        }  # fmt: skip
    return facts


def write_json(path: str, facts: dict[str, Any]) -> None:
    """Write ``facts`` to a file.

    Raises:
        ConfigError: it can't be written.
    """
    try:
        write_output(path, f"{json.dumps(facts, indent=2)}\n".encode())
    except OSError as error:
        raise ConfigError(f"--json: {shown_output(path)}: {error.strerror}") from None
