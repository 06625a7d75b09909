"""A guest that makes semihosting calls one after another, and a folder whose host is in no mood to help, for tests."""

from __future__ import annotations

import errno
import random
from pathlib import Path
from typing import Any

from support import asm
from support.recordings import RAM, setup_of_code

from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import HostAnswers
from minstret.devices.services.semihosting import Op
from minstret.emu.hostfiles import HostFiles

MARKED = (0x01F01013, asm.EBREAK, 0x40705013)
RESULTS, BLOCKS, TEXTS, BUFFER = 0x8000, 0x9000, 0xB000, 0xD000
R, RP, W, WP, A, AP = range(0, 12, 2)
CONSOLE, FIRST = (1, 2, 3), 4
APPLICATION_EXIT = 0x20026


class Program:
    """Calls, one after another; the results are kept in RAM. Ends with success."""

    def __init__(self, xlen: int = 64) -> None:
        self.xlen = xlen
        self._code: list[Any] = []
        self._pieces: list[tuple[int, bytes]] = []
        self._calls, self._texts = 0, TEXTS

    @property
    def calls(self) -> int:
        """How many there are."""
        return self._calls

    def text(self, data: bytes) -> int:
        """The address of ``data``."""
        at, self._texts = self._texts, self._texts + len(data) + 1
        self._pieces.append((at, data + b"\0"))
        return RAM + at

    def call(self, op: int, *words: int) -> Program:
        size = self.xlen // 8
        at = BLOCKS + 32 * self._calls
        self._pieces.append((at, b"".join(word.to_bytes(size, "little") for word in words)))
        self._code += [asm.li(asm.A0, op), asm.li(asm.A1, RAM + at), MARKED]
        self._code += [asm.li(asm.T0, RAM + RESULTS + 4 * self._calls), asm.sw(asm.A0, asm.T0, 0)]
        self._calls += 1
        return self

    def open(self, name: bytes, mode: int) -> Program:
        return self.call(Op.OPEN, self.text(name), mode, len(name))

    def write(self, handle: int, data: bytes) -> Program:
        return self.call(Op.WRITE, handle, self.text(data), len(data))

    def read(self, handle: int, size: int, at: int = 0) -> Program:
        return self.call(Op.READ, handle, RAM + BUFFER + at, size)

    def remove(self, name: bytes) -> Program:
        return self.call(Op.REMOVE, self.text(name), len(name))

    def rename(self, old: bytes, new: bytes) -> Program:
        return self.call(Op.RENAME, self.text(old), len(old), self.text(new), len(new))

    def errno(self) -> Program:
        return self.call(Op.ERRNO)

    def setup(self, **config: Any) -> Setup:
        last = self._calls
        self.call(Op.EXIT_EXTENDED, APPLICATION_EXIT, 0)
        setup = setup_of_code(asm.code(*self._code), *self._pieces, xlen=self.xlen, **{"host_files": True} | config)
        self._calls = last
        return setup

    def results(self, board: Board) -> list[int]:
        raw = board.memory.read(RAM + RESULTS, 4 * self._calls)
        return [int.from_bytes(raw[4 * i : 4 * i + 4], "little", signed=True) for i in range(self._calls)]

    def run(self, folder: Path | None, **config: Any) -> list[int]:
        self.board = self.setup(**config).make(host=answers(folder))
        assert self.board.run().exit_code == 0
        return self.results(self.board)

    def buffer(self, size: int) -> bytes:
        return self.board.memory.read(RAM + BUFFER, size)


def answers(folder: Path | None) -> HostAnswers:
    """A host that offers ``folder``."""
    return HostAnswers(files=None if folder is None else HostFiles(str(folder)))


def all_kinds() -> Program:
    """Many calls about files, most of which may fail or succeed."""
    program = Program()
    for mode in (R, W, AP, WP, A, RP):
        program.open(b"one", mode).open(b"two", mode)
    for handle in range(FIRST, FIRST + 6):
        program.read(handle, 300).write(handle, b"some text").call(Op.FLEN, handle).call(Op.SEEK, handle, 3)
        program.read(handle, 5, 300).write(handle, b"").errno().write(2, b".")
    program.rename(b"one", b"three").remove(b"two").call(Op.CLOSE, FIRST).open(b"three", R)
    return program.read(FIRST, 40).errno()


class MoodyFolder:
    """Gives any answer that a folder might give, from a seed."""

    def __init__(self, moods: random.Random) -> None:
        self._moods = moods

    def _refuse_at_times(self) -> None:
        if self._moods.random() < 0.2:
            raise OSError(self._moods.choice((errno.EIO, errno.ENOSPC, errno.ENOENT, 999)), "not in the mood")

    def open(self, number: int, name: bytes, mode: int) -> None:
        self._refuse_at_times()

    def read(self, number: int, name: bytes, mode: int, offset: int, size: int) -> bytes:
        self._refuse_at_times()
        return self._moods.randbytes(self._moods.randrange(size + 1))

    def write(self, number: int, name: bytes, mode: int, offset: int, data: bytes) -> tuple[int, int]:
        self._refuse_at_times()
        return self._moods.randrange(len(data) + 1), self._moods.randrange(1 << 40)

    def size(self, number: int, name: bytes, mode: int) -> int:
        self._refuse_at_times()
        return self._moods.randrange(1 << 40)

    def remove(self, name: bytes) -> None:
        self._refuse_at_times()

    def rename(self, old: bytes, new: bytes) -> None:
        self._refuse_at_times()

    def close(self, number: int) -> None: ...

    def close_all(self) -> None: ...
