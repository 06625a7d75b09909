"""What is said of a guest that did not finish, for people and for programs."""

from __future__ import annotations

import re

import pytest
from support import asm
from support.harts import RAM, ROM_INSNS, board_of, program_at, programs_of

from minstret.devices.board.board import Board
from minstret.devices.board.map import Base
from minstret.emu.hart.cpu import Feature, default_cpu
from minstret.emu.hart.traps import TrapRecord
from minstret.emu.images.image import Symbol, SymbolTable
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.report import (
    InterruptCount,
    busiest_text,
    disassembly,
    fatal_facts,
    handled_fault,
    harts_facts,
    harts_text,
    headline,
    interrupt_facts,
    lacking_text,
    last_fault,
    last_trap_text,
    report,
    satp_text,
    where_facts,
    where_text,
    why,
)

SYMBOLS = SymbolTable.of([Symbol(RAM, 8, "_start"), Symbol(RAM + 8, 0x40, "main")])
NO_SYMBOLS = SymbolTable()
ILLEGAL, SRET = 0xFFFF_FFFF, 0x1020_0073
RORI_A5_A0_13, CSRW_STIMECMP_A5, CSRR_A0_MENVCFG = 0x60D5_5793, 0x14D7_9073, 0x30A0_2573
HANDLER = 0x100
SETS_HANDLER = [asm.auipc(asm.T0, 0), asm.addi(asm.T0, asm.T0, HANDLER), asm.csrw("mtvec", asm.T0)]
RETURNS = asm.code(asm.csrr(asm.T1, "mepc"), asm.addi(asm.T1, asm.T1, 4), asm.csrw("mepc", asm.T1), asm.MRET)


def in_trap_loop(xlen: int = 64) -> tuple[Board, Outcome]:
    """A board whose third instruction is none, without a handler."""
    board = board_of(asm.code(asm.NOP, asm.lui(asm.A0, 0x12345), ILLEGAL), xlen=xlen)
    return board, board.run()


def waiting(*interrupts: int) -> tuple[Board, Outcome]:
    """A board that waits forever, with these interrupts enabled in mie."""
    mask = sum(1 << number for number in interrupts)
    board = board_of(asm.code(asm.li(asm.T0, mask), asm.csrw("mie", asm.T0), asm.WFI, asm.LOOP))
    return board, board.run()


# ---- one line


def test_trap_loop_is_told_by_its_first_trap() -> None:
    board, outcome = in_trap_loop()

    assert headline(board.machine, outcome, SYMBOLS) == (
        "trap loop at 0x0: the first trap was illegal instruction (2) at pc 0x80000008 <main>,"
        " tval 0xffffffff, in M-mode"
    )


@pytest.mark.parametrize(
    ("interrupts", "text"),
    [
        ((), "in WFI with no interrupt enabled in mie"),
        ((7,), "in WFI for MTI, and no timer or input can raise one"),
        ((3, 7), "in WFI for MSI or MTI, and no timer or input can raise one"),
    ],
)
def test_wait_is_told_by_what_it_is_for(interrupts: tuple[int, ...], text: str) -> None:
    board, outcome = waiting(*interrupts)

    assert outcome == Outcome(StopReason.WAITS_FOREVER)
    assert headline(board.machine, outcome, NO_SYMBOLS) == f"guest waits forever at {board.registers['pc']:#x}: {text}"
    assert where_text(board.hart, NO_SYMBOLS) == f"pc {board.registers['pc']:#x}, in M-mode, in WFI"


# ---- the last trap


def test_guest_without_traps_has_taken_none() -> None:
    board = board_of(asm.code(asm.LOOP))
    board.run_until(icount=20)

    assert last_trap_text(board.hart, board.position.icount, SYMBOLS) == "it has taken no trap"
    assert where_text(board.hart, SYMBOLS) == "pc 0x80000000 <_start>, in M-mode"
    assert where_facts(board.hart, SYMBOLS) == {
        "where": {
            "pc": "0x80000000",
            "symbol": "_start",
            "source": None,
            "privilege": "M-mode",
            "waiting": False,
            "callers": [],
        },
        "last_trap": None,
        "last_exception": None,
    }


@pytest.mark.parametrize(("later", "text"), [(0, "0 instructions"), (1, "1 instruction"), (1200, "1,200 instructions")])
def test_last_trap_is_told_with_where_and_how_long_ago(later: int, text: str) -> None:
    board = board_of(asm.code(SETS_HANDLER, ILLEGAL, asm.LOOP), (HANDLER, RETURNS))
    trap_icount = ROM_INSNS + len(SETS_HANDLER)
    board.run_until(icount=trap_icount + 1)
    board.run_until(icount=trap_icount + max(later, 1))
    ago = board.position.icount - trap_icount
    told = last_trap_text(board.hart, board.position.icount, SYMBOLS)

    if later:
        place = "pc 0x8000000c <main+0x4>, tval 0xffffffff, in M-mode"
        assert told == f"its last trap: illegal instruction (2) at {place}, {text} earlier, at icount {trap_icount:,}"
    assert f", {ago:,} instruction" in told
    assert where_facts(board.hart, SYMBOLS)["last_trap"] == {
        "cause": 2, "interrupt": False, "name": "illegal instruction", "pc": "0x8000000c", "symbol": "main+0x4",
        "source": None, "tval": "0xffffffff", "privilege": "M-mode", "icount": trap_icount, "callers": [],
    }  # fmt: skip


# ---- interrupts and satp


def test_busiest_interrupts_come_first_and_few_claims_are_not_told() -> None:
    counts = [
        InterruptCount(1, "virtio0", 999, False), InterruptCount(8, "net0", 1000, False),
        InterruptCount(10, "uart0", 2_000_000, True), InterruptCount(11, "rtc0", 1000, True),
        InterruptCount(2, "virtio1", 0, True), InterruptCount(3, "virtio2", 1000, False),
    ]  # fmt: skip

    assert busiest_text(counts) == (
        "interrupt 10 uart0: claimed 2,000,000 times, still raised; interrupt 3 virtio2: claimed 1,000 times;"
        " interrupt 8 net0: claimed 1,000 times"
    )
    assert busiest_text(counts[:1]) is None
    assert [fact["source"] for fact in interrupt_facts(counts)] == [1, 8, 10, 11, 3]


def test_modes_of_satp_are_named() -> None:
    assert satp_text([]) is None
    text = satp_text([9, 10, 5])
    assert text is not None
    assert text.startswith("the guest wrote mode 5 and Sv48 and Sv57 to satp, which has Bare and Sv39 only;")
    text = satp_text([10], Feature.SV48)
    assert text is not None
    assert text.startswith("the guest wrote Sv57 to satp, which has Bare, Sv39 and Sv48 only;")


# ---- several lines


@pytest.mark.parametrize("xlen", [64, 32])
def test_report_of_a_trap_loop_has_registers_and_code(xlen: int) -> None:
    board, outcome = in_trap_loop(xlen)
    text = report(board.machine, outcome, SYMBOLS)
    digits = xlen // 4

    assert text.splitlines()[0] == headline(board.machine, outcome, SYMBOLS)
    assert f"icount {ROM_INSNS + 2:_}, virtual time {2 * (ROM_INSNS + 2):_} ns" in text
    assert "no trap handler is set: mtvec is 0" in text
    assert f"   a0 {0x12345000:0{digits}x}" in text
    assert f" mepc {0:0{digits}x}" in text  # of the last trap: at the handler that is not there
    assert "\n=> 0x80000008 <main>: ffffffff  (not an instruction)\n" in text
    assert "\n   0x80000004: 12345537  lui a0, 0x12345\n" in report(board.machine, outcome, NO_SYMBOLS)


def test_report_shows_the_last_instructions_where_they_are_known() -> None:
    board, outcome = in_trap_loop()
    text = report(board.machine, outcome, NO_SYMBOLS, recent=[RAM, RAM + 4])
    _, _, code = text.partition("the last instructions that retired:\n")

    assert re.findall(r"^(..) (0x\w+):", code, re.MULTILINE) == [
        ("  ", "0x80000000"), ("  ", "0x80000004"), ("=>", "0x80000008"),
    ]  # fmt: skip


def test_report_names_the_caller() -> None:
    code = asm.code(asm.jal(asm.RA, 8), asm.NOP, ILLEGAL)
    board = board_of(code)
    outcome = board.run()

    assert "called from 0x80000000 <_start>" in report(board.machine, outcome, SYMBOLS)
    assert "called from" not in report(board.machine, outcome, NO_SYMBOLS)


def test_report_of_a_jump_to_nowhere_says_where_it_came_from() -> None:
    code = asm.code(asm.lui(asm.RA, 0x40000), asm.jalr(0, asm.RA, 0))
    board = board_of(code)
    outcome = board.run()

    text = report(board.machine, outcome, SYMBOLS, recent=[RAM, RAM + 4])
    assert "\n  ra has this address too: a function has returned to a wrong address\n" in text
    assert "\n  it came from 0x80000004 <_start+0x4>: " in text
    assert "called from" not in text
    assert "it came from" not in report(board.machine, outcome, SYMBOLS)


# ---- the fault that a handler is about

S_MODE = [
    *asm.li(asm.T0, 0xFFFFFFFF), asm.csrw("pmpaddr0", asm.T0), asm.addi(asm.T0, 0, 0x1F), asm.csrw("pmpcfg0", asm.T0),
    *asm.li(asm.T0, 0xFFFF), asm.csrw("medeleg", asm.T0),
    *asm.li(asm.T0, 1 << 11), asm.csrw("mstatus", asm.T0), asm.auipc(asm.T0, 0), asm.addi(asm.T0, asm.T0, 16),
    asm.csrw("mepc", asm.T0), asm.MRET,
]  # fmt: skip


@pytest.mark.parametrize("is_delegated", [False, True])
def test_fault_is_handled_until_the_handler_is_left(is_delegated: bool) -> None:
    epc, tvec, ret = ("sepc", "stvec", SRET) if is_delegated else ("mepc", "mtvec", asm.MRET)
    sets = [*(S_MODE if is_delegated else []), asm.auipc(asm.T0, 0), asm.addi(asm.T0, asm.T0, 16),
            asm.csrw(tvec, asm.T0), asm.jal(0, 24)]  # fmt: skip
    handler = [asm.csrr(asm.T1, epc), asm.NOP, asm.addi(asm.T1, asm.T1, 4), asm.csrw(epc, asm.T1), ret]
    board = board_of(asm.code(sets, handler, ILLEGAL, asm.LOOP))
    trap_icount = ROM_INSNS + len(sets)
    seen = {}
    for after in range(1, 8):
        board.run_until(icount=trap_icount + after)
        seen[after] = handled_fault(board.hart) is not None
        fault = last_fault(board.hart)
        assert fault is not None and (fault.cause, fault.icount) == (2, trap_icount)

    assert seen == {1: True, 2: True, 3: True, 4: False, 5: False, 6: False, 7: False}


@pytest.mark.parametrize(
    ("at_fault", "code", "returns", "is_told"),
    [(ILLEGAL, 70, False, True), (ILLEGAL, 0, False, False), (ILLEGAL, 70, True, False), (asm.ECALL, 70, False, False)],
    ids=["panic", "success", "returned from", "environment call"],
)
def test_end_of_a_guest_tells_its_exception_if_that_handler_has_failed(
    at_fault: int, code: int, returns: bool, is_told: bool
) -> None:
    word = code << 16 | 0x3333 if code else 0x5555
    end = asm.code(asm.li(asm.T0, Base.FINISHER), asm.li(asm.T1, word), asm.sw(asm.T1, asm.T0, 0), asm.LOOP)
    board = board_of(asm.code(SETS_HANDLER, at_fault) + end, (HANDLER, RETURNS if returns else end))

    outcome = board.run()

    assert outcome.exit_code == code
    lines = why(board.machine, outcome, NO_SYMBOLS)
    assert [line[:39] for line in lines] == ["its last exception: illegal instruction"] * is_told
    assert len(fatal_facts(board.machine, outcome, NO_SYMBOLS)) == is_told


@pytest.mark.parametrize(
    ("cpu", "insn", "said"),
    [
        ("rv64,zbb=off", RORI_A5_A0_13, "that is rori a5, a0, 0xd, of zbb, which this hart lacks (--cpu)"),
        ("rv64,sstc=off", CSRW_STIMECMP_A5, "that is an access to stimecmp, of sstc, which this hart lacks (--cpu)"),
        ("rv64gc", CSRR_A0_MENVCFG, "that is an access to menvcfg, of sm1p12, which this hart lacks (--cpu)"),
        ("rv64gc", ILLEGAL, None),
        ("rv64,zbb=off", asm.csrw("misa", asm.A0) | 0xC00 << 20, None),
    ],
)
def test_illegal_instruction_of_an_extension_that_is_off_is_named(cpu: str, insn: int, said: str | None) -> None:
    waits = (HANDLER, asm.code(asm.WFI, asm.jal(0, -4)))
    for board in (board_of(asm.code(insn), cpu=cpu), board_of(asm.code(SETS_HANDLER, insn), waits, cpu=cpu)):
        outcome = board.run()

        loops = outcome.reason is StopReason.TRAP_LOOP
        text = report(board.machine, outcome, SYMBOLS) if loops else "\n".join(why(board.machine, outcome, SYMBOLS))
        assert ("this hart lacks" in text) == (said is not None)
        assert said is None or f"  {said}" in text.splitlines()


FLOATING = {
    0xF20007D3: "fmv.d.x fa5, zero",
    0x00B53027: "fsd fa1, 0(a0)",
    0x2108: "c.fld fa0, 0(a0)",
    0x00302573: "frcsr a0",
}


@pytest.mark.parametrize("insn", FLOATING)
def test_floating_point_instruction_while_it_is_off_is_told_as_such(insn: int) -> None:
    waits = (HANDLER, asm.code(asm.WFI, asm.jal(0, -4)))
    told = f"  that is {FLOATING[insn]}, while mstatus.FS is Off: floating point has to be switched on first"
    for board in (board_of(asm.code(insn)), board_of(asm.code(SETS_HANDLER, insn), waits)):
        outcome = board.run()

        loops = outcome.reason is StopReason.TRAP_LOOP
        text = report(board.machine, outcome, SYMBOLS) if loops else "\n".join(why(board.machine, outcome, SYMBOLS))
        assert told in text.splitlines()
        board.registers["mstatus"] = 1 << 13
        assert loops or "FS is Off" not in "\n".join(why(board.machine, outcome, SYMBOLS))


def test_instruction_that_the_hart_has_is_not_told_as_lacking() -> None:
    for number in range(1 << 12):
        trap = TrapRecord(2, RAM, number << 20 | 0x2573, 3, 0)
        assert lacking_text(default_cpu(64), trap) is None


def test_environment_call_is_no_fault() -> None:
    board = board_of(asm.code(SETS_HANDLER, asm.ECALL, asm.LOOP), (HANDLER, asm.code(asm.WFI, asm.jal(0, -4))))
    outcome = board.run()

    assert last_fault(board.hart) is None
    assert headline(board.machine, outcome, NO_SYMBOLS).startswith("guest waits forever at 0x80000104: in WFI")
    assert why(board.machine, outcome, NO_SYMBOLS)[0].startswith("its last trap: environment call from M-mode (11)")


def test_moment_of_a_run_that_goes_on_is_told_by_the_harts_name() -> None:
    board = board_of(asm.code(asm.jal(asm.RA, 8), asm.NOP, asm.LOOP))
    board.run_until(icount=20)

    assert why(board.machine, None, SYMBOLS) == [
        "hart0: pc 0x80000008 <main>, in M-mode", "  called from 0x80000000 <_start>", "it has taken no trap",
    ]  # fmt: skip


# ---- disassembly


def test_disassembly_marks_the_pc_and_knows_sizes() -> None:
    board = board_of(asm.code(asm.NOP, asm.C_NOP, asm.C_NOP, asm.addi(asm.A0, asm.A0, 1), asm.LOOP))

    rows = disassembly(board.machine, RAM + 8, NO_SYMBOLS)

    assert rows[:5] == [
        "   0x80000000: 00000013  nop", "   0x80000004:     0001  c.nop", "   0x80000006:     0001  c.nop",
        "=> 0x80000008: 00150513  addi a0, a0, 1", "   0x8000000c: 0000006f  j 0",
    ]  # fmt: skip


def test_disassembly_where_no_memory_is_says_so() -> None:
    board = board_of(asm.code(asm.LOOP))

    assert disassembly(board.machine, 0x4000_0000, NO_SYMBOLS) == ["  no memory at pc 0x40000000"]


# ---- several harts

WAITS_FOR_MSI = asm.code(asm.csrrsi(0, "mie", 8), asm.WFI, asm.LOOP)
WAITS_FOR_NOTHING = asm.code(asm.WFI, asm.LOOP)
SPINS = asm.code(asm.NOP, asm.NOP, asm.jal(0, -8))
CRASHES = asm.code(asm.NOP, asm.lui(asm.A0, 0x12345), ILLEGAL)
START_INSNS = ROM_INSNS + 6
NAMES = SymbolTable.of([Symbol(program_at(hart), 0x100, f"program{hart}") for hart in range(4)])


def several(*programs: bytes, xlen: int = 64) -> Board:
    """A board with as many harts."""
    return board_of(programs_of(*programs), xlen=xlen, smp=len(programs), quantum=100)


@pytest.mark.parametrize("xlen", [64, 32])
def test_report_is_of_the_hart_that_crashed_and_has_a_line_for_each_other(xlen: int) -> None:
    board = several(WAITS_FOR_MSI, CRASHES, SPINS, xlen=xlen)
    board.run_until(icount=1)
    outcome = board.run()
    lines = report(board.machine, outcome, NAMES).splitlines()

    assert lines[0].startswith(
        f"hart1: trap loop at 0x0: the first trap was illegal instruction (2) at pc {program_at(1) + 8:#x}"
    )
    assert any(f"   a0 {0x12345000:0{xlen // 4}x}" in line for line in lines)
    assert lines[-2:] == [
        f"  hart0: pc {program_at(0) + 8:#x} <program0+0x8>, in M-mode, in WFI for MSI; it has taken no trap",
        "  hart2: pc 0x1000, in M-mode; it has taken no trap",
    ]


def test_report_says_whose_the_last_instructions_are() -> None:
    board = several(WAITS_FOR_MSI, CRASHES)
    outcome = board.run()

    assert f"\n  the last instructions that hart1 has retired:\n   {RAM:#x}: " in report(
        board.machine, outcome, NO_SYMBOLS, recent=[RAM]
    )


def test_report_after_a_round_tells_where_the_others_have_come_to() -> None:
    crashes_later = asm.code(asm.li(asm.S0, 60), asm.addi(asm.S0, asm.S0, -1), asm.bne(asm.S0, 0, -4), ILLEGAL)
    board = several(WAITS_FOR_NOTHING, SPINS, crashes_later)
    lines = report(board.machine, board.run(), NAMES).splitlines()

    assert lines[0].startswith("hart2: trap loop")
    assert lines[-2] == (
        f"  hart0: pc {program_at(0) + 4:#x} <program0+0x4>, in M-mode,"
        " in WFI with no interrupt enabled in mie; it has taken no trap"
    )
    assert lines[-1].startswith("  hart1: pc 0x80002") and "<program1" in lines[-1]


def test_wait_of_several_harts_is_told_for_each() -> None:
    board = several(WAITS_FOR_MSI, WAITS_FOR_NOTHING)
    outcome = board.run()

    assert outcome == Outcome(StopReason.WAITS_FOREVER)
    assert headline(board.machine, outcome, NO_SYMBOLS) == (
        "guest waits forever: all 2 harts are in WFI, and no timer or input can raise an interrupt that they wait for"
    )
    assert harts_text(board.machine, NAMES) == [
        f"hart0: pc {program_at(0) + 8:#x} <program0+0x8>, in M-mode, in WFI for MSI; it has taken no trap",
        f"hart1 (ran last): pc {program_at(1) + 4:#x} <program1+0x4>, in M-mode, in WFI with no interrupt enabled in"
        " mie; it has taken no trap",
    ]


def test_last_trap_of_another_hart_is_told_by_the_count_of_all() -> None:
    traps = asm.code(
        asm.auipc(asm.T0, 0), asm.addi(asm.T0, asm.T0, 16), asm.csrw("mtvec", asm.T0), ILLEGAL, asm.WFI, asm.LOOP,
    )  # fmt: skip
    board = several(traps, SPINS)
    board.run_until(icount=2 * START_INSNS)
    [first, _] = harts_text(board.machine, NAMES)

    hart0 = board.harts[0]
    assert hart0.last_trap is not None
    assert first == (
        f"hart0: pc {program_at(0) + 20:#x} <program0+0x14>, in M-mode, in WFI with no interrupt enabled in mie;"
        f" its last trap: illegal instruction (2) at pc {program_at(0) + 12:#x} <program0+0xc>, tval 0xffffffff,"
        f" in M-mode, {START_INSNS - 3} instructions earlier, at icount {hart0.last_trap.icount:,}"
    )


def test_facts_of_several_harts_have_what_each_waits_for_and_its_minstret() -> None:
    board = several(WAITS_FOR_MSI, SPINS)
    board.run_until(icount=5 * START_INSNS)
    one, other = harts_facts(board.machine, NAMES)

    assert one == {
        "id": 0, "last_trap": None, "last_exception": None, "waits_for": ["MSI"], "minstret": START_INSNS + 2,
        "where": {
            "pc": f"{program_at(0) + 8:#x}", "symbol": "program0+0x8", "source": None, "privilege": "M-mode",
            "waiting": True, "callers": [],
        },
    }  # fmt: skip
    assert (other["id"], other["waits_for"], other["minstret"]) == (1, None, 4 * START_INSNS - 2)
