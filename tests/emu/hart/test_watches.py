"""Watched loads and stores are told once and whole, after they were done, and nothing else about a run changes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest
from support.asm import (
    A0,
    A1,
    A2,
    A3,
    LOOP,
    MRET,
    NOP,
    S0,
    ZERO,
    addi,
    amoadd_w,
    bne,
    code,
    csrr,
    csrw,
    jal,
    ld,
    li,
    lr_w,
    lw,
    sb,
    sc_w,
    sd,
    sh,
    sw,
)  # fmt: skip
from support.generated_code import RAM_SIZE, Program, generate
from support.generated_windows import generate_windows
from support.harts import RAM, ROM_INSNS, board_of, programs_of, run_insns
from support.needs import Need

from minstret import Device, Wiring
from minstret.devices.board.board import Board, BoardConfig
from minstret.emu.errors import AccessFault
from minstret.emu.hart.compiled import c_callbacks
from minstret.emu.hart.shared import Counting, PageFlag
from minstret.emu.hart.watches import WatchHit, WatchKind
from minstret.emu.images.loader import Firmware, Segment
from minstret.emu.machine import StopReason
from minstret.emu.wiring import HartMemory

LOAD, STORE, ACCESS = WatchKind.LOAD, WatchKind.STORE, WatchKind.ACCESS
PAGE, PLACE = 4096, 0x4010
WATCH, REACHED = StopReason.WATCH, StopReason.REACHED


def board_with(counting: str, *insns: int, xlen: int = 64, slice_insns: int | None = None) -> Board:
    """A board that runs three NOPs and ``insns`` with s0 = RAM + PLACE and a1 = 0x1234."""
    board = board_of(code(NOP, NOP, NOP, insns, LOOP), xlen=xlen, counting=counting, slice_insns=slice_insns)
    run_insns(board, 0)
    board.registers["s0"], board.registers["a1"] = RAM + PLACE, 0x1234
    board.hart.env.mstatus |= 0x6000
    board.hart.env.f[1] = 0x1122_3344_5566_7788
    return board


def hits_of(board: Board, insns: int = 20) -> list[tuple[int, WatchHit]]:
    """Run so many instructions; after how many of them what was hit."""
    seen = []
    while (outcome := board.run_until(icount=ROM_INSNS + insns)).reason is WATCH:
        assert outcome.hits
        seen += [(board.position.icount - ROM_INSNS, hit) for hit in outcome.hits]
    assert outcome.reason is REACHED
    return seen


def brief(hits: list[tuple[int, WatchHit]]) -> list[tuple[int, WatchKind, int, int]]:
    return [(insns, hit.kind, hit.address - RAM - PLACE, hit.size) for insns, hit in hits]


def test_store_stops_after_it_has_retired(counting: str) -> None:
    board = board_with(counting, sw(A1, S0, 0), addi(A0, A0, 1))
    board.memory.write(RAM + PLACE, b"\xaa\xbb\xcc\xdd")
    watch = board.hart.watches.add(STORE, RAM + PLACE + 1, 1)
    outcome = board.run_until(icount=ROM_INSNS + 20)
    assert outcome.reason is WATCH
    assert (board.position.icount, board.hart.pc) == (ROM_INSNS + 4, RAM + 16)
    hit = WatchHit(
        watch, STORE, RAM + PLACE, 4, RAM + 12, b"\xaa\xbb\xcc\xdd", b"\x34\x12\x00\x00", icount=ROM_INSNS + 3
    )
    assert outcome.hits == (hit,)
    assert hits_of(board) == []


def test_load_stops_after_it_has_retired(counting: str) -> None:
    board = board_with(counting, lw(S0, S0, 0), addi(A0, A0, 1))
    board.memory.write(RAM + PLACE, b"\x01\x02\x03\x04")
    watch = board.hart.watches.add(LOAD, RAM + PLACE, 4)
    assert hits_of(board) == [(4, WatchHit(watch, LOAD, RAM + PLACE, 4, RAM + 12, icount=ROM_INSNS + 3))]
    assert board.registers["s0"] == 0x04030201


@pytest.mark.parametrize(
    ("insn", "kind", "size"),
    [
        (lw(A0, S0, 0), LOAD, 4), (ld(A0, S0, 0), LOAD, 8), (sd(A1, S0, 0), STORE, 8), (sh(A1, S0, 0), STORE, 2),
        (sb(A1, S0, 0), STORE, 1), (amoadd_w(A0, A1, S0), ACCESS, 4), (lr_w(A0, S0), LOAD, 4),
        (0x00143027, STORE, 8), (0x00043087, LOAD, 8),  # fsd f1, 0(s0); fld f1, 0(s0)
        (3 << 12 | A1 << 20 | S0 << 15 | A0 << 7 | 0x2F, ACCESS, 8),  # amoadd.d
        (0xE00C, STORE, 8), (0x600C, LOAD, 8),  # c.sd a1, 0(s0); c.ld
        (0xC00C, STORE, 4), (0x400C, LOAD, 4),  # c.sw a1, 0(s0); c.lw
    ],
)  # fmt: skip
@pytest.mark.parametrize("slice_insns", [None, 1])
def test_each_kind_of_access_counts_once(
    counting: str, insn: int, kind: WatchKind, size: int, slice_insns: int | None
) -> None:
    board = board_with(counting, insn, insn, slice_insns=slice_insns)
    watches = board.hart.watches
    watched = {wanted: watches.add(wanted, RAM + PLACE, 8) for wanted in (LOAD, STORE, ACCESS)}
    found = hits_of(board)
    expected = [wanted for wanted in (LOAD, STORE, ACCESS) if wanted & kind]
    for insns in (4, 5):
        assert [hit.watch for at, hit in found if at == insns] == [watched[wanted] for wanted in expected]
    assert {(hit.kind, hit.address, hit.size) for _, hit in found} == {(kind, RAM + PLACE, size)}
    assert len(found) == 2 * len(expected)


@pytest.mark.parametrize(("insn", "kind"), [(0x00143027, STORE), (0x00043087, LOAD)])
def test_doubleword_on_rv32_counts_once(counting: str, insn: int, kind: WatchKind) -> None:
    board = board_with(counting, insn, xlen=32)
    board.hart.watches.add(ACCESS, RAM + PLACE + 4, 4)
    assert brief(hits_of(board)) == [(4, kind, 0, 8)]


@pytest.mark.parametrize("offset", [1, 3, 5, 7])
def test_misaligned_access_counts_once(counting: str, offset: int) -> None:
    board = board_with(counting, sd(A1, S0, offset), ld(A0, S0, offset), lw(A0, S0, 12))
    board.hart.watches.add(ACCESS, RAM + PLACE, 12)
    assert brief(hits_of(board)) == [(4, STORE, offset, 8), (5, LOAD, offset, 8)]
    assert board.registers["a0"] == 0


@pytest.mark.parametrize("watched", [-3, 1])
def test_access_across_pages_counts_once_by_the_part_in_the_page(counting: str, watched: int) -> None:
    board = board_with(counting, sd(A1, S0, -4), ld(A0, S0, -4))
    board.registers["s0"] = RAM + 0x5000
    board.hart.watches.add(ACCESS, RAM + 0x5000 + watched, 1)
    part = (0x5000 - 4 if watched < 0 else 0x5000) - PLACE
    assert brief(hits_of(board)) == [(4, STORE, part, 4), (5, LOAD, part, 4)]
    assert board.registers["a0"] == 0x1234


def test_range_across_pages_is_hit_once(counting: str) -> None:
    board = board_with(counting, sd(A1, S0, -4), sw(A1, S0, 0x7FC))
    board.registers["s0"] = RAM + 0x5000
    board.hart.watches.add(STORE, RAM + 0x4FF0, 3 * PAGE)
    assert [(at, hit.size) for at, hit in hits_of(board)] == [(4, 4), (5, 4)]


def test_bytes_beside_the_range_do_not_hit(counting: str) -> None:
    board = board_with(counting, sw(A1, S0, 4), lw(A0, S0, -4), lw(A0, S0, 4), sb(A1, S0, -1), sb(A1, S0, 3))
    board.hart.watches.add(ACCESS, RAM + PLACE, 4)
    assert brief(hits_of(board)) == [(8, STORE, 3, 1)]


def test_store_conditional_that_fails_is_no_access(counting: str) -> None:
    board = board_with(
        counting, sc_w(A0, A1, S0), lr_w(A2, S0), sw(A1, S0, 0), sc_w(A0, ZERO, S0), lr_w(A2, S0), sc_w(A3, ZERO, S0)
    )
    board.hart.watches.add(STORE, RAM + PLACE, 4)
    found = brief(hits_of(board))
    assert (board.registers["a0"], board.registers["a3"]) == (1, 0)
    assert found == [(6, STORE, 0, 4), (9, STORE, 0, 4)]


def test_access_that_faults_has_not_accessed(counting: str) -> None:
    """Its first part is in the last page of RAM, its second nowhere."""
    handler = code(csrr(A0, "mepc"), addi(A0, A0, 4), csrw("mepc", A0), MRET)
    program = code(ld(A1, S0, -4), lw(A1, S0, -4), LOOP)
    board = board_of((0, program), (0x100, handler), counting=counting)
    run_insns(board, 0)
    board.registers["s0"] = RAM + (1 << 20)
    board.hart.env.mtvec = RAM + 0x100
    board.hart.watches.add(LOAD, RAM + (1 << 20) - 8, 8)
    found = hits_of(board)
    assert [(at, hit.pc) for at, hit in found] == [(5, RAM + 4)]


def test_several_watches_on_one_store_are_told_together(counting: str) -> None:
    board = board_with(counting, sw(A1, S0, 0))
    told: list[tuple[int, int, int]] = []
    watches = board.hart.watches
    watches.add(STORE, RAM + PLACE, 4, lambda address, size: told.append((board.position.icount, address, size)))
    first, second = watches.add(STORE, RAM + PLACE + 2, 8), watches.add(ACCESS, RAM + PLACE, 1)
    assert [(at, hit.watch) for at, hit in hits_of(board)] == [(4, first), (4, second)]
    assert told == [(ROM_INSNS + 3, RAM + PLACE, 4)]
    assert list(watches)[1:] == [first, second]


def test_a_run_that_was_to_end_there_tells_the_hit(counting: str) -> None:
    board = board_with(counting, sw(A1, S0, 0))
    board.hart.watches.add(STORE, RAM + PLACE, 4)
    assert board.run_until(icount=ROM_INSNS + 4).reason is WATCH
    assert board.run_until(icount=ROM_INSNS + 4).reason is REACHED


def test_device_that_writes_and_a_debugger_are_not_told(counting: str) -> None:
    board = board_with(counting, NOP)
    board.hart.watches.add(ACCESS, RAM + PLACE, 4)
    board.memory.write(RAM + PLACE, b"1234")
    assert board.hart.read_virtual(RAM + PLACE, 4) == b"1234"
    assert hits_of(board) == []


def test_watch_that_sees_devices_stops_before_the_next_instruction(counting: str) -> None:
    board = board_with(counting, NOP)
    dma = HartMemory(board.machine, "net0")
    watch = board.hart.watches.add(ACCESS, RAM + PLACE, 4, sees_devices=True)
    run_insns(board, 2)
    dma.write(RAM + PLACE + 4, b"beside")
    dma.write(RAM + PLACE - 2, b"abcd")
    hit = WatchHit(
        watch, STORE, RAM + PLACE, 2, RAM + 8, bytes(2), b"cd", is_by_device=True, icount=ROM_INSNS + 2, device="net0"
    )
    assert hits_of(board) == [(2, hit)]
    with pytest.raises(AccessFault):
        dma.write(0, b"nothing")
    board.hart.watches.remove(watch)
    dma.write(RAM + PLACE, b"efgh")
    assert hits_of(board, 30) == []


@dataclass(slots=True)
class CopierState:
    copies: int = 0


class Copier(Device):
    """A device that writes to memory when it is written to."""

    compatible = "test,copier"

    def __init__(self) -> None:
        super().__init__(0x1100_0000, 40, "copier")
        self.state = CopierState()

    def attach(self, wiring: Wiring) -> None:
        self._memory = wiring.memory

    def write(self, offset: int, size: int, value: int) -> None:
        self.state.copies += 1
        self._memory.write(RAM + PLACE, b"dma!")


def test_device_that_writes_in_the_access_that_asks_it_to(counting: str) -> None:
    program = code(sw(A1, S0, 0), NOP, LOOP)
    firmware = Firmware("test", 64, RAM, (Segment(RAM, program, len(program)),))
    board = Board(firmware, BoardConfig(ram_size=1 << 20, counting=Counting(counting)), devices=[Copier()])
    run_insns(board, 0)
    board.registers["s0"] = 0x1100_0000
    watch = board.hart.watches.add(STORE, RAM + PLACE, 4, sees_devices=True)
    assert [(at, hit.watch, hit.pc, hit.new) for at, hit in hits_of(board)] == [(1, watch, RAM, b"dma!")]


def test_instruction_fetch_is_no_load(counting: str) -> None:
    board = board_with(counting, NOP, NOP, lw(A0, S0, 0))
    board.registers["s0"] = RAM
    board.hart.watches.add(ACCESS, RAM, 64)
    assert [(at, hit.address - RAM) for at, hit in hits_of(board)] == [(6, 0)]


def test_load_from_a_page_of_code_that_runs(counting: str) -> None:
    """The page was fetched from first: its translation must not let loads by."""
    board = board_with(counting, lw(A0, S0, 0), sw(A0, S0, 0x80), lw(A0, S0, 0x80))
    board.registers["s0"] = RAM
    board.hart.watches.add(ACCESS, RAM + 0x80, 4)
    assert brief(hits_of(board)) == [(5, STORE, 0x80 - PLACE, 4), (6, LOAD, 0x80 - PLACE, 4)]


def test_removed_watch_leaves_the_page_as_it_was(counting: str) -> None:
    loop = code(addi(A2, ZERO, 100), sw(A1, S0, 0), lw(A0, S0, 0), addi(A2, A2, -1), bne(A2, ZERO, -12), LOOP)
    board = board_of(loop, counting=counting)
    run_insns(board, 0)
    board.registers["s0"] = RAM + PLACE
    watches = board.hart.watches
    kept, removed = watches.add(STORE, RAM + PLACE + 64, 4), watches.add(ACCESS, RAM + PLACE, 4)
    assert len(hits_of(board, 1 + 4 * 10)) == 20
    watches.remove(removed)
    assert list(watches) == [kept]
    watches.clear()
    assert not list(watches)
    assert not board.machine.memory.page_flags[PLACE >> 12] & PageFlag.SLOW
    assert hits_of(board, 1 + 4 * 90) == []
    with pytest.raises(ValueError, match=r"not in list|x not in"):
        watches.remove(removed)


def test_what_can_not_be_watched_is_refused() -> None:
    watches = board_of(code(LOOP)).hart.watches
    for address, size in ((RAM - 1, 4), (RAM + (1 << 20) - 3, 4), (RAM, 0), (0x1000, 4)):
        with pytest.raises(ValueError, match="not in RAM"):
            watches.add(STORE, address, size)
    with pytest.raises(ValueError, match="stores only"):
        watches.add(ACCESS, RAM, 4, lambda address, size: None)
    with pytest.raises(ValueError, match="not seen"):
        watches.add(LOAD, RAM, 4, sees_devices=True)


# ---- generated programs


@pytest.mark.parametrize("xlen", [32, 64])
@pytest.mark.parametrize("number", range(8))
def test_generated_program_with_random_watches_is_the_same_run(need: Need, number: int, xlen: int) -> None:
    need("the C extension (a C compiler at install time)", c_callbacks)
    seed = f"watches/{number}"
    program = generate(seed, xlen)
    end = 1000 if number % 4 == 0 else 3000
    plain, written = run_program(program, "instructions", end, ())
    expected, hits = run_program(program, "instructions", end, written)
    assert expected == plain, seed
    assert hits, f"{seed}: this program shows nothing"
    assert run_program(program, "code", end, written) == (plain, hits), seed
    if number % 4 == 0:
        assert run_program(program, "python", end, written) == (plain, hits), seed


@pytest.mark.parametrize(("number", "xlen"), [(18, 64), (30, 32), (31, 64), (67, 32)])
def test_rest_of_a_store_that_a_device_refuses_is_stored_in_a_watched_page_too(
    counting: str, number: int, xlen: int
) -> None:
    program = generate_windows(f"hunt/5/{number}", xlen)
    end = 2000 if counting != "python" else 700
    plain, written = run_program(program, counting, end, ())
    assert run_program(program, counting, end, written)[0] == plain


def test_hit_has_the_hart_that_accessed(counting: str) -> None:
    """Both store to the same word, in turns of ten instructions."""
    stores = code(csrr(A0, "mhartid"), li(S0, RAM + PLACE), sw(A0, S0, 0), NOP, NOP, jal(ZERO, -12))
    board = board_of(programs_of(stores, stores), counting=counting, smp=2, quantum=10)
    watch = board.watches.add(STORE, RAM + PLACE, 4)
    hits = []
    for _ in range(12):
        [hit] = board.run_until(icount=10_000).hits
        hits.append((hit.hart, hit.new))
        assert (hit.watch, hit.hart) == (watch, board.hart.hart_id)

    assert {hart for hart, _ in hits} == {0, 1}
    assert all(new == hart.to_bytes(4, "little") for hart, new in hits)


def run_program(program: Program, counting: str, end: int, pages: tuple[Any, ...]) -> tuple[object, tuple[Any, ...]]:
    """How the run ended, and what was hit by watches in some of ``pages``; without these, which were written."""
    pick, shift = random.Random(program.seed), program.icount_shift
    board = board_of(b"", xlen=program.xlen, counting=counting, ram_size=RAM_SIZE, icount_shift=shift)
    board.memory.write(RAM, program.image())
    written = board.machine.memory.dirty_pages()
    watches, hits = board.hart.watches, []
    while True:
        while pages and len(watches) < 10:
            address = pick.choice(pages) * PAGE + pick.choice((0, pick.randrange(PAGE)))
            size = pick.choice((1, 8, 64, PAGE, PAGE, PAGE, PAGE))
            watches.add(pick.choice((LOAD, STORE, ACCESS)), RAM + address, min(size, RAM_SIZE - address))
        outcome = board.run_until(icount=min(end, board.position.icount + pick.choice((1, 5, 20, 50, 400))))
        for hit in outcome.hits:
            hits.append((board.position.icount, hit.kind, hit.address, hit.size, hit.pc, hit.old, hit.new))
        while len(watches) and pick.random() < 0.2:
            watches.remove(pick.choice(list(watches)))
        if outcome.reason not in (REACHED, WATCH) or (outcome.reason is REACHED and board.position.icount >= end):
            summary = outcome.reason, board.position, board.digest(), board.hart.last_trap, bytes(board.console)
            return summary, tuple(hits if pages else written.take())


@pytest.mark.parametrize("distance", [*range(-20, 21), 64, 2000])
def test_access_beside_a_watched_range_is_done_and_told_of_only_where_it_overlaps(counting: str, distance: int) -> None:
    watched = RAM + PLACE + 1024
    board = board_with(counting, sd(A1, S0, 0), ld(A0, S0, 0))
    board.registers["s0"] = address = watched + distance
    board.hart.watches.add(ACCESS, watched, 4)
    hits = [(hit.kind, hit.old, hit.new) for _, hit in hits_of(board)]
    written = (0x1234).to_bytes(8, "little")
    told = [(STORE, bytes(8), written), (LOAD, None, None)]
    assert hits == (told if address < watched + 4 and watched < address + 8 else [])
    assert board.memory.read(address, 8) == written
    assert board.registers["a0"] == 0x1234
