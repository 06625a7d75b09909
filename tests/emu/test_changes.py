"""Changes from outside as events: what they say is done, and what they can't say is refused."""

from __future__ import annotations

import pytest
from support.guest_boards import setup_of

from minstret.devices.board.traced import Recording, live_timeline
from minstret.emu.changes import apply_change, memory_change, register_change


def test_events_write_memory_and_registers() -> None:
    board = setup_of("smp", smp=2).make()
    for change in (memory_change(0x8008_0000, b"\x00\xff"), register_change(1, "mscratch", 0x55)):
        apply_change(board.harts, change)
    assert board.memory.read(0x8008_0000, 2) == b"\x00\xff"
    assert board.registers_of(1)["mscratch"] == 0x55
    assert board.registers_of(0)["mscratch"] == 0


def test_hart_that_waits_goes_on_where_its_pc_is_set() -> None:
    board = setup_of("ticks").make()
    while not board.hart.waiting:
        board.run_until(icount=board.position.icount + 1)
    apply_change(board.harts, register_change(0, "pc", 0x8000_0000))
    assert not board.hart.waiting
    assert board.hart.pc == 0x8000_0000


@pytest.mark.parametrize(
    "text",
    [b"", b"memory", b"memory 0x10 00", b"memory x 00", b"memory 0x80000000 0", b"register 2 a0 0x1", b"register 0 a0",
     b"register 0 mhartid 0x1", b"register 0 nonsense 0x1", b"register -1 a0 0x1", b"\xff", b"register 0 a0 zz"],
)  # fmt: skip
def test_text_that_is_no_change_is_refused(text: bytes) -> None:
    board = setup_of("smp", smp=2).make()
    with pytest.raises(ValueError, match=r"."):
        apply_change(board.harts, text)


@pytest.mark.parametrize("is_live", [True, False])
def test_write_at_a_virtual_address_changes_that_alone_and_no_page_table(is_live: bool) -> None:
    with Recording(None, setup_of("paging")) as recording:
        timeline = live_timeline(recording)
        timeline.step(47_950 if is_live else 48_000)
        timeline.seek(47_950)
        hart, ram = timeline.board.hart, timeline.board.machine.memory.ram
        pa, before = hart.translate(hart.pc), bytes(ram)
        assert int(hart.env.priv) == 0
        assert timeline.write_memory(hart.pc, b"mine", hart=0)
        assert timeline.is_diverted is not is_live
        at = pa - timeline.board.machine.memory.ram_base
        assert bytes(ram) == before[:at] + b"mine" + before[at + 4 :]
        assert not timeline.write_memory(0x5000_0000, b"mine", hart=0)


def test_change_across_two_pages_is_made_whole_or_not_at_all() -> None:
    with Recording(None, setup_of("hello")) as recording:
        timeline = live_timeline(recording)
        timeline.step(50)
        memory = timeline.board.machine.memory
        end = memory.ram_base + memory.ram_size
        assert not timeline.write_memory(end - 2, b"mine")
        assert memory.peek(end - 2, 2) == bytes(2)
        assert timeline.write_memory(memory.ram_base + 0x8FFE, b"mine")
        assert memory.peek(memory.ram_base + 0x8FFE, 4) == b"mine"
