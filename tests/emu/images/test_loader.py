"""What kind of file an image is, and files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.elf_files import RAM

from minstret.emu.errors import ConfigError
from minstret.emu.images.loader import Firmware, Segment, load_firmware

CODE = bytes(range(1, 41))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "firmware.bin"


def test_any_other_file_is_a_raw_binary(file: Path) -> None:
    file.write_bytes(CODE)

    firmware = load_firmware(file, RAM)

    assert firmware == Firmware(str(file), None, RAM, (Segment(RAM, CODE, len(CODE)),))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_firmware(tmp_path / "nowhere.elf", RAM)

    assert str(caught.value) == f"{tmp_path / 'nowhere.elf'}: No such file or directory"


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_firmware(tmp_path, RAM)

    assert str(caught.value) == f"{tmp_path}: is a folder; give a file"


def test_empty_file_is_refused(file: Path) -> None:
    file.write_bytes(b"")

    with pytest.raises(ConfigError) as caught:
        load_firmware(file, RAM)

    assert str(caught.value) == f"{file}: the file is empty"
