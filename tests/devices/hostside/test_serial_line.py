"""The line into the UART: when a character enters, and what happens to what was thrown away."""

from __future__ import annotations

import pytest
from support import asm
from support.bench_wiring import BenchWiring
from support.harts import RAM
from support.recordings import typed

from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig
from minstret.devices.chips.uart16550 import Ier, Mcr, Reg, Uart16550
from minstret.devices.hostside.serial_line import (
    INTERRUPTING_INSNS,
    POLLED_INSNS,
    SETTLE_INSNS,
    TURNAROUND_INSNS,
    SerialLine,
)
from minstret.emu.clock import ClockType
from minstret.emu.door.door import Event
from minstret.emu.door.live import LiveDoor
from minstret.emu.images.loader import Firmware, Segment
from minstret.emu.machine import STOP_TARGET
from minstret.emu.timers import TimerAttribute, TimerList

TARGET = "uart0.rx"
SHIFT = 3
POLLED_NS, INTERRUPTING_NS, SETTLE_NS, TURNAROUND_NS = (
    insns << SHIFT for insns in (POLLED_INSNS, INTERRUPTING_INSNS, SETTLE_INSNS, TURNAROUND_INSNS)
)  # fmt: skip
FIFO_ON, CLEAR_RX = 0x01, 0x02


class ClockByHand:
    """A virtual clock that a test sets."""

    type = ClockType.VIRTUAL

    def __init__(self) -> None:
        self.ns = 1_000_003

    def now_ns(self) -> int:
        return self.ns


class Bench:
    """A UART and its line; what is posted enters at once, as between two turns of a machine."""

    def __init__(self) -> None:
        self.clock = ClockByHand()
        self.timers = TimerList(self.clock)
        self.uart = Uart16550()
        BenchWiring(self.uart, self.timers)
        self.is_bypassed = False
        self.posted: list[tuple[int, bytes]] = []
        self.asked = 0
        self.line = SerialLine(
            "line", TARGET, self.timers, shift=SHIFT, room=self.uart.room, post=self._post,
            interrupts=lambda: bool(self.uart.state.ier & Ier.RX_DATA), is_bypassed=lambda: self.is_bypassed,
        )  # fmt: skip
        self.line.may_come = lambda: True
        self.line.ask = self._ask
        self.uart.sender = self.line

    def _post(self, event: Event) -> None:
        assert event.target == TARGET
        self.posted.append((self.clock.ns, event.data))
        if not self.is_bypassed:
            assert self.uart.receive(event.data) == len(event.data) == 1

    def _ask(self) -> None:
        self.asked += 1

    def write(self, reg: Reg, value: int) -> None:
        self.uart.write(reg, 1, value)

    def read(self, reg: Reg = Reg.RBR_THR) -> int:
        return self.uart.read(reg, 1)

    def give(self, data: bytes) -> None:
        assert self.line.divert(typed(data))
        self.timers.run_expired()

    def let_pass(self, ns: int) -> None:
        end_ns = self.clock.ns + ns
        while (expire_ns := self.timers.expire_ns()) is not None and expire_ns <= end_ns:
            self.clock.ns = max(self.clock.ns, expire_ns)
            self.timers.run_expired()
        self.clock.ns = end_ns

    @property
    def entered(self) -> bytes:
        return b"".join(data for _, data in self.posted)


@pytest.fixture
def bench() -> Bench:
    """The FIFO is on, and the receiver has settled."""
    bench = Bench()
    bench.write(Reg.IIR_FCR, FIFO_ON)
    bench.let_pass(SETTLE_NS)
    return bench


def test_nothing_enters_a_receiver_that_the_guest_does_not_use() -> None:
    bench = Bench()
    bench.give(b"abc")

    bench.write(Reg.RBR_THR, ord("x"))
    bench.write(Reg.SCR, 1)
    bench.read(Reg.MSR)
    bench.let_pass(10 * SETTLE_NS)

    assert bench.entered == b""


def test_line_whose_input_had_ended_asks_again_where_it_goes_on_with_another_host() -> None:
    bench = Bench()
    bench.line.may_come = lambda: False
    bench.read(Reg.LSR)
    bench.let_pass(SETTLE_NS)
    assert bench.asked == 0

    bench.line.may_come = lambda: True
    bench.line.go_on()
    bench.let_pass(1)

    assert bench.asked == 1
    bench.line.go_on()
    bench.let_pass(1)
    assert bench.asked == 1


@pytest.mark.parametrize("held", [b"", b"abc"])
def test_line_that_goes_on_with_its_own_host_does_as_before(held: bytes, bench: Bench) -> None:
    bench.line.divert(typed(held or b"x"))
    if not held:
        bench.let_pass(SETTLE_NS)
    before = bench.timers.save_state(), bench.line.state

    bench.line.go_on()

    assert (bench.timers.save_state(), bench.line.state) == before


@pytest.mark.parametrize("reg", [Reg.LSR, Reg.RBR_THR])
def test_first_character_enters_soon_after_the_guest_has_looked(reg: Reg) -> None:
    bench = Bench()
    bench.give(b"a")
    bench.read(reg)

    bench.let_pass(POLLED_NS - 1)
    assert bench.entered == b""
    bench.let_pass(1)

    assert bench.entered == b"a"


@pytest.mark.parametrize(
    ("reg", "value"), [(Reg.IIR_FCR, FIFO_ON), (Reg.IIR_FCR, 0xC1), (Reg.LCR, 3), (Reg.MCR, 3)]
)  # fmt: skip
def test_line_is_quiet_for_a_while_after_the_receiver_was_set_up(bench: Bench, reg: Reg, value: int) -> None:
    bench.write(reg, value)
    bench.give(b"a")

    bench.let_pass(SETTLE_NS - 1)
    assert bench.entered == b""
    bench.let_pass(1)

    assert bench.entered == b"a"


def test_character_typed_to_an_idle_line_enters_at_once(bench: Bench) -> None:
    bench.give(b"a")

    assert bench.posted == [(bench.clock.ns, b"a")]


@pytest.mark.parametrize(("ier", "pace_ns"), [(0, POLLED_NS), (Ier.RX_DATA, INTERRUPTING_NS)])
def test_characters_keep_their_distance(bench: Bench, ier: int, pace_ns: int) -> None:
    bench.write(Reg.IER, ier)
    start_ns = bench.clock.ns
    bench.give(b"abc")
    bench.let_pass(10 * pace_ns)

    assert bench.posted == [(start_ns + number * pace_ns, b"abc"[number : number + 1]) for number in range(3)]


def test_line_stops_at_a_full_fifo_and_goes_on_when_a_byte_is_read(bench: Bench) -> None:
    bench.give(bytes(range(100, 120)))
    bench.let_pass(SETTLE_NS)
    assert bench.entered == bytes(range(100, 116))

    assert bench.read() == 100
    bench.let_pass(0)

    assert bench.posted[-1] == (bench.clock.ns, bytes((116,)))
    assert bench.timers.expire_ns() is None  # there is no room: it waits to be told
    bench.let_pass(SETTLE_NS)
    assert bench.line.state.held == bytes((117, 118, 119))


@pytest.mark.parametrize("end", [b"\r", b"\n"])
def test_line_behind_another_waits_until_that_is_read_and_the_guest_is_quiet(bench: Bench, end: bytes) -> None:
    bench.give(b"ab" + end + b"cd")
    bench.let_pass(10 * TURNAROUND_NS)
    assert bench.entered == b"ab" + end  # however long the guest takes to read it

    for byte in b"ab" + end:
        assert bench.read() == byte
    bench.let_pass(SETTLE_NS - 1)
    for _ in range(3):
        bench.write(Reg.RBR_THR, ord("x"))
        bench.let_pass(TURNAROUND_NS - 1)
    assert bench.entered == b"ab" + end
    bench.let_pass(1)
    assert bench.entered == b"ab" + end + b"c"
    bench.let_pass(INTERRUPTING_NS)
    assert bench.entered == b"ab" + end + b"cd"


def test_line_behind_one_that_the_guest_says_nothing_about_comes_soon(bench: Bench) -> None:
    bench.give(b"\nb")
    bench.let_pass(SETTLE_NS)
    assert bench.read() == ord("\n")
    bench.let_pass(SETTLE_NS - 1)
    assert bench.entered == b"\n"
    bench.let_pass(1)
    assert bench.entered == b"\nb"


@pytest.mark.parametrize("fcr", [FIFO_ON | CLEAR_RX, 0, CLEAR_RX])
def test_what_a_reset_of_the_fifo_throws_away_comes_again(bench: Bench, fcr: int) -> None:
    bench.give(b"abcdef")
    bench.let_pass(SETTLE_NS)
    assert (bench.read(), bench.read()) == (ord("a"), ord("b"))

    bench.write(Reg.IIR_FCR, fcr)
    assert not bench.read(Reg.LSR) & 1
    got = []
    for _ in range(4):
        bench.let_pass(SETTLE_NS)
        got.append(bench.read())

    assert bytes(got) == b"cdef"
    assert bench.line.state.held == b""


def test_bytes_of_the_guests_own_do_not_come_again(bench: Bench) -> None:
    bench.give(b"ab")
    bench.let_pass(SETTLE_NS)
    bench.write(Reg.MCR, Mcr.LOOPBACK)
    for byte in b"xyz":
        bench.write(Reg.RBR_THR, byte)
    assert bench.read() == ord("a")

    bench.write(Reg.IIR_FCR, FIFO_ON | CLEAR_RX)
    bench.write(Reg.MCR, 0)
    bench.let_pass(2 * SETTLE_NS)

    assert bench.entered == b"abb"


def test_nothing_enters_in_loopback(bench: Bench) -> None:
    bench.write(Reg.MCR, Mcr.LOOPBACK)
    bench.give(b"a")
    bench.let_pass(10 * SETTLE_NS)
    assert bench.entered == b""

    bench.write(Reg.MCR, 0)
    bench.let_pass(SETTLE_NS)

    assert bench.entered == b"a"


def test_reset_of_the_uart_takes_back_what_was_not_read_and_waits_for_the_guest(bench: Bench) -> None:
    bench.give(b"abc")
    bench.let_pass(SETTLE_NS)
    bench.read()

    bench.uart.reset()
    bench.let_pass(10 * SETTLE_NS)

    assert bench.line.state.held == b"bc"
    bench.read(Reg.LSR)
    bench.let_pass(SETTLE_NS)
    assert bench.entered == b"abcb"


def test_host_is_asked_once_when_the_line_runs_dry(bench: Bench) -> None:
    assert bench.asked == 1
    assert bench.line.wants_input(True)
    bench.give(b"ab")
    assert not bench.line.wants_input(True)

    bench.let_pass(SETTLE_NS)

    assert bench.line.wants_input(True)
    bench.read()
    bench.let_pass(SETTLE_NS)
    assert bench.asked == 1


def test_nothing_is_timed_where_nothing_can_come() -> None:
    bench = Bench()
    bench.line.may_come = lambda: False

    bench.write(Reg.IIR_FCR, FIFO_ON)

    assert bench.timers.expire_ns() is None


def test_its_timer_is_external(bench: Bench) -> None:
    bench.give(b"ab")

    assert bench.timers.expire_ns() == bench.clock.ns + POLLED_NS
    assert bench.timers.expire_ns(TimerAttribute.NONE) is None


def test_other_events_pass_by(bench: Bench) -> None:
    assert not bench.line.divert(Event(STOP_TARGET, b"timeout"))


def test_who_reads_past_the_line_gets_all_at_once_and_in_order(bench: Bench) -> None:
    bench.give(b"abc")
    assert not bench.line.recall()
    bench.is_bypassed = True
    bench.uart.take_received()
    bench.give(b"de")
    bench.posted.clear()

    assert bench.line.recall()

    assert bench.entered == b"bcde"
    assert not bench.line.recall()
    assert not bench.line.divert(typed(b"f"))  # from now on it goes straight to the door


# ---- on a board


class Nothing:
    """A pipe that stays open, and in which nothing comes."""

    is_open = True

    def poll(self, wants_input: bool) -> list[Event]:
        return []

    def wait(self, timeout_ns: int | None) -> int:
        raise AssertionError("nobody waits")


def test_guest_that_looks_and_gets_nothing_is_the_run_without_a_host() -> None:
    code = asm.code(asm.li(asm.T0, 0x1000_0000), asm.lb(asm.T1, asm.T0, 5), asm.sb(asm.T0, asm.T0, 2), asm.LOOP)
    digests = set()
    for door in (LiveDoor(), LiveDoor(Nothing())):
        firmware = Firmware("test", 64, RAM, (Segment(RAM, code, len(code)),))
        board = Board(firmware, BoardConfig(ram_size=1 << 20), door=door)
        board.run_until(icount=200_000)
        digests.add(board.digest())

    assert len(digests) == 1
