"""Programs for several harts that share memory and code: random, but the same for the same seed.

Each hart goes through units of its own again and again. They load, store and change the same few places, call the same
stubs, patch those and each other's code, send each other interrupts and wait for them. What a hart loads goes into
what it computes and stores, so that nearly every interleaving ends with another content of memory.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from support.asm import (
    A0,
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
    andi,
    csrr,
    csrrs,
    csrrsi,
    csrrw,
    csrw,
    jalr,
    lui,
    lw,
    slli,
    srli,
    sub,
    sw,
)  # fmt: skip
from support.generated_code import EQ, LT, NE, PAGE, RAM, Text

RAM_SIZE = 512 << 10
HART_ROOM, M_HANDLER_AT, S_HANDLER_AT, M_SAVE_AT, S_SAVE_AT = 0x4000, 0x3000, 0x3400, 0x3800, 0x3900
"""Bytes of RAM for each hart's own program, and offsets in them."""
MIXED, MIXED_PAGES = 0x20000, 8
"""Pages with both code and data: offset in RAM."""
FRESH, FRESH_PAGES = 0x28000, 4
"""Pages with stubs that are data until somebody calls them."""
DATA, DATA_PAGES = 0x2C000, 4
LONELY = DATA + 3 * PAGE
"""A page that may go away: no access reaches from it into another, and no LR or SC goes there."""
TABLES, TABLE_PAGES, TABLES_BITS = 0x30000, 3, 15
"""Page tables of two address spaces: for each a root, a table for gigabytes on rv64, and one for pages."""
TWINS = 0x38000
"""Other pages with the same stubs as the mixed ones, which may be mapped in their place."""
UNUSED, UNUSED_PAGES, UNUSED_STUB = 0x40000, 32, 0x40
"""Pages with a stub and data each, of which the harts use another one after each round through their units."""
SPARES, SPARE_PAGES = 0x60000, 8
"""Tables for pages that may take the place of the first ones; the harts also go from one to the next."""
ROUNDS = DATA + 0x300
"""A word: how many rounds the harts have gone through their units, together."""
STATIC_UNITS_MAX = M_HANDLER_AT - 0x600

COUNT, LOG, TARGET = 21, 25, 23
RANDOM = (*range(10, 18),)
"""Registers that random instructions may write: a bit more or less in rd gives another of them."""
ANY = (ZERO, S0, *RANDOM, LOG)
NOT_AN_INSTRUCTION = 0xFFFFFFFF
MSIP, MTIMECMP, MTIME = 0x0200_0000, 0x0200_4000, 0x0200_BFF8

_OP_IMM, _LOAD, _OP = 0x13, 0x03, 0x33
_COMPRESSED = (0x0505, 0x85B2, 0x96BA, 0x478D)
"""C.ADDI a0, 1; C.MV a1, a2; C.ADD a3, a4; C.LI a5, 3."""
_LEAF, _NEXT, _X, _D, _V = 0xCF, 1, 8, 128, 1


@dataclass(frozen=True, slots=True)
class Stub:
    """Slots of 4 bytes, and a return behind them. ``is_mixable``: any bytes of its instructions may be mixed."""

    offset: int
    slots: int
    is_mixable: bool


@dataclass(slots=True)
class SmpProgram:
    """What is in RAM, and where each hart begins (offsets in RAM)."""

    seed: str
    xlen: int
    harts: int
    image: bytes = b""
    entries: list[int] = field(default_factory=list)
    units: list[list[str]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"seed {self.seed!r}, rv{self.xlen}, {self.harts} harts"


def generate(
    seed: str,
    xlen: int,
    harts: int = 2,
    *,
    pages: bool = False,
    reads_time: bool = False,
    waits: bool = True,
    strays: bool = True,
    timers: bool = False,
) -> SmpProgram:
    """The program of that seed.

    Args:
        seed: Anything.
        xlen: 32 or 64.
        harts: 1 to 8.
        pages: Whether some harts run in supervisor mode, and page tables change.
        reads_time: Whether it reads cycle and time, which follow all harts.
        waits: Whether any hart but the first executes WFI; with ``timers`` that one too.
        timers: Whether it sets timers, of any hart.
        strays: Whether it loads from any address: where there are devices, what is there is theirs to say.
    """
    pick = random.Random(f"{seed}/{xlen}/{harts}/{pages}")
    program = SmpProgram(seed, xlen, harts)
    ram = bytearray(RAM_SIZE)
    shared = _Shared(pick, xlen, harts, pages, strays)
    shared.fill(ram)
    for hart in range(harts):
        maker = _Maker(pick, shared, hart, reads_time=reads_time, waits=waits, timers=timers)
        for offset, data in maker.make():
            ram[offset : offset + len(data)] = data
        program.entries.append(HART_ROOM * hart)
        program.units.append(maker.units)
    program.image = bytes(ram)
    return program


class _Shared:
    """What the harts have in common: places of data, and stubs."""

    def __init__(self, pick: random.Random, xlen: int, harts: int, has_tables: bool, strays: bool) -> None:
        self.pick, self.xlen, self.harts, self.has_tables, self.strays = pick, xlen, harts, has_tables, strays
        pages = [MIXED + PAGE * number for number in range(MIXED_PAGES)]
        self.stubs = [
            Stub(pages[1], 4, True),  # behind a page of data
            Stub(pages[2] + PAGE - 8, 4, True),  # goes on in the next page
            Stub(pages[4] + PAGE - 6, 3, True),  # an instruction is on two pages
            Stub(pages[5] + 0x102, 4, True),
            *(Stub(page + 0x200 + 8 * pick.randrange(0x40), pick.randint(1, 5), False) for page in pages[5:]),
            *(Stub(FRESH + PAGE * page + 0x40, 3, pick.random() < 0.5) for page in range(FRESH_PAGES)),
            Stub(FRESH + PAGE - 4, 2, True),
        ]
        near = [stub.offset - 8 for stub in self.stubs] + [stub.offset + 4 * stub.slots + 16 for stub in self.stubs]
        ends = (DATA, DATA + PAGE, DATA + 2 * PAGE, pages[4], DATA)
        edges = [end - back for end in ends for back in (0, 1, 2, 3, 4, 6, 7, 8)]
        plain = [DATA + 8 * pick.randrange(0x400) for _ in range(4)]
        in_fresh = [FRESH + PAGE * page + 0x800 + 8 * pick.randrange(8) for page in range(FRESH_PAGES)]
        self.places = [*pick.sample(near, 4), *pick.sample(edges, 4), *plain, *pick.sample(in_fresh, 2)]
        """Where the harts meet: offsets, of any alignment."""
        self.is_quiet = pick.random() < 0.3
        """Whether nothing makes the harts forget what they know of pages but what others do to these."""
        self.favourites = pick.sample(self.stubs, 3)
        self.sites: list[int] = []
        """Slots in programs of harts: offsets."""

    def fill(self, ram: bytearray) -> None:
        for offset in range(MIXED, DATA + DATA_PAGES * PAGE):
            ram[offset] = self.pick.randrange(256)
        for stub in self.stubs:
            self._clear_around(ram, stub)
            words = [self.slot(stub) for _ in range(stub.slots)]
            code = b"".join(word.to_bytes(4, "little") for word in (*words, jalr(ZERO, RA, 0)))
            ram[stub.offset : stub.offset + len(code)] = code
        for page in range(UNUSED, UNUSED + UNUSED_PAGES * PAGE, PAGE):
            code = b"".join(word.to_bytes(4, "little") for word in (self.mixable(), self.mixable(), jalr(ZERO, RA, 0)))
            ram[page + UNUSED_STUB : page + UNUSED_STUB + len(code)] = code
        ram[TWINS : TWINS + MIXED_PAGES * PAGE] = ram[MIXED : MIXED + MIXED_PAGES * PAGE]
        for stub in self.stubs:
            if stub.offset < MIXED + MIXED_PAGES * PAGE:
                at = stub.offset - MIXED + TWINS
                ram[at : at + 4] = self.slot(stub).to_bytes(4, "little")
        if self.has_tables:
            self._fill_tables(ram)

    def _fill_tables(self, ram: bytearray) -> None:
        """RAM is where it is, page by page, and so are the devices; some pages are others in the second space."""

        def put(table: int, index: int, entry: int) -> None:
            at, size = table + index * self.xlen // 8, self.xlen // 8
            ram[at : at + size] = entry.to_bytes(size, "little")

        for space in range(2):
            root = TABLES + space * TABLE_PAGES * PAGE
            middle, last = (root + PAGE, root + 2 * PAGE) if self.xlen == 64 else (root, root + 2 * PAGE)
            if self.xlen == 64:
                put(root, 0, _LEAF)
                put(root, RAM >> 30, pointer(middle))
            else:
                put(root, MSIP >> 22, MSIP >> 12 << 10 | _LEAF)
            put(middle, self.table_index, pointer(last))
            for table in (last, *range(SPARES, SPARES + SPARE_PAGES * PAGE, PAGE)):
                for page in range(RAM_SIZE // PAGE):
                    put(table, page, pointer(page * PAGE) | _LEAF)
            for _ in range(3 * space):
                page, entry = self.entry()
                put(last, page // PAGE, entry)

    @property
    def table_index(self) -> int:
        """Of the entry that points to the table for pages."""
        return 0 if self.xlen == 64 else RAM >> 22

    def entry(self) -> tuple[int, int]:
        """A virtual page that may be another, as an offset in RAM, and a page table entry for it."""
        pick = self.pick
        kind = pick.randrange(4)
        if kind == 0:
            return LONELY, pointer(LONELY) | pick.choice((_LEAF, _LEAF, _LEAF & ~_D, _LEAF & ~_V, _LEAF & ~4, 0x4B))
        if kind == 1:
            return DATA + PAGE * pick.randrange(3), pointer(DATA + PAGE * pick.randrange(3)) | _LEAF
        if kind == 2:
            page = FRESH + PAGE * pick.randrange(FRESH_PAGES - 1)
            return page, pointer(page) | pick.choice((_LEAF, _LEAF, _LEAF & ~_D, _LEAF & ~_X))
        page = PAGE * pick.randrange(MIXED_PAGES)
        return MIXED + page, pointer(pick.choice((MIXED, TWINS)) + page) | pick.choice((_LEAF, _LEAF, _LEAF & ~_X))

    def _clear_around(self, ram: bytearray, stub: Stub) -> None:
        """What is ahead of a stub may be translated with it, so let it be instructions that do little."""
        for offset in range(stub.offset + 4 * stub.slots + 4, stub.offset + 4 * stub.slots + 12, 4):
            ram[offset : offset + 4] = NOP.to_bytes(4, "little")

    def stub(self) -> Stub:
        return self.pick.choice(self.favourites if self.pick.random() < 0.8 else self.stubs)

    def place(self) -> int:
        return self.pick.choice(self.places)

    def slot(self, stub: Stub) -> int:
        """An instruction for a slot of ``stub``."""
        return self.mixable() if stub.is_mixable else self.any_slot()

    def mixable(self) -> int:
        """An immediate operation, or now and then a load, whose bytes can be mixed with those of any other such."""
        pick = self.pick
        opcode = _LOAD if pick.random() < 0.15 and self.strays else _OP_IMM
        return (
            pick.getrandbits(12) << 20 | pick.choice(ANY) << 15 | pick.choice((0, 0, 2, 3, 4, 6, 7)) << 12
            | pick.choice(RANDOM) << 7 | opcode
        )  # fmt: skip

    def any_slot(self) -> int:
        pick = self.pick
        kind = pick.randrange(10)
        if kind == 0:
            return pick.choice((0, NOT_AN_INSTRUCTION, ECALL, 0x0000_007F))
        if kind == 1:
            return pick.choice((FENCE_I, csrr(pick.choice(RANDOM), "mhartid"), csrr(pick.choice(RANDOM), "minstret")))
        if kind <= 5:
            return self.operation()
        return self.mixable()

    def operation(self) -> int:
        """An operation on registers, any of RV32IM or RV64IM."""
        pick = self.pick
        opcode = pick.choice((_OP, _OP, 0x3B)) if self.xlen == 64 else _OP
        funct7 = pick.choice((0, 0, 1, 0x20))
        funct3 = pick.choice((0, 5) if funct7 == 0x20 else (0, 4, 5, 6, 7) if funct7 == 1 else (0, 1, 5))
        if opcode == _OP and funct7 != 0x20:
            funct3 = pick.randrange(8)
        return (
            funct7 << 25 | pick.choice(ANY) << 20 | pick.choice(ANY) << 15 | funct3 << 12
            | pick.choice(RANDOM) << 7 | opcode
        )  # fmt: skip


def pointer(offset: int) -> int:
    """A page table entry that points to ``offset`` in RAM."""
    return RAM + offset >> 12 << 10 | _NEXT


class _Maker:
    """Makes the program of one hart."""

    def __init__(
        self, pick: random.Random, shared: _Shared, hart: int, *, reads_time: bool, waits: bool, timers: bool
    ) -> None:
        self.pick, self.shared, self.hart, self.xlen = pick, shared, hart, shared.xlen
        self.reads_time, self.waits, self.wakes = reads_time, waits and (hart > 0 or timers), waits and hart == 0
        self.timers = timers
        self.word = self.xlen // 8
        self.text = Text(HART_ROOM * hart, self.xlen)
        self.units: list[str] = []
        self.labels = 0

    def fresh(self) -> str:
        self.labels += 1
        return f"l{self.labels}"

    def make(self) -> list[tuple[int, bytes]]:
        kinds: list[Callable[[], None]] = [
            self.computing, self.loads, self.loads, self.stores, self.stores, self.atomics, self.atomics,
            self.reservation, self.reservation, self.calls, self.calls, self.patches, self.patches, self.patches,
            self.patches_a_program, self.site, self.counters, self.trap, self.interrupt, self.loop, self.makes_code,
            self.sweep, self.lock, self.uses_a_fresh_page,
        ]  # fmt: skip
        if self.waits:
            kinds.append(self.wait)
        if self.timers:
            kinds += [self.timer, self.timer, self.wait]
        if self.shared.has_tables:
            paging = [self.edits_a_table, self.makes_an_entry, self.uses_pages, self.lonely, self.switches_space]
            kinds += [*paging, self.edits_a_table, self.uses_pages, self.lonely]
            kinds += [self.sweeps_a_table, self.calls_an_entry, self.uses_a_spare_table]
        if self.shared.is_quiet:
            kinds = [self.uses_a_fresh_page, self.uses_a_fresh_page, self.computing, self.stores]
            if self.shared.has_tables:
                paging = [self.uses_a_spare_table, self.sweeps_a_table, self.calls_an_entry, self.uses_a_spare_table]
                kinds += paging
        self._start()
        favourites = self.pick.sample(kinds, self.pick.randint(3, min(8, len(kinds))))
        if self.shared.has_tables:
            favourites += self.pick.sample(paging, self.pick.randint(1, 4))
        for _ in range(self.pick.randint(2, 6) if self.shared.is_quiet else self.pick.randint(4, 16)):
            if len(self.text.data) > STATIC_UNITS_MAX:
                break
            kind = self.pick.choice(favourites if self.pick.random() < 0.7 else kinds)
            self.units.append(f"{self.text.here:#x} {kind.__name__}")
            kind()
        self._mix()
        self.text.jump("again")
        assert len(self.text.data) < M_HANDLER_AT
        handlers = [self._handler("m").finish(), self._handler("s").finish()]
        return [self.text.finish(), *handlers]

    # ---- around the units

    def _start(self) -> None:
        text, pick = self.text, self.pick
        for offset, csr in (
            (M_HANDLER_AT, "mtvec"), (M_SAVE_AT, "mscratch"), (S_HANDLER_AT, "stvec"), (S_SAVE_AT, "sscratch"),
        ):  # fmt: skip
            text.ram(T0, HART_ROOM * self.hart + offset)
            text.emit(csrw(csr, T0))
        if pick.random() < 0.8 and not self.shared.is_quiet:
            text.emit(addi(T0, ZERO, 0x88 if self.timers else 8), csrw("mie", T0))
        for register in (*RANDOM, LOG):
            text.constant(register, pick.getrandbits(32))
        text.ram(S0, DATA + 8 * pick.randrange(0x300))
        if self.shared.has_tables and pick.random() < 0.75:
            self._to_supervisor()
        elif pick.random() < 0.7:
            text.emit(csrrsi(ZERO, "mstatus", 8))
        text.label("again")

    def _to_supervisor(self) -> None:
        text, pick = self.text, self.pick
        text.constant(T0, 0xFFFFFFFF)
        text.emit(csrw("pmpaddr0", T0), addi(T0, ZERO, 0x1F), csrw("pmpcfg0", T0))
        text.emit(addi(T0, ZERO, 7), csrw("mcounteren", T0))
        text.constant(T0, pick.choice((0, 0xB104, 0xB000, 0x1000)))
        text.emit(csrw("medeleg", T0))
        self._switch_to(pick.randrange(2))
        text.constant(T0, 0x800)
        text.emit(csrrs(ZERO, "mstatus", T0))
        text.address(T0, "supervisor")
        text.emit(csrw("mepc", T0), MRET)
        text.label("supervisor")

    def _switch_to(self, space: int) -> None:
        text = self.text
        text.ram(T0, TABLES + space * TABLE_PAGES * PAGE)
        text.emit(srli(T0, T0, 12), addi(T1, ZERO, 8 if self.xlen == 64 else 1))
        text.emit(slli(T1, T1, self.xlen - (4 if self.xlen == 64 else 1)), add(T0, T0, T1), csrw("satp", T0))

    def _mix(self) -> None:
        """Let what was computed decide what comes next, and leave it in memory."""
        text = self.text
        for register in RANDOM:
            text.emit(slli(T0, LOG, 3), sub(LOG, T0, LOG), add(LOG, LOG, register))
        text.ram(T0, DATA + 8 * self.hart)
        text.store(LOG, T0, 0)
        text.ram(T0, ROUNDS)
        text.emit(addi(T1, ZERO, 1), self._atomic(0, 2, ZERO, T1, T0))
        self._count(LOG)
        if self.wakes:
            text.emit(lui(T3, MSIP >> 12), addi(T0, ZERO, 1))
            text.emit(*[sw(T0, T3, 4 * hart) for hart in range(1, self.shared.harts)])

    def _count(self, register: int) -> None:
        """Add 1 to a place of data that the register's low bits choose."""
        text = self.text
        text.ram(T1, DATA + 0x100)
        text.emit(slli(T0, register, self.xlen - 4), srli(T0, T0, self.xlen - 6), add(T1, T1, T0))
        text.emit(0x0000_202F | LOG << 20 | T1 << 15 | A0 << 7)  # AMOADD.W

    def _handler(self, mode: str) -> Text:
        """Hash what happened; then clear the interrupt, or skip the four bytes that trapped, or return to the caller
        of a stub that can't be fetched.
        """
        text = Text(HART_ROOM * self.hart + (M_HANDLER_AT if mode == "m" else S_HANDLER_AT), self.xlen)
        text.emit(csrrw(T6, f"{mode}scratch", T6))
        for at, register in enumerate((T5, T4)):
            text.store(register, T6, at * self.word)
        text.emit(csrr(T5, f"{mode}cause"), slli(T4, LOG, 1), add(LOG, T4, T5), csrr(T4, f"{mode}epc"))
        text.emit(sub(LOG, LOG, T4))
        text.branch(LT, T5, ZERO, "interrupt")
        text.emit(addi(T4, T5, -3))  # the value that a breakpoint has is left open
        text.branch(EQ, T4, ZERO, "skip")
        text.emit(csrr(T4, f"{mode}tval"), add(LOG, LOG, T4), addi(T4, T5, -12))
        text.branch(EQ, T4, ZERO, "fetch")
        if self.shared.has_tables:  # an entry that was called
            text.emit(csrr(T5, f"{mode}epc"))
            text.ram(T4, TABLES)
            text.emit(sub(T4, T5, T4), srli(T4, T4, TABLES_BITS))
            text.branch(EQ, T4, ZERO, "fetch")
        text.label("skip")
        text.emit(csrr(T4, f"{mode}epc"), addi(T4, T4, 4), csrw(f"{mode}epc", T4))
        text.label("out")
        for at, register in enumerate((T5, T4)):
            text.load(register, T6, at * self.word)
        text.emit(csrrw(T6, f"{mode}scratch", T6), MRET if mode == "m" else SRET)
        text.label("fetch")
        text.emit(csrw(f"{mode}epc", RA))
        text.jump("out")
        text.label("interrupt")
        if self.timers:
            text.emit(andi(T4, T5, 4))
            text.branch(NE, T4, ZERO, "timer")
        text.emit(lui(T4, MSIP >> 12), sw(ZERO, T4, 4 * self.hart))
        text.jump("out")
        if self.timers:
            text.label("timer")
            text.emit(addi(T5, ZERO, -1), lui(T4, MTIMECMP >> 12), sw(T5, T4, 8 * self.hart + 4))
            text.jump("out")
        return text

    # ---- units

    def at(self, rd: int, offset: int) -> int:
        """Load an address, or one a little before or behind; what to add to it."""
        away = self.pick.choice((0, 0, self.pick.randint(-2000, 2000)))
        self.text.ram(rd, offset - away)
        return away

    def computing(self) -> None:
        """Now and then with a compressed instruction, so that what follows is at other addresses."""
        for _ in range(self.pick.randint(1, 8)):
            is_short = self.pick.random() < 0.15
            self.text.emit(self.pick.choice(_COMPRESSED) if is_short else self.shared.operation())

    def loads(self) -> None:
        text, pick = self.text, self.pick
        for _ in range(pick.randint(1, 5)):
            imm = self.at(T3, self.shared.place())
            funct3 = pick.choice((0, 1, 2, 3, 4, 5, 6) if self.xlen == 64 else (0, 1, 2, 4, 5))
            rd = pick.choice(RANDOM)
            text.emit((imm & 0xFFF) << 20 | T3 << 15 | funct3 << 12 | rd << 7 | _LOAD, add(LOG, LOG, rd))

    def stores(self) -> None:
        for _ in range(self.pick.randint(1, 5)):
            imm = self.at(T3, self.shared.place())
            if self.pick.random() < 0.3:
                self.text.emit(addi(A0, A0, 1))
            self._store(self.pick.choice((LOG, *RANDOM)), T3, imm, self.size())

    def size(self) -> int:
        return self.pick.choice((0, 1, 2, 2, 3, 3) if self.xlen == 64 else (0, 1, 2, 2))

    def _store(self, rs2: int, rs1: int, imm: int, size: int) -> None:
        self.text.emit((imm >> 5 & 0x7F) << 25 | rs2 << 20 | rs1 << 15 | size << 12 | (imm & 31) << 7 | 0x23)

    def aligned_place(self) -> int:
        return self.shared.place() & -self.word

    def reservable_place(self) -> int:
        """Not on a page without D: an SC that fails may set it or not."""
        place = self.aligned_place()
        return place if not FRESH <= place < DATA else DATA + 8 * (place % 128)

    def atomics(self) -> None:
        text, pick = self.text, self.pick
        for _ in range(pick.randint(1, 4)):
            size = pick.choice((2, self.word // 4 + 1))
            text.ram(T3, self.aligned_place() + (4 * pick.randrange(2) if size == 2 else 0))
            rd = pick.choice((ZERO, *RANDOM))
            funct5 = pick.choice((0, 1, 4, 8, 12, 16, 20, 24, 28))
            text.emit(self._atomic(funct5, size, rd, pick.choice(ANY), T3), add(LOG, LOG, rd))

    def _atomic(self, funct5: int, size: int, rd: int, rs2: int, rs1: int) -> int:
        order = self.pick.randrange(4)
        return funct5 << 27 | order << 25 | rs2 << 20 | rs1 << 15 | size << 12 | rd << 7 | 0x2F

    def reservation(self) -> None:
        """LR and SC with things between them: mostly to the same place, and perhaps until SC succeeds, a few times."""
        text, pick, loop = self.text, self.pick, self.fresh()
        size, place = pick.choice((2, self.word // 4 + 1)), self.reservable_place()
        text.ram(T3, place)
        other = self.reservable_place() if pick.random() < 0.15 else place
        text.ram(T2, place if (other ^ place) % PAGE == 0 else other)  # two pages may be one
        repeats = pick.random() < 0.5
        text.emit(addi(COUNT, ZERO, pick.randint(1, 6)))
        text.label(loop)
        if pick.random() < 0.95:
            text.emit(self._atomic(2, size, A0, ZERO, T3))
        between = pick.randrange(8)
        if between == 0:
            text.emit(pick.choice((ECALL, NOT_AN_INSTRUCTION)))
        elif between == 1:
            text.emit(pick.choice((FENCE_I, csrr(T0, "minstret"))))
        elif between <= 4:
            text.emit(*[self.shared.operation() for _ in range(pick.randint(1, 12))])
        elif between == 5:
            self.call(self.shared.stub())
        text.emit(addi(A0, A0, 3), self._atomic(3, size, A0 + 1, A0, T2), add(LOG, LOG, A0 + 1))
        if repeats:
            text.emit(addi(COUNT, COUNT, -1))
            over = self.fresh()
            text.branch(EQ, COUNT, ZERO, over)
            text.branch(NE, A0 + 1, ZERO, loop)
            text.label(over)

    def lock(self) -> None:
        """Take a lock, perhaps give up; add to what it protects, one after the other; release it."""
        text, pick, loop, over, taken = self.text, self.pick, self.fresh(), self.fresh(), self.fresh()
        text.ram(T3, DATA + 0x200)
        text.emit(addi(COUNT, ZERO, pick.randint(1, 10)), addi(T0, ZERO, 1))
        text.label(loop)
        text.emit(self._atomic(1, 2, T1, T0, T3))
        text.branch(EQ, T1, ZERO, taken)
        text.emit(addi(COUNT, COUNT, -1))
        text.branch(NE, COUNT, ZERO, loop)
        text.jump(over)
        text.label(taken)
        for at in range(8, 8 + 8 * pick.randint(1, 4), 8):
            text.load(T2, T3, at)
            text.emit(add(T2, T2, LOG))
            text.store(T2, T3, at)
        text.emit(sw(ZERO, T3, 0))
        text.label(over)

    def call(self, stub: Stub) -> None:
        self.text.ram(TARGET, stub.offset)
        self.text.emit(jalr(RA, TARGET, 0))

    def calls(self) -> None:
        text, pick = self.text, self.pick
        for _ in range(pick.randint(1, 3)):
            self.call(self.shared.stub())
        if pick.random() < 0.5:
            loop = self.fresh()
            text.ram(TARGET, self.shared.stub().offset)
            text.emit(addi(COUNT, ZERO, pick.choice((2, 5, 20))))
            text.label(loop)
            text.emit(jalr(RA, TARGET, 0), addi(COUNT, COUNT, -1))
            text.branch(NE, COUNT, ZERO, loop)

    def patches(self) -> None:
        """Change instructions of a stub by a store, an AMO or an SC; perhaps call it before and after."""
        pick, stub = self.pick, self.shared.stub()
        if pick.random() < 0.4:
            self.call(stub)
        for _ in range(pick.randint(1, 3)):
            self._patch(stub)
        if pick.random() < 0.3:
            self.text.emit(FENCE_I)
        if pick.random() < 0.6:
            self.call(stub)

    def _patch(self, stub: Stub) -> None:
        pick = self.pick
        if not stub.is_mixable:
            self._patch_word(stub.offset + 4 * pick.randrange(stub.slots), self.shared.any_slot())
        elif pick.random() < 0.3:
            self._patch_word(stub.offset + 4 * pick.randrange(stub.slots), self.shared.mixable())
        elif pick.random() < 0.2:
            self._patch_immediate(stub)
        elif pick.random() < 0.2 and self.xlen == 64:
            self._patch_pair(stub)
        else:
            self._patch_bytes(stub)

    def _patch_word(self, offset: int, insn: int) -> None:
        """A whole instruction: by SW, by AMOSWAP, or by SC if it is aligned."""
        text, pick = self.text, self.pick
        kind = pick.randrange(4 if offset < FRESH else 3) if offset % 4 == 0 else 0
        text.constant(T0, insn)
        imm = self.at(T3, offset) if kind <= 1 else 0
        if kind <= 1:
            self._store(T0, T3, imm, 2)
            return
        text.ram(T3, offset)
        if kind == 2:
            text.emit(self._atomic(1, 2, pick.choice((ZERO, *RANDOM)), T0, T3))
        else:
            text.emit(self._atomic(2, 2, T1, ZERO, T3), self._atomic(3, 2, A0, T0, T3))

    def _patch_immediate(self, stub: Stub) -> None:
        """An atomic operation on the bits of immediates, of one instruction or of two at once."""
        text, pick = self.text, self.pick
        slot = stub.offset + 4 * pick.randrange(stub.slots)
        is_double = (
            self.xlen == 64 and slot % 8 == 0 and pick.random() < 0.7 and slot < stub.offset + 4 * stub.slots - 4
        )
        if slot % 4:
            return
        text.ram(T3, slot)
        text.constant(T0, pick.getrandbits(12) << 20)
        if is_double:
            text.emit(slli(T1, T0, 32), add(T0, T0, T1))
        text.emit(self._atomic(pick.choice((4, 8)), 3 if is_double else 2, pick.choice(RANDOM), T0, T3))

    def _patch_pair(self, stub: Stub) -> None:
        """Two whole instructions at once, by AMOSWAP.D or SC.D."""
        text, pick, slot = self.text, self.pick, stub.offset + 7 & -8
        if stub.offset % 4 or slot + 8 > stub.offset + 4 * stub.slots:
            return
        text.constant(T0, self.shared.mixable())
        text.constant(T1, self.shared.mixable())
        text.emit(slli(T1, T1, 32), add(T0, T0, T1))
        text.ram(T3, slot)
        if pick.random() < 0.5 or slot >= FRESH:
            text.emit(self._atomic(1, 3, pick.choice((ZERO, *RANDOM)), T0, T3))
        else:
            text.emit(self._atomic(2, 3, T1, ZERO, T3), self._atomic(3, 3, A0, T0, T3))

    def _patch_bytes(self, stub: Stub) -> None:
        """1 to 8 bytes anywhere in the slots, or from the data before them on."""
        text, pick = self.text, self.pick
        size = self.size()
        first = pick.randrange(-(1 << size) + 1, 4 * stub.slots - (1 << size) + 1)
        slots = b"".join(self.shared.mixable().to_bytes(4, "little") for _ in range(stub.slots))
        data = bytes(pick.randrange(256) for _ in range(8)) + slots
        value = int.from_bytes(data[8 + first : 8 + first + (1 << size)], "little")
        text.constant(T0, value)
        if size == 3:
            text.constant(T1, value >> 32)
            text.emit(slli(T1, T1, 32), add(T0, T0, T1))
        imm = self.at(T3, stub.offset + first)
        self._store(T0, T3, imm, size)

    def site(self) -> None:
        """Slots in this hart's own program, which others patch; perhaps in a loop."""
        text, pick, loop = self.text, self.pick, self.fresh()
        text.emit(addi(COUNT, ZERO, pick.choice((1, 3, 20))))
        text.label(loop)
        for _ in range(pick.randint(1, 3)):
            self.shared.sites.append(text.here)
            text.data += self.shared.any_slot().to_bytes(4, "little")
        text.emit(addi(COUNT, COUNT, -1))
        text.branch(NE, COUNT, ZERO, loop)

    def patches_a_program(self) -> None:
        if self.shared.sites:
            self._patch_word(self.pick.choice(self.shared.sites), self.shared.any_slot())

    def makes_code(self) -> None:
        """Write a stub into a page that was data, and call it."""
        text, pick = self.text, self.pick
        offset = FRESH + PAGE * pick.randrange(FRESH_PAGES) + 0x400 + 0x20 * pick.randrange(2)
        text.ram(T3, offset)
        for at, insn in enumerate((self.shared.any_slot(), self.shared.any_slot(), jalr(ZERO, RA, 0))):
            text.constant(T0, insn)
            text.emit(sw(T0, T3, 4 * at))
        if pick.random() < 0.5:
            text.emit(FENCE_I)
        self.call(Stub(offset, 2, False))

    def counters(self) -> None:
        names = ["minstret", "instret", "mhartid", "mip"] + ["cycle", "mcycle", "time"] * self.reads_time
        for _ in range(self.pick.randint(1, 3)):
            rd = self.pick.choice(RANDOM)
            self.text.emit(csrr(rd, self.pick.choice(names)), add(LOG, LOG, rd))
        if self.pick.random() < 0.3:
            self.text.emit(csrw(self.pick.choice(["minstret"] + ["mcycle"] * self.reads_time), self.pick.choice(ANY)))

    def trap(self) -> None:
        text, pick = self.text, self.pick
        for _ in range(pick.randint(1, 2)):
            text.emit(pick.choice((ECALL, 0x0010_0073, NOT_AN_INSTRUCTION, 0x0000_2003, 0x0000_2023, 0x0000_006B)))

    def interrupt(self) -> None:
        """Raise or clear a software interrupt, of any hart."""
        text, pick = self.text, self.pick
        text.emit(lui(T3, MSIP >> 12), addi(T0, ZERO, int(pick.random() < 0.8)))
        text.emit(sw(T0, T3, 4 * pick.randrange(self.shared.harts)))
        if pick.random() < 0.3:
            text.emit(pick.choice((csrrsi(ZERO, "mstatus", 8), csrrsi(A0, "mie", 8), csrrsi(A0, "mscratch", 0))))

    def wait(self) -> None:
        if self.timers and self.pick.random() < 0.8:
            self.timer()
        self.text.emit(WFI)
        self.computing()

    def timer(self) -> None:
        """Set a timer, mostly this hart's, a little ahead or to the past."""
        text, pick = self.text, self.pick
        hart = self.hart if pick.random() < 0.6 else pick.randrange(self.shared.harts)
        text.emit(lui(T3, MTIME + 0x800 >> 12), lw(T0, T3, MTIME & 0xFFF))
        text.emit(addi(T0, T0, pick.choice((-1, 0, 1, 2, 5, 20))))
        if pick.random() < 0.2:
            text.emit(add(LOG, LOG, T0))
        text.emit(lui(T3, MTIMECMP >> 12), *pick.sample((sw(ZERO, T3, 8 * hart + 4), sw(T0, T3, 8 * hart)), 2))

    def loop(self) -> None:
        text, pick, loop = self.text, self.pick, self.fresh()
        imm = self.at(T3, self.shared.place())
        text.emit(addi(COUNT, ZERO, pick.choice((3, 10, 40))))
        text.label(loop)
        for _ in range(pick.randint(1, 4)):
            kind = pick.randrange(4)
            if kind == 0:
                self._store(LOG, T3, imm, self.size())
            elif kind == 1:
                text.load(A0, T3, imm)
                text.emit(add(LOG, LOG, A0))
            else:
                text.emit(self.shared.operation())
        text.emit(addi(COUNT, COUNT, -1))
        text.branch(NE, COUNT, ZERO, loop)

    def edits_a_table(self) -> None:
        """Map a page to another one, or change its rights; or let all pages be those of a space. Perhaps use it."""
        text, pick = self.text, self.pick
        last = TABLES + (pick.randrange(2) * TABLE_PAGES + 2) * PAGE
        page, entry = self.shared.entry()
        at = last + page // PAGE * self.word
        if pick.random() < 0.15:
            root = TABLES + pick.randrange(2) * TABLE_PAGES * PAGE
            at = (root + PAGE if self.xlen == 64 else root) + self.shared.table_index * self.word
            entry = pointer(last)
        if pick.random() < 0.5:
            self._use(page)
        text.ram(T3, at)
        text.constant(T0, entry)
        kind = pick.randrange(6)
        if kind == 0:
            text.store(T0, T3, 0)
        elif kind == 1:
            text.emit(self._atomic(1, self.word // 4 + 1, T1, T0, T3))
        elif kind == 2 and entry & 2:  # the page's number has its low bits in the second byte
            text.emit(srli(T0, T0, 8))
            self._store(T0, T3, 1, 0)
        elif kind == 3:
            text.emit(self._atomic(2, 2, T1, ZERO, T3), self._atomic(3, 2, A0, T0, T3))
        else:
            text.emit(sw(T0, T3, 0))
        if pick.random() < 0.2:
            text.emit(SFENCE_VMA)
        if pick.random() < 0.6:
            self._use(page)

    def makes_an_entry(self) -> None:
        """Take the lonely page away, map it again, and then once more, elsewhere or with other rights."""
        text, pick = self.text, self.pick
        at = TABLES + (pick.randrange(2) * TABLE_PAGES + 2) * PAGE + LONELY // PAGE * self.word
        entries = [pick.choice((LONELY, DATA, DATA + PAGE)) for _ in range(2)]
        text.ram(T3, at)
        text.constant(T0, pointer(entries[0]) | _LEAF)
        text.constant(T1, pointer(entries[1]) | pick.choice((_LEAF, _LEAF & ~4)))
        text.emit(sw(ZERO, T3, 0), sw(T0, T3, 0))
        self.computing()
        text.emit(pick.choice((sw(T1, T3, 0), self._atomic(1, 2, A0, T1, T3))))

    def sweeps_a_table(self) -> None:
        """So many stores to entries that nobody uses that their page is no longer watched; then one that counts."""
        text, pick, loop = self.text, self.pick, self.fresh()
        last = TABLES + (pick.randrange(2) * TABLE_PAGES + 2) * PAGE
        if pick.random() < 0.5:
            self._use(LONELY)
        text.ram(T3, last + 0xC00)
        text.emit(addi(COUNT, ZERO, pick.choice((60, 260))))
        text.label(loop)
        text.emit(sw(ZERO, T3, 0), addi(COUNT, COUNT, -1))
        text.branch(NE, COUNT, ZERO, loop)
        text.ram(T3, last + LONELY // PAGE * self.word)
        text.constant(T0, pointer(pick.choice((LONELY, DATA, DATA + PAGE))) | pick.choice((_LEAF, _LEAF, _LEAF & ~4)))
        text.emit(sw(T0, T3, 0))

    def calls_an_entry(self) -> None:
        """Execute a page table entry, which is no instruction: the handler notes it. Perhaps D of its page changes."""
        text, pick = self.text, self.pick
        at = TABLES + (pick.randrange(2) * TABLE_PAGES + 2) * PAGE + LONELY // PAGE * self.word
        for _ in range(pick.randint(1, 3)):
            if pick.random() < 0.6:
                text.ram(T3, at)
                text.emit(jalr(RA, T3, 0))
            if pick.random() < 0.5:
                self._use(LONELY)
            if pick.random() < 0.3:
                text.ram(T3, at)
                text.constant(T0, pointer(LONELY) | _LEAF & ~_D)
                text.emit(sw(T0, T3, 0))

    def _of_this_round(self, rd: int, base: int, pages: int) -> None:
        """Load the address of one of these pages: another one after every four rounds of any harts."""
        text, bits = self.text, pages.bit_length() - 1
        text.ram(rd, ROUNDS)
        text.emit(lw(rd, rd, 0), slli(rd, rd, self.xlen - bits - 2), srli(rd, rd, self.xlen - bits))
        text.ram(T0, base)
        text.emit(slli(rd, rd, 12), add(rd, rd, T0))

    def uses_a_fresh_page(self) -> None:
        """Store data to a page, call the stub in it, and store over that, in any order."""
        text, pick = self.text, self.pick
        self._of_this_round(T3, UNUSED, UNUSED_PAGES)
        for _ in range(pick.randint(1, 4)):
            kind = pick.randrange(4)
            if kind == 0:
                self._store(LOG, T3, pick.choice((0x100, 0x101, 0x7F8)), self.size())
            elif kind <= 2:
                text.emit(jalr(RA, T3, UNUSED_STUB))
            else:
                text.constant(T0, self.shared.mixable())
                at = UNUSED_STUB + 4 * pick.randrange(2)
                if pick.random() < 0.5:
                    text.emit(sw(T0, T3, at))
                else:
                    text.emit(addi(T2, T3, at), self._atomic(1, 2, pick.choice(RANDOM), T0, T2))

    def uses_a_spare_table(self) -> None:
        """Map the lonely page in another table for pages, let that be used, and use the page, in any order."""
        text, pick = self.text, self.pick
        self._of_this_round(T2, SPARES, SPARE_PAGES)
        root = TABLES + pick.randrange(2) * TABLE_PAGES * PAGE
        entry = (root + PAGE if self.xlen == 64 else root) + self.shared.table_index * self.word
        for _ in range(pick.randint(2, 4)):
            kind = pick.randrange(3)
            if kind == 0:
                page = pick.choice((LONELY, DATA, DATA + PAGE))
                text.constant(T0, pointer(page) | pick.choice((_LEAF, _LEAF, _LEAF & ~4)))
                text.emit(sw(T0, T2, LONELY // PAGE * self.word))
            elif kind == 1:
                text.ram(T3, entry)
                text.emit(srli(T0, T2, 2), addi(T0, T0, _NEXT))
                text.store(T0, T3, 0)
            else:
                text.ram(T3, LONELY + 0xC00)
                text.emit(*((lw(A0, T3, 0), add(LOG, LOG, A0)) if pick.random() < 0.5 else (sw(LOG, T3, 8),)))

    def _use(self, page: int) -> None:
        """Load from a page, store to it, or call a stub there."""
        text, pick = self.text, self.pick
        stubs = [stub for stub in self.shared.stubs if stub.offset // PAGE == page // PAGE]
        if stubs and pick.random() < 0.7:
            self.call(pick.choice(stubs))
            return
        text.ram(T3, page + 0xC00)
        if pick.random() < 0.5:
            text.emit(lw(A0, T3, 0), add(LOG, LOG, A0))
        else:
            text.emit(sw(LOG, T3, 8 * pick.randrange(4)))

    def uses_pages(self) -> None:
        """Use pages that may become others, several times each."""
        text, pick, loop = self.text, self.pick, self.fresh()
        text.emit(addi(COUNT, ZERO, pick.choice((1, 3, 8))))
        text.label(loop)
        for _ in range(pick.randint(1, 4)):
            self._use(self.shared.entry()[0])
        text.emit(addi(COUNT, COUNT, -1))
        text.branch(NE, COUNT, ZERO, loop)

    def switches_space(self) -> None:
        self._switch_to(self.pick.randrange(2))
        if self.pick.random() < 0.3:
            self.text.emit(SFENCE_VMA)

    def lonely(self) -> None:
        """Access the page that may be gone, or be read-only."""
        text, pick = self.text, self.pick
        for _ in range(pick.randint(1, 3)):
            text.ram(T3, LONELY + 0x400 + 8 * pick.randrange(4))
            kind = pick.randrange(3)
            if kind == 0:
                text.emit(lw(A0, T3, pick.randrange(4)), add(LOG, LOG, A0))
            elif kind == 1:
                self._store(LOG, T3, pick.randrange(8), self.size())
            else:
                text.emit(self._atomic(pick.choice((0, 1, 4)), pick.choice((2, self.word // 4 + 1)), A0, LOG, T3))

    def sweep(self) -> None:
        """Many stores right behind a stub."""
        text, pick, loop = self.text, self.pick, self.fresh()
        stub = self.shared.stub()
        text.ram(T3, stub.offset + 4 * stub.slots + 12)
        text.emit(addi(COUNT, ZERO, pick.choice((2, 8, 70, 300))))
        text.label(loop)
        self._store(LOG, T3, pick.choice((0, 1, 4, 8)), self.size())
        if pick.random() < 0.5:
            text.emit(addi(LOG, LOG, 1))
        text.emit(addi(COUNT, COUNT, -1))
        text.branch(NE, COUNT, ZERO, loop)


def physical(program: SmpProgram, hart: int) -> int:
    """Where a hart begins."""
    return RAM + program.entries[hart]
