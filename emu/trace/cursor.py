"""Cursors: a place in a trace that moves forward as items and outputs are taken, and can be put anywhere.

A replay holds one of each kind. Where they are is a plain value (``tell``), to which they can be put back (``seek``),
also one of another cursor on the same trace.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from minstret.emu.trace.format import Item, Output
from minstret.emu.trace.reader import TraceReader

_AHEAD_ROWS_MAX, _AHEAD_BYTES_MAX = 1000, 1 << 20
"""Limits on what is read of other streams to find the next output of one: outputs, and bytes. One more may be read."""


class ItemCursor:
    """The next item of a trace, and those behind it as far as they were looked at."""

    def __init__(self, reader: TraceReader, seq: int = 0) -> None:
        """Stand before item ``seq``."""
        self._reader = reader
        self.seek(seq)

    def tell(self) -> int:
        """The number of the next item."""
        return self._seq

    def seek(self, seq: int) -> None:
        """Stand before item ``seq``."""
        self._seq = seq
        self._items = self._reader.items(seq)
        self._ahead: deque[Item] = deque()

    @property
    def next(self) -> Item | None:
        """The next item; None at the trace's end."""
        if not self._ahead:
            self._read()
        return self._ahead[0] if self._ahead else None

    def take(self) -> Item:
        """Go past the next item. There must be one."""
        if not self._ahead:
            has_item = self._read()
            assert has_item, f"{self._reader.path}: no item {self._seq}"
        item = self._ahead.popleft()
        self._seq = item.seq + 1
        return item

    def ahead(self) -> Iterator[Item]:
        """The next item and all behind it, without going past them. Those that were looked at are kept in memory."""
        yield from tuple(self._ahead)
        while self._read():
            yield self._ahead[-1]

    def _read(self) -> bool:
        """Keep one item more; False at the trace's end."""
        item = next(self._items, None)
        if item is None:
            return False
        self._ahead.append(item)
        return True


class OutputPlace(NamedTuple):
    """Where a cursor is among the outputs."""

    unread: int
    """Id of the first output that was not read yet."""
    ahead: tuple[tuple[str, int, int], ...]
    """Of streams that have outputs which were read, but not all taken: name, id of the first of them, and how many of
    its bytes were taken."""


class OutputCursor:
    """The next bytes of each stream that the guest sends, in the order of the trace."""

    def __init__(self, reader: TraceReader, from_icount: int = 0) -> None:
        """Stand before the first output from ``from_icount`` on."""
        self._reader = reader
        self.seek(OutputPlace(reader.first_output(from_icount), ()))

    def tell(self) -> OutputPlace:
        """Where it is, to the byte."""
        ahead = [(stream, rows[0][0], self._taken.get(stream, 0)) for stream, rows in self._ahead.items() if rows]
        return OutputPlace(self._unread, tuple(sorted(ahead, key=lambda one: one[1])))

    def seek(self, place: OutputPlace) -> None:
        """Stand at a place that a cursor on this trace has told."""
        starts = {stream: first_id for stream, first_id, _ in place.ahead}
        self._taken = {stream: taken for stream, _, taken in place.ahead}
        self._ahead: dict[str, deque[tuple[int, bytes]]] = {}
        self._unread = min((*starts.values(), place.unread))
        self._rows = self._reader.numbered_outputs(self._unread)
        while self._unread < place.unread and (row := self._read()) is not None:
            number, output = row
            if number >= starts.get(output.stream, place.unread):
                self._keep(number, output)

    def next(self, stream: str, size: int) -> bytes | None:
        """What comes next on ``stream``: at most ``size`` bytes of one output. None where there is nothing more."""
        if not self._fetch(stream):
            return None
        start = self._taken.get(stream, 0)
        return self._ahead[stream][0][1][start : start + size]

    def take(self, stream: str, size: int) -> None:
        """Go past ``size`` bytes of what ``next`` has given; a message of no bytes is taken whole with 0."""
        rows = self._ahead[stream]
        taken = self._taken.get(stream, 0) + size
        assert taken <= len(rows[0][1]), (stream, taken)
        if taken == len(rows[0][1]):
            rows.popleft()
            taken = 0
        self._taken[stream] = taken

    def left(self) -> tuple[str, bytes] | None:
        """(stream, bytes) of the first output that was not taken, or not whole; None where there is none."""
        if not any(self._ahead.values()):
            row = self._read()
            if row is None:
                return None
            self._keep(*row)
        _, stream = min((rows[0][0], stream) for stream, rows in self._ahead.items() if rows)
        return stream, self._ahead[stream][0][1][self._taken.get(stream, 0) :]

    def _fetch(self, stream: str) -> bool:
        """Read on until there is something for ``stream``, up to a limit; False where nothing was found."""
        size = count = 0
        while not self._ahead.get(stream):
            row = self._read()
            if row is None:
                return False
            self._keep(*row)
            output = row[1]
            size, count = size + len(output.data), count + 1
            if output.stream != stream and (size > _AHEAD_BYTES_MAX or count > _AHEAD_ROWS_MAX):
                return False
        return True

    def _read(self) -> tuple[int, Output] | None:
        row = next(self._rows, None)
        if row is not None:
            self._unread = row[0] + 1
        return row

    def _keep(self, number: int, output: Output) -> None:
        self._ahead.setdefault(output.stream, deque()).append((number, output.data))
