"""docs/python.md: its tests pass, all other Python is one program; the recording replays with the command."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from support.commands import PATIENCE_S, minstret

TEXT = (Path(__file__).parent.parent / "docs" / "python.md").read_text()
REPORT = Path(__file__).parent / "support" / "product" / "report.txt"
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
TESTS = [block for block in BLOCKS if re.search("^def test_", block, re.MULTILINE)]


def test_python_on_the_page_runs(tmp_path: Path) -> None:
    assert len(BLOCKS) > 8
    program = tmp_path / "page.py"
    program.write_text("\n".join(block for block in BLOCKS if block not in TESTS))

    done = subprocess.run(
        [sys.executable, program], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )

    assert done.returncode == 0, done.stderr
    played = minstret("replay", "line.mst", cwd=tmp_path)
    assert played.returncode == 0, played.stderr
    assert played.stdout.endswith(b"'? try help\n> ")


def test_tests_on_the_page_pass(tmp_path: Path) -> None:
    (tmp_path / "test_page.py").write_text("\n".join(TESTS))

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_page.py"], cwd=tmp_path, capture_output=True, text=True,
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip

    count = sum(len(re.findall("^def test_", block, re.MULTILINE)) for block in TESTS)
    assert f"{count} passed" in done.stdout, done.stdout


def test_report_on_the_page_is_that_of_the_products_suite() -> None:
    (shown,) = re.findall(r"^```\n(>.*?)```", TEXT, re.DOTALL | re.MULTILINE)

    assert shown in REPORT.read_text()
