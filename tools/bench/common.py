"""What log.py and replay.py share: guests that do nothing but tick, processes and what they took, the machine."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import click

QEMU = "qemu-system-riscv64"
MINSTRET = (sys.executable, "-m", "minstret.emu.cli")
TICKS_MAX = 0x7FFF_F000

_TIMEBASE_HZ = 10_000_000


@dataclass(frozen=True, slots=True)
class Ticker:
    """A guest with a timer interrupt.

    Attributes:
        hz: How often it comes; at random distances about so often, where ``is_irregular``.
        waits: By WFI, or computes meanwhile.
    """

    hz: int
    waits: bool = False
    is_irregular: bool = False

    @property
    def name(self) -> str:
        rate = f"{self.hz // 1000} kHz"
        how = "waiting in WFI" if self.waits else "busy"
        return f"ticks at {rate}, {how}" + (", irregular" if self.is_irregular else "")


def ticker_program(ticker: Ticker, ticks: int) -> bytes:
    """A raw binary for rv64 and rv32 that ends after so many ticks."""
    assert 0 < ticks < TICKS_MAX
    interval = _TIMEBASE_HZ // ticker.hz
    begin = (
        *_load(_S1, 0x0200_4000),  # mtimecmp
        *_load(_S2, interval),
        *_load(_S3, ticks),
        *_load(_S5, 0x41C6_4E6D),
        _lui(_T0, 0x0200_C000), _lw(_S4, _T0, -8),  # mtime
        _add(_S4, _S4, _S2), _sw(_S1, 0, 4), _sw(_S1, _S4, 0),
        *_load(_T0, 1 << 7), _CSRW_MIE_T0,
        _CSRSI_MSTATUS_MIE,
    )  # fmt: skip
    loop = (_WFI, _jump(-4)) if ticker.waits else (_addi(_S6, _S6, 1), _add(_S7, _S7, _S6), _jump(-8))
    draw = (_mul(_S6, _S6, _S5), _addi(_S6, _S6, 0x29), _srli(_T1, _S6, 8), _remu(_T1, _T1, _S2), _add(_S4, _S4, _T1))
    handler = (
        *(draw if ticker.is_irregular else ()), _add(_S4, _S4, _S2), _sw(_S1, _S4, 0),
        _addi(_S3, _S3, -1), _bnez(_S3, 4 * (len(_FINISH) + 1)), *_FINISH, _MRET,
    )  # fmt: skip
    at_handler = 4 * (3 + len(begin) + len(loop))
    words = (_AUIPC_T1, _addi(_T1, _T1, at_handler), _CSRW_MTVEC_T1, *begin, *loop, *handler)
    return b"".join(word.to_bytes(4, "little") for word in words)


# ---- machine code

_T0, _T1, _S1, _S2, _S3, _S4, _S5, _S6, _S7 = 5, 6, 9, 18, 19, 20, 21, 22, 23
_AUIPC_T1, _CSRW_MTVEC_T1, _CSRW_MIE_T0, _CSRSI_MSTATUS_MIE = 0x00000317, 0x30531073, 0x30429073, 0x30046073
_WFI, _MRET = 0x10500073, 0x30200073
_FINISH = (0x001002B7, 0x00005337, 0x55530313, 0x0062A023, 0x0000006F)  # store "pass" at the finisher; j .


def _lui(rd: int, value: int) -> int:
    return (value & 0xFFFFF000) | rd << 7 | 0x37


def _addi(rd: int, rs1: int, value: int) -> int:
    return (value & 0xFFF) << 20 | rs1 << 15 | rd << 7 | 0x13


def _load(rd: int, value: int) -> tuple[int, int]:
    return _lui(rd, value + 0x800), _addi(rd, rd, value)


def _add(rd: int, rs1: int, rs2: int) -> int:
    return rs2 << 20 | rs1 << 15 | rd << 7 | 0x33


def _mul(rd: int, rs1: int, rs2: int) -> int:
    return 1 << 25 | _add(rd, rs1, rs2)


def _remu(rd: int, rs1: int, rs2: int) -> int:
    return 7 << 12 | _mul(rd, rs1, rs2)


def _srli(rd: int, rs1: int, shift: int) -> int:
    return shift << 20 | rs1 << 15 | 5 << 12 | rd << 7 | 0x13


def _lw(rd: int, rs1: int, offset: int) -> int:
    return (offset & 0xFFF) << 20 | rs1 << 15 | 2 << 12 | rd << 7 | 0x03


def _sw(rs1: int, rs2: int, offset: int) -> int:
    return (offset >> 5 & 0x7F) << 25 | rs2 << 20 | rs1 << 15 | 2 << 12 | (offset & 31) << 7 | 0x23


def _bnez(rs1: int, offset: int) -> int:
    assert 0 < offset < 32
    return rs1 << 15 | 1 << 12 | offset << 7 | 0x63


def _jump(offset: int) -> int:
    assert -2048 < offset < 0
    return 1 << 31 | (offset >> 1 & 0x3FF) << 21 | 1 << 20 | 0xFF << 12 | 0x6F


# ---- processes


@dataclass(frozen=True, slots=True)
class Took:
    """What a process took, s, and its exit status."""

    user_s: float
    system_s: float
    status: int


def run_to_end(command: Sequence[str], *, timeout_s: int | None = None, may_fail: bool = False) -> Took:
    """Run a process without input; an error where it fails."""
    limited = command if timeout_s is None else ("timeout", str(timeout_s), *command)
    null = subprocess.DEVNULL
    with subprocess.Popen(limited, stdin=null, stdout=null, stderr=subprocess.PIPE) as child:
        assert child.stderr is not None
        said = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode and not may_fail:
        raise click.ClickException(f"{' '.join(command)}: status {child.returncode}: {said.decode(errors='replace')}")
    return Took(usage.ru_utime, usage.ru_stime, child.returncode)


def machine_text() -> str:
    """What it was measured on."""
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    parts = [
        f"{cpu[1] if cpu else platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        f"Linux {platform.release().split('-')[0]}", f"Python {platform.python_version()}",
        f"unicorn {version('unicorn')}", qemu_text(), f"load average {load}",
    ]  # fmt: skip
    return "Measured on: " + "; ".join(parts) + "."


def qemu_text() -> str:
    """QEMU's version, or that there is none."""
    executable = shutil.which(QEMU)
    if executable is None:
        return "QEMU not installed"
    said = subprocess.run([executable, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version ([0-9.]+)", said)
    return f"QEMU {found[1]}" if found else "QEMU"
