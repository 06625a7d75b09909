"""An output file that appears at its path when it is whole; until then what was there before stays."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from minstret.emu.cli.streams import STREAM, open_output, shown_output
from minstret.emu.errors import ConfigError
from minstret.emu.text import printable

_BUFFER_SIZE = 1 << 16


@contextmanager
def whole_file(option: str, path: str) -> Iterator[BinaryIO]:
    """Open an output file. It appears when the context is left without an error, and is gone else.

    Standard output (``-``; see ``claim_stdout``), pipes and devices are written as it goes.

    Args:
        option: Where ``path`` comes from, for messages.
        path: The file.
    Raises:
        ConfigError: it can't be written.
        BrokenPipeError: nobody reads standard output any more.
    """
    target = os.path.realpath(path)
    is_direct = path == STREAM or _is_special(target)
    try:
        if is_direct:
            with io.BufferedWriter(_raw(path), _BUFFER_SIZE) as file:
                yield file
        else:
            with _replaced(target) as file:
                yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ConfigError(f"{option}: can't write {printable(shown_output(path))}: {error.strerror or error}") from None


def _is_special(path: str) -> bool:
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def _raw(path: str) -> io.RawIOBase:
    raw = open_output(path)
    assert isinstance(raw, io.RawIOBase)
    return raw


@contextmanager
def _replaced(path: str) -> Iterator[BinaryIO]:
    """A file beside ``path`` that takes its place at the end."""
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise PermissionError(0, "it is read-only")
    folder, name = os.path.split(path)
    new = os.path.join(folder, f".{name[:64]}.{os.getpid()}.new")
    file = os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666), "wb", _BUFFER_SIZE)
    try:
        with file:
            yield file
        os.replace(new, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(new)
        raise
