"""Lines for what is in a trace; ``minstret log`` writes them too: tests/cli/test_record.py."""

from __future__ import annotations

import pytest

from minstret.emu.door.door import Position
from minstret.emu.trace.format import Checkpoints, Item, Kind, Output
from minstret.emu.trace.listing import entry_line, group_line

AT = Position(1_234_567, 2_469_134_001)


@pytest.mark.parametrize(
    ("kind", "data", "line"),
    [
        (Kind.EVENT, b"ls\r", r"       7       1,234,567     2.469134001  <- uart0.rx         'ls\r'"),
        (Kind.ANSWER, b"\x1b\x80", "       7       1,234,567     2.469134001  <? uart0.rx         0x1b80"),
        (Kind.ANSWER, bytes(9), "       7       1,234,567     2.469134001  <? uart0.rx         000000000000000000"),
        (Kind.CHECKPOINT, b"", "       7       1,234,567     2.469134001  checkpoint uart0.rx"),
    ],
)
def test_item_is_a_line_with_its_number_and_place(kind: Kind, data: bytes, line: str) -> None:
    assert entry_line(Item(7, kind, AT, "uart0.rx", data, None)) == line


def test_long_data_is_cut_and_its_length_told() -> None:
    assert entry_line(Output("net0.tx", AT, bytes(100))).endswith(f"  -> net0.tx          {'00' * 32}... 100 bytes")
    assert entry_line(Output("uart0.tx", AT, b"x" * 100)).endswith(f"  -> uart0.tx         '{'x' * 63}... 100 bytes")


def test_checkpoints_that_follow_each_other_are_one_line() -> None:
    first = Item(7, Kind.CHECKPOINT, AT, "virtual", b"", None)
    run = Checkpoints(first, Position(9_000_000, 18_000_000_000), 1000, frozenset({"virtual", "host"}))

    assert group_line(run) == (
        "       7       1,234,567     2.469134001  1,000 checkpoints (host, virtual) up to icount 9,000,000"
    )
    assert group_line(Checkpoints(first, AT, 1, frozenset({"virtual"}))) == entry_line(first) == group_line(first)
