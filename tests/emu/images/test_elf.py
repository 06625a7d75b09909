"""ELF executables as segments and symbols, and errors in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.elf_files import RAM, Load, elf_bytes

from minstret.emu.errors import ConfigError
from minstret.emu.images.loader import Firmware, Segment, Symbol, load_firmware

CODE = bytes(range(1, 41))
SYMBOLS = {"_start": (RAM, 8), "main": (RAM + 8, 32), "tohost": (RAM + 0x1000, 8)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "firmware.elf"


def load(file: Path, data: bytes) -> Firmware:
    file.write_bytes(data)
    return load_firmware(file, RAM)


def error(file: Path, data: bytes) -> str:
    """What loading ``data`` says is wrong, behind the file's name."""
    with pytest.raises(ConfigError) as caught:
        load(file, data)
    text = str(caught.value)
    assert text.startswith(f"{file}: ")
    assert "\n" not in text
    return text.removeprefix(f"{file}: ")


def load_or_error(file: Path) -> Firmware | str:
    try:
        return load_firmware(file, RAM)
    except ConfigError as caught:
        return str(caught)


# ---- what is loaded


@pytest.mark.parametrize("xlen", [32, 64])
def test_elf_gives_its_width_entry_segments_and_symbols(file: Path, xlen: int) -> None:
    data = elf_bytes(
        Load(RAM, CODE), Load(RAM + 0x1000, b"data", memory_size=0x20), entry=RAM + 8, xlen=xlen, symbols=SYMBOLS
    )

    firmware = load(file, data)

    assert (firmware.name, firmware.xlen, firmware.entry) == (str(file), xlen, RAM + 8)
    assert firmware.segments == (Segment(RAM, CODE, len(CODE)), Segment(RAM + 0x1000, b"data", 0x20))
    assert firmware.symbols.find("main") == Symbol(RAM + 8, 32, "main")
    assert firmware.tohost == RAM + 0x1000


def test_elf_without_symbols_has_no_tohost(file: Path) -> None:
    firmware = load(file, elf_bytes(Load(RAM, CODE)))

    assert firmware.tohost is None
    assert firmware.symbols.symbols == ()


def test_segment_goes_to_its_physical_address_and_so_does_the_entry_point(file: Path) -> None:
    firmware = load(file, elf_bytes(Load(0xFFFF_FFFF_8000_0000, CODE, paddr=RAM), entry=0xFFFF_FFFF_8000_0004))

    assert firmware.segments == (Segment(RAM, CODE, len(CODE)),)
    assert firmware.entry == RAM + 4


def test_empty_segment_is_left_out(file: Path) -> None:
    firmware = load(file, elf_bytes(Load(RAM, CODE), Load(0x1234, b"")))

    assert [segment.address for segment in firmware.segments] == [RAM]


# ---- what is not


def test_executable_of_another_machine_is_refused_by_its_name() -> None:
    with pytest.raises(ConfigError, match=r"an executable for .*, not for RISC-V"):
        load_firmware(Path(sys.executable).resolve(), RAM)


def test_object_file_is_refused(file: Path) -> None:
    assert error(file, elf_bytes(Load(RAM, CODE), kind=1)) == "not an executable (ET_REL): link it first"


def test_big_endian_file_is_refused(file: Path) -> None:
    assert (
        error(file, elf_bytes(Load(RAM, CODE), big_endian=True)) == "big-endian; only little-endian RISC-V is supported"
    )


def test_file_with_nothing_to_load_is_refused(file: Path) -> None:
    assert error(file, elf_bytes()) == "it has nothing to load (no PT_LOAD segment)"


def test_segment_cut_short_is_named(file: Path) -> None:
    assert error(file, elf_bytes(Load(RAM, CODE))[:-1]) == (
        f"a damaged ELF file: the segment at {RAM:#x} is cut short"
    )  # fmt: skip


def test_segment_longer_in_the_file_than_in_memory_is_refused(file: Path) -> None:
    assert error(file, elf_bytes(Load(RAM, CODE, memory_size=8))).startswith("a damaged ELF file: ")


@pytest.mark.parametrize("xlen", [32, 64])
def test_file_cut_anywhere_is_refused_in_one_line(file: Path, xlen: int) -> None:
    whole = elf_bytes(Load(RAM, CODE), xlen=xlen)

    for size in range(4, len(whole)):
        error(file, whole[:size])


@settings(max_examples=300, deadline=None)
@given(
    xlen=st.sampled_from([32, 64]),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_damaged_file_is_loaded_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, xlen: int, changes: list[tuple[float, int]]
) -> None:
    data = bytearray(elf_bytes(Load(RAM, CODE), xlen=xlen, symbols=SYMBOLS))
    for where, byte in changes:
        at = 4 + int(where * (len(data) - 4))
        data[at] = byte
    file = tmp_path_factory.mktemp("damaged") / "firmware.elf"
    file.write_bytes(data)

    result = load_or_error(file)

    if isinstance(result, str):
        assert result
        assert "\n" not in result
    else:
        assert result.segments
