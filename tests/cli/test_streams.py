"""``-`` in the place of a file: standard input and output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import PATIENCE_S, minstret

from minstret.firmware import image_path

HELLO = image_path("hello")
GREETING = b"hello from minstret, rv64\nhart 0\n"


def says(done: subprocess.CompletedProcess[bytes], text: str) -> bool:
    """Whether the command failed with just this line."""
    return (done.returncode, done.stdout, done.stderr.decode()) == (125, b"", f"minstret: {text}\n")


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("trace") / "hello.mst"
    assert minstret("record", "-q", "-m", "4M", "-o", path, "hello").returncode == 0
    return path.read_bytes()


# ---- input


def test_firmware_comes_from_a_pipe_and_the_guests_console_has_no_input() -> None:
    done = minstret("run", "-m", "4M", "-", stdin=HELLO.read_bytes())

    assert (done.returncode, done.stdout) == (0, GREETING)
    first = done.stderr.decode().splitlines()[0]
    assert first == "minstret: FIRMWARE comes from standard input, so the guest's console has no input"


def test_firmware_comes_from_a_file_that_is_standard_input() -> None:
    with HELLO.open("rb") as file:
        done = minstret("run", "--no-input", "--bios", "-", stdin=file)

    assert (done.returncode, done.stdout) == (0, GREETING)
    assert b"standard input" not in done.stderr


def test_run_from_a_pipe_is_the_same_run(tmp_path: Path) -> None:
    results = []
    for number, firmware in enumerate((HELLO, "-")):
        path = tmp_path / f"{number}.json"
        minstret("run", "-q", "--no-input", "--json", path, firmware, stdin=HELLO.read_bytes())
        results.append(json.loads(path.read_text()))

    assert results[0]["digest"] == results[1]["digest"]


def test_further_image_comes_from_a_pipe() -> None:
    done = minstret("run", "-q", "hello", "--load", "-@0x80400000", stdin=b"data")

    assert (done.returncode, done.stdout) == (0, GREETING)


def test_script_comes_from_a_pipe() -> None:
    done = minstret("run", "-q", "keys", "--input", "keyboard", "--input-script", "-", stdin=b"AT 1s: press esc\n")

    assert done.returncode == 0
    assert done.stdout.endswith(b"\n1 events\n")


def test_recording_of_a_pipe_is_called_stdin(tmp_path: Path) -> None:
    done = minstret("record", "-q", "-m", "4M", "-", stdin=HELLO.read_bytes(), cwd=tmp_path)

    assert done.returncode == 0
    assert os.listdir(tmp_path) == ["stdin.mst"]
    assert b"  bios       standard input  sha256 " in minstret("info", tmp_path / "stdin.mst").stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["replay", "-"], GREETING.decode()),
        (["info", "-"], "-: format "),
        (["log", "--all", "-"], "-> uart0.tx"),
        (["timers", "-"], "uart0.line"),
        (["verify", "--runs", "2", "-"], "the same run 2 times; it has no snapshots\n"),
    ],
)
def test_trace_comes_from_a_pipe(arguments: list[str], text: str, trace: bytes) -> None:
    done = minstret(*arguments, stdin=trace)

    assert done.returncode == 0, done.stderr
    assert text in done.stdout.decode()


def test_log_of_a_run_without_input_says_that_there_is_nothing(trace: bytes) -> None:
    done = minstret("log", "-", stdin=trace)

    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode() == (
        "minstret: nothing to list: no host input and no timers here; --all shows what the guest sent\n"
    )


def test_verify_runs_firmware_from_a_pipe() -> None:
    done = minstret("verify", "-m", "4M", "--runs", "2", "-", stdin=HELLO.read_bytes())

    assert done.stdout.startswith(b"the same run 2 times: finished, ")


def test_device_tree_for_firmware_from_a_pipe_goes_to_standard_output() -> None:
    done = minstret("dtb", "-", "-o", "-", stdin=image_path("hello", 32).read_bytes())

    assert done.stdout[:4] == bytes.fromhex("d00dfeed")
    assert b"rv32" in done.stdout


def test_file_called_dash_has_a_path(tmp_path: Path) -> None:
    (tmp_path / "-").write_bytes(HELLO.read_bytes())

    assert minstret("run", "-q", "./-", cwd=tmp_path).stdout == GREETING


@pytest.mark.parametrize("command", ["replay", "info", "log", "timers"])
def test_what_is_wrong_with_a_trace_from_a_pipe_is_one_line_without_the_name_of_a_copy(command: str) -> None:
    done = minstret(command, "-", stdin=b"no trace\n")

    assert says(done, "-: not a trace (made by minstret record)")


@pytest.mark.parametrize("command", ["run", "verify"])
def test_what_is_wrong_with_firmware_from_a_pipe_is_one_line_without_the_name_of_a_copy(command: str) -> None:
    done = minstret(command, "-", stdin=b"\x7fELF, or is it?")

    assert done.returncode == 125
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(("minstret: standard input: ", "minstret: -: "))


def test_no_temporary_file_is_left_behind(trace: bytes, tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}

    for stdin in (trace, b"no trace\n"):
        minstret("replay", "-", stdin=stdin, env=environment)
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["run", "--kernel", "-", "--bios", "-"], "--bios and --kernel: only one file can come from standard input"),
        (["run", "-", "--input", "keyboard", "--input-script", "-"],
         "FIRMWARE and --input-script: only one file can come from standard input"),
        (["run", "-", "--load", "-@0x80400000"], "FIRMWARE and --load: only one file can come from standard input"),
        (["dtb", "-o", "-", "-", "--kernel", "-"],
         "FIRMWARE and --kernel: only one file can come from standard input"),
        (["run", "-"], "standard input: the file is empty"),
        (["record", "-o", "-", "hello"], "-o -: a trace can't go to standard output; give a file's name"),
        (["run", "--json", "-", "--pcap", "-", "--net", "user", "dhcp"],
         "--json and --pcap: only one of them can go to standard output"),
    ],
)  # fmt: skip
def test_what_dash_cannot_stand_for_is_one_line(arguments: list[str], text: str, tmp_path: Path) -> None:
    assert says(minstret(*arguments, cwd=tmp_path), text)
    assert os.listdir(tmp_path) == []


def test_closed_standard_input_is_one_line() -> None:
    done = subprocess.run(
        ["sh", "-c", '"$0" -m minstret run - <&-', sys.executable], capture_output=True, timeout=PATIENCE_S, check=False
    )

    assert says(done, "standard input is closed: give a file's name")


def test_endless_standard_input_is_not_read() -> None:
    with open("/dev/zero", "rb") as zeros:
        done = minstret("run", "-", stdin=zeros)

    assert says(done, "standard input is a device: give a file's name, or pipe a file into it")


def test_terminal_is_not_read_as_a_file() -> None:
    terminal, far_end = os.openpty()
    try:
        done = minstret("run", "-", stdin=far_end)
    finally:
        os.close(terminal)
        os.close(far_end)

    assert says(done, "standard input is a terminal: give a file's name, or pipe a file into it")


def test_pipe_without_an_end_is_refused_at_the_limit() -> None:
    with subprocess.Popen(["cat", "/dev/zero"], stdout=subprocess.PIPE) as endless:
        done = minstret("run", "--input", "keyboard", "hello", "--input-script", "-", stdin=endless.stdout)
        endless.kill()

    assert says(done, "--input-script: standard input: more than 1 MiB; give the file's name instead")


# ---- output


def test_json_on_standard_output_stands_alone_and_the_console_is_on_standard_error() -> None:
    done = minstret("run", "-q", "-m", "4M", "--json", "-", "hello")

    assert json.loads(done.stdout)["exit_code"] == 0
    assert done.stderr == GREETING


def test_json_of_a_replay_on_standard_output_stands_alone(trace: bytes) -> None:
    done = minstret("replay", "-q", "--json", "-", "-", stdin=trace)

    assert json.loads(done.stdout)["stop_reason"] == "finished"
    assert done.stderr == GREETING


def test_frames_on_standard_output_are_those_of_a_file(tmp_path: Path) -> None:
    options = ["run", "-q", "-m", "16M", "dhcp", "--net", "user,restrict=on", "--pcap"]
    path = tmp_path / "net.pcap"

    streamed, written = minstret(*options, "-"), minstret(*options, path)

    assert (streamed.returncode, written.returncode) == (0, 0)
    assert streamed.stdout == path.read_bytes()
    assert streamed.stderr == written.stdout


def test_json_goes_alone_to_standard_output_where_standard_error_is_closed() -> None:
    done = subprocess.run(
        ["sh", "-c", '"$0" -m minstret run -m 4M --json - hello 2>&-', sys.executable],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip

    assert json.loads(done.stdout)["exit_code"] == 0


def test_json_to_a_closed_standard_output_is_one_line() -> None:
    done = subprocess.run(
        ["sh", "-c", '"$0" -m minstret run -m 4M --json - hello >&-', sys.executable],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip

    assert says(done, "--json: standard output is closed")
