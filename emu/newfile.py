"""A new file that appears at its path complete or not at all, and that only one process writes.

Until it is published, the old file stays at the path. A process that is killed leaves neither a lock nor part of a
file: the system releases the lock when the process ends, and the file has no name before it is complete.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import ClassVar, TypeVar

from minstret.emu.errors import TraceError

T = TypeVar("T")

_RESERVED_BYTE = 0x4000_0001
"""SQLite locks this byte while it writes. We lock it before SQLite opens the file, so no other process can write first.

Both are POSIX locks, which belong to the process, so ours does not stop SQLite. Source: SQLite src/os.h, os_unix.c.
"""


class NewFile:
    """A database that will appear at ``path``."""

    _being_written: ClassVar[set[tuple[int, int]]] = set()  # by this process: its own locks don't stop it

    def __init__(self, path: str, overwrite: bool) -> None:
        """Check that the file may be written there.

        Raises:
            TraceError: something is in the way, or the folder can't be written.
        """
        self._shown, self._path, self._overwrite = path, os.path.abspath(path), overwrite
        self._key: tuple[int, int] | None = None
        self._check_place()
        try:
            if os.path.lexists(self._path):
                with self._claimed():
                    pass
            self._fd, self._name = _opened(os.path.dirname(self._path))
        except OSError as error:
            raise self._error(error) from None

    def _check_place(self) -> None:
        if os.path.isdir(self._path):
            raise TraceError(f"{self._shown}: is a folder; give a file")
        if os.path.lexists(self._path) and not self._overwrite:
            raise TraceError(f"{self._shown}: exists already; give another name with -o, or -f to overwrite it")
        if os.path.exists(self._path) and not os.path.isfile(self._path):
            raise TraceError(f"{self._shown}: is not a regular file; give another name with -o")

    def _error(self, error: OSError) -> TraceError:
        return TraceError(f"{self._shown}: can't write it: {error.strerror}")

    def publish(self, data: bytes) -> None:
        """Let the file appear at its path with ``data``; it stays locked for this process until ``close``.

        Raises:
            TraceError: that failed; the old file is still there.
        """
        try:
            with open(self._fd, "wb", closefd=False) as file:
                file.write(data)
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _RESERVED_BYTE)
            self._check_place()
            while not self._put():
                self._check_place()
        except OSError as error:
            raise self._error(error) from None
        self._key = _key(os.fstat(self._fd))
        self._being_written.add(self._key)

    def _put(self) -> bool:
        """Give the file its name. False if another process has changed what is at the path: check again."""
        if not os.path.lexists(self._path):
            try:
                self._link(self._path)
            except FileExistsError:
                return False
            self._drop_name()
            self._drop_journal()
            return True
        with self._claimed() as is_there:
            if not is_there:
                return False
            if self._name is None:
                self._name = _first_free(os.path.dirname(self._path), self._link)[0]
            self._drop_journal()
            os.rename(self._name, self._path)
            self._name = None
            return True

    def _drop_journal(self) -> None:
        """Remove an old database's journal: SQLite would take it for the new one's."""
        with suppress(FileNotFoundError):
            os.unlink(self._path + "-journal")

    def _link(self, path: str) -> None:
        if self._name is not None:
            os.link(self._name, path)
            return
        folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
        try:  # with src_dir_fd given, Python follows the link in /proc to the file
            os.link(f"/proc/self/fd/{self._fd}", path, src_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(folder)

    @contextmanager
    def _claimed(self) -> Iterator[bool]:
        """Lock the file at the path, so that no other process writes or replaces it. False if it was just replaced.

        Raises:
            TraceError: another process is writing it.
        """
        try:
            info = os.stat(self._path)
        except FileNotFoundError:
            yield os.path.islink(self._path)  # a dangling link can be replaced
            return
        with locked_against_writers(self._path, info) as fd:
            if fd is None:
                raise TraceError(f"{self._shown}: is being recorded by another process; give another name with -o")
            try:
                is_there = _key(os.stat(self._path)) == _key(os.fstat(fd))
            except FileNotFoundError:
                is_there = False
            yield is_there

    def close(self) -> None:
        """Release the lock; discard the file if it was not published."""
        if self._fd >= 0:
            self._drop_name()
            os.close(self._fd)
            self._fd = -1
        if self._key is not None:
            self._being_written.discard(self._key)
            self._key = None

    def _drop_name(self) -> None:
        if self._name is not None:
            with suppress(OSError):
                os.unlink(self._name)
            self._name = None


def is_being_written(path: str) -> bool:
    """Whether this or another process writes the ordinary file at ``path`` as a database.

    Raises:
        OSError: it can't be opened.
    """
    with locked_against_writers(path, os.stat(path), for_readers=True) as fd:
        return fd is None


@contextmanager
def locked_against_writers(path: str, info: os.stat_result, for_readers: bool = False) -> Iterator[int | None]:
    """Hold the writer's lock on a file, and yield its descriptor; None if another process holds the lock.

    Args:
        for_readers: Take a shared lock, just to see whether the file is being written.
    Raises:
        OSError: the file can't be opened.
    """
    if _key(info) in NewFile._being_written:  # closing the file again would release this process's lock
        yield None
        return
    fd, is_writable = _opened_to_lock(path, for_readers)
    try:
        try:
            fcntl.lockf(fd, (fcntl.LOCK_EX if is_writable else fcntl.LOCK_SH) | fcntl.LOCK_NB, 1, _RESERVED_BYTE)
        except (BlockingIOError, PermissionError):
            yield None
            return
        except OSError:  # a file system without locks: nobody can be recording there
            if not for_readers:
                raise
        yield fd
    finally:
        os.close(fd)


def _opened_to_lock(path: str, for_readers: bool) -> tuple[int, bool]:
    if not for_readers:
        with suppress(PermissionError):
            return os.open(path, os.O_RDWR | os.O_NONBLOCK), True
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK), False


def _key(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino


def _opened(folder: str) -> tuple[int, str | None]:
    """A new file without a name, or with a temporary one if the file system doesn't support files without names."""
    with suppress(OSError):
        return os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666), None
    name, fd = _first_free(folder, lambda name: os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
    return fd, name


def _first_free(folder: str, make: Callable[[str], T]) -> tuple[str, T]:
    """Call ``make`` with names that are not in use until one succeeds; returns that name and the result."""
    for number in count():
        name = os.path.join(folder, f".minstret-{number}")
        with suppress(FileExistsError):
            return name, make(name)
    raise AssertionError("there is always another name")
