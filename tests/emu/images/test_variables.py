"""Variables by their paths: what is in them, as their C says and as gdb shows; what can't be read or written."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.commands import PATIENCE_S
from support.elf_files import RAM
from support.needs import Need
from support.variables import CLANG, DATA, Guest

from minstret.emu.errors import ConfigError
from minstret.emu.images.image import Segment, Symbol, SymbolTable
from minstret.emu.images.loader import Firmware, load_firmware
from minstret.firmware import image_path

GCC, GDB = "riscv64-unknown-elf-gcc", "gdb-multiarch"
BUILDS = [f"{GCC} -gdwarf-{version} {xlen}" for version in (4, 5) for xlen in (64, 32)]


def compiled(folder: Path, build: str) -> Path:
    """kinds.c and hidden.c, built by GCC."""
    compiler, *debug, xlen = build.split()
    target = ["-march=rv64imac", "-mabi=lp64"] if xlen == "64" else ["-march=rv32imac", "-mabi=ilp32"]
    flags = [*target, *debug, "-O1", "-mcmodel=medany", "-nostdlib", "-ffreestanding", "-Wl,-Ttext=0x80000000"]
    elf = folder / "kinds.elf"
    sources = [DATA / "kinds.c", DATA / "hidden.c"]
    subprocess.run([compiler, *flags, "-o", elf, *sources, "-lgcc"], check=True, timeout=PATIENCE_S)
    return elf


@pytest.fixture
def kinds() -> Guest:
    return Guest(load_firmware(CLANG, None))


@pytest.fixture(params=["clang", *BUILDS])
def any_kinds(request: pytest.FixtureRequest, need: Need, tmp_path: Path) -> Guest:
    """The same program as several compilers build it."""
    if request.param == "clang":
        return Guest(load_firmware(CLANG, None))
    need(GCC, shutil.which(GCC))
    return Guest(load_firmware(compiled(tmp_path, request.param), None))


# ---- reading

VALUES = {
    "s8": -1, "u8": 200, "s16": -300, "u16": 60000, "s32": -70000, "u32": 4000000000, "s64": -5000000000,
    "u64": 0xFEDCBA9876543210, "letter": ord("x"), "name": b"board\0\0\0", "f32": -2.5, "f64": 1e100, "yes": True,
    "level": -2, "colour": 2, "table": [10, -20, 30], "table[0x1]": -20, "temperatures": [-1, 2, -3],
    "packet": b"\1\2\3\4", "packet[3]": 4, "names": [b"abc\0", b"de\0\0"], "names[1][0]": ord("d"), "handler": 0,
    "cfg": {
        "mode": 1, "ready": 1, "count": 21, "level": -3, "wanted": 7, "is_on": True, "at": {"x": -5, "y": 300},
        "word": 0x3FC00000, "real": 1.5, "bytes": b"\0\0\xc0\x3f", "inner": -9, "gain": 0.25,
    },
    "cfg.mode": 1, "cfg.count": 21, "cfg.level": -3, "cfg.is_on": True, "cfg.at.y": 300, "cfg.real": 1.5,
    "cfg.inner": -9, "queue.slots[3].len": 4, "queue.slots[2]": {"len": 3, "data": b"three\0\0"},
    "queue.words": [[1, 2, 3], [4, 5, 6]], "queue.words[1]": [4, 5, 6], "queue . words [ 1 ] [ 2 ]": 6,
    "head->id": 1, "head.id": 1, "head->next->id": 2, "head->next->next": 0, "*head->next": {"next": 0, "id": 2},
    "link[0]->id": 1, "hidden->secret": 42, "*hidden": {"secret": 42},
    "both": {"word": 0x12345678, "low": 0x5678, "high": 0x1234}, "both.high": 0x1234, "message.size": 2,
    "message.tail[1]": 8, "kinds.c:count": 3, "hidden.c:count": 99, "rx::calls": 4,
    "tx::calls": 6, "only": 5, "kinds.c:u8": 200,
}  # fmt: skip


def test_variables_have_the_values_that_their_source_gives_them(any_kinds: Guest) -> None:
    assert {path: any_kinds.read(path) for path in VALUES} == VALUES


@pytest.mark.parametrize(
    "debug",
    ["-gdwarf-2 -gstrict-dwarf", "-gdwarf-5 -fdebug-types-section", "-g -gz", "-g -flto -fno-toplevel-reorder"],
)
def test_variables_have_these_values_however_their_types_are_told(need: Need, tmp_path: Path, debug: str) -> None:
    need(GCC, shutil.which(GCC))
    guest = Guest(load_firmware(compiled(tmp_path, f"{GCC} {debug} 64"), None))

    assert {path: guest.read(path) for path in VALUES} == VALUES


WALK = """
import gdb, json

def plain(value):
    kind = value.type.strip_typedefs()
    if kind.code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
        found = {}
        for field in kind.fields():
            part = plain(value[field])
            found.update({field.name: part} if field.name else part)
        return found
    if kind.code == gdb.TYPE_CODE_ARRAY:
        first, last = kind.range()
        return [plain(value[at]) for at in range(first, last + 1)]
    return float(value) if kind.code == gdb.TYPE_CODE_FLT else int(value)

for name in json.loads(NAMES):
    print(name, json.dumps(plain(gdb.parse_and_eval(name))), sep='\\t')
"""


@pytest.mark.parametrize("build", ["clang", BUILDS[-1]])
def test_variables_have_the_values_that_gdb_shows(need: Need, tmp_path: Path, build: str) -> None:
    need(GDB, shutil.which(GDB))
    if build != "clang":
        need(GCC, shutil.which(GCC))
    elf = CLANG if build == "clang" else compiled(tmp_path, build)
    guest = Guest(load_firmware(elf, None))
    names = "s8 u8 s16 u16 s32 u32 s64 u64 letter name f32 f64 yes level colour table temperatures packet names".split()
    names += "queue cfg head *head *head->next link **link anywhere handler both kept".split()
    script = tmp_path / "walk.py"
    script.write_text(f"NAMES = {json.dumps(json.dumps(names))}\n{WALK}")

    command = [GDB, "-nx", "-batch", "-x", script, elf]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_S).stdout

    by_gdb = dict(line.split("\t") for line in shown.splitlines())
    assert {name: json.loads(text) for name, text in by_gdb.items()} == {
        name: listed(guest.read(name)) for name in names
    }


def listed(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, dict):
        return {name: listed(item) for name, item in value.items()}
    return [listed(item) for item in value] if isinstance(value, (bytes, list)) else value


@pytest.mark.parametrize("xlen", [32, 64])
def test_bundled_image_tells_the_types_of_its_variables(xlen: int) -> None:
    guest = Guest(load_firmware(image_path("thermostat", xlen), None))

    assert guest.read("defaults") == {"mode": 1, "target": 210, "band": 5}
    assert guest.read("room.log[7].is_heating") is False
    assert guest.read("received.bytes") == bytes(64)


def test_place_is_where_the_symbol_is_and_what_is_behind_members_and_pointers(any_kinds: Guest) -> None:
    variables, load, symbols = any_kinds.variables, any_kinds.load, any_kinds.symbols
    word = symbols["head"].size

    assert variables.locate("queue.slots[1]", load) == (symbols["queue"].address + 8, 8)
    assert variables.locate("head->next", load) == (symbols["first"].address, word)
    assert variables.locate("*link", load) == (symbols["head"].address, word)
    assert variables.locate("cfg.count", load).size == 1
    assert variables.locate("rx", load) == (symbols["rx"].address, symbols["rx"].size)


def test_size_gives_so_many_bytes_whatever_the_type(kinds: Guest) -> None:
    assert kinds.read("name", size=2) == b"bo"
    assert kinds.read("cfg.at", size=4) == bytes.fromhex("fbff2c01")
    assert kinds.read("*head", size=8) == kinds.read("first", size=8)
    with pytest.raises(ConfigError, match=r"^name: expected a size from 1 to 16,777,216, got 0$"):
        kinds.read("name", size=0)


def test_address_is_no_path(kinds: Guest) -> None:
    with pytest.raises(ConfigError, match=r"^expected the name of a variable, got 2147483648$"):
        kinds.variables.read(RAM, kinds.load)  # type: ignore[arg-type]


def test_pointer_into_nowhere_is_told_with_its_path(kinds: Guest) -> None:
    kinds.write("head->next", 0x10)

    assert kinds.problem("head->next->id") == "head->next->id: no memory at 0x18"
    assert kinds.problem("*head->next") == "*head->next: no memory at 0x10"


# ---- writing


@pytest.mark.parametrize(
    ("path", "value", "what", "now"),
    [
        ("cfg.mode", 2, "cfg.mode", 2),
        ("cfg.mode", "SLEEP", "cfg.mode", 7),
        ("colour", "RED", "colour", 1),
        ("level", -2, "level", -2),
        ("cfg", {"mode": "IDLE", "at": {"y": -1}}, "cfg.at", {"x": -5, "y": -1}),
        ("table", [1, 2, 3], "table", [1, 2, 3]),
        ("table", range(3), "table", [0, 1, 2]),
        ("queue.words[1]", (7, 8, 9), "queue.words", [[1, 2, 3], [7, 8, 9]]),
        ("name", "abc", "name", b"abc\0\0\0\0\0"),
        ("name", b"12345678", "name", b"12345678"),
        ("packet", [9, 8, 7, 6], "packet", b"\t\b\7\6"),
        ("f32", 0.5, "f32", 0.5),
        ("f64", 3, "f64", 3.0),
        ("yes", False, "yes", False),
        ("cfg.real", -1.0, "cfg.word", 0xBF800000),
        ("both.high", 0xFFFF, "both.word", 0xFFFF5678),
        ("head->next->id", -7, "last.id", -7),
        ("head", 0, "head", 0),
        ("hidden.c:count", 5, "hidden.c:count", 5),
        ("tx::calls", 70, "tx::calls", 70),
        ("both", b"\1\2\3\4", "both.low", 0x0201),
    ],
)  # fmt: skip
def test_written_value_is_there(kinds: Guest, path: str, value: object, what: str, now: object) -> None:
    kinds.write(path, value)

    assert kinds.read(what) == now


@pytest.mark.parametrize(
    ("path", "value"), [("cfg.count", 31), ("cfg.level", -8), ("cfg.level", 7), ("cfg.wanted", "RUN"), ("cfg.is_on", 0)]
)
def test_bit_field_is_written_and_its_neighbours_stay(any_kinds: Guest, path: str, value: object) -> None:
    before = any_kinds.read("cfg")

    any_kinds.write(path, value)

    after = any_kinds.read("cfg")
    name = path.partition(".")[2]
    assert after == before | {name: 1 if value == "RUN" else value}


def test_what_was_read_is_written_back_byte_for_byte(any_kinds: Guest) -> None:
    for symbol in any_kinds.symbols.symbols:
        if symbol.is_object and not symbol.name.endswith(("count", "calls")):
            path = symbol.name
            before = any_kinds.read(path, size=symbol.size)
            any_kinds.write(path, any_kinds.read(path))
            assert any_kinds.read(path, size=symbol.size) == before, path


# ---- what can't be


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("tabel", "tabel: no such variable: did you mean table?"),
        ("nothing_like_it", "nothing_like_it: no such variable"),
        ("count", "count: there are 2 of this name: say kinds.c:count, hidden.c:count"),
        ("calls", "calls: there are 2 of this name: say rx::calls, tx::calls"),
        ("main.c:count", "main.c:count: no such variable there; there is kinds.c:count, hidden.c:count"),
        ("cfg.mod", "cfg: config_t has no member 'mod'; there are mode, ready, count, level, wanted, is_on, at, word,"
                    " real, bytes, inner, gain"),
        ("queue.slots[4].len", "queue.slots[4]: struct slot[4] has elements 0 to 3"),
        ("table[-1]", "table[-1]: int[3] has elements 0 to 2"),
        ("u8.bit", "u8: a value of type uint8_t has no members, so no bit"),
        ("u8[0]", "u8: a value of type uint8_t has no elements, so no u8[0]"),
        ("head->next->next->id", "head->next->next->id: head->next->next is a null pointer"),
        ("*anywhere", "anywhere: no debug information says what void * points to"),
        ("cfg..mode", "cfg..mode: expected .member, ->member or [number], got ..mode"),
        ("table[i]", "table[i]: expected .member, ->member or [number], got [i]"),
        ("", ": not a variable; expected something like cfg.mode or queue.slots[3]"),
        ("&cfg", "&cfg: not a variable; expected something like cfg.mode or queue.slots[3]"),
        ("\x1b[0m", "\\x1b[0m: not a variable; expected something like cfg.mode or queue.slots[3]"),
    ],
)  # fmt: skip
def test_path_of_nothing_is_refused_in_one_line(kinds: Guest, path: str, problem: str) -> None:
    assert kinds.problem(path) == problem


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("u8", 256, "u8: uint8_t holds 0 to 255, got 256"),
        ("u8", -1, "u8: uint8_t holds 0 to 255, got -1"),
        ("s16", 40000, "s16: int16_t holds -32768 to 32767, got 40000"),
        ("u8", 1.5, "u8: uint8_t takes an integer, got 1.5"),
        ("u8", "1", "u8: uint8_t takes an integer, got '1'"),
        ("cfg.count", 32, "cfg.count: unsigned int in 5 bits holds 0 to 31, got 32"),
        ("cfg.ready", 2, "cfg.ready: unsigned int in 1 bit holds 0 to 1, got 2"),
        ("cfg.mode", "WALK", "cfg.mode: enum mode has no 'WALK'; there are IDLE, RUN, SLEEP"),
        ("yes", 2, "yes: _Bool takes True or False, got 2"),
        ("f32", 1e39, "f32: float takes a smaller number, got 1e+39"),
        ("f32", "1", "f32: float takes a number, got '1'"),
        ("table", [1, 2], "table: int[3] takes 3 values, got 2: [1, 2]"),
        ("table", [1, 2, "x"], "table[2]: int takes an integer, got 'x'"),
        ("table", 5, "table: int[3] takes 3 values, got 5"),
        ("name", "much too long", "name: char[8] holds 8 bytes, got 13"),
        ("cfg", {"mode": 1, "mod": 2}, "cfg: config_t has no member 'mod'; there are mode, ready, count, level, wanted,"
                                       " is_on, at, word, real, bytes, inner, gain"),
        ("cfg", {"at": {"x": 1 << 20}}, "cfg.at.x: int16_t holds -32768 to 32767, got 1048576"),
        ("cfg", 7, "cfg: config_t takes a dict of members, got 7"),
        ("head", -1, "head: struct node * holds 0 to 18446744073709551615, got -1"),
        ("f128", 1.0, "f128: long double takes 16 bytes, got 1.0"),
        ("s8", "\x1b" * 1000, "s8: int8_t takes an integer, got '" + "\\x1b" * 14 + "\\x1..."),
    ],
)  # fmt: skip
def test_value_that_does_not_fit_is_refused_and_nothing_changes(
    kinds: Guest, path: str, value: object, problem: str
) -> None:
    assert kinds.refusal(path, value) == problem


# ---- symbols alone


def plain(*symbols: Symbol, memory: bytes = bytes(range(64))) -> Guest:
    """A guest without debug information."""
    firmware = Firmware("plain", 64, RAM, (Segment(RAM, memory, len(memory)),), SymbolTable.of([*symbols]))
    return Guest(firmware)


def test_without_types_the_size_of_the_symbol_decides() -> None:
    sizes = {"one": 1, "two": 2, "three": 3, "four": 4, "eight": 8, "sixteen": 16}
    guest = plain(*(Symbol(RAM, size, name, is_object=True) for name, size in sizes.items()))

    assert [guest.read(name) for name in sizes] == [
        0, 0x100, b"\0\1\2", 0x03020100, 0x0706050403020100, bytes(range(16)),
    ]  # fmt: skip
    guest.write("four", 0xFFFFFFFF)
    guest.write("sixteen", bytes(16))
    assert guest.read("eight") == 0
    assert guest.refusal("four", 1 << 32) == "four: an integer of 32 bits holds 0 to 4294967295, got 4294967296"
    assert guest.refusal("three", b"12") == "three: a block takes 3 bytes, got 2: b'12'"
    assert guest.problem("four.x") == "four: no debug information says what it is, so no x; compile it with -g"


def test_symbol_without_a_size_needs_one() -> None:
    guest = plain(Symbol(RAM, 0, "_stack"))

    assert guest.problem("_stack") == "_stack: nothing says how large it is; give a size, as in read(..., size=16)"
    assert guest.read("_stack", size=4) == b"\0\1\2\3"
    guest.write("_stack", b"ab")
    assert guest.read("_stack", size=4) == b"ab\2\3"


def test_statics_are_told_apart_by_the_files_in_the_symbol_table() -> None:
    guest = plain(
        Symbol(RAM, 1, "count", True, "a.c"), Symbol(RAM + 1, 1, "count", True, "b.c"),
        Symbol(RAM + 2, 1, "state", True), Symbol(RAM + 3, 1, "state", True, "a.c"),
    )  # fmt: skip

    assert guest.problem("count") == "count: there are 2 of this name: say a.c:count, b.c:count"
    assert guest.read("b.c:count") == 1
    assert guest.read("state") == 2, "what all files share has the name first"
    assert guest.read("a.c:state") == 3


def test_variables_of_cpp_have_their_own_names() -> None:
    names = ["_ZN5motor5speedE", "_ZN5motorL5limitE", "_ZL5local", "main.state.0", "buffer.lto_priv.0",
             "_ZN12_GLOBAL__N_16hiddenE", "_ZZN3Car1fEvE5calls"]  # fmt: skip
    guest = plain(*(Symbol(RAM + at, 1, name, True) for at, name in enumerate(names)))

    paths = "motor::speed", "motor::limit", "local", "main.state.0", "buffer", "hidden", "calls"
    assert [guest.read(path) for path in paths] == [*range(7)]
    assert guest.read("main::state") == guest.read("state") == guest.read("main.state.0") == 3


def test_image_without_symbols_says_so() -> None:
    assert (
        plain().problem("x") == "x: no such variable: the image has no symbols; boot an ELF file that is not stripped"
    )


def test_more_than_memory_holds_is_refused_before_it_is_read() -> None:
    guest = plain(Symbol(RAM, 1 << 40, "all", True))

    assert guest.problem("all") == "all: 1,099,511,627,776 bytes are too many at once; name a part"
