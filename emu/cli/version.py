"""``minstret --version``: without what a run needs, so that it is quick."""

from __future__ import annotations

from minstret.emu.hart.compiled import c_callbacks
from minstret.emu.installed import installed


def counter_text() -> str:
    """The counter in use, in words."""
    return "C callbacks" if c_callbacks is not None else "Python callbacks (slow: no C compiler at install time)"


def version_text() -> str:
    """What ``--version`` says."""
    return f"minstret {installed('minstret')}, unicorn {installed('unicorn')}, {counter_text()}"
