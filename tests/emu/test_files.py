"""Reading the user's files: what is read, what is refused, and that nothing is read before that is known."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from minstret.emu.errors import ConfigError
from minstret.emu.files import read_file, size_text

MIB = 1 << 20


def error(path: str | Path, size_max: int = MIB) -> str:
    with pytest.raises(ConfigError) as caught:
        read_file(path, size_max)
    return str(caught.value)


@pytest.mark.parametrize("size", [0, 1, 4096, MIB])
def test_file_is_read_whole_up_to_the_limit(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))

    assert read_file(path, MIB) == path.read_bytes()


def test_file_one_byte_larger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(MIB + 1))

    assert error(path) == f"{path}: larger than 1 MiB, the limit for such a file"


def test_file_that_says_it_is_empty_is_read_up_to_the_limit() -> None:
    assert read_file("/proc/self/status", MIB).startswith(b"Name:")
    assert error("/proc/self/maps", 10) == "/proc/self/maps: larger than 10 bytes, the limit for such a file"


def test_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "loop").symlink_to("loop")

    assert read_file(tmp_path / "link", MIB) == b"data"
    assert error(tmp_path / "loop") == f"{tmp_path / 'loop'}: Too many levels of symbolic links"


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "socket"))

    assert error(tmp_path / "pipe").endswith(": is a pipe; give a file, or - for standard input")
    assert error(tmp_path / "socket").endswith(": No such device or address")
    assert error(tmp_path).endswith(": is a folder; give a file")
    assert error("/dev/zero") == "/dev/zero: is a device; give a file"
    assert error("/proc/self/mem").startswith("/proc/self/mem: ")
    assert error("a\0b").startswith("a\0b: embedded null")


def test_check_sees_size_and_head_before_anything_is_read(tmp_path: Path) -> None:
    path, seen = tmp_path / "file", []
    path.write_bytes(b"head" + bytes(1000))

    def check(size: int, head: bytes) -> None:
        seen.append((size, head[:4]))
        raise ConfigError("not this one")

    with pytest.raises(ConfigError, match="not this one"):
        read_file(path, MIB, check)
    assert seen == [(1004, b"head")]


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = len(os.listdir("/proc/self/fd"))

    for path in (tmp_path, tmp_path / "pipe", "/dev/zero", tmp_path / "absent"):
        error(path)

    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("size", "text"),
    [(1, "1 bytes"), (1023, "1023 bytes"), (1024, "1 KiB"), (3 * MIB // 2, "1.5 MiB"), (1 << 30, "1 GiB")],
)
def test_sizes_are_told_in_units(size: int, text: str) -> None:
    assert size_text(size) == text
