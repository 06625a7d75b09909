"""Images that lie about their size: one line, soon, and in little memory. The same for those in a trace."""

from __future__ import annotations

import gzip
import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from support.elf_files import LOOPS, RAM, Load, elf_bytes

from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import BoardConfig
from minstret.devices.board.traced import Replay, trace_meta
from minstret.emu.door.door import Position
from minstret.emu.errors import ConfigError
from minstret.emu.images.image import Symbol, SymbolTable
from minstret.emu.images.loader import ImageFile
from minstret.emu.trace.writer import TraceWriter

SCRIPT = Path(__file__).parents[2] / "support" / "bounded_images.py"
HANGS_S = 120
"""Far above what it takes: this finds what has no end."""
FUZZ_CASES = 5000

U64_MAX = (1 << 64) - 1
HEADER_SIZE, SEGMENT_SIZE, SECTION_SIZE = 64, 56, 64
SYMTAB, STRTAB = 2, 3


def segment(offset: int = 0, address: int = RAM, file_size: int = 100, memory_size: int = 100) -> bytes:
    return struct.pack("<IIQQQQQQ", 1, 7, offset, address, address, file_size, memory_size, 4096)


def section(kind: int = 1, offset: int = 0, size: int = 0, link: int = 0, info: int = 0, entry_size: int = 0) -> bytes:
    return struct.pack("<IIQQQQIIQQ", 0, kind, 0, 0, offset, size, link, info, 1, entry_size)


def symbol(name: int = 1) -> bytes:
    return struct.pack("<IBBHQQ", name, 2, 0, 1, RAM, 4)


def elf(
    segments: bytes, sections: bytes = b"", rest: bytes = bytes(200), *, segment_count: int | None = None,
    section_count: int | None = None, segment_size: int = SEGMENT_SIZE, section_size: int = SECTION_SIZE,
) -> bytes:  # fmt: skip
    """An ELF file whose tables follow each other; their numbers and sizes may be said wrong."""
    header = struct.pack(
        "<4s5B7xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 0, 2, 243, 1, RAM, HEADER_SIZE,
        HEADER_SIZE + len(segments) if sections else 0, 0, HEADER_SIZE, segment_size,
        len(segments) // SEGMENT_SIZE if segment_count is None else segment_count, section_size,
        len(sections) // SECTION_SIZE if section_count is None else section_count, 0,
    )  # fmt: skip
    return header + segments + sections + rest


def with_symbols(count: int, names: bytes, tables: int = 1, name: int = 1) -> bytes:
    """An ELF file with a symbol table, which is named so many times; all symbols have the same name."""
    at = HEADER_SIZE + SEGMENT_SIZE + SECTION_SIZE * (tables + 1)
    symbols = symbol(name) * count
    sections = section(STRTAB, at + len(symbols), len(names))
    sections += section(SYMTAB, at, len(symbols), link=0, entry_size=24) * tables
    return elf(segment(), sections, symbols + names)


def linux_image(size: int) -> bytes:
    return b"MZ" + bytes(14) + size.to_bytes(8, "little") + bytes(0x38 - 0x18) + b"RSC\x05" + bytes(100)


def zboot(start: int, size: int) -> bytes:
    return struct.pack("<4s4sII8x8s32x", b"MZ", b"zimg", start, size, b"gzip") + gzip.compress(bytes(100))


LOADED = "loaded"
Image = Callable[[], bytes]
IMAGES: dict[str, tuple[Image, str]] = {
    "as many segments as can be, each the whole file": (
        partial(elf, segment(0, file_size=1_000_000, memory_size=1_000_000) * 60_000), "60,000 segments; at most"),
    "segments of the whole file, fewer": (
        partial(elf, segment(0, file_size=50_000, memory_size=50_000) * 1000), "overlaps"),
    "segments of all of RAM": (partial(elf, segment(memory_size=128 << 20) * 1000), "overlaps"),
    "segments in number said elsewhere": (
        partial(elf, segment(), section(info=0xFFFF_FFFF), segment_count=0xFFFF), "too many segments"),
    "segments of no size": (partial(elf, segment(), segment_size=0), "entries of 0 bytes, not 56"),
    "segment of all memory": (partial(elf, segment(memory_size=U64_MAX)), "outside RAM"),
    "segment behind the file": (partial(elf, segment(U64_MAX - 4095, file_size=4096, memory_size=4096)), "cut short"),
    "segment larger than the file": (partial(elf, segment(file_size=1 << 62, memory_size=1 << 62)), "cut short"),
    "segment larger than what is signed": (
        partial(elf, segment(file_size=(1 << 63) + 5, memory_size=(1 << 63) + 5)), "cut short"),
    "segment of nearly all RAM": (partial(elf, segment(memory_size=120 << 20)), LOADED),
    "sections of no size": (
        partial(elf, segment(), section(size=1 << 60), section_count=0, section_size=0), "entries of 0 bytes, not 64"),
    "sections without number": (partial(elf, segment(), section(size=1 << 60), section_count=0), "sections; at most"),
    "a million sections": (
        lambda: elf(segment(), section(size=1_000_000) + section() * 999_999, section_count=0), "1,000,000 sections"),
    "symbols in a million tables that are one": (
        lambda: with_symbols(50_000, b"\0" + b"A" * 200 + b"\0", tables=5000), LOADED),
    "symbols of one byte": (
        partial(elf, segment(), section() + section(SYMTAB, size=1 << 60, link=0, entry_size=1)), "cut short"),
    "symbols that are their own names": (
        lambda: elf(segment(), section(SYMTAB, 0, 240, 1, entry_size=24) + section(SYMTAB, 0, 240, 0, entry_size=24)),
        LOADED),
    "symbols named by a section that is not there": (
        partial(elf, segment(), section() + section(SYMTAB, 0, 240, 9, entry_size=24)),
        "its symbol table is malformed"),
    "symbols with a name of 8 MiB": (lambda: with_symbols(2000, b"\0" + b"A" * (8 << 20) + b"\0"), LOADED),
    "symbols with names of 4 GiB": (
        lambda: with_symbols(400_000, b"\0" + b"A" * 10_000 + b"\0"), "more than 64 MiB of symbol names"),
    "symbols without number": (lambda: with_symbols(600_000, b"\0a\0"), "more than 500,000 symbols"),
    "symbols, as many as can be": (lambda: with_symbols(490_000, b"\0_ZN5stage7machineEv\0"), LOADED),
    "symbols with names outside": (lambda: with_symbols(1000, b"\0a\0", name=0xFFFF_FFFF), LOADED),
    "Linux image of all memory": (partial(linux_image, U64_MAX), "outside RAM"),
    "Linux image of nearly all RAM": (partial(linux_image, 120 << 20), LOADED),
    "EFI kernel longer than the file": (partial(zboot, 64, 0xFFFF_FFF0), LOADED),
    "EFI kernel behind the file": (partial(zboot, 0xFFFF_FFF0, 0xFFFF_FFF0), "it is cut short"),
    "EFI kernel cut in its head": (lambda: zboot(64, 100)[:40], LOADED),
    "gzip of 1 GiB": (lambda: gzip.compress(bytes(1 << 30), 1), "unpacks to more than 128 MiB"),
    "gzip in gzip in gzip": (lambda: gzip.compress(gzip.compress(gzip.compress(bytes(9)))), "more than 2 times over"),
    "Intel hex with pieces apart": (
        lambda: b"".join(b":01%04X0000%02X\n" % (n, -(1 + n + (n >> 8)) & 0xFF) for n in range(0, 65536, 2)) * 2,
        "more than 10,000 separate pieces"),
    "S-records in one endless line": (lambda: b"S3FF" + b"0" * (10 << 20),
        "511 bytes; its length field says otherwise"),
    "text of many lines": (lambda: b"x *\n" * (10 << 20), "text, not an image"),
    "text of one line": (lambda: b"\n" + b"x " * (10 << 20), "text, not an image"),
    "blank lines": (lambda: b"\n" * (10 << 20), "text, not an image"),
    "Intel hex of 65 MiB": (lambda: b":00000001FF\n" * ((65 << 20) // 12), "more than 64 MiB of text"),
}  # fmt: skip


def outcomes(*arguments: str | Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=HANGS_S,
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])},
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", IMAGES)
def test_image_that_lies_about_its_size_is_loaded_or_refused_in_200_mib_more_than_it_has(
    tmp_path: Path, name: str
) -> None:
    make, expected = IMAGES[name]
    path = tmp_path / "image"
    path.write_bytes(make())

    (got,) = outcomes(path)

    if expected == LOADED:
        assert got == LOADED
    else:
        assert got.startswith(f"{path}")
        assert expected in got


def test_what_is_no_regular_file_and_what_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    fifo, sparse, folder = tmp_path / "fifo", tmp_path / "sparse", tmp_path / "folder"
    os.mkfifo(fifo)
    folder.mkdir()
    with sparse.open("wb") as file:
        file.truncate(8 << 30)

    assert outcomes("/dev/zero", "/dev/null", fifo, folder, sparse, tmp_path / "absent") == [
        "/dev/zero: is a device; give a file",
        "/dev/null: is a device; give a file",
        f"{fifo}: is a pipe; give a file, or - for standard input",
        f"{folder}: is a folder; give a file",
        f"{sparse}: larger than 1 GiB, the limit for such a file",
        f"{tmp_path / 'absent'}: No such file or directory",
    ]


def test_random_elf_headers_are_loaded_or_refused_in_one_line() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")

    *wrong, last = outcomes("--fuzz", str(seed), str(FUZZ_CASES))

    assert wrong == []
    assert int(last.split()[0]) > FUZZ_CASES // 20


RUNS = """
import sys
from support.footprint import high_water
from minstret.emu.cli.group import run_command
status = run_command(sys.argv[1:])
print(high_water())
sys.exit(status)
"""
"""The command; what memory it took, at its end."""


@pytest.mark.parametrize(
    "role", [["{}"], ["--bios", "{}"], ["--kernel", "{}", "hello"], ["--initrd", "{}", "--kernel", "hello", "hello"],
             ["--load", "{}@0x81000000", "hello"], ["--load", "{}", "hello"],
             ["--input", "keyboard", "--input-script", "{}", "hello"]],
)  # fmt: skip
def test_every_file_of_the_command_is_checked(tmp_path: Path, role: list[str]) -> None:
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(8 << 30)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    for bad in ("/dev/zero", fifo, tmp_path, sparse):
        done = subprocess.run(
            [sys.executable, "-c", RUNS, "run", "--no-input", *(each.format(bad) for each in role)],
            capture_output=True, text=True, timeout=HANGS_S, env=os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])},
        )  # fmt: skip
        assert done.returncode == 125
        assert done.stderr.startswith("minstret: ") and str(bad) in done.stderr
        assert done.stderr.count("\n") == 1
        assert int(done.stdout) < 2 << 30


# ---- out of a trace


def trace_of(path: Path, image: bytes) -> Path:
    """A recording of a board with this image, as nobody here would write it."""
    setup = Setup(BoardConfig(xlen=64, ram_size=16 << 20), ImageFile("image", image))
    meta, blobs = trace_meta(setup)
    writer = TraceWriter(str(path), meta, blobs, shift=1)
    writer.commit(Position(0, 0))
    writer.close()
    return path


@pytest.mark.parametrize("name", ["segments of all of RAM", "segment larger than the file", "gzip of 1 GiB"])
def test_image_in_a_trace_is_checked_in_the_same_way(tmp_path: Path, name: str) -> None:
    make, expected = IMAGES[name]

    with pytest.raises(ConfigError, match="image") as caught:
        Replay(str(trace_of(tmp_path / "bad.mst", make()))).run()

    assert expected.replace("128 MiB", "16 MiB") in str(caught.value) or "outside RAM" in str(caught.value)


# ---- names


def test_symbols_are_escaped_and_cut_where_they_are_shown() -> None:
    table = SymbolTable.of([Symbol(RAM, 8, "\x1b]0;title\x07\n"), Symbol(RAM + 8, 8, "n" * 4000)])

    assert table.describe(RAM + 4) == r"\x1b]0;title\x07\n+0x4"
    assert table.describe(RAM + 8) == "n" * 200 + "..."


def test_symbols_at_one_address_are_found_at_once() -> None:
    table = SymbolTable.of([Symbol(RAM, 0, f"s{number}") for number in range(200_000)])

    assert {table.describe(RAM) for _ in range(10_000)} == {"s0"}


def test_tohost_anywhere_in_ram_does_no_harm(tmp_path: Path) -> None:
    for address in (RAM + 3, RAM + 0xFFF, RAM + (1 << 20) - 8, RAM - 1, U64_MAX, 0):
        data = elf_bytes(Load(RAM, LOOPS), symbols={"tohost": (address, 8)})
        Board(ImageFile("tohost.elf", data), BoardConfig(ram_size=1 << 20)).run_until(icount=100)
