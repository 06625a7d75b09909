"""Guests made on the spot: images with other numbers in them, loops of one instruction, timer ticks, several harts.

The machine code is the same for rv32 and rv64.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from io import BytesIO
from pathlib import Path

from elftools.elf.elffile import ELFFile

from minstret.emu.images.loader import load_firmware
from minstret.firmware import image_path

TICKS_MAX = 0x7FFF_F000

_RAM_BASE = 0x8000_0000
_TIMEBASE_HZ = 10_000_000

# ---- images


def patched(name: str, xlen: int, folder: Path, values: dict[str, int]) -> Path:
    """A copy of an image with other values of its 32-bit symbols."""
    image = image_path(name, xlen)
    symbols = load_firmware(image, _RAM_BASE).symbols
    data = bytearray(image.read_bytes())
    headers = list(ELFFile(BytesIO(data)).iter_segments("PT_LOAD"))
    for key, value in values.items():
        symbol = symbols.find(key)
        assert symbol is not None
        (header,) = (h for h in headers if 0 <= symbol.address - h["p_vaddr"] < h["p_filesz"])
        at = header["p_offset"] + symbol.address - header["p_vaddr"]
        data[at : at + 4] = value.to_bytes(4, "little")
    copy = folder / f"{name}-rv{xlen}.elf"
    copy.write_bytes(data)
    return copy


# ---- one instruction, again and again


@dataclass(frozen=True, slots=True)
class Operation:
    """One instruction to repeat. ``device`` is what s1 holds, a multiple of 4096."""

    name: str
    body: int
    device: int = 0


NOTHING = Operation("loop", 0x00000013)
ECALL = Operation("trap: ecall, handler of 4 instructions", 0x00000073)
ILLEGAL = Operation("trap: read of a CSR that is not there", 0x7C0023F3)
LINE_STATUS = Operation("device read: UART line status", 0x0054C383, 0x1000_0000)  # lbu t2, 5(s1)
MSIP = Operation("device write: CLINT msip", 0x0004A023, 0x0200_0000)  # sw zero, 0(s1)
CLAIM = Operation("device read: PLIC claim", 0x0044A383, 0x0C20_0000)  # lw t2, 4(s1)
MTIME = Operation("device read: CLINT mtime", 0xFF84A383, 0x0200_C000)  # lw t2, -8(s1)
RDTIME = Operation("counter read: rdtime", 0xC01023F3)
RDINSTRET = Operation("counter read: rdinstret", 0xC02023F3)


def loop_program(operation: Operation, repeats: int) -> bytes:
    """A raw binary that carries out ``operation`` ``repeats`` times and ends the run."""
    begin = (*_load(_S0, repeats), *_load(_S1, operation.device))
    loop = (operation.body, _addi(_S0, _S0, -1), _BNEZ_S0_MINUS_8)
    at_handler = 4 * (3 + len(begin) + len(loop) + len(_FINISH))
    vector = (_AUIPC_T1, _addi(_T1, _T1, at_handler), _CSRW_MTVEC_T1)
    return _binary(*vector, *begin, *loop, *_FINISH, *_SKIP_AND_RETURN)


# ---- timer ticks


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
    """A raw binary that ends after so many ticks."""
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
    return _binary(_AUIPC_T1, _addi(_T1, _T1, at_handler), _CSRW_MTVEC_T1, *begin, *loop, *handler)


# ---- address spaces


class Switch(Enum):
    """How a guest changes satp, again and again."""

    FENCED = "satp written, sfence.vma"
    """In M-mode, to the same value: only the change itself."""
    SPACES = "two address spaces"
    """In S-mode, each with an ASID, and four words in pages of their own are read in each."""


def switch_program(switch: Switch, xlen: int, repeats: int) -> bytes:
    """A raw binary that switches ``2 * repeats`` times and ends the run. Its tables and its data follow its code."""
    mode, asid, entry_bytes = (8 << 60, 1 << 44, 8) if xlen == 64 else (1 << 31, 1 << 22, 4)
    roots = (_RAM_BASE + 0x1000, _RAM_BASE + 0x2000)
    table = bytearray(2 * 4096)
    for number in range(2):
        for at in (0, _RAM_BASE):  # devices and RAM, each in a leaf of the root
            index = at >> (30 if xlen == 64 else 22)
            entry = (at >> 12 << 10 | 0xCF).to_bytes(entry_bytes, "little")
            where = number * 4096 + index * entry_bytes
            table[where : where + entry_bytes] = entry
    values = [mode | asid * (number + 1) | root >> 12 for number, root in enumerate(roots)]
    constants = b"".join(value.to_bytes(entry_bytes, "little") for value in values)
    load = _ld if xlen == 64 else _lw
    reads = tuple(_lw(_T1, base, 0) for base in (_S4, _S5, _S6, _S7))
    body = {
        Switch.FENCED: (_CSRW_SATP_S2, _SFENCE_VMA, _CSRW_SATP_S2, _SFENCE_VMA),
        Switch.SPACES: (_CSRW_SATP_S2, *reads, _CSRW_SATP_S3, *reads),
    }[switch]
    loop = (*body, _addi(_S0, _S0, -1), _bnez(_S0, -4 * (len(body) + 1)))
    to_s_mode = (
        _addi(_T0, _ZERO, -1), _CSRW_PMPADDR0_T0, _addi(_T0, _ZERO, 0x1F), _CSRW_PMPCFG0_T0,
        *_load(_T0, 0x800), _CSRW_MSTATUS_T0, _auipc(_T0, 0), _addi(_T0, _T0, 16), _CSRW_MEPC_T0, _MRET,
    )  # fmt: skip
    begin = (
        *_load(_S0, repeats), _auipc(_S1, 0), _addi(_S1, _S1, 0xC00 - 8 - 4096), _lui(_T0, 0x1000), _add(_S1, _S1, _T0),
        load(_S2, _S1, 0), load(_S3, _S1, entry_bytes),
        _auipc(_S4, 0x3000), *(_add(reg, reg - 1, _T0) for reg in (_S5, _S6, _S7)),
        *(to_s_mode if switch is Switch.SPACES else ()),
    )  # fmt: skip
    code = _binary(*begin, *loop, *_FINISH)
    assert len(code) <= 0xC00
    return code.ljust(0xC00, b"\0") + constants.ljust(0x400, b"\0") + bytes(table) + bytes(4 * 4096 + 4096)


# ---- several harts

HARTS = 4
"""How many there are, if nothing else is said."""
SHARED_AT = 0x1000
"""Where the harts share words, from the start of RAM."""


class Sharing(Enum):
    """What harts do with the words that they share, again and again; ``SHARED_AT`` has two."""

    NOTHING = "independent"
    """A product of its own, stored to a page of its own: 6 instructions."""
    LOCK = "one lock"
    """Take the lock, the first word, by AMO; count in the second, for 20 instructions; release, and 60 others."""
    TURNS = "in turn"
    """Wait until the first word is its own id, and put the next hart's there."""


def harts_program(sharing: Sharing, repeats: int, harts: int = HARTS) -> bytes:
    """A raw binary for ``harts`` harts: each does its part ``repeats`` times, and the last to be ready ends the run."""
    assert harts & harts - 1 == 0, "a power of two"
    pause = (_addi(_S4, _ZERO, 30), _addi(_S4, _S4, -1), _bnez(_S4, -4))
    body = {
        Sharing.NOTHING: (_lw(_T1, _S3, 0), _mul(_T1, _T1, _S2), _addi(_T1, _T1, 1), _sw(_S3, _T1, 0)),
        Sharing.LOCK: (
            _amoswap(_T1, _T0, _S1), _bnez(_T1, -4), _lw(_T1, _S1, 4), _addi(_S4, _ZERO, 8), _addi(_S4, _S4, -1),
            _bnez(_S4, -4), _addi(_T1, _T1, 1), _sw(_S1, _T1, 4), _amoswap(_ZERO, _ZERO, _S1), *pause,
        ),
        Sharing.TURNS: (_lw(_T1, _S1, 0), _bne(_T1, _S0, -4), _sw(_S1, _S5, 0)),
    }[sharing]  # fmt: skip
    begin = (
        _csrr(_S0, _MHARTID), _auipc(_S1, SHARED_AT), _addi(_S1, _S1, -4), *_load(_S2, repeats), _addi(_T0, _ZERO, 1),
        _addi(_S5, _S0, 1), _andi(_S5, _S5, harts - 1), _slli(_S3, _S5, 12), _add(_S3, _S3, _S1), _lui(_T2, SHARED_AT),
        _add(_S3, _S3, _T2), _addi(_S6, _S1, 8),
    )  # fmt: skip
    loop = (*body, _addi(_S2, _S2, -1), _bnez(_S2, -4 * (len(body) + 1)))
    end = (_amoadd(_T1, _T0, _S6), _addi(_T1, _T1, -(harts - 1)), _bnez(_T1, 4 * (len(_FINISH) + 1)), *_FINISH)
    return _binary(*begin, *loop, *end, _WFI, _jump(-4))


# ---- machine code

_ZERO, _T2, _S0 = 0, 7, 8
_MHARTID = 0xF14
_T0, _T1, _S1, _S2, _S3, _S4, _S5, _S6, _S7 = 5, 6, 9, 18, 19, 20, 21, 22, 23
_AUIPC_T1, _CSRW_MTVEC_T1, _CSRW_MIE_T0, _CSRSI_MSTATUS_MIE = 0x00000317, 0x30531073, 0x30429073, 0x30046073
_CSRW_SATP_S2, _CSRW_SATP_S3, _SFENCE_VMA = 0x18091073, 0x18099073, 0x12000073
_CSRW_PMPADDR0_T0, _CSRW_PMPCFG0_T0, _CSRW_MSTATUS_T0, _CSRW_MEPC_T0 = 0x3B029073, 0x3A029073, 0x30029073, 0x34129073
_WFI, _MRET = 0x10500073, 0x30200073
_BNEZ_S0_MINUS_8 = 0xFE041CE3
_SKIP_AND_RETURN = (0x34102E73, 0x004E0E13, 0x341E1073, _MRET)  # mepc += 4
_FINISH = (0x001002B7, 0x00005337, 0x55530313, 0x0062A023, 0x0000006F)  # store "pass" at the finisher; j .


def _binary(*words: int) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in words)


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


def _ld(rd: int, rs1: int, offset: int) -> int:
    return _lw(rd, rs1, offset) | 1 << 12


def _sw(rs1: int, rs2: int, offset: int) -> int:
    return (offset >> 5 & 0x7F) << 25 | rs2 << 20 | rs1 << 15 | 2 << 12 | (offset & 31) << 7 | 0x23


def _bne(rs1: int, rs2: int, offset: int) -> int:
    assert -2048 < offset < 2048
    low = (offset >> 1 & 15) << 8 | (offset >> 11 & 1) << 7
    return (offset >> 12 & 1) << 31 | (offset >> 5 & 63) << 25 | rs2 << 20 | rs1 << 15 | 1 << 12 | low | 0x63


def _bnez(rs1: int, offset: int) -> int:
    return _bne(rs1, _ZERO, offset)


def _auipc(rd: int, value: int) -> int:
    return (value & 0xFFFFF000) | rd << 7 | 0x17


def _andi(rd: int, rs1: int, value: int) -> int:
    return 7 << 12 | _addi(rd, rs1, value)


def _slli(rd: int, rs1: int, bits: int) -> int:
    return 1 << 12 | _addi(rd, rs1, bits)


def _csrr(rd: int, csr: int) -> int:
    return csr << 20 | 2 << 12 | rd << 7 | 0x73


def _amoadd(rd: int, rs2: int, rs1: int) -> int:
    return rs2 << 20 | rs1 << 15 | 2 << 12 | rd << 7 | 0x2F


def _amoswap(rd: int, rs2: int, rs1: int) -> int:
    return 1 << 27 | _amoadd(rd, rs2, rs1)


def _jump(offset: int) -> int:
    assert -2048 < offset < 0
    return 1 << 31 | (offset >> 1 & 0x3FF) << 21 | 1 << 20 | 0xFF << 12 | 0x6F
