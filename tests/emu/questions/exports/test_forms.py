"""All forms: the same bytes each time, however the run is cut; and what they leave out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.exported import exported, facts_of_recorded
from support.recordings import Recorded

from minstret.emu.questions.exports.forms import FORMS, form_of
from minstret.emu.questions.happenings import ALL
from minstret.emu.session import RunLimits


@pytest.mark.parametrize("name", FORMS)
def test_two_exports_are_the_same_bytes_whatever_the_stride(recorded: Recorded, name: str) -> None:
    if name == "pcapng" and facts_of_recorded(recorded).card is None:
        return  # test_pcapng.py: there is nothing to export
    stop = RunLimits(icount=20_000)

    assert exported(recorded, name, stop=stop, stride=777) == exported(recorded, name, stop=stop)


@pytest.mark.parametrize("name", FORMS)
def test_form_is_told_of_kinds_that_there_are(name: str) -> None:
    assert form_of(name).KINDS <= ALL


@pytest.mark.parametrize("name", ["perfetto", "vcd", "asciicast", "jsonl"])
def test_stretch_from_a_snapshot_can_be_exported(guest: Callable[[str], Recorded], name: str) -> None:
    whole = exported(guest("ticks"), name)
    part = exported(guest("ticks"), name, snapshot=1)

    assert 0 < len(part) <= len(whole)
