"""What flow.py tells of a run is what a naive walk, one instruction at a time, finds; and asking changes nothing."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from support.asm import A0, A1, LOOP, RA, S0, T0, ZERO, addi, auipc, bne, code, jal, jalr, sw
from support.generated_code import PAGE, RAM_SIZE, WATCHED, Program, generate
from support.harts import RAM, ROM_INSNS, board_of, programs_of
from support.naive_flow import NaiveFlow
from support.needs import Need
from support.random_cases import SEED_SLOW, TIMES

from minstret.devices.board.board import Board
from minstret.emu.hart import flow as flow_module
from minstret.emu.hart.compiled import c_callbacks
from minstret.emu.hart.flow import CallNode, Flow
from minstret.emu.hart.state import HartState
from minstret.emu.hart.watches import WatchKind
from minstret.emu.machine import StopReason

CODE, BLOCKS, INSTRUCTIONS, PYTHON = "code", "blocks", "instructions", "python"
PLACE = tuple[int, int]


@pytest.fixture(params=[CODE, BLOCKS, INSTRUCTIONS, PYTHON])
def counting(request: pytest.FixtureRequest, need: Need) -> str:
    if request.param != PYTHON:
        need("the C extension (a C compiler at install time)", c_callbacks)
    return str(request.param)


def ask_all(flow: Flow) -> None:
    flow.count(True)
    flow.follow_calls(True)
    flow.hash_path(True)


def counted(flow: Flow) -> int:
    return sum(block.insns * block.count for block in flow.blocks())


def in_nodes(flow: Flow) -> int:
    return sum(node.insns for node in flow.calls())


# ---- generated programs


def board_with(program: Program, counting: str) -> Board:
    """Stores to a page are watched."""
    board = board_of(b"", xlen=program.xlen, counting=counting, ram_size=RAM_SIZE, icount_shift=program.icount_shift)
    board.memory.write(RAM, program.image())
    board.hart.watches.add(WatchKind.STORE, RAM + WATCHED, PAGE, lambda address, size: None)
    return board


def walk_of(board: Board) -> NaiveFlow:
    hart, walk = board.hart, NaiveFlow(board.hart)
    load_state = hart.load_state

    def load_and_tell(state: HartState) -> None:  # the board may be reset
        load_state(state)
        walk.forget_open()

    hart.load_state = load_and_tell  # type: ignore[method-assign]
    walk.count(True)
    return walk


def run_on(board: Board, end: int, seed: str | None = None) -> None:
    """Run to ``end``; with a ``seed`` in slices, and from breakpoint to breakpoint."""
    pick = random.Random(seed)
    while board.position.icount < end:
        length = pick.choice((1, 1, 2, 3, 5, 8, 20, 100, 400)) if seed is not None else end
        if seed is not None and pick.random() < 0.1:
            board.hart.breakpoints.add(board.hart.pc + pick.choice((0, 4, 8)))
        reason = board.run_until(icount=min(end, board.position.icount + length)).reason
        if reason not in (StopReason.REACHED, StopReason.BREAKPOINT):
            return


def by_place(flow: Flow, sizes: dict[PLACE, set[int]]) -> tuple[Counter[PLACE], dict[PLACE, int], bool]:
    """How often each instruction was executed, and when last; and whether that can be said: each had one size."""
    counts: Counter[PLACE] = Counter()
    last: dict[PLACE, int] = {}
    for block in flow.blocks():
        pc = block.pc
        for index in range(block.insns):
            place = pc, block.priv
            if len(sizes.get(place, ())) != 1:
                return counts, last, False
            counts[place] += block.count
            last[place] = max(last.get(place, 0), block.last_icount + index)
            pc += min(sizes[place])
    return counts, last, True


def tree(nodes: list[CallNode]) -> set[tuple[object, ...]]:
    """The nodes by their paths: in which order they came does not matter."""
    paths: list[tuple[object, ...]] = []
    for node in nodes:
        above = () if node.parent is None else paths[node.parent]
        paths.append((*above, node[1:4]))
    return {(path, node.insns, node.calls) for path, node in zip(paths, nodes, strict=True)}


@pytest.mark.parametrize("xlen", [64, 32])
def test_generated_programs_are_followed_as_a_naive_walk_does(xlen: int, need: Need) -> None:
    need("the C extension (a C compiler at install time)", c_callbacks)
    check_programs("flow", xlen, 3, 2000)


@pytest.mark.slow
@pytest.mark.parametrize("xlen", [64, 32])
def test_many_generated_programs_are_followed(xlen: int, need: Need) -> None:
    need("the C extension (a C compiler at install time)", c_callbacks)
    check_programs(f"flow/{SEED_SLOW}", xlen, 12 * TIMES, 3000)


def check_programs(name: str, xlen: int, programs: int, end: int) -> None:
    clear = 0
    for number in range(programs):
        program = generate(f"{name}/{number}", xlen)
        naive, plain, hashes = board_with(program, INSTRUCTIONS), board_with(program, CODE), set()
        walk = walk_of(naive)
        run_on(naive, end)
        run_on(plain, end)
        other = PYTHON if number == 0 else INSTRUCTIONS
        ways = (CODE, None), (CODE, program.seed), (BLOCKS, program.seed), (other, None)
        for counting, seed in ways:
            where = f"seed {program.seed!r}, rv{xlen}, {counting}, in slices: {seed is not None}"
            board = board_with(program, counting)
            flow = board.hart.flow
            ask_all(flow)
            run_on(board, end, seed)
            assert (board.position, board.digest()) == (plain.position, plain.digest()), where
            assert counted(flow) == in_nodes(flow) == board.position.icount, where
            assert tree(flow.calls()) == tree(walk.calls()), where
            counts, last, is_clear = by_place(flow, walk.sizes)
            clear += is_clear
            if is_clear:
                assert counts == walk.insns, where
                assert last == {(b.pc, b.priv): b.last_icount for b in walk.blocks()}, where
            hashes.add(flow.path_hash)
        assert len(hashes) == 1, program.seed
    assert clear, "in no program has each instruction one size: these show nothing"


# ---- calls


def test_call_is_a_node_below_its_caller(counting: str) -> None:
    program = code(jal(RA, 12), addi(A0, A0, 1), LOOP, addi(A0, A0, 1), jalr(ZERO, RA, 0))
    board = board_of(program, counting=counting)
    board.run_until(icount=ROM_INSNS)
    board.hart.flow.follow_calls(True)
    board.run_until(icount=ROM_INSNS + 10)
    assert board.hart.flow.calls() == [CallNode(None, RAM, 3, False, 8, 1), CallNode(0, RAM + 12, 3, False, 2, 1)]


def recursion(depth: int) -> bytes:
    """Calls itself so many levels deep, returns through all of them, and begins again."""
    return code(
        addi(A0, ZERO, depth), auipc(S0, 16), jal(RA, 8), jal(ZERO, -12),
        sw(RA, S0, 0), addi(S0, S0, 4), addi(A0, A0, -1), bne(A0, ZERO, 16),
        addi(S0, S0, -4), 0x0004_2083, jalr(ZERO, RA, 0), jal(RA, -28), jal(ZERO, -16),
    )  # fmt: skip


@pytest.mark.parametrize(("depth_max", "frames_max"), [(1024, 1 << 16), (4, 1 << 16), (1024, 8)])
def test_limits_of_the_tree_lose_no_instruction(
    counting: str, depth_max: int, frames_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(flow_module, "DEPTH_MAX", depth_max)
    monkeypatch.setattr(flow_module, "FRAMES_MAX", frames_max)
    board = board_of(recursion(20), xlen=32, counting=counting)
    board.run_until(icount=ROM_INSNS)
    board.hart.flow.follow_calls(True)
    board.run_until(icount=ROM_INSNS + 1000)
    nodes = board.hart.flow.calls()
    assert in_nodes(board.hart.flow) == 1000
    assert tree(nodes) == _trees.setdefault((depth_max, frames_max), tree(nodes))
    if frames_max == 1 << 16:
        assert len(nodes) == min(depth_max, 21)
        assert nodes[1].calls == nodes[2].calls > 3


_trees: dict[tuple[int, int], set[tuple[object, ...]]] = {}
"""Those that another way of counting gave."""


@pytest.mark.parametrize(("name", "limit"), [("RUNS_MAX", 3), ("NODES_MAX", 2)])
def test_what_there_is_no_room_for_is_told(
    counting: str, name: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(flow_module, name, limit)
    board = board_of(recursion(20), xlen=32, counting=counting)
    board.run_until(icount=ROM_INSNS)
    flow = board.hart.flow
    ask_all(flow)
    board.run_until(icount=ROM_INSNS + 1000)
    assert counted(flow) + flow.lost_insns == in_nodes(flow) == 1000
    if name == "RUNS_MAX":
        assert (len(list(flow.blocks())), flow.lost_insns > 0) == (limit, True)
    else:
        assert len(flow.calls()) == limit


# ---- states, harts, beginning and ending


def test_state_that_is_loaded_ends_open_calls_and_counts_go_on(counting: str) -> None:
    board = board_of(recursion(20), xlen=32, counting=counting)
    board.run_until(icount=ROM_INSNS + 50)
    state, pc = board.machine.save_state(), board.hart.pc
    ask_all(board.hart.flow)
    board.run_until(icount=ROM_INSNS + 150)
    board.machine.load_state(state)
    board.run_until(icount=ROM_INSNS + 70)
    flow = board.hart.flow
    assert counted(flow) == in_nodes(flow) == 120
    assert next((node.entry, node.calls) for node in flow.calls() if node.parent is None) == (pc, 2)


def test_each_hart_has_its_own(counting: str) -> None:
    image = programs_of(recursion(5), code(addi(A1, A1, 1), jal(ZERO, -4)))
    board = board_of(image, xlen=32, counting=counting, smp=2, quantum=100)
    for hart in board.harts:
        ask_all(hart.flow)
    board.run_until(icount=3000)
    flows = [hart.flow for hart in board.harts]
    assert [counted(flow) for flow in flows] == [in_nodes(flow) for flow in flows]
    assert sum(map(counted, flows)) == 3000
    assert min(map(counted, flows)) > 1000


def test_it_begins_at_0_and_what_was_found_stays_when_it_ends(counting: str) -> None:
    board = board_of(recursion(5), xlen=32, counting=counting)
    flow = board.hart.flow
    assert (list(flow.blocks()), flow.calls(), flow.path_hash, flow.lost_insns) == ([], [], 0, 0)
    ask_all(flow)
    board.run_until(icount=100)
    found = flow.path_hash
    flow.hash_path(False)
    flow.follow_calls(False)
    board.run_until(icount=200)
    assert (counted(flow), in_nodes(flow), flow.path_hash) == (200, 100, found)
    flow.count(False)
    board.run_until(icount=300)
    assert counted(flow) == 200
    flow.count(True)
    board.run_until(icount=330)
    assert (counted(flow), in_nodes(flow), flow.path_hash) == (30, 100, found)


# ---- the hash


def hash_of(program: bytes, counting: str, change: Callable[[Board], None] = lambda board: None) -> int:
    board = board_of(program, counting=counting)
    board.hart.flow.hash_path(True)
    board.run_until(icount=ROM_INSNS + 7)
    change(board)
    board.run_until(icount=ROM_INSNS + 100)
    return board.hart.flow.path_hash


def test_register_that_differs_once_changes_the_hash(counting: str) -> None:
    def program(number: int) -> bytes:
        return code(addi(T0, T0, 1), addi(A1, ZERO, number), bne(T0, A0, 8), addi(A1, ZERO, 0), jal(ZERO, -16 + 4 * 0))

    def meddle(board: Board) -> None:
        board.registers["s11"] ^= 1 << 40

    first = hash_of(program(1), counting)
    assert hash_of(program(1), counting) == first
    assert len({first, hash_of(program(2), counting), hash_of(program(1), counting, meddle)}) == 3


def test_other_path_changes_the_hash_where_registers_are_the_same(counting: str) -> None:
    forward = code(addi(T0, T0, 1), jal(ZERO, 8), addi(ZERO, ZERO, 0), jal(ZERO, -12))
    straight = code(addi(T0, T0, 1), addi(ZERO, ZERO, 0), addi(ZERO, ZERO, 0), jal(ZERO, -12))
    assert hash_of(forward, counting) != hash_of(straight, counting)
