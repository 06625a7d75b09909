"""gdb at a live run: ``run`` and ``record`` with --gdb, -s and -S."""

from __future__ import annotations

from collections.abc import Callable

from minstret.devices.board.traced import Recording, live_timeline
from minstret.emu.cli.gdboptions import WantedGdb
from minstret.emu.cli.gdbserver import GdbServer, Left, how_to_connect
from minstret.emu.gdbstub import GdbStub
from minstret.emu.hart.shared import Counting
from minstret.emu.host import HostSource
from minstret.emu.hostserver import Server
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.monitor import Monitor
from minstret.emu.session import RunLimits
from minstret.emu.timeline import Why


class LiveGdb:
    """A live run that gdb may come to.

    Attributes:
        was_killed: Whether gdb has ended the run.
    """

    def __init__(
        self, wanted: WantedGdb, recording: Recording, source: HostSource, *, limits: RunLimits, counting: Counting,
        say: Callable[[str], None], end_text: Callable[[Outcome], str], on_stop: Callable[[], None],
        on_limit: Callable[[StopReason], Outcome],
    ) -> None:  # fmt: skip
        """Listen for gdb.

        Args:
            wanted: What the options say.
            recording: Of the run, which has not begun.
            source: The run's host.
            limits: Where it ends.
            counting: How to count instructions.
            say: Tells the user a line.
            end_text: Says how the run ended.
            on_stop: Called when the guest has stopped, perhaps not for long.
            on_limit: Called where it has come to a limit; says how it ends there.
        Raises:
            ConfigError: it can't listen, or such a run can't go back.
        """
        self._wanted, self._source, self._say = wanted, source, say
        self._on_stop = on_stop
        self._has_told_end = False
        self.was_killed = False
        board = recording.board
        self._timeline = live_timeline(
            recording, history=wanted.history_bytes, limits=limits, on_limit=on_limit, counting=counting
        )
        stub = GdbStub(
            self._timeline, symbols=board.symbols,
            monitor=Monitor(self._timeline, board.symbols, read=recording.reader, beside=self._timeline.beside),
            end_text=end_text,
        )  # fmt: skip
        self._server = Server(
            wanted.address, option=wanted.option, allows_others=wanted.allows_others,
            on_refused=lambda name: say(f"{name} wants to connect too, but only one can at a time"),
        )  # fmt: skip
        self._gdb = GdbServer(
            self._server, stub, self._timeline, source.signals, say, more_files=lambda: source.typed_files,
            must_end=source.attend, standing_still=source.standing_still, after_move=self._has_stopped,
        )  # fmt: skip

    def run(self) -> Outcome:
        """Run to the end, and serve each gdb that comes. Returns how the run ended.

        At the end a gdb that is connected may still look around, and go back.
        """
        source, server = self._source, self._server
        source.on_poll, source.more_files = self._gdb.look, lambda: server.files
        with server:
            for line in how_to_connect(server):
                self._say(line)
            if self._wanted.waits:
                self._wait_for_gdb()
            while True:
                if self._gdb.wants_to_begin:
                    self._serve()
                stop = self._timeline.run()
                if stop.why is Why.END:
                    assert stop.outcome is not None
                    return stop.outcome

    def _wait_for_gdb(self) -> None:
        """Wait for a gdb that lets the guest begin, and does not just come and vanish."""
        self._say("waits for gdb to connect, and to let the guest begin")
        while self._gdb.wait_for_client():
            if self._serve() is not Left.GONE or self._timeline.end.virtual_ns:
                return

    def _has_stopped(self) -> None:
        self._on_stop()
        if self._timeline.is_at_end and not self._has_told_end:
            self._has_told_end = True
            self._say("the run is over, and ends when gdb leaves")

    def _serve(self) -> Left:
        self._say(f"{self._server.client_name} has connected")
        left = self._gdb.serve()
        self._say(f"{self._server.client_name} has left")
        self._timeline.seek(self._timeline.end.icount)
        self.was_killed = left is Left.KILLED
        if left is Left.KILLED or self._source.attend():
            self._source.ask_to_end()
        return left
