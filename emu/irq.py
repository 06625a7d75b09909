"""Interrupt lines: a level, and whoever looks at it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, Protocol


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

    def tap(self, listener: Callable[[bool], None]) -> Callable[[], None]:
        """Tell ``listener`` of each change too, before who has it; call what this returns to end that."""
        on_change = self._on_change

        def tell_both(level: bool) -> None:
            listener(level)
            if on_change is not None:
                on_change(level)

        self._on_change = tell_both
        return lambda: setattr(self, "_on_change", on_change)

    def load_level(self, level: bool) -> None:
        """Set the level as part of loading a state: nobody is told."""
        self.level = level


class LevelKeeper(Protocol):
    """Where the level of a line is, if it is not in the line: C may have to change it too."""

    def level(self) -> bool:
        """The level."""
        ...

    def set_level(self, level: bool) -> bool:
        """Change it; whether it was the other. Nobody is told."""
        ...

    def listen(self, more: int) -> None:
        """So many more listen to each change, or fewer."""
        ...


class KeptLine(IrqLine):
    """A line whose level is elsewhere."""

    __slots__ = ("_keeper",)

    def __init__(self, name: str, keeper: LevelKeeper) -> None:
        self._keeper = keeper
        super().__init__(name)

    @property
    def level(self) -> bool:
        return self._keeper.level()

    @level.setter
    def level(self, level: bool) -> None:
        self._keeper.set_level(level)

    def set_level(self, level: bool) -> None:
        if self._keeper.set_level(level) and self._on_change is not None:
            self._on_change(level)

    def tap(self, listener: Callable[[bool], None]) -> Callable[[], None]:
        end = super().tap(listener)
        self._keeper.listen(1)

        def end_both() -> None:
            end()
            self._keeper.listen(-1)

        return end_both


class SourceChange(Enum):
    """What happens to an interrupt source of a controller."""

    RAISED = "raised"
    LOWERED = "lowered"
    CLAIMED = "claimed"
    COMPLETED = "completed"


class SourceState(NamedTuple):
    """An interrupt source of a controller, for people who look at it.

    ``in_service``: it was claimed, and is not completed. ``enabled`` are those whom it may interrupt: ``hart0 M``.
    """

    source: int
    name: str
    level: bool
    is_pending: bool
    in_service: bool
    priority: int
    enabled: tuple[str, ...]
