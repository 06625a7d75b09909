"""How the tools end: an error is one line, the status is 125 for bad input and 130 for Ctrl-C."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from minstret.emu.errors import MinstretError

TROUBLE, INTERRUPTED = 125, 130


def run(command: click.Command, name: str) -> NoReturn:
    """Run the command line of a tool called ``name``."""
    arguments = sys.argv[1:] or (["--help"] if isinstance(command, click.Group) else [])
    try:
        result = command.main(arguments, prog_name=name, standalone_mode=False)
        status = result if isinstance(result, int) else 0
    except click.UsageError as error:
        where = "" if error.ctx is None else f"; see {error.ctx.command_path} --help"
        status = _fail(name, f"{error.format_message().rstrip('.')}{where}")
    except click.ClickException as error:
        status = _fail(name, error.format_message())
    except MinstretError as error:
        status = _fail(name, str(error))
    except BrokenPipeError:  # the reader is gone
        sys.stdout = None
        status = TROUBLE
    except OSError as error:
        what = error.filename if error.filename is not None else "can't go on"
        status = _fail(name, f"{what}: {error.strerror or error}")
    except (KeyboardInterrupt, click.Abort):  # the latter is click's word for it
        _fail(name, "interrupted")
        status = INTERRUPTED
    sys.exit(status)


def _fail(name: str, message: str) -> int:
    click.echo(f"{name}: {' '.join(message.split())}", err=True)
    return TROUBLE


def writable(context: click.Context, parameter: click.Parameter, path: str | None) -> str | None:
    """Callback for an option that names an output file: checks before the work that it can be written."""
    if path == "-":
        raise click.BadParameter("standard output has the table already; give a file")
    folder = os.path.dirname(path or "") or "."
    if path is not None and (os.path.isdir(path) or not os.access(path if os.path.exists(path) else folder, os.W_OK)):
        raise click.BadParameter(f"can't write {path}")
    return path
