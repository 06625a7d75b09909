"""Measurements of workloads, and their output: a table, JSON, Markdown."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.processes import Took, machine_text
from benchmarks.workloads import START, Workload

WIDTH = 132
LEAST_S = 0.03
"""Seconds; a shorter time is too short for a ratio."""

TABLE_PLACE = re.compile(r"(<!-- table: .*? -->\n).*?(<!-- end of table -->)", re.DOTALL)

Time = Callable[[Took], float]


def user_s(took: Took) -> float:
    return took.user_s


def cpu_s(took: Took) -> float:
    return took.user_s + took.system_s


@dataclass(slots=True)
class Measured:
    """A workload and the measurements of its runs; the lists have one entry for each round.

    Attributes:
        count: The work that was done, in the workload's unit.
        insns: How many instructions minstret counted.
        failure: Why it was given up; empty if it was not.
    """

    workload: Workload
    work: int
    count: int = 0
    insns: int = 0
    minstret: list[Took] = field(default_factory=list)
    qemu: list[Took] = field(default_factory=list)
    failure: str = ""

    def __post_init__(self) -> None:
        self.count = self.work


@dataclass(slots=True)
class Report:
    """All rows. Subtracts the start-up's time from the workloads that are not sessions."""

    machine: dict[str, str | int | float]
    xlen: int
    rounds: int
    rows: list[Measured]

    def net_s(self, row: Measured, runs: list[Took], time: Time) -> float:
        """Median time of runs of ``row``, without the start-up unless it is a session."""
        return statistics.median(map(time, runs)) - self._start_s(row, runs, time)

    def _start_s(self, row: Measured, runs: list[Took], time: Time) -> float:
        if row.workload.is_session:
            return 0.0
        starts = [start for start in self.rows if start.workload is START]
        taken = [took for start in starts for took in (start.minstret if runs is row.minstret else start.qemu)]
        return statistics.median(map(time, taken)) if taken else 0.0

    def ratio(self, row: Measured, time: Time = user_s) -> float | None:
        """Ratio of minstret's time to QEMU's; None if there is nothing to compare."""
        if row.failure or not (row.minstret and row.qemu):
            return None
        here_s, there_s = self.net_s(row, row.minstret, time), self.net_s(row, row.qemu, time)
        least_s = 0 if row.workload.is_session else LEAST_S
        return here_s / there_s if here_s > least_s and there_s > least_s else None

    def ratio_range(self, row: Measured) -> tuple[float, float] | None:
        """Smallest and largest ratio of one round."""
        if row.failure or not row.qemu:
            return None
        here_s, there_s = (self._start_s(row, runs, user_s) for runs in (row.minstret, row.qemu))
        pairs = [(a.user_s - here_s, b.user_s - there_s) for a, b in zip(row.minstret, row.qemu, strict=True)]
        ratios = [here / there for here, there in pairs if there > 0]
        return (min(ratios), max(ratios)) if ratios else None

    def rate(self, row: Measured, runs: list[Took]) -> float | None:
        """Units per second of processor time, user and system."""
        if row.failure or row.workload.is_session or not runs:
            return None
        net_s = self.net_s(row, runs, cpu_s)
        return row.count / net_s if net_s >= LEAST_S else None

    # ---- shown

    def cells(self, row: Measured) -> list[str]:
        """A line of the table, as `HEADINGS` says."""
        sides = (row.minstret, row.qemu)
        spread = self.ratio_range(row) if self.rounds > 1 else None
        if row.failure:
            return [row.workload.title, "failed", *[""] * (len(HEADINGS) - 2)]
        return [
            row.workload.title,
            *(f"{statistics.median(map(user_s, runs)):.2f}" if runs else "-" for runs in sides),
            ratio_text(self.ratio(row)) + (f" ({ratio_text(spread[0])}..{ratio_text(spread[1])})" if spread else ""),
            ratio_text(self.ratio(row, cpu_s)),
            *(rate_text(self.rate(row, runs)) for runs in sides),
            *(rss_text(runs) for runs in sides),
        ]

    def show(self) -> None:
        """Print the table, what it was measured on, and what failed."""
        console = Console(width=max(WIDTH, Console().width))
        table = Table(title=f"rv{self.xlen}, {self.rounds_text()}", title_justify="left")
        for number, heading in enumerate(HEADINGS):
            table.add_column(heading, justify="right" if number else "left", no_wrap=True)
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in self.cells(row)))
        console.print(table)
        console.print(machine_text(self.machine), highlight=False)
        for row in self.rows:
            if row.failure:
                console.print(Text(f"{row.workload.name} failed: {row.failure}"))

    def rounds_text(self) -> str:
        return "one round" if self.rounds == 1 else f"medians of {self.rounds} rounds"

    def markdown(self) -> str:
        """The table and what it was measured on."""
        headings = [heading.replace("\n", " ") for heading in HEADINGS]
        lines = [headings, ["---", *["--:"] * (len(HEADINGS) - 1)], *(self.cells(row) for row in self.rows)]
        table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
        return f"rv{self.xlen}, {self.rounds_text()}. {machine_text(self.machine)}\n\n{table}\n"

    def write_markdown(self, path: Path) -> None:
        """Replace the table in ``path``, or the whole file if it has no place for a table."""
        old = path.read_text() if path.exists() else ""
        new, replaced = TABLE_PLACE.subn(lambda found: f"{found[1]}\n{self.markdown()}\n{found[2]}", old)
        path.write_text(new if replaced else self.markdown())

    def to_json(self) -> dict[str, Any]:
        """Everything, including each single run."""
        return {
            "machine": self.machine,
            "cpu": f"rv{self.xlen}",
            "rounds": self.rounds,
            "workloads": [
                {
                    "name": row.workload.name,
                    "title": row.workload.title,
                    "unit": row.workload.unit,
                    "count": row.count,
                    "insns": row.insns,
                    "ratio_user": self.ratio(row),
                    "ratio_user_and_system": self.ratio(row, cpu_s),
                    "minstret_per_s": self.rate(row, row.minstret),
                    "qemu_per_s": self.rate(row, row.qemu),
                    "minstret": [asdict(took) for took in row.minstret],
                    "qemu": [asdict(took) for took in row.qemu],
                    "failure": row.failure,
                }
                for row in self.rows
            ],
        }


HEADINGS = ["workload", "minstret\nuser s", "QEMU\nuser s", "ratio", "with\nsystem", "minstret\na second",
            "QEMU\na second", "minstret\nMiB", "QEMU\nMiB"]  # fmt: skip


def rss_text(runs: list[Took]) -> str:
    """MiB; a dash if the run was too short to measure."""
    most = max((took.rss_bytes for took in runs), default=0)
    return f"{most / (1 << 20):.0f}" if most else "-"


def ratio_text(ratio: float | None) -> str:
    """A number with two or three significant digits."""
    if ratio is None:
        return "-"
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"


def rate_text(rate: float | None) -> str:
    """A number with three significant digits, in thousands or millions if it is large."""
    if rate is None:
        return "-"
    scaled, unit = (rate / 1e6, " M") if rate >= 1e6 else (rate / 1e3, " k") if rate >= 1e4 else (rate, "")
    return f"{scaled:.3g}{unit}" if scaled < 1000 else f"{scaled:,.0f}{unit}"
