"""The queue of key and pointer actions: they happen one after another, about as fast as a person types.

Owns the actions that are still to be done. Each batch of events goes to ``deliver`` at its time; the guest sees nothing
else of the queue.

Source: QEMU ui/input.c (the key delay) and ui/input-legacy.c (``sendkey``). Unlike in QEMU, an action is dropped as a
whole if the queue is full, so that no key stays down because its release was dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from minstret.emu.errors import ConfigError
from minstret.emu.timers import Timer, TimerAttribute, TimerList
from minstret.emu.units import NS_PER_MS

# The names of all keys take a while to make, and most boards have no keyboard: the module is imported at the first use.
if TYPE_CHECKING:
    from minstret.devices.hostside.hostinput.keymap import Chord
    from minstret.devices.virtio.input_codes import Button, EventType, Key

KEY_DELAY_NS = 10 * NS_PER_MS
"""Time between two events of typed keys. Source: QEMU, kbd_default_delay_ms."""

PRESS_NS = 100 * NS_PER_MS
"""How long a key or button is held down. Source: QEMU's documentation of ``sendkey``."""

ENTRIES_MAX = 4096

KEYBOARD, TABLET = "keyboard", "tablet"


class Wheel(Enum):
    """The direction in which the wheel turns; the values are those of REL_WHEEL."""

    UP = 1
    DOWN = -1


@dataclass(slots=True)
class Entry:
    """A batch of events for one device, and the delay before the next entry, ns."""

    device: str
    batch: bytes
    delay_ns: int = 0


@dataclass(slots=True)
class InputQueueState:
    """The state of the queue.

    ``entries`` are in order; ``held`` has the codes of the keys and buttons that will be down after all entries; the
    others count actions that were dropped because the queue was full or the device absent.
    """

    entries: list[Entry] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    dropped_full: int = 0
    dropped_absent: int = 0


class InputQueue:
    """Passes events to the door. While the delay timer is armed, all entries wait."""

    def __init__(
        self, name: str, timers: TimerList, deliver: Callable[[str, bytes], None], targets: Mapping[str, str]
    ) -> None:
        """Make an empty queue.

        Args:
            name: Its timer is called ``NAME.delay``.
            timers: The timer list of the virtual clock.
            deliver: Called with a target of the door and one batch of events, which ends in SYN_REPORT.
            targets: The door's targets by device, KEYBOARD or TABLET. Actions for a device that is not listed are
                dropped and counted.
        """
        self.name = name
        self.state = InputQueueState()
        self._timers = timers
        self._deliver = deliver
        self._targets = dict(targets)
        self._timer = Timer(f"{name}.delay", timers, self._on_delay, TimerAttribute.EXTERNAL)

    # ---- the keyboard

    def press(self, keys: Iterable[Key], hold_ns: int = PRESS_NS) -> None:
        """Press ``keys`` together: down one after another, held for ``hold_ns``, and up in reverse order."""
        self._press(tuple(keys), hold_ns)

    def type(self, chords: Iterable[Chord]) -> None:
        """Press one chord after another, as fast as QEMU's ``sendkey`` does."""
        for chord in chords:
            self._press(chord, KEY_DELAY_NS)

    def type_bytes(self, data: bytes) -> None:
        """Type the keys for bytes that came from a terminal; see ``keys_typed``."""
        from minstret.devices.hostside.hostinput.terminal import keys_typed

        self.type(keys_typed(data))

    def hold(self, key: Key) -> None:
        """Press ``key`` and leave it down; does nothing if it is down already."""
        self._set_held(KEYBOARD, key, True)

    def release(self, key: Key) -> None:
        """Release ``key``; does nothing if it is not held."""
        self._set_held(KEYBOARD, key, False)

    def _press(self, keys: Chord, hold_ns: int) -> None:
        if not keys:
            return
        changes = [(key, True) for key in keys] + [(key, False) for key in reversed(keys)]
        entries = [Entry(KEYBOARD, _switch(key, is_down), KEY_DELAY_NS) for key, is_down in changes]
        entries[len(keys) - 1].delay_ns = hold_ns
        if self._put(entries):
            self._forget_held(keys)

    # ---- the tablet

    def move(self, x: int, y: int) -> None:
        """Move the pointer to a position between (0, 0) and (ABS_MAX, ABS_MAX).

        Raises:
            ConfigError: the position is outside.
        """
        from minstret.devices.virtio.input_codes import ABS_MAX, Abs, EventType

        for axis, value in (("x", x), ("y", y)):
            if not 0 <= value <= ABS_MAX:
                raise ConfigError(f"input: {axis}: expected 0..{ABS_MAX}, got {value}")
        self._put([Entry(TABLET, _batch((EventType.EV_ABS, Abs.ABS_X, x), (EventType.EV_ABS, Abs.ABS_Y, y)))])

    def button(self, button: Button, is_down: bool) -> None:
        """Press ``button`` and leave it down, or release it; does nothing if it is in that state already."""
        self._set_held(TABLET, button, is_down)

    def click(self, button: Button) -> None:
        """Press ``button`` for PRESS_NS."""
        down, up = _switch(button, True), _switch(button, False)
        if self._put([Entry(TABLET, down, PRESS_NS), Entry(TABLET, up, KEY_DELAY_NS)]):
            self._forget_held((button,))

    def wheel(self, direction: Wheel) -> None:
        """Turn the wheel by one notch."""
        from minstret.devices.virtio.input_codes import EventType, Rel

        self._put([Entry(TABLET, _batch((EventType.EV_REL, Rel.REL_WHEEL, direction.value)))])

    # ---- the queue

    def _set_held(self, device: str, code: Key | Button, is_down: bool) -> None:
        """Queue the change, if it is one. A release is queued even if the queue is full; there can be only a few."""
        held = self.state.held
        entries = [Entry(device, _switch(code, is_down))]
        if is_down and code not in held and self._put(entries):
            held.append(int(code))
        elif not is_down and code in held:
            held.remove(code)
            self._append(entries)

    def _forget_held(self, codes: Iterable[int]) -> None:
        """Note that keys are no longer held: a press of a held key ends with its release."""
        self.state.held = [code for code in self.state.held if code not in tuple(codes)]

    def _put(self, entries: list[Entry]) -> bool:
        """Queue one action, or drop it. Returns whether it was queued."""
        state = self.state
        if entries[0].device not in self._targets:
            state.dropped_absent += 1
        elif len(state.entries) + len(entries) > ENTRIES_MAX:
            state.dropped_full += 1
        else:
            self._append(entries)
            return True
        return False

    def _append(self, entries: list[Entry]) -> None:
        self.state.entries += entries
        self._advance()

    def _advance(self) -> None:
        """Deliver entries up to the next delay."""
        entries = self.state.entries
        while entries and not self._timer.pending:
            entry = entries.pop(0)
            self._deliver(self._targets[entry.device], entry.batch)
            if entry.delay_ns:
                self._timer.arm(self._timers.clock.now_ns() + entry.delay_ns)

    def _on_delay(self, late_ns: int) -> None:
        self._advance()


def _batch(*events: tuple[EventType, int, int]) -> bytes:
    from minstret.devices.virtio.input_codes import REPORT, pack_event

    return b"".join(pack_event(*event) for event in events) + REPORT


def _switch(code: Key | Button, is_down: bool) -> bytes:
    from minstret.devices.virtio.input_codes import EventType

    return _batch((EventType.EV_KEY, code, int(is_down)))
