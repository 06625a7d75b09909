"""A debugger's end of gdb's remote protocol, by hand: a few packets, and whatever else a test wants to send."""

from __future__ import annotations

import re
import select
import socket
import subprocess
from types import TracebackType
from typing import Self

from support.commands import PATIENCE_S

CTRL_C = b"\x03"
PC = 32
"""Its number in gdb's protocol."""
_PACKET = re.compile(rb"\$([^#]*)#[0-9a-f]{2}", re.DOTALL)


def packet(payload: bytes) -> bytes:
    """As it goes over the line; ``payload`` has nothing that needs an escape."""
    return b"$%b#%02x" % (payload, sum(payload) & 0xFF)


class GdbClient:
    """A client that speaks a few packets. Use it as a context."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((host, port), PATIENCE_S)
        self._received = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, payload: bytes) -> bytes:
        """The reply to a packet."""
        self.send(packet(payload))
        return self.reply()

    def reply(self) -> bytes:
        """The next packet that comes; text for the user's console is passed over."""
        while True:
            while (found := _PACKET.search(self._received)) is None:
                data = self.socket.recv(1 << 16)
                assert data, f"the server has closed the connection; before that came {self._received!r}"
                self._received += data
            self._received = self._received[found.end() :]
            self.send(b"+")
            if not found[1].startswith(b"O") or found[1] == b"OK":
                return found[1]

    def register(self, number: int) -> int:
        return int.from_bytes(bytes.fromhex(self.ask(b"p%x" % number).decode()), "little")

    def hears_nothing_for(self, seconds: float) -> bool:
        """Whether the server sends nothing for so long."""
        return not self._received and not select.select([self.socket], [], [], seconds)[0]

    def is_closed(self) -> bool:
        """Whether the server closes the connection: waits for that, and passes over what comes before."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass
        return True

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Serving:
    """A process that serves a trace, or a run.

    Attributes:
        said: What it has written to standard error.
        output: What it has written to standard output, once it has ended.
    """

    output = b""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until it says where."""
        self.process = process
        self.said = b""
        self.port = int(self.wait_for(rb"extended-remote 127\.0\.0\.1:(\d+)")[1])

    def wait_for(self, pattern: bytes) -> re.Match[bytes]:
        """Wait until that is on standard error."""
        assert self.process.stderr is not None
        while (found := re.search(pattern, self.said)) is None:
            data = self.process.stderr.read(4096)
            assert data, f"it ended, and said {self.said!r}"
            self.said += data
        return found

    def client(self) -> GdbClient:
        return GdbClient(self.port)

    def end(self) -> int:
        """Its exit status, once it has one."""
        self.output, said = self.process.communicate(timeout=PATIENCE_S)
        self.said += said
        return self.process.returncode
