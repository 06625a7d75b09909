"""``-`` as a file name: standard input or standard output.

If a file is read from standard input, the guest's console has no input; if one is written to standard output, the
console goes to standard error. A file that is called ``-`` can be given as ``./-``.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, BinaryIO

import click

from minstret.emu import units
from minstret.emu.cli.suggestions import file_or
from minstret.emu.errors import ConfigError
from minstret.emu.files import HEAD_SIZE
from minstret.emu.images.loader import IMAGE_SIZE_MAX, ImageFile, check_size
from minstret.emu.images.loader import read_image as read_image_file

STREAM = "-"
TRACE_SUFFIX = ".mst"
STDIN_NAME, STDOUT_NAME = "standard input", "standard output"
TRACE_SIZE_MAX = units.GIB
_PIECE_SIZE = 1 << 20
_STDOUT, _STDERR = 1, 2
_INPUTS = {"firmware": "FIRMWARE", "bios": "--bios", "kernel": "--kernel", "initrd": "--initrd",
           "loads": "--load", "input_script": "--input-script"}  # fmt: skip

_copy: str | None = None
"""The file that standard input was copied to."""
_stdout_fd: int | None = None
"""The real standard output, while the console goes to standard error."""


# ---- input


def input_from_stdin(options: dict[str, Any]) -> str | None:
    """The option (or FIRMWARE) whose file comes from standard input; None if there is none.

    Raises:
        ConfigError: there are several.
    """
    found = [
        shown for name, shown in _INPUTS.items() for each in _each(options.get(name)) if is_stream(each.split("@")[0])
    ]
    if len(found) > 1:
        raise ConfigError(f"{' and '.join(found)}: only one file can come from {STDIN_NAME}")
    return found[0] if found else None


def _each(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else () if value is None else (value,)


def is_stream(name: str | Path) -> bool:
    """Whether it is the ``-`` that a user has typed. ``Path("-")`` is a file."""
    return isinstance(name, str) and name == STREAM


def read_image(path: str | Path, ram_size: int = IMAGE_SIZE_MAX) -> ImageFile:
    """Read a file to boot from.

    Args:
        path: The file.
        ram_size: Bytes. A larger file is refused, unless it is an ELF file.
    Raises:
        ConfigError: it can't be read, or is too large.
    """
    if not is_stream(path):
        return read_image_file(path, ram_size)
    data = bytearray()
    for piece in _stdin_pieces(IMAGE_SIZE_MAX):
        data += piece
        check_size(STDIN_NAME, len(data), bytes(data[:HEAD_SIZE]), ram_size)
    return ImageFile(STDIN_NAME, bytes(data))


def read_script(size_max: int) -> bytes:
    """A script of at most ``size_max`` bytes from standard input.

    Raises:
        ConfigError: it can't be read.
    """
    return b"".join(_stdin_pieces(size_max))


def _stdin_pieces(size_max: int) -> Iterator[bytes]:
    """Standard input to its end, piece by piece.

    Raises:
        ConfigError: it is closed, it is not a file or a pipe, or it has more than ``size_max`` bytes.
    """
    size = 0
    try:
        descriptor = sys.stdin.fileno()
        _check_kind(descriptor)
        while piece := os.read(descriptor, _PIECE_SIZE):
            size += len(piece)
            if size > size_max:
                raise ConfigError(f"{STDIN_NAME}: more than {size_max // units.MIB} MiB; give the file's name instead")
            yield piece
    except (AttributeError, ValueError):  # None or closed
        raise ConfigError(f"{STDIN_NAME} is closed: give a file's name") from None
    except OSError as error:
        raise ConfigError(f"{STDIN_NAME}: {error.strerror}") from None


def _check_kind(descriptor: int) -> None:
    if os.isatty(descriptor):
        raise ConfigError(f"{STDIN_NAME} is a terminal: give a file's name, or pipe a file into it")
    if stat.S_ISCHR(os.fstat(descriptor).st_mode) and not os.path.samestat(os.fstat(descriptor), os.stat(os.devnull)):
        raise ConfigError(f"{STDIN_NAME} is a device: give a file's name, or pipe a file into it")


@contextmanager
def stdin_as_file(size_max: int) -> Iterator[str]:
    """The path of a temporary file with the content of standard input.

    Raises:
        ConfigError: it can't be read, or is too large; see ``_stdin_pieces``.
    """
    global _copy
    import tempfile  # imported here: it takes a while

    with tempfile.TemporaryDirectory(prefix="minstret-") as folder:
        _copy = os.path.join(folder, "stdin")
        with open(_copy, "wb", buffering=0) as file:
            for piece in _stdin_pieces(size_max):
                try:
                    _write_all(file, piece)
                except OSError as error:
                    raise ConfigError(f"{STDIN_NAME}: can't copy it to {folder}: {error.strerror}") from None
        yield _copy


def as_given(text: str) -> str:
    """A message with file names as the user gave them: ``-`` instead of the copy of standard input."""
    return text if _copy is None else text.replace(_copy, STREAM)


def came_from_stdin(path: str) -> bool:
    """Whether the file is the copy of standard input."""
    return path == _copy


@contextmanager
def trace_to_read(trace: str) -> Iterator[str]:
    """The path of a trace that a user has named: ``-`` is read from standard input.

    Raises:
        ConfigError: there is none, or standard input can't be read.
    """
    if is_stream(trace):
        with stdin_as_file(TRACE_SIZE_MAX) as copy:
            yield copy
        return
    if not os.path.lexists(trace):
        raise ConfigError(f"{trace}: {os.strerror(errno.ENOENT)}{file_or(trace, (), TRACE_SUFFIX)}")
    yield trace


def reads_trace(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator for a command with the argument ``trace``: ``-`` is read from standard input."""

    @wraps(function)
    def command(trace: str, **options: Any) -> Any:
        with trace_to_read(trace) as path:
            return function(trace=path, **options)

    return command


@contextmanager
def inputs_to_repeat(options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The options with standard input, which can be read only once, replaced by a copy in a file."""
    if input_from_stdin(options) is None:
        yield options
        return
    with stdin_as_file(IMAGE_SIZE_MAX) as copy:
        yield options | {name: _with_copy(options[name], copy) for name in _INPUTS if options.get(name) is not None}


def _with_copy(value: str | tuple[str, ...], copy: str) -> str | tuple[str, ...]:
    if isinstance(value, tuple):
        return tuple(str(_with_copy(each, copy)) for each in value)
    name, at, address = value.partition("@")
    return copy + at + address if is_stream(name) else value


# ---- output


def claim_stdout(paths: dict[str, str | None]) -> None:
    """If one of ``paths`` (by option) is ``-``, reserve standard output for it until the command ends.

    Everything else that is written to standard output then goes to standard error.

    Raises:
        ConfigError: several paths are ``-``, or standard output is closed.
    """
    global _stdout_fd
    found = [option for option, path in paths.items() if path == STREAM]
    if not found:
        return
    if len(found) > 1:
        raise ConfigError(f"{' and '.join(found)}: only one of them can go to {STDOUT_NAME}")
    if sys.stdout is not None:
        sys.stdout.flush()
    try:
        _stdout_fd = fcntl.fcntl(_STDOUT, fcntl.F_DUPFD_CLOEXEC, _STDERR + 1)
    except OSError:
        raise ConfigError(f"{found[0]}: {STDOUT_NAME} is closed") from None
    try:
        os.dup2(_STDERR, _STDOUT)
    except OSError:  # standard error is closed, so the console is not shown
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, _STDOUT)
        os.close(null)
    click.get_current_context().call_on_close(_release_stdout)


def _release_stdout() -> None:
    global _stdout_fd
    if _stdout_fd is not None:
        if sys.stdout is not None:
            sys.stdout.flush()
        os.dup2(_stdout_fd, _STDOUT)
        os.close(_stdout_fd)
        _stdout_fd = None


def open_output(path: str) -> BinaryIO:
    """Open an output file, unbuffered. For ``-``, call ``claim_stdout`` before.

    Raises:
        OSError: it can't be opened.
    """
    if path == STREAM:
        return os.fdopen(os.dup(_STDOUT if _stdout_fd is None else _stdout_fd), "wb", buffering=0)
    return open(path, "wb", buffering=0)


def shown_output(path: str) -> str:
    """The name of an output file in messages."""
    return STDOUT_NAME if path == STREAM else path


def write_output(path: str, data: bytes) -> None:
    """Write a whole output file.

    Raises:
        OSError: it can't be written.
    """
    with closing(open_output(path)) as file:
        _write_all(file, data)


def _write_all(file: BinaryIO, data: bytes) -> None:
    while data:
        data = data[file.write(data) :]
