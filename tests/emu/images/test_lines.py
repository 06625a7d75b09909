"""Source lines from DWARF: the right one, or none; never an exception."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from support.commands import PATIENCE_S
from support.elf_files import Load, elf_bytes
from support.needs import Need

from minstret.emu.images.dwarf import DwarfFile
from minstret.emu.images.lines import LineTable, SourceLine
from minstret.emu.images.loader import load_firmware
from minstret.firmware import IMAGES, image_path

ROOT = Path(__file__).parents[3]
RAM = 0x8000_0000
GCC = "riscv64-unknown-elf-gcc"
PROGRAM = """\
__attribute__((noinline)) int twice(int number)
{
    return 2 * number;
}

__attribute__((noinline)) int more(int number)
{
    number += 5;
    return number * number;
}

int _start(int number)
{
    return more(number) + twice(number);
}
"""


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("image", IMAGES)
def test_functions_of_bundled_images_begin_where_their_source_says(image: str, xlen: int) -> None:
    symbols = load_firmware(image_path(image, xlen), None).symbols
    functions = {symbol.name: symbols.source(symbol.address) for symbol in symbols.symbols if symbol.size}
    named = 0
    for name, source in functions.items():
        if source is None:  # an object
            continue
        lines = (ROOT / source.file).read_text().splitlines()
        around = "\n".join(lines[max(0, source.line - 6) : source.line])
        named += name.rpartition(".")[0] in around or name in around
    assert named > len([source for source in functions.values() if source is not None]) // 2
    assert image == "paging-s" or functions["print"] == SourceLine("firmware/common/print.c", 17)


def test_short_form_is_the_file_with_its_folder() -> None:
    assert SourceLine("firmware/smash/main.c", 31).short == "smash/main.c:31"
    assert SourceLine("/home/me/app.c", 7).short == "me/app.c:7"
    assert SourceLine("app.c", 7).short == "app.c:7"
    assert str(SourceLine("firmware/smash/main.c", 31)) == "firmware/smash/main.c:31"


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("debug", ["-gdwarf-4", "-gdwarf-5", "-gdwarf-5 -gz", "-gdwarf-4 -gno-as-loc-support", "-g1"])
@pytest.mark.parametrize("optimize", ["-O0", "-O2 -ffunction-sections"])
def test_lines_that_gcc_writes(need: Need, tmp_path: Path, xlen: int, debug: str, optimize: str) -> None:
    need(GCC, shutil.which(GCC))
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.c").write_text(PROGRAM)
    target = ["-march=rv64imac", "-mabi=lp64"] if xlen == 64 else ["-march=rv32imac", "-mabi=ilp32"]
    flags = [*target, *debug.split(), *optimize.split(), "-nostdlib", "-Wl,-Ttext=0x80000000"]
    subprocess.run([GCC, *flags, "-o", "app", "src/app.c"], cwd=tmp_path, check=True, timeout=PATIENCE_S)
    symbols = load_firmware(tmp_path / "app", None).symbols

    for name, line in (("twice", 2), ("more", 7), ("_start", 13)):
        symbol = symbols.find(name)
        assert symbol is not None
        for at in range(symbol.address, symbol.address + symbol.size, 2):
            found = symbols.source(at)
            assert found is not None and found.file == "src/app.c" and line <= found.line <= line + 3
        assert optimize != "-O0" or symbols.source(symbol.address) == SourceLine("src/app.c", line)


def test_entries_are_where_the_lines_of_code_begin() -> None:
    table = LineTable(DwarfFile(image_path("smash").read_bytes()))
    entries = list(table.entries())

    assert {entry.file for entry in entries if entry.file.startswith("firmware/smash")} >= {"firmware/smash/main.c"}
    assert all(table.find(entry.address) is not None for entry in entries)
    for entry in entries:
        assert entry.address >= RAM  # what the linker has thrown away is at 0
    last = {entry.address: entry for entry in entries}
    assert all(table.find(at) == SourceLine(entry.file, entry.line) for at, entry in last.items())


# ---- files that tell nothing


def test_file_without_line_tables_has_no_lines() -> None:
    assert LineTable(DwarfFile(elf_bytes(Load(RAM, bytes(16)), symbols={"main": (RAM, 16)}))).find(RAM) is None
    assert LineTable(DwarfFile(b"")).find(RAM) is None
    assert LineTable(DwarfFile(b"\x7fELF")).find(RAM) is None


def test_address_of_no_code_has_no_line() -> None:
    table = LineTable(DwarfFile(image_path("smash").read_bytes()))

    for address in (0, 0x1000, RAM - 1, RAM + (1 << 20), (1 << 64) - 1):
        assert table.find(address) is None


def sections_of(data: bytes) -> list[tuple[int, int]]:
    """Where the contents of the sections with line tables are."""
    (at,) = struct.unpack_from("<Q", data, 40)
    count, _ = struct.unpack_from("<HH", data, 60)
    found = [struct.unpack_from("<IIQQQQIIQQ", data, at + 64 * number) for number in range(count)]
    return [(fields[4], fields[5]) for fields in found if fields[2] & 0x800]  # SHF_COMPRESSED


def test_section_that_says_it_unpacks_to_more_than_memory_is_left_alone() -> None:
    data = bytearray(image_path("hello").read_bytes())
    for offset, _ in sections_of(bytes(data)):
        struct.pack_into("<Q", data, offset + 8, 1 << 40)

    assert LineTable(DwarfFile(bytes(data))).find(RAM) is None


def unpacked_image() -> bytes:
    """An ELF file with the line tables of an image, not packed, so that a changed byte gets far."""
    from elftools.elf.elffile import ELFFile

    with image_path("hello").open("rb") as file:
        wanted = [section for section in ELFFile(file).iter_sections() if section.name.startswith(".debug")]
        loads = [Load(0x1000 * (number + 1), section.data(), section=section.name)
                 for number, section in enumerate(wanted)]  # fmt: skip
    return elf_bytes(*loads)


def test_damaged_tables_give_some_line_or_none() -> None:
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    pick, whole = random.Random(seed), unpacked_image()
    symbols = load_firmware(image_path("hello"), None).symbols
    addresses = [symbol.address for symbol in symbols.symbols if symbol.size]
    assert all(LineTable(DwarfFile(whole)).find(address) == symbols.source(address) for address in addresses)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(pick.choice((1, 3, 30))):
            data[pick.randrange(len(data))] = pick.choice((0, 1, 0x7F, 0x80, 0xFF, pick.randrange(256)))
        if pick.random() < 0.1:
            del data[pick.randrange(len(data)) :]
        table = LineTable(DwarfFile(bytes(data)))
        for address in addresses:
            found = table.find(address)
            assert found is None or found.file.isprintable()
