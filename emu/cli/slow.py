"""A word where minstret is much slower than it could be."""

from __future__ import annotations

from minstret.emu.cli.say import say
from minstret.emu.hart.engine import c_callbacks
from minstret.emu.hart.shared import Counting

SLOW = (
    "hundreds of times slower than need be: minstret was installed without a C compiler or Python's headers;"
    " install them (Debian: gcc, libc6-dev, python3-dev), then install minstret again"
)


def say_if_slow(counting: str) -> None:
    """A line on standard error where the C callbacks were not built, and ``--counting`` asks for them."""
    if c_callbacks is None and counting != Counting.PYTHON.value:
        say(f"minstret: {SLOW}")
