"""What a test says to a board, and asks of it. Board, Recording and Replay have all of this.

from Python:        with Recording("run.mst", setup) as dut:
                        dut.expect("=> ", within="2s")
                        dut.send("version\\r")
                        dut.expect(r"U-Boot (\\S+)")

In a replay everything that comes in comes from the trace: what a test *does* there (``send``, ``type``, ``press``,
``write``, ``net.send``) has been done. So the same function may drive a board, record it, and go through the recording.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from minstret.devices.board.console import CONSOLE_TARGET
from minstret.devices.hostside.side import KEYBOARD
from minstret.emu import units
from minstret.emu.changes import CHANGES_TARGET, changed_pieces, memory_change
from minstret.emu.door.door import Event
from minstret.emu.errors import ConfigError, ExpectationError
from minstret.emu.expect import SETTLE_NS, Expected, Search, quoted
from minstret.emu.hart.memory import by_page
from minstret.emu.hart.watches import Watch, WatchKind
from minstret.emu.idle import earlier
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.report import place_text
from minstret.emu.session import NO_LIMITS

if TYPE_CHECKING:
    from minstret.devices.board.board import Board
    from minstret.devices.board.port import NetPort
    from minstret.devices.hostside.hostinput.queue import InputQueue
    from minstret.emu.door.door import Position
    from minstret.emu.hart.views import Memory, Registers
    from minstret.emu.images.image import SymbolTable
    from minstret.emu.images.types import Value
    from minstret.emu.logs import Log, LogEntry

WITHIN = "10s"
"""How long ``expect`` waits, in virtual time."""

_TAIL_SHOWN = 60
"""Characters of the console in an error's line."""

_ENDED = {
    StopReason.WAITS_FOREVER: "the guest waits forever",
    StopReason.TRAP_LOOP: "the guest is in a trap loop",
    StopReason.BREAKPOINT: "the run stopped at a breakpoint",
    StopReason.WATCH: "the run stopped for a watch",
    StopReason.END_OF_TIME: "virtual time has reached its limit",
}  # fmt: skip


class Bench:
    """What a test does with a board.

    Attributes:
        limits: How far all runs may go together: one that comes there is a failed expectation.
        limits_shown: What these are, in messages.
    """

    limits = NO_LIMITS
    limits_shown = "its limit"

    # ---- what differs

    @property
    def _board(self) -> Board:
        raise NotImplementedError

    @property
    def _is_replay(self) -> bool:
        """Whether all that comes in comes from a trace."""
        return False

    @property
    def _is_over(self) -> bool:
        """Whether nothing more can come: a replay is at the end of its trace."""
        return False

    def _go(self, icount: int | None, virtual_ns: int | None, *, passes_time: bool = False) -> Outcome:
        """Run on; see ``Machine.run``."""
        raise NotImplementedError

    def _noted(self, outcome: Outcome) -> Outcome:
        """The outcome of a run, as its caller sees it; a recording that ends here ends so."""
        return outcome

    def _let_in(self, changes: int) -> None:
        """Let so many changes, which were given, enter here, before the next instruction."""
        self._go(self._board.position.icount, None)

    # ---- the console

    def send(self, text: str | bytes) -> None:
        """Type ``text`` on the guest's console. It goes by the serial line: character by character, as there is room.

        Raises:
            ConfigError: this is no text.
        """
        if not isinstance(text, str | bytes | bytearray):
            raise ConfigError(f"send: expected a text or bytes, got {text!r:.60}")
        try:
            self._type(text.encode() if isinstance(text, str) else bytes(text))
        except UnicodeEncodeError:
            raise ConfigError(f"send: {text!r:.60} is no text that can be sent; give bytes") from None

    def _type(self, data: bytes) -> None:
        """Let the console's input come."""
        if data:
            self._board.give(Event(CONSOLE_TARGET, data))

    def expect(self, what: str | re.Pattern[str] | Expected, within: str | int | None = WITHIN) -> re.Match[str]:
        """Run until the guest has said ``what``, looking from behind the last match on.

        The run stops right behind the instruction that sent the last character. A match that may become longer, as one
        of ``[0-9]+``, waits for a character that does not belong to it, or for a millisecond without any.

        Args:
            what: A regular expression.
            within: A virtual time such as ``50ms``, or ns; None: as long as the guest runs.
        Returns:
            The match.
        Raises:
            ExpectationError: the guest did not say it.
            ConfigError: ``what`` or ``within`` is no good.
        """
        __tracebackhide__ = True
        if not isinstance(what, str | re.Pattern | Expected):
            raise ConfigError(f"expect: expected a regular expression, got {what!r:.60}")
        board = self._board
        search = Search(what if isinstance(what, Expected) else Expected.regex(what))
        deadline_ns = None if within is None else board.position.virtual_ns + _ns(within, "within")
        begin = min(board.heard, len(board.console))
        match, outcome = search.feed(bytes(board.console[begin:])), None
        if match is None:
            match, outcome = self._search(search, deadline_ns)
        if match is None:
            assert outcome is not None
            raise self._missed(f"expected {search.expected.shown}", within, outcome)
        board.heard = begin + search.used
        return match

    def expect_exact(self, text: str, within: str | int | None = WITHIN) -> re.Match[str]:
        """The same for a text, in which no character means anything else."""
        __tracebackhide__ = True
        if not isinstance(text, str):
            raise ConfigError(f"expect_exact: expected a text, got {text!r:.60}")
        return self.expect(Expected.text(text), within)

    def _search(self, search: Search, deadline_ns: int | None) -> tuple[re.Match[str] | None, Outcome]:
        """Run until ``search`` has a match, at most to ``deadline_ns``; the match, and how the run stopped."""
        __tracebackhide__ = True
        board = self._board
        found: list[re.Match[str]] = []
        settles_ns = board.position.virtual_ns + SETTLE_NS

        def hear(data: bytes) -> None:
            nonlocal settles_ns
            if not found and (match := search.feed(data)) is not None:
                found.append(match)
            if found or search.candidate is not None:
                settles_ns = board.machine.clock.now_ns() + SETTLE_NS
                board.machine.reach()

        with board.heard_by(hear):
            while True:
                until_ns = deadline_ns if search.candidate is None else earlier(settles_ns, deadline_ns)
                outcome = self._advance(None, until_ns)
                if found:
                    return found[0], outcome
                is_quiet = until_ns is not None and board.position.virtual_ns >= until_ns
                if outcome.reason is not StopReason.REACHED or is_quiet or self._is_over:
                    return search.settle(), outcome

    def _other_input(self) -> str:
        """In a replay, what to say where the recording was sent something else."""
        return ""

    def _missed(self, what: str, within: str | int | None, outcome: Outcome) -> ExpectationError:
        """What to say of a wait that was in vain."""
        board, position = self._board, self._board.position
        place = place_text(board.hart.pc, board.symbols)
        tail = board.console[board.heard :].decode(errors="replace")
        how = _ENDED.get(outcome.reason)
        if outcome.reason is StopReason.FINISHED:
            how = f"the guest finished with {outcome.exit_code}"
        elif how is None and self._is_over:
            how = "the trace ends there"
        hint = self._other_input()
        limit = "" if within is None else f" within {within if isinstance(within, str) else f'{within} ns'}"
        said = f"it said {quoted(tail[-_TAIL_SHOWN:])}" if tail else "it said nothing more"
        text = (
            f"{what}{limit}: {f'{how} at' if how else 'the guest is at'} pc {place},"
            f" {position.icount:,} instructions, {position.virtual_ns / 1e9:.6f} s virtual; {said}{hint}"
        )
        return ExpectationError(
            text, tail=board.console.decode(errors="replace"), position=position, pc=board.hart.pc,
            symbol=board.symbols.describe(board.hart.pc), outcome=outcome,
        )  # fmt: skip

    # ---- running

    def run_for(self, time: str | int) -> Outcome:
        """Run for a virtual time such as ``5ms``, or ns. It passes while the guest waits, also where nothing wakes it.

        Raises:
            ConfigError: ``time`` is none.
        """
        __tracebackhide__ = True
        until_ns = self._board.position.virtual_ns + _ns(time, "run_for")
        outcome = self._advance(None, until_ns, passes_time=True)
        return self._with_met(outcome, None, until_ns)

    def step(self, insns: int = 1) -> Outcome:
        """Run for so many instructions, those of the hart that is on; fewer where the run ends before.

        Raises:
            ConfigError: ``insns`` is no number above 0.
        """
        __tracebackhide__ = True
        if type(insns) is not int or insns < 1:
            raise ConfigError(f"step: expected a number of instructions above 0, got {insns!r:.60}")
        icount = self._board.position.icount + insns
        return self._with_met(self._advance(icount, None), icount, None)

    def run_until(
        self, *, icount: int | str | None = None, virtual_ns: int | str | None = None, within: str | int | None = None,
        uart: str | bytes | None = None, pc: str | int | None = None, write: str | int | None = None,
        read: str | int | None = None,
    ) -> Outcome:  # fmt: skip
        """Run until the first of the given conditions holds, or the run ends before.

        Without any it runs to the end. A breakpoint or a watch of the board's stops it too. ``met`` of the outcome says
        which condition holds, None where it stopped for something else, which ``reason`` says; in a replay also where
        the trace ends.

        Args:
            icount: This many instructions have retired since power-on: a number, or a text such as ``5M``.
            virtual_ns: Virtual time since power-on has come there: ns, or a text such as ``2s``.
            within: This much virtual time has passed since the call: a text such as ``50ms``, or ns.
            uart: The guest has sent this text since the call.
            pc: A hart comes to that function or address: the instruction there is the next one.
            write: The guest, or a device of its, has written that variable (see ``read``) or the byte at that address.
            read: The guest has read that variable, or the byte at that address.
        Raises:
            ConfigError: there is no such symbol, or it can't be waited for.
        """
        __tracebackhide__ = True
        if uart is not None and (not isinstance(uart, str | bytes) or not uart):
            raise ConfigError(f"uart: expected a text, got {uart!r:.60}")
        icount = None if icount is None else _count(icount, "icount")
        virtual_ns = None if virtual_ns is None else _ns(virtual_ns, "virtual_ns")
        within_ns = None if within is None else self._board.position.virtual_ns + _ns(within, "within")
        outcome = self._run_until(icount, _first_of(virtual_ns, within_ns), uart, pc, write, read)
        is_within = within_ns is not None and (virtual_ns is None or within_ns < virtual_ns)
        return replace(outcome, met="within") if is_within and outcome.met == "virtual_ns" else outcome

    def _run_until(
        self, icount: int | None, virtual_ns: int | None, uart: str | bytes | None, pc: str | int | None,
        write: str | int | None, read: str | int | None,
    ) -> Outcome:  # fmt: skip
        __tracebackhide__ = True
        board, machine = self._board, self._board.machine
        with ExitStack() as stack:
            said = [] if uart is None else stack.enter_context(board.saying(uart))
            address = None if pc is None else stack.enter_context(self._breakpoint(pc))
            writes = [] if write is None else stack.enter_context(self._watching(WatchKind.STORE, write))
            reads = [] if read is None else stack.enter_context(self._watching(WatchKind.LOAD, read))
            outcome = self._advance(icount, virtual_ns)
        hit = [hit.watch for hit in outcome.hits]  # watches are equal where they are the same
        if outcome.reason is StopReason.BREAKPOINT and machine.hart.pc == address:
            met = "pc"
        elif any(watch in writes for watch in hit):
            met = "write"
        elif any(watch in reads for watch in hit):
            met = "read"
        elif said:
            met = "uart"
        else:
            return self._with_met(outcome, icount, virtual_ns)
        return self._noted(replace(outcome, reason=StopReason.REACHED, met=met))

    def _with_met(self, outcome: Outcome, icount: int | None, virtual_ns: int | None) -> Outcome:
        """The outcome, saying which limit it has come to."""
        position = self._board.position
        if outcome.reason is StopReason.REACHED and icount is not None and position.icount >= icount:
            return replace(outcome, met="icount")
        if outcome.reason is StopReason.REACHED and virtual_ns is not None and position.virtual_ns >= virtual_ns:
            return replace(outcome, met="virtual_ns")
        return outcome

    def _advance(self, icount: int | None, virtual_ns: int | None, *, passes_time: bool = False) -> Outcome:
        """Run on, within the limits.

        Raises:
            ExpectationError: a limit was reached before.
        """
        __tracebackhide__ = True
        limits = self.limits
        outcome = self._go(
            _first_of(icount, limits.icount), _first_of(virtual_ns, limits.virtual_ns), passes_time=passes_time
        )
        if outcome.reason is StopReason.REACHED and limits.reached(self._board.position) is not None:
            raise self._missed(f"the run has come to {self.limits_shown}", None, outcome)
        return outcome

    @contextmanager
    def _breakpoint(self, place: str | int) -> Iterator[int]:
        """Stop before the instruction there, when a run next comes to it."""
        board = self._board
        address, breakpoints = self._address(place), board.machine.breakpoints
        is_ours = address not in breakpoints
        try:
            breakpoints.add(address)
        except ValueError as error:
            raise ConfigError(f"pc: {error}") from None
        if board.hart.pc == address:
            board.hart.skip_breakpoint()
        try:
            yield address
        finally:
            if is_ours:
                breakpoints.remove(address)

    @contextmanager
    def _watching(self, kind: WatchKind, path: str | int) -> Iterator[list[Watch]]:
        """Stop after such accesses to a variable, or to the byte at an address."""
        board, what = self._board, "write" if kind is WatchKind.STORE else "read"
        self._check_is_code(what, path, is_code=False)
        address, size = (path, 1) if isinstance(path, int) else self._locate(path)
        if not size:
            raise ConfigError(f"{what}: nothing says how large {path} is")
        watches: list[Watch] = []
        try:
            for at, length in by_page(address, size):
                pa = board.hart.translate(at & board.hart.xlen_mask)
                if pa is None or not board.machine.memory.has_ram(pa, length):
                    raise ConfigError(f"{what}: no RAM is at {at:#x}")
                watches.append(board.machine.watches.add(kind, pa, length, sees_devices=kind is WatchKind.STORE))
            yield watches
        finally:
            for watch in watches:
                board.machine.watches.remove(watch)

    # ---- variables

    def read(self, path: str | int, size: int | None = None) -> Value:
        """What a variable holds, or a part of one: ``rx_count``, ``queue.slots[3].len``, ``head->next->id``, ``*ptr``.

        Debug information tells types: integers, pointers and enumerations are ints, arrays are lists, those of
        characters bytes, structures and unions dicts by member. Without it 1, 2, 4 and 8 bytes are an unsigned integer,
        and others bytes.

        Args:
            path: As in C. Statics of one name are told apart by file or function: ``main.c:count``, ``rx::calls``. Or a
                virtual address, with ``size``.
            size: How many bytes, whatever the type; they are given as bytes.
        Raises:
            ConfigError: there is no such variable, or no memory where it is.
        """
        if isinstance(path, int):
            if size is None:
                raise ConfigError(f"read: how many bytes at {path:#x}? Give size=")
            return self._load(path, size)
        return self._board.variables.read(path, self._load, size)

    def write(self, path: str, value: Value) -> None:
        """Change a variable, or a part of one. It enters by the door, so a recording has it.

        Args:
            path: As for ``read``.
            value: What ``read`` gives. A dict changes only the members it has; an enumerator may be given by its name,
                an array of characters as a text, which zeros follow.
        Raises:
            ConfigError: there is no such variable, the value does not fit, or no RAM is where it is.
        """
        self._board.variables.write(path, value, self._load, self.write_memory)

    def _load(self, address: int, size: int) -> bytes:
        data = self._board.hart.read_virtual(address, size)
        if data is None:
            raise ConfigError(f"there is no memory at {address:#x}")
        return bytes(data)

    def write_memory(self, address: int, data: bytes) -> None:
        """Change guest memory at a virtual address. It enters by the door, so a recording has it.

        Raises:
            ConfigError: there is no RAM, or a trap has just been taken: then its handler has to begin first.
        """
        board = self._board
        if board.machine.handler_entry is not None:
            raise ConfigError("memory can't be changed between a trap and its handler: use step() first")
        pieces = changed_pieces(board.hart, address, bytes(data), is_physical=False)
        if pieces is None:
            raise ConfigError(f"{len(data)} bytes at {address:#x} can't be written: not all of that is RAM")
        for pa, piece in () if self._is_replay else pieces:
            board.give(Event(CHANGES_TARGET, memory_change(pa, piece)))
        self._let_in(len(pieces))

    def _address(self, place: str | int) -> int:
        """The address of a function."""
        self._check_is_code("pc", place, is_code=True)
        return place if isinstance(place, int) else self._locate(place)[0]

    def _check_is_code(self, what: str, place: str | int, *, is_code: bool) -> None:
        """Refuse data where a function has to be, and a function where data have to be."""
        if not isinstance(place, str | int):
            raise ConfigError(f"{what}: expected a name or an address, got {place!r:.60}")
        symbol = self._board.symbols.find(place) if isinstance(place, str) else None
        if symbol is not None and symbol.size and symbol.is_object is is_code:
            raise ConfigError(f"{what}: {place} is {'a variable, not a function' if is_code else 'a function'}")

    def _locate(self, path: str) -> tuple[int, int]:
        """Where a variable or function is, and how long, bytes."""
        return self._board.variables.locate(path, self._load)

    # ---- logs

    def log(
        self, *, traps: bool = False, unmapped: bool = False, irq: bool = False, exec: bool = False,
        limit: int | None = None, on_entry: Callable[[LogEntry], None] | None = None,
    ) -> Log:  # fmt: skip
        """Begin a log of what happens from now on: see Logs.open. It can be gone through while the run goes on.

        with dut.log(traps=True) as log:
            dut.expect("ready")
        for entry in log:
            print(entry.text(dut.symbols))
        """
        return self._board.logs.open(
            traps=traps, unmapped=unmapped, irq=irq, exec=exec, limit=limit, on_entry=on_entry
        )  # fmt: skip

    # ---- keys

    def type(self, text: str) -> None:
        """Type on the guest's keyboard: characters, and keys such as ``<ret>`` or ``<ctrl-c>``; ``<<`` for a ``<``.

        Raises:
            ConfigError: there is no keyboard, or no such key.
        """
        if not isinstance(text, str):
            raise ConfigError(f"type: expected a text, got {text!r:.60}")
        from minstret.devices.hostside.hostinput.keymap import parse_keys  # few boards have a keyboard

        chords = parse_keys(text, "type")
        for keyboard in self._keyboard():
            keyboard.type(chords)

    def press(self, keys: str, hold: str | int = "100ms") -> None:
        """Press keys together, such as ``a`` or ``ctrl-alt-delete``, and hold them for that virtual time.

        Raises:
            ConfigError: there is no keyboard, or no such key.
        """
        if not isinstance(keys, str):
            raise ConfigError(f"press: expected keys such as ctrl-c, got {keys!r:.60}")
        from minstret.devices.hostside.hostinput.keymap import parse_chord  # few boards have a keyboard

        chord, hold_ns = parse_chord(keys, "press"), _ns(hold, "press: hold")
        for keyboard in self._keyboard():
            keyboard.press(chord, hold_ns)

    def _keyboard(self) -> list[InputQueue]:
        """Where keys go in; nothing in a replay, which has them from the trace."""
        if KEYBOARD not in self._board.config.inputs:
            raise ConfigError('there is no keyboard: make the board with inputs=("keyboard",), or --input keyboard')
        self._board.machine.door.host_acts()
        if self._is_replay:
            return []
        return [self._board.live_side("input").input]


class SessionBench(Bench):
    """A bench whose board belongs to a session: what is looked at most is at hand here too."""

    board: Board

    @property
    def _board(self) -> Board:
        return self.board

    @property
    def position(self) -> Position:
        """Where the run is."""
        return self.board.position

    @property
    def console(self) -> bytearray:
        """Every byte the guest has sent."""
        return self.board.console

    @property
    def registers(self) -> Registers:
        """Registers by name."""
        return self.board.registers

    @property
    def memory(self) -> Memory:
        """Physical memory."""
        return self.board.memory

    @property
    def symbols(self) -> SymbolTable:
        """The symbols of what the board boots."""
        return self.board.symbols

    @property
    def net(self) -> NetPort:
        """The far end of the network card."""
        return self.board.net


def _ns(time: str | int, what: str) -> int:
    if isinstance(time, str):
        return units.parse_time_ns(time, what)
    if type(time) is not int or time < 0:
        raise ConfigError(f"{what}: expected a time such as 50ms, or ns, got {time!r:.60}")
    return time


def _count(count: int | str, what: str) -> int:
    if isinstance(count, str):
        return units.parse_count(count, what)
    if type(count) is not int or count < 0:
        raise ConfigError(f"{what}: expected a count such as 5M, or a number, got {count!r:.60}")
    return count


def _first_of(one: int | None, other: int | None) -> int | None:
    """The smaller one; None is never."""
    return other if one is None else earlier(one, other)
