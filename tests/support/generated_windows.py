"""Programs that look through a window: 16 adjacent virtual pages of every kind, accessed at and across their ends.

As those of generated_code.py they are random, the same for the same seed, and make no sense. They run in S-mode, or
in M-mode with MPRV; the window has data, the program's own code, its page tables, the entries of the window itself,
pages that are slow because of a watch, devices, the boot ROM, what may only be read, and nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from support.asm import (
    A0,
    A1,
    A2,
    A3,
    A4,
    MRET,
    NOP,
    RA,
    S0,
    T0,
    T1,
    T2,
    T3,
    T4,
    T5,
    T6,
    ZERO,
    add,
    addi,
    code,
    csrr,
    csrrw,
    csrw,
    jalr,
    lb,
    ld,
    lhu,
    lw,
    sb,
    sd,
    sh,
    slli,
    sw,
)  # fmt: skip
from support.generated_code import (
    DATA,
    EQ,
    LOG,
    NE,
    PAGE,
    PTE_A,
    PTE_D,
    PTE_R,
    PTE_V,
    PTE_W,
    PTE_X,
    RAM,
    RAM_SIZE,
    UP,
    WATCHED,
    Program,
    Text,
)

from minstret.devices.board.map import Base

HANDLER, SAVE, ROOT, MIDDLE, IDENTITY, WINDOW, TOP, CODE, SUBROUTINES = (
    0x1000, 0x3000, 0x4000, 0x5000, 0x6000, 0x7000, 0x8000, 0x10000, 0x14000,
)  # fmt: skip
"""Offsets in RAM: what traps lead to and its memory; tables and their leaves; code."""
CODE_START, CODE_SIZE = 64, 0x1700
PAGES, AT = 16, 0x4000_0000
"""The window's pages, and its virtual address."""
COUNT = 21
ALL = PTE_V | PTE_R | PTE_W | PTE_X | PTE_A | PTE_D
RAM_PAGES = (
    DATA, DATA + PAGE, WATCHED, WATCHED, CODE, CODE + PAGE, SUBROUTINES, SUBROUTINES, IDENTITY, WINDOW, WINDOW, ROOT,
)  # fmt: skip
OTHERS = (
    (int(Base.UART0), ALL & ~PTE_X), (int(Base.CLINT) + 0x4000, ALL & ~PTE_X), (int(Base.RTC), ALL & ~PTE_X),
    (int(Base.BOOT_ROM), ALL & ~PTE_W), (RAM + DATA, PTE_V | PTE_R | PTE_A), None,
)  # fmt: skip
"""Devices, the boot ROM, what may only be read, nothing: physical address and flags."""
LR, SC, AMOS = 2, 3, (0, 1, 4, 8, 12, 28)
"""The upper five bits of atomics."""


def generate_windows(seed: str, xlen: int) -> Program:
    """The program of that seed."""
    pick = random.Random(f"window/{seed}/{xlen}")
    program = Program(seed, xlen, icount_shift=pick.choice((0, 1)))
    _Maker(program, pick).make()
    return program


def atomic(function: int, size: int, rd: int, rs1: int, rs2: int) -> int:
    """``size`` as the instructions have it: 2 for a word, 3 for a double word."""
    return function << 27 | rs2 << 20 | rs1 << 15 | size << 12 | rd << 7 | 0x2F


class _Maker:
    def __init__(self, program: Program, pick: random.Random) -> None:
        self.program, self.pick, self.xlen = program, pick, program.xlen
        self.word = self.xlen // 8
        self.entries = [self._entry() for _ in range(PAGES)]
        self.text = Text(CODE + CODE_START, self.xlen)

    def make(self) -> None:
        pieces = self.program.pieces
        pieces += self._tables()
        words = [
            self.pick.choice((NOP, addi(A0, A0, 1), self.pick.getrandbits(32))).to_bytes(4, "little")
            for _ in range(8 * PAGE // 4)
        ]
        pieces.append((DATA, b"".join(words)))
        pieces += [self._start().finish(), self._handler().finish(), (CODE, code([NOP] * (CODE_START // 4)))]
        pieces.append((SUBROUTINES, b"".join(
            code(addi(A0, A0, at & 15), self.pick.choice((NOP, addi(A1, A1, 1))), addi(A0, A0, 3), jalr(ZERO, RA, 0))
            for at in range(PAGE // 16)
        )))  # fmt: skip
        number = 0
        while len(self.text.data) < CODE_SIZE:
            self._unit(f"{number}")
            number += 1
        self.text.ram(T3, CODE + CODE_START)
        self.text.emit(jalr(ZERO, T3, 0))
        pieces.append(self.text.finish())

    # ---- tables

    def _entry(self) -> int:
        if self.pick.random() < 0.65:
            flags = self.pick.choice((ALL, ALL, ALL, ALL & ~(PTE_A | PTE_D), ALL & ~PTE_D))
            return RAM + self.pick.choice(RAM_PAGES) >> 2 | flags
        other = self.pick.choice(OTHERS)
        return 0 if other is None else other[0] >> 2 | other[1]

    def _tables(self) -> list[tuple[int, bytes]]:
        def entries(*values: int) -> bytes:
            return b"".join(value.to_bytes(self.word, "little") for value in values)

        identity = [
            RAM + page * PAGE >> 2 | (ALL if self.pick.random() < 0.9 else ALL & ~(PTE_A | PTE_D))
            for page in range(RAM_SIZE // PAGE)
        ]
        pieces = [(WINDOW, entries(*self.entries)), (IDENTITY, entries(*identity))]
        to = {name: RAM + name >> 2 | PTE_V for name in (WINDOW, IDENTITY, MIDDLE, TOP)}
        if self.xlen == 64:
            pieces += [(ROOT, entries(0, to[MIDDLE], to[TOP])), (MIDDLE, entries(to[WINDOW]))]
            pieces.append((TOP, entries(to[IDENTITY])))
        else:
            pieces.append((ROOT + (AT >> 22) * 4, entries(to[WINDOW])))
            pieces.append((ROOT + (RAM >> 22) * 4, entries(to[IDENTITY])))
        return pieces

    # ---- start and traps

    def _start(self) -> Text:
        text, pick = Text(0, self.xlen), self.pick
        text.constant(T0, 0xFFFFFFFF)
        text.emit(csrw("pmpaddr3", T0))
        settings = 0x1F << 24
        if pick.random() < 0.3:  # eight bytes, or sixteen, with rights of their own
            at = pick.choice((DATA, CODE + 0x800, SUBROUTINES, WATCHED, WINDOW, DATA + PAGE))
            text.constant(T0, (RAM + at + pick.choice((0, 8, PAGE - 8)) >> 2) | pick.choice((0, 1)))
            text.emit(csrw("pmpaddr0", T0))
            settings |= 0x18 | pick.choice((7, 5, 1, 4, 3)) | pick.choice((0, 0x80))
        text.constant(T0, settings)
        text.emit(csrw("pmpcfg0", T0))
        text.ram(T0, HANDLER)
        text.emit(csrw("mtvec", T0))
        text.ram(T0, SAVE)
        text.emit(csrw("mscratch", T0))
        text.constant(T0, RAM + ROOT >> 12)
        mode, bit = (8, 60) if self.xlen == 64 else (1, 31)
        text.emit(addi(T1, ZERO, mode), slli(T1, T1, bit), add(T0, T0, T1), csrw("satp", T0))
        is_supervisor = pick.random() < 0.67
        status = 0x6000 | 0x800 | 1 << 18 | pick.choice((0, 1 << 19)) | (0 if is_supervisor else 1 << 17)
        text.constant(T0, status)
        text.emit(csrw("mstatus", T0))
        text.ram(T0, CODE + CODE_START)
        text.emit(*((csrw("mepc", T0), MRET) if is_supervisor else (jalr(ZERO, T0, 0),)))
        return text

    def _handler(self) -> Text:
        """Log the trap; continue after the instruction that trapped, or at the next unit if there is none."""
        text = Text(HANDLER, self.xlen)
        text.emit(csrrw(T6, "mscratch", T6))
        text.store(T5, T6, 0)
        text.store(T4, T6, 8)
        text.emit(csrr(T5, "mcause"), add(LOG, LOG, T5), csrr(T5, "mtval"), add(LOG, LOG, T5), csrr(T4, "mepc"))
        text.emit(slli(LOG, LOG, 1), add(LOG, LOG, T4), csrr(T5, "mcause"))
        for step in (1, 11):  # 1 and 12: a fetch
            text.emit(addi(T5, T5, -step))
            text.branch(EQ, T5, ZERO, "fetch")
        text.emit(addi(T4, T4, 4))
        text.jump("out")
        text.label("fetch")
        text.emit(addi(T4, UP, 0))
        text.label("out")
        text.emit(csrw("mepc", T4))
        text.load(T4, T6, 8)
        text.load(T5, T6, 0)
        text.emit(csrrw(T6, "mscratch", T6), MRET)
        return text

    # ---- units

    def _unit(self, name: str) -> None:
        """Some accesses around the start of one of the window's pages, perhaps again and again."""
        text, pick = self.text, self.pick
        text.address(UP, f"end{name}")
        page = pick.randrange(1, PAGES)
        offset = pick.choice((-8, -4, 0, 4, 8, -16, *range(-9, 9)))
        if pick.random() < 0.2:
            offset = pick.randrange(-PAGE, PAGE) & -8
        if self.entries[page] >> 10 == RAM + WINDOW >> 12 and pick.random() < 0.5:
            offset = pick.randrange(PAGES) * self.word
        text.constant(S0, AT + page * PAGE + offset)
        self._value()
        is_loop = pick.random() < 0.1
        if is_loop:
            text.emit(addi(COUNT, ZERO, pick.choice((3, 20, 270))))
            text.label(f"again{name}")
        for _ in range(pick.randint(1, 4)):
            pick.choice(self._accesses)(self)
        if is_loop:
            text.emit(addi(COUNT, COUNT, -1))
            text.branch(NE, COUNT, ZERO, f"again{name}")
        text.label(f"end{name}")

    def _value(self) -> None:
        """The value to store: any value, an instruction, a page table entry, flags of one, or the old value."""
        pick = self.pick
        values = pick.choice((
            (pick.getrandbits(32),), (NOP, addi(A0, A0, 2), jalr(ZERO, RA, 0), 0x0001_0001), self.entries,
            (0, PTE_A, PTE_D, PTE_W, PTE_X, PTE_V), None,
        ))  # fmt: skip
        if values is not None:
            self.text.constant(T1, pick.choice(values) & 0xFFFF_FFFF)
        if self.xlen == 64 and pick.random() < 0.5:
            self.text.emit(slli(T2, T1, 32), add(T1, T1, T2))

    def _size(self) -> int:
        return self.pick.choice((2, 3)) if self.xlen == 64 else 2

    def _near(self) -> int:
        return self.pick.choice((0, 0, 0, self.pick.randrange(-8, 8)))

    def _store(self) -> None:
        self.text.emit(self.pick.choice((sb, sh, sw, sd if self.xlen == 64 else sw))(T1, S0, self._near()))

    def _load(self) -> None:
        load = self.pick.choice((lw, lb, lhu, ld if self.xlen == 64 else lw))
        self.text.emit(load(self.pick.choice((A0, A1, A2, T1)), S0, self._near()))

    def _amo(self) -> None:
        self.text.emit(atomic(self.pick.choice(AMOS), self._size(), self.pick.choice((A0, T1)), S0, T1))

    def _lr(self) -> None:
        self.text.emit(atomic(LR, self._size(), A0, S0, ZERO))

    def _lr_sc(self) -> None:
        size = self._size()
        self.text.emit(atomic(LR, size, A0, S0, ZERO), atomic(SC, size, A2, S0, self.pick.choice((A0, T1))))

    def _float(self) -> None:
        self.text.emit(S0 << 15 | 3 << 12 | 10 << 7 | 0x07, 10 << 20 | S0 << 15 | 3 << 12 | 0x27)  # fld, fsd

    def _call(self) -> None:
        self.text.ram(T3, SUBROUTINES + 16 * self.pick.randrange(PAGE // 16))
        self.text.emit(jalr(RA, T3, 0))

    def _call_into_the_window(self) -> None:
        place = self.pick.randrange(PAGES) * PAGE + self.pick.choice((0, 16, PAGE - 16, PAGE - 2, PAGE - 4))
        self.text.constant(T3, AT + place)
        self.text.emit(jalr(RA, T3, 0))

    def _count(self) -> None:
        self.text.emit(addi(A3, A3, 1), csrr(A4, "instret"))

    _accesses: tuple[Callable[[_Maker], None], ...] = (
        _store, _store, _store, _load, _load, _amo, _lr, _lr_sc, _float, _call, _call_into_the_window, _count,
    )  # fmt: skip
