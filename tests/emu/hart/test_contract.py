"""The contract of the hart's C files and Python: the header is up to date, other builds are refused with one line."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from minstret.emu.errors import HostError
from minstret.emu.hart import contract
from minstret.emu.hart.contract import CALLBACKS, HELPERS
from minstret.emu.hart.csr_table import CSRS

ROOM = contract.HEADER.parent
COMPILER = shutil.which("cc") or shutil.which("gcc")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler")


def test_header_is_what_the_python_side_makes() -> None:
    """After a change to spec.py, csr_table.py, shared.py or layout.py: python -m minstret.emu.hart.contract."""
    assert contract.HEADER.read_text() == contract.header_text()


@pytest.mark.parametrize("library", [CALLBACKS, HELPERS])
def test_what_was_built_from_the_same_sources_is_accepted(library: str) -> None:
    contract.check(library, *contract.agreed(library))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("has_helpers", None), "they have no has_helpers"),
        (("STOP_FULL", 9), "STOP_FULL is 9 there and 8 here"),
        (("limit", 48 << 16 | 4), "limit is 4 bytes at 48 there and 8 bytes at 40 here"),
        (("SHARED_SIZE", 8), "SHARED_SIZE is 8 there"),
        (("new_field", 8), "they have new_field, which is not here"),
    ],
)
def test_difference_is_one_line_that_names_it(change: tuple[str, int | None], says: str) -> None:
    names, values = contract.agreed(CALLBACKS)
    table = dict(zip(names.split(), struct.unpack(f"={len(values) // 8}Q", values), strict=True))
    name, value = change
    if value is None:
        del table[name]
    else:
        table[name] = value
    with pytest.raises(HostError) as caught:
        contract.check(CALLBACKS, " ".join(table), struct.pack(f"={len(table)}Q", *table.values()))

    text = str(caught.value)
    assert "the C callbacks were built from another version of minstret" in text
    assert says in text
    assert "reinstall" in text
    assert "\n" not in text


def test_other_order_of_the_same_is_refused() -> None:
    names, values = contract.agreed(HELPERS)
    first, second, *rest = names.split()
    with pytest.raises(HostError):
        contract.check(HELPERS, " ".join((second, first, *rest)), values[8:16] + values[:8] + values[16:])


def test_library_that_tells_nothing_is_refused() -> None:
    with pytest.raises(HostError, match="do not say what they were built from"):
        contract.check(CALLBACKS, "", b"")


def test_each_csr_has_one_row_and_one_name() -> None:
    assert len({row.number for row in CSRS}) == len({row.name for row in CSRS}) == len(CSRS)


# ---- built from other sources, really


def copy_of_the_package(tmp_path: Path) -> Path:
    """The import package, with the C libraries still to be built."""
    package = tmp_path / "minstret"
    shutil.copytree(ROOM.parent / "package", package, ignore=shutil.ignore_patterns("__pycache__"))
    for room in ("emu", "devices", "firmware"):
        shutil.copytree(ROOM.parent.parent / room, package / room, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    return package


def build(package: Path, name: str) -> None:
    """Compile one of the C libraries of the copy."""
    assert COMPILER is not None
    hart = package / "emu" / "hart"
    sources = [f"{hart / each}.c" for each in (name, *(["_tlb"] if name == "_helpers" else []))]
    subprocess.run(
        [COMPILER, "-O0", "-shared", "-fPIC", "-fvisibility=hidden" if name == "_helpers" else "-fPIC",
         f"-I{sysconfig.get_paths()['include']}", *sources, "-o", f"{hart / name}.abi3.so", "-lm", "-ldl"],
        check=True,
    )  # fmt: skip


def run_demo(package: Path) -> subprocess.CompletedProcess[str]:
    program = (
        "from minstret.devices.board.board import Board, BoardConfig\n"
        "from minstret.emu.images.loader import Firmware, Segment\n"
        "board = Board(Firmware('t', 64, 0x80000000, (Segment(0x80000000, b'o\\0\\0\\0', 4),)), BoardConfig(xlen=64))\n"
        "board.run_until(icount=100)\n"
        "print('ran', board.hart.counting.value, board.position.icount)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(package.parent)}, cwd=package.parent,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


CHANGES = {
    "_callbacks": ("shared.py", '"rewritten_pc rewritten_icount ', '"rewritten_icount rewritten_pc '),
    "_helpers": ("spec.py", "0x01, 0x02, 0x04, 0x80", "0x01, 0x02, 0x04, 0x40"),
}
"""A file and what changes there: fields in another order, another value."""


@needs_compiler
@pytest.mark.parametrize("stale", ["_callbacks", "_helpers"])
def test_library_built_before_a_change_of_the_same_size_is_one_clear_error(tmp_path: Path, stale: str) -> None:
    package = copy_of_the_package(tmp_path)
    hart = package / "emu" / "hart"
    for name in ("_callbacks", "_helpers"):
        build(package, name)
    done = run_demo(package)
    assert done.stdout == "ran code 100\n", done.stderr

    file, before, after = CHANGES[stale]
    text = (hart / file).read_text()
    assert before in text
    (hart / file).write_text(text.replace(before, after))
    if stale == "_helpers":
        write = [sys.executable, "-m", "minstret.emu.hart.contract"]
        subprocess.run(write, env={**os.environ, "PYTHONPATH": str(tmp_path)}, cwd=tmp_path, check=True)
        build(package, "_callbacks")
    done = run_demo(package)

    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert "HostError: the C" in last
    assert "were built from another version of minstret" in last
    assert ("rewritten_icount is" if stale == "_callbacks" else "PMP_LOCKED is") in last
