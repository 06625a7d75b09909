"""U-Boot's legacy images (uImage): a header of 64 bytes with two checksums, then the content.

Source: U-Boot include/image.h.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from minstret.emu.errors import ConfigError
from minstret.emu.images.image import ImageFile
from minstret.emu.images.packed import decompress

MAGIC = b"\x27\x05\x19\x56"

_HEADER = struct.Struct(">7I4B32s")
_ARCH_RISCV = 26
_STANDALONE, _KERNEL, _RAMDISK, _FIRMWARE, _KERNEL_NOLOAD = 1, 2, 3, 5, 14
_TYPES = {
    _STANDALONE: "a standalone program", _KERNEL: "a kernel", _RAMDISK: "a RAM disk", 4: "several images in one",
    _FIRMWARE: "firmware", 6: "a script", 7: "a file system", 8: "a device tree", _KERNEL_NOLOAD: "a kernel",
}  # fmt: skip
_COMPRESSIONS = {0: "none", 1: "gzip", 2: "bzip2", 3: "lzma", 4: "lzo", 5: "lz4", 6: "zstd"}


@dataclass(frozen=True, slots=True)
class UImage:
    """The unpacked content. ``load`` is its address, None if the header leaves that to the loader."""

    content: bytes
    load: int | None
    entry: int


def read_uimage(file: ImageFile, size_max: int) -> UImage:
    """Read a program or a kernel for RISC-V.

    Args:
        file: The image.
        size_max: Bytes it may unpack to.
    Raises:
        ConfigError: it is damaged, or not for RISC-V, or something else than a program or a kernel.
    """
    return _read(file, size_max, (_STANDALONE, _KERNEL, _FIRMWARE, _KERNEL_NOLOAD), "a program or a kernel")


def read_ramdisk(file: ImageFile, size_max: int) -> ImageFile:
    """A RAM disk without its uImage header. A file that is not a uImage is returned as it is.

    Raises:
        ConfigError: the uImage is damaged, or not a RAM disk.
    """
    if not file.data.startswith(MAGIC):
        return file
    return ImageFile(file.name, _read(file, size_max, (_RAMDISK,), "a RAM disk").content)


def _read(file: ImageFile, size_max: int, types: tuple[int, ...], wanted: str) -> UImage:
    name, data = file.name, file.data
    if len(data) < _HEADER.size:
        raise ConfigError(f"{name}: a damaged uImage: its header is cut short")
    _, header_crc, _, size, load, entry, data_crc, _, arch, kind, compression, _ = _HEADER.unpack_from(data)
    header = data[:4] + bytes(4) + data[8 : _HEADER.size]
    if zlib.crc32(header) != header_crc:
        raise ConfigError(f"{name}: a damaged uImage: the checksum of its header is wrong")
    content = memoryview(data)[_HEADER.size : _HEADER.size + size]
    if len(content) < size:
        raise ConfigError(f"{name}: a damaged uImage: it is cut short")
    if zlib.crc32(content) != data_crc:
        raise ConfigError(f"{name}: a damaged uImage: the checksum of its content is wrong")
    if arch != _ARCH_RISCV:
        raise ConfigError(f"{name}: a uImage for another machine (architecture {arch}, RISC-V is {_ARCH_RISCV})")
    if kind not in types:
        raise ConfigError(f"{name}: a uImage with {_TYPES.get(kind, f'something of type {kind}')}, not {wanted}")
    packed = _COMPRESSIONS.get(compression, f"method {compression}")
    if packed not in ("none", "gzip"):
        raise ConfigError(f"{name}: a uImage compressed by {packed}; make it with gzip, or without compression")
    raw = bytes(content) if packed == "none" or kind == _RAMDISK else decompress(name, packed, content, size_max)
    return UImage(raw, None if kind == _KERNEL_NOLOAD else load, entry)
