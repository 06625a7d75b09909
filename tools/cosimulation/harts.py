"""Several harts of Spike over one memory, of which the caller says who runs, and for how long.

Spike's own program switches harts every 5000 steps, so this is a small one on top of its library: harts.cc.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from cosimulation import spike
from cosimulation.spike import CosimError

_SOURCE = Path(__file__).with_name("harts.cc")
_PC = 32


class Stopped(NamedTuple):
    """A hart after it has run: instructions retired in that run, whether it waits, traps taken, and registers."""

    retired: int
    waiting: bool
    traps: int
    minstret: int
    pc: int
    x: tuple[int, ...]


def program() -> Path:
    """The path of the program, which is compiled at the first use.

    Raises:
        CosimError: Spike or a C++ compiler can't be had here.
    """
    data = spike.executable().parents[1]
    built = spike.FOLDER / spike.PACKAGE / f"harts-{hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]}"
    if not built.exists():
        compiler = shutil.which("g++")
        if compiler is None:
            raise CosimError("several harts of Spike need g++, which is not installed")
        include = data / "include"
        fresh = built.with_name(f"{built.name}.{os.getpid()}")
        # The library was built with the strings of before C++11, which its headers do not say.
        done = subprocess.run(
            [
                compiler, "-std=c++20", "-O1", "-w", "-D_GLIBCXX_USE_CXX11_ABI=0",
                *(f"-I{folder}" for folder in (include / "riscv", include, include / "softfloat")),
                _SOURCE, data / "lib" / "libriscv.so", "-o", fresh,
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            error = next((line for line in done.stderr.splitlines() if " error: " in line), "g++ fails")
            raise CosimError(f"{_SOURCE} can't be compiled: {error}")
        fresh.replace(built)
    return built


class SpikeHarts:
    """Harts in their reset state, in machine mode, with ``image`` at the start of RAM and a software interrupt each.

    Use it as a context: a process runs meanwhile.
    """

    def __init__(self, xlen: int, harts: int, image: bytes) -> None:
        """Start them.

        Raises:
            CosimError: see ``program``.
        """
        with tempfile.NamedTemporaryFile(prefix="minstret-cosim-") as file:
            file.write(image)
            file.flush()
            self.memory = mmap.mmap(file.fileno(), len(image))
            isa = f"rv{xlen}{spike.EXTENSIONS}"
            self._process = subprocess.Popen(
                [program(), isa, f"{harts:x}", f"{spike.RAM_BASE:x}", file.name],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            self.set_pc(0, spike.RAM_BASE)  # it answers when it has the file

    def __enter__(self) -> SpikeHarts:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def _ask(self, command: str) -> list[int]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise CosimError(f"Spike ends at {command!r}, status {self._process.wait()}")
        return [int(word, 16) for word in answer.split()]

    def set_pc(self, hart: int, pc: int) -> None:
        """Let a hart go on at ``pc``."""
        self._ask(f"set {hart:x} {_PC:x} {pc:x}")

    def set_msip(self, hart: int, level: bool) -> None:
        """Raise or clear its software interrupt."""
        self._ask(f"msip {hart:x} {level:x}")

    def csr(self, hart: int, number: int) -> int:
        """What a CSR reads as."""
        return self._ask(f"csr {hart:x} {number:x}")[0]

    def run(self, hart: int, insns: int) -> Stopped:
        """Run one hart until so many instructions have retired, or it waits. Its reservation is lost then."""
        retired, waiting, traps, minstret, pc, *x = self._ask(f"run {hart:x} {insns:x}")
        return Stopped(retired, bool(waiting), traps, minstret, pc, (0, *x))
