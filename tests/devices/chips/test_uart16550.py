"""ns16550a: registers, the divisor latch, the receive FIFO."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import asm
from support.harts import board_of

from minstret.devices.chips.uart16550 import FIFO_SIZE, Lsr, Reg

DLAB = 0x80
FIFO_ON = 0x01


class Bench:
    """The UART of a board that does nothing."""

    def __init__(self) -> None:
        board = board_of(asm.code(asm.LOOP))
        self.uart = board.uart
        self.sent = board.console

    def read(self, reg: Reg) -> int:
        return self.uart.read(reg, 1)

    def write(self, reg: Reg, value: int) -> None:
        self.uart.write(reg, 1, value)

    def read_all(self) -> bytes:
        data = bytearray()
        while self.read(Reg.LSR) & Lsr.DATA_READY:
            data.append(self.read(Reg.RBR_THR))
        return bytes(data)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_transmitter_is_always_ready(bench: Bench) -> None:
    ready = Lsr.THR_EMPTY | Lsr.TRANSMITTER_EMPTY
    assert bench.read(Reg.LSR) == ready

    bench.write(Reg.RBR_THR, ord("x"))

    assert bench.read(Reg.LSR) == ready


def test_bytes_written_to_thr_are_sent_in_order_and_cut_to_8_bits(bench: Bench) -> None:
    for value in (0x41, 0x00, 0xFF, 0x142):
        bench.uart.write(Reg.RBR_THR, 4, value)

    assert bench.sent == b"\x41\x00\xff\x42"


def test_scratch_register_keeps_any_byte(bench: Bench) -> None:
    for value in range(256):
        bench.write(Reg.SCR, value)
        assert bench.read(Reg.SCR) == value

    assert bench.sent == b""


@pytest.mark.parametrize(("reg", "kept"), [(Reg.IER, 0x0F), (Reg.LCR, 0xFF), (Reg.MCR, 0x1F)])
def test_control_registers_keep_the_bits_they_have(bench: Bench, reg: Reg, kept: int) -> None:
    bench.write(reg, 0xFF)

    assert bench.uart.state.lcr == (0xFF if reg is Reg.LCR else 0)
    assert bench.read(reg) == (0 if reg is Reg.IER and bench.uart.state.lcr & DLAB else kept)


@pytest.mark.parametrize("reg", [Reg.LSR, Reg.MSR])
def test_status_registers_ignore_writes(bench: Bench, reg: Reg) -> None:
    before = bench.read(reg)
    bench.write(reg, ~before & 0xFF)

    assert bench.read(reg) == before


def test_dlab_turns_the_first_two_registers_into_the_divisor(bench: Bench) -> None:
    bench.write(Reg.IER, 0x05)
    bench.write(Reg.LCR, DLAB | 3)
    bench.write(Reg.RBR_THR, 0x34)
    bench.write(Reg.IER, 0x12)

    assert (bench.read(Reg.RBR_THR), bench.read(Reg.IER)) == (0x34, 0x12)
    assert bench.uart.state.divisor == 0x1234
    assert bench.sent == b""
    bench.write(Reg.LCR, 3)
    assert bench.read(Reg.IER) == 0x05
    assert bench.read(Reg.LCR) == 3
    bench.write(Reg.RBR_THR, ord("x"))
    assert bench.sent == b"x"
    assert bench.uart.state.divisor == 0x1234


def test_reading_the_divisor_takes_no_received_byte(bench: Bench) -> None:
    bench.uart.receive(b"a")
    bench.write(Reg.LCR, DLAB)
    bench.read(Reg.RBR_THR)
    bench.write(Reg.LCR, 0)

    assert bench.read_all() == b"a"


def test_received_bytes_are_read_in_order(bench: Bench) -> None:
    bench.write(Reg.IIR_FCR, FIFO_ON)

    assert bench.uart.receive(b"abc") == 3

    assert bench.read_all() == b"abc"
    assert bench.read(Reg.RBR_THR) == 0


def test_fifo_takes_what_it_has_room_for(bench: Bench) -> None:
    data = bytes(range(100))
    bench.write(Reg.IIR_FCR, FIFO_ON)

    assert bench.uart.receive(data) == FIFO_SIZE == 16
    assert bench.uart.receive(data[16:]) == 0
    assert bench.read(Reg.RBR_THR) == 0
    assert bench.uart.receive(data[16:]) == 1
    assert bench.read_all() == data[1:17]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=20) | st.integers(0, 20), max_size=20))
def test_no_byte_is_lost_doubled_or_overtaken(steps: list[bytes | int]) -> None:
    bench, taken, got = Bench(), b"", b""
    bench.write(Reg.IIR_FCR, FIFO_ON)

    for step in steps:
        if isinstance(step, bytes):
            taken += step[: bench.uart.receive(step)]
        else:
            got += bytes(bench.read(Reg.RBR_THR) for _ in range(min(step, len(taken) - len(got))))
        assert len(taken) - len(got) <= FIFO_SIZE
        assert bool(bench.read(Reg.LSR) & Lsr.DATA_READY) == (len(taken) > len(got))

    assert got + bench.read_all() == taken


def test_iir_says_that_nothing_is_pending_and_whether_the_fifo_is_on(bench: Bench) -> None:
    bench.uart.receive(b"a")

    assert bench.read(Reg.IIR_FCR) == 0x01
    bench.write(Reg.IIR_FCR, 0x01)
    assert bench.read(Reg.IIR_FCR) == 0xC1
    bench.write(Reg.IIR_FCR, 0x00)
    assert bench.read(Reg.IIR_FCR) == 0x01


def test_clearing_or_switching_the_fifo_drops_received_bytes(bench: Bench) -> None:
    for fcr in (0x02, 0x01, 0x03, 0x00):  # clear; switch on; clear while on; switch off
        bench.uart.receive(b"abc")
        bench.write(Reg.IIR_FCR, fcr)
        assert bench.read_all() == b""


@pytest.mark.parametrize("fcr", [0x01, 0xC1, 0x05])
def test_setting_the_trigger_level_or_clearing_the_transmitter_keeps_received_bytes(bench: Bench, fcr: int) -> None:
    bench.write(Reg.IIR_FCR, FIFO_ON)
    bench.uart.receive(b"abc")

    bench.write(Reg.IIR_FCR, fcr)

    assert bench.read_all() == b"abc"


@pytest.mark.parametrize("offset", [8, 0x10, 0xFF])
def test_beyond_the_registers_reads_zero_and_ignores_writes(bench: Bench, offset: int) -> None:
    before = repr(bench.uart.state)

    bench.uart.write(offset, 1, 0xFF)

    assert bench.uart.read(offset, 1) == 0
    assert repr(bench.uart.state) == before
    assert bench.sent == b""


def test_reset_is_the_state_of_power_on(bench: Bench) -> None:
    for reg in (Reg.IER, Reg.MCR, Reg.SCR, Reg.LCR, Reg.RBR_THR):
        bench.write(reg, 0x83)
    bench.uart.receive(b"abc")

    bench.uart.reset()

    assert bench.uart.state == Bench().uart.state
    assert bench.read_all() == b""


@pytest.mark.parametrize(
    ("lcr", "form"),
    [(0x03, (8, "N", 1)), (0x1B, (8, "E", 1)), (0x0E, (7, "O", 2)), (0x2B, (8, "1", 1)), (0x3A, (7, "0", 1)),
     (0x10, (5, "N", 1)), (0x00, (8, "N", 1))],
)  # fmt: skip
def test_form_of_characters_follows_the_line_control_register(
    bench: Bench, lcr: int, form: tuple[int, str, int]
) -> None:
    bench.write(Reg.LCR, 0x80)
    bench.write(Reg.RBR_THR, 2)
    bench.write(Reg.LCR, lcr)

    assert bench.uart.serial_format() == (8_680, *form)  # 115,200 Bd
