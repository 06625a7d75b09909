"""Recording a board's run into a trace, and replaying it: what lies between a board and emu/trace/.

with the command:   minstret record firmware.elf; minstret replay firmware.mst
from Python:        with Recording("run.mst", setup) as recording: recording.run()
                    Replay("run.mst").run()
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

from minstret.devices.board.board import Board, BoardConfig, HostAnswers, Setup
from minstret.devices.board.placement import Load
from minstret.emu.door.door import Position
from minstret.emu.door.live import Source
from minstret.emu.door.recording import RecordingDoor, RecordOptions
from minstret.emu.door.replaying import ReplayDoor
from minstret.emu.errors import DivergenceError, MinstretError, TraceError
from minstret.emu.hart.shared import Counting
from minstret.emu.images.loader import ImageFile
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.state import from_plain, to_plain
from minstret.emu.trace.reader import TraceReader
from minstret.emu.trace.snapshot import load_snapshot
from minstret.emu.trace.writer import TraceWriter

_ROLES = ("bios", "kernel", "initrd")
_MAC_SIZE = 6


_NEVER_VISIBLE = {name: to_plain(getattr(BoardConfig(), name)) for name in ("slice_insns_max", "counting")}
"""These a trace leaves out: each replay may choose them."""


_ASKED_FOR = (StopReason.TIMEOUT, StopReason.INTERRUPTED, StopReason.TERMINATED)
"""Ends that the host asked for, by an event."""

_LACKING = {"script": "--keys or an input script", "files": "the files of tftp="}
"""What stands before the door and is in no trace. With the timer model no-attributes a replay would need it."""


def lacking(setup: Setup) -> list[str]:
    """What a replay of a recording of ``setup`` would need and the trace can't have: keys of _LACKING."""
    if setup.config.timer_model != "no-attributes":
        return []
    return [*(["script"] if setup.script else []), *(["files"] if setup.files is not None else [])]


def lacking_text(lacks: Sequence[str]) -> str:
    """Why there can be no replay, in words."""
    what = " nor ".join(_LACKING[one] for one in lacks)
    return (
        "can't be replayed: with --timer-model no-attributes a replay does again what is before the door,"
        f" and a trace has not {what}"
    )


def trace_meta(setup: Setup) -> tuple[dict[str, Any], dict[bytes, bytes]]:
    """What a trace says about a board, and the files it boots, by SHA-256."""
    blobs: dict[bytes, bytes] = {}
    images: dict[str, Any] = {"append": setup.append}

    def keep(file: ImageFile) -> dict[str, Any]:
        sha256 = hashlib.sha256(file.data).digest()
        blobs[sha256] = file.data
        return {"name": Path(file.name).name, "sha256": sha256.hex()}

    for role in _ROLES:
        file: ImageFile | None = getattr(setup, role)
        if file is not None:
            images[role] = keep(file)
    for number, load in enumerate(setup.loads):
        images[f"load{number}"] = keep(load.file) | {"address": load.address}
    meta = {
        "minstret": version("minstret"),
        "unicorn": version("unicorn"),
        "config": _plain_config(setup.config),
        "images": images,
    }
    if lacks := lacking(setup):
        meta["lacks"] = lacks
    return meta, blobs


def _plain_config(config: BoardConfig) -> dict[str, Any]:
    """What makes the run; how it is cut and counted does not."""
    return {name: value for name, value in to_plain(config).items() if name not in _NEVER_VISIBLE}


def setup_of(reader: TraceReader) -> Setup:
    """The board that a trace was recorded on.

    Raises:
        TraceError: it was recorded with another Unicorn, lacks what a replay needs, or what it says makes no board.
    """
    _check_lacks_nothing(reader)
    ours, theirs = version("unicorn"), reader.meta["unicorn"]
    if ours != theirs:
        raise TraceError(
            f"{reader.path}: recorded with unicorn {theirs}, and here is {ours}: install that one to replay it"
        )
    images = reader.meta["images"]
    try:
        config = from_plain(BoardConfig, _NEVER_VISIBLE | reader.meta["config"])
        if config.xlen not in (None, 32, 64) or (config.net is not None and len(config.net.mac) != _MAC_SIZE):
            raise ValueError("no such board")
        files = {role: _kept_file(reader, images[role]) for role in _ROLES if role in images}
        if not files.keys() & {"bios", "kernel"}:
            raise ValueError("nothing to boot")
        return Setup(
            config, files.get("bios"), files.get("kernel"), files.get("initrd"), str(images["append"]),
            loads=_kept_loads(reader, images),
        )  # fmt: skip
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TraceError(f"{reader.path}: a damaged trace: what it says of the board makes none ({error!r})") from None


def _kept_file(reader: TraceReader, facts: dict[str, Any]) -> ImageFile:
    return ImageFile(str(facts["name"]), reader.blob(facts["sha256"]))


def _kept_loads(reader: TraceReader, images: dict[str, Any]) -> tuple[Load, ...]:
    loads: list[Load] = []
    while (facts := images.get(f"load{len(loads)}")) is not None:
        address = facts["address"]
        if address is not None and (type(address) is not int or not 0 <= address < 1 << 64):
            raise ValueError("no such address")
        loads.append(Load(_kept_file(reader, facts), address))
    return tuple(loads)


def _check_lacks_nothing(reader: TraceReader) -> None:
    lacks = reader.meta.get("lacks", [])
    if not isinstance(lacks, list) or not all(isinstance(one, str) and one in _LACKING for one in lacks):
        raise TraceError(f"{reader.path}: a damaged trace: what it lacks is no such thing")
    if lacks:
        raise TraceError(f"{reader.path}: {lacking_text(lacks)}")


def _check_reason(reader: TraceReader) -> None:
    end = reader.end
    if end is not None and end["reason"] not in {reason.value for reason in StopReason}:
        raise TraceError(f"{reader.path}: a damaged trace: its end is '{end['reason']}'")


@dataclass(frozen=True, slots=True)
class End:
    """How a recording ended. ``digest`` covers everything the guest could see then."""

    outcome: Outcome
    position: Position
    digest: str
    uart_sha256: str


class Recording:
    """A live run that is written down. Use it as a context: whatever happens, the file is closed."""

    def __init__(
        self, path: str, setup: Setup, *, source: Source | None = None, options: RecordOptions | None = None,
        overwrite: bool = False, realtime_ns: Callable[[], int] = lambda: 0,
    ) -> None:  # fmt: skip
        """Look whether there can be a trace at ``path``; make the board with ``make_board``.

        The trace is there, and what was there before is gone, when the board begins to run.

        Raises:
            TraceError: the file can't be made.
        """
        self.path = path
        self._setup = setup
        meta, blobs = trace_meta(setup)
        self._writer = TraceWriter(path, meta, blobs, shift=setup.config.icount_shift, overwrite=overwrite)
        self.door = RecordingDoor(source, self._writer, options or RecordOptions(), realtime_ns)
        self.end: End | None = None
        self.board: Board

    def make_board(
        self, *, host: HostAnswers | None = None, on_console: Callable[[bytes], None] | None = None
    ) -> Board:
        """The board behind the recording door.

        Raises:
            ConfigError: it can't be made; the path is as it was.
        """
        try:
            self.board = self._setup.make(door=self.door, host=host, on_console=on_console)
        except BaseException:
            self._writer.close()
            raise
        self._writer.put_meta("config", _plain_config(self.board.config))  # with what the images have decided
        return self.board

    def run(self, *, icount: int | None = None) -> Outcome:
        """Run the board to its end, or to an icount, and finish the trace."""
        if not hasattr(self, "board"):
            self.make_board()
        outcome = self.board.run_until(icount=icount)
        self.finish(outcome)
        return outcome

    def finish(self, outcome: Outcome) -> None:
        """Write how the run ended."""
        end = end_of(self.board, outcome)
        self.door.finish({
            "reason": outcome.reason.value, "exit_code": outcome.exit_code, "icount": end.position.icount,
            "virtual_ns": end.position.virtual_ns, "digest": end.digest, "uart_sha256": end.uart_sha256,
        })  # fmt: skip
        self.end = end

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.end is None:
            self.door.abandon(is_between_turns=kind is None)


def end_of(board: Board, outcome: Outcome) -> End:
    """How a run has just ended."""
    return End(outcome, board.position, board.digest(), hashlib.sha256(board.console).hexdigest())


class Replay:
    """A trace played back, from power-on or from one of its snapshots."""

    def __init__(
        self, reader: TraceReader | str, *, snapshot: int | None = None,
        on_console: Callable[[bytes], None] | None = None, slice_insns_max: int | None = None,
        counting: Counting = Counting.BLOCKS,
    ) -> None:  # fmt: skip
        """Make the board that the trace was recorded on, and put it where the replay begins.

        Args:
            reader: The trace.
            snapshot: Begin there; by default at the start: power-on, or the oldest snapshot of a ring.
            on_console: Called with what the guest sends.
            slice_insns_max: Never visible to the guest; None for the default.
            counting: How to count instructions. Never visible.
        Raises:
            TraceError: it can't be replayed here.
        """
        self.reader = TraceReader(reader) if isinstance(reader, str) else reader
        setup = setup_of(self.reader)
        _check_reason(self.reader)
        config = replace(setup.config, sleep=False, counting=counting)
        config = replace(config, slice_insns_max=slice_insns_max or BoardConfig().slice_insns_max)
        if snapshot is None:
            snapshot = self._first_snapshot()
        start = None if snapshot is None else self.reader.snapshot(snapshot)
        if start is None:
            self.door = ReplayDoor(self.reader)
        else:
            self.door = ReplayDoor(
                self.reader, first_seq=start.seq, registers=start.registers, from_icount=start.position.icount
            )
        self.door.is_discarding = config.timer_model == "no-attributes"
        self.board = replace(setup, config=config).make(door=self.door, on_console=on_console)
        self._start = start
        self._is_interrupted = False
        self.is_whole = start is None
        """Whether it begins at power-on."""
        if start is not None:
            has_host = config.timer_model == "no-attributes"  # whose timers are the guest's business there
            load_snapshot(self.board.machine, self.reader, start, with_host=has_host)

    def _first_snapshot(self) -> int | None:
        return self.reader.meta.get("first_snapshot")

    def run(self, *, to_icount: int | None = None) -> Outcome:
        """Play to the end, or to an icount before it; at the end compare everything with the recording.

        Returns:
            How the recording ended; REACHED where it was killed, or at ``to_icount``.
        Raises:
            DivergenceError: the replay came to something else than the recording.
        """
        try:
            return self._run(to_icount)
        except MinstretError:
            raise
        except Exception as error:
            if self._start is None:
                raise
            raise TraceError(  # a stranger's state may be anything, and devices trust theirs
                f"{self.reader.path}: snapshot {self._start.id} does not fit this board: {error!r}"
            ) from error

    def _run(self, to_icount: int | None) -> Outcome:
        end = self.reader.end
        outcome = self._play(icount=self._limit(end, to_icount))
        if self._is_interrupted:
            return outcome
        if end is not None and outcome.reason is StopReason.REACHED and self._waits_for_end(end):
            outcome = self._play(virtual_ns=end["virtual_ns"])
        if end is None:
            if self.door.is_over(self.board.position):
                self.door.check_end("the end of what was recorded")
            return outcome
        if to_icount is not None and outcome.reason is StopReason.REACHED and to_icount < end["icount"]:
            return outcome
        return self._compare_end(end, outcome)

    def _limit(self, end: dict[str, Any] | None, to_icount: int | None) -> int | None:
        """The icount to stop at. None at the end of most recordings: what ended it may need more than to come there,
        such as the traps of a trap loop, or a wait."""
        if end is None or (to_icount is not None and to_icount < end["icount"]):
            return to_icount
        has_limit = end["reason"] in (StopReason.REACHED.value, StopReason.MAX_INSNS.value)
        return int(end["icount"]) if has_limit else None

    def interrupt(self) -> None:
        """Make ``run`` come back soon, with INTERRUPTED. May be called by a signal's handler."""
        self._is_interrupted = True
        self.board.machine.reach()

    def _play(self, *, icount: int | None = None, virtual_ns: int | None = None) -> Outcome:
        """Run the board; on behind an end that the host asked for, if the recording went on there."""
        while True:
            outcome = self.board.run_until(icount=icount, virtual_ns=virtual_ns)
            if self._is_interrupted:
                return Outcome(StopReason.INTERRUPTED)
            if outcome.reason not in _ASKED_FOR or not self._goes_on(outcome):
                return outcome

    def _goes_on(self, outcome: Outcome) -> bool:
        end = self.reader.end
        return self.door.has_more() or (end is not None and end["reason"] != outcome.reason.value)

    def _waits_for_end(self, end: dict[str, Any]) -> bool:
        """Whether the recording ended at this icount, but later: while the hart waited."""
        position = self.board.position
        return position.icount == end["icount"] and bool(position.virtual_ns < end["virtual_ns"])

    def _compare_end(self, end: dict[str, Any], outcome: Outcome) -> Outcome:
        self.door.check_end(f"the end ({outcome.reason.value})")
        got = end_of(self.board, outcome)
        reason = StopReason.REACHED.value if end["reason"] == StopReason.MAX_INSNS.value else end["reason"]
        pairs: list[tuple[str, Any, Any]] = [
            ("reason", reason, outcome.reason.value),
            ("exit code", end["exit_code"], outcome.exit_code),
            ("icount", end["icount"], got.position.icount),
            ("virtual_ns", end["virtual_ns"], got.position.virtual_ns),
            ("hash of registers", end["registers"], self.door.registers_hash()),
            ("digest", end["digest"], got.digest),
        ]
        for what, expected, actual in pairs:
            if expected != actual:
                raise DivergenceError(
                    f"end at icount {got.position.icount:_}: expected {what} {expected}, got {actual};"
                    f" look closer: minstret verify {self.reader.path}"
                )
        return replace(outcome, reason=StopReason(end["reason"]))
