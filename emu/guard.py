"""A user's device may have mistakes: each ends the run with one line that names the device and what it did.

The board's own devices are not guarded, so an access to them costs nothing more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minstret.emu.errors import DeviceError, GuestFault, MinstretError
from minstret.emu.part import Device, HasState, Send, Sink
from minstret.emu.state import why_not_saved

_U64_END = 1 << 64


class Guard:
    """Turns what a device raises into a DeviceError."""

    def __init__(self, name: str, icount: Callable[[], int]) -> None:
        """Guard the device called ``name``; ``icount`` tells where the run is."""
        self._name = name
        self._icount = icount
        self.on_worked: Callable[[], None] | None = None
        """Called when the device has done something: its state may be another."""

    def error(self, what: str, text: str) -> DeviceError:
        return DeviceError(f"{self._name}: {what} at icount {self._icount():_}: {text}")

    def run(self, what: str, function: Callable[..., Any], *args: Any) -> Any:
        """Call ``function``.

        Raises:
            DeviceError: it raised something that is none of our own errors.
        """
        try:
            result = function(*args)
        except MinstretError:
            raise
        except (Exception, SystemExit) as error:
            raise self.error(what, f"{type(error).__name__}: {error}") from error
        self._has_worked()
        return result

    def access(self, what: str, function: Callable[..., Any], *args: Any) -> Any:
        """The same for an access of the guest's, which may end with a fault of the guest's."""
        try:
            result = function(*args)
        except (GuestFault, MinstretError):
            raise
        except (Exception, SystemExit) as error:
            raise self.error(what, f"{type(error).__name__}: {error}") from error
        self._has_worked()
        return result

    def _has_worked(self) -> None:
        if self.on_worked is not None:
            self.on_worked()

    def wrap(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, guarded."""

        def guarded(*args: Any) -> Any:
            return self.run(what, function, *args)

        return guarded

    def check_state(self, part: HasState, what: str) -> None:
        """Raise DeviceError where its state can't be saved now."""
        if reason := why_not_saved(getattr(part, "state", None)):
            raise self.error(what, f"it can't be saved: {reason}")

    def sender(self, what: str, send: Send) -> Send:
        """``send``, which takes bytes only."""

        def guarded(data: bytes) -> None:
            send(self.check_bytes(what, data))

        return guarded

    def exit(self, request_exit: Callable[[int], None]) -> Callable[[int], None]:
        """``request_exit``, which takes an int only."""

        def guarded(code: int) -> None:
            if not isinstance(code, int):
                raise self.error("request_exit", f"expected an int, got {code!r:.100}")
            request_exit(code)

        return guarded

    def check_bytes(self, what: str, data: Any) -> bytes:
        """``data``, which has to be bytes."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise self.error(what, f"expected bytes, got {data!r:.100}")
        return bytes(data)

    def sink(self, what: str, sink: Sink) -> Sink:
        """``sink``, guarded; it has to say how many bytes it took."""

        def guarded(data: bytes) -> int | None:
            taken = self.run(what, sink, data)
            if taken is None or (isinstance(taken, int) and 0 <= taken <= len(data)):
                return taken
            raise self.error(what, f"expected None or 0 to {len(data)} bytes taken, got {taken!r:.100}")

        return guarded


class GuardedDevice:
    """The registers of a guarded device, as the bus sees them."""

    def __init__(self, device: Device, guard: Guard) -> None:
        self.name, self.size_bytes = device.name, device.size_bytes
        self._device, self._guard = device, guard

    def read(self, offset: int, size: int) -> int:
        what = f"read of {_bytes(size)} at offset {offset:#x}"
        value = self._guard.access(what, self._device.read, offset, size)
        if not isinstance(value, int):
            raise self._guard.error(what, f"expected an int, got {value!r:.100}")
        if not 0 <= value < _U64_END:
            raise self._guard.error(what, f"expected an unsigned number of up to 64 bits, got {value:#x}")
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        what = f"write of {value:#x} in {_bytes(size)} at offset {offset:#x}"
        self._guard.access(what, self._device.write, offset, size, value)


def _bytes(size: int) -> str:
    return f"{size} byte{'s' if size > 1 else ''}"
