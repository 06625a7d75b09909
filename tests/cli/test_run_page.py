"""``minstret report``: pages of real runs, opened in headless Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.browser import Browser
from support.commands import Command, minstret
from support.elf_files import PASSES, write_elf
from support.recordings import tamper, without_end

from minstret.emu.trace.reader import TraceReader

Page = Callable[..., Path]
NAMES = "return window.minstret.timeline.lanes.map((lane) => lane.name)"
NOTE = "return window.minstret.timeline.lanes.find((lane) => lane.name === arguments[0]).note"
COUNT = "return window.minstret.timeline.lanes.find((lane) => lane.name === arguments[0]).all"


@pytest.fixture(scope="module")
def page_of(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Records a guest with these arguments, and gives its page; of one with the same name the trace is beside it."""
    folder = tmp_path_factory.mktemp("pages")

    def make(name: str, *arguments: str) -> Path:
        trace, page = folder / f"{name}.mst", folder / f"{name}.html"
        if not page.exists():
            minstret("record", "-q", "-f", "--no-input", "--idle-ok", "-o", trace, *arguments)
            done = minstret("report", trace, "-o", page)
            assert done.returncode == 0, done.stderr
            assert (
                done.stderr.decode() == f"minstret: wrote {page}, {page.stat().st_size:,} bytes: open it in a browser\n"
            )
        return page

    return make


def rows_of(chromium: Browser, title: str) -> list[str]:
    """The rows of a table, which is opened."""
    for table in chromium.driver.find_elements("css selector", ".events"):
        if table.find_element("css selector", "summary").text.startswith(f"{title}:"):
            table.find_element("css selector", "summary").click()
            chromium.wait("return document.querySelector('.events[open] tbody')")
            return [row.text for row in table.find_elements("css selector", "tbody tr")]
    raise AssertionError(f"no table {title}")


def test_page_of_dhcp_has_its_frames_decoded_and_what_external_timers_saved(chromium: Browser, page_of: Page) -> None:
    page = page_of("dhcp", "--net", "user,restrict=on", "dhcp")
    chromium.open(page)
    counts = {row["name"]: row for row in TraceReader(str(page.with_suffix(".mst"))).meta["timers"]}

    assert chromium.complaints() == []
    assert chromium.text(".headline") == "✓ guest finished with 0"
    rows = rows_of(chromium, "Frames")
    assert [re.search(r"DHCP \w+", row)[0] for row in rows[:4]] == [  # type: ignore[index]
        "DHCP Discover", "DHCP Offer", "DHCP Request", "DHCP ACK"
    ]  # fmt: skip
    assert any("ICMP echo reply" in row for row in rows)
    saved = chromium.run(NOTE, "usernet.link")
    link = counts["usernet.link"]
    assert f"saved {link['checkpoints_saved']:,} checkpoints, {link['bytes_saved']:,} bytes" in saved
    assert "leased 10.0.2.15" in chromium.text(".console")


def test_page_of_keys_has_them_in_its_lanes(chromium: Browser, page_of: Page) -> None:
    chromium.open(page_of("keys", "--input", "keyboard,tablet", "--keys", "ab", "keys"))

    assert chromium.complaints() == []
    assert chromium.text(".headline").startswith("■ guest waits forever at 0x8")
    assert "sleep_for_device" in chromium.text(".lines")
    rows = rows_of(chromium, "Keyboard and tablet")
    assert [row.split("keyboard0: ")[1].split()[:2] for row in rows] == [
        ["KEY_A", "1"], ["KEY_A", "0"], ["KEY_B", "1"], ["KEY_B", "0"]
    ]  # fmt: skip


def test_page_of_smp_has_both_harts(chromium: Browser, page_of: Page) -> None:
    chromium.open(page_of("smp", "--smp", "2", "smp"))

    assert chromium.complaints() == []
    assert {"hart0", "hart1", "machine timer interrupt", "clint.mtimecmp1"} <= set(chromium.run(NAMES))
    assert "hart1: pc 0x8" in chromium.text(".lines")
    assert chromium.run(COUNT, "store/AMO page fault") == 32


def test_page_of_smash_leads_to_the_line_that_debugs_its_crash(chromium: Browser, page_of: Page) -> None:
    page = page_of("smash", "smash")
    chromium.open(page)
    chromium.click(".lane[aria-label*='instruction access fault']")

    assert chromium.text(".headline").startswith("✗ guest waits forever after instruction access fault")
    assert "survey_tank+0x8c> (smash/main.c:119)" in chromium.text(".lines")
    command = chromium.text(".command code")
    assert re.fullmatch(rf".*minstret debug --at \d+ {page.with_suffix('.mst')}", command)
    icount = int(re.search(r"--at (\d+)", command)[1])  # type: ignore[index]
    assert f"{icount:,}" in chromium.text("#details-body")
    assert "ra 296874756f7328" in " ".join(chromium.text(".registers").split())


def test_page_is_the_same_each_time(page_of: Page, tmp_path: Path) -> None:
    page = page_of("smash", "smash")

    done = minstret("report", "-q", page.with_suffix(".mst"), "-o", "-")

    assert done.stderr == b""
    assert done.stdout == page.read_bytes()


# ---- the command


@pytest.fixture
def here(inside: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command within this process, in a folder with x.mst."""
    monkeypatch.chdir(tmp_path)
    write_elf(tmp_path / "fw.elf", PASSES)
    assert inside("record", "-q", "-m", "4M", "-o", "x.mst", "fw.elf").returncode == 0
    return inside


def test_page_is_called_as_the_trace_by_default(here: Command) -> None:
    done = here("report", "x.mst")

    size = Path("x.html").stat().st_size
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode() == f"minstret: wrote x.html, {size:,} bytes: open it in a browser\n"
    assert Path("x.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("x.mst -o x.mst", "-o: can't write x.mst, which is read as the trace"),
        ("x.mst -o nowhere/x.html", "-o: can't write nowhere/x.html: there is no folder nowhere"),
        ("y.mst", "y.mst: No such file or directory"),
        ("fw.elf", "fw.elf: not a trace"),
    ],
)
def test_what_cant_be_done_is_one_line(here: Command, arguments: str, line: str) -> None:
    done = here("report", *arguments.split())

    assert done.returncode == 125
    (said,) = done.stderr.decode().splitlines()
    assert said.startswith(f"minstret: {line}")


def test_recording_that_was_killed_has_a_page_up_to_there(here: Command) -> None:
    without_end("x.mst")

    done = here("report", "-q", "x.mst")

    assert (done.returncode, done.stderr) == (0, b"")
    assert "the recording was killed; it goes up to here" in Path("x.html").read_text()


def test_replay_that_differs_from_its_recording_has_no_page(here: Command) -> None:
    with closing(TraceReader("x.mst")) as reader:
        assert reader.end is not None
        digest = str(reader.end["digest"])
    replaced = "UPDATE meta SET value = replace(value, ?, ?) WHERE key = 'end'"
    assert tamper("x.mst", replaced, digest, digest[::-1]) == 1

    done = here("report", "x.mst")

    assert done.returncode == 122
    assert not Path("x.html").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("x.mst x.mst", "a page is of one trace; or add --diff to two"),
        ("--diff x.mst", "--diff: it compares two traces"),
        ("--diff x.mst x.mst x.mst", "--diff: it compares two traces"),
    ],
)
def test_number_of_traces_that_is_wrong_is_one_line(here: Command, arguments: str, line: str) -> None:
    done = here("report", *arguments.split())

    assert (done.returncode, done.stderr.decode()) == (125, f"minstret: {line}\n")


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two recordings of one guest, to which other bytes were typed."""
    folder = tmp_path_factory.mktemp("two")
    for name, typed in (("good", b"ab\n\x04"), ("bad", b"aX\n\x04")):
        minstret("record", "-q", "-o", folder / f"{name}.mst", "echo", stdin=typed)
    return folder


def test_two_runs_are_on_one_page_with_their_first_difference(chromium: Browser, two_runs: Path) -> None:
    done = minstret("report", "-q", "--diff", "good.mst", "bad.mst", "-o", "both.html", cwd=two_runs)
    assert done.returncode == 0, done.stderr
    found = minstret("diff", "good.mst", "bad.mst", cwd=two_runs)

    chromium.open(two_runs / "both.html")

    assert chromium.complaints() == []
    headline = chromium.text(".difference h2").removeprefix("◆ ")
    assert headline in found.stdout.decode()
    icount = chromium.run("return window.minstret.timeline.difference.icount")
    assert f"icount {icount:,}" in headline
    for line in chromium.text(".difference .lines").splitlines():
        assert line.strip() in found.stdout.decode()
    chromium.click("[data-do=difference]")
    assert chromium.run(
        "const t = window.minstret.timeline, x = t.view.xOf(t.difference.ns); return Math.abs(x - t.view.width / 2)"
    ) < 2  # fmt: skip
    good, bad = (console.text for console in chromium.driver.find_elements("css selector", ".console"))
    assert "ab" in good
    assert "aX" in bad


def test_of_two_equal_runs_the_page_says_so(chromium: Browser, two_runs: Path) -> None:
    done = minstret("report", "-q", "--diff", "good.mst", "good.mst", "-o", "same.html", cwd=two_runs)
    assert done.returncode == 0, done.stderr

    chromium.open(two_runs / "same.html")

    assert chromium.text(".difference h2").startswith("◆ the same run:")
    assert chromium.run("return window.minstret.timeline.difference") is None
