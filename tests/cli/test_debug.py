"""``minstret debug``: gdb at a trace, and a server for others' debuggers. What gdb does there has tests of its own."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support import asm, elf_files
from support.commands import PATIENCE_S, Command, Done, cpu_s, minstret, started
from support.gdb_sockets import CTRL_C, PC, GdbClient, Serving, packet
from support.needs import Need
from support.recordings import tamper, without_end
from support.terminals import Terminal

from minstret.emu.cli.gdboptions import history_size_bytes
from minstret.emu.timeline import HISTORY_BYTES
from minstret.firmware import image_path

SPINS = asm.code(asm.addi(asm.T0, asm.T0, 1), asm.jal(0, -4))
"""Counts in t0, forever."""
CRASH_ICOUNT = 245
"""Where the image ``crash`` is in its trap loop."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with traces: ``crash`` ended badly, ``hello`` well, ``killed`` and ``endless`` were killed."""
    path = tmp_path_factory.mktemp("traces")
    for image in ("crash", "hello"):
        assert minstret("record", "-q", "--no-input", "-o", path / f"{image}.mst", image).returncode in (0, 121)
    spins = elf_files.write_elf(path / "spins.elf", SPINS)
    for name, *options in (
        ("killed", "--max-insns", "640"), ("endless", "--max-insns", "1"), ("stopped", "--max-insns", "2M"),
        ("ring", "--max-insns", "5M", "--snapshot-every", "1M", "--ring", "2"),
    ):  # fmt: skip
        done = minstret("record", "-q", *options, "-o", path / f"{name}.mst", spins)
        assert done.returncode == 123
    tamper(str(path / "killed.mst"), "DELETE FROM meta WHERE key = 'end'")
    without_end(str(path / "endless.mst"))
    return path


@pytest.fixture
def debug(inside: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command within this process, in the folder of traces."""
    monkeypatch.chdir(folder)
    return lambda *arguments: inside("debug", *arguments)


@contextmanager
def serving(*arguments: object) -> Iterator[Serving]:
    with started("debug", "--server", "127.0.0.1:0", *arguments) as process:
        yield Serving(process)


def assert_is_one_line_error(done: Done, text: str) -> None:
    assert done.stderr.decode() == f"minstret: {text}\n"
    assert done.returncode == 125
    assert done.stdout == b""


def test_history_is_by_default_that_of_a_timeline() -> None:
    """The option's module imports nothing, so it has the number too."""
    assert history_size_bytes(None) == HISTORY_BYTES


# ---- what can't be


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("none.mst",), "none.mst: No such file or directory"),
        (("spins.elf",), "spins.elf: not a trace (made by minstret record)"),
        (("hello.mst", "--at", "641"), "--at: 641 is beyond icount 640, where this trace ends"),
        (("ring.mst", "--at", "5"), "--at: 5 is before icount 4000000, where this trace begins"),
        (("hello.mst", "--at", "101%"), "--at: the end is at 100%, got '101%'"),
        (("hello.mst", "--at", "half"), "--at: expected an icount such as 5M, a percentage such as 12.5%, start or end,"
         " got 'half'"),
        (("hello.mst", "--history", "much"), "--history: expected a size such as 128M or 1G, got 'much'"),
        (("hello.mst", "--symbols", "none.elf"), "--symbols: none.elf: No such file or directory"),
        (("hello.mst", "--symbols", "hello.mst"), "--symbols: hello.mst: not an ELF file, so it has no symbols"),
        (("hello.mst", "--gdb", "no-such-gdb -q"), "--gdb: 'no-such-gdb' is no command here; leave --gdb out to use the"
         " gdb that is installed"),
        (("hello.mst", "--gdb", ""), "--gdb: '' is no command here; leave --gdb out to use the gdb that is installed"),
        (("hello.mst", "--gdb", "'gdb"), "--gdb: 'gdb: no closing quotation"),
        (("hello.mst", "--server", "1234", "--gdb", "gdb"), "--server: it starts no gdb, so --gdb can't be given too"),
        (("hello.mst", "--server", "1234", "--", "-q"),
         "--server: it starts no gdb, so arguments behind -- can't be given too"),
        (("hello.mst", "--server", "nowhere"), "--server: expected HOST:PORT such as 127.0.0.1:1234, got 'nowhere'"),
        (("hello.mst", "--server", "0.0.0.0:0"), "--server: 0.0.0.0:0 is not this machine's loopback, so others might"
         " connect, and whoever does controls the run; add --allow-remote if that is wanted"),
        (("hello.mst", "--allow-remote"), "--allow-remote: goes with --server"),
        (("-",), "TRACE -: gdb reads standard input; give the trace's file, or add --server HOST:PORT"),
        (("hello.mst", "crash.mst"), "Got unexpected extra argument (crash.mst); see minstret debug --help"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_an_error_of_one_line(debug: Command, arguments: tuple[str, ...], text: str) -> None:
    assert_is_one_line_error(debug(*arguments), text)


def test_port_in_use_is_an_error(debug: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        assert_is_one_line_error(
            debug("hello.mst", "--server", address),
            f"--server: can't listen at {address}: Address already in use; give another port, or 0 for any that is"
            " free",
        )


def test_without_a_gdb_a_line_says_what_to_install(debug: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    done = debug("hello.mst")

    assert done.returncode == 125
    assert done.stderr.decode() == (
        "minstret: no gdb for RISC-V is here: install Debian's gdb-multiarch (elsewhere riscv64-elf-gdb, or gdb"
        " itself); or use --gdb COMMAND, or --server HOST:PORT to connect from elsewhere\n"
    )


def test_gdb_for_other_processors_is_not_taken(
    debug: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    other = tmp_path / "gdb"
    other.write_text("#!/bin/sh\necho 'Undefined item: \"riscv:rv64\".' >&2\nexit 1\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert b"no gdb for RISC-V is here" in debug("hello.mst").stderr


# ---- where it begins


@pytest.mark.parametrize(
    ("trace", "at", "where"),
    [
        ("crash.mst", None, "crash.mst: at its end, icount 245, virtual time 0.000000 s: trap loop at 0x0: the first"),
        ("hello.mst", None, "hello.mst: icount 0, virtual time 0.000000 s\n"),
        ("killed.mst", None, "killed.mst: at its end, icount 640, virtual time 0.000001 s: its recording was killed\n"),
        ("stopped.mst", None, "stopped.mst: at its end, icount 2,000,000, virtual time 0.004000 s: stopped by --max-"),
        ("ring.mst", "start", "ring.mst: icount 4,000,000, "),
        ("ring.mst", "50%", "ring.mst: icount 4,500,000, "),
        ("crash.mst", "0x10", "crash.mst: icount 16, "),
        ("hello.mst", "12.5%", "hello.mst: icount 80, "),
        ("hello.mst", "end", "hello.mst: at its end, icount 640, virtual time 0.000001 s: guest finished with 0\n"),
        ("hello.mst", "100%", "hello.mst: at its end, icount 640, virtual time 0.000001 s: guest finished with 0\n"),
    ],
)
def test_debugging_begins_at_the_end_if_that_is_bad_else_at_the_start_or_where_asked_for(
    folder: Path, trace: str, at: str | None, where: str
) -> None:
    arguments = [folder / trace, *([] if at is None else ["--at", at])]
    with serving(*arguments) as served, served.client() as client:
        assert f"minstret: {folder}/{where}" in served.said.decode()
        assert client.ask(b"?").startswith((b"S05", b"T05"))
        client.send(packet(b"k"))

        assert served.end() == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_the_way_to_the_end(folder: Path, number: signal.Signals, status: int) -> None:
    with started("debug", "--server", "0", folder / "endless.mst") as process:
        for _ in range(4):  # it takes a second to start
            wait_until_busy(process)
        process.send_signal(number)

        assert process.communicate(timeout=PATIENCE_S)[1].strip() == b""
        assert process.returncode == status


def wait_until_busy(process: subprocess.Popen[bytes]) -> None:
    """Wait until it has computed for a while."""
    until_s = cpu_s(process) + 0.5
    while cpu_s(process) < until_s:
        assert process.poll() is None


# ---- the server


def test_clients_are_served_one_after_the_other(folder: Path) -> None:
    with serving(folder / "hello.mst") as served:
        for _ in range(3):
            with served.client() as client:
                assert client.register(PC) == 0x1000
                assert client.ask(b"D") == b"OK"
                assert client.is_closed()
        with served.client() as client:
            client.send(packet(b"k"))

            assert served.end() == 0
    assert served.said.count(b"has connected") == 4
    assert served.said.count(b"has left") == 3


def test_second_client_is_refused_with_a_line(folder: Path) -> None:
    with serving(folder / "hello.mst") as served, served.client() as client, served.client() as second:
        assert client.register(PC) == 0x1000
        assert second.is_closed()
        served.wait_for(rb"minstret: 127\.0\.0\.1:\d+ wants to connect too, but only one can at a time\n")

        assert client.register(PC) == 0x1000


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("doing", ["waiting", "talking", "running"])
def test_signal_ends_the_server(folder: Path, number: signal.Signals, status: int, doing: str) -> None:
    with serving("--at", "start", folder / "endless.mst") as served:
        if doing != "waiting":
            client = served.client()
            client.ask(b"?")
            if doing == "running":
                client.send(packet(b"c"))
        served.process.send_signal(number)

        assert served.end() == status
        assert b"Traceback" not in served.said


def test_move_says_at_the_servers_terminal_where_it_is(folder: Path) -> None:
    terminal = Terminal("debug", "--server", "0", "--at", "start", folder / "endless.mst")
    try:
        terminal.wait_for(b"target extended-remote 127.0.0.1:")
        with GdbClient(int(terminal.wait_for(b"'"))) as client:
            client.send(packet(b"c"))
            terminal.wait_for(b"\rat icount ")
            terminal.wait_for(b" 0 %")
            client.send(CTRL_C)
            client.reply()
            terminal.wait_for(b"\r\x1b[K")
    finally:
        terminal.close()


def test_ctrl_c_of_the_client_ends_a_move(folder: Path) -> None:
    with serving("--at", "start", folder / "endless.mst") as served, served.client() as client:
        client.send(packet(b"c"))
        client.send(CTRL_C)

        assert client.reply().startswith((b"S02", b"T02"))


def test_ctrl_c_of_the_client_ends_a_question(folder: Path) -> None:
    with serving("--at", "start", folder / "endless.mst") as served, served.client() as client:
        client.send(packet(b"qRcmd," + b"why --reg s11 --before end".hex().encode()))
        wait_until_busy(served.process)
        client.send(CTRL_C)
        assert client.reply() == b"OK"  # what it says is not a reply


@pytest.mark.parametrize("has_reset", [False, True])
def test_client_that_vanishes_during_a_move_leaves_a_server_that_serves(folder: Path, has_reset: bool) -> None:
    with serving("--at", "start", folder / "endless.mst") as served:
        client = served.client()
        client.send(packet(b"c") + b"$m0")
        if has_reset:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        served.wait_for(b"has left")
        with served.client() as second:
            assert second.ask(b"?").startswith((b"S05", b"T05"))


def test_client_that_is_no_gdb_is_sent_away(folder: Path) -> None:
    with serving(folder / "hello.mst") as served:
        with served.client() as browser:
            browser.send(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n" + packet(b"k"))
            assert browser.is_closed()
        served.wait_for(rb"minstret: 127\.0\.0\.1:\d+ is no gdb: it began with b'POST / HTTP[^\n]*'\n")
        with served.client() as client:
            assert client.register(PC) == 0x1000


def test_random_bytes_do_no_harm(folder: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    with serving(folder / "hello.mst") as served:
        for _ in range(20):
            with served.client() as client, suppress(OSError):
                client.send(b"+")
                for _ in range(rng.randrange(20)):
                    client.send(rng.randbytes(rng.randrange(2000)))
        with served.client() as client:
            client.send(b"+")
            assert client.ask(b"?").startswith((b"S05", b"T05"))
    assert b"Traceback" not in served.said


def test_quiet_server_says_nothing(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with started("debug", "-q", "--server", port, folder / "hello.mst") as process:
        while True:
            with suppress(ConnectionRefusedError), GdbClient(port) as client:
                client.send(packet(b"k"))
                break
        assert process.communicate(timeout=PATIENCE_S) == (b"", b"")
        assert process.returncode == 0


def test_server_for_others_warns(folder: Path) -> None:
    with started("debug", "--server", "0.0.0.0:0", "--allow-remote", folder / "hello.mst") as process:
        assert process.stderr is not None
        said = b""
        while b"to connect" not in said:
            said += process.stderr.read(4096)
    assert re.search(
        rb"minstret: serving at 0\.0\.0\.0:\d+, to all who can reach that: whoever connects controls the run\n", said
    )


def test_trace_from_standard_input_is_served(folder: Path) -> None:
    with open(folder / "hello.mst", "rb") as trace, started("debug", "--server", "0", "-", stdin=trace) as process:
        served = Serving(process)
        with served.client() as client:
            assert client.register(PC) == 0x1000
            client.send(packet(b"k"))
        assert served.end() == 0
    assert b"minstret: -: icount 0" in served.said


# ---- gdb itself


GDB = shutil.which("gdb-multiarch")
RunGdb = Callable[..., Done]


@pytest.fixture
def gdb(folder: Path, tmp_path: Path, need: Need) -> RunGdb:
    """``minstret debug`` with gdb to its end, which does the given commands; its files are made below tmp_path."""
    need("gdb-multiarch", GDB)

    def run(trace: str, *commands: str, options: tuple[object, ...] = ()) -> Done:
        words = (word for command in commands for word in ("-ex", command))
        return minstret(
            "debug", *options, folder / trace, "--", "-nx", "-batch", *words, env=os.environ | {"TMPDIR": str(tmp_path)}
        )

    return run


def test_gdb_starts_connected_with_symbols_from_the_trace_and_leaves_nothing(gdb: RunGdb, tmp_path: Path) -> None:
    done = gdb("crash.mst", "info files", "backtrace", "print/x $pc", "print 6 * 7")

    assert f"{tmp_path}/minstret-" in done.stdout.decode()
    assert b"/crash-rv64.elf" in done.stdout
    assert b"save_record" in done.stdout
    assert b"$1 = 0x0" in done.stdout
    assert b"$2 = 42" in done.stdout
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_gdb_shows_what_the_guest_sends_on_the_way_forward(gdb: RunGdb) -> None:
    once, twice = (
        gdb("hello.mst", "continue", "reverse-continue"),
        gdb("hello.mst", *["continue", "reverse-continue"] * 2),
    )

    assert [done.stderr.count(b"hello from minstret, rv64") for done in (once, twice)] == [1, 2]


def test_gdb_has_the_terminal_and_its_keys(folder: Path, need: Need) -> None:
    need("gdb-multiarch", GDB)
    terminal = Terminal("debug", "--at", "start", folder / "endless.mst", "--", "-nx")
    try:
        for _ in range(2):
            terminal.wait_for(b"(gdb) ")
            terminal.type(b"continue\n")
            terminal.wait_for(b"Continuing.")
            wait_until_busy(terminal.process)  # before that gdb itself would take it
            terminal.type(CTRL_C)
            terminal.wait_for(b"received signal SIGINT")
        terminal.wait_for(b"(gdb) ")
        terminal.type(CTRL_C)
        terminal.wait_for(b"Quit")
        terminal.type(b"print 6 * 7\n")
        terminal.wait_for(b"$1 = 42")
        terminal.type(b"detach\nquit\n")
        assert terminal.end() == 0
        assert terminal.attributes() == terminal.attributes_before
    finally:
        terminal.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_gdb_too(folder: Path, tmp_path: Path, need: Need, number: signal.Signals) -> None:
    need("gdb-multiarch", GDB)
    with started(
        "debug", "--at", "start", folder / "endless.mst", "--", "-nx", "-ex", "echo here\\n", "-ex", "continue",
        stdin=subprocess.PIPE, env=os.environ | {"TMPDIR": str(tmp_path)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        said = b""
        while b"here" not in said:
            said += process.stdout.read(4096)
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE_S)

        assert process.returncode == 128 + number
        assert b"Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def test_exit_status_is_that_of_gdb(gdb: RunGdb) -> None:
    assert gdb("hello.mst", "quit 7").returncode == 7


def test_given_symbols_stand_in_for_those_of_the_trace(gdb: RunGdb, tmp_path: Path) -> None:
    other, more = tmp_path / "my own.elf", tmp_path / 'mo"re\\.elf'
    shutil.copy(image_path("echo"), other)
    shutil.copy(image_path("hello"), more)

    done = gdb("hello.mst", "info line echo_line", "info files", options=("--symbols", other, "--symbols", more))

    assert b"my own.elf" in done.stdout
    assert b"minstret-" not in done.stdout
    assert f'add symbol table from file "{more}"' in done.stdout.decode()


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """A program in gdb's place that shows its arguments, one a line."""
    path = tmp_path / "my-gdb"
    path.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 3\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(("image", "xlen"), [("hello", 64), ("hello-rv32", 32)])
def test_gdb_that_is_given_is_started_with_its_arguments(
    tmp_path: Path, stand_in: Path, image: str, xlen: int
) -> None:  # fmt: skip
    trace = tmp_path / "run.mst"
    assert minstret("record", "-q", "--no-input", "-o", trace, image).returncode == 0

    done = minstret("debug", "--gdb", f"'{stand_in}' --first", trace, "--", "--last", "-x", "y z")

    first, *words, last, x, file = done.stdout.decode().splitlines()
    assert (first, last, x, file) == ("--first", "--last", "-x", "y z")
    assert words[0:2] == ["-q", "-d"]
    assert words[3:6] == ["-ex", f"set architecture riscv:rv{xlen}", "-ex"]
    assert re.fullmatch(r"target extended-remote 127\.0\.0\.1:\d+", words[6])
    assert words[7].endswith(f"/hello-rv{xlen}.elf")
    assert done.returncode == 3


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "..", "", "-ex", ".gdbinit", "a\\nb", "x" * 300])
def test_name_of_an_image_in_a_trace_leads_nowhere_else(
    folder: Path, tmp_path: Path, stand_in: Path, name: str
) -> None:  # fmt: skip
    trace, temporary = tmp_path / "run.mst", tmp_path / "temporary"
    temporary.mkdir()
    shutil.copy(folder / "hello.mst", trace)
    assert tamper(
        str(trace), "UPDATE meta SET value = replace(value, 'hello-rv64.elf', ?) WHERE key = 'images'", name
    ) == 1  # fmt: skip

    done = minstret("debug", "--gdb", stand_in, trace, env=os.environ | {"TMPDIR": str(temporary)})

    path = done.stdout.decode().splitlines()[-1]
    assert re.fullmatch(rf"{temporary}/minstret-\w+/\w[\w.+-]{{0,99}}", path), path
    assert done.returncode == 3


def test_command_that_is_no_program_is_an_error(folder: Path, tmp_path: Path) -> None:
    mine = tmp_path / "my-gdb"
    mine.write_bytes(b"\0\0")
    mine.chmod(0o755)

    done = minstret("debug", "-q", "--gdb", mine, folder / "hello.mst")

    assert done.stderr.decode() == f"minstret: --gdb: can't start {mine}: Exec format error\n"
    assert done.returncode == 125
