"""Measure the time of single operations, as ratios: C callbacks, Python callbacks, and QEMU's icount mode.

One unit is the user time of one instruction of the image `bench` with the C callbacks. All other figures are
multiples of it, measured in the same run: machines differ, and so does one machine from hour to hour.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

import oneline
from benchmarks.processes import qemu_executable, run_to_end
from benchmarks.programs import (
    ECALL,
    LINE_STATUS,
    MSIP,
    MTIME,
    NOTHING,
    RDINSTRET,
    RDTIME,
    Operation,
    loop_program,
    patched,
)
from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig
from minstret.emu.hart.compiled import c_callbacks
from minstret.emu.hart.shared import Counting
from minstret.emu.host import user_ns
from minstret.emu.machine import StopReason

RAM_SIZE = 8 << 20
WARM_UP_INSNS = 100_000
TWIN_INSNS = 500_000
"""Instructions of `bench` that the Python callbacks run; they are too slow for all of it."""

QEMU_SHIFT = 1
_QEMU_OPTIONS = ("-display", "none", "-monitor", "none", "-serial", "stdio", "-m", "128M")

OPERATIONS = (ECALL, LINE_STATUS, MSIP, MTIME, RDTIME, RDINSTRET)


@dataclass(frozen=True, slots=True)
class Runner:
    """A way to run a guest.

    Attributes:
        name: The column's title.
        instruction_ns: User time of one instruction of `bench`, ns.
        program_ns: User time of a whole raw binary, ns.
        repeats: How often a micro program repeats its operation.
    """

    name: str
    instruction_ns: Callable[[], float]
    program_ns: Callable[[Path], float]
    repeats: int


class Minstret:
    """Runs guests on boards in this process."""

    def __init__(self, xlen: int, bench: Path, insns_max: int | None, *, python: bool) -> None:
        self._config = BoardConfig(xlen=xlen, ram_size=RAM_SIZE, counting=Counting.PYTHON if python else Counting.CODE)
        self._bench = bench
        self._insns_max = insns_max
        self.bench_insns = 0

    def instruction_ns(self) -> float:
        board = Board(self._bench, self._config)
        if board.run_until(icount=WARM_UP_INSNS).reason is not StopReason.REACHED:
            raise click.ClickException("the image `bench` ended too soon")
        spent_ns = self._run_ns(board, self._insns_max)
        self.bench_insns = board.position.icount
        return spent_ns / (self.bench_insns - WARM_UP_INSNS)

    def program_ns(self, path: Path) -> float:
        return self._run_ns(Board(path, self._config), None)

    def _run_ns(self, board: Board, insns: int | None) -> float:
        gc.collect()
        start_ns = user_ns()
        outcome = board.run_until(icount=None if insns is None else WARM_UP_INSNS + insns)
        spent_ns = user_ns() - start_ns
        expected = StopReason.FINISHED if insns is None else StopReason.REACHED
        if outcome.reason is not expected or outcome.exit_code:
            raise click.ClickException(f"the guest ended with {outcome}")
        return spent_ns


class Qemu:
    """Runs guests in QEMU's icount mode. The time that QEMU takes to start and stop is measured once and subtracted."""

    def __init__(self, executable: str, bench: Path, start_path: Path, bench_insns: Callable[[], int]) -> None:
        self._command = (executable, "-M", "virt", "-icount", f"shift={QEMU_SHIFT},sleep=off", *_QEMU_OPTIONS)
        self._bench = bench
        self._bench_insns = bench_insns
        self._start_ns = statistics.median(self._whole_ns(start_path) for _ in range(5))

    def instruction_ns(self) -> float:
        return self.program_ns(self._bench) / self._bench_insns()

    def program_ns(self, path: Path) -> float:
        return self._whole_ns(path) - self._start_ns

    def _whole_ns(self, path: Path) -> float:
        return run_to_end([*self._command, "-bios", str(path)]).user_s * 1e9


def make_runners(xlen: int, rounds: int, folder: Path, qemu: str | None) -> list[Runner]:
    """All ways to run a guest on this machine. Times are relative to the first one's."""
    bench = patched("bench", xlen, folder, {"bench_rounds": rounds})
    runners = []
    fast = Minstret(xlen, bench, None, python=False)
    if c_callbacks is not None:
        runners.append(Runner("C callbacks", fast.instruction_ns, fast.program_ns, 30_000))
    twins = Minstret(xlen, bench, TWIN_INSNS, python=True)
    runners.append(Runner("Python", twins.instruction_ns, twins.program_ns, 10_000))
    if qemu is not None and c_callbacks is not None:
        start = folder / "start.bin"
        start.write_bytes(loop_program(NOTHING, 1))
        machine = Qemu(qemu, bench, start, lambda: fast.bench_insns)
        runners.append(Runner("QEMU icount", machine.instruction_ns, machine.program_ns, 200_000))
    return runners


def measure_once(runner: Runner, folder: Path) -> list[float]:
    """User time in ns of an instruction of `bench`, then of each operation."""
    times = [runner.instruction_ns()]
    path = folder / "program.bin"

    def loop_ns(operation: Operation) -> float:
        path.write_bytes(loop_program(operation, runner.repeats))
        return runner.program_ns(path)

    empty_ns = loop_ns(NOTHING)
    return times + [(loop_ns(operation) - empty_ns) / runner.repeats for operation in OPERATIONS]


def ratio_text(ratio: float) -> str:
    """A ratio with two or three significant digits."""
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.2f}"


def show(names: list[str], columns: list[list[float]], as_ns: bool) -> None:
    """Print the table."""
    rows = ["an instruction of `bench`", *(operation.name for operation in OPERATIONS)]
    unit_ns = 1.0 if as_ns else columns[0][0]
    width = max(map(len, rows))
    click.echo(" " * width + "".join(f"{name:>14}" for name in names))
    for i, row in enumerate(rows):
        click.echo(f"{row:<{width}}" + "".join(f"{ratio_text(column[i] / unit_ns):>14}" for column in columns))
    unit = "ns of user time" if as_ns else f"instructions of `bench` with {names[0]}, by user time"
    click.echo(f"\nUnit: {unit}.")


@click.command(
    "operations",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  tools/bench operations
  tools/bench operations --repeat 9 --json operations.json
  tools/bench operations --cpu rv32 --no-qemu
""",
)
@click.option("--cpu", type=click.Choice(["rv64", "rv32"]), default="rv64", show_default=True, help="Register width.")
@click.option(
    "--repeat", type=click.IntRange(1), default=5, show_default=True, help="Number of rounds; the table has medians."
)
@click.option(
    "--bench-rounds",
    type=click.IntRange(1, 1000),
    default=4,
    show_default=True,
    help=("Rounds of the image `bench`: each has 67 M instructions on rv64."),
)
@click.option("--no-qemu", is_flag=True, help="Don't run QEMU, even if it is installed.")
@click.option("--ns", "as_ns", is_flag=True, help="Show nanoseconds of user time instead of ratios.")
@click.option(
    "--json",
    "json_path",
    callback=oneline.writable,
    metavar="FILE",
    help=("Write all medians to FILE, in ns of user time."),
)
def main(cpu: str, repeat: int, bench_rounds: int, no_qemu: bool, as_ns: bool, json_path: str | None) -> None:
    """Measure the time of one instruction, trap or device access.

    Columns are ways to run the same guests: minstret with its C callbacks, with its Python callbacks, and QEMU with
    -icount shift=1,sleep=off if it is installed. Values are medians of user time; the unit is one instruction of the
    image `bench` in the first column. An operation is measured in a loop, and the time of an empty loop subtracted.
    """
    xlen = 64 if cpu == "rv64" else 32
    is_watched = sys.stderr.isatty()
    qemu = None if no_qemu else qemu_executable(xlen)
    with tempfile.TemporaryDirectory(prefix="minstret-bench-") as name:
        folder = Path(name)
        runners = make_runners(xlen, bench_rounds, folder, qemu)
        samples: list[list[list[float]]] = [[] for _ in runners]
        for round_ in range(repeat):
            if is_watched:
                click.echo(f"\rround {round_ + 1} of {repeat} ...", err=True, nl=False)
            for runner, taken in zip(runners, samples, strict=True):
                taken.append(measure_once(runner, folder))
        if is_watched:
            click.echo("\r\033[K", err=True, nl=False)
    columns = [[statistics.median(values) for values in zip(*taken, strict=True)] for taken in samples]
    names = [runner.name for runner in runners]
    click.echo(f"{cpu}, medians of {repeat}" + ("" if qemu or no_qemu else "; QEMU is not installed") + "\n")
    show(names, columns, as_ns)
    if json_path is not None:
        rows = ["bench instruction", *(operation.name for operation in OPERATIONS)]
        result = {column: dict(zip(rows, values, strict=True)) for column, values in zip(names, columns, strict=True)}
        Path(json_path).write_text(json.dumps(result, indent=2) + "\n")
