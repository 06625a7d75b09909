"""The console as a cast of asciinema, version 2, in virtual time: ``asciinema play`` shows it.

What the guest sends within a millisecond up to the end of a line is one event. As at a terminal a line feed alone also
returns the carriage.
Source: https://docs.asciinema.org/manual/asciicast/v2/.
"""

from __future__ import annotations

import json
import re
from codecs import getincrementaldecoder
from collections.abc import Callable

from minstret.emu.door.door import Position
from minstret.emu.questions.exports.form import RunFacts, Write
from minstret.emu.questions.happenings import ConsoleIn, ConsoleOut, Ended, Happening, Reset
from minstret.emu.units import NS_PER_MS, NS_PER_S

_COLUMNS, _LINES = 80, 24
_TOGETHER_NS = NS_PER_MS
_TOGETHER_MAX = 4096
"""Bytes in one event; a character may be of more than one."""
_LINE_FEED = re.compile(r"(?<!\r)\n")

Event = Callable[[int, str, str], None]
"""Takes the time of an event, ns, its code and its text."""


class Asciicast:
    """Writes what the guest sent (``o``) and what was typed (``i``); resets and the end are markers (``m``)."""

    KINDS = frozenset({ConsoleOut, ConsoleIn, Reset, Ended})

    def __init__(self, run: RunFacts, write: Write) -> None:
        self._write, self._run = write, run
        self._at = run.start.virtual_ns
        self._out, self._in = _Pieces("o"), _Pieces("i")
        self._line({
            "version": 2, "width": _COLUMNS, "height": _LINES, "title": run.name, "env": {"TERM": "xterm-256color"},
        })  # fmt: skip

    def add(self, happening: Happening) -> None:
        at = happening.virtual_ns
        self._flush_before(at)
        if isinstance(happening, ConsoleOut):
            self._in.flush(self._event)
            self._out.add(at, happening.data, self._event)
        elif isinstance(happening, ConsoleIn):
            self._out.flush(self._event)
            self._in.add(at, happening.data, self._event)
        else:
            self._flush()
            self._event(at, "m", happening.text(self._run.symbols))

    def finish(self, position: Position) -> None:
        self._flush(is_end=True)

    def _flush_before(self, at: int) -> None:
        for pieces in (self._out, self._in):
            if at - pieces.at >= _TOGETHER_NS:
                pieces.flush(self._event)

    def _flush(self, *, is_end: bool = False) -> None:
        for pieces in (self._out, self._in):
            pieces.flush(self._event, is_end=is_end)

    def _event(self, at: int, code: str, text: str) -> None:
        self._at = max(at, self._at)  # what is left of a character at the end came before
        second, ns = divmod(self._at - self._run.start.virtual_ns, NS_PER_S)
        self._write(f"[{second}.{ns:09d}, {json.dumps(code)}, {json.dumps(text)}]\n".encode())

    def _line(self, value: object) -> None:
        self._write(f"{json.dumps(value)}\n".encode())


class _Pieces:
    """Bytes of one direction that will be one event; characters stay whole."""

    def __init__(self, code: str) -> None:
        self._code = code
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._pending = b""
        self._has_returned = False
        self.at = 0
        """When the first of them came, ns."""

    def add(self, at: int, data: bytes, event: Event) -> None:
        """More of them."""
        if not self._pending:
            self.at = at
        self._pending += data
        if data.endswith(b"\n") or len(self._pending) >= _TOGETHER_MAX:
            self.flush(event)

    def flush(self, event: Event, *, is_end: bool = False) -> None:
        """Have them be an event, if they are any."""
        text = self._decoder.decode(self._pending, is_end)
        self._pending = b""
        if text:
            event(self.at, self._code, self._returned(text) if self._code == "o" else text)

    def _returned(self, text: str) -> str:
        """With a carriage return before each line feed."""
        begin = "\n" if self._has_returned and text[0] == "\n" else ""
        self._has_returned = text[-1] == "\r"
        return begin + _LINE_FEED.sub("\r\n", text[len(begin) :])
