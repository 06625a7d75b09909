"""Measure going back in a recorded run: a seek, a step, to a breakpoint, to a watched store; beside QEMU's replay."""

from __future__ import annotations

import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import click

from benchmarks import qemu_replay
from benchmarks.processes import MINSTRET, machine_facts, machine_text, run_to_end
from benchmarks.programs import patched
from benchmarks.qemu_replay import NoAnswerError, QemuReplay
from benchmarks.workloads import GUESTS, Job, Place, linux
from minstret.devices.board.traced import Replay
from minstret.emu.hart.watches import WatchKind
from minstret.emu.past import TraceTimeline
from minstret.emu.timeline import Stop, Why

DISTANCES = (100_000, 10_000_000, 500_000_000)
PER_CENT = (25, 50, 75)
_APART = 1_001
"""Instructions from the place of one round to that of the next, so that none profits from what the last one kept."""
STEP_TITLES = f"{'seek':>9}{'step back':>11}{'again':>9}{'QEMU seek':>13}{'QEMU step':>13}{'QEMU / step':>13}"


@dataclass
class Steps:
    """At one place, of each round: ms of processor time for a seek there, a step back, and one more."""

    name: str
    icount: int
    seek_ms: list[float] = field(default_factory=list)
    step_ms: list[float] = field(default_factory=list)
    again_ms: list[float] = field(default_factory=list)
    qemu_seek_ms: list[float] = field(default_factory=list)
    qemu_step_ms: list[float] = field(default_factory=list)
    qemu_answers: bool = True

    def cells(self) -> str:
        qemu = [_ms(self.qemu_seek_ms), _ms(self.qemu_step_ms)]
        if not self.qemu_answers:
            qemu = [text if text != "-" else f">{qemu_replay.ANSWER_S} s" for text in qemu]
        ratio = "-"
        if self.qemu_step_ms:
            ratio = f"{statistics.median(self.qemu_step_ms) / statistics.median(self.step_ms):,.1f}"
        return (
            f"{_ms(self.seek_ms):>9}{_ms(self.step_ms):>11}{_ms(self.again_ms):>9}{qemu[0]:>13}{qemu[1]:>13}{ratio:>13}"
        )


@dataclass(eq=False)
class Ratio:
    """Time of something and of what it is compared with, of each round."""

    name: str
    seconds: list[float] = field(default_factory=list)
    base_s: list[float] = field(default_factory=list)

    def cells(self) -> str:
        rounds = [one / base for one, base in zip(self.seconds, self.base_s, strict=True)]
        middle = statistics.median(self.seconds) / statistics.median(self.base_s)
        return f"{statistics.median(self.seconds):>9.2f}{f'{middle:.2f} ({min(rounds):.2f}..{max(rounds):.2f})':>24}"


def _ms(times: list[float]) -> str:
    if not times:
        return "-"
    middle = statistics.median(times)
    return f"{middle:.1f}" if middle < 100 else f"{middle:,.0f}"


def cpu_s(action: Callable[[], object]) -> float:
    """Processor time of this process for ``action``, s."""
    gc.collect()
    start_s = time.process_time()
    action()
    return time.process_time() - start_s


def _moved(stop: Stop, wanted: Why) -> None:
    if stop.why is not wanted:
        raise click.ClickException(f"a move ended with {stop.why.value}, and not with {wanted.value}")


# ---- steps and seeks


def measure_steps(timeline: TraceTimeline, rows: Sequence[Steps], rounds: int) -> None:
    """Of a timeline at the end of its recording: to each place, and back by an instruction, in each round."""
    for round_ in range(rounds):
        for row in rows:
            _progress(f"{row.name}: round {round_ + 1} of {rounds}")
            at = row.icount - round_ * _APART
            row.seek_ms.append(1e3 * cpu_s(partial(timeline.seek, at)))
            row.step_ms.append(1e3 * cpu_s(lambda: _moved(timeline.step(-1), Why.REACHED)))
            row.again_ms.append(1e3 * cpu_s(lambda: _moved(timeline.step(-1), Why.REACHED)))


def measure_qemu(options: Sequence[str], rows: Sequence[Steps], rounds: int, folder: Path) -> None:
    """The same in QEMU, in a recording of its own; where it does not answer, that is noted."""
    for row in rows:
        _progress(f"{row.name}: QEMU")
        with qemu_replay.replay(options, folder) as qemu:
            try:
                for round_ in range(rounds):
                    row.qemu_seek_ms.append(_qemu_ms(qemu, partial(qemu.seek, row.icount - round_ * _APART)))
                    row.qemu_step_ms.append(_qemu_ms(qemu, qemu.step_back))
            except NoAnswerError:
                row.qemu_answers = False


def _qemu_ms(qemu: QemuReplay, action: Callable[[], object]) -> float:
    start_s = qemu.cpu_s()
    action()
    return 1e3 * (qemu.cpu_s() - start_s)


# ---- whole runs back


def measure_back(path: Path, timeline: TraceTimeline, rounds: int) -> list[Ratio]:
    """From the end over the whole run to its first instructions, as ratios to a plain replay."""
    end, over = timeline.end.icount, f"{timeline.end.icount / 1e9:.2f} G insns"
    forward = Ratio(f"forward in a timeline, {over}")
    to_breakpoint = Ratio(f"back to a breakpoint, {over}")
    to_watches = {
        Ratio(f"back over stores to a word of the stack, {over}"): _symbol(timeline, "__stack_top") - 8,
        Ratio(f"back over stores to a word of the array, {over}"): _symbol(timeline, "work") + (1 << 17),
    }
    rows = [forward, to_breakpoint, *to_watches]
    for round_ in range(rounds):
        _progress(f"whole runs: round {round_ + 1} of {rounds}")
        base_s = cpu_s(Replay(path).run)
        fresh = TraceTimeline(Replay(path))
        forward.seconds.append(cpu_s(fresh.run))
        timeline.seek(end + 1)
        main_at = _symbol(timeline, "main")
        timeline.add_breakpoint(main_at)
        to_breakpoint.seconds.append(cpu_s(lambda: _moved(timeline.run_back(), Why.BREAKPOINT)))
        timeline.remove_breakpoint(main_at)
        for row, address in to_watches.items():
            timeline.seek(end + 1)
            watch = timeline.add_watch(WatchKind.STORE, address, 8)
            row.seconds.append(cpu_s(lambda: _back_to_first(timeline)))
            timeline.remove_watch(watch)
        for row in rows:
            row.base_s.append(base_s)
    return rows


def _symbol(timeline: TraceTimeline, name: str) -> int:
    found = timeline.board.symbols.find(name)
    assert found is not None
    return int(found.address)


def _back_to_first(timeline: TraceTimeline) -> None:
    while timeline.run_back().why is not Why.START:
        pass


def measure_live(image: Path, rounds: int) -> Ratio:
    """A whole command with gdb's server, to which nobody connects, and without."""
    row = Ratio("minstret run --gdb / minstret run")
    plain = [*MINSTRET, "run", "-q", "--no-input", str(image)]
    for round_ in range(rounds):
        _progress(f"live: round {round_ + 1} of {rounds}")
        row.base_s.append(run_to_end(plain).user_s)
        row.seconds.append(run_to_end([*plain, "--gdb", "127.0.0.1:0"]).user_s)
    return row


# ---- the command


@contextmanager
def recorded(arguments: Sequence[str], folder: Path) -> Iterator[tuple[Path, TraceTimeline]]:
    """A trace of a whole run, and a timeline at its end."""
    path = folder / "run.mst"
    run_to_end([*MINSTRET, "record", "-f", "-q", "--no-input", "-o", str(path), *arguments])
    timeline = TraceTimeline(Replay(path))
    _moved(timeline.run(), Why.END)
    yield path, timeline
    path.unlink()


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{text} ...\033[K", err=True, nl=False)


def _show(titles: str, rows: Sequence[Steps] | Sequence[Ratio]) -> None:
    if sys.stderr.isatty():
        click.echo("\r\033[K", err=True, nl=False)
    width = max(len(row.name) for row in rows)
    click.echo(f"{'':<{width}}{titles}")
    for row in rows:
        click.echo(f"{row.name:<{width}}{row.cells()}")
    click.echo()


def _options_of(job: Job) -> list[str]:
    """For QEMU; frames go through a filter, as a replay needs it."""
    network = ["-object", "filter-replay,id=replay,netdev=net0"] if "-netdev" in job.qemu else []
    return [*job.qemu, *network]


@click.command(
    "timetravel",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  tools/bench timetravel
  tools/bench timetravel --guest bench --repeat 3
  tools/bench timetravel --guest linux --json linux.json
""",
)
@click.option(
    "--repeat", type=click.IntRange(1), default=5, show_default=True, help="Number of rounds; the tables have medians."
)
@click.option("--guest", "guests", type=click.Choice(["bench", "linux"]), multiple=True,
              help="Only this guest; may be given several times.")  # fmt: skip
@click.option("--bench-rounds", type=click.IntRange(1), default=16, show_default=True,
              help="How much the image bench does; 16 is a billion instructions.")  # fmt: skip
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write every single measurement here.")
def main(repeat: int, guests: tuple[str, ...], bench_rounds: int, json_path: Path | None) -> None:
    """Measure going back in a recorded run.

    The first table has, in milliseconds of processor time, a seek from far away to a place, a step back there, and a
    second one; and the same in QEMU, in a recording of its own. Rows for Linux are at 25, 50 and 75 % of its boot. The
    second table has whole runs as ratios to a plain replay, by processor time, and to a plain run, by user time.
    """
    steps: list[Steps] = []
    ratios: list[Ratio] = []
    facts = machine_facts()
    missing = qemu_replay.lacking()
    with tempfile.TemporaryDirectory(prefix="minstret-bench-") as name:
        folder = Path(name)
        if "bench" in guests or not guests:
            image = patched("bench", 64, folder, {"bench_rounds": bench_rounds})
            with recorded([str(image)], folder) as (path, timeline):
                end = timeline.end.icount
                rows = [Steps(f"bench, at {at:,}", at) for at in DISTANCES if repeat * _APART < at < end]
                measure_steps(timeline, rows, repeat)
                ratios += measure_back(path, timeline, repeat)
            if missing is None:
                measure_qemu(["-m", "128M", "-bios", str(image)], rows, repeat, folder)
            ratios.append(measure_live(image, repeat))
            steps += rows
        if "linux" in guests or (not guests and (GUESTS / "Image").exists()):
            steps += _measure_linux(repeat, folder, has_qemu=missing is None)
    _show(STEP_TITLES, steps)
    if ratios:
        _show(f"{'seconds':>9}{'ratio':>24}", ratios)
    if missing is not None:
        click.echo(f"Without QEMU: {missing} is not on this machine.")
    click.echo(f"Medians of {repeat}; ms of processor time. {machine_text(facts)}")
    if json_path is not None:
        made = {"machine": facts, "steps": list(map(asdict, steps)), "ratios": list(map(asdict, ratios))}
        json_path.write_text(json.dumps(made, indent=2))


def _measure_linux(repeat: int, folder: Path, *, has_qemu: bool) -> list[Steps]:
    if not (GUESTS / "Image").exists():
        raise click.ClickException(f"no Linux in {GUESTS}; tools/get-guests fetches it")
    job = linux(Place(folder, 64), 1)
    with recorded(job.minstret, folder) as (_, timeline):
        end = timeline.end.icount
        rows = [Steps(f"Linux, at {percent} %", end * percent // 100) for percent in PER_CENT]
        measure_steps(timeline, rows, repeat)
    if has_qemu:
        measure_qemu(_options_of(job), rows, min(repeat, 2), folder)
    return rows
