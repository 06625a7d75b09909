"""``monitor why`` with a question: answered by a walk beside the monitor's own timeline, which stays where it is."""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from minstret.emu.errors import ConfigError
from minstret.emu.images.image import SymbolTable
from minstret.emu.past import TraceTimeline
from minstret.emu.timeline import Timeline
from minstret.emu.walk import Place

if TYPE_CHECKING:
    from minstret.emu.questions.why import Question

LINES_MAX = 1000
"""So many accesses are listed: the last ones."""


class WhyCommand:
    """Questions about the run that a timeline is of."""

    def __init__(
        self, timeline: Timeline, symbols: SymbolTable, beside: Callable[[], TraceTimeline] | None,
        go: Callable[[Timeline, str, str], object],
    ) -> None:  # fmt: skip
        """Ask where ``timeline`` stands.

        Args:
            timeline: It is not moved.
            symbols: Names of addresses.
            beside: Gives a walk of the recording so far, on a board of its own.
            go: Moves a timeline to a place in words, which come from an option.
        """
        self._timeline, self._symbols, self._beside, self._go = timeline, symbols, beside, go
        self._asked: TraceTimeline | None = None
        self._is_interrupted = False

    @property
    def is_asked(self) -> bool:
        """Whether a question is being answered."""
        return self._asked is not None

    def interrupt(self) -> None:
        """Let it end soon."""
        self._is_interrupted = True
        if self._asked is not None:
            self._asked.interrupt()

    def answer(self, text: str) -> list[str]:
        """Lines that answer what the options in ``text`` ask.

        Raises:
            ConfigError: that can't be asked.
        """
        question = _question(text)
        if self._beside is None:
            raise ConfigError("why: there is no recording here that could be asked")
        question.check_hart(len(self._timeline.board.harts))
        self._is_interrupted = False
        self._asked = walk = self._beside()
        walk.on_stride = self._look
        try:
            lines = self._lines(question, walk)
        except ConfigError:
            if not self._is_interrupted:  # else it did not come to where it would have looked
                raise
            lines = []
        finally:
            self._asked = None
        return ["interrupted on the way"] if self._is_interrupted else lines

    def _lines(self, question: Question, walk: TraceTimeline) -> list[str]:
        from minstret.emu.questions.told import Teller
        from minstret.emu.questions.why import answers

        notes = []
        if question.before is not None:
            self._go(walk, question.before, "--before")
        elif self._timeline.is_diverted:
            walk.seek(self._timeline.position.icount)
            notes.append(f"diverted: this is about the recording up to icount {walk.position.icount:,}, and not about"
                         " what was changed")  # fmt: skip
        else:
            walk.seek_place(Place.of(self._timeline.board.machine))
        teller = Teller(self._symbols, walk.board.hart.cpu, lambda icount: f"starti {icount}")
        found = answers(question, walk, walk.session.reader, self._symbols, teller)
        texts, count = deque[str](maxlen=LINES_MAX), 0
        for text in found:
            texts.append(text)
            count += 1
        if count > LINES_MAX:
            notes.append(f"the last {LINES_MAX:,} of {count:,}; the command minstret why lists all")
        return [*notes, *(line for text in texts for line in text.splitlines())]

    def _look(self) -> None:
        """Look at the client during a move, and pass on that it has interrupted: each move, as there may be several."""
        self._timeline.on_stride()
        if self._is_interrupted and self._asked is not None:
            self._asked.interrupt()


def _question(text: str) -> Question:
    from minstret.emu.questions.why import parse  # with what it needs 15 ms of a start, and seldom asked

    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"why: {str(error).lower()}") from None
    question = parse(words)
    if question.is_where:
        raise ConfigError("why: expected one of --write, --read, --reg and --trap besides; see help why")
    return question
