"""Semihosting: marked EBREAKs that write, read, tell the time and end the run; other EBREAKs still trap."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pytest
from support import asm
from support.harts import RAM, ROM_INSNS
from support.recordings import UART

from minstret.devices.board.board import Board
from minstret.devices.board.config import DEFAULT_RTC_BASE_NS, BoardConfig
from minstret.devices.board.console import CONSOLE_TARGET
from minstret.devices.services.semihosting import Op
from minstret.emu.door.door import Event
from minstret.emu.door.live import LiveDoor
from minstret.emu.images.loader import Firmware, ImageFile, Segment
from minstret.emu.machine import Outcome, StopReason

BEFORE, AFTER = 0x01F01013, 0x40705013
MARKED = (BEFORE, asm.EBREAK, AFTER)
CALL_INSNS = 13
"""Instructions of ``call``: two constants and the marked sequence."""
BLOCK, TEXT, BUFFER = RAM + 0x1000, RAM + 0x2000, RAM + 0x3000
NOWHERE = 0x4000_0000
APPLICATION_EXIT = 0x20026
STDIN, STDOUT, STDERR = 1, 2, 3
SLICES = [1, 7, None]
NS_PER_INSN = 2

each_xlen = pytest.mark.parametrize("xlen", [64, 32])
each_slice = pytest.mark.parametrize("slice_insns", SLICES)


def call(op: int, parameter: int = 0) -> bytes:
    return asm.code(asm.li(asm.A0, op), asm.li(asm.A1, parameter), MARKED)


class Script:
    """A host that types one text whenever the guest waits for input, and hangs up after the last."""

    def __init__(self, *texts: bytes, at_once: bytes = b"") -> None:
        self._texts = list(texts)
        self._typed = [at_once] if at_once else []

    @property
    def is_open(self) -> bool:
        return bool(self._texts or self._typed)

    def poll(self, wants_input: bool) -> Iterable[Event]:
        if not wants_input:
            return []
        typed, self._typed = self._typed, []
        return [Event(CONSOLE_TARGET, text) for text in typed]

    def wait(self, timeout_ns: int | None) -> int:
        assert self._texts, "the guest waits for input that does not come"
        self._typed.append(self._texts.pop(0))
        return 0


@dataclass
class Guest:
    """Code at the start of RAM, a parameter block of words, and text."""

    code: bytes
    block: tuple[int, ...] = ()
    text: bytes = b""
    xlen: int = 64
    slice_insns: int | None = None
    source: Script | None = None

    def __post_init__(self) -> None:
        block = b"".join(word.to_bytes(self.xlen // 8, "little") for word in self.block)
        pieces = [(RAM, self.code), (BLOCK, block), (TEXT, self.text)]
        segments = tuple(Segment(at, data, len(data)) for at, data in pieces if data)
        self.board = Board(
            Firmware("test", self.xlen, RAM, segments),
            BoardConfig(xlen=self.xlen, ram_size=1 << 20, slice_insns_max=self.slice_insns),
            door=LiveDoor(self.source or Script()),
        )

    def run(self, insns: int = CALL_INSNS) -> Outcome:
        return self.board.run_until(icount=ROM_INSNS + insns)

    @property
    def a0(self) -> int:
        """Signed."""
        value = self.board.registers["a0"]
        return value - (1 << self.xlen) if value >> (self.xlen - 1) else value


def result_of(op: int, parameter: int = BLOCK, *block: int, text: bytes = b"", xlen: int = 64) -> int:
    """What one call gives."""
    guest = Guest(call(op, parameter), block, text, xlen)
    guest.run()
    return guest.a0


# ---- the call


@each_xlen
@each_slice
def test_call_counts_as_one_instruction_and_goes_on_behind_it(xlen: int, slice_insns: int | None) -> None:
    guest = Guest(call(Op.TICKFREQ) + asm.code(asm.LOOP), xlen=xlen, slice_insns=slice_insns)

    guest.run(CALL_INSNS - 1)
    assert guest.a0 == 1_000_000_000
    assert guest.board.registers["pc"] == RAM + 4 * (CALL_INSNS - 1)
    assert guest.board.position.icount == ROM_INSNS + CALL_INSNS - 1

    guest.run(CALL_INSNS)
    assert guest.board.registers["pc"] == RAM + 4 * CALL_INSNS


def test_call_changes_no_register_but_a0() -> None:
    guest = Guest(call(Op.WRITEC, TEXT), text=b"x")
    guest.run(CALL_INSNS - 2)
    before = dict(guest.board.registers.items())

    guest.run(CALL_INSNS - 1)

    after = dict(guest.board.registers.items())
    assert {name for name in after if after[name] != before[name]} == {"a0", "pc"}


TRAPS = {
    "plain": [asm.NOP, asm.EBREAK, asm.NOP],
    "only before": [BEFORE, asm.EBREAK, asm.NOP],
    "only after": [asm.NOP, asm.EBREAK, AFTER],
    "swapped": [AFTER, asm.EBREAK, BEFORE],
}


@each_xlen
@pytest.mark.parametrize("words", TRAPS.values(), ids=TRAPS.keys())
def test_ebreak_that_is_not_marked_traps(words: list[int], xlen: int) -> None:
    handler = RAM + 0x100
    start = asm.code(asm.li(asm.T0, handler), asm.csrw("mtvec", asm.T0), asm.li(asm.A0, Op.TICKFREQ))
    guest = Guest(start + asm.code(words), xlen=xlen)
    guest.board.memory.write(handler, asm.code(asm.LOOP))

    guest.run(13)  # 11, the word before, and the handler's loop: the EBREAK itself does not retire

    registers = guest.board.registers
    assert (registers["mcause"], registers["mepc"], registers["pc"]) == (3, RAM + len(start) + 4, handler)
    assert guest.a0 == Op.TICKFREQ


def test_marked_ebreak_under_a_kernel_traps() -> None:
    handler = RAM + 0x100
    start = asm.code(asm.li(asm.T0, handler), asm.csrw("mtvec", asm.T0), asm.li(asm.A0, Op.TICKFREQ))
    code = start + asm.code(MARKED)
    firmware = Firmware("test", 64, RAM, (Segment(RAM, code, len(code)),))
    board = Board(firmware, BoardConfig(ram_size=8 << 20), kernel=ImageFile("kernel", asm.code(asm.LOOP)))
    board.memory.write(handler, asm.code(asm.LOOP))

    board.run_until(icount=ROM_INSNS + 13)

    assert (board.registers["mcause"], board.registers["mepc"]) == (3, RAM + len(start) + 4)


def test_compressed_ebreak_between_the_marks_traps() -> None:
    handler = RAM + 0x100
    start = asm.code(asm.li(asm.T0, handler), asm.csrw("mtvec", asm.T0), asm.li(asm.A0, Op.TICKFREQ))
    guest = Guest(start + asm.code(BEFORE, asm.C_EBREAK, AFTER))
    guest.board.memory.write(handler, asm.code(asm.LOOP))

    guest.run(13)

    assert guest.board.registers["mcause"] == 3
    assert guest.a0 == Op.TICKFREQ


@each_xlen
@pytest.mark.parametrize("op", [0x00, 0x0B, 0x12, 0x17, 0x99, 0x7FFF_FFFF])
def test_unknown_operation_gives_minus_1_and_the_guest_goes_on(op: int, xlen: int) -> None:
    guest = Guest(call(op, BLOCK) + call(Op.WRITEC, TEXT), text=b"!", xlen=xlen)

    guest.run()
    assert guest.a0 == -1

    guest.run(2 * CALL_INSNS)
    assert guest.board.console == b"!"


# ---- writing


@each_xlen
def test_write0_sends_up_to_the_nul(xlen: int) -> None:
    guest = Guest(call(Op.WRITE0, TEXT), text=b"hello\n\xff\0not this", xlen=xlen)

    guest.run()

    assert guest.board.console == b"hello\n\xff"


def test_write0_across_pages_sends_all() -> None:
    text = b"ab" * 0x1000
    guest = Guest(call(Op.WRITE0, TEXT), text=text + b"\0")

    guest.run()

    assert guest.board.console == text


def test_write0_of_what_cannot_be_read_sends_nothing() -> None:
    guest = Guest(call(Op.WRITE0, NOWHERE))

    guest.run()

    assert guest.board.console == b""


@each_xlen
def test_writec_sends_the_byte_pointed_at(xlen: int) -> None:
    guest = Guest(call(Op.WRITEC, TEXT + 1), text=b"abc", xlen=xlen)

    guest.run()

    assert guest.board.console == b"b"


@each_xlen
@pytest.mark.parametrize("handle", [STDOUT, STDERR])
def test_write_sends_nul_bytes_too_and_gives_0_bytes_not_written(handle: int, xlen: int) -> None:
    guest = Guest(call(Op.WRITE, BLOCK), (handle, TEXT, 5), b"a\0b\xff\nmore", xlen)

    guest.run()

    assert guest.a0 == 0
    assert guest.board.console == b"a\0b\xff\n"


@each_xlen
@pytest.mark.parametrize(("handle", "address"), [(STDIN, TEXT), (0, TEXT), (7, TEXT), (STDOUT, NOWHERE)])
def test_write_that_cannot_be_gives_all_bytes_not_written(handle: int, address: int, xlen: int) -> None:
    guest = Guest(call(Op.WRITE, BLOCK), (handle, address, 5), b"hello", xlen)

    guest.run()

    assert guest.a0 == 5
    assert guest.board.console == b""


def test_run_until_text_stops_right_at_the_call_that_sends_it() -> None:
    guest = Guest(call(Op.WRITE0, TEXT) * 2, text=b"login: \0")

    guest.board.run_until(uart="login:")

    assert guest.board.position.icount == ROM_INSNS + CALL_INSNS - 1


# ---- files


@each_xlen
@pytest.mark.parametrize(
    ("mode", "handle"), [(0, STDIN), (1, STDIN), (3, STDIN), (4, STDOUT), (7, STDOUT), (8, STDERR), (11, STDERR)]
)
def test_open_of_the_console_gives_the_handle_for_the_mode(mode: int, handle: int, xlen: int) -> None:
    assert result_of(Op.OPEN, BLOCK, TEXT, mode, 3, text=b":tt\0", xlen=xlen) == handle


@each_xlen
@pytest.mark.parametrize("name", [b"/etc/passwd", b":ttx", b":t", b"", b":TT", b":semihosting-feature"])
def test_open_of_anything_else_fails_with_enoent(name: bytes, xlen: int) -> None:
    guest = Guest(call(Op.OPEN, BLOCK) + call(Op.ERRNO), (TEXT, 0, len(name)), name + b"\0", xlen)

    guest.run()
    assert guest.a0 == -1

    guest.run(2 * CALL_INSNS)
    assert guest.a0 == 2


def test_open_with_parameters_that_cannot_be_read_fails() -> None:
    assert result_of(Op.OPEN, NOWHERE) == -1
    assert result_of(Op.OPEN, BLOCK, NOWHERE, 0, 3) == -1


@each_xlen
def test_close_of_the_consoles_handles_gives_0_and_of_others_minus_1_with_ebadf(xlen: int) -> None:
    assert [result_of(Op.CLOSE, BLOCK, handle, xlen=xlen) for handle in (STDIN, STDOUT, STDERR)] == [0, 0, 0]
    for handle in (0, 4, (1 << xlen) - 1):
        guest = Guest(call(Op.CLOSE, BLOCK) + call(Op.ERRNO), (handle,), xlen=xlen)
        guest.run()
        assert guest.a0 == -1
        guest.run(2 * CALL_INSNS)
        assert guest.a0 == 9


@each_xlen
def test_console_is_a_tty_and_negative_numbers_are_errors(xlen: int) -> None:
    assert [result_of(Op.ISTTY, BLOCK, handle, xlen=xlen) for handle in (STDIN, STDOUT, STDERR)] == [1, 1, 1]
    assert result_of(Op.ISERROR, BLOCK, 0, xlen=xlen) == 0
    assert result_of(Op.ISERROR, BLOCK, (1 << xlen - 1) - 1, xlen=xlen) == 0
    assert result_of(Op.ISERROR, BLOCK, (1 << xlen) - 1, xlen=xlen) != 0


def test_errno_is_0_before_anything_failed() -> None:
    assert result_of(Op.ERRNO) == 0


# ---- reading


@each_xlen
@each_slice
def test_read_gives_what_was_typed_and_the_bytes_that_did_not_come(xlen: int, slice_insns: int | None) -> None:
    guest = Guest(call(Op.READ, BLOCK), (STDIN, BUFFER, 10), xlen=xlen, slice_insns=slice_insns, source=Script(b"abc"))

    guest.run()

    assert guest.a0 == 7
    assert guest.board.memory[BUFFER : BUFFER + 10] == b"abc" + bytes(7)


@each_slice
def test_read_takes_no_more_than_it_asks_for_and_the_next_one_the_rest(slice_insns: int | None) -> None:
    reads = [call(Op.READ, TEXT + 32 * i) for i in range(3)]
    guest = Guest(b"".join(reads), slice_insns=slice_insns, source=Script(b"abcdefgh"))
    for i in range(3):
        block = b"".join(word.to_bytes(8, "little") for word in (STDIN, BUFFER + 3 * i, 3))
        guest.board.memory.write(TEXT + 32 * i, block)

    guest.run(3 * CALL_INSNS)

    assert guest.a0 == 1
    assert guest.board.memory[BUFFER : BUFFER + 9] == b"abcdefgh\0"


@each_xlen
def test_read_at_the_end_of_input_gives_all_bytes_not_read(xlen: int) -> None:
    guest = Guest(call(Op.READ, BLOCK) * 2, (STDIN, BUFFER, 10), xlen=xlen)

    for calls in (1, 2):
        guest.run(CALL_INSNS * calls)
        assert guest.a0 == 10

    assert guest.board.memory[BUFFER : BUFFER + 10] == bytes(10)


def readc_and_store(index: int) -> bytes:
    return call(Op.READC) + asm.code(asm.li(asm.T0, BUFFER), asm.sb(asm.A0, asm.T0, index))


@each_xlen
@each_slice
def test_readc_gives_each_byte_that_comes_then_minus_1_at_the_end(xlen: int, slice_insns: int | None) -> None:
    code = b"".join(readc_and_store(i) for i in range(4))
    guest = Guest(code, xlen=xlen, slice_insns=slice_insns, source=Script(b"a", b"\0", b"\xfe"))

    guest.run(len(code) // 4)

    assert guest.board.memory[BUFFER : BUFFER + 4] == b"a\0\xfe\xff"
    assert guest.a0 == -1


@each_slice
def test_bytes_that_come_together_are_read_one_by_one_for_every_slice_limit(slice_insns: int | None) -> None:
    code = b"".join(readc_and_store(i) for i in range(4))
    guest = Guest(code, slice_insns=slice_insns, source=Script(b"abcd"))

    guest.run(len(code) // 4)

    assert guest.board.memory[BUFFER : BUFFER + 4] == b"abcd"


def test_time_stands_still_while_a_read_waits() -> None:
    guest = Guest(call(Op.READC), source=Script(b"a"))

    guest.run()

    assert guest.board.position.icount == ROM_INSNS + CALL_INSNS
    assert guest.board.position.virtual_ns == (ROM_INSNS + CALL_INSNS) * NS_PER_INSN


@pytest.mark.parametrize("handle", [STDOUT, STDERR, 0, 9])
def test_read_from_what_is_not_the_input_gives_all_bytes_not_read_and_waits_for_nothing(handle: int) -> None:
    guest = Guest(call(Op.READ, BLOCK), (handle, BUFFER, 10), source=Script(b"abc"))

    guest.run()

    assert guest.a0 == 10
    assert guest.source is not None
    assert guest.source.is_open


def test_read_of_0_bytes_gives_0_and_waits_for_nothing() -> None:
    guest = Guest(call(Op.READ, BLOCK), (STDIN, BUFFER, 0), source=Script(b"abc"))

    guest.run()

    assert guest.a0 == 0
    assert guest.board.position.icount == ROM_INSNS + CALL_INSNS


def test_read_to_where_nothing_can_be_written_gives_all_bytes_not_read() -> None:
    guest = Guest(call(Op.READ, BLOCK), (STDIN, NOWHERE, 10), source=Script(b"abc"))

    guest.run()

    assert guest.a0 == 10


def test_text_typed_while_nothing_reads_goes_to_the_uart() -> None:
    looks = asm.code(asm.li(asm.T0, UART), asm.lb(asm.T1, asm.T0, 5), asm.LOOP)
    guest = Guest(looks, source=Script(at_once=b"a"))

    guest.run(200)

    assert guest.board.uart.state.rx_fifo == b"a"


def test_text_that_came_before_the_first_read_is_read_whole() -> None:
    guest = Guest(call(Op.READ, BLOCK), (STDIN, BUFFER, 10), slice_insns=1, source=Script(at_once=b"abc"))

    guest.run()

    assert guest.board.memory[BUFFER : BUFFER + 3] == b"abc"


def test_stop_requested_while_a_read_waits_ends_the_run_and_the_read_goes_on_later() -> None:
    source = Script(b"a")
    guest = Guest(call(Op.READC), source=source)
    interrupts = [True]

    def wait(timeout_ns: int | None) -> int:
        if interrupts.pop() if interrupts else False:
            guest.board.machine.reach()
            return 0
        return Script.wait(source, timeout_ns)

    source.wait = wait  # type: ignore[method-assign]
    assert guest.run().reason is StopReason.REACHED
    assert guest.board.position.icount == ROM_INSNS + CALL_INSNS - 2

    guest.run()

    assert guest.a0 == ord("a")


# ---- ends


def exit_block(reason: int, code: int) -> tuple[int, int]:
    return reason, code


@each_slice
@pytest.mark.parametrize("code", [0, 1, 7, 300])
def test_exit_on_rv64_takes_the_code_from_the_block(code: int, slice_insns: int | None) -> None:
    guest = Guest(call(Op.EXIT, BLOCK), exit_block(APPLICATION_EXIT, code), slice_insns=slice_insns)

    outcome = guest.board.run()

    assert outcome == Outcome(StopReason.FINISHED, code)
    assert guest.board.position.icount == ROM_INSNS + CALL_INSNS - 1


@pytest.mark.parametrize(("reason", "code"), [(APPLICATION_EXIT, 0), (0x20023, 1), (0, 1), (BLOCK, 1)])
def test_exit_on_rv32_takes_the_reason_itself(reason: int, code: int) -> None:
    outcome = Guest(call(Op.EXIT, reason), xlen=32).board.run()

    assert outcome == Outcome(StopReason.FINISHED, code)


@each_xlen
@pytest.mark.parametrize("code", [0, 5, 300, 0xFFFF_FFFF])
def test_exit_extended_takes_the_code_from_the_block(code: int, xlen: int) -> None:
    outcome = Guest(call(Op.EXIT_EXTENDED, BLOCK), exit_block(APPLICATION_EXIT, code), xlen=xlen).board.run()

    assert outcome == Outcome(StopReason.FINISHED, code)


@each_xlen
def test_exit_for_another_reason_is_failure_1(xlen: int) -> None:
    outcome = Guest(call(Op.EXIT_EXTENDED, BLOCK), exit_block(0x20023, 0), xlen=xlen).board.run()

    assert outcome == Outcome(StopReason.FINISHED, 1)


def test_exit_with_a_block_that_cannot_be_read_gives_minus_1_and_goes_on() -> None:
    guest = Guest(call(Op.EXIT, NOWHERE))

    assert guest.run().reason is StopReason.REACHED
    assert guest.a0 == -1


# ---- time


@each_xlen
@each_slice
def test_elapsed_stores_the_virtual_time_of_the_call_in_ns(xlen: int, slice_insns: int | None) -> None:
    code = asm.code([asm.NOP] * 7) + call(Op.ELAPSED, BUFFER)
    guest = Guest(code, xlen=xlen, slice_insns=slice_insns)

    guest.run(7 + CALL_INSNS)

    assert guest.a0 == 0
    at_call_ns = (ROM_INSNS + 7 + CALL_INSNS - 2) * NS_PER_INSN
    assert guest.board.memory[BUFFER : BUFFER + 8] == at_call_ns.to_bytes(8, "little")


def test_elapsed_where_nothing_can_be_written_gives_minus_1() -> None:
    assert result_of(Op.ELAPSED, NOWHERE) == -1


@each_xlen
def test_tickfreq_is_that_of_elapsed(xlen: int) -> None:
    assert result_of(Op.TICKFREQ, 0, xlen=xlen) == 1_000_000_000


@each_xlen
def test_clock_is_virtual_time_in_hundredths_of_a_second(xlen: int) -> None:
    guest = Guest(call(Op.CLOCK), xlen=xlen)
    guest.run(5)
    guest.board.machine.clock.warp_to(1_239_999_990)

    guest.run()

    assert guest.a0 == 124  # 1.24 s have passed by the time of the call


@each_xlen
def test_time_is_the_rtcs_in_seconds(xlen: int) -> None:
    guest = Guest(call(Op.TIME), xlen=xlen)
    guest.run(5)
    guest.board.machine.clock.warp_to(3_500_000_000)

    guest.run()

    assert guest.a0 == DEFAULT_RTC_BASE_NS // 1_000_000_000 + 3


# ---- determinism


@each_xlen
def test_runs_that_read_and_write_agree_for_all_slice_limits(xlen: int) -> None:
    code = (
        call(Op.WRITE0, TEXT) + call(Op.READ, BLOCK) + call(Op.ELAPSED, BUFFER + 64) + call(Op.READC)
        + call(Op.READ, BLOCK) + call(Op.WRITE0, BUFFER) + call(Op.READ, BLOCK) + asm.code(asm.LOOP)
    )  # fmt: skip
    ends = set()
    for slice_insns in SLICES:
        source = Script(b"hello", b"x", b"yz")
        guest = Guest(code, (STDIN, BUFFER, 16), b"name? \0", xlen, slice_insns, source)
        guest.run(200)
        ends.add((guest.board.digest(), guest.board.position, bytes(guest.board.console), guest.a0))

    assert len(ends) == 1
    assert ends.pop()[2:] == (b"name? yzllo", 16)
