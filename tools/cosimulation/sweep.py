"""Runs the floating-point sweep here and in Spike, and compares the results in memory byte for byte."""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosimulation import floats, spike
from minstret.emu.hart.cpu import Cpu
from minstret.emu.hart.engine import IO_SIZE
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.memory import GuestMemory
from minstret.emu.hart.shared import PAGE_SIZE, Counting

_AT_IMAGE = 0x1000


def results_here(sweep: floats.Sweep, counting: Counting = Counting.CODE) -> bytes:
    """The results on minstret's hart."""
    memory = GuestMemory(spike.RAM_BASE, spike.RAM_SIZE, spike.RAM_BASE + spike.RAM_SIZE, PAGE_SIZE, io_size=IO_SIZE)
    hart = Hart(Cpu(sweep.xlen), memory, _NoDevices(), counting=counting)
    hart.write_physical(spike.RAM_BASE, bytes(sweep.image))
    hart.reset(spike.RAM_BASE + floats.CODE)
    while hart.pc != sweep.end:
        hart.run(hart.icount + 10_000)
    return hart.read_physical(spike.RAM_BASE + floats.RESULTS, sweep.results_size)


class _NoDevices:
    """A bus with nothing on it."""

    def read(self, address: int, size: int) -> int:
        raise AssertionError(f"read at {address:#x}")

    def write(self, address: int, size: int, value: int) -> None:
        raise AssertionError(f"write at {address:#x}")


def results_in_spike(sweep: floats.Sweep) -> bytes:
    """The results in Spike.

    Raises:
        CosimError: Spike can't be had, or does not run it.
    """
    with tempfile.TemporaryDirectory(prefix="minstret-cosim-") as folder:
        image, signature = Path(folder) / "sweep.elf", Path(folder) / "signature"
        image.write_bytes(_elf(sweep))
        command: list[str | Path] = [
            spike.executable(), f"--isa=rv{sweep.xlen}gc_zicsr_zifencei", "--priv=msu",
            f"-m{spike.RAM_BASE:#x}:{spike.RAM_SIZE:#x}", f"+signature={signature}", "+signature-granularity=8", image,
        ]  # fmt: skip
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=600)
        if done.returncode != 0 or not signature.exists():
            text = done.stderr.decode(errors="replace").strip()
            raise spike.CosimError(f"Spike does not run the sweep: {text[-200:]}")
        return b"".join(bytes.fromhex(line)[::-1] for line in signature.read_text().split())


def _elf(sweep: floats.Sweep) -> bytes:
    """The program with the symbols that Spike looks for: tohost, fromhost, and where results begin and end."""
    begin = spike.RAM_BASE + floats.RESULTS
    symbols = {
        "tohost": spike.RAM_BASE + floats.TOHOST, "fromhost": spike.RAM_BASE + floats.TOHOST + 8,
        "begin_signature": begin, "end_signature": begin + sweep.results_size,
    }  # fmt: skip
    strings, table = b"\0", bytes(24 if sweep.xlen == 64 else 16)
    for name, address in symbols.items():
        table += _symbol(sweep.xlen, len(strings), address)
        strings += name.encode() + b"\0"
    names = b"\0.text\0.symtab\0.strtab\0.shstrtab\0"
    body, sections = b"", _section(sweep.xlen)
    for name, kind, part, more in (
        (".text", 1, bytes(sweep.image), {"flags": 6, "address": spike.RAM_BASE}),
        (".symtab", 2, table, {"link": 3, "info": 1, "entry_size": 24 if sweep.xlen == 64 else 16}),
        (".strtab", 3, strings, {}), (".shstrtab", 3, names, {}),
    ):  # fmt: skip
        at = _AT_IMAGE + len(body)
        sections += _section(sweep.xlen, names.index(name.encode()), kind, offset=at, size=len(part), **more)
        body += part + bytes(-len(part) % 16)
    return _headers(sweep, _AT_IMAGE + len(body)) + body + sections


def _headers(sweep: floats.Sweep, at_sections: int) -> bytes:
    is_64 = sweep.xlen == 64
    sizes = (64, 56, 64) if is_64 else (52, 32, 40)
    head = b"\x7fELF" + bytes((2 if is_64 else 1, 1, 1)) + bytes(9)
    head += struct.pack(
        "<HHIQQQIHHHHHH" if is_64 else "<HHIIIIIHHHHHH",
        2, 243, 1, spike.RAM_BASE + floats.CODE, sizes[0], at_sections, 5, sizes[0], sizes[1], 1, sizes[2], 5, 4,
    )  # fmt: skip
    where = (_AT_IMAGE, spike.RAM_BASE, spike.RAM_BASE, len(sweep.image), floats.RESULTS + sweep.results_size)
    head += struct.pack("<IIQQQQQQ", 1, 7, *where, 16) if is_64 else struct.pack("<IIIIIIII", 1, *where, 7, 16)
    return head.ljust(_AT_IMAGE, b"\0")


def _symbol(xlen: int, name: int, address: int) -> bytes:
    """A global one in the first section."""
    if xlen == 64:
        return struct.pack("<IBBHQQ", name, 0x10, 0, 1, address, 8)
    return struct.pack("<IIIBBH", name, address, 8, 0x10, 0, 1)


def _section(
    xlen: int, name: int = 0, kind: int = 0, *, flags: int = 0, address: int = 0, offset: int = 0, size: int = 0,
    link: int = 0, info: int = 0, entry_size: int = 0,
) -> bytes:  # fmt: skip
    layout = "<IIQQQQIIQQ" if xlen == 64 else "<IIIIIIIIII"
    return struct.pack(layout, name, kind, flags, address, offset, size, link, info, 16 if kind else 0, entry_size)


@dataclass(frozen=True, slots=True)
class FloatDifference:
    """A case in which the two differ."""

    case: str
    what: str
    spike: int
    here: int


def differences(sweep: floats.Sweep, spike_results: bytes, here_results: bytes) -> Iterator[FloatDifference]:
    """Every case in which the two differ, with the first difference."""
    word = sweep.xlen // 8
    fields = (("result", 0, 8), ("mstatus", 8, word), ("fcsr", 16, 4))
    for record in range(sweep.cases):
        at = record * floats.RECORD_BYTES
        if spike_results[at : at + floats.RECORD_BYTES] == here_results[at : at + floats.RECORD_BYTES]:
            continue
        for what, offset, size in fields:
            part = slice(at + offset, at + offset + size)
            there, here = (int.from_bytes(each[part], "little") for each in (spike_results, here_results))
            if there != here:
                yield FloatDifference(sweep.describe(record), what, there, here)
                break
