"""Character devices: where a serial line or a monitor leads to on the host. Reading never waits.

Writing waits for a reader that is there, until the run must end. What is written while nobody is there is lost, as on
a serial line.
"""

from __future__ import annotations

import errno
import os
import select
import tty
from typing import Protocol

from minstret.emu.cli.qemuchars import CharKind, CharSpec
from minstret.emu.errors import ConfigError
from minstret.emu.host import Output, Signals, is_ready
from minstret.emu.hostserver import Address, Server, SocketLine, UnixServer, connected

_READ_MAX = 4096
_HELD_MAX = 1 << 16
"""Bytes from a socket that wait for the guest before no more is taken in."""
_LOOK_NS = 100_000_000
"""How often to ask whether somebody has opened a terminal."""


class CharDevice(Protocol):
    """A character device."""

    name: str
    """Where it is, for messages."""
    is_ending: bool
    """Whether to write only what can be written without waiting."""

    @property
    def is_open(self) -> bool:
        """Whether anything may still come."""
        ...

    @property
    def has_peer(self) -> bool:
        """Whether somebody is at the other end."""
        ...

    @property
    def files(self) -> list[int]:
        """What to wait for, to read."""
        ...

    @property
    def holds_input(self) -> bool:
        """Whether something has come that no file tells of any more."""
        ...

    @property
    def look_every_ns(self) -> int | None:
        """How long to wait at most, where no file tells that somebody has come."""
        ...

    def receive(self) -> bytes:
        """What has come since the last call."""
        ...

    def write(self, data: bytes) -> int:
        """Write as much as possible before the run must end; how many bytes were written.

        Raises:
            OSError: it can't be written.
        """
        ...

    def close(self) -> None: ...


class _Writing:
    """Writes to a file descriptor; None is none."""

    holds_input = False

    def __init__(self, signals: Signals, file: int | None) -> None:
        self._output = Output(signals, file=lambda: file)

    @property
    def is_ending(self) -> bool:
        return self._output.is_ending

    @is_ending.setter
    def is_ending(self, is_ending: bool) -> None:
        self._output.is_ending = is_ending

    def write(self, data: bytes) -> int:
        return self._output.write(data)


class FileDevice(_Writing):
    """Reads from a file descriptor and writes to another, or to the same one; -1 is none of them."""

    has_peer = True
    look_every_ns: int | None = None

    def __init__(self, name: str, signals: Signals, *, reads: int = -1, writes: int = -1) -> None:
        super().__init__(signals, None if writes < 0 else writes)
        self.name = name
        self._reads, self._opened = reads, {reads, writes} - {-1, 0, 1}

    @property
    def is_open(self) -> bool:
        return self._reads >= 0

    @property
    def files(self) -> list[int]:
        return [self._reads] if self._reads >= 0 else []

    def receive(self) -> bytes:
        if self._reads < 0 or not is_ready(self._reads, select.POLLIN):
            return b""
        data = os.read(self._reads, _READ_MAX)
        if not data:
            self._reads = -1
        return data

    def close(self) -> None:
        for fd in sorted(self._opened):
            os.close(fd)


class PtyDevice(_Writing):
    """A new pseudo-terminal. Who opens it is the peer; nobody may be there."""

    is_open = True

    def __init__(self, label: str, signals: Signals) -> None:
        self.label = label
        self._master, slave = os.openpty()
        super().__init__(signals, self._master)
        tty.setraw(slave)
        self.name = os.ttyname(slave)
        os.close(slave)  # from now on the master tells whether anybody has opened it

    @property
    def has_peer(self) -> bool:
        return not is_ready(self._master, 0)

    @property
    def files(self) -> list[int]:
        return [self._master] if self.has_peer else []

    @property
    def look_every_ns(self) -> int | None:
        return None if self.has_peer else _LOOK_NS

    def receive(self) -> bytes:
        if not is_ready(self._master, select.POLLIN):
            return b""
        try:
            return os.read(self._master, _READ_MAX)
        except OSError as error:
            if error.errno != errno.EIO:  # it has been closed
                raise
            return b""

    def write(self, data: bytes) -> int:
        if not self.has_peer:
            return len(data)
        try:
            return super().write(data)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return len(data)

    def close(self) -> None:
        os.close(self._master)


class SocketDevice:
    """A socket, of a server or of a client."""

    look_every_ns: int | None = None

    def __init__(self, name: str, line: SocketLine, signals: Signals) -> None:
        self.name, self._line, self._signals = name, line, signals
        self.is_ending = False
        self._received = bytearray()

    @property
    def is_open(self) -> bool:
        return self._line.is_connected or self._line.is_listening or bool(self._received)

    @property
    def holds_input(self) -> bool:
        return bool(self._received)

    @property
    def has_peer(self) -> bool:
        return self._line.is_connected

    @property
    def files(self) -> list[int]:
        return self._line.files

    def receive(self) -> bytes:
        self.look()
        data = bytes(self._received)
        self._received.clear()
        return data

    def look(self) -> None:
        """Take in who and what has come; all that a peer has sent which has left, as the next one may be there."""
        self._line.look()
        if len(self._received) < _HELD_MAX or not self._line.is_connected:
            self._received += self._line.take()

    def write(self, data: bytes) -> int:
        line = self._line
        self.look()
        line.send(data)
        while line.has_unsent and not self.is_ending and self._signals.wait(line.files, None, line.events):
            self.look()
        return len(data)

    def close(self) -> None:
        self._line.close()


def open_device(spec: CharSpec, signals: Signals, *, allows_others: bool = False) -> CharDevice:
    """Open what ``spec`` asks for.

    Raises:
        ConfigError: it can't be opened.
    """
    if spec.kind is CharKind.NULL:
        return FileDevice("null", signals)
    if spec.kind is CharKind.STDIO:
        return FileDevice("stdio", signals, reads=0, writes=1)
    if spec.kind is CharKind.PTY:
        return PtyDevice(spec.label, signals)
    if spec.kind in (CharKind.TCP, CharKind.UNIX):
        return _open_socket(spec, signals, allows_others)
    try:
        return _open_file(spec, signals) if spec.kind is CharKind.FILE else _open_pipe(spec, signals)
    except OSError as error:
        raise ConfigError(f"{spec.option}: {error.filename}: {error.strerror}") from None


def _open_file(spec: CharSpec, signals: Signals) -> CharDevice:
    how = os.O_APPEND if spec.appends else os.O_TRUNC
    return FileDevice(
        spec.path, signals, writes=os.open(spec.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, 0o666)
    )


def _open_pipe(spec: CharSpec, signals: Signals) -> CharDevice:
    """Two pipes, whose names end in ``.in`` and ``.out``, or one for both ways.

    They are opened for both ways, so that nothing waits for the other end and no peer that leaves ends them.
    """
    how = os.O_RDWR | os.O_CLOEXEC
    try:
        reads = os.open(f"{spec.path}.in", how)
    except FileNotFoundError:
        both = os.open(spec.path, how)
        return FileDevice(spec.path, signals, reads=both, writes=both)
    return FileDevice(spec.path, signals, reads=reads, writes=os.open(f"{spec.path}.out", how))


def _open_socket(spec: CharSpec, signals: Signals, allows_others: bool) -> CharDevice:
    address: Address | str = spec.path
    if spec.kind is CharKind.TCP:
        address = Address(spec.host or "127.0.0.1", spec.port)
    if not spec.is_server:
        return SocketDevice(str(address), connected(address, option=spec.option), signals)
    if isinstance(address, str):
        return SocketDevice(address, UnixServer(address, option=spec.option), signals)
    server = Server(address, option=spec.option, allows_others=allows_others, on_refused=lambda name: None)
    return SocketDevice(str(server.address), server, signals)
