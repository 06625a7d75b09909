"""The command group, and how errors become one line and an exit status."""

from __future__ import annotations

import sys

import click

from minstret.emu.cli import exits
from minstret.emu.cli.demo import demo
from minstret.emu.cli.doctor import doctor, version_text
from minstret.emu.cli.dtb import dtb
from minstret.emu.cli.inspect import info, log, timers
from minstret.emu.cli.record import record
from minstret.emu.cli.replay import replay
from minstret.emu.cli.run import run
from minstret.emu.cli.verify import verify
from minstret.emu.errors import DivergenceError, MinstretError

_OVERVIEW = """\
minstret runs RISC-V firmware deterministically: the instruction count is the only clock,
so two runs of the same input are the same run, instruction for instruction.

Run firmware:
  run     Boot an ELF file or a raw binary
  record  The same, and write a trace of it
  replay  Play a trace back bit for bit
  verify  Do it several times: is it the same run each time?
  demo    The same run under load, a recording and its replay, beside QEMU

Look into a trace:
  info    What it is of, how it ended, how large it is
  log     What is in it, in order
  timers  What each timer did, and what its attributes spared

Look at the board and the installation:
  dtb     Write the device tree that the guest would get
  doctor  Say what minstret found here

Try: minstret demo          Help on one command: minstret run --help"""


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}, epilog=exits.HELP)
@click.option("--version", is_flag=True, help="Show versions and the counter in use.")
@click.pass_context
def cli(context: click.Context, version: bool) -> None:
    """A deterministic RISC-V board."""
    if version:
        click.echo(version_text())
    elif context.invoked_subcommand is None:
        click.echo(_OVERVIEW)


for _command in (run, record, replay, verify, info, log, timers, demo, dtb, doctor):
    cli.add_command(_command)


def _run(arguments: list[str] | None) -> int:
    try:
        result = cli.main(args=arguments, prog_name="minstret", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.UsageError as error:
        where = f"; see {error.ctx.command_path} --help" if error.ctx is not None else ""
        return _fail(f"{error.format_message().rstrip('.')}{where}")
    except click.ClickException as error:
        return _fail(error.format_message())
    except DivergenceError as error:
        _fail(str(error))
        return exits.Exit.DIVERGED
    except MinstretError as error:
        return _fail(str(error))
    except MemoryError:
        return _fail("not enough memory on this host; try a smaller --memory")
    except (BrokenPipeError, SystemExit):  # nobody reads on; click ends with the latter
        sys.stdout = None  # don't fail again at exit
        return exits.Exit.OURS
    except OSError as error:
        sys.stdout = None
        return _fail(f"can't write standard output: {error.strerror or error}")
    except (KeyboardInterrupt, click.Abort):
        return exits.Exit.INTERRUPTED


def _fail(message: str) -> int:
    click.echo(f"minstret: {message}", err=True)
    return exits.Exit.OURS


def main(arguments: list[str] | None = None) -> None:
    """Entry point: run the command and exit with its status."""
    sys.exit(_run(arguments))
