"""Unicorn itself, and before it the library of functions that stand in its place.

Whoever needs Unicorn takes it from here: our functions replace Unicorn's own where their library is there before it
(_helpers.c says how), so the order in which two libraries are loaded matters, and this is the one place that has it.

Of Unicorn's Python package only the library is used. Importing the package takes longer than all that a hart asks of
it: four functions at set-up, for which ``Uc`` is here.
"""

from __future__ import annotations

import ctypes
import os
import sys
import weakref
from importlib.util import find_spec
from typing import Any

from minstret.emu.errors import HostError

ENVIRONMENT = "MINSTRET_HELPERS"
"""The environment variable that turns the library off, where its value is "off"."""

_ARCH_RISCV = 8
_MODES = {32: 4, 64: 8}
HOOK_INTR, HOOK_CODE, HOOK_BLOCK, HOOK_EDGE_GENERATED, HOOK_TLB_FILL = 1, 4, 8, 1 << 15, 1 << 17
CTL_SET_TLB_MODE, TLB_VIRTUAL = 12 | 1 << 26 | 1 << 30, 1
REGISTERS = {
    "x0": 1, "fflags": 41, "frm": 42, "mstatus": 116, "medeleg": 118, "mideleg": 119, "mie": 120, "mtvec": 121,
    "mcounteren": 122, "mscratch": 127, "mepc": 128, "mcause": 129, "mtval": 130, "stvec": 137, "scounteren": 138,
    "sscratch": 139, "sepc": 140, "scause": 141, "stval": 142, "satp": 146, "f0": 158, "pc": 190, "priv": 191,
}  # fmt: skip
"""Unicorn's numbers of registers, UC_RISCV_REG_*."""


def _load() -> tuple[Any, str]:
    """The library of our functions, or None and why it is not in use."""
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


def _load_unicorn() -> Any:
    """Unicorn's library."""
    spec = find_spec("unicorn")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = os.path.join(folder, "lib", "libunicorn.so.2")
        if "LIBUNICORN_PATH" not in os.environ and os.path.exists(path):
            return ctypes.CDLL(path)
    from unicorn.unicorn_py3.unicorn import uclib as library_of_package  # it knows more places, and other systems

    return library_of_package


library, why_not = _load()
uclib = _load_unicorn()
uclib.uc_strerror.restype = ctypes.c_char_p


def unicorn_version() -> str:
    """The version of the library, such as ``2.1.4``."""
    version = uclib.uc_version(None, None)
    return f"{version >> 24 & 0xFF}.{version >> 16 & 0xFF}.{version >> 8 & 0xFF}"


def check(code: int) -> None:
    """Raise HostError where Unicorn's answer is an error."""
    if code:
        raise HostError(f"Unicorn refused its set-up: {uclib.uc_strerror(ctypes.c_int(code)).decode()}")


class Uc:
    """One of Unicorn's engines.

    Attributes:
        handle: What its functions take.
    """

    def __init__(self, xlen: int) -> None:
        self.handle = ctypes.c_void_p()
        check(uclib.uc_open(ctypes.c_int(_ARCH_RISCV), ctypes.c_int(_MODES[xlen]), ctypes.byref(self.handle)))
        weakref.finalize(self, uclib.uc_close, self.handle).atexit = False  # the process frees all that anyway

    def reg_read(self, number: int) -> int:
        """A register, by Unicorn's number."""
        value = ctypes.c_uint64()
        check(uclib.uc_reg_read(self.handle, ctypes.c_int(number), ctypes.byref(value)))
        return value.value

    def reg_write(self, number: int, value: int) -> None:
        """Set a register, by Unicorn's number."""
        check(uclib.uc_reg_write(self.handle, ctypes.c_int(number), ctypes.byref(ctypes.c_uint64(value))))


def _bind() -> str:
    """Tell our functions where Unicorn's are, which do the rest, before any engine is made; why not, if so."""
    if library is None:
        return why_not
    for name in ("minstret_bind", "minstret_bind_tlb"):
        if not hasattr(library, name):
            return "built from another version of minstret"
        bind = getattr(library, name)
        bind.restype = ctypes.c_bool
        if not bind(ctypes.c_void_p(uclib._handle)):
            return "this Unicorn lacks a function"
    return ""


why_not = _bind()
