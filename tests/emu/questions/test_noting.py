"""What a replay tells of what happens in it: all of it, in order, and the run stays the same."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import asm
from support.own_devices import PulsedGpio, example_setup
from support.recordings import Hand, Recorded, record, setup_of_code, setup_of_image, typed

from minstret.devices.board.board import Setup
from minstret.devices.board.traced import Replay
from minstret.devices.virtio.input_codes import Key
from minstret.emu.hart.observers import TrapTaken
from minstret.emu.hart.shared import Counting
from minstret.emu.irq import SourceChange
from minstret.emu.logs import InterruptEntry, IrqEntry, TrapEntry
from minstret.emu.machine import StopReason
from minstret.emu.questions.happenings import (
    ALL,
    TYPES,
    Answer,
    CheckpointPassed,
    ConsoleIn,
    ConsoleOut,
    Ended,
    Frame,
    Happening,
    HartSwitched,
    HartWaits,
    InputEvent,
    Interrupt,
    LineChanged,
    PinChanged,
    Reset,
    SerialSetUp,
    SnapshotTaken,
    SourceServed,
    TimerFired,
    Trap,
    TrapReturned,
)
from minstret.emu.questions.noting import Happenings
from minstret.emu.session import RunLimits
from minstret.emu.trace.format import Kind


def reset_setup() -> Setup:
    """Types ``r`` and a full stop to a guest that resets at the former."""
    from support.recordings import resetter_code

    return setup_of_code(resetter_code())


def keys_drive(board: Any) -> None:
    board.run_until(uart="ready")
    board.host_side.input.press([Key.KEY_A])


GUESTS: dict[str, Callable[[], tuple[Setup, dict[str, Any]]]] = {
    "ticks": lambda: (setup_of_image("ticks"), {"every": 20_000}),
    "traps": lambda: (setup_of_image("traps", 32), {}),
    "dhcp": lambda: (setup_of_image("dhcp-wfi"), {}),
    "smp": lambda: (setup_of_image("smp", smp=3, quantum=500), {}),
    "gpio": lambda: (example_setup("gpio"), {"icount": 3_000_000}),
    "echo": lambda: (setup_of_image("echo"), {"source": Hand(typed(b"hi\n"), typed(b".q"))}),
    "reset": lambda: (reset_setup(), {"source": Hand(typed(b"ar"), typed(b"."), stays=True), "icount": 200_000}),
    "rtc": lambda: (setup_of_image("rtc"), {}),
}


@pytest.fixture(scope="module", params=GUESTS)
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    setup, options = GUESTS[request.param]()
    return record(tmp_path_factory.mktemp(request.param), setup, **options)


def replay_of(recorded: Recorded, **options: Any) -> Replay:
    with recorded.reader() as reader:
        devices = [PulsedGpio] if "devices" in reader.meta else []
    return Replay(recorded.path, devices=devices, **options)


def told(recorded: Recorded, kinds: frozenset[type[Happening]] = ALL, **options: Any) -> list[Happening]:
    return list(Happenings(replay_of(recorded), kinds, **options))


def of(kind: type[Happening], happenings: list[Happening]) -> list[Any]:
    return [one for one in happenings if type(one) is kind]


# ---- all of it


def test_happenings_come_in_order_and_the_replay_ends_as_recorded(recorded: Recorded) -> None:
    replay = replay_of(recorded)  # compares the digest at the end

    happenings = Happenings(replay)
    positions = [one.position for one in happenings]

    assert positions == sorted(positions)
    assert replay.is_at_end
    assert happenings.outcome == recorded.end.outcome
    assert (replay.board.position, replay.board.digest()) == (recorded.end.position, recorded.end.digest)


def test_traps_and_sources_are_those_of_a_log(recorded: Recorded) -> None:
    replay, logged = replay_of(recorded), list[Any]()
    replay.board.logs.open(traps=True, irq=True, limit=0, on_entry=logged.append)
    replay.run()

    happenings = told(recorded, frozenset({Trap, Interrupt, SourceServed}))

    def place(one: Any, pc: int) -> tuple[Any, ...]:
        return one.icount, one.virtual_ns, one.hart, pc

    expected: list[Any] = []
    for entry in logged:
        if isinstance(entry, TrapEntry):
            kind = Interrupt if isinstance(entry, InterruptEntry) else Trap
            rest = (entry.cause, entry.tval, entry.pc, entry.priv, entry.handler, entry.handler_priv)
            expected.append(kind(entry.icount, entry.virtual_ns, entry.hart, *rest))
        elif isinstance(entry, IrqEntry) and entry.change in (SourceChange.CLAIMED, SourceChange.COMPLETED):
            expected.append(
                SourceServed(entry.icount, entry.virtual_ns, entry.hart, entry.change, entry.source, entry.device)
            )
    assert happenings == expected


def test_items_and_outputs_of_the_trace_are_all_there(recorded: Recorded) -> None:
    happenings = told(recorded)
    items = Counter(item.kind for item in recorded.items())

    assert len(of(CheckpointPassed, happenings)) == items[Kind.CHECKPOINT]
    assert len(of(Answer, happenings)) + len(of(Reset, happenings)) == items[Kind.ANSWER]
    assert b"".join(one.data for one in of(ConsoleOut, happenings)) == recorded.console
    assert [one.data for one in of(Frame, happenings)] == recorded.frames
    typed = b"".join(item.data for item in recorded.items() if item.name == "uart0.rx")
    assert b"".join(one.data for one in of(ConsoleIn, happenings)) == typed
    assert [one.number for one in of(SnapshotTaken, happenings)] == recorded.snapshots()
    assert [type(one) for one in happenings].count(Ended) == 1


def test_each_line_is_raised_and_lowered_in_turn(recorded: Recorded) -> None:
    replay = replay_of(recorded)
    happenings = list(Happenings(replay))

    for name, line in replay.board.machine.lines.items():
        levels = [one.level for one in of(LineChanged, happenings) if one.name == name]
        assert levels == list(itertools.islice(itertools.cycle([True, False]), len(levels)))
        assert line.level == (levels[-1] if levels else False)


def test_waits_begin_and_end_in_turn(recorded: Recorded) -> None:
    happenings = told(recorded)

    for hart in range(3):
        begins = [one.begins for one in of(HartWaits, happenings) if one.hart == hart]
        assert begins == list(itertools.islice(itertools.cycle([True, False]), len(begins)))


@pytest.mark.parametrize("stride_insns", [1, 7, 1_000])
def test_stride_changes_nothing(recorded: Recorded, stride_insns: int) -> None:
    stop = RunLimits(icount=2_000 * min(10, stride_insns))

    assert told(recorded, stop=stop, stride_insns=stride_insns) == told(recorded, stop=stop)


def test_each_kind_alone_is_as_among_all(recorded: Recorded) -> None:
    stop = RunLimits(icount=50_000)
    together = told(recorded, stop=stop)

    for kind in TYPES:
        if kind is not SerialSetUp:  # it comes with what it is about
            assert told(recorded, frozenset({kind}), stop=stop) == of(kind, together)


def test_other_counting_tells_the_same(recorded: Recorded) -> None:
    stop = RunLimits(icount=20_000)

    python = list(Happenings(replay_of(recorded, counting=Counting.PYTHON), stop=stop))

    assert python == told(recorded, stop=stop)


def test_who_goes_away_is_told_no_more(recorded: Recorded) -> None:
    replay = replay_of(recorded)
    happenings = iter(Happenings(replay, stride_insns=1_000))
    next(happenings)
    happenings.close()  # type: ignore[attr-defined]
    machine = replay.board.machine

    assert all(hart.observers.follower is None and not hart._shared.logs_traps for hart in machine.harts)
    assert all(timers.on_fired is None for timers in machine.timers)
    assert replay.door.on_item is None
    assert replay.run() == recorded.end.outcome


# ---- single kinds


@pytest.fixture(scope="module")
def ticks(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record(tmp_path_factory.mktemp("ticks"), setup_of_image("ticks"))


def test_timer_raises_its_line_and_that_interrupts_the_hart(ticks: Recorded) -> None:
    kinds = frozenset({TimerFired, LineChanged, Interrupt, TrapReturned})
    first = told(ticks, kinds)[:5]

    fired = first[0]
    assert isinstance(fired, TimerFired)
    assert (fired.name, fired.clock, fired.is_external) == ("clint.mtimecmp", "virtual", False)
    assert 0 <= fired.virtual_ns - fired.deadline_ns < 2
    assert first[1] == LineChanged(*fired.position, 0, "clint.mtip", True)
    assert isinstance(first[2], Interrupt)
    assert first[2].icount == fired.icount + 1  # the guest waits with interrupts off
    assert first[2].name == "machine timer interrupt"
    assert isinstance(first[3], LineChanged)
    assert not first[3].level
    assert isinstance(first[4], TrapReturned)
    assert first[4].is_mret
    assert first[3].icount < first[4].icount


def test_each_trap_of_a_tick_returns(ticks: Recorded) -> None:
    taken = told(ticks, frozenset({Trap, Interrupt, TrapReturned}))

    assert [type(one) for one in taken] == [Interrupt, TrapReturned] * (len(taken) // 2)
    assert len(taken) == 200


@pytest.mark.parametrize("image", ["traps", "ticks", "paging", "rtos", "mix"])
@pytest.mark.parametrize("xlen", [32, 64])
def test_following_returns_leaves_the_hart_as_it_is(image: str, xlen: int) -> None:
    class Follower:
        def trapped(self, taken: TrapTaken) -> None: ...

        def returned(self, is_mret: bool) -> None:
            returns.append(is_mret)

        def waits(self, begins: bool) -> None: ...

    returns: list[bool] = []
    setup = setup_of_image(image, xlen, ram_size=4 << 20)
    board, followed = setup.make(), setup.make()
    followed.hart.observers.follow(Follower())

    for _ in range(400):
        icount = board.position.icount + 211
        outcome = board.run_until(icount=icount)
        assert followed.run_until(icount=icount) == outcome
        assert followed.hart.save_state() == board.hart.save_state()
        if outcome.reason is not StopReason.REACHED:
            break

    assert followed.digest() == board.digest()
    assert returns


def test_switches_are_of_harts_that_run_from_there_on(tmp_path: Path) -> None:
    recorded = record(tmp_path, setup_of_image("smp", smp=3, quantum=500))

    happenings = told(recorded)
    switches = of(HartSwitched, happenings)

    assert {one.hart for one in switches} == {0, 1, 2}
    assert all(one.hart != other.hart for one, other in itertools.pairwise(switches))
    running: int | None = None
    for one in happenings:
        if isinstance(one, HartSwitched):
            running = one.hart
        elif isinstance(one, Trap | TrapReturned | ConsoleOut):
            assert one.hart == running


def test_pins_of_a_users_device_are_told_as_they_change(tmp_path: Path) -> None:
    recorded = record(tmp_path, example_setup("gpio"))
    happenings = Happenings(replay_of(recorded))

    changes = of(PinChanged, list(happenings))

    assert {"gpio0.pins", "gpio0.out", "gpio0.enable", "gpio0.pending"} <= {name for name, _ in happenings.pins}
    out = [one for one in changes if one.name == "gpio0.out"]
    assert [one.value for one in out] == [0, 1, 2, 3]
    assert [one.hart for one in out] == [None, 0, 0, 0]
    pins = [one for one in changes if one.name == "gpio0.pins"]
    assert [one.value for one in pins][:3] == [0, 1, 0]
    assert all(one.hart is None for one in pins)


def test_keys_are_told_by_name(tmp_path: Path) -> None:
    recorded = record(tmp_path, setup_of_image("keys"), drive=keys_drive, icount=3_000_000)

    events = [one.events for one in told(recorded, frozenset({InputEvent}))]

    assert events == [(("KEY_A", 1),), (("KEY_A", 0),)]


def test_form_of_characters_is_told_with_the_first_of_them(tmp_path: Path) -> None:
    lcr, divisor = 3, 0
    set_up = asm.code(
        asm.li(asm.S1, 0x1000_0000), asm.li(asm.T0, 0x83), asm.sb(asm.T0, asm.S1, lcr), asm.li(asm.T0, 2),
        asm.sb(asm.T0, asm.S1, divisor), asm.li(asm.T0, 0x1B), asm.sb(asm.T0, asm.S1, lcr), asm.li(asm.T0, 65),
        asm.sb(asm.T0, asm.S1, 0), asm.sb(asm.T0, asm.S1, 0), asm.LOOP,
    )  # fmt: skip
    recorded = record(tmp_path, setup_of_code(set_up), icount=100)

    first, *rest = told(recorded, frozenset({SerialSetUp, ConsoleOut}))

    assert isinstance(first, SerialSetUp)
    assert first.format == (8_680, 8, "E", 1)
    assert [type(one) for one in rest] == [ConsoleOut, ConsoleOut]
    assert first.position == rest[0].position


# ---- stretches and ends


def test_stretch_begins_at_a_snapshot_with_what_is_so_there(tmp_path: Path) -> None:
    recorded = record(tmp_path, setup_of_image("ticks"), every=20_000)
    replay = replay_of(recorded, snapshot=1)

    happenings = list(Happenings(replay, ALL - {SerialSetUp}))

    start = replay.reader.snapshot(1).position
    assert happenings[0].position >= start
    whole = [one for one in told(recorded, ALL - {SerialSetUp}) if one.position > start]
    assert [one for one in happenings if one.position > start] == whole


def test_it_stops_where_it_is_told_to(ticks: Recorded) -> None:
    replay = replay_of(ticks)
    happenings = Happenings(replay, stop=RunLimits(virtual_ns=1_000_000))

    positions = [one.position for one in happenings]

    assert happenings.outcome is not None
    assert happenings.outcome.reason is StopReason.REACHED
    assert max(positions) <= replay.board.position
    assert replay.board.position.virtual_ns == 1_000_000


def test_interrupted_walk_ends_with_that(ticks: Recorded) -> None:
    replay = replay_of(ticks)
    happenings = Happenings(replay, stride_insns=100)

    for one in happenings:
        if isinstance(one, TimerFired):
            replay.interrupt()

    assert happenings.outcome is not None
    assert happenings.outcome.reason is StopReason.INTERRUPTED
    assert not replay.is_at_end
    position = replay.board.position
    assert replay.run().reason is StopReason.INTERRUPTED
    assert replay.board.position == position


def test_end_says_how_and_where(ticks: Recorded) -> None:
    *_, last = told(ticks)

    assert isinstance(last, Ended)
    assert (last.reason, last.exit_code) == ("finished", 0)
    assert last.position == ticks.end.position
