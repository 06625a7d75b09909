"""``minstret qemu``: real runs by QEMU's command lines, with a peer at each kind of serial line."""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import asm
from support.commands import PATIENCE_S, Command, minstret, started
from support.gdb_sockets import Serving
from support.needs import Need
from support.qemu import QEMU_SECONDS_MAX
from support.terminals import Terminal

from minstret.devices.board.map import Base
from minstret.firmware import image_path

ECHO, HELLO = image_path("echo", 64), image_path("hello", 64)
BANNER = b"echo: type, end with a full stop"
ZEPHYR = (
    "-nographic -machine virt -m 256 -cpu rv64 -net none -pidfile qemu.pid -chardev stdio,id=con,mux=on"
    " -serial chardev:con -mon chardev=con,mode=readline -icount shift=6,align=off,sleep=off -rtc clock=vm -bios none"
)
PLAIN = "-M virt -bios none -display none -monitor none"
RESETS = asm.code(asm.li(asm.T0, Base.FINISHER), asm.li(asm.T1, 0x7777), asm.sw(asm.T1, asm.T0, 0), asm.LOOP)


def line(text: str, image: Path = ECHO) -> list[str]:
    return ["qemu", "--", *shlex.split(text), "-kernel", str(image)]


def finishing(word: int) -> bytes:
    """Code that writes ``word`` to the finisher."""
    return asm.code(asm.li(asm.T0, Base.FINISHER), asm.li(asm.T1, word), asm.sw(asm.T1, asm.T0, 0), asm.LOOP)


def read_until(fd: int, text: bytes) -> bytes:
    """What comes until ``text`` has."""
    shown = b""
    while text not in shown:
        assert select.select([fd], [], [], PATIENCE_S)[0], f"{text!r} does not come; shown: {shown!r}"
        data = os.read(fd, 4096)
        assert data, f"{text!r} did not come; shown: {shown!r}"
        shown += data
    return shown


@contextmanager
def running(text: str, image: Path = ECHO, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A run whose input is a pipe that stays open."""
    with started(*line(text, image), **({"stdin": subprocess.PIPE} | options)) as process:
        yield process


def end(process: subprocess.Popen[bytes]) -> int:
    return process.wait(PATIENCE_S)


@contextmanager
def connected(family: int, address: Any) -> Iterator[socket.socket]:
    with socket.socket(family) as peer:
        peer.settimeout(PATIENCE_S)
        peer.connect(address)
        yield peer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# ---- Zephyr's line, and how it ends


def test_line_of_zephyr_runs_and_its_pidfile_is_gone_at_the_end(tmp_path: Path) -> None:
    done = minstret(*line(ZEPHYR), stdin=b"hi.", cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines()[:2] == [BANNER, b"HI"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_to_the_process_of_the_pidfile_ends_it_with_status_0(tmp_path: Path, number: signal.Signals) -> None:
    with running(ZEPHYR, cwd=tmp_path) as process:
        assert process.stdout is not None
        read_until(process.stdout.fileno(), BANNER)
        pid = int((tmp_path / "qemu.pid").read_text())
        os.kill(pid, number)

        assert (pid, end(process)) == (process.pid, 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("word", "status"), [(0x5555, 0), (0x3_3333, 3), (0xFF_3333, 255), (0x100_3333, 1)])
def test_guests_exit_code_is_the_status_and_a_failure_is_never_0(
    tmp_path: Path, inside: Command, word: int, status: int
) -> None:  # fmt: skip
    (tmp_path / "guest.bin").write_bytes(finishing(word))

    assert inside(*line(PLAIN, tmp_path / "guest.bin")).returncode == status


def test_guest_that_waits_forever_is_told_and_fails_where_no_input_can_come(inside: Command) -> None:
    done = inside(*line(f"{PLAIN} -serial null"))

    assert done.returncode == 120
    assert b"waits forever" in done.stderr
    assert b"--idle-ok" not in done.stderr  # which is no option of QEMU's


def test_guest_that_waits_forever_stays_as_long_as_a_monitor_can_be_asked(tmp_path: Path) -> None:
    (tmp_path / "wfi.bin").write_bytes(asm.code(asm.WFI, asm.LOOP))
    with running(f"{PLAIN} -serial null -monitor stdio", tmp_path / "wfi.bin") as process:
        assert process.stdout is not None and process.stdin is not None
        said = read_until(process.stdout.fileno(), b"(qemu)")
        while b"the guest waits" not in said:
            process.stdin.write(b"info cpus\n")
            said = read_until(process.stdout.fileno(), b"(qemu)")
        process.stdin.write(b"quit\n")

        assert end(process) == 0


def test_log_goes_to_the_file(tmp_path: Path, inside: Command) -> None:
    done = inside(*line(f"{PLAIN} -serial stdio -d int -D {tmp_path}/log", image_path("traps", 64)))

    assert (done.returncode, done.stderr) == (0, b"")
    assert "trap      load access fault (5) at 0x80003024 <load_word>" in (tmp_path / "log").read_text()


def test_guest_in_a_trap_loop_is_told_and_fails(inside: Command) -> None:
    done = inside(*line(f"{PLAIN} -serial stdio", image_path("traps", 64)))
    crash = inside("qemu", "--", *shlex.split(PLAIN), "-kernel", "crash")

    assert done.returncode == 0
    assert crash.returncode == 121
    assert b"trap loop" in crash.stderr


def test_reset_ends_the_run_with_no_reboot(tmp_path: Path, inside: Command) -> None:
    (tmp_path / "reset.bin").write_bytes(RESETS)

    assert inside(*line(f"{PLAIN} -no-reboot", tmp_path / "reset.bin")).returncode == 0
    assert inside("run", "--no-reboot", tmp_path / "reset.bin").returncode == 0


def test_refusal_is_one_line_with_status_1(inside: Command) -> None:
    done = inside("qemu", "--", "-M", "virt", "-drive", "file=x")

    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"minstret: -drive file=x: this board has no disk\n"


def test_file_that_is_missing_is_told_with_status_1(inside: Command) -> None:
    done = inside(*line(PLAIN, Path("/nonexistent.elf")))

    assert done.returncode == 1
    assert done.stderr.startswith(b"minstret: /nonexistent.elf: no such file")


@pytest.mark.parametrize(("text", "why"), [("-m 3X", b"-m: expected"), ("-seed x", b"'-seed'"), ("-smp 99", b"-smp: ")])
def test_value_that_is_refused_later_is_told_by_qemus_name_of_the_option(
    inside: Command, text: str, why: bytes
) -> None:  # fmt: skip
    done = inside(*line(f"{PLAIN} {text}"))

    assert done.returncode == 1
    assert why in done.stderr and b"--" not in done.stderr and done.stderr.count(b"\n") == 1


def test_without_a_command_line_it_says_what_to_give(inside: Command) -> None:
    done = inside("qemu")

    assert (done.returncode, done.stdout) == (125, b"")
    assert b"give a command line of QEMU's behind --, or --install DIR" in done.stderr


def test_options_of_qemu_need_no_dashes_before_them(inside: Command) -> None:
    done = inside("qemu", "-M", "virt", "-bios", "none", "-nographic", "-kernel", str(HELLO))

    assert done.stdout.startswith(b"hello from minstret, rv64\n")


def test_version_begins_like_that_of_qemu(inside: Command) -> None:
    assert re.match(
        rb"QEMU emulator version 7\.2\.0 \(minstret [0-9.]+[a-z0-9.]*\)\n", inside("qemu", "--", "--version").stdout
    )


def test_show_prints_the_same_as_options_of_run(inside: Command) -> None:
    shown = inside("qemu", "--show", "--", *shlex.split(f"{PLAIN} -serial stdio -smp 2"), "-kernel", str(HELLO)).stdout

    assert shown == f"minstret run --smp=2 --bios=none --kernel={HELLO} --entropy=none\n".encode()
    assert inside(*shlex.split(shown.decode())[1:]).stdout.startswith(b"hello from minstret, rv64\n")


# ---- serial lines


def test_two_pipes(tmp_path: Path) -> None:
    for name in ("con.in", "con.out"):
        os.mkfifo(tmp_path / name)
    with running(f"{PLAIN} -chardev pipe,id=con,mux=on,path=con -serial chardev:con", cwd=tmp_path) as process:
        reads = os.open(tmp_path / "con.out", os.O_RDONLY)
        writes = os.open(tmp_path / "con.in", os.O_WRONLY)
        read_until(reads, BANNER)
        os.write(writes, b"ab.")

        assert b"AB" in read_until(reads, b"2 bytes")
        assert end(process) == 0
        os.close(reads)
        os.close(writes)


def test_pty_whose_reader_comes_later_leaves_and_comes_again() -> None:
    with running(f"{PLAIN} -serial pty -no-reboot") as process:
        assert process.stdout is not None
        told = read_until(process.stdout.fileno(), b"(label serial0)\n")
        found = re.fullmatch(rb"char device redirected to (/dev/pts/\d+) \(label serial0\)\n", told)
        assert found is not None
        for typed, shown in ((b"a", b"A"), (b"b", b"B")):
            terminal = os.open(found[1], os.O_RDWR | os.O_NOCTTY)
            os.write(terminal, typed)
            read_until(terminal, shown)
            os.close(terminal)
        terminal = os.open(found[1], os.O_RDWR | os.O_NOCTTY)
        os.write(terminal, b".")
        assert end(process) == 0
        os.close(terminal)


def test_unix_server_that_waits_for_its_client_begins_then_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "con"
    with running(f"{PLAIN} -serial unix:{path},server") as process:
        assert process.stderr is not None
        assert b"waits for a client at" in read_until(process.stderr.fileno(), b"\n")
        with connected(socket.AF_UNIX, str(path)) as peer:
            read_until(peer.fileno(), BANNER)
            peer.sendall(b"ab.")
            assert b"AB" in read_until(peer.fileno(), b"2 bytes")
        assert end(process) == 0
    assert not path.exists()


def test_tcp_server_that_does_not_wait_takes_one_client_after_another() -> None:
    port = free_port()
    with running(f"{PLAIN} -serial tcp::{port},server,nowait -monitor stdio") as process:
        assert process.stdout is not None
        read_until(process.stdout.fileno(), b"(qemu)")  # it listens
        for typed, shown in ((b"a", b"A"), (b"b", b"B")):
            with connected(socket.AF_INET, ("127.0.0.1", port)) as peer:
                peer.sendall(typed)
                read_until(peer.fileno(), shown)
        with connected(socket.AF_INET, ("127.0.0.1", port)) as peer:
            peer.sendall(b".")
            assert end(process) == 0


def test_tcp_client() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with running(
            f"{PLAIN} -chardev socket,id=s,host=127.0.0.1,port={server.getsockname()[1]} -serial chardev:s"
        ) as p:
            peer, _ = server.accept()
            with peer:
                read_until(peer.fileno(), BANNER)
                peer.sendall(b".")
                assert end(p) == 0


def test_file_keeps_what_the_guest_has_said(tmp_path: Path, inside: Command) -> None:
    done = inside(*line(f"{PLAIN} -serial file:{tmp_path}/out", HELLO))

    assert (done.returncode, done.stdout) == (0, b"")
    assert (tmp_path / "out").read_bytes().startswith(b"hello from minstret, rv64\n")


@pytest.mark.parametrize(
    ("serial", "why"),
    [
        ("tcp:127.0.0.1:1", b"-serial tcp:127.0.0.1:1: can't connect: Connection refused"),
        ("pipe:/nonexistent/p", b"-serial pipe:/nonexistent/p: /nonexistent/p: No such file or directory"),
        ("tcp:0.0.0.0:0,server", b"is not this machine's loopback"),
    ],
)
def test_serial_line_that_cannot_be_opened_is_told(inside: Command, serial: str, why: bytes) -> None:
    done = inside(*line(f"{PLAIN} -serial {serial}"))

    assert done.returncode == 1
    assert why in done.stderr and done.stderr.count(b"\n") == 1


def test_socket_is_gone_also_where_the_board_could_not_be_made(tmp_path: Path, inside: Command) -> None:
    assert inside(*line(f"{PLAIN} -serial unix:{tmp_path}/con,server,nowait", Path("/nonexistent"))).returncode == 1
    assert list(tmp_path.iterdir()) == []


# ---- monitors


def test_ctrl_a_c_leads_to_the_monitor_and_back_also_at_a_pipe() -> None:
    with running(f"{ZEPHYR.replace('-pidfile qemu.pid', '')}") as process:
        assert process.stdout is not None and process.stdin is not None
        read_until(process.stdout.fileno(), BANNER)
        process.stdin.write(b"\x01cinfo status\rnonsense\r\x01c")
        assert b"VM status: running" in read_until(process.stdout.fileno(), b"'nonsense'\r\n(qemu) \r\n")
        process.stdin.write(b"x")
        read_until(process.stdout.fileno(), b"X")
        process.stdin.write(b"\x01h\x01cquit\r")
        assert b"Ctrl-A c   to the monitor" in read_until(process.stdout.fileno(), b"send Ctrl-A")

        assert end(process) == 0


def test_ctrl_a_x_at_a_terminal_ends_it_with_status_0_and_ctrl_c_goes_to_the_guest() -> None:
    terminal = Terminal(*line("-M virt -bios none -nographic"))
    with closing(terminal):
        terminal.wait_for(BANNER)
        terminal.type(b"\x03\x01x")

        assert terminal.end() == 0


def test_registers_are_shown_by_the_monitor() -> None:
    with running(f"{PLAIN.replace('-monitor none', '-monitor stdio')} -serial null") as process:
        assert process.stdout is not None and process.stdin is not None
        read_until(process.stdout.fileno(), b"(qemu) ")
        process.stdin.write(b"info registers\n")
        shown = read_until(process.stdout.fileno(), b"x31/t6")
        assert re.search(rb"CPU#0\r\n pc +00000000800[0-9a-f]{5}\r\n", shown)
        process.stdin.write(b"q\n")
        assert end(process) == 0


def test_qmp_resets_the_board_and_the_recording_has_it(tmp_path: Path) -> None:
    path, trace = tmp_path / "qmp", tmp_path / "run.mst"
    qemu, *rest = line(f"{PLAIN} -serial stdio -qmp unix:{path},server")
    with started(qemu, "--record", trace, *rest, stdin=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        read_until(process.stderr.fileno(), b"\n")
        with connected(socket.AF_UNIX, str(path)) as peer, peer.makefile("rw") as qmp:

            def ask(command: str, **more: object) -> Any:
                print(json.dumps({"execute": command} | more), file=qmp, flush=True)
                return json.loads(qmp.readline())

            assert json.loads(qmp.readline())["QMP"]["version"]["qemu"]["major"] == 7
            assert ask("query-status")["error"]["class"] == "CommandNotFound"
            assert ask("qmp_capabilities") == {"return": {}}
            assert ask("query-status", id=5)["return"]["running"] is True
            read_until(process.stdout.fileno(), BANNER)
            assert ask("system_reset")["event"] == "RESET"
            assert json.loads(qmp.readline()) == {"return": {}}
            read_until(process.stdout.fileno(), BANNER)
            assert ask("quit")["event"] == "SHUTDOWN"
        assert end(process) == 0

    replayed = minstret("replay", trace)
    assert replayed.stdout.count(BANNER) == 2, replayed.stderr


def test_gdb_lets_the_guest_begin() -> None:
    with running(f"{PLAIN} -serial stdio -gdb tcp::0 -S", HELLO) as process:
        assert process.stdout is not None
        client = Serving(process).client()
        assert not select.select([process.stdout], [], [], 0)[0]
        client.send(b"+$D#44")

        assert b"hello from minstret" in read_until(process.stdout.fileno(), b"\n")
        assert end(process) == 0


# ---- recordings, commands of QEMU's names


def test_environment_has_each_run_recorded_under_a_name_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"  # it is made
    for _ in range(2):
        done = minstret(*line(f"{PLAIN} -serial stdio", HELLO), env=os.environ | {"MINSTRET_QEMU_RECORD": str(folder)})
        assert re.fullmatch(rb"minstret: recorded \S+/hello-rv64-\d+-\d+\.mst; to replay it: .+\n", done.stderr)

    traces = sorted(folder.iterdir())
    assert len(traces) == 2
    assert minstret("replay", "-q", traces[0]).stdout.startswith(b"hello from minstret, rv64\n")


def test_folder_of_the_environment_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    where = tmp_path / "file" / "traces"

    done = minstret(*line(PLAIN, HELLO), env=os.environ | {"MINSTRET_QEMU_RECORD": str(where)})

    assert done.returncode == 1
    assert done.stderr == f"minstret: MINSTRET_QEMU_RECORD={where}: Not a directory\n".encode()


def test_installed_commands_run_with_their_width_and_any_path(tmp_path: Path, inside: Command) -> None:
    folder = tmp_path / "bin of mine's"
    said = inside("qemu", "--install", folder)

    assert said.returncode == 0 and b"QEMU_BIN_PATH='" in said.stdout
    assert sorted(os.listdir(folder)) == ["qemu-system-riscv32", "qemu-system-riscv64"]
    arguments = [*shlex.split(PLAIN), "-serial", "stdio", "-kernel", "hello", "-append", "a  b"]
    shown = subprocess.run(
        [folder / "qemu-system-riscv32", *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, cwd=tmp_path, timeout=PATIENCE_S,
    )  # fmt: skip
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert shown.stdout.startswith(b"hello from minstret, rv32\n")


def test_install_replaces_its_own_and_nothing_else(tmp_path: Path, inside: Command) -> None:
    assert inside("qemu", "--install", tmp_path).returncode == 0
    assert inside("qemu", "--install", tmp_path).returncode == 0
    (tmp_path / "qemu-system-riscv64").write_text("#!/bin/sh\n")
    refused = inside("qemu", "--install", tmp_path)

    assert refused.returncode == 125
    assert b"--force replaces it" in refused.stderr
    assert (tmp_path / "qemu-system-riscv64").read_text() == "#!/bin/sh\n"
    assert inside("qemu", "--install", tmp_path, "--force").returncode == 0


# ---- beside the real one


@pytest.mark.parametrize(
    "text",
    [
        "-M virt -bios none -nographic -kernel {hello}",
        "-machine virt,aclint=off -cpu rv64 -m 64M -smp 1 -bios none -nographic -kernel {hello}",
        "-machine virt -bios {hello} -nographic",
        "-M virt -bios none -display none -serial stdio -monitor none -kernel {paging}",
        "-M virt -bios none -chardev stdio,id=c,mux=on -serial chardev:c -mon chardev=c -display none -kernel {traps}",
        "-M virt -bios none -nographic -smp 2 -kernel {smp}",
        "-M virt -bios none -nographic -nodefaults -kernel {hello}",
        "-M virt -bios none -display none -serial null -kernel {hello}",
        "-M virt -bios none -nographic -no-reboot -kernel {reset}",
        "-M virt -bios none -nographic -kernel {fails}",
        "-M virt -nonsense",
    ],
)  # fmt: skip
def test_console_and_status_are_those_of_qemu(tmp_path: Path, text: str, need: Need, inside: Command) -> None:
    program = "qemu-system-riscv64"
    need(program, shutil.which(program))
    guests = {"reset": RESETS, "fails": finishing(0x7_3333)}
    for name, code in guests.items():
        (tmp_path / name).write_bytes(code)
    images = {name: image_path(name, 64) for name in ("hello", "paging", "traps", "smp")}
    arguments = shlex.split(text.format(**images, **{name: tmp_path / name for name in guests}))

    theirs = subprocess.run(
        [program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=QEMU_SECONDS_MAX
    )
    ours = inside("qemu", "--", *arguments)

    assert ours.returncode == theirs.returncode
    assert lines_of(ours.stdout) == lines_of(theirs.stdout)


def lines_of(console: bytes) -> list[bytes]:
    """The lines that are the same on every correct machine."""
    return [text for text in console.replace(b"\r\n", b"\n").splitlines() if not text.startswith(b"t:")]
