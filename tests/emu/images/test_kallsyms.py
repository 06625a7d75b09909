"""Tables of kallsyms as a kernel has them, made here by the rules of scripts/kallsyms.c; a real one: test_linux.py."""

from __future__ import annotations

import struct

import pytest

from minstret.emu.images.image import Symbol
from minstret.emu.images.kallsyms import find_kallsyms

TOKENS = [chr(code) if 32 < code < 127 else "" for code in range(256)]
TOKENS[1], TOKENS[2], TOKENS[3] = "sys_", "read", "T__riscv_"
LONG = "x" * 300


def tables(xlen: int, base: int, *, is_old: bool = False, is_relative: bool = True, count: int = 1000) -> bytes:
    """A piece of .rodata with the tables of some symbols, 16 bytes from each other."""
    word, pad = xlen // 8, lambda data: data + bytes(-len(data) % (xlen // 8))
    names, markers = b"", b""
    for number in range(count):
        if number % 256 == 0:
            markers += struct.pack("<I", len(names))
        text = b"\3\1\2" if number == 0 else f"t{name_of(number)}".encode()
        length = len(text)
        names += (bytes([length]) if length < 128 else bytes([length & 127 | 128, length >> 7])) + text
    offsets = b"".join(
        struct.pack("<I", 16 * number) if is_relative else (base + 16 * number).to_bytes(word, "little")
        for number in range(count)
    )
    where = pad(offsets) + (base.to_bytes(word, "little") if is_relative else b"")
    table = b"".join(token.encode() + b"\0" for token in TOKENS)
    index, at = b"", 0
    for token in TOKENS:
        index += struct.pack("<H", at)
        at += len(token) + 1
    rest = pad(struct.pack("<I", count)) + pad(names) + pad(markers) + pad(table) + pad(index)
    return where + rest if is_old else rest + where


def name_of(number: int) -> str:
    return LONG if number == 500 else f"function_{number}"


@pytest.mark.parametrize("is_relative", [True, False], ids=["offsets", "addresses"])
@pytest.mark.parametrize("is_old", [True, False], ids=["old", "new"])
@pytest.mark.parametrize(
    ("xlen", "base"), [(64, 0xFFFF_FFFF_8000_0000), (64, 0xFFFF_FFFF_8123_0000), (32, 0xC000_0000)]
)
@pytest.mark.parametrize("count", [1, 255, 256, 257, 1000])
def test_symbols_are_found(xlen: int, base: int, is_old: bool, is_relative: bool, count: int) -> None:
    memory = bytes(12344) + tables(xlen, base, is_old=is_old, is_relative=is_relative, count=count) + bytes(5000)

    symbols = find_kallsyms(memoryview(memory), xlen)

    assert symbols[0] == Symbol(base, 0, "__riscv_sys_read")
    assert symbols[1:] == [Symbol(base + 16 * number, 0, name_of(number)) for number in range(1, count)]


def test_memory_without_a_kernel_has_none() -> None:
    digits = b"".join(b"%d\0" % digit for digit in range(10))

    assert find_kallsyms(memoryview(bytes(1 << 20)), 64) == []
    assert find_kallsyms(memoryview(digits * 1000), 64) == []
    assert find_kallsyms(memoryview(bytes(range(256)) * 10 + digits + bytes(100)), 64) == []


@pytest.mark.parametrize("at", [0, 8, 700, 15000, -2, -900])
def test_tables_that_do_not_agree_are_none_or_all(at: int) -> None:
    """A changed byte may be one of a name; otherwise what does not agree is no kallsyms."""
    data = bytearray(bytes(64) + tables(64, 0xFFFF_FFFF_8000_0000))
    data[64 + at if at >= 0 else at] ^= 0x55

    assert len(find_kallsyms(memoryview(bytes(data)), 64)) in (0, 1000)
