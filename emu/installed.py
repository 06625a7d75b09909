"""Which versions of packages are installed."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

MISSING = "missing"
_INFO = ".dist-info"


def installed(package: str) -> str:
    """The version of an installed package, or MISSING.

    Looks for its ``NAME-VERSION.dist-info``. importlib.metadata, which knows more forms, takes 20 ms to import.
    """
    for folder in sys.path:
        with suppress(OSError):
            for name in sorted(os.listdir(folder or os.curdir)):
                if name.startswith(f"{package}-") and name.endswith(_INFO):
                    return name.removeprefix(f"{package}-").removesuffix(_INFO)
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return MISSING
