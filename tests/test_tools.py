"""The tools of a checkout: help installs nothing, and bad input is one line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("bench", "build-firmware", "cosim", "demo", "get-guests", "test")
PATIENCE_S = 60


def run_tool(tool: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool, *arguments], cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S,
        check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which nothing has been run yet, as far as the tools look at it."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("tools", "emu", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    return folder


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("tool", TOOLS)
def test_help_in_a_fresh_checkout_installs_nothing(checkout: Path, tool: str, option: str) -> None:
    before = sorted(checkout.rglob("*"))

    done = run_tool(checkout / "tools" / tool, option)

    assert (done.returncode, done.stderr) == (0, "")
    assert tool in done.stdout
    assert "setup" not in done.stdout  # no code
    assert sorted(checkout.rglob("*")) == before


@pytest.mark.parametrize("tool", TOOLS)
def test_help_after_an_install_is_the_whole_help(tool: str) -> None:
    done = run_tool(ROOT / "tools" / tool, "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert ("usage: " if tool != "test" else "checks and tests") in done.stdout.lower()
