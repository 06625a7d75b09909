"""The guest's own triggers: found as software looks for them, firing before the instruction, kept in its state."""

from __future__ import annotations

import copy
import random

import pytest
from support.asm import (
    A0,
    A1,
    A2,
    A3,
    ECALL,
    LOOP,
    MRET,
    NOP,
    S0,
    T0,
    T1,
    ZERO,
    addi,
    amoadd_w,
    code,
    csrr,
    csrrw,
    csrrwi,
    csrw,
    ld,
    lr_w,
    lw,
    sb,
    sc_w,
    sd,
    sw,
)  # fmt: skip
from support.generated_code import RAM_SIZE, Program, generate
from support.harts import RAM, ROM_INSNS, board_of, run_insns
from support.needs import Need

from minstret.devices.board.board import Board
from minstret.devices.board.map import Base
from minstret.emu.hart.compiled import c_callbacks
from minstret.emu.hart.spec import Cause, Csr
from minstret.emu.hart.triggers import McontrolBit, TriggerState
from minstret.emu.hart.watches import WatchKind
from minstret.emu.machine import StopReason

LOAD, STORE, EXECUTE = McontrolBit.LOAD, McontrolBit.STORE, McontrolBit.EXECUTE
M, S, U = McontrolBit.M, McontrolBit.S, McontrolBit.U
HANDLER, PLACE, MIE = 0x200, 0x4010, 8


def board_with(counting: str, *insns: int, xlen: int = 64, priv: int = 3, **config: int | None) -> Board:
    """A board that runs ``insns`` with s0 = RAM + PLACE, a1 = 0x1234, interrupts on, and a handler that loops."""
    board = board_of(code(insns, LOOP), (HANDLER, code(LOOP)), xlen=xlen, counting=counting, **config)
    run_insns(board, 0)
    hart = board.hart
    hart.pmp.write_addr(0, (1 << 54) - 1 if xlen == 64 else 0xFFFFFFFF)
    hart.pmp.write_cfg(0, 0x1F)
    hart.core.pmp_changed()
    board.registers["s0"], board.registers["a1"] = RAM + PLACE, 0x1234
    hart.env.mtvec, hart.env.priv = RAM + HANDLER, priv
    hart.env.mstatus |= MIE | 0x6000
    return board


def set_trigger(board: Board, number: int, bits: int, address: int) -> None:
    triggers = board.hart.triggers
    triggers.write(Csr.TSELECT, number)
    triggers.write(Csr.TDATA1, 2 << board.hart.xlen - 4 | bits)
    triggers.write(Csr.TDATA2, address)


def trap(board: Board, insns: int = 20) -> tuple[int, int, int, int] | None:
    """Run on; cause, offset of the instruction, value, and after how many instructions the only trap came."""
    board.run_until(icount=ROM_INSNS + insns)
    last = board.hart.last_trap
    return None if last is None else (last.cause, last.epc - RAM, last.tval - RAM, last.icount - ROM_INSNS)


# ---- the registers


@pytest.mark.parametrize("xlen", [32, 64])
def test_software_finds_two_triggers_of_one_type(counting: str, xlen: int) -> None:
    """As OpenSBI looks: it selects one after the other until one can't be selected."""
    program = code(
        csrrwi(ZERO, "tselect", 1), csrr(A0, "tselect"), csrrwi(ZERO, "tselect", 2), csrr(A1, "tselect"),
        csrr(A2, "tinfo"), csrr(A3, "tdata1"), csrw("tinfo", ZERO), csrr(S0, "tinfo"), LOOP,
    )  # fmt: skip
    board = board_of(program, xlen=xlen, counting=counting)
    run_insns(board, 8)
    assert [board.registers[name] for name in ("a0", "a1", "a2", "a3", "s0")] == [1, 1, 4, 2 << xlen - 4, 4]


@pytest.mark.parametrize("xlen", [32, 64])
def test_what_is_not_there_can_not_be_written(counting: str, xlen: int) -> None:
    program = (csrw("tdata1", A1), csrr(A0, "tdata1"), csrrw(A2, "tdata3", A1), csrr(A3, "tdata3"))
    board = board_with(counting, *program, xlen=xlen)
    board.registers["a1"] = 2 << xlen - 4 | (1 << xlen - 4) - 1  # type mcontrol, and all other bits
    run_insns(board, 4)
    assert board.registers["a0"] == 2 << xlen - 4 | 0x5F
    assert (board.registers["a2"], board.registers["a3"]) == (0, 0)


@pytest.mark.parametrize("kind", [0, 6, 15])
def test_trigger_of_another_type_is_disabled(counting: str, kind: int) -> None:
    board = board_with(counting, csrw("tdata1", A1), csrr(A0, "tdata1"), NOP)
    set_trigger(board, 0, EXECUTE | M, RAM + 8)
    board.registers["a1"] = kind << 60 | EXECUTE | M
    assert trap(board) is None
    assert board.registers["a0"] == 2 << 60


def test_each_trigger_has_its_registers_and_a_reset_clears_them(counting: str) -> None:
    program = (csrrwi(ZERO, "tselect", 1), csrw("tdata2", A1), csrrwi(ZERO, "tselect", 0), csrw("tdata2", S0))
    board = board_with(counting, *program)
    run_insns(board, 4)
    assert board.hart.triggers.state == TriggerState(0, [0, 0], [RAM + PLACE, 0x1234])
    board.hart.reset(RAM)
    assert board.hart.triggers.state == TriggerState(0, [0, 0], [0, 0])


@pytest.mark.parametrize("csr", ["tselect", "tdata1", "tdata2", "tdata3", "tinfo"])
def test_below_machine_mode_they_are_illegal(counting: str, csr: str) -> None:
    board = board_with(counting, csrr(A0, csr), priv=1)
    found = trap(board)
    assert found is not None
    assert found[0] == Cause.ILLEGAL_INSTRUCTION


def test_tcontrol_is_not_there(counting: str) -> None:
    found = trap(board_with(counting, csrr(A0, "tcontrol")))
    assert found is not None
    assert found[0] == Cause.ILLEGAL_INSTRUCTION


# ---- execution


@pytest.mark.parametrize("slice_insns", [None, 1])
@pytest.mark.parametrize("insn", [addi(A0, A0, 1), 0x0505, ECALL, 0xFFFFFFFF, csrr(A0, "mcycle"), lw(A0, ZERO, 0)])
def test_execution_fires_before_the_instruction(counting: str, insn: int, slice_insns: int | None) -> None:
    board = board_with(counting, NOP, NOP, insn, NOP, slice_insns=slice_insns)
    set_trigger(board, 1, EXECUTE | M, RAM + 8)
    assert trap(board) == (Cause.BREAKPOINT, 8, 8, 2)
    assert board.registers["a0"] == 0
    assert board.hart.env.mcause == Cause.BREAKPOINT


def test_breakpoint_of_the_host_side_comes_before_a_trigger(counting: str) -> None:
    board = board_with(counting, NOP, NOP, NOP)
    set_trigger(board, 0, EXECUTE | M, RAM + 8)
    board.hart.breakpoints.add(RAM + 8)
    assert board.run_until(icount=ROM_INSNS + 20).reason is StopReason.BREAKPOINT
    assert board.hart.last_trap is None
    assert trap(board) == (Cause.BREAKPOINT, 8, 8, 2)


def test_where_nothing_can_be_fetched_the_trigger_comes_first(counting: str) -> None:
    board = board_with(counting, NOP)
    board.registers["pc"] = 0x100
    set_trigger(board, 0, EXECUTE | M, 0x100)
    assert trap(board) == (Cause.BREAKPOINT, 0x100 - RAM, 0x100 - RAM, 0)


@pytest.mark.parametrize("priv", [0, 1, 3])
@pytest.mark.parametrize("bits", [U, S, M, U | S])
def test_only_in_the_modes_that_are_set(counting: str, priv: int, bits: McontrolBit) -> None:
    board = board_with(counting, NOP, NOP, lw(A0, S0, 0), priv=priv)
    set_trigger(board, 0, EXECUTE | bits, RAM + 4)
    set_trigger(board, 1, LOAD | bits, RAM + PLACE)
    fires = bool(bits & {0: U, 1: S, 3: M}[priv])
    assert trap(board) == ((Cause.BREAKPOINT, 4, 4, 1) if fires else None)


def test_not_in_machine_mode_while_interrupts_are_off(counting: str) -> None:
    board = board_with(counting, NOP, lw(A0, S0, 0))
    board.hart.env.mstatus &= ~MIE
    set_trigger(board, 0, EXECUTE | M, RAM)
    set_trigger(board, 1, LOAD | M, RAM + PLACE)
    assert trap(board) is None


@pytest.mark.parametrize("delegated", [False, True])
def test_not_in_supervisor_mode_while_its_interrupts_are_off_and_it_would_take_it(
    counting: str, delegated: bool
) -> None:
    board = board_with(counting, NOP, lw(A0, S0, 0), priv=1)
    board.hart.env.medeleg = delegated << Cause.BREAKPOINT
    set_trigger(board, 0, LOAD | S, RAM + PLACE)
    assert trap(board) == (None if delegated else (Cause.BREAKPOINT, 4, PLACE, 1))


def test_trigger_in_its_own_handler_does_not_fire(counting: str) -> None:
    board = board_with(counting, NOP, NOP, NOP)
    set_trigger(board, 0, EXECUTE | M, RAM + 4)
    set_trigger(board, 1, EXECUTE | M, RAM + HANDLER)
    assert trap(board) == (Cause.BREAKPOINT, 4, 4, 1)


def test_handler_that_takes_the_trigger_away_goes_on(counting: str) -> None:
    board = board_with(counting, NOP, lw(A0, S0, 0), NOP)
    board.memory.write(RAM + HANDLER, code(csrw("tdata1", ZERO), MRET))
    board.memory.write(RAM + PLACE, b"\x2a")
    set_trigger(board, 0, LOAD | M, RAM + PLACE)
    assert trap(board) == (Cause.BREAKPOINT, 4, PLACE, 1)
    assert board.registers["a0"] == 0x2A


# ---- loads and stores


@pytest.mark.parametrize("slice_insns", [None, 1])
@pytest.mark.parametrize(
    ("insn", "kinds"),
    [
        (lw(S0, S0, 0), LOAD), (sw(A1, S0, 0), STORE), (ld(A0, S0, 0), LOAD), (sd(A1, S0, 0), STORE),
        (sb(A1, S0, 0), STORE), (amoadd_w(A0, A1, S0), LOAD | STORE), (lr_w(A0, S0), LOAD),
        (0x00143027, STORE), (0x00043087, LOAD), (0xC00C, STORE), (0x400C, LOAD),  # fsd, fld, c.sw, c.lw
    ],
)  # fmt: skip
def test_access_fires_before_it_is_done(counting: str, insn: int, kinds: McontrolBit, slice_insns: int | None) -> None:
    for kind in (LOAD, STORE):
        board = board_with(counting, NOP, NOP, insn, NOP, slice_insns=slice_insns)
        board.memory.write(RAM + PLACE, b"before..")
        set_trigger(board, 1, kind | M, RAM + PLACE)
        before = board.hart.save_state()
        assert trap(board) == ((Cause.BREAKPOINT, 8, PLACE, 2) if kind & kinds else None)
        if kind & kinds:
            assert board.memory[RAM + PLACE : RAM + PLACE + 8] == b"before.."
            assert (before.x, before.f) == (board.hart.save_state().x, board.hart.save_state().f)


def test_store_conditional_fires_if_it_has_a_reservation(counting: str) -> None:
    board = board_with(counting, sc_w(A0, A1, S0), lr_w(A0, S0), sc_w(A0, A1, S0))
    set_trigger(board, 0, STORE | M, RAM + PLACE)
    assert trap(board) == (Cause.BREAKPOINT, 8, PLACE, 2)


def test_other_accesses_to_the_page_go_on_exactly(counting: str) -> None:
    """To its neighbours, across its ends, and to the address by another kind of access."""
    insns = (sw(A1, S0, 4), lw(A0, S0, 4), sw(A1, S0, 0), sd(A1, S0, -4), ld(A2, S0, -4), amoadd_w(A3, A1, T0))
    board = board_with(counting, addi(T0, S0, 8), *insns, csrr(T1, "minstret"))
    set_trigger(board, 0, LOAD | M, RAM + PLACE)
    assert trap(board) is None
    assert [board.registers[name] for name in ("a0", "a2", "a3")] == [0x1234, 0x1234, 0]
    assert board.registers["t1"] == ROM_INSNS + 7


@pytest.mark.parametrize("begins", [-4, -1])
def test_access_across_a_page_fires_by_where_it_begins(counting: str, begins: int) -> None:
    for at, fires in ((begins, True), (0, False)):
        board = board_with(counting, NOP, sd(A1, S0, begins), ld(A0, S0, begins))
        board.registers["s0"] = RAM + 0x5000
        set_trigger(board, 0, LOAD | M, RAM + 0x5000 + at)
        found = trap(board)
        assert found == ((Cause.BREAKPOINT, 8, 0x5000 + begins, 2) if fires else None)


@pytest.mark.parametrize("address", [Base.CLINT, 0x1000, 0x10])
def test_address_of_a_device_or_of_nothing(counting: str, address: int) -> None:
    board = board_with(counting, NOP, lw(A0, S0, 0))
    board.registers["s0"] = address
    set_trigger(board, 0, LOAD | M, address)
    assert trap(board) == (Cause.BREAKPOINT, 4, address - RAM, 1)
    board = board_with(counting, NOP, lw(A0, S0, 0), lw(A2, S0, 4))
    board.registers["s0"] = address
    board.memory.write(RAM + HANDLER, code(csrr(T0, "mepc"), addi(T0, T0, 4), csrw("mepc", T0), MRET))
    set_trigger(board, 0, LOAD | M, address + 4)
    assert trap(board) is not None
    assert board.hart.last_trap is not None
    assert board.hart.last_trap.epc == RAM + 8


def test_code_in_a_page_with_finer_protection_goes_on(counting: str) -> None:
    """Each instruction there is looked at before it is executed, and then again when it is let pass."""
    board = board_with(counting, NOP, sw(A1, S0, 4), lw(A0, S0, 4), NOP)
    board.hart.pmp.write_addr(0, RAM + 0x800 >> 2)
    board.hart.pmp.write_addr(1, (1 << 54) - 1)
    board.hart.pmp.write_cfg(0, 0x1F0F)  # the page's first half, top of range; then all else
    board.hart.core.pmp_changed()
    set_trigger(board, 0, STORE | M, RAM + PLACE)
    assert trap(board) is None
    assert board.registers["a0"] == 0x1234


def test_watch_and_trigger_on_one_page(counting: str) -> None:
    board = board_with(counting, sw(A1, S0, 0), sw(A1, S0, 4))
    set_trigger(board, 0, STORE | M, RAM + PLACE + 4)
    board.hart.watches.add(WatchKind.STORE, RAM + PLACE, 8)
    assert board.run_until(icount=ROM_INSNS + 20).reason is StopReason.WATCH
    assert board.position.icount == ROM_INSNS + 1
    assert trap(board) == (Cause.BREAKPOINT, 4, PLACE + 4, 1)


# ---- state


def test_triggers_are_saved_restored_and_in_the_digest(counting: str) -> None:
    board = board_with(counting, NOP, NOP, lw(A0, S0, 0))
    plain, state = board.digest(), board.machine.save_state()
    set_trigger(board, 0, LOAD | M, RAM + PLACE)
    set_trigger(board, 1, EXECUTE | M, RAM + PLACE + 2)
    armed = board.machine.save_state()
    assert board.digest() != plain
    board.machine.load_state(state)
    assert board.digest() == plain
    board.machine.load_state(copy.deepcopy(armed))
    assert trap(board) == (Cause.BREAKPOINT, 8, PLACE, 2)
    board.machine.load_state(state)
    assert trap(board) is None


@pytest.mark.parametrize(
    "state", [TriggerState(2), TriggerState(0, [0]), TriggerState(0, [0, 0x80]), TriggerState(0, [0, 0], [0, 1 << 64])]
)
def test_state_that_no_hart_can_have_is_refused(state: TriggerState) -> None:
    with pytest.raises(ValueError, match="trigger"):
        state.check(64)


@pytest.mark.parametrize("xlen", [32, 64])
@pytest.mark.parametrize("number", range(6))
def test_generated_program_with_random_triggers_is_one_run(need: Need, number: int, xlen: int) -> None:
    """On all counters; and where none can fire the same as without any."""
    need("the C extension (a C compiler at install time)", c_callbacks)
    seed = f"triggers/{number}"
    program = generate(seed, xlen)
    ways = ("instructions", "code") + (("python",) if number % 3 == 0 else ())
    end = 600 if number % 3 == 0 else 2000
    plain, pages = run_program(program, "instructions", end, [], 0)
    for modes in (0, int(M | S | U)):
        runs = [run_program(program, way, end, pages, modes)[0] for way in ways]
        assert all(run == runs[0] for run in runs), seed
        assert modes or runs[0] == plain, seed


def run_program(program: Program, counting: str, end: int, pages: list[int], modes: int) -> tuple[object, list[int]]:
    """How the run ended, its triggers taken away; and which pages it has written."""
    pick, shift = random.Random(f"{program.seed}/{modes}"), program.icount_shift
    board = board_of(b"", xlen=program.xlen, counting=counting, ram_size=RAM_SIZE, icount_shift=shift)
    board.memory.write(RAM, program.image())
    written = board.machine.memory.dirty_pages()
    while True:
        if pages:
            for number in range(2):
                bits = int(pick.choice((LOAD, STORE, LOAD | STORE, EXECUTE)))
                near = pick.choice((RAM + pick.choice(pages) * 4096 + 4 * pick.randrange(1024), board.hart.pc))
                set_trigger(board, number, bits | modes, near)
        reason = board.run_until(icount=min(end, board.position.icount + pick.choice((1, 20, 50, 400)))).reason
        if reason is not StopReason.REACHED or board.position.icount >= end:
            board.hart.triggers.state = TriggerState()
            summary = reason, board.position, board.digest(), board.hart.last_trap, bytes(board.console)
            return summary, written.take()


def test_skipping_a_breakpoint_does_not_skip_the_trigger_at_the_same_place(counting: str) -> None:
    board = board_with(counting, NOP, NOP, NOP)
    set_trigger(board, 0, EXECUTE | M, RAM + 4)
    board.hart.breakpoints.add(RAM + 4)
    run_insns(board, 1)
    board.hart.skip_breakpoint()

    assert trap(board) == (Cause.BREAKPOINT, 4, 4, 1)
