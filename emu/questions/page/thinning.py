"""Many events in bounded memory: the first, the last, and some between, with how many were left out after each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

EDGE, MIDDLE = 2000, 4000
"""So many events are kept of the beginning and of the end, and between them."""
SPANS = 4000
"""So many spans are kept, before neighbours are taken together."""


class Thinned(Generic[T]):
    """Events as they come, of which ``2 * edge + middle`` are kept.

    Between the first and the last ones each 2^n-th is kept, n as small as it may be.

    Attributes:
        count: How many have come.
    """

    def __init__(self, edge: int = EDGE, middle: int = MIDDLE) -> None:
        """Keep ``edge`` on each side and up to ``middle`` between them, which may be 0."""
        assert edge > 0, edge
        assert middle == 0 or middle > 1, middle
        self._edge, self._middle_max = edge, middle
        self._first: list[T] = []
        self._middle: list[tuple[int, T]] = []
        self._last: deque[T] = deque()
        self._stride = 1
        self.count = 0

    def add(self, event: T) -> None:
        """One more."""
        self.count += 1
        if len(self._first) < self._edge:
            self._first.append(event)
            return
        self._last.append(event)
        if len(self._last) > self._edge:
            self._leave(self.count - 1 - self._edge, self._last.popleft())

    def _leave(self, index: int, event: T) -> None:
        """An event is no longer one of the last."""
        if index % self._stride or not self._middle_max:
            return
        self._middle.append((index, event))
        if len(self._middle) > self._middle_max:
            self._stride *= 2
            self._middle = [each for each in self._middle if each[0] % self._stride == 0]

    def kept(self) -> Iterator[tuple[T, int]]:
        """The events that are kept, in order, each with how many come between it and the next one that is."""
        first_of_last = self.count - len(self._last)
        indexed = [*enumerate(self._first), *self._middle, *enumerate(self._last, first_of_last)]
        for at, (index, event) in enumerate(indexed):
            after = indexed[at + 1][0] if at + 1 < len(indexed) else self.count
            yield event, after - index - 1


class Span(NamedTuple):
    """From here to the next span something was on for so long: for all of it, or not at all, unless ``more``.

    Attributes:
        icount, virtual_ns: Where it begins.
        on_icount, on_ns: For how many instructions, and how many ns, it was on.
        more: How many spans are in this one besides the first.
        serial: In which order spans and events came.
    """

    icount: int
    virtual_ns: int
    on_icount: int
    on_ns: int
    more: int
    serial: int


class Spans:
    """When something was on and when it was off. Where there are too many spans, each two neighbours become one.

    Attributes:
        turns: How often it has changed.
    """

    def __init__(self, limit: int = SPANS) -> None:
        """Keep up to ``limit`` spans."""
        self._limit = limit
        self._done: list[Span] = []
        self._open: tuple[int, int, bool, int] | None = None
        self.turns = 0

    def turn(self, icount: int, virtual_ns: int, is_on: bool, serial: int) -> None:
        """From here on it is on, or off."""
        if self._open is not None and self._open[2] == is_on:
            return
        self._close(icount, virtual_ns)
        self.turns += 1
        self._open = icount, virtual_ns, is_on, serial

    def _close(self, icount: int, virtual_ns: int) -> None:
        """End the span that is open; one without any length is none."""
        if self._open is None:
            return
        from_icount, from_ns, is_on, serial = self._open
        insns, ns = icount - from_icount, virtual_ns - from_ns
        if insns or ns:
            self._done.append(Span(from_icount, from_ns, insns * is_on, ns * is_on, 0, serial))
            if len(self._done) > self._limit:
                self._halve()

    def _halve(self) -> None:
        pairs = zip(self._done[::2], self._done[1::2], strict=False)
        rest = self._done[-1:] if len(self._done) % 2 else []
        self._done = [_together(first, second) for first, second in pairs] + rest

    def kept(self, icount: int, virtual_ns: int) -> list[Span]:
        """All spans up to a place, which is the end."""
        self._close(icount, virtual_ns)
        self._open = None
        return self._done


def _together(first: Span, second: Span) -> Span:
    return first._replace(
        on_icount=first.on_icount + second.on_icount, on_ns=first.on_ns + second.on_ns,
        more=first.more + second.more + 1,
    )  # fmt: skip
