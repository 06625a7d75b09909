"""docs/debugging.md: its session with gdb and its Python come out as shown, and minstret has the commands it lists.

What it says of launch.json is tried in tests/guests/test_editors.py.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support.commands import PATIENCE_S, minstret
from support.gdb import debug, need_gdb
from support.needs import Need
from support.recordings import record, setup_of_image

TEXT = (Path(__file__).parent.parent / "docs" / "debugging.md").read_text()
BLOCKS = [textwrap.dedent(block) for block in re.findall(r"(?:^(?:    .*)?\n)+", TEXT, re.MULTILINE) if block.strip()]
SESSION = re.findall(r"^\(gdb\) (.*)\n((?:(?!\(gdb\) ).*\n)*)", "".join(
    block for block in BLOCKS if block.lstrip().startswith("(gdb) ")
), re.MULTILINE)  # fmt: skip
"""What is typed to gdb, all in one session, and what it says."""


def test_session_comes_out_as_shown(tmp_path: Path, need: Need) -> None:
    need_gdb(need)
    record(tmp_path / "smash.mst", setup_of_image("smash", ram_size=128 << 20))

    said = debug(tmp_path / "smash.mst", *(command for command, _ in SESSION))

    assert len(SESSION) > 5
    for (command, shown), text in zip(SESSION, said, strict=True):
        assert text.split() == shown.split(), command


def test_python_runs(tmp_path: Path) -> None:
    record(tmp_path / "smash.mst", setup_of_image("smash"))
    (code,) = (block for block in BLOCKS if block.lstrip().startswith("from minstret import"))

    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}, check=True,
        timeout=PATIENCE_S,
    )  # fmt: skip


def test_log_comes_out_as_shown() -> None:
    (block,) = (block for block in BLOCKS if block.lstrip().startswith("minstret run -q crash --log"))
    command, *shown = block.strip().splitlines()

    done = minstret(*command.partition(" 2>&1 |")[0].split()[1:])
    assert done.stderr.decode().splitlines()[:2] == shown


def test_python_of_logs_prints_what_happens(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = (block for block in BLOCKS if block.lstrip().startswith("with board.log("))

    exec(code, {"board": setup_of_image("ticks").make()})
    assert capsys.readouterr().out.count("machine timer interrupt") == 100


def test_monitor_commands_of_the_table_are_those_there_are(tmp_path: Path, need: Need) -> None:
    need_gdb(need)
    record(tmp_path / "hello.mst", setup_of_image("hello"))
    (helped,) = debug(tmp_path / "hello.mst", "monitor help")

    section = TEXT[TEXT.index("## minstret's own commands") : TEXT.index("## Changing the past")]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    listed = {word for row in rows for word in re.findall(r"`(\w+)", row)}
    assert listed == {line.split()[0] for line in helped.splitlines()} - {"Commands"}
