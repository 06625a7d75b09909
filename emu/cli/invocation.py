"""How to type the command from the current folder: for messages that say what to type next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence

_NAME = "minstret"
_SHOWN_MAX = 140
"""Characters of a line with commands to type."""


def invocation() -> str:
    """``minstret`` if the PATH leads to this installation, else a path to its script, else this Python with ``-m``."""
    script = _script()
    if script is None:
        return f"{shlex.quote(sys.executable or 'python')} -m {_NAME}"
    found = shutil.which(_NAME)
    if found is not None and os.path.samefile(found, script):
        return _NAME
    try:
        folder = os.path.join(os.getcwd(), "")
    except OSError:  # the folder was removed
        return shlex.quote(script)
    if script.startswith(folder):
        nearer = script.removeprefix(folder)
        return shlex.quote(nearer if os.sep in nearer else os.path.join(".", nearer))
    return shlex.quote(script)


def with_devices(trace: str, devices: Sequence[str]) -> str:
    """A trace as it is typed after a command, behind the user's devices in it: ``--device gpio.py:Gpio run.mst``."""
    return " ".join([*(f"--device {shlex.quote(text)}" for text in devices), shlex.quote(trace)])


def how_to_look(trace: str) -> str:
    """What to type to see why a run ended as it did; ``trace`` is as ``with_devices`` gives it."""
    return f"to look at it: {invocation()} debug {trace}"


def how_to_debug(trace: str, icount: int) -> str:
    """What to type to see the place of an icount; ``trace`` is as ``with_devices`` gives it."""
    return f"{invocation()} debug --at {icount} {trace}"


def how_to_look_again(trace: str) -> str | None:
    """The same for a run that was not recorded, as it was typed; None where that is too long to be read.

    Args:
        trace: What a recording of it would be called.
    """
    if sys.argv[1:2] != ["run"] or os.path.exists(trace):
        return None
    record = f"{invocation()} record {shlex.join(sys.argv[2:])}"
    text = f"to look at it: {record}; {invocation()} debug {shlex.quote(trace)}"
    return text if len(text) <= _SHOWN_MAX else None


def _script() -> str | None:
    """Path of this Python's installed command; None if it has none."""
    for path in (sys.argv[0], os.path.join(os.path.dirname(sys.executable), _NAME)):
        if os.path.basename(path) == _NAME and os.path.isfile(path):
            return os.path.abspath(path)
    return None
