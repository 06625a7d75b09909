"""Boot images: where each goes, what does not fit together, and what the boot ROM passes on."""

from __future__ import annotations

import gzip
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import asm
from support.elf_files import RAM, Load, elf_bytes
from support.harts import ROM_INSNS

from minstret.devices.board import placement
from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig
from minstret.devices.board.placement import BootImages, Placement, place
from minstret.devices.board.placement import Load as Further
from minstret.emu import units
from minstret.emu.cli import main
from minstret.emu.errors import ConfigError
from minstret.emu.images.loader import ImageFile, Segment, load_firmware, read_image

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = units.MIB
TREE = b"\xd0\x0d\xfe\xed" + bytes(4000)
LOOPS = asm.code(asm.LOOP)

each_xlen = pytest.mark.parametrize("xlen", [64, 32])
File = Callable[..., Path]


@pytest.fixture
def file(tmp_path: Path) -> File:
    """Makes a file with the given content."""

    def make(name: str, content: bytes = b"\x13\0\0\0") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return make


def read(path: Path | None) -> ImageFile | None:
    return None if path is None else read_image(path)


def placed(
    bios: Path, kernel: Path | None = None, initrd: Path | None = None, *, loads: tuple[Further, ...] = (),
    xlen: int = 64, ram_size: int = 128 * MIB,
) -> Placement:  # fmt: skip
    images = BootImages(load_firmware(bios, RAM), read(kernel), read(initrd), loads=loads)
    return place(images, xlen, ram_size, lambda initrd_range: TREE)


def addresses(result: Placement) -> list[int]:
    return [segment.address for segment in result.segments]


# ---- where things go


@each_xlen
def test_raw_bios_goes_to_the_start_of_ram_and_the_tree_to_the_last_2_mib(file: File, xlen: int) -> None:
    result = placed(file("bios"), xlen=xlen)

    assert addresses(result) == [RAM, RAM + 126 * MIB]
    assert (result.entry, result.tree, result.next_entry) == (RAM, RAM + 126 * MIB, 0)
    assert (result.others, result.left_out) == ((), ())


@pytest.mark.parametrize(("xlen", "alignment"), [(64, 2 * MIB), (32, 4 * MIB)])
@pytest.mark.parametrize(("size", "steps"), [(1, 1), (-1, 1), (0, 1), (4, 2)])
def test_raw_kernel_goes_to_the_next_boundary_behind_the_bios(
    file: File, xlen: int, alignment: int, size: int, steps: int
) -> None:
    size = size if size == 1 else alignment + size

    result = placed(file("bios", bytes(size)), file("kernel"), xlen=xlen)

    assert result.next_entry == RAM + steps * alignment
    assert addresses(result) == [RAM, RAM + steps * alignment, result.tree]


def zboot(packed: bytes, kind: bytes) -> bytes:
    """An EFI kernel that unpacks itself."""
    return struct.pack("<4s4sII8x8s24x", b"MZ", b"zimg", 56, len(packed), kind) + packed + b"the rest"


PACKED_KERNELS = {
    "gzip": gzip.compress(LOOPS, mtime=0),
    "zboot-gzip": zboot(gzip.compress(LOOPS, mtime=0), b"gzip"),
    "zboot-zstd": zboot(zstd.compress(LOOPS), b"zstd"),
}


@pytest.mark.parametrize("data", PACKED_KERNELS.values(), ids=PACKED_KERNELS.keys())
def test_compressed_kernel_is_placed_unpacked(file: File, data: bytes) -> None:
    result = placed(file("bios"), file("kernel", data))

    assert result.segments[1] == Segment(RAM + 2 * MIB, LOOPS, len(LOOPS))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xfd7zXZ\0...", "compressed by xz; unpack it first"),
        (zboot(b"packed", b"lzma"), "compressed by 'lzma'; unpack it first"),
        (gzip.compress(LOOPS, mtime=0)[:-1], "it is cut short"),
        (zboot(zstd.compress(LOOPS)[:-1], b"zstd"), "it is cut short"),
        (b"\x1f\x8b\x08" + bytes(40), "a damaged compressed image"),
        (zboot(b"packed", b"zstd"), "a damaged compressed image"),
    ],
)
def test_kernel_that_cannot_be_unpacked_is_refused_with_the_reason(file: File, data: bytes, reason: str) -> None:
    kernel = file("kernel", data)

    with pytest.raises(ConfigError, match=reason) as caught:
        placed(file("bios"), kernel)

    assert str(caught.value).startswith(f"{kernel}: ")


def test_linux_image_takes_what_its_header_says_with_its_zeros(file: File) -> None:
    header = struct.pack("<8xQQ32xI", 0x20_0000, 100 * MIB, int.from_bytes(b"RSC\x05", "little"))

    assert placed(file("bios"), file("kernel", header)).segments[1].size == 100 * MIB
    with pytest.raises(ConfigError, match=r"overlaps .*initrd"):
        placed(file("bios"), file("kernel", header), file("initrd"))


@each_xlen
def test_elf_kernel_keeps_its_own_addresses_and_entry(file: File, xlen: int) -> None:
    loads = (Load(RAM + 0x30_0000, LOOPS), Load(RAM + 0x40_1000, b"data", memory_size=64))
    kernel = file("kernel", elf_bytes(*loads, entry=RAM + 0x30_0000, xlen=xlen))

    result = placed(file("bios"), kernel, xlen=xlen)

    assert addresses(result) == [RAM, RAM + 0x30_0000, RAM + 0x40_1000, result.tree]
    assert result.next_entry == RAM + 0x30_0000


def test_elf_kernel_at_virtual_addresses_is_placed_and_entered_at_physical_ones(file: File) -> None:
    load = Load(0xFFFF_FFFF_8000_0000, LOOPS * 4, paddr=RAM + 0x20_0000)
    kernel = file("kernel", elf_bytes(load, entry=0xFFFF_FFFF_8000_0008))

    assert placed(file("bios"), kernel).next_entry == RAM + 0x20_0008


def test_kernel_goes_behind_the_highest_segment_of_an_elf_bios_with_its_zeros(file: File) -> None:
    loads = (Load(RAM, LOOPS), Load(RAM + 0x1F_0000, b"bss", memory_size=0x2_0000))
    bios = file("bios", elf_bytes(*loads, entry=RAM))

    assert placed(bios, file("kernel")).next_entry == RAM + 4 * MIB


@pytest.mark.parametrize(
    ("ram_size", "distance"),
    [(64 * MIB, 32 * MIB), (128 * MIB, 64 * MIB), (256 * MIB, 128 * MIB), (512 * MIB, 128 * MIB)],
)
@pytest.mark.parametrize(("xlen", "kernel_at"), [(64, 2 * MIB), (32, 4 * MIB)])
def test_initrd_goes_half_the_ram_but_at_most_128_mib_behind_the_kernel(
    file: File, ram_size: int, distance: int, xlen: int, kernel_at: int
) -> None:
    told = []
    images = BootImages(load_firmware(file("bios"), RAM), read(file("kernel")), read(file("initrd", b"cpio" * 100)))

    result = place(images, xlen, ram_size, lambda initrd: told.append(initrd) or TREE)

    start = RAM + kernel_at + distance
    assert told == [(start, start + 400)]
    assert addresses(result) == [RAM, RAM + kernel_at, start, result.tree]


def test_initrd_goes_by_the_entry_of_an_elf_kernel(file: File) -> None:
    kernel = file("kernel", elf_bytes(Load(RAM + 4 * MIB, LOOPS * 8), entry=RAM + 4 * MIB + 16))

    result = placed(file("bios"), kernel, file("initrd"))

    assert addresses(result)[2] == RAM + 4 * MIB + 16 + 64 * MIB


@pytest.mark.parametrize(
    ("ram_size", "tree"),
    [
        (1 * MIB, RAM + 1 * MIB - 0x1000), (4 * MIB, RAM + 4 * MIB - 0x1000), (8 * MIB, RAM + 6 * MIB),
        (9 * MIB, RAM + 8 * MIB), (1024 * MIB, RAM + 1022 * MIB), (2048 * MIB, 0xC000_0000 - 2 * MIB),
    ],
)  # fmt: skip
def test_tree_goes_to_the_last_boundary_below_the_end_of_ram_and_3_gib(file: File, ram_size: int, tree: int) -> None:
    assert placed(file("bios"), ram_size=ram_size).tree == tree


def test_elf_bios_is_entered_at_its_own_entry(file: File) -> None:
    bios = file("bios", elf_bytes(Load(RAM + 0x1000, LOOPS * 4), entry=RAM + 0x1008))

    assert placed(bios).entry == RAM + 0x1008


# ---- what lies outside RAM


@each_xlen
def test_headers_before_the_code_may_lie_outside_ram(file: File, xlen: int) -> None:
    bios = file("fw.elf", elf_bytes(Load(RAM, LOOPS, with_headers=True), xlen=xlen))

    result = placed(bios, xlen=xlen)

    assert (result.segments[0], result.entry) == (Segment(RAM, LOOPS, 4), RAM)
    start = RAM - (64 + 56 if xlen == 64 else 52 + 32)
    assert result.left_out == (
        f"{bios} ({start:#x}..{RAM - 1:#x}) is left out: outside RAM, and nothing in it that a program needs",
    )


def test_note_outside_ram_is_left_out(file: File) -> None:
    note = Load(0x1_0000, b"\4\0\0\0\4\0\0\0\3\0\0\0GNU\0wxyz", is_note=True)
    bios = file("fw.elf", elf_bytes(note, Load(RAM, LOOPS)))

    result = placed(bios)

    assert addresses(result) == [RAM, result.tree]
    assert result.left_out == (
        f"{bios} (0x10000..0x10013) is left out: outside RAM, and nothing in it that a program needs",
    )


@each_xlen
@pytest.mark.parametrize("name", [".eh_frame", ".eh_frame_hdr"])
def test_unwind_table_outside_ram_is_left_out_and_other_sections_are_not(file: File, xlen: int, name: str) -> None:
    def bios(section: str) -> Path:
        table = Load(0x1_0000, b"\x10\0\0\0\0\0\0\0zR", section=section)
        return file("fw.elf", elf_bytes(table, Load(RAM, LOOPS), xlen=xlen, symbols={"_start": (RAM, 4)}))

    assert len(placed(bios(name), xlen=xlen).left_out) == 1
    assert "(0x10000..0x10009) is outside RAM" in refusal(bios(".rodata"), xlen=xlen)


def test_segment_without_bytes_outside_ram_is_left_out_and_the_kernel_goes_by_what_is_inside(file: File) -> None:
    loads = (Load(RAM, LOOPS), Load(0x2000_0000, b"", memory_size=0x1000), Load(0x9000_0000, b"", memory_size=0x1000))
    bios = file("fw.elf", elf_bytes(*loads))

    result = placed(bios, file("kernel"))

    assert addresses(result) == [RAM, RAM + 2 * MIB, result.tree]
    assert result.left_out == tuple(
        f"{bios} ({at:#x}..{at + 0xFFF:#x}) is left out: outside RAM, and no bytes in the file"
        for at in (0x2000_0000, 0x9000_0000)
    )


def test_segment_without_bytes_inside_ram_is_zeros(file: File) -> None:
    bios = file("fw.elf", elf_bytes(Load(RAM, LOOPS), Load(RAM + 0x1000, b"", memory_size=0x1000)))

    assert placed(bios).segments[1] == Segment(RAM + 0x1000, b"", 0x1000)


@pytest.mark.parametrize(
    "load",
    [
        Load(0x2000_0000, b"code"),
        Load(RAM - 0x1000, b"x" + bytes(0x1FFF)),
        Load(RAM - 0x1000, b"", memory_size=0x2000),
        Load(RAM + 127 * MIB, b"", memory_size=2 * MIB),
        Load(RAM + 128 * MIB - 4, b"code", memory_size=8),
    ],
)  # fmt: skip
def test_what_a_program_needs_outside_ram_is_refused(file: File, load: Load) -> None:
    bios = file("fw.elf", elf_bytes(Load(RAM + MIB, LOOPS), load, entry=RAM + MIB))

    assert "is outside RAM (0x80000000..0x87ffffff)" in refusal(bios)


def test_image_of_which_nothing_is_in_ram_is_refused(file: File) -> None:
    bios = file("fw.elf", elf_bytes(Load(0x1000, bytes(8)), entry=0x1000))

    assert refusal(bios) == f"{bios} (0x1000..0x1007) is outside RAM (0x80000000..0x87ffffff), and nothing of it inside"


def test_segments_of_one_file_that_overlap_are_refused(file: File) -> None:
    bios = file("fw.elf", elf_bytes(Load(RAM, bytes(16)), Load(RAM + 15, b"x")))

    assert refusal(bios) == f"{bios} (0x80000000..0x8000000f): its segment at 0x8000000f overlaps this one"


# ---- further files


def test_further_files_go_where_they_are_told_and_no_byte_is_looked_at(file: File) -> None:
    elf = file("payload.elf", elf_bytes(Load(RAM + 0x30_0000, LOOPS), entry=RAM + 0x30_0000))
    text, gz = file("notes.txt", b"text\n"), file("data.gz", gzip.compress(b"data"))
    loads = tuple(Further(read_image(path), RAM + (4 + n) * MIB) for n, path in enumerate((elf, text, gz)))

    result = placed(file("bios"), file("kernel"), loads=loads)

    assert addresses(result) == [RAM, RAM + 2 * MIB, RAM + 4 * MIB, RAM + 5 * MIB, RAM + 6 * MIB, result.tree]
    assert [bytes(s.data) for s in result.segments[2:5]] == [path.read_bytes() for path in (elf, text, gz)]


def test_further_file_without_an_address_goes_where_it_says_and_gives_its_symbols(file: File) -> None:
    symbols = {"payload_start": (RAM + 0x30_0000, 4)}
    elf = file("payload.elf", elf_bytes(Load(RAM + 0x30_0000, LOOPS), entry=RAM + 0x30_0000, symbols=symbols))

    board = Board(file("bios", LOOPS), loads=[Further(read_image(elf))])

    assert board.memory[RAM + 0x30_0000 : RAM + 0x30_0004] == LOOPS
    assert board.symbols.describe(RAM + 0x30_0002) == "payload_start+0x2"
    assert board.placement.entry == RAM


@pytest.mark.parametrize(
    ("content", "at", "text"),
    [
        (b"four", RAM + 2, "{bios} (0x80000000..0x80000003) overlaps {file} (0x80000002..0x80000005)"),
        (b"four", RAM + 2 * MIB - 3, "{kernel} (0x80200000..0x80200003) overlaps {file} (0x801ffffd..0x80200000)"),
        (b"four", RAM + 66 * MIB, "{initrd} (0x84200000..0x84200003) overlaps {file} (0x84200000..0x84200003)"),
        (b"four", RAM + 126 * MIB, "{file} (0x87e00000..0x87e00003) overlaps the device tree"),
        (b"four", RAM - 2, "{file} (0x7ffffffe..0x80000001) is outside RAM"),
        (b"four", (1 << 64) - 1, "{file} (0xffffffffffffffff..0x10000000000000002) is outside RAM"),
        (b"", RAM + MIB, "{file}: the file is empty"),
        (b"four", None, "{file}: a raw binary has no address of its own; write {file}@ADDRESS"),
        (elf_bytes(Load(RAM + MIB, LOOPS), entry=RAM + MIB, xlen=32), None, "{file}: an rv32 executable on an rv64"),
    ],
)
def test_further_file_that_does_not_fit_is_refused_by_name(
    file: File, content: bytes, at: int | None, text: str
) -> None:
    names = {name: file(name) for name in ("bios", "kernel", "initrd")} | {"file": file("file", content)}

    got = refusal(*list(names.values())[:3], loads=(Further(read_image(names["file"]), at),))

    assert got.startswith(text.format(**names))


def test_two_further_files_that_overlap_are_refused_and_the_same_file_twice_is_not(file: File) -> None:
    one, two = file("one"), file("two")

    text = refusal(file("bios"), loads=(Further(read_image(one), RAM + MIB), Further(read_image(two), RAM + MIB + 3)))
    assert text.startswith(f"{one} (0x80100000..0x80100003) overlaps {two} (0x80100003..")

    twice = tuple(Further(read_image(one), RAM + at) for at in (MIB, 2 * MIB))
    assert len(placed(file("bios"), loads=twice).segments) == 4


# ---- no firmware below the kernel


@each_xlen
def test_bare_kernel_starts_in_m_mode_at_the_start_of_ram(file: File, xlen: int) -> None:
    kernel, initrd = file("kernel", gzip.compress(LOOPS)), file("initrd", b"cpio")

    board = Board(None, BoardConfig(xlen=xlen, ram_size=16 * MIB), kernel=kernel, initrd=initrd, append="quiet")
    board.run_until(icount=ROM_INSNS)

    assert board.registers["pc"] == RAM
    assert board.hart.env.priv == 3
    assert board.memory[RAM : RAM + 4] == LOOPS
    assert board.memory[RAM + 8 * MIB : RAM + 8 * MIB + 4] == b"cpio"
    assert b"quiet" in board.device_tree
    size, info = xlen // 8, board.registers["a2"]
    assert int.from_bytes(board.memory[info + 2 * size : info + 3 * size], "little") == RAM


def test_bare_elf_kernel_starts_at_its_entry_and_has_its_symbols(file: File) -> None:
    symbols = {"main": (RAM + MIB, 8)}
    kernel = file("kernel", elf_bytes(Load(RAM + MIB, LOOPS * 2), entry=RAM + MIB + 4, symbols=symbols))

    board = Board(None, kernel=kernel)
    board.run_until(icount=ROM_INSNS)

    assert board.registers["pc"] == RAM + MIB + 4
    assert board.symbols.describe(RAM + MIB + 4) == "main+0x4"


def test_bare_kernel_has_semihosting_and_can_be_run_again(file: File) -> None:
    board = Board(None, kernel=file("kernel", LOOPS))
    board.run_until(icount=1000)

    assert board.hart.on_semihosting is not None
    second = board.again()
    second.run_until(icount=1000)
    assert second.registers["pc"] == RAM
    assert second.digest() == board.digest()


def test_neither_firmware_nor_kernel_is_refused() -> None:
    with pytest.raises(ConfigError, match="without firmware there must be a kernel"):
        Board(None)


# ---- what does not go together


def refusal(*arguments: Path | None, **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        placed(*arguments, **options)  # type: ignore[misc]
    return str(caught.value)


def test_elf_kernel_over_the_bios_is_refused_and_both_are_named(file: File) -> None:
    bios, kernel = file("bios.bin", bytes(0x3000)), file("kernel.elf", elf_bytes(Load(RAM + 0x2000, LOOPS)))

    text = refusal(bios, kernel)

    assert f"{bios} (0x80000000..0x80002fff)" in text
    assert f"{kernel} (0x80002000..0x80002003)" in text
    assert "overlaps" in text


def test_elf_kernel_right_behind_the_bios_is_fine(file: File) -> None:
    bios, kernel = file("bios", bytes(0x2000)), file("kernel", elf_bytes(Load(RAM + 0x2000, LOOPS)))

    assert addresses(placed(bios, kernel))[:2] == [RAM, RAM + 0x2000]


def test_kernels_zeros_over_the_bios_are_refused_too(file: File) -> None:
    bios = file("bios", elf_bytes(Load(RAM + 0x8000, LOOPS), entry=RAM + 0x8000))
    kernel = file("kernel", elf_bytes(Load(RAM, b"x", memory_size=0x8001)))

    assert "(0x80000000..0x80008000)" in refusal(bios, kernel)


def test_initrd_past_the_end_of_ram_is_refused(file: File) -> None:
    initrd = file("initrd", bytes(63 * MIB))

    assert f"{initrd} (0x84200000..0x880fffff) is outside RAM" in refusal(file("bios"), file("kernel"), initrd)


def test_initrd_over_the_tree_is_refused_and_both_are_named(file: File) -> None:
    initrd = file("initrd", bytes(60 * MIB + 1))  # 66 MiB behind the start of RAM; the tree is at 126 MiB

    text = refusal(file("bios"), file("kernel"), initrd)

    assert f"{initrd} (0x84200000..0x87e00000) overlaps the device tree (0x87e00000.." in text


def test_initrd_that_ends_right_before_the_tree_is_fine(file: File) -> None:
    placed(file("bios"), file("kernel"), file("initrd", bytes(60 * MIB)))


def test_kernel_over_the_initrd_is_refused_and_both_are_named(file: File) -> None:
    kernel, initrd = file("kernel", bytes(5 * MIB)), file("initrd", bytes(100))

    text = refusal(file("bios"), kernel, initrd, ram_size=9 * MIB)

    assert str(kernel) in text
    assert str(initrd) in text
    assert "overlaps" in text


def test_bios_over_the_tree_is_refused(file: File) -> None:
    text = refusal(file("bios", bytes(MIB)), ram_size=MIB)

    assert "overlaps the device tree" in text


@pytest.mark.parametrize("at", [RAM - 4, 0x1000, RAM + 128 * MIB, RAM + 128 * MIB - 2])
def test_kernel_outside_ram_is_refused_with_what_ram_there_is(file: File, at: int) -> None:
    kernel = file("kernel", elf_bytes(Load(at, LOOPS), entry=at))

    text = refusal(file("bios"), kernel)

    assert f"{kernel} ({at:#x}..{at + 3:#x}) is outside RAM (0x80000000..0x87ffffff)" in text


def test_raw_kernel_past_a_small_ram_is_refused(file: File) -> None:
    assert "is outside RAM" in refusal(file("bios"), file("kernel"), ram_size=MIB)


def test_bios_with_its_entry_outside_ram_is_refused(file: File) -> None:
    bios = file("bios", elf_bytes(Load(RAM, LOOPS), entry=0x1000))

    assert "the entry point 0x1000 is outside RAM" in refusal(bios)


def test_initrd_without_a_kernel_is_refused(file: File) -> None:
    assert "--initrd: goes with --kernel" in refusal(file("bios"), None, file("initrd"))


@pytest.mark.parametrize(("mine", "boards"), [(32, 64), (64, 32)])
def test_kernel_of_the_other_width_is_refused(file: File, mine: int, boards: int) -> None:
    kernel = file("kernel", elf_bytes(Load(RAM + 4 * MIB, LOOPS), entry=RAM + 4 * MIB, xlen=mine))

    assert f"{kernel}: an rv{mine} executable on an rv{boards} board" in refusal(file("bios"), kernel, xlen=boards)


def test_missing_initrd_is_named(file: File, tmp_path: Path) -> None:
    text = refusal(file("bios"), file("kernel"), tmp_path / "no-such-file")

    assert text.startswith(f"{tmp_path / 'no-such-file'}: ")


# ---- what the boot ROM passes on


@each_xlen
def test_entry_gets_the_hart_the_tree_and_a_fw_dynamic_info_with_the_kernels_entry(file: File, xlen: int) -> None:
    bios, kernel = file("bios", LOOPS), file("kernel", LOOPS)
    board = Board(bios, BoardConfig(xlen=xlen, ram_size=16 * MIB), kernel=kernel)

    board.run_until(icount=ROM_INSNS)

    registers = board.registers
    assert (registers["pc"], registers["a0"], registers["a1"]) == (RAM, 0, RAM + 14 * MIB)
    assert board.memory[registers["a1"] : registers["a1"] + 4] == b"\xd0\x0d\xfe\xed"
    size = xlen // 8
    info = board.memory[registers["a2"] : registers["a2"] + 6 * size]
    words = [int.from_bytes(info[i : i + size], "little") for i in range(0, len(info), size)]
    supervisor, boot_hart = 1, 0
    kernel_at = RAM + (2 * MIB if xlen == 64 else 4 * MIB)
    assert words == [0x4942534F, 2, kernel_at, supervisor, 0, boot_hart]


@each_xlen
def test_next_entry_is_0_without_a_kernel(file: File, xlen: int) -> None:
    board = Board(file("bios", LOOPS), BoardConfig(xlen=xlen, ram_size=MIB))

    board.run_until(icount=ROM_INSNS)

    size, info = xlen // 8, board.registers["a2"]
    assert board.memory[info + 2 * size : info + 3 * size] == bytes(size)


@each_xlen
def test_firmware_runs_first_and_reaches_the_kernel_through_the_info(file: File, xlen: int) -> None:
    load = asm.ld(asm.T0, asm.A2, 16) if xlen == 64 else asm.lw(asm.T0, asm.A2, 8)
    bios = file("bios", asm.code(load, asm.jalr(asm.ZERO, asm.T0, 0)))
    board = Board(bios, BoardConfig(xlen=xlen, ram_size=16 * MIB), kernel=file("kernel", LOOPS))

    board.run_until(icount=ROM_INSNS + 2)
    assert board.registers["pc"] == RAM + (2 * MIB if xlen == 64 else 4 * MIB)

    board.run_until(icount=ROM_INSNS + 10)
    assert board.registers["pc"] == RAM + (2 * MIB if xlen == 64 else 4 * MIB)


def test_all_images_are_in_memory_and_come_back_with_a_reset(file: File) -> None:
    board = Board(
        file("bios", LOOPS), BoardConfig(ram_size=16 * MIB), kernel=file("kernel", b"kernel!!"),
        initrd=file("initrd", b"initrd!!"),
    )  # fmt: skip
    where = {RAM: LOOPS, RAM + 2 * MIB: b"kernel!!", RAM + 10 * MIB: b"initrd!!", RAM + 14 * MIB: board.device_tree}

    for _ in range(2):
        for address, data in where.items():
            assert board.memory[address : address + len(data)] == data
            board.memory.write(address, bytes(len(data)))
        board.reset()


# ---- on the command line


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return int(caught.value.code or 0), capsys.readouterr().err


def test_firmware_and_bios_together_are_refused(file: File, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = said(capsys, "run", "--bios", file("a"), file("b"))

    assert status == 125
    assert "FIRMWARE" in text and "--bios" in text and "give one of them" in text


def test_append_without_kernel_is_refused(file: File, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "run", "--append", "quiet", file("a")) == (125, "minstret: --append: goes with --kernel\n")


def test_initrd_without_kernel_is_refused_by_the_command(file: File, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = said(capsys, "run", "--initrd", file("i"), file("a"))

    assert (status, text) == (125, "minstret: --initrd: goes with --kernel\n")


@pytest.mark.parametrize("name", ["opensbi", "u-boot"])
def test_packaged_firmware_that_is_absent_on_rv32_says_that_there_is_none(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = tmp_path / "absent.bin"
    monkeypatch.setitem(placement.PACKAGED, name, {64: str(absent), 32: str(absent)})

    status, text = said(capsys, "run", "--cpu", "rv32", "--bios", name)

    assert status == 125
    assert text == (
        f"minstret: --bios {name}: Debian packages it for rv64 only ({absent} is absent); give a file instead\n"
    )


@pytest.mark.parametrize(("name", "package"), [("opensbi", "opensbi"), ("u-boot", "u-boot-qemu")])
def test_packaged_firmware_that_is_absent_on_rv64_says_what_to_install(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(placement.PACKAGED, name, {64: str(tmp_path / "absent.bin")})

    status, text = said(capsys, "run", "--bios", name)

    assert status == 125
    assert f"--bios {name}: " in text and text.endswith(f"apt-get install {package}\n")


def test_kernel_without_firmware_asks_for_opensbi(
    file: File, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(placement.PACKAGED, "opensbi", {64: str(tmp_path / "absent.bin")})

    assert "--bios opensbi: " in said(capsys, "run", "--kernel", file("kernel"))[1]


def test_raw_kernel_runs_under_raw_firmware(file: File, capsys: pytest.CaptureFixture[str]) -> None:
    bios = file("bios", asm.code(asm.ld(asm.T0, asm.A2, 16), asm.jalr(asm.ZERO, asm.T0, 0)))
    finisher, passes = asm.li(asm.T0, 0x10_0000), asm.li(asm.T1, 7 << 16 | 0x3333)
    kernel = file("kernel", asm.code(finisher, passes, asm.sw(asm.T1, asm.T0, 0), asm.LOOP))

    status, _ = said(capsys, "run", "--no-input", "-m", "16M", "--bios", bios, "--kernel", kernel, "--append", "x")

    assert status == 7
