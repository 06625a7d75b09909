"""All ways of counting are one run: generated programs, cut and restored anywhere.

A case is one program run one way; each is compared with the run counted by instructions, without a cut.
"""

from __future__ import annotations

import ctypes
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat

import pytest
from support.asm import (
    A0,
    A1,
    A2,
    A3,
    C_NOP,
    ECALL,
    LOOP,
    MRET,
    NOP,
    RA,
    S0,
    SRET,
    T0,
    T1,
    T2,
    T3,
    WFI,
    ZERO,
    add,
    addi,
    andi,
    auipc,
    bne,
    code,
    csrr,
    csrrc,
    csrrs,
    csrrsi,
    csrrw,
    csrw,
    jal,
    jalr,
    lui,
    lw,
    sb,
    slli,
    srli,
    sw,
)  # fmt: skip
from support.generated_code import (
    PAGE,
    RAM,
    RAM_SIZE,
    WATCHED,
    Program,
    generate,
    generate_finer_rights,
    generate_more_levels,
)
from support.generated_windows import generate_windows
from support.harts import ROM_INSNS, board_of
from support.needs import Need
from support.random_cases import SEED_SLOW, TIMES

from minstret.devices.board.board import Board
from minstret.emu.hart import binding, engine
from minstret.emu.hart.binding import ENVIRONMENT, Uc, uclib
from minstret.emu.hart.compiled import c_callbacks
from minstret.emu.hart.shared import Counting
from minstret.emu.hart.watches import WatchKind
from minstret.emu.machine import StopReason

C_JR_RA = 0x8082
CODE, BLOCKS, INSTRUCTIONS, PYTHON = "code", "blocks", "instructions", "python"


@pytest.fixture(autouse=True)
def _needs_c(need: Need) -> None:
    need("the C extension (a C compiler at install time)", c_callbacks)


# ---- generated programs


@dataclass(frozen=True, slots=True)
class Way:
    """How to run a program: ``slices`` gives the instructions until the next stop; ``hops`` are icounts at which the
    state goes to another board that counts another way, and takes some steps of one instruction there; this is a new
    board where it ``is_fresh``, else one that has run others."""

    counting: str = CODE
    slices: str = "none"
    hops: int = 0
    is_fresh: bool = False
    blocks_max: int | None = None
    has_helpers: bool = True

    def lengths(self, seed: str) -> Iterator[int]:
        pick = random.Random(f"{seed}/{self}")
        while True:
            if self.slices == "none":
                yield 1 << 40
            elif self.slices == "random":
                yield pick.choice((1, 1, 2, 3, 5, 8, 20, 100, 400))
            else:
                yield int(self.slices)


REFERENCE = Way(INSTRUCTIONS)
SLICED = tuple(Way(CODE, slices) for slices in ("1", "2", "3", "7", "random"))
BY_CALLS = Way(BLOCKS), Way(BLOCKS, "random"), Way(BLOCKS, hops=6)  # as where code can't be had that counts
HOPS, FULL, TWINS = Way(hops=6), Way(blocks_max=12), Way(PYTHON)
FRESH = Way(hops=3, is_fresh=True)
BARE = Way(has_helpers=False), Way(INSTRUCTIONS, has_helpers=False), Way(slices="random", has_helpers=False)
Summary = tuple[object, ...]


class Bench:
    """Boards that are used again and again: making one takes as long as several cases."""

    def __init__(self) -> None:
        self._boards: dict[tuple[object, ...], tuple[Board, object]] = {}
        self.statistics: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.cases = 0

    def new_board(self, program: Program, counting: str, has_helpers: bool = True) -> Board:
        """A board for ``program``. Stores to a page are watched, and told to the console."""
        with pytest.MonkeyPatch.context() as patch:
            if not has_helpers:
                patch.setenv(ENVIRONMENT, "off")
            board = board_of(
                b"", xlen=program.xlen, counting=counting, ram_size=RAM_SIZE, icount_shift=program.icount_shift
            )

        def on_store(address: int, size: int) -> None:
            board.console += f"{board.position.icount} {address:#x} {size}\n".encode()

        board.hart.watches.add(WatchKind.STORE, RAM + WATCHED, PAGE, on_store)
        return board

    def board(self, program: Program, counting: str, blocks_max: int | None = None, has_helpers: bool = True) -> Board:
        """A board with ``program`` in it."""
        key = program.xlen, program.icount_shift, counting, blocks_max, has_helpers
        if key not in self._boards:
            board = self.new_board(program, counting, has_helpers)
            if blocks_max is not None:
                board.hart._shared.blocks_max = blocks_max
            self._boards[key] = board, board.machine.save_state()
        board, state = self._boards[key]
        move_in(board, state, program.image())
        return board

    def run(self, program: Program, way: Way, whole: int, end: int | None = None) -> Summary:
        """The run of ``whole`` instructions, or its start: end, position, digest, last trap, console."""
        end = whole if end is None else end
        board, console = self.board(program, way.counting, way.blocks_max, way.has_helpers), b""
        before = board.hart.statistics
        pick = random.Random(f"{program.seed}/{way}")
        hops = sorted(pick.sample(range(10, whole), way.hops)) if way.hops else []
        lengths = way.lengths(program.seed)
        for hop in hops:
            if run_on(board, min(hop, end), lengths) is not StopReason.REACHED or hop >= end:
                break
            console += bytes(board.console)
            state, ram = board.machine.save_state(), bytes(board.machine.memory.ram)
            counting = INSTRUCTIONS if board.hart.counting.value in (CODE, BLOCKS) else pick.choice((CODE, BLOCKS))
            board = (self.new_board if way.is_fresh else self.board)(program, counting, has_helpers=pick.random() < 0.7)
            move_in(board, state, ram)
            if pick.random() < 0.5:
                run_on(board, min(hop + pick.randint(1, 100), end), repeat(1))
        reason = run_on(board, end, lengths)
        if not hops:
            self.statistics.update({name: n - before[name] for name, n in board.hart.statistics.items()})
        return reason, board.position, board.digest(), board.hart.last_trap, console + bytes(board.console)

    def compare(self, program: Program, ways: tuple[Way, ...], end: int) -> None:
        """Fail, and tell where the runs part, if one of ``ways`` is another run."""
        expected = self.run(program, REFERENCE, end)
        self.ends[str(expected[0])] += 1
        for way in ways:
            self.cases += 1
            try:
                found = self.run(program, way, end)
            except Exception as error:
                raise AssertionError(f"seed {program.seed!r}, rv{program.xlen}, {way}: {error!r}") from error
            assert found == expected, self.tell_where(program, way, end)

    def tell_where(self, program: Program, way: Way, end: int) -> str:
        good, bad = ROM_INSNS, end
        while bad - good > 1:
            middle = (good + bad) // 2
            same = self.run(program, way, end, middle) == self.run(program, REFERENCE, end, middle)
            good, bad = (middle, bad) if same else (good, middle)
        board = self.board(program, INSTRUCTIONS)
        run_on(board, good, repeat(1 << 40))
        pc = board.hart.pc
        insn = (board.hart.read_virtual(pc, 4) or b"").hex()
        return f"seed {program.seed!r}, rv{program.xlen}, {way}: the runs part at icount {good}, pc {pc:#x}: {insn}"

    def say(self, capsys: pytest.CaptureFixture[str], what: str) -> None:
        with capsys.disabled():
            ends = ", ".join(f"{count} {end}" for end, count in sorted(self.ends.items()))
            print(f"\n{what}: {self.cases} cases; programs: {ends}; {dict(self.statistics)}")


def move_in(board: Board, state: object, ram: bytes) -> None:
    board.hart.write_physical(RAM, ram)
    board.machine.load_state(state)  # type: ignore[arg-type]
    board.console.clear()


def run_on(board: Board, end: int, lengths: Iterator[int]) -> StopReason:
    """Run to ``end`` in slices of these lengths."""
    while True:
        reason = board.run_until(icount=min(end, board.position.icount + next(lengths))).reason
        if reason is not StopReason.REACHED or board.position.icount >= end:
            return reason


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


def check(
    bench: Bench, capsys: pytest.CaptureFixture[str], name: str, programs: int, end: int,
    ways: Callable[[int], tuple[Way, ...]], make: Callable[[str, int], Program] = generate,
) -> None:  # fmt: skip
    """Compare so many programs of each width; each runs the ways that its number has."""
    bench.cases = 0
    bench.ends.clear()
    bench.statistics.clear()
    for number in range(programs):
        for xlen in (64, 32):
            bench.compare(make(f"{name}/{number}", xlen), ways(number), end)
    bench.say(capsys, name)
    for event in ("cuts", "alone", "invalidations", "watched_writes"):
        assert bench.statistics[event], f"no {event}: these programs show nothing"


def test_generated_programs_are_one_run(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    check(bench, capsys, "whole", 45, 2000, lambda number: (Way(), SLICED[number % 5], HOPS, BY_CALLS[number % 3]))
    assert bench.statistics["ambiguous"]


def test_generated_programs_are_one_run_with_hardly_room_for_blocks(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    check(bench, capsys, "full", 5, 2000, lambda number: (FULL,))


def test_generated_programs_are_one_run_without_functions_in_unicorns_place(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    check(bench, capsys, "bare", 12, 2000, lambda number: (BARE[number % 3], Way()))


def test_generated_programs_are_one_run_on_new_boards(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    check(bench, capsys, "fresh", 6, 2000, lambda number: (FRESH, Way()))


def test_generated_programs_are_one_run_in_python(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    check(bench, capsys, "python", 5, 1500, lambda number: (TWINS, Way()))


def window_ways(number: int) -> tuple[Way, ...]:
    """Some of them only for some programs: they take long."""
    ways = Way(), SLICED[number % 5], HOPS
    for period, way in ((6, TWINS), (7, FULL), (8, FRESH), (9, BARE[number // 9 % 3])):
        if number % period == period - 1:
            ways += (way,)
    return ways


def test_accesses_across_pages_of_every_kind_are_one_run(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    check(bench, capsys, "window", 18, 2000, window_ways, generate_windows)


def test_generated_programs_with_finer_rights_are_one_run(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    check(bench, capsys, "finer", 5, 1500, lambda number: (Way(), SLICED[number]), generate_finer_rights)


def test_generated_programs_under_sv48_and_sv57_are_one_run(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    check(bench, capsys, "levels", 8, 2000, window_ways, generate_more_levels)


@pytest.mark.slow
def test_many_generated_programs_under_sv48_and_sv57_are_one_run(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    check(bench, capsys, f"many levels {SEED_SLOW}", 20 * TIMES, 2500, window_ways, generate_more_levels)


@pytest.mark.slow
def test_many_generated_programs_with_finer_rights_are_one_run(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    check(bench, capsys, f"many finer {SEED_SLOW}", 12 * TIMES, 2500, window_ways, generate_finer_rights)


@pytest.mark.slow
def test_many_accesses_across_pages_of_every_kind_are_one_run(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    check(bench, capsys, f"many windows {SEED_SLOW}", 30 * TIMES, 2500, window_ways, generate_windows)


MANY: dict[str, tuple[int, int, Callable[[int], tuple[Way, ...]]]] = {
    "many": (40, 4000, lambda number: (Way(), BY_CALLS[number % 3], HOPS, SLICED[number % 5])),
    "many full": (10, 4000, lambda number: (FULL,)),
    "many in Python": (10, 2000, lambda number: (TWINS, Way())),
    "many bare": (20, 4000, lambda number: (BARE[number % 3],)),
    "many fresh": (10, 4000, lambda number: (FRESH, Way())),
}
"""How many programs of each width, how many instructions of each, and the ways to run them."""


@pytest.mark.slow
@pytest.mark.parametrize("name", MANY)
def test_many_generated_programs_are_one_run(bench: Bench, capsys: pytest.CaptureFixture[str], name: str) -> None:
    programs, end, ways = MANY[name]
    check(bench, capsys, f"{name} {SEED_SLOW}", programs * TIMES, end, ways)


# ---- single rules


ROOT, LEAVES = 0x10000, 0x12000


def begin_as_supervisor(board: Board) -> None:
    """Let the program begin in S-mode, under Sv39 tables that map the first pages of RAM where they are."""
    board.memory.write(RAM + ROOT + 16, (RAM + ROOT + PAGE >> 2 | 1).to_bytes(8, "little"))
    board.memory.write(RAM + ROOT + PAGE, (RAM + LEAVES >> 2 | 1).to_bytes(8, "little"))
    for page in range(32):
        board.memory.write(RAM + LEAVES + 8 * page, (RAM + page * PAGE >> 2 | 0xCF).to_bytes(8, "little"))
    board.run_until(icount=ROM_INSNS)
    hart = board.hart
    hart.env.satp, hart.env.priv, hart.env.mtvec = 8 << 60 | RAM + ROOT >> 12, 1, RAM + 8
    hart.pmp.write_addr(0, (1 << 54) - 1)
    hart.pmp.write_cfg(0, 0x1F)
    hart.core.pmp_changed()


def trap_of(board: Board) -> tuple[int, int, int]:
    env = board.hart.env
    return int(env.mcause), int(env.mepc), int(env.mtval)


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("insns", range(1, 8))
def test_short_block_as_long_as_another_one_is_not_taken_for_it(counting: str, xlen: int, insns: int) -> None:
    # the block of 8 bytes at `place` has 2 instructions; then other code is there, of which 8 bytes are 4
    place = 0x1000
    first, then = code(addi(A0, A0, 1), jalr(ZERO, RA, 0)), code([C_NOP] * 6, C_JR_RA)
    board = board_of(code(auipc(T0, 1), jalr(RA, T0, 0), LOOP), (place, first), xlen=xlen, counting=counting)
    board.run_until(icount=ROM_INSNS + 5)
    board.memory.write(RAM + place, then)
    board.registers["pc"] = RAM
    board.run_until(icount=ROM_INSNS + 5 + 2 + insns)
    assert board.registers["pc"] == (RAM + 8 if insns == 7 else RAM + place + 2 * insns)
    assert board.position.icount == ROM_INSNS + 5 + 2 + insns


@pytest.mark.parametrize("insns", range(1, 6))
def test_short_block_before_a_missing_page_is_not_taken_for_another_one(counting: str, insns: int) -> None:
    # as above, but first the short block ends at a limit, then before an instruction of which the end is not there
    place = 3 * PAGE - 10
    first, then = code(addi(A0, A0, 1), jalr(ZERO, RA, 0)), code([C_NOP] * 4, addi(A0, A0, 16), C_JR_RA)
    board = board_of(code(auipc(T0, 3), jalr(RA, T0, -10), LOOP), (place, first), counting=counting)
    begin_as_supervisor(board)
    board.run_until(icount=ROM_INSNS + 4)
    board.memory.write(RAM + place, then)
    board.registers["pc"] = RAM
    board.run_until(icount=ROM_INSNS + 4 + 2 + 4)
    assert board.registers["pc"] == RAM + place + 8
    board.memory.write(RAM + LEAVES + 8 * 3, bytes(8))
    board.registers["pc"] = RAM
    board.run_until(icount=ROM_INSNS + 10 + 2 + insns)
    if insns < 5:
        assert board.registers["pc"] == RAM + place + 2 * insns
    else:
        assert trap_of(board) == (12, RAM + place + 8, RAM + place + 10)
    assert board.position.icount == ROM_INSNS + 10 + 2 + insns


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([NOP, NOP, C_JR_RA], [C_NOP, C_NOP, NOP, C_JR_RA]),  # more instructions
        (
            [NOP, jalr(ZERO, RA, 0)],
            [NOP, csrr(A0, "instret"), C_JR_RA],
        ),  # one of them special, and the end of its block
    ],
)
def test_blocks_of_one_address_and_size_are_told_apart(
    counting: str, xlen: int, one: list[int], other: list[int]
) -> None:
    place = 0x1000
    board = board_of(code(auipc(T0, 1), jalr(RA, T0, 0), jal(ZERO, -4)), xlen=xlen, counting=counting)
    icount = ROM_INSNS + 1
    board.run_until(icount=icount)
    for piece in [one, other] * 4:
        board.memory.write(RAM + place, code(piece))
        end = icount + 2 + len(piece)
        board.run_until(icount=end)
        assert board.registers["pc"] == RAM + 4
        if csrr(A0, "instret") in piece:
            assert board.registers["a0"] == icount + 1 + piece.index(csrr(A0, "instret"))
        icount = end
    if counting in (CODE, BLOCKS):
        assert board.hart.statistics["ambiguous"] == 1


@pytest.mark.parametrize("xlen", [64, 32])
def test_special_instruction_before_one_that_ends_outside_ram_is_ours(counting: str, xlen: int) -> None:
    place = RAM_SIZE - 10
    tail = code(NOP, WFI, NOP)[:10]  # WFI does not end its block
    board = board_of((0, code(LOOP)), (place, tail), xlen=xlen, counting=counting, ram_size=RAM_SIZE)
    board.run_until(icount=ROM_INSNS)
    board.registers["pc"], board.hart.env.mtvec, board.hart.env.mie = RAM + place, RAM, 2
    board.hart.core.set_soft_mip(2)  # so there is nothing to wait for
    board.run_until(icount=ROM_INSNS + 3)
    assert trap_of(board) == (1, RAM + place + 8, RAM + place + 10)


@pytest.mark.parametrize("slice_insns", [1, 2, None])
def test_instruction_that_crosses_into_a_forbidden_page_faults_in_its_turn(
    counting: str, slice_insns: int | None
) -> None:
    # translation finds the page; PMP forbids it, for all but M-mode
    place = 3 * PAGE - 10
    body = code(addi(A0, A0, 1), addi(A0, A0, 1), NOP)
    board = board_of((0, code(LOOP)), (8, code(LOOP)), (place, body), counting=counting, slice_insns=slice_insns)
    begin_as_supervisor(board)
    board.hart.pmp.write_addr(0, (RAM + 3 * PAGE >> 2) | (PAGE // 8 - 1))
    board.hart.pmp.write_addr(1, (1 << 54) - 1)
    board.hart.pmp.write_cfg(0, 0x1F18)
    board.hart.core.pmp_changed()
    board.registers["pc"] = RAM + place
    board.run_until(icount=ROM_INSNS + 3)
    assert board.registers["a0"] == 2
    assert trap_of(board) == (1, RAM + place + 8, RAM + place + 10)


@pytest.mark.parametrize("slice_insns", [1, None])
@pytest.mark.parametrize("insn", [addi(A0, A0, 1), csrr(A0, "cycle"), ECALL, 0xFFFFFFFF])
@pytest.mark.parametrize("first", ["finer", "plain"])
@pytest.mark.parametrize("second", ["finer", "forbidden", "beside a forbidden one"])
def test_halves_of_an_instruction_across_two_pages_are_each_protected_where_they_are(
    counting: str, slice_insns: int | None, insn: int, first: str, second: str
) -> None:
    # the second page is not the physical page behind the first one
    place, where = 3 * PAGE - 6, 8 * PAGE
    low, high = code(C_NOP, C_NOP, insn)[:6], code(insn)[2:]
    board = board_of(
        (0, code(LOOP)), (8, code(LOOP)), (place, low), (where, high + code(LOOP)), counting=counting,
        slice_insns=slice_insns,
    )  # fmt: skip
    begin_as_supervisor(board)
    board.memory.write(RAM + LEAVES + 8 * 3, (RAM + where >> 2 | 0xCF).to_bytes(8, "little"))
    special = {"finer": where + 0x100, "forbidden": where, "beside a forbidden one": 3 * PAGE}[second]
    pmp = board.hart.pmp
    for entry, address in enumerate((RAM + 2 * PAGE + 0x100, RAM + special)):
        pmp.write_addr(entry, address >> 2)
    pmp.write_addr(2, (1 << 54) - 1)
    pmp.write_cfg(0, 0x1F1000 | (0x10 if first == "finer" else 0))
    board.hart.core.pmp_changed()
    board.hart.env.mcounteren, board.hart.env.mcause, board.registers["pc"] = 7, 0, RAM + place
    board.run_until(icount=ROM_INSNS + 3)
    pc, cause, tval = RAM + place + 4, {ECALL: 9, 0xFFFFFFFF: 2}.get(insn), insn if insn == 0xFFFFFFFF else 0
    if second == "forbidden":
        cause, tval = 1, pc + 2
    if cause is not None:
        assert trap_of(board) == (cause, pc, tval)
    else:
        assert trap_of(board)[0] == 0
        assert board.registers["pc"] == pc + 4
        assert board.registers["a0"] == (1 if insn == addi(A0, A0, 1) else ROM_INSNS + 2)


@pytest.mark.parametrize("xlen", [64, 32])
def test_state_that_is_loaded_knows_nothing_of_what_ran_here_before(counting: str, xlen: int) -> None:
    # another store was at the same address and icount
    seen = []
    board = board_of(code(auipc(S0, 1), sb(ZERO, S0, 0), LOOP), xlen=xlen, counting=counting)
    board.hart.watches.add(WatchKind.STORE, RAM + PAGE, PAGE, lambda address, size: seen.append((address, size)))
    state = board.machine.save_state()
    board.run_until(icount=ROM_INSNS + 3)
    board.memory.write(RAM, code(auipc(S0, 1), sw(ZERO, S0, 0), LOOP))
    board.machine.load_state(state)
    board.run_until(icount=ROM_INSNS + 3)
    assert seen == [(RAM + PAGE, 1), (RAM + PAGE, 4)]


def test_code_that_unmaps_itself_runs_no_further(counting: str) -> None:
    # the next instruction was in the same block; loads and stores around it are not concerned
    program = code(auipc(T0, 0x12), sw(ZERO, T0, 8), addi(A0, A0, 1), addi(A0, A0, 1), LOOP)
    board = board_of((PAGE, program), (8, code(LOOP)), counting=counting)
    begin_as_supervisor(board)
    board.registers["pc"] = RAM + PAGE
    board.memory.write(RAM + PAGE, code(auipc(T0, LEAVES - PAGE >> 12)))
    board.run_until(icount=ROM_INSNS + 3)
    assert board.registers["a0"] == 0
    assert trap_of(board) == (12, RAM + PAGE + 8, RAM + PAGE + 8)


CTL_SET_TCG_BUFFER_SIZE = 13 | 1 << 26 | 1 << 30


def unicorn_with_small_cache(xlen: int) -> Uc:
    """Unicorn with room for few translated blocks: when it is full it drops them all."""
    uc = Uc(xlen)
    binding.check(uclib.uc_ctl(uc.handle, ctypes.c_int(CTL_SET_TCG_BUFFER_SIZE), ctypes.c_uint32(1 << 20)))
    return uc


@pytest.mark.parametrize("xlen", [64, 32])
def test_full_translation_cache_is_not_seen(xlen: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "Uc", unicorn_with_small_cache)
    pick = random.Random(xlen)
    blocks = [[pick.choice((addi(A0, A0, 1), 0x0505, C_NOP))] * pick.choice((1, 30, 100, 250)) for _ in range(1500)]
    program = code(*[word for block in blocks for word in (*block, jal(ZERO, 4))], LOOP)
    stops = sorted(pick.sample(range(ROM_INSNS, sum(len(block) + 1 for block in blocks)), 1000))
    found = []
    for counting in COUNTINGS:
        board, pcs = board_of(program, xlen=xlen, counting=counting), []
        for stop in stops:
            board.run_until(icount=stop)
            pcs.append(board.registers["pc"])
        found.append((pcs, board.position, board.digest()))
        assert board.hart.statistics["edges"] > 1.1 * len(blocks)
    assert found[0] == found[1]


COUNTINGS = (CODE, BLOCKS, INSTRUCTIONS)


@pytest.mark.parametrize("counting", COUNTINGS)
@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("body", ["wide", "mixed", "device"])
def test_timer_interrupts_at_every_offset_of_a_block(counting: str, xlen: int, body: str) -> None:
    # an instruction lasts longer than a tick: each deadline is at another instruction. The handler notes mepc.
    handler, start, rounds = 0x400, 0x800, 800
    pick = random.Random(body)
    straight = {
        "wide": [addi(A1, A1, 1)] * 90,
        "mixed": [pick.choice((C_NOP, addi(A1, A1, 1), 0x0585)) for _ in range(120)],
        "device": [pick.choice((C_NOP, addi(A1, A1, 1), lw(T1, T3, 0))) for _ in range(90)],
    }[body]
    note = [csrr(T1, "mepc"), sw(T1, S0, 0), addi(S0, S0, 4), csrw("mie", ZERO), MRET]
    main = [
        auipc(T0, 0), addi(T0, T0, handler), csrw("mtvec", T0), auipc(S0, 0x10), addi(S0, S0, -12), lui(T2, 0x2004),
        lui(T3, 0x200C), addi(T3, T3, -8), csrrsi(ZERO, "mstatus", 8),
    ]  # fmt: skip
    arm = [lw(T1, T3, 0), srli(A2, A0, 2), add(T1, T1, A2), sw(ZERO, T2, 4), sw(T1, T2, 0), addi(T1, ZERO, 0x80),
           csrw("mie", T1)]  # fmt: skip
    after = [addi(A0, A0, 1), addi(A3, ZERO, rounds)]
    loop = code(arm, straight, after)
    board = board_of(
        code(main, jal(ZERO, start - 4 * len(main))), (start, loop + code(bne(A0, A3, -len(loop)), LOOP)),
        (handler, code(note)), xlen=xlen, counting=counting, icount_shift=7, ram_size=RAM_SIZE,
    )  # fmt: skip
    board.run_until(icount=rounds * 150)
    assert board.registers["a0"] == rounds
    noted = board.memory[RAM + 0x10000 : RAM + 0x10000 + 4 * rounds]
    expected, at = set(), RAM + start + 4 * len(arm)
    for word in straight:
        expected.add(at)
        at += len(code(word))
    assert expected <= {int.from_bytes(noted[at : at + 4], "little") for at in range(0, len(noted), 4)}
    assert noted == _noted.setdefault((xlen, body), noted)


_noted: dict[tuple[int, str], bytes] = {}
"""What the handler noted when they were counted the other way."""


NO_SUCH_CSR = 0x7C0023F3  # csrr t2, 0x7c0


def looping(
    xlen: int, counting: str, slice_insns: int | None, rounds: int, body: list[int], handler: list[int]
) -> Board:
    """Repeat ``body`` so often, with the rounds that are left in S0; the handler skips what has trapped."""
    begin = [auipc(T0, 0), addi(T0, T0, 0x400), csrw("mtvec", T0), addi(S0, ZERO, rounds)]
    turn = [*body, addi(S0, S0, -1)]
    skip = [csrr(T0, "mepc"), addi(T0, T0, 4), *handler, csrw("mepc", T0), MRET]
    board = board_of(
        code(begin, turn, bne(S0, ZERO, -4 * len(turn)), LOOP), (0x400, code(skip)), xlen=xlen, counting=counting,
        slice_insns=slice_insns,
    )  # fmt: skip
    board.run_until(icount=100 * rounds)
    assert board.registers["s0"] == 0
    return board


@pytest.mark.parametrize("slice_insns", [1, 3, 1000, None])
@pytest.mark.parametrize("xlen", [64, 32])
def test_what_ends_a_block_and_is_ours_only_sometimes_is_executed_exactly(
    counting: str, xlen: int, slice_insns: int | None
) -> None:
    body = [
        andi(T1, S0, 2), slli(T1, T1, 16), csrrs(ZERO, "mstatus", T1),  # MPRV, with which MRET is ours
        addi(A0, A0, 1), ECALL, csrrc(ZERO, "mstatus", T1), csrr(T3, "instret"), add(A1, A1, T3),
        andi(T1, S0, 4), slli(T1, T1, 20), csrrs(ZERO, "mstatus", T1), NO_SUCH_CSR, csrrc(ZERO, "mstatus", T1),  # TSR
        slli(T1, S0, 10), csrw("medeleg", T1), csrr(T3, "medeleg"), add(A1, A1, T3), csrw("mie", S0), csrr(T3, "mie"),
        add(A1, A1, T3), csrr(T3, "mstatus"), add(A1, A1, T3),
    ]  # fmt: skip
    handler = [
        andi(T2, S0, 1), add(T0, T0, T2), csrw("mepc", T0), csrr(T3, "mepc"), add(A1, A1, T3), csrr(T3, "mcause"),
        add(A1, A1, T3), csrr(T3, "mtval"), add(A1, A1, T3),
    ]  # fmt: skip
    found, expected = (looping(xlen, way, slice_insns, 64, body, handler) for way in (counting, INSTRUCTIONS))
    assert (found.position, found.digest()) == (expected.position, expected.digest())


def begin_below(priv: int) -> list[int]:
    """The start of a program that goes on there, with all of memory and all counters, and its handler at 0x400."""
    return [
        auipc(T0, 0), addi(T1, T0, 0x400), csrw("mtvec", T1), addi(T1, ZERO, -1), csrw("pmpaddr0", T1),
        addi(T1, ZERO, 0x1F), csrw("pmpcfg0", T1), addi(T1, ZERO, 7), csrw("mcounteren", T1), csrw("scounteren", T1),
        addi(T1, ZERO, priv), slli(T1, T1, 11), csrw("mstatus", T1), addi(T0, T0, 4 * 16), csrw("mepc", T0), MRET,
    ]  # fmt: skip


@pytest.mark.parametrize("slice_insns", [1, 3, None])
def test_returns_are_ours_while_mprv_or_tsr_is_set(counting: str, slice_insns: int | None) -> None:
    """MRET clears MPRV, which the handler sets in some rounds, and with TSR an SRET traps."""
    handler = [
        andi(T1, S0, 2), slli(T1, T1, 16), csrrs(ZERO, "mstatus", T1), addi(T1, ZERO, 1), slli(T1, T1, 22),
        csrrc(ZERO, "mstatus", T1), andi(T1, S0, 4), slli(T1, T1, 20), csrrs(ZERO, "mstatus", T1), csrr(T1, "mepc"),
        addi(T1, T1, 4), csrw("mepc", T1), csrr(T1, "mcause"), add(A1, A1, T1), csrrw(T1, "mscratch", ZERO),
        add(A1, A1, T1), csrr(T1, "mstatus"), add(A1, A1, T1), csrr(T1, "mstatus"), csrw("mscratch", T1), MRET,
    ]  # fmt: skip
    turn = [
        ECALL, addi(T1, ZERO, 256), csrrs(ZERO, "sstatus", T1), auipc(T0, 0), addi(T0, T0, 16), csrw("sepc", T0), SRET,
        csrr(T0, "instret"), add(A0, A0, T0), addi(S0, S0, -1),
    ]  # fmt: skip
    program = code(begin_below(1), addi(S0, ZERO, 64), turn, bne(S0, ZERO, -4 * len(turn)), LOOP)
    digests = []
    for way in (counting, INSTRUCTIONS):
        board = board_of(program, (0x400, code(handler)), counting=way, slice_insns=slice_insns)
        board.run_until(icount=5000)
        assert board.registers["s0"] == 0
        digests.append(board.digest())
    assert digests[0] == digests[1]


def test_counter_that_is_forbidden_later_is_read_no_more() -> None:
    """The block reads it without a look while it is allowed."""
    body = [csrr(T1, "instret"), add(A1, A1, T1), addi(A0, A0, 1)]
    handler = [addi(A2, A2, 1), csrr(T0, "mepc"), addi(T0, T0, 4), csrw("mepc", T0), csrw("mcounteren", ZERO), MRET]
    again = [addi(S0, S0, -1), bne(S0, ZERO, -4 * (len(body) + 1)), ECALL, jal(ZERO, -4 * (len(body) + 4))]
    program = code(begin_below(0), addi(S0, ZERO, 50), body, again)
    boards = [board_of(program, (0x400, code(handler)), counting=way) for way in (CODE, INSTRUCTIONS)]
    for board in boards:
        board.run_until(icount=1000)
    assert boards[0].registers["a2"] > 10
    assert boards[0].digest() == boards[1].digest()


def test_traps_are_taken_without_a_look(need: Need) -> None:
    board = looping(64, CODE, None, 500, [addi(A0, A0, 1), ECALL, NO_SUCH_CSR, csrr(T1, "time")], [])
    need("blocks that count by themselves", board.hart.counting is Counting.CODE)
    assert board.hart.statistics["looks"] < 100


@pytest.mark.parametrize("slice_insns", [1, 2, None])
@pytest.mark.parametrize("illegal", [0, 0xFFFFFFFF])
def test_illegal_instruction_before_a_missing_page_traps_as_often_as_it_is_executed(
    counting: str, slice_insns: int | None, illegal: int
) -> None:
    # it is the first of its page, and Unicorn looks at the next page whenever it looks for its block
    place = 2 * PAGE
    program = code(jalr(RA, S0, 0), jal(ZERO, -4))
    handler = code(addi(A0, A0, 1), csrw("mepc", RA), MRET)
    board = board_of(
        (0, program), (8, handler), (place, illegal.to_bytes(4, "little")), counting=counting, slice_insns=slice_insns
    )
    begin_as_supervisor(board)
    board.memory.write(RAM + LEAVES + 8 * 3, bytes(8))
    board.registers["pc"], board.registers["s0"] = RAM, RAM + place
    board.run_until(icount=ROM_INSNS + 5 * 20)
    assert board.registers["a0"] == 20
    assert trap_of(board)[0] == 2


@pytest.mark.parametrize("slice_insns", [1, 2, None])
@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("then", ["missing", "another"])
def test_second_page_of_an_illegal_instruction_is_looked_at_each_time(
    counting: str, slice_insns: int | None, before: int, then: str
) -> None:
    # add a0, s0, zero, but for funct7 on the second page, which is taken away, or exchanged so that it is legal
    place, low, illegal, legal = 3 * PAGE - 2 - 4 * before, 0x0533, 0xFE04, 0x0004
    body = code([NOP] * before) + low.to_bytes(2, "little")
    handler = code(csrw("mepc", RA), MRET)
    board = board_of(
        (0, code(jalr(RA, S0, 0), jal(ZERO, -4))), (8, handler), (place, body),
        (3 * PAGE, illegal.to_bytes(2, "little") + code(jalr(ZERO, RA, 0))),
        (4 * PAGE, legal.to_bytes(2, "little") + code(jalr(ZERO, RA, 0))), counting=counting, slice_insns=slice_insns,
    )  # fmt: skip
    begin_as_supervisor(board)
    board.registers["pc"], board.registers["s0"] = RAM, RAM + place
    board.run_until(icount=ROM_INSNS + 5 * (4 + before))
    assert trap_of(board)[::2] == (2, illegal << 16 | low)

    entry = 0 if then == "missing" else RAM + 4 * PAGE >> 2 | 0xCF
    board.memory.write(RAM + LEAVES + 8 * 3, entry.to_bytes(8, "little"))
    board.hart.env.mcause = 0
    board.run_until(icount=board.position.icount + 3 * (4 + before))
    if then == "missing":
        assert trap_of(board)[::2] == (12, RAM + 3 * PAGE)
    else:
        assert (trap_of(board)[0], board.registers["a0"]) == (0, RAM + place)
