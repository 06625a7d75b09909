"""Read and write access to the host's files below one folder. No name leads out of that folder.

Each folder in a name is opened relative to the one before it, and links are not followed. Only regular files are
opened: to open a pipe or a device might block or have effects. Data is written to the file at once, so nothing is lost
if the process is killed.

Every method but ``close`` raises OSError with the host's error number.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from minstret.emu.errors import ConfigError

_ACCESS = (os.O_RDONLY, os.O_RDWR, os.O_WRONLY, os.O_RDWR, os.O_WRONLY, os.O_RDWR)
"""By fopen's modes r, r+, w, w+, a, a+. The semihosting mode number is twice the index, plus one for binary."""
_READ, _TRUNCATE, _APPEND = range(3)


class HostFiles:
    """The files below ``path``. The caller chooses a number for each open file.

    Each call repeats the name and mode with which the file was opened. If another file, or none, is open under that
    number, as after a snapshot was restored, the file is opened again as it is by now.
    """

    def __init__(self, path: str) -> None:
        """Give access to the folder ``path``.

        Raises:
            ConfigError: there is no such folder.
        """
        if not os.path.isdir(path):
            raise ConfigError(f"--semihosting: {path} is not a folder")
        self._root = os.path.realpath(path)
        self._open: dict[int, tuple[bytes, int, int]] = {}

    def open(self, number: int, name: bytes, mode: int) -> None:
        """Open a file; create or empty it if ``mode`` says so: 0 to 11 are fopen's r, rb, r+, r+b, w, ... a+b."""
        self.close(number)
        self._open[number] = (name, mode, _open(self._root, name, mode, is_new=True))

    def read(self, number: int, name: bytes, mode: int, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``, fewer at the end."""
        fd, data = self._fd(number, name, mode), b""
        while len(data) < size and (piece := os.pread(fd, size - len(data), offset + len(data))):
            data += piece
        return data

    def write(self, number: int, name: bytes, mode: int, offset: int, data: bytes) -> tuple[int, int]:
        """Write at ``offset``, or at the end if opened to append. Returns the bytes written and the offset then."""
        fd, written = self._fd(number, name, mode), 0
        try:
            while written < len(data):
                written += os.pwrite(fd, data[written:], offset + written)
        except OSError:
            if not written:
                raise
        return written, os.fstat(fd).st_size if mode // 4 == _APPEND else offset + written

    def size(self, number: int, name: bytes, mode: int) -> int:
        """The file's size in bytes."""
        return os.fstat(self._fd(number, name, mode)).st_size

    def remove(self, name: bytes) -> None:
        with _folder_of(self._root, name) as (folder, last):
            _check(folder, last)
            os.unlink(last, dir_fd=folder)

    def rename(self, old: bytes, new: bytes) -> None:
        with _folder_of(self._root, old) as (folder, last), _folder_of(self._root, new) as (new_folder, new_last):
            _check(folder, last)
            os.rename(last, new_last, src_dir_fd=folder, dst_dir_fd=new_folder)

    def close(self, number: int) -> None:
        """Close what is open under ``number``, if anything is."""
        if number in self._open:
            os.close(self._open.pop(number)[2])

    def close_all(self) -> None:
        for number in list(self._open):
            self.close(number)

    def _fd(self, number: int, name: bytes, mode: int) -> int:
        if self._open.get(number, ())[:2] != (name, mode):
            self.close(number)
            self._open[number] = (name, mode, _open(self._root, name, mode, is_new=False))
        return self._open[number][2]


def _open(root: str, name: bytes, mode: int, *, is_new: bool) -> int:
    kind = mode // 4
    flags = _ACCESS[mode // 2] | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    flags |= os.O_APPEND if kind == _APPEND else 0
    makes = is_new and kind != _READ
    with _folder_of(root, name) as (folder, last):
        _check(folder, last, may_be_absent=makes)
        fd = os.open(last, flags | (os.O_CREAT if makes else 0), 0o666, dir_fd=folder)
    try:
        _check_regular(os.fstat(fd))
        if makes and kind == _TRUNCATE:
            os.ftruncate(fd, 0)
    except OSError:
        os.close(fd)
        raise
    return fd


def _check(folder: int, last: bytes, *, may_be_absent: bool = False) -> None:
    """Raise OSError if it is not a regular file."""
    try:
        status = os.stat(last, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        if may_be_absent:
            return
        raise
    _check_regular(status)


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        is_folder, is_link = stat.S_ISDIR(status.st_mode), stat.S_ISLNK(status.st_mode)
        raise OSError(errno.EISDIR if is_folder else errno.ELOOP if is_link else errno.EACCES, "not a regular file")


@contextmanager
def _folder_of(root: str, name: bytes) -> Iterator[tuple[int, bytes]]:
    """A descriptor of the folder that contains ``name``, and the last part of ``name``."""
    *folders, last = _steps(name)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(root, flags)
    try:
        for folder in folders:
            below = os.open(folder, flags, dir_fd=fd)
            os.close(fd)
            fd = below
        yield fd, last
    finally:
        os.close(fd)


def _steps(name: bytes) -> list[bytes]:
    steps = [step for step in name.split(b"/") if step not in (b"", b".")]
    if b"\0" in name:
        raise OSError(errno.EINVAL, "a NUL in a name")
    if name.startswith(b"/") or b".." in steps:
        raise OSError(errno.EACCES, "leads out of the folder")
    if not steps:
        raise OSError(errno.EISDIR if name else errno.ENOENT, "names the folder itself")
    return steps
