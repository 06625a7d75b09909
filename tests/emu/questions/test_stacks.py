"""Stacks of calls, as speedscope and flame graphs read them."""

from __future__ import annotations

import json

import pytest
from support.calling_program import DOWN_INSNS, F_INSNS, HANDLER_INSNS, SYMBOLS, calling_stretch

from minstret.emu.questions.profile import Profile
from minstret.emu.questions.stacks import collapsed_lines, speedscope_file


@pytest.fixture
def profile() -> Profile:
    return Profile(calling_stretch(64)[0], SYMBOLS)


def test_collapsed_stacks_have_each_path_of_calls_once(profile: Profile) -> None:
    main = profile.stretch.insns - F_INSNS - DOWN_INSNS - HANDLER_INSNS
    assert list(collapsed_lines(profile)) == [
        f"main {main}", f"main;f {F_INSNS}", "main;f;down 14", "main;f;down;down 8", "main;f;down;down;down 6",
        f"handler {HANDLER_INSNS}",
    ]  # fmt: skip


def test_speedscope_file_has_the_same_stacks(profile: Profile) -> None:
    file = json.loads(json.dumps(speedscope_file(profile, "run.mst")))
    frames = [frame["name"] for frame in file["shared"]["frames"]]
    [found] = file["profiles"]
    lines = [
        f"{';'.join(frames[at] for at in sample)} {weight}"
        for sample, weight in zip(found["samples"], found["weights"], strict=True)
    ]
    assert lines == list(collapsed_lines(profile))
    assert found["endValue"] == sum(found["weights"]) == profile.stretch.insns


def test_speedscope_file_is_of_its_format(profile: Profile) -> None:
    """Source: speedscope's src/lib/file-format-spec.ts."""
    file = speedscope_file(profile, "run.mst")
    assert file["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert set(file) <= {"$schema", "shared", "profiles", "name", "activeProfileIndex", "exporter"}
    for frame in file["shared"]["frames"]:
        assert set(frame) <= {"name", "file", "line", "col"}
        assert type(frame["name"]) is str
    for found in file["profiles"]:
        assert set(found) == {"type", "name", "unit", "startValue", "endValue", "samples", "weights"}
        assert (found["type"], found["unit"]) == ("sampled", "none")
        assert len(found["samples"]) == len(found["weights"])
        assert {at for sample in found["samples"] for at in sample} <= set(range(len(file["shared"]["frames"])))
