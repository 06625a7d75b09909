"""Lines of text for what is in a trace: items, outputs, and checkpoints that follow each other as one."""

from __future__ import annotations

from minstret.emu.door.door import Position
from minstret.emu.trace.format import Checkpoints, Item, Kind, Output, describe

_SHOWN_BYTES = 32


def group_line(group: Item | Checkpoints) -> str:
    """An event by itself, checkpoints as a run."""
    if isinstance(group, Item):
        return entry_line(group)
    first = group.first
    if group.total == 1:
        return entry_line(first)
    clocks = ", ".join(sorted(group.clocks))
    return place_line(
        first.seq, first.position, f"{group.total:,} checkpoints ({clocks}) up to icount {group.last.icount:,}"
    )


def entry_line(entry: Item | Output) -> str:
    """An item with its number, or an output."""
    if isinstance(entry, Output):
        return place_line("", entry.position, f"-> {entry.stream:<16} {_shown(entry.data)}")
    if entry.kind is Kind.CHECKPOINT:
        return place_line(entry.seq, entry.position, f"checkpoint {entry.name}")
    arrow = "<-" if entry.kind is Kind.EVENT else "<?"
    return place_line(entry.seq, entry.position, f"{arrow} {entry.name:<16} {_shown(entry.data)}")


def place_line(mark: int | str, position: Position, text: str) -> str:
    """What is at a position; ``mark`` is the number of an item, or stands in its column."""
    return f"{mark:>8}  {position.icount:>14,}  {position.virtual_ns / 1e9:>14.9f}  {text}"


def _shown(data: bytes) -> str:
    """Printable text as text, other bytes in hexadecimal; shortened if long."""
    if data and all(0x20 <= byte < 0x7F or byte in b"\r\n\t" for byte in data):
        text = repr(data.decode())
        return text if len(text) <= 2 * _SHOWN_BYTES else text[: 2 * _SHOWN_BYTES] + f"... {len(data)} bytes"
    if len(data) <= _SHOWN_BYTES:
        return describe(data) if len(data) <= 8 else data.hex()
    return f"{data[:_SHOWN_BYTES].hex()}... {len(data)} bytes"
