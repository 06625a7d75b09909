"""Chaos: seeded delays on the host side, order within a target, and runs that are the same for the same seed."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise

import pytest
from support import asm
from support.guest_boards import run_cut, setup_of, summary
from support.harts import RAM, ROM_INSNS

from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig
from minstret.devices.board.console import CONSOLE_TARGET
from minstret.devices.hostside.chaos import Chaos
from minstret.devices.services.semihosting import Op
from minstret.emu.clock import ClockType
from minstret.emu.door.door import Event
from minstret.emu.door.live import LiveDoor
from minstret.emu.images.loader import Firmware, Segment
from minstret.emu.machine import STOP_TARGET, Outcome, StopReason
from minstret.emu.state import from_plain, to_plain
from minstret.emu.timers import TimerAttribute, TimerList
from minstret.emu.units import NS_PER_MS
from minstret.firmware import image_path

START_NS = 1_000_003
LONGEST_NS = 20 * NS_PER_MS
PASSED = Outcome(StopReason.FINISHED, 0)
SEEDS = range(4)


class ClockByHand:
    """A virtual clock that a test sets."""

    type = ClockType.VIRTUAL

    def __init__(self) -> None:
        self.ns = START_NS

    def now_ns(self) -> int:
        return self.ns


class Bench:
    """Chaos on a clock of its own, and what came out of it when."""

    def __init__(self, seed: int = 0) -> None:
        self.clock = ClockByHand()
        self.timers = TimerList(self.clock)
        self.out: list[tuple[int, Event]] = []
        self.chaos = Chaos("chaos", seed, self.timers, lambda event: self.out.append((self.clock.ns, event)))

    def run(self) -> None:
        """Let time pass until nothing is held back."""
        while (expire_ns := self.timers.expire_ns()) is not None:
            self.clock.ns = max(self.clock.ns, expire_ns)
            self.timers.run_expired()

    @property
    def events(self) -> list[Event]:
        return [event for _, event in self.out]


def numbered(target: str, count: int) -> list[Event]:
    return [Event(target, number.to_bytes(2, "big")) for number in range(count)]


def delays(seed: int, count: int = 200) -> list[int]:
    """How long each of so many events is held, each for a target of its own."""
    bench = Bench(seed)
    events = [Event(str(number), b"x") for number in range(count)]
    for event in events:
        bench.chaos.take(event)
    bench.run()
    out_ns = {event.target: ns - START_NS for ns, event in bench.out}
    return [out_ns[event.target] for event in events]


# ---- delays and order


def test_delays_are_mostly_short_and_sometimes_long() -> None:
    found = delays(seed=1)

    assert all(0 <= delay_ns < LONGEST_NS for delay_ns in found)
    assert sum(delay_ns < NS_PER_MS for delay_ns in found) > len(found) / 2
    assert sum(delay_ns > NS_PER_MS for delay_ns in found) > len(found) / 20


def test_delays_are_the_seeds() -> None:
    assert delays(seed=7) == delays(seed=7)
    assert len({tuple(delays(seed)) for seed in SEEDS}) == len(SEEDS)


def test_nothing_comes_before_it_is_due() -> None:
    bench = Bench()
    bench.chaos.take(Event("a", b"x"))
    (held,) = bench.chaos.state.waiting

    bench.clock.ns = held.due_ns - 1
    bench.timers.run_expired()
    assert bench.out == []
    bench.clock.ns = held.due_ns
    bench.timers.run_expired()

    assert bench.events == [Event("a", b"x")]


@pytest.mark.parametrize("seed", SEEDS)
def test_order_within_a_target_is_kept(seed: int) -> None:
    bench = Bench(seed)
    sent = numbered("a", 100), numbered("b", 100)
    for one, other in zip(*sent, strict=True):
        bench.chaos.take(one)
        bench.clock.ns += 50_000
        bench.timers.run_expired()
        bench.chaos.take(other)

    bench.run()

    for events in sent:
        assert [event for event in bench.events if event.target == events[0].target] == events


def test_order_of_targets_changes() -> None:
    bench = Bench()
    sent = [event for pair in zip(numbered("a", 50), numbered("b", 50), strict=True) for event in pair]
    for event in sent:
        bench.chaos.take(event)

    bench.run()

    assert bench.events != sent
    assert sorted(bench.events, key=repr) == sorted(sent, key=repr)


def test_its_timer_is_external() -> None:
    bench = Bench()
    bench.chaos.take(Event("a", b"x"))

    assert bench.timers.expire_ns(TimerAttribute.NONE) is None
    assert bench.timers.expire_ns() == bench.chaos.state.waiting[0].due_ns


# ---- what comes from the host


class Lines:
    """A host that types all at once, and hangs up."""

    def __init__(self, *lines: bytes, stops: bool = False) -> None:
        self._events = [Event(CONSOLE_TARGET, line) for line in lines]
        if stops:
            self._events.append(Event(STOP_TARGET, StopReason.TIMEOUT.value.encode()))

    @property
    def is_open(self) -> bool:
        return bool(self._events)

    def poll(self, wants_input: bool) -> list[Event]:
        events, self._events = self._events, []
        return events

    def wait(self, timeout_ns: int | None) -> int:
        raise AssertionError("the guest waits for what has come already")


def echo_board(seed: int | None, host: Lines, slice_insns: int | None = None) -> Board:
    config = BoardConfig(ram_size=1 << 20, chaos_seed=seed, slice_insns_max=slice_insns)
    return Board(image_path("echo"), config, door=LiveDoor(host))


@pytest.mark.parametrize("seed", SEEDS)
def test_typed_text_comes_late_but_whole_to_a_guest_that_sleeps(seed: int) -> None:
    board = echo_board(seed, Lines(b"one ", b"two ", b"three."))

    assert board.run() == PASSED

    assert b"ONE TWO THREE" in board.console


def test_stop_ends_the_run_before_any_text_comes() -> None:
    board = echo_board(0, Lines(b"text.", stops=True))

    assert board.run() == Outcome(StopReason.TIMEOUT)

    assert board.position.icount == 0


@pytest.mark.parametrize("slice_insns", [1, 7, None])
def test_guest_that_reads_while_time_stands_still_gets_what_is_held_back(slice_insns: int | None) -> None:
    marked = (0x01F01013, asm.EBREAK, 0x40705013)
    reads = [asm.code(asm.li(asm.A0, Op.READC), marked, asm.addi(reg, asm.A0, 0)) for reg in (asm.T0, asm.T1, asm.T2)]
    code = b"".join(reads) + asm.code(asm.LOOP)
    config = BoardConfig(ram_size=1 << 20, chaos_seed=1, slice_insns_max=slice_insns)
    firmware = Firmware("test", 64, RAM, (Segment(RAM, code, len(code)),))
    board = Board(firmware, config, door=LiveDoor(Lines(b"h", b"i")))

    board.run_until(icount=ROM_INSNS + len(code) // 4)

    assert [board.registers[name] for name in ("t0", "t1", "t2")] == [ord("h"), ord("i"), (1 << 64) - 1]


# ---- state


@pytest.mark.parametrize("taken", range(1, 8))
def test_state_loaded_in_the_middle_goes_on_the_same(taken: int) -> None:
    bench, fresh = Bench(3), Bench(3)
    events = numbered("a", 4) + numbered("b", 4)
    for event in events[:taken]:
        bench.chaos.take(event)
        bench.clock.ns += 30_000
        bench.timers.run_expired()

    plain = to_plain(bench.chaos.state)
    fresh.chaos.state = from_plain(type(bench.chaos.state), copy.deepcopy(plain))
    fresh.timers.load_state(bench.timers.save_state())
    fresh.clock.ns, fresh.out = bench.clock.ns, list(bench.out)
    for each in (bench, fresh):
        for event in events[taken:]:
            each.chaos.take(event)
        each.run()

    assert fresh.out == bench.out
    assert len(fresh.out) == len(events)


# ---- whole guests


def outcome_of(image: str, seed: int | None, **config: object) -> tuple[object, ...]:
    board = setup_of(image, chaos_seed=seed, **config).make()
    return summary(board, board.run())


@pytest.mark.parametrize("image", ["dhcp", "dhcp-wfi", "keys"])
def test_run_is_the_same_for_the_same_seed_and_another_for_another(image: str) -> None:
    runs = {seed: outcome_of(image, seed) for seed in (None, *SEEDS)}

    assert all(run[0] == PASSED for run in runs.values())
    assert len({run[2] for run in runs.values()}) == len(runs)
    assert outcome_of(image, 3) == runs[3]


@pytest.mark.parametrize("image", ["dhcp-wfi", "tftp", "keys"])
def test_slices_of_any_size_are_delayed_the_same(image: str) -> None:
    whole = outcome_of(image, 5)

    for slice_insns in (7, 1000):
        assert outcome_of(image, 5, slice_insns_max=slice_insns) == whole


@pytest.mark.parametrize("image", ["dhcp-wfi", "tftp", "keys"])
def test_run_saved_while_something_is_held_back_goes_on_the_same(image: str) -> None:
    setup = setup_of(image, chaos_seed=2)
    expected = outcome_of(image, 2)
    end_ns = expected[1].virtual_ns  # type: ignore[attr-defined]
    held: list[int] = []

    cuts = [end_ns * part // 41 for part in range(1, 41)]
    got = run_cut(
        setup, cuts, lambda board: held.append(len(board.machine.save_state().host["chaos"].waiting)), by="virtual_ns"
    )

    assert got == expected
    assert sum(held) > 0


def test_keys_are_seen_in_their_order_whatever_the_seed() -> None:
    seen = set()
    for seed in SEEDS:
        console = outcome_of("keys", seed)[3]
        assert isinstance(console, bytes)
        keyboard = [line for line in console.decode().splitlines() if line.startswith("keyboard: KEY")]
        seen.add(tuple(keyboard))
    assert len(seen) == 1


def test_frames_reach_the_guest_no_earlier_than_without_chaos() -> None:
    setup = setup_of("dhcp", chaos_seed=4)
    times = []
    for each in (setup, replace(setup, config=replace(setup.config, chaos_seed=None))):
        board = each.make()
        times.append([])
        board.on_frame = lambda frame, board=board: times[-1].append(board.position.virtual_ns)  # type: ignore[misc]
        board.run()

    late, early = times
    assert all(late_ns >= early_ns for late_ns, early_ns in zip(late, early, strict=True))
    assert sum(late) > sum(early)
    assert all(before <= after for before, after in pairwise(late))
