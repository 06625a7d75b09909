"""Flattened device trees: a writer for what a board says about itself.

Source: Devicetree Specification 0.4, "Flattened Devicetree (DTB) Format", version 17.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

_MAGIC, _VERSION, _LAST_COMPATIBLE = 0xD00DFEED, 17, 16
_BEGIN_NODE, _END_NODE, _PROP, _END = 1, 2, 3, 9
_HEADER = struct.Struct(">10I")

Value = bytes | str | int | Sequence[str] | Sequence[int] | None


def u64(*values: int) -> list[int]:
    """Cells for 64-bit numbers, such as addresses and sizes."""
    return [cell for value in values for cell in (value >> 32, value & 0xFFFFFFFF)]


def encode(value: Value) -> bytes:
    """A property's bytes: text, list of texts, cell, list of cells, raw bytes; None is empty."""
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape") + b"\0"  # a command line is bytes
    if isinstance(value, int):
        return value.to_bytes(4, "big")
    return b"".join(encode(item) for item in value)


@dataclass(slots=True)
class Node:
    """A node: its name with unit address, its properties and children, in order."""

    name: str
    properties: dict[str, Value] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)

    def add(self, name: str, **properties: Value) -> Node:
        """Add a child.

        In property names ``_`` stands for ``-``, ``__`` for ``,``, and ``cells_address`` for ``#address-cells``.
        """
        child = Node(name, {_property_name(key): value for key, value in properties.items()})
        self.children.append(child)
        return child


def _property_name(key: str) -> str:
    if key.startswith("cells_"):
        return "#" + key.removeprefix("cells_").replace("_", "-") + "-cells"
    return key if key == "device_type" else key.replace("__", ",").replace("_", "-")


def flatten(root: Node) -> bytes:
    """The tree as a DTB."""
    strings: dict[str, int] = {}
    structure = _node(root, strings) + _cell(_END)
    names = b"".join(name.encode() + b"\0" for name in strings)
    reservations = bytes(16)
    at_reservations = _HEADER.size
    at_structure = at_reservations + len(reservations)
    at_strings = at_structure + len(structure)
    total = at_strings + len(names)
    header = _HEADER.pack(
        _MAGIC, total, at_structure, at_strings, at_reservations, _VERSION, _LAST_COMPATIBLE, 0, len(names),
        len(structure),
    )  # fmt: skip
    return header + reservations + structure + names


def _cell(value: int) -> bytes:
    return value.to_bytes(4, "big")


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _node(node: Node, strings: dict[str, int]) -> bytes:
    parts = [_cell(_BEGIN_NODE), _padded(node.name.encode() + b"\0")]
    for name, value in node.properties.items():
        if name not in strings:
            strings[name] = sum(len(known) + 1 for known in strings)
        data = encode(value)
        parts += [_cell(_PROP), _cell(len(data)), _cell(strings[name]), _padded(data)]
    parts += [_node(child, strings) for child in node.children]
    parts.append(_cell(_END_NODE))
    return b"".join(parts)
