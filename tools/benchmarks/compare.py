"""Run every workload here and on QEMU (-icount shift=1,sleep=off), in turn, and compare time and memory."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

import oneline
from benchmarks import revisions
from benchmarks.processes import MINSTRET, Took, machine_facts, qemu_executable, run_to_end
from benchmarks.report import Measured, Report
from benchmarks.revisions import Revision
from benchmarks.workloads import GUESTS, INSTRUCTIONS, START, WORKLOADS, Job, Place, Workload

_QEMU = ("-M", "virt", "-display", "none", "-monitor", "none", "-serial", "stdio")
START_RUNS = 2
"""Runs of the start-up workload in each round: its time is subtracted from all others, so it should be accurate."""


@dataclass(frozen=True, slots=True)
class Sides:
    """What runs the guests besides this minstret: QEMU, and another revision; None for what is not there.

    Attributes:
        other: The command of that revision's minstret.
        revision: What that is.
    """

    qemu: str | None
    other: tuple[str, ...] | None = None
    revision: Revision | None = None


def run_on_minstret(command: Sequence[str], job: Job, facts: Path) -> Took:
    """Run it on minstret; ``facts`` gets what `--json` writes."""
    console = () if job.dialogue else ("--no-input",)
    return run_to_end([*command, *job.verb, "-q", "--json", str(facts), *console, *job.minstret], job.dialogue)


def run_on_qemu(qemu: str, job: Job) -> Took:
    """Run it on QEMU."""
    return run_to_end([qemu, *_QEMU, "-icount", job.icount, *job.qemu], job.dialogue)


def measure(measured: Measured, place: Place, sides: Sides, turn: int) -> None:
    """Run a workload once on each side, and note the measurements. Who is first depends on ``turn``."""
    job = measured.workload.make(place, measured.work)
    runs: list[Callable[[], None]] = [
        lambda: _run_here(measured, place, job), lambda: _run_on_other(measured, place, job, sides),
        lambda: _run_on_qemu(measured, job, sides),
    ]  # fmt: skip
    first = turn % len(runs)
    for run_it in (*runs[first:], *runs[:first]):
        run_it()


def _run_here(measured: Measured, place: Place, job: Job) -> None:
    facts = place.folder / "facts.json"
    measured.minstret.append(run_on_minstret(MINSTRET, job, facts))
    measured.insns = int(json.loads(facts.read_text())["icount"])
    if measured.workload.unit == INSTRUCTIONS:
        measured.count = measured.insns


def _run_on_other(measured: Measured, place: Place, job: Job, sides: Sides) -> None:
    """What it can't do, as an option or an instruction is new, is no failure of the row."""
    if sides.other is None or measured.other_failure:
        return
    try:
        measured.other.append(run_on_minstret(sides.other, job, place.folder / "other.json"))
    except click.ClickException as error:
        measured.other_failure = error.message
        measured.other.clear()


def _run_on_qemu(measured: Measured, job: Job, sides: Sides) -> None:
    if sides.qemu is not None and measured.workload.ends_on_qemu:
        measured.qemu.append(run_on_qemu(sides.qemu, job))


def compare(chosen: list[tuple[Workload, int]], xlen: int, rounds: int, sides: Sides) -> Report:
    """Measure workloads, each with its amount of work, in rounds, so that a slow moment of the machine affects all."""
    rows = [Measured(workload, work) for workload, work in chosen]
    report = Report(machine_facts(), xlen, rounds, rows)
    if sides.revision is not None:
        report.other, report.other_text = sides.revision.title, sides.revision.text()
    with tempfile.TemporaryDirectory(prefix="minstret-bench-") as folder:
        place = Place(Path(folder), xlen)
        for round_ in range(rounds):
            for measured in report.rows:
                if measured.failure:
                    continue
                show_progress(f"round {round_ + 1} of {rounds}: {measured.workload.title} ...")
                try:
                    for repeat in range(START_RUNS if measured.workload is START else 1):
                        measure(measured, place, sides, round_ + repeat)
                except click.ClickException as error:
                    measured.failure = error.message
    report.machine["load_after"] = machine_facts()["load"]
    show_progress("")
    return report


def show_progress(text: str) -> None:
    """Show a progress line, if standard error is a terminal."""
    if sys.stderr.isatty():
        click.echo(f"\r{text}\033[K", err=True, nl=False)


def chosen_workloads(names: tuple[str, ...], xlen: int, *, is_smoke: bool) -> list[tuple[Workload, int]]:
    """The chosen workloads and how much work each does; what they are based on, as the start-up, is among them."""
    wanted = {*names, START.name, *(workload.base for workload in WORKLOADS if workload.name in names)}
    chosen = []
    for workload in WORKLOADS:
        work = workload.smoke_work if is_smoke else workload.work
        is_wanted = workload.name in wanted if names else work > 0
        if not is_wanted or (workload.is_rv64_only and xlen != 64):
            continue
        if workload.needs is not None and not workload.needs.exists():
            click.echo(f"{workload.name} is left out: there is no {workload.needs}", err=True)
            continue
        chosen.append((workload, work or workload.work))
    return chosen


def run(names: tuple[str, ...], cpu: str, rounds: int, no_qemu: bool, against: str | None, json_file: str | None,
        markdown_file: str | None, *, is_smoke: bool) -> None:  # fmt: skip
    """Measure, print the table, write files. Exits with status 1 if a workload failed."""
    xlen = 64 if cpu == "rv64" else 32
    qemu = None if no_qemu else qemu_executable(xlen)
    sides = Sides(qemu)
    if against is not None:
        revision = revisions.find(against)
        sides = Sides(qemu, revisions.build(revision), revision)
    report = compare(chosen_workloads(names, xlen, is_smoke=is_smoke), xlen, rounds, sides)
    report.show()
    if json_file is not None:
        Path(json_file).write_text(json.dumps(report.to_json(), indent=2) + "\n")
    if markdown_file is not None:
        report.write_markdown(Path(markdown_file))
    if any(measured.failure for measured in report.rows):
        sys.exit(1)


def options(rounds: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of `all` and `smoke`."""
    listed: list[Any] = [
        click.option("--rounds", type=click.IntRange(1), default=rounds, show_default=True,
                     help="Number of rounds; the table has medians."),
        click.option("--only", "names", type=click.Choice([workload.name for workload in WORKLOADS]), multiple=True,
                     metavar="NAME", help="Only this workload (and the start-up); may be given several times."),
        click.option("--cpu", type=click.Choice(["rv64", "rv32"]), default="rv64", show_default=True,
                     help="Register width."),
        click.option("--against", metavar="REV",
                     help="Measure that revision too, in the same rounds: a branch, tag or commit, a version (0.1.0), "
                          "or release, the last one. It is built in .cache/revisions first."),
        click.option("--no-qemu", is_flag=True, help="Don't run QEMU, even if it is installed."),
        click.option("--json", "json_file", callback=oneline.writable, metavar="FILE",
                     help="Write every single measurement to FILE."),
        click.option("--markdown", "markdown_file", callback=oneline.writable, metavar="FILE",
                     help="Write the table to FILE as Markdown; if FILE has a place for the table, as "
                          "docs/performance.md has, only that is replaced."),
    ]  # fmt: skip

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(listed):
            command = option(command)
        return command

    return decorate


WORKLOAD_LIST = "\n".join(f"  {workload.name:<16} {workload.title}" for workload in WORKLOADS)


@click.command("all", context_settings={"help_option_names": ["-h", "--help"]}, epilog=f"""\b
Workloads:
{WORKLOAD_LIST}

\b
Examples:
  tools/bench all
  tools/bench all --rounds 5 --json all.json --markdown docs/performance.md
  tools/bench all --only integer --only uboot
  tools/bench all --against 0.1.0 --only linux
  tools/bench all --cpu rv32 --no-qemu

docs/performance.md says what the rows and columns mean.
""")  # fmt: skip
@options(rounds=3)
def run_all(names: tuple[str, ...], cpu: str, rounds: int, no_qemu: bool, against: str | None,
            json_file: str | None, markdown_file: str | None) -> None:  # fmt: skip
    """Measure every workload here and on QEMU; some minutes for each round.

    Each run is a process of its own. Ratios are minstret's user time to QEMU's (-icount shift=1,sleep=off).
    """
    run(names, cpu, rounds, no_qemu, against, json_file, markdown_file, is_smoke=False)


@click.command("smoke", context_settings={"help_option_names": ["-h", "--help"]}, epilog="""\b
Examples:
  tools/bench smoke
  tools/bench smoke --json smoke.json
  tools/bench smoke --against HEAD~3
""")  # fmt: skip
@options(rounds=1)
def smoke(names: tuple[str, ...], cpu: str, rounds: int, no_qemu: bool, against: str | None,
          json_file: str | None, markdown_file: str | None) -> None:  # fmt: skip
    """The same as all with less work, in a minute.

    Gives rough ratios, and checks that all workloads run.
    """
    run(names, cpu, rounds, no_qemu, against, json_file, markdown_file, is_smoke=True)


@click.command("linux", context_settings={"help_option_names": ["-h", "--help"]}, epilog="""\b
Examples:
  tools/get-guests && tools/bench linux
  tools/bench linux --rounds 5
""")  # fmt: skip
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True,
              help="Number of rounds; the table has medians.")  # fmt: skip
def linux(rounds: int) -> None:
    """Measure Debian's Linux from reset to power off, here and on QEMU: only the workload `linux` of `all`."""
    if not (GUESTS / "Image").exists():
        click.echo(f"there is no {GUESTS / 'Image'}: run tools/get-guests first", err=True)
        sys.exit(1)
    run(("linux",), "rv64", rounds, False, None, None, None, is_smoke=False)


@click.command("start", context_settings={"help_option_names": ["-h", "--help"]}, epilog="""\b
Examples:
  tools/bench start
  tools/bench start --rounds 20 --against HEAD~3
""")  # fmt: skip
@click.option("--rounds", type=click.IntRange(1), default=10, show_default=True,
              help="Number of rounds; the table has medians.")  # fmt: skip
@click.option(
    "--against", metavar="REV", help="Measure that revision too, in the same rounds; see tools/bench all --help."
)
def start(rounds: int, against: str | None) -> None:
    """Measure the start-up, here and on QEMU: only the workload `start` of `all`.

    What a run imports is tested in tests/cli/test_start.py.
    """
    run(("start",), "rv64", rounds, False, against, None, None, is_smoke=False)
