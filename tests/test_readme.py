"""What README shows really runs, and comes out as it is shown."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest
from support.commands import PATIENCE_S
from support.needs import Need

from minstret.devices.board.placement import PACKAGED
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
VARIES = re.compile(
    r"(?P<speed>[\d.]+ s host \(\d+ MIPS\))|(?P<digest>digest [0-9a-f]{16})"
    r"|(?<=_s\": )(?P<seconds>[\d.]+)|(?<=mips\": )(?P<mips>[\d.]+)"
    r"|(?P<hash>[0-9a-f]{16}\.\.\.(?=\"))|(?P<size>\d+ KiB)|(?P<rest>\.\.\.)"
)
INSTEAD = {
    "speed": r"[\d.]+ s host \(\d+ MIPS\)", "digest": "digest [0-9a-f]{16}", "seconds": r"[\d.e-]+",
    "mips": r"[\d.]+",    "hash": "[0-9a-f]{64}", "size": r"\d+ KiB", "rest": ".*",
}  # fmt: skip
"""What is another one each time, or with another state of the board, and what may be there."""


def test_readme_shows_python_and_commands() -> None:
    assert PYTHON
    assert len(SESSIONS) > 3
    assert len(COMMANDS) > 10


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_python_block_runs(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(PYTHON[number], f"README.md, block {number}", "exec"), {})


@pytest.mark.parametrize("session", [each for each in SESSIONS if "get-guests" not in each])
def test_session_comes_out_as_shown(session: str, tmp_path: Path) -> None:
    for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE):
        done = run_shell(command, tmp_path)

        assert re.fullmatch(pattern_of(shown), done.stdout), f"{command} says\n{done.stdout}not\n{shown}"


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
    if command.endswith(".mst"):
        assert run_shell("minstret record -o app.mst hello", tmp_path).returncode == 0

    done = run_shell(f"{command} --max-insns 20M" if "u-boot" in command else command, tmp_path)

    assert done.returncode == (123 if "u-boot" in command else 0), done.stdout


def test_files_that_are_named_are_there() -> None:
    folder = README.parent
    named = re.findall(r"`((?:emu|devices|tests|firmware|tools)/[\w./-]*)", TEXT)

    assert len(named) > 30
    assert [name for name in named if not (folder / name).exists()] == []
    assert [page for page in re.findall(r"\]\(([\w./-]+)[#)]", TEXT) if not (folder / page).exists()] == []


def run_shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=PATIENCE_S, env=os.environ | {"LC_ALL": "C.UTF-8"}, check=False,
    )  # fmt: skip


def pattern_of(shown: str) -> str:
    """What a shown text stands for: ``...`` for the rest of a line, or for any lines where it is alone."""
    lines = []
    for line in shown.splitlines():
        if line.strip() == "...":
            lines.append(r"(?:.*\n)*")
            continue
        at, pattern = 0, ""
        for found in VARIES.finditer(line):
            pattern += re.escape(line[at : found.start()]) + INSTEAD[found.lastgroup or ""]
            at = found.end()
        lines.append(pattern + re.escape(line[at:]) + r"\n")
    return "".join(lines)
