"""Measure what it takes to ask a trace: each question as a ratio to a plain replay, in the same rounds."""

from __future__ import annotations

import gc
import json
import resource
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median

import click

from benchmarks.processes import MINSTRET, machine_facts, machine_text, run_to_end
from benchmarks.programs import patched
from benchmarks.workloads import GUESTS, Place, linux
from minstret.devices.board.traced import Recording, Replay, setup_of
from minstret.emu.hart.flow import Flow
from minstret.emu.questions.diff import Diff
from minstret.emu.questions.diffing.compared import Differs
from minstret.emu.questions.diffing.side import Side
from minstret.emu.trace.reader import TraceReader


@dataclass(frozen=True, slots=True)
class Question:
    """Something to ask a trace: in this process, or by a command (see ``by_command``).

    Attributes:
        ask: Called with the trace, and a folder for what it writes.
        ratio_max: What it may take, in plain replays. 0: nothing was promised.
        prepare: Called before all rounds, as ``ask`` is; False if this trace can't be asked that.
    """

    name: str
    ask: Callable[[Path, Path], object]
    ratio_max: float = 0
    prepare: Callable[[Path, Path], bool] = lambda trace, folder: True


@dataclass
class Asked:
    """User time of a question and of a plain replay, s, of each round."""

    name: str
    ratio_max: float
    seconds: list[float] = field(default_factory=list)
    plain_s: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return median(self.ratios())

    def ratios(self) -> list[float]:
        return [one / plain for one, plain in zip(self.seconds, self.plain_s, strict=True)]

    def cells(self) -> str:
        spread = f"{self.ratio:.2f} ({min(self.ratios()):.2f}..{max(self.ratios()):.2f})"
        return f"{median(self.seconds):>9.2f}{spread:>22}{self.ratio_max or '-':>9}"


def user_s(action: Callable[[], object]) -> float:
    """User time of this process, and of those that have ended in it, for ``action``, s."""
    gc.collect()
    start_s = _user_s()
    action()
    return _user_s() - start_s


def _user_s() -> float:
    return sum(resource.getrusage(who).ru_utime for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


# ---- the questions


def follow(*begin: Callable[[Flow, bool], None]) -> Callable[[Path, Path], object]:
    """A replay in which each hart's flow is asked for something."""

    def ask(trace: Path, _: Path) -> object:
        replay = Replay(trace)
        for hart in replay.board.harts:
            for one in begin:
                one(hart.flow, True)
        return replay.run()

    return ask


def by_command(*words: str) -> Callable[[Path, Path], object]:
    """``minstret`` with these words; ``{trace}`` and ``{folder}`` in them are replaced."""

    def ask(trace: Path, folder: Path) -> object:
        return run_to_end([*MINSTRET, *(word.format(trace=trace, folder=folder) for word in words)])

    return ask


LAST_WORDS, OTHER_WORDS = b"bench: checksum", b"bench: chexksum"
"""What the image ``bench`` prints at its end, and the same with another byte."""


def record_other_end(trace: Path, folder: Path) -> bool:
    """Record a run that differs from that of ``trace`` at its end; False if that is not of ``bench``."""
    with closing(TraceReader(str(trace))) as reader:
        setup = setup_of(reader)
    if setup.bios is None or LAST_WORDS not in setup.bios.data:
        return False
    image = replace(setup.bios, data=setup.bios.data.replace(LAST_WORDS, OTHER_WORDS))
    with Recording(folder / "other.mst", replace(setup, bios=image), overwrite=True) as recording:
        recording.run()
    return True


def diff(trace: Path, folder: Path) -> None:
    """Look for where the two runs part."""
    sides = (Side(path.name, Replay(path)) for path in (trace, folder / "other.mst"))
    difference = Diff(*sides).find().difference
    assert difference is not None
    assert difference.what is Differs.READ, difference


QUESTIONS: tuple[Question, ...] = (
    Question("report", by_command("report", "-q", "-o", "{folder}/run.html", "{trace}"), 2),
    Question("flow counts", follow(Flow.count), 1.6),
    Question("flow calls", follow(Flow.follow_calls), 2.2),
    Question("flow hash", follow(Flow.hash_path), 1.25),
    Question("profile", by_command("profile", "-o", "{folder}/profile.txt", "{trace}"), 3),
    Question("profile --coverage", by_command("profile", "-q", "--coverage", "{folder}/profile.info", "{trace}"), 3),
    Question("diff at the end", diff, 2.5, record_other_end),
    Question("why, never written", by_command("why", "-q", "{trace}", "--write", "phys:0x81000000:8"), 4),
    Question("why, gp at the start", by_command("why", "-q", "{trace}", "--reg", "gp")),
)


# ---- the command


def measure(trace: Path, questions: Sequence[Question], rounds: int, folder: Path) -> list[Asked]:
    """Ask everything in each round, after a plain replay."""
    questions = [question for question in questions if question.prepare(trace, folder)]
    rows = [Asked(question.name, question.ratio_max) for question in questions]
    for round_ in range(rounds):
        _progress(f"round {round_ + 1} of {rounds}")
        plain_s = user_s(lambda: Replay(trace).run())
        for question, row in zip(questions, rows, strict=True):
            _progress(f"round {round_ + 1} of {rounds}: {question.name}")
            row.seconds.append(user_s(partial(question.ask, trace, folder)))
            row.plain_s.append(plain_s)
    return rows


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{text} ...\033[K", err=True, nl=False)


def show(rows: Sequence[Asked]) -> None:
    """Print the table."""
    if sys.stderr.isatty():
        click.echo("\r\033[K", err=True, nl=False)
    width = max(len(row.name) for row in rows)
    click.echo(f"{'':<{width}}{'user s':>9}{'ratio':>22}{'aim':>9}")
    for row in rows:
        click.echo(f"{row.name:<{width}}{row.cells()}")
    click.echo()


def _record(arguments: Sequence[str], folder: Path) -> Path:
    path = folder / "run.mst"
    run_to_end([*MINSTRET, "record", "-f", "-q", "--no-input", "-o", str(path), *arguments])
    return path


@click.command(
    "questions",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  tools/bench questions
  tools/bench questions --guest linux --repeat 3
  tools/bench questions --trace run.mst --only "flow counts"
""",
)
@click.option(
    "--repeat", type=click.IntRange(1), default=5, show_default=True, help="Number of rounds; the table has medians."
)
@click.option("--guest", type=click.Choice(["bench", "linux"]), default="bench", show_default=True,
              help="What to record, and ask.")  # fmt: skip
@click.option("--trace", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Ask this trace instead.")
@click.option("--bench-rounds", type=click.IntRange(1), default=16, show_default=True,
              help="How much the image bench does; 16 is a billion instructions.")  # fmt: skip
@click.option("--only", type=click.Choice([question.name for question in QUESTIONS]), multiple=True,
              help="Only this question; may be given several times.")  # fmt: skip
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write every single measurement here.")
def main(
    repeat: int, guest: str, trace: Path | None, bench_rounds: int, only: tuple[str, ...], json_path: Path | None
) -> None:  # fmt: skip
    """Measure what questions to a trace take, as ratios of user time to a plain replay of it."""
    facts = machine_facts()
    questions = [question for question in QUESTIONS if question.name in only or not only]
    with tempfile.TemporaryDirectory(prefix="minstret-bench-") as name:
        folder = Path(name)
        if trace is None and guest == "linux":
            if not (GUESTS / "Image").exists():
                raise click.ClickException(f"no Linux in {GUESTS}; tools/get-guests fetches it")
            trace = _record(linux(Place(folder, 64), 1).minstret, folder)
        elif trace is None:
            trace = _record([str(patched("bench", 64, folder, {"bench_rounds": bench_rounds}))], folder)
        rows = measure(trace, questions, repeat, folder)
    show(rows)
    click.echo(f"Medians of {repeat}; user time. {machine_text(facts)}")
    if json_path is not None:
        json_path.write_text(json.dumps({"machine": facts, "questions": list(map(asdict, rows))}, indent=2))
