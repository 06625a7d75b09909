"""Snapshots: the whole machine between two turns, taken from one machine and put into another.

A snapshot is a cache: a replay from power-on comes to the same state. Pages of RAM are those written since the
snapshot before. What stands before the door is a section of its own (``host``): a replay needs none of it.
"""

from __future__ import annotations

from typing import Any

from minstret.emu.clock import VirtualClockState
from minstret.emu.errors import TraceError
from minstret.emu.hart.hart import HartState
from minstret.emu.hart.shared import PAGE_BITS, PAGE_SIZE
from minstret.emu.machine import Machine, MachineState
from minstret.emu.state import from_plain, to_plain
from minstret.emu.timers import TimerListState
from minstret.emu.trace import Snapshot, TraceReader


def take_snapshot(machine: Machine, number: int, seq: int, registers: int) -> tuple[Snapshot, dict[int, memoryview]]:
    """The machine as it is, and the pages of RAM written since the last call, by number."""
    ram = machine.memory.ram
    pages = {page: ram[page << PAGE_BITS : (page << PAGE_BITS) + PAGE_SIZE] for page in machine.hart.take_dirty_pages()}
    guest, host = split_state(machine)
    return Snapshot(number, seq, machine.position, registers, guest, host), pages


def split_state(machine: Machine) -> tuple[dict[str, Any], dict[str, Any]]:
    """The machine's state as plain values: guest-side, host-side."""
    plain = to_plain(machine.save_state())
    external = {timer.name for timer in machine.virtual_timers.armed() if timer.is_external}
    armed = plain["timers"]["armed"]
    host = {"parts": plain.pop("host"), "timers": [timer for timer in armed if timer[0] in external]}
    plain["timers"]["armed"] = [timer for timer in armed if timer[0] not in external]
    return plain, host


def load_snapshot(machine: Machine, reader: TraceReader, snapshot: Snapshot, *, with_host: bool = False) -> None:
    """Put a snapshot into a machine as it was made: its RAM as at power-on.

    Args:
        machine: What it goes into.
        reader: The trace that has the pages.
        snapshot: Of the same trace.
        with_host: Load the host's section too, to go on live.
    Raises:
        TraceError: it does not fit.
    """
    for page, data in reader.pages(snapshot.id):
        if not 0 <= page < machine.memory.ram_size >> PAGE_BITS:
            raise TraceError(f"{reader.path}: a damaged trace: snapshot {snapshot.id} has a page outside RAM")
        machine.hart.write_physical(machine.memory.ram_base + (page << PAGE_BITS), data)
    try:
        state = _state_from_plain(machine, snapshot.machine, snapshot.host if with_host else None)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TraceError(f"{reader.path}: snapshot {snapshot.id} does not fit this board: {error}") from None
    machine.load_state(state)


def _state_from_plain(machine: Machine, guest: dict[str, Any], host: dict[str, Any] | None) -> MachineState:
    timers = dict(guest["timers"])
    parts: dict[str, Any] = {}
    if host is not None:
        timers["armed"] = sorted([*timers["armed"], *host["timers"]], key=lambda timer: (timer[1], timer[2]))
        kinds = machine.host_part_types()
        parts = {name: from_plain(kinds[name], plain) for name, plain in host["parts"].items()}
    kinds = machine.part_types()
    if sorted(kinds) != sorted(guest["devices"]):
        raise ValueError("it has other devices")
    return MachineState(
        hart=from_plain(HartState, guest["hart"]),
        clock=from_plain(VirtualClockState, guest["clock"]),
        timers=from_plain(TimerListState, timers),
        devices={name: from_plain(kinds[name], plain) for name, plain in guest["devices"].items()},
        lines={name: bool(guest["lines"][name]) for name in machine.lines},
        exit_code=guest["exit_code"],
        reset_requested=bool(guest["reset_requested"]),
        host=parts,
    )
