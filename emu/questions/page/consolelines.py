"""The console as lines with the place at which each began: what the guest wrote, and what was typed.

What comes is anybody's bytes. What leaves here is text without a character that a browser, a terminal or a printer
would obey.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from minstret.emu.text import printable

LINE_MAX = 2000
"""Characters of a line that are shown; what is longer is cut."""
_SGR = re.compile(r"\x1b\[[0-9;]*m")
"""Colours: they say nothing that the text does not."""
_PICTURES = {code: 0x2400 + code for code in range(32) if code != 9} | {0x7F: 0x2421}
"""Control characters as they are drawn: U+2400 is the sign for NUL."""


class ConsoleLine(NamedTuple):
    """A line of the console.

    Attributes:
        icount, virtual_ns: Where its first byte went in or out.
        data: Its bytes, without the line end.
        size: How many there were; ``data`` has no more than LINE_MAX.
        is_typed: Whether it went to the guest.
        serial: In which order lines and events came.
    """

    icount: int
    virtual_ns: int
    data: bytes
    size: int
    is_typed: bool
    serial: int

    @property
    def text(self) -> str:
        """It as text: one line, safe to show."""
        text = shown(self.data)
        return f"{text}... {self.size:,} bytes" if self.size > len(self.data) else text


def shown(data: bytes) -> str:
    """Bytes of a console as text: control characters are signs, colours are gone, what is not UTF-8 is U+FFFD."""
    text = _SGR.sub("", data.decode(errors="replace")).rstrip("\r").translate(_PICTURES)
    return "\t".join(printable(part) for part in text.split("\t"))


class ConsoleLines:
    """Takes bytes as they come, gives lines as they end."""

    def __init__(self, on_line: Callable[[ConsoleLine], None]) -> None:
        """Call ``on_line`` with each line that is whole. What goes out and in may overlap."""
        self._on_line = on_line
        self._out, self._in = _OpenLine(False), _OpenLine(True)

    def wrote(self, icount: int, virtual_ns: int, data: bytes, serial: int) -> None:
        """The guest has sent bytes."""
        self._take(self._out, b"\n", icount, virtual_ns, data, serial)

    def took(self, icount: int, virtual_ns: int, data: bytes, serial: int) -> None:
        """The guest has got bytes."""
        self._take(self._in, b"\r\n", icount, virtual_ns, data, serial)

    def _take(self, line: _OpenLine, ends: bytes, icount: int, virtual_ns: int, data: bytes, serial: int) -> None:
        for byte in data:
            if line.size == 0:
                line.begin(icount, virtual_ns, serial)
            line.size += 1
            if byte in ends:
                self._end(line)
            elif len(line.data) < LINE_MAX:
                line.data.append(byte)

    def _end(self, line: _OpenLine) -> None:
        if line.size:
            self._on_line(
                ConsoleLine(line.icount, line.virtual_ns, bytes(line.data), line.size - 1, line.is_typed, line.serial)
            )
            line.end()

    def finish(self) -> None:
        """Nothing more comes: what has no line end is a line too, in order."""
        for line in sorted((self._out, self._in), key=lambda one: one.serial):
            line.size += 1 if line.size else 0
            self._end(line)


class _OpenLine:
    """A line that is being written."""

    def __init__(self, is_typed: bool) -> None:
        self.is_typed = is_typed
        self.begin(0, 0, 0)

    def begin(self, icount: int, virtual_ns: int, serial: int) -> None:
        self.icount, self.virtual_ns, self.serial = icount, virtual_ns, serial
        self.end()

    def end(self) -> None:
        self.data, self.size = bytearray(), 0
