"""The parts of tools/bench: guests made on the spot, processes, ratios, tables; one workload as a whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from support.needs import Need

from benchmarks import qemu_replay
from benchmarks.__main__ import main
from benchmarks.processes import Took, run_to_end
from benchmarks.programs import (
    CLAIM,
    ECALL,
    HARTS,
    ILLEGAL,
    NOTHING,
    RDTIME,
    SHARED_AT,
    Operation,
    Sharing,
    Switch,
    Ticker,
    harts_program,
    loop_program,
    patched,
    switch_program,
    ticker_program,
)
from benchmarks.report import Measured, Report, Side, rate_text, ratio_text
from benchmarks.workloads import KERNELS, START, WORKLOADS, Place, Workload, image
from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig
from minstret.emu.machine import Outcome, StopReason

PASSED = Outcome(StopReason.FINISHED, 0)
MACHINE: dict[str, str | int | float] = {
    "cpu": "Z80", "cores": 1, "system": "CP/M 2", "python": "3", "minstret": "1", "unicorn": "2", "qemu": "",
    "load": 0.5,
}  # fmt: skip
LOOP = Workload("loop", "A loop", image("hello"), "reads", 100, 10)
SESSION = Workload("session", "A session", image("hello"))


def took(user_s: float, system_s: float = 0.0) -> Took:
    return Took(user_s, system_s, wall_s=9.0, rss_bytes=1 << 40, status=0)


def measured(workload: Workload, minstret: list[Took], qemu: list[Took]) -> Measured:
    return Measured(workload, workload.work, minstret=minstret, qemu=qemu)


def report(*rows: Measured) -> Report:
    start = measured(START, [took(0.5)] * 3, [took(0.25)] * 3)
    return Report(MACHINE, 64, 3, [start, *rows])


# ---- guests


@pytest.mark.parametrize("xlen", [64, 32])
def test_patched_image_does_what_it_is_told(xlen: int, tmp_path: Path) -> None:
    values = {"memory_rounds": 0, "float_rounds": 3, "line_rounds": 0, "interrupt_rounds": 0}
    board = Board(patched("mix", xlen, tmp_path, values), BoardConfig(ram_size=1 << 20))

    assert board.run() == PASSED
    assert board.console.decode().startswith("floats: 3 rounds")
    assert board.console.count(b"\n") == 1


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize(("operation", "insns"), [(NOTHING, 3), (RDTIME, 3), (CLAIM, 3), (ECALL, 6), (ILLEGAL, 6)])
def test_loop_repeats_its_operation(operation: Operation, insns: int, xlen: int, tmp_path: Path) -> None:
    """``ecall`` and what is illegal don't retire, but the handler's four instructions do."""
    counts = []
    for repeats in (100, 5000):
        path = tmp_path / "loop.bin"
        path.write_bytes(loop_program(operation, repeats))
        board = Board(path, BoardConfig(xlen=xlen, ram_size=1 << 20))
        assert board.run() == PASSED
        counts.append(board.position.icount)

    assert counts[1] - counts[0] == 4900 * insns


@pytest.mark.parametrize("waits", [False, True])
def test_ticker_ends_after_its_ticks(waits: bool, tmp_path: Path) -> None:
    path = tmp_path / "ticks.bin"
    path.write_bytes(ticker_program(Ticker(100_000, waits), 50))
    board = Board(path, BoardConfig(ram_size=1 << 20))

    assert board.run() == PASSED
    assert 490_000 < board.position.virtual_ns < 510_000


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("sharing", list(Sharing))
def test_harts_do_their_part_each_and_the_last_one_ends_the_run(sharing: Sharing, xlen: int, tmp_path: Path) -> None:
    path = tmp_path / "harts.bin"
    path.write_bytes(harts_program(sharing, 50))
    board = Board(path, BoardConfig(xlen=xlen, ram_size=1 << 20, smp=HARTS, quantum=37))

    assert board.run() == PASSED
    at = board.machine.memory.ram_base + SHARED_AT
    words = [int.from_bytes(board.memory[at + 4 * word : at + 4 * word + 4], "little") for word in range(3)]
    assert words == [0, 50 * HARTS if sharing is Sharing.LOCK else 0, HARTS]


@pytest.mark.parametrize("harts", [2, 8])
def test_harts_program_is_for_any_power_of_two(harts: int, tmp_path: Path) -> None:
    path = tmp_path / "harts.bin"
    path.write_bytes(harts_program(Sharing.LOCK, 20, harts))
    board = Board(path, BoardConfig(ram_size=1 << 20, smp=harts, quantum=37))

    assert board.run() == PASSED


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize(("switch", "insns"), [(Switch.FENCED, 6), (Switch.SPACES, 12)])
def test_guest_switches_its_address_space(switch: Switch, insns: int, xlen: int, tmp_path: Path) -> None:
    path = tmp_path / "switch.bin"
    counts = []
    for repeats in (10, 500):
        path.write_bytes(switch_program(switch, xlen, repeats))
        board = Board(path, BoardConfig(xlen=xlen, ram_size=1 << 20))
        assert board.run() == PASSED
        counts.append(board.position.icount)

    assert counts[1] - counts[0] == 490 * insns
    assert board.registers["satp"] & 3 == (2 if switch is Switch.SPACES else 1)


@pytest.mark.parametrize("name", KERNELS)
def test_kernel_runs_alone_and_comes_to_the_same_on_both_widths(name: str, tmp_path: Path) -> None:
    said = set()
    for xlen in (64, 32):
        path = patched("kernels", xlen, tmp_path, {f"{each}_rounds": 2 * (each == name) for each in KERNELS})
        board = Board(path, BoardConfig(ram_size=1 << 20))
        assert board.run() == PASSED
        said.add(bytes(board.console))

    (text,) = said
    assert text.startswith(f"{name}: 2 rounds, checksum ".encode()) and text.count(b"\n") == 1


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_job_names_the_same_guest_for_both(workload: Workload, tmp_path: Path) -> None:
    for xlen in (64,) if workload.is_rv64_only else (64, 32):
        job = workload.make(Place(tmp_path, xlen), 1)

        path = job.qemu[job.qemu.index("-bios") + 1]
        assert path in job.minstret
        assert workload.needs is not None or Path(path).is_file()


def test_every_base_is_measured_before_what_stands_on_it() -> None:
    names = [workload.name for workload in WORKLOADS]
    assert all(names.index(workload.base) < at for at, workload in enumerate(WORKLOADS) if at)


def test_workloads_have_names_of_their_own() -> None:
    assert len({workload.name for workload in WORKLOADS}) == len(WORKLOADS)
    assert WORKLOADS[0] is START


# ---- processes


def test_process_is_typed_to_and_measured() -> None:
    script = "printf 'name? '; read name; echo hello $name; read -r _"
    taken = run_to_end(["sh", "-c", script], ((b"name? ", b"Ada\n"), (b"hello Ada", b"\n")))

    assert taken.status == 0
    assert taken.wall_s > 0


def test_process_that_fails_is_an_error() -> None:
    with pytest.raises(click.ClickException, match="status 3: oh no"):
        run_to_end(["sh", "-c", "echo oh no >&2; exit 3"])


def test_process_that_hangs_is_an_error() -> None:
    with pytest.raises(click.ClickException, match="took more than 0 s"):
        run_to_end(["sleep", "1000"], timeout_s=0.2)


def test_process_that_does_not_print_what_is_awaited_is_an_error() -> None:
    with pytest.raises(click.ClickException, match="ended before it printed 'login: '"):
        run_to_end(["sh", "-c", "echo bye"], ((b"login: ", b"root\n"),))


# ---- figures


def test_ratio_of_a_loop_is_without_the_start() -> None:
    row = measured(LOOP, [took(2.5), took(1.5), took(4.5)], [took(0.5), took(1.25), took(0.75)])

    assert report(row).ratio(row) == 2.0 / 0.5
    assert report(row).ratio_range(row) == (1.0, 8.0)


def test_ratio_of_a_session_is_with_the_start() -> None:
    row = measured(SESSION, [took(1.5)], [took(0.5)])

    assert report(row).ratio(row) == 3.0


def test_ratio_of_too_little_is_none() -> None:
    row = measured(LOOP, [took(0.51)], [took(1.0)])

    assert report(row).ratio(row) is None


def test_base_may_be_another_workload() -> None:
    base = measured(Workload("boot", "A boot", image("hello")), [took(3.0)], [took(2.0)])
    row = measured(Workload("work", "Work", image("hello"), "rounds", 5, base="boot"), [took(4.0)], [took(4.0)])

    assert report(base, row).ratio(row) == 0.5


def test_kernels_are_summed_up_by_their_geometric_mean() -> None:
    rows = [
        measured(replace(LOOP, name=f"kernel-{name}"), [took(1.5)], [took(0.25 + s)])
        for name, s in (("a", 2), ("b", 0.5))
    ]

    assert report(*rows).kernels_text() == "The kernels in the geometric mean: 1.00 to QEMU (2, worst 2.00)."
    assert report(*rows).markdown().endswith("\n\nThe kernels in the geometric mean: 1.00 to QEMU (2, worst 2.00).\n")
    assert report(rows[0]).kernels_text() == ""


def test_rate_counts_user_and_system_time() -> None:
    row = measured(LOOP, [took(2.0, 0.5)], [])

    assert report(row).rate(row, Side.HERE) == 50.0
    assert report(row).rate(row, Side.QEMU) is None


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (0.456, "0.46"), (12.34, "12.3"), (234.5, "234")])
def test_ratios_have_two_or_three_digits(value: float | None, text: str) -> None:
    assert ratio_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"), (938.4, "938"), (6489.0, "6,489"), (20_812.0, "20.8 k"), (4.72e8, "472 M"), (9.994e8, "999 M"),
        (9.997e8, "1,000 M"),
    ],
)  # fmt: skip
def test_rates_have_three_digits(value: float | None, text: str) -> None:
    assert rate_text(value) == text


def test_markdown_goes_into_its_place(tmp_path: Path) -> None:
    path = tmp_path / "doc.md"
    path.write_text("Before\n<!-- table: tools/bench all -->\nold\n<!-- end of table -->\nafter\n")
    row = measured(LOOP, [took(2.5)], [took(1.25)])

    for _ in range(2):
        report(row).write_markdown(path)

    text = path.read_text()
    assert text.startswith(
        "Before\n<!-- table: tools/bench all -->\n\nrv64, medians of 3 rounds. Measured on: Z80, 1 cores"
    )
    assert "| A loop | 2.50 | 1.25 | 2.00 (2.00..2.00) |" in text
    assert text.endswith("|\n\n<!-- end of table -->\nafter\n")
    assert "old" not in text


def test_failed_row_is_shown_and_has_no_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    row = measured(LOOP, [took(2.5)], [])
    row.failure = "status 1"

    report(row).show()

    assert report(row).ratio(row) is None
    assert "loop failed: status 1" in capsys.readouterr().out


# ---- the whole


def test_smoke_measures_a_workload_beside_qemu(need: Need, tmp_path: Path) -> None:
    from benchmarks.processes import qemu_executable

    need("qemu-system-riscv64 (package qemu-system-misc)", qemu_executable())
    path = tmp_path / "smoke.json"

    done = CliRunner().invoke(main, ["smoke", "--only", "mtime", "--json", str(path)])

    assert done.exit_code == 0, done.output
    found = {row["name"]: row for row in json.loads(path.read_text())["workloads"]}
    assert list(found) == ["start", "mtime"]
    assert found["mtime"]["insns"] > 3 * found["mtime"]["count"]
    assert len(found["mtime"]["minstret"]) == len(found["mtime"]["qemu"]) == 1
    assert found["mtime"]["minstret"][0]["rss_bytes"] > 1 << 20
    assert "Reads of mtime" in done.output


def test_workload_that_does_not_end_on_qemu_is_run_here_alone(
    need: Need, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.processes import qemu_executable

    need("qemu-system-riscv64 (package qemu-system-misc)", qemu_executable())
    alone = Workload("alone", "Here alone", image("hello"), ends_on_qemu=False)
    monkeypatch.setattr("benchmarks.compare.WORKLOADS", (alone,))
    path = tmp_path / "alone.json"

    done = CliRunner().invoke(main, ["all", "--rounds", "1", "--json", str(path)])

    assert done.exit_code == 0, done.output
    (row,) = json.loads(path.read_text())["workloads"]
    assert len(row["minstret"]) == 1 and not row["qemu"]


def test_command_without_qemu_fails_where_a_guest_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crash = Workload("crash", "A crash", image("crash"))
    monkeypatch.setattr("benchmarks.compare.WORKLOADS", (crash,))

    done = CliRunner().invoke(main, ["all", "--no-qemu"])

    assert done.exit_code == 1
    assert "crash failed: " in done.output


def test_going_back_is_measured_beside_qemu(need: Need, tmp_path: Path) -> None:
    need("qemu-system-riscv64 and qemu-img (packages qemu-system-misc and qemu-utils)", qemu_replay.lacking() is None)
    path = tmp_path / "timetravel.json"
    options = ["--guest", "bench", "--bench-rounds", "1", "--repeat", "1", "--json", str(path)]

    done = CliRunner().invoke(main, ["timetravel", *options])

    assert done.exit_code == 0, done.output
    found = json.loads(path.read_text())
    assert [row["icount"] for row in found["steps"]] == [100_000, 10_000_000]
    for row in found["steps"]:
        counts = [len(row[name]) for name in ("seek_ms", "step_ms", "again_ms", "qemu_seek_ms", "qemu_step_ms")]
        assert counts == [1] * 5
    assert [len(row["seconds"]) for row in found["ratios"]] == [1] * 5
    assert "bench, at 10,000,000" in done.output
    assert "back over stores to a word of the array, 0.07 G insns" in done.output


def test_questions_are_measured_beside_a_plain_replay(tmp_path: Path) -> None:
    path = tmp_path / "questions.json"
    options = ["--bench-rounds", "1", "--repeat", "1", "--only", "flow counts", "--json", str(path)]

    done = CliRunner().invoke(main, ["questions", *options])

    assert done.exit_code == 0, done.output
    (row,) = json.loads(path.read_text())["questions"]
    assert row["name"] == "flow counts"
    assert len(row["seconds"]) == len(row["plain_s"]) == 1
    assert "flow counts" in done.output


def test_start_measures_the_start_up_alone() -> None:
    done = CliRunner().invoke(main, ["start", "--rounds", "1"])

    assert done.exit_code == 0, done.output
    assert "Start-up: image hello" in done.output
    assert "Integer" not in done.output
