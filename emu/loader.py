"""Firmware files: ELF executables and raw binaries, as segments to put into memory."""

from __future__ import annotations

import sys
import zlib
from bisect import bisect_right
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from minstret.emu.errors import ConfigError
from minstret.emu.units import GIB

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

_ELF_MAGIC = b"\x7fELF"
_GZIP_MAGIC = b"\x1f\x8b\x08"
_PACKED_MAGICS = {b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\x02\x21\x4c\x18": "lz4"}
_UNPACKED_SIZE_MAX = GIB
_LINUX_MAGIC_AT, _LINUX_MAGIC = 0x38, b"RSC\x05"


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file to boot from, read."""

    name: str
    data: bytes


def read_image(path: str | Path) -> ImageFile:
    """Read a file.

    Raises:
        ConfigError: it can't be read.
    """
    try:
        return ImageFile(str(path), Path(path).read_bytes())
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder; give a file") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None


def unpack_kernel(file: ImageFile) -> ImageFile:
    """A kernel as it runs: unpacked, if it is an Image.gz or an EFI one that unpacks itself (zboot).

    Raises:
        ConfigError: it is damaged, or compressed in a way that is not known here.
    Source: Linux arch/riscv/boot, drivers/firmware/efi/libstub/zboot-header.S.
    """
    data = file.data
    if data[:2] == b"MZ" and data[4:8] == b"zimg":
        start, size = (int.from_bytes(data[at : at + 4], "little") for at in (8, 12))
        kind = data[24:32].split(b"\0")[0].decode("ascii", "replace")
        data = data[start : start + size]
        if kind not in ("gzip", "zstd"):
            raise ConfigError(f"{file.name}: an EFI kernel compressed by {kind!r}; unpack it first, to an Image")
    elif data.startswith(_GZIP_MAGIC):
        kind = "gzip"
    else:
        for magic, name in _PACKED_MAGICS.items():
            if data.startswith(magic):
                raise ConfigError(f"{file.name}: a kernel compressed by {name}; unpack it first, to an Image")
        return file
    return ImageFile(file.name, _unpack(file.name, kind, data))


def _unpack(name: str, kind: str, data: bytes) -> bytes:
    if sys.version_info >= (3, 14):  # takes a while, and few kernels are compressed
        from compression import zstd
    else:
        from backports import zstd

    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16) if kind == "gzip" else zstd.ZstdDecompressor()
    try:
        unpacked = bytes(unpacker.decompress(data, _UNPACKED_SIZE_MAX + 1))
    except (zlib.error, zstd.ZstdError) as error:
        raise ConfigError(f"{name}: a damaged compressed kernel: {error}") from None
    if len(unpacked) > _UNPACKED_SIZE_MAX:
        raise ConfigError(f"{name}: a compressed kernel of more than 1 GiB")
    if not unpacker.eof:
        raise ConfigError(f"{name}: a damaged compressed kernel: it is cut short")
    return unpacked


def _size_in_memory(data: bytes) -> int:
    """What a raw image takes: the header of a Linux Image says how much, its zeros included.

    Source: Linux Documentation/arch/riscv/boot-image-header.rst.
    """
    if data[_LINUX_MAGIC_AT : _LINUX_MAGIC_AT + 4] != _LINUX_MAGIC:
        return len(data)
    return max(len(data), int.from_bytes(data[0x10:0x18], "little"))


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes at a physical address; ``size`` beyond the data is zeros."""

    address: int
    data: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name for ``[address, address + size)``."""

    address: int
    size: int
    name: str


@dataclass(frozen=True, slots=True)
class SymbolTable:
    """Symbols by address."""

    symbols: tuple[Symbol, ...] = ()
    addresses: tuple[int, ...] = ()

    @classmethod
    def of(cls, symbols: list[Symbol]) -> SymbolTable:
        ordered = sorted(symbols, key=lambda s: (s.address, s.size, s.name))
        return cls(tuple(ordered), tuple(s.address for s in ordered))

    def describe(self, address: int) -> str:
        """``name+0x12`` for an address within a known function or object, else ````."""
        index = bisect_right(self.addresses, address) - 1
        while index >= 0 and self.symbols[index].address == self.symbols[max(index - 1, 0)].address and index:
            if self.symbols[index].size:
                break
            index -= 1
        if index < 0:
            return ""
        symbol = self.symbols[index]
        distance = address - symbol.address
        if symbol.size and distance >= symbol.size:
            return ""
        return symbol.name + (f"+{distance:#x}" if distance else "")

    def with_others(self, other: Firmware | None) -> SymbolTable:
        """This table with another file's symbols added."""
        return self if other is None else SymbolTable.of([*self.symbols, *other.symbols.symbols])

    def find(self, name: str) -> Symbol | None:
        return next((symbol for symbol in self.symbols if symbol.name == name), None)


@dataclass(frozen=True, slots=True)
class Firmware:
    """What to load and where to start. ``xlen`` is None where the file doesn't tell, ``file`` where there was none."""

    name: str
    xlen: int | None
    entry: int
    segments: tuple[Segment, ...]
    symbols: SymbolTable = field(default_factory=SymbolTable)
    tohost: int | None = None
    file: ImageFile | None = field(default=None, compare=False)


def load_firmware(source: str | Path | ImageFile, raw_base: int) -> Firmware:
    """Read an ELF executable, or take any other file as a raw binary for ``raw_base``.

    Raises:
        ConfigError: no such file, not a RISC-V executable, or a damaged ELF file.
    """
    file = source if isinstance(source, ImageFile) else read_image(source)
    if not file.data:
        raise ConfigError(f"{file.name}: the file is empty")
    if not file.data.startswith(_ELF_MAGIC):
        size = _size_in_memory(file.data)
        return Firmware(file.name, None, raw_base, (Segment(raw_base, file.data, size),), file=file)
    try:
        return _load_elf(file)
    except ConfigError:
        raise
    except Exception as error:  # pyelftools trusts what it reads: a damaged file can raise anything
        raise ConfigError(f"{file.name}: a damaged ELF file: {error}") from None


def _load_elf(file: ImageFile) -> Firmware:
    from elftools.elf.elffile import ELFFile  # takes a while, and raw binaries need none of it

    name, elf = file.name, ELFFile(BytesIO(file.data))
    if elf["e_machine"] != "EM_RISCV":
        raise ConfigError(f"{name}: not for RISC-V but for {elf.get_machine_arch()}")
    if elf["e_type"] not in ("ET_EXEC", "ET_DYN"):
        raise ConfigError(f"{name}: not an executable ({elf['e_type']}): link it first")
    if not elf.little_endian:
        raise ConfigError(f"{name}: big-endian; minstret is little-endian")
    segments = []
    for header in elf.iter_segments("PT_LOAD"):
        if header["p_memsz"]:
            content = header.data()
            if len(content) != header["p_filesz"]:
                raise ConfigError(f"{name}: a damaged ELF file: the segment at {header['p_paddr']:#x} is cut short")
            if len(content) > header["p_memsz"]:
                raise ConfigError(
                    f"{name}: a damaged ELF file: the segment at {header['p_paddr']:#x} is longer than its memory"
                )
            segments.append(Segment(header["p_paddr"], content, header["p_memsz"]))
    if not segments:
        raise ConfigError(f"{name}: nothing to load in it (no PT_LOAD segment)")
    symbols = _symbols(elf)
    tohost = symbols.find("tohost")
    entry = _physical_entry(elf)
    return Firmware(name, elf.elfclass, entry, tuple(segments), symbols, tohost.address if tohost else None, file)


def _physical_entry(elf: ELFFile) -> int:
    entry: int = elf["e_entry"]
    for header in elf.iter_segments("PT_LOAD"):
        if header["p_vaddr"] <= entry < header["p_vaddr"] + header["p_memsz"]:
            return int(entry - header["p_vaddr"] + header["p_paddr"])
    return entry


def _symbols(elf: ELFFile) -> SymbolTable:
    from elftools.elf.sections import SymbolTableSection

    found = []
    for section in elf.iter_sections():
        if isinstance(section, SymbolTableSection):
            for symbol in section.iter_symbols():
                kind, defined = symbol["st_info"]["type"], symbol["st_shndx"] != "SHN_UNDEF"
                if symbol.name and defined and kind in ("STT_FUNC", "STT_OBJECT", "STT_NOTYPE"):
                    if not symbol.name.startswith(("$", ".L")):  # mapping symbols and local labels
                        found.append(Symbol(symbol["st_value"], symbol["st_size"], symbol.name))
    return SymbolTable.of(found)
