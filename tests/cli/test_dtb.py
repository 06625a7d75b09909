"""``minstret dtb``: writes the device tree that a run with the same options gives its guest."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support import asm
from support.commands import minstret
from support.elf_files import PASSES, write_elf
from support.needs import Need

from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig

MAGIC = b"\xd0\x0d\xfe\xed"


def test_tree_goes_to_the_file(inside: Any, tmp_path: Path) -> None:
    path = tmp_path / "virt.dtb"

    done = inside("dtb", "-o", path)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    data = path.read_bytes()
    assert data[:8] == MAGIC + len(data).to_bytes(4, "big")


def test_dash_is_standard_output_and_nothing_else_goes_there(tmp_path: Path, inside: Any) -> None:
    inside("dtb", "-o", tmp_path / "virt.dtb")

    done = minstret("dtb", "-o", "-")

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == (tmp_path / "virt.dtb").read_bytes()


def test_tree_is_the_one_a_board_with_these_options_gives_its_guest(inside: Any, tmp_path: Path) -> None:
    elf = write_elf(tmp_path / "guest.elf", PASSES)

    done = inside("dtb", "-m", "64M", "--seed", "5", elf, "-o", "-")

    board = Board(elf, BoardConfig(ram_size=64 << 20, seed=5))
    assert done.stdout == board.device_tree
    board.run_until(icount=6)
    at = board.registers["a1"]
    assert board.memory[at : at + len(done.stdout)] == done.stdout


@pytest.mark.parametrize("options", [[], ["--cpu", "rv32"], ["-m", "1G"], ["--seed", "7"], ["-m", "4M"]])
def test_dtc_accepts_what_each_option_gives(inside: Any, need: Need, options: list[str]) -> None:
    need("dtc", shutil.which("dtc"))

    done = inside("dtb", *options, "-o", "-")

    checked = subprocess.run(
        ["dtc", "-I", "dtb", "-O", "dts"], input=done.stdout, capture_output=True, timeout=30, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, b"")


def test_options_are_seen_in_the_tree(inside: Any, tmp_path: Path) -> None:
    file, initrd = tmp_path / "file", tmp_path / "initrd"
    file.write_bytes(asm.code(asm.LOOP))
    initrd.write_bytes(b"cpio")
    boot = ["--bios", file, "--kernel", file]

    def tree(*options: object) -> bytes:
        done = inside("dtb", *options, "-o", "-")
        assert done.returncode == 0, done.stderr
        return bytes(done.stdout)

    plain = tree()
    assert tree() == plain == tree("--seed", "0")
    assert tree("--seed", "1") != plain
    assert b"rv64imafdc" in plain
    assert b"rv32imafdc" in tree("--cpu", "rv32")
    assert (256 << 20).to_bytes(4, "big") in tree("-m", "256M")
    assert b"console=ttyS0\0" in tree(*boot, "--append", "console=ttyS0")
    assert b"linux,initrd-start" in tree(*boot, "--initrd", initrd)
    assert b"bootargs" not in plain and b"initrd" not in plain


def test_append_that_is_not_utf_8_is_passed_on_or_refused_in_one_line(inside: Any, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(asm.code(asm.LOOP))

    done = inside("dtb", "-o", "-", "--bios", file, "--kernel", file, "--append", "a\udcffb")

    if done.returncode == 0:
        assert b"a\xffb\0" in done.stdout
    else:
        assert done.returncode == 125
        assert done.stderr.startswith(b"minstret: --append: ")


def test_image_of_another_width_by_name_gives_that_width(inside: Any) -> None:
    assert b"rv32imafdc" in inside("dtb", "hello-rv32", "-o", "-").stdout


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["dtb"], b"--output"),
        (["dtb", "-o", "/no/such/folder/x.dtb"], b"/no/such/folder/x.dtb"),
        (["dtb", "-o", "-", "no-such-file"], b"no-such-file"),
        (["dtb", "-o", "-", "--append", "x"], b"--append: goes with --kernel"),
        (["dtb", "-o", "-", "--initrd", "x"], b"--initrd: goes with --kernel"),
        (["dtb", "-o", "-", "-m", "lots"], b"'lots'"),
    ],
)
def test_error_is_one_line_and_125(inside: Any, arguments: list[str], part: bytes) -> None:
    done = inside(*arguments)

    assert (done.returncode, done.stdout) == (125, b"")
    assert part in done.stderr
    assert done.stderr.startswith(b"minstret: ")
    assert done.stderr.count(b"\n") == 1
