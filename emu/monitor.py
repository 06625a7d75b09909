"""The commands of gdb's ``monitor``: where a timeline is, moves that gdb has no command for, and what is on the board.

A command is a line of text, and so is its answer, or several. Nothing here knows gdb.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from minstret.emu import units
from minstret.emu.door.door import Position
from minstret.emu.door.replaying import ReplayDoor
from minstret.emu.errors import ConfigError, MinstretError
from minstret.emu.hart.hart import Hart
from minstret.emu.images.loader import SymbolTable
from minstret.emu.info import columns, csrs_text, devices_text, lines_text, time_text, timers_text, tlb_text
from minstret.emu.monitorwhy import LINES_MAX, WhyCommand
from minstret.emu.past import TraceTimeline
from minstret.emu.report import LookBack, where_text, why
from minstret.emu.text import printable
from minstret.emu.timeline import Stop, Timeline, Why
from minstret.emu.trace.listing import group_line, place_line
from minstret.emu.trace.reader import TraceReader

_EVENTS_DEFAULT, _EVENTS_MAX = 10, 1000
_NAME_MAX, _WORD_SHOWN = 40, 60
_NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
_TIME = re.compile(r"[\d.]+\s*(ns|us|ms|s)", re.ASCII | re.IGNORECASE)
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.|$)", re.DOTALL)
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"e": b"\x1b", b"\\": b"\\"}
_PLACES = "an icount such as 5M, a percentage such as 12.5%, a time such as 1.5s, start, end, or a snapshot's name"


class _Command(NamedTuple):
    """A command: how it is written, what it does in one line and in more, and what does it."""

    usage: str
    summary: str
    more: str
    run: Callable[[str], Iterable[str]]


class Monitor:
    """Commands on one timeline."""

    def __init__(
        self, timeline: Timeline, symbols: SymbolTable, *, read: Callable[[], TraceReader] | None = None,
        look_back: LookBack | None = None, beside: Callable[[], TraceTimeline] | None = None,
    ) -> None:  # fmt: skip
        """For ``timeline``.

        Args:
            timeline: What to look at, and move.
            symbols: Names of addresses.
            read: Gives a reader of the recording that the timeline is of, as far as it has come.
            look_back: See report.why.
            beside: Gives another walk of that recording, on a board of its own, for questions.
        """
        self._timeline, self._symbols, self._read, self._look_back = timeline, symbols, read, look_back
        self._asking = WhyCommand(timeline, symbols, beside, self._go)
        self._snapshots: dict[str, Position] = {}
        self._commands = {
            "back": _Command(
                "back until event [NAME]", "go back to the last event before here",
                "An event is something that came in from the host, such as uart0.rx; without NAME any of them. Stops\n"
                "just before it comes in.", self._back,
            ),
            "events": _Command(
                "events [N]", "list what is recorded around here",
                "N entries before and N after, 10 without it, written as by minstret log: <- is an event from the\n"
                "host, <? an answer of the host's, and runs of checkpoints are one entry.", self._events,
            ),
            "help": _Command("help [COMMAND]", "list the commands, or explain one", "", self._help),
            "info": _Command(
                "info TOPIC [HART]", "show devices, lines, tlb or csrs",
                "info devices      parts of the board: addresses, interrupt, state\n"
                "info lines        interrupt lines, the interrupt controller's sources, mip and mie\n"
                "info tlb [HART]   what a hart's page tables map, entry by entry merged into ranges\n"
                "info csrs [HART]  a hart's CSRs", self._info,
            ),
            "seek": _Command(
                "seek PLACE", "go to a moment of the run",
                f"PLACE is {_PLACES}.\n"
                "gdb does not know that it is elsewhere then: maintenance flush register-cache makes it look again.\n"
                "starti PLACE goes there too, and gdb knows.",
                lambda place: self._arrived(self.seek(place)),
            ),
            "snapshot": _Command(
                "snapshot [NAME]", "give this moment a name, to come back to with seek NAME",
                "A name for a moment of the run: memory and registers that were written by hand are not kept.",
                self._snapshot,
            ),
            "snapshots": _Command("snapshots", "list the moments that snapshot has named", "", self._list_snapshots),
            "timers": _Command(
                "timers", "list the armed timers", "With when each expires, and how often it has fired.", self._timers
            ),
            "type": _Command(
                "type TEXT", "type at the guest's console",
                r"\n is the end of a line, \t a tab, \r a return, \e escape, \x03 a byte, \\ a backslash." "\n"
                "In the past a diversion begins: what follows is no recording.", self._type,
            ),
            "when": _Command("when", "say where this is: icount, virtual time, hart", "", self._when),
            "why": _Command(
                "why [QUESTION]", "say where each hart is and what its last trap was, or who wrote something",
                "Alone: where each hart is, who called, and what its last trap was. With a question, the same as the\n"
                "command minstret why:\n"
                "why --write WHAT   who last wrote a variable (cfg.mode, buffer:16) or memory (0x80001ff8:8)\n"
                "why --read WHAT    who last read it\n"
                "why --reg NAME     which instruction or trap last wrote a register\n"
                "why --trap         the last trap, and where it came from\n"
                f"Last means before here; --before PLACE: before there. --all: the last {LINES_MAX} writes or reads,\n"
                "a line each. --hart N: of that hart. A replay of its own looks for it: this place stays as it is.",
                self._why,
            ),
        }  # fmt: skip

    def command(self, text: str) -> str:
        """Do what a line asks for.

        Args:
            text: A command, which may be abbreviated, and its arguments. Nothing is help.
        Returns:
            Lines that each end with ``\\n``, in ASCII without control characters. Of what is wrong with a command one
            line tells.
        """
        try:
            lines = list(self._do(text))
        except MinstretError as error:
            lines = [str(error)]
        shown = "".join(f"{printable(line)}\n" for line in lines)
        return shown.encode("ascii", "backslashreplace").decode()

    def _do(self, text: str) -> Iterable[str]:
        word, _, arguments = text.lstrip().partition(" ")
        if not word.strip():
            return self._help("")
        name = _chosen(word.strip(), list(self._commands), "command")
        return self._commands[name].run(arguments if name == "type" else arguments.strip())

    # ---- where

    def _help(self, arguments: str) -> list[str]:
        if arguments:
            command = self._commands[_chosen(arguments, list(self._commands), "command")]
            return [f"{command.usage}: {command.summary}", *command.more.splitlines()]
        rows = [(command.usage, command.summary) for command in self._commands.values()]
        return [*columns(rows), "Commands may be abbreviated; help COMMAND tells more."]

    def _when(self, arguments: str) -> list[str]:
        _no_arguments("when", arguments)
        return [*self._here(), self._kind_of_place()]

    def _here(self) -> list[str]:
        timeline = self._timeline
        position, hart = timeline.position, timeline.board.hart
        return [
            f"icount {position.icount:,}{self._percent(position)}, virtual time {time_text(position.virtual_ns)}",
            f"{hart.name}: {where_text(hart, self._symbols)}",
        ]

    def _percent(self, position: Position) -> str:
        start, end = self._timeline.start.icount, self._timeline.end.icount
        if not start <= position.icount <= end or start == end:
            return ""
        hundredths = 10_000 * (position.icount - start) // (end - start)  # rounded down: 100 is the end alone
        return f" ({hundredths // 100}.{hundredths % 100:02}%)"

    def _kind_of_place(self) -> str:
        timeline = self._timeline
        if timeline.is_diverted:
            return "diverted: somebody changed what is here, so what follows is no recording; going back ends that"
        if timeline.is_live:
            return "live: the run goes on from here"
        if timeline.is_at_end:
            return "at the end"
        return f"in the past: what is recorded goes up to icount {timeline.end.icount:,}"

    def _why(self, arguments: str) -> list[str]:
        if arguments:
            return self._asking.answer(arguments)
        return why(self._timeline.board.machine, None, self._symbols, self._look_back)

    # ---- moves

    def seek(self, place: str) -> Stop:
        """Go to a moment of the run.

        Args:
            place: An icount, a percentage, a time, start, end, or the name of a snapshot.

        Raises:
            ConfigError: it is none of these.
        """
        return self._go(self._timeline, place, "seek")

    def _go(self, timeline: Timeline, place: str, what: str) -> Stop:
        """The same for any timeline of this run; ``what`` the place is for."""
        if place in self._snapshots:
            return _seek_position(timeline, self._snapshots[place])
        if place in ("start", "end"):
            return _seek_position(timeline, timeline.start if place == "start" else timeline.end)
        part = units.parse_percent(place, what)
        if part is not None:
            start, end = timeline.start.icount, timeline.end.icount
            return timeline.seek(start + int((end - start) * part))
        if _TIME.fullmatch(place):
            return timeline.seek_ns(units.parse_time_ns(place.replace(" ", ""), what))
        try:
            icount = units.parse_count(place.replace(",", "_"), what)
        except ConfigError:
            raise ConfigError(f"{what}: expected {_PLACES}; got {_quoted(place)}") from None
        if what != "seek" and not timeline.start.icount <= icount <= timeline.end.icount:
            start, end = timeline.start.icount, timeline.end.icount
            raise ConfigError(f"{what}: what is recorded goes from icount {start:,} to {end:,}")
        return timeline.seek(icount)

    def interrupt(self) -> None:
        """Let what a command has begun come back soon."""
        if self._asking.is_asked:
            self._asking.interrupt()
        else:
            self._timeline.interrupt()

    def _back(self, arguments: str) -> list[str]:
        words = arguments.split()
        if len(words) not in (2, 3) or not ("until".startswith(words[0]) and "event".startswith(words[1])):
            raise ConfigError(f"usage: {self._commands['back'].usage}, for example: back until event uart0.rx")
        name, here = words[2] if len(words) == 3 else "", self._timeline.position
        stop = self._timeline.run_back_until(event=name)
        if stop.why is Why.START:
            _seek_position(self._timeline, here)
            what = f"nothing called {printable(name)}" if name else "nothing"
            return [f"{what} came in before this place; `events` has what did", *self._here()]
        return self._arrived(stop)

    def _arrived(self, stop: Stop) -> list[str]:
        """Where a move has ended, and why it was there."""
        texts = {
            Why.REACHED: [],
            Why.BREAKPOINT: ["stopped before a breakpoint"],
            Why.WATCH: [
                f"stopped by a watch: {hit.size} bytes at {hit.address:#x}, accessed at pc {hit.pc:#x}"
                for hit in stop.hits
            ],
            Why.START: ["this is the start: nothing is known before"],
            Why.END: [f"this is the end{f': {stop.outcome.reason.value}' if stop.outcome is not None else ''}"],
            Why.INTERRUPTED: ["interrupted on the way"],
        }
        return [*self._here(), *texts[stop.why]]

    def _snapshot(self, arguments: str) -> list[str]:
        name = arguments or self._free_name()
        if _NAME.fullmatch(name) is None or len(name) > _NAME_MAX or name in ("start", "end"):
            raise ConfigError(
                "snapshot: expected a name of letters, digits, _, . and -, which begins with a letter;"
                f" got {_quoted(name)}"
            )
        if self._timeline.is_diverted:
            raise ConfigError("snapshot: in a diversion there is nothing to come back to: moves back throw it away")
        self._snapshots[name] = position = self._timeline.position
        return [f"{name} is icount {position.icount:,}, virtual time {time_text(position.virtual_ns)}: seek {name}"]

    def _free_name(self) -> str:
        number = 1
        while f"s{number}" in self._snapshots:
            number += 1
        return f"s{number}"

    def _list_snapshots(self, arguments: str) -> list[str]:
        _no_arguments("snapshots", arguments)
        if not self._snapshots:
            return ["no moment has a name yet: snapshot NAME gives one"]
        return columns([
            (name, f"icount {at.icount:,}{self._percent(at)}", f"virtual time {time_text(at.virtual_ns)}")
            for name, at in sorted(self._snapshots.items(), key=lambda item: item[1])
        ])  # fmt: skip

    def _type(self, text: str) -> list[str]:
        if not text:
            raise ConfigError(r"usage: type TEXT, for example: type ls\n")
        data = _unescaped(text)
        self._timeline.type(data)
        return [f"typed {len(data)} byte{'s' * (len(data) != 1)}"]

    # ---- what is there

    def _events(self, arguments: str) -> list[str]:
        count = _EVENTS_DEFAULT if not arguments else units.parse_count(arguments, "events")
        if not 0 < count <= _EVENTS_MAX:
            raise ConfigError(f"events: expected a number from 1 to {_EVENTS_MAX}, got {_quoted(arguments)}")
        if self._read is None:
            raise ConfigError("events: there is no recording here whose events could be listed")
        reader = self._read()
        seq = self._next_seq(reader)
        before, after = reader.groups_before(seq, count), list(islice(reader.groups_from(seq), count))
        here = place_line("=>", self._timeline.position, f"{self._timeline.board.hart.name} is here")
        return [*map(group_line, before), here, *map(group_line, after)]

    def _next_seq(self, reader: TraceReader) -> int:
        """The number of the next item from here; in a diversion, of the one that would be."""
        door = self._timeline.board.machine.door
        if self._timeline.is_diverted:
            return reader.seq_at(self._timeline.position)
        return door.next_seq if isinstance(door, ReplayDoor) else reader.reached().seq

    def _timers(self, arguments: str) -> list[str]:
        _no_arguments("timers", arguments)
        return timers_text(self._timeline.board.machine)

    def _info(self, arguments: str) -> list[str]:
        word, _, rest = arguments.partition(" ")
        if not word:
            raise ConfigError("usage: info devices, info lines, info tlb [HART] or info csrs [HART]")
        topic, board = _chosen(word, ["devices", "lines", "tlb", "csrs"], "topic"), self._timeline.board
        if topic in ("tlb", "csrs"):
            hart = self._hart_of(topic, rest.strip())
            return tlb_text(hart) if topic == "tlb" else csrs_text(hart, board.registers_of(hart.hart_id))
        _no_arguments(f"info {topic}", rest.strip())
        if topic == "devices":
            return devices_text(board.assembly.parts)
        return lines_text(board.machine, board.interrupt_sources())

    def _hart_of(self, topic: str, text: str) -> Hart:
        """The hart of that number; without one the hart that ran last."""
        board = self._timeline.board
        harts: Sequence[Hart] = board.harts
        if not text:
            number = int(board.hart.hart_id)
            return harts[number]
        number = int(text) if text.isdecimal() and text.isascii() and len(text) < 4 else len(harts)
        if number >= len(harts):
            raise ConfigError(f"info {topic}: expected a hart from 0 to {len(harts) - 1}, got {_quoted(text)}")
        return harts[number]


def _chosen(word: str, names: Sequence[str], what: str) -> str:
    """The name that ``word`` is, or begins.

    Raises:
        ConfigError: none, or several; the text says which there are.
    """
    fitting = [name for name in names if name.startswith(word)]
    if word in names or len(fitting) == 1:
        return word if word in names else fitting[0]
    if fitting:
        raise ConfigError(f"{_quoted(word)} could be {' or '.join(fitting)}")
    raise ConfigError(f"there is no {what} {_quoted(word)}; there are {', '.join(names)}")


def _seek_position(timeline: Timeline, position: Position) -> Stop:
    """Go to a moment, which may be one while all harts wait."""
    stop = timeline.seek(position.icount)
    if stop.why is Why.REACHED and timeline.position.virtual_ns < position.virtual_ns:
        stop = timeline.seek_ns(position.virtual_ns)
    return stop


def _no_arguments(name: str, arguments: str) -> None:
    if arguments:
        raise ConfigError(f"{name} takes no arguments, got {_quoted(arguments)}")


def _quoted(text: str) -> str:
    return f"'{printable(text, _WORD_SHOWN)}'"


def _unescaped(text: str) -> bytes:
    r"""What to type for ``text`` with its escapes: ``\n``, ``\x03``."""

    def byte(match: re.Match[bytes]) -> bytes:
        escape = match[1]
        if len(escape) == 3:
            return bytes.fromhex(escape[1:].decode())
        if escape not in _ESCAPES:
            raise ConfigError(r"type: expected \n, \r, \t, \e, \xNN or \\ where a backslash is")
        return _ESCAPES[escape]

    return _ESCAPE.sub(byte, text.encode("utf-8", "surrogateescape" if _is_bytes(text) else "replace"))


def _is_bytes(text: str) -> bool:
    """Whether surrogates in it stand for bytes that are no UTF-8."""
    return not any("\ud800" <= char < "\udc80" or "\udcff" < char <= "\udfff" for char in text)
