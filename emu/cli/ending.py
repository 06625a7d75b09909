"""How a run has ended, in lines on standard error and in the facts of --json; and where it is at the moment."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from minstret.devices.board.board import Board
from minstret.emu import host
from minstret.emu.cli.console import Console
from minstret.emu.cli.progress import HowFar, Progress
from minstret.emu.cli.say import say
from minstret.emu.cli.streams import shown_output, write_output
from minstret.emu.errors import ConfigError
from minstret.emu.hart.pagetables import SATP_MODES
from minstret.emu.machine import EXPECTATIONS, Outcome, StopReason
from minstret.emu.report import (
    LookBack,
    busiest_text,
    fatal_facts,
    handled_fault,
    harts_facts,
    harts_text,
    headline,
    interrupt_facts,
    place_text,
    satp_text,
    where_facts,
    why,
)
from minstret.emu.text import printable

_DIGEST_SHOWN = 16
_OUTPUT_LOST = "stopped: the console's output can't be written"


class Figures(NamedTuple):
    """Host time that a run took, ns."""

    wall_ns: int
    user_ns: int

    def mips(self, icount: int) -> float:
        return icount * 1e3 / self.user_ns if self.user_ns else 0.0


class Stopwatch:
    """Measures host time from its creation on."""

    def __init__(self) -> None:
        self._wall_ns, self._user_ns = host.realtime_ns(), host.user_ns()

    def figures(self) -> Figures:
        return Figures(host.realtime_ns() - self._wall_ns, host.user_ns() - self._user_ns)


def end_text(board: Board, outcome: Outcome) -> str:
    """How a run ended, in a few words."""
    if outcome.reason is StopReason.FINISHED:
        return f"guest finished with {outcome.exit_code}"
    if outcome.reason in (StopReason.WAITS_FOREVER, StopReason.TRAP_LOOP):
        return headline(board.machine, outcome, board.symbols)
    if outcome.reason is StopReason.EXPECTATION_MISSED:
        return f"{outcome.text}; {_pc_text(board)}"
    if outcome.reason is StopReason.FAIL_ON:
        return f"stopped by --fail-on {outcome.text}; {_pc_text(board)}"
    return {
        StopReason.REACHED: "stopped by --to",
        StopReason.MAX_INSNS: "stopped by --max-insns",
        StopReason.MAX_TIME: "stopped by --max-time",
        StopReason.UNTIL: f"stopped by --until {outcome.text}",
        StopReason.BREAKPOINT: "stopped at a breakpoint",
        StopReason.WATCH: "stopped by a watch",
        StopReason.TIMEOUT: "stopped by --timeout",
        StopReason.INTERRUPTED: "stopped by Ctrl-C",
        StopReason.END_OF_TIME: "virtual time has reached its limit, 292 years after power-on",
        StopReason.TERMINATED: f"stopped by {host.signal_name(outcome.signal)}" if outcome.signal else _OUTPUT_LOST,
    }[outcome.reason]


def _pc_text(board: Board) -> str:
    return f"pc {place_text(board.hart.pc, board.symbols)}"


def show_missed(board: Board, outcome: Outcome, console: Console) -> None:
    """Of a report that is not wanted, say what has to be said: which expectation was missed."""
    if outcome.reason in (StopReason.FAIL_ON, StopReason.EXPECTATION_MISSED):
        console.end_line()
        say(f"minstret: {printable(end_text(board, outcome))}")


def show_end(
    board: Board, outcome: Outcome, figures: Figures, digest: str, look_back: LookBack, from_icount: int = 0,
    text: str | None = None, idle_ok: bool | None = False,
) -> None:  # fmt: skip
    """Report the end of a run on standard error.

    Args:
        look_back: Looks at an earlier moment of the run.
        from_icount: Where the run began; for its speed.
        text: How it ended, if the caller knows more than ``outcome`` tells.
        idle_ok: Whether waiting forever is a good end, as --idle-ok says; None where there is no such option.
    """
    position = board.position
    with Progress(lambda: HowFar("looking up where the guest was")).shown():  # debug information may be large
        lines = _end_lines(board, outcome, look_back, text, idle_ok)
    for line in lines:
        say(f"minstret: {line}")
    say(
        f"minstret: {position.icount:,} instructions, {position.virtual_ns / 1e9:.6f} s virtual,"
        f" {figures.wall_ns / 1e9:.2f} s host ({figures.mips(position.icount - from_icount):.0f} MIPS),"
        f" digest {digest[:_DIGEST_SHOWN]}"
    )


def _end_lines(
    board: Board, outcome: Outcome, look_back: LookBack, text: str | None, idle_ok: bool | None
) -> list[str]:
    if outcome.reason is StopReason.TRAP_LOOP:
        trap = outcome.first_trap
        past = None if trap is None else look_back(board.hart, trap.icount)
        return [board.report(outcome, () if past is None else past.recent), *hint_lines(board)]
    told = text or end_text(board, outcome), *where_lines(board, outcome, look_back, idle_ok)
    return [printable(line) for line in told]


def now_lines(board: Board) -> list[str]:
    """Where a run is at the moment; of several harts each has a line."""
    position, several = board.position, len(board.harts) > 1
    state = "waits" if all(hart.waiting for hart in board.harts) else "runs"
    place = "" if several else f" at pc {place_text(board.hart.pc, board.symbols)}"
    text = f"the guest {state}{place}, {position.icount:,} instructions, {position.virtual_ns / 1e9:.6f} s virtual"
    return [text, *(harts_text(board.machine, board.symbols) if several else ())]


def where_lines(
    board: Board, outcome: Outcome, look_back: LookBack | None = None, idle_ok: bool | None = False
) -> list[str]:  # fmt: skip
    """Where the guest was, its last trap and who called, unless its text says that; and hints.

    Of a guest that finished: the exception that ended it, if one did.
    """
    if outcome.reason in EXPECTATIONS:
        return []
    lines = why(board.machine, outcome, board.symbols, look_back)
    if outcome.reason is StopReason.FINISHED:
        return lines
    advice = _wait_advice(board, idle_ok) if outcome.reason is StopReason.WAITS_FOREVER else None
    if advice is not None:
        lines = [f"{lines[0]}; {advice}"] if len(lines) == 1 and len(board.harts) == 1 else [*lines, advice]
    return lines + hint_lines(board)


def _wait_advice(board: Board, idle_ok: bool | None) -> str | None:
    """What to do about a guest that waits forever; None if that was no good end."""
    if idle_ok:
        return "a good end (--idle-ok)"
    if board.machine.input_can_wake():
        advice = "its input has ended: keep standard input open"
        return advice if idle_ok is None else f"{advice}, or add --idle-ok if this is a good end (status 0)"
    if idle_ok is None:
        return None
    has_fault = any(handled_fault(hart) is not None for hart in board.harts)
    return None if has_fault else "add --idle-ok if this is a good end (status 0)"


def hint_lines(board: Board) -> list[str]:
    """Why the guest may be stuck: the interrupts it takes most often, and values of satp that were refused."""
    modes = {mode for hart in board.harts if int(hart.env.satp) == 0 for mode in hart.core.refused_satp_modes}
    texts = busiest_text(board.interrupt_counts()), satp_text(modes, board.cpu.features)
    return [text for text in texts if text is not None]


def end_facts(board: Board, outcome: Outcome, figures: Figures, digest: str) -> dict[str, Any]:
    """The content of the --json file."""
    position = board.position
    facts: dict[str, Any] = {
        "exit_code": outcome.exit_code,
        "stop_reason": outcome.reason.value,
        "icount": position.icount,
        "virtual_ns": position.virtual_ns,
        "digest": digest,
        "uart_sha256": hashlib.sha256(board.console).hexdigest(),
        "wall_s": figures.wall_ns / 1e9,
        "user_s": figures.user_ns / 1e9,
        "mips": round(figures.mips(position.icount), 1),
        "counter": board.hart.counting.value,
        "message": end_text(board, outcome),
    }
    if outcome.reason is StopReason.FINISHED:
        facts |= fatal_facts(board.machine, outcome, board.symbols)
    else:
        facts |= where_facts(board.hart, board.symbols)
        facts["interrupts"] = interrupt_facts(board.interrupt_counts())
        refused = {mode for hart in board.harts for mode in hart.core.refused_satp_modes}
        facts["satp_refused"] = [SATP_MODES.get(mode, str(mode)) for mode in sorted(refused)]
    if outcome.reason in EXPECTATIONS:
        facts["expectation"] = outcome.text
    if len(board.harts) > 1:
        facts["hart"] = board.hart.hart_id
        facts["harts"] = harts_facts(board.machine, board.symbols)
    if board.card is not None:
        state = board.card.state
        facts["net"] = {
            "sent": state.sent, "received": state.received, "dropped_no_buffer": state.dropped_no_buffer,
            "dropped_bad_size": state.dropped_bad_size,
        }  # fmt: skip
    return facts


def write_json(path: str, facts: dict[str, Any]) -> None:
    """Write ``facts`` to a file.

    Raises:
        ConfigError: it can't be written.
    """
    try:
        write_output(path, f"{json.dumps(facts, indent=2)}\n".encode())
    except OSError as error:
        raise ConfigError(f"--json: {shown_output(path)}: {error.strerror}") from None
