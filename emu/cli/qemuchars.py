"""Character devices on QEMU's command line: where a serial line or a monitor leads to. Nothing is opened here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from minstret.emu.cli.qemusyntax import check_keys, refused, settings, shown, switch


class CharKind(Enum):
    """Kinds of character devices."""

    STDIO = auto()
    NULL = auto()
    FILE = auto()
    PIPE = auto()
    PTY = auto()
    TCP = auto()
    UNIX = auto()


@dataclass(frozen=True, slots=True)
class CharSpec:
    """A character device that is asked for.

    Attributes:
        kind: What it is.
        option: The option that asks for it, for messages.
        label: Its name.
        path: Of a file, of a socket, or of a pipe without ``.in`` and ``.out``.
        host, port: Of a TCP socket.
        is_server: Whether a socket listens.
        waits: Whether the guest begins only when a client is there.
        is_mux: Whether Ctrl-A is a command key in what is typed.
        has_signals: Whether Ctrl-C at a terminal ends the run.
        appends: Whether a file keeps what is in it.
    """

    kind: CharKind
    option: str
    label: str
    path: str = ""
    host: str = ""
    port: int = 0
    is_server: bool = False
    waits: bool = False
    is_mux: bool = False
    has_signals: bool = False
    appends: bool = False


_SOCKET_FLAGS = ("server", "wait", "delay", "nodelay", "telnet", "ipv4", "ipv6")
_FLAGS = ("mux", "signal", "append", *_SOCKET_FLAGS)
_KINDS = {"stdio": CharKind.STDIO, "null": CharKind.NULL, "file": CharKind.FILE, "pipe": CharKind.PIPE,
          "pty": CharKind.PTY, "socket": CharKind.TCP}  # fmt: skip
_KEYS = {
    "stdio": ("signal",), "null": (), "file": ("path", "append"), "pipe": ("path",), "pty": (),
    "socket": ("host", "port", "path", *_SOCKET_FLAGS),
}  # fmt: skip
_KNOWN = "stdio, null, file, pipe, pty, tcp or unix"


def parse_chardev(option: str, value: str) -> CharSpec:
    """The value of ``-chardev``; the ``label`` is its id.

    Raises:
        ConfigError: it can't be done here.
    """
    kind, _, rest = value.partition(",")
    if kind not in _KINDS:
        raise refused(option, value, f"no character device {shown(kind)!r} here; expected {', '.join(_KINDS)}")
    found = check_keys(option, value, settings(rest, None, _FLAGS), ("id", "mux", *_KEYS[kind]))
    if not found.get("id"):
        raise refused(option, value, "id= is missing")
    if kind in ("file", "pipe") and not found.get("path"):
        raise refused(option, value, "path= is missing")

    def is_on(key: str, default: str = "off") -> bool:
        return switch(option, value, key, found.get(key, default))

    spec = CharSpec(
        _KINDS[kind], f"{option} {value}", found["id"], path=found.get("path", ""), is_mux=is_on("mux"),
        has_signals=kind == "stdio" and is_on("signal", "on"), appends=is_on("append"),
    )  # fmt: skip
    return _socket(option, value, spec, found) if kind == "socket" else spec


def parse_backend(option: str, value: str, label: str, chardevs: Mapping[str, CharSpec]) -> CharSpec | None:
    """The value of ``-serial`` or ``-monitor``; None is nothing. With ``mon:`` it is muxed.

    Raises:
        ConfigError: it can't be done here.
    """
    kind, colon, rest = value.partition(":")
    if value == "none":
        return None
    if value == "null" or kind == "vc":
        return CharSpec(CharKind.NULL, f"{option} {value}", label)
    if kind == "chardev" and colon:
        if rest not in chardevs:
            raise refused(option, value, f"there is no -chardev with id={shown(rest)} before it")
        return chardevs[rest]
    if kind == "mon" and colon:
        spec = parse_backend(option, rest, label, chardevs)
        return None if spec is None else replace(spec, is_mux=True, has_signals=False)
    if value in ("stdio", "pty"):
        return CharSpec(_KINDS[value], f"{option} {value}", label, has_signals=value == "stdio")
    if kind in ("file", "pipe") and rest:
        return CharSpec(_KINDS[kind], f"{option} {value}", label, path=rest)
    if kind in ("tcp", "unix") and colon:
        return _old_socket(option, value, label)
    if kind == "telnet":
        raise refused(option, value, "the commands of telnet are not spoken here; tcp:HOST:PORT,server works with it")
    raise refused(option, value, f"no such character device here; expected {_KNOWN}")


def _old_socket(option: str, value: str, label: str) -> CharSpec:
    """``tcp:HOST:PORT,server,nowait`` and ``unix:PATH,server,nowait``."""
    kind, _, rest = value.partition(":")
    address, _, flags = rest.partition(",")
    found = check_keys(option, value, settings(flags, None, _SOCKET_FLAGS), _SOCKET_FLAGS)
    if kind == "unix":
        found["path"] = address
    else:
        host, _, found["port"] = address.rpartition(":")
        found["host"] = host.strip("[]")
    return _socket(option, value, CharSpec(CharKind.TCP, f"{option} {value}", label), found)


def _socket(option: str, value: str, spec: CharSpec, found: Mapping[str, str]) -> CharSpec:
    if switch(option, value, "telnet", found.get("telnet", "off")):
        raise refused(option, value, "telnet: its commands are not spoken here; leave it out")
    is_server = switch(option, value, "server", found.get("server", "off"))
    waits = is_server and switch(option, value, "wait", found.get("wait", "on"))
    spec = replace(spec, is_server=is_server, waits=waits)
    if found.get("path"):
        return replace(spec, kind=CharKind.UNIX, path=found["path"])
    port = found.get("port", "")
    if not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or int(port) > 0xFFFF:
        raise refused(option, value, "expected a port from 0 to 65535, or the path of a Unix socket")
    return replace(spec, host=found.get("host", ""), port=int(port))
