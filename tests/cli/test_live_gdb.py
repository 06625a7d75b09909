"""gdb at a live run: run and record with --gdb, -s and -S."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from support import asm, elf_files
from support.commands import Command, minstret, started, wait_until_asleep
from support.gdb_sockets import CTRL_C, PC, GdbClient, Serving, packet

RESET, RAM = 0x1000, 0x8000_0000
HELLO = b"hello from minstret, rv64\nhart 0\n"
BANNER = b"echo: type, end with a full stop\n"
SPINS = asm.code(asm.addi(asm.T0, asm.T0, 1), asm.jal(0, -4))
"""Counts in t0, forever."""
T0 = 5
STOPPED = (b"S", b"T")


@pytest.fixture
def spins(tmp_path: Path) -> Path:
    return elf_files.write_elf(tmp_path / "spins.elf", SPINS)


@contextmanager
def serving(*arguments: object, command: str = "run", **options: Any) -> Iterator[Serving]:
    with started(command, "--gdb", "127.0.0.1:0", *arguments, **options) as process:
        yield Serving(process)


def is_stop(reply: bytes) -> bool:
    return reply.startswith(STOPPED)


# ---- what can't be


@pytest.mark.parametrize("command", ["run", "record"])
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("-s", "--gdb", "1234"), "-s is the same as --gdb 127.0.0.1:1234; give one of them"),
        (("-S",), "--wait (-S): goes with --gdb or -s"),
        (("--history", "1M"), "--history: goes with --gdb or -s"),
        (("--allow-remote",), "--allow-remote: goes with --gdb or -s"),
        (("--gdb", "tcp::1234"), "--gdb: expected HOST:PORT such as 127.0.0.1:1234, got 'tcp::1234'"),
        (("--gdb", "0.0.0.0:0"), "--gdb: 0.0.0.0:0 is not this machine's loopback, so others might connect, and"
         " whoever does controls the run; add --allow-remote if that is wanted"),
        (("--gdb", ":0", "--history", "x"), "--history: expected a size such as 128M or 1G, got 'x'"),
        (("--gdb", ":0", "--timer-model", "no-attributes"),
         "a run with the timer model no-attributes can't go back; leave out --timer-model"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_an_error_of_one_line(
    inside: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, arguments: tuple[str, ...],
    text: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    done = inside(command, *arguments, "hello")

    assert done.stderr.decode().splitlines()[-1] == f"minstret: {text}"
    assert done.returncode == 125
    assert list(tmp_path.iterdir()) == []


def test_ring_forgets_what_going_back_needs(
    inside: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)

    done = inside("record", "--gdb", ":0", "--ring", "2", "hello")

    assert b"a recording in a ring forgets its beginning, so it can't go back; leave out --ring" in done.stderr
    assert done.returncode == 125


def test_s_is_the_port_that_qemu_takes(inside: Command) -> None:
    with socket.socket() as taken:
        with suppress(OSError):  # somebody else has it
            taken.bind(("127.0.0.1", 1234))
            taken.listen()

        done = inside("run", "-s", "hello")

    assert done.stderr.startswith(b"minstret: -s: can't listen at 127.0.0.1:1234: Address already in use; ")
    assert done.returncode == 125


# ---- a run without gdb, and one that waits for it


def test_run_to_which_nobody_comes_is_as_usual(tmp_path: Path) -> None:
    facts = []
    for number, options in enumerate(([], ["--gdb", "127.0.0.1:0"])):
        path = tmp_path / f"{number}.json"
        done = minstret("run", *options, "--no-input", "--json", path, "hello")
        assert (done.returncode, done.stdout) == (0, HELLO)
        facts.append({key: value for key, value in json.loads(path.read_text()).items() if key not in VARYING})

    assert facts[0] == facts[1]


VARYING = ("wall_s", "user_s", "mips")
"""Facts that are others in each run."""


def test_quiet_run_says_nothing_of_gdb() -> None:
    done = minstret("run", "-q", "--gdb", "127.0.0.1:0", "--no-input", "hello")

    assert (done.returncode, done.stdout, done.stderr) == (0, HELLO, b"")


@pytest.mark.parametrize("command", ["run", "record"])
def test_guest_that_waits_for_gdb_begins_when_that_lets_it(tmp_path: Path, command: str) -> None:
    with serving("-S", "hello", command=command, cwd=tmp_path) as served:
        with served.client() as client:
            assert client.register(PC) == RESET
            assert is_stop(client.ask(b"c"))
            assert client.ask(b"D") == b"OK"
        assert served.end() == 0
        assert served.output == HELLO


def test_guest_that_has_ended_while_gdb_is_there_ends_when_gdb_leaves() -> None:
    with serving("-S", "hello") as served:
        with served.client() as client:
            assert is_stop(client.ask(b"c"))
            served.wait_for(rb"minstret: the run is over, and ends when gdb leaves\n")
            assert is_stop(client.ask(b"?"))
            client.send(packet(b"k"))
        assert served.end() == 0
    assert b"minstret: guest finished with 0\n" in served.said


def test_gdb_that_only_looks_in_does_not_let_the_guest_begin() -> None:
    with serving("-S", "hello") as served:
        served.client().close()
        served.wait_for(b"has left")
        with served.client() as client:
            assert client.register(PC) == RESET


def test_time_limit_does_not_count_before_the_guest_begins(spins: Path) -> None:
    with serving("-S", "--timeout", "0.3", spins) as served:
        with served.client() as client:
            assert client.register(PC) == RESET
            assert client.hears_nothing_for(0.5)
            assert is_stop(client.ask(b"c"))
            assert RAM <= client.register(PC) < RAM + 8
            assert client.ask(b"D") == b"OK"
        assert served.end() == 124


# ---- gdb comes and goes


def test_gdb_that_connects_stops_the_guest_and_detaching_lets_it_go_on(spins: Path) -> None:
    with serving("--max-insns", "300M", spins) as served:
        counts = []
        for _ in range(2):
            with served.client() as client:
                counts.append(client.register(T0))
                assert client.register(T0) == counts[-1]
                assert client.ask(b"D") == b"OK"
                assert client.is_closed()
        assert served.end() == 123
    assert counts[0] <= counts[1]
    assert re.search(rb"minstret: 300,000,000 instructions", served.said)


def test_gdb_stops_a_guest_that_waits_for_input() -> None:
    read_fd, write_fd = os.pipe()
    with os.fdopen(read_fd) as stdin, serving("echo", stdin=stdin) as served:
        assert served.process.stdout is not None
        assert served.process.stdout.read(100) == BANNER
        wait_until_asleep(served.process)
        with served.client() as client:
            pc = client.register(PC)
            assert pc >= RAM
            client.send(packet(b"c") + CTRL_C)
            assert is_stop(client.reply())
            assert client.ask(b"D") == b"OK"
        os.write(write_fd, b"text.\n")
        os.close(write_fd)
        assert served.end() == 0
        assert b"TEXT" in served.output


def test_ctrl_c_of_gdb_stops_the_guest(spins: Path) -> None:
    with serving(spins) as served, served.client() as client:
        for _ in range(3):
            client.send(packet(b"c"))
            client.send(CTRL_C)
            assert client.reply().startswith((b"S02", b"T02"))


def test_gdb_that_vanishes_lets_the_guest_go_on(spins: Path) -> None:
    with serving("--max-insns", "300M", spins) as served:
        client = served.client()
        client.send(packet(b"c"))
        client.close()
        assert served.end() == 123


@pytest.mark.parametrize("packet_", [b"k", b"vKill;1"])
@pytest.mark.parametrize("is_moving", [False, True])
def test_kill_ends_the_run_as_its_user_does(spins: Path, packet_: bytes, is_moving: bool) -> None:
    with serving(spins) as served:
        with served.client() as client:
            if is_moving:
                client.send(packet(b"c"))
                client.send(CTRL_C)
                client.reply()
            client.send(packet(packet_))
            assert client.is_closed()
        assert served.end() == 130
    assert b"minstret: stopped by gdb\n" in served.said


def test_kill_in_extended_mode_ends_the_run_when_gdb_leaves(spins: Path) -> None:
    with serving(spins) as served:
        with served.client() as client:
            assert client.ask(b"!") == b"OK"
            assert client.ask(b"vKill;1") == b"OK"
        assert served.end() == 130
    assert b"minstret: stopped by gdb\n" in served.said


def test_second_gdb_is_refused_with_a_line(spins: Path) -> None:
    with serving(spins) as served, served.client() as client, served.client() as second:
        assert second.is_closed()
        served.wait_for(rb"minstret: 127\.0\.0\.1:\d+ wants to connect too, but only one can at a time\n")
        assert client.register(PC) >= RESET


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("doing", ["waiting", "talking", "running", "past"])
def test_signal_ends_the_run_whatever_gdb_does(spins: Path, number: signal.Signals, status: int, doing: str) -> None:
    with serving(*(["-S"] if doing == "waiting" else []), spins) as served:
        if doing != "waiting":
            client = served.client()
            client.ask(b"?")
            if doing == "past":
                assert is_stop(client.ask(b"bc"))
            if doing == "running":
                client.send(packet(b"c"))
        else:
            served.wait_for(b"waits for gdb")
        served.process.send_signal(number)

        assert served.end() == status
    assert b"Traceback" not in served.said


@contextmanager
def at_terminal(*arguments: object) -> Iterator[tuple[Serving, int]]:
    """The command with a keyboard; the other end of it."""
    master, slave = pty.openpty()
    with serving(*arguments, stdin=slave) as served:
        os.close(slave)
        yield served, master
    os.close(master)


def test_ctrl_a_x_ends_a_run_that_gdb_has_stopped(spins: Path) -> None:
    with at_terminal(spins) as (served, keyboard):
        with served.client() as client:
            client.ask(b"?")
            os.write(keyboard, b"\x01x")
            assert client.is_closed()
        assert served.end() == 130
    assert b"minstret: stopped by Ctrl-A x\n" in served.said


def test_keys_that_are_typed_while_gdb_has_stopped_the_guest_come_to_it_later() -> None:
    with at_terminal("-S", "echo") as (served, keyboard):
        with served.client() as client:
            os.write(keyboard, b"typed\x01c")
            served.wait_for(b"the guest runs at pc 0x1000")
            assert client.ask(b"D") == b"OK"
        os.write(keyboard, b".")
        assert served.end() == 0
        assert b"TYPED" in served.output


# ---- the past


def test_gdb_goes_back_in_a_live_run_and_on_again() -> None:
    with serving("-S", "hello") as served:
        with served.client() as client:
            client.ask(b"c")
            end = client.register(PC)
            assert end >= RAM
            assert is_stop(client.ask(b"bc"))
            assert client.register(PC) == RESET
            assert is_stop(client.ask(b"c"))
            assert client.register(PC) == end
            assert is_stop(client.ask(b"bs"))
            assert client.ask(b"D") == b"OK"
        assert served.end() == 0
        assert served.output == HELLO  # once


def test_gdb_that_leaves_in_the_past_lets_the_run_go_on_from_the_present(spins: Path) -> None:
    with serving("--max-insns", "300M", spins) as served:
        with served.client() as client:
            client.ask(b"?")
            assert is_stop(client.ask(b"bc"))
            assert client.register(PC) == RESET
        assert served.end() == 123
    assert re.search(rb"minstret: 300,000,000 instructions", served.said)


def test_recording_has_what_gdb_has_changed(spins: Path, tmp_path: Path) -> None:
    trace = tmp_path / "run.mst"
    changed = (1 << 62).to_bytes(8, "little").hex().encode()
    with serving("-S", "--max-insns", "1000", "-o", trace, spins, command="record") as served:
        with served.client() as client:
            for _ in range(10):
                client.ask(b"s")
            assert client.ask(b"P%x=%b" % (T0, changed)) == b"OK"
            assert is_stop(client.ask(b"c"))
            assert client.register(T0) > 1 << 62
            assert client.ask(b"D") == b"OK"
        assert served.end() == 123
    done = minstret("replay", trace)
    assert done.returncode == 123, done.stderr


def test_limit_of_instructions_is_exact_and_gdb_may_look_there(spins: Path) -> None:
    with serving("-S", "--max-insns", "1_000_000", spins) as served:
        with served.client() as client:
            assert is_stop(client.ask(b"c"))
            count = client.register(T0)
            assert is_stop(client.ask(b"c"))
            assert client.register(T0) == count
            assert client.ask(b"D") == b"OK"
        assert served.end() == 123
    assert b"minstret: 1,000,000 instructions" in served.said


# ---- whatever comes

WISHES = (
    b"? g c s bs bc vCont;c vCont;s:1 vCont;s:2;c m80000000,40 M80000100,4:01020304 P5=0100000000000000 Z0,80000004,4"
    b" z0,80000004,4 Z2,80001000,8 z2,80001000,8 Hg2 Hc1 qfThreadInfo qSupported:swbreak+ ! D R00 vRun;"
    b" vCont;r80000000,80001000:1 qXfer:features:read:target.xml:0,ffb"
).split() + [b"qRcmd," + text.hex().encode() for text in (b"when", b"seek 50%", b"seek end", b"type x")]
"""Packets that make sense."""


def be_a_nuisance(client: GdbClient, rng: random.Random) -> None:
    """Send packets, halves of packets, Ctrl-C and noise, read some of the answers, and vanish."""
    client.send(b"+")
    for _ in range(rng.randrange(30)):
        wish = packet(rng.choice(WISHES))
        half = wish[: rng.randrange(len(wish))]
        client.send(rng.choice([wish] * 7 + [half, CTRL_C, rng.randbytes(rng.randrange(30))]))
        if rng.random() < 0.3:
            client.socket.settimeout(0.01)
            with suppress(TimeoutError):
                client.socket.recv(1 << 16)


def test_recording_of_a_run_that_nuisances_came_to_replays(spins: Path, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng, trace = random.Random(seed), tmp_path / "run.mst"
    with serving("--smp", "2", "-o", trace, spins, command="record") as served:
        for _ in range(20):
            with suppress(OSError), served.client() as client:
                be_a_nuisance(client, rng)
        served.process.send_signal(signal.SIGTERM)
        status = served.end()
    assert b"Traceback" not in served.said
    assert status in (121, 143)  # what they wrote may have made it crash

    done = minstret("replay", "-q", trace)
    assert (done.returncode, done.stderr) == (status, b"")
