"""What a device is: registers at offsets, one typed state, timers and lines bound elsewhere."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable


class HasState(Protocol):
    """A device, or another part with one typed state."""

    state: Any


@runtime_checkable
class Device(Protocol):
    """A chip. It knows offsets within its own window, never addresses, the hart, or the host.

    Loading ``state`` arms no timer and moves no line: timers and line levels are saved by their owners.
    """

    name: str
    size_bytes: int
    state: Any
    """Every mutable field, in one slotted dataclass (emu/state.py says of what)."""

    def read(self, offset: int, size: int) -> int:
        """The ``size`` (1, 2, 4 or 8) bytes at ``offset``, as an unsigned number."""
        ...

    def write(self, offset: int, size: int, value: int) -> None: ...


class Dma(Protocol):
    """Guest memory as a device that masters the bus sees it: physical addresses, bytes."""

    def read(self, address: int, size: int) -> bytes:
        """``size`` bytes.

        Raises:
            AccessFault: some of them are not in memory.
        """
        ...

    def write(self, address: int, data: bytes) -> None:
        """Store ``data``.

        Raises:
            AccessFault: some of it would be outside RAM; nothing is written then.
        """
        ...


class Parts:
    """Every part of a machine by its name: reset, snapshots, digests and reports go over these.

    Attributes:
        guest: What the guest can see: devices and services.
        host: What stands on the host side; a replay has none.
    """

    def __init__(self) -> None:
        self.guest: dict[str, HasState] = {}
        self.host: dict[str, HasState] = {}

    def add(self, name: str, part: HasState) -> None:
        """Make ``part`` one of those that the guest can see."""
        assert name not in self.guest, name
        self.guest[name] = part

    def add_host(self, name: str, part: HasState) -> None:
        """Make ``part`` one of those on the host side."""
        assert name not in self.host, name
        self.host[name] = part


def state_types(parts: Mapping[str, HasState]) -> dict[str, type]:
    """What the states of these parts are made of, by name."""
    return {name: type(part.state) for name, part in parts.items()}


def copied_states(parts: Mapping[str, HasState]) -> dict[str, Any]:
    """A copy of each part's state, by name."""
    return {name: copy.deepcopy(part.state) for name, part in parts.items()}


def load_states(parts: Mapping[str, HasState], states: Mapping[str, Any]) -> None:
    """Give each part a copy of its state of ``states``."""
    for name, part in parts.items():
        part.state = copy.deepcopy(states[name])
