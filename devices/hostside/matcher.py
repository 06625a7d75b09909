"""Finds in what the guest sends to its console what somebody on the host side waits for.

A match is told behind the instruction that has sent its last character, before the next one: by a timer, which is
EXTERNAL, so a replay needs none of this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from minstret.emu.expect import SETTLE_NS, WINDOW, Expected, Search
from minstret.emu.timers import Timer, TimerAttribute, TimerList

_HEARD_MAX, _HEARD_KEPT = 4 * WINDOW, 2 * WINDOW
_MORE_MAX = 512
"""So much is gathered before it is put to what was heard, as that copies it."""


@dataclass(slots=True)
class ConsoleMatcherState:
    """The matcher's state.

    Attributes:
        heard, more: What the guest has sent since the last match, or the end of it, in two pieces.
        is_matching: Whether a match is looked for.
        found: The index of what was found, until the next ``start``.
    """

    heard: bytes = b""
    more: bytes = b""
    is_matching: bool = False
    found: int | None = None


class ConsoleMatcher:
    """Looks for the first match of some expectations, in what was sent since the match before."""

    def __init__(
        self, name: str, timers: TimerList, wanted: Callable[[], Sequence[Expected]], on_match: Callable[[int], None]
    ) -> None:
        """Make a matcher that keeps what it hears.

        Args:
            name: The name of its timer.
            timers: The timer list of the virtual clock.
            wanted: What to look for now. Of several that match at the same character the first one counts.
            on_match: Called with the index of what was found, between two instructions.
        """
        self.state = ConsoleMatcherState()
        self._timers = timers
        self._wanted, self._on_match = wanted, on_match
        self._timer = Timer(name, timers, self._on_timer, TimerAttribute.EXTERNAL)
        self._searches: list[Search] = []
        self._searches_for: ConsoleMatcherState | None = None
        """The state that the searches are made from; another one was loaded."""

    def start(self) -> None:
        """Look for what is wanted from now on, in what was heard before too."""
        self.state.is_matching, self.state.found = True, None
        self._make_searches()
        self._await_more()

    def stop(self) -> None:
        """Look for nothing."""
        self.state.is_matching = False
        self._timer.cancel()

    def hear(self, data: bytes) -> None:
        """The guest has sent ``data``."""
        state = self.state
        self._keep_searches()
        state.more += data
        if state.is_matching:
            self._look(data)
        if len(state.more) > _MORE_MAX:
            self._gather()
        self._await_more()

    @property
    def is_due(self) -> bool:
        """Whether a match will be told at a known time."""
        return self._timer.pending

    def settle(self) -> bool:
        """The guest sends no more: take a match that could have grown as it is. Whether there is one."""
        if self._timer.pending:
            self._timer.arm(self._timers.clock.now_ns())
        return self._timer.pending

    def _gather(self) -> None:
        """Put together what was heard; where that is too long, keep the end of it, and begin there."""
        state = self.state
        state.heard, state.more = state.heard + state.more, b""
        if len(state.heard) > _HEARD_MAX:
            state.heard = state.heard[-_HEARD_KEPT:]
            self._searches_for = None
            self._keep_searches()

    # ---- looking

    def _keep_searches(self) -> None:
        """Have them as they were, where a state was loaded: all they know follows from what was heard."""
        if self.state.is_matching and self._searches_for is not self.state:
            self._make_searches()

    def _make_searches(self) -> None:
        self._searches = [Search(expected) for expected in self._wanted()]
        self._searches_for = self.state
        self._look(self.state.heard + self.state.more)

    def _look(self, data: bytes) -> None:
        """Look at what comes next of what was heard, character by character."""
        searches = self._searches
        for at in range(len(data)):
            for number, search in enumerate(searches):
                if search.feed(data[at : at + 1]) is not None:
                    self._found(number, search)
                    return

    def _found(self, number: int, search: Search) -> None:
        state = self.state
        state.is_matching, state.found = False, number
        state.heard, state.more = (state.heard + state.more)[search.used :], b""
        self._timer.arm(self._timers.clock.now_ns())

    def _await_more(self) -> None:
        """A match that may grow is taken when the guest was quiet for a while."""
        if self.state.is_matching and any(search.candidate is not None for search in self._searches):
            self._timer.arm(self._timers.clock.now_ns() + SETTLE_NS)

    def _on_timer(self, late_ns: int) -> None:
        if self.state.is_matching:
            self._take_candidate()
        if self.state.found is not None:
            self._timer.cancel()
            self._on_match(self.state.found)

    def _take_candidate(self) -> None:
        self._keep_searches()
        for number, search in enumerate(self._searches):
            if self.state.is_matching and search.settle() is not None:
                self._found(number, search)
