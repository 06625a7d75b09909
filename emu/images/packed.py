"""Unpacks compressed images, up to a given size."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from typing import Protocol

from minstret.emu.errors import ConfigError
from minstret.emu.files import size_text
from minstret.emu.images.image import ImageFile

_GZIP_MAGIC = b"\x1f\x8b\x08"
_OTHER_MAGICS = {b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\x02\x21\x4c\x18": "lz4"}
_PIECE_SIZE, _PACKED_PIECE_SIZE = 1 << 20, 1 << 16
_ZBOOT_HEADER_SIZE = 64


def is_packed(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is compressed."""
    return _is_zboot(head) or head.startswith((_GZIP_MAGIC, *_OTHER_MAGICS))


def _is_zboot(head: bytes) -> bool:
    return head[:2] == b"MZ" and head[4:8] == b"zimg" and len(head) >= _ZBOOT_HEADER_SIZE


def unpack(file: ImageFile, size_max: int) -> ImageFile:
    """Unpack an image that is compressed with gzip, or an EFI kernel that unpacks itself (zboot).

    Args:
        file: The image. One that is not compressed is returned as it is.
        size_max: Bytes it may unpack to.
    Raises:
        ConfigError: it is damaged, too large, or compressed with an unsupported method.
    Source: Linux arch/riscv/boot, drivers/firmware/efi/libstub/zboot-header.S.
    """
    data = file.data
    if _is_zboot(data):
        start, size = (int.from_bytes(data[at : at + 4], "little") for at in (8, 12))
        kind = data[24:32].split(b"\0")[0].decode("ascii", "replace")
        if kind not in ("gzip", "zstd"):
            raise ConfigError(f"{file.name}: an EFI kernel compressed by {kind!r}; unpack it first, to an Image")
        return ImageFile(file.name, decompress(file.name, kind, memoryview(data)[start : start + size], size_max))
    if data.startswith(_GZIP_MAGIC):
        return ImageFile(file.name, decompress(file.name, "gzip", memoryview(data), size_max))
    for magic, name in _OTHER_MAGICS.items():
        if data.startswith(magic):
            raise ConfigError(f"{file.name}: compressed by {name}; unpack it first")
    return file


def decompress(name: str, kind: str, data: memoryview, size_max: int) -> bytes:
    """Unpack ``data``, which is compressed with gzip or zstd (``kind``).

    Raises:
        ConfigError: it is damaged, or unpacks to more than ``size_max`` bytes.
    """
    if sys.version_info >= (3, 14):  # imported here: it takes a while, and few images are compressed
        from compression import zstd
    else:
        from backports import zstd

    pieces, size = [], 0
    try:
        for piece in _gunzip(data) if kind == "gzip" else _unzstd(data, zstd.ZstdDecompressor()):
            size += len(piece)
            if size > size_max:
                raise ConfigError(f"{name}: unpacks to more than {size_text(size_max)}; give more --memory")
            pieces.append(piece)
    except (zlib.error, zstd.ZstdError, EOFError) as error:
        raise ConfigError(f"{name}: a damaged compressed image: {error}") from None
    return b"".join(pieces)


def _gunzip(data: memoryview) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    for at in range(0, len(data), _PACKED_PIECE_SIZE):
        packed: bytes | memoryview = data[at : at + _PACKED_PIECE_SIZE]
        while packed and not unpacker.eof:
            yield unpacker.decompress(packed, _PIECE_SIZE)
            packed = unpacker.unconsumed_tail
        if unpacker.eof:
            return
    raise EOFError("it is cut short")


class _Unpacker(Protocol):
    """The interface of zstd's decompressor, which keeps the input that it has not used yet."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def _unzstd(data: memoryview, unpacker: _Unpacker) -> Iterator[bytes]:
    for at in range(0, len(data), _PACKED_PIECE_SIZE):
        packed = bytes(data[at : at + _PACKED_PIECE_SIZE])
        while not unpacker.eof:
            yield unpacker.decompress(packed, _PIECE_SIZE)
            packed = b""
            if unpacker.needs_input:
                break
        if unpacker.eof:
            return
    raise EOFError("it is cut short")
