"""System.map and what nm prints."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from minstret.emu.errors import ConfigError
from minstret.emu.images.image import ImageFile, Symbol, SymbolTable
from minstret.emu.images.loader import load_firmware
from minstret.emu.images.systemmap import is_system_map, read_system_map
from minstret.firmware import image_path

RAM = 0x8000_0000

SYSTEM_MAP = b"""\
0000000000000000 A __ef_marker
ffffffff80000000 T _start
ffffffff80002000 t handle_exception
ffffffff80002000 t $x
ffffffff80c00000 D linux_banner
"""


def test_functions_and_objects_have_names() -> None:
    symbols = read_system_map(ImageFile("System.map", SYSTEM_MAP))

    assert symbols == [
        Symbol(0xFFFF_FFFF_8000_0000, 0, "_start"), Symbol(0xFFFF_FFFF_8000_2000, 0, "handle_exception"),
        Symbol(0xFFFF_FFFF_80C0_0000, 0, "linux_banner", is_object=True),
    ]  # fmt: skip
    assert SymbolTable.of(symbols).describe(0xFFFF_FFFF_8000_2010) == "handle_exception+0x10"


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"\x7fELF\2\1\1", b"S00600004844521B\n", b":020000040800F2\n", b"hello\n"]
)
def test_other_files_are_none(data: bytes) -> None:
    assert not is_system_map(data)


@pytest.mark.parametrize("line", [b"80000000 T _start", b"                 U puts\n80000000 T main", SYSTEM_MAP])
def test_lists_are_known_by_their_first_lines(line: bytes) -> None:
    assert is_system_map(line)


def test_line_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^System\.map:2: expected a line such as .*, got 'nonsense'$"):
        read_system_map(ImageFile("System.map", b"80000000 T _start\nnonsense\n"))


@pytest.mark.parametrize("options", [(), ("-n",), ("-S",)])
def test_what_nm_prints_is_what_the_elf_file_has(options: tuple[str, ...]) -> None:
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("no nm (binutils)")
    path = image_path("hello", 64)
    printed = subprocess.run([nm, *options, path], capture_output=True, check=True).stdout
    own = {(each.address, each.name) for each in load_firmware(path, None).symbols.symbols if each.address >= RAM}

    symbols = read_system_map(ImageFile("nm", printed))

    assert is_system_map(printed)
    assert own <= {(symbol.address, symbol.name) for symbol in symbols}
    assert re.search(r"\bmain\b", " ".join(symbol.name for symbol in symbols))
