"""``minstret qemu``: runs what a command line of QEMU asks for, and puts commands of QEMU's names into a folder."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import click

from minstret.emu.cli import exits
from minstret.emu.cli.group import load_command
from minstret.emu.cli.invocation import invocation
from minstret.emu.cli.qemuargs import Answer, QemuArgs, parse_qemu
from minstret.emu.cli.qemuhost import QemuSource
from minstret.emu.cli.qemumonitor import qemu_version_text
from minstret.emu.cli.record import HostedRecording
from minstret.emu.cli.say import say
from minstret.emu.cli.session import ConsoleSource, HostedRun
from minstret.emu.door.recording import RecordOptions
from minstret.emu.errors import ConfigError, MinstretError, Terminated
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.text import printable
from minstret.emu.trace.format import SUFFIX

RECORD_VARIABLE = "MINSTRET_QEMU_RECORD"
"""Names a folder: each run leaves a trace there."""
_MESSAGE_MAX = 2000
_FAILED = 1
"""The status for what QEMU refuses with status 1 as well."""
_GOOD_ENDS = (StopReason.FINISHED, StopReason.INTERRUPTED, StopReason.TERMINATED)
_ENDED_BY = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals with which QEMU ends with status 0."""
_WIDTHS = {"qemu-system-riscv64": 64, "qemu-system-riscv32": 32}
_MARK = "# Made by minstret qemu --install."

_HELP = """\b
In place of QEMU:
  minstret qemu -- -machine virt -nographic -bios none -kernel zephyr.elf
  minstret qemu --install ~/minstret-qemu; export QEMU_BIN_PATH=~/minstret-qemu
                                            for Zephyr: west build -t run, twister
  minstret qemu --show -- -M virt -smp 2 -m 1G -kernel Image -nographic
                                            the same, as options of minstret run
  MINSTRET_QEMU_RECORD=traces twister -p qemu_riscv64 ...
                                            a trace of each run, in the folder traces
                                            of where the run is started

\b
What is understood, as QEMU 7.2 has it; one or two dashes:
  -machine virt, -cpu, -smp, -m, -bios none|default|FILE, -kernel, -initrd,
  -append, -icount shift=,sleep=, -rtc, -seed, -nographic, -display none,
  -serial and -monitor stdio|mon:stdio|pty|pipe:|file:|tcp:|unix:|null|chardev:,
  -chardev stdio|pty|pipe|file|socket|null, -mon, -qmp, -pidfile, -netdev user,
  -nic user|none, -net, -device virtio-{net,rng,keyboard,tablet}-device|loader,
  -object rng-random|rng-builtin, -semihosting, -semihosting-config, -gdb, -s, -S,
  -no-reboot, -d int,guest_errors,unimp,in_asm,exec, -D, -version, and options
  that make no difference here.
Anything else is refused by name, with status 1.

\b
What is different from QEMU:
  Time follows the instruction count, as with QEMU's -icount shift=1. A guest that
  waits does so in real time (sleep=on) while input may come.
  The date at power-on is always the same, unless -rtc base= or clock=host is given.
  -monitor knows help, info registers|status|cpus|version, system_reset and quit.
  Servers listen at 127.0.0.1, unless --allow-remote is given.

\b
Exit status:
  the guest's own, as QEMU gives it: sifive_test's or semihosting's code
  0      ended by Ctrl-A x, by a monitor's quit, by SIGTERM, SIGINT or SIGHUP
  1      an option is refused, or a file can't be used
  120    the guest waits forever, and no input can come any more (QEMU would hang)
  121    the guest crashed: it is in a trap loop (QEMU would hang)"""


class _Command(click.Command):
    """Takes options of QEMU also where no ``--`` is before them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        takes_value = {name: not getattr(each, "is_flag", False) for each in self.get_params(ctx) for name in each.opts}
        own = 0
        while own < len(args) and (name := args[own].partition("=")[0]) in takes_value:
            own += 2 if takes_value[name] and name == args[own] else 1
        separator = [] if args[own : own + 1] == ["--"] else ["--"]
        return super().parse_args(ctx, [*args[:own], *separator, *args[own:]])


@click.command(cls=_Command, epilog=_HELP)
@click.option("--install", metavar="DIR", help=(
    "Put qemu-system-riscv64 and qemu-system-riscv32 into the folder DIR: short scripts that call this "
    "command."))  # fmt: skip
@click.option("-f", "--force", is_flag=True, help="With --install: replace files of that name that are not ours.")
@click.option("--record", metavar="FILE", help=(
    f"Record the run into this trace. {RECORD_VARIABLE}=DIR does so for each run, with a name of its own in "
    "DIR, which is made if need be. A relative path is below the folder in which the run is started; some tools start "
    "each in another one."))  # fmt: skip
@click.option("--show", is_flag=True, help="Print the command line for minstret run that does the same, and end.")
@click.option("--allow-remote", is_flag=True, help=(
    "Servers may listen at addresses that other machines can reach. There is no password."))  # fmt: skip
@click.option("--called", type=click.Choice(sorted(_WIDTHS)), hidden=True)
@click.argument("arguments", metavar="-- ARGS...", nargs=-1, type=click.UNPROCESSED)
def qemu(
    install: str | None, force: bool, record: str | None, show: bool, allow_remote: bool, called: str | None,
    arguments: tuple[str, ...],
) -> int:  # fmt: skip
    """Run what a command line of qemu-system-riscv64 or -riscv32 asks for; ARGS is that line without the command."""
    if install is not None:
        return _install(Path(install), force)
    if not arguments:
        raise click.UsageError("give a command line of QEMU's behind --, or --install DIR", click.get_current_context())
    try:
        wanted = parse_qemu(arguments, None if called is None else _WIDTHS[called])
        if wanted.answer is not None:
            return _answer(wanted.answer)
        if show:
            click.echo(shlex.join(["minstret", "run", *wanted.words]))
            return 0
        trace = record or wanted.record or _trace_in_folder(arguments)
        return _run(wanted, trace, allow_remote)
    except Terminated as error:  # before the run, or behind it
        if error.number not in _ENDED_BY:
            raise
        return 0
    except click.ClickException as error:
        return _fail(error.format_message().rstrip("."))
    except MinstretError as error:
        return _fail(str(error))


_OUR_OPTION = re.compile(
    r"(?<![^\s'])--(memory|load|kernel|bios|initrd|append|icount|rtc|smp|cpu|net|gdb|seed|semihosting)\b"
)
_THEIRS = {"memory": "-m", "load": "-device loader"}


def _fail(message: str) -> int:
    """Tell an error, with options by QEMU's names."""
    message = _OUR_OPTION.sub(lambda found: _THEIRS.get(found[1], f"-{found[1]}"), " ".join(message.split()))
    say(f"minstret: {printable(message, _MESSAGE_MAX)}")
    return _FAILED


def _answer(answer: Answer | str) -> int:
    if answer is Answer.VERSION:
        answer = qemu_version_text()
    elif answer is Answer.HELP:
        answer = f"{qemu_version_text()}\n\n{click.get_current_context().get_help()}"
    click.echo(answer)
    return 0


# ---- the run


class _AsQemu(HostedRun):
    """What is different in a run that was started as QEMU is."""

    wanted: QemuArgs
    allows_others: bool

    def make_source(self, options: dict[str, Any], timeout_ns: int | None) -> ConsoleSource:
        wanted = self.wanted
        self.qemu = QemuSource(wanted.serial, wanted.monitors, timeout_ns=timeout_ns, allows_others=self.allows_others)
        click.get_current_context().call_on_close(self.qemu.close)
        for label, terminal in self.qemu.terminals:
            click.echo(f"char device redirected to {terminal} (label {label})")  # tools read it
        return self.qemu

    @property
    def sleeps_by_default(self) -> bool:
        return self.qemu.may_be_typed_to

    def say(self, text: str) -> None:
        """What is said though QEMU would say nothing: where gdb may connect."""
        _tell(text)

    def begin(self) -> None:
        """QEMU does not."""

    @property
    def idle_ok(self) -> bool | None:
        """QEMU has no such option."""
        return None

    def tells_end(self, outcome: Outcome) -> bool:
        return outcome.reason not in _GOOD_ENDS

    def _run_to_the_end(self) -> Outcome:
        self.qemu.board = self.board
        self.qemu.wait_for_clients(_tell)
        while True:
            outcome = super()._run_to_the_end()
            if outcome.reason is not StopReason.WAITS_FOREVER or self._gdb is not None or not self.source.is_open:
                return outcome
            self.source.wait(None)  # QEMU would not end here either, and somebody may reset the board or end the run


class QemuRun(_AsQemu):
    """A run as QEMU's."""

    def __init__(self, options: dict[str, Any], wanted: QemuArgs, allows_others: bool) -> None:
        self.wanted, self.allows_others = wanted, allows_others
        super().__init__(options)


class QemuRecording(_AsQemu, HostedRecording):
    """The same, recorded."""

    def __init__(self, options: dict[str, Any], wanted: QemuArgs, allows_others: bool, path: str) -> None:
        self.wanted, self.allows_others = wanted, allows_others
        HostedRecording.__init__(self, options, path, False, RecordOptions())


def _tell(text: str) -> None:
    say(f"minstret: {printable(text)}")


def _run(wanted: QemuArgs, trace: str | None, allows_others: bool) -> int:
    for note in wanted.notes:
        _tell(note)
    more = (
        ["--allow-remote"] if allows_others and any(word.startswith(("-s", "--gdb")) for word in wanted.words) else []
    )
    run = load_command("run").make_context("run", [*wanted.words, "--quiet", *more])
    hosted = (
        QemuRun(run.params, wanted, allows_others) if trace is None
        else QemuRecording(run.params, wanted, allows_others, trace)
    )  # fmt: skip
    with _pidfile(wanted.pidfile), hosted.session:
        outcome = hosted.run()
    _tell_where_to_look(outcome, trace)
    return _status(outcome)


def _tell_where_to_look(outcome: Outcome, trace: str | None) -> None:
    if trace is not None:
        _tell(f"recorded {trace}; to replay it: {invocation()} replay {shlex.quote(trace)}")
    elif outcome.reason not in _GOOD_ENDS:
        _tell(f"to look at it: run it again with {RECORD_VARIABLE}=DIR set, for a trace in the folder DIR")


def _status(outcome: Outcome) -> int:
    """QEMU's status for an end; our own where it would not end."""
    if outcome.reason is StopReason.FINISHED:
        code = outcome.exit_code or 0
        return code & 0xFF or int(code != 0)
    if outcome.reason is StopReason.INTERRUPTED or outcome.signal in _ENDED_BY:
        return 0
    status = exits.exit_status(outcome)
    return _FAILED if status == exits.Exit.OURS else status


@contextmanager
def _pidfile(path: str | None) -> Iterator[None]:
    """The process's id in a file meanwhile."""
    if path is None:
        yield
        return
    try:
        Path(path).write_text(f"{os.getpid()}\n")
    except OSError as error:
        raise ConfigError(f"-pidfile {path}: {error.strerror}") from None
    try:
        yield
    finally:
        if os.path.isfile(path) and not os.path.islink(path):  # as root one could remove a device
            with suppress(OSError):
                os.unlink(path)


def _trace_in_folder(arguments: Sequence[str]) -> str | None:
    """Where the environment wants this run's trace; its name is that of what boots, and new."""
    folder = os.environ.get(RECORD_VARIABLE)
    if not folder:
        return None
    try:
        os.makedirs(folder, exist_ok=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{RECORD_VARIABLE}={folder}: {getattr(error, 'strerror', None) or error}") from None
    boots = [after for before, after in pairwise(arguments) if before.lstrip("-") in ("kernel", "bios")]
    stem = Path(boots[-1]).stem if boots else "qemu"
    names = (os.path.join(folder, f"{stem}-{os.getpid()}-{number}{SUFFIX}") for number in count(1))
    return next(name for name in names if not os.path.lexists(name))


# ---- commands of QEMU's names


def _install(folder: Path, force: bool) -> int:
    """Write the scripts, and say so."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in _WIDTHS:
            _check_ours(folder / name, force)
        for name in _WIDTHS:
            _write_script(folder / name, name)
    except OSError as error:
        raise ConfigError(f"--install: {error.filename}: {error.strerror}") from None
    where = shlex.quote(str(folder.resolve()))
    click.echo(f"wrote {' and '.join(_WIDTHS)} to {where}")
    click.echo(f"for Zephyr: export QEMU_BIN_PATH={where}")
    click.echo(f"for others: export PATH={where}:$PATH")
    return 0


def _check_ours(path: Path, force: bool) -> None:
    if os.path.lexists(path) and not force and (not path.is_file() or _MARK.encode() not in path.read_bytes()[:200]):
        raise ConfigError(f"--install: {path} is there and is not ours; --force replaces it")


def _write_script(path: Path, name: str) -> None:
    command = shlex.join([sys.executable, "-P", "-m", "minstret", "qemu", "--called", name])
    new = path.with_name(f".{name}.{os.getpid()}")
    new.write_text(f'#!/bin/sh\n{_MARK}\nexec {command} -- "$@"\n')
    new.chmod(0o755)
    new.replace(path)
