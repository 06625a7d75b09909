"""A host side that somebody has spoilt is refused in one line, or does no harm."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import live_fuzz
from support.hostile_traces import huge_bomb
from support.random_cases import SEED_FAST, SEED_SLOW, TIMES

from minstret.emu.errors import MinstretError
from minstret.emu.trace.format import HOST_AT_END

CASES_FAST, CASES_SLOW = 25, 75 * TIMES
CPU_S_MAX = 20
"""Far above what a case takes: this finds what has no end."""


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("good")
    return {name: live_fuzz.good_trace(name, folder) for name in live_fuzz.GUESTS}


def said_of(name: str, path: Path, *, at_end: bool = True, output: Path | None = None) -> str:
    """What is said of a spoilt trace, behind its path; nothing where it is good."""
    began_s = time.process_time()
    try:
        live_fuzz.go_on(name, path, at_end=at_end, output=output)
    except MinstretError as error:
        said = str(error)
        assert said.isprintable()
        assert len(said) < 1000
        return said.removeprefix(f"{path}: ")
    finally:
        assert time.process_time() - began_s < CPU_S_MAX
    return ""


def check_many(name: str, count: int, base: int, good: Path, folder: Path) -> Counter[bool]:
    found: Counter[bool] = Counter()
    for number in range(count):
        seed = f"{base}/{name}/{number}"
        pick = random.Random(seed)
        what = live_fuzz.spoilt_at_random(good, folder / "bad.mst", pick)
        print(f"seed {seed}: {what}")
        output = pick.choice((None, folder / "more.mst"))
        found[bool(said_of(name, folder / "bad.mst", at_end=what.startswith("end"), output=output))] += 1
    return found


@pytest.mark.parametrize("name", live_fuzz.GUESTS)
def test_host_side_that_was_spoilt_is_refused_or_harmless(name: str, traces: dict[str, Path], tmp_path: Path) -> None:
    assert said_of(name, traces[name]) == said_of(name, traces[name], at_end=False) == ""

    found = check_many(name, CASES_FAST, SEED_FAST, traces[name], tmp_path)

    assert found[True] > found[False]


@pytest.mark.slow
@pytest.mark.parametrize("name", live_fuzz.GUESTS)
def test_many_host_sides_that_were_spoilt_are_refused_or_harmless(
    name: str, traces: dict[str, Path], tmp_path: Path, announce: Callable[[str], None]
) -> None:
    found = check_many(name, CASES_SLOW, SEED_SLOW, traces[name], tmp_path)
    announce(f"{name}: {found[True]} spoilt host sides refused, {found[False]} harmless, seed {SEED_SLOW}")


# ---- single ones

FIT = "its host side does not fit this board: "


def change(*path: Any, to: Any) -> Callable[[Any], Any]:
    def changed(host: Any) -> Any:
        at = host
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = to
        return host

    return changed


SPOILT: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no dict": (lambda host: [host], "a damaged trace: the host side at its end is none"),
    "other parts": (change("parts", to={}), f"{FIT}ValueError('its host side has other parts')"),
    "a negative wait": (
        change("virtual_rt", "waited_ns", to=-1), f"{FIT}ValueError('the host has waited for no possible time')"
    ),
    "another timer of the guest": (
        lambda host: change("guest_timers", "armed", to=[["clint.mtimecmp", 5, 0]])(host | {"timers": []}),
        f"{FIT}ValueError('the guest has other timers there')",
    ),
    "an unknown timer": (
        change("timers", to=[["x", 5, 0]]), f"{FIT}ValueError('it has other timers: x')"
    ),
    "a serial from the future": (
        change("timers", to=[["input.delay", 5, 1 << 40]]),
        f"{FIT}ValueError('a timer was armed at no possible time')",
    ),
    "something for nobody": (
        change("waiting", to=[["no.body", {"hex": "00"}]]), f"{FIT}KeyError('no.body')"
    ),
    "an end that the host can't ask for": (
        change("waiting", to=[["machine.stop", {"hex": b"finished".hex()}]]),
        f"""{FIT}ValueError("the host can't ask for an end by finished")""",
    ),
    "frames of nothing": (change("parts", "usernet", to={}), FIT),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILT)
def test_spoilt_host_side_is_refused_with_the_reason(case: str, traces: dict[str, Path], tmp_path: Path) -> None:
    spoil, text = SPOILT[case]
    path = tmp_path / "bad.mst"
    live_fuzz.spoil(traces["dhcp"], path, spoil, at_end=True)

    said = said_of("dhcp", path)

    assert said.startswith(text)
    assert said == text or text == FIT


BLOBS: dict[str, tuple[Callable[[sqlite3.Connection], Any], str]] = {
    "1 GiB of zeros": (
        lambda db: live_fuzz.put_blob(db, huge_bomb()),
        "a damaged trace: the host side at its end: a compressed part is larger than it may be, or cut short",
    ),
    "not compressed": (lambda db: live_fuzz.put_blob(db, b"{}"), "a damaged trace: the host side at its end: "),
    "no hash": (
        lambda db: db.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps("x"), HOST_AT_END)),
        "a damaged trace: 'x' is no hash",
    ),
    "not there": (
        lambda db: db.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps("00" * 32), HOST_AT_END)),
        f"a damaged trace: the file {'0' * 16} is not in it",
    ),
    "a number": (
        lambda db: db.execute("UPDATE meta SET value = '5' WHERE key = ?", (HOST_AT_END,)),
        "a damaged trace: it: 'host_at_end' is 5, not a name",
    ),
    "outside": (
        lambda db: db.execute("INSERT INTO meta VALUES ('outside', '{\"tftp\": 5}')"),
        "a damaged trace: outside: 'tftp' is 5, not a flag",
    ),
    "outside of nothing": (
        lambda db: db.execute("INSERT INTO meta VALUES ('outside', '7')"),
        "a damaged trace: it: 'outside' is 7, not a object",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BLOBS)
def test_damage_around_the_host_side_is_refused(case: str, traces: dict[str, Path], tmp_path: Path) -> None:
    spoil, text = BLOBS[case]
    path = tmp_path / "bad.mst"
    path.write_bytes(traces["dhcp"].read_bytes())
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        spoil(db)

    assert said_of("dhcp", path).startswith(text)
