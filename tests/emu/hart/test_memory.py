"""Guest memory: several users that each ask which pages were written, and writes by others than the guest."""

from __future__ import annotations

import pytest
from support import asm
from support.harts import RAM, board_of, run_insns

from minstret.emu.errors import AccessFault

PAGE = 0x1000
COUNTINGS = ("code", "blocks", "instructions", "python")


def storing(*pages: int) -> bytes:
    """Code that stores a word to each of the pages of RAM, two instructions each."""
    stores = [(asm.auipc(asm.T0, page), asm.sw(asm.T0, asm.T0, 0)) for page in pages]
    return asm.code(*(insn for store in stores for insn in store), asm.LOOP)


@pytest.mark.parametrize("counting", COUNTINGS)
def test_each_user_gets_the_pages_written_since_it_asked_last(counting: str) -> None:
    board = board_of(storing(3, 9, 3, 5), counting=counting)
    memory = board.machine.memory
    first = memory.dirty_pages()
    run_insns(board, 2)
    second = memory.dirty_pages()
    assert second.take() == []
    run_insns(board, 4)

    assert first.take() == [3, 9]
    run_insns(board, 8)
    assert second.take() == [3, 5, 9]
    assert first.take() == [3, 5]
    assert (first.take(), second.take()) == ([], [])


def test_writes_beside_the_guest_are_noted_for_each_user() -> None:
    board = board_of(asm.code(asm.LOOP))
    memory = board.machine.memory
    users = [memory.dirty_pages() for _ in range(3)]
    board.hart.write_physical(RAM + 7 * PAGE - 1, b"ab")

    assert [user.take() for user in users] == [[6, 7]] * 3


def test_a_user_that_is_gone_costs_nothing_and_hinders_nobody() -> None:
    board = board_of(storing(3))
    memory = board.machine.memory
    stays, goes = memory.dirty_pages(), memory.dirty_pages()
    del goes
    run_insns(board, 2)

    assert stays.take() == [3]


@pytest.mark.parametrize("counting", COUNTINGS)
def test_written_pages_are_all_since_power_on_and_nobody_misses_them(counting: str) -> None:
    board = board_of(storing(3, 9, 5), counting=counting)
    memory = board.machine.memory
    loaded = set(memory.written_pages())
    user = memory.dirty_pages()
    run_insns(board, 4)

    assert set(memory.written_pages()) == loaded | {3, 9}
    assert user.take() == [3, 9]
    run_insns(board, 6)
    board.hart.write_physical(RAM + 11 * PAGE, bytes(8))
    assert memory.written_pages() == sorted(loaded | {3, 5, 9, 11})
    assert user.take() == [5, 11]


def test_store_that_no_flag_tells_of_is_noticed_by_the_next_digest() -> None:
    board = board_of(asm.code(asm.LOOP))
    board.machine.memory.ram[200 * PAGE + 77] = 1  # goes around GuestMemory.write

    with pytest.raises(AssertionError):
        board.digest()


def test_write_outside_ram_is_refused_and_changes_nothing() -> None:
    memory = board_of(asm.code(asm.LOOP)).machine.memory
    end = RAM + memory.ram_size
    before = bytes(memory.ram[-4:])
    for address in (RAM - 1, end - 3, end):
        with pytest.raises(AccessFault):
            memory.write(address, b"wxyz")

    assert bytes(memory.ram[-4:]) == before
