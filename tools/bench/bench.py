#!/usr/bin/env python3
"""Measure what minstret costs, as ratios, against its Python twins and QEMU's icount mode.

Run it with the environment that tools/demo or tools/test makes: .venv/bin/python tools/bench/bench.py

One unit is the user time of one instruction of the image `bench` with the C callbacks. All other figures are
multiples of it, measured in the same run: machines differ, and so does one machine from hour to hour.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import click
from elftools.elf.elffile import ELFFile

from minstret.devices.board import Board, BoardConfig
from minstret.emu.hart.engine import c_callbacks
from minstret.emu.hart.shared import Counting
from minstret.emu.host import user_ns
from minstret.emu.loader import load_firmware
from minstret.emu.machine import StopReason
from minstret.firmware import image_path

BENCH_ROUNDS = 16
"""What the image does when nobody patches it."""

RAM_SIZE = 8 << 20
RAM_BASE = 0x8000_0000
WARM_UP_INSNS = 100_000
TWIN_INSNS = 500_000
"""Instructions of `bench` that the Python twins run; they are too slow for all of it."""

QEMU_SHIFT = 1
_QEMU_OPTIONS = ("-display", "none", "-monitor", "none", "-serial", "stdio", "-m", "128M")

# The micro programs, in machine code that rv32 and rv64 share. s0 counts down, s1 points at a device.
_NOP = 0x00000013
_LOOP_TAIL = (0xFFF40413, 0xFE041CE3)  # addi s0, s0, -1; bnez s0, .-8: a body is one instruction
_FINISH = (0x001002B7, 0x00005337, 0x55530313, 0x0062A023, 0x0000006F)  # store "pass" at the finisher; j .
_HANDLER = (0x34102E73, 0x004E0E13, 0x341E1073, 0x30200073)  # mepc += 4; mret


@dataclass(frozen=True, slots=True)
class Operation:
    """One instruction to repeat. ``device`` is what s1 holds, a multiple of 4096."""

    name: str
    body: int
    device: int = 0


NOTHING = Operation("loop", _NOP)
OPERATIONS = (
    Operation("trap: ecall, handler of 4 instructions", 0x00000073),
    Operation("device read: UART line status", 0x0054C383, 0x1000_0000),  # lbu t2, 5(s1)
    Operation("device write: CLINT msip", 0x0004A023, 0x0200_0000),  # sw zero, 0(s1)
    Operation("device read: CLINT mtime", 0xFF84A383, 0x0200_C000),  # lw t2, -8(s1)
    Operation("counter read: rdtime", 0xC01023F3),
    Operation("counter read: rdinstret", 0xC02023F3),
)


def program(operation: Operation, repeats: int) -> bytes:
    """A raw binary that carries out ``operation`` ``repeats`` times and ends the run."""
    high, low = repeats + 0x800 >> 12, repeats & 0xFFF
    load_count = (high << 12 | 0x437, low << 20 | 0x40413)  # lui s0; addi s0, s0
    load_device = operation.device | 0x4B7  # lui s1
    before_handler = 3 + 3 + 1 + len(_LOOP_TAIL) + len(_FINISH)
    set_vector = (0x00000317, before_handler * 4 << 20 | 0x30313, 0x30531073)  # auipc t1; addi t1, t1; csrw mtvec
    words = (*set_vector, *load_count, load_device, operation.body, *_LOOP_TAIL, *_FINISH, *_HANDLER)
    return b"".join(word.to_bytes(4, "little") for word in words)


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
        self._config = BoardConfig(
            xlen=xlen, ram_size=RAM_SIZE, counting=Counting.PYTHON if python else Counting.BLOCKS
        )
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
    """Runs guests in QEMU's icount mode. The time QEMU takes to start and stop is measured once, and left out."""

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
        child = subprocess.Popen([*self._command, "-bios", str(path)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise click.ClickException(f"{self._command[0]} ended with {child.returncode}")
        return usage.ru_utime * 1e9


def patched_bench(xlen: int, rounds: int, folder: Path) -> Path:
    """A copy of the image `bench` that does ``rounds`` rounds instead of ``BENCH_ROUNDS``."""
    image = image_path("bench", xlen)
    symbol = load_firmware(image, RAM_BASE).symbols.find("bench_rounds")
    assert symbol is not None
    data = image.read_bytes()
    segments = ELFFile(BytesIO(data)).iter_segments("PT_LOAD")
    headers = [h for h in segments if 0 <= symbol.address - h["p_vaddr"] < h["p_filesz"]]
    at = headers[0]["p_offset"] + symbol.address - headers[0]["p_vaddr"]
    assert data[at : at + 4] == BENCH_ROUNDS.to_bytes(4, "little")
    copy = folder / "bench.elf"
    copy.write_bytes(data[:at] + rounds.to_bytes(4, "little") + data[at + 4 :])
    return copy


def make_runners(xlen: int, rounds: int, folder: Path, qemu: str | None) -> list[Runner]:
    """All ways to run a guest that there are here; the first is the yardstick."""
    bench = patched_bench(xlen, rounds, folder)
    runners = []
    fast = Minstret(xlen, bench, None, python=False)
    if c_callbacks is not None:
        runners.append(Runner("C callbacks", fast.instruction_ns, fast.program_ns, 30_000))
    twins = Minstret(xlen, bench, TWIN_INSNS, python=True)
    runners.append(Runner("Python twins", twins.instruction_ns, twins.program_ns, 10_000))
    if qemu is not None and c_callbacks is not None:
        start = folder / "start.bin"
        start.write_bytes(program(NOTHING, 1))
        machine = Qemu(qemu, bench, start, lambda: fast.bench_insns)
        runners.append(Runner("QEMU icount", machine.instruction_ns, machine.program_ns, 200_000))
    return runners


def measure_once(runner: Runner, folder: Path) -> list[float]:
    """User time in ns of an instruction of `bench`, then of each operation."""
    times = [runner.instruction_ns()]
    path = folder / "program.bin"

    def loop_ns(operation: Operation) -> float:
        path.write_bytes(program(operation, runner.repeats))
        return runner.program_ns(path)

    empty_ns = loop_ns(NOTHING)
    return times + [(loop_ns(operation) - empty_ns) / runner.repeats for operation in OPERATIONS]


def ratio_text(ratio: float) -> str:
    """Two or three digits that matter."""
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


@click.command(epilog="""\b
Examples:
  .venv/bin/python tools/bench/bench.py
  .venv/bin/python tools/bench/bench.py --repeat 9 --json bench.json
  .venv/bin/python tools/bench/bench.py --cpu rv32 --no-qemu

Run it on a quiet machine. Compare tables of one machine only, and figures of one table rather than of two.
""")  # fmt: skip
@click.option("--cpu", type=click.Choice(["rv64", "rv32"]), default="rv64", show_default=True, help="Register width.")
@click.option("--repeat", type=click.IntRange(1), default=5, show_default=True, help="Medians of so many rounds.")
@click.option(
    "--bench-rounds",
    type=click.IntRange(1, 1000),
    default=4,
    show_default=True,
    help=("Work of the image `bench`: each is 67 M instructions on rv64."),
)
@click.option("--no-qemu", is_flag=True, help="Leave QEMU out even where it is installed.")
@click.option("--ns", "as_ns", is_flag=True, help="Show nanoseconds of user time instead of ratios.")
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, writable=True),
    metavar="FILE",
    help=("Write all medians, in ns of user time."),
)
@click.help_option("-h", "--help")
def main(cpu: str, repeat: int, bench_rounds: int, no_qemu: bool, as_ns: bool, json_path: str | None) -> None:
    """Measure what instructions, traps, device accesses and counter reads cost, and print ratios.

    Columns are ways to run the same guests: minstret with its C callbacks, minstret with their Python twins,
    and QEMU with -icount shift=1,sleep=off where it is installed. Rows are user time, medians, in units of
    one instruction of the image `bench` in the first column. Operations are those of a loop less an empty one.
    """
    xlen = 64 if cpu == "rv64" else 32
    is_watched = sys.stderr.isatty()
    qemu = None if no_qemu else shutil.which(f"qemu-system-riscv{xlen}")
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


if __name__ == "__main__":
    main()
