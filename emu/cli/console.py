"""The guest's console on standard output, and where its lines end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from minstret.emu.cli.say import say
from minstret.emu.errors import MinstretError
from minstret.emu.part import takes_pieces

_NEWLINE = 0x0A


class ConsoleOutput(Protocol):
    """Where the console goes: host.Output, or a character device."""

    is_ending: bool
    """Whether to write only what can be written without waiting."""

    def write(self, data: bytes) -> int:
        """Write as much as possible before the run must end. Returns the number of bytes written.

        Raises:
            OSError: it can't be written.
        """
        ...


class Console:
    """The guest's console on standard output. Writes whole lines; a partial line when the machine looks for input."""

    def __init__(self, output: ConsoleOutput) -> None:
        """Write to ``output``."""
        self.output = output
        self.failed: OSError | None = None
        """Why nothing can be written any more."""
        self._pending = bytearray()
        self.last_byte = _NEWLINE

    @takes_pieces
    def write(self, data: bytes) -> None:
        begun = data.rfind(b"\n") + 1
        if begun:
            self._pending += data[:begun]
            self.flush()
        self._pending += data[begun:]

    @property
    def has_pending(self) -> bool:
        """Whether something is to be written, or could not be."""
        return bool(self._pending) or self.failed is not None

    def flush(self) -> None:
        if not self._pending:
            return
        data, self._pending = bytes(self._pending), bytearray()
        if self.failed is not None:
            return
        try:
            written = self.output.write(data)
        except OSError as error:
            self.failed = error
            return
        self._pending = bytearray(data[written:]) + self._pending
        self.last_byte = data[written - 1] if written else self.last_byte

    @property
    def has_blank_line(self) -> bool:
        """Whether nothing of the guest's is shown on the last line: it has ended it, or what it began is held back."""
        return self.last_byte == _NEWLINE

    def end_line(self) -> None:
        """Begin a new line on standard error where the guest left one unfinished."""
        if self.last_byte != _NEWLINE:
            say("")

    def begin_line(self) -> None:
        """Write what there is, and end the line, so that another can be written to the same terminal or file."""
        self.flush()
        self.end_line()
        self.last_byte = _NEWLINE

    @contextmanager
    def line_ended_for_errors(self, is_quiet: bool) -> Iterator[None]:
        """Write what there is before an error is told, and but for --quiet give its message a line of its own."""
        try:
            yield
        except MinstretError:
            self.flush()
            if not is_quiet:
                self.end_line()
            raise
