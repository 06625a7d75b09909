"""What a device is: registers at offsets, one typed state, timers and lines bound elsewhere."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


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
