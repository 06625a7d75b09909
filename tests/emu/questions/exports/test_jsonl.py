"""One happening a line."""

from __future__ import annotations

import json

from support.exported import exported, happenings_of, replay_of
from support.recordings import Recorded


def test_each_line_is_a_happening(recorded: Recorded) -> None:
    symbols = replay_of(recorded).board.symbols

    lines = [json.loads(line) for line in exported(recorded, "jsonl").splitlines()]

    expected = [one.facts(symbols) for one in happenings_of(recorded)]
    assert lines == json.loads(json.dumps(expected))
    assert lines[-1]["kind"] == "end"
