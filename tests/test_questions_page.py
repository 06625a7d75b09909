"""docs/questions.md: what it shows as typed works, one after the other in one folder, and comes out as shown."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from support.transcripts import pattern_of, run_shell

TEXT = (Path(__file__).parents[1] / "docs" / "questions.md").read_text()
BLOCKS = [f"{textwrap.dedent(block).strip()}\n" for block in re.findall(r"(?:^(?:    .*)?\n)+", TEXT, re.MULTILINE)]
TYPED = [
    (command, shown)
    for block in BLOCKS
    for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    if not command.startswith("genhtml")  # it wants the sources beside
]
"""Commands, and what each says; where nothing is shown it may say anything."""


def test_page_shows_each_question() -> None:
    asked = {command.split()[1] for command, _ in TYPED} - {"record"}

    assert asked == set(re.findall(r"^- .*`minstret (\w+)`$", TEXT, re.MULTILINE))


def test_session_comes_out_as_shown(tmp_path: Path) -> None:
    for command, shown in TYPED:
        done = run_shell(command, tmp_path)

        assert re.fullmatch(pattern_of(shown or "...\n"), done.stdout), f"{command} says\n{done.stdout}not\n{shown}"
