"""``minstret --version``: without what a run needs, so that it is quick."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from minstret.emu.hart.compiled import c_callbacks

MISSING = "missing"
_INFO = ".dist-info"


def installed(package: str) -> str:
    """The version of an installed package, or MISSING.

    Looks for its ``NAME-VERSION.dist-info``. importlib.metadata, which knows more forms, takes 20 ms to import.
    """
    for folder in sys.path:
        with suppress(OSError):
            for name in os.listdir(folder or os.curdir):
                if name.startswith(f"{package}-") and name.endswith(_INFO):
                    return name.removeprefix(f"{package}-").removesuffix(_INFO)
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return MISSING


def counter_text() -> str:
    """The counter in use, in words."""
    return "C callbacks" if c_callbacks is not None else "Python callbacks (slow: no C compiler at install time)"


def version_text() -> str:
    """What ``--version`` says."""
    return f"minstret {installed('minstret')}, unicorn {installed('unicorn')}, {counter_text()}"
