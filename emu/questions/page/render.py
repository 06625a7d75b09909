"""Puts the page together: summaries as HTML that needs no script, and the data with the scripts that show it.

All that comes from the guest or from a trace is escaped by jinja2, or is in the data block, of which the scripts make
text nodes. A Content-Security-Policy allows the page's own script and style alone, and no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from minstret.emu.questions.page.packing import packed, source_hash
from minstret.emu.text import printable

SCRIPTS = (
    "data.js", "view.js", "draw.js", "timeline.js", "pointer.js", "details.js", "console.js", "search.js", "tables.js",
    "main.js",
)  # fmt: skip
_LINE_MAX = 2000


@dataclass(frozen=True)
class Summary:
    """What the page says of a run before anything else.

    Attributes:
        name: The trace's.
        headline: How it ended, in one line.
        tone: ``good`` where the guest has finished well, ``bad`` where something went wrong, else ``plain``.
        facts: Labels and values.
        where: Lines that tell where the harts were.
    """

    name: str
    headline: str
    tone: str
    facts: Sequence[tuple[str, str]]
    where: Sequence[str] = ()


@dataclass(frozen=True)
class Difference:
    """The first difference of two runs.

    Attributes:
        headline: In one line.
        lines: More of it.
        icount, virtual_ns: Where it is in the first run; None where nowhere.
    """

    headline: str
    lines: Sequence[str] = ()
    icount: int | None = None
    virtual_ns: int | None = None


def page(
    runs: Sequence[tuple[Summary, dict[str, Any]]], difference: Difference | None = None, *, version: str = ""
) -> str:  # fmt: skip
    """The page of one run, or of two that are compared.

    Args:
        runs: Of each its summary, and its data as ``Lanes.data`` gives it.
        difference: Of two runs.
        version: Of this program.
    """
    from jinja2 import Environment  # imported here: it takes a while, and few commands need it

    style, script = _static("page.css"), _scripts()
    place = None
    if difference is not None and difference.icount is not None:
        place = {"icount": difference.icount, "ns": difference.virtual_ns}
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    names = [printable(summary.name) for summary, _ in runs]
    return environment.from_string(_static("index.html")).render(
        title=" and ".join(names),
        runs=[_printable(summary) for summary, _ in runs],
        difference=difference,
        style=style, style_hash=source_hash(style), script=script, script_hash=source_hash(script),
        data=packed({"runs": [data for _, data in runs], "difference": place}), version=version,
    )  # fmt: skip


def _printable(summary: Summary) -> Summary:
    """Without anything that would turn the direction of writing, say."""
    return Summary(
        printable(summary.name), printable(summary.headline), summary.tone,
        [(label, printable(value)) for label, value in summary.facts],
        [printable(line, _LINE_MAX) for line in summary.where],
    )  # fmt: skip


def _scripts() -> str:
    """All of them as one, which shares no names with anybody."""
    return "\n".join(['"use strict";', "{", *map(_static, SCRIPTS), "}"])


def _static(name: str) -> str:
    return (files("minstret.emu.questions.page") / "static" / name).read_text(encoding="utf-8")
