"""Spike: installs it, runs it, and reads its log of what each instruction did."""

from __future__ import annotations

import fcntl
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from minstret.emu.hart.cpu import NOTHING_MORE, Cpu, Feature

PACKAGE = "spike==0.0.5.dev20"
"""The PyPI package with Spike's program: 209 MB, so it is installed in an environment of its own."""

FOLDER = Path(__file__).parents[2] / ".cache" / "spike"
RAM_BASE, RAM_SIZE = 0x8000_0000, 0x100_0000

# As in minstret: misaligned loads and stores work (zicclsm), hardware sets A and D bits (svadu). The latter has to be
# switched on in menvcfg, as it is here, and Spike begins with a PMP entry that allows everything. A few
# instructions before the guest's first one change both.
_NEW = (
    Feature.ZICBOM | Feature.ZICBOZ | Feature.ZICOND | Feature.ZIHINTPAUSE | Feature.ZAWRS
    | Feature.ZBA | Feature.ZBB | Feature.ZBS
)  # fmt: skip
COMPARED = _NEW | Feature.SM1P12 | Feature.SVADU
"""What every hart that is compared has."""
EXTENSIONS = "_".join(("gc_zicsr_zifencei_zicntr_svadu_zicclsm", *Cpu(64, _NEW).extensions))
_STUB_BASE = RAM_BASE + RAM_SIZE - 0x1000
_NO_PMP = (0x3A001073, 0x3B001073)  # csrw pmpcfg0, zero; csrw pmpaddr0, zero
_STUB = {
    64: (*_NO_PMP, 0x00100293, 0x03D29293, 0x30A29073,  # li t0, 1 << 61; csrw menvcfg, t0
         0x00000297, 0x00C2B283, 0x00028067),  # auipc t0, 0; ld t0, 12(t0); jr t0
    32: (*_NO_PMP, 0x200002B7, 0x00000013, 0x31A29073,  # lui t0, 1 << 17; nop; csrw menvcfgh, t0
         0x00000297, 0x00C2A283, 0x00028067),  # auipc t0, 0; lw t0, 12(t0); jr t0
}  # fmt: skip

_WITHOUT_NAME = Feature.SM1P12 | Feature.SV48 | Feature.SV57

TRAPS_MAX = 64
"""This many traps without a retired instruction are a trap loop."""

_SILENT_S = 2.0
"""If Spike uses this much processor time (seconds) without a line of output, it is in a WFI that nothing ends."""


class CosimError(Exception):
    """The comparison can't be made; the text says why, in one line."""


@dataclass(frozen=True, slots=True)
class Trap:
    """An exception or interrupt as Spike took it."""

    name: str
    epc: int
    tval: int | None = None

    @property
    def interrupt(self) -> int | None:
        """The number of an interrupt; None for an exception."""
        return int(self.name.partition("#")[2]) if self.name.startswith("interrupt") else None


@dataclass(slots=True)
class Step:
    """A retired instruction: what it wrote, and the traps since the instruction before."""

    priv: int
    pc: int
    insn: int
    x: dict[int, int] = field(default_factory=dict)
    f: dict[int, int] = field(default_factory=dict)
    csrs: dict[str, int] = field(default_factory=dict)
    loads: list[int] = field(default_factory=list)  # addresses
    stores: list[tuple[int, int, int]] = field(default_factory=list)  # address, size in bytes, value
    traps: list[Trap] = field(default_factory=list)
    boot_x: dict[int, int] = field(default_factory=dict)  # of the first: registers that the boot ROM wrote


@dataclass(frozen=True, slots=True)
class Stride:
    """Many instructions: where they begin, and the registers and memory after them."""

    insns: int
    pc: int
    x: dict[int, int]
    f: dict[int, int]
    stores: list[tuple[int, int, int]]  # address, size in bytes, value


_COMMIT = re.compile(r"core +0: (\d) 0x([0-9a-f]+) \(0x([0-9a-f]+)\) ?(.*)")
_X, _F = re.compile(rb" x(\d+) +0x([0-9a-f]+)"), re.compile(rb" f(\d+) +0x([0-9a-f]+)")
_STORE = re.compile(rb"mem 0x([0-9a-f]+) 0x([0-9a-f]+)")
_EXCEPTION = re.compile(r"core +0: exception ([\w #]+), epc 0x([0-9a-f]+)")
_TVAL = re.compile(r"core +0: +tval 0x([0-9a-f]+)")


def executable() -> Path:
    """The path of Spike's program, which is installed at the first use. Other processes wait for that meanwhile.

    Raises:
        CosimError: it can't be had here.
    """
    if shutil.which("dtc") is None:
        raise CosimError("Spike needs dtc, which is not installed (Debian: device-tree-compiler)")
    folder = FOLDER / PACKAGE
    whole = folder / "installed"
    if not whole.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not whole.exists():
                _install(folder)
                whole.touch()
    found = _programs(folder)
    if not found:
        raise CosimError(f"{folder}: {PACKAGE} has no program spike; remove that folder and try again")
    return found[0]


def _programs(folder: Path) -> list[Path]:
    return list(folder.glob("lib/python*/site-packages/riscv/data/bin/spike"))


def _install(folder: Path) -> None:
    print(f"Installing {PACKAGE} into {folder} ...", file=sys.stderr)
    python = folder / "bin" / "python"
    try:
        venv.create(folder, with_pip=True)
        done = subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "--pre", PACKAGE], check=False)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CosimError(f"{folder}: can't make a virtual environment there: {error}") from None
    if done.returncode != 0:
        raise CosimError(f"{PACKAGE} can't be installed: PyPI has it for Linux on x86-64, Python 3.11 to 3.13")
    for program in _programs(folder):
        program.chmod(0o755)


@contextmanager
def running(
    image: Path, xlen: int, *, tells_traps: bool = True, features: Feature = NOTHING_MORE
) -> Iterator[Iterator[bytes]]:
    """Run ``image`` for as long as the context lasts; its log as it comes, in pieces of whole lines.

    Without ``tells_traps`` there is one line for each instruction, and nothing else: that is much faster. With
    ``features`` the hart has those too.

    Raises:
        CosimError: Spike does not run it.
    """
    with tempfile.TemporaryDirectory(prefix="minstret-cosim-") as folder:
        copy = _with_stub(image, xlen, Path(folder))  # first, so that nothing is installed if it is not an image
        log = Path(folder) / "log"
        os.mkfifo(log)
        command: list[str | Path] = [
            executable(), *(["-l"] if tells_traps else []), "--log-commits", f"--log={log}",
            f"--isa={_isa(xlen, features)}", "--priv=msu",
            f"-m{RAM_BASE:#x}:{RAM_SIZE:#x}", f"--pc={_STUB_BASE:#x}", str(copy),
        ]  # fmt: skip
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # Ctrl-C before the try would leave Spike behind
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
            # Opened for reading and writing, so that this does not block if Spike never opens it.
            with open(os.open(log, os.O_RDWR | os.O_NONBLOCK), "rb", buffering=0) as pipe:
                yield _pieces(process, pipe.fileno(), image)
        finally:
            process.kill()
            process.communicate()


def _isa(xlen: int, features: Feature) -> str:
    """What Spike's hart has. Sv48 and Sv57 it has in any case, and the CSRs of 1.12."""
    named = (name for name in Cpu(xlen, features & ~_WITHOUT_NAME).extensions if name not in EXTENSIONS)
    return "_".join((f"rv{xlen}{EXTENSIONS}", *named))


def _with_stub(image: Path, xlen: int, folder: Path) -> Path:
    """A copy of ``image`` with one more segment: a stub that jumps to the image's entry point."""
    data = bytearray(image.read_bytes())
    if data[:4] != b"\x7fELF" or data[4] != xlen // 32:
        raise CosimError(f"{image}: not an ELF file for rv{xlen}")
    is_64 = xlen == 64
    entry, phoff = struct.unpack_from("<QQ" if is_64 else "<II", data, 24)
    phentsize, phnum = struct.unpack_from("<HH", data, 54 if is_64 else 42)
    stub = b"".join(insn.to_bytes(4, "little") for insn in _STUB[xlen]) + entry.to_bytes(8, "little")
    headers = bytes(data[phoff : phoff + phentsize * phnum])
    data += bytes(-len(data) % 0x1000)
    offset, size = len(data), len(stub)
    if is_64:
        headers += struct.pack("<IIQQQQQQ", 1, 7, offset, _STUB_BASE, _STUB_BASE, size, size, 0x1000)
    else:
        headers += struct.pack("<IIIIIIII", 1, offset, _STUB_BASE, _STUB_BASE, size, size, 7, 0x1000)
    data += stub.ljust(0x100, b"\0")
    struct.pack_into("<Q" if is_64 else "<I", data, 32 if is_64 else 28, len(data))
    struct.pack_into("<H", data, 56 if is_64 else 44, phnum + 1)
    copy = folder / "image.elf"
    copy.write_bytes(data + headers)
    return copy


def _pieces(process: subprocess.Popen[bytes], pipe: int, image: Path) -> Iterator[bytes]:
    rest, has_lines, worked = b"", False, 0.0
    while True:
        ready, _, _ = select.select([pipe], [], [], 0.2)
        if ready:
            lines, end, rest = (rest + os.read(pipe, 1 << 16)).rpartition(b"\n")
            has_lines, worked = has_lines or bool(end), 0.0
            if end:
                yield lines
        elif process.poll() is not None:
            break
        else:
            worked = worked or _processor_s(process.pid)
            if has_lines and _processor_s(process.pid) - worked > _SILENT_S:
                return
    if not has_lines:
        assert process.stderr is not None
        text = process.stderr.read().decode(errors="replace").strip().splitlines()
        raise CosimError(f"{image}: Spike does not run it: {text[-1] if text else f'status {process.returncode}'}")


def _processor_s(pid: int) -> float:
    """The processor time that a process has used, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Log:
    """Reads the log, from the guest's first instruction on."""

    def __init__(self, entry: int) -> None:
        self._entry = entry
        self._has_begun = False
        self._boot_x: dict[int, int] = {}
        self._traps: list[Trap] = []

    def steps(self, pieces: Iterator[bytes]) -> Iterator[Step]:
        """A step for each instruction."""
        for piece in pieces:
            yield from self.steps_of(piece)

    def steps_of(self, piece: bytes) -> Iterator[Step]:
        """The steps in one piece of the log."""
        for line in piece.decode(errors="replace").split("\n"):
            if (commit := _COMMIT.match(line)) is not None:
                yield from self._commit(commit)
            elif (exception := _EXCEPTION.match(line)) is not None:
                self._traps.append(Trap(exception[1], int(exception[2], 16)))
                if len(self._traps) == TRAPS_MAX:  # a trap loop
                    yield Step(0, 0, 0, traps=self._traps)
                    return
            elif self._traps and (tval := _TVAL.match(line)) is not None:
                last = self._traps[-1]
                self._traps[-1] = Trap(last.name, last.epc, int(tval[1], 16))

    def _commit(self, commit: re.Match[str]) -> Iterator[Step]:
        pc = int(commit[2], 16)
        self._has_begun = self._has_begun or pc == self._entry
        step = _step(int(commit[1]), pc, int(commit[3], 16), commit[4], self._traps)
        self._traps = []
        if self._has_begun:
            step.boot_x, self._boot_x = self._boot_x, {}
            yield step
        else:
            self._boot_x |= step.x

    def stride(self, piece: bytes) -> Stride | None:
        """The effect of a piece of a log without traps; None if each instruction has to be compared."""
        if not self._has_begun or not _is_plain(piece):
            return None
        first = _COMMIT.match(piece[:80].split(b"\n")[0].decode())
        if first is None:
            return None
        stores = [(int(a, 16), len(v) // 2, int(v, 16)) for a, v in _STORE.findall(piece)]
        return Stride(
            piece.count(b"\n") + 1, int(first[2], 16),
            {int(r): int(v, 16) for r, v in dict(_X.findall(piece)).items()},
            {int(r): int(v, 16) for r, v in dict(_F.findall(piece)).items()}, stores,
        )  # fmt: skip


def _is_plain(piece: bytes) -> bool:
    """Whether it accesses only RAM, and has no write to a CSR and no SYSTEM instruction."""
    in_ram = piece.count(b"mem 0x0000000080") + piece.count(b"mem 0x80")
    return piece.count(b"mem") == in_ram and not any(each in piece for each in (b"_", b"73)", b"f3)"))


def _step(priv: int, pc: int, insn: int, effects: str, traps: list[Trap]) -> Step:
    step = Step(priv, pc, insn, traps=traps)
    words = effects.split()
    while words:
        what = words.pop(0)
        if what == "mem":
            address = int(words.pop(0), 16)
            if words and words[0].startswith("0x"):
                value = words.pop(0)
                step.stores.append((address, (len(value) - 2) // 2, int(value, 16)))
            else:
                step.loads.append(address)
        elif what[0] == "x" and what[1:].isdigit():
            step.x[int(what[1:])] = int(words.pop(0), 16)
        elif what[0] == "f" and what[1:].isdigit():
            step.f[int(what[1:])] = int(words.pop(0), 16)
        elif what[0] == "c" and "_" in what:
            step.csrs[what.partition("_")[2]] = int(words.pop(0), 16)
    return step
