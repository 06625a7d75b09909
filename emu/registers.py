"""Registers of CLINT, PLIC and UART as one structure each, which C works on too: see hart/_chips.h.

clint.py, plic.py and uart16550.py say what the registers do, all of it. C does the same with the accesses that a guest
makes all the time, where nothing but these structures, the hart's interrupt lines and its next deadline changes.
_contract.h is made from this file as well.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum
from typing import Any

from minstret.emu.irq import LevelKeeper

HARTS_MAX = 8
"""Of a board."""
PLIC_CONTEXTS_MAX = 2 * HARTS_MAX
PLIC_SOURCES = 53
"""Sources 1..53, as on QEMU's ``virt`` board; 0 means none."""
PLIC_CONTEXT, PLIC_CONTEXT_BITS = 0x200000, 12
"""Where the registers of context 0 begin, and how far the next are, as a power of two."""
PLIC_THRESHOLD, PLIC_CLAIM = 0x0, 0x4
"""Within a context. The second is claim to read, complete to write."""

CLINT_MTIMECMP = 0x4000
"""That of hart 0."""
TIMER_NEVER = 1 << 63
"""A deadline, ns, behind the end of time."""

UART_WINDOW = 0x100
SENT_MAX = 256
"""So many bytes are kept before they go out: see UartRegisters."""


class UartReg(IntEnum):
    """Register offsets. 0 is RBR to read, THR to write; 0 and 1 are the divisor latch while LCR.DLAB is set."""

    RBR_THR = 0
    IER = 1
    IIR_FCR = 2
    LCR = 3
    MCR = 4
    LSR = 5
    MSR = 6
    SCR = 7


class Ier(IntEnum):
    """Interrupt enables, bits."""

    RX_DATA = 0x01
    THR_EMPTY = 0x02
    LINE_STATUS = 0x04
    MODEM_STATUS = 0x08


class Iir(IntEnum):
    """Interrupt identification, in order of priority. Bit 0 is set where no interrupt is pending."""

    LINE_STATUS = 0x06
    RX_DATA = 0x04
    RX_TIMEOUT = 0x0C
    THR_EMPTY = 0x02
    MODEM_STATUS = 0x00
    NONE = 0x01


class Lsr(IntEnum):
    """Line status, bits."""

    DATA_READY = 0x01
    OVERRUN = 0x02
    THR_EMPTY = 0x20
    TRANSMITTER_EMPTY = 0x40


class Msr(IntEnum):
    """Modem status, bits; the low half notes changes since it was last read."""

    DELTA_CTS = 0x01
    DELTA_DSR = 0x02
    TRAILING_RI = 0x04
    DELTA_DCD = 0x08
    CTS = 0x10
    DSR = 0x20
    RI = 0x40
    DCD = 0x80


FIFO_SIZE = 16
LCR_DLAB = 0x80
MCR_LOOPBACK = 0x10
FCR_ENABLE = 0x01
IIR_FIFO_ENABLED = 0xC0
UART_ENUMS: tuple[tuple[str, type[IntEnum]], ...] = (
    ("UART", UartReg),
    ("IER", Ier),
    ("IIR", Iir),
    ("LSR", Lsr),
    ("MSR", Msr),
)
UART_NUMBERS = ("FIFO_SIZE", "LCR_DLAB", "MCR_LOOPBACK", "FCR_ENABLE", "IIR_FIFO_ENABLED", "UART_WINDOW", "SENT_MAX")
PLIC_NUMBERS = (
    "PLIC_SOURCES", "PLIC_CONTEXTS_MAX", "PLIC_CONTEXT", "PLIC_CONTEXT_BITS", "PLIC_THRESHOLD", "PLIC_CLAIM",
    "CLINT_MTIMECMP",
)  # fmt: skip
"""What C has too."""

_U64 = ctypes.c_uint64

PLIC_FIELDS: tuple[tuple[str, Any], ...] = (
    ("listeners", _U64),
    ("priority", _U64 * (PLIC_SOURCES + 1)),
    ("pending", _U64),
    ("claimed", _U64),
    ("levels", _U64),
    ("enable", _U64 * PLIC_CONTEXTS_MAX),
    ("threshold", _U64 * PLIC_CONTEXTS_MAX),
    ("outputs", _U64),
    ("claims", _U64 * (PLIC_SOURCES + 1)),
)
CLINT_FIELDS: tuple[tuple[str, Any], ...] = (
    ("listeners", _U64),
    ("mtimecmp", _U64 * HARTS_MAX),
    ("msip", _U64 * HARTS_MAX),
    ("mtime_delta", _U64),
    ("outputs", _U64),
    ("arms", _U64),
    ("is_set", _U64),
    ("deadline_ns", _U64),
)
UART_FIELDS: tuple[tuple[str, Any], ...] = (
    ("source", _U64),
    ("listeners", _U64),
    ("is_used", _U64),
    ("ier", _U64),
    ("fcr", _U64),
    ("lcr", _U64),
    ("mcr", _U64),
    ("scr", _U64),
    ("divisor", _U64),
    ("rx_count", _U64),
    ("overrun", _U64),
    ("msr_deltas", _U64),
    ("thr_empty_pending", _U64),
    ("rx_timeout_pending", _U64),
    ("output", _U64),
    ("keeps_sent", _U64),
    ("sent_count", _U64),
    ("sent", _U64 * SENT_MAX),
    ("sent_icount", _U64 * SENT_MAX),
    ("sent_ns", _U64),
    ("rx_fifo", ctypes.c_uint8 * FIFO_SIZE),
)
"""Names and types, in order."""


class PlicRegisters(ctypes.Structure):
    """The PLIC's. Bit ``n`` of ``pending``, ``claimed``, ``levels`` and of each ``enable`` is source ``n``.

    ``outputs``: the levels of the lines to the harts, by context. ``claims``: how often each source was claimed,
    statistics. ``listeners``: how many look at each change; while there are any, C answers nothing.
    """

    listeners: int
    priority: Any
    pending: int
    claimed: int
    levels: int
    enable: Any
    threshold: Any
    claims: Any
    _fields_ = list(PLIC_FIELDS)


class UartRegisters(ctypes.Structure):
    """The UART's, with ``rx_count`` bytes in ``rx_fifo``; ``output`` is the level of its line to ``source``.

    ``is_used``: it makes no difference any more to the host side that the guest uses its receiver. ``keeps_sent``: what
    C is given to send may wait, in ``sent``, with the instruction that sent it, until Python's turn comes next; the
    last was sent at ``sent_ns``.
    """

    listeners: int
    is_used: int
    ier: int
    fcr: int
    lcr: int
    mcr: int
    scr: int
    divisor: int
    rx_count: int
    rx_fifo: Any
    overrun: int
    msr_deltas: int
    thr_empty_pending: int
    rx_timeout_pending: int
    keeps_sent: int
    sent_count: int
    sent: Any
    sent_icount: Any
    sent_ns: int
    _fields_ = list(UART_FIELDS)


class ClintRegisters(ctypes.Structure):
    """The CLINT's, by hart. ``outputs``: the levels of the lines of its timers.

    ``is_set``: C has set the timer of hart 0 to ``deadline_ns``, TIMER_NEVER for none, and armed it ``arms`` times.
    """

    listeners: int
    mtimecmp: Any
    msip: Any
    mtime_delta: int
    arms: int
    is_set: int
    deadline_ns: int
    _fields_ = list(CLINT_FIELDS)


Registers = PlicRegisters | UartRegisters | ClintRegisters


class BitKeeper(LevelKeeper):
    """Keeps the level of a line as one bit of a field of such a structure, and counts who listens to the line there."""

    def __init__(self, registers: Registers, name: str, bit: int = 0) -> None:
        self._registers, self._name, self._bit = registers, name, 1 << bit

    def level(self) -> bool:
        return bool(getattr(self._registers, self._name) & self._bit)

    def set_level(self, level: bool) -> bool:
        word = getattr(self._registers, self._name)
        if bool(word & self._bit) == level:
            return False
        setattr(self._registers, self._name, word ^ self._bit)
        return True

    def listen(self, more: int) -> None:
        self._registers.listeners += more
