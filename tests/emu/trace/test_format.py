"""What a trace's values look like in a message."""

from __future__ import annotations

import pytest
from support.written_traces import at

from minstret.emu.trace.format import Item, Kind, describe


@pytest.mark.parametrize(("data", "text"), [
    (b"", "0 bytes"), (b"\r", "0x0d"), (bytes(range(8)), "0x0001020304050607"), (bytes(9), "9 bytes"),
])  # fmt: skip
def test_few_bytes_are_shown_and_more_are_counted(data: bytes, text: str) -> None:
    assert describe(data) == text


@pytest.mark.parametrize(("kind", "name", "data", "text"), [
    (Kind.EVENT, "uart0.rx", b"\r", "event 'uart0.rx 0x0d'"),
    (Kind.ANSWER, "rtc.time", bytes(8), "answer 'rtc.time 0x0000000000000000'"),
    (Kind.CHECKPOINT, "virtual", b"", "checkpoint of the virtual clock"),
])  # fmt: skip
def test_item_says_what_it_is(kind: Kind, name: str, data: bytes, text: str) -> None:
    assert str(Item(5, kind, at(100), name, data, None)) == text
