"""The warning that minstret was installed without its C code and is much slower than it could be."""

from __future__ import annotations

from minstret.emu.cli.say import say
from minstret.emu.hart.compiled import c_callbacks
from minstret.emu.hart.shared import Counting

SLOW = (
    "this run is hundreds of times slower than it could be: minstret was installed without a C compiler or Python's"
    " headers;"
    " install them (Debian: gcc, libc6-dev, python3-dev), then install minstret again"
)


def say_if_slow(counting: str) -> None:
    """Warn on standard error if ``--counting`` asks for the C callbacks and they were not built."""
    if c_callbacks is None and counting != Counting.PYTHON.value:
        say(f"minstret: {SLOW}")
