"""Coverage is what executing a program by hand gives, and what gcov says of it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from support.needs import Need
from support.recordings import setup_of_image

from minstret.devices.board.board import Setup
from minstret.devices.board.config import BoardConfig
from minstret.emu.hart.compiled import c_callbacks
from minstret.emu.images.image import SymbolTable
from minstret.emu.images.loader import read_image
from minstret.emu.questions.counts import measure
from minstret.emu.questions.coverage import Coverage, add_coverage, lcov_lines

CC = "riscv64-unknown-elf-gcc"
START = """
.globl _start
_start: li sp, 0x80080000
    call work
    li t0, 0x100000
    li t1, 0x5555
    sw t1, 0(t0)
1:  j 1b
"""
WORK = """\
static volatile int sink;

static int twice(int x) {
    return 2 * x;
}

static int never(int x) {
    return x + 1;
}

static int sum_to(int n) {
    if (n == 0)
        return 0;
    return n + sum_to(n - 1);
}

static void clear(char *text) {
    while (*text) *text++ = 0;
}

int work(void) {
    char text[] = "seven..";
    int total = 0;
    for (int i = 0; i < 10; i++) {
        if (i % 3 == 0)
            total += twice(i);
        else
            total -= i;
    }
    while (total > 0)
        total -= 4;
    if (total > 100 || sink == 5)
        sink = never(total);
    sink = sum_to(twice(
        sum_to(2)));
    clear(text);
    switch (total) {
    case -3:
        sink++;
        break;
    default:
        sink--;
    }
    do
        total++;
    while (total < 0);
    return total;
}
"""
BY_HAND = {
    3: 5, 4: 5, 7: 0, 8: 0, 11: 10, 12: 10, 13: 2, 14: 8, 17: 1, 18: 8, 21: 1, 22: 1, 23: 1, 24: 11, 25: 10, 26: 4,
    28: 6, 30: 4, 31: 3, 32: 1, 33: 0, 34: 1, 36: 1, 37: 1, 39: 1, 40: 1, 42: 0, 45: 3, 46: 3, 47: 1,
}  # fmt: skip
"""Total is 9 after the first loop, and -3 after the second."""
FUNCTIONS = {"twice": (3, 5), "never": (7, 0), "sum_to": (11, 10), "clear": (17, 1), "work": (21, 1)}
PATH = "work.c"


def coverage_of(setup: Setup, runs: int = 1) -> Coverage:
    coverage = Coverage()
    for _ in range(runs):
        board = setup.make()
        add_coverage(coverage, measure(board.machine, board.run, traps=True), board.symbols)
    return coverage


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    (folder / "start.S").write_text(START)
    (folder / PATH).write_text(WORK)
    return folder


def built(folder: Path, xlen: int) -> Setup:
    machine = ("-march=rv64imac", "-mabi=lp64", "-mcmodel=medany") if xlen == 64 else ("-march=rv32imac", "-mabi=ilp32")
    subprocess.run(
        [CC, *machine, "-g", "-O0", "-nostdlib", "-ffreestanding", "-Wl,-Ttext=0x80000000", "start.S", PATH, "-o",
         f"{xlen}.elf", "-lgcc"],
        cwd=folder, check=True,
    )  # fmt: skip
    return Setup(BoardConfig(ram_size=1 << 20), read_image(folder / f"{xlen}.elf"))


@pytest.mark.parametrize("xlen", [32, 64])
def test_lines_and_functions_count_as_by_hand(need: Need, folder: Path, xlen: int) -> None:
    need(CC, shutil.which(CC))
    file = coverage_of(built(folder, xlen)).files[PATH]
    brackets = {at + 1 for at, line in enumerate(WORK.splitlines()) if line == "}"}
    assert {line: count for line, count in file.lines.items() if line not in brackets} == BY_HAND
    assert {name: (each.line, each.count) for name, each in file.functions.items()} == FUNCTIONS


def test_runs_are_added_up(need: Need, folder: Path) -> None:
    need(CC, shutil.which(CC))
    file = coverage_of(built(folder, 64), runs=2).files[PATH]
    assert file.lines[30] == 2 * BY_HAND[30]
    assert file.functions["sum_to"].count == 20


def test_gcov_counts_the_same(need: Need, folder: Path) -> None:
    need("gcov", shutil.which("gcov"))
    (folder / "main.c").write_text("int work(void); int main(void) { return work(); }")
    for command in (["gcc", "--coverage", "-O0", PATH, "main.c", "-o", "work"], ["./work"]):
        subprocess.run(command, cwd=folder, check=True)
    done = subprocess.run(
        ["gcov", "--json-format", "--stdout", "work-work.gcda"], cwd=folder, check=True, stdout=subprocess.PIPE
    )
    [file] = (file for file in json.loads(done.stdout)["files"] if file["file"] == PATH)
    counts = {each["line_number"]: each["count"] for each in file["lines"]}
    assert {line: counts[line] for line in BY_HAND} == BY_HAND  # it has brackets and labels too
    found = {each["name"]: (each["start_line"], each["execution_count"]) for each in file["functions"]}
    assert found == FUNCTIONS


@pytest.mark.parametrize("xlen", [32, 64])
def test_optimized_firmware_counts_as_by_hand(need: Need, xlen: int) -> None:
    """smash surveys three tanks of four, whose names have 10, 10 and 47 characters, and is then nowhere."""
    need("the C extension (a C compiler at install time)", c_callbacks)
    file = coverage_of(setup_of_image("smash", xlen)).files["firmware/smash/main.c"]
    samples, characters = 3 * 70_000, 11 + 11 + 48
    by_hand = {
        50: 1, 54: 0, 60: 3, 61: 3, 62: 3, 63: characters, 64: characters, 65: 3, 69: 0, 72: 0, 81: 0, 90: samples,
        93: samples, 97: 3, 98: 3, 99: samples, 102: samples, 113: 3, 116: 3, 118: 3, 123: 1, 126: 0,
    }  # fmt: skip
    assert {line: file.lines.get(line) for line in by_hand} == by_hand
    assert file.functions["next_level"].count == samples  # it is within measure
    assert file.functions["write_titles"].count == 0


def test_code_that_is_in_no_image_has_no_lines() -> None:
    lines = coverage_of(setup_of_image("hello")).files["firmware/common/board.c"].lines
    assert sorted(lines) == [5, 6, 7, 11]  # board_fail was thrown away by the linker


def test_image_without_source_lines_gives_none() -> None:
    coverage = Coverage()
    board = setup_of_image("hello").make()
    add_coverage(coverage, measure(board.machine, board.run), SymbolTable.of(list(board.symbols.symbols)))
    assert coverage.lines_and_executed() == (0, 0)


def test_tracefile_has_the_records_of_lcov() -> None:
    coverage = Coverage()
    coverage.count_line("b.c", 3, 2)
    coverage.count_line("b.c", 4, 0)
    coverage.count_line("b.c", 3, 5)
    coverage.count_line("a.c", 1, 0)
    coverage.count_function("b.c", "f", 3, 7)
    coverage.count_function("b.c", "g", 4, 0)
    assert list(lcov_lines(coverage)) == [
        "TN:", "SF:a.c", "FNF:0", "FNH:0", "DA:1,0", "LF:1", "LH:0", "end_of_record",
        "TN:", "SF:b.c", "FN:3,f", "FN:4,g", "FNDA:7,f", "FNDA:0,g", "FNF:2", "FNH:1", "DA:3,7", "DA:4,0", "LF:2",
        "LH:1", "end_of_record",
    ]  # fmt: skip
