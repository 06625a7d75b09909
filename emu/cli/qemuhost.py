"""The host of a run that was started as QEMU is: its serial line may lead anywhere, and there may be monitors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from minstret.devices.board.board import Board
from minstret.devices.board.console import CONSOLE_TARGET
from minstret.emu import host
from minstret.emu.cli.chardev import CharDevice, PtyDevice, SocketDevice, open_device
from minstret.emu.cli.console import Console
from minstret.emu.cli.qemuargs import MonitorKind, MonitorSpec
from minstret.emu.cli.qemuchars import CharKind, CharSpec
from minstret.emu.cli.qemumonitor import HumanMonitor, MonitorTalk, Qmp
from minstret.emu.cli.session import ConsoleSource, has_input
from minstret.emu.door.door import Event
from minstret.emu.machine import RESET_REQUEST, RESET_TARGET, StopReason

_MONITOR_KEY = "c"
_HELP_KEYS = "h?"
_HELP = """\
Ctrl-A x   end the run
Ctrl-A c   to the monitor, or back to the console
Ctrl-A h   this help
Ctrl-A Ctrl-A   send Ctrl-A
"""


@dataclass(slots=True)
class _Monitor:
    """A monitor with a character device of its own."""

    talk: MonitorTalk
    device: CharDevice
    had_peer: bool = False


class QemuSource(ConsoleSource):
    """The host's input, by the devices that QEMU's command line names; does what its monitors ask for.

    Attributes:
        board: The board, once it is made.
        serial: The serial line's device; None where it is the terminal.
        devices: All that are open.
    """

    board: Board

    def __init__(
        self, spec: CharSpec, monitors: Sequence[MonitorSpec], *, timeout_ns: int | None, allows_others: bool
    ) -> None:
        """Open the devices.

        Raises:
            ConfigError: one can't be opened.
        """
        is_stdio = spec.kind is CharKind.STDIO
        super().__init__(
            console_target=CONSOLE_TARGET, timeout_ns=timeout_ns, ctrl_c_stops=spec.has_signals,
            reads_stdin=is_stdio and has_input(False),
        )  # fmt: skip
        self.has_escape_keys = spec.is_mux
        self.devices: list[CharDevice] = []
        self._awaited: list[SocketDevice] = []
        self._asked: list[Event] = []
        self._wants = False
        self.serial: CharDevice | None = None
        if not is_stdio:
            self.serial = self._open(spec, allows_others)
            self.console = Console(self.serial)
        self._muxed = HumanMonitor(self, echoes=True) if MonitorSpec(MonitorKind.HUMAN, None) in monitors else None
        self._monitor_has_keys = False
        self._monitors = [
            _Monitor(self._talk(each.kind, each.device), self._open(each.device, allows_others))
            for each in monitors
            if each.device is not None
        ]

    def _talk(self, kind: MonitorKind, device: CharSpec) -> MonitorTalk:
        if kind is MonitorKind.QMP:
            return Qmp(self, host.wall_ns)
        return HumanMonitor(self, echoes=device.kind is not CharKind.STDIO)

    def _open(self, spec: CharSpec, allows_others: bool) -> CharDevice:
        device = open_device(spec, self.signals, allows_others=allows_others)
        self.devices.append(device)
        if spec.waits and isinstance(device, SocketDevice):
            self._awaited.append(device)
        return device

    def close(self) -> None:
        """Close the devices."""
        for device in self.devices:
            device.close()

    @property
    def terminals(self) -> list[tuple[str, str]]:
        """Pseudo-terminals that were made: labels and paths."""
        return [(device.label, device.name) for device in self.devices if isinstance(device, PtyDevice)]

    @property
    def may_be_typed_to(self) -> bool:
        """Whether somebody may type when the guest has waited a while."""
        if self.serial is not None:
            return self.serial.is_open
        return self.has_writer

    # ---- what monitors ask for

    def reset(self) -> None:
        self._asked.append(Event(RESET_TARGET, RESET_REQUEST))

    def quit(self) -> None:
        self.was_left = True
        self._asked.append(self.stop(StopReason.INTERRUPTED))

    def _serve_monitors(self) -> None:
        for monitor in self._monitors:
            received = monitor.device.receive()
            if monitor.device.has_peer and not monitor.had_peer:
                monitor.device.write(monitor.talk.greeting())
            monitor.had_peer = monitor.device.has_peer
            if received and (said := monitor.talk.feed(received)):
                monitor.device.write(said)

    # ---- the source

    @property
    def is_open(self) -> bool:
        return super().is_open or any(device.is_open for device in self.devices)

    def poll(self, wants_input: bool) -> Iterable[Event]:
        self._serve_monitors()
        self._wants = wants_input
        events = [*super().poll(wants_input)]
        if not events and wants_input and self.serial is not None:
            data = self.serial.receive()
            events = self.filtered(data) if self.has_escape_keys else self.typed(data)
        events += self._asked
        self._asked.clear()
        return events

    def wait(self, timeout_ns: int | None) -> int:
        self._flush()  # reads too, where it waits for a peer
        if any(device.holds_input for device in self._read_from()):
            return 0
        limits_ns = [limit for device in self.devices if (limit := device.look_every_ns) is not None]
        return super().wait(min([*limits_ns, *(() if timeout_ns is None else (timeout_ns,))], default=None))

    def input_files(self) -> list[int]:
        return super().input_files() + [file for device in self._read_from() for file in device.files]

    def _read_from(self) -> list[CharDevice]:
        """Devices from which something would be taken at the next turn."""
        serial = [self.serial] if self.serial is not None and self._wants else []
        return serial + [monitor.device for monitor in self._monitors]

    def typed(self, data: bytes) -> list[Event]:
        if self._monitor_has_keys and self._muxed is not None:
            self.console.write(self._muxed.feed(data))
            return []
        return super().typed(data)

    def obey(self, key: str) -> list[Event]:
        if key == _MONITOR_KEY and self._muxed is not None:
            self._monitor_has_keys = not self._monitor_has_keys
            self.console.write(b"\r\n" if not self._monitor_has_keys else self._muxed.greeting())
            return []
        if key and key in _HELP_KEYS and self._muxed is not None:
            self.console.write(f"\n{_HELP}".replace("\n", "\r\n").encode())
            return []
        return super().obey(key)

    def wait_for_clients(self, say: Callable[[str], None]) -> None:
        """Wait until each server that is to wait has a client, or the process is to end."""
        for device in self._awaited:
            if not device.has_peer:
                say(f"waits for a client at {device.name}")
            while not device.has_peer and self.signals.number is None:
                self.signals.wait(device.files, None)
                device.look()
