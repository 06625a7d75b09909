"""Programs that look for a difference between ways of counting: random, but the same for the same seed.

A program is a list of units that it goes through again and again. It changes privilege and address space, takes traps
and interrupts in handlers that log what they saw, patches itself, and edits its own page tables. Nothing about it has
to make sense: it only has to be the same run, however it is counted and cut.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from support.asm import (
    A0,
    A1,
    A2,
    A3,
    A4,
    A5,
    C_EBREAK,
    C_NOP,
    EBREAK,
    ECALL,
    FENCE_I,
    MRET,
    NOP,
    RA,
    S0,
    SFENCE_VMA,
    SRET,
    T0,
    T1,
    T2,
    T3,
    T4,
    T5,
    T6,
    WFI,
    ZERO,
    add,
    addi,
    amoadd_w,
    and_,
    andi,
    auipc,
    csrr,
    csrrc,
    csrrs,
    csrrsi,
    csrrw,
    csrrwi,
    csrw,
    jal,
    jalr,
    lb,
    ld,
    lhu,
    li,
    lr_w,
    lui,
    lw,
    sb,
    sc_w,
    sd,
    sh,
    sll,
    slli,
    srli,
    sub,
    sw,
    xor,
)  # fmt: skip
from support.virtio_driver import descriptor

from minstret.devices.board.map import VIRTIO_SLOTS, Base, virtio_base
from minstret.devices.services.semihosting import Op
from minstret.devices.virtio.constants import DescFlag, Reg
from minstret.emu.clock import NS_PER_TICK, VIRTUAL_NS_MAX
from minstret.emu.hart.cpu import Feature
from minstret.emu.hart.extensions import ROWS, TRANSLATED, Form

RAM = int(Base.RAM)
RAM_SIZE = 256 << 10
PAGE = 4096
M_HANDLER, S_HANDLER, SAVE, TABLES, UNITS, SWITCHED, OTHER, DATA = (
    0x1000, 0x2000, 0x3000, 0x4000, 0x10000, 0x1C000, 0x20000, 0x28000,
)  # fmt: skip
"""Offsets in RAM. Pages at SWITCHED are those at OTHER in the second address space."""
QUEUE, AVAIL, STUBS, USED, ROOM = 0x30000, 0x30800, 0x30A00, 0x30C00, 0x31400
"""What the device in the last virtio slot works with, and code beside it: stubs of 16 bytes."""
QUEUE_SIZE, STUB_COUNT, ROOM_SIZE = 128, 32, 256
SWITCHED_PAGES, DATA_PAGES = 2, 8
WATCHED = DATA + 3 * PAGE
EQ, NE, LT = 0, 1, 4
"""The conditions of branches."""
USER_RAM, USER_IO = 0x4000_0000, 0x5000_0000
"""Where user mode sees RAM and the devices; the supervisor sees them where they are."""
ENTRY_STEP = 64
"""Bytes between the entries into the switched pages."""

COUNT, INNER, UP, SEED, LOG, IO_DELTA = 21, 22, 24, 25, 26, 19
"""Registers with a purpose: loop counters, the next unit, the handlers' random state and log."""
RANDOM = (T0, T1, T2, A0, A1, A2, A3, A4, A5, 16)
SHORT = (A0, A1, A2, A3, A4, A5)
"""Registers that random instructions may change, and those of them that compressed code reaches."""
SERVICE = 17
OTHER_SPACE, STAY, RESTART = 4, 8, 16

MSIP, MTIMECMP, MTIME = 0x0200_0000, 0x0200_4000, 0x0200_BFF8
UART_IER, UART_LSR, UART_SCRATCH, UART = 0x1000_0001, 0x1000_0005, 0x1000_0007, 0x1000_0000
PLIC_PRIORITY, PLIC_ENABLE, PLIC_CLAIM = 0x0C00_0028, 0x0C00_2000, 0x0C20_0004
VIRTIO, FINISHER, RESET = virtio_base(VIRTIO_SLOTS - 1), int(Base.FINISHER), 0x7777
NOTHING = 0x0300_0000
RTC_TIME, RTC_IRQ_ENABLED = 0x0010_1000, 0x0010_1010
FAR_TICKS = (1 << 64, *[VIRTUAL_NS_MAX // NS_PER_TICK] * 3, 1 << 63, 1 << 55)
"""Where mtime wraps; where virtual time ends; where signed numbers do; a long way."""
SPECIAL_FLOATS = (
    0, 1 << 31, 0x3F80_0000, 0x7F80_0000, 0xFF80_0000, 0x7FC0_0000, 0x7F80_0001, 1, 0x0080_0000, 0x7F7F_FFFF,
    0xFFFF_FFFF, 0x3380_0000,
)  # fmt: skip
"""In single precision; in the upper half of a double word some of them are special as doubles."""
PTE_V, PTE_R, PTE_W, PTE_X, PTE_U, PTE_A, PTE_D, PTE_N = 1, 2, 4, 8, 16, 64, 128, 1 << 63
SINVAL_VMA, SFENCE_W_INVAL, SFENCE_INVAL_IR = 0x16000073, 0x18000073, 0x18100073
UPPER_TABLES = 0x38000
"""Tables above those of Sv39, which more levels than three have: two for each address space."""
UPPER_ENTRIES = {4: ((0, 1, 255, 256, 511),), 5: ((0, 1, 16, 64, 255, 256, 511), (0, 1, 511))}
"""By levels, from the root on: the entries that lead to the same next table."""
NAPOT_PAGES = range(0x20, 0x30)
"""These may be mapped by entries that are for all of them."""
ON_BLOCKS = tuple(row for row in ROWS if row.feature in (Feature.ZICBOM, Feature.ZICBOZ))
(CBO_ZERO,) = (row.match for row in ON_BLOCKS if row.feature is Feature.ZICBOZ)
COMPUTING = tuple(row for row in ROWS if row.feature & TRANSLATED or row.feature is Feature.ZAWRS)
"""The instructions that Unicorn does not know, without those on cache blocks."""


class Text:
    """Machine code that grows at ``base``, an offset in RAM, with labels."""

    def __init__(self, base: int, xlen: int) -> None:
        self.base, self.xlen = base, xlen
        self.data = bytearray()
        self._labels: dict[str, int] = {}
        self._fixups: list[tuple[int, str, Callable[[int], int]]] = []

    @property
    def here(self) -> int:
        return self.base + len(self.data)

    def emit(self, *words: int) -> None:
        for word in words:
            self.data += word.to_bytes(4 if word & 3 == 3 else 2, "little")

    def label(self, name: str) -> None:
        assert name not in self._labels
        self._labels[name] = self.here

    def refer(self, name: str, make: Callable[[int], int]) -> None:
        """Four bytes: the instruction that ``make`` returns for the distance to the label."""
        self._fixups.append((len(self.data), name, make))
        self.data += bytes(4)

    def jump(self, name: str, rd: int = ZERO) -> None:
        self.refer(name, lambda distance: jal(rd, distance))

    def branch(self, funct3: int, rs1: int, rs2: int, name: str) -> None:
        base = rs2 << 20 | rs1 << 15 | funct3 << 12 | 0x63
        self.refer(
            name, lambda d: base | (d >> 12 & 1) << 31 | (d >> 5 & 63) << 25 | (d >> 1 & 15) << 8 | (d >> 11 & 1) << 7
        )

    def address(self, rd: int, name: str) -> None:
        self.refer(name, lambda distance: auipc(rd, distance + 0x800 >> 12))
        self.refer(name, lambda distance: addi(rd, rd, distance + 4))

    def ram(self, rd: int, offset: int) -> None:
        """Load the address of ``offset`` in RAM, as the code's address space and privilege see it."""
        distance = offset - self.here
        self.emit(auipc(rd, distance + 0x800 >> 12), addi(rd, rd, distance))

    def io(self, rd: int, address: int) -> None:
        """Load the address of a device."""
        self.emit(lui(rd, address + 0x800 >> 12), addi(rd, rd, address), add(rd, rd, IO_DELTA))

    def constant(self, rd: int, value: int) -> None:
        self.emit(*li(rd, value))

    def load(self, rd: int, rs1: int, imm: int) -> None:
        self.emit(ld(rd, rs1, imm) if self.xlen == 64 else lw(rd, rs1, imm))

    def store(self, rs2: int, rs1: int, imm: int) -> None:
        self.emit(sd(rs2, rs1, imm) if self.xlen == 64 else sw(rs2, rs1, imm))

    def finish(self) -> tuple[int, bytes]:
        for at, name, make in self._fixups:
            self.data[at : at + 4] = make(self._labels[name] - self.base - at).to_bytes(4, "little")
        return self.base, bytes(self.data)


@dataclass(slots=True)
class Program:
    """A program: the content of RAM, and the board that it is for."""

    seed: str
    xlen: int
    icount_shift: int
    pieces: list[tuple[int, bytes]] = field(default_factory=list)
    units: list[str] = field(default_factory=list)

    def image(self) -> bytes:
        ram = bytearray(RAM_SIZE)
        for offset, data in self.pieces:
            ram[offset : offset + len(data)] = data
        return bytes(ram)


def generate(
    seed: str, xlen: int, *, is_portable: bool = False, is_quiet: bool = False, has_finer_rights: bool = False,
    levels: int = 3,
) -> Program:  # fmt: skip
    """The program of that seed.

    A portable one fences what it stores to code and page tables: another implementation of the specifications does
    the same. A quiet one takes no interrupts. One with finer rights runs in pages where PMP rights differ within the
    page, and has many instructions that are illegal or special. More ``levels`` of page tables than three are those of
    Sv48 and Sv57; then it also goes to addresses that only these have, some of its pages are mapped by Svnapot, or
    have bits of Svpbmt; it fences by Svinval, and perhaps sets the A and D bits itself.
    """
    pick = random.Random(f"{seed}/{xlen}")
    program = Program(seed, xlen, icount_shift=pick.choice((0, 1, 7)))
    maker = (_MakerWithFinerRights if has_finer_rights else _Maker)(program, pick, is_portable, is_quiet)
    maker.levels = levels
    maker.make()
    return program


def generate_finer_rights(seed: str, xlen: int) -> Program:
    """The program of that seed with finer rights."""
    return generate(seed, xlen, has_finer_rights=True)


def generate_more_levels(seed: str, xlen: int) -> Program:
    """The program of that seed under Sv48 or Sv57; on rv32, which has neither, under Sv32."""
    return generate(seed, xlen, levels=random.Random(f"levels/{seed}").choice((4, 5)) if xlen == 64 else 3)


class _Maker:
    def __init__(self, program: Program, pick: random.Random, is_portable: bool, is_quiet: bool) -> None:
        self.program, self.pick, self.xlen = program, pick, program.xlen
        self.is_portable, self.is_quiet = is_portable, is_quiet
        self.word = self.xlen // 8
        self.text = Text(UNITS, self.xlen)
        self.labels = 0
        self.levels = 3
        self.patchable: list[str] = []
        self.chains: list[list[tuple[int | str, int, int]]] = []
        """For the device: pieces of (label, or offset in RAM; bytes behind that; size)."""

    def fresh(self) -> str:
        self.labels += 1
        return f"l{self.labels}"

    # ---- the whole

    def make(self) -> None:
        pieces = self.program.pieces
        pieces.append(self._start().finish())
        pieces.append(self._machine_handler().finish())
        pieces.append(self._supervisor_handler().finish())
        pieces += self._switched_pages()
        pieces += self._tables()
        data = bytes(self.pick.randrange(256) for _ in range(256))
        pieces.append((DATA, data * (DATA_PAGES * PAGE // 256)))
        for number, kind in enumerate(self._choose_units()):
            self._unit(number, kind)
        self._end_of_units()
        pieces.append(self.text.finish())
        pieces += self._queue()

    def _choose_units(self) -> list[Callable[[], None]]:
        kinds = (
            self.straight, self.straight, self.loops, self.branches, self.overlap, self.across_a_page, self.patch,
            self.device, self.device, self.pointers, self.reservation, self.atomics, self.trap, self.trap,
            self.service, self.service, self.counters, self.control, self.control, self.floating, self.sleep,
            self.table_edit, self.many_writes, self.elsewhere, self.switched, self.switched, self.timer, self.timer,
            self.supervisor_timer, self.supervisor_timer, self.later_csrs, self.cache_block, self.cache_block,
            self.software_interrupt, self.protection, self.long_block, self.far_time, self.alarm,
            self.data_beside_code, self.reborn, self.overwrites_itself, self.torn, self.entry_as_code,
            self.entry_of_itself, self.dma, self.dma, self.dma, self.board_reset,
            self.semihosting, self.semihosting,
        )  # fmt: skip
        if self.is_portable:  # others have another RTC, no end of time, and A bits set ahead
            kinds = tuple(kind for kind in kinds if kind not in (
                self.far_time, self.alarm, self.entry_as_code, self.entry_of_itself, self.dma, self.board_reset,
                self.semihosting,
            ))  # fmt: skip
        if self.levels > 3:
            if self.is_portable:  # not a matter of page tables, and senvcfg.FIOM is not there in Spike
                kinds = tuple(kind for kind in kinds if kind not in (self.later_csrs, self.supervisor_timer))
            kinds += (self.far_address, self.far_address, self.table_edit)
        if self.is_quiet:
            kinds = tuple(kind for kind in kinds if kind not in (
                self.sleep, self.timer, self.supervisor_timer, self.software_interrupt, self.far_time, self.alarm,
            ))  # fmt: skip
        favourites = self.pick.sample(kinds, self.pick.randint(3, 9))
        return [
            self.pick.choice(favourites if self.pick.random() < 0.7 else kinds) for _ in range(self.pick.randint(4, 24))
        ]

    def _unit(self, number: int, kind: Callable[[], None]) -> None:
        if len(self.text.data) > SWITCHED - UNITS - 0x1800:
            return
        self.program.units.append(f"{self.text.here:#x} {kind.__name__}")
        self.text.label(f"unit{number}")
        end = self.fresh()
        self.text.address(UP, end)
        if self.pick.random() < 0.5:
            self.filler(self.pick.randint(0, 6))
        self.text.ram(S0, DATA + self.pick.randrange(DATA_PAGES) * PAGE + 8 * self.pick.randrange(200))
        kind()
        if self.pick.random() < 0.3:
            self.filler(self.pick.randint(1, 5))
        self.text.label(end)

    def _end_of_units(self) -> None:
        self.text.ram(UP, UNITS)
        self.text.emit(jalr(ZERO, UP, 0))

    # ---- handlers

    def _start(self) -> Text:
        text, pick = Text(0, self.xlen), self.pick
        text.constant(T0, 0xFFFFFFFF)
        text.emit(csrw("pmpaddr3", T0))
        text.constant(T0, 0x1F << 24)
        text.emit(csrw("pmpcfg0", T0))
        text.ram(T0, M_HANDLER)
        text.emit(csrw("mtvec", T0))
        text.ram(T0, S_HANDLER)
        text.emit(csrw("stvec", T0))
        text.constant(T0, pick.getrandbits(16) & 0xB05C)
        text.emit(csrw("medeleg", T0))
        text.constant(T0, pick.choice((0, 0x222, 0x002, 0x020)))
        text.emit(csrw("mideleg", T0))
        text.constant(T0, 0 if self.is_quiet else pick.choice((0, 0xAAA, 0x088, 0x0AA)))
        text.emit(csrw("mie", T0))
        text.constant(T0, 7)
        text.emit(csrw("mcounteren", T0), csrw("scounteren", T0))
        for name in ("menvcfg", "senvcfg"):
            text.constant(T0, pick.choice((0xF0, 0xF0, 0xF0, 0xD0, 0x80, 0)))
            text.emit(csrrs(ZERO, name, T0))
        if self.levels > 3:
            for bit, sets in ((62, pick.random() < 0.6), (61, pick.random() < 0.7)):  # PBMTE and ADUE
                text.emit(addi(T0, ZERO, 1), slli(T0, T0, bit), (csrrs if sets else csrrc)(ZERO, "menvcfg", T0))
        text.constant(T0, 0x6000 | pick.choice((0, 8)))
        text.emit(csrrs(ZERO, "mstatus", T0))
        if self.is_portable:
            text.ram(T1, DATA)
            text.emit(*[8 * f << 20 | T1 << 15 | 3 << 12 | f << 7 | 0x07 for f in range(32)])  # fld
        text.constant(SEED, pick.getrandbits(24))
        for register in RANDOM:
            text.constant(register, pick.getrandbits(32))
        text.label("restart")
        text.ram(T0, SAVE)
        text.emit(csrw("mscratch", T0), addi(T0, T0, 256), csrw("sscratch", T0), addi(IO_DELTA, ZERO, 0))
        if not self.is_portable:
            self._set_up_queue(text)
        text.ram(T0, UNITS)
        text.emit(jalr(ZERO, T0, 0))
        self.restart = text._labels["restart"]
        return text

    def _enter_handler(self, text: Text, mode: str) -> None:
        text.emit(csrrw(T6, f"{mode}scratch", T6))
        for at, register in enumerate((T5, T4)):
            text.store(register, T6, at * self.word)
        text.emit(csrr(T5, f"{mode}cause"), slli(T4, LOG, 1), add(LOG, T4, T5), csrr(T4, f"{mode}epc"),
                  sub(LOG, LOG, T4), csrr(T4, f"{mode}tval"), add(LOG, LOG, T4))  # fmt: skip
        text.branch(LT, T5, ZERO, "interrupt")
        for cause in (1, 12):
            text.emit(addi(T4, T5, -cause))
            text.branch(EQ, T4, ZERO, "fetch")

    def _leave_handler(self, text: Text, mode: str) -> None:
        for at, register in enumerate((T5, T4)):
            text.load(register, T6, at * self.word)
        text.emit(csrrw(T6, f"{mode}scratch", T6), MRET if mode == "m" else SRET)

    def _skip_instruction(self, text: Text, mode: str) -> None:
        """Add the size of the instruction at epc to epc; it is read with the rights of the code that runs it."""
        bits, status = (0xE0, "mstatus") if mode == "m" else (0xC0, "sstatus")
        text.label("skip")
        text.emit(csrr(T4, f"{mode}epc"), lui(T5, bits), csrrs(ZERO, status, T5), lhu(T4, T4, 0),
                  csrrc(ZERO, status, T5), andi(T4, T4, 3), addi(T4, T4, -3), csrr(T5, f"{mode}epc"),
                  addi(T5, T5, 2))  # fmt: skip
        text.branch(NE, T4, ZERO, "short")
        text.emit(addi(T5, T5, 2))
        text.label("short")
        text.emit(csrw(f"{mode}epc", T5))

    def _machine_handler(self) -> Text:
        text = Text(M_HANDLER, self.xlen)
        self._enter_handler(text, "m")
        text.emit(addi(T4, T5, -8), andi(T4, T4, -4))  # 0 for the four ecalls
        text.branch(EQ, T4, ZERO, "ecall")
        self._skip_instruction(text, "m")
        text.label("out")
        self._leave_handler(text, "m")
        text.label("fetch")
        text.emit(csrr(T4, "mepc"), csrw("mepc", UP))
        text.branch(NE, T4, UP, "out")
        text.label("again")  # there is no next unit either
        text.ram(T4, self.restart)
        text.emit(jalr(ZERO, T4, 0))
        self._serve(text)
        self._machine_interrupt(text)
        return text

    def _serve(self, text: Text) -> None:
        """Handle ecall: continue in the mode, and perhaps the address space, that the caller asks for."""
        text.label("ecall")
        text.emit(csrr(T4, "mepc"), addi(T4, T4, 4), csrw("mepc", T4), andi(T4, SERVICE, STAY))
        text.branch(NE, T4, ZERO, "out")
        text.emit(andi(T4, SERVICE, RESTART))
        text.branch(NE, T4, ZERO, "again")
        text.emit(andi(T4, SERVICE, OTHER_SPACE), slli(T4, T4, 2), add(T4, T4, T6))
        text.load(T4, T4, 64)
        text.emit(csrw("satp", T4))
        if self.is_portable or self.pick.random() < 0.5:
            text.emit(SFENCE_VMA)
        text.emit(lui(T4, 2), addi(T4, T4, -0x800), csrrc(ZERO, "mstatus", T4), andi(T4, SERVICE, 3), slli(T5, T4, 11),
                  csrrs(ZERO, "mstatus", T5), addi(T5, ZERO, 1), slli(T5, T5, 31), addi(IO_DELTA, ZERO, 0))  # fmt: skip
        text.branch(NE, T4, ZERO, "based")
        text.emit(lui(T5, USER_RAM >> 12), lui(IO_DELTA, USER_IO >> 12))
        text.label("based")
        clear = self.xlen - 18
        text.emit(csrr(T4, "mepc"), slli(T4, T4, clear), srli(T4, T4, clear), add(T4, T4, T5), csrw("mepc", T4))
        text.emit(slli(UP, UP, clear), srli(UP, UP, clear), add(UP, UP, T5))
        text.jump("out")

    def _machine_interrupt(self, text: Text) -> None:
        text.label("interrupt")
        text.emit(andi(T4, T5, 15), addi(T4, T4, -3))
        text.branch(NE, T4, ZERO, "not msip")
        text.emit(lui(T4, MSIP >> 12), sw(ZERO, T4, 0))
        text.jump("out")
        text.label("not msip")
        text.emit(addi(T4, T4, -4))
        text.branch(NE, T4, ZERO, "not mtip")
        text.emit(slli(T4, SEED, 2), add(SEED, SEED, T4), addi(SEED, SEED, 77), lui(T5, MTIME + 0x800 >> 12),
                  lw(T5, T5, MTIME), andi(T4, SEED, 0xFF))  # fmt: skip
        text.emit(add(T5, T5, T4), lui(T4, MTIMECMP >> 12), sw(T5, T4, 0))
        text.jump("out")
        text.label("not mtip")
        text.emit(
            csrr(T5, "mcause"), addi(T4, ZERO, 1), sll(T4, T4, T5), csrrc(ZERO, "mip", T4), csrrc(ZERO, "mie", T4)
        )
        text.emit(lui(T4, PLIC_CLAIM >> 12), lw(T5, T4, PLIC_CLAIM & 0xFFF), sw(T5, T4, PLIC_CLAIM & 0xFFF))
        text.emit(lui(T4, UART >> 12), lb(T5, T4, 2))
        text.jump("out")

    def _supervisor_handler(self) -> Text:
        text = Text(S_HANDLER, self.xlen)
        self._enter_handler(text, "s")
        self._skip_instruction(text, "s")
        text.label("out")
        self._leave_handler(text, "s")
        text.label("fetch")
        text.emit(csrr(T4, "sepc"), csrw("sepc", UP))
        text.branch(NE, T4, UP, "out")
        text.emit(addi(SERVICE, ZERO, RESTART), ECALL)
        text.label("interrupt")
        text.emit(addi(T4, ZERO, 1), sll(T4, T4, T5), csrrc(ZERO, "sip", T4), csrrc(ZERO, "sie", T4))
        text.jump("out")
        return text

    # ---- page tables

    def _tables(self) -> list[tuple[int, bytes]]:
        words = bytearray(2 * self.word * 2)
        pieces = []
        for space in (0, 1):
            base = TABLES + space * 6 * PAGE
            pieces += self._space(space, base)
            ppn = RAM + base >> 12
            if self.levels > 3:
                upper = self._upper_tables(space, ppn)
                pieces += upper
                ppn = RAM + upper[0][0] >> 12
            satp = (self.levels + 5 << 60 if self.xlen == 64 else 1 << 31) | ppn
            words[space * 16 : space * 16 + self.word] = satp.to_bytes(self.word, "little")
        return [*pieces, (SAVE + 64, bytes(words))]

    def _space(self, space: int, base: int) -> list[tuple[int, bytes]]:
        tables = [[0] * (PAGE // self.word) for _ in range(5)]

        def pointer(number: int) -> int:
            return (RAM + base + number * PAGE >> 12) << 10 | PTE_V

        def leaf(pa: int, flags: int) -> int:
            return (pa >> 12) << 10 | flags | PTE_V

        io = PTE_R | PTE_W | PTE_A | PTE_D
        user, low = tables[3], tables[4]
        devices = (0, 0x0200_0000, 0x0300_0000, 0x0C00_0000, 0x0C20_0000, 0x1000_0000)
        if self.xlen == 64:
            tables[0][0], tables[0][1], tables[0][2] = leaf(0, io), pointer(1), pointer(2)
            tables[1][0], tables[2][0] = pointer(3), pointer(4)
            for pa in devices:
                tables[1][(USER_IO - USER_RAM + pa) >> 21] = leaf(pa, io | PTE_U)
        else:
            tables[0][USER_RAM >> 22], tables[0][RAM >> 22] = pointer(3), pointer(4)
            for pa in devices:
                tables[0][pa >> 22] = leaf(pa & ~0x3FFFFF, io)
                tables[0][USER_IO + pa >> 22] = leaf(pa & ~0x3FFFFF, io | PTE_U)
        for page in range(RAM_SIZE // PAGE):
            at = page * PAGE
            pa = at + (OTHER - SWITCHED if space and 0 <= at - SWITCHED < SWITCHED_PAGES * PAGE else 0)
            flags = PTE_R | PTE_W | PTE_X | self.pick.choice((PTE_A | PTE_D, PTE_A | PTE_D, PTE_A, 0))
            spoilt = at >= UNITS and self.pick.random() < 0.06
            low[page] = leaf(RAM + pa, flags & ~self.pick.choice((PTE_W, PTE_X | PTE_W, 0)) if spoilt else flags)
            if spoilt and self.pick.random() < 0.3:
                low[page] = 0
            spoilt = at >= UNITS and self.pick.random() < 0.1
            if at >= UNITS:
                user[page] = leaf(
                    RAM + pa, flags | PTE_U if not spoilt else self.pick.choice((PTE_R | PTE_U, PTE_X | PTE_U))
                )
            if spoilt and self.pick.random() < 0.3:
                user[page] = 0
        if self.levels > 3 and self.pick.random() < 0.6:
            self._by_napot(low)
        if self.levels > 3 and self.pick.random() < 0.4:
            for page in range(DATA // PAGE, DATA // PAGE + DATA_PAGES):
                low[page] |= self.pick.choice((0, 0, 1, 2, 3)) << 61
        return [
            (base + number * PAGE, b"".join(entry.to_bytes(self.word, "little") for entry in table))
            for number, table in enumerate(tables)
        ]

    def _upper_tables(self, space: int, ppn: int) -> list[tuple[int, bytes]]:
        """The tables above the one at ``ppn``, from the root on."""
        lists = UPPER_ENTRIES[self.levels]
        places = [UPPER_TABLES + (2 * space + number) * PAGE for number in range(len(lists))]
        pieces = []
        for entries, place, below in zip(lists, places, [*(RAM + at >> 12 for at in places[1:]), ppn], strict=True):
            table = [below << 10 | PTE_V if index in entries else 0 for index in range(PAGE // 8)]
            pieces.append((place, b"".join(entry.to_bytes(8, "little") for entry in table)))
        return pieces

    def _by_napot(self, low: list[int]) -> None:
        """Map some pages by entries that are for all of them."""
        flags = low[NAPOT_PAGES[0]] & 0x3FF | PTE_R | PTE_W
        for page in NAPOT_PAGES:
            low[page] = (RAM >> 12 | NAPOT_PAGES[0] | 8) << 10 | flags | PTE_N

    # ---- a device that writes memory

    def _set_up_queue(self, text: Text) -> None:
        """Set up the first queue of the device in the last slot, which brings random bytes, events or frames."""
        text.io(T3, VIRTIO)
        for register, value in (
            (Reg.STATUS, 0), (Reg.STATUS, 3), (Reg.DRIVER_FEATURES_SEL, 1), (Reg.DRIVER_FEATURES, 1),
            (Reg.STATUS, 11), (Reg.QUEUE_SEL, 0), (Reg.QUEUE_NUM, QUEUE_SIZE), (Reg.QUEUE_DESC_LOW, RAM + QUEUE),
            (Reg.QUEUE_AVAIL_LOW, RAM + AVAIL), (Reg.QUEUE_USED_LOW, RAM + USED), (Reg.QUEUE_READY, 1),
            (Reg.STATUS, 15),
        ):  # fmt: skip
            text.constant(T0, value)
            text.emit(sw(T0, T3, register))
        text.ram(T3, AVAIL)
        text.emit(sh(ZERO, T3, 2))

    def _queue(self) -> list[tuple[int, bytes]]:
        """The descriptors of all chains, and the stubs: three additions and a return."""
        table = b""
        for chain in self.chains:
            for number, (place, behind, size) in enumerate(chain):
                at = RAM + (self.text._labels[place] if isinstance(place, str) else place) + behind
                is_last = number == len(chain) - 1
                index = len(table) // 16
                table += descriptor(
                    at, size, DescFlag.WRITE | (0 if is_last else DescFlag.NEXT), 0 if is_last else index + 1
                )
        stub = Text(0, self.xlen)
        stub.emit(addi(A0, A0, 1), addi(A1, A1, 2), addi(A2, A2, 3), jalr(ZERO, RA, 0))
        return [(QUEUE, table), (STUBS, bytes(stub.data) * STUB_COUNT)]

    # ---- pages that differ from address space to address space

    def _switched_pages(self) -> list[tuple[int, bytes]]:
        """At each entry different instructions in the two pages, often of the same size, then a return."""
        pieces = []
        for page in (SWITCHED, OTHER):
            data = bytearray(SWITCHED_PAGES * PAGE)
            sizes = random.Random(f"{self.program.seed}/sizes")
            for at in range(0, len(data), ENTRY_STEP):
                text = Text(0, self.xlen)
                size = 2 * sizes.randint(1, 20)
                if page == OTHER and self.pick.random() < 0.4:
                    size = 2 * self.pick.randint(1, 20)
                while len(text.data) < size:
                    self._one_for_the_gap(text, size - len(text.data))
                text.emit(jalr(ZERO, RA, 0) if sizes.random() < 0.5 or self.pick.random() < 0.2 else 0x8082)
                data[at : at + len(text.data)] = text.data
            pieces.append((page, bytes(data)))
        return pieces

    def _one_for_the_gap(self, text: Text, gap: int) -> None:
        if gap == 2 or self.pick.random() < 0.5:
            text.emit(self.compressed())
        elif self.pick.random() < 0.12:
            text.emit(self.pick.choice((ECALL, csrr(self.pick.choice(RANDOM), "instret"), EBREAK, 0xFFFFFFFF)))
        else:
            text.emit(self.plain())

    # ---- single instructions

    def plain(self) -> int:
        """Any instruction that accesses neither memory nor PC."""
        pick = self.pick
        rd, rs1, rs2 = (pick.choice(RANDOM) for _ in range(3))
        kind = pick.randrange(8)
        if kind >= 6:
            return self.of_extension(rd, rs1, rs2)
        if kind == 0:
            return addi(rd, rs1, pick.getrandbits(12))
        if kind == 1:
            return lui(rd, pick.getrandbits(20))
        if kind == 2:
            return auipc(rd, pick.getrandbits(20))
        if kind == 3:
            return pick.choice((0, 1 << 25)) | rs2 << 20 | rs1 << 15 | pick.randrange(8) << 12 | rd << 7 | 0x33
        if kind == 4:
            return pick.getrandbits(12) << 20 | rs1 << 15 | pick.choice((2, 3, 4, 6, 7)) << 12 | rd << 7 | 0x13
        return slli(rd, rs1, pick.randrange(32))

    def of_extension(self, rd: int, rs1: int, rs2: int) -> int:
        """An instruction that Unicorn does not know; of another width it is illegal."""
        row = self.pick.choice(COMPUTING)
        second = {Form.REGISTERS: rs2, Form.SHIFT: self.pick.randrange(32)}.get(row.form, 0)
        return row.match | second << 20 | rs1 << 15 | rd << 7 if row.form is not Form.OTHER else row.match

    def compressed(self) -> int:
        pick = self.pick
        rd, rs, imm = pick.choice(SHORT), pick.choice(SHORT), pick.randrange(1, 32)
        kind = pick.randrange(6)
        if kind == 0:
            return 0x0001 | rd << 7 | imm << 2  # c.addi
        if kind == 1:
            return 0x4001 | rd << 7 | imm << 2 | pick.getrandbits(1) << 12  # c.li
        if kind == 2:
            return 0x8002 | rd << 7 | rs << 2  # c.mv
        if kind == 3:
            return 0x9002 | rd << 7 | rs << 2  # c.add
        if kind == 4:
            return 0x8C01 | rd - 8 << 7 | rs - 8 << 2 | pick.randrange(4) << 5  # c.sub, c.xor, c.or, c.and
        return 0x8801 | rd - 8 << 7 | imm << 2  # c.andi

    def memory(self) -> int:
        """A load or store to RAM at s0, aligned or not."""
        pick, register = self.pick, self.pick.choice(RANDOM)
        imm = pick.randrange(-64, 512)
        if pick.random() < 0.25:
            short = pick.choice(SHORT) - 8
            return pick.choice((0x4000, 0xC000)) | pick.randrange(8) << 10 | short << 2  # c.lw, c.sw
        if pick.random() < 0.5:
            return (
                imm % 4096 << 20
                | S0 << 15
                | pick.choice((0, 1, 2, 4, 5, self.word // 4 + 1)) << 12
                | register << 7
                | 0x03
            )
        return pick.choice((sb, sh, sw, sd if self.xlen == 64 else sw))(register, S0, imm)

    def any_plain(self) -> int:
        chance = self.pick.random()
        return self.compressed() if chance < 0.4 else self.memory() if chance < 0.55 else self.plain()

    def filler(self, insns: int) -> None:
        for _ in range(insns):
            self.text.emit(self.any_plain())

    # ---- units

    def straight(self) -> None:
        self.filler(self.pick.choice((1, 2, 3, 10, 30, 80)))

    def long_block(self) -> None:
        insns = self.pick.randint(200, 700)
        if self.pick.random() < 0.5:
            self.text.emit(*[C_NOP if self.pick.random() < 0.8 else self.compressed() for _ in range(insns)])
        else:
            self.filler(insns)

    def loops(self) -> None:
        text, outer, inner = self.text, self.fresh(), self.fresh()
        text.emit(addi(COUNT, ZERO, self.pick.randint(1, 12)))
        text.label(outer)
        self.filler(self.pick.randint(0, 8))
        text.emit(addi(INNER, ZERO, self.pick.randint(1, 12)))
        text.label(inner)
        self.filler(self.pick.randint(0, 12))
        text.emit(addi(INNER, INNER, -1))
        text.branch(NE, INNER, ZERO, inner)
        self.filler(self.pick.randint(0, 3))
        text.emit(addi(COUNT, COUNT, -1))
        text.branch(NE, COUNT, ZERO, outer)

    def branches(self) -> None:
        for _ in range(self.pick.randint(1, 6)):
            over = self.fresh()
            rs1, rs2 = self.pick.choice(RANDOM), self.pick.choice(RANDOM)
            self.text.branch(self.pick.choice((0, 1, 4, 5, 6, 7)), rs1, rs2, over)
            self.filler(self.pick.randint(0, 5))
            self.text.label(over)

    def overlap(self) -> None:
        """A sequence of lui, and another sequence that begins in the middle of its first instruction."""
        text, first = self.text, self.fresh()
        text.emit(addi(COUNT, ZERO, self.pick.randint(2, 9)))
        text.address(T3, first)
        again = self.fresh()
        text.label(again)
        text.emit(andi(T0, COUNT, 1), slli(T0, T0, 1), add(T0, T0, T3), jalr(ZERO, T0, 0))
        text.label(first)
        for _ in range(self.pick.randint(1, 12)):
            halves = [self.pick.choice(RANDOM) << 7 & 0xFFF | self.pick.randrange(16) << 12 | 0x37 for _ in range(2)]
            if self.pick.random() < 0.3:
                halves[1] = self.compressed()
            text.emit(halves[1] << 16 | halves[0])
        text.emit(C_NOP, C_NOP)
        text.emit(addi(COUNT, COUNT, -1))
        text.branch(NE, COUNT, ZERO, again)

    def to_page_end(self, left: int) -> None:
        """Continue ``left`` bytes before the end of the page."""
        text = self.text
        target = (text.here + 4 + left + PAGE - 1) // PAGE * PAGE - left
        if target - UNITS > SWITCHED - UNITS - 0x1000:
            return
        if target - text.here > 4:
            text.emit(jal(ZERO, target - text.here))
        while text.here < target:
            text.emit(C_NOP)

    def across_a_page(self) -> None:
        self.to_page_end(2 * self.pick.randint(1, 12))
        text = self.text
        self.filler(self.pick.randint(0, 3))
        while text.here % PAGE and text.here % PAGE < PAGE - 2:
            gap = PAGE - text.here % PAGE
            text.emit(self.compressed() if gap == 4 and self.pick.random() < 0.7 else self.plain())
        crossing = [self.plain(), ECALL, csrr(T0, "cycle"), lw(T1, S0, 4), 0xFFFFFFFF, amoadd_w(T0, T1, S0)]
        text.emit(self.pick.choice(crossing))
        self.filler(self.pick.randint(1, 8))

    def patch(self) -> None:
        """Store over later instructions, in this or another unit, at this address or through another mapping."""
        text, pick, target = self.text, self.pick, self.fresh()
        elsewhere = self.patchable and pick.random() < 0.4
        text.address(T3, pick.choice(self.patchable) if elsewhere else target)
        if pick.random() < 0.3:  # U to S or back
            text.emit(lui(T0, 0xC0000), xor(T3, T3, T0))
        wide = pick.random() < 0.6
        bits = self.plain() if wide else self.compressed()
        if pick.random() < 0.2:
            bits = pick.choice((ECALL, EBREAK, csrr(A0, "instret"), FENCE_I))
            wide = True
        text.constant(T1, bits)
        self.filler(pick.randint(0, 4))
        text.emit(sw(T1, T3, 0) if wide else sh(T1, T3, pick.choice((0, 2))))
        if self.is_portable or pick.random() < 0.4:
            text.emit(FENCE_I)
        self.filler(pick.choice((0, 0, 1, 2, 10, 40)))
        text.label(target)
        self.patchable.append(target)
        for _ in range(2):
            text.emit(*([self.compressed(), self.compressed()] if pick.random() < 0.5 else [self.plain()]))
        self.filler(pick.randint(0, 6))

    def device(self) -> None:
        text, pick = self.text, self.pick
        for _ in range(pick.randint(1, 4)):
            address = pick.choice((UART_LSR, UART_LSR, UART_SCRATCH, UART, UART_IER, MSIP, MTIMECMP, MTIMECMP + 4,
                                   MTIME, PLIC_PRIORITY, PLIC_ENABLE, PLIC_CLAIM, NOTHING, 0, 0x1000))  # fmt: skip
            text.io(T3, address + (pick.choice((1, 2, 3)) if pick.random() < 0.1 else 0))
            self.filler(pick.randint(0, 9))
            value = pick.choice((ZERO, T0, 18, COUNT))
            size = pick.choice((0, 2, 2, self.word // 4 + 1))
            if pick.random() < 0.6:
                text.emit(T3 << 15 | size << 12 | pick.choice(RANDOM) << 7 | 0x03)
            else:
                if address == MSIP:
                    text.emit(addi(T0, ZERO, pick.randrange(2)))
                    value = T0
                text.emit(value << 20 | T3 << 15 | size << 12 | 0x23)
            self.filler(pick.randint(0, 9))

    def pointers(self) -> None:
        """The same load or store accesses RAM, a device, and pages that fault."""
        text, pick, loop = self.text, self.pick, self.fresh()
        for at in range(4):
            choice = pick.randrange(4)
            if choice < 2:
                text.ram(T3, DATA + pick.randrange(DATA_PAGES * PAGE - 8))
            else:
                text.io(T3, pick.choice((UART_LSR, UART_SCRATCH, MTIME, MSIP, NOTHING, PLIC_PRIORITY)))
            text.store(T3, S0, 8 * at)
        text.emit(addi(COUNT, ZERO, pick.randint(3, 12)))
        text.label(loop)
        text.emit(andi(T0, COUNT, 3), slli(T0, T0, 3), add(T0, T0, S0))
        text.load(T3, T0, 0)
        self.filler_keeping(pick.randint(0, 5))
        size = pick.choice((0, 2, self.word // 4 + 1))
        text.emit(pick.choice((T3 << 15 | size << 12 | T1 << 7 | 0x03, COUNT << 20 | T3 << 15 | size << 12 | 0x23,
                               amoadd_w(T1, COUNT, T3))))  # fmt: skip
        text.emit(*[self.plain() & ~(31 << 7) | T2 << 7 for _ in range(pick.randint(0, 5))])
        text.emit(addi(COUNT, COUNT, -1))
        text.branch(NE, COUNT, ZERO, loop)

    def reservation(self) -> None:
        text, pick = self.text, self.pick
        text.ram(T3, DATA + 4 * pick.randrange(DATA_PAGES * PAGE // 4))
        if pick.random() < 0.15:
            text.io(T3, UART_SCRATCH & ~3)
        text.emit(lr_w(A0, T3))
        cut = pick.randrange(6)
        if cut == 0:
            text.emit(addi(SERVICE, ZERO, STAY), ECALL)
        elif cut == 1:
            text.io(A1, UART_LSR)
            text.emit(lb(A1, A1, 0))
        elif cut == 2:
            text.emit(pick.choice((0, 0xFFFFFFFF, EBREAK)))
        elif cut == 3:
            text.emit(pick.choice((sw(A0, T3, 0), csrr(A2, "instret"), FENCE_I)))
        elif cut == 4:
            self.filler(pick.randint(1, 20))
        text.emit(sc_w(A3, A0, T3), add(LOG, LOG, A3))

    def atomics(self) -> None:
        text, pick = self.text, self.pick
        for _ in range(pick.randint(1, 4)):
            if pick.random() < 0.7:
                text.ram(T3, DATA + pick.choice((4 * pick.randrange(7000), pick.randrange(28000))))
            else:
                text.io(T3, pick.choice((UART_SCRATCH & ~3, MTIMECMP, MSIP, MTIME, NOTHING, PLIC_PRIORITY)))
            self.filler(pick.randint(0, 4))
            funct5 = pick.choice((0, 1, 4, 8, 12, 16, 20, 24, 28, 2, 3))
            size = pick.choice((2, self.word // 4 + 1))
            rs2 = 0 if funct5 == 2 else pick.choice(RANDOM)
            text.emit(funct5 << 27 | rs2 << 20 | T3 << 15 | size << 12 | pick.choice(RANDOM) << 7 | 0x2F)
            self.filler(pick.randint(0, 4))

    def data_beside_code(self) -> None:
        """Double words of which one half or both halves are code: AMOs, SCs and stores of every size change them."""
        text, pick, loop, over = self.text, self.pick, self.fresh(), self.fresh()
        words = [self.fresh() for _ in range(pick.randint(1, 3))]
        first_is_code = pick.random() < 0.5
        text.emit(addi(COUNT, ZERO, pick.choice((1, 3, 12, 90, 140))))
        text.label(loop)
        for word in words:
            text.address(T3, word)
            if pick.random() < 0.7:
                text.emit(jalr(RA, T3, 0 if first_is_code else 4))
            self.filler_keeping(pick.randint(0, 3))
            text.constant(T1, pick.choice((1, 1 << 7, 1 << 20, 3)))
            if self.xlen == 64 and pick.random() < 0.7:
                text.emit(slli(T2, T1, 32), add(T1, T1, T2))
            size = pick.choice((2, 3, 3, 3)) if self.xlen == 64 else 2
            imm = 4 * pick.randrange(2) if size == 2 else 0
            text.emit(addi(T2, T3, imm))
            kind = pick.randrange(8)
            if kind < 4:
                amo = pick.choice((0, 0, 1, 4)) << 27 | T1 << 20 | T2 << 15 | size << 12 | A0 << 7 | 0x2F
                text.emit(amo, amo & ~(31 << 7) | A1 << 7)
                self._keep_valid(T2, size)
            elif kind < 6:
                text.emit(0x02 << 27 | T2 << 15 | size << 12 | A0 << 7 | 0x2F)
                if pick.random() < 0.5:
                    text.emit(add(A0, A0, T1))
                if pick.random() < 0.2:
                    text.emit(lr_w(A2, S0))
                text.emit(0x03 << 27 | A0 << 20 | T2 << 15 | size << 12 | A3 << 7 | 0x2F)
                self._keep_valid(T2, size)
            elif kind == 6:
                text.emit(3 << 12 | T3 << 15 | 10 << 7 | 0x07, 10 << 20 | T3 << 15 | 3 << 12 | 0x27)  # fld, fsd
            else:
                text.load(A0, T3, 0)
                text.store(A0, T3, pick.choice((0, 0, 1)))
                text.store(A0, T3, 0)
            if self.is_portable or pick.random() < 0.3:
                text.emit(FENCE_I)
            self.filler_keeping(pick.randint(0, 2))
        text.emit(addi(COUNT, COUNT, -1))
        text.branch(NE, COUNT, ZERO, loop)
        text.jump(over)
        while text.here % 8 or (pick.random() < 0.1 and text.here % PAGE != PAGE - 8):
            text.emit(C_NOP)
        for word in words:
            text.label(word)
            value = addi(A2, A2, pick.randrange(32))
            text.emit(*((value, jalr(ZERO, RA, 0)) if first_is_code else (addi(ZERO, ZERO, 0), jalr(ZERO, RA, 0))))
        text.label(over)

    def _keep_valid(self, address: int, size: int) -> None:
        """Sometimes replace what an AMO or SC has left there by two known instructions again."""
        if self.pick.random() < 0.6:
            self.text.constant(A4, addi(A2, A2, 1))
            if size == 3:
                self.text.constant(A5, jalr(ZERO, RA, 0))
                self.text.emit(sw(A5, address, 4))
            self.text.emit(sw(A4, T3, 0))
            self.text.constant(A5, jalr(ZERO, RA, 0))
            self.text.emit(sw(A5, T3, 4))

    def reborn(self) -> None:
        """An instruction that does not decode becomes one that does, and vice versa."""
        text, pick = self.text, self.pick
        loop, slot, over, before = self.fresh(), self.fresh(), self.fresh(), pick.randrange(3)
        illegal = pick.choice((0, 0xFFFFFFFF, 0x0000000B, 0x0000400B, 0x7C002573, 0x00003057, 0x80000000))
        text.emit(addi(COUNT, ZERO, pick.choice((2, 4, 9))), addi(SERVICE, ZERO, STAY))
        text.label(loop)
        text.address(T3, slot)
        text.emit(jalr(RA, T3, 0))
        if pick.random() < 0.5:
            self.filler_keeping(pick.randint(0, 3))
        text.emit(andi(T0, COUNT, pick.choice((1, 2, 3))))
        text.constant(T1, addi(A0, A0, 1))
        else_ = self.fresh()
        text.branch(EQ, T0, ZERO, else_)
        text.constant(T1, illegal)
        text.label(else_)
        how = pick.randrange(4)
        if how == 0:
            text.emit(sh(T1, T3, 4 * before), srli(T1, T1, 16), sh(T1, T3, 4 * before + 2))
        elif how == 1 and self.xlen == 64:
            text.emit(3 << 12 | T3 << 15 | A1 << 7 | 0x03, srli(A1, A1, 32), slli(A1, A1, 32), slli(T1, T1, 32),
                      srli(T1, T1, 32), add(A1, A1, T1))  # fmt: skip
            text.emit(*((sd(A1, T3, 0),) if before == 0 else (sw(T1, T3, 4 * before),)))
        else:
            text.emit(sw(T1, T3, 4 * before))
        if self.is_portable or pick.random() < 0.4:
            text.emit(FENCE_I)
        text.emit(addi(SERVICE, ZERO, STAY), addi(COUNT, COUNT, -1))
        text.branch(NE, COUNT, ZERO, loop)
        text.jump(over)
        place = pick.randrange(4)
        if place == 0:
            self._begin_page(4 * before + pick.choice((0, 0, 2, 4)))
        text.label(slot)
        text.emit(*[addi(A1, A1, 3)] * before)
        text.data += (illegal if pick.random() < 0.7 else addi(A0, A0, 1)).to_bytes(4, "little")
        text.emit(jalr(ZERO, RA, 0))
        text.label(over)

    def overwrites_itself(self) -> None:
        """A store over its own bytes and those around it, the last of which may be protected."""
        text, pick = self.text, self.pick
        here = self.fresh()
        if pick.random() < 0.6 and not self.is_portable:
            number = pick.randrange(3)
            text.address(T0, here)
            text.emit(addi(T0, T0, pick.choice((0, 4, 8))), srli(T0, T0, 2), csrw(f"pmpaddr{number}", T0))
            text.constant(T0, 0x1F << 24 | (0x10 | pick.choice((1, 4, 5, 7))) << 8 * number)
            text.emit(csrw("pmpcfg0", T0))
        text.emit(addi(SERVICE, ZERO, STAY))
        text.address(T3, here)
        text.constant(T1, pick.choice((self.plain(), NOP << 8, NOP, C_NOP << 16 | C_NOP, 0xFFFFFFFF)))
        if self.xlen == 64 and pick.random() < 0.5:
            text.emit(slli(T2, T1, pick.choice((8, 16, 24, 32))), add(T1, T1, T2))
        text.label(here)
        text.store(T1, T3, pick.choice((-7, -5, -4, -3, -2, -1, 0, 1, 2, 3)))
        if self.is_portable:
            text.emit(FENCE_I)
        text.emit(NOP, NOP, NOP)
        text.constant(T0, 0x1F << 24)
        text.emit(csrw("pmpcfg0", T0))

    def entry_as_code(self) -> None:
        """Execute a page table entry whose bits A and D change when its page is used."""
        text, pick, page = self.text, self.pick, self.pick.randrange(DATA_PAGES - 1)
        table = TABLES + (6 * pick.randrange(2) + 4) * PAGE
        text.ram(T3, table + (DATA // PAGE + page) * self.word)
        text.load(T0, T3, 0)
        text.emit(srli(T0, T0, 8), slli(T0, T0, 8), addi(T0, T0, PTE_V | PTE_R | PTE_W | PTE_X))  # a fence, or illegal
        text.store(T0, T3, 0)
        text.constant(T1, jalr(ZERO, RA, 0))
        text.store(T1, T3, self.word)
        text.ram(T2, DATA + page * PAGE)
        for _ in range(pick.randint(1, 3)):
            text.emit(jalr(RA, T3, 0))
            self.filler_keeping(pick.randint(0, 2))
            text.emit(pick.choice((lw(A0, T2, 0), sw(A0, T2, 4), amoadd_w(A0, A1, T2), jalr(RA, T2, 0))))
        text.emit(jalr(RA, T3, 0))

    def entry_of_itself(self) -> None:
        """AMOs, or LR and SC, on the page table entry that maps its own page, so that they change its bits A and D."""
        text, pick = self.text, self.pick
        table = TABLES + (6 * pick.randrange(2) + 4) * PAGE
        text.ram(T3, table + table // PAGE * self.word)
        for _ in range(pick.randint(1, 3)):
            text.load(T0, T3, 0)
            text.emit(andi(T0, T0, ~pick.choice((PTE_D, PTE_A | PTE_D, 0))))
            text.store(T0, T3, 0)
            text.constant(T1, pick.choice((0, PTE_D, 0x100)))
            self.filler_keeping(pick.randint(0, 2))
            atomic = self.word // 4 + 1 << 12 | T3 << 15 | 0x2F
            if pick.random() < 0.5:
                text.emit(2 << 27 | atomic | A0 << 7)
                self.filler_keeping(pick.randint(0, 2))
                text.emit(3 << 27 | atomic | T0 << 20 | A1 << 7)
            else:
                text.emit(pick.choice((0, 4, 8)) << 27 | atomic | T1 << 20 | A0 << 7)

    def torn(self) -> None:
        """An instruction that does not decode, at a page's start or across two; the next page is mapped or not."""
        text, pick = self.text, self.pick
        loop, slot, over = self.fresh(), self.fresh(), self.fresh()
        before = pick.choice((0, 2, 2, 6))
        page = (text.here // PAGE + 1) * PAGE
        if page - text.here < 300 or page + PAGE > SWITCHED - 0x1000:
            return
        at = (page // PAGE + (before == 0)) * self.word
        if pick.random() < 0.8:
            text.emit(addi(SERVICE, ZERO, pick.choice((0, 1, 1))), ECALL)
        text.emit(addi(COUNT, ZERO, pick.choice((4, 6, 8))), addi(SERVICE, ZERO, STAY))
        bit = pick.choice((PTE_V, PTE_A, PTE_X))
        text.label(loop)
        text.address(T3, slot)
        text.emit(jalr(RA, T3, 0))
        text.emit(andi(T2, COUNT, 1))
        over_edit = self.fresh()
        text.branch(NE, T2, ZERO, over_edit)  # every other time: the block is there already
        for table in (3, 4, 9, 10):
            text.ram(T3, TABLES + table * PAGE + at)
            text.load(T0, T3, 0)
            text.emit(addi(T1, ZERO, bit), xor(T0, T0, T1))
            text.store(T0, T3, 0)
        text.label(over_edit)
        text.emit(SFENCE_VMA, addi(COUNT, COUNT, -1))
        text.branch(NE, COUNT, ZERO, loop)
        text.jump(over)
        self._begin_page(before)
        text.label(slot)
        if before == 6:
            text.emit(addi(A1, A1, 3))
        text.data += pick.choice((0xFE041533, 0xFFFFFFFF, 0x0000400B)).to_bytes(4, "little")
        text.emit(jalr(ZERO, RA, 0))
        text.label(over)

    def _begin_page(self, before: int) -> None:
        """No-operations up to ``before`` bytes before the next page, if there is room for them."""
        target = (self.text.here // PAGE + 1) * PAGE - before
        if target < self.text.here:
            target += PAGE
        if target - UNITS < SWITCHED - UNITS - 0x1000:
            self.text.data += b"\x01\x00" * ((target - self.text.here) // 2)

    def trap(self) -> None:
        text, pick = self.text, self.pick
        for _ in range(pick.randint(1, 4)):
            self.filler(pick.randint(0, 12))
            text.emit(addi(SERVICE, ZERO, STAY))
            kind = pick.randrange(9)
            if kind == 0:
                text.emit(pick.choice((0x0000, 0xFFFFFFFF, 0x0000000B, csrr(T0, "misa") | 0x7FF << 20)))
            elif kind == 1:
                text.emit(pick.choice((ECALL, EBREAK, C_EBREAK)))
            elif kind in (2, 3):  # across a page of data
                text.ram(T3, DATA + PAGE * pick.randint(1, DATA_PAGES) - pick.randint(1, 7))
                text.emit(pick.choice((lw(T0, T3, 0), sw(T0, T3, 0), self.wide_load(T3), self.wide_store(T3))))
            elif kind == 4:
                text.ram(T3, DATA + 2)
                text.emit(pick.choice((lr_w(T0, T3), amoadd_w(T0, T1, T3))))
            elif kind == 5:
                text.io(T3, NOTHING)
                text.emit(pick.choice((lw(T0, T3, 0), sw(T0, T3, 0), jalr(RA, T3, 0), amoadd_w(T0, T0, T3))))
            elif kind == 6:
                text.ram(T3, RAM_SIZE - pick.choice((1, 2, 3, 4, 7)))
                text.emit(pick.choice((self.wide_load(T3), self.wide_store(T3), jalr(RA, T3, 0))))
            elif kind == 7:
                text.emit(
                    pick.choice((csrr(T0, "mstatus"), csrr(T0, "sstatus"), csrw("mhartid", T0), SRET, MRET, SFENCE_VMA))
                )
            else:
                text.emit(lui(T3, pick.getrandbits(20)), pick.choice((lw(T0, T3, 0), sw(T0, T3, 0), jalr(RA, T3, 0))))
            self.filler(pick.randint(0, 6))

    def wide_load(self, rs1: int) -> int:
        return ld(T0, rs1, 0) if self.xlen == 64 else lw(T0, rs1, 0)

    def wide_store(self, rs1: int) -> int:
        return sd(T0, rs1, 0) if self.xlen == 64 else sw(T0, rs1, 0)

    def service(self) -> None:
        """Change the privilege, and perhaps the address space."""
        mode = self.pick.choice((0, 1, 1, 3))
        self.text.emit(addi(SERVICE, ZERO, mode | self.pick.choice((0, OTHER_SPACE))), ECALL)
        self.filler(self.pick.randint(0, 3))

    def counters(self) -> None:
        text, pick = self.text, self.pick
        for _ in range(pick.randint(1, 5)):
            name = pick.choice(
                ("cycle", "time", "instret", "mcycle", "minstret", *(["cycleh", "instreth"] if self.xlen == 32 else []))
            )
            text.emit(csrr(pick.choice(RANDOM), name))
            if pick.random() < 0.3:
                text.emit(csrw(pick.choice(("mcycle", "minstret")), pick.choice(RANDOM)))
            self.filler(pick.randint(0, 7))

    def control(self) -> None:
        text, pick = self.text, self.pick
        asid = 0 if self.is_portable else 1 << (44 if self.xlen == 64 else 22)
        for _ in range(pick.randint(1, 4)):
            name, bits = pick.choice((
                ("mstatus", 8), ("mstatus", 2), ("mstatus", 0x6000), ("mstatus", 1 << 18), ("mstatus", 1 << 19),
                ("mstatus", 1 << 21), ("mstatus", 1 << 22), ("mstatus", 1 << 20), ("mstatus", 0xA), ("mip", 2),
                ("mip", 0x20), ("mip", 0x222), ("sip", 2), ("mie", 0xAAA), ("mie", 0x88), ("sie", 0x222),
                ("sstatus", 2), ("mepc", 1), ("sepc", 3), ("sepc", 0x100), ("mideleg", 0x222), ("stval", 0xFFF),
                ("satp", asid), ("satp", asid), ("satp", 0),
            ))  # fmt: skip
            if (self.is_quiet and name in ("mie", "sie")) or (
                self.is_portable and bits == 1 << 20
            ):  # TVM forbids fences
                continue
            text.constant(T0, bits)
            make = pick.choice((csrrs, csrrs, csrrc, csrrw if name in ("mip", "sepc", "mepc") else csrrs))
            self.filler(pick.randint(0, 3))
            text.emit(make(pick.choice(RANDOM), name, T0))
            self.filler(pick.randint(0, 6))

    def floating(self) -> None:
        text, pick = self.text, self.pick
        loop = self.fresh()
        if not self.is_portable:
            self._special_floats()
        text.emit(addi(COUNT, ZERO, pick.randint(1, 4)))
        text.label(loop)
        if pick.random() < 0.7:
            text.emit(lui(T0, 6), andi(T1, COUNT, 1), addi(T1, T1, -1), and_(T0, T0, T1))
            text.emit(csrrc(ZERO, pick.choice(("mstatus", "sstatus")), T0))
        for _ in range(pick.randint(1, 8)):
            f = [pick.randrange(8, 16) for _ in range(3)]
            width = pick.choice((2, 3))
            text.emit(pick.choice((
                self.float_operation(f), self.float_operation(f), self.float_operation(f),
                S0 << 15 | width << 12 | f[0] << 7 | 0x07, f[1] << 20 | S0 << 15 | width << 12 | 0x27,
                0x2000 | f[0] - 8 << 2, csrr(T1, pick.choice(("fcsr", "mstatus", "sstatus"))),
                csrrwi(T1, pick.choice(("fflags", "frm", "fcsr")), pick.choice((0, 0, 1, 2, 3, 4, 31))),
            )))  # fmt: skip
            self.filler(pick.randint(0, 2))
        text.emit(lui(T0, 6), csrrs(ZERO, pick.choice(("mstatus", "sstatus")), T0), addi(COUNT, COUNT, -1))
        text.branch(NE, COUNT, ZERO, loop)

    def _special_floats(self) -> None:
        """Put zeros, infinities, NaNs and limits, boxed or not, into registers; set a rounding mode, valid or not."""
        text, pick = self.text, self.pick
        for _ in range(pick.randrange(4)):
            text.constant(T1, pick.choice(SPECIAL_FLOATS))
            register = pick.randrange(8, 16)
            if self.xlen == 64 and pick.random() < 0.5:
                text.emit(slli(T2, T1, 32), *((add(T2, T2, T1),) if pick.random() < 0.5 else ()))
                text.emit(0xF200_0053 | T2 << 15 | register << 7)  # FMV.D.X
            else:
                text.emit(0xF000_0053 | T1 << 15 | register << 7)  # FMV.W.X
        if pick.random() < 0.3:
            text.emit(addi(T1, ZERO, pick.randrange(8)), csrw("frm", T1))

    def float_operation(self, f: list[int]) -> int:
        """Any instruction but a load or store, with registers of ``f`` and T1, and mostly a valid rounding mode."""
        pick = self.pick
        rounding = pick.choice((0, 1, 2, 3, 4, 7, 7, 7, 7, 7, 7, pick.randrange(8)))
        insn = pick.choice((0, 1)) << 25 | f[1] << 15 | f[0] << 7 | 0x53
        kind = pick.randrange(10)
        if kind <= 3:
            return pick.choice((0, 1, 2, 3)) << 27 | f[2] << 20 | rounding << 12 | insn
        if kind == 4:
            return pick.choice(f) << 27 | f[2] << 20 | rounding << 12 | insn ^ pick.choice((0x10, 0x14, 0x18, 0x1C))
        if kind == 5:  # FSGNJ, FSGNJN, FSGNJX; FMIN, FMAX
            return (
                pick.choice((0x20000000, 0x20001000, 0x20002000, 0x28000000, 0x28001000)) | pick.choice(f) << 20 | insn
            )
        to_x, from_x = insn & ~(31 << 7) | T1 << 7, insn & ~(31 << 15) | T1 << 15
        if kind == 6:  # FLE, FLT, FEQ; FCLASS
            return pick.choice((0xA0000000, 0xA0001000, 0xA0002000)) | f[2] << 20 | to_x
        if kind == 7:  # FCVT to an integer, FCLASS, FMV.X
            convert = 0xC0000000 | pick.choice((0, 1)) << 20 | rounding << 12
            return pick.choice((convert, 0xE0001000, 0xE0000000)) | to_x
        if kind == 8:  # FCVT from an integer, FMV.W.X
            convert = 0xD0000000 | pick.choice((0, 1)) << 20 | rounding << 12
            return pick.choice((convert, 0xF0000000)) | from_x & ~(3 << 25)
        if pick.random() < 0.5:
            return 0x58000000 | rounding << 12 | insn
        return pick.choice((0x40100000, 0x42000000)) | rounding << 12 | insn & ~(3 << 25)  # FCVT.S.D, FCVT.D.S

    def timer(self) -> None:
        """Set mtimecmp a little ahead, then run code during which it may expire."""
        text, pick = self.text, self.pick
        text.io(T3, MTIME)
        text.emit(lw(T0, T3, 0), addi(T0, T0, pick.randint(0, 40)))
        text.io(T3, MTIMECMP)
        text.emit(sw(ZERO, T3, 4), sw(T0, T3, 0))
        if pick.random() < 0.5:
            text.constant(T1, 0x80)
            text.emit(csrrs(ZERO, "mie", T1))
            if pick.random() < 0.7:
                text.emit(csrrsi(ZERO, "mstatus", 8))
        self.filler(pick.choice((5, 20, 60)))

    def supervisor_timer(self) -> None:
        """Set stimecmp a little ahead or back, mostly where it counts, then run code during which it may expire."""
        text, pick = self.text, self.pick
        envcfg = "menvcfg" if self.xlen == 64 else "menvcfgh"
        text.emit(addi(T1, ZERO, 1), slli(T1, T1, self.xlen - 1))
        if pick.random() < 0.8:
            text.emit(pick.choice((csrrs, csrrs, csrrs, csrrc))(ZERO, envcfg, T1))
        text.emit(csrr(T0, "time"), addi(T0, T0, pick.randint(-3, 40)))
        if self.xlen == 32 and pick.random() < 0.9:
            text.emit(csrw("stimecmph", ZERO))
        self.filler(pick.randint(0, 3))
        text.emit(csrw("stimecmp", T0))
        if pick.random() < 0.6:
            text.constant(T1, 0x20)
            text.emit(csrrs(ZERO, pick.choice(("mie", "mie", "sie")), T1))
            if pick.random() < 0.7:
                text.emit(csrrsi(ZERO, pick.choice(("mstatus", "sstatus")), pick.choice((2, 8, 10))))
        if pick.random() < 0.2:
            text.emit(WFI)
        self.filler(pick.choice((5, 20, 60)))
        if pick.random() < 0.3:
            text.emit(csrr(pick.choice(RANDOM), pick.choice(("stimecmp", "mip", "sip"))))

    def later_csrs(self) -> None:
        """Read and write the CSRs of version 1.12 of the privileged specification, and read counters that may stand."""
        text, pick = self.text, self.pick
        names = ["menvcfg", "senvcfg", "mcountinhibit", "mcountinhibit", "mconfigptr", "mseccfg", "menvcfgh"]
        for _ in range(pick.randint(1, 5)):
            name = pick.choice(names)
            if self.is_portable and name in ("mcountinhibit", "menvcfgh"):  # Spike's counters never stand still
                continue
            value, make = pick.choice((0, 1, 4, 5, 0xF1, 0x20, 0x10, 0xFFFF_FFFF)), pick.choice((csrrw, csrrs, csrrc))
            if self.is_portable:  # nor has it FIOM, and ADUE stays set, without which it does not set A and D
                value, make = value & 0xFFFE, csrrs if make is csrrw else make
            text.constant(T0, value)
            text.emit(make(pick.choice(RANDOM), name, pick.choice((T0, T0, ZERO))))
            self.filler(pick.randint(0, 4))
            text.emit(csrr(pick.choice(RANDOM), pick.choice(("cycle", "minstret", "instret", "mcycle"))))
            if pick.random() < 0.2:
                text.emit(csrw(pick.choice(("mcycle", "minstret")), pick.choice(RANDOM)))

    def cache_block(self) -> None:
        """Instructions on cache blocks: mostly of data, or of code, a table, a device or nothing."""
        text, pick = self.text, self.pick
        for _ in range(pick.randint(1, 4)):
            chance = pick.random()
            if chance < 0.1:
                text.io(T3, NOTHING if self.is_portable else pick.choice((UART, MSIP, NOTHING)))
            elif chance < 0.3 and not self.is_portable:
                text.ram(T3, text.here + pick.randrange(64, 600))
            elif chance < 0.34 and not self.is_portable:
                text.ram(T3, TABLES + pick.randrange(12 * PAGE))
            else:
                text.emit(addi(T3, S0, pick.choice((0, pick.randrange(-64, 512)))))
            text.emit(pick.choice((CBO_ZERO, CBO_ZERO, pick.choice(ON_BLOCKS).match)) | T3 << 15)
            self.filler_keeping(pick.randint(0, 3))
            text.emit(lw(A0, S0, 0), sw(A1, S0, 4))

    def sleep(self) -> None:
        self.timer()
        self.text.constant(T1, 0x80)
        self.text.emit(csrrs(ZERO, "mie", T1), WFI)
        self.filler(self.pick.randint(1, 10))

    def far_time(self) -> None:
        """Set mtime and mtimecmp near the end of 63 or 64 bits, or of virtual time; then wait, or let mtime wrap."""
        text, pick = self.text, self.pick
        for register in pick.choice(((MTIMECMP,), (MTIMECMP,), (MTIME,), (MTIMECMP, MTIME), (MTIME, MTIMECMP))):
            value = pick.choice(FAR_TICKS) - pick.choice((1, 2, 5, 10, 100))
            text.io(T3, register)
            for half in pick.sample((0, 4), pick.choice((1, 2, 2, 2))):
                text.constant(T0, value >> 8 * half & 0xFFFF_FFFF)
                text.emit(sw(T0, T3, half))
        self._maybe_wait(0x80)

    def alarm(self) -> None:
        """Set the RTC's alarm, soon or far away, and its time to any value."""
        text, pick = self.text, self.pick
        for address, value in ((PLIC_PRIORITY + 4, 1), (PLIC_ENABLE, 1 << 11), (RTC_IRQ_ENABLED, 1)):
            text.io(T3, address)
            text.constant(T0, value)
            text.emit(sw(T0, T3, 0))
        if pick.random() < 0.3:
            text.io(T3, pick.choice((RTC_TIME, RTC_TIME + 4)))
            text.constant(T0, pick.choice((0, 1, 0x7FFF_FFFF, 0xFFFF_FFFF)))
            text.emit(sw(T0, T3, 0))
        text.io(T3, RTC_TIME)
        text.emit(lw(T0, T3, 0), lw(T1, T3, 4), addi(T0, T0, pick.choice((0, 50, 500, 2000))))
        if pick.random() < 0.5:
            text.constant(T1, pick.choice((0x7FFF_FFFF, 0x8000_0000, 0x9559_52FC, 0x9559_52FD, 0xFFFF_FFFF)))
        text.emit(sw(T1, T3, 12), sw(T0, T3, 8))
        self._maybe_wait(0x800)
        text.io(T3, RTC_TIME)
        text.emit(sw(ZERO, T3, 0x14), sw(ZERO, T3, 0x1C))

    def _maybe_wait(self, interrupt: int) -> None:
        text, pick = self.text, self.pick
        text.constant(T1, interrupt)
        if pick.random() < 0.5:
            text.emit(csrrs(ZERO, "mie", T1), WFI)
        elif pick.random() < 0.5:
            text.emit(pick.choice((csrrs, csrrc))(ZERO, "mie", T1))
        self.filler(pick.choice((5, 20, 60)))

    def dma(self) -> None:
        """A device writes over parts of instructions and of page table entries, at once or when it has data."""
        text, pick, loop, ahead = self.text, self.pick, self.fresh(), self.fresh()
        head = sum(len(chain) for chain in self.chains)
        pieces: list[tuple[int | str, int, int]] = []
        stub, page = pick.randrange(STUB_COUNT), pick.randrange(DATA_PAGES)
        for _ in range(pick.randint(1, 4)):
            table = TABLES + (6 * pick.choice((0, 0, 1)) + pick.choice((3, 4))) * PAGE + DATA // PAGE * self.word
            pieces.append(pick.choice((
                (ahead, 4 * pick.randrange(6) + 3, 1),  # the upper bits of an immediate
                (STUBS, 16 * stub + pick.choice((3, 7, 11)), 1),
                (table, page * self.word + pick.choice((0, 1, 1)), 1),  # flags; another page
                (DATA, pick.randrange(DATA_PAGES * PAGE - 8), pick.randint(1, 8)),
            )))  # fmt: skip
        if head + len(pieces) >= QUEUE_SIZE:
            return
        self.chains.append([*pieces, (ROOM, 0, pick.choice((8, 8, 80, ROOM_SIZE)))])
        if pick.random() < 0.2:
            self._set_up_queue(text)
        if pick.random() < 0.4:  # the slot's interrupt
            for address, value in ((PLIC_PRIORITY - 8, 1), (PLIC_ENABLE, 1 << VIRTIO_SLOTS)):
                text.io(T3, address)
                text.constant(T0, value)
                text.emit(sw(T0, T3, 0))
            text.constant(T0, 0x800)
            text.emit(csrrs(ZERO, "mie", T0))
        text.ram(T3, AVAIL)
        text.emit(lhu(T0, T3, 2), addi(COUNT, ZERO, pick.choice((1, 1, 2, 3, 3, 70, 120))), addi(T2, ZERO, head))
        text.label(loop)
        text.emit(andi(T1, T0, QUEUE_SIZE - 1), slli(T1, T1, 1), add(T1, T1, T3), sh(T2, T1, 4))
        text.emit(addi(T0, T0, 1), addi(COUNT, COUNT, -1))
        text.branch(NE, COUNT, ZERO, loop)
        text.emit(sh(T0, T3, 2))
        for _ in range(pick.randint(0, 2)):
            self._use(stub, page)
        text.io(T3, VIRTIO + Reg.QUEUE_NOTIFY)
        text.emit(sw(ZERO, T3, 0))
        text.label(ahead)
        text.emit(*[addi(A3, A3, 1)] * 6)
        for _ in range(pick.randint(1, 3)):
            self._use(stub, page)
        if pick.random() < 0.3:
            text.io(T3, VIRTIO)
            text.emit(lw(T0, T3, Reg.INTERRUPT_STATUS), sw(T0, T3, Reg.INTERRUPT_ACK))
        self.filler(pick.choice((0, 5, 60)))

    def _use(self, stub: int, page: int) -> None:
        """Call one of the two pages, load from the other and store there."""
        self._call_stub(stub)
        self.text.ram(S0, DATA + page * PAGE)
        self.text.emit(lw(A0, S0, 0), sw(A1, S0, 4))

    def _call_stub(self, stub: int) -> None:
        self.text.ram(T1, STUBS + 16 * stub)
        self.text.emit(jalr(RA, T1, 0))

    def semihosting(self) -> None:
        """Semihosting calls whose answers go anywhere, also over later code or tables; one in ten waits for input."""
        text, pick, ahead = self.text, self.pick, self.fresh()
        text.ram(A1, DATA + pick.randrange(DATA_PAGES) * PAGE + 8 * pick.randrange(400))
        stub, page = pick.randrange(STUB_COUNT - 2), pick.randrange(DATA_PAGES)
        if pick.random() < 0.7:
            self._use(stub, page)
            text.ram(A1, DATA + 8 * pick.randrange(400))
        self._place_of_answer(ahead, stub, page)
        call = pick.choice(
            (Op.ELAPSED, Op.HEAPINFO, Op.GET_CMDLINE, Op.TMPNAM, Op.WRITEC, Op.WRITE, Op.CLOCK, Op.ERRNO)
        )
        call = pick.choice((Op.READ, Op.READC)) if pick.random() < 0.1 else call
        first = ZERO if call in (Op.READ, Op.WRITE) else T3
        second = T3 if first == ZERO else T2
        text.constant(T2, pick.choice((1, 2, 9)))
        for at, register in enumerate((first, second, T2)):
            text.store(register, A1, at * self.word)
        if call is Op.ELAPSED:
            text.emit(addi(A1, T3, 0))
        text.emit(addi(A0, ZERO, call))
        if pick.random() < 0.5:
            text.emit(C_NOP)
        text.emit(0x01F0_1013, EBREAK, 0x4070_5013)
        text.label(ahead)
        text.emit(*[addi(A3, A3, 1)] * 5, add(A4, A4, A0))
        self._use(stub, page)
        self.filler(pick.randint(0, 6))

    def _place_of_answer(self, ahead: str, stub: int, page: int) -> None:
        """Set T3 to an address in later code, in a stub, a table, or data."""
        text, pick = self.text, self.pick
        kind = pick.randrange(5)
        if kind == 0:
            text.address(T3, ahead)
        elif kind == 1:
            text.ram(T3, STUBS + 16 * stub)
        elif kind == 2:
            table = TABLES + (6 * pick.randrange(2) + pick.choice((3, 4))) * PAGE
            text.ram(T3, table + (DATA // PAGE + page) * self.word)
        else:
            text.ram(T3, DATA + pick.randrange(1, DATA_PAGES) * PAGE - pick.choice((0, 1, 4, 9, 100)))

    def board_reset(self) -> None:
        """True only sometimes: otherwise nothing after it would ever run."""
        text, pick, over = self.text, self.pick, self.fresh()
        text.emit(csrr(T0, "instret"), andi(T0, T0, pick.choice((3, 7, 15))))
        text.branch(NE, T0, ZERO, over)
        text.io(T3, FINISHER)
        text.constant(T0, RESET)
        text.emit(sw(T0, T3, 0))
        text.label(over)

    def software_interrupt(self) -> None:
        text, pick = self.text, self.pick
        if pick.random() < 0.5:
            text.io(T3, MSIP)
            text.emit(addi(T0, ZERO, 1))
            self.filler(pick.randint(0, 4))
            text.emit(addi(T0, ZERO, 1), sw(T0, T3, 0))
        else:  # the UART's, through the PLIC
            for address, value in ((PLIC_PRIORITY, 1), (PLIC_ENABLE, 1 << 10), (UART_IER, 2)):
                text.io(T3, address)
                text.constant(T0, value)
                text.emit(sb(T0, T3, 0) if address == UART_IER else sw(T0, T3, 0))
            text.constant(T0, 0x800)
            text.emit(csrrs(ZERO, "mie", T0))
        self.filler(pick.randint(0, 20))

    def table_edit(self) -> None:
        """Change a page table entry, or set it to what it was."""
        text, pick = self.text, self.pick
        space, table = pick.randrange(2), pick.choice((3, 4))
        page = pick.choice((DATA // PAGE + pick.randrange(DATA_PAGES), text.here // PAGE + pick.randrange(2)))
        entry = TABLES + (space * 6 + table) * PAGE + page * self.word
        text.ram(T3, entry)
        text.load(T0, T3, 0)
        bits = (PTE_V, PTE_W, PTE_A, PTE_A | PTE_D, PTE_R, PTE_X, PTE_D)
        if self.levels > 3 and pick.random() < 0.3:
            text.emit(addi(T1, ZERO, 1), slli(T1, T1, pick.choice((63, 63, 62, 61, 60, 54, 13))))
        else:
            text.constant(T1, pick.choice(bits))
        self.filler_keeping(pick.randint(0, 3))
        text.emit(xor(T0, T0, T1))
        text.store(T0, T3, 0)
        if self.is_portable:
            text.emit(*self.fence())
        self.filler_keeping(pick.randint(0, 3))
        text.emit(lw(A0, S0, 0), sw(A0, S0, 4))
        if pick.random() < 0.8:
            text.load(T0, T3, 0)
            text.emit(xor(T0, T0, T1))
            text.store(T0, T3, 0)
            if self.is_portable:
                text.emit(SFENCE_VMA)
            text.emit(lw(A0, S0, 0), sw(A0, S0, 8))

    def fence(self) -> tuple[int, ...]:
        """What lets a change of page tables take effect."""
        by_svinval = self.levels > 3 and self.pick.random() < 0.5
        return (SFENCE_W_INVAL, SINVAL_VMA, SFENCE_INVAL_IR) if by_svinval else (SFENCE_VMA,)

    def filler_keeping(self, insns: int) -> None:
        self.text.emit(*[self.compressed() for _ in range(insns)])

    def many_writes(self) -> None:
        """Enough stores next to code that its page loses its marks."""
        text, pick, loop, data = self.text, self.pick, self.fresh(), self.fresh()
        text.address(T3, data)
        text.constant(COUNT, pick.choice((20, 260, 300)))
        text.label(loop)
        text.emit(sw(COUNT, T3, 0))
        self.filler_keeping(pick.randint(0, 3))
        text.emit(addi(COUNT, COUNT, -1))
        text.branch(NE, COUNT, ZERO, loop)
        over = self.fresh()
        text.jump(over)
        text.label(data)
        text.emit(C_NOP, C_NOP, C_NOP, C_NOP)
        text.label(over)

    def elsewhere(self) -> None:
        """Continue in the same code at another address: that of user mode, or of the supervisor."""
        text, target = self.text, self.fresh()
        text.address(T3, target)
        text.emit(lui(T0, 0xC0000))
        text.emit(xor(T3, T3, T0), jalr(ZERO, T3, 0))
        text.label(target)
        self.filler(self.pick.randint(1, 6))

    def far_address(self) -> None:
        """Continue in the same code at an address that Sv39 does not have, or that is none."""
        text, pick, target = self.text, self.pick, self.fresh()
        text.address(T3, target)
        sign, bit = pick.choice(((1, 39), (-1, 39), (1, 47), (-1, 47), (1, 48), (1, 52), (1, 54), (-1, 56), (1, 56)))
        text.emit(addi(T0, ZERO, sign), slli(T0, T0, bit), xor(T3, T3, T0), jalr(ZERO, T3, 0))
        text.label(target)
        self.filler(pick.randint(1, 6))
        text.emit(lw(A0, S0, 0))
        text.emit(xor(S0, S0, T0))
        text.emit(lw(A1, S0, 0), sw(A1, S0, 4))

    def switched(self) -> None:
        """Call an address with different code in the other address space."""
        text, pick = self.text, self.pick
        loop = self.fresh()
        text.emit(addi(INNER, ZERO, pick.randint(1, 3)), addi(SERVICE, ZERO, STAY))
        entry = SWITCHED + ENTRY_STEP * pick.randrange(
            8 if pick.random() < 0.7 else SWITCHED_PAGES * PAGE // ENTRY_STEP
        )
        text.label(loop)
        text.ram(T3, entry)
        text.emit(jalr(RA, T3, 0))
        if pick.random() < 0.7:
            text.emit(addi(SERVICE, ZERO, pick.choice((1, 1, 5, 5, 0, 4))), ECALL, addi(SERVICE, ZERO, STAY))
        text.emit(addi(INNER, INNER, -1))
        text.branch(NE, INNER, ZERO, loop)

    def protection(self) -> None:
        text, pick = self.text, self.pick
        number = pick.randrange(3)
        at = pick.choice((DATA + 4 * pick.randrange(4000), text.here + pick.randrange(0, 400)))
        text.constant(T0, (RAM + at >> 2) | pick.choice((0, 0, 1, 3, 0x1FF)))
        text.emit(csrw(f"pmpaddr{number}", T0))
        config = pick.choice((0, 0x18, 0x10, 0x08)) | pick.choice((7, 5, 1, 7))
        text.constant(T0, 0x1F << 24 | config << 8 * number)
        text.emit(csrw("pmpcfg0", T0))
        self.filler(pick.randint(0, 10))
        if pick.random() < 0.6:
            text.constant(T0, 0x1F << 24)
            text.emit(csrw("pmpcfg0", T0))


class _MakerWithFinerRights(_Maker):
    def _choose_units(self) -> list[Callable[[], None]]:
        units = super()._choose_units()
        for _ in range(self.pick.randint(0, 3)):
            units.insert(self.pick.randrange(len(units)), self.across_a_page)
        return units

    def _unit(self, number: int, kind: Callable[[], None]) -> None:
        def with_finer_rights() -> None:
            if self.pick.random() < 0.6:
                self.finer_rights()
            kind()

        with_finer_rights.__name__ = kind.__name__
        super()._unit(number, with_finer_rights)

    def finer_rights(self) -> None:
        """Some bytes of a page with code have an entry of their own; mostly in M-mode, which is not held to it."""
        text, pick = self.text, self.pick
        text.emit(addi(SERVICE, ZERO, 3), ECALL)
        number, page = pick.randrange(3), text.here // PAGE
        page = pick.choice((page, page, page + 1, SWITCHED // PAGE, OTHER // PAGE))
        at = page * PAGE + pick.choice((0, PAGE - 8, 8 * pick.randrange(PAGE // 8)))
        text.constant(T0, (RAM + at >> 2) | pick.choice((0, 0, 1)))
        text.emit(csrw(f"pmpaddr{number}", T0))
        text.constant(T0, 0x1F << 24 | (pick.choice((0x10, 0x18)) | pick.choice((7, 7, 5, 1))) << 8 * number)
        text.emit(csrw("pmpcfg0", T0))
        self.filler(pick.randint(0, 10))

    def any_plain(self) -> int:
        if self.pick.random() < 0.9:
            return super().any_plain()
        ours = C_EBREAK, EBREAK, csrr(A0, "instret"), csrr(A0, "mstatus"), FENCE_I
        return self.pick.choice((0, 0, 0, 0x8000, 0xFFFFFFFF, 0x0000000B, *ours))
