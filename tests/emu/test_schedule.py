"""Which hart runs when: quanta, waits, and interrupts that wake."""

from __future__ import annotations

from itertools import pairwise

import pytest
from support import asm
from support.harts import ROM_INSNS, program_at, programs_of

from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig
from minstret.devices.board.map import Base
from minstret.emu.door.door import Door
from minstret.emu.errors import ConfigError
from minstret.emu.hart.shared import Counting
from minstret.emu.hart.watches import WatchKind
from minstret.emu.images.loader import Firmware, Segment
from minstret.emu.machine import StopReason
from minstret.emu.registers import HARTS_MAX
from minstret.emu.session import LiveSession

Q = 100
START_INSNS = ROM_INSNS + 6
"""What each hart executes before its program: see programs_of."""
MSIP1 = Base.CLINT + 4
COUNT = asm.code(asm.addi(asm.S0, asm.S0, 1), asm.jal(0, -4))
"""Counts for ever."""


def board_of(
    *programs: bytes, quantum: int = Q, counting: Counting = Counting.CODE, door: Door | None = None, **config: object
) -> Board:
    """A board on which each hart runs one of these; a0 is its id."""
    image = programs_of(*programs)
    firmware = Firmware("programs", 64, Base.RAM, (Segment(Base.RAM, image, len(image)),))
    made = BoardConfig(ram_size=1 << 20, smp=len(programs), quantum=quantum, counting=counting, **config)  # type: ignore[arg-type]
    return Board(firmware, made, door=door)


def counts(board: Board) -> list[int]:
    """How many instructions each hart has retired."""
    return [board.registers_of(hart)["minstret"] for hart in range(len(board.harts))]


@pytest.mark.parametrize("counting", list(Counting))
def test_each_hart_runs_a_quantum_in_the_order_of_ids(counting: Counting) -> None:
    board = board_of(COUNT, COUNT, COUNT, counting=counting)
    seen = []
    for icount in (50, 100, 150, 250, 350, 600, 601):
        board.run_until(icount=icount)
        seen.append((counts(board), board.hart.hart_id))

    assert seen == [
        ([50, 0, 0], 0), ([100, 0, 0], 0), ([100, 50, 0], 1), ([100, 100, 50], 2), ([150, 100, 100], 0),
        ([200, 200, 200], 2), ([201, 200, 200], 0),
    ]  # fmt: skip
    assert board.registers["mhartid"] == 0


def test_a_hart_that_waits_gives_the_rest_of_its_quantum_away() -> None:
    board = board_of(COUNT, asm.code(asm.WFI, asm.LOOP), COUNT)
    board.run_until(icount=10 * Q + START_INSNS + 1)

    assert counts(board) == [5 * Q, START_INSNS + 1, 5 * Q]
    assert [hart.waiting for hart in board.harts] == [False, True, False]


def test_a_hart_woken_by_an_interrupt_runs_at_once_and_then_the_one_it_came_before() -> None:
    """Hart 1 waits for the interrupt that hart 0 sends in the middle of its second quantum."""
    adds = [asm.addi(asm.S0, asm.S0, 1)] * 150
    sends = asm.code(asm.addi(asm.A1, 0, 1), adds, asm.li(asm.T0, MSIP1), asm.sw(asm.A1, asm.T0, 0))
    sleeper = asm.code(asm.csrrsi(0, "mie", 8), asm.WFI, asm.li(asm.T0, MSIP1), asm.sw(0, asm.T0, 0), asm.WFI, asm.LOOP)
    board = board_of(sends + COUNT, sleeper, COUNT)
    board.run_until(icount=2 * Q)
    while not board.registers_of(1)["mip"] & 8:
        board.run_until(icount=board.position.icount + 1)
    sent, before = board.position.icount, counts(board)
    board.run_until(icount=sent + 1)
    assert board.hart.hart_id == 1
    board.run_until(icount=sent + 10)

    assert board.hart.hart_id == 0
    assert before[2] == counts(board)[2]
    assert board.harts[1].waiting


def test_two_harts_that_wake_each_other_leave_the_third_its_share() -> None:
    def pingpong(mine: int, other: int) -> bytes:
        return asm.code(
            asm.csrrsi(0, "mie", 8), asm.li(asm.T0, Base.CLINT), asm.addi(asm.T1, 0, 1),
            asm.sw(0, asm.T0, 4 * mine), asm.sw(asm.T1, asm.T0, 4 * other), asm.WFI, asm.jal(0, -12),
        )  # fmt: skip

    board = board_of(pingpong(0, 1), pingpong(1, 0), COUNT)
    board.run_until(icount=30 * Q)
    first, second, third = counts(board)

    assert third >= 8 * Q
    assert min(first, second) >= 8 * Q


def test_all_waiting_skips_time_to_the_first_timer_of_any_hart() -> None:
    def sleeps_until(hart: int, ticks: int) -> bytes:
        return asm.code(
            asm.li(asm.T0, Base.CLINT + 0x4000 + 8 * hart), asm.addi(asm.T2, 0, -1), asm.sw(0, asm.T0, 4),
            asm.li(asm.T1, ticks), asm.sw(asm.T1, asm.T0, 0), asm.addi(asm.T3, 0, 0x80), asm.csrw("mie", asm.T3),
            asm.WFI, asm.csrr(asm.S1, "time"), asm.sw(asm.T2, asm.T0, 0), asm.sw(asm.T2, asm.T0, 4), asm.WFI, asm.LOOP,
        )  # fmt: skip

    board = board_of(sleeps_until(0, 5000), sleeps_until(1, 3000), sleeps_until(2, 4000))
    outcome = board.run_until(icount=10_000)

    assert outcome.reason is StopReason.WAITS_FOREVER
    assert [board.registers_of(hart)["s1"] for hart in range(3)] == [5000, 3000, 4000]


def ticks(hart: int, period: int, work: int, times: int) -> bytes:
    """So often after each ``period`` of ticks: work, and add to a3 how long after the tick it is done."""
    loop = asm.code(
        asm.add(asm.A1, asm.A1, asm.A2), asm.sw(asm.A1, asm.T0, 0), asm.WFI, [asm.NOP] * work, asm.csrr(asm.T2, "time"),
        asm.sub(asm.T2, asm.T2, asm.A1), asm.add(asm.A3, asm.A3, asm.T2), asm.addi(asm.A4, asm.A4, -1),
    )  # fmt: skip
    return b"".join((
        asm.code(asm.li(asm.T0, Base.CLINT + 0x4000 + 8 * hart), asm.sw(0, asm.T0, 4), asm.li(asm.A2, period)),
        asm.code(asm.li(asm.A4, times), asm.addi(asm.T3, 0, 0x80), asm.csrw("mie", asm.T3)),
        loop,
        asm.code(asm.bne(asm.A4, 0, -len(loop)), asm.addi(asm.T2, 0, -1), asm.sw(asm.T2, asm.T0, 4), asm.WFI, asm.LOOP),
    ))  # fmt: skip


def test_hart_that_mostly_sleeps_is_as_exact_beside_a_busy_one_whatever_it_ran_before() -> None:
    """It works for less than a quantum at each tick, for many quanta in all."""
    done_after = []
    for others in (0, 180):
        board = board_of(ticks(0, 40, 180, 40), ticks(1, 199, others, 9), quantum=200)
        assert board.run_until(icount=100_000).reason is StopReason.WAITS_FOREVER
        assert board.registers_of(0)["minstret"] > 35 * 200
        done_after.append(board.registers_of(0)["a3"])

    assert done_after[0] == done_after[1]


def test_reset_puts_all_harts_back() -> None:
    """Hart 1 asks for it by the finisher; icount goes on."""
    reset = asm.code(asm.li(asm.T0, Base.FINISHER), asm.li(asm.T1, 0x7777), asm.sw(asm.T1, asm.T0, 0), asm.LOOP)
    board = board_of(COUNT, reset)
    until_reset = Q + START_INSNS + 11
    board.run_until(icount=until_reset - 1)
    assert board.hart.hart_id == 1
    board.run_until(icount=until_reset + Q)

    assert counts(board) == [Q, 0]
    assert board.registers_of(0)["a0"] == 0


@pytest.mark.parametrize("number", [0, HARTS_MAX + 1, 1.5])
def test_number_of_harts_out_of_range_is_refused(number: object) -> None:
    with pytest.raises(ConfigError, match="smp: expected a number from 1 to 8"):
        Board(Firmware("none", 64, Base.RAM, (Segment(Base.RAM, COUNT, 8),)), BoardConfig(smp=number))  # type: ignore[arg-type]


def test_quantum_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="quantum: expected a number from 1 to"):
        board_of(COUNT, COUNT, quantum=0)


# ---- chaos


def who_ran(seed: int, icount: int = 20_000, step: int = 37) -> list[int]:
    board = board_of(COUNT, COUNT, COUNT, chaos_seed=seed)
    ran = []
    while board.position.icount < icount:
        board.run_until(icount=board.position.icount + step)
        ran.append(board.hart.hart_id)
    return ran


def test_chaos_chooses_by_its_seed() -> None:
    assert who_ran(1) == who_ran(1)
    assert who_ran(1) != who_ran(2)


def test_chaos_lets_every_hart_run_and_preempts_seldom() -> None:
    for seed in range(5):
        ran = who_ran(seed, 400_000, 500)
        switches = sum(one != other for one, other in pairwise(ran))

        assert {0, 1, 2} == set(ran)
        assert switches < 150


@pytest.mark.parametrize("counting", list(Counting))
def test_chaos_is_the_same_wherever_slices_end(counting: Counting) -> None:
    ends = set()
    for slice_insns in (3, 1000, None):
        board = board_of(COUNT, COUNT, COUNT, chaos_seed=5, counting=counting, slice_insns_max=slice_insns)
        board.run_until(icount=6_000)
        ends.add((board.digest(), *counts(board)))

    assert len(ends) == 1


# ---- breakpoints


@pytest.mark.parametrize("chaos_seed", [None, 3])
def test_stop_at_a_breakpoint_where_the_next_hart_begins_is_no_other_state(chaos_seed: int | None) -> None:
    """Every hart stops each time it comes round; what was chosen last, or not, shows in no digest."""
    loop = asm.code(asm.addi(asm.S0, asm.S0, 1), asm.addi(asm.S1, asm.S1, 1), asm.jal(0, -8))
    board, plain = (board_of(loop, loop, quantum=7, chaos_seed=chaos_seed) for _ in range(2))
    for hart in range(2):
        for at in range(3):
            board.breakpoints.add(program_at(hart) + 4 * at)
    switches = 0
    while switches < 20:
        before = board.hart
        assert board.run().reason is StopReason.BREAKPOINT
        assert board.registers["pc"] in board.breakpoints
        if board.hart is not before:
            switches += 1
            plain.run_until(icount=board.position.icount)
            assert board.digest() == plain.digest()
            assert board.registers["pc"] in board.breakpoints


def test_stop_at_a_breakpoint_where_a_hart_wakes_is_no_other_state() -> None:
    sends = asm.code(
        asm.addi(asm.A1, 0, 1), asm.li(asm.T0, MSIP1), asm.sw(asm.A1, asm.T0, 0), asm.addi(asm.S0, asm.S0, 1),
        asm.jal(0, -8),
    )  # fmt: skip
    sleeper = asm.code(asm.csrrsi(0, "mie", 8), asm.li(asm.T0, MSIP1), asm.WFI, asm.sw(0, asm.T0, 0), asm.jal(0, -8))
    board, plain = (board_of(sends, sleeper) for _ in range(2))
    after_wfi = program_at(1) + 4 * 7
    board.breakpoints.add(after_wfi)
    for _ in range(50):
        assert board.run().reason is StopReason.BREAKPOINT
        assert (board.hart.hart_id, board.registers["pc"]) == (1, after_wfi)
        plain.run_until(icount=board.position.icount)
        assert board.digest() == plain.digest()


# ---- what harts have translated


def stores(at: int, *insns: int) -> bytes:
    """Store these words; t0 is ``at`` then."""
    words = [(*asm.li(asm.T2, insn), asm.sw(asm.T2, asm.T0, 4 * number)) for number, insn in enumerate(insns)]
    return asm.code(asm.li(asm.T0, at), *words)


CALL = asm.jalr(asm.RA, asm.T0, 0)
ADDS = [asm.addi(asm.S1, asm.S1, 1 << number) for number in range(3)]
RETURN = asm.jalr(0, asm.RA, 0)


@pytest.mark.parametrize("counting", list(Counting))
def test_hart_that_boots_again_executes_what_another_one_stored_before_the_reset(counting: Counting) -> None:
    """Hart 0 has executed the old instruction, and the reset comes while hart 1 runs."""
    patched, boots = Base.RAM + 0x10000, Base.RAM + 0x20000
    first = stores(patched, ADDS[0], RETURN) + asm.code(asm.FENCE_I, CALL, asm.WFI, asm.LOOP)
    load = asm.code(asm.li(asm.T1, boots), asm.lw(asm.T2, asm.T1, 0), asm.bne(asm.T2, 0, 4 + len(first)))
    again = asm.code(asm.li(asm.T0, patched), CALL, asm.LOOP)
    patches = stores(patched, ADDS[1]) + stores(boots, 1) + stores(Base.FINISHER, 0x7777) + asm.code(asm.LOOP)
    board = board_of(load + first + again, patches, counting=counting)
    board.run_until(icount=5 * Q)

    assert board.registers_of(0)["s1"] == 2


@pytest.mark.parametrize("counting", list(Counting))
def test_hart_executes_what_was_there_where_its_session_goes_back_to(counting: Counting) -> None:
    """Hart 0 executes an instruction, stores and executes another; hart 1 stores a third, and much into its page."""
    patched = program_at(2)
    first = asm.code(asm.li(asm.T0, patched), CALL) + stores(patched, ADDS[1], RETURN)
    first += asm.code(CALL, asm.WFI, asm.LOOP)
    sweep = asm.code(asm.sw(asm.T2, asm.T0, 0x400), asm.addi(asm.T2, asm.T2, 1), asm.jal(0, -8))
    second = (stores(patched, ADDS[2], RETURN) + sweep).ljust(patched - program_at(1), b"\0")
    second += asm.code(ADDS[0], RETURN)
    session = LiveSession(lambda door: board_of(first, second, quantum=5_000, counting=counting, door=door))
    saved = session.save()
    for _ in range(3):
        session.run(icount=2000)
        assert session.board.registers_of(0)["s1"] == 3
        session.restore(saved)


# ---- quanta that end with WFI


def test_wait_that_begins_where_the_quantum_ends_is_no_other_in_small_slices() -> None:
    """Hart 1's quanta end with its WFI, while nobody else has anything left and hart 0 holds a reservation."""
    reserve = asm.code(asm.NOP, asm.li(asm.T0, Base.RAM + 0x8000), asm.lr_w(asm.T1, asm.T0), asm.jal(0, -4))
    nops = Q - START_INSNS - 1
    digests = set()
    for icount in (3 * Q + 1, 3 * Q + 2):
        for slice_insns in (1, 5, None):
            board = board_of(reserve, asm.code([asm.NOP] * nops, asm.WFI, asm.LOOP), slice_insns_max=slice_insns)
            board.run_until(icount=icount)
            digests.add((icount, board.digest()))

    assert len(digests) == 2


@pytest.mark.parametrize("chaos_seed", [None, *range(4)])
def test_wait_that_begins_with_the_end_of_a_quantum_is_no_other_wait(chaos_seed: int | None) -> None:
    """Hart 0 waits for ever, alone or after hart 1, with its last instruction of a quantum."""
    waits = asm.code([asm.addi(asm.S0, asm.S0, 1)] * (Q - START_INSNS - 1), asm.WFI, asm.LOOP)
    for others in ([asm.code(asm.WFI, asm.LOOP)], [waits], [waits, asm.code(asm.WFI, asm.LOOP)]):
        ends = set()
        for slice_insns in (None, 1, 7):
            board = board_of(waits, *others, slice_insns_max=slice_insns, chaos_seed=chaos_seed)
            assert board.run().reason is StopReason.WAITS_FOREVER
            ends.add((board.position, board.digest()))
        assert len(ends) == 1


# ---- devices that write where somebody watches


def test_session_that_goes_back_forgets_what_a_device_has_written() -> None:
    session = LiveSession(lambda door: board_of(COUNT, COUNT, door=door))
    board, saved = session.board, session.save()
    board.watches.add(WatchKind.STORE, Base.RAM + 0x8000, 4, sees_devices=True)
    ends = set()
    for _ in range(2):
        assert session.run(icount=5 * Q).reason is StopReason.REACHED
        ends.add(board.digest())
        board.hart.write_by_device(Base.RAM + 0x8000, b"1234", "net0")
        session.restore(saved)
    assert len(ends) == 1


def test_device_that_writes_while_a_run_stands_at_a_breakpoint_of_the_next_hart_is_seen_at_once() -> None:
    board = board_of(COUNT, COUNT)
    board.watches.add(WatchKind.STORE, Base.RAM + 0x8000, 4, sees_devices=True)
    board.run_until(icount=3 * Q - 1)
    for at in (0, 4):
        board.breakpoints.add(program_at(1) + at)
    assert board.run().reason is StopReason.BREAKPOINT
    position = board.position
    assert (board.hart.hart_id, position.icount) == (1, 3 * Q)
    board.hart.write_by_device(Base.RAM + 0x8000, b"1234", "net0")

    assert board.run().reason is StopReason.WATCH
    assert board.position == position
    board.breakpoints.clear()
    plain = board_of(COUNT, COUNT)
    for one in (board, plain):
        one.memory[Base.RAM + 0x8000 : Base.RAM + 0x8004] = b"1234"
        one.run_until(icount=10 * Q)
    assert board.digest() == plain.digest()


def test_hart_that_has_stopped_is_the_boards_again_after_going_back() -> None:
    """It has executed nothing of its turn, so the state alone does not say that it was chosen."""
    loop = asm.code(asm.addi(asm.S0, asm.S0, 1), asm.jal(0, -4))
    session = LiveSession(lambda door: board_of(loop, loop, quantum=7, door=door))
    board = session.board
    for hart in range(2):
        board.breakpoints.add(program_at(hart))
        board.breakpoints.add(program_at(hart) + 4)
    moments = []
    for _ in range(30):
        assert session.run().reason is StopReason.BREAKPOINT
        moments.append((session.save(), board.hart.hart_id, board.registers["pc"]))
    for saved, hart, pc in reversed(moments):
        session.restore(saved)
        assert (board.hart.hart_id, board.registers["pc"]) == (hart, pc)
