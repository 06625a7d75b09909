"""Snapshots: the whole machine between two turns, taken from one machine and put into another.

A snapshot is a cache: a replay from power-on comes to the same state. Pages of RAM are those written since the
snapshot before. The host side is a section of its own (``host``): a replay needs none of it, going on live does. Where
a recording ends there is only such a section, as a replay comes to all the rest by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from minstret.emu.clock import VIRTUAL_NS_MAX, ClockType, VirtualClockState, VirtualRtClockState
from minstret.emu.door.door import Event
from minstret.emu.errors import TraceError
from minstret.emu.hart.csr_table import PMP_ENTRIES
from minstret.emu.hart.memory import DirtyPages
from minstret.emu.hart.shared import PAGE_BITS, PAGE_SIZE
from minstret.emu.hart.spec import PRIV_M, PRIV_S, PRIV_U
from minstret.emu.hart.state import WORDS, HartState
from minstret.emu.machine import Machine, MachineState
from minstret.emu.part import HasState, state_types
from minstret.emu.schedule import ScheduleState
from minstret.emu.state import from_plain, to_plain, with_defaults
from minstret.emu.text import printable
from minstret.emu.timers import TimerList, TimerListState
from minstret.emu.trace.format import NAME_MAX, Snapshot
from minstret.emu.trace.reader import TraceReader

STATE_VERSIONS = {"hart": 4, "machine": 4}
"""Versions of what a snapshot holds apart from parts, which have their own. Raise one when the fields of HartState, or
of the other states that the machine keeps, change, or what they mean. tests/emu/trace/test_state_versions.py says when.
"""
_READ_TOO = {"hart": (3,)}
"""Older versions that can be read: they lack fields whose defaults mean the same. Hart 3 lacks ``later``, which those
harts did not have."""
LIVE_VERSIONS = {"door": 1}
"""The same of the host side's section, which only going on live needs."""


def state_versions(machine: Machine) -> dict[str, dict[str, int]]:
    """The version of each state in a snapshot of this machine, as a trace keeps them."""
    parts = machine.parts
    return {
        "core": dict(STATE_VERSIONS), "guest": _versions(parts.guest), "host": _versions(parts.host),
        "live": dict(LIVE_VERSIONS),
    }  # fmt: skip


def _versions(parts: Mapping[str, HasState]) -> dict[str, int]:
    return {name: getattr(part, "version", 1) for name, part in parts.items()}


def other_states(reader: TraceReader, machine: Machine) -> list[str]:
    """Guest-side states that have another version in the trace than here, by name.

    With any of them, neither the trace's snapshots nor its digest mean anything to this machine; its items and outputs
    do.
    """
    return _others(reader, machine, ("core", "guest"))


def other_host_states(reader: TraceReader, machine: Machine) -> list[str]:
    """The same for host-side states: with any of them a run can't go on live from the trace."""
    return _others(reader, machine, ("host", *(("live",) if "live" in _their_versions(reader) else ())))


def _their_versions(reader: TraceReader) -> dict[str, Any]:
    theirs = reader.meta.get("state_versions")
    return theirs if isinstance(theirs, dict) else {}


def _others(reader: TraceReader, machine: Machine, sections: Sequence[str]) -> list[str]:
    theirs, ours = _their_versions(reader), state_versions(machine)
    found: list[str] = []
    for section in sections:
        their, our = theirs.get(section), ours[section]
        if not isinstance(their, dict):
            return ["everything"]
        found += (
            name for name in sorted({*our, *their})
            if our.get(name) != their.get(name) and their.get(name) not in _READ_TOO.get(name, ())
        )  # fmt: skip
    return [printable(name, NAME_MAX) for name in found]


def take_snapshot(
    machine: Machine, dirty: DirtyPages, number: int, seq: int, registers: int, waiting: Sequence[Event] = ()
) -> tuple[Snapshot, dict[int, memoryview]]:
    """The machine as it is, and the ``dirty`` pages of its RAM, by number; ``waiting`` is what has not entered yet."""
    ram = machine.memory.ram
    pages = {page: ram[page << PAGE_BITS : (page << PAGE_BITS) + PAGE_SIZE] for page in dirty.take()}
    guest, host = split_state(machine, waiting)
    return Snapshot(number, seq, machine.position, registers, guest, host), pages


def armed_external(machine: Machine) -> set[str]:
    """The timers of the host side that are armed in virtual time, by name: no replay has them."""
    return {timer.name for timer in machine.virtual_timers.armed() if timer.is_external}


def split_state(machine: Machine, waiting: Sequence[Event] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
    """The machine's state as plain values: guest-side, host-side. ``waiting``: what stands before the door."""
    plain = to_plain(machine.save_state())
    external = armed_external(machine)
    armed = plain["timers"]["armed"]
    host = {"parts": plain.pop("host"), "virtual_rt": plain.pop("virtual_rt"),
            "timers": [timer for timer in armed if timer[0] in external],
            "waiting": [[event.target, to_plain(event.data)] for event in waiting]}  # fmt: skip
    plain["timers"]["armed"] = [timer for timer in armed if timer[0] not in external]
    return plain, host


def host_at_end(machine: Machine, waiting: Sequence[Event]) -> dict[str, Any]:
    """The host side where a recording ends, with the guest's timers, as serials say which of equal ones is first."""
    guest, host = split_state(machine, waiting)
    return host | {"guest_timers": guest["timers"]}


def snapshot_pages(machine: Machine, reader: TraceReader, snapshot: Snapshot) -> dict[int, bytes]:
    """The pages of RAM that differ from those at power-on, by number.

    Raises:
        TraceError: they are not those of this machine.
    """
    pages = dict(reader.pages(snapshot.id))
    if pages and max(pages) >= machine.memory.ram_size >> PAGE_BITS:
        raise TraceError(f"{reader.path}: a damaged trace: snapshot {snapshot.id} has a page outside RAM")
    return pages


def snapshot_state(
    machine: Machine, reader: TraceReader, snapshot: Snapshot, *, with_host: bool = False
) -> MachineState:
    """The state of a snapshot, for ``machine``, which is not changed.

    Args:
        machine: What it is for.
        reader: The trace that has it.
        snapshot: Of the same trace.
        with_host: With the host side's section too, to go on live.
    Raises:
        TraceError: it does not fit.
    """
    try:
        state = _state_from_plain(machine, snapshot.machine, snapshot.host if with_host else None)
        _check_state(machine, state)
        icount, position = state.harts[0].icount, snapshot.position
        if position != (icount, (icount << machine.clock.shift) + state.clock.warp_ns):
            raise ValueError(f"it is of icount {icount}")
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        raise does_not_fit(reader, snapshot, error) from None
    return state


def state_at_end(machine: Machine, reader: TraceReader, host: dict[str, Any], state: MachineState) -> MachineState:
    """Where a recording ends, for ``machine``, which is not changed: with the host side there.

    Args:
        machine: What it is for; it has a host side.
        reader: The trace.
        host: Its section, see ``host_at_end``.
        state: What a replay has come to there.
    Raises:
        TraceError: it does not fit.
    """
    try:
        timers = _joined_timers(host["guest_timers"], host)
        _check_timers(machine.virtual_timers, timers)
        external = {timer.name for timer in machine.virtual_timers.timers() if timer.is_external}
        there = [(name, expire_ns) for name, expire_ns, _ in timers.armed if name not in external]
        if there != [(name, expire_ns) for name, expire_ns, _ in state.timers.armed]:
            raise ValueError("the guest has other timers there")
        return replace(state, timers=timers, virtual_rt=_waited(host), host=_host_parts(machine, host))
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        raise host_does_not_fit(reader, error) from None


def waiting_events(reader: TraceReader, host: dict[str, Any]) -> tuple[Event, ...]:
    """What stood before the door, by the section of the host side; nothing where a trace is too old to have it.

    Raises:
        TraceError: it is no such thing.
    """
    try:
        return tuple(
            Event(from_plain(str, target), from_plain(bytes, data)) for target, data in host.get("waiting", [])
        )
    except (ValueError, TypeError) as error:
        raise host_does_not_fit(reader, error) from None


def does_not_fit(reader: TraceReader, snapshot: Snapshot, error: Exception) -> TraceError:
    """What to say of a snapshot that can't be put into its board."""
    return TraceError(f"{reader.path}: snapshot {snapshot.id} does not fit this board: {error!r}")


def host_does_not_fit(reader: TraceReader, error: Exception) -> TraceError:
    """What to say of a host side that can't be put into its board."""
    return TraceError(f"{reader.path}: its host side does not fit this board: {error!r}")


def _check_state(machine: Machine, state: MachineState) -> None:
    """Raise ValueError where a state would do harm outside the guest."""
    if len(state.harts) != len(machine.harts):
        raise ValueError(f"it has {len(state.harts)} harts")
    for one in state.harts:
        _check_hart(machine, one)
    _check_schedule(machine, state)
    if state.clock.warp_ns < 0:
        raise ValueError("virtual time is behind the instruction count")
    _check_timers(machine.virtual_timers, state.timers)
    _check_timers(machine.timers[ClockType.HOST], state.host_timers)
    if not isinstance(state.exit_code, int | None):
        raise ValueError("the exit code is none")


def _check_hart(machine: Machine, hart: HartState) -> None:
    """Raise ValueError for what Unicorn, which uses a hart's state in place, could not bear."""
    if (hart.xlen, sorted(hart.words)) != (machine.hart.xlen, sorted(WORDS)):
        raise ValueError("the hart is another")
    if (len(hart.x), len(hart.f), len(hart.pmp.cfg), len(hart.pmp.addr)) != (32, 32, PMP_ENTRIES, PMP_ENTRIES):
        raise ValueError("the hart has other registers")
    if hart.words["priv"] not in (PRIV_U, PRIV_S, PRIV_M) or hart.words["frm"] > 7:
        raise ValueError("the hart is in no known mode")
    later = () if hart.later is None else to_plain(hart.later).values()
    numbers = (*hart.x, *hart.f, *hart.words.values(), *hart.pmp.cfg, *hart.pmp.addr, hart.icount, hart.lines,
               hart.soft_mip, hart.fflags, hart.mcycle_offset, hart.minstret_offset, *later)  # fmt: skip
    if not all(0 <= number < 1 << 64 for number in numbers):
        raise ValueError("a register beyond 64 bits")
    hart.triggers.check(hart.xlen)
    if (hart.later is not None) != machine.hart.cpu.has("sm1p12"):
        raise ValueError("the hart has other CSRs")


def _check_schedule(machine: Machine, state: MachineState) -> None:
    """Raise ValueError where it is none of this machine's."""
    schedule = state.schedule
    if any(hart.icount != state.harts[0].icount for hart in state.harts):
        raise ValueError("its harts have counted differently")
    if schedule is None or machine.schedule is None:
        if schedule is not None or machine.schedule is not None:
            raise ValueError("it has another number of harts")
        return
    machine.schedule.check(schedule, state.harts[0].icount)


def _check_timers(there: TimerList, timers: TimerListState) -> None:
    armed = timers.armed
    if unknown := {name for name, _, _ in armed} - {timer.name for timer in there.timers()}:
        raise ValueError(f"it has other timers: {min(unknown)}")
    serials = {serial for _, _, serial in armed}
    if len(serials) < len(armed) or len({name for name, _, _ in armed}) < len(armed):
        raise ValueError("a timer is armed twice")
    if not all(0 <= serial < timers.next_serial and 0 <= expire_ns < VIRTUAL_NS_MAX for _, expire_ns, serial in armed):
        raise ValueError("a timer was armed at no possible time")


def _state_from_plain(machine: Machine, guest: dict[str, Any], host: dict[str, Any] | None) -> MachineState:
    parts: dict[str, Any] = {}
    virtual_rt = VirtualRtClockState()
    if host is not None:
        virtual_rt, parts = _waited(host), _host_parts(machine, host)
    kinds = state_types(machine.parts.guest)
    if sorted(kinds) != sorted(guest["devices"]):
        raise ValueError("it has other devices")
    return MachineState(
        harts=[from_plain(HartState, with_defaults(HartState, plain)) for plain in guest["harts"]],
        clock=from_plain(VirtualClockState, guest["clock"]),
        virtual_rt=virtual_rt,
        timers=_joined_timers(guest["timers"], host or {"timers": []}),
        host_timers=from_plain(TimerListState, guest["host_timers"]),
        devices={name: from_plain(kinds[name], plain) for name, plain in guest["devices"].items()},
        lines={name: bool(guest["lines"][name]) for name in machine.lines},
        exit_code=guest["exit_code"],
        reset_requested=bool(guest["reset_requested"]),
        host=parts,
        schedule=None if guest["schedule"] is None else from_plain(ScheduleState, guest["schedule"]),
    )


def _joined_timers(guest: dict[str, Any], host: dict[str, Any]) -> TimerListState:
    """All timers in virtual time that are armed, in their order: those of the guest, and the host side's."""
    armed = sorted([*guest["armed"], *host["timers"]], key=lambda timer: (timer[1], timer[2]))
    return from_plain(TimerListState, guest | {"armed": armed})


def _waited(host: dict[str, Any]) -> VirtualRtClockState:
    state = from_plain(VirtualRtClockState, host["virtual_rt"])
    if not 0 <= state.waited_ns < VIRTUAL_NS_MAX:
        raise ValueError("the host has waited for no possible time")
    return state


def _host_parts(machine: Machine, host: dict[str, Any]) -> dict[str, Any]:
    kinds = state_types(machine.parts.host)
    if sorted(kinds) != sorted(host["parts"]):
        raise ValueError("its host side has other parts")
    return {name: from_plain(kinds[name], plain) for name, plain in host["parts"].items()}
