"""CSRs since version 1.12 of the privileged specification: which bits there are, counters that stand still, Sstc."""

from __future__ import annotations

import pytest
from support import asm
from support.asm import A0, A1, A2, T0, T1, ZERO, addi, auipc, code, csrr, csrrc, csrrci, csrrs, csrrsi, csrw, li, slli
from support.harts import ROM_INSNS, board_of, programs_of, run_insns

from minstret.devices.board.board import Board
from minstret.devices.board.map import Base
from minstret.devices.chips.clint import Reg
from minstret.emu.errors import ConfigError
from minstret.emu.hart.traps import TrapRecord

ILLEGAL, U64_MAX = 2, (1 << 64) - 1
FIOM, STCE, STIP = 1, 1 << 63, 1 << 5
LATER = ("menvcfg", "senvcfg", "mcountinhibit", "mconfigptr", "stimecmp")
each_xlen = pytest.mark.parametrize("xlen", [64, 32])


def after(board: Board, insns: int) -> Board:
    run_insns(board, insns)
    return board


def trap_of(board: Board) -> int | None:
    """The cause of the exception, if there was one: the handler is nowhere, so it is the first of a loop."""
    trap: TrapRecord | None = board.hart.first_trap
    return None if trap is None else trap.cause


# ---- which there are


@each_xlen
@pytest.mark.parametrize("name", LATER)
def test_hart_of_0_1_0_has_none_of_them(counting: str, xlen: int, name: str) -> None:
    board = after(board_of(code(csrr(A0, name)), xlen=xlen, counting=counting, cpu=f"rv{xlen}gc"), 0)
    board.run_until(icount=ROM_INSNS + 1)

    assert trap_of(board) == ILLEGAL
    assert name not in board.registers.names()
    assert board.hart.save_state().later is None


@each_xlen
@pytest.mark.parametrize("name", LATER)
def test_hart_has_them(counting: str, xlen: int, name: str) -> None:
    board = after(board_of(code(csrr(A0, name), asm.LOOP), xlen=xlen, counting=counting), 1)

    assert trap_of(board) is None
    assert board.registers["a0"] == board.registers[name]


@pytest.mark.parametrize(("cpu", "name"), [("rv64,sstc=off", "stimecmp"), ("rv64", "mseccfg"), ("rv64", "menvcfgh")])
def test_what_is_off_or_of_the_other_width_traps(counting: str, cpu: str, name: str) -> None:
    assert trap_of(after(board_of(code(csrr(A0, name)), counting=counting, cpu=cpu), 1)) == ILLEGAL


def test_misa_follows_the_harts_extensions(counting: str) -> None:
    board = after(board_of(code(csrr(A0, "misa"), asm.LOOP), counting=counting), 1)

    assert board.registers["a0"] == board.cpu.misa


# ---- menvcfg and senvcfg


@pytest.mark.parametrize(("cpu", "bits"), [("rv64gc,sm1p12=on", FIOM), ("rv64gc,sstc=on", FIOM | STCE)])
def test_menvcfg_has_the_bits_of_the_extensions(counting: str, cpu: str, bits: int) -> None:
    program = code(addi(T0, ZERO, -1), csrw("menvcfg", T0), csrr(A0, "menvcfg"), asm.LOOP)
    board = after(board_of(program, counting=counting, cpu=cpu), 3)

    assert board.registers["a0"] == bits


def test_reserved_cbie_becomes_0(counting: str) -> None:
    """As in Spike: of all of it set one bit is cleared."""
    program = code(
        addi(T0, ZERO, 0x30), csrw("senvcfg", T0), addi(T0, ZERO, 0x10), csrrc(ZERO, "senvcfg", T0),
        csrr(A0, "senvcfg"), asm.LOOP,
    )  # fmt: skip
    board = after(board_of(program, counting=counting), 5)

    assert board.registers["a0"] == 0


def test_halves_of_menvcfg_are_two_csrs_on_rv32(counting: str) -> None:
    program = code(
        addi(T0, ZERO, -1), csrw("menvcfgh", T0), csrw("menvcfg", T0), csrw("senvcfg", T0), csrw("menvcfg", ZERO),
        csrr(A0, "menvcfg"), csrr(A1, "menvcfgh"), csrr(A2, "senvcfg"), asm.LOOP,
    )  # fmt: skip
    board = after(board_of(program, xlen=32, counting=counting, cpu="rv32gc,sstc=on"), 8)

    assert [board.registers[name] for name in ("a0", "a1", "a2")] == [0, STCE >> 32, FIOM]


# ---- counters that stand still


@each_xlen
@pytest.mark.parametrize("name", ["minstret", "mcycle"])
def test_counter_stands_from_the_instruction_after_the_one_that_stops_it(counting: str, xlen: int, name: str) -> None:
    """The instructions that stop it and let it go on count as before them."""
    program = [
        csrr(A0, name), csrrsi(ZERO, "mcountinhibit", 5), csrr(A1, name), asm.NOP, csrr(A2, name),
        csrrci(ZERO, "mcountinhibit", 5), csrr(T0, name), csrr(T1, name),
    ]  # fmt: skip
    board = after(board_of(code(*program, asm.LOOP), xlen=xlen, counting=counting), len(program))
    begin, *values = (board.registers[each] for each in ("a0", "a1", "a2", "t0", "t1"))

    assert [value - begin for value in values] == [2, 2, 2, 3]


def test_counter_that_stands_can_be_written(counting: str) -> None:
    program = [
        csrrsi(ZERO, "mcountinhibit", 4), addi(T0, ZERO, 100), csrw("minstret", T0), csrr(A0, "minstret"),
        csrrci(ZERO, "mcountinhibit", 4), csrr(A1, "instret"), csrr(A2, "minstret"),
    ]  # fmt: skip
    board = after(board_of(code(*program, asm.LOOP), counting=counting), len(program))

    assert [board.registers[name] for name in ("a0", "a1", "a2")] == [100, 100, 101]


def test_only_cycle_and_instret_can_be_stopped(counting: str) -> None:
    program = code(addi(T0, ZERO, -1), csrw("mcountinhibit", T0), csrr(A0, "mcountinhibit"), csrr(A1, "time"), asm.LOOP)
    board = after(board_of(program, counting=counting), 4)

    assert board.registers["a0"] == 5
    board.run_until(icount=5000)
    assert board.registers["time"] == 100


@pytest.mark.parametrize("chaos_seed", [None, 1])
def test_counter_of_one_hart_stands_while_the_others_run(counting: str, chaos_seed: int | None) -> None:
    stops = code(csrrsi(ZERO, "mcountinhibit", 4), asm.LOOP)
    board = board_of(programs_of(stops, code(asm.LOOP)), counting=counting, smp=2, quantum=50, chaos_seed=chaos_seed)
    board.run_until(icount=20_000)

    stopped, goes_on = (board.registers_of(number)["minstret"] for number in (0, 1))
    assert stopped < 100 < goes_on


# ---- Sstc: who may


@pytest.mark.parametrize("has_tm", [True, False])
@pytest.mark.parametrize("has_stce", [True, False])
@pytest.mark.parametrize("priv", [0, 1, 3])
def test_stimecmp_is_for_s_mode_where_both_let_it(counting: str, priv: int, has_stce: bool, has_tm: bool) -> None:
    program = [
        *li(T0, 0x1F << 24), csrw("pmpcfg0", T0), addi(T0, ZERO, -1), csrw("pmpaddr3", T0),
        addi(T0, ZERO, 7 if has_tm else 5), csrw("mcounteren", T0), csrw("scounteren", T0),
        addi(T0, ZERO, int(has_stce)), slli(T0, T0, 63), csrw("menvcfg", T0),
        *li(T0, 0x1800), asm.csrrc(ZERO, "mstatus", T0), *li(T0, priv << 11), csrrs(ZERO, "mstatus", T0),
        auipc(T0, 0), addi(T0, T0, 16), csrw("mepc", T0), asm.MRET,
    ]  # fmt: skip
    board = after(board_of(code(*program, csrr(A0, "stimecmp"), asm.LOOP), counting=counting), len(program) + 1)

    assert (trap_of(board) is None) == (priv == 3 or (priv == 1 and has_stce and has_tm))


def test_stip_is_read_only_while_the_comparison_counts(counting: str) -> None:
    program = code(
        addi(T1, ZERO, STIP), csrrs(ZERO, "mip", T1), csrr(A0, "mip"),
        addi(T0, ZERO, 1), slli(T0, T0, 63), csrw("menvcfg", T0), csrrs(ZERO, "mip", T1), csrr(A1, "mip"),
        csrw("stimecmp", ZERO), csrr(A2, "mip"), csrw("menvcfg", ZERO), csrr(T0, "mip"), asm.LOOP,
    )  # fmt: skip
    board = after(board_of(program, counting=counting), 12)

    assert [board.registers[name] for name in ("a0", "a1", "a2", "t0")] == [STIP, 0, STIP, 0]


# ---- Sstc: when


def enabled(xlen: int, ticks: int) -> list[int]:
    """Let stimecmp count, and be ``ticks``."""
    high = [csrw("stimecmph", ZERO)] if xlen == 32 else []
    envcfg = "menvcfgh" if xlen == 32 else "menvcfg"
    return [
        addi(T0, ZERO, 1),
        slli(T0, T0, xlen - 1),
        csrw(envcfg, T0),
        *high,
        addi(T0, ZERO, ticks),
        csrw("stimecmp", T0),
    ]


@each_xlen
@pytest.mark.parametrize("shift", [0, 1, 7, 10])
def test_stip_is_pending_from_the_instruction_at_which_time_has_come_there(
    counting: str, xlen: int, shift: int
) -> None:
    board = board_of(code(*enabled(xlen, 500), asm.LOOP), xlen=xlen, counting=counting, icount_shift=shift)
    due = -(-50_000 >> shift)
    board.run_until(icount=due - 1)
    assert board.registers["time"] < 500 and not board.registers["mip"]
    board.run_until(icount=due)
    assert board.registers["time"] >= 500 and board.registers["mip"] == STIP
    assert board.machine.lines["clint.stip"].level


def test_stip_follows_a_written_mtime() -> None:
    board = after(board_of(code(*enabled(64, 500), asm.LOOP)), 6)
    seen = []
    for mtime in (499, 500, 3, U64_MAX):
        board.machine.bus.write(Base.CLINT + Reg.MTIME, 8, mtime)
        seen.append(bool(board.registers["mip"] & STIP))
    board.run_until(icount=board.position.icount + 100)  # over the end of 64 bits

    assert seen == [False, True, False, True]
    assert board.registers["mip"] == 0


def test_timers_of_harts_are_their_own() -> None:
    first, second = (code(*enabled(64, ticks), asm.LOOP) for ticks in (300, 200))
    board = board_of(programs_of(first, second), smp=2, quantum=100)
    armed = []
    for icount in (5_000, 11_000, 16_000):
        board.run_until(icount=icount)
        armed.append([timer.name for timer in board.machine.virtual_timers.armed()])

    assert armed == [["clint.stimecmp1", "clint.stimecmp"], ["clint.stimecmp"], []]
    assert [hart.mip for hart in board.harts] == [STIP, STIP]


def test_what_a_debugger_writes_to_stimecmp_counts() -> None:
    board = after(board_of(code(*enabled(64, 2000), asm.LOOP)), 6)
    board.registers["stimecmp"] = 10
    board.run_until(icount=600)

    assert board.registers["mip"] == STIP


def test_reset_makes_stimecmp_count_no_more() -> None:
    board = board_of(code(*enabled(64, 0), asm.LOOP))
    menvcfg = board.registers["menvcfg"]
    after(board, 6)
    assert board.registers["mip"] == STIP
    board.reset()

    assert (board.registers["mip"], board.registers["stimecmp"], board.registers["menvcfg"]) == (0, U64_MAX, menvcfg)
    assert list(board.machine.virtual_timers.armed()) == []


def test_hart_without_sstc_has_no_timer_for_it() -> None:
    def timers(cpu: str) -> set[str]:
        return {timer.name for timer in board_of(code(asm.LOOP), cpu=cpu).machine.virtual_timers.timers()}

    assert timers("rv64") - timers("rv64gc") == timers("rv64") - timers("rv64,sstc=off") == {"clint.stimecmp"}


# ---- the board


@pytest.mark.parametrize(
    ("cpu", "error"),
    [
        (64, 'cpu: expected a text such as "rv64,zba=off", got 64'),
        ("rv32", "cpu: rv32 is not the xlen=64 that is asked for too"),
    ],
)
def test_board_refuses_what_does_not_go_together(cpu: object, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        board_of(code(asm.LOOP), cpu=cpu)

    assert str(caught.value) == error
