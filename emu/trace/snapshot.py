"""Snapshots: the whole machine between two turns, taken from one machine and put into another.

A snapshot is a cache: a replay from power-on comes to the same state. Pages of RAM are those written since the
snapshot before. The host side is a section of its own (``host``): a replay needs none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minstret.emu.clock import VIRTUAL_NS_MAX, ClockType, VirtualClockState, VirtualRtClockState
from minstret.emu.errors import TraceError
from minstret.emu.hart.csr_table import PMP_ENTRIES
from minstret.emu.hart.memory import DirtyPages
from minstret.emu.hart.shared import PAGE_BITS, PAGE_SIZE
from minstret.emu.hart.spec import PRIV_M, PRIV_S, PRIV_U
from minstret.emu.hart.state import WORDS, HartState
from minstret.emu.machine import Machine, MachineState
from minstret.emu.part import HasState, state_types
from minstret.emu.schedule import ScheduleState
from minstret.emu.state import from_plain, to_plain
from minstret.emu.text import printable
from minstret.emu.timers import TimerList, TimerListState
from minstret.emu.trace.format import NAME_MAX, Snapshot
from minstret.emu.trace.reader import TraceReader

STATE_VERSIONS = {"hart": 2, "machine": 4}
"""Versions of what a snapshot holds apart from parts, which have their own. Raise one when the fields of HartState, or
of the other states that the machine keeps, change, or what they mean. tests/emu/trace/test_state_versions.py says when.
"""


def state_versions(machine: Machine) -> dict[str, dict[str, int]]:
    """The version of each state in a snapshot of this machine, as a trace keeps them."""
    parts = machine.parts
    return {"core": dict(STATE_VERSIONS), "guest": _versions(parts.guest), "host": _versions(parts.host)}


def _versions(parts: Mapping[str, HasState]) -> dict[str, int]:
    return {name: getattr(part, "version", 1) for name, part in parts.items()}


def other_states(reader: TraceReader, machine: Machine) -> list[str]:
    """Guest-side states that have another version in the trace than here, by name.

    With any of them, neither the trace's snapshots nor its digest mean anything to this machine; its items and outputs
    do.
    """
    theirs, ours = reader.meta.get("state_versions"), state_versions(machine)
    if not isinstance(theirs, dict):
        return ["everything"]
    found: list[str] = []
    for section in ("core", "guest"):
        their, our = theirs.get(section), ours[section]
        if not isinstance(their, dict):
            return ["everything"]
        found += (name for name in sorted({*our, *their}) if our.get(name) != their.get(name))
    return [printable(name, NAME_MAX) for name in found]


def take_snapshot(
    machine: Machine, dirty: DirtyPages, number: int, seq: int, registers: int
) -> tuple[Snapshot, dict[int, memoryview]]:
    """The machine as it is, and the ``dirty`` pages of its RAM, by number."""
    ram = machine.memory.ram
    pages = {page: ram[page << PAGE_BITS : (page << PAGE_BITS) + PAGE_SIZE] for page in dirty.take()}
    guest, host = split_state(machine)
    return Snapshot(number, seq, machine.position, registers, guest, host), pages


def split_state(machine: Machine) -> tuple[dict[str, Any], dict[str, Any]]:
    """The machine's state as plain values: guest-side, host-side."""
    plain = to_plain(machine.save_state())
    external = {timer.name for timer in machine.virtual_timers.armed() if timer.is_external}
    armed = plain["timers"]["armed"]
    host = {"parts": plain.pop("host"), "virtual_rt": plain.pop("virtual_rt"),
            "timers": [timer for timer in armed if timer[0] in external]}  # fmt: skip
    plain["timers"]["armed"] = [timer for timer in armed if timer[0] not in external]
    return plain, host


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


def does_not_fit(reader: TraceReader, snapshot: Snapshot, error: Exception) -> TraceError:
    """What to say of a snapshot that can't be put into its board."""
    return TraceError(f"{reader.path}: snapshot {snapshot.id} does not fit this board: {error!r}")


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
    numbers = (*hart.x, *hart.f, *hart.words.values(), *hart.pmp.cfg, *hart.pmp.addr, hart.icount, hart.lines,
               hart.soft_mip, hart.fflags, hart.mcycle_offset, hart.minstret_offset)  # fmt: skip
    if not all(0 <= number < 1 << 64 for number in numbers):
        raise ValueError("a register beyond 64 bits")
    hart.triggers.check(hart.xlen)


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
    timers = dict(guest["timers"])
    parts: dict[str, Any] = {}
    virtual_rt = VirtualRtClockState()
    if host is not None:
        virtual_rt = from_plain(VirtualRtClockState, host["virtual_rt"])
        timers["armed"] = sorted([*timers["armed"], *host["timers"]], key=lambda timer: (timer[1], timer[2]))
        kinds = state_types(machine.parts.host)
        parts = {name: from_plain(kinds[name], plain) for name, plain in host["parts"].items()}
    kinds = state_types(machine.parts.guest)
    if sorted(kinds) != sorted(guest["devices"]):
        raise ValueError("it has other devices")
    return MachineState(
        harts=[from_plain(HartState, plain) for plain in guest["harts"]],
        clock=from_plain(VirtualClockState, guest["clock"]),
        virtual_rt=virtual_rt,
        timers=from_plain(TimerListState, timers),
        host_timers=from_plain(TimerListState, guest["host_timers"]),
        devices={name: from_plain(kinds[name], plain) for name, plain in guest["devices"].items()},
        lines={name: bool(guest["lines"][name]) for name in machine.lines},
        exit_code=guest["exit_code"],
        reset_requested=bool(guest["reset_requested"]),
        host=parts,
        schedule=None if guest["schedule"] is None else from_plain(ScheduleState, guest["schedule"]),
    )
