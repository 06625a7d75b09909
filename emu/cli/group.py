"""The command group, and how errors become one line and an exit status."""

from __future__ import annotations

import errno
import gc
import io
import os
import re
import sys
from importlib import import_module
from itertools import chain

import click

from minstret.emu.cli import INTERRUPTED, exits
from minstret.emu.cli.say import say
from minstret.emu.errors import DivergenceError, MinstretError
from minstret.emu.text import did_you_mean, nearest, printable

_COMMANDS = {
    "Run firmware": {
        "run": "Boot an ELF file, a raw binary or a bundled image",
        "record": "Run firmware and write a trace of the run",
        "replay": "Play a trace back bit for bit",
        "verify": "Run or replay several times: is it the same run each time?",
        "qemu": "Run what a command line of QEMU asks for",
        "demo": "See it work: runs under load, record and replay, next to QEMU",
    },
    "Look into a trace": {
        "info": "Show what was recorded, how it ended, how large it is",
        "log": "List a trace's events and checkpoints in order",
        "timers": "Show what each timer did, and what its attributes saved",
        "why": "Who wrote this last, or read it, and where the last trap came from",
        "diff": "Find the first instruction that two runs do not share",
        "insns": "Show what ran: instructions, what they wrote, calls",
        "debug": "Walk about in a trace with gdb, forwards and backwards",
        "profile": "Count what was executed: by function, line or instruction",
        "report": "Show a run on one page of HTML: a timeline, its console",
        "export": "Write what happened for Wireshark, Perfetto, GTKWave, asciinema",
    },
    "Look at the board and the installation": {
        "dtb": "Write the device tree that the guest would get",
        "doctor": "Check the installation: packages, tools, C code",
        "completion": "Print a script for completion in bash, zsh or fish",
    },
}
_MODULES = {"info": "inspect", "log": "inspect", "timers": "inspect"}
"""The module of a command, if it is not called like the command."""


def _overview() -> str:
    sections = []
    for title, commands in _COMMANDS.items():
        rows = (f"  {name:<10} {text}" for name, text in commands.items())
        sections.append("\n".join((f"{title}:", *rows)))
    return "\n\n".join((
        "minstret runs RISC-V firmware deterministically: the instruction count is the only clock,\n"
        "so two runs of the same input are the same run, instruction for instruction.",
        *sections,
        "Try: minstret demo          Help on one command: minstret run --help",
    ))  # fmt: skip


class LazyGroup(click.Group):
    """Knows its commands by name and short text; a command's module is imported when it is called."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        for commands in _COMMANDS.values():
            for name, text in commands.items():
                self.add_command(click.Command(name, short_help=text))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not ctx.resilient_parsing and args[0] not in self.commands and not args[0].startswith("-"):
            raise click.UsageError(f"No such command {args[0]!r}{_meant_instead(args[0])}", ctx)
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and command is not None:
            command = load_command(name)
        if not gc.isenabled():  # main has disabled it
            gc.freeze()
            gc.enable()
        return name, command, rest


def load_command(name: str) -> click.Command:
    """The command of that name, imported."""
    command = getattr(import_module(f"minstret.emu.cli.{_MODULES.get(name, name)}"), name)
    assert isinstance(command, click.Command)
    return command


def _meant_instead(name: str) -> str:
    """A suggestion for an unknown command: one with a similar name, or ``run`` if it is a file or an image."""
    from minstret.emu.cli.invocation import invocation
    from minstret.firmware import IMAGES

    if name == "help":  # other tools have such a command; the message ends with --help anyway
        return ""
    if os.path.isfile(name):
        return f"; did you mean {invocation()} run {name}?"
    if commands := did_you_mean(name, (command for commands in _COMMANDS.values() for command in commands)):
        return commands
    images = nearest(name.removesuffix("-rv32"), IMAGES)
    return f"; did you mean {invocation()} run {images[0]}?" if images else ""


@click.group(
    cls=LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]},
    epilog=exits.HELP,
)  # fmt: skip
@click.option("--version", is_flag=True, help="Show versions, and whether the C callbacks are in use.")
@click.pass_context
def cli(context: click.Context, version: bool) -> None:
    """A deterministic RISC-V board."""
    if version:
        from minstret.emu.cli.version import version_text

        click.echo(version_text())
    elif context.invoked_subcommand is None:
        click.echo(_as_called(_overview()))


def run_command(arguments: list[str] | None) -> int:
    """Run the command; its exit status. KeyboardInterrupt goes on to the caller."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name may have characters that the terminal can't show
    try:
        if "_MINSTRET_COMPLETE" in os.environ:
            from minstret.emu.cli.completion import obey

            return obey(os.environ["_MINSTRET_COMPLETE"])
        result = cli.main(args=arguments, prog_name="minstret", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.NoSuchOption as error:
        return _fail(_with_help(_of_the_board(error) or error.format_message().rstrip("."), error.ctx))
    except click.UsageError as error:
        return _fail(_with_help(error.format_message().rstrip("."), error.ctx))
    except click.ClickException as error:
        return _fail(error.format_message())
    except DivergenceError as error:
        _fail(str(error))
        return exits.Exit.DIVERGED
    except MinstretError as error:
        return _fail(str(error))
    except MemoryError:
        return _fail("not enough memory on this host; try a smaller --memory")
    except (BrokenPipeError, SystemExit):  # the reader is gone; click raises SystemExit then
        sys.stdout = None  # don't fail again at exit
        return exits.Exit.OURS
    except OSError as error:
        sys.stdout = None
        return _fail(_refused(error))
    except click.Abort:  # click's word for KeyboardInterrupt
        return INTERRUPTED


def _of_the_board(error: click.NoSuchOption) -> str | None:
    """What to say where a replay is given an option that describes a board; None of others."""
    if error.ctx is None or error.ctx.info_name != "replay":
        return None
    of_board = {option for parameter in load_command("dtb").params for option in parameter.opts}
    if error.option_name not in of_board - {"-o", "--output"}:
        return None
    return f"{error.option_name}: a replay takes its board from the trace; leave it out"


def _refused(error: OSError) -> str:
    """A message for an error of the operating system. Errors in opening the user's files are reported elsewhere."""
    reason = error.strerror or str(error)
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"no file descriptors are left here ({reason}); see ulimit -n"
    if error.errno == errno.ENOMEM:
        return f"not enough memory on this host ({reason}); see ulimit -v"
    return f"{error.filename}: {reason}" if error.filename is not None else f"can't write standard output: {reason}"


_PLAIN = {
    "is not a valid integer range": "is not a whole number", "is not a valid integer": "is not a whole number",
    "is not a valid float": "is not a number",
}  # fmt: skip
"""click's words, and plainer ones."""


def _with_help(message: str, context: click.Context | None) -> str:
    """A message in one line, with the --help command to look at."""
    message = " ".join(message.split())
    for words, plain in _PLAIN.items():
        message = message.replace(words, plain)
    if context is None:
        return message
    from minstret.emu.cli.invocation import invocation

    see = f"ee {' '.join((invocation(), *context.command_path.split()[1:]))} --help"
    return f"{message} S{see}" if message.endswith(("?", "?)")) else f"{message}; s{see}"


_MESSAGE_MAX = 2000
"""Characters: a line that quotes a file may be as long as that."""


_COMMAND_TO_TYPE = re.compile(rf"(?:(?<=[:;] )|(?<=`))minstret (?=(?:{'|'.join(chain(*_COMMANDS.values()))})\b)")


def _as_called(text: str) -> str:
    """Replace ``minstret`` in suggested commands by what can be typed in the user's current folder."""
    if _COMMAND_TO_TYPE.search(text) is None:
        return text
    from minstret.emu.cli.invocation import invocation

    command = f"{invocation()} "
    return _COMMAND_TO_TYPE.sub(lambda _: command, text)


def _fail(message: str) -> int:
    streams = sys.modules.get("minstret.emu.cli.streams")  # if it was not imported, no name needs replacing
    message = message if streams is None else streams.as_given(message)
    say(f"minstret: {printable(_as_called(message), _MESSAGE_MAX)}")
    return exits.Exit.OURS
