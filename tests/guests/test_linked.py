"""One source, linked in the plainest ways, and what objcopy and mkimage make of it: all of it runs, as on QEMU."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import pytest
from support.needs import Need

from minstret.devices.board.board import Board, Load
from minstret.devices.board.config import BoardConfig
from minstret.emu.images.loader import read_image

CC, OBJCOPY = "riscv64-unknown-elf-gcc", "riscv64-unknown-elf-objcopy"
QEMU_S = 30

SOURCE = """
.globl _start
_start:
    li t0, 0x100000
    li t1, 7 << 16 | 0x3333
    sw t1, 0(t0)
1:  j 1b
.section .noinit, "aw", @nobits
buffer: .space 4096
"""
NOLOAD_SCRIPT = """
SECTIONS {
    . = 0x80000000; .text : { *(.text) }
    . = 0x60000000; .noinit (NOLOAD) : { *(.noinit) }
}
"""
TEXT_AT = "-Wl,-Ttext=0x80000000"
LINKED = {
    "headers before the code": (TEXT_AT,),
    "a build-id far away": (TEXT_AT, "-Wl,--build-id"),
    "a section without bytes elsewhere": ("-T", "noload.ld"),
    "no page alignment": (TEXT_AT, "-Wl,-N"),
}
NOTE_FIRST = {"a build-id before the code": ("-T", "noload.ld", "-Wl,--build-id")}
"""QEMU 7.2 starts at the start of RAM, whatever the entry point."""


@pytest.fixture(params=[64, 32])
def xlen(request: pytest.FixtureRequest, tmp_path: Path, need: Need, monkeypatch: pytest.MonkeyPatch) -> int:
    need(CC, shutil.which(CC))
    monkeypatch.chdir(tmp_path)
    Path("exit.S").write_text(SOURCE)
    Path("noload.ld").write_text(NOLOAD_SCRIPT)
    return int(request.param)


def link(xlen: int, *options: str, source: str = "exit.S") -> Path:
    machine = ("-march=rv64imac", "-mabi=lp64") if xlen == 64 else ("-march=rv32imac", "-mabi=ilp32")
    elf = Path(source).with_suffix(".elf")
    subprocess.run([CC, *machine, "-nostdlib", *options, source, "-o", elf], check=True)
    return elf


def exit_code(bios: Path | None, xlen: int, kernel: Path | None = None, loads: tuple[Load, ...] = ()) -> int | None:
    return Board(bios, BoardConfig(ram_size=16 << 20, xlen=xlen), kernel=kernel, loads=loads).run().exit_code


def forms_of(elf: Path) -> list[Path]:
    """The same program as Intel hex, S-records, uImages, a raw binary, and each of them by gzip."""
    forms = {elf.name: elf.read_bytes()}
    for target in ("ihex", "srec", "binary"):
        subprocess.run([OBJCOPY, "-O", target, elf, target], check=True)
        forms[target] = Path(target).read_bytes()
    for compression, content in (("none", forms["binary"]), ("gzip", gzip.compress(forms["binary"]))):
        Path("content").write_bytes(content)
        subprocess.run(
            ["mkimage", "-A", "riscv", "-T", "kernel", "-C", compression, "-a", "0x80000000", "-e", "0x80000000",
             "-d", "content", "image"],
            check=True, capture_output=True,
        )  # fmt: skip
        forms[f"uimage-{compression}"] = Path("image").read_bytes()
    forms |= {f"{name}.gz": gzip.compress(data) for name, data in forms.items()}
    for name, data in forms.items():
        Path(name).write_bytes(data)
    return [Path(name) for name in forms]


@pytest.mark.parametrize("options", (LINKED | NOTE_FIRST).values(), ids=(LINKED | NOTE_FIRST).keys())
def test_whatever_the_linker_adds_it_runs(xlen: int, options: tuple[str, ...]) -> None:
    assert exit_code(link(xlen, *options), xlen) == 7


@pytest.mark.parametrize("options", LINKED.values(), ids=LINKED.keys())
def test_qemu_runs_it_too(xlen: int, need: Need, options: tuple[str, ...]) -> None:
    qemu = f"qemu-system-riscv{xlen}"
    need(qemu, shutil.which(qemu))

    done = subprocess.run(
        [qemu, "-M", "virt", "-bios", link(xlen, *options), "-display", "none", "-serial", "null", "-monitor", "none"],
        timeout=QEMU_S,
    )  # fmt: skip

    assert done.returncode == 7


def test_every_form_of_it_runs_as_firmware_as_bare_kernel_and_as_a_further_file(xlen: int, need: Need) -> None:
    need("mkimage (u-boot-tools)", shutil.which("mkimage"))
    Path("jump.S").write_text(".globl _start\n_start: li t0, 0x80000000\n jr t0\n")
    jump = link(xlen, "-Wl,-Ttext=0x80100000,-N", source="jump.S")

    for form in forms_of(link(xlen, TEXT_AT)):
        further = Load(read_image(form), 0x8000_0000 if form.name == "binary" else None)
        got = [exit_code(form, xlen), exit_code(None, xlen, kernel=form)]
        if form.name != "binary.gz":  # does not say where it goes, and as it is it can't run
            got.append(exit_code(jump, xlen, loads=(further,)))
        assert set(got) == {7}, form
