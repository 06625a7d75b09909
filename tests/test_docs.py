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
