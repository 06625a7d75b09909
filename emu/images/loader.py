"""Reads images of all kinds: segments to put into memory, and an entry point.

    ELF executables                    emu/images/elf.py
    U-Boot's legacy images (uImage)    emu/images/uimage.py
    Intel hex, S-records               emu/images/hexfiles.py
    compressed images                  emu/images/packed.py: any of these with gzip; EFI kernels that unpack themselves
    raw binaries                       everything else, except files that are clearly no image: emu/images/naming.py

Files, and the images that a trace contains, are read in the same way.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from minstret.emu.errors import ConfigError
from minstret.emu.files import read_file, size_text
from minstret.emu.images.image import Firmware, ImageFile, Segment, Symbol, SymbolTable
from minstret.emu.images.packed import is_packed, unpack
from minstret.emu.units import GIB

__all__ = ["Firmware", "ImageFile", "Segment", "Symbol", "SymbolTable", "load_firmware", "read_image"]

IMAGE_SIZE_MAX = GIB
"""Bytes: the limit for a file, and for what it unpacks to."""

_ELF_MAGIC = b"\x7fELF"
_LINUX_MAGIC_AT, _LINUX_MAGIC = 0x38, b"RSC\x05"
_PACKINGS_MAX = 2
"""How often an image may be compressed: an EFI kernel in a gzip file is compressed twice."""


def read_image(path: str | Path, ram_size: int = IMAGE_SIZE_MAX) -> ImageFile:
    """Read a file to boot from.

    Args:
        path: The file.
        ram_size: Bytes. A larger file is refused, unless it is an ELF file.
    Raises:
        ConfigError: it can't be read, is not a regular file, or is too large.
    """
    name = str(path)
    return ImageFile(name, read_file(path, IMAGE_SIZE_MAX, lambda size, head: check_size(name, size, head, ram_size)))


def check_size(name: str, size: int, head: bytes, ram_size: int) -> None:
    """Raise ConfigError if an image that begins with ``head`` is too large.

    An ELF file may be larger than RAM, as most of it may be debug information.
    """
    if head.startswith(_ELF_MAGIC):
        return
    from minstret.emu.images import hexfiles, uimage  # imported here: ELF files, the usual case, don't need them
    from minstret.emu.images.naming import misfit

    if hexfiles.is_intel_hex(head) or hexfiles.is_s_records(head):
        hexfiles.check_size(name, size)
    elif size > ram_size:
        what = None if is_packed(head) or head.startswith(uimage.MAGIC) else misfit(name, head)
        raise ConfigError(f"{name}: {what or f'larger than RAM ({size_text(ram_size)}); give more --memory'}")


def load_firmware(source: str | Path | ImageFile, raw_base: int | None, size_max: int = IMAGE_SIZE_MAX) -> Firmware:
    """Read an image of any kind. A file of no known kind is a raw binary.

    Args:
        source: The file.
        raw_base: The address for raw binaries; None refuses them.
        size_max: Bytes that a compressed image may unpack to: the size of RAM, if that is known.
    Raises:
        ConfigError: no such file, not for RISC-V, not an executable, or damaged; the text begins with the file's name.
    """
    file = source if isinstance(source, ImageFile) else read_image(source)
    if not file.data:
        raise ConfigError(f"{file.name}: the file is empty")
    size_max = min(size_max, IMAGE_SIZE_MAX)
    return replace(_load(_unpacked(file, size_max), raw_base, size_max), file=file)


def _unpacked(file: ImageFile, size_max: int) -> ImageFile:
    for _ in range(_PACKINGS_MAX + 1):
        packed, file = file, unpack(file, size_max)
        if file is packed:
            return file
    raise ConfigError(f"{file.name}: compressed more than {_PACKINGS_MAX} times over; unpack it first")


def _load(file: ImageFile, raw_base: int | None, size_max: int) -> Firmware:
    data = file.data
    if data.startswith(_ELF_MAGIC):
        from minstret.emu.images.elf import load_elf  # imported here: it takes a while, and only ELF files need it

        return load_elf(file)
    from minstret.emu.images import hexfiles, uimage
    from minstret.emu.images.naming import misfit

    if data.startswith(uimage.MAGIC):
        image = uimage.read_uimage(file, size_max)
        if image.load is None:
            return _load_raw(file.name, image.content, raw_base)
        return replace(_load_raw(file.name, image.content, image.load), entry=image.entry)
    if hexfiles.is_intel_hex(data):
        return hexfiles.load_intel_hex(file)
    if hexfiles.is_s_records(data):
        return hexfiles.load_s_records(file)
    if (what := misfit(file.name, data)) is not None:
        raise ConfigError(f"{file.name}: {what}")
    return _load_raw(file.name, data, raw_base)


def _load_raw(name: str, data: bytes, base: int | None) -> Firmware:
    if base is None:
        raise ConfigError(f"{name}: a raw binary has no address of its own; write {name}@ADDRESS")
    return Firmware(name, None, base, (Segment(base, data, _size_in_memory(data)),))


def _size_in_memory(data: bytes) -> int:
    """Bytes that a raw image needs in memory. The header of a Linux Image says how many, including its zeros.

    Source: Linux Documentation/arch/riscv/boot-image-header.rst.
    """
    if data[_LINUX_MAGIC_AT : _LINUX_MAGIC_AT + 4] != _LINUX_MAGIC:
        return len(data)
    return max(len(data), int.from_bytes(data[0x10:0x18], "little"))
