"""gdb's remote protocol for a timeline: bytes come in, bytes go out. Sockets are not known here.

This serves a client: it takes packets, has each answered, and sends replies and text. What the client looks at is
gdbview.py's matter, and how it moves that of gdbmoves.py. Harts are threads: hart 0 is thread 1.

What takes long (to run, to step, a command for the monitor) is not done in ``receive``, but in ``run``.

Source: GDB manual, Remote Protocol.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from minstret.emu.errors import MinstretError
from minstret.emu.gdbmoves import Move, Moves
from minstret.emu.gdbpackets import (
    DATA_SIZE_MAX,
    OK,
    PAYLOAD_SIZE_MAX,
    UNKNOWN,
    Mark,
    PacketStream,
    Refused,
    bytes_of,
    error_reply,
    hex_of,
)
from minstret.emu.gdbview import View
from minstret.emu.images.loader import SymbolTable
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.report import headline
from minstret.emu.text import printable
from minstret.emu.timeline import Stop, Timeline, Why

_BACKLOG_MAX = 1 << 20
"""Bytes of packets that may wait while something is under way; a client that means well sends none then."""
_WAITING_TEXT_MAX = 1 << 16

_NAME = re.compile(rb"[qQv][A-Za-z.]*\??|b[sc]|.", re.DOTALL)

_FEATURES = (
    b"PacketSize=%x;QStartNoAckMode+;qXfer:features:read+;qXfer:memory-map:read+;qXfer:threads:read+;vContSupported+;"
    b"swbreak+;hwbreak+;ReverseStep+;ReverseContinue+" % PAYLOAD_SIZE_MAX
)

_FINAL = (Why.INTERRUPTED, Why.START, Why.END)
"""From such a stop no client goes on by itself. From others one may: where a breakpoint's condition does not hold, or
within a line that is stepped over."""

Answer = bytes | Move | None
"""What a packet gets: a reply, empty where it is not known; or a move, whose end is the reply; None where no reply is
wanted, or it comes later."""


class CommandLine(Protocol):
    """Who answers gdb's ``monitor``."""

    def command(self, text: str) -> str: ...

    def seek(self, place: str) -> object:
        """Go to a place that is written in words. ConfigError: it is none."""

    def interrupt(self) -> None:
        """Let the command that is under way come back soon."""


@dataclass(slots=True)
class _Client:
    """What is known of the client, and on the way from it and to it.

    Attributes:
        view: What it looks at.
        moves: How it moves.
        handlers: What answers a packet, by its name; each gets the rest of it.
        stream: Its connection.
        backlog: Packets that are to be answered, ``backlog_size`` bytes in all.
        waiting_text: For its user: it expects text only while something is under way.
        task: What ``run`` does next.
        knows_stop: It knows that its last move has ended, or does not go on by itself from there.
        is_extended: It may let the run begin anew.
        has_no_process: It has killed the run, and not let it begin anew.
    """

    view: View
    moves: Moves
    handlers: dict[bytes, Callable[[bytes], Answer]]
    stream: PacketStream = field(default_factory=PacketStream)
    backlog: deque[bytes] = field(default_factory=deque)
    backlog_size: int = 0
    waiting_text: bytearray = field(default_factory=bytearray)
    task: Callable[[], None] | None = None
    is_connected: bool = False
    knows_stop: bool = True
    is_extended: bool = False
    has_no_process: bool = False
    is_detached: bool = False
    is_killed: bool = False
    wants_to_close: bool = False


class GdbStub:
    """One debugger's view of a timeline."""

    def __init__(
        self,
        timeline: Timeline,
        *,
        symbols: SymbolTable | None = None,
        monitor: CommandLine | None = None,
        shows_output: bool = False,
        end_text: Callable[[Outcome], str] | None = None,
    ) -> None:
        """Serve ``timeline``, whose notices go to the client from now on.

        Args:
            timeline: What the client walks in.
            symbols: For what is said of the guest's end.
            monitor: Answers ``monitor COMMAND``.
            shows_output: Whether the client gets what ``on_output`` is told.
            end_text: Says how a run, or its recording, has ended.
        """
        self.timeline = timeline
        self._symbols = symbols or SymbolTable()
        self._monitor = monitor
        self._shows_output = shows_output
        self._end_text = end_text or self._plain_end_text
        self._client = self._nobody()
        self._is_busy = self._expects_text = self._is_forward = False
        self._from_guest = bytearray()
        timeline.on_notice = self.notice

    # ---- for the server

    def connected(self) -> None:
        """A client has come. Not during ``run``."""
        self._forget_client()
        self._client.is_connected = True

    def disconnected(self) -> None:
        """The client has gone, perhaps during ``run``, which then comes back soon."""
        self._client.is_connected = False
        if self._is_busy:
            self._interrupt()
        else:
            self._forget_client()

    def receive(self, data: bytes) -> None:
        """Take bytes from the client. During ``run`` Ctrl-C alone has an effect at once."""
        client = self._client
        for one in client.stream.receive(data):
            if one is Mark.CTRL_C:
                self._interrupt()
                continue
            client.knows_stop = True
            packet = one if isinstance(one, bytes) else b""  # what is too long is as good as unknown
            client.backlog.append(packet)
            client.backlog_size += len(packet) + 1
            self._serve()
        if client.backlog_size > _BACKLOG_MAX:
            client.wants_to_close = True
            client.backlog.clear()

    def output(self) -> bytes:
        """What is to be sent to the client; each byte is given once."""
        self._send_from_guest()
        return self._client.stream.take()

    @property
    def wants_to_run(self) -> bool:
        """Whether there is something for ``run`` to do."""
        return self._client.task is not None

    @property
    def is_detached(self) -> bool:
        """Whether the client has let go of the run, which may go on without it."""
        return self._client.is_detached

    @property
    def is_killed(self) -> bool:
        """Whether the client wants the run to end."""
        return self._client.is_killed

    @property
    def wants_to_close(self) -> bool:
        """Whether the client does not keep to the protocol, and is better shut out."""
        return self._client.wants_to_close

    @property
    def has_no_process(self) -> bool:
        """Whether the client has killed the run, and stays: it may let it begin anew."""
        return self._client.has_no_process

    def run(self) -> None:
        """Do what the client waits for: go on to a stop, or answer a command for the monitor.

        The timeline's ``on_stride`` is called meanwhile. It may call ``receive``, ``output``, ``on_output`` and
        ``disconnected``.
        """
        client = self._client
        task, client.task = client.task, None
        if task is None:
            return
        self._is_busy = True
        try:
            task()
        finally:
            self._is_busy = self._expects_text = False
        if client.is_connected:
            self._serve()
        else:
            self._forget_client()

    def on_output(self, data: bytes) -> None:
        """The guest has written to its console. Shown where the client lets it go on; a way back only repeats it."""
        if self._shows_output and self._is_forward:
            self._from_guest += data

    def notice(self, text: str) -> None:
        """Show the client's user a text of ours, line by line."""
        self._tell("".join(f"minstret: {printable(line)}\n" for line in text.splitlines()).encode())

    # ---- the client

    def _nobody(self) -> _Client:
        view = View(self.timeline, self.notice)
        moves = Moves(self.timeline, view)
        return _Client(view, moves, {**view.handlers(), **moves.handlers(), **self._own_handlers()})

    def _forget_client(self) -> None:
        """Be as before it came: what it has set is removed."""
        self._client.moves.points.clear()
        self._client = self._nobody()

    def _interrupt(self) -> None:
        """Let what is under way stop, or what is asked for next, where Ctrl-C and a move's reply have crossed."""
        client = self._client
        if self._is_busy or self.wants_to_run or not client.knows_stop:
            client.moves.interrupt()

    def _serve(self) -> None:
        """Answer packets, up to one whose answer takes ``run``."""
        client = self._client
        while client.backlog and not (self._is_busy or self.wants_to_run or client.is_detached or client.is_killed):
            packet = client.backlog.popleft()
            client.backlog_size -= len(packet) + 1
            answer = self._answer(packet)
            if isinstance(answer, Move):
                client.task = partial(self._make, answer)
            elif answer is not None:
                client.stream.send(answer)
            if packet == b"QStartNoAckMode":
                client.stream.acks = False

    def _answer(self, packet: bytes) -> Answer:
        name = _NAME.match(packet)
        handler = None if name is None else self._client.handlers.get(name[0])
        if name is None or handler is None:
            return UNKNOWN
        try:
            return handler(packet[name.end() :])
        except Refused as refused:
            return refused.reply
        except MinstretError as error:
            return error_reply(str(error))

    def _begin_text(self) -> None:
        """From now on until what is under way ends, the client expects text."""
        self._expects_text = True
        self._send_text(bytes(self._client.waiting_text))
        self._client.waiting_text.clear()

    def _tell(self, data: bytes) -> None:
        """Show text: now, or when the client next expects some."""
        client = self._client
        if self._expects_text:
            self._send_from_guest()
            self._send_text(data)
        elif client.is_connected and len(client.waiting_text) + len(data) <= _WAITING_TEXT_MAX:
            client.waiting_text += data

    def _send_from_guest(self) -> None:
        """Send what the guest has written, which comes byte by byte, in as few packets as possible."""
        data = bytes(self._from_guest)
        self._from_guest.clear()
        self._send_text(data)

    def _send_text(self, data: bytes) -> None:
        for at in range(0, len(data), DATA_SIZE_MAX):
            self._client.stream.send(b"O" + hex_of(data[at : at + DATA_SIZE_MAX]))

    # ---- packets

    def _own_handlers(self) -> dict[bytes, Callable[[bytes], Answer]]:
        """Answers packets about the connection, and about the run as a whole."""
        return {
            b"!": self._extend, b"?": self._last_stop, b"D": self._detach, b"k": self._kill,
            b"qAttached": lambda rest: b"1", b"qRcmd": self._command, b"QStartNoAckMode": lambda rest: OK,
            b"qSupported": self._agree, b"qSymbol": lambda rest: OK, b"QThreadEvents": lambda rest: OK,
            b"R": self._restart, b"vKill": self._kill_process, b"vRun": self._run_anew,
        }  # fmt: skip

    def _agree(self, rest: bytes) -> bytes:
        features = rest[1:].split(b";")
        self._client.moves.known_reasons = frozenset(
            name for name in ("swbreak", "hwbreak") if f"{name}+".encode() in features
        )
        return _FEATURES

    def _extend(self, rest: bytes) -> bytes:
        self._client.is_extended = True
        return OK

    def _detach(self, rest: bytes) -> bytes:
        self._client.moves.points.clear()
        self._client.is_detached = True
        return OK

    def _kill(self, rest: bytes) -> None:
        self._client.is_killed = True

    def _kill_process(self, rest: bytes) -> bytes:
        if self._client.is_extended:
            self._client.has_no_process = True
        else:
            self._client.is_killed = True
        return OK

    def _restart(self, rest: bytes) -> Move:
        self._client.has_no_process = False
        return self._client.moves.restart()

    def _run_anew(self, rest: bytes) -> Move:
        """``vRun;FILE;ARGUMENT...``: behind gdb's ``run`` and ``starti`` may be a place, as for ``seek``."""
        place = b" ".join(bytes_of(word) for word in rest.split(b";")[2:]).decode(errors="replace")
        self._client.has_no_process = False
        if not place or self._monitor is None:
            return self._client.moves.begin_anew()
        return self._client.moves.begin_anew(partial(self._monitor.seek, place))

    def _last_stop(self, rest: bytes) -> bytes:
        client = self._client
        return b"W00" if client.has_no_process else client.moves.last_reply()

    # ---- moves

    def _make(self, move: Move) -> None:
        """Make a move, and tell the client where that has ended."""
        moves = self._client.moves
        if move.expects_text:
            self._begin_text()
            self._is_forward = not move.is_backward
        try:
            stop = moves.make(move)
        except MinstretError as error:
            self.notice(str(error))
            stop = moves.stop_here()
        finally:
            self._is_forward = False
            self._send_from_guest()
        if move.has_reply:
            self._report(stop, is_backward=move.is_backward)
        else:
            moves.is_interrupted = False

    def _report(self, stop: Stop, *, is_backward: bool) -> None:
        """Tell where a move has ended. A Ctrl-C that has not stopped it is for the next one, if that is its rest."""
        client = self._client
        client.knows_stop = stop.why in _FINAL
        if client.knows_stop:
            client.moves.is_interrupted = False
        reply = client.moves.reply_for(stop, is_backward=is_backward)
        if stop.why is Why.END:
            assert stop.outcome is not None
            self.notice(self._end_text(stop.outcome))
        client.stream.send(reply)

    def _plain_end_text(self, outcome: Outcome) -> str:
        if outcome.reason is StopReason.REACHED:
            return "the recording ends here"
        if outcome.reason is StopReason.FINISHED:
            return f"the guest has finished, with exit code {outcome.exit_code}"
        if outcome.reason in (StopReason.WAITS_FOREVER, StopReason.TRAP_LOOP):
            return headline(self.timeline.board.machine, outcome, self._symbols)
        return f"the run ends here: {outcome.reason.value}{f': {outcome.text}' if outcome.text else ''}"

    # ---- the monitor

    def _command(self, rest: bytes) -> bytes | None:
        if self._monitor is None:
            return UNKNOWN
        text = bytes_of(rest[1:]).decode(errors="replace")
        self._client.moves.forget_watch()
        self._client.task = partial(self._obey, self._monitor, text)
        return None

    def _obey(self, monitor: CommandLine, text: str) -> None:
        self._begin_text()
        try:
            with self._client.moves.interruptible(monitor.interrupt):
                answer = monitor.command(text)
        except MinstretError as error:
            answer = f"{error}\n"
        self._client.moves.is_interrupted = False
        self._send_text(answer.encode())
        self._client.stream.send(OK)
