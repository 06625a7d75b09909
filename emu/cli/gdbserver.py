"""Serves a timeline to gdb: what the client sends goes to the stub, and what the stub wants is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from enum import Enum, auto
from pathlib import Path

from minstret.emu.cli.gdb import FOR_RISCV, found_gdb
from minstret.emu.gdbstub import GdbStub
from minstret.emu.host import Signals
from minstret.emu.hostserver import Server
from minstret.emu.timeline import Timeline

_BEGINNINGS = b"+-$\x03"
"""What a client's first byte may be. Others are no gdb, such as a browser that a web page sends here."""
_LOOK_NS = 500_000_000
"""How often to ask what else to wait for: a terminal may come to the foreground."""
_FLUSH_NS = 2_000_000_000
"""How long a client that is sent away may take to read what it was sent before."""


class Left(Enum):
    """Why a client is not served any more."""

    DETACHED = auto()  # it has let go of the run, or did not keep to the protocol
    KILLED = auto()  # it wants the run to end
    GONE = auto()  # it has vanished
    ENDED = auto()  # this process is to end


class GdbServer:
    """A server, and what its clients talk to."""

    def __init__(
        self, server: Server, stub: GdbStub, timeline: Timeline, signals: Signals, say: Callable[[str], None], *,
        more_files: Callable[[], Iterable[int]] = tuple, must_end: Callable[[], bool] = lambda: False,
        standing_still: Callable[[], AbstractContextManager[None]] = nullcontext,
        moving: Callable[[], AbstractContextManager[None]] = nullcontext,
        after_move: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """Serve ``timeline``, which calls ``look`` from now on.

        Args:
            server: Where clients come in.
            stub: Speaks with them.
            timeline: What they look at.
            signals: End this, if they are caught.
            say: Tells the user a line.
            more_files: What else to wait for between two moves.
            must_end: Looks at these: whether this process is to end.
            standing_still: Entered for as long as the guest does not go on.
            moving: Entered for as long as a move takes.
            after_move: Called after each of the client's moves.
        """
        self._server, self._stub, self._timeline, self._signals, self._say = server, stub, timeline, signals, say
        self._more_files, self._must_end = more_files, must_end
        self._standing_still, self._moving, self._after_move = standing_still, moving, after_move
        self._is_serving = self._is_moving = False
        self._is_first = True
        self._has_left = False
        """Whether the stub knows that its client has gone, or is to go."""
        timeline.on_stride = self.look

    @property
    def wants_to_begin(self) -> bool:
        """Whether there is a client that is not served yet."""
        return self._server.is_connected and not self._is_serving

    def look(self) -> None:
        """During a move: take what has come. It may end the move soon."""
        if self._is_moving:
            self._look_at_client()
        elif not self._is_serving:
            self._server.look()
            if self.wants_to_begin:
                self._timeline.interrupt()

    def _look_at_client(self) -> None:
        if self._has_left:  # until the move is over nobody else may take its place
            return
        self._server.look()
        self._exchange()
        if not self._server.is_connected or self._is_over():
            self._has_left = True
            self._stub.disconnected()

    def wait_for_client(self) -> bool:
        """Wait for a client; False if this process is to end."""
        while not self._server.is_connected:
            if self._is_over():
                return False
            self._wait()
        return True

    def serve(self) -> Left:
        """Do what a client wants that is there, until it leaves."""
        self._stub.connected()
        self._is_serving, self._is_first, self._has_left = True, True, False
        try:
            left = self._converse()
            self._flush()
        finally:
            self._is_serving = False
            self._server.disconnect()
            if not self._has_left:
                self._stub.disconnected()
        return left

    def _converse(self) -> Left:
        stub = self._stub
        while True:
            self._exchange()
            if stub.is_killed:
                return Left.KILLED
            if stub.is_detached or stub.wants_to_close:
                return Left.DETACHED
            if self._is_over():
                return Left.ENDED
            if not self._server.is_connected:
                return Left.KILLED if stub.has_no_process else Left.GONE
            if stub.wants_to_run:
                self._move()
            else:
                self._wait()

    def _move(self) -> None:
        """Do what the client asks for that takes long."""
        self._is_moving = True
        try:
            with self._moving(), nullcontext() if self._timeline.is_live else self._standing_still():
                self._stub.run()
        finally:
            self._is_moving = False
        self._after_move()

    def _exchange(self) -> None:
        """Hand on what has come, and what is to be sent."""
        data = self._server.take()
        if data and self._is_first:
            self._is_first = False
            if data[0] not in _BEGINNINGS:
                self._say(f"{self._server.client_name} is no gdb: it began with {data[:20]!r}")
                self._server.disconnect()
                return
        if data:
            self._stub.receive(data)
        self._server.send(self._stub.output())

    def _is_over(self) -> bool:
        return self._signals.number is not None or self._must_end()

    def _wait(self) -> None:
        with self._standing_still():
            self._signals.wait([*self._server.files, *self._more_files()], _LOOK_NS, self._server.events)
        self._server.look()

    def _flush(self) -> None:
        server = self._server
        while server.has_unsent and self._signals.wait(server.files, _FLUSH_NS, server.events):
            server.look()


def how_to_connect(server: Server) -> list[str]:
    """Lines that tell where the server is."""
    name = Path(found_gdb() or FOR_RISCV[0]).name
    lines = [f"to connect: {name} -ex 'target extended-remote {server.address}' FILE.elf"]
    if server.is_open_to_others:
        lines.insert(0, f"serving at {server.address}, to all who can reach that: whoever connects controls the run")
    return lines
