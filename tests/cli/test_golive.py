"""``minstret replay --live``: what it shows, what can be given to it, and what it refuses in one line."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import elf_files
from support.commands import PATIENCE_S, minstret, started
from support.recordings import record, setup_of_image, tamper, without_end
from support.terminals import Terminal

NET = ("--net", "user,restrict=on")
CTRL_A = b"\x01"
CUT = 60_000


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A recording of dhcp that was cut in the middle of an exchange."""
    path = tmp_path / "run.mst"
    assert minstret("record", "-q", "dhcp", *NET, "--max-insns", CUT, "-o", path).returncode == 123
    return path


@pytest.fixture
def whole() -> subprocess.CompletedProcess[bytes]:
    """The run that was never cut."""
    return minstret("run", "dhcp", *NET)


def lines(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    """What was said on standard error, without the host's times."""
    found = done.stderr.decode().splitlines()
    return [line.partition(" s virtual,")[0] + line[line.find(", digest") :] * ("MIPS" in line) for line in found]


def assert_is_refused(text: str, *arguments: object, **options: Any) -> None:
    done = minstret(*arguments, **options)
    assert (done.returncode, done.stdout, done.stderr.decode()) == (125, b"", f"minstret: {text}\n")


# ---- it goes on


def test_signal_as_soon_as_it_is_live_ends_the_live_part_properly(tmp_path: Path) -> None:
    trace, more, facts = tmp_path / "run.mst", tmp_path / "more.mst", tmp_path / "more.json"
    guest = elf_files.write_elf(tmp_path / "guest.elf", elf_files.LOOPS)
    assert minstret("record", "-q", "-m", "4M", "--max-insns", "1M", "-o", trace, guest).returncode == 123
    with started("replay", "--live", "-o", more, "--json", facts, trace) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == b"minstret: live from instruction 1,000,000\n"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)

        assert process.returncode == 143

    assert json.loads(facts.read_text())["stop_reason"] == "terminated"
    assert minstret("replay", "-q", more).returncode == 143


def test_cut_run_goes_on_to_the_end_it_would_have_had(run: Path, whole: subprocess.CompletedProcess[bytes]) -> None:
    done = minstret("replay", "--live", run)

    assert (done.returncode, done.stdout) == (0, whole.stdout)
    assert lines(done) == [f"minstret: live from instruction {CUT:,}", *lines(whole)]


def test_live_part_is_recorded_and_its_trace_replays_and_verifies(
    run: Path, whole: subprocess.CompletedProcess[bytes]
) -> None:
    more = run.with_name("more.mst")

    done = minstret("replay", "--live", run, "-o", more)
    replayed = minstret("replay", more)
    verified = minstret("verify", "--runs", "2", more)

    assert done.stderr.decode().splitlines()[-1].startswith(f"minstret: recorded {more}, ")
    assert replayed.returncode == 0
    assert whole.stdout.endswith(replayed.stdout)
    assert replayed.stdout
    assert lines(replayed) == lines(whole)
    assert verified.returncode == 0, verified.stderr


def test_snapshot_goes_on_without_what_came_before(tmp_path: Path, whole: subprocess.CompletedProcess[bytes]) -> None:
    path = tmp_path / "run.mst"
    minstret("record", "-q", "dhcp", *NET, "--snapshot-every", "25k", "-o", path)

    done = minstret("replay", "--live", "--from", "70k", path)

    assert done.returncode == 0
    assert whole.stdout.endswith(done.stdout)
    assert len(done.stdout) < len(whole.stdout)
    assert lines(done) == ["minstret: live from instruction 50,000", *lines(whole)]


def test_pcap_and_json_are_of_the_whole_run(run: Path, tmp_path: Path) -> None:
    pcap, facts = tmp_path / "more.pcap", tmp_path / "more.json"
    minstret("run", "-q", "dhcp", *NET, "--pcap", tmp_path / "whole.pcap", "--json", tmp_path / "whole.json")

    done = minstret("replay", "-q", "--live", run, "--pcap", pcap, "--json", facts)

    assert done.stderr == b""
    assert pcap.read_bytes() == (tmp_path / "whole.pcap").read_bytes()
    one, other = json.loads(facts.read_text()), json.loads((tmp_path / "whole.json").read_text())
    for key in ("digest", "icount", "virtual_ns", "exit_code", "stop_reason", "uart_sha256", "net"):
        assert one[key] == other[key]


def test_max_insns_counts_from_power_on(run: Path) -> None:
    done = minstret("replay", "-q", "--live", run, "--max-insns", "80k", "--json", "-")

    assert done.returncode == 123
    assert json.loads(done.stdout)["icount"] == 80_000


def test_timeout_counts_the_live_part(tmp_path: Path) -> None:
    path = tmp_path / "run.mst"
    minstret("record", "-q", "bench", "--max-insns", "1M", "-o", path)

    assert minstret("replay", "-q", "--live", path, "--timeout", "0.2").returncode == 124


def test_piped_text_goes_to_the_live_part_of_a_guest_that_had_no_input(tmp_path: Path) -> None:
    path = tmp_path / "run.mst"
    minstret("record", "-q", "echo", "--no-input", "-o", path)

    done = minstret("replay", "--live", path, stdin=b"live.")

    assert done.returncode == 0
    assert b"LIVE" in done.stdout
    why = "the guest waits forever there, and there is no input: it has no snapshot to go on from"
    text = f"{path}: can't go on live from its end: {why}"
    assert_is_refused(text, "replay", "-q", "--live", path, "--no-input", stdin=b"live.")


def test_trace_from_standard_input_leaves_the_guest_without(
    run: Path, whole: subprocess.CompletedProcess[bytes]
) -> None:
    done = minstret("replay", "--live", "-", stdin=run.read_bytes())

    assert (done.returncode, done.stdout) == (0, whole.stdout)
    assert b"TRACE comes from standard input, so the guest's console has no input" in done.stderr


# ---- at a terminal


@pytest.fixture
def start() -> Iterator[Callable[..., Terminal]]:
    found: list[Terminal] = []

    def start_one(*arguments: object) -> Terminal:
        found.append(Terminal(*arguments))
        return found[-1]

    yield start_one
    for terminal in found:
        terminal.close()


def test_recording_that_was_left_goes_on_at_the_terminal_as_if_it_had_not(
    start: Callable[..., Terminal], tmp_path: Path
) -> None:
    path, more = tmp_path / "run.mst", tmp_path / "more.mst"
    first = start("record", "-o", path, "echo")
    first.wait_for(b"full stop")
    first.type(b"ab")
    first.wait_for(b"AB")
    first.type(CTRL_A + b"x")
    assert first.end() == 130

    second = start("replay", "--live", path, "-o", more)
    second.wait_for(b"full stop")
    second.wait_for(b"AB")
    second.wait_for(b"live from instruction")
    second.wait_for(b"Ctrl-A x ends the run")
    second.type(b"c.")
    second.wait_for(b"C")
    assert second.end() == 0
    assert b"3 bytes" in second.shown

    replayed = minstret("replay", "-q", more)
    assert replayed.returncode == 0
    assert b"3 bytes" in replayed.stdout


def test_ctrl_a_x_in_the_recorded_part_ends_it_and_nothing_goes_live(
    start: Callable[..., Terminal], tmp_path: Path
) -> None:
    path, more = tmp_path / "run.mst", tmp_path / "more.mst"
    guest = elf_files.write_elf(tmp_path / "guest.elf", elf_files.LOOPS)
    minstret("record", "-q", "-m", "4M", "--max-insns", "1M", "-o", path, guest)
    without_end(str(path))

    terminal = start("replay", "--live", path, "-o", more)
    terminal.wait_for(b"replaying")
    terminal.type(CTRL_A + b"x")

    assert terminal.end() == 130
    assert b"stopped by Ctrl-C" in terminal.shown
    assert b"live" not in terminal.shown
    assert not more.exists()


# ---- what no trace has


def test_tftp_folder_is_given_again_and_missed_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "hello.txt").write_bytes(bytes(range(256)) * 9)
    path, options = tmp_path / "run.mst", ("--net", f"user,restrict=on,tftp={folder},bootfile=hello.txt")
    whole = minstret("run", "tftp", *options)
    icount = int(whole.stderr.decode().partition(" instructions")[0].rpartition(" ")[2].replace(",", ""))
    minstret("record", "-q", "tftp", *options, "--max-insns", icount // 2, "-o", path)

    done = minstret("replay", "--live", path, "--tftp", folder)
    without = minstret("replay", "--live", path)

    assert (done.returncode, done.stdout) == (whole.returncode, whole.stdout)
    assert lines(done)[1:] == lines(whole)
    assert b"whose folder" not in done.stderr
    said = b"the recorded TFTP server had a folder, which is not in the trace; --tftp DIR gives it one"
    assert said in without.stderr
    assert without.stdout != whole.stdout


def test_keys_that_were_still_to_come_are_missed_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "run.mst"
    minstret("record", "-q", "keys", "--input", "keyboard", "--keys", "a<esc>", "--max-insns", "100k", "-o", path)

    done = minstret("replay", "--live", path)

    said = "minstret: not played, as it is not in the trace: 1 line of the recorded --input-script or --keys"
    assert lines(done)[1] == said
    assert done.returncode == 120


# ---- what is refused


@pytest.mark.parametrize(("options", "text"), [
    ("--to 70k", "--to: does not go with --live, which goes on from the end, or with --from a snapshot"),
    ("--from 1G", f"--from: 1000000000 is beyond icount {CUT}, where this trace ends"),
    ("--from 50k", "--from: there is no snapshot up to 50000 in {run}; it has none"),
    ("--max-insns 10k", f"--max-insns: 10000 is before icount {CUT}, where it goes live"),
    ("--timeout 0", "--timeout: expected a number of seconds above 0, got 0"),
    ("--tftp /nonexistent", "--tftp: /nonexistent is not a folder"),
    ("--semihosting /tmp", "--semihosting: the run was recorded without it, so the guest has no files"),
    ("-o {run}", "-o: can't write {run}, which is read as the trace; give another name"),
    ("-o {run} -f", "-o: can't write {run}, which is read as the trace; give another name"),
    ("-o -", "-o -: a trace can't go to standard output; give a file's name"),
    ("-f", "-f: goes with -o"),
])  # fmt: skip
def test_option_that_does_not_fit_is_refused(options: str, text: str, run: Path) -> None:
    assert_is_refused(text.format(run=run), "replay", "--live", run, *options.format(run=run).split())


@pytest.mark.parametrize("option", [
    "-o x.mst", "-f", "--max-insns 5", "--timeout 1", "--ctrl-c stop", "--no-input", "--tftp .", "--semihosting .",
])  # fmt: skip
def test_option_of_a_live_run_is_refused_by_a_replay(option: str, run: Path) -> None:
    text = f"{option.split(maxsplit=1)[0]}: goes with --live; a replay takes everything from the trace"
    assert_is_refused(text, "replay", run, *option.split())


def test_file_that_is_there_is_not_overwritten_without_f(run: Path) -> None:
    more = run.with_name("more.mst")
    more.write_bytes(b"mine")

    done = minstret("replay", "--live", run, "-o", more)
    forced = minstret("replay", "-q", "--live", run, "-o", more, "-f")

    said = f"minstret: {more}: exists already; give another name with -o, or -f to overwrite it"
    assert done.stderr.decode().splitlines() == [said]
    assert forced.returncode == 0
    assert minstret("replay", "-q", more).returncode == 0


def test_end_after_which_nothing_comes_says_where_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "run.mst"
    minstret("record", "-q", "hello", "--snapshot-every", "100", "-o", path)
    last = record(tmp_path / "same.mst", setup_of_image("hello"), every=100).end.position.icount // 100 * 100

    text = (
        f"{path}: can't go on live from its end: the guest has finished there: give --from ICOUNT to go on from a"
        f" snapshot before; the last one is at {last}"
    )
    assert_is_refused(text, "replay", "--live", path)
    assert_is_refused(text.replace(str(path), "-", 1), "replay", "--live", "-", stdin=path.read_bytes())
    assert minstret("replay", "-q", "--live", "--from", "200", path).returncode == 0


def test_divergence_before_the_end_is_told_and_nothing_goes_live(run: Path) -> None:
    more = run.with_name("more.mst")
    tamper(str(run), "UPDATE outputs SET data = CAST('jello' AS BLOB) WHERE id = 1")

    done = minstret("replay", "--live", run, "-o", more)

    assert done.returncode == 122
    assert b"live" not in done.stderr
    assert not more.exists()
