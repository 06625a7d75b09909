"""What ``minstret why`` and gdb's ``monitor why`` ask, checked; and the answers as text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from minstret.emu.errors import ConfigError
from minstret.emu.hart.watches import WatchKind
from minstret.emu.images.image import SymbolTable
from minstret.emu.past import TraceTimeline
from minstret.emu.questions.accesses import all_accesses, last_access
from minstret.emu.questions.registers import RegisterWrite, last_register_write
from minstret.emu.questions.targets import find_target
from minstret.emu.questions.told import Teller, target_facts
from minstret.emu.questions.traps import TrapCause, last_trap
from minstret.emu.text import printable
from minstret.emu.timeline import Why
from minstret.emu.trace.reader import TraceReader

_VALUES, _FLAGS = ("write", "read", "reg", "before", "hart"), ("trap", "all")
_OPTION = re.compile(r"--(?P<name>[a-z]+)(?:=(?P<value>.*))?", re.DOTALL)
OPTIONS = "--write WHAT, --read WHAT, --reg NAME, --trap, --all, --before PLACE and --hart N"


@dataclass(frozen=True, slots=True)
class Question:
    """One question, as the options of the same names put it.

    Attributes:
        before: Where to look back from, in words; None: where it ends, or where the asker stands.
        hart: Its id; None: the one that ran last.
        is_all: Of accesses each, and not just the last.

    Raises:
        ConfigError: such a thing can't be asked.
    """

    write: str | None = None
    read: str | None = None
    reg: str | None = None
    trap: bool = False
    before: str | None = None
    hart: int | None = None
    is_all: bool = False

    def __post_init__(self) -> None:
        asked = (("--write", self.write), ("--read", self.read), ("--reg", self.reg), ("--trap", self.trap or None))
        given = [option for option, value in asked if value is not None]
        if len(given) > 1:
            raise ConfigError(f"{given[1]}: can't be asked together with {given[0]}: ask twice")
        if self.is_all and self.write is None and self.read is None:
            raise ConfigError("--all: goes with --write or --read")

    def check_hart(self, count: int) -> None:
        """ConfigError: a board of so many harts has none of that number."""
        if self.hart is not None and self.hart >= count:
            raise ConfigError(f"--hart: there is no hart {self.hart}; the board has {count}")

    @property
    def is_where(self) -> bool:
        """Whether it only asks where each hart is."""
        return self.write is None and self.read is None and self.reg is None and not self.trap

    @property
    def doing(self) -> str:
        """What is done while it is answered."""
        if self.reg is not None:
            return f"looking for the last write of {self.reg}"
        if self.trap:
            return "looking where the trap came from"
        if self.is_all:
            return "looking at each"
        return f"looking for the last {'write' if self.read is None else 'read'}"


def parse(words: Sequence[str]) -> Question:
    """The question that these words are, written as the command's options are.

    Raises:
        ConfigError: they are none.
    """
    found: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        option = _OPTION.fullmatch(word)
        name = "" if option is None else option["name"]
        if option is None or name not in (*_VALUES, *_FLAGS) or (name in _FLAGS and option["value"] is not None):
            raise ConfigError(f"why: expected {OPTIONS}; got '{printable(word)}'")
        if name in _FLAGS:
            found["is_all" if name == "all" else name] = True
            continue
        value = next(rest, None) if option["value"] is None else option["value"]
        if value is None:
            raise ConfigError(f"--{name}: something has to follow: there are {OPTIONS}")
        found[name] = _hart(value) if name == "hart" else value
    return Question(**found)


def _hart(text: str) -> int:
    if not (text.isdecimal() and text.isascii() and len(text) < 6):
        raise ConfigError(f"--hart: expected the number of a hart, got '{printable(text)}'")
    return int(text)


def answers(
    question: Question, timeline: TraceTimeline, reader: TraceReader, symbols: SymbolTable, teller: Teller, *,
    as_json: bool = False,
) -> Iterator[str]:  # fmt: skip
    """The answers to a question that is more than where each hart is. The timeline ends up somewhere else.

    Args:
        question: What is asked.
        timeline: It stands where the question looks back from.
        reader: Of the recording that it is of.
        symbols: Names of addresses.
        teller: Puts it into words.
        as_json: Each is a JSON object.
    Returns:
        Texts: one; of all accesses one each, a line; none, or not all, where a move was interrupted.
    Raises:
        ConfigError: there is no such memory or register.
    """
    if question.reg is not None:
        yield from _register(question.reg, question.hart, timeline, symbols, teller, as_json=as_json)
    elif question.trap:
        yield from _trap(question.hart, timeline, reader, symbols, teller, as_json=as_json)
    else:
        yield from _accesses(question, timeline, reader, symbols, teller, as_json=as_json)


def _text(facts: dict[str, Any], lines: list[str], as_json: bool) -> str:
    return json.dumps(facts) if as_json else "\n".join(lines)


def _register(
    name: str, hart: int | None, timeline: TraceTimeline, symbols: SymbolTable, teller: Teller, *, as_json: bool
) -> Iterator[str]:  # fmt: skip
    number = timeline.board.hart.hart_id if hart is None else hart
    found = last_register_write(timeline, name, number, symbols)
    if isinstance(found, RegisterWrite):
        yield _text(teller.register_facts(name, found), teller.register(name, found), as_json)
    elif found is not Why.INTERRUPTED:
        start = timeline.start.icount
        facts = {"register": name, "by": "nobody", "icount": start, "hart": number}
        line = f"{name} of hart{number} was not written since icount {start:,}, where this trace begins"
        yield _text(facts, [line], as_json)


def _trap(
    hart: int | None, timeline: TraceTimeline, reader: TraceReader, symbols: SymbolTable, teller: Teller, *,
    as_json: bool,
) -> Iterator[str]:  # fmt: skip
    found = last_trap(timeline, reader, symbols, hart)
    if isinstance(found, TrapCause):
        yield _text(teller.trap_facts(found), teller.trap(found), as_json)
    elif found is not Why.INTERRUPTED:
        yield _text({"hart": None}, ["no trap was taken"], as_json)


def _accesses(
    question: Question, timeline: TraceTimeline, reader: TraceReader, symbols: SymbolTable, teller: Teller, *,
    as_json: bool,
) -> Iterator[str]:  # fmt: skip
    option, text, kind = ("--read", question.read, WatchKind.LOAD) if question.write is None else (
        "--write", question.write, WatchKind.STORE)  # fmt: skip
    board = timeline.board
    target = find_target(
        text or "", option, board.hart if question.hart is None else board.harts[question.hart], symbols
    )
    if question.is_all:
        for access in all_accesses(timeline, reader, target, kind):
            yield json.dumps(teller.facts(access, target)) if as_json else teller.line(access, target)
        return
    last = last_access(timeline, reader, target, kind, symbols)
    if last is not None:
        facts = {**target_facts(target), **teller.facts(last, target)} if as_json else {}
        yield _text(facts, teller.last(last, target, kind), as_json)
