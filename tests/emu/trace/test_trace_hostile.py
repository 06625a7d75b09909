"""What is made to take the host is refused, or does no harm: in one line, in little time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import hostile_traces, trace_fuzz
from support.commands import PATIENCE_S

CPU_S_MAX = 8
"""Four times what it may take on a machine of its own: this one is shared, and a loop without an end takes more."""
LOOKS = ("info", "log", "timers", "replay", "questions")
HELPERS = str(Path(hostile_traces.__file__).parents[1])
IN_CIRCLES = "a damaged trace: its tables go round in circles"
TOO_LARGE = "a compressed part is larger than it may be, or cut short"
NO_FILE = "is not a regular file; give a trace"
NO_TRACE = "not a trace (made by minstret record)"

REFUSALS = {
    "a pipe": NO_FILE, "a folder": "is a folder; give a trace", "/dev/zero": NO_FILE, "a link to a pipe": NO_FILE,
    "a link to itself": "Too many levels of symbolic links", "8 GiB of nothing": NO_TRACE,
    "loops in outputs": "a damaged trace: output 1 is out of order", "loops in snapshot_pages": IN_CIRCLES,
    "loops in schema": "a damaged trace: its tables are not those of a trace",
    "a journal of 8 GiB of nothing": "a damaged trace: its journal is larger than it can be",
    "an image of 1 GiB of zeros": "a damaged trace: a file in it is larger than it may be",
    "40 images of 100 MiB": "a damaged trace: a file in it is larger than it may be",
    "an image of 1 GiB, packed": f"a damaged trace: {TOO_LARGE}",
    "a machine of 1 GiB, packed": f"a damaged trace: snapshot 1: {TOO_LARGE}",
    "meta: 300,000 rows": "a damaged trace: what it says of itself is too long",
    "500,000 snapshots": "a damaged trace: more snapshots than it has room for",
    "20,000 tables": "a damaged trace: its tables are not those of a trace",
}  # fmt: skip
"""What the replay of some of them says, behind the name."""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Path: name."""
    folder = tmp_path_factory.mktemp("hostile")
    good = trace_fuzz.record(folder / "good.mst")
    made = {}
    for number, (name, make) in enumerate(hostile_traces.HOSTILE.items()):
        path = folder / f"{number}.mst"
        make(good, path)
        made[str(path)] = name
    return made


@pytest.mark.parametrize("look", LOOKS)
def test_hostile_trace_costs_little(look: str, hostile: dict[str, str], announce: Callable[[str], None]) -> None:
    looked_at = [path for path, name in hostile.items() if (look, name) != ("log", "a billion checkpoints")]

    done = subprocess.run(
        [sys.executable, str(Path(HELPERS, "support", "hostile_traces.py")), look, *looked_at],
        capture_output=True, check=False, timeout=PATIENCE_S, env=os.environ | {"PYTHONPATH": HELPERS},
    )  # fmt: skip

    facts: dict[str, dict[str, Any]] = {hostile[f["path"]]: f for f in map(json.loads, done.stdout.splitlines())}
    assert len(facts) == len(looked_at), done.stderr.decode()
    for name, one in facts.items():
        case = f"{look}: {name}: {one}"
        said = one["said"].removeprefix(f"{one['path']}: ")
        assert said.isprintable() and not said.startswith(("CRASH", "ended with status")), case
        assert one["more_memory"] <= hostile_traces.MORE_MEMORY_MAX * (2 if look == "questions" else 1), case
        assert one["cpu_s"] < CPU_S_MAX, case
        if look == "replay" and name in REFUSALS:
            assert said == REFUSALS[name], case
    announce(
        f"{look}: {len(facts)} hostile files, at most {max(one['cpu_s'] for one in facts.values()):.2f} s and"
        f" {max(one['more_memory'] for one in facts.values()) >> 20} MiB more than the file"
    )


def test_file_beside_a_trace_is_left_alone(hostile: dict[str, str]) -> None:
    for path, name in hostile.items():
        if "journal" in name:
            journal = Path(f"{path}-journal")
            before = os.lstat(journal)

            hostile_traces.said_by_child("replay", path)

            after = os.lstat(journal)
            assert (before.st_size, before.st_mtime_ns, before.st_ino) == (
                after.st_size, after.st_mtime_ns, after.st_ino
            ), name  # fmt: skip
