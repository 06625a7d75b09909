from __future__ import annotations

import json
import zlib
from base64 import b64decode
from string import ascii_letters, digits

from minstret.emu.questions.page.packing import packed, source_hash


def test_data_comes_back_whatever_it_has() -> None:
    data = {"a": [1, 2**60, None], "b": "</script>\u2028\ud800\x00 ü"}

    assert json.loads(zlib.decompress(b64decode(packed(data)))) == data


def test_packed_data_may_stand_anywhere_in_html() -> None:
    assert set(packed({"a": "</script><!--"})) <= {*ascii_letters, *digits, *"+/="}


def test_hash_is_that_of_a_content_security_policy() -> None:
    """The example of the specification, CSP Level 3, 6.7.2.3."""
    assert source_hash("alert('Hello, world.');") == "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng="
