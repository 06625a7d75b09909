"""The command: exit statuses, what goes where, and errors in one line.

Everything about streams, signals and the end of the process is tested in a process of its own; many like cases
run within this one, which is quicker.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from support import asm, elf_files
from support.commands import COMMAND, PATIENCE_S, minstret, started, wait_until_asleep
from support.elf_files import RAM, Load, elf_bytes, fails_with, says, write_elf

from minstret.emu.clock import NS_PER_TICK, VIRTUAL_NS_MAX


def assert_is_one_line_error(done: subprocess.CompletedProcess[bytes], *parts: str) -> None:
    """Exit status 125, and one line on standard error that has all ``parts``."""
    text = done.stderr.decode()
    assert done.returncode == 125, text
    assert done.stdout == b""
    assert text.startswith("minstret: ")
    assert text.count("\n") == 1
    assert text.endswith("\n")
    for part in parts:
        assert part in text


@pytest.fixture
def elf(tmp_path: Path) -> Any:
    """Makes an ELF file with the given code in it."""
    return lambda code, **options: write_elf(tmp_path / "guest.elf", code, **options)


def run_json(file: object, folder: Path, *options: object, how: Any = minstret, **more: Any) -> tuple[int, Any]:
    """Exit status and ``--json`` of a run."""
    path = folder / "run.json"
    done = how("run", "-q", "-m", "4M", "--json", path, *options, file, **more)
    return done.returncode, json.loads(path.read_text())


# ---- how runs end


def test_guest_that_passes_gives_0(elf: Any) -> None:
    done = minstret("run", elf(elf_files.PASSES))

    assert done.returncode == 0
    assert b"minstret: guest finished with 0\n" in done.stderr


def test_code_300_becomes_119_for_the_shell_too(elf: Any) -> None:
    assert minstret("run", elf(fails_with(300))).returncode == 119


@pytest.mark.parametrize("xlen", [32, 64])
def test_guests_code_is_passed_on(elf: Any, xlen: int) -> None:
    assert minstret("run", elf(fails_with(7), xlen=xlen)).returncode == 7


@pytest.mark.parametrize(("code", "status"), [(1, 1), (119, 119), (120, 119), (256, 119), (300, 119), (65535, 119)])
def test_large_code_becomes_119_and_json_has_the_true_one(
    elf: Any, inside: Any, tmp_path: Path, code: int, status: int
) -> None:
    got_status, result = run_json(elf(fails_with(code)), tmp_path, how=inside)

    assert got_status == status
    assert (result["exit_code"], result["stop_reason"]) == (code, "finished")


def test_crash_gives_121_and_a_report(elf: Any, inside: Any, tmp_path: Path) -> None:
    code = asm.code(asm.lui(asm.A0, 0x40000), asm.NOP, asm.sw(asm.A1, asm.A0, 4), asm.LOOP)
    file = elf(code, symbols={"_start": (RAM, 4), "store_word": (RAM + 4, 12)})

    done = minstret("run", file)

    assert done.returncode == 121
    assert done.stdout == b""
    report = done.stderr.decode()
    assert report.startswith(
        "minstret: trap loop at 0x0: the first trap was store/AMO access fault (7) at pc 0x80000008 "
    )
    assert "<store_word+0x4>, tval 0x40000004, in M-mode\n" in report
    assert "no trap handler is set: mtvec is 0" in report
    assert "=> 0x80000008 <store_word+0x4>: 00b52223  sw a1, 4(a0)\n" in report
    assert "a0 0000000040000000" in report
    status, result = run_json(file, tmp_path, how=inside)
    assert (status, result["exit_code"], result["stop_reason"]) == (121, None, "trap-loop")


def test_jump_into_nowhere_gives_121_and_says_where(elf: Any, inside: Any) -> None:
    done = inside("run", elf(asm.code(asm.lui(asm.T0, 0x40000), asm.jalr(0, asm.T0, 0x10))))

    assert done.returncode == 121
    assert b"instruction access fault (1) at pc 0x40000010, tval 0x40000010" in done.stderr
    assert b"0x40000010: no memory" in done.stderr
    assert b"Traceback" not in done.stderr


def test_guest_that_waits_forever_gives_120_and_two_lines(elf: Any, inside: Any, tmp_path: Path) -> None:
    file = elf(elf_files.WAITS, symbols={"idle": (RAM, 8)})

    done = minstret("run", file)

    assert done.returncode == 120
    what, advice, figures = done.stderr.decode().splitlines()
    assert what.startswith("minstret: guest waits forever at 0x80000004 <idle+0x4>: in WFI ")
    assert "--idle-ok" in advice
    assert " instructions, " in figures
    assert run_json(file, tmp_path, how=inside)[1]["stop_reason"] == "waits-forever"


def test_idle_ok_makes_waiting_forever_a_good_end_and_json_still_tells(elf: Any, inside: Any, tmp_path: Path) -> None:
    status, result = run_json(elf(elf_files.WAITS), tmp_path, "--idle-ok", how=inside)

    assert (status, result["stop_reason"]) == (0, "waits-forever")


def test_idle_ok_is_not_advised_where_it_was_given(elf: Any) -> None:
    done = minstret("run", "--idle-ok", elf(elf_files.WAITS))

    assert done.returncode == 0
    assert b"add --idle-ok" not in done.stderr
    assert b"; a good end (--idle-ok)\n" in done.stderr


def test_idle_ok_is_no_excuse_for_a_crash(elf: Any, inside: Any) -> None:
    crashes = asm.code(asm.lui(asm.T0, 0x40000), asm.jalr(0, asm.T0, 0x10))

    assert inside("run", "-q", "--idle-ok", elf(crashes)).returncode == 121


def test_guest_that_waits_for_input_is_told_that_its_input_has_ended(inside: Any) -> None:
    done = minstret("run", "echo")

    assert done.returncode == 120
    assert b": in WFI for MEI, and no timer or input can raise one\n" in done.stderr
    assert b"minstret: its input has ended: " in done.stderr


ONE_ECALL = asm.code(
    asm.auipc(asm.T0, 0), asm.addi(asm.T0, asm.T0, 20), asm.csrw("mtvec", asm.T0), asm.ECALL, asm.LOOP, asm.LOOP
)
"""Traps once, at 0x8000000c, and spins in the handler, at 0x80000014."""


@pytest.mark.parametrize(("options", "status"), [(("--max-insns", "50"), 123), (("--timeout", "0.2"), 124)])
def test_end_by_a_limit_says_where_the_guest_is_and_its_last_trap(
    elf: Any, inside: Any, tmp_path: Path, options: tuple[str, ...], status: int
) -> None:
    path = tmp_path / "run.json"
    file = elf(ONE_ECALL, symbols={"_start": (RAM, 20), "handler": (RAM + 20, 4)})

    done = inside("run", "--json", path, *options, file)

    where = "minstret: the guest was at pc 0x80000014 <handler>, in M-mode; its last trap: "
    trap = "environment call from M-mode (11) at pc 0x8000000c <_start+0xc>, tval 0x0, in M-mode, "
    result = json.loads(path.read_text())
    assert done.returncode == status
    assert where + trap in done.stderr.decode()
    assert result["where"] == {
        "pc": "0x80000014", "symbol": "handler", "source": None, "privilege": "M-mode", "waiting": False, "callers": [],
    }  # fmt: skip
    assert result["last_trap"] == result["last_exception"] == {
        "cause": 11, "interrupt": False, "name": "environment call from M-mode", "pc": "0x8000000c",
        "symbol": "_start+0xc", "source": None, "tval": "0x0", "privilege": "M-mode", "icount": 9, "callers": [],
    }  # fmt: skip


def test_last_trap_of_a_guest_that_waits_may_be_an_interrupt(inside: Any, tmp_path: Path) -> None:
    path = tmp_path / "run.json"

    inside("run", "--max-insns", "20k", "--json", path, "ticks")

    result = json.loads(path.read_text())
    assert (result["last_trap"]["name"], result["last_trap"]["interrupt"]) == ("machine timer interrupt", True)
    assert result["last_trap"]["icount"] < 20_000


def test_guest_that_finished_needs_no_place(elf: Any, tmp_path: Path, inside: Any) -> None:
    _, result = run_json(elf(fails_with(3)), tmp_path, how=inside)

    assert "where" not in result
    assert "last_trap" not in result


@pytest.mark.parametrize(("text", "icount"), [("1000", 1000), ("5k", 5000), ("0", 0), ("0x101", 257)])
def test_max_insns_gives_123_at_exactly_that_count(
    elf: Any, inside: Any, tmp_path: Path, text: str, icount: int
) -> None:
    status, result = run_json(elf(elf_files.LOOPS), tmp_path, "--max-insns", text, how=inside)

    assert (status, result["icount"], result["stop_reason"]) == (123, icount, "max-insns")


def test_end_of_virtual_time_gives_123_and_says_so(elf: Any, inside: Any, tmp_path: Path) -> None:
    near_the_end = VIRTUAL_NS_MAX // NS_PER_TICK - 10
    waits = asm.code(
        asm.li(asm.T0, elf_files.CLINT + 0x4000), asm.li(asm.T1, near_the_end >> 32), asm.sw(asm.T1, asm.T0, 4),
        asm.li(asm.T1, near_the_end), asm.sw(asm.T1, asm.T0, 0), asm.addi(asm.T1, 0, 128), asm.csrw("mie", asm.T1),
        asm.WFI, asm.LOOP,
    )  # fmt: skip
    file = elf(waits)

    done = minstret("run", file)
    status, result = run_json(file, tmp_path, how=inside)

    in_real_time = minstret("run", "--icount", "sleep=on", "--timeout", "0.2", "--no-input", file)

    assert in_real_time.returncode == 124
    assert done.returncode == status == 123
    assert b"minstret: virtual time has reached its limit, 292 years after power-on\n" in done.stderr
    assert (result["stop_reason"], result["virtual_ns"]) == ("end-of-time", VIRTUAL_NS_MAX)


@pytest.mark.parametrize("code", [elf_files.LOOPS, elf_files.CHATTERS], ids=["silent", "chatty"])
def test_timeout_gives_124(elf: Any, tmp_path: Path, code: bytes) -> None:
    status, result = run_json(elf(code), tmp_path, "--timeout", "0.2", "--slice-insns", "10k")

    assert (status, result["stop_reason"]) == (124, "timeout")
    assert result["icount"] > 0


SLEEPS = says(b"ready\n") + elf_files.SLEEPS


def test_timeout_ends_a_guest_that_sleeps_in_real_time(elf: Any) -> None:
    assert minstret("run", "--icount", "sleep=on", "--timeout", "0.2", elf(SLEEPS)).returncode == 124


def test_ctrl_c_gives_130(elf: Any) -> None:
    with started("run", elf(says(b"ready\n") + elf_files.LOOPS)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_S)

        assert process.returncode == 130
        assert b"minstret: stopped by Ctrl-C\n" in errors
        assert b"Traceback" not in errors


def test_ctrl_c_ends_a_guest_that_sleeps_in_real_time(elf: Any) -> None:
    with started("run", "--no-input", "--icount", "sleep=on", elf(SLEEPS)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        wait_until_asleep(process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_S)

        assert process.returncode == 130
        assert b"minstret: stopped by Ctrl-C\n" in errors


# ---- usage errors


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["run", "--no-such-option", "F"], ["--no-such-option", "minstret run --help"]),
        (["run"], ["FIRMWARE", "minstret run --help"]),
        (["run", "F", "G"], ["G"]),
        (["no-such-command"], ["no-such-command", "minstret --help"]),
        (["--no-such-option"], ["--no-such-option"]),
        (["run", "--icount", "shift=11", "F"], ["--icount", "0..10", "'11'"]),
        (["run", "--icount", "shift=-1", "F"], ["--icount", "0..10", "'-1'"]),
        (["run", "--icount", "shift=x", "F"], ["--icount", "0..10", "'x'"]),
        (["run", "--icount", "shift=", "F"], ["--icount", "0..10", "''"]),
        (["run", "--icount", "shift", "F"], ["--icount", "'shift'"]),
        (["run", "--icount", "3", "F"], ["--icount", "'3'"]),
        (["run", "--icount", "sleep=maybe", "F"], ["--icount", "on or off", "'maybe'"]),
        (["run", "--icount", "foo=1", "F"], ["--icount", "shift=", "sleep=", "'foo=1'"]),
        (["run", "--icount", "shift=1,shift=2", "F"], ["--icount", "shift", "twice"]),
        (["run", "--rtc", "clock=moon", "F"], ["--rtc", "vm or host", "'moon'"]),
        (["run", "--rtc", "base=yesterday", "F"], ["--rtc", "base", "'yesterday'"]),
        (["run", "--rtc", "base=2018-13-01T00:00:00", "F"], ["--rtc", "'2018-13-01T00:00:00'"]),
        (["run", "--rtc", "clock=host,base=2018-10-01", "F"], ["--rtc", "base", "clock=vm"]),
        (["run", "--rtc", "drift=1", "F"], ["--rtc", "'drift=1'"]),
        (["run", "--memory", "lots", "F"], ["--memory", "'lots'"]),
        (["run", "--memory", "-1", "F"], ["--memory", "'-1'"]),
        (["run", "--memory", "0", "F"], ["memory", "0 bytes"]),
        (["run", "--memory", "1K", "F"], ["memory", "1024 bytes", "4096"]),
        (["run", "--memory", "99999999G", "F"], ["memory", "too much"]),
        (["run", "--cpu", "rv32", "--memory", "2G", "F"], ["memory", "too much", "1024 MiB"]),
        (["run", "--cpu", "rv128", "F"], ["--cpu", "rv128", "rv64"]),
        (["run", "--max-insns", "many", "F"], ["--max-insns", "'many'"]),
        (["run", "--max-insns", "-5", "F"], ["--max-insns", "'-5'"]),
        (["run", "--timeout", "soon", "F"], ["--timeout", "soon"]),
        (["run", "--timeout", "0", "F"], ["--timeout", "above 0"]),
        (["run", "--timeout", "nan", "F"], ["--timeout", "nan"]),
        (["run", "--slice-insns", "0", "F"], ["--slice-insns", "1 or more"]),
        (["run", "--seed", "x", "F"], ["--seed", "x"]),
        (["run", "--json", "/no/such/folder/out.json", "F"], ["--json", "/no/such/folder/out.json"]),
        (["run", "--json", ".", "F"], ["--json"]),
    ],
    ids=lambda value: " ".join(value[1:-1]) or value[0] if isinstance(value, list) else None,
)
def test_usage_error_is_one_line_and_125(
    tmp_path: Path, inside: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str], parts: list[str]
) -> None:
    (tmp_path / "F").write_bytes(elf_files.PASSES)
    monkeypatch.chdir(tmp_path)

    done = inside(*arguments)

    assert_is_one_line_error(done, *parts)


@pytest.mark.parametrize("arguments", [["run"], ["run", "--icount", "shift=11", "hello"], ["run", "/no/such/file"]])
def test_error_is_one_line_and_125_for_the_shell_too(arguments: list[str]) -> None:
    assert_is_one_line_error(minstret(*arguments))


# ---- firmware that cannot be run


def bad_firmware(folder: Path) -> dict[str, tuple[list[str], list[str]]]:
    """What is wrong -> (arguments, what the error has to say)."""
    whole = elf_bytes(Load(RAM, elf_files.PASSES))
    files = {
        "empty": b"",
        "truncated header": whole[:40],
        "truncated segment": whole[:-1],
        "segment outside RAM": elf_bytes(Load(0x2000_0000, elf_files.PASSES), entry=RAM),
        "segment past RAM's end": elf_bytes(Load(RAM, elf_files.PASSES, memory_size=129 << 20)),
        "entry outside RAM": elf_bytes(Load(RAM, elf_files.PASSES), entry=0x1000),
        "rv32": elf_bytes(Load(RAM, elf_files.PASSES), xlen=32),
        "object": elf_bytes(Load(RAM, elf_files.PASSES), kind=elf_files.ET_REL),
        "nothing to load": elf_bytes(),
        "shorter in memory": elf_bytes(Load(RAM, elf_files.PASSES, memory_size=8)),
    }
    names = {}
    for what, data in files.items():
        names[what] = str(folder / what.replace(" ", "-"))
        Path(names[what]).write_bytes(data)
    return {
        "missing": ([str(folder / "nowhere")], ["nowhere", "no such file", "hello"]),
        "unknown image": (["hello-rv128"], ["hello-rv128", "no such file"]),
        "folder": ([str(folder)], [str(folder), "is a folder"]),
        "empty": ([names["empty"]], ["empty: the file is empty"]),
        "not for RISC-V": ([str(Path(sys.executable).resolve())], ["not for RISC-V"]),
        "truncated header": ([names["truncated header"]], ["truncated-header: a damaged ELF file"]),
        "truncated segment": ([names["truncated segment"]], ["damaged", "0x80000000", "cut short"]),
        "segment outside RAM": (
            [names["segment outside RAM"]],
            ["0x20000000", "outside RAM (0x80000000..0x87ffffff)", "link or load it there"],
        ),
        "segment past RAM's end": ([names["segment past RAM's end"]], ["0x80000000..0x880fffff", "outside RAM"]),
        "entry outside RAM": ([names["entry outside RAM"]], ["entry point 0x1000", "outside RAM"]),
        "rv32 on rv64": (["--cpu", "rv64", names["rv32"]], ["rv32", "--cpu", "rv64"]),
        "object": ([names["object"]], ["not an executable", "link it first"]),
        "nothing to load": ([names["nothing to load"]], ["nothing to load"]),
        "shorter in memory": ([names["shorter in memory"]], ["damaged"]),
    }  # fmt: skip


@pytest.mark.parametrize("what", [
    "missing", "unknown image", "folder", "empty", "not for RISC-V", "truncated header", "truncated segment",
    "segment outside RAM", "segment past RAM's end", "entry outside RAM", "rv32 on rv64", "object",
    "nothing to load", "shorter in memory",
])  # fmt: skip
def test_firmware_that_cannot_be_run_is_one_line_and_125(tmp_path: Path, inside: Any, what: str) -> None:
    arguments, parts = bad_firmware(tmp_path)[what]

    done = inside("run", *arguments)

    assert_is_one_line_error(done, *parts)


def test_quiet_does_not_silence_errors(tmp_path: Path, inside: Any) -> None:
    assert_is_one_line_error(inside("run", "-q", tmp_path / "nowhere"), "nowhere")


# ---- what goes where


def test_console_is_on_stdout_byte_for_byte_and_the_status_on_stderr(elf: Any) -> None:
    text = b"\x00\x1b[1m\xff\r\nlast line without an end"

    done = minstret("run", elf(says(text) + elf_files.PASSES))

    assert done.stdout == text
    assert done.stderr.startswith(b"\nminstret: guest finished with 0\nminstret: ")
    assert b" instructions, " in done.stderr


@pytest.mark.parametrize("code", [elf_files.PASSES, fails_with(7), elf_files.WAITS], ids=["passes", "fails", "waits"])
def test_quiet_silences_stderr(elf: Any, inside: Any, code: bytes) -> None:
    done = inside("run", "-q", elf(says(b"hi") + code))

    assert done.stdout == b"hi"
    assert done.stderr == b""


def test_json_tells_how_the_run_ended(elf: Any, inside: Any, tmp_path: Path) -> None:
    file = elf(says(b"hi\n") + elf_files.PASSES)

    status, result = run_json(file, tmp_path, "--icount", "shift=3", how=inside)

    insns = 6 + 5 + 2 * 3 + 11
    assert status == 0
    assert (result["exit_code"], result["stop_reason"]) == (0, "finished")
    assert (result["icount"], result["virtual_ns"]) == (insns, insns << 3)
    assert result["uart_sha256"] == hashlib.sha256(b"hi\n").hexdigest()
    assert len(bytes.fromhex(result["digest"])) == 32
    for name in ("wall_s", "user_s", "mips"):
        assert isinstance(result[name], int | float)
        assert result[name] >= 0


def test_runs_agree_whatever_the_hash_seed_slices_or_counter(elf: Any, tmp_path: Path) -> None:
    file = elf(says(b"hi\n") + elf_files.PASSES)
    results = set()
    for seed, options in (("0", []), ("4242", []), ("0", ["--slice-insns", "7"]), ("0", ["--counting", "python"])):
        _, result = run_json(file, tmp_path, *options, env=os.environ | {"PYTHONHASHSEED": seed})
        results.add(tuple(result[name] for name in ("icount", "virtual_ns", "digest", "uart_sha256")))

    assert len(results) == 1


def test_raw_binary_runs_from_the_start_of_ram_as_the_cpu_asked_for(tmp_path: Path, inside: Any) -> None:
    file = tmp_path / "raw.bin"
    shift = asm.slli(asm.T1, asm.T1, 31)  # twice: 0 on rv32, not on rv64
    code = asm.code(asm.addi(asm.T1, 0, 1), shift, asm.slli(asm.T1, asm.T1, 1), asm.beq(asm.T1, 0, 4 * 13))
    file.write_bytes(code + fails_with(64) + fails_with(32))

    statuses = [inside("run", *cpu, file).returncode for cpu in ([], ["--cpu", "rv64"], ["--cpu", "rv32"])]

    assert statuses == [64, 64, 32]


@pytest.mark.parametrize(("name", "greeting"), [("hello", b"rv64"), ("hello-rv64", b"rv64"), ("hello-rv32", b"rv32")])
def test_image_that_comes_along_runs_by_name(inside: Any, name: str, greeting: bytes) -> None:
    done = inside("run", name)

    assert done.returncode == 0
    assert greeting in done.stdout


# ---- input and broken streams


def test_bytes_on_stdin_reach_a_guest_that_polls_the_uart(elf: Any) -> None:
    text = bytes(byte for byte in range(256) if byte != ord("q")) + b"q"

    done = minstret("run", "--slice-insns", "500", elf(elf_files.ECHOES), stdin=text + b"not read any more")

    assert done.returncode == 0
    assert done.stdout == text


def test_guest_answers_before_more_is_typed(elf: Any) -> None:
    with started("run", "--slice-insns", "500", elf(elf_files.ECHOES), stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for byte in (b"a", b"\n", b"b"):
            process.stdin.write(byte)
            assert process.stdout.read(1) == byte
        process.stdin.write(b"q")

        assert process.wait(timeout=PATIENCE_S) == 0


def test_no_input_leaves_stdin_alone(elf: Any) -> None:
    done = minstret("run", "--no-input", "--max-insns", "5000", elf(elf_files.ECHOES), stdin=b"abcq")

    assert (done.returncode, done.stdout) == (123, b"")


def in_shell(redirection: str, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    """The command with a stream redirected by a shell, such as ``<&-``."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *COMMAND, *map(str, arguments)],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def test_closed_stdin_is_no_input(elf: Any) -> None:
    done = in_shell("<&-", "run", elf(says(b"hi\n") + elf_files.PASSES))

    assert (done.returncode, done.stdout) == (0, b"hi\n")
    assert done.stderr.startswith(b"minstret: guest finished with 0\n")


def test_closed_stderr_hides_the_status_only(elf: Any) -> None:
    done = in_shell("2>&-", "run", elf(says(b"hi\n") + fails_with(7)))

    assert (done.returncode, done.stdout, done.stderr) == (7, b"hi\n", b"")


def test_closed_stdout_gives_no_traceback(elf: Any) -> None:
    done = in_shell(">&-", "run", elf(says(b"hi\n") + elf_files.PASSES))

    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["run", "hello"], ["--version"], ["--help"]])
def test_full_disk_is_one_line_and_125(arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = minstret(*arguments, stdout=full)

    assert done.returncode == 125
    assert done.stderr.startswith(b"minstret: ")
    assert b"No space left on device" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_stdout_closed_early_ends_the_run_without_a_traceback(elf: Any) -> None:
    with started("run", elf(elf_files.CHATTERS)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"x\n"
        process.stdout.close()
        process.wait(timeout=PATIENCE_S)

        assert process.stderr.read() == b""
        assert process.returncode == 125


@pytest.mark.parametrize("arguments", [["--version"], ["run", "--help"]])
def test_nobody_reading_stdout_gives_no_traceback(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = minstret(*arguments, stdout=writer)
    finally:
        os.close(writer)

    assert done.stderr == b""


# ---- what the command says of itself


def test_bare_command_lists_the_commands_and_what_to_try() -> None:
    done = minstret()

    text = done.stdout.decode()
    assert done.returncode == 0
    assert "Try: minstret demo" in text
    for command in ("run", "demo", "doctor"):
        assert f"\n  {command} " in text


def test_version_names_unicorn_and_the_counter() -> None:
    done = minstret("--version")

    text = done.stdout.decode()
    assert done.returncode == 0
    assert text.startswith(f"minstret {version('minstret')}, unicorn {version('unicorn')}, ")
    assert "C callbacks" in text or "Python callbacks" in text


def test_doctor_names_unicorn_and_the_counter_and_tries_the_hart() -> None:
    done = minstret("doctor")

    lines = dict(line.split(maxsplit=1) for line in done.stdout.decode().splitlines())
    assert done.returncode == 0
    assert lines["unicorn"].startswith("2.1.4")
    assert "callbacks" in lines["counter"]
    assert lines["harts"] == "rv64 and rv32 work"
    assert lines["counting"].startswith(("in the generated code", "by "))
    assert lines["extensions"].startswith(("translated", "computed one by one"))
    assert lines["gdb"].endswith("(minstret debug starts it)")
    assert done.stderr == b""


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["run", "--help"], ["run", "-h"]])
def test_help_documents_the_exit_statuses(inside: Any, arguments: list[str]) -> None:
    done = inside(*arguments)

    text = done.stdout.decode()
    assert done.returncode == 0
    assert "Exit status:" in text
    statuses = {line.split()[0] for line in text.partition("Exit status:")[2].splitlines() if line.strip()}
    assert statuses >= {"0-119", "120", "121", "122", "123", "124", "125", "128+N"}
