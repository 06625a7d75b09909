"""What a trace says of a board, and the board from it.

with the command:   minstret record firmware.elf; minstret replay firmware.mst
from Python:        with Recording("run.mst", setup) as recording: recording.run()
                    Replay("run.mst").run()
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from minstret.devices.board.bench import SessionBench
from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import DEFAULT_XLEN, BoardConfig, HostAnswers
from minstret.devices.board.console import CONSOLE_TARGET
from minstret.devices.board.own import own_facts, own_from_facts
from minstret.devices.board.placement import Load
from minstret.devices.hostside import timer_models
from minstret.devices.hostside.timer_models import MODELS
from minstret.emu.door.door import Position
from minstret.emu.door.live import Source
from minstret.emu.door.recording import RecordOptions
from minstret.emu.door.replaying import BenchRun
from minstret.emu.errors import ConfigError, TraceError
from minstret.emu.expect import quoted
from minstret.emu.hart.cpu import parse_cpu
from minstret.emu.hart.shared import Counting
from minstret.emu.images.loader import ImageFile
from minstret.emu.installed import installed
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.part import Part
from minstret.emu.present import LiveTimeline
from minstret.emu.recorded import RecordingSession, ReplaySession
from minstret.emu.session import NO_LIMITS, RunLimits
from minstret.emu.state import from_plain, to_plain, with_defaults
from minstret.emu.text import printable
from minstret.emu.timeline import HISTORY_BYTES
from minstret.emu.trace.format import NAME_MAX, Kind
from minstret.emu.trace.reader import TraceReader
from minstret.emu.trace.writer import TraceWriter

CONFIG_VERSION = 5
"""Of BoardConfig: raise it when its fields change, or what they mean. Fields that are added need a default.
tests/emu/trace/test_state_versions.py watches that."""

_ROLES = ("bios", "kernel", "initrd")
_MAC_SIZE = 6


_NEVER_VISIBLE = {name: to_plain(getattr(BoardConfig(), name)) for name in ("slice_insns_max", "counting")}
"""These a trace leaves out: each replay may choose them."""


def lacking(setup: Setup) -> list[str]:
    """What a replay of a recording of ``setup`` would need and the trace can't have: see timer_models.py."""
    model = MODELS.get(setup.config.timer_model)
    if model is None:  # the board refuses it
        return []
    return timer_models.lacking(model, has_script=bool(setup.script), has_files=setup.files is not None)


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
    meta: dict[str, Any] = {
        "minstret": installed("minstret"),
        "unicorn": installed("unicorn"),
        "config_version": CONFIG_VERSION,
        "config": _plain_config(setup.config),
        "images": images,
    }
    if setup.devices:
        meta["devices"] = [own_facts(device) for device in setup.devices]
    if lacks := lacking(setup):
        meta["lacks"] = lacks
    if outside := _outside(setup):
        meta["outside"] = outside
    return meta, blobs


def _outside(setup: Setup) -> dict[str, Any]:
    """What the host side had that no trace has: a replay does without, whoever goes on live may give it again."""
    script = {"script_lines": len(setup.script)} if setup.script else {}
    return script | ({"tftp": True} if setup.files is not None else {})


def _plain_config(config: BoardConfig) -> dict[str, Any]:
    """What makes the run; how it is cut and counted does not."""
    return {name: value for name, value in to_plain(config).items() if name not in _NEVER_VISIBLE}


def setup_of(
    reader: TraceReader, devices: Sequence[type[Part] | Part] = (), may_have_changed: bool = False
) -> Setup:  # fmt: skip
    """The board that a trace was recorded on; see Replay for the arguments.

    Raises:
        TraceError: it was recorded with another Unicorn, lacks what a replay needs, or what it says makes no board.
    """
    _check_lacks_nothing(reader)
    ours, theirs = installed("unicorn"), reader.meta["unicorn"]
    if ours != theirs:
        raise TraceError(
            f"{reader.path}: recorded with unicorn {theirs}, and here is {ours}: install that one to replay it"
        )
    own = own_from_facts(reader.meta.get("devices", []), devices, reader.path, may_have_changed)
    images = reader.meta["images"]
    plain = _known_config(reader)
    try:
        config = from_plain(BoardConfig, plain)
        if config.cpu is not None and config.xlen not in (None, parse_cpu(config.cpu).xlen):
            raise ValueError("no such board")
        if config.xlen not in (None, 32, 64) or (config.net is not None and len(config.net.mac) != _MAC_SIZE):
            raise ValueError("no such board")
        files = {role: _kept_file(reader, images[role]) for role in _ROLES if role in images}
        if not files.keys() & {"bios", "kernel"}:
            raise ValueError("nothing to boot")
        return Setup(
            config, files.get("bios"), files.get("kernel"), files.get("initrd"), str(images["append"]),
            loads=_kept_loads(reader, images), devices=own,
        )  # fmt: skip
    except ConfigError as error:
        raise TraceError(f"{reader.path}: it is of a board that is not known here: {error}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TraceError(f"{reader.path}: a damaged trace: what it says of the board makes none ({error!r})") from None


def _known_config(reader: TraceReader) -> dict[str, Any]:
    """The configuration as plain values; of an older version, with the defaults of what was not there yet.

    Raises:
        TraceError: it is of a newer version, or of an older one that had what is no more.
    """
    plain: dict[str, Any] = _NEVER_VISIBLE | reader.meta["config"]
    theirs: int = reader.meta["config_version"]
    if theirs == CONFIG_VERSION:
        return plain
    plain.setdefault("cpu", f"rv{plain.get('xlen') or DEFAULT_XLEN}gc")  # before it was told there was no other
    filled: dict[str, Any] = with_defaults(BoardConfig, plain)
    fields = {field.name for field in dataclasses.fields(BoardConfig)}
    unknown = sorted(printable(name, NAME_MAX) for name in filled.keys() - fields)
    if theirs > CONFIG_VERSION or unknown:
        what = f": it has {unknown[0]}, which is unknown here" if unknown else ""
        raise TraceError(
            f"{reader.path}: recorded by minstret {reader.meta['minstret']} with configuration version {theirs};"
            f" this one knows version {CONFIG_VERSION}{what}: use the one that recorded it"
        )
    return filled


def kept_images(reader: TraceReader) -> list[ImageFile]:
    """The programs in a trace: the kernel, what ran before it, and what else was loaded.

    Raises:
        TraceError: what the trace says of them is damaged.
    """
    images = reader.meta["images"]
    try:
        files = [_kept_file(reader, images[role]) for role in ("kernel", "bios") if role in images]
        return [*files, *(load.file for load in _kept_loads(reader, images))]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TraceError(f"{reader.path}: a damaged trace: what it says of its images ({error!r})") from None


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


def _with_other_image(reader: TraceReader, setup: Setup, image: ImageFile) -> Setup:
    """The board with another first image; what a trace knows of memory is of its own."""
    if reader.meta.get("first_snapshot") is not None:
        raise TraceError(f"{reader.path}: its recording forgot its beginning (--ring), where another image would begin")
    return replace(setup, kernel=image) if setup.bios is None else replace(setup, bios=image)


def _check_lacks_nothing(reader: TraceReader) -> None:
    lacks = reader.meta.get("lacks", [])
    if not isinstance(lacks, list) or not all(isinstance(one, str) and one in timer_models.LACKING for one in lacks):
        raise TraceError(f"{reader.path}: a damaged trace: what it lacks is no such thing")
    if lacks:
        raise TraceError(f"{reader.path}: {timer_models.lacking_text(lacks)}")


class Recording(SessionBench, RecordingSession[Board]):
    """A live run of a board that is written down. Use it as a context: whatever happens, the file is closed.

    Without that it goes up to the last ``expect``, ``run_for`` or ``run_until``, and has no end.
    """

    def __init__(
        self, path: str | Path | None, setup: Setup, *, source: Source | None = None, host: HostAnswers | None = None,
        on_console: Callable[[bytes], None] | None = None, options: RecordOptions | None = None,
        overwrite: bool = False, realtime_ns: Callable[[], int] = lambda: 0,
    ) -> None:  # fmt: skip
        """Look whether there can be a trace at ``path``, and make the board.

        The trace is there, and what was there before is gone, when the board begins to run.

        Args:
            path: Where; None: in memory, for LiveTimeline.
            setup: The board.
            source: What the host gives, by itself.
            host: What the host answers.
            on_console: Called with what the guest sends.
            options: How to record.
            overwrite: Replace an existing file.
            realtime_ns: Host time, which paces the commits.
        Raises:
            TraceError: the file can't be made.
            ConfigError: the board can't be made; the path is as it was.
        """
        if not isinstance(setup, Setup):
            raise ConfigError(f"Recording: expected a Setup, such as Setup(BoardConfig(), image), got {setup!r:.60}")
        meta, blobs = trace_meta(setup)
        self.setup = setup
        writer = TraceWriter(
            None if path is None else str(path), meta, blobs, shift=setup.config.icount_shift, overwrite=overwrite
        )
        super().__init__(
            writer, lambda door: setup.make(door=door, host=host, on_console=on_console), source=source,
            options=options, realtime_ns=realtime_ns,
        )  # fmt: skip
        writer.put_meta("config", _plain_config(self.board.config))  # with what the images have decided

    def _go(self, icount: int | None, virtual_ns: int | None, *, passes_time: bool = False) -> Outcome:
        outcome = super().run(icount=icount, virtual_ns=virtual_ns, passes_time=passes_time)
        if outcome.reason is StopReason.WAITS_FOREVER:
            self.note_wait()
        self.commit()
        return outcome

    def _noted(self, outcome: Outcome) -> Outcome:
        self._last = outcome
        return outcome


class Replay(SessionBench, ReplaySession[Board]):
    """A trace played back on the board that it says."""

    def __init__(
        self, reader: TraceReader | str | Path, *, snapshot: int | None = None,
        on_console: Callable[[bytes], None] | None = None, slice_insns_max: int | None = None,
        counting: Counting = Counting.CODE, devices: Sequence[type[Part] | Part] = (),
        devices_may_have_changed: bool = False, instead: ImageFile | None = None,
    ) -> None:  # fmt: skip
        """Make the board that the trace was recorded on, and put it where the replay begins.

        Args:
            reader: The trace, or its path.
            snapshot: Begin there; by default at the start: power-on, or the oldest snapshot of a ring.
            on_console: Called with what the guest sends.
            slice_insns_max: Never visible to the guest; None for the default.
            counting: How to count instructions. Never visible.
            devices: The classes of the users' devices that were recorded; their options are in the trace.
            devices_may_have_changed: Whether their source may be another than at the recording.
            instead: Boot this in place of what the trace boots first. It goes on until it does what was not recorded.
        Raises:
            TraceError: it can't be replayed here.
        """
        reader = reader if isinstance(reader, TraceReader) else TraceReader(str(reader))
        self._sent_by_test = b""
        setup = setup_of(reader, devices, devices_may_have_changed)
        if instead is not None:
            setup = _with_other_image(reader, setup, instead)
        config = replace(setup.config, sleep=False, counting=counting)
        config = replace(config, slice_insns_max=slice_insns_max or BoardConfig().slice_insns_max)
        setup = replace(setup, config=config)
        model = MODELS.get(config.timer_model)  # None: the board refuses it
        has_host_side = model is not None and model.replays_host_side
        super().__init__(
            reader, lambda door: setup.make(door=door, on_console=on_console, has_host_side=has_host_side),
            snapshot=snapshot, has_host_side=has_host_side,
        )  # fmt: skip

    @property
    def _is_replay(self) -> bool:
        return True

    @property
    def _is_over(self) -> bool:
        return self.is_at_end

    def _type(self, data: bytes) -> None:
        """It is in the trace: only what was sent is kept, to say where that is something else."""
        self._sent_by_test += data
        self.door.host_acts()

    def _other_input(self) -> str:
        events = (item.data for item in self.reader.items() if item.kind is Kind.EVENT and item.name == CONSOLE_TARGET)
        typed, sent = b"".join(events), self._sent_by_test
        if not sent or typed.startswith(sent) or sent.startswith(typed):
            return ""
        same = next(at for at, (one, other) in enumerate(zip(typed, sent, strict=False)) if one != other)
        shown = [quoted(text[max(0, same - 10) : same + 20].decode(errors="replace")) for text in (sent, typed)]
        return f"; it was sent {shown[0]} here, and {shown[1]} in the recording"

    def _go(self, icount: int | None, virtual_ns: int | None, *, passes_time: bool = False) -> Outcome:
        """Run on; what the recording had at its end is compared where more is asked for than there is."""
        end = self.reader.end
        is_there = end is not None and (
            (icount is not None and icount <= end["icount"])
            or (virtual_ns is not None and virtual_ns <= end["virtual_ns"])
        )
        with self._bench_run(BenchRun(self._stop_of_a_run(icount, virtual_ns), meets_waits=True)):
            run = self.play if is_there else self.run
            return run(icount=icount, virtual_ns=virtual_ns)

    def _stop_of_a_run(self, icount: int | None, virtual_ns: int | None) -> Callable[[Position], bool]:
        """What tells whether a run to there stops at a position."""
        machine, limits = self.board.machine, RunLimits(icount, virtual_ns)

        def is_there(at: Position) -> bool:
            return (
                machine.was_made_to_reach
                or machine.exit_code is not None
                or (machine.schedule is None and machine.hart.is_at_breakpoint)
                or limits.reached(at) is not None
            )

        return is_there

    def _let_in(self, changes: int) -> None:
        there = self.door.changes + changes
        with self._bench_run(BenchRun(lambda at: self.door.changes >= there)):
            self.play(icount=self.position.icount)

    @contextmanager
    def _bench_run(self, run: BenchRun) -> Iterator[None]:
        """Meanwhile what the recording's test did comes in as ``run`` says."""
        self.door.bench_run = run
        try:
            yield
        finally:
            self.door.bench_run = None


def live_timeline(
    recording: Recording,
    *,
    history: int = HISTORY_BYTES,
    limits: RunLimits = NO_LIMITS,
    on_limit: Callable[[StopReason], Outcome] = Outcome,
    counting: Counting = Counting.CODE,
) -> LiveTimeline:
    """A walk in a live run: forward it goes on, back it goes in its recording, which may be one in memory.

    Args:
        recording: Of the run; nothing has run yet.
        history: How much memory the moments may take that are kept to go back to, bytes.
        limits: Where the run ends.
        on_limit: Called where it has come to a limit; says how it ends there.
        counting: How the replay counts instructions. Never visible.
    Raises:
        ConfigError: such a recording can't be replayed, or forgets its beginning.
    """
    model = recording.setup.config.timer_model
    if lacking(recording.setup) or MODELS[model].replays_host_side:
        raise ConfigError(f"a run with the timer model {model} can't go back; leave out --timer-model")
    if recording.door.options.ring:
        raise ConfigError("a recording in a ring forgets its beginning, so it can't go back; leave out --ring")
    devices = recording.setup.devices
    return LiveTimeline(
        recording, lambda reader: Replay(reader, devices=devices, counting=counting), history=history, limits=limits,
        on_limit=on_limit,
    )  # fmt: skip
