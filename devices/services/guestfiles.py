"""Files below one folder of the host's, as a guest has them open.

What the folder answers is the host's decision: it is asked through the door, so a recording has it and a replay needs
no folder. What the guest does to files is sent, on the stream ``files``: a replay compares it and touches nothing.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

_ERRNO_SIZE, _NUMBER_SIZE = 2, 8
_MODES = ("r", "r", "r+", "r+", "w", "w", "w+", "w+", "a", "a", "a+", "a+")


@dataclass(slots=True)
class OpenFile:
    """A file as it was opened: ``mode`` 0 to 11 are fopen's r, rb, r+, r+b, w, ... a+b. ``offset`` in bytes."""

    name: bytes
    mode: int
    offset: int = 0


class Folder(Protocol):
    """The host side; everything but ``close`` raises OSError. See emu/hostfiles.py."""

    def open(self, number: int, name: bytes, mode: int) -> None: ...
    def read(self, number: int, name: bytes, mode: int, offset: int, size: int) -> bytes: ...
    def write(self, number: int, name: bytes, mode: int, offset: int, data: bytes) -> tuple[int, int]: ...
    def size(self, number: int, name: bytes, mode: int) -> int: ...
    def remove(self, name: bytes) -> None: ...
    def rename(self, old: bytes, new: bytes) -> None: ...
    def close(self, number: int) -> None: ...
    def close_all(self) -> None: ...


class GuestFiles:
    """Carries out what a guest wants of files. Errors are numbers, as the host's errno; 0 is none."""

    def __init__(
        self,
        folder: Folder | None,
        ask: Callable[[str, Callable[[], bytes]], bytes],
        sent: Callable[[str, bytes, bool], None],
    ) -> None:
        """Give access to ``folder``, None in a replay; ``ask`` and ``sent`` are the door's."""
        self._folder = folder
        self._ask_door = ask
        self._sent = sent

    def open(self, number: int, file: OpenFile) -> int:
        """Open ``file`` under the guest's ``number``; the error."""
        self._tell(b"open %s %s" % (_MODES[file.mode].encode(), file.name))
        return self._ask("open", lambda folder: folder.open(number, file.name, file.mode))[0]

    def read(self, number: int, file: OpenFile, size: int) -> tuple[int, bytes]:
        """(error, data) from where the file stands, which moves on."""
        error, data = self._ask("read", lambda folder: folder.read(number, file.name, file.mode, file.offset, size))
        file.offset += len(data)
        return error, data[:size]

    def write(self, number: int, file: OpenFile, data: bytes) -> tuple[int, int]:
        """(error, how many bytes were written) where the file stands, which moves on."""
        self._tell(b"write %s %d " % (file.name, file.offset) + data)
        error, answer = self._ask(
            "write",
            lambda folder: _numbers(*folder.write(number, file.name, file.mode, file.offset, data)),
        )
        if error:
            return error, 0
        file.offset = _number(answer, 1)
        return 0, min(_number(answer, 0), len(data))

    def size(self, number: int, file: OpenFile) -> tuple[int, int]:
        """(error, length in bytes)"""
        error, answer = self._ask("size", lambda folder: _numbers(folder.size(number, file.name, file.mode)))
        return error, _number(answer, 0)

    def remove(self, name: bytes) -> int:
        self._tell(b"remove " + name)
        return self._ask("remove", lambda folder: folder.remove(name))[0]

    def rename(self, old: bytes, new: bytes) -> int:
        self._tell(b"rename %s %s" % (old, new))
        return self._ask("rename", lambda folder: folder.rename(old, new))[0]

    def close(self, number: int) -> None:
        if self._folder is not None:
            self._folder.close(number)

    def close_all(self) -> None:
        if self._folder is not None:
            self._folder.close_all()

    def _tell(self, message: bytes) -> None:
        self._sent("files", message, True)

    def _ask(self, what: str, live: Callable[[Folder], bytes | None]) -> tuple[int, bytes]:
        answer = self._ask_door(f"files.{what}", lambda: _answer(self._folder, live))
        return int.from_bytes(answer[:_ERRNO_SIZE], "little"), answer[_ERRNO_SIZE:]


def _answer(folder: Folder | None, live: Callable[[Folder], bytes | None]) -> bytes:
    """The error's number, and what ``live`` gives where there is none."""
    error, data = errno.EACCES, b""
    if folder is not None:
        try:
            error, data = 0, live(folder) or b""
        except OSError as refused:
            error = refused.errno or errno.EIO
    return error.to_bytes(_ERRNO_SIZE, "little") + data


def _numbers(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(_NUMBER_SIZE, "little") for number in numbers)


def _number(data: bytes, index: int) -> int:
    return int.from_bytes(data[_NUMBER_SIZE * index : _NUMBER_SIZE * (index + 1)], "little")
