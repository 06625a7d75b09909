"""Registers by name and memory by address, as the host side sees them."""

from __future__ import annotations

from typing import Any

import pytest
from support import asm
from support.harts import RAM, board_of, run_insns

from minstret.devices.board.board import Board

XLENS = pytest.mark.parametrize("xlen", [32, 64])
NAMED = (
    "mstatus sstatus fcsr fflags frm misa mvendorid marchid mimpid mhartid mie sie mip sip mtvec stvec mepc sepc mcause"
    " scause mtval stval mscratch sscratch medeleg mideleg mcounteren scounteren satp pmpcfg0 pmpaddr0 pmpaddr15 cycle"
    " time instret mcycle minstret mhpmcounter3 hpmcounter31 mhpmevent3"
).split()


def idle(xlen: int = 64) -> Board:
    board = board_of(asm.code(asm.LOOP), xlen=xlen)
    run_insns(board, 5)
    return board


@XLENS
def test_every_name_can_be_read_and_reading_changes_nothing(xlen: int) -> None:
    board = idle(xlen)
    before = board.digest(), board.hart.save_state()
    values = {name: board.registers[name] for name in board.registers.names()}

    assert (board.digest(), board.hart.save_state()) == before
    assert all(0 <= value < 1 << 64 for value in values.values())
    assert set(NAMED) <= set(values)
    assert ("mcycleh" in values, "pmpcfg1" in values) == (xlen == 32, xlen == 32)
    assert values["misa"] == {32: 0x4014_112F, 64: 0x8000_0000_0014_112F}[xlen]
    assert values["x2"] == values["sp"]
    assert values["fp"] == values["s0"]


@XLENS
@pytest.mark.parametrize("name", ["mstatus", "mie", "satp", "mepc", "fcsr", "instret"])
def test_csrs_read_as_m_mode_would_though_the_guest_may_not(xlen: int, name: str) -> None:
    board = idle(xlen)
    in_m = board.registers[name]
    board.hart.env.priv = 0
    assert board.registers[name] == in_m
    assert board.registers["priv"] == 0


@XLENS
def test_float_registers_have_64_bits(xlen: int) -> None:
    board = idle(xlen)
    board.registers["f7"] = 0x3FF0_0000_0000_0001
    assert board.registers["f7"] == board.hart.env.f[7] == 0x3FF0_0000_0000_0001


@XLENS
def test_values_are_cut_to_the_register(xlen: int) -> None:
    board = idle(xlen)
    board.registers["a0"] = -1
    board.registers["zero"] = 5
    assert board.registers["a0"] == (1 << xlen) - 1
    assert board.registers["x0"] == 0


@XLENS
def test_csr_writes_are_masked_as_the_guests(xlen: int) -> None:
    board = idle(xlen)
    registers = board.registers
    for name in ("mie", "mideleg", "mepc", "fcsr", "mcounteren"):
        registers[name] = -1
    assert (registers["mie"], registers["mideleg"], registers["fcsr"]) == (0xAAA, 0x222, 0xFF)
    assert registers["mepc"] == (1 << xlen) - 2
    assert (registers["frm"], registers["fflags"]) == (7, 31)
    registers["mstatus"] = 2 << 11  # there is no such privilege
    assert registers["mstatus"] >> 11 & 3 == 0
    registers["mtvec"] = RAM | 1
    registers["mtvec"] = RAM | 2  # there is no such mode
    assert registers["mtvec"] == RAM | 1


def test_written_counter_is_what_the_next_instruction_reads() -> None:
    board = board_of(asm.code(asm.NOP, asm.csrr(asm.A0, "mcycle"), asm.LOOP))
    run_insns(board, 1)
    board.registers["mcycle"] = 1000
    assert board.registers["mcycle"] == 1000
    run_insns(board, 2)
    assert board.registers["a0"] == 1000


def test_pmp_that_is_written_counts_at_once() -> None:
    board = board_of(asm.code(asm.lw(asm.A0, asm.A1, 0), asm.jal(0, -4)))
    board.registers["a1"] = RAM + 0x1000
    run_insns(board, 4)
    board.registers["a1"] = RAM + 0x1000
    board.registers["pmpaddr0"] = (RAM + 0x1000 >> 2) | 0x1FF
    board.registers["pmpcfg0"] = 0x98  # locked, no rights, NAPOT
    run_insns(board, 6)
    assert board.hart.first_trap is not None
    assert board.hart.first_trap.cause == 5


@pytest.mark.parametrize("name", ["misa", "mhartid", "cycle", "time", "mvendorid", "priv"])
def test_read_only_register_says_so(name: str) -> None:
    board = idle()
    before = board.registers[name]
    with pytest.raises(KeyError, match=name):
        board.registers[name] = 1
    assert board.registers[name] == before


@pytest.mark.parametrize("name", ["x32", "f32", "", "MSTATUS", "mtime", "mscounteren", "pmpcfg1", "cycleh", "a8"])
def test_unknown_name_is_a_key_error_with_the_name(name: str) -> None:
    registers = idle().registers
    with pytest.raises(KeyError, match=f"rv64 has no register '{name}'; "):
        registers[name]
    with pytest.raises(KeyError, match=f"rv64 has no register '{name}'; "):
        registers[name] = 1
    assert name not in registers


@pytest.mark.parametrize(
    ("name", "same"), [("ft0", "f0"), ("ft7", "f7"), ("fs1", "f9"), ("fa0", "f10"), ("fs2", "f18"), ("ft11", "f31")]
)
def test_floating_point_registers_have_names_of_the_calling_convention(name: str, same: str) -> None:
    registers = idle().registers
    registers[name] = 0x4009_21FB_5444_2D18
    assert registers[same] == 0x4009_21FB_5444_2D18


def test_names_are_in_registers_and_iterating_gives_integer_registers_and_pc() -> None:
    registers = idle().registers
    assert all(name in registers for name in registers.names())
    assert list(registers)[-1] == "pc"
    assert dict(registers.items())["pc"] == RAM
    assert len(list(registers)) == 33


def test_memory_by_address() -> None:
    board = idle()
    board.memory[RAM + 0x100 : RAM + 0x104] = b"abcd"
    assert board.memory[RAM + 0x100 : RAM + 0x104] == b"abcd"
    assert board.memory.read_virtual(RAM + 0x100, 4) == b"abcd"
    with pytest.raises(IndexError, match="no memory at 0x0"):
        board.memory[0:4]
    with pytest.raises(IndexError, match="virtual address 0x0"):
        board.memory.read_virtual(0, 4)
    with pytest.raises(ValueError, match="2 bytes for 4"):
        board.memory[RAM : RAM + 4] = b"ab"


@pytest.mark.parametrize("where", [RAM, slice(RAM, None), slice(None, RAM), slice(RAM, RAM + 8, 2), "pc"])
def test_memory_without_a_range_is_refused_by_name(where: Any) -> None:
    board = idle()

    with pytest.raises(TypeError, match=r"^memory is asked for by a range of addresses: "):
        board.memory[where]


def test_memory_is_written_from_an_address_on() -> None:
    board = idle()

    board.memory[RAM + 0x10000 :] = b"ok"

    assert board.memory[RAM + 0x10000 : RAM + 0x10003] == b"ok\0"
