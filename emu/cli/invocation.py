"""How to type the command from the current folder: for messages that say what to type next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys

_NAME = "minstret"


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


def _script() -> str | None:
    """Path of this Python's installed command; None if it has none."""
    for path in (sys.argv[0], os.path.join(os.path.dirname(sys.executable), _NAME)):
        if os.path.basename(path) == _NAME and os.path.isfile(path):
            return os.path.abspath(path)
    return None
