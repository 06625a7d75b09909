"""The first difference between what two traces say happened: items, what the guest sent, how it ended.

Nothing is replayed. Items have the host's decisions, and some a hash of the registers.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from itertools import groupby, zip_longest
from typing import NamedTuple

from minstret.emu.clock import ClockType
from minstret.emu.door.door import Position
from minstret.emu.trace.format import Item, Kind, Output, describe
from minstret.emu.trace.reader import TraceReader

_SHOWN_BYTES = 16
_END_FACTS = ("reason", "exit_code", "icount", "virtual_ns", "uart_sha256", "digest")


class InTable(Enum):
    """What differs first."""

    ITEM = "item"  # an event, an answer or a checkpoint: what, when, or which comes next
    REGISTERS = "registers"  # the hash that goes with an item which is the same
    OUTPUT = "output"
    END = "end"


class TableDifference(NamedTuple):
    """The first thing that is not the same in both traces.

    Attributes:
        what: Which thing.
        position: Where it is, in the trace in which it comes first.
        same_icount: Up to there nothing of what differs can have happened.
        where: That place in words.
        one, other: What each of them has there, in words.
    """

    what: InTable
    position: Position
    same_icount: int
    where: str
    one: str
    other: str

    @property
    def text(self) -> str:
        """All of it, where the first run is what is expected."""
        return f"{self.where}: expected {self.one}, got {self.other}"


def first_difference(one: TraceReader, other: TraceReader) -> TableDifference | None:
    """The first difference between two traces of what may be the same run; None if there is none.

    Raises:
        TraceError: one of them is damaged.
    """
    verified = 0  # the last item with the same hash of the registers on both sides
    for expected, got in zip_longest(one.items(), other.items()):
        if expected is None or got is None or _told(expected) != _told(got):
            at = min(item.position for item in (expected, got) if item is not None)
            same = min(max(0, at.icount - 1), *(reader.reached().position.icount for reader in (one, other)))
            return TableDifference(InTable.ITEM, at, same, _where(at), _item_text(expected), _item_text(got))
        if expected.registers is not None and got.registers is not None:
            if expected.registers != got.registers:
                at, text = expected.position, _item_text(expected)
                return TableDifference(InTable.REGISTERS, at, verified, _where(at), text, "other registers there")
            verified = max(0, expected.position.icount - 1)
    return _output_difference(one, other, verified) or _end_difference(one, other, verified)


def _where(at: Position) -> str:
    return f"at icount {at.icount:,}"


def _told(item: Item) -> tuple[object, ...]:
    """What an item says about the run. The value of VIRTUAL_RT is left out: it is how long the host took for a wait."""
    is_pace = item.kind is Kind.CHECKPOINT and item.name == ClockType.VIRTUAL_RT.value
    return item.seq, item.kind, item.position, item.name, b"" if is_pace else item.data


def _output_difference(one: TraceReader, other: TraceReader, verified: int) -> TableDifference | None:
    for sent, sent_then in zip_longest(_sent(one), _sent(other)):
        if sent == sent_then:
            continue
        at = min(output.position for output in (sent, sent_then) if output is not None)
        same = min(verified, max(0, at.icount - 1))
        if sent is None or sent_then is None or sent.stream != sent_then.stream:
            texts = _output_text(sent), _output_text(sent_then)
            return TableDifference(InTable.OUTPUT, at, same, _where(at), *texts)
        where = f"{sent.stream}, sent from icount {at.icount:,} on"
        if sent.data == sent_then.data:
            times = (
                f"at icount {each.position.icount:,} and {each.position.virtual_ns} ns" for each in (sent, sent_then)
            )
            return TableDifference(InTable.OUTPUT, at, same, where, *times)
        byte, *texts_there = _first_other_bytes(sent.data, sent_then.data)
        return TableDifference(InTable.OUTPUT, at, same, f"{where}, at byte {byte}", *texts_there)
    return None


def _first_other_bytes(one: bytes, other: bytes) -> tuple[int, str, str]:
    """Where the bytes differ, and both from there on."""
    pairs = zip(one, other, strict=False)
    same = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
    return same, _bytes_text(one[same : same + _SHOWN_BYTES]), _bytes_text(other[same : same + _SHOWN_BYTES])


def _end_difference(one: TraceReader, other: TraceReader, verified: int) -> TableDifference | None:
    at, where = min(one.reached().position, other.reached().position), "at the end"
    if (one.end is None) != (other.end is None):
        texts = ("a killed recording" if reader.end is None else "a whole one" for reader in (one, other))
        return TableDifference(InTable.END, at, verified, where, *texts)
    for what in _END_FACTS:
        expected, got = (one.end or {}).get(what), (other.end or {}).get(what)
        if expected != got:
            return TableDifference(InTable.END, at, verified, where, f"{what} {expected}", str(got))
    if one.reached() != other.reached():
        texts = (f"icount {reader.reached().position.icount:,}" for reader in (one, other))
        return TableDifference(InTable.END, at, verified, where, *texts)
    return None


def _sent(reader: TraceReader) -> Iterator[Output]:
    """Outputs. Console bytes are joined, because commits, which follow host time, cut them into pieces."""
    for stream, outputs in groupby(reader.outputs(), key=lambda output: output.stream):
        if stream == "uart0.tx":
            first = next(outputs)
            yield Output(stream, first.position, b"".join((first.data, *(output.data for output in outputs))))
        else:
            yield from outputs


def _bytes_text(data: bytes) -> str:
    """As a string where it is text, as hex where not."""
    return repr(data.decode()) if data.isascii() else f"0x{data.hex()}"


def _item_text(item: Item | None) -> str:
    if item is None:
        return "nothing"
    text = str(item) if item.kind is not Kind.CHECKPOINT else f"checkpoint {item.name}"
    return f"{text} at {item.position.virtual_ns / 1e9:.9f} s"


def _output_text(output: Output | None) -> str:
    return "nothing sent" if output is None else f"{output.stream} sent {describe(output.data)}"
