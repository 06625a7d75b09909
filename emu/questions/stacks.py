"""A profile as stacks of calls, for programs that draw them: speedscope's JSON, and collapsed stacks for flame graphs.

Sources: speedscope's src/lib/file-format-spec.ts; stackcollapse.pl and flamegraph.pl of FlameGraph.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from minstret.emu.questions.counts import HartCounts
from minstret.emu.questions.functions import Function
from minstret.emu.questions.profile import Profile, caller_of

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"


class Stack(NamedTuple):
    """Functions that called each other, the outermost first, and how many instructions the innermost has executed."""

    functions: list[Function]
    insns: int


def stacks_of(profile: Profile, hart: HartCounts) -> Iterator[Stack]:
    """The stacks of a hart, each once, in the order of their first calls. A trap's handler begins one.

    Calls of one function from several places of another are one stack.
    """
    places: dict[tuple[int, Function], int] = {}
    insns: list[int] = []
    place_of: list[int] = []
    for node in hart.calls:
        caller = caller_of(node)
        key = -1 if caller is None else place_of[caller], profile.functions.at(node.entry, node.priv)
        place = places.setdefault(key, len(places))
        place_of.append(place)
        if place == len(insns):
            insns.append(0)
        insns[place] += node.insns
    keys = list(places)
    for place, count in enumerate(insns):
        if count:
            yield Stack(_path(keys, place), count)


def _path(keys: list[tuple[int, Function]], place: int) -> list[Function]:
    found = []
    while place >= 0:
        place, function = keys[place]
        found.append(function)
    return found[::-1]


def collapsed_lines(profile: Profile) -> Iterator[str]:
    """One line a stack: ``main;print;put 123``. Of several harts each begins with the hart."""
    harts = profile.stretch.harts
    for each in harts:
        begin = [each.hart.name] if len(harts) > 1 else []
        for stack in stacks_of(profile, each):
            names = (*begin, *(function.name for function in stack.functions))
            yield f"{';'.join(name.replace(';', ':') for name in names)} {stack.insns}"


def speedscope_file(profile: Profile, name: str) -> dict[str, Any]:
    """The content of a file for speedscope: one profile a hart, whose weights are instructions."""
    frames: dict[Function, int] = {}
    profiles = []
    for each in profile.stretch.harts:
        samples, weights = [], []
        for stack in stacks_of(profile, each):
            samples.append([frames.setdefault(function, len(frames)) for function in stack.functions])
            weights.append(stack.insns)
        profiles.append({
            "type": "sampled", "name": f"{each.hart.name}: instructions", "unit": "none", "startValue": 0,
            "endValue": sum(weights), "samples": samples, "weights": weights,
        })  # fmt: skip
    return {
        "$schema": _SCHEMA, "name": name, "activeProfileIndex": 0, "exporter": "minstret",
        "shared": {"frames": [_frame(profile, function) for function in frames]}, "profiles": profiles,
    }  # fmt: skip


def _frame(profile: Profile, function: Function) -> dict[str, Any]:
    source = profile.source_of(function)
    where = {} if source is None else {"file": source.file, "line": source.line}
    return {"name": function.name, **where}
