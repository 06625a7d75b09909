"""What somebody waits for the guest to say, and where in its output that is.

A search looks after each character, so where it ends depends on the characters alone, never on how they were cut.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from minstret.emu.errors import ConfigError

SETTLE_NS = 1_000_000
"""Virtual time without a further character after which a match that could have grown is taken as it is."""

WINDOW = 16_384
"""A match is looked for among so many characters, the last ones that came."""
_BEFORE = 256
"""So many characters more are kept: a pattern may look at what stands before a match."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A text, or a regular expression.

    Attributes:
        pattern: What is looked for.
        shown: As a person writes it: ``"login: "`` or ``/=> $/``.
        window: Among how many of the last characters it has to be looked for.
        may_grow: Whether a match could become longer with what follows, as ``[0-9]+`` does.
        in_a_line: Whether no match has the end of a line in it.
    """

    pattern: re.Pattern[str]
    shown: str
    window: int
    may_grow: bool = False
    in_a_line: bool = False

    @classmethod
    def text(cls, text: str) -> Expected:
        """Just this text.

        Raises:
            ConfigError: it is empty.
        """
        if not text:
            raise ConfigError("expected a text or a regular expression to wait for, got nothing")
        return cls(re.compile(re.escape(text)), quoted(text), len(text))

    @classmethod
    def regex(cls, pattern: str | re.Pattern[str]) -> Expected:
        """A regular expression, Python's. In a str, ``^`` and ``$`` stand for the ends of lines too.

        Raises:
            ConfigError: it is none, or one for bytes.
        """
        try:
            compiled = re.compile(pattern, re.MULTILINE) if isinstance(pattern, str) else pattern
        except (re.error, RecursionError, OverflowError) as error:
            raise ConfigError(f"/{pattern!s:.100}/: not a regular expression: {error}") from None
        if not isinstance(compiled.pattern, str):
            raise ConfigError(f"{compiled.pattern!r:.100}: expected a regular expression for text, got one for bytes")
        if compiled.search("") is not None:
            raise ConfigError(f"/{compiled.pattern:.100}/: it matches where nothing was said")
        shape = _shape(compiled)
        window = WINDOW if shape.longest is None or _looks_around(compiled.pattern) else shape.longest
        return cls(
            compiled, f"/{compiled.pattern}/", window, may_grow=shape.shortest != shape.longest,
            in_a_line=not shape.crosses_lines,
        )  # fmt: skip


def quoted(text: str) -> str:
    """A text in quotes, with what can't be shown escaped: ``"login:\\r\\n"``."""
    shown = "".join(c if c.isprintable() and c not in '"\\' else _escaped(c) for c in text)
    return f'"{shown}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character.encode("unicode_escape").decode()


def parse_expected(text: str, what: str) -> Expected:
    """What a user wrote: ``/RE/`` is a regular expression, everything else a text.

    A text that begins with ``/`` and has no other one is refused: it may be an expression without its end.

    Raises:
        ConfigError: it is no good; the error begins with ``what``.
    """
    try:
        if len(text) > 1 and text.startswith("/") and text.endswith("/"):
            return Expected.regex(text[1:-1])
        if len(text) > 1 and text.rfind("/") == 0:
            as_text = rf"/\/{re.escape(text[1:])}/"
            raise ConfigError(f"{text}: its last / is missing: give {text}/, or for just this text {as_text}")
        return Expected.text(text)
    except ConfigError as error:
        raise ConfigError(f"{what}: {error}") from None


class _Shape(NamedTuple):
    """What is known of the matches of a pattern.

    ``shortest`` and ``longest`` are their lengths, characters; None: there is no longest. ``crosses_lines``: one may
    have the end of a line in it.
    """

    shortest: int = 0
    longest: int | None = None
    crosses_lines: bool = True


def _shape(pattern: re.Pattern[str]) -> _Shape:
    """What Python's own parser of patterns tells. It is no public part of Python: without it nothing is known."""
    try:
        from re import _parser  # type: ignore[attr-defined]

        tree = _parser.parse(pattern.pattern, pattern.flags)
        shortest, longest = tree.getwidth()
        crosses = bool(pattern.flags & re.DOTALL) or _names_line_end(tree)
        return _Shape(int(shortest), int(longest) if longest < WINDOW else None, crosses)
    except Exception:
        return _Shape()


_LINE_END = ord("\n")
_STAYS_IN_LINE = frozenset(("ANY", "AT", "CATEGORY_DIGIT", "CATEGORY_WORD", "GROUPREF", "FAILURE"))
"""Nodes without parts that no line's end matches."""


def _names_line_end(node: Any) -> bool:
    """Whether a line's end may match something in a part of a parsed pattern: a tree of lists and tuples."""
    if isinstance(node, tuple) and len(node) == 2 and hasattr(node[0], "name"):
        name, what = node[0].name, node[1]
        if name == "LITERAL":
            return bool(what == _LINE_END)
        if name == "RANGE":
            return bool(what[0] <= _LINE_END <= what[1])
        if name == "CATEGORY":
            return what.name not in _STAYS_IN_LINE
        if name in ("NOT_LITERAL", "NEGATE") or (name == "IN" and any(each[0].name == "NEGATE" for each in what)):
            return True
        return name not in _STAYS_IN_LINE and _names_line_end(what)
    if isinstance(node, str | int | None) or hasattr(node, "name"):
        return False
    return any(_names_line_end(each) for each in node)


def _looks_around(pattern: str) -> bool:
    """Whether what stands before or behind a match may matter."""
    return any(sign in pattern for sign in ("(?", "\\b", "\\B", "\\A"))


class Search:
    """Looks for something in what the guest sends.

    A match that touches the end of what was sent and may grow is only a candidate: the next character that does not
    make it longer settles it, or ``settle``, called when the guest was quiet for SETTLE_NS.

    Attributes:
        candidate: A match that may still grow.
        used: How many of the bytes were fed up to the end of the match, once there is one.
    """

    def __init__(self, expected: Expected) -> None:
        self.expected = expected
        self.candidate: re.Match[str] | None = None
        self.used = 0
        self._text = ""
        self._ends: list[int] = []  # by character of the text: how many bytes were fed up to its end
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._fed = 0

    def feed(self, data: bytes) -> re.Match[str] | None:
        """Look at what has come; the match, at the first character at which there is one."""
        for byte in data:
            self._fed += 1
            for character in self._decoder.decode(bytes((byte,))):
                match = self._with(character)
                if match is not None:
                    return match
        return None

    def settle(self) -> re.Match[str] | None:
        """The candidate is the match."""
        match, self.candidate = self.candidate, None
        if match is not None:
            self.used = self._ends[match.end() - 1]
        return match

    def _with(self, character: str) -> re.Match[str] | None:
        """One more character."""
        self._text += character
        self._ends.append(self._fed)
        if self.candidate is not None:
            return self._with_candidate(self.candidate)
        if len(self._text) > 2 * WINDOW:
            self._text, self._ends = self._text[-WINDOW - _BEFORE :], self._ends[-WINDOW - _BEFORE :]
        begin = max(0, len(self._text) - self.expected.window)
        if self.expected.in_a_line:
            begin = max(begin, self._text.rfind("\n", begin, -1) + 1)
        match = self.expected.pattern.search(self._text, begin)
        if match is None or not match[0]:
            return None
        self.candidate = match
        return None if self._may_grow(match) else self.settle()

    def _with_candidate(self, candidate: re.Match[str]) -> re.Match[str] | None:
        grown = self.expected.pattern.match(self._text, candidate.start())
        if grown is None or grown.end() <= candidate.end():
            return self.settle()
        self.candidate = grown
        return None if self._may_grow(grown) else self.settle()

    def _may_grow(self, match: re.Match[str]) -> bool:
        is_at_end = match.end() == len(self._text)
        return self.expected.may_grow and is_at_end and match.end() - match.start() < WINDOW
