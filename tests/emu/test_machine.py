"""The machine's loop: where runs stop, virtual time while the hart waits, what the host may ask, the digest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support import asm
from support.harts import ROM_INSNS
from support.recordings import (
    CTRL_C,
    FAIL,
    PASS,
    RAM,
    RAM_SIZE,
    RESET,
    TERMINATED,
    TIMEOUT,
    UART,
    Hand,
    finish_code,
    resetter_code,
    setup_of_code,
    typed,
)  # fmt: skip

from minstret.devices.board.board import Base, Board
from minstret.emu.clock import NS_PER_TICK
from minstret.emu.door.door import Event, Position
from minstret.emu.door.live import LiveDoor, Source
from minstret.emu.hart.shared import Counting
from minstret.emu.machine import STOP_TARGET, Outcome, StopReason, stop_request

PASSED = Outcome(StopReason.FINISHED, 0)
REACHED = Outcome(StopReason.REACHED)
MTIMECMP = int(Base.CLINT) + 0x4000
MTIE = 1 << 7
WAKES_AT_TICK = 1000
RAM_END = RAM + RAM_SIZE

COUNTS = asm.code(asm.addi(asm.T3, asm.T3, 1), asm.addi(asm.T4, asm.T4, 3), asm.jal(asm.ZERO, -8))
"""Counts in t3 and t4, forever."""


def board_of(code: bytes, source: Source | None = None, **config: Any) -> Board:
    return setup_of_code(code, **config).make(door=LiveDoor(source))


def arms_timer(tick: int) -> list[int]:
    """Sets mtimecmp and enables its interrupt in mie alone: WFI ends, and no trap comes."""
    return [
        *asm.li(asm.S1, MTIMECMP), *asm.li(asm.T0, tick), asm.sd(asm.T0, asm.S1, 0),
        *asm.li(asm.T0, MTIE), asm.csrw("mie", asm.T0),
    ]  # fmt: skip


def naps(tick: int = WAKES_AT_TICK) -> bytes:
    """Waits until ``tick`` of mtime, then passes."""
    return asm.code(arms_timer(tick), asm.WFI) + finish_code(PASS)


def run_to_wait(board: Board) -> Position:
    """Run until the hart waits, and no further."""
    while not board.hart.waiting:
        assert board.run_until(icount=board.position.icount + 1) == REACHED
    return board.position


# ---- where a run stops


@pytest.mark.parametrize("slice_insns", [1, 7, None])
def test_run_stops_exactly_at_an_icount(counting: str, slice_insns: int | None) -> None:
    board = board_of(COUNTS, counting=Counting(counting), slice_insns_max=slice_insns)

    for icount in (0, 1, 2, 3, ROM_INSNS, ROM_INSNS + 1, 50, 51, 53, 1000, 1999):
        assert board.run_until(icount=icount) == REACHED
        assert board.position == (icount, 2 * icount)
    loops, rest = divmod(1999 - ROM_INSNS, 3)
    assert rest == 1
    assert [board.registers[name] for name in ("t3", "t4", "pc")] == [loops + 1, 3 * loops, RAM + 4]


@pytest.mark.parametrize("shift", [0, 1, 3, 10])
def test_run_stops_at_the_first_instruction_at_or_after_a_virtual_time(shift: int) -> None:
    board = board_of(COUNTS, icount_shift=shift)

    for virtual_ns in (1, 1 << shift, (1 << shift) + 1, 10_001, 20_480):
        assert board.run_until(virtual_ns=virtual_ns) == REACHED
        icount = -(-virtual_ns >> shift)
        assert board.position == (icount, icount << shift)


def test_run_to_a_position_that_is_past_executes_nothing() -> None:
    board = board_of(COUNTS)
    board.run_until(icount=100)
    digest = board.digest()

    for limits in ({"icount": 100}, {"icount": 1}, {"virtual_ns": 200}, {"virtual_ns": 0}, {"icount": 99, "uart": "x"}):
        assert board.run_until(**limits) == REACHED  # type: ignore[arg-type]
        assert (board.position, board.digest()) == ((100, 200), digest)


def test_earlier_of_two_limits_ends_the_run() -> None:
    board = board_of(COUNTS)
    board.run_until(icount=50, virtual_ns=1000)
    assert board.position == (50, 100)
    board.run_until(icount=5000, virtual_ns=1000)
    assert board.position == (500, 1000)


def test_positions_rise_in_every_slice_and_pass_no_limit(counting: str) -> None:
    board = board_of(naps(), counting=Counting(counting))
    positions = [board.position]
    while board.run_until(icount=positions[-1].icount + 1).reason is StopReason.REACHED:
        positions.append(board.position)
        assert positions[-1].icount == positions[-2].icount + 1
        assert positions[-1] > positions[-2]

    assert board.position.virtual_ns > WAKES_AT_TICK * NS_PER_TICK


@pytest.mark.parametrize(("value", "code"), [(PASS, 0), (7 << 16 | FAIL, 7)])
def test_finished_guest_stays_finished(value: int, code: int) -> None:
    board = board_of(finish_code(value))
    first = board.run()
    position, digest = board.position, board.digest()

    assert first == Outcome(StopReason.FINISHED, code)
    assert board.run() == first
    assert board.run_until(icount=position.icount + 100) == first
    assert (board.position, board.digest()) == (position, digest)


def test_finished_guest_has_executed_up_to_its_store_and_no_further(counting: str) -> None:
    board = board_of(asm.code(asm.NOP) + finish_code(PASS), counting=Counting(counting))
    board.run()

    assert board.registers["pc"] == RAM + 4 + len(finish_code(PASS)) - 4


def test_trap_loop_ends_the_run_with_its_first_trap_and_nothing_retired() -> None:
    board = board_of(asm.code(asm.NOP, asm.NOP, 0))
    outcome = board.run()

    assert outcome.reason is StopReason.TRAP_LOOP
    assert outcome.first_trap is not None
    assert (outcome.first_trap.epc, outcome.first_trap.cause) == (RAM + 8, 2)
    assert board.position.icount == ROM_INSNS + 2


def test_reset_goes_on_counting() -> None:
    hand = Hand(stays=True)
    board = board_of(resetter_code(), hand)
    board.run_until(uart="1")
    before = board.position
    hand.give(typed(b"r"))
    board.run_until(uart="2")
    after = board.position
    hand.give(typed(b"."))

    assert board.run() == PASSED
    assert after.icount > before.icount + ROM_INSNS
    assert bytes(board.console) == b"1r2."


# ---- a hart that waits


@pytest.mark.parametrize("slice_insns", [1, 7, None])
@pytest.mark.parametrize("xlen", [64, 32])
def test_wait_goes_to_the_deadline_exactly(counting: str, slice_insns: int | None, xlen: int) -> None:
    code = asm.code(
        asm.li(asm.S1, MTIMECMP), asm.sw(asm.ZERO, asm.S1, 4), asm.li(asm.T0, WAKES_AT_TICK),
        asm.sw(asm.T0, asm.S1, 0), asm.li(asm.T0, MTIE), asm.csrw("mie", asm.T0), asm.WFI, asm.LOOP,
    )  # fmt: skip
    board = board_of(code, xlen=xlen, counting=Counting(counting), slice_insns_max=slice_insns)
    waiting = run_to_wait(board)

    board.run_until(icount=waiting.icount + 1)

    assert board.position == (waiting.icount + 1, WAKES_AT_TICK * NS_PER_TICK + 2)


def test_wait_can_be_cut_at_any_virtual_time_and_is_the_same_run() -> None:
    whole = board_of(naps())
    assert whole.run() == PASSED
    board = board_of(naps())
    waiting = run_to_wait(board)

    for virtual_ns in (waiting.virtual_ns + 1, 50_001, 99_999, WAKES_AT_TICK * NS_PER_TICK):
        assert board.run_until(virtual_ns=virtual_ns) == REACHED
        assert board.position == (waiting.icount, virtual_ns)
    assert board.run() == PASSED
    assert (board.position, board.digest()) == (whole.position, whole.digest())


def test_wait_for_nothing_ends_the_run_each_time() -> None:
    board = board_of(asm.code(asm.WFI, asm.LOOP))

    for _ in range(2):
        assert board.run() == Outcome(StopReason.WAITS_FOREVER)
        assert board.position == (ROM_INSNS + 1, 2 * (ROM_INSNS + 1))


class Sleeper:
    """A host that is asked to pass time, remembers how much, and comes back after ``nap_of`` that."""

    is_open = False

    def __init__(self, nap_of: Callable[[int], int] = lambda timeout_ns: timeout_ns) -> None:
        self.asked_ns: list[int | None] = []
        self._nap_of = nap_of

    def poll(self, wants_input: bool) -> list[Event]:
        return []

    def wait(self, timeout_ns: int | None) -> int:
        self.asked_ns.append(timeout_ns)
        assert timeout_ns is not None
        return self._nap_of(timeout_ns)


def test_host_sleeps_as_long_as_the_guest_only_when_it_is_told_to() -> None:
    runs = []
    for sleep in (True, False):
        host = Sleeper()
        board = board_of(naps(), host, sleep=sleep)
        waiting = run_to_wait(board)
        assert board.run() == PASSED
        assert host.asked_ns == ([WAKES_AT_TICK * NS_PER_TICK - waiting.virtual_ns] if sleep else [])
        runs.append((board.position, board.digest()))

    assert runs[0] == runs[1]


@pytest.mark.parametrize("nap_of", [lambda ns: 7 * ns + 12_345, lambda ns: ns // 3 + 1, lambda ns: 1 + ns // 2 * 0])
def test_host_that_sleeps_too_long_or_wakes_early_does_not_change_the_run(nap_of: Callable[[int], int]) -> None:
    nap = naps(tick=3) if nap_of(100) == 1 else naps()  # 1 ns at a time takes long
    reference, board = board_of(nap), board_of(nap, Sleeper(nap_of), sleep=True)

    assert reference.run() == board.run() == PASSED
    assert (board.position, board.digest()) == (reference.position, reference.digest())


# ---- what the host asks for


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (TIMEOUT, Outcome(StopReason.TIMEOUT)),
        (CTRL_C, Outcome(StopReason.INTERRUPTED)),
        (TERMINATED, Outcome(StopReason.TERMINATED, signal=15)),
        (Event(STOP_TARGET, stop_request(StopReason.TERMINATED)), Outcome(StopReason.TERMINATED)),
        (
            Event(STOP_TARGET, stop_request(StopReason.FAIL_ON, text='"a b"\n')),
            Outcome(StopReason.FAIL_ON, text='"a b"\\n'),
        ),
        (Event(STOP_TARGET, b"until"), Outcome(StopReason.UNTIL)),
    ],
)
def test_host_can_end_a_run_and_it_can_go_on_as_if_it_had_not(event: Event, outcome: Outcome) -> None:
    hand = Hand(stays=True)
    board = board_of(COUNTS, hand, slice_insns_max=100)
    board.run_until(icount=250)
    hand.give(event)

    assert board.run_until(icount=10_000) == outcome
    assert board.position.icount == 250
    assert board.run_until(icount=10_000) == REACHED
    reference = board_of(COUNTS)
    reference.run_until(icount=10_000)
    assert board.digest() == reference.digest()


@pytest.mark.parametrize(
    "request_",
    [
        b"finished", b"reached", b"max-time", b"until \xff", b"timeout 15", b"terminated 0", b"terminated 65",
        b"terminated x", b"terminated -1", b"terminated 0015", b"nonsense", b"",
    ],
)  # fmt: skip
def test_host_can_ask_for_no_other_end(request_: bytes) -> None:
    hand = Hand(stays=True)
    board = board_of(COUNTS, hand)
    hand.give(Event(STOP_TARGET, request_))

    with pytest.raises(ValueError, match=r"the host can't ask for an end by|is not a valid StopReason|can't decode"):
        board.run_until(icount=100)


@pytest.mark.parametrize("slice_insns", [1, 7, 100, 999])
def test_host_is_asked_at_least_once_a_slice(slice_insns: int) -> None:
    class Counter(Hand):
        polls = 0

        def poll(self, wants_input: bool) -> Any:
            self.polls += 1
            return super().poll(wants_input)

    host = Counter(stays=True)
    board = board_of(COUNTS, host, slice_insns_max=slice_insns)
    board.run_until(icount=2000)

    assert host.polls >= 2000 // slice_insns


def test_posted_byte_is_seen_by_the_next_instruction() -> None:
    code = asm.code(asm.li(asm.S1, UART), asm.lb(asm.A0, asm.S1, 5), asm.lb(asm.A1, asm.S1, 5), asm.LOOP)
    board = board_of(code)
    board.run_until(icount=ROM_INSNS + len(code) // 4 - 2)
    board.machine.door.post(typed(b"a"))
    board.run_until(icount=board.position.icount + 1)

    assert board.registers["a0"] & 1 == 0
    assert board.registers["a1"] & 1 == 1


def test_event_for_nobody_is_an_error_of_who_sent_it() -> None:
    hand = Hand(stays=True)
    board = board_of(COUNTS, hand)
    hand.give(Event("no.such.target", b"x"))

    with pytest.raises(KeyError, match=r"no\.such\.target"):
        board.run_until(icount=100)


# ---- the digest


SEEN_BY_THE_DIGEST: dict[str, Callable[[Board], None]] = {
    "x register": lambda board: board.registers.__setitem__("a0", 99),
    "pc": lambda board: board.registers.__setitem__("pc", RAM + 4),
    "csr": lambda board: board.registers.__setitem__("mscratch", 1),
    "first byte of RAM": lambda board: board.memory.__setitem__(slice(RAM, RAM + 1), b"\0"),
    "last byte of RAM": lambda board: board.memory.__setitem__(slice(RAM_END - 1, RAM_END), b"\1"),
    "state of a device": lambda board: board.machine.bus.write(int(Base.CLINT), 4, 1),
    "armed timer": lambda board: board.machine.bus.write(MTIMECMP, 8, 12_345),
    "icount": lambda board: board.run_until(icount=board.position.icount + 3) and None,
}


@pytest.mark.parametrize("change", SEEN_BY_THE_DIGEST.values(), ids=SEEN_BY_THE_DIGEST)
def test_digest_covers_what_the_guest_can_see(change: Callable[[Board], None]) -> None:
    board, other = board_of(COUNTS), board_of(COUNTS)
    for each in (board, other):
        each.run_until(icount=60)
    assert board.digest() == other.digest()

    change(other)

    assert other.digest() != board.digest()


def test_digest_is_the_same_however_the_machine_counts_and_however_often_it_is_asked(counting: str) -> None:
    board, reference = board_of(naps(), counting=Counting(counting)), board_of(naps())
    for icount in range(40):
        outcomes = [each.run_until(icount=icount) for each in (board, reference)]
        assert outcomes[0] == outcomes[1]
        assert board.digest() == reference.digest() == reference.digest()


def test_digest_does_not_cover_a_host_that_is_asked() -> None:
    asked, alone = board_of(COUNTS, Hand(stays=True), sleep=True), board_of(COUNTS)
    for board in (asked, alone):
        board.run_until(icount=1000)

    assert asked.digest() == alone.digest()


# ---- the state


@pytest.mark.parametrize("save_at", [0, ROM_INSNS, ROM_INSNS + 3, "waiting"])
def test_state_put_into_another_machine_goes_on_the_same(counting: str, save_at: int | str) -> None:
    board = board_of(naps(), counting=Counting(counting))
    if isinstance(save_at, int):
        board.run_until(icount=save_at)
    else:
        board.run_until(virtual_ns=run_to_wait(board).virtual_ns + 77)
    state, ram = board.machine.save_state(), bytes(board.machine.memory.ram)
    other = board_of(finish_code(RESET), counting=Counting(counting))
    other.run_until(icount=5)
    other.hart.write_physical(RAM, ram)
    other.machine.load_state(state)

    assert (other.position, other.digest()) == (board.position, board.digest())
    assert other.run() == board.run() == PASSED
    assert (other.position, other.digest()) == (board.position, board.digest())
