"""What README and docs say of this tree: files that are named are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
PAGES = sorted(page for pattern in ("README.md", "docs/*.md", "*/README.md") for page in TOP.glob(pattern))
NAMED = re.compile(r"(?<![\w/.-])(?:emu|devices|firmware|tests|tools|docs)/[\w./-]*\w")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_files_that_a_page_names_are_there(page: Path) -> None:
    assert [name for name in NAMED.findall(page.read_text()) if not (TOP / name).exists()] == []


def test_each_file_of_the_hart_is_in_its_table() -> None:
    files = {file.name for pattern in ("*.py", "*.c", "*.h") for file in (TOP / "emu" / "hart").glob(pattern)}
    text = (TOP / "docs" / "hart.md").read_text()

    assert {name for name in files - {"__init__.py"} if f"`{name}`" not in text} == set()


def test_each_folder_and_each_file_of_emu_is_in_the_list_of_the_design() -> None:
    text = (TOP / "docs" / "design.md").read_text()
    folders = {
        f"{folder.relative_to(TOP)}/" for room in ("emu", "devices") for folder in (TOP / room).iterdir()
        if folder.is_dir() and not folder.name.startswith("_")
    }  # fmt: skip
    files = {file.name for file in (TOP / "emu").glob("*.py")} - {"__init__.py"}

    assert {name for name in folders | files if name not in text} == set()
