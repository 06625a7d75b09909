"""What is on a board, as lines for people."""

from __future__ import annotations

import re

import pytest
from support import asm
from support.guest_boards import setup_of
from support.harts import board_of
from support.own_devices import GPIO_BASE, GPIO_IRQ, PulsedGpio
from support.recordings import setup_of_code

from minstret.devices.board.board import Board, Setup
from minstret.emu.hart.cpu import default_cpu
from minstret.emu.hart.csr_table import csrs_by_name
from minstret.emu.info import csrs_text, devices_text, lines_text, span_text, time_text, timers_text, tlb_text

SATP_SV39, SATP_SV57, SATP_SV32 = 8 << 60, 10 << 60, 1 << 31


def row_of(lines: list[str], name: str) -> list[str]:
    """The cells of the line that begins with this name."""
    (line,) = (line for line in lines if line.split()[:1] == [name] or name in line.split()[:2])
    return re.split(r"  +", line.strip())


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "0 ns"), (999, "999 ns"), (1000, "1 us"), (1_500_001, "1.500001 ms"), (61_020_000_000, "61.02 s")],
)
def test_span_is_told_exactly_in_the_unit_that_suits(ns: int, text: str) -> None:
    assert span_text(ns) == text


def test_time_is_told_in_seconds_to_the_nanosecond() -> None:
    assert time_text(1_234_000_000_001) == "1,234.000000001 s"


# ---- devices


def test_device_is_listed_with_addresses_interrupt_and_what_is_set_in_it() -> None:
    board = setup_of("dhcp").make()
    board.run_until(icount=200_000)

    lines = devices_text(board.assembly.parts)

    assert row_of(lines, "uart0")[:3] == ["uart0", "0x10000000-0x100000ff", "10"]
    assert "divisor 0xc" in row_of(lines, "uart0")[3]
    assert row_of(lines, "clint")[1:] == ["0x2000000-0x200ffff", "-", "mtimecmp [0xffffffffffffffff]"]
    assert lines[lines.index(next(line for line in lines if "virtio7" in line)) + 1].startswith("  net0 ")
    assert max(map(len, lines)) < 250


def test_device_of_a_user_is_listed_too() -> None:
    made = setup_of_code(asm.code(asm.LOOP))
    board = Setup(made.config, made.bios, devices=(PulsedGpio(GPIO_BASE, GPIO_IRQ, 1),)).make()

    assert any(f"{GPIO_BASE:#x}-" in line and f"  {GPIO_IRQ}  " in line for line in devices_text(board.assembly.parts))


# ---- timers


def test_armed_timer_is_listed_with_what_is_left_and_others_by_name() -> None:
    board = setup_of("ticks").make()
    board.run_until(virtual_ns=2_500_000)
    deadline = board.machine.virtual_timers.expire_ns()
    assert deadline is not None

    lines = timers_text(board.machine)

    _, clock, expires, at, attributes, fired = row_of(lines, "clint.mtimecmp")
    assert (clock, expires, at) == (
        "virtual",
        f"in {span_text(deadline - board.position.virtual_ns)}",
        time_text(deadline),
    )
    assert attributes == "-"
    assert int(fired) == board.machine.virtual_timers.timers()[0].counts.fired
    assert "rtc.alarm" in lines[-1]
    assert lines[-1].startswith("not armed: ")


def test_timers_of_the_host_side_are_marked_and_a_timer_that_is_due_fires_now() -> None:
    board = setup_of("dhcp").make()
    board.run_until(icount=200_000)
    board.machine.virtual_timers.timers()[0].arm(5)

    lines = timers_text(board.machine)

    assert row_of(lines, "usernet.lease")[4] == "EXTERNAL"
    assert row_of(lines, "clint.mtimecmp")[2] == "now"


def test_board_on_which_no_timer_is_armed_says_so() -> None:
    assert timers_text(board_of(asm.code(asm.LOOP)).machine)[0] == "no timer is armed"


# ---- interrupts


def test_lines_show_what_is_up_and_what_the_controller_makes_of_it() -> None:
    board = board_of(asm.code(asm.LOOP), smp=2)
    board.plic.write(4 * 10, 4, 3)  # priority
    board.plic.write(0x2080, 4, 1 << 10)  # enabled for S-mode of hart 0
    board.registers_of(0)["mie"] = 0x222
    board.machine.lines["uart0.irq"].set_level(True)

    lines = lines_text(board.machine, board.interrupt_sources())

    assert lines[0] == "up: plic.seip, uart0.irq"
    assert "plic.meip1" in lines[1]
    assert row_of(lines, "10") == ["10", "uart0", "up", "yes", "-", "3", "hart0 S"]
    assert lines[-2] == ("hart0: mip 0x200 (SEI), mie 0x222 (SSI STI SEI), mideleg 0x0, mstatus.MIE 0, mstatus.SIE 0")
    assert lines[-1] == "hart1: mip 0x0, mie 0x0, mideleg 0x0, mstatus.MIE 0, mstatus.SIE 0"

    assert board.plic.read(0x201004, 4) == 10  # claimed
    assert row_of(lines_text(board.machine, board.interrupt_sources()), "10")[2:5] == ["up", "-", "yes"]


# ---- harts


def board_with_gigapage(xlen: int) -> Board:
    """A board whose root table, at the second page of RAM, has one leaf, its third entry."""
    board = board_of(asm.code(asm.LOOP), xlen=xlen)
    board.registers["pmpaddr0"], board.registers["pmpcfg0"] = -1, 0x1F
    size, entry = (8, (1 << 30 >> 12) << 10 | 0xCF) if xlen == 64 else (4, (1 << 22 >> 12) << 10 | 0xCF)
    board.memory[0x8000_1000 + 2 * size :] = entry.to_bytes(size, "little")
    board.registers["satp"] = (SATP_SV39 if xlen == 64 else SATP_SV32) | 0x80001
    return board


def test_tlb_lists_what_the_tables_map() -> None:
    assert tlb_text(board_with_gigapage(64).hart) == [
        "hart0: satp is 0x8000000000080001, Sv39",
        "0000000080000000-00000000bfffffff -> 0040000000  rwx--ad  1G",
    ]
    assert tlb_text(board_with_gigapage(32).hart) == [
        "hart0: satp is 0x80080001, Sv32", "00800000-00bfffff -> 0000400000  rwx--ad  4M"
    ]  # fmt: skip


def test_tlb_names_sv57_and_its_addresses() -> None:
    board = board_with_gigapage(64)
    board.registers["satp"] = SATP_SV57 | 0x80001
    board.memory[0x8000_1000 + 511 * 8 :] = (0x80002 << 10 | 1).to_bytes(8, "little")
    board.memory[0x8000_2000:] = (0x80003 << 10 | 1).to_bytes(8, "little")
    board.memory[0x8000_3000 + 8 :] = (0x40000 << 10 | 0xC7).to_bytes(8, "little")

    assert tlb_text(board.hart) == [
        "hart0: satp is 0xa000000000080001, Sv57",
        "ffff000040000000-ffff00007fffffff -> 0040000000  rw---ad  1G",
    ]


def test_tlb_of_a_hart_without_tables_says_so() -> None:
    board = board_with_gigapage(64)
    board.memory[0x8000_1000:0x8000_2000] = bytes(0x1000)
    assert tlb_text(board.hart)[1:] == ["nothing is mapped"]

    board.registers["satp"] = 0
    assert tlb_text(board.hart) == ["hart0: satp is 0x0, Bare: virtual addresses are the physical ones"]


@pytest.mark.parametrize("xlen", [64, 32])
def test_every_csr_is_listed_with_its_value_or_among_those_that_are_0(xlen: int) -> None:
    board = board_of(asm.code(asm.LOOP), xlen=xlen, smp=2)
    board.registers_of(1)["mscratch"] = 0x1234

    first, *lines = csrs_text(board.harts[1], board.registers_of(1))

    assert first == f"hart1: rv{xlen}, privilege 3"
    text = " ".join(lines)
    assert f"mscratch {0x1234:0{xlen // 4}x}" in text
    assert "pmpaddr0 to pmpaddr15" in text
    shown, _, zeros = text.partition("0: ")
    spans = re.findall(r"(\w+?)(\d+)(h?) to \1(\d+)\3", zeros)
    covered = {f"{stem}{number}{end}" for stem, a, end, b in spans for number in range(int(a), int(b) + 1)}
    for name in csrs_by_name(default_cpu(xlen)):
        is_zero = board.registers_of(1)[name] == 0
        assert (name in covered or name in re.split(r"[ ,]+", zeros)) is is_zero, name
        assert (name in shown.split()) is not is_zero, name
