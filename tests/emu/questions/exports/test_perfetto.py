"""Tracks and arrows: what a reader of Chrome's JSON expects."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from support.exported import exported, facts_of_recorded, happenings_of
from support.recordings import Recorded

from minstret.emu.door.door import Position
from minstret.emu.hart.spec import PRIV_M, PRIV_S, PRIV_U, Cause
from minstret.emu.irq import SourceChange
from minstret.emu.questions.exports.perfetto import Perfetto
from minstret.emu.questions.happenings import (
    Frame,
    Happening,
    HartWaits,
    Interrupt,
    LineChanged,
    Reset,
    SourceServed,
    TimerFired,
    Trap,
    TrapReturned,
)


class Slice:
    """A slice that was read back: times in us."""

    def __init__(self, event: dict[str, Any]) -> None:
        self.name, self.args, self.begin = event["name"], event.get("args", {}), event["ts"]
        self.end = self.begin


class Tracks:
    """Reads events as Perfetto does: sorted by time, slices one within the other, arrows between slices."""

    def __init__(self, text: bytes) -> None:
        parsed = json.loads(text, parse_float=Fraction, parse_int=int)
        assert parsed["displayTimeUnit"] == "ns"
        self.events = parsed["traceEvents"]
        self.names: dict[tuple[int, int], str] = {}
        self.groups: dict[int, str] = {}
        self.slices: dict[str, list[Slice]] = defaultdict(list)
        self.arrows: dict[int, list[Slice]] = {}
        open_slices: dict[tuple[int, int], list[Slice]] = defaultdict(list)
        begun: dict[tuple[int, int, Any], Slice] = {}
        for event in sorted(self.events, key=lambda one: one["ts"]):
            self._read(event, open_slices, begun)
        assert not any(open_slices.values()), "a slice that never ends"
        for event in self.events:
            if event["ph"] in "stf":
                self._read_arrow(event, begun)

    def _read(self, event: dict[str, Any], open_slices: Any, begun: Any) -> None:
        phase, track = event["ph"], (event["pid"], event["tid"])
        assert phase in "MBECstf", phase
        if phase == "M" and event["name"] == "thread_name":
            self.names[track] = event["args"]["name"]
        elif phase == "M" and event["name"] == "process_name":
            self.groups[event["pid"]] = event["args"]["name"]
        elif phase == "B":
            one = Slice(event)
            open_slices[track].append(one)
            begun[(*track, event["ts"])] = one
            self.slices[self.names[track]].append(one)
        elif phase == "E":
            open_slices[track].pop().end = event["ts"]

    def _read_arrow(self, event: dict[str, Any], begun: Any) -> None:
        points = self.arrows.setdefault(event["id"], [])
        assert event["ph"] == "s" if not points else event["ph"] in "tf"
        points.append(begun[(event["pid"], event["tid"], event["ts"])])  # each touches a slice where that begins
        if event["ph"] == "f":
            assert event["bp"] == "e"
            assert [one.begin for one in points] == sorted(one.begin for one in points)

    def ways(self) -> list[tuple[str, ...]]:
        """The slices that each arrow touches, by name."""
        return [tuple(one.name for one in points) for points in self.arrows.values()]


def tracks_of(recorded: Recorded) -> Tracks:
    return Tracks(exported(recorded, "perfetto"))


def tracks_with(recorded: Recorded, *happenings: Happening) -> Tracks:
    pieces: list[bytes] = []
    form = Perfetto(facts_of_recorded(recorded), pieces.append)
    for happening in happenings:
        form.add(happening)
    form.finish(Position(1_000, 2_000))
    return Tracks(b"".join(pieces))


def test_slices_nest_and_arrows_are_whole(recorded: Recorded) -> None:
    tracks = tracks_of(recorded)
    phases = Counter(event["ph"] for event in tracks.events)

    assert phases["B"] == phases["E"] > 0
    assert phases["s"] == phases["f"] == len(tracks.arrows)
    assert all(len(points) > 1 for points in tracks.arrows.values())
    assert {event["pid"] for event in tracks.events} == set(tracks.groups)


def test_each_happening_is_a_slice_at_its_time(recorded: Recorded) -> None:
    tracks = tracks_of(recorded)

    for one in happenings_of(recorded):
        at = Fraction(one.virtual_ns, 1000)
        if isinstance(one, Trap):
            assert (one.name, at) in [(each.name, each.begin) for each in tracks.slices[f"hart{one.hart}"]]
        elif isinstance(one, LineChanged) and one.level:
            assert at in [each.begin for each in tracks.slices[one.name]]
        elif isinstance(one, TimerFired):
            assert at in [each.begin for each in tracks.slices[f"{one.name} ({one.clock})"]]


def test_timer_leads_to_the_interrupt_it_caused(guest: Callable[[str], Recorded]) -> None:
    ways = tracks_of(guest("ticks")).ways()

    assert ways == [("clint.mtimecmp fires", "clint.mtip", "machine timer interrupt")] * 100


def test_frame_leads_over_its_lines_to_the_interrupt_and_that_to_the_claim(guest: Callable[[str], Recorded]) -> None:
    tracks = tracks_with(
        guest("dhcp"), Frame(10, 20, None, bytes(60), False), LineChanged(10, 20, None, "virtio7.irq", True),
        LineChanged(10, 20, 0, "plic.seip", True), Interrupt(12, 24, 0, 9, 0, 0x8000_0000, 1, 0x8000_0100, 1),
        SourceServed(20, 40, 0, SourceChange.CLAIMED, 8, "virtio7"), LineChanged(20, 40, 0, "plic.seip", False, 0),
        returned(60, PRIV_S),
    )  # fmt: skip

    assert tracks.ways() == [
        ("frame of 60 bytes received", "virtio7.irq", "plic.seip", "supervisor external interrupt"),
        ("supervisor external interrupt", "virtio7 (8)"),
    ]


def test_interrupt_that_firmware_passes_on_follows_the_timers(guest: Callable[[str], Recorded]) -> None:
    tracks = tracks_with(
        guest("ticks"), Interrupt(10, 20, 0, 7, 0, 0x8000_0000, 1, 0x8000_0100, 3), returned(30, PRIV_S),
        Interrupt(15, 30, 0, 5, 0, 0x8000_0000, 1, 0x8000_0200, 1),
    )  # fmt: skip

    assert tracks.ways() == [("machine timer interrupt", "supervisor timer interrupt")]


def test_pin_that_the_host_drives_leads_to_its_line(guest: Callable[[str], Recorded]) -> None:
    tracks = tracks_of(guest("gpio"))

    counted = [event for event in tracks.events if event["ph"] == "C" and event["name"] == "gpio0.out"]
    assert [event["args"]["value"] for event in counted] == [0, 1, 2, 3]
    assert len(tracks.slices["gpio0.irq"]) == 3


def test_timers_tell_their_clock_and_attribute_and_what_that_saved(guest: Callable[[str], Recorded]) -> None:
    tracks = tracks_of(guest("dhcp"))

    external = [name for name in tracks.slices if name.endswith(", EXTERNAL)")]
    assert external
    args = [tracks.slices[name][0].args for name in external]
    assert all(one["attribute"] == "EXTERNAL" and one["fired in the recording"] >= 0 for one in args)
    assert sum(one["checkpoints that its attribute has saved"] for one in args) > 0
    assert tracks.slices["clint.mtimecmp (virtual)"][0].args["attribute"] == "none"


def trap(ns: int, priv: int, handler_priv: int, hart: int = 0) -> Trap:
    return Trap(ns // 2, ns, hart, Cause.ECALL_FROM_U, 0, 0x8000_0000, priv, 0x8000_0100, handler_priv)


def returned(ns: int, priv: int, hart: int = 0) -> TrapReturned:
    return TrapReturned(ns // 2, ns, hart, False, 0x8000_0000, priv)


def ends(tracks: Tracks) -> list[tuple[int, int]]:
    return [(int(one.begin * 1000), int(one.end * 1000)) for one in tracks.slices["hart0"]]


def test_return_closes_the_handler_that_was_entered_from_there(guest: Callable[[str], Recorded]) -> None:
    tracks = tracks_with(
        guest("ticks"), trap(10, PRIV_U, PRIV_S), trap(20, PRIV_S, PRIV_M), returned(30, PRIV_S), returned(40, PRIV_U)
    )

    assert ends(tracks) == [(10, 40), (20, 30)]


def test_return_to_user_mode_closes_all(guest: Callable[[str], Recorded]) -> None:
    tracks = tracks_with(guest("ticks"), trap(10, PRIV_S, PRIV_S), trap(20, PRIV_S, PRIV_S), returned(30, PRIV_U))

    assert ends(tracks) == [(10, 30), (20, 30)]


def test_first_return_without_a_trap_closes_nothing(guest: Callable[[str], Recorded]) -> None:
    tracks = tracks_with(guest("ticks"), returned(5, PRIV_S), trap(10, PRIV_S, PRIV_M))

    assert ends(tracks) == [(10, 2_000)]


def test_handlers_that_never_return_do_not_pile_up(guest: Callable[[str], Recorded]) -> None:
    tracks = tracks_with(guest("ticks"), *(trap(10 * number, PRIV_M, PRIV_M) for number in range(1, 100)))

    assert len(ends(tracks)) == 99
    assert max(sum(begin <= ns < end for begin, end in ends(tracks)) for ns in range(0, 1_000, 10)) == 32


def test_wait_is_a_slice_within_the_handler(guest: Callable[[str], Recorded]) -> None:
    tracks = tracks_with(
        guest("ticks"), trap(10, PRIV_M, PRIV_M), HartWaits(10, 20, 0, True, 0x8000_0004),
        HartWaits(10, 400, 0, False, 0x8000_0004), returned(410, PRIV_M),
    )  # fmt: skip

    assert ends(tracks) == [(10, 410), (20, 400)]


def test_reset_closes_what_was_open(guest: Callable[[str], Recorded]) -> None:
    tracks = tracks_with(guest("ticks"), trap(10, PRIV_M, PRIV_M), Reset(20, 40, None), trap(50, PRIV_M, PRIV_M))

    assert ends(tracks) == [(10, 40), (50, 2_000)]


def test_line_that_a_hart_raises_itself_has_no_other_cause(guest: Callable[[str], Recorded]) -> None:
    tracks = tracks_with(
        guest("ticks"), TimerFired(10, 20, None, "clint.mtimecmp", "virtual", False, 20),
        LineChanged(10, 20, 0, "clint.msip", True, 0), Interrupt(11, 22, 0, 3, 0, 0x8000_0000, 3, 0x8000_0100, 3),
    )  # fmt: skip

    assert tracks.ways() == [("clint.msip", "machine software interrupt")]


def test_claimed_sources_follow_the_interrupt(guest: Callable[[str], Recorded]) -> None:
    recorded = guest("gpio")
    claims = [one for one in happenings_of(recorded) if isinstance(one, SourceServed)]
    tracks = tracks_of(recorded)

    assert len(tracks.slices["gpio0 (12)"]) * 2 == len(claims) == 6
