"""Measure recording and replaying as ratios to a plain run, by user time or by the host's instructions."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.processes import MINSTRET, machine_text, run_to_end
from benchmarks.programs import Ticker, patched, ticker_program
from benchmarks.workloads import GUESTS as LINUX_FILES
from benchmarks.workloads import Place, linux

WAYS = ("plain", "record", "replay")
_TIMED_TITLES = f"{'M insns':>11}{'plain, s':>10}{'MIPS':>8}{'record/plain':>22}{'replay/plain':>22}"
_COUNTED_TITLES = f"{'plain':>16}{'record':>24}{'replay':>24}"
_PROBE = {"bench": 1, "ticks": 500, "fast": 20_000, "idle": 20_000}
"""Work of each guest in a first run, from which the work for the wanted time is computed."""
_COUNTED = {"bench": (1, 2), "ticks": (50, 150), "fast": (1000, 3000), "idle": (1000, 3000)}
"""Work of each guest in the two runs that count instructions; their difference does not contain the start-up."""


LINUX = "linux"
Words = tuple[str, ...]
"""What the command gets: the image, or options that name them."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest to run; ``work`` is the number of its rounds or ticks."""

    key: str
    name: str
    ticker: Ticker | None = None

    def words(self, folder: Path, work: int) -> Words:
        if self.key == LINUX:
            return linux(Place(folder, 64), 1).minstret
        if self.ticker is None:
            return (str(patched("bench", 64, folder, {"bench_rounds": work})),)
        path = folder / f"{self.key}.bin"
        path.write_bytes(ticker_program(self.ticker, work))
        return (str(path),)


GUESTS = (
    Guest("bench", "bench"),
    *(Guest(key, ticker.name, ticker) for key, ticker in (
        ("ticks", Ticker(1000)), ("fast", Ticker(100_000)), ("idle", Ticker(100_000, waits=True)))),
    *([Guest(LINUX, "Linux: boot, DHCP, ping")] if (LINUX_FILES / "Image").exists() else []),
)  # fmt: skip


def command_of(way: str, words: Words, folder: Path) -> list[str]:
    """``replay`` plays what ``record`` has left."""
    trace = str(folder / "guest.mst")
    arguments = {
        "plain": ("run", "-q", "--no-input", *words),
        "record": ("record", "-f", "-q", "--no-input", "-o", trace, *words),
        "replay": ("replay", "-q", trace),
    }[way]
    return [*MINSTRET, *arguments]


def user_s(way: str, words: Words, folder: Path, *options: str) -> float:
    """User time of the process, from its start to its end."""
    return run_to_end([*command_of(way, words, folder), *options], may_fail=bool(options)).user_s


def host_insns(way: str, words: Words, folder: Path) -> int:
    """Instructions that the host executed for the process, as callgrind counts them."""
    log = folder / "callgrind.log"
    counter = ("env", "PYTHONHASHSEED=0", "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
               "--smc-check=all-non-file", f"--log-file={log}")  # fmt: skip
    run_to_end([*counter, *command_of(way, words, folder)])
    counted = re.search(r"Collected : (\d+)", log.read_text())
    if counted is None:
        raise click.ClickException("callgrind does not say how many instructions there were")
    return int(counted[1])


def counted_text(guest: Guest, folder: Path) -> str:
    """Cells: the host's instructions for each round or tick, by way, and the ratios to plain."""
    counts: dict[str, list[int]] = {way: [] for way in WAYS}
    few, many = _COUNTED[guest.key]
    for work in (few, many):
        words = guest.words(folder, work)
        for way in WAYS:
            counts[way].append(host_insns(way, words, folder))
    plain, *others = ((high - low) / (many - few) for low, high in counts.values())
    return f"{plain:>16,.0f}" + "".join(f"{f'{other:,.0f} ({other / plain:.2f})':>24}" for other in others)


def insns_of(folder: Path) -> int:
    """Instructions in the trace that ``record`` has left."""
    facts = folder / "facts.json"
    run_to_end([*MINSTRET, "replay", "-q", "--json", str(facts), str(folder / "guest.mst")])
    return int(json.loads(facts.read_text())["icount"])


def fitting_words(guest: Guest, folder: Path, wanted_s: float) -> Words:
    """The guest with enough work that a plain run takes ``wanted_s`` of user time, or somewhat more; Linux as it is."""
    if guest.key == LINUX:
        return guest.words(folder, 1)
    work = _PROBE[guest.key]
    start_s = min(user_s("plain", guest.words(folder, work), folder, "--max-insns", "1") for _ in range(3))
    while (spent_s := user_s("plain", words := guest.words(folder, work), folder) - start_s) < wanted_s:
        work = 1 + round(work * 1.15 * wanted_s / max(spent_s, 0.1))
    return words


def measure(guest: Guest, folder: Path, wanted_s: float, repeat: int) -> dict[str, list[float]]:
    """User seconds of every run: plain, record, replay. They take turns, so that a slow moment affects all of them."""
    words = fitting_words(guest, folder, wanted_s)
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for round_ in range(repeat):
        for way in WAYS:
            if sys.stderr.isatty():
                click.echo(f"\r{guest.name}: round {round_ + 1} of {repeat}, {way} ...\033[K", err=True, nl=False)
            times[way].append(user_s(way, words, folder))
    if sys.stderr.isatty():
        click.echo("\r\033[K", err=True, nl=False)
    return times


def ratio_text(ways: list[float], plain: list[float]) -> str:
    """Ratio of the medians; in brackets the smallest and largest ratio of one round."""
    rounds = [way / base for way, base in zip(ways, plain, strict=True)]
    middle = statistics.median(ways) / statistics.median(plain)
    return f"{middle:.2f} ({min(rounds):.2f}..{max(rounds):.2f})"


def row_text(times: dict[str, list[float]], insns: int) -> str:
    """Cells: instructions, plain seconds, MIPS, both ratios."""
    plain_s = statistics.median(times["plain"])
    ratios = (ratio_text(times[way], times["plain"]) for way in WAYS[1:])
    return f"{insns / 1e6:>11,.0f}{plain_s:>10.1f}{insns / 1e6 / plain_s:>8.0f}" + "".join(f"{r:>22}" for r in ratios)


@click.command(
    "replay",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  tools/bench replay
  tools/bench replay --guest fast --seconds 2 --repeat 3
  tools/bench replay --guest idle --instructions
""",
)
@click.option(
    "--repeat", type=click.IntRange(1), default=5, show_default=True, help="Number of rounds; the table has medians."
)
@click.option(
    "--seconds", type=click.FloatRange(0.5), default=10.0, show_default=True, help="User time of one plain run."
)
@click.option("--guest", "keys", type=click.Choice([guest.key for guest in GUESTS]), multiple=True,
              help="Only this guest; may be given several times.")  # fmt: skip
@click.option("--instructions", is_flag=True,
              help="Instead of time, count the host's instructions for each round or tick: exact, but takes ten minutes"
                   " for all guests. Needs valgrind.")  # fmt: skip
def main(repeat: int, seconds: float, keys: tuple[str, ...], instructions: bool) -> None:
    """Measure the time that recording and replaying take.

    Prints ratios to a plain run, by user time or by the host's instructions.

    Each run is a whole process with default options, so snapshots are included. In brackets are the smallest and the
    largest ratio of one round: if they are far apart, the machine was busy.
    """
    guests = [
        guest for guest in GUESTS if (not keys or guest.key in keys) and not (instructions and guest.key == LINUX)
    ]
    width = max(len(guest.name) for guest in guests)
    if instructions and shutil.which("valgrind") is None:
        raise click.ClickException("valgrind is not on this machine; Debian has it in the package valgrind")
    click.echo(f"{'guest':<{width}}" + (_COUNTED_TITLES if instructions else _TIMED_TITLES))
    with tempfile.TemporaryDirectory(prefix="minstret-bench-") as name:
        for guest in guests:
            if instructions:
                cells = counted_text(guest, Path(name))
            else:
                times = measure(guest, Path(name), seconds, repeat)
                cells = row_text(times, insns_of(Path(name)))
            click.echo(f"{guest.name:<{width}}{cells}")
    if not instructions:
        click.echo(f"\nMedians of {repeat}. {machine_text()}")
