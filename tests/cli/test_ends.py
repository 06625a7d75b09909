"""Ends from outside: signals at any moment, and a host without room for what is needed.

Everything runs in a process of its own. A status of minstret's own is never one that a guest can give (0 to 119).
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support import elf_files
from support.commands import COMMAND, PATIENCE_S, minstret, started, wait_until_asleep
from support.elf_files import says, write_elf
from support.recordings import reader_code, without_end

from minstret.emu.trace.reader import TraceReader

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT)

READY = b"ready\n"
SPINS = says(READY) + elf_files.LOOPS
SLEEPS = says(READY) + elf_files.SLEEPS


def wait_until_ready(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == READY


# ---- signals


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_finishes_a_busy_recording_and_its_replay_ends_the_same(tmp_path: Path, number: signal.Signals) -> None:
    trace, one, two = tmp_path / "run.mst", tmp_path / "one.json", tmp_path / "two.json"
    guest = write_elf(tmp_path / "guest.elf", SPINS)
    with started("record", "-m", "4M", "-o", trace, "--json", one, guest) as process:
        wait_until_ready(process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE_S)

        assert process.returncode == 128 + number
        name = "Ctrl-C" if number == signal.SIGINT else number.name
        assert f"minstret: stopped by {name}\nminstret: the guest was at pc 0x8000".encode() in errors
        assert b"Traceback" not in errors

    assert list(tmp_path.glob("run.mst?*")) == []  # no journal
    replayed = minstret("replay", "-q", "--json", two, trace)
    assert (replayed.returncode, replayed.stderr) == (128 + number, b"")
    facts = [json.loads(path.read_text()) for path in (one, two)]
    assert facts[0]["stop_reason"] == ("interrupted" if number == signal.SIGINT else "terminated")
    for key in ("stop_reason", "icount", "virtual_ns", "digest", "message", "where", "last_trap"):
        assert facts[0][key] == facts[1][key]


def test_sigterm_ends_a_wait(tmp_path: Path) -> None:
    guest = write_elf(tmp_path / "guest.elf", SLEEPS)
    with started("run", "--icount", "sleep=on", guest) as process:
        wait_until_ready(process)
        wait_until_asleep(process)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)

        assert process.returncode == 143


def test_sigterm_ends_a_read_that_waits_for_input(tmp_path: Path) -> None:
    with started("run", "echo", stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        wait_until_asleep(process)
        process.send_signal(signal.SIGTERM)

        assert process.wait(PATIENCE_S) == 143


def test_sigterm_ends_a_recording_whose_guest_waits_in_a_semihosting_read(tmp_path: Path) -> None:
    trace, one, two = tmp_path / "run.mst", tmp_path / "one.json", tmp_path / "two.json"
    guest = write_elf(tmp_path / "guest.elf", says(READY) + reader_code())
    with started("record", "-m", "4M", "-o", trace, "--json", one, guest, stdin=subprocess.PIPE) as process:
        wait_until_ready(process)
        wait_until_asleep(process)
        process.send_signal(signal.SIGTERM)

        assert process.wait(PATIENCE_S) == 143

    assert minstret("replay", "-q", "--json", two, trace).returncode == 143
    facts = [json.loads(path.read_text()) for path in (one, two)]
    assert facts[0]["stop_reason"] == "terminated"
    assert facts[0]["digest"] == facts[1]["digest"]


@pytest.mark.parametrize("options", [("--timeout", "0.5"), ()], ids=["timeout", "sigterm"])
def test_reader_of_the_console_that_does_not_read_keeps_no_end_off(tmp_path: Path, options: tuple[str, ...]) -> None:
    guest = write_elf(tmp_path / "guest.elf", elf_files.CHATTERS)
    with started("run", "-q", *options, guest) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"x\n"
        if not options:
            wait_until_asleep(process)  # the pipe is full
            process.send_signal(signal.SIGTERM)

        assert process.wait(PATIENCE_S) == (124 if options else 143)


def test_hang_up_that_is_to_be_ignored_is(tmp_path: Path) -> None:
    guest = write_elf(tmp_path / "guest.elf", SPINS)
    process = subprocess.Popen(
        [*COMMAND, "run", "-q", str(guest)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    try:
        wait_until_ready(process)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)

        assert process.wait(PATIENCE_S) == 143
    finally:
        process.kill()
        process.communicate()


DELETED = """
import os, signal

class Deleted:
    def __del__(self):
        os.kill(os.getpid(), signal.{0})
        self.is_deleted = True

Deleted()
while True:
    signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_whose_exception_python_drops_ends_the_command_all_the_same(
    tmp_path: Path, number: signal.Signals
) -> None:
    """As it does with one that is raised in the callback of a module's lock."""
    device = tmp_path / "device.py"
    device.write_text(DELETED.format(number.name))

    done = minstret("run", "--device", f"{device}:Any", "hello")

    assert (done.returncode, done.stderr.strip()) == (128 + number, b"")


@contextmanager
def full_pipe() -> Iterator[int]:
    """The end to write to of a pipe that has no room."""
    read_fd, write_fd = os.pipe()
    os.set_blocking(write_fd, False)
    with suppress(BlockingIOError):
        while True:
            os.write(write_fd, bytes(4096))
    os.set_blocking(write_fd, True)
    yield write_fd
    os.close(read_fd)
    os.close(write_fd)


def test_sigterm_ends_a_recording_whose_report_nobody_reads(tmp_path: Path) -> None:
    trace, facts = tmp_path / "run.mst", tmp_path / "run.json"
    guest = write_elf(tmp_path / "guest.elf", SPINS)
    command = ("record", "-m", "4M", "-o", trace, "--json", facts, guest)
    with full_pipe() as full, started(*command, stderr=full) as process:
        wait_until_ready(process)
        process.send_signal(signal.SIGTERM)

        assert process.wait(PATIENCE_S) == 143

    assert json.loads(facts.read_text())["stop_reason"] == "terminated"
    assert TraceReader(str(trace)).end is not None


def test_sigterm_ends_a_replay_whose_report_nobody_reads(tmp_path: Path) -> None:
    trace, facts = tmp_path / "run.mst", tmp_path / "run.json"
    guest = write_elf(tmp_path / "guest.elf", SPINS)
    assert minstret("record", "-q", "-m", "4M", "--max-insns", "1M", "-o", trace, guest).returncode == 123
    without_end(str(trace))
    with full_pipe() as full, started("replay", "--json", facts, trace, stderr=full) as process:
        wait_until_ready(process)
        process.send_signal(signal.SIGTERM)

        assert process.wait(PATIENCE_S) == 143

    assert json.loads(facts.read_text())["stop_reason"] == "terminated"


OF_PYTHONS_START = b"Fatal Python error: init_import_site", b"Could not import runpy module"
"""What Python says where a signal ends its own start."""


def test_signal_at_any_moment_leaves_a_whole_trace_or_none(tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    pick = random.Random(seed)
    guest = write_elf(tmp_path / "guest.elf", SPINS)
    outcomes = set()
    begun = time.monotonic()
    with started("run", "-m", "4M", guest) as process:
        wait_until_ready(process)
    start_s = time.monotonic() - begun
    for number in SIGNALS * 5:
        trace = tmp_path / "run.mst"
        with started("record", "-q", "-f", "-m", "4M", "-o", trace, guest) as process:
            end = time.monotonic() + pick.uniform(0, 2 * start_s)
            while time.monotonic() < end and process.poll() is None:
                pass
            process.send_signal(number)
            _, errors = process.communicate(timeout=PATIENCE_S)
        if process.returncode == -number or any(said in errors for said in OF_PYTHONS_START):
            outcomes.add("before")  # Python had not come so far: the signal ended it, or its own start
            continue
        assert process.returncode == 128 + number, errors
        assert b"Traceback" not in errors
        left = sorted(path.name for path in tmp_path.iterdir())
        if not trace.exists():
            assert left == ["guest.elf"]
            outcomes.add("none")
            continue
        assert left == ["guest.elf", "run.mst"]
        assert TraceReader(str(trace)).end is not None
        assert minstret("replay", "-q", trace).returncode == 128 + number
        outcomes.add("whole")
        trace.unlink()
    print(f"traces: {sorted(outcomes)}")


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_ends_a_replay(tmp_path: Path, number: signal.Signals) -> None:
    trace, facts = tmp_path / "run.mst", tmp_path / "run.json"
    guest = write_elf(tmp_path / "guest.elf", SPINS)
    assert minstret("record", "-q", "-m", "4M", "--max-insns", "1M", "-o", trace, guest).returncode == 123
    without_end(str(trace))
    with started("replay", "--json", facts, trace) as process:
        wait_until_ready(process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE_S)

        assert process.returncode == 128 + number
        assert b"Traceback" not in errors
    result = json.loads(facts.read_text())
    assert result["stop_reason"] == ("interrupted" if number == signal.SIGINT else "terminated")


@pytest.mark.parametrize("arguments", [("demo",), ("verify", "--runs", "1000", "hello")])
def test_sigterm_ends_a_command_that_runs_others_and_leaves_none_behind(arguments: tuple[str, ...]) -> None:
    with started(*arguments, start_new_session=True) as process:
        deadline = time.monotonic() + PATIENCE_S
        while len(processes_of_session(process.pid)) < 2:
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=PATIENCE_S)  # they may hold its pipes

        assert process.returncode == 143, (output, errors)
        assert b"Traceback" not in errors
        while processes_of_session(process.pid):
            assert time.monotonic() < deadline


def processes_of_session(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(of) == session and state != "Z":
            found.append(int(path.parent.name))
    return found


def test_verify_of_an_endless_guest_soon_says_what_limits_it(tmp_path: Path) -> None:
    guest = write_elf(tmp_path / "guest.elf", elf_files.CHATTERS)
    with started("verify", "-m", "4M", guest) as process:
        assert process.stderr is not None
        said = process.stderr.readline()  # after two seconds

        assert said == (
            b"minstret: the first run has not ended yet; it ends after 1,000,000,000 instructions or 60 s virtual"
            b" at the latest (--max-insns, --max-time), and may take 60 s (--timeout)\n"
        )
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 143
        assert process.stderr.read() == b"minstret: stopped by SIGTERM during run 1 of 20\n"


@pytest.mark.parametrize(
    ("limit", "code", "said"),
    [
        (("--max-insns", "1M"), SPINS, b"--max-insns, 1,000,000 instructions, 0.002000 s virtual, digest "),
        (("--max-time", "2ms"), SPINS, b"--max-time, 1,000,000 instructions, 0.002000 s virtual, digest "),
        ((), SLEEPS, b"--max-time, "),
    ],
)
def test_verify_of_an_endless_guest_says_up_to_where_it_was_compared(
    tmp_path: Path, limit: tuple[str, ...], code: bytes, said: bytes
) -> None:
    done = minstret("verify", "--runs", "2", *limit, "-m", "4M", write_elf(tmp_path / "guest.elf", code))

    assert done.returncode == 0
    assert done.stdout.startswith(b"the same run 2 times: compared up to " + said)


def test_verify_of_a_guest_that_ends_has_nothing_to_say_of_limits() -> None:
    """But on a host so busy that the first run takes two seconds."""
    start_s = time.monotonic()
    done = minstret("verify", "--runs", "3", "-m", "4M", "hello")
    took_s = time.monotonic() - start_s

    assert done.returncode == 0
    assert done.stderr == b"" or took_s > 2


# ---- a host without room


@pytest.mark.parametrize(
    ("code", "status"), [(elf_files.PASSES, 0), (elf_files.fails_with(7), 7), (elf_files.WAITS, 120)]
)
def test_status_stands_where_standard_error_can_not_be_written(tmp_path: Path, code: bytes, status: int) -> None:
    guest = write_elf(tmp_path / "guest.elf", code)
    with open("/dev/full", "wb") as full:
        assert minstret("run", guest, stderr=full).returncode == status
        assert minstret("run", "--no-such-option", guest, stderr=full).returncode == 125
    assert minstret("run", guest, stderr=None, first=lambda: os.close(2)).returncode == status


@pytest.fixture(scope="module")
def trace_of_hello(tmp_path_factory: pytest.TempPathFactory) -> Path:
    trace = tmp_path_factory.mktemp("hello") / "hello.mst"
    assert minstret("record", "-q", "-o", trace, "hello").returncode == 0
    return trace


@pytest.mark.parametrize("command", ["info", "log --all", "timers", "replay", "verify --runs 1"])
def test_what_cannot_be_written_is_one_status_for_all_commands(trace_of_hello: Path, command: str) -> None:
    with open("/dev/full", "wb") as full:
        no_output = minstret(*command.split(), trace_of_hello, stdout=full)
        no_errors = minstret(*command.split(), trace_of_hello, stderr=full)
        nothing = minstret(*command.split(), trace_of_hello, stdout=full, stderr=full)

    assert no_output.stderr == b"minstret: can't write standard output: No space left on device\n"
    assert [done.returncode for done in (no_output, no_errors, nothing)] == [125, 0, 125]


def test_recording_is_complete_though_the_disk_of_its_console_is_full(tmp_path: Path) -> None:
    trace = tmp_path / "run.mst"
    guest = write_elf(tmp_path / "guest.elf", elf_files.CHATTERS)
    with open("/dev/full", "wb") as full:
        done = minstret("record", "-m", "4M", "-o", trace, guest, stdout=full)

    assert done.returncode == 125
    assert done.stderr == b"minstret: can't write standard output: No space left on device\n"
    end = TraceReader(str(trace)).end
    assert end is not None
    assert end["reason"] == "terminated"


def test_little_address_space_never_gives_a_status_of_the_guests() -> None:
    seen = set()
    for mib in (*range(48, 512, 90), 1024, 1200, 1280, 1300, 3000):
        limit = mib << 20
        done = minstret(
            "run", "-q", "-m", "64M", "hello",
            first=lambda limit=limit: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        )  # fmt: skip
        seen.add(done.returncode)
        if done.returncode:
            assert done.returncode == 125, (mib, done.stderr)
            assert done.stderr.startswith(b"minstret: "), (mib, done.stderr)
            assert b"Traceback" not in done.stderr
    assert seen == {0, 125}


@pytest.mark.parametrize("command", ["run", "record"])
def test_few_descriptors_never_give_a_status_of_the_guests(tmp_path: Path, command: str) -> None:
    options = ("-f", "-o", tmp_path / "run.mst") if command == "record" else ()
    seen = set()
    for files in range(6, 16):  # with fewer Python does not start
        done = minstret(
            command, "-q", *options, "hello",
            first=lambda files=files: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)),
        )  # fmt: skip
        seen.add(done.returncode)
        if done.returncode:
            assert done.returncode == 125, (files, done.stderr)
            assert b"Traceback" not in done.stderr
            assert done.stderr.count(b"\n") == 1
    assert seen >= {0}


def test_descriptors_beyond_1024_are_like_others(tmp_path: Path) -> None:
    def take_descriptors() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (2048, max(2048, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
        for _ in range(1100):
            os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)

    trace = tmp_path / "run.mst"
    done = minstret(
        "record", "-q", "--icount", "sleep=on", "-o", trace, "echo", first=take_descriptors,
        stdin=b"abc.", close_fds=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"ABC" in done.stdout
    assert minstret("replay", "-q", trace, first=take_descriptors, close_fds=False).stdout == done.stdout
