"""The data block of the page: JSON, deflated, base64; and what a Content-Security-Policy wants to know of a script."""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from hashlib import sha256
from typing import Any


def packed(data: Any) -> str:
    """Plain values as one word of ASCII, which can stand anywhere in HTML."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return b64encode(zlib.compress(text.encode(), 6)).decode()


def source_hash(text: str) -> str:
    """A script or style sheet as a Content-Security-Policy allows it."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
