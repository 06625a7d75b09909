"""Unicorn itself, and before it the library of functions that stand in its place.

Whoever needs Unicorn takes it from here: our functions replace Unicorn's own where their library is there before it
(_helpers.c says how), so the order of two imports matters, and this is the one place that has it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from importlib.util import find_spec
from typing import Any

ENVIRONMENT = "MINSTRET_HELPERS"
"""The environment variable that turns the library off, where its value is "off"."""


def _load() -> tuple[Any, str]:
    """The library, or None and why it is not in use."""
    if "unicorn" in sys.modules:
        return None, "unicorn was imported before minstret"
    if not sys.platform.startswith("linux") or sys.byteorder != "little" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None, "only for 64-bit Linux"
    spec = find_spec("minstret.emu.hart._helpers")
    if spec is None or spec.origin is None:
        return None, "not built: no C compiler at install time"
    try:
        return ctypes.CDLL(spec.origin, mode=os.RTLD_GLOBAL | os.RTLD_NOW), ""
    except OSError as error:
        return None, str(error)


library, why_not = _load()

import unicorn  # noqa: E402
from unicorn import riscv_const as uc_reg  # noqa: E402
from unicorn import unicorn_const as uc_const  # noqa: E402
from unicorn.unicorn_py3.unicorn import uclib  # noqa: E402


def _bind() -> str:
    """Tell our functions where Unicorn's are, which do the rest, before any engine is made; why not, if so."""
    if library is None:
        return why_not
    if not hasattr(library, "minstret_bind"):
        return "built from another version of minstret"
    library.minstret_bind.restype = ctypes.c_bool
    return "" if library.minstret_bind(ctypes.c_void_p(uclib._handle)) else "this Unicorn lacks a function"


why_not = _bind()

__all__ = ["ENVIRONMENT", "library", "uc_const", "uc_reg", "uclib", "unicorn", "why_not"]
