"""Measurements of workloads, and their output: a table, JSON, Markdown."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.processes import Took, machine_text
from benchmarks.workloads import KERNEL_ROW, Workload

WIDTH, WIDTH_OF_TWO = 132, 172
LEAST_S = 0.03
"""Seconds; a shorter time is too short for a ratio."""

TABLE_PLACE = re.compile(r"(<!-- table: .*? -->\n).*?(<!-- end of table -->)", re.DOTALL)

Time = Callable[[Took], float]


def user_s(took: Took) -> float:
    return took.user_s


def cpu_s(took: Took) -> float:
    return took.user_s + took.system_s


class Side(StrEnum):
    """Who runs the guest."""

    HERE = "minstret"
    OTHER = "other"
    """Another revision of minstret, where there is one to compare with."""
    QEMU = "qemu"


@dataclass(slots=True)
class Measured:
    """A workload and the measurements of its runs; the lists have one entry for each round.

    Attributes:
        count: The work that was done, in the workload's unit.
        insns: How many instructions minstret counted.
        failure: Why it was given up; empty if it was not.
        other_failure: Why the other revision does not run it.
    """

    workload: Workload
    work: int
    count: int = 0
    insns: int = 0
    minstret: list[Took] = field(default_factory=list)
    qemu: list[Took] = field(default_factory=list)
    other: list[Took] = field(default_factory=list)
    failure: str = ""
    other_failure: str = ""

    def __post_init__(self) -> None:
        self.count = self.work

    def runs(self, side: Side) -> list[Took]:
        return {Side.HERE: self.minstret, Side.OTHER: self.other, Side.QEMU: self.qemu}[side]


@dataclass(slots=True)
class Report:
    """All rows. Subtracts from each workload that is no session the time of its base: for most the start-up."""

    machine: dict[str, str | int | float]
    xlen: int
    rounds: int
    rows: list[Measured]
    other: str = ""
    """What the other revision is called, if there is one."""
    other_text: str = ""
    """The same with its commit."""

    def net_s(self, row: Measured, side: Side, time: Time) -> float:
        """Median time of runs of ``row``, without that of its base."""
        return statistics.median(map(time, row.runs(side))) - self._base_s(row, side, time)

    def _base_s(self, row: Measured, side: Side, time: Time) -> float:
        if row.workload.is_session:
            return 0.0
        taken = [took for base in self.rows if base.workload.name == row.workload.base for took in base.runs(side)]
        return statistics.median(map(time, taken)) if taken else 0.0

    def ratio(self, row: Measured, time: Time = user_s, to: Side = Side.QEMU) -> float | None:
        """Ratio of minstret's time to the other side's; None if there is nothing to compare."""
        if row.failure or not (row.minstret and row.runs(to)):
            return None
        here_s, there_s = self.net_s(row, Side.HERE, time), self.net_s(row, to, time)
        least_s = 0 if row.workload.is_session else LEAST_S
        return here_s / there_s if here_s > least_s and there_s > least_s else None

    def ratio_range(self, row: Measured, to: Side = Side.QEMU) -> tuple[float, float] | None:
        """Smallest and largest ratio of one round."""
        if row.failure or len(row.runs(to)) != len(row.minstret):
            return None
        here_s, there_s = (self._base_s(row, side, user_s) for side in (Side.HERE, to))
        pairs = [(a.user_s - here_s, b.user_s - there_s) for a, b in zip(row.minstret, row.runs(to), strict=True)]
        ratios = [here / there for here, there in pairs if there > 0]
        return (min(ratios), max(ratios)) if ratios else None

    def kernels_text(self) -> str:
        """The geometric means of the kernels' ratios; empty if there are not several."""
        rows = [row for row in self.rows if row.workload.name.startswith(KERNEL_ROW)]
        means = []
        for side, name in ((Side.OTHER, self.other), (Side.QEMU, "QEMU")):
            ratios = [ratio for row in rows if (ratio := self.ratio(row, to=side)) is not None]
            if len(ratios) > 1:
                mean = ratio_text(statistics.geometric_mean(ratios))
                means.append(f"{mean} to {name} ({len(ratios)}, worst {ratio_text(max(ratios))})")
        return f"The kernels in the geometric mean: {', '.join(means)}." if means else ""

    def rate(self, row: Measured, side: Side) -> float | None:
        """Units per second of processor time, user and system."""
        if row.failure or row.workload.is_session or not row.runs(side):
            return None
        net_s = self.net_s(row, side, cpu_s)
        return row.count / net_s if net_s >= LEAST_S else None

    # ---- shown

    def headings(self) -> list[str]:
        """Those of the columns."""
        other = [f"{self.other}\nuser s", f"to\n{self.other}"] if self.other else []
        return ["workload", "minstret\nuser s", *other, "QEMU\nuser s", "to\nQEMU", "with\nsystem",
                "minstret\na second", "QEMU\na second", "minstret\nMiB", "QEMU\nMiB"]  # fmt: skip

    def cells(self, row: Measured) -> list[str]:
        """A line of the table, as the headings say."""
        if row.failure:
            return [row.workload.title, "failed", *[""] * (len(self.headings()) - 2)]
        sides = (Side.HERE, Side.QEMU)
        other = [seconds_text(row.other), self._ratio_text(row, Side.OTHER)] if self.other else []
        return [
            row.workload.title, seconds_text(row.minstret), *other, seconds_text(row.qemu),
            self._ratio_text(row, Side.QEMU), ratio_text(self.ratio(row, cpu_s)),
            *(rate_text(self.rate(row, side)) for side in sides), *(rss_text(row.runs(side)) for side in sides),
        ]  # fmt: skip

    def _ratio_text(self, row: Measured, to: Side) -> str:
        """The ratio, and its range where there are several rounds."""
        spread = self.ratio_range(row, to) if self.rounds > 1 else None
        between = f" ({ratio_text(spread[0])}..{ratio_text(spread[1])})" if spread else ""
        return ratio_text(self.ratio(row, to=to)) + between

    def show(self) -> None:
        """Print the table, what it was measured on, and what failed."""
        console = Console(width=max(WIDTH_OF_TWO if self.other else WIDTH, Console().width))
        table = Table(title=f"rv{self.xlen}, {self.rounds_text()}", title_justify="left")
        for number, heading in enumerate(self.headings()):
            table.add_column(heading, justify="right" if number else "left", no_wrap=True)
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in self.cells(row)))
        console.print(table)
        console.print(machine_text(self.machine), highlight=False)
        if kernels := self.kernels_text():
            console.print(kernels, highlight=False)
        for row in self.rows:
            if row.failure:
                console.print(Text(f"{row.workload.name} failed: {row.failure}"))
            if row.other_failure:
                console.print(Text(f"{row.workload.name} does not run on {self.other}: {row.other_failure}"))

    def rounds_text(self) -> str:
        rounds = "one round" if self.rounds == 1 else f"medians of {self.rounds} rounds"
        return f"{rounds}, against {self.other_text}" if self.other else rounds

    def markdown(self) -> str:
        """The table and what it was measured on."""
        headings = [heading.replace("\n", " ") for heading in self.headings()]
        lines = [headings, ["---", *["--:"] * (len(headings) - 1)], *(self.cells(row) for row in self.rows)]
        after = f"\n{kernels}\n" if (kernels := self.kernels_text()) else ""
        table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
        return f"rv{self.xlen}, {self.rounds_text()}. {machine_text(self.machine)}\n\n{table}\n{after}"

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
            "against": self.other_text,
            "workloads": [
                {
                    "name": row.workload.name,
                    "title": row.workload.title,
                    "unit": row.workload.unit,
                    "count": row.count,
                    "insns": row.insns,
                    "ratio_user": self.ratio(row),
                    "ratio_user_and_system": self.ratio(row, cpu_s),
                    "ratio_user_to_other": self.ratio(row, to=Side.OTHER),
                    "minstret_per_s": self.rate(row, Side.HERE),
                    "qemu_per_s": self.rate(row, Side.QEMU),
                    "minstret": [asdict(took) for took in row.minstret],
                    "qemu": [asdict(took) for took in row.qemu],
                    "other": [asdict(took) for took in row.other],
                    "failure": row.failure,
                    "other_failure": row.other_failure,
                }
                for row in self.rows
            ],
        }


def seconds_text(runs: list[Took]) -> str:
    """The median of user seconds; a dash if there is none."""
    return f"{statistics.median(map(user_s, runs)):.2f}" if runs else "-"


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
    return f"{scaled:.3g}{unit}" if scaled < 999.5 else f"{scaled:,.0f}{unit}"
