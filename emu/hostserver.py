"""Sockets, each with one peer at a time, which may send anything and vanish at any moment. No other file uses sockets.

Nothing here waits but ``connected``: whoever serves the peer waits for ``files``, with signals and whatever else may
come.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import select
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self

from minstret.emu.errors import ConfigError
from minstret.emu.text import printable

LOOPBACK = "127.0.0.1"
_PORT_MAX = 0xFFFF
_RECEIVE_MAX, _RECEIVES_MAX = 1 << 16, 16
_UNSENT_MAX = 1 << 20
"""Bytes that may wait for a client to read them before no more is taken from it."""
_UNTAKEN_MAX = 1 << 20
"""Bytes that may wait for ``take`` before no more is taken from a client."""
_SHOWN_MAX = 60


class Address(NamedTuple):
    """Where a server listens: a name or an IP address, and a port; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, option: str) -> Address:
    """``HOST:PORT``, ``[IPV6]:PORT``, or a port of this machine's loopback: ``:PORT`` or ``PORT``.

    Raises:
        ConfigError: it is nothing of these.
    """
    match = re.fullmatch(r"(?:(?:\[([^][\s]+)\]|([^][:\s]*)):)?(\d{1,5})", text, re.ASCII)
    if match is None or int(match[3]) > _PORT_MAX:
        raise ConfigError(f"{option}: expected HOST:PORT such as {LOOPBACK}:1234, got {text!r:.{_SHOWN_MAX}}")
    return Address(match[1] or match[2] or LOOPBACK, int(match[3]))


class SocketLine:
    """A socket that listens and has one client at a time, or that is connected. Use it as a context: it closes itself.

    Attributes:
        client_name: The address of the client, or of the last one.
    """

    def __init__(
        self, listener: socket.socket | None, client: socket.socket | None = None, *,
        on_refused: Callable[[str], None] = lambda name: None,
    ) -> None:  # fmt: skip
        """Take sockets that are open; ``on_refused`` is called with a second client's address."""
        self._listener = listener
        self._on_refused = on_refused
        self._poll = select.poll()
        if listener is not None:
            self._poll.register(listener, select.POLLIN)
        self._received = bytearray()
        self._unsent = bytearray()
        self.client_name = ""
        self._client: socket.socket | None = None
        if client is not None:
            self._take_in(client)

    @property
    def is_listening(self) -> bool:
        """Whether a client may come."""
        return self._listener is not None

    @property
    def is_connected(self) -> bool:
        """Whether there is a client."""
        return self._client is not None

    @property
    def has_unsent(self) -> bool:
        """Whether the client has yet to take something."""
        return bool(self._unsent)

    @property
    def is_clogged(self) -> bool:
        """Whether the client has so much to take that nothing should be sent that it can do without."""
        return len(self._unsent) > _UNSENT_MAX

    @property
    def files(self) -> list[int]:
        """What to wait for, with ``events``, before the next ``look``."""
        return [file.fileno() for file in (self._listener, self._client) if file is not None]

    @property
    def events(self) -> int:
        """What of ``files`` to wait for, as for select.poll."""
        takes_more = not self.is_clogged and len(self._received) < _UNTAKEN_MAX
        return (select.POLLIN if takes_more else 0) | (select.POLLOUT if self._unsent else 0)

    def look(self) -> bool:
        """Whether anything has come since the last call: a client, its bytes, its end. Others than it are refused.

        Takes less than a microsecond where nothing has. Another client comes in at the next call after one has left.
        """
        ready = dict(self._poll.poll(0))
        if not ready:
            return False
        if self._client is not None:
            self._attend(self._client, ready.get(self._client.fileno(), 0))
            if self._client is None:
                return True
        if self._listener is not None and self._listener.fileno() in ready:
            self._accept(self._listener)
        return True

    def take(self) -> bytes:
        """What the client has sent since the last call."""
        data = bytes(self._received)
        self._received.clear()
        if data:
            self._await_client()
        return data

    def send(self, data: bytes) -> None:
        """Send as much as goes without waiting; what is left goes with the next calls of ``look``."""
        if self._client is not None and data:
            self._unsent += data
            self._send(self._client)

    def disconnect(self) -> None:
        """Send the client away."""
        if self._client is not None:
            self._poll.unregister(self._client)
            self._client.close()
            self._client = None
        self._unsent.clear()

    def close(self) -> None:
        """Send the client away, and listen no more."""
        self.disconnect()
        if self._listener is not None:
            self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, place = listener.accept()
        except OSError:  # it has gone again, or there are no file descriptors left: try later
            return
        name = str(Address(*place[:2])) if isinstance(place, tuple) else "a client"
        if self._client is not None:
            client.close()
            self._on_refused(name)
            return
        self.client_name = name
        self._take_in(client)

    def _take_in(self, client: socket.socket) -> None:
        client.setblocking(False)
        if client.family != socket.AF_UNIX:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # small packets, each of which is waited for
        self._client = client
        self._received.clear()
        self._poll.register(client, select.POLLIN)

    def _attend(self, client: socket.socket, ready: int) -> None:
        if ready & select.POLLOUT:
            self._send(client)
        if ready & ~select.POLLOUT and self._client is not None:
            self._receive(client)

    def _receive(self, client: socket.socket) -> None:
        """Take all that is there, so that a client that has left is known to have before another one is refused."""
        for _ in range(_RECEIVES_MAX):
            try:
                data = client.recv(_RECEIVE_MAX)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:  # reset, or its machine can't be reached any more
                data = b""
            self._received += data
            if not data:
                self.disconnect()
                return
        self._await_client()

    def _send(self, client: socket.socket) -> None:
        try:
            del self._unsent[: client.send(self._unsent)]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self.disconnect()
            return
        self._await_client()

    def _await_client(self) -> None:
        """Have ``look`` find what the client is ready for, of what there is to do."""
        if self._client is not None:
            self._poll.modify(self._client, self.events)


class Server(SocketLine):
    """Listens at an address of TCP.

    Attributes:
        address: Where it listens, with the real port.
        is_open_to_others: Whether other machines may be able to connect.
    """

    def __init__(
        self, address: Address, *, option: str, allows_others: bool = False, on_refused: Callable[[str], None]
    ) -> None:
        """Listen.

        Args:
            address: Where.
            option: Which option asked for it, for errors.
            allows_others: Whether the address may be another than this machine's loopback.
            on_refused: Called with a second client's address.
        Raises:
            ConfigError: it can't listen there, or may not.
        """
        endpoints = _resolved(address, option)
        self.is_open_to_others = not all(map(_is_loopback, endpoints))
        if self.is_open_to_others and not allows_others:
            raise ConfigError(
                f"{option}: {address} is not this machine's loopback, so others might connect, and whoever does"
                " controls the run; add --allow-remote if that is wanted"
            )
        listener = _listening(endpoints, address, option)
        self.address = Address(*listener.getsockname()[:2])
        super().__init__(listener, on_refused=on_refused)


class UnixServer(SocketLine):
    """Listens at a path, which is removed when it closes."""

    def __init__(self, path: str, *, option: str) -> None:
        """Listen; a socket that was left there by another process is replaced.

        Raises:
            ConfigError: it can't listen there.
        """
        self._path = path
        listener = socket.socket(socket.AF_UNIX)
        try:
            with suppress(FileNotFoundError):
                if stat.S_ISSOCK(os.stat(path).st_mode):
                    os.unlink(path)
            listener.bind(path)
            listener.listen()
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            raise ConfigError(f"{option}: can't listen there: {error.strerror or error}") from None
        super().__init__(listener)

    def close(self) -> None:
        super().close()
        with suppress(OSError):
            os.unlink(self._path)


def connected(address: Address | str, *, option: str) -> SocketLine:
    """A socket that is connected to a server, at an address of TCP or at a path.

    Raises:
        ConfigError: nobody listens there.
    """
    endpoints = [(socket.AF_UNIX, address)] if isinstance(address, str) else _resolved(address, option)
    reason = ""
    for family, place in endpoints:
        client = socket.socket(family, socket.SOCK_STREAM)
        try:
            client.connect(place)
            return SocketLine(None, client)
        except OSError as error:
            client.close()
            reason = error.strerror or str(error)
    raise ConfigError(f"{option}: can't connect: {reason}")


_Endpoint = tuple[int, Any]
"""A family of addresses, and an address as that family's sockets take it."""


def _resolved(address: Address, option: str) -> list[_Endpoint]:
    """Where a name leads, the best first."""
    try:
        return [(found[0], found[4]) for found in socket.getaddrinfo(*address, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        raise ConfigError(f"{option}: {printable(address.host, _SHOWN_MAX)}: there is no host of that name") from None


def _is_loopback(endpoint: _Endpoint) -> bool:
    return ipaddress.ip_address(endpoint[1][0].partition("%")[0]).is_loopback


def _listening(endpoints: list[_Endpoint], address: Address, option: str) -> socket.socket:
    """A socket that listens at the first of ``endpoints`` that there is on this machine: it may have no IPv6."""
    reason = ""
    for family, place in endpoints:
        try:
            listener = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            reason = reason or _reason(error)
            continue
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # it was perhaps in use a moment ago
            listener.bind(place)
            listener.listen()
            listener.setblocking(False)
            return listener
        except OSError as error:
            listener.close()
            reason = reason or _reason(error)
    raise ConfigError(f"{option}: can't listen at {address}: {reason}")


def _reason(error: OSError) -> str:
    text = os.strerror(error.errno) if error.errno else str(error)
    if error.errno == errno.EADDRINUSE:
        return f"{text}; give another port, or 0 for any that is free"
    if error.errno == errno.EACCES:
        return f"{text}; give a port from 1024 on, or 0 for any that is free"
    return text
