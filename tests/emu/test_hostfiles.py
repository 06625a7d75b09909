"""Files of the host's below one folder: what each mode does, and that a number may be another file's later."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from minstret.emu.errors import ConfigError
from minstret.emu.hostfiles import HostFiles

MODES = ("r", "rb", "r+", "r+b", "w", "wb", "w+", "w+b", "a", "ab", "a+", "a+b")
READS = tuple("r" in mode or "+" in mode for mode in MODES)
WRITES = tuple(mode not in ("r", "rb") for mode in MODES)
DATA = b"0123456789"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file and a folder in it."""
    path = tmp_path / "shared"
    (path / "sub").mkdir(parents=True)
    (path / "file").write_bytes(DATA)
    return path


def error_of(files: HostFiles, name: bytes, mode: int = 0) -> int | None:
    with pytest.raises(OSError) as caught:
        files.open(1, name, mode)
    return caught.value.errno


@pytest.mark.parametrize("mode", range(len(MODES)), ids=MODES)
def test_mode_says_what_may_be_done_and_what_is_there_then(folder: Path, mode: int) -> None:
    files = HostFiles(str(folder))
    files.open(3, b"file", mode)
    kept = b"" if MODES[mode].startswith("w") else DATA

    assert files.size(3, b"file", mode) == len(kept)
    if READS[mode]:
        assert files.read(3, b"file", mode, 2, 100) == kept[2:]
    else:
        with pytest.raises(OSError):
            files.read(3, b"file", mode, 0, 1)
    if WRITES[mode]:
        written, after = files.write(3, b"file", mode, 2, b"XY")
        at = len(DATA) if MODES[mode].startswith("a") else 2
        assert (written, after) == (2, at + 2)
        assert (folder / "file").read_bytes() == (kept[:at].ljust(at, b"\0") + b"XY" + kept[at + 2 :])
    else:
        with pytest.raises(OSError):
            files.write(3, b"file", mode, 0, b"X")
    files.close_all()


@pytest.mark.parametrize("mode", range(len(MODES)), ids=MODES)
def test_missing_file_is_made_only_by_modes_that_write(folder: Path, mode: int) -> None:
    files = HostFiles(str(folder))
    if MODES[mode].startswith("r"):
        assert error_of(files, b"sub/new", mode) == errno.ENOENT
        assert not (folder / "sub" / "new").exists()
    else:
        files.open(1, b"sub/new", mode)
        assert (folder / "sub" / "new").read_bytes() == b""
    files.close_all()


@pytest.mark.parametrize(
    ("name", "number"),
    [
        (b"../secret", errno.EACCES), (b"/etc/passwd", errno.EACCES), (b"sub/../file", errno.EACCES),
        (b"", errno.ENOENT), (b".", errno.EISDIR), (b"sub", errno.EISDIR), (b"fi\0le", errno.EINVAL),
        (b"file/x", errno.ENOTDIR), (b"none/x", errno.ENOENT), (b"link", errno.ELOOP), (b"fifo", errno.EACCES),
        (b"linked/x", errno.ENOTDIR), (b"x" * 300, errno.ENAMETOOLONG),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", [0, 4, 8], ids=["r", "w", "a"])
def test_name_that_leads_out_or_to_no_regular_file_is_refused(
    folder: Path, name: bytes, number: int, mode: int
) -> None:
    (folder / "link").symlink_to("file")
    (folder / "linked").symlink_to("sub")
    os.mkfifo(folder / "fifo")
    files = HostFiles(str(folder))

    assert error_of(files, name, mode) == number
    assert (folder / "file").read_bytes() == DATA


def test_file_is_opened_again_where_another_has_its_number(folder: Path) -> None:
    (folder / "other").write_bytes(b"other")
    files = HostFiles(str(folder))
    files.open(1, b"other", 0)

    assert files.read(1, b"file", 2, 0, 4) == b"0123"  # as after a snapshot was put back
    assert files.read(1, b"other", 0, 0, 5) == b"other"
    (folder / "other").unlink()
    files.close(1)
    with pytest.raises(FileNotFoundError):
        files.read(1, b"other", 0, 0, 5)
    files.close(99)  # nothing is open there


def test_reopened_file_to_write_is_not_emptied_again(folder: Path) -> None:
    files = HostFiles(str(folder))
    files.open(1, b"out", 4)
    files.write(1, b"out", 4, 0, b"kept")
    files.close_all()

    assert files.write(1, b"out", 4, 4, b" and more") == (9, 13)
    assert (folder / "out").read_bytes() == b"kept and more"


def test_files_are_renamed_and_removed_within_the_folder(folder: Path) -> None:
    files = HostFiles(str(folder))
    files.rename(b"file", b"sub/moved")
    assert (folder / "sub" / "moved").read_bytes() == DATA
    for action in (lambda: files.rename(b"sub/moved", b"../out"), lambda: files.remove(b"sub")):
        with pytest.raises(OSError):
            action()
    files.remove(b"sub/moved")

    assert os.listdir(folder / "sub") == []
    assert os.listdir(folder.parent) == ["shared"]


def test_no_descriptor_is_left_open(folder: Path) -> None:
    before = os.listdir("/proc/self/fd")
    files = HostFiles(str(folder))
    for number in range(20):
        files.open(number, b"file", 0)
        for name in (b"none", b"sub", b"sub/none/deeper"):
            with pytest.raises(OSError):
                files.open(100, name, 0)
    files.open(3, b"file", 2)
    files.close_all()

    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--semihosting: .* is not a folder"):
        HostFiles(str(tmp_path / "none"))
