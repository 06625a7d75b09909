"""A replay whose lanes are filled: what they have is what the trace has, and the replay comes to the same end."""

from __future__ import annotations

from typing import Any

import pytest
from support.invented_runs import COMMAND, NO_SYMBOLS
from support.recordings import Hand, Recorded, record, setup_of_image, typed

from minstret.devices.board.traced import Replay
from minstret.emu.machine import StopReason
from minstret.emu.questions.page.collecting import collected


def rows_of(data: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(group["id"], row["name"]): row for group in data["groups"] for row in group["rows"]}


def data_of(recorded: Recorded) -> tuple[dict[str, Any], Replay]:
    replay = Replay(recorded.path)
    return collected(replay).lanes.data("run.mst", COMMAND, replay.board.position, NO_SYMBOLS), replay


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    path = tmp_path_factory.mktemp("echo") / "echo.mst"
    return record(path, setup_of_image("echo"), source=Hand(*(typed(bytes([byte])) for byte in b"ab\n\x04")))


@pytest.fixture(scope="module")
def smp(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record(tmp_path_factory.mktemp("smp") / "smp.mst", setup_of_image("smp", smp=2))


def test_replay_ends_as_the_recording_did(smp: Recorded) -> None:
    replay = Replay(smp.path)
    went = collected(replay)

    assert went.outcome.reason is StopReason.FINISHED
    assert replay.board.digest() == smp.end.digest
    assert replay.board.position == smp.end.position


def test_asking_twice_gives_the_same_data(smp: Recorded) -> None:
    assert data_of(smp)[0] == data_of(smp)[0]


def test_console_has_all_that_the_guest_wrote(echo: Recorded) -> None:
    data, replay = data_of(echo)
    console = data["console"]

    written = [text for at, text in enumerate(console["text"]) if at not in console["typed"]]
    assert written == replay.board.console.decode().replace("\r", "").removesuffix("\n").split("\n")
    assert rows_of(data)["console", "typed"]["count"] == 4


def test_registers_are_those_of_the_hart_at_that_icount(smp: Recorded) -> None:
    data, _ = data_of(smp)
    row, names = rows_of(data)["traps", "load page fault"], data["registers"]["names"]
    values = dict.fromkeys(names, 0)
    for changes in data["registers"]["rows"][: row["registers"][0] + 1]:
        values |= {names[at]: int(value, 16) for at, value in zip(changes[::2], changes[1::2], strict=True)}

    replay = Replay(smp.path)
    icount = row["icount"][0]
    replay.run(icount=icount)
    hart = replay.board.harts[row["hart"][0]]

    assert values["pc"] == hart.pc
    assert [values[name] for name in names[1:]] == [int(hart.env.x[number]) for number in range(1, 32)]


def test_harts_run_one_at_a_time(smp: Recorded) -> None:
    data, replay = data_of(smp)
    rows = rows_of(data)

    running = sum(sum(rows["harts", name]["on_icount"]) for name in ("hart0", "hart1"))
    assert running == replay.board.position.icount
