"""Guests that access the registers of CLINT, PLIC and UART at random, for comparing C with Python."""

from __future__ import annotations

import random

from support import asm
from support.asm import S0, S1, T0, T1, T2, ZERO

from minstret.devices.board.map import IRQ, Base
from minstret.devices.chips.clint import Reg as ClintReg
from minstret.devices.chips.plic import Base as PlicBase
from minstret.devices.chips.uart16550 import Lsr, Reg

SOURCES = (int(IRQ.UART0), 1, 11, 53)
RESULTS = 0x10000
"""Where what was read is stored, from the start of RAM."""


def traffic(pick: random.Random, accesses: int) -> bytes:
    """Code in M-mode that makes so many accesses, with interrupts on some of the time, and ends in a loop.

    Its handler claims, looks at the UART, and completes; it leaves a storm of interrupts after a while.
    """
    body: list[int] = []
    for _ in range(accesses):
        body += pick.choices((_uart, _plic, _text, _clint, _interrupts), (6, 4, 2, 4, 1))[0](pick)
    handler = [
        *asm.li(T0, Base.CLINT + ClintReg.MTIMECMP), *asm.li(T1, -1), asm.sw(T1, T0, 4),
        *asm.li(T0, Base.PLIC + PlicBase.CONTEXT), asm.lw(T1, T0, 4), *_keep(T1),
        *asm.li(T2, Base.UART0), asm.lb(T1, T2, Reg.IIR_FCR), *_keep(T1), asm.lb(T1, T2, Reg.LSR), *_keep(T1),
        asm.lb(T1, T2, Reg.RBR_THR), *_keep(T1), *asm.li(T1, pick.choice((0, 1, 3))), asm.sb(T1, T2, Reg.IER),
        asm.lw(T1, S0, -4), asm.lw(T1, T0, 4), asm.sw(T1, T0, 4), *asm.li(T1, IRQ.UART0), asm.sw(T1, T0, 4), asm.MRET,
    ]  # fmt: skip
    begin = [*asm.li(S0, Base.RAM + RESULTS), *_device_set_up(pick), asm.addi(S1, ZERO, 0)]
    vector = [asm.auipc(T0, 0), asm.addi(T0, T0, 16), asm.csrw("mtvec", T0), asm.jal(ZERO, 4 * (1 + len(handler)))]
    return asm.code(vector, handler, begin, body, asm.LOOP)


def _keep(register: int) -> list[int]:
    """Store a register behind what was stored before."""
    return [asm.sw(register, S0, 0), asm.addi(S0, S0, 4)]


def _device_set_up(pick: random.Random) -> list[int]:
    words = [*asm.li(T0, 1 << 11 | 1 << 9 | 1 << 7), asm.csrw("mie", T0)]
    for source in SOURCES:
        words += _store(Base.PLIC + 4 * source, pick.randrange(8))
    enabled = sum(1 << source for source in SOURCES if pick.random() < 0.8)
    for context in (0, 1):
        words += _store(Base.PLIC + PlicBase.ENABLE + 0x80 * context, enabled & 0xFFFF_FFFF)
        words += _store(Base.PLIC + PlicBase.ENABLE + 0x80 * context + 4, enabled >> 32)
    return words


def _store(address: int, value: int, size: int = 4) -> list[int]:
    store = {1: asm.sb, 2: asm.sh, 4: asm.sw}[size]
    return [*asm.li(T0, address), *asm.li(T1, _signed(value)), store(T1, T0, 0)]


def _load(address: int, size: int = 4) -> list[int]:
    load = {1: asm.lb, 2: asm.lhu, 4: asm.lw}[size]
    return [*asm.li(T0, address), load(T1, T0, 0), *_keep(T1)]


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value


def _uart(pick: random.Random) -> list[int]:
    register, size = pick.randrange(9), pick.choice((1, 1, 1, 2, 4))
    if pick.random() < 0.5:
        return _load(Base.UART0 + register, size)
    if register == Reg.LCR:
        value = pick.choice((3, 3, 3, 0x83))
    elif register == Reg.MCR:
        value = pick.choice((0, 8, 8, 8, 0x10, 0x1F))
    else:
        value = pick.randrange(256)
    return _store(Base.UART0 + register, value, size)


def _plic(pick: random.Random) -> list[int]:
    context = Base.PLIC + PlicBase.CONTEXT + 0x1000 * pick.choice((0, 0, 1, 1, 2))
    kind = pick.randrange(8)
    if kind < 3:
        return _load(context + 4, pick.choice((4, 4, 4, 2)))
    if kind < 6:
        return _store(context + 4, pick.choice((*SOURCES, 0, 54, 64, 0xFFFF_FFFF)))
    if kind == 6:
        return _store(context, pick.randrange(8))
    return _load(Base.PLIC + PlicBase.PENDING)


def _clint(pick: random.Random) -> list[int]:
    half, size = pick.choice((0, 0, 0, 4)), pick.choice((4, 4, 4, 4, 2, 1))
    if pick.random() < 0.3:
        return _load(Base.CLINT + ClintReg.MTIMECMP + half, size)
    if pick.random() < 0.05:
        return _store(Base.CLINT + ClintReg.MTIME + half, pick.choice((0, 1, 1000, 0xFFFF_FFFF)))
    words = [*asm.li(T0, Base.CLINT + ClintReg.MTIME), asm.lw(T1, T0, 0), *asm.li(T0, Base.CLINT + ClintReg.MTIMECMP)]
    if pick.random() < 0.6:  # what a driver does: so many ticks from now, the upper half being 0
        store = pick.choice((asm.sd, asm.sw))
        return [*words, asm.addi(T1, T1, pick.randrange(-2, 40)), store(T1, T0, 0), asm.sw(ZERO, T0, 4)]
    return _store(Base.CLINT + ClintReg.MTIMECMP + half, pick.choice((0, 0, 1, 60, 0xFFFF_FFFF)), size)


def _text(pick: random.Random) -> list[int]:
    """What a driver does: look whether there is room, and send."""
    words: list[int] = []
    for byte in pick.randbytes(pick.randrange(1, 12)):
        words += [*_load(Base.UART0 + Reg.LSR, 1), asm.andi(T2, T1, Lsr.THR_EMPTY), *_store(Base.UART0, byte, 1)]
    return words


def _interrupts(pick: random.Random) -> list[int]:
    change = asm.csrrsi if pick.random() < 0.5 else asm.csrrci
    return [change(ZERO, "mstatus", 8)]
