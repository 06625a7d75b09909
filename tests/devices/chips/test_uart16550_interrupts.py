"""ns16550a: interrupts and their order, the character timeout, FIFO sizes, loopback and modem bits."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.bench_wiring import BenchWiring

from minstret.devices.chips.uart16550 import Ier, Iir, Lsr, Mcr, Msr, Reg, Uart16550
from minstret.emu.clock import VirtualClock
from minstret.emu.timers import TimerList

ICOUNT, SHIFT = 1_000_003, 1
"""An odd start: a mixed-up clock shows at once."""
FIFO_ON, CLEAR_RX = 0x01, 0x02
TRIGGERS = {1: 0x01, 4: 0x41, 8: 0x81, 14: 0xC1}
"""Trigger level to FCR."""
DLAB = 0x80
LCR_8N1, LCR_8E1, LCR_8N2, LCR_7E1, LCR_5N1 = 0x03, 0x1B, 0x07, 0x1A, 0x00
ALL_INTERRUPTS = Ier.RX_DATA | Ier.THR_EMPTY | Ier.LINE_STATUS | Ier.MODEM_STATUS
DELTAS = Msr.DELTA_CTS | Msr.DELTA_DSR | Msr.TRAILING_RI | Msr.DELTA_DCD


@dataclass
class Bench:
    """A UART with a clock that follows ``icount``."""

    icount: int = ICOUNT

    def __post_init__(self) -> None:
        self.clock = VirtualClock(lambda: self.icount, SHIFT)
        self.timers = TimerList(self.clock)
        self.uart = Uart16550()
        self._wiring = BenchWiring(self.uart, self.timers)
        self.line = self._wiring.lines["irq"]

    @property
    def sent(self) -> bytes:
        return b"".join(self._wiring.sent["tx"])

    def read(self, reg: Reg) -> int:
        return self.uart.read(reg, 1)

    def write(self, reg: Reg, value: int) -> None:
        self.uart.write(reg, 1, value)

    def set_format(self, lcr: int, divisor: int) -> None:
        self.write(Reg.LCR, DLAB)
        self.write(Reg.RBR_THR, divisor & 0xFF)
        self.write(Reg.IER, divisor >> 8)
        self.write(Reg.LCR, lcr)

    def go_to_ns(self, virtual_ns: int) -> None:
        self.clock.warp_to(virtual_ns)
        self.timers.run_expired()

    @property
    def now_ns(self) -> int:
        return self.clock.now_ns()

    @property
    def iir(self) -> int:
        """What IIR says, without the FIFO bits."""
        return self.read(Reg.IIR_FCR) & 0x0F

    def read_all(self) -> bytes:
        data = bytearray()
        while self.read(Reg.LSR) & Lsr.DATA_READY:
            data.append(self.read(Reg.RBR_THR))
        return bytes(data)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_uart_powers_on_without_interrupts(bench: Bench) -> None:
    bench.uart.receive(b"a")
    bench.write(Reg.RBR_THR, ord("x"))

    assert not bench.line.level
    assert bench.read(Reg.IIR_FCR) == Iir.NONE


# ---- received data


def test_without_a_fifo_one_byte_fits_and_interrupts(bench: Bench) -> None:
    bench.write(Reg.IER, Ier.RX_DATA)

    assert bench.uart.receive(b"abc") == 1

    assert bench.line.level
    assert bench.iir == Iir.RX_DATA
    assert bench.uart.receive(b"bc") == 0
    assert bench.read(Reg.RBR_THR) == ord("a")
    assert not bench.line.level
    assert bench.uart.receive(b"bc") == 1


def test_with_a_fifo_16_bytes_fit(bench: Bench) -> None:
    bench.write(Reg.IIR_FCR, FIFO_ON)

    assert bench.uart.receive(bytes(range(10))) == 10
    assert bench.uart.receive(bytes(range(10, 20))) == 6
    assert bench.uart.receive(b"x") == 0
    assert bench.read_all() == bytes(range(16))


@pytest.mark.parametrize(("level", "fcr"), TRIGGERS.items())
def test_line_rises_with_the_byte_that_reaches_the_trigger_level(bench: Bench, level: int, fcr: int) -> None:
    bench.write(Reg.IIR_FCR, fcr)
    bench.write(Reg.IER, Ier.RX_DATA)

    for count in range(1, 17):
        bench.uart.receive(b"x")
        assert bench.line.level == (count >= level), count
        assert bench.iir == (Iir.RX_DATA if count >= level else Iir.NONE)


@pytest.mark.parametrize(("level", "fcr"), TRIGGERS.items())
def test_line_falls_once_fewer_bytes_than_the_trigger_level_are_left(bench: Bench, level: int, fcr: int) -> None:
    bench.write(Reg.IIR_FCR, fcr)
    bench.write(Reg.IER, Ier.RX_DATA)
    bench.uart.receive(bytes(16))

    for left in range(15, -1, -1):
        bench.read(Reg.RBR_THR)
        assert bench.line.level == (left >= level), left


def test_enabling_the_interrupt_while_data_waits_raises_the_line(bench: Bench) -> None:
    bench.uart.receive(b"a")

    bench.write(Reg.IER, Ier.RX_DATA)
    assert bench.line.level

    bench.write(Reg.IER, 0)
    assert not bench.line.level


def test_lowering_the_trigger_level_to_what_is_there_raises_the_line(bench: Bench) -> None:
    bench.write(Reg.IIR_FCR, TRIGGERS[8])
    bench.write(Reg.IER, Ier.RX_DATA)
    bench.uart.receive(b"abcd")
    assert not bench.line.level

    bench.write(Reg.IIR_FCR, TRIGGERS[4])

    assert bench.line.level


@pytest.mark.parametrize("fcr", [0x00, FIFO_ON | CLEAR_RX])
def test_switching_off_or_clearing_the_fifo_lowers_the_line_and_stops_the_timeout(bench: Bench, fcr: int) -> None:
    bench.write(Reg.IER, Ier.RX_DATA)
    for data in (b"abcdefgh", b"abc"):
        bench.write(Reg.IIR_FCR, TRIGGERS[8])
        bench.uart.receive(data)

        bench.write(Reg.IIR_FCR, fcr)

        assert not bench.line.level
        assert bench.timers.expire_ns() is None
        assert bench.read_all() == b""


def test_iir_shows_whether_the_fifo_is_on(bench: Bench) -> None:
    assert bench.read(Reg.IIR_FCR) & 0xC0 == 0

    bench.write(Reg.IIR_FCR, TRIGGERS[14])
    assert bench.read(Reg.IIR_FCR) & 0xC0 == 0xC0

    bench.write(Reg.IIR_FCR, 0xC0)  # off: the other bits mean nothing
    assert bench.read(Reg.IIR_FCR) & 0xC0 == 0


# ---- character timeout


@pytest.mark.parametrize(("lcr", "bits"), [(LCR_8N1, 10), (LCR_8E1, 11), (LCR_8N2, 11), (LCR_7E1, 10), (LCR_5N1, 7)])
@pytest.mark.parametrize(("divisor", "bit_ps"), [(9, 39_062_500), (36, 156_250_000), (2304, 10_000_000_000)])
def test_fewer_bytes_interrupt_after_four_characters_time(
    bench: Bench, lcr: int, bits: int, divisor: int, bit_ps: int
) -> None:
    """At 3.6864 MHz and 16 clocks a bit these divisors give 25_600, 6_400 and 100 baud."""
    bench.set_format(lcr, divisor)
    bench.write(Reg.IIR_FCR, TRIGGERS[14])
    bench.write(Reg.IER, Ier.RX_DATA)
    start_ns = bench.now_ns

    bench.uart.receive(b"abc")

    timeout_ns = 4 * (bits * bit_ps // 1000)
    assert bench.timers.expire_ns() == start_ns + timeout_ns
    bench.go_to_ns(start_ns + timeout_ns - 1)
    assert not bench.line.level
    bench.go_to_ns(start_ns + timeout_ns)
    assert bench.line.level
    assert bench.read(Reg.IIR_FCR) == 0xC0 | Iir.RX_TIMEOUT


def test_divisor_0_counts_as_1(bench: Bench) -> None:
    bench.set_format(LCR_8N1, 0)
    bench.write(Reg.IIR_FCR, TRIGGERS[14])

    bench.uart.receive(b"a")

    expire_ns = bench.timers.expire_ns()
    assert expire_ns is not None and expire_ns > bench.now_ns


def test_each_byte_that_comes_or_is_read_starts_the_timeout_again(bench: Bench) -> None:
    bench.set_format(LCR_8N1, 9)
    bench.write(Reg.IIR_FCR, TRIGGERS[14])
    bench.write(Reg.IER, Ier.RX_DATA)
    bench.uart.receive(b"ab")
    timeout_ns, start_ns = 1_562_500, bench.now_ns

    bench.go_to_ns(start_ns + 1000)
    bench.uart.receive(b"c")
    assert bench.timers.expire_ns() == start_ns + 1000 + timeout_ns

    bench.go_to_ns(start_ns + 5000)
    bench.read(Reg.RBR_THR)
    assert bench.timers.expire_ns() == start_ns + 5000 + timeout_ns


def test_reading_ends_the_timeout_interrupt_and_the_rest_times_out_anew(bench: Bench) -> None:
    bench.set_format(LCR_8N1, 9)
    bench.write(Reg.IIR_FCR, TRIGGERS[14])
    bench.write(Reg.IER, Ier.RX_DATA)
    bench.uart.receive(b"ab")
    bench.go_to_ns(bench.now_ns + 1_562_500)
    assert bench.line.level

    assert bench.read(Reg.RBR_THR) == ord("a")
    assert not bench.line.level
    bench.go_to_ns(bench.now_ns + 1_562_500)
    assert bench.line.level

    assert bench.read(Reg.RBR_THR) == ord("b")
    assert not bench.line.level
    assert bench.timers.expire_ns() is None


def test_byte_that_reaches_the_trigger_level_ends_the_timeout(bench: Bench) -> None:
    bench.write(Reg.IIR_FCR, TRIGGERS[4])
    bench.write(Reg.IER, Ier.RX_DATA)
    bench.uart.receive(b"abc")

    bench.uart.receive(b"d")

    assert bench.iir == Iir.RX_DATA
    assert bench.timers.expire_ns() is None


def test_bytes_left_below_the_trigger_level_time_out(bench: Bench) -> None:
    bench.set_format(LCR_8N1, 9)
    bench.write(Reg.IIR_FCR, TRIGGERS[4])
    bench.write(Reg.IER, Ier.RX_DATA)
    bench.uart.receive(b"abcd")

    bench.read(Reg.RBR_THR)
    assert not bench.line.level

    bench.go_to_ns(bench.now_ns + 1_562_500)
    assert bench.iir == Iir.RX_TIMEOUT


def test_timeout_before_the_interrupt_is_enabled_counts_once_it_is(bench: Bench) -> None:
    bench.write(Reg.IIR_FCR, TRIGGERS[14])
    bench.uart.receive(b"a")
    bench.go_to_ns(bench.now_ns + 1_000_000_000)
    assert not bench.line.level

    bench.write(Reg.IER, Ier.RX_DATA)

    assert bench.iir == Iir.RX_TIMEOUT


def test_bytes_below_a_trigger_level_raised_later_time_out(bench: Bench) -> None:
    bench.write(Reg.IER, Ier.RX_DATA)
    bench.write(Reg.IIR_FCR, TRIGGERS[1])
    bench.uart.receive(b"abc")

    bench.write(Reg.IIR_FCR, TRIGGERS[14])
    assert not bench.line.level
    bench.go_to_ns(bench.now_ns + 1_000_000_000)

    assert bench.iir == Iir.RX_TIMEOUT


# ---- transmitter


def test_enabling_the_transmitter_interrupt_asks_at_once_and_reading_iir_answers(bench: Bench) -> None:
    bench.write(Reg.IER, Ier.THR_EMPTY)
    assert bench.line.level

    assert bench.iir == Iir.THR_EMPTY

    assert not bench.line.level
    assert bench.iir == Iir.NONE


def test_each_write_asks_again(bench: Bench) -> None:
    bench.write(Reg.IER, Ier.THR_EMPTY)
    for byte in b"abc":
        assert bench.iir == Iir.THR_EMPTY
        assert not bench.line.level
        bench.write(Reg.RBR_THR, byte)
        assert bench.line.level

    assert bench.sent == b"abc"


def test_writing_ier_with_the_bit_already_set_asks_for_nothing(bench: Bench) -> None:
    bench.write(Reg.IER, Ier.THR_EMPTY)
    assert bench.iir == Iir.THR_EMPTY

    bench.write(Reg.IER, Ier.THR_EMPTY | Ier.RX_DATA)
    assert not bench.line.level

    bench.write(Reg.IER, 0)
    bench.write(Reg.IER, Ier.THR_EMPTY)
    assert bench.line.level


def test_reading_iir_for_another_reason_keeps_the_transmitters_request(bench: Bench) -> None:
    bench.uart.receive(b"a")
    bench.write(Reg.IER, Ier.RX_DATA | Ier.THR_EMPTY)

    assert bench.iir == Iir.RX_DATA
    assert bench.iir == Iir.RX_DATA
    bench.read(Reg.RBR_THR)

    assert bench.iir == Iir.THR_EMPTY
    assert bench.iir == Iir.NONE


def test_reading_lsr_keeps_the_transmitters_request(bench: Bench) -> None:
    bench.write(Reg.IER, Ier.THR_EMPTY)

    bench.read(Reg.LSR)

    assert bench.iir == Iir.THR_EMPTY


# ---- all together


def in_loopback_with_all_reasons(bench: Bench) -> None:
    """Entering loopback moves the modem's inputs; a second byte overruns the first."""
    bench.write(Reg.MCR, Mcr.LOOPBACK)
    bench.write(Reg.RBR_THR, ord("a"))
    bench.write(Reg.RBR_THR, ord("b"))


def test_iir_names_reasons_in_their_order_of_priority(bench: Bench) -> None:
    in_loopback_with_all_reasons(bench)
    bench.write(Reg.IER, ALL_INTERRUPTS)

    assert bench.iir == Iir.LINE_STATUS
    bench.read(Reg.LSR)
    assert bench.iir == Iir.RX_DATA
    bench.read(Reg.RBR_THR)
    assert bench.iir == Iir.THR_EMPTY
    assert bench.iir == Iir.MODEM_STATUS
    assert bench.line.level
    bench.read(Reg.MSR)
    assert bench.iir == Iir.NONE
    assert not bench.line.level


@pytest.mark.parametrize(
    ("enable", "reason"),
    [(Ier.LINE_STATUS, Iir.LINE_STATUS), (Ier.RX_DATA, Iir.RX_DATA), (Ier.THR_EMPTY, Iir.THR_EMPTY),
     (Ier.MODEM_STATUS, Iir.MODEM_STATUS)],
)  # fmt: skip
def test_only_enabled_reasons_interrupt(bench: Bench, enable: Ier, reason: Iir) -> None:
    in_loopback_with_all_reasons(bench)
    assert not bench.line.level

    bench.write(Reg.IER, enable)

    assert bench.line.level
    assert bench.iir == reason


# ---- loopback and the modem


def test_loopback_brings_what_is_sent_back_and_nothing_outside(bench: Bench) -> None:
    bench.write(Reg.IIR_FCR, FIFO_ON)
    bench.write(Reg.MCR, Mcr.LOOPBACK)

    for byte in b"hello":
        bench.write(Reg.RBR_THR, byte)

    assert bench.sent == b""
    assert bench.read_all() == b"hello"


def test_loopback_cuts_off_the_outside_which_waits(bench: Bench) -> None:
    bench.write(Reg.MCR, Mcr.LOOPBACK)

    assert bench.uart.receive(b"abc") == 0

    assert bench.read_all() == b""
    bench.write(Reg.MCR, 0)
    assert bench.read_all() == b""
    assert bench.uart.receive(b"abc") == 1
    assert bench.read_all() == b"a"


def test_byte_looped_into_a_full_fifo_is_an_overrun_and_lost(bench: Bench) -> None:
    bench.write(Reg.IIR_FCR, FIFO_ON)
    bench.write(Reg.MCR, Mcr.LOOPBACK)
    bench.write(Reg.IER, Ier.LINE_STATUS)
    for byte in range(16):
        bench.write(Reg.RBR_THR, byte)
    assert not bench.line.level

    bench.write(Reg.RBR_THR, 0xEE)

    assert bench.line.level
    assert bench.iir == Iir.LINE_STATUS
    assert bench.read(Reg.LSR) & Lsr.OVERRUN
    assert not bench.line.level
    assert not bench.read(Reg.LSR) & Lsr.OVERRUN
    assert bench.read_all() == bytes(range(16))


def test_without_a_fifo_an_overrun_destroys_the_byte_that_was_there(bench: Bench) -> None:
    bench.write(Reg.MCR, Mcr.LOOPBACK)

    bench.write(Reg.RBR_THR, ord("a"))
    bench.write(Reg.RBR_THR, ord("b"))

    assert bench.read(Reg.LSR) & Lsr.OVERRUN
    assert bench.read(Reg.RBR_THR) == ord("b")


def test_loopback_data_interrupts_as_data_from_outside_does(bench: Bench) -> None:
    bench.write(Reg.IIR_FCR, TRIGGERS[4])
    bench.write(Reg.MCR, Mcr.LOOPBACK)
    bench.write(Reg.IER, Ier.RX_DATA)

    for byte in b"abc":
        bench.write(Reg.RBR_THR, byte)
    assert not bench.line.level
    bench.write(Reg.RBR_THR, ord("d"))

    assert bench.iir == Iir.RX_DATA


def test_without_loopback_the_modem_is_connected_and_ready_whatever_mcr_says(bench: Bench) -> None:
    for mcr in (0, Mcr.DTR | Mcr.RTS, Mcr.OUT1 | Mcr.OUT2):
        bench.write(Reg.MCR, mcr)
        assert bench.read(Reg.MSR) == Msr.DCD | Msr.DSR | Msr.CTS


@pytest.mark.parametrize("outputs", range(16))
def test_loopback_brings_the_modems_outputs_back_as_inputs(bench: Bench, outputs: int) -> None:
    bench.write(Reg.MCR, Mcr.LOOPBACK | outputs)

    pairs = ((Mcr.RTS, Msr.CTS), (Mcr.DTR, Msr.DSR), (Mcr.OUT1, Msr.RI), (Mcr.OUT2, Msr.DCD))
    expected = sum(input_ for output, input_ in pairs if outputs & output)
    assert bench.read(Reg.MSR) & 0xF0 == expected


@pytest.mark.parametrize(
    ("output", "delta_on_rise", "delta_on_fall"),
    [(Mcr.RTS, Msr.DELTA_CTS, Msr.DELTA_CTS), (Mcr.DTR, Msr.DELTA_DSR, Msr.DELTA_DSR), (Mcr.OUT1, 0, Msr.TRAILING_RI),
     (Mcr.OUT2, Msr.DELTA_DCD, Msr.DELTA_DCD)],
)  # fmt: skip
def test_change_of_a_modem_input_is_noted_until_read_and_interrupts(
    bench: Bench, output: Mcr, delta_on_rise: int, delta_on_fall: int
) -> None:
    bench.write(Reg.MCR, Mcr.LOOPBACK)
    bench.read(Reg.MSR)
    bench.write(Reg.IER, Ier.MODEM_STATUS)

    for mcr, delta in ((Mcr.LOOPBACK | output, delta_on_rise), (Mcr.LOOPBACK, delta_on_fall)):
        bench.write(Reg.MCR, mcr)
        assert bench.line.level == bool(delta)
        assert bench.read(Reg.MSR) & DELTAS == delta
        assert bench.read(Reg.MSR) & DELTAS == 0
        assert not bench.line.level


def test_deltas_add_up_until_read(bench: Bench) -> None:
    bench.write(Reg.MCR, Mcr.LOOPBACK)
    bench.read(Reg.MSR)

    for mcr in (Mcr.RTS, Mcr.RTS | Mcr.DTR, Mcr.DTR, 0):
        bench.write(Reg.MCR, Mcr.LOOPBACK | mcr)

    assert bench.read(Reg.MSR) == Msr.DELTA_CTS | Msr.DELTA_DSR


def test_scratch_register_keeps_its_byte_through_all_that(bench: Bench) -> None:
    bench.write(Reg.SCR, 0xA5)

    in_loopback_with_all_reasons(bench)
    bench.write(Reg.IIR_FCR, FIFO_ON | CLEAR_RX)

    assert bench.read(Reg.SCR) == 0xA5


def test_reset_lowers_the_line_and_stops_the_timeout(bench: Bench) -> None:
    bench.write(Reg.IIR_FCR, TRIGGERS[14])
    bench.write(Reg.IER, ALL_INTERRUPTS)
    bench.uart.receive(b"a")
    assert bench.line.level
    assert bench.timers.expire_ns() is not None

    bench.uart.reset()

    assert not bench.line.level
    assert bench.timers.expire_ns() is None


steps = st.lists(
    st.one_of(
        st.tuples(st.just("receive"), st.integers(1, 20), st.just(0)),
        st.tuples(st.just("read"), st.sampled_from(list(Reg)), st.just(0)),
        st.tuples(st.just("write"), st.sampled_from(list(Reg)), st.integers(0, 255)),
        st.tuples(st.just("pass"), st.integers(1, 10_000_000), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None, print_blob=True)
@given(steps)
def test_line_is_up_exactly_while_iir_names_a_reason(steps: list[tuple[str, int, int]]) -> None:
    bench = Bench()
    for what, which, value in steps:
        if what == "receive":
            bench.uart.receive(bytes(which))
        elif what == "read":
            bench.read(Reg(which))
        elif what == "write":
            bench.write(Reg(which), value)
        else:
            bench.go_to_ns(bench.now_ns + which)
        level = bench.line.level
        assert level == (bench.iir & 1 == 0), (what, which, value)
