"""Timer models: ours, and the two that were rejected and are kept for comparison. docs/timers.md tells the history.

attributes      EXTERNAL is a property of a timer. The host side keeps virtual time, and a replay has no host side.
virtual-ext     The host side keeps time on a second clock, whose timers a thread runs beside the hart: when they
                fire is the host's decision, so two runs differ.
no-attributes   Timers have no attribute: those of the host side are recorded too, so a replay has to have a host
                side. What that produces is dropped, since the trace has it already.
"""

from __future__ import annotations

from dataclasses import dataclass

from minstret.emu.machine import Machine
from minstret.emu.timers import TimerAttribute, TimerList


@dataclass(frozen=True, slots=True)
class TimerModel:
    """``has_second_clock``: of the host side. ``replays_host_side``: a replay has one as well."""

    name: str
    has_second_clock: bool = False
    replays_host_side: bool = False


MODELS = {
    model.name: model
    for model in (
        TimerModel("attributes"),
        TimerModel("virtual-ext", has_second_clock=True),
        TimerModel("no-attributes", replays_host_side=True),
    )
}
TIMER_MODELS = tuple(MODELS)


def host_side_timers(model: TimerModel, machine: Machine) -> TimerList:
    """The list on which the host side keeps time. A second clock is none of the machine's: a thread runs its timers."""
    if not model.has_second_clock:
        return machine.virtual_timers
    timers = TimerList(machine.clock)
    machine.more_timers.append(timers)
    return timers


def drop_attributes(model: TimerModel, machine: Machine) -> None:
    """Take the attributes from all timers in virtual time, where the model has none. Call it when all are made."""
    if model.replays_host_side:
        for timer in machine.virtual_timers.timers():
            timer.set_attributes(TimerAttribute.NONE)


LACKING = {"script": "--keys or an input script", "files": "the files of tftp="}
"""What the host side may need, and no trace has."""


def lacking(model: TimerModel, *, has_script: bool, has_files: bool) -> list[str]:
    """What a replay with this model would need and a trace can't have: keys of LACKING."""
    if not model.replays_host_side:
        return []
    return [*(["script"] if has_script else []), *(["files"] if has_files else [])]


def lacking_text(lacks: list[str]) -> str:
    """Why there can be no replay, in words."""
    what = " nor ".join(LACKING[one] for one in lacks)
    return (
        "can't be replayed: with --timer-model no-attributes a replay needs the host side too,"
        f" and a trace has not {what}"
    )
