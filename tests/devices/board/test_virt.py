"""The list of the board's parts."""

from __future__ import annotations

from typing import Any

import pytest

from minstret.devices.board.config import BoardConfig, HostAnswers
from minstret.devices.board.virt import virt_parts
from minstret.devices.hostside.side import INPUTS, NetConfig


def functions(**config: Any) -> dict[str, str]:
    """The virtio devices by slot."""
    parts = virt_parts(BoardConfig(**config), HostAnswers())
    return {part.name: inner.name for part in parts for inner in part.parts()}


def test_devices_are_those_of_qemus_virt_where_it_has_them() -> None:
    parts = virt_parts(BoardConfig(), HostAnswers())

    assert [(part.name, part.base, part.irq) for part in parts[:5]] == [
        ("finisher", 0x10_0000, None), ("rtc", 0x10_1000, 11), ("clint", 0x200_0000, None), ("plic", 0xC00_0000, None),
        ("uart0", 0x1000_0000, 10),
    ]  # fmt: skip
    assert [(part.name, part.base, part.irq) for part in parts[5:]] == [
        (f"virtio{slot}", 0x1000_1000 + 0x1000 * slot, 1 + slot) for slot in range(8)
    ]


@pytest.mark.parametrize(
    ("config", "slots"),
    [
        ({}, {"virtio7": "rng0"}),
        ({"entropy": "none"}, {}),
        ({"net": NetConfig()}, {"virtio6": "rng0", "virtio7": "net0"}),
        ({"net": NetConfig(), "inputs": INPUTS},
         {"virtio4": "rng0", "virtio5": "tablet0", "virtio6": "keyboard0", "virtio7": "net0"}),
        ({"inputs": ("tablet",)}, {"virtio6": "rng0", "virtio7": "tablet0"}),
    ],
)  # fmt: skip
def test_virtio_slots_are_filled_from_the_last_one_down(config: dict[str, Any], slots: dict[str, str]) -> None:
    assert functions(**config) == slots
