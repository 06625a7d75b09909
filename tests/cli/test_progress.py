"""The line that says how far long work is, at a real terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.commands import PATIENCE_S

from minstret.emu.cli.progress import HowFar, Progress

CLEARED = b"\r\x1b[K"


class Screen:
    """A terminal, and what it has shown."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._fd, self.other_fd = pty.openpty()
        self._file = os.fdopen(self.other_fd, "w")
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)
        self.resize(100)

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.other_fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    @contextmanager
    def progress(self, how_far: Callable[[], HowFar | None], **options: Any) -> Iterator[Progress]:
        """Shown meanwhile, from the beginning on."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stderr", self._file)
            progress = Progress(how_far, **{"first_s": 0, **options})
            with progress.shown():
                yield progress

    def write(self, data: bytes) -> None:
        os.write(self.other_fd, data)

    def wait_for(self, text: bytes) -> bytes:
        """What is shown, from now until ``text`` is."""
        shown = b""
        while text not in shown:
            assert select.select([self._fd], [], [], PATIENCE_S)[0], shown
            shown += os.read(self._fd, 4096)
        return shown

    def rest(self) -> bytes:
        shown = b""
        while select.select([self._fd], [], [], 0)[0]:
            shown += os.read(self._fd, 4096)
        return shown

    def close(self) -> None:
        self._file.close()
        os.close(self._fd)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    screen = Screen(monkeypatch)
    yield screen
    screen.close()


HALF = HowFar("replaying [x]", 50, 100, 12_345_678)


def test_line_has_a_bar_and_figures_and_is_gone_at_the_end(screen: Screen) -> None:
    with screen.progress(lambda: HALF):
        shown = screen.wait_for(b"\x1b[K").decode()

    assert shown.startswith("\rreplaying [x] \x1b[")
    assert "━━━━━━━━━━" in shown
    assert shown.endswith(" 50 % 12,345,678 instructions\x1b[K")
    assert screen.rest().endswith(CLEARED)


def test_second_line_has_the_speed_and_the_time_left(screen: Screen) -> None:
    at = iter(range(1, 1000))

    def how_far() -> HowFar:
        done = next(at)
        return HowFar("replaying", done, 1000, done * 1_000_000)

    with screen.progress(how_far):
        shown = screen.wait_for(b" left")

    assert b"2,000,000 instructions (" in shown
    assert b" MIPS), " in shown


def test_work_of_unknown_size_shows_how_long_it_has_taken(screen: Screen) -> None:
    with screen.progress(lambda: HowFar("looking")):
        assert screen.wait_for(b"\x1b[K") == b"\rlooking 0:00 so far\x1b[K"


def test_place_has_no_time_left(screen: Screen) -> None:
    at = iter(range(1, 1000))
    with screen.progress(lambda: HowFar(f"at {next(at)}", next(at), 1000, is_place=True)):
        shown = screen.wait_for(b"at 3 ")

    assert b"left" not in shown


@pytest.mark.parametrize("columns", [20, 60, 250])
def test_line_fits_a_terminal_of_any_width(screen: Screen, columns: int) -> None:
    screen.resize(columns)
    with screen.progress(lambda: HALF._replace(text="replaying " + "x" * 300)):
        shown = screen.wait_for(b"\x1b[K").decode()

    assert "\n" not in shown
    assert len(shown) < columns + 30  # with codes for colours


def test_no_colour_is_as_wished(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with screen.progress(lambda: HALF):
        shown = screen.wait_for(b"\x1b[K")

    assert shown.count(b"\x1b[") == 1


def test_what_is_written_above_begins_a_line_of_its_own(screen: Screen) -> None:
    with screen.progress(lambda: HALF) as progress:
        screen.wait_for(b"\x1b[K")
        progress.above(screen.write, b"hello\n")
        shown = screen.wait_for(b"hello\r\n")

    assert CLEARED + b"hello" in shown


def test_notice_comes_once_above_the_line(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minstret.emu.cli.progress._NOTICE_S", 0)
    with screen.progress(lambda: HALF, notice="be patient"):
        shown = screen.wait_for(b"\x1b[K") + screen.wait_for(b"\x1b[K")

    assert shown.startswith(b"be patient\r\n\rreplaying")
    assert (shown + screen.rest()).count(b"be patient") == 1


def test_nothing_is_shown_while_there_is_nothing_to_show(screen: Screen) -> None:
    asked = iter([None, HALF])
    with screen.progress(lambda: next(asked, HALF)):
        assert screen.wait_for(b"\x1b[K").startswith(b"\rreplaying")


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("TERM", "unknown"), ("TERM", None)])
def test_nothing_is_shown_where_no_line_can_be_replaced(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)

    before = {*threading.enumerate()}
    with screen.progress(lambda: HALF):
        assert {*threading.enumerate()} <= before

    assert screen.rest() == b""


def test_nothing_is_shown_of_work_that_is_done_in_a_second(screen: Screen) -> None:
    with screen.progress(lambda: HALF, first_s=1):
        pass

    assert screen.rest() == b""


def test_work_at_a_terminal_that_nobody_reads_ends(screen: Screen) -> None:
    os.set_blocking(screen.other_fd, False)
    try:
        while True:
            os.write(screen.other_fd, b"x" * 100)
    except BlockingIOError:
        os.set_blocking(screen.other_fd, True)
    asked = threading.Event()

    def how_far() -> HowFar:
        asked.set()
        return HALF

    with screen.progress(how_far):
        assert asked.wait(PATIENCE_S)
