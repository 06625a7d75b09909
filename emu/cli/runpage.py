"""The page of a run (``minstret report``): what is said in it, and what to type to debug at its events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from minstret.devices.board.board import Board
from minstret.devices.board.traced import Replay
from minstret.emu.cli.ending import end_text, hint_lines
from minstret.emu.cli.inspect import timer_table_facts
from minstret.emu.cli.invocation import invocation, with_devices
from minstret.emu.images.loader import SymbolTable
from minstret.emu.info import time_text
from minstret.emu.installed import installed
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.questions.page.collecting import Went
from minstret.emu.questions.page.render import Difference, Summary, page
from minstret.emu.report import LookBack, handled_fault, why
from minstret.emu.trace.reader import TraceReader

SUFFIX = ".html"
_GOOD, _BAD, _PLAIN = "good", "bad", "plain"
_KILLED = "the recording was killed; it goes up to here"
_FAILED = (StopReason.TRAP_LOOP, StopReason.FAIL_ON, StopReason.EXPECTATION_MISSED)
_BOOTED = ("bios", "kernel", "initrd")


class RunPage(NamedTuple):
    """A run, ready to be shown."""

    summary: Summary
    data: dict[str, Any]


def page_name(trace: str) -> str:
    """What a trace's page is called by default: in the current folder."""
    return Path(trace).stem + SUFFIX


def run_page(
    replay: Replay, went: Went, symbols: SymbolTable, look_back: LookBack, *, name: str, devices: Sequence[str] = ()
) -> RunPage:  # fmt: skip
    """What the page has of a run.

    Args:
        replay: Of the trace, where it ends.
        went: What it went through.
        symbols: For addresses.
        look_back: Looks at an earlier moment of the run.
        name: The trace as the user called it.
        devices: The users' devices in it, as ``--device`` names them.
    """
    reader, board = replay.reader, replay.board
    went.lanes.add_timers(timer_table_facts(reader))
    command = f"{invocation()} debug --at ", f" {with_devices(name, devices)}"
    data = went.lanes.data(name, command, board.position, symbols)
    return RunPage(_summary(reader, board, went.outcome, symbols, look_back, name), data)


def page_bytes(runs: Sequence[RunPage], difference: Difference | None = None) -> bytes:
    """The file."""
    return page(runs, difference, version=installed("minstret")).encode()


# ---- the summary


def _summary(
    reader: TraceReader, board: Board, outcome: Outcome, symbols: SymbolTable, look_back: LookBack, name: str
) -> Summary:  # fmt: skip
    is_killed = reader.end is None
    headline = _KILLED if is_killed else end_text(board, outcome)
    return Summary(
        name, headline, _PLAIN if is_killed else _tone(board, outcome), [*_facts(reader, board)],
        [*_where(board, outcome, symbols, look_back)],
    )  # fmt: skip


def _tone(board: Board, outcome: Outcome) -> str:
    if outcome.reason is StopReason.FINISHED:
        return _BAD if outcome.exit_code else _GOOD
    if outcome.reason is StopReason.WAITS_FOREVER:  # for some guests a good end
        return _BAD if any(handled_fault(hart) is not None for hart in board.harts) else _PLAIN
    return _BAD if outcome.reason in _FAILED else _PLAIN


def _facts(reader: TraceReader, board: Board) -> Iterator[tuple[str, str]]:
    position, images, counts = board.position, reader.meta["images"], reader.counts()
    booted = [str(images[role]["name"]) for role in _BOOTED if role in images]
    if booted:
        yield "booted", ", ".join(Path(each).name for each in booted)
    yield "board", f"rv{board.hart.xlen}, {len(board.harts)} hart{'' if len(board.harts) == 1 else 's'}"
    yield "instructions", f"{position.icount:,}"
    yield "virtual time", time_text(position.virtual_ns)
    yield "in the trace", ", ".join(f"{counts[what]:,} {what}" for what in ("events", "answers", "checkpoints"))
    yield "digest", board.digest()[:16]
    yield "recorded by", f"minstret {reader.meta['minstret']}"


def _where(board: Board, outcome: Outcome, symbols: SymbolTable, look_back: LookBack) -> Iterator[str]:
    """Each hart's place, the calls that have led there, and its last trap; of a trap loop the crash report."""
    if outcome.reason is StopReason.TRAP_LOOP:
        trap = outcome.first_trap
        past = None if trap is None else look_back(board.hart, trap.icount)
        yield from board.report(outcome, () if past is None else past.recent).splitlines()
        return
    yield from why(board.machine, None, symbols, look_back)
    yield from hint_lines(board)
