"""How much memory and processor time a process uses.

Not getrusage's ru_maxrss, which begins with what the parent had. Not time by the clock, which goes on while others have
the processor.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def high_water() -> int:
    """The most memory that this process had since it began, or since ``reset_high_water``, bytes."""
    match = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1]) << 10


def reset_high_water() -> None:
    """Reset what ``high_water`` returns."""
    Path("/proc/self/clear_refs").write_text("5")


@contextmanager
def cpu_limit(seconds: int) -> Iterator[None]:
    """Raise RuntimeError if the process uses more processor time."""

    def on_time_out(number: int, frame: object) -> None:
        raise RuntimeError(f"still at it after {seconds} s of processor time")

    previous = signal.signal(signal.SIGPROF, on_time_out)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)
