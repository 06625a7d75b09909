"""Sessions at a shell as a page shows them: they are run, and what they say is compared with what is shown."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from support.commands import PATIENCE_S

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


def run_shell(command: str, folder: Path, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, input=typed, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
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
