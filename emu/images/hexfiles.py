"""Reads images that are text: Intel hex and Motorola S-records. Every line has a checksum.

Written here because the usual libraries keep an entry for each byte: a hundred bytes of memory for a byte of the image.
Sources: Intel, Hexadecimal Object File Format Specification, revision A (1988); Motorola, M68000 Family Programmer's
Reference Manual, appendix C (S-record output format).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from minstret.emu.errors import ConfigError
from minstret.emu.files import size_text
from minstret.emu.images.image import Firmware, ImageFile, Segment
from minstret.emu.units import MIB

_INTEL_HEAD = re.compile(rb"\s*:[0-9A-Fa-f]{10}")
_S_RECORD_HEAD = re.compile(rb"\s*S[0-9][0-9A-Fa-f]{8}")
_TEXT_SIZE_MAX = 64 * MIB
_RUNS_MAX = 10_000
_LINE_MAX = 1024


def is_intel_hex(data: bytes) -> bool:
    return _INTEL_HEAD.match(data, 0, 64) is not None


def is_s_records(data: bytes) -> bool:
    return _S_RECORD_HEAD.match(data, 0, 64) is not None


def check_size(name: str, size: int) -> None:
    """Raise ConfigError if a text file is too large."""
    if size > _TEXT_SIZE_MAX:
        raise ConfigError(f"{name}: more than {size_text(_TEXT_SIZE_MAX)} of text; give an ELF file instead")


class _Runs:
    """Collects bytes by address, and joins those that follow each other directly."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._runs: list[tuple[int, bytearray]] = []
        self._next = -1

    def add(self, address: int, data: bytes) -> None:
        if address != self._next:
            if len(self._runs) == _RUNS_MAX:
                raise ConfigError(f"{self._name}: more than {_RUNS_MAX:,} separate pieces; give an ELF file instead")
            self._runs.append((address, bytearray()))
        self._runs[-1][1].extend(data)
        self._next = address + len(data)

    def firmware(self, file: ImageFile, entry: int | None) -> Firmware:
        segments = tuple(Segment(address, bytes(data), len(data)) for address, data in self._runs if data)
        if not segments:
            raise ConfigError(f"{file.name}: it contains no data")
        is_inside = any(segment.address <= (entry or 0) < segment.end for segment in segments)
        start = entry if entry is not None and is_inside else min(segment.address for segment in segments)
        return Firmware(file.name, None, start, segments, file=file)


def load_intel_hex(file: ImageFile) -> Firmware:
    """Read an Intel hex file. It starts at its start address, or else at the lowest address.

    Raises:
        ConfigError: a line is damaged, or the end is missing.
    """
    runs, base, entry = _Runs(file.name), 0, None
    for where, line in _lines(file):
        record = _record(where, line, ":")
        if len(record) < 5 or len(record) != record[0] + 5:
            raise ConfigError(f"{where}: {len(record)} bytes; its length field says otherwise")
        if sum(record) & 0xFF:
            raise ConfigError(_checksum_text(where, -sum(record[:-1]) & 0xFF, record[-1]))
        kind, address, data = record[3], int.from_bytes(record[1:3], "big"), record[4:-1]
        match kind, len(data):
            case 0, _:
                runs.add(base + address, data)
            case 1, 0:
                return runs.firmware(file, entry)
            case (2, 2) | (4, 2):
                base = int.from_bytes(data, "big") << (4 if kind == 2 else 16)
            case 3, 4:
                entry = (int.from_bytes(data[:2], "big") << 4) + int.from_bytes(data[2:], "big")
            case 5, 4:
                entry = int.from_bytes(data, "big")
            case _:
                raise ConfigError(f"{where}: unknown record of type {kind} with {len(data)} bytes of data")
    raise ConfigError(f"{file.name}: Intel hex, cut short: its last line, :00000001FF, is missing")


_ADDRESS_SIZE = {0: 2, 1: 2, 2: 3, 3: 4, 5: 2, 6: 3, 7: 4, 8: 3, 9: 2}
"""Bytes, by type of S-record: S1 to S3 are data, S5 and S6 count them, S7 to S9 end the file with a start address."""


def load_s_records(file: ImageFile) -> Firmware:
    """Read a file of S-records. It starts at the address in its last record, or else at the lowest address.

    Raises:
        ConfigError: a line is damaged, or the end is missing.
    """
    runs, count = _Runs(file.name), 0
    for where, line in _lines(file):
        record, kind = _record(where, line[:1] + line[2:], "S"), int(line[1:2]) if line[1:2].isdigit() else -1
        if kind not in _ADDRESS_SIZE:
            raise ConfigError(f"{where}: expected an S-record, S0 to S9, got {line[:2].decode(errors='replace')!r}")
        address_end = 1 + _ADDRESS_SIZE[kind]
        if len(record) < address_end + 1 or len(record) != record[0] + 1:
            raise ConfigError(f"{where}: {len(record)} bytes; its length field says otherwise")
        if sum(record) & 0xFF != 0xFF:
            raise ConfigError(_checksum_text(where, ~sum(record[:-1]) & 0xFF, record[-1]))
        address = int.from_bytes(record[1:address_end], "big")
        if kind in (1, 2, 3):
            runs.add(address, record[address_end:-1])
            count += 1
        elif kind in (5, 6) and address != count & (1 << 8 * _ADDRESS_SIZE[kind]) - 1:
            raise ConfigError(f"{where}: expected {address:,} lines of data before it, got {count:,}")
        elif kind in (7, 8, 9):
            return runs.firmware(file, address)
    raise ConfigError(f"{file.name}: S-records, cut short: the last line, S7, S8 or S9, is missing")


def _lines(file: ImageFile) -> Iterator[tuple[str, bytes]]:
    """The lines that are not blank, each with its place, ``NAME:LINE``."""
    data = file.data
    check_size(file.name, len(data))
    at = number = 0
    while at < len(data):
        number += 1
        end = data.find(b"\n", at, at + _LINE_MAX)
        if end < 0:
            end = min(len(data), at + _LINE_MAX)
        if line := data[at:end].strip():
            yield f"{file.name}:{number}", line
        at = end + 1


def _record(where: str, line: bytes, mark: str) -> bytes:
    if line[:1] == mark.encode():
        try:
            return bytes.fromhex(line[1:].decode("ascii"))
        except ValueError:
            pass
    raise ConfigError(f"{where}: expected {mark!r} and pairs of hexadecimal digits")


def _checksum_text(where: str, expected: int, got: int) -> str:
    return f"{where}: the checksum is wrong: expected 0x{expected:02x}, got 0x{got:02x}"
