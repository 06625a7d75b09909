"""docs/devices.md: its examples are the files, its Python runs, and its commands print what it shows."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.needs import Need
from test_readme import pattern_of, run_shell

TOP = Path(__file__).parent.parent
EXAMPLES = TOP / "docs" / "examples"
TEXT = (TOP / "docs" / "devices.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
SESSIONS = re.findall(r"((?:^    .*\n)+)", TEXT, re.MULTILINE)


def test_examples_on_the_page_are_the_files() -> None:
    shown = re.findall(r"^`docs/examples/([\w.]+)`:\n\n```\w+\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)

    assert [name for name, _ in shown] == ["gpio.py", "gpio.S", "pulse.py", "shout.py"]
    for name, text in shown:
        assert text == (EXAMPLES / name).read_text(), name
        assert name.endswith(".S") or text.count("\n") < 60


@pytest.mark.parametrize("name", ["gpio", "shout"])
def test_guests_are_what_their_sources_give(name: str, need: Need, tmp_path: Path) -> None:
    need("riscv64-unknown-elf-gcc", shutil.which("riscv64-unknown-elf-gcc"))
    subprocess.run(
        ["riscv64-unknown-elf-gcc", "-nostdlib", "-march=rv64g", "-mabi=lp64", "-Wl,-Ttext=0x80000000",
         "-Wl,--build-id=none", EXAMPLES / f"{name}.S", "-o", tmp_path / "a.out"], check=True,
    )  # fmt: skip
    subprocess.run(["riscv64-unknown-elf-objcopy", "-O", "ihex", tmp_path / "a.out", tmp_path / "a.hex"], check=True)

    assert (tmp_path / "a.hex").read_bytes() == (EXAMPLES / f"{name}.hex").read_bytes()


@pytest.mark.parametrize("code", [each for each in BLOCKS if "sys.path" in each])
def test_python_on_the_page_runs(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], cwd=TOP, check=True, timeout=120)


@pytest.mark.parametrize("session", [each for each in SESSIONS if each.lstrip().startswith("$ ")])
def test_session_comes_out_as_shown(session: str, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "docs" / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    lines = re.sub(r"^    ", "", session, flags=re.MULTILINE)
    for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", lines, re.MULTILINE):
        done = run_shell(command, tmp_path)

        assert re.fullmatch(pattern_of(shown), done.stdout), f"{command} says\n{done.stdout}not\n{shown}"
