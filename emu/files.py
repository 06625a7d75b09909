"""Reads the user's files: regular files only, and their size is checked before a byte is read."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from pathlib import Path

from minstret.emu.errors import ConfigError
from minstret.emu.units import GIB, KIB, MIB

_KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}  # fmt: skip
_PIECE_SIZE = 64 * KIB

Check = Callable[[int, bytes], None]
"""Gets a file's size and its first bytes, and raises ConfigError if the file must not be read."""

HEAD_SIZE = 512
"""How many of a file's first bytes a check gets."""


def read_file(path: str | Path, size_max: int, check: Check = lambda size, head: None) -> bytes:
    """The content of a regular file.

    Other files are refused: a pipe without a writer would block, a device such as /dev/zero has no end.

    Args:
        path: The file.
        size_max: Bytes. A larger file is refused before any of it is read.
        check: Called before the file is read.
    Raises:
        ConfigError: it can't be read, is not a regular file, or is too large; the text begins with ``path``.
    """
    name = str(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            size = _regular_size(descriptor, name, size_max)
            check(size, os.pread(descriptor, HEAD_SIZE, 0))
            with io.FileIO(descriptor, closefd=False) as file:
                return _read(file, name, size, size_max)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"{name}: {reason}") from None


def _regular_size(descriptor: int, name: str, size_max: int) -> int:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "not a regular file")
        hint = ", or - for standard input" if stat.S_ISFIFO(status.st_mode) else ""
        raise ConfigError(f"{name}: is {kind}; give a file{hint}")
    _check_size(name, status.st_size, size_max)
    return status.st_size


def _read(file: io.FileIO, name: str, size: int, size_max: int) -> bytes:
    data = file.read(size) or b""
    if len(data) < size or not size:  # a large file may take several reads; files in /proc have size 0
        content = bytearray(data)
        while piece := file.read(_PIECE_SIZE):
            content += piece
            _check_size(name, len(content), size_max)
        data = bytes(content)
    return data


def _check_size(name: str, size: int, size_max: int) -> None:
    if size > size_max:
        raise ConfigError(f"{name}: larger than {size_text(size_max)}, the limit for such a file")


def size_text(size: int) -> str:
    """A size in words: ``1 GiB``, ``1.5 MiB``, ``64 KiB``, ``17 bytes``."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}".replace(".0 ", " ")
    return f"{size} bytes"
