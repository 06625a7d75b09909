"""The map from addresses to devices, and interrupt lines."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minstret.emu.bus import DeviceBus
from minstret.emu.errors import AccessFault
from minstret.emu.irq import IrqLine


@dataclass
class FakeDevice:
    """Remembers what it was asked; answers with ``answer``."""

    name: str = "fake0"
    size_bytes: int = 0x100
    answer: int = 0
    state: None = None
    calls: list[tuple[object, ...]] = field(default_factory=list)

    def read(self, offset: int, size: int) -> int:
        self.calls.append(("read", offset, size))
        return self.answer

    def write(self, offset: int, size: int, value: int) -> None:
        self.calls.append(("write", offset, size, value))


def test_device_is_asked_by_offset() -> None:
    bus, device = DeviceBus(), FakeDevice(answer=0x1234)
    bus.attach(0x1000_0000, device)

    assert bus.read(0x1000_0004, 2) == 0x1234
    bus.write(0x1000_00FC, 4, 0xDEAD_BEEF)

    assert device.calls == [("read", 4, 2), ("write", 0xFC, 4, 0xDEAD_BEEF)]


def test_reads_are_told_while_somebody_asks() -> None:
    bus, told = DeviceBus(), list[tuple[int, int, int]]()
    for base in (0x1000, 0x1100, 0x8000):  # two on one page
        bus.attach(base, FakeDevice(answer=base + 7))
    bus.read(0x1000, 4)

    bus.tell_reads(lambda *read: told.append(read))
    assert [bus.read(0x1004, 4), bus.read(0x1100, 1), bus.read(0x8002, 2)] == [0x1007, 7, 0x8007]
    bus.tell_reads(None)
    bus.read(0x8002, 2)

    assert told == [(0x1004, 4, 0x1007), (0x1100, 1, 7), (0x8002, 2, 0x8007)]


@pytest.mark.parametrize(("size", "value"), [(1, 0x88), (2, 0x7788), (4, 0x55667788), (8, 0x1122334455667788)])
def test_values_are_cut_to_the_size_of_the_access(size: int, value: int) -> None:
    bus, device = DeviceBus(), FakeDevice(answer=0xFF_1122334455667788)
    bus.attach(0, device)

    assert bus.read(8, size) == value
    bus.write(8, size, 0xFF_1122334455667788)

    assert device.calls[-1] == ("write", 8, size, value)


@pytest.mark.parametrize(
    ("address", "size"), [(0xFFF, 1), (0xFFD, 4), (0x1100, 1), (0x10FD, 4), (0x10FF, 2), (0, 1), (1 << 63, 8)]
)
def test_access_that_is_not_wholly_in_a_window_faults(address: int, size: int) -> None:
    bus, device = DeviceBus(), FakeDevice()
    bus.attach(0x1000, device)

    with pytest.raises(AccessFault):
        bus.read(address, size)
    with pytest.raises(AccessFault):
        bus.write(address, size, 0)

    assert device.calls == []


def test_empty_bus_faults() -> None:
    with pytest.raises(AccessFault, match="nothing answers at 0x10"):
        DeviceBus().read(0x10, 4)


def test_access_across_two_adjacent_windows_faults() -> None:
    bus, low, high = DeviceBus(), FakeDevice("low"), FakeDevice("high")
    bus.attach(0, low)
    bus.attach(0x100, high)

    with pytest.raises(AccessFault):
        bus.read(0xFE, 4)

    assert low.calls + high.calls == []


@pytest.mark.parametrize("base", [0x1000, 0x10FF, 0xF01, 0x1080])
def test_overlapping_windows_are_refused_by_name(base: int) -> None:
    bus = DeviceBus()
    bus.attach(0x1000, FakeDevice("first"))

    with pytest.raises(ValueError, match=f"second at {base:#x} overlaps first at 0x1000"):
        bus.attach(base, FakeDevice("second"))

    assert [window.device.name for window in bus.windows] == ["first"]


@given(st.permutations(range(6)))
def test_order_of_attaching_does_not_matter(order: list[int]) -> None:
    bus = DeviceBus()
    for i in order:
        bus.attach(i * 0x200, FakeDevice(f"d{i}", answer=i))

    assert [window.base for window in bus.windows] == [i * 0x200 for i in range(6)]
    assert [bus.read(i * 0x200 + 0xFF, 1) for i in range(6)] == list(range(6))


# ---- lines


def test_listener_hears_of_changes_only() -> None:
    heard: list[bool] = []
    line = IrqLine("clint.mtip", heard.append)

    for level in (False, True, True, False, False, True):
        line.set_level(level)

    assert heard == [True, False, True]
    assert line.level


def test_loading_a_level_tells_nobody() -> None:
    heard: list[bool] = []
    line = IrqLine("clint.mtip", heard.append)

    line.load_level(True)
    assert line.level
    assert heard == []
    line.set_level(True)
    assert heard == []
    line.set_level(False)
    assert heard == [False]


def test_line_without_a_listener_keeps_its_level() -> None:
    line = IrqLine("nowhere")

    line.set_level(True)

    assert line.level
