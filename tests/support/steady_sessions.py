"""Guests of all kinds for tests of sessions, and a host that can be put back together with the session."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from support.generated_code import generate
from support.htif_guests import echo_setup
from support.own_devices import busy_setup, example_setup
from support.recordings import CTRL_C, Hand, reader_code, resetter_code, setup_of_code, setup_of_image, typed
from support.semihosting_program import all_kinds
from support.smp_guests import setup_of_busy
from support.virtio_storms import finishing

from minstret.devices.board.board import Board, Setup
from minstret.devices.hostside.hostinput.parsing import parse_script
from minstret.emu.session import LiveSession
from minstret.emu.trace.reader import TraceReader


def setup_of_program(number: int, xlen: int) -> Setup:
    program = generate(f"session/{number}", xlen)
    return setup_of_code(program.image(), xlen=xlen, icount_shift=program.icount_shift)


def setup_of_keys() -> Setup:
    return replace(
        setup_of_image("keys"), script=tuple(parse_script('AT 1ms: type "two <ret>"\nAT 90ms: press esc', ""))
    )


def setup_of_talk() -> Setup:
    """Somebody at the console who waits for answers: matches that may grow, and times."""
    lines = """
        SEND "ab"
        EXPECT /[A-Z]+/ within 5ms
        SLEEP 1ms
        SEND "cd"
        EXPECT "CD"
        SLEEP 20us
        SEND "e."
        EXPECT /[0-9]+ b/
    """
    return replace(setup_of_image("echo"), script=tuple(parse_script(lines, "")))


SUBJECTS: dict[str, tuple[Callable[[int], Setup], int]] = {
    "keys": (lambda _: setup_of_keys(), 130_000),
    "dhcp": (lambda _: setup_of_image("dhcp"), 120_000),
    "dhcp-wfi": (lambda _: setup_of_image("dhcp-wfi"), 130_000),
    "tftp": (lambda _: setup_of_image("tftp"), 300_000),
    "ticks": (lambda _: setup_of_image("ticks"), 30_000),
    "rtos": (lambda _: setup_of_image("rtos"), 60_000),
    "paging": (lambda _: setup_of_image("paging"), 100_000),
    "rtc": (lambda _: setup_of_image("rtc", rtc_follows_host=True), 14_000),
    "talk": (lambda _: setup_of_talk(), 20_000),
    "echo": (lambda _: setup_of_image("echo"), 20_000),
    "resetter": (lambda _: setup_of_code(resetter_code()), 4_000),
    "reader": (lambda _: setup_of_code(reader_code()), 4_000),
    "program64": (lambda number: setup_of_program(number, 64), 2_500),
    "program32": (lambda number: setup_of_program(number, 32), 2_500),
    "files": (lambda _: all_kinds().setup(), 2_500),
    "htif": (lambda _: echo_setup(), 4_000),
    "busy": (lambda _: busy_setup(), 4_000),
    "gpio": (lambda _: example_setup("gpio"), 60),
    "shout": (lambda _: example_setup("shout"), 2_000),
    "storm": (lambda _: finishing(150, 20, 54), 60_000),
    "harts64": (lambda number: setup_of_busy(64, 2 + number % 3, quantum=1 << number % 8, rounds=8), 6_000),
    "harts32": (lambda number: setup_of_busy(32, 2 + number % 7, quantum=1 << number % 10, rounds=5), 8_000),
    "reading harts": (lambda number: setup_of_code(reader_code(), smp=3, quantum=1 + number % 30), 4_000),
}
"""Guests, given a number, and how many instructions of each are run."""

INPUT = (b"ab\n", b"r", b"more than a FIFO of sixteen has room for", b"q.\x04")


class SteadyHost(Hand):
    """A host whose every answer follows from how often it was asked; ``place`` puts it back."""

    def __init__(self, number: int) -> None:
        super().__init__(*map(typed, INPUT))
        self.asked = 0
        self.moods = random.Random(number)

    def wall_ns(self) -> int:
        self.asked += 1
        return 10**18 + self.asked * 54_321

    def wait(self, timeout_ns: int | None) -> int:
        if timeout_ns is None and self.is_empty:  # the guest has no use for what is typed
            self.give(CTRL_C)
            return 0
        waited_ns = super().wait(timeout_ns)
        self.asked += waited_ns // 54_321
        return waited_ns

    @property
    def is_open(self) -> bool:
        return not self.is_empty or bool(self._now)

    @property
    def place(self) -> tuple[Any, ...]:
        return tuple(self._planned), tuple(self._now), self.asked, self.moods.getstate()

    @place.setter
    def place(self, place: tuple[Any, ...]) -> None:
        self._planned, self._now, self.asked = list(place[0]), list(place[1]), place[2]
        self.moods.setstate(place[3])


def live(setup: Setup) -> LiveSession[Board]:
    return LiveSession(lambda door: setup.make(door=door))


def same_trace(one: str, other: str) -> bool:
    a, b = TraceReader(one), TraceReader(other)
    try:
        assert list(a.items()) == list(b.items())
        assert list(a.outputs()) == list(b.outputs())
        assert (a.meta["timers"], a.end, a.reached()) == (b.meta["timers"], b.end, b.reached())
        assert a.snapshot_positions() == b.snapshot_positions()
        for number, _ in a.snapshot_positions():
            assert a.snapshot(number) == b.snapshot(number)
            assert list(a.pages(number)) == list(b.pages(number))
    finally:
        a.close()
        b.close()
    return True
