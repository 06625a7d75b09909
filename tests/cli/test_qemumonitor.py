"""QEMU's monitors, without a run: what they make of bytes from anybody."""

from __future__ import annotations

import json
from typing import Any

import pytest

from minstret.devices.board.board import Board
from minstret.emu.cli.qemumonitor import HumanMonitor, Qmp
from minstret.firmware import image_path


class Run:
    """A run that notes what monitors ask for."""

    def __init__(self) -> None:
        self.board = Board(image_path("hello"))
        self.asked: list[str] = []

    def reset(self) -> None:
        self.asked.append("reset")

    def quit(self) -> None:
        self.asked.append("quit")


@pytest.fixture
def run() -> Run:
    return Run()


@pytest.fixture
def qmp(run: Run) -> Qmp:
    qmp = Qmp(run, lambda: 1_500_000_000)
    qmp.greeting()
    qmp.feed(b'{"execute": "qmp_capabilities"}')
    return qmp


def answers(said: bytes) -> list[Any]:
    return [json.loads(line) for line in said.splitlines()]


@pytest.mark.parametrize("at", range(1, len('{"execute": "system_reset"}')))
def test_command_that_comes_in_two_pieces_is_done_once_it_is_whole(at: int, run: Run, qmp: Qmp) -> None:
    command = b'{"execute": "system_reset"}'

    assert qmp.feed(command[:at]) == b""
    assert [*answers(qmp.feed(command[at:]))[1]] == ["return"]

    assert run.asked == ["reset"]


@pytest.mark.parametrize("bad", [b"[" * 100_000, b"9" * 5000, b'{"execute":', b"\xff", b"x"])
def test_what_is_no_command_is_an_error_and_the_next_one_is_done(bad: bytes, run: Run, qmp: Qmp) -> None:
    error, event, _ = answers(qmp.feed(bad + b'\n{"execute": "quit"}'))

    assert error["error"]["desc"] == "JSON parse error"
    assert event["timestamp"] == {"seconds": 1, "microseconds": 500_000}
    assert run.asked == ["quit"]


def test_line_without_end_is_kept_up_to_a_thousand_bytes(run: Run) -> None:
    monitor = HumanMonitor(run, echoes=True)

    assert len(monitor.feed(b"q" * 1_000_000)) == 1000
    assert monitor.feed(b"\r\nquit\r").endswith(b"(qemu) ")

    assert run.asked == ["quit"]
