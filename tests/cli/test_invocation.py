"""What messages say to type next works where the user stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minstret.emu.cli.invocation import invocation


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment's command, on no PATH."""
    script = tmp_path / "my project" / ".venv" / "bin" / "minstret"
    script.parent.mkdir(parents=True)
    script.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.setenv("PATH", "/nowhere")
    return script


def test_command_on_the_path_is_called_by_its_name(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(script.parent))

    assert invocation() == "minstret"


def test_another_command_on_the_path_is_not_meant(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "minstret").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(script.parents[2])

    assert invocation() == ".venv/bin/minstret"


def test_command_in_the_users_own_folder_has_a_dot(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(script.parent)

    assert invocation() == "./minstret"


def test_command_elsewhere_is_an_absolute_path_a_shell_understands(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert invocation() == f"'{script}'"


def test_command_of_a_folder_that_is_gone_is_an_absolute_path(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = script.parent / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    try:
        assert invocation() == f"'{script}'"
    finally:
        os.chdir("/")


def test_without_an_installed_command_the_module_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "__main__.py")])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))

    assert invocation() == f"{tmp_path}/python3 -m minstret"


def test_commands_in_messages_are_named_as_they_can_be_typed(tmp_path: Path) -> None:
    (tmp_path / "run.mst").write_bytes(b"SQLite format 3\0".ljust(68, b"\0") + b"MSTR".ljust(32, b"\0"))
    environment = os.environ | {"PATH": os.defpath}

    errors = [
        subprocess.run([sys.executable, "-m", "minstret", *arguments], cwd=tmp_path, env=environment, text=True,
                       stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        for arguments in (["run", "run.mst"], ["run", "--nope"], [])
    ]  # fmt: skip

    command = f"{Path(sys.executable).parent}/minstret"
    assert f"`{command} replay run.mst`" in errors[0].stderr
    assert f"ee {command} run --help" in errors[1].stderr
    assert f"Try: {command} demo" in errors[2].stdout
