"""A board as a user's program has it: run, look, change, reset."""

from __future__ import annotations

import pytest
from support import asm
from support.elf_files import LOOPS, PASSES, says
from support.harts import RAM, ROM_INSNS, programs_of
from support.recordings import Hand, setup_of_code, setup_of_image, typed

from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import BoardConfig
from minstret.devices.board.map import Base
from minstret.emu.door.live import LiveDoor
from minstret.emu.errors import ConfigError
from minstret.emu.machine import Outcome, StopReason
from minstret.firmware import image_path

PASSED = Outcome(StopReason.FINISHED, 0)
REACHED = Outcome(StopReason.REACHED)


def board_of(code: bytes, **config: object) -> Board:
    return setup_of_code(code, **config).make()


# ---- run


def test_input_that_is_no_bytes_is_refused_where_it_is_given() -> None:
    board = board_of(LOOPS)

    with pytest.raises(TypeError, match=r"^uart0\.rx: expected bytes, got 'x'$"):
        board.post("uart0.rx", "x")  # type: ignore[arg-type]


def test_path_is_no_image_for_a_setup() -> None:
    with pytest.raises(ConfigError, match=r"^kernel: expected what read_image gives, got 'Image'$"):
        Setup(BoardConfig(), None, "Image")  # type: ignore[arg-type]


def test_breakpoint_of_a_board_stops_its_run() -> None:
    board = Board(image_path("hello"))
    main = board.symbols.find("main")
    assert main is not None
    board.breakpoints.add(main.address)

    assert board.run().reason is StopReason.BREAKPOINT
    assert board.registers["pc"] == main.address
    assert board.run() == PASSED


def test_bundled_image_runs_to_its_end_from_a_few_lines() -> None:
    sent: list[bytes] = []
    board = Board(image_path("hello"), on_console=sent.append)

    assert board.run() == PASSED
    assert bytes(board.console) == b"".join(sent) == b"hello from minstret, rv64\nhart 0\n"


def test_run_stops_behind_the_awaited_text_and_not_at_what_was_sent_before() -> None:
    board = board_of(says(b"one two one ") + says(b"two") + LOOPS)

    for console in (b"one", b"one two one"):
        assert board.run_until(uart="one") == REACHED
        assert bytes(board.console) == console
    assert board.run_until(uart=b"two") == REACHED
    assert board.run_until(uart="one", icount=1000) == REACHED  # it does not come again
    assert board.position.icount == 1000


def test_awaited_text_may_come_in_pieces_and_the_end_of_the_guest_comes_first() -> None:
    board = board_of(says(b"wait") + asm.code(asm.NOP) + says(b"ing") + PASSES)

    assert board.run_until(uart="waiting") == REACHED
    assert board.run_until(uart="never sent") == PASSED


# ---- look, and change


def test_width_comes_from_the_firmware_or_the_configuration() -> None:
    assert Board(image_path("hello", 32)).hart.xlen == 32
    assert board_of(LOOPS).hart.xlen == 64
    assert board_of(LOOPS, xlen=32).hart.xlen == 32
    with pytest.raises(ConfigError, match="32"):
        Board(image_path("hello", 32), BoardConfig(xlen=64))


def test_registers_and_memory_can_be_changed_between_instructions() -> None:
    adds = asm.code(asm.add(asm.A0, asm.T1, asm.T2), asm.lw(asm.A1, asm.T3, 0), asm.LOOP)
    board = board_of(adds)
    board.run_until(icount=ROM_INSNS)
    board.registers["t1"], board.registers["t2"], board.registers["t3"] = 40, 2, RAM + 0x100
    board.memory[RAM + 0x100 :] = (77).to_bytes(4, "little")
    board.run_until(icount=ROM_INSNS + 2)

    assert (board.registers["a0"], board.registers["a1"]) == (42, 77)


def test_code_that_is_written_from_outside_is_what_runs_next() -> None:
    board = board_of(asm.code(asm.addi(asm.T1, asm.T1, 1), asm.jal(asm.ZERO, -4)))
    board.run_until(icount=ROM_INSNS + 100)
    board.memory[RAM:] = asm.code(asm.addi(asm.T1, asm.T1, 1000))
    board.run_until(icount=ROM_INSNS + 102)

    assert board.registers["t1"] == 1050


def test_parts_are_found_by_name_and_a_wrong_name_tells_which_there_are() -> None:
    board = board_of(LOOPS)

    assert board.part("uart0") is board.uart
    with pytest.raises(ConfigError, match=r"^there is no part 'uart7' on this board; there are .*uart0"):
        board.part("uart7")


def test_posted_bytes_enter_at_the_next_turn() -> None:
    reads = asm.code(asm.li(asm.T0, int(Base.UART0)), asm.lb(asm.A0, asm.T0, 0), asm.LOOP)
    board = board_of(reads)
    board.run_until(icount=ROM_INSNS)
    board.post("uart0.rx", b"k")
    board.run_until(icount=ROM_INSNS + 20)

    assert board.registers["a0"] == ord("k")
    with pytest.raises(ConfigError, match=r"^nothing takes 'uart7\.rx'; there are "):
        board.post("uart7.rx", b"k")


def test_registers_of_each_hart_are_its_own() -> None:
    stays = asm.code(asm.csrr(asm.S1, "mhartid"), asm.LOOP)
    board = board_of(programs_of(stays, stays, stays), smp=3, quantum=100)
    board.run_until(icount=320)

    assert [board.registers_of(hart)["s1"] for hart in range(3)] == [0, 1, 2]
    assert [hart.name for hart in board.harts] == ["hart0", "hart1", "hart2"]
    assert board.registers["mhartid"] == board.hart.hart_id == 0
    board.registers_of(1)["s1"] = 77
    assert board.harts[1].env.x[asm.S1] == 77
    for number in (-1, 3):
        with pytest.raises(ConfigError, match=f"^there is no hart {number}; the board has 3$"):
            board.registers_of(number)


def test_cycles_and_time_are_the_same_for_each_hart_whichever_ran_last() -> None:
    spins = asm.code(asm.LOOP)
    board = board_of(programs_of(spins, spins), smp=2, quantum=100)
    board.run_until(icount=250)

    assert [board.registers_of(hart)["mcycle"] for hart in range(2)] == [250, 250]
    assert len({board.registers_of(hart)["time"] for hart in range(2)}) == 1
    assert [board.registers_of(hart)["minstret"] for hart in range(2)] == [150, 100]


# ---- reset


def test_reset_button_begins_anew_but_for_time() -> None:
    board = setup_of_image("hello").make()
    assert board.run_until(uart="hart 0\n") == REACHED
    before = board.position
    board.reset()

    assert board.registers["pc"] == Base.BOOT_ROM
    assert board.position == before
    assert board.run_until(uart="hart 0\n") == REACHED
    assert board.position.icount > before.icount
    assert bytes(board.console) == b"hello from minstret, rv64\nhart 0\n" * 2


def test_board_with_a_host_that_types_answers_it() -> None:
    hand = Hand(typed(b"abc."), stays=True)
    board = setup_of_image("echo").make(door=LiveDoor(hand))

    assert board.run() == PASSED
    assert b"ABC" in board.console
