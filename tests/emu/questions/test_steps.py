"""What instructions did, as it is told: enough to make registers and RAM from nothing else; and the run is the same."""

from __future__ import annotations

import pytest
from support.asm import A0, A1, ECALL, MRET, ZERO, amoadd_w, code, csrw, li, lr_w, lw, sc_w, sw
from support.generated_code import generate
from support.guest_boards import summary
from support.recordings import PASS, RAM, RAM_SIZE, finish_code, setup_of_code, setup_of_image

from minstret.devices.board.board import Board, Setup
from minstret.emu.hart.spec import Cause, Csr
from minstret.emu.questions.steps import DataAccess, Step, TrapStep, stepping


class Shadow:
    """Registers of each hart and RAM, made from what steps say."""

    def __init__(self, board: Board) -> None:
        self.x = [list(hart.env.x) for hart in board.harts]
        self.f = [list(hart.env.f) for hart in board.harts]
        self.ram = bytearray(board.machine.memory.ram)
        self.wrong: list[str] = []

    def apply(self, step: Step) -> None:
        hart = step.hart
        if step.x is not None:
            self.x[hart.hart_id][step.x[0]] = step.x[1]
        if step.f is not None:
            self.f[hart.hart_id][step.f[0]] = step.f[1]
        for access in step.accesses:
            physical = hart.translate(access.address)
            at = -1 if physical is None else physical - RAM
            if 0 <= at < RAM_SIZE and access.value is not None:
                if access.is_store:
                    self.ram[at : at + access.size] = access.value.to_bytes(access.size, "little")
        if self.x[hart.hart_id] != list(hart.env.x) or self.f[hart.hart_id] != list(hart.env.f):
            self.wrong.append(f"{step.icount} {step.pc:#x} {step.insn:#x}")


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize(("image", "harts"), [("mix", 1), ("hello", 1), ("smp", 2), ("thermostat", 1)])
def test_registers_and_ram_follow_from_the_steps(image: str, harts: int, xlen: int) -> None:
    board = setup_of_image(image, xlen, smp=harts).make()
    shadow, icounts = Shadow(board), list[int]()

    def on_step(step: Step) -> None:
        icounts.append(step.icount)
        shadow.apply(step)

    with stepping(board.harts, on_step):
        board.run_until(icount=12_000)

    assert shadow.wrong == []
    assert icounts == list(range(board.position.icount))
    assert len(icounts) > 500
    assert shadow.ram == board.machine.memory.ram


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("number", range(4))
def test_registers_of_generated_programs_follow_from_the_steps(number: int, xlen: int) -> None:
    program = generate(f"follow {number}", xlen, is_portable=True)
    board = setup_of_code(program.image(), xlen=xlen, icount_shift=program.icount_shift).make()
    shadow, traps = Shadow(board), list[TrapStep]()

    with stepping(board.harts, shadow.apply, traps.append):
        board.run_until(icount=6000)

    assert shadow.wrong == []
    assert traps


def run_stepping(setup: Setup, icount: int | None = None) -> tuple[list[Step], list[TrapStep], object]:
    board = setup.make()
    steps, traps = list[Step](), list[TrapStep]()
    with stepping(board.harts, steps.append, traps.append):
        outcome = board.run_until(icount=icount)
    return steps, traps, summary(board, outcome)


@pytest.mark.parametrize("image", ["traps", "smp", "echo"])
def test_the_run_is_the_same_as_without(image: str) -> None:
    setup = setup_of_image(image, smp=2 if image == "smp" else 1)
    plain = setup.make()

    _, _, seen = run_stepping(setup, 20_000)

    assert seen == summary(plain, plain.run_until(icount=20_000))


def accesses_of(*insns: int | list[int]) -> list[DataAccess]:
    steps, _, _ = run_stepping(setup_of_code(code(*insns) + finish_code(PASS)))
    return [access for step in steps for access in step.accesses if access.address >= RAM]


DATA = RAM + 0x800


def test_amo_loads_and_stores() -> None:
    assert accesses_of(li(A0, DATA), li(A1, -1), sw(A1, A0, 0), li(A1, 3), amoadd_w(A1, A1, A0)) == [
        DataAccess(True, DATA, 4, 0xFFFF_FFFF), DataAccess(False, DATA, 4, 0xFFFF_FFFF), DataAccess(True, DATA, 4, 2)
    ]  # fmt: skip


def test_sc_stores_only_where_it_succeeds() -> None:
    assert accesses_of(li(A0, DATA), lr_w(A1, A0), sc_w(A1, A0, A0), sc_w(A1, A0, A0)) == [
        DataAccess(False, DATA, 4, 0), DataAccess(True, DATA, 4, DATA & 0xFFFF_FFFF)
    ]  # fmt: skip


def test_load_that_replaces_its_own_address_is_told_with_that() -> None:
    assert accesses_of(li(A0, DATA), lw(A0, A0, 4)) == [DataAccess(False, DATA + 4, 4, 0)]


def test_load_into_x0_is_told_with_what_is_in_memory() -> None:
    assert accesses_of(li(A0, DATA), sw(A0, A0, 0), lw(ZERO, A0, 0))[1] == DataAccess(
        False, DATA, 4, DATA & 0xFFFF_FFFF
    )


def test_trap_has_the_instruction_that_raised_it() -> None:
    handler = RAM + 0x100
    setup = setup_of_code(
        code(li(A0, handler), csrw("mtvec", A0), ECALL),
        (0x100, code(li(A0, RAM + 0x200), csrw("mepc", A0), MRET)), (0x200, finish_code(PASS)),
    )  # fmt: skip

    steps, traps, _ = run_stepping(setup)

    (trap,) = traps
    assert (trap.taken.trap.cause, trap.insn, trap.taken.handler) == (Cause.ECALL_FROM_M, ECALL, handler)
    (mret,) = (step for step in steps if step.insn == MRET)
    assert [number for number, _ in mret.csrs] == [Csr.MSTATUS]
    assert next(step.csrs for step in steps if step.csrs) == ((Csr.MTVEC, handler),)
