"""Compressed images: unpacked to a bounded size, or refused in one line."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import sys

import pytest

from minstret.emu.errors import ConfigError
from minstret.emu.images.image import ImageFile
from minstret.emu.images.packed import is_packed, unpack

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

KIB, MIB = 1 << 10, 1 << 20
PAYLOAD = bytes(range(256)) * 4096 + b"the end"
"""A little more than a piece of unpacking."""


def zboot(kind: bytes, packed: bytes) -> bytes:
    """An EFI kernel that unpacks itself. Source: Linux drivers/firmware/efi/libstub/zboot-header.S."""
    head = struct.pack("<2s2x4sII8x8s", b"MZ", b"zimg", 128, len(packed), kind)
    return head.ljust(128, b"\0") + packed + b"code that unpacks"


PACKED = {
    "gzip": gzip.compress(PAYLOAD, mtime=0),
    "gzip, something behind": gzip.compress(PAYLOAD, mtime=0) + b"a signature",
    "zboot, gzip": zboot(b"gzip", gzip.compress(PAYLOAD, mtime=0)),
    "zboot, zstd": zboot(b"zstd", zstd.compress(PAYLOAD, options={zstd.CompressionParameter.checksum_flag: 1})),
}


@pytest.mark.parametrize("kind", PACKED)
def test_compressed_image_is_unpacked_under_its_name(kind: str) -> None:
    assert is_packed(PACKED[kind][:64])
    assert unpack(ImageFile("Image.gz", PACKED[kind]), 2 * MIB) == ImageFile("Image.gz", PAYLOAD)


@pytest.mark.parametrize("data", [b"", b"M", b"MZ", bytes(100), b"\x7fELF" + bytes(60), b"MZ" + bytes(100), PAYLOAD])
def test_anything_else_stays_as_it_is(data: bytes) -> None:
    file = ImageFile("fw.bin", data)

    assert not is_packed(data[:64])
    assert unpack(file, MIB) is file


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("size_max", [len(PAYLOAD) - 1, MIB, 4 * KIB])
def test_size_is_bounded_to_the_byte(kind: str, size_max: int) -> None:
    assert unpack(ImageFile("fw", PACKED[kind]), len(PAYLOAD)).data == PAYLOAD
    with pytest.raises(ConfigError, match=r"^fw: unpacks to more than .*; give more --memory$"):
        unpack(ImageFile("fw", PACKED[kind]), size_max)


@pytest.mark.parametrize(
    ("data", "name"),
    [(lzma.compress(b"x"), "xz"), (zstd.compress(b"x"), "zstd"), (bz2.compress(b"x"), "bzip2"),
     (b"\x02\x21\x4c\x18" + bytes(60), "lz4")],
    ids=["xz", "zstd", "bzip2", "lz4"],
)  # fmt: skip
def test_other_compressions_are_refused_by_their_names(data: bytes, name: str) -> None:
    assert is_packed(data[:64])
    with pytest.raises(ConfigError, match=f"^fw: compressed by {name}; unpack it first$"):
        unpack(ImageFile("fw", data), MIB)


def test_kernel_packed_in_an_unknown_way_is_refused_by_its_name() -> None:
    with pytest.raises(ConfigError, match=r"^fw: an EFI kernel compressed by 'lzma'; unpack it first, to an Image$"):
        unpack(ImageFile("fw", zboot(b"lzma", b"")), MIB)


@pytest.mark.parametrize("kind", ["gzip", "zboot, gzip", "zboot, zstd"])
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_damaged_image_is_refused_in_one_line(kind: str, damage: str) -> None:
    data = bytearray(PACKED[kind])
    start = 128 if kind.startswith("zboot") else 0
    size = len(data) - start - (17 if start else 0)
    if damage == "changed":
        data[start + size // 2] ^= 0xFF
    elif start:
        struct.pack_into("<I", data, 12, size // 2)
    else:
        del data[size // 2 :]

    with pytest.raises(ConfigError, match=r"^fw: a damaged compressed image: ") as caught:
        unpack(ImageFile("fw", bytes(data)), 2 * MIB)

    assert "\n" not in str(caught.value)
