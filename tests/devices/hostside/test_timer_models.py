"""The three timer models: where the host side keeps time, and what a replay has of it."""

from __future__ import annotations

import pytest

from minstret.devices.hostside.timer_models import (
    MODELS,
    TIMER_MODELS,
    drop_attributes,
    host_side_timers,
    lacking,
    lacking_text,
)
from minstret.emu.machine import Machine, MachineConfig
from minstret.emu.timers import Timer, TimerAttribute


def machine() -> Machine:
    return Machine(MachineConfig(ram_size=1 << 20))


def test_ours_comes_first() -> None:
    assert TIMER_MODELS == ("attributes", "virtual-ext", "no-attributes")


@pytest.mark.parametrize("name", TIMER_MODELS)
def test_host_side_has_a_list_of_timers_of_its_own_only_with_a_second_clock(name: str) -> None:
    made = machine()

    timers = host_side_timers(MODELS[name], made)

    assert (timers is made.virtual_timers) == (name != "virtual-ext")
    assert timers.clock is made.clock


@pytest.mark.parametrize(("name", "is_external"), [("attributes", True), ("no-attributes", False)])
def test_timers_lose_their_attributes_only_where_the_model_has_none(name: str, is_external: bool) -> None:
    made = machine()
    timer = Timer("net", made.virtual_timers, lambda late_ns: None, TimerAttribute.EXTERNAL)
    timer.arm(1000)

    drop_attributes(MODELS[name], made)

    assert timer.is_external is is_external
    assert (made.virtual_timers.expire_ns(TimerAttribute.NONE) == 1000) is not is_external


@pytest.mark.parametrize("name", TIMER_MODELS)
def test_replay_with_no_attributes_needs_what_no_trace_has(name: str) -> None:
    lacks = lacking(MODELS[name], has_script=True, has_files=True)

    assert lacks == (["script", "files"] if name == "no-attributes" else [])
    assert lacking(MODELS[name], has_script=False, has_files=False) == []


def test_what_is_lacking_is_told() -> None:
    assert lacking_text(["script", "files"]) == (
        "can't be replayed: with --timer-model no-attributes a replay needs the host side too,"
        " and a trace has not --keys or an input script nor the files of tftp="
    )
