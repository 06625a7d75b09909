"""The console's bytes as lines, each with the time of its first character."""

from __future__ import annotations

from collections.abc import Callable

_LINE_MAX = 4096
"""Bytes: a longer line is several."""


class ConsoleLines:
    """Puts lines together. Their ends are not in them."""

    def __init__(self, on_line: Callable[[int, str], None]) -> None:
        """Make it; ``on_line`` is called with the time of a line, ns, and its text."""
        self._on_line = on_line
        self._begun = bytearray()
        self._at = 0

    def add(self, virtual_ns: int, data: bytes) -> None:
        """The guest has sent ``data``."""
        for byte in data:
            if not self._begun:
                self._at = virtual_ns
            self._begun.append(byte)
            if byte == ord("\n") or len(self._begun) >= _LINE_MAX:
                self.flush()

    def flush(self) -> None:
        """What there is of a line is one."""
        if self._begun:
            line, self._begun = self._begun, bytearray()
            self._on_line(self._at, line.decode(errors="replace").rstrip("\r\n"))
