from __future__ import annotations

from support.harts import board_of
from support.invented_runs import state

from minstret.emu.questions.page.registers import NAMES, HartState, chosen, packed


def unpacked(data: dict[str, object], at: int) -> dict[str, int]:
    """The registers at one place, as the page finds them."""
    names, rows = data["names"], data["rows"]
    assert isinstance(names, list)
    assert isinstance(rows, list)
    values = dict.fromkeys(names, 0)
    for row in rows[: at + 1]:
        values |= {names[index]: int(value, 16) for index, value in zip(row[::2], row[1::2], strict=True)}
    return values


def test_state_of_a_hart_has_its_registers_by_name() -> None:
    board = board_of(b"")
    board.hart.env.x[2], board.hart.env.x[31] = 0x1234, 2**64 - 1

    values = dict(zip(NAMES, HartState.of(board.hart).values(), strict=True))

    assert (values["sp"], values["t6"], values["ra"], values["pc"]) == (0x1234, 2**64 - 1, 0, board.hart.pc)


def test_state_of_a_hart_of_rv32_has_its_registers_too() -> None:
    board = board_of(b"", xlen=32)
    board.hart.env.x[31] = 0xFFFF_FFFF

    assert HartState.of(board.hart).values()[-1] == 0xFFFF_FFFF


def test_packed_states_come_back() -> None:
    states = [state(0x8000_0000), state(0x8000_0000), state(0x8000_0100)]

    data = packed(states)

    assert [[*unpacked(data, at).values()] for at in range(3)] == [one.values() for one in states]
    assert data["rows"][1] == []


def test_without_states_there_are_no_names() -> None:
    assert packed([]) == {"names": [], "rows": []}


def test_each_lane_keeps_its_last_states() -> None:
    busy = [(serial, state(serial)) for serial in range(0, 1000, 2)]
    rare = [(serial, state(serial)) for serial in (1, 501)]

    kept = chosen([busy, rare], limit=10)

    assert [*kept] == [1, 501, *range(984, 1000, 2)]
    assert kept[501] == state(501)


def test_events_without_a_state_are_passed_over() -> None:
    assert [*chosen([[(1, None), (2, state(2))]])] == [2]
