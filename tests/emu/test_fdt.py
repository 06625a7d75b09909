"""The format of flattened device trees: what is written is what dtc, and a reader by the specification, find in it."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from support.devicetrees import dtc, parsed
from support.needs import Need

from minstret.emu.fdt import Node, flatten, u64


@pytest.fixture
def dtc_is_here(need: Need) -> None:
    need("dtc", shutil.which("dtc"))


ODD = Node(
    "",
    {
        "#address-cells": 2, "#size-cells": 1, "empty": None, "one": "text", "two": ["first", "second"], "none": "",
        "cell": 0xDEADBEEF, "cells": [0, 1, 0xFFFF_FFFF], "wide": u64(0x1_2345_6789, (1 << 64) - 1),
        "raw": b"\x00\x01\x02", "raw5": b"\xff" * 5, "x,y.z+a?b_c-d#e": 1, "umlaut": "äöü",
    },
    [
        Node("a", {"name-of-31-characters-is-the-most": 1}),
        Node("a@0,1", {"reg": [0, 0, 1], "one": "again"}, [Node("a", {}, [Node("deep.er_still+", {"cell": 7})])]),
        Node("last"),
    ],
)  # fmt: skip


def encoded(value: object) -> bytes:
    """A property's bytes, by the specification."""
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode() + b"\0"
    if isinstance(value, int):
        return value.to_bytes(4, "big")
    assert isinstance(value, list)
    return b"".join(map(encoded, value))


def same(mine: Node, other: Node) -> None:
    assert other.name == mine.name
    assert other.properties == {name: encoded(value) for name, value in mine.properties.items()}
    assert list(other.properties) == list(mine.properties)
    for one, another in zip(mine.children, other.children, strict=True):
        same(one, another)


def test_tree_comes_back_from_dtc_as_it_was(dtc_is_here: None) -> None:
    back, _ = dtc(flatten(ODD), "dtb", "-q", "-q")

    same(ODD, parsed(back))


def test_tree_is_parsed_as_it_was_without_dtc_too() -> None:
    same(ODD, parsed(flatten(ODD)))


def test_tree_comes_back_through_source_text(dtc_is_here: None) -> None:
    source, _ = dtc(flatten(ODD), "dts", "-q", "-q")
    done = subprocess.run(
        ["dtc", "-I", "dts", "-O", "dtb", "-q", "-q"], input=source, capture_output=True, timeout=30, check=True
    )

    same(ODD, parsed(done.stdout))


@pytest.mark.parametrize("size", range(9))
def test_header_lengths_agree_for_every_padding(size: int) -> None:
    data = flatten(Node("", {"p": bytes(range(size))}))

    words = [int.from_bytes(data[at : at + 4], "big") for at in range(0, 40, 4)]
    _, total, structure, strings, reservations, version, last_compatible, boot_cpu, strings_size, structure_size = words
    assert (total, version, last_compatible, boot_cpu) == (len(data), 17, 16, 0)
    assert (reservations % 8, structure % 4) == (0, 0)
    assert structure + structure_size == strings
    assert strings + strings_size == total
    assert data[reservations : reservations + 16] == bytes(16)
    same(Node("", {"p": bytes(range(size))}), parsed(data))


def test_names_of_properties_are_stored_once() -> None:
    children = [Node(f"n{i}", {"the-very-same-name": i}) for i in range(10)]

    assert flatten(Node("", {}, children)).count(b"the-very-same-name") == 1


@pytest.mark.parametrize(
    ("key", "name"),
    [("reg", "reg"), ("stdout_path", "stdout-path"), ("riscv__isa", "riscv,isa"), ("device_type", "device_type"),
     ("cells_address", "#address-cells"), ("cells_interrupt", "#interrupt-cells")],
)  # fmt: skip
def test_keywords_stand_for_property_names(key: str, name: str) -> None:
    child = Node("").add("child", **{key: 1})

    assert child.properties == {name: 1}
