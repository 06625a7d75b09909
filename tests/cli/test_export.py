"""``minstret export``: files appear whole or not at all, and what is wrong is told in one line."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from support.commands import COMMAND, Command, minstret
from support.own_devices import EXAMPLES, example_setup
from support.recordings import record, setup_of_image

from minstret.emu.questions.exports.forms import FORMS

PULSED = f"{EXAMPLES / 'pulse.py'}:PulsedGpio"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export")
    record(path / "dhcp.mst", setup_of_image("dhcp-wfi"))
    record(path / "ticks.mst", setup_of_image("ticks"), every=10_000)
    record(path / "gpio.mst", example_setup("gpio"))
    return path


@pytest.fixture
def here(inside: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command within this process, in the folder of the traces."""
    monkeypatch.chdir(folder)
    return inside


@pytest.mark.parametrize("name", FORMS)
def test_each_format_is_a_file_and_the_same_again(here: Command, tmp_path: Path, name: str) -> None:
    one, other = tmp_path / "one", tmp_path / "other"

    for path in (one, other):
        done = here("export", "dhcp.mst", "--format", name, "-o", path)
        assert (done.returncode, done.stdout) == (0, b""), done.stderr

    assert one.read_bytes() == other.read_bytes() != b""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "other"]


def test_standard_output_takes_it_as_it_comes(folder: Path) -> None:
    done = minstret("export", folder / "ticks.mst", "--format", "jsonl", "-o", "-")

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert lines[-1]["kind"] == "end"
    assert lines[-1]["reason"] == "finished"


def test_trace_may_come_from_standard_input(folder: Path) -> None:
    trace = (folder / "ticks.mst").read_bytes()

    done = minstret("export", "-", "--format", "jsonl", "-o", "-", stdin=trace)

    assert done.returncode == 0
    assert done.stdout == minstret("export", folder / "ticks.mst", "--format", "jsonl", "-o", "-").stdout


def between(path: Path) -> list[str]:
    """The lines of what happened within the stretch, but for what is told at its beginning."""
    lines = path.read_text().splitlines()
    return [
        line for line in lines if 12_000 < (facts := json.loads(line))["icount"] < 15_000 and facts["kind"] != "serial"
    ]


def test_stretch_is_what_is_between_two_places(here: Command, tmp_path: Path) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    assert here("export", "ticks.mst", "--format", "jsonl", "-o", whole).returncode == 0

    done = here("export", "ticks.mst", "--format", "jsonl", "--from", "12000", "--to", "15000", "-o", part)

    assert done.returncode == 0
    assert between(part) == between(whole) != []
    assert all(12_000 <= json.loads(line)["icount"] <= 15_000 for line in part.read_text().splitlines())


def test_device_of_the_user_is_given_by_its_class(here: Command, tmp_path: Path) -> None:
    done = here("export", "gpio.mst", "--device", PULSED, "--format", "vcd", "-o", tmp_path / "gpio.vcd")

    assert done.returncode == 0, done.stderr
    assert b"$scope module gpio0 $end" in (tmp_path / "gpio.vcd").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("ticks.mst --format pcapng -o new", "minstret: ticks.mst: the board has no network card"),
        ("ticks.mst --format mp3 -o new", "mp3"),
        ("ticks.mst --format vcd", "Missing option '-o'"),
        ("ticks.mst -o new", "Missing option '--format'"),
        ("nothing.mst --format vcd -o new", "minstret: nothing.mst: No such file"),
        ("ticks.mst --format vcd -o ticks.mst", "-o: can't write ticks.mst, which is read as the trace"),
        ("ticks.mst --format vcd -o no/folder", "minstret: -o: can't write no/folder: there is no folder no"),
        ("ticks.mst --format vcd -o .", "minstret: -o: can't write .: it is a folder; give a file"),
        ("ticks.mst --format vcd --from 5000 --to 10 -o new", "minstret: --to: 10 is before --from 5000"),
        ("ticks.mst --format vcd --to 1G -o new", "--to: 1000000000 is beyond icount"),
        ("ticks.mst --format vcd --to later -o new", "--to: expected an icount such as 5M"),
        ("gpio.mst --format vcd -o new", "recorded with a device that is not part of minstret: add --device"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_and_writes_nothing(
    here: Command, folder: Path, arguments: str, text: str
) -> None:
    done = here("export", *arguments.split())

    assert done.returncode == 125
    assert text in done.stderr.decode()
    assert len(done.stderr.decode().splitlines()) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["dhcp.mst", "gpio.mst", "ticks.mst"]


def test_old_file_stays_where_the_export_fails(here: Command, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text("kept")

    assert here("export", "ticks.mst", "--format", "pcapng", "-o", old).returncode == 125
    assert old.read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_link_stays_a_link_and_a_device_a_device(here: Command, tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    link.symlink_to(real)

    assert here("export", "ticks.mst", "--format", "jsonl", "-o", link).returncode == 0
    assert here("export", "ticks.mst", "--format", "jsonl", "-o", os.devnull).returncode == 0

    assert link.is_symlink()
    assert real.read_text().startswith('{"kind"')
    assert not os.path.isfile(os.devnull)


def test_reader_that_goes_away_is_told_nothing(folder: Path) -> None:
    command = [*COMMAND, "export", str(folder / "ticks.mst"), "--format", "jsonl", "-o", "-"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()

    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(60) == 125
