"""What gdb is told of a board: registers by the numbers that it has for RISC-V, and where memory is."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from support import asm
from support.harts import board_of

from minstret.emu.gdbtarget import (
    GENERAL_COUNT,
    gdb_registers,
    memory_map_xml,
    read_general,
    target_xml,
    thread_text,
    threads_xml,
)
from minstret.emu.hart.cpu import default_cpu
from minstret.emu.hart.csr_table import CSRS

PREFIX = "org.gnu.gdb.riscv."


def features(xlen: int) -> dict[str, dict[int, ElementTree.Element]]:
    root = ElementTree.fromstring(target_xml(default_cpu(xlen)))
    return {
        feature.attrib["name"].removeprefix(PREFIX): {int(reg.attrib["regnum"]): reg for reg in feature.findall("reg")}
        for feature in root.findall("feature")
    }


@pytest.mark.parametrize("xlen", [32, 64])
def test_registers_have_the_numbers_that_gdb_expects(xlen: int) -> None:
    found = features(xlen)
    assert list(found) == ["cpu", "fpu", "csr", "virtual"]
    assert sorted(found["cpu"]) == list(range(33))
    assert sorted(found["fpu"]) == list(range(33, 65))
    assert sorted(found["csr"]) == [65 + row.number for row in CSRS if row.exists(default_cpu(xlen))]
    assert list(found["virtual"]) == [4161]
    names = {number: reg.attrib["name"] for number, reg in found["cpu"].items()}
    assert (names[0], names[2], names[10], names[32]) == ("zero", "sp", "a0", "pc")
    assert found["csr"][65 + 0x300].attrib["name"] == "mstatus"


@pytest.mark.parametrize("xlen", [32, 64])
def test_registers_are_as_wide_as_the_hart_s_and_floats_have_64_bits(xlen: int) -> None:
    for name, registers in features(xlen).items():
        assert {int(reg.attrib["bitsize"]) for reg in registers.values()} == {64 if name == "fpu" else xlen}


@pytest.mark.parametrize("xlen", [32, 64])
def test_every_register_of_the_description_is_one_of_the_board(xlen: int) -> None:
    board = board_of(asm.code(asm.LOOP), xlen=xlen)
    for register in gdb_registers(default_cpu(xlen)).values():
        assert 0 <= board.registers[register.name] < 1 << register.bits


@pytest.mark.parametrize("xlen", [32, 64])
def test_description_names_the_architecture_and_no_operating_system(xlen: int) -> None:
    root = ElementTree.fromstring(target_xml(default_cpu(xlen)))
    assert root.findtext("architecture") == f"riscv:rv{xlen}"
    assert root.findtext("osabi") == "none"


@pytest.mark.parametrize("xlen", [32, 64])
def test_description_tells_lldb_what_registers_are_for_and_their_numbers_in_dwarf(xlen: int) -> None:
    found = features(xlen)
    roles = {reg.attrib["generic"]: reg.attrib["name"] for reg in found["cpu"].values() if "generic" in reg.attrib}
    numbers = {
        int(reg.attrib["dwarf_regnum"]): reg.attrib["name"] for name in ("cpu", "fpu") for reg in found[name].values()
        if "dwarf_regnum" in reg.attrib
    }  # fmt: skip
    assert roles == {"ra": "ra", "sp": "sp", "fp": found["cpu"][8].attrib["name"], "pc": "pc"}
    assert sorted(numbers) == list(range(64))
    assert (numbers[1], numbers[31], numbers[32], numbers[63]) == ("ra", "t6", "f0", "f31")


@pytest.mark.parametrize("xlen", [32, 64])
def test_general_registers_are_one_after_the_other_in_little_endian(xlen: int) -> None:
    board = board_of(asm.code(asm.LOOP), xlen=xlen)
    for number in range(1, 32):
        board.registers[f"x{number}"] = 0x0102_0304_0506_0700 + number
    data, size = read_general(board.hart), xlen // 8
    assert len(data) == GENERAL_COUNT * size
    values = [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]
    assert values == [board.registers[gdb_registers(default_cpu(xlen))[number].name] for number in range(GENERAL_COUNT)]
    assert values[32] == board.hart.pc


@pytest.mark.parametrize("xlen", [32, 64])
def test_memory_map_covers_all_addresses_and_the_rom_alone_is_read_only(xlen: int) -> None:
    memory = board_of(asm.code(asm.LOOP), xlen=xlen).machine.memory
    regions = [
        (region.attrib["type"], int(region.attrib["start"], 16), int(region.attrib["length"], 16))
        for region in ElementTree.fromstring(memory_map_xml(memory, xlen))
    ]
    at = 0
    for _, start, length in regions:
        assert start == at
        at += length
    assert at == 1 << xlen
    assert [region for region in regions if region[0] != "ram"] == [("rom", memory.rom_base, memory.rom_size)]
    assert ("ram", memory.ram_base, memory.ram_size) in regions


def test_threads_are_harts_from_1_on_with_privilege_and_wait() -> None:
    board = board_of(asm.code(asm.WFI, asm.LOOP), smp=2)
    board.run_until(icount=50)
    root = ElementTree.fromstring(threads_xml(board.harts))
    assert [(thread.attrib["id"], thread.attrib["name"]) for thread in root] == [("1", "hart0"), ("2", "hart1")]
    assert {thread.text for thread in root} == {"M-mode, in WFI"}
    board.hart.waiting = False
    assert thread_text(board.hart) == "M-mode"
