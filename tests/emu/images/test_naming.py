"""Files given for an image that are none: what they are, and what to do."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from support.elf_files import LOOPS
from support.recordings import setup_of_image

from minstret.devices.board.traced import Recording
from minstret.emu.errors import ConfigError
from minstret.emu.images.loader import ImageFile, load_firmware

BUILD_IT = "not an image; build it first (firmware/README.md shows how)"
TEXT = "text, not an image; give an ELF file, a raw binary, Intel hex or S-records"


def refusal(name: str, data: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        load_firmware(ImageFile(name, data), 0)
    return str(caught.value)


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("firmware.elf"))
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("hello.c", b"int x;\n", f"C source, {BUILD_IT}"),
        ("hello", b"#include <stdio.h>\nint main(void) {}\n", f"C source, {BUILD_IT}"),
        ("hello.txt", b"/* main */\nint\tmain (int argc)\n{}\n", f"C source, {BUILD_IT}"),
        ("start.S", b"nop\n", f"assembly source, {BUILD_IT}"),
        ("start", b"\t.globl _start\n_start: nop\n", f"assembly source, {BUILD_IT}"),
        ("main.rs", b"fn main() {}\n", f"Rust source, {BUILD_IT}"),
        ("main.cpp", "// größer\n".encode(), f"C++ source, {BUILD_IT}"),
        ("run.sh", b"#!/bin/sh\nexit 0\n", "a script, not an image"),
        ("notes", b"One line.\nAnother.\n", TEXT),
        ("umlauts", b"\n" + "ä€𝄞".encode() * 12_000, TEXT),
        ("long", b"x\n" * 40_000 + "é\n".encode() * 40_000, TEXT),
        ("libc.a", b"!<arch>\n" + bytes(60), "a library of object files; link it first"),
        ("virt.dtb", b"\xd0\x0d\xfe\xed" + bytes(40), "a device tree or a FIT image, not an image that can be started"),
        ("fw.zip", b"PK\x03\x04" + bytes(40), "a zip archive; unpack it first"),
        ("rootfs", b"070701" + b"0" * 104, "a cpio archive: a RAM disk is given by --initrd"),
        ("fw.tar", tar(), "a tar archive; unpack it first"),
        ("db", b"SQLite format 3\0" + bytes(4080), "an SQLite database, not an image"),
        ("fw.xz", b"\xfd7zXZ\0" + bytes(40), "compressed by xz; unpack it first"),
    ],
)  # fmt: skip
def test_file_that_is_no_image_is_named(name: str, data: bytes, text: str) -> None:
    assert refusal(name, data) == f"{name}: {text}"


def test_recording_is_named_with_the_command_that_plays_it(tmp_path: Path) -> None:
    path = tmp_path / "hello.mst"
    with Recording(str(path), setup_of_image("hello")) as recording:
        recording.run()

    assert refusal(str(path), path.read_bytes()) == f"{path}: this is a recording: `minstret replay {path}`"


@pytest.mark.parametrize("data", [LOOPS, b"\x13\0\0\0" * 100, b"no line end", b"\n\0", bytes(range(256)), b"MZ\n\x01"])
def test_bytes_that_are_no_text_are_a_raw_binary(data: bytes) -> None:
    assert load_firmware(ImageFile("raw.c", data), 0x1000).segments[0].data == data
