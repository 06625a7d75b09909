"""Interrupt lines: a level, and whoever looks at it."""

from __future__ import annotations

from collections.abc import Callable


class IrqLine:
    """A level-triggered line from a device to an interrupt controller or a hart."""

    __slots__ = ("_on_change", "level", "name")

    def __init__(self, name: str, on_change: Callable[[bool], None] | None = None) -> None:
        self.name = name
        self.level = False
        self._on_change = on_change

    def connect(self, on_change: Callable[[bool], None]) -> None:
        """Tell ``on_change`` of every change from now on. A line has one listener."""
        self._on_change = on_change

    def set_level(self, level: bool) -> None:
        """Raise or lower the line; the listener is called for changes only."""
        if level != self.level:
            self.level = level
            if self._on_change is not None:
                self._on_change(level)

    def load_level(self, level: bool) -> None:
        """Set the level as part of loading a state: nobody is told."""
        self.level = level
