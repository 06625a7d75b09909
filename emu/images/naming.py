"""Recognizes files that are not images, so that the error can say what a file is and what to do."""

from __future__ import annotations

import re
from pathlib import PurePath

_SQLITE_MAGIC, _TRACE_ID_AT, _TRACE_ID = b"SQLite format 3\0", 68, b"MSTR"
_MAGICS = {
    b"!<arch>\n": "a library of object files; link it first",
    b"BC\xc0\xde": "LLVM bitcode; compile and link it first",
    b"\xd0\x0d\xfe\xed": "a device tree or a FIT image, not an image that can be started",
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"070701": "a cpio archive: a RAM disk is given by --initrd",
}
_TAR_MAGIC_AT, _TAR_MAGIC = 257, b"ustar"

_BUILD_IT = "build it first (firmware/README.md shows how)"
_SOURCES = {
    ".c": "C source", ".h": "a C header", ".cc": "C++ source", ".cpp": "C++ source", ".cxx": "C++ source",
    ".s": "assembly source", ".asm": "assembly source", ".rs": "Rust source", ".zig": "Zig source",
}  # fmt: skip
_C_LINE = re.compile(r"^[ \t]*#[ \t]*include\b|^\w[\w \t*]{0,80}\bmain[ \t]*\(", re.MULTILINE)
_ASSEMBLY_LINE = re.compile(r"^[ \t]*\.(globa?l|section|text|align|option)\b", re.MULTILINE)
"""The patterns match blanks but not line ends, and a bounded number of characters: otherwise a search could take time
quadratic in the file's size."""
_HEAD_SIZE = 64 * 1024
_UTF8_CHAR_MAX = 4
_BLANKS = "\t\n\r\f\v"


def misfit(name: str, data: bytes) -> str | None:
    """What a file is that is not an image, and what to do; None if it may be a raw binary."""
    if data.startswith(_SQLITE_MAGIC):
        if data[_TRACE_ID_AT : _TRACE_ID_AT + len(_TRACE_ID)] == _TRACE_ID:
            return f"this is a recording: `minstret replay {name}`"
        return "an SQLite database, not an image"
    for magic, text in _MAGICS.items():
        if data.startswith(magic):
            return text
    if data[_TAR_MAGIC_AT : _TAR_MAGIC_AT + len(_TAR_MAGIC)] == _TAR_MAGIC:
        return "a tar archive; unpack it first"
    text_head = _text(data[:_HEAD_SIZE], is_whole=len(data) <= _HEAD_SIZE)
    return None if text_head is None else _text_kind(name, text_head)


def _text(head: bytes, is_whole: bool) -> str | None:
    """``head`` as text, if it is text of at least one line; else None."""
    if b"\n" not in head or b"\0" in head:
        return None
    for cut in range(1 if is_whole else _UTF8_CHAR_MAX):  # the end may be in the middle of a character
        try:
            text = head[: len(head) - cut].decode()
        except UnicodeDecodeError:
            continue
        return text if text.translate(dict.fromkeys(map(ord, _BLANKS))).isprintable() else None
    return None


def _text_kind(name: str, text: str) -> str:
    kind = _SOURCES.get(PurePath(name).suffix.lower())
    if kind is None and text.startswith("#!"):
        return "a script, not an image"
    if kind is None and _C_LINE.search(text):
        kind = "C source"
    if kind is None and _ASSEMBLY_LINE.search(text):
        kind = "assembly source"
    if kind is not None:
        return f"{kind}, not an image; {_BUILD_IT}"
    return "text, not an image; give an ELF file, a raw binary, Intel hex or S-records"
