"""Versions of installed packages."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from minstret.emu.installed import MISSING, installed


@pytest.mark.parametrize("package", ["unicorn", "click"])
def test_version_is_the_one_that_importlib_finds(package: str) -> None:
    assert installed(package) == metadata.version(package)


def test_first_folder_of_the_path_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "unicorn-9.8.7.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "nowhere"), str(tmp_path), *sys.path])

    assert installed("unicorn") == "9.8.7"


def test_package_that_is_not_there_is_missing() -> None:
    assert installed("unicor") == MISSING
