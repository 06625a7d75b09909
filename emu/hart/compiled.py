"""The C callbacks, where they were built: None without a compiler at install time."""

from __future__ import annotations

from typing import Any

c_callbacks: Any
try:
    from minstret.emu.hart import _callbacks as c_callbacks  # type: ignore[no-redef,attr-defined]
except ImportError:
    c_callbacks = None
