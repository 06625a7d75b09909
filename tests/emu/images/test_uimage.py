"""U-Boot's legacy images, as mkimage writes them and damaged."""

from __future__ import annotations

import gzip
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from support.elf_files import RAM
from support.needs import Need

from minstret.emu.errors import ConfigError
from minstret.emu.images.loader import Firmware, ImageFile, Segment, load_firmware
from minstret.emu.images.uimage import read_ramdisk

CODE = bytes.fromhex("b702100015631b03535523a0620001a0")
MADE = bytes.fromhex(
    "270519563b55f83a6b0af56f000000108000000080000000cc64cddf111a010068690000000000000000000000000000"
    "00000000000000000000000000000000b702100015631b03535523a0620001a0"
)
"""``mkimage -A riscv -O u-boot -T standalone -C none -a 0x80000000 -e 0x80000000 -n hi`` of CODE."""

STANDALONE, KERNEL, RAMDISK, SCRIPT, KERNEL_NOLOAD = 1, 2, 3, 6, 14
RISCV, ARM = 26, 2


def uimage(
    content: bytes, *, kind: int = KERNEL, arch: int = RISCV, compression: int = 0, load: int = RAM, entry: int = RAM,
    size: int | None = None,
) -> bytes:  # fmt: skip
    """An image with right checksums."""

    def header(crc: int) -> bytes:
        return struct.pack(
            ">7I4B32s", 0x27051956, crc, 0, len(content) if size is None else size, load, entry, zlib.crc32(content), 5,
            arch, kind, compression, b"test",
        )  # fmt: skip

    return header(zlib.crc32(header(0))) + content


def loaded(data: bytes, size_max: int = 1 << 20) -> Firmware:
    return load_firmware(ImageFile("fw", data), RAM + 0x1000, size_max)


def error(data: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(data)
    return str(caught.value)


@pytest.mark.parametrize("data", [
    MADE, uimage(CODE), uimage(CODE, kind=STANDALONE), uimage(CODE) + b"behind it",
    uimage(gzip.compress(CODE, mtime=0), compression=1), gzip.compress(uimage(CODE), mtime=0),
])  # fmt: skip
def test_image_goes_where_its_header_says(data: bytes) -> None:
    assert loaded(data) == Firmware("fw", None, RAM, (Segment(RAM, CODE, 16),))


def test_entry_is_the_headers() -> None:
    assert loaded(uimage(CODE, load=RAM + 0x20_0000, entry=RAM + 0x20_0004)).entry == RAM + 0x20_0004


def test_image_without_an_address_goes_where_raw_binaries_go() -> None:
    firmware = loaded(uimage(CODE, kind=KERNEL_NOLOAD, load=0, entry=0))

    assert (firmware.entry, firmware.segments) == (RAM + 0x1000, (Segment(RAM + 0x1000, CODE, 16),))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (MADE[:63], "a damaged uImage: its header is cut short"),
        (MADE[:-1], "a damaged uImage: it is cut short"),
        (MADE[:20] + b"\x81" + MADE[21:], "a damaged uImage: the checksum of its header is wrong"),
        (MADE[:-1] + b"\xa1", "a damaged uImage: the checksum of its content is wrong"),
        (uimage(CODE, size=0xFFFF_FFFF), "a damaged uImage: it is cut short"),
        (uimage(CODE, arch=ARM), "a uImage for another machine (architecture 2, RISC-V is 26)"),
        (uimage(CODE, kind=SCRIPT), "a uImage with a script, not a program or a kernel"),
        (uimage(CODE, kind=99), "a uImage with something of type 99, not a program or a kernel"),
        (uimage(CODE, compression=3), "a uImage compressed by lzma; make it with gzip, or without compression"),
        (uimage(CODE, compression=9), "a uImage compressed by method 9; make it with gzip, or without compression"),
        (uimage(CODE, compression=1), "a damaged compressed image: Error -3 while decompressing data: incorrect header"
                                      " check"),
        (uimage(gzip.compress(bytes(2 << 20)), compression=1), "unpacks to more than 1 MiB; give more --memory"),
    ],
)  # fmt: skip
def test_damaged_or_unknown_image_is_refused_with_the_reason(data: bytes, text: str) -> None:
    assert error(data) == f"fw: {text}"


def test_ram_disk_is_taken_out_as_it_is() -> None:
    packed = gzip.compress(b"cpio")

    assert read_ramdisk(ImageFile("i", uimage(packed, kind=RAMDISK, compression=1)), 100).data == packed
    assert read_ramdisk(ImageFile("i", packed), 100).data == packed
    with pytest.raises(ConfigError, match="i: a uImage with a kernel, not a RAM disk"):
        read_ramdisk(ImageFile("i", uimage(CODE)), 100)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_what_mkimage_writes_is_loaded(tmp_path: Path, need: Need, compression: str) -> None:
    need("mkimage (u-boot-tools)", shutil.which("mkimage"))
    content, image = tmp_path / "content", tmp_path / "image"
    content.write_bytes(gzip.compress(CODE, mtime=0) if compression == "gzip" else CODE)

    subprocess.run(
        ["mkimage", "-A", "riscv", "-O", "linux", "-T", "kernel", "-C", compression, "-a", "0x80200000",
         "-e", "0x80200004", "-n", "test", "-d", content, image],
        check=True, capture_output=True,
    )  # fmt: skip

    firmware = load_firmware(image, 0)
    assert (firmware.entry, firmware.segments) == (0x8020_0004, (Segment(0x8020_0000, CODE, 16),))
