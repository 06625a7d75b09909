"""What README shows really runs, and comes out as it is shown."""

from __future__ import annotations

import re
import shutil
import textwrap
from pathlib import Path

import pytest
from support.gdb import need_gdb
from support.needs import Need
from support.transcripts import pattern_of, run_shell

from minstret.devices.board.placement import PACKAGED
from minstret.emu.cli.gdb import found_gdb
from minstret.firmware import image_path

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text()
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
SESSIONS = [
    textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n)+", TEXT, re.MULTILINE) if block.startswith("    $ ")
]
"""What is shown as typed at a shell, and what it says."""
COMMANDS = re.findall(r"^    (minstret .*?)(?:  .*)?$", TEXT[TEXT.index("\n## Use\n") :], re.MULTILINE)
"""Lists of commands, each with what it does."""
PROMPT = r"\(gdb\) "
"""What is typed behind it is not echoed where gdb's input is no terminal."""


def test_readme_shows_python_and_commands() -> None:
    assert PYTHON
    assert len(SESSIONS) > 3
    assert len(COMMANDS) > 10


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_python_block_runs(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(PYTHON[number], f"README.md, block {number}", "exec"), {})


@pytest.mark.parametrize("session", [each for each in SESSIONS if "get-guests" not in each])
def test_session_comes_out_as_shown(session: str, tmp_path: Path, need: Need) -> None:
    (test_of_firmware,) = (code for code in PYTHON if code.startswith("def test_"))
    (tmp_path / "test_thermostat.py").write_text(test_of_firmware)
    for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE):
        typed = re.findall(rf"^{PROMPT}(.*\n)", shown, re.MULTILINE)
        if typed:
            need_gdb(need)
        done = run_shell(command, tmp_path, "".join(typed))

        pattern = session_with_gdb(shown) if typed else pattern_of(shown)
        assert re.fullmatch(pattern, done.stdout), f"{command} says\n{done.stdout}not\n{shown}"


@pytest.mark.parametrize("command", [each for each in COMMANDS if "..." not in each])
def test_listed_command_works(command: str, tmp_path: Path, need: Need) -> None:
    for name in re.findall(r"\S+\.(?:elf|bin|hex)|Image", command):
        image = {"app.bin": image_path("hello", 32), "payload.bin": image_path("paging-s")}
        shutil.copy(image.get(name, image_path("hello")), tmp_path / name)
    for name in re.findall(r"\S+/", command):
        (tmp_path / name).mkdir()
    for name in ("opensbi", "u-boot"):
        if name in command.replace("--kernel", "opensbi"):
            need(name, Path(PACKAGED[name][64]).exists())
    if "debug" in command:
        need("gdb", found_gdb())
    if "app.mst" in command:
        assert run_shell("minstret record -o app.mst hello", tmp_path).returncode == 0

    done = run_shell(f"{command} --max-insns 20M" if "u-boot" in command else command, tmp_path)

    assert done.returncode == (123 if "u-boot" in command else 0), done.stdout


def test_files_that_are_named_are_there() -> None:
    folder = README.parent
    named = re.findall(r"`((?:emu|devices|tests|firmware|tools)/[\w./-]*)", TEXT)

    assert len(named) > 30
    assert [name for name in named if not (folder / name).exists()] == []
    assert [page for page in re.findall(r"\]\(([\w./-]+)[#)]", TEXT) if not (folder / page).exists()] == []


def session_with_gdb(shown: str) -> str:
    """``pattern_of``, without what is typed to gdb and with what it says at the end of its input."""
    said = re.sub(
        rf"^{PROMPT}.*\n(\.\.\.\n)?", lambda found: "(gdb) " + 2 * (found[1] or ""), shown, flags=re.MULTILINE
    )
    return pattern_of(said) + PROMPT + r"(?:.*\n)*.*"
