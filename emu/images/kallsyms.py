"""The symbols that Linux keeps of itself, ``/proc/kallsyms``, found in memory.

The tables have no marks of their own. They are found by the one of tokens, in which the digits follow each other, and
by what must agree: the index of tokens, and the markers, which give the place of each 256th name. Their order, each
aligned to the size of a pointer (Source: Linux scripts/kallsyms.c, kernel/kallsyms.c, from version 4.20 on; 6.2 and 6.3
have another table between two of these, and are not read):

    up to 6.1   offsets, relative_base, num_syms, names, markers, token_table, token_index
    since 6.4   num_syms, names, markers, token_table, token_index, offsets, relative_base

A kernel without CONFIG_KALLSYMS_BASE_RELATIVE has addresses in place of offsets and their base.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from minstret.emu.images.image import Symbol
from minstret.emu.images.systemmap import symbol_of

_DIGITS = b"".join(b"%d\0" % digit for digit in range(10))
_TOKENS, _TOKEN_TABLE_MAX = 256, 1 << 14
_DIGIT_0 = ord("0")
_SYMS_OF_A_MARKER = 256
_LOOK_SIZE = 1 << 24
_MARKERS_BYTES_MAX, _MARKER_STEP_MAX = 1 << 17, _SYMS_OF_A_MARKER * 513


class _Names(NamedTuple):
    """Where the names are.

    Attributes:
        num_syms: How many.
        at: Of num_syms, from the beginning of memory, bytes.
        names: Of kallsyms_names.
    """

    num_syms: int
    at: int
    names: int


def find_kallsyms(memory: memoryview, xlen: int) -> list[Symbol]:
    """The symbols of a kernel that is in ``memory``, at the virtual addresses at which it runs; none if there is none.

    Args:
        memory: RAM, or an image of the kernel, in which addresses may be those before it was relocated.
        xlen: 32 or 64.
    """
    for at in _candidates(memory):
        found = _read(memory, at, xlen // 8)
        if found:
            return found
    return []


def _candidates(memory: memoryview) -> Iterator[int]:
    """Where a table of tokens may begin."""
    for begin in range(0, len(memory), _LOOK_SIZE):
        piece = bytes(memory[begin : begin + _LOOK_SIZE + len(_DIGITS)])
        at = piece.find(_DIGITS)
        while at >= 0:
            yield from _begins_of_tokens(memory, begin + at)
            at = piece.find(_DIGITS, at + 1)


def _begins_of_tokens(memory: memoryview, digits: int) -> Iterator[int]:
    """Where the table begins in which the token of 0 is at ``digits``: 48 tokens before it."""
    low = max(0, digits - _TOKEN_TABLE_MAX)
    before = bytes(memory[low:digits])
    at = len(before)
    for _ in range(_DIGIT_0):
        at = before.rfind(b"\0", 0, at - 1) + 1
        if at <= 0:
            return
    yield from (low + begin for begin in range(at, max(at - 8, -1), -1) if not any(before[begin:at]))


def _read(memory: memoryview, token_table: int, word: int) -> list[Symbol]:
    raw = bytes(memory[token_table : token_table + _TOKEN_TABLE_MAX])
    tokens = raw.split(b"\0", _TOKENS)[:_TOKENS]
    if len(tokens) < _TOKENS:
        return []
    index = [0]
    for token in tokens[:-1]:
        index.append(index[-1] + len(token) + 1)
    wanted = struct.pack(f"<{_TOKENS}H", *index) if index[-1] < 1 << 16 else b""
    token_index = _aligned(token_table + index[-1] + len(tokens[-1]) + 1, word)
    if not wanted or memory[token_index : token_index + len(wanted)] != wanted:
        return []
    names = _find_names(memory, token_table, word)
    if names is None:
        return []
    addresses = _addresses(memory, names, token_index + len(wanted), word)
    return [] if addresses is None else list(_symbols(memory, names, tokens, addresses))


def _aligned(at: int, size: int) -> int:
    return -(-at // size) * size


# ---- names


def _find_names(memory: memoryview, token_table: int, word: int) -> _Names | None:
    """Find the names by their markers, which end before the table of tokens."""
    words = memoryview(bytes(memory[max(0, token_table % 4, token_table - _MARKERS_BYTES_MAX) : token_table])).cast("I")
    end = len(words) - 1
    while words[end] == 0 and end > len(words) - word // 4:
        end -= 1  # padding
    begin = end
    while begin > 0 and words[begin - 1] < words[begin] <= words[begin - 1] + _MARKER_STEP_MAX:
        begin -= 1
    if words[begin] != 0:
        return None
    markers = list(words[begin : end + 1])
    return _names_before(memory, token_table - 4 * (len(words) - begin), markers, word)


def _names_before(memory: memoryview, end: int, markers: list[int], word: int) -> _Names | None:
    """Find num_syms, which the names follow: they go on for less than 256 of them after the last marker."""
    most = len(markers) * _SYMS_OF_A_MARKER
    latest = end - markers[-1]
    for names in range(_aligned(latest - word, word), max(word, latest - _MARKER_STEP_MAX), -word):
        num_syms = int.from_bytes(memory[names - word : names - word + 4], "little")
        if most - _SYMS_OF_A_MARKER < num_syms <= most and _fits(memory, names, num_syms, markers, end):
            return _Names(num_syms, names - word, names)
    return None


def _fits(memory: memoryview, names: int, num_syms: int, markers: list[int], end: int) -> bool:
    """Whether so many names are where the markers say."""
    at = names
    for number in range(num_syms):
        if number % _SYMS_OF_A_MARKER == 0 and markers[number // _SYMS_OF_A_MARKER] != at - names:
            return False
        length, at = _length(memory, at)
        at += length
        if at > end or not length:
            return False
    return True


def _length(memory: memoryview, at: int) -> tuple[int, int]:
    """The length of a name, in tokens, and where these begin. Long ones have it in two bytes, since 6.1."""
    length = memory[at]
    return (length & 0x7F | memory[at + 1] << 7, at + 2) if length & 0x80 else (length, at + 1)


def _symbols(
    memory: memoryview, names: _Names, tokens: list[bytes], addresses: Sequence[int]
) -> Iterator[Symbol]:  # fmt: skip
    at = names.names
    for address in addresses:
        length, at = _length(memory, at)
        text = b"".join([tokens[token] for token in memory[at : at + length]]).decode(errors="replace")
        at += length
        symbol = symbol_of(address, text[:1], text[1:])
        if symbol is not None:
            yield symbol


# ---- addresses


def _addresses(memory: memoryview, names: _Names, after: int, word: int) -> Sequence[int] | None:
    """The addresses of the symbols: after the tables or before them, as offsets from a base or as they are."""
    offsets_size = _aligned(4 * names.num_syms, word)
    new, old = _aligned(after, word), names.at - word - offsets_size
    for offsets, base_at in ((new, new + offsets_size), (old, names.at - word)):
        base = _word(memory, base_at, word)
        found = _array(memory, offsets, names.num_syms, 4)
        if found is None or found[0] or not _is_kernels(base, word) or base + found[-1] >> 8 * word:
            continue
        if _is_sorted(found):
            return [base + offset for offset in found]
    for addresses in (new, names.at - word * names.num_syms):
        found = _array(memory, addresses, names.num_syms, word)
        if found is not None and _is_sorted(found) and _is_kernels(found[-1], word):
            return found
    return None


def _word(memory: memoryview, at: int, word: int) -> int:
    return int.from_bytes(memory[at : at + word], "little") if at >= 0 else 0


def _array(memory: memoryview, at: int, count: int, size: int) -> list[int] | None:
    data = bytes(memory[at : at + count * size]) if at >= 0 else b""
    return None if len(data) != count * size else list(struct.unpack(f"<{count}{'I' if size == 4 else 'Q'}", data))


def _is_kernels(address: int, word: int) -> bool:
    """Whether an address is in the upper half, where the kernel is, of virtual memory."""
    return bool(address >> 8 * word - 1)


def _is_sorted(values: Sequence[int]) -> bool:
    return all(one <= other for one, other in pairwise(values))
