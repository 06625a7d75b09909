"""The committed firmware images are what their sources build, and what their hashes say."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from support.commands import PATIENCE_S

from minstret.firmware import IMAGES, image_path

ROOT = Path(__file__).parents[2]
FOLDER = image_path(IMAGES[0]).parent


def test_images_are_those_of_the_list_of_hashes() -> None:
    listed = dict(reversed(line.split()) for line in (FOLDER / "SHA256SUMS").read_text().splitlines())
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.glob("*.elf")}
    assert found == listed


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.elf")), ids=lambda path: path.stem)
def test_line_tables_name_the_sources_from_the_root_of_the_checkout(path: Path) -> None:
    with path.open("rb") as file:
        sources = []
        for unit in ELFFile(file).get_dwarf_info().iter_CUs():
            attributes = unit.get_top_DIE().attributes
            sources.append(attributes["DW_AT_name"].value.decode())
            assert attributes["DW_AT_comp_dir"].value == b"minstret"

    assert sources
    assert all((ROOT / source).is_file() for source in sources), sources


def test_unknown_image_is_named_in_the_error() -> None:
    with pytest.raises(ValueError, match="nosuch"):
        image_path("nosuch")


@pytest.mark.slow
def test_images_are_rebuilt_byte_for_byte(tmp_path: Path) -> None:
    """With empty caches, as on a new machine: compilers that share one can wait for each other for ever."""
    empty = {name: str(tmp_path / "zig") for name in ("ZIG_LOCAL_CACHE_DIR", "ZIG_GLOBAL_CACHE_DIR")}
    done = subprocess.run(
        [ROOT / "tools" / "build-firmware", "--check"], capture_output=True, text=True, env=os.environ | empty,
        timeout=2 * PATIENCE_S, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in (tmp_path / "zig").iterdir()) == ["rv32", "rv64"]
