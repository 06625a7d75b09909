"""Semihosting's files: a folder of the host's, and no way out of it; what the host answers is recorded."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.recordings import RAM, assert_replays, cut, record
from support.semihosting_program import AP, BLOCKS, BUFFER, FIRST, RESULTS, RP, WP, A, Program, R, W, answers

from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig
from minstret.devices.services.semihosting import Op
from minstret.emu.cli.group import run_command
from minstret.emu.errors import ConfigError, DivergenceError
from minstret.emu.hostfiles import HostFiles

each_xlen = pytest.mark.parametrize("xlen", [64, 32])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file in it, and secrets around it."""
    path = tmp_path / "shared"
    path.mkdir()
    (path / "in.txt").write_bytes(b"0123456789")
    (tmp_path / "secret").write_bytes(b"secret")
    return path


# ---- what a program does with files


@each_xlen
def test_file_is_read_from_where_it_stands(folder: Path, xlen: int) -> None:
    program = Program(xlen).open(b"in.txt", R).read(FIRST, 4).call(Op.SEEK, FIRST, 8).read(FIRST, 4, 4)
    program.read(FIRST, 4, 8).call(Op.FLEN, FIRST).call(Op.ISTTY, FIRST).call(Op.CLOSE, FIRST).read(FIRST, 4).errno()

    assert program.run(folder) == [FIRST, 0, 0, 2, 4, 10, 0, 0, 4, errno.EBADF]
    assert program.buffer(8) == b"012389\0\0"


@each_xlen
def test_file_is_made_written_and_appended_to(folder: Path, xlen: int) -> None:
    program = Program(xlen).open(b"out", W).write(FIRST, b"one\n").write(FIRST, b"two\n").call(Op.CLOSE, FIRST)
    program.open(b"out", A).write(FIRST, b"three\n").call(Op.FLEN, FIRST)

    assert program.run(folder) == [FIRST, 0, 0, 0, FIRST, 0, 14]
    assert (folder / "out").read_bytes() == b"one\ntwo\nthree\n"


@pytest.mark.parametrize(
    ("mode", "before", "after"),
    [(RP, b"abcdef", b"XYcdef"), (WP, b"abcdef", b"XY"), (AP, b"abcdef", b"abcdefXY")], ids=["r+", "w+", "a+"],
)  # fmt: skip
def test_modes_differ_in_where_they_write_and_what_they_keep(
    mode: int, before: bytes, after: bytes, folder: Path
) -> None:
    (folder / "f").write_bytes(before)
    program = Program().open(b"f", mode).write(FIRST, b"XY").call(Op.SEEK, FIRST, 0).read(FIRST, 20)

    assert program.run(folder) == [FIRST, 0, 0, 20 - len(after)]
    assert program.buffer(len(after)) == after == (folder / "f").read_bytes()


def test_binary_modes_are_the_same_modes(folder: Path) -> None:
    program = Program().open(b"f", W + 1).write(FIRST, b"a\0b").call(Op.CLOSE, FIRST).open(b"f", R + 1).read(FIRST, 3)

    assert program.run(folder) == [FIRST, 0, 0, FIRST, 0]
    assert program.buffer(3) == b"a\0b"


def test_handles_are_the_lowest_free_ones_and_limited(folder: Path) -> None:
    program = Program().open(b"in.txt", R).open(b"in.txt", R).call(Op.CLOSE, FIRST).open(b"in.txt", R)
    for _ in range(63):
        program.open(b"in.txt", R)

    results = program.errno().run(folder)

    assert results[:5] == [FIRST, FIRST + 1, 0, FIRST, FIRST + 2]
    assert results[-3:] == [FIRST + 63, -1, errno.EMFILE]


def test_file_is_renamed_and_removed(folder: Path) -> None:
    program = Program().rename(b"in.txt", b"other").remove(b"in.txt").errno().remove(b"other")

    assert program.run(folder) == [0, -1, errno.ENOENT, 0]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "mode", "error"),
    [
        (b"absent", R, errno.ENOENT), (b"in.txt/x", R, errno.ENOTDIR), (b"", W, errno.ENOENT), (b".", R, errno.EISDIR),
        (b"in.txt", 12, errno.EINVAL), (b"n" * 300, R, errno.ENAMETOOLONG), (b"a/" * 3000, R, errno.ENAMETOOLONG),
        (b"a\0b", R, errno.EINVAL),
    ],
)  # fmt: skip
def test_what_cannot_be_opened_tells_why(name: bytes, mode: int, error: int, folder: Path) -> None:
    assert Program().open(name, mode).errno().run(folder) == [-1, error]


def test_file_opened_to_read_is_not_written_and_the_other_way_round(folder: Path) -> None:
    program = Program().open(b"in.txt", R).write(FIRST, b"no").errno().open(b"out", W).read(FIRST + 1, 4).errno()

    assert program.run(folder) == [FIRST, 2, errno.EBADF, FIRST + 1, 4, errno.EBADF]
    assert (folder / "in.txt").read_bytes() == b"0123456789"


def test_without_a_folder_there_are_no_files(folder: Path) -> None:
    program = Program().open(b"in.txt", R).errno().remove(b"in.txt").rename(b"in.txt", b"x")

    assert program.run(folder, host_files=False) == [-1, errno.ENOENT, -1, -1]
    assert (folder / "in.txt").exists()


def test_command_says_once_under_v_that_files_were_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "guest.bin"
    setup = Program().open(b"a\x1b.txt", R).open(b"b.txt", R).setup()
    assert setup.bios is not None
    image.write_bytes(setup.bios.data)
    said = "minstret: the guest asked for the file 'a\\x1b.txt'; --semihosting DIR gives it files\n"

    for options, expected in ((["-v"], said), ([], "")):
        assert run_command(["run", "--no-input", *options, str(image)]) == 0
        assert capsys.readouterr().err.partition("minstret: guest finished")[0] == expected


@each_xlen
def test_console_cannot_be_sought_and_has_no_length(xlen: int) -> None:
    program = Program(xlen).call(Op.SEEK, 2, 0).errno().call(Op.FLEN, 2).call(Op.ISTTY, 2).call(Op.ISTTY, 77).errno()

    assert program.run(None) == [-1, errno.ESPIPE, 0, 1, -1, errno.EBADF]


def test_offset_beyond_63_bits_is_refused(folder: Path) -> None:
    program = Program().open(b"in.txt", R).call(Op.SEEK, FIRST, 1 << 63).errno().call(Op.SEEK, FIRST, (1 << 63) - 1)

    assert program.read(FIRST, 4).run(folder)[:4] == [FIRST, -1, errno.EINVAL, 0]


@each_xlen
def test_names_of_temporary_files_are_told_apart_by_number(folder: Path, xlen: int) -> None:
    program = Program(xlen).call(Op.TMPNAM, RAM + BUFFER, 5, 16).call(Op.TMPNAM, RAM + BUFFER + 8, 0xFE, 7)
    program.call(Op.TMPNAM, RAM + BUFFER, 256, 16).call(Op.TMPNAM, RAM + BUFFER, 5, 6)

    assert program.run(folder) == [0, 0, -1, -1]
    assert program.buffer(15) == b"tmp-05\0\0tmp-fe\0"


# ---- what is there


@each_xlen
def test_features_say_that_exit_extended_and_standard_error_are_there(xlen: int) -> None:
    """As picolibc asks before it ends a program: magic first, then the byte."""
    program = Program(xlen).open(b":semihosting-features", R).call(Op.FLEN, FIRST).read(FIRST, 4).read(FIRST, 4, 4)
    program.call(Op.SEEK, FIRST, 4).read(FIRST, 1, 8).write(FIRST, b"x").call(Op.CLOSE, FIRST)
    program.open(b":semihosting-features", W).errno()

    assert program.run(None, host_files=False) == [FIRST, 5, 0, 3, 0, 0, 1, 0, -1, errno.EACCES]
    assert program.buffer(9) == b"SHFB\3\0\0\0\3"


@each_xlen
def test_command_line_is_the_firmwares_name_and_the_arguments(xlen: int) -> None:
    program = Program(xlen).call(Op.GET_CMDLINE, RAM + BUFFER, 18).call(Op.GET_CMDLINE, RAM + BUFFER + 32, 17)

    assert program.run(None, arguments="one  two") == [0, -1]
    assert program.buffer(18) == b"test.bin one  two\0"
    block = program.board.memory.read(RAM + BLOCKS, xlen // 4)
    assert int.from_bytes(block[xlen // 8 :], "little") == 17


@each_xlen
def test_heap_and_stack_are_in_ram_that_is_free(xlen: int) -> None:
    program = Program(xlen).call(Op.HEAPINFO, RAM + BUFFER)

    assert program.run(None) == [0]
    raw, size = program.buffer(xlen // 2), xlen // 8
    heap_base, heap_limit, stack_base, stack_limit = (
        int.from_bytes(raw[at : at + size], "little") for at in range(0, 4 * size, size)
    )
    assert (stack_limit, stack_base) == (heap_base, heap_limit)
    assert heap_base % 16 == 0
    assert heap_limit - heap_base > 0xF_0000 - 0xD000
    for segment in program.board.placement.segments:
        assert segment.address >= heap_limit or segment.address + segment.size <= heap_base


# ---- no way out


ESCAPES = [
    b"../secret",
    b"/etc/passwd",
    b"x/../../secret",
    b"in.txt/../../secret",
    b"link",
    b"way/secret",
    b"sub/../in.txt",
]


@pytest.mark.parametrize("name", ESCAPES)
def test_no_name_leads_out_of_the_folder(name: bytes, folder: Path) -> None:
    (folder / "link").symlink_to(folder.parent / "secret")
    (folder / "way").symlink_to(folder.parent)
    (folder / "sub").mkdir()
    program = Program().open(name, R).open(name, W).open(name, A).remove(name).rename(name, b"mine")
    program.rename(b"in.txt", b"../stolen")

    assert program.run(folder) == [-1] * 6

    assert (folder.parent / "secret").read_bytes() == b"secret"
    assert not (folder / "mine").exists()
    assert (folder / "in.txt").exists()


def test_link_inside_is_not_followed_either(folder: Path) -> None:
    (folder / "link").symlink_to("in.txt")

    assert Program().open(b"link", R).errno().run(folder) == [-1, errno.ELOOP]


def test_what_is_no_regular_file_is_refused_and_nothing_waits(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    (folder / "sub").mkdir()
    program = Program().open(b"fifo", R).open(b"fifo", W).remove(b"fifo").open(b"sub", R).remove(b"sub")

    assert program.errno().run(folder) == [-1] * 5 + [errno.EISDIR]


@pytest.mark.parametrize("command", ["run", "record"])
def test_command_says_that_the_folder_is_not_there_and_leaves_nothing(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert run_command([command, "hello", "--no-input", "--semihosting", "absent"]) == 125

    assert capsys.readouterr().err == "minstret: --semihosting: absent is not a folder\n"
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        HostFiles(str(tmp_path / "absent"))


# ---- sizes


@each_xlen
def test_a_call_moves_a_mebibyte_and_says_what_it_left(folder: Path, xlen: int) -> None:
    (folder / "big").write_bytes(b"x" * (3 << 20))
    big = RAM + (1 << 20)
    program = Program(xlen).open(b"big", R).call(Op.READ, FIRST, big, 3 << 20).open(b"out", W)
    program.call(Op.WRITE, FIRST + 1, big, (1 << 20) + 5).call(Op.WRITE, 2, big, (1 << 20) + 7)

    assert program.run(folder, ram_size=8 << 20) == [FIRST, 2 << 20, FIRST + 1, 5, 7]
    assert program.board.memory.read(big + (1 << 20) - 1, 2) == b"x\0"
    assert (folder / "out").stat().st_size == len(program.board.console) == 1 << 20


# ---- record, replay, save, restore


def busy_program() -> Program:
    program = Program().open(b"in.txt", R).read(FIRST, 3).open(b"out", W).write(FIRST + 1, b"first ")
    program.read(FIRST, 4, 3).write(FIRST + 1, b"second").call(Op.FLEN, FIRST + 1).open(b"absent", R).errno()
    return program.rename(b"out", b"done").read(FIRST, 9, 7).remove(b"in.txt").write(FIRST + 1, b"!")


BUSY = [FIRST, 0, FIRST + 1, 0, 0, 0, 12, -1, errno.ENOENT, 0, 6, 0, 0]


def test_recording_replays_without_the_folder_and_touches_nothing(folder: Path, tmp_path: Path) -> None:
    program = busy_program()
    recorded = record(tmp_path, program.setup(), host=answers(folder), every=23)
    assert (folder / "done").read_bytes() == b"first second!"
    (folder / "done").unlink()
    folder.rmdir()

    def has_results(board: Board) -> None:
        board.run_until(icount=recorded.end.position.icount)
        assert program.results(board) == BUSY

    assert_replays(recorded, drive=has_results)
    assert_replays(recorded, slice_insns_max=1)
    for snapshot in recorded.snapshots():
        assert_replays(recorded, snapshot=snapshot)
    assert not folder.exists()


def test_replay_of_a_guest_that_writes_something_else_diverges(folder: Path, tmp_path: Path) -> None:
    recorded = record(tmp_path, busy_program().setup(), host=answers(folder))

    def spoil(board: Board) -> None:
        at = board.machine.memory.ram.tobytes().index(b"second")
        board.memory.write(RAM + at, b"Second")

    with pytest.raises(DivergenceError, match="files"):
        assert_replays(recorded, prepare=spoil)


def test_open_files_go_on_where_they_stood_after_a_snapshot(folder: Path) -> None:
    board = busy_program().setup().make(host=answers(folder))
    board.run_until(icount=120)
    state, ram = board.machine.save_state(), bytes(board.machine.memory.ram)
    assert len(board.semihosting.state.files) == 2

    program = busy_program()
    other = program.setup().make(host=answers(folder))
    other.hart.write_physical(RAM, ram)
    other.machine.load_state(state)
    other.run()

    assert program.results(other) == BUSY
    assert (folder / "done").read_bytes() == b"first second!"


def test_run_cut_anywhere_is_the_same_run(folder: Path) -> None:
    program = busy_program()
    board = program.setup().make(host=answers(folder))
    while board.run_until(icount=board.position.icount + 7).exit_code is None:
        cut(board)

    assert program.results(board) == BUSY
    assert (folder / "done").read_bytes() == b"first second!"


def test_reset_closes_the_files(folder: Path) -> None:
    board = busy_program().setup().make(host=answers(folder))
    board.run_until(icount=120)

    board.reset()

    assert board.semihosting.state.files == {}


# ---- picolibc, a peer

PICOLIBC = Path("/usr/lib/picolibc/riscv64-unknown-elf/picolibc.specs")
LAYOUT = {"__flash": 0x8000_0000, "__flash_size": 0x20_0000, "__ram": 0x8020_0000, "__ram_size": 0x20_0000}
PICOLIBC_C = """
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    char line[20];
    printf("%s\\n", argv[argc - 1]);
    FILE *file = fopen("in.txt", "r");
    printf("%s", fgets(line, 20, file));
    fclose(file);
    file = fopen("out.txt", "w");
    for (int i = 0; i < 3; i++) fprintf(file, "line %d\\n", i);
    fclose(file);
    if (!fopen("../secret", "r")) perror("secret");
    exit(7);
}
"""


@pytest.mark.parametrize(("march", "mabi"), [("rv64imac", "lp64"), ("rv32imac", "ilp32")])
def test_program_with_picolibc_reads_writes_and_exits_with_7(
    march: str, mabi: str, folder: Path, tmp_path: Path, need: Callable[[str, object], None]
) -> None:
    compiler = shutil.which("riscv64-unknown-elf-gcc")
    need("riscv64-unknown-elf-gcc", compiler)
    need("picolibc-riscv64-unknown-elf", PICOLIBC.exists())
    source, program = tmp_path / "program.c", tmp_path / "program.elf"
    source.write_text(PICOLIBC_C)
    command = [
        str(compiler), f"--specs={PICOLIBC}", f"-march={march}", f"-mabi={mabi}", "-mcmodel=medany",
        "--oslib=semihost", "--crt0=semihost", *(f"-Wl,--defsym={name}={value:#x}" for name, value in LAYOUT.items()),
        "-Wl,--defsym=__stack_size=4k", "-o", str(program), str(source),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    (folder / "in.txt").write_bytes(b"0123456789\n")
    board = Board(program, BoardConfig(ram_size=8 << 20, host_files=True, arguments="last"), host=answers(folder))

    outcome = board.run()

    assert (outcome.exit_code, bytes(board.console)) == (7, b"last\n0123456789\nsecret: Permission denied\n")
    assert (folder / "out.txt").read_bytes() == b"line 0\nline 1\nline 2\n"


# ---- QEMU, a peer


def calls_for_both(xlen: int) -> Program:
    """What both must agree in; the results end up in a file of that name."""
    program = Program(xlen).open(b":tt", R).open(b":tt", W).open(b":tt", A)  # QEMU counts handles from 1
    program.call(Op.ISTTY, 77).call(Op.CLOSE, 77).open(b"absent", R).errno()
    program.open(b"f", WP).write(FIRST, b"hello").call(Op.FLEN, FIRST).call(Op.ISTTY, FIRST).call(Op.SEEK, FIRST, 1)
    program.read(FIRST, 10).read(FIRST, 10).call(Op.SEEK, FIRST, 100).read(FIRST, 10).write(FIRST, b"x")
    program.call(Op.FLEN, FIRST).call(Op.CLOSE, FIRST).call(Op.CLOSE, FIRST).errno().read(FIRST, 4).write(FIRST, b"a")
    program.rename(b"f", b"g").rename(b"f", b"h").remove(b"g").remove(b"g").errno()
    program.open(b":semihosting-features", R).call(Op.FLEN, FIRST).read(FIRST, 8).call(Op.SEEK, FIRST, 2)
    program.read(FIRST, 2).write(FIRST, b"a").call(Op.CLOSE, FIRST).open(b":semihosting-features", W).errno()
    program.open(b"f", 12).errno().open(b".", W).errno().call(Op.ISERROR, (1 << xlen) - 1).call(Op.ISERROR, 1)
    program.open(b"f", W).read(FIRST, 4).call(Op.CLOSE, FIRST).open(b"f", R).write(FIRST, b"abc").write(FIRST, b"")
    program.read(FIRST, 0).call(Op.CLOSE, FIRST).open(b"f", A).write(FIRST, b"1").write(FIRST, b"2")
    program.call(Op.CLOSE, FIRST)  # QEMU 7.2 appends only as long as nobody seeks
    return program.open(b"results", W).call(Op.WRITE, FIRST, RAM + RESULTS, 4 * program.calls)


@pytest.mark.parametrize(("xlen", "qemu"), [(64, "qemu-system-riscv64"), (32, "qemu-system-riscv32")])
def test_calls_give_what_qemu_gives(
    xlen: int, qemu: str, folder: Path, tmp_path: Path, need: Callable[[str, object], None]
) -> None:
    need(qemu, path := shutil.which(qemu))
    program, theirs = calls_for_both(xlen), tmp_path / "theirs"
    setup = program.setup()
    assert setup.bios is not None
    (tmp_path / "guest.bin").write_bytes(setup.bios.data)
    theirs.mkdir()
    command = [
        str(path), "-M", "virt", "-m", "16M", "-display", "none", "-serial", "none", "-monitor", "none", "-bios",
        str(tmp_path / "guest.bin"), "-semihosting-config", "enable=on,target=native",
    ]  # fmt: skip
    subprocess.run(command, cwd=theirs, check=True, timeout=60, stdin=subprocess.DEVNULL)

    program.run(folder)

    assert _words_of(folder / "results") == _words_of(theirs / "results")
    assert (folder / "f").read_bytes() == (theirs / "f").read_bytes() == b"12"


def _words_of(file: Path) -> list[int]:
    raw = file.read_bytes()
    return [int.from_bytes(raw[at : at + 4], "little", signed=True) for at in range(0, len(raw), 4)]
