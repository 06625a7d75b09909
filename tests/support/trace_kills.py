"""Recordings killed at any moment, and a look at what they leave.

Each is a child of this process that has all modules already, so that its first 50 ms are the recording's own.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from support import asm, trace_fuzz
from support.commands import PATIENCE_S
from support.recordings import RAM, RESET, UART, finish_code, setup_of_code

from minstret.devices.board.config import HostAnswers
from minstret.devices.board.traced import Recording, Replay
from minstret.emu.cli import main
from minstret.emu.door.recording import RecordOptions
from minstret.emu.machine import StopReason
from minstret.emu.trace.reader import TraceReader

DELAYS_S = {"first 50 ms": (0.0, 0.05), "first 0.5 s": (0.0, 0.5), "later": (0.5, 2.5)}
IMAGES = ("bench", "clocks", "rtos", "mix")


def record_often(path: Path, pick: random.Random, overwrite: bool) -> None:
    """Record a guest without an end, with a commit every few turns, snapshots, and maybe a ring."""
    options = RecordOptions(pick.choice((0, 5_000, 20_000)), 0)
    if options.snapshot_every_insns:
        options = RecordOptions(options.snapshot_every_insns, pick.choice((0, 1, 3)))
    recording = Recording(
        str(path), trace_fuzz.endless_setup(), options=options, overwrite=overwrite,
        realtime_ns=trace_fuzz.Pacer(pick.choice((100_000_000, 400_000_000))),
        host=HostAnswers(wall_ns=trace_fuzz.Pacer(600)),
    )  # fmt: skip
    with recording:
        recording.run()


def record_by_command(path: Path, pick: random.Random, overwrite: bool) -> None:
    """``minstret record`` of an image that comes along; some end by themselves."""
    image, every = pick.choice(IMAGES), pick.choice(("0", "100k", "5M", "500M"))
    ring = ["--ring", "2"] if every == "100k" else []
    main(["record", "-q", "--no-input", *["-f"] * overwrite, "--snapshot-every", every, *ring, "-o", str(path), image])


def record_resets(path: Path, pick: random.Random, overwrite: bool) -> None:
    """Record a board that is reset again and again, with snapshots nearer than resets, and maybe a ring."""
    count = [*asm.li(asm.T0, pick.choice((10, 3_000))), asm.addi(asm.T0, asm.T0, -1), asm.bne(asm.T0, 0, -4)]
    say = [*asm.li(asm.T1, UART), asm.sb(asm.T1, asm.T1, 0), asm.sw(asm.T1, asm.SP, 0)]
    guest = asm.code(asm.li(asm.SP, RAM + 0x8000), count, say, count) + finish_code(RESET)
    options = RecordOptions(pick.choice((500, 2_000)), pick.choice((0, 1, 2, 3)))
    recording = Recording(
        str(path), setup_of_code(guest), options=options, overwrite=overwrite,
        realtime_ns=trace_fuzz.Pacer(pick.choice((100_000_000, 400_000_000))),
    )  # fmt: skip
    with recording:
        recording.run()


KINDS: dict[str, Callable[[Path, random.Random, bool], None]] = {
    "often": record_often, "command": record_by_command, "resets": record_resets,
}  # fmt: skip


def killed(record: Callable[[], None], delay_s: float, number: signal.Signals) -> None:
    """Call ``record`` in a child, and send that a signal after ``delay_s``; wait for its end."""
    child = os.fork()
    if not child:
        try:
            null = os.open(os.devnull, os.O_RDWR)
            for fd in range(3):
                os.dup2(null, fd)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(PATIENCE_S)
            record()
        finally:
            os._exit(0)
    try:
        time.sleep(delay_s)  # the moment is what is tried
    finally:
        os.kill(child, number)
        os.waitpid(child, 0)


def look_at_what_is_left(path: Path, old: bytes | None) -> str:
    """Check what a killed recording left at ``path``, where ``old`` was; what it is, in words.

    Raises:
        AssertionError: it is neither the old file, nor a trace that plays as far as it says.
        MinstretError: it can't be read.
    """
    others = set(os.listdir(path.parent)) - {path.name, f"{path.name}-journal", ".minstret-0"}
    assert not others, others
    if not path.exists():
        assert old is None, "the old trace is gone"
        return "no file"
    if path.read_bytes() == old:
        return "the old trace"
    reader = TraceReader(str(path))
    reached, end = reader.reached().position, reader.end
    snapshots = [number for number, _ in reader.snapshot_positions()]
    for number in (None, *snapshots[-1:]):
        replay = Replay(reader, snapshot=number)
        assert replay.run().reason is (StopReason.REACHED if end is None else StopReason(end["reason"]))
        assert replay.board.position == reached, (number, reached)
    is_of_nothing = reader.is_of_nothing
    reader.close()
    if is_of_nothing:
        return "a trace of nothing yet"
    has_journal = Path(f"{path}-journal").exists()
    return "a whole trace" if end is not None else f"a trace up to a heartbeat, {'with' * has_journal or 'no'} journal"


def run_kills(count: int, seed: int | str, folder: Path) -> dict[str, Counter[str]]:
    """Kill ``count`` recordings; how many left what, by the kind of moment."""
    old_trace = trace_fuzz.record(folder / "old.mst").read_bytes()
    left: dict[str, Counter[str]] = {moment: Counter() for moment in DELAYS_S}
    for number in range(count):
        pick = random.Random(f"{seed}/{number}")
        moment = pick.choices(list(DELAYS_S), (5, 4, 1))[0]
        kind, delay_s, overwrites = pick.choice(list(KINDS)), pick.uniform(*DELAYS_S[moment]), pick.random() < 0.4
        place = folder / "killed"
        place.mkdir()
        path = place / "run.mst"
        if overwrites:
            path.write_bytes(old_trace)
        sent = pick.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))
        killed(partial(KINDS[kind], path, pick, overwrites), delay_s, sent)
        try:
            left[moment][look_at_what_is_left(path, old_trace if overwrites else None)] += 1
        except Exception as error:
            case = f"seed {seed}, kill {number} ({kind}, {sent.name} after {delay_s:.4f} s)"
            raise AssertionError(f"{case}: {error!r}; it is still in {place}") from error
        shutil.rmtree(place)
    return left


def text_of(left: dict[str, Counter[str]]) -> list[str]:
    """A line for each kind of moment."""
    return [
        f"{moment}: {sum(counts.values())} killed: " + ", ".join(f"{n} left {what}" for what, n in counts.most_common())
        for moment, counts in left.items()
    ]
