"""The device tree: what it says, read back with dtc, and the DTB format itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from support import asm
from support.harts import RAM, board_of
from support.needs import Need

from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig, HostAnswers
from minstret.devices.board.tree import Described, device_tree
from minstret.devices.board.virt import virt_parts
from minstret.emu import units
from minstret.emu.fdt import Node, flatten, u64

MIB = units.MIB
LOOPS = asm.code(asm.LOOP)

each_xlen = pytest.mark.parametrize("xlen", [64, 32])


@pytest.fixture(autouse=True)
def _dtc(need: Need) -> None:
    need("dtc", shutil.which("dtc"))


def dtc(data: bytes, into: str = "dts", *options: str) -> tuple[bytes, str]:
    """What dtc makes of a DTB, and what it complains of."""
    done = subprocess.run(
        ["dtc", "-I", "dtb", "-O", into, *options], input=data, capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout, done.stderr.decode()


def tree_of(xlen: int = 64, **changes: object) -> bytes:
    devices = [node for part in virt_parts(BoardConfig(), HostAnswers()) if (node := part.node()) is not None]
    described: dict[str, object] = {"xlen": xlen, "ram_size": 128 * MIB, "rng_seed": bytes(range(32)), **changes}
    return device_tree(Described(**described), devices)  # type: ignore[arg-type]


def nodes(data: bytes) -> dict[str, dict[str, str]]:
    """Properties as text by path of the node."""
    found: dict[str, dict[str, str]] = {}
    path: list[str] = []
    for line in map(str.strip, dtc(data)[0].decode().splitlines()):
        if line.endswith("{"):
            path.append(line.removesuffix("{").strip().strip("/"))
            found["/".join(path) or "/"] = {}
        elif line == "};":
            path.pop()
        elif path and line:
            name, _, value = line.removesuffix(";").partition(" = ")
            found["/".join(path) or "/"][name] = value
    return found


def cells(text: str) -> list[int]:
    assert text.startswith("<") and text.endswith(">"), text
    return [int(cell, 0) for cell in text[1:-1].split()]


# ---- the board's tree


@each_xlen
@pytest.mark.parametrize("changes", [{}, {"bootargs": "console=ttyS0 quiet"}, {"initrd": (RAM + MIB, RAM + MIB + 100)}])
def test_dtc_accepts_the_tree_without_a_warning(xlen: int, changes: dict[str, object]) -> None:
    _, complaints = dtc(tree_of(xlen, **changes))

    assert complaints == ""


@each_xlen
def test_tree_describes_every_device_at_its_address_with_its_interrupt(xlen: int) -> None:
    tree = nodes(tree_of(xlen))
    plic = cells(tree["/soc/plic@c000000"]["phandle"])
    expected = {
        "/soc/test@100000": (0x10_0000, 0x1000, None), "/soc/rtc@101000": (0x10_1000, 0x1000, 11),
        "/soc/clint@2000000": (0x200_0000, 0x1_0000, None), "/soc/plic@c000000": (0xC00_0000, 0x60_0000, None),
        "/soc/serial@10000000": (0x1000_0000, 0x100, 10),
    }  # fmt: skip
    for slot in range(1, 9):
        expected[f"/soc/virtio_mmio@1000{slot}000"] = (0x1000_0000 + 0x1000 * slot, 0x1000, slot)

    for path, (base, size, interrupt) in expected.items():
        assert cells(tree[path]["reg"]) == [0, base, 0, size], path
        if interrupt is None:
            assert "interrupts" not in tree[path]
        else:
            assert cells(tree[path]["interrupts"]) == [interrupt], path
            assert cells(tree[path]["interrupt-parent"]) == plic
    assert {path for path in tree if path.startswith("/soc/")} == set(expected)


def test_every_described_window_is_a_device_of_the_board() -> None:
    board = board_of(LOOPS)
    windows = {(window.base, window.size) for window in board.machine.bus.windows}

    regs = [cells(node["reg"]) for path, node in nodes(board.device_tree).items() if path.startswith("/soc/")]

    described = {(base, size) for _, base, _, size in regs}
    assert described == windows


@pytest.mark.parametrize(("xlen", "isa", "mmu"), [(64, "rv64imafdc", "riscv,sv39"), (32, "rv32imafdc", "riscv,sv32")])
def test_cpu_says_what_the_hart_is(xlen: int, isa: str, mmu: str) -> None:
    tree = nodes(tree_of(xlen))

    cpu = tree["/cpus/cpu@0"]
    assert (cpu["riscv,isa"], cpu["mmu-type"], cpu["status"]) == (f'"{isa}"', f'"{mmu}"', '"okay"')
    assert cells(tree["/cpus"]["timebase-frequency"]) == [10_000_000]
    assert [path for path in tree if path.startswith("/cpus/cpu@") and path.count("/") == 2] == ["/cpus/cpu@0"]


def test_clint_and_plic_interrupt_the_harts_controller() -> None:
    tree = nodes(tree_of())
    (controller,) = cells(tree["/cpus/cpu@0/interrupt-controller"]["phandle"])

    assert cells(tree["/soc/clint@2000000"]["interrupts-extended"]) == [controller, 3, controller, 7]
    assert cells(tree["/soc/plic@c000000"]["interrupts-extended"]) == [controller, 11, controller, 9]
    assert cells(tree["/soc/plic@c000000"]["riscv,ndev"]) == [53]


def test_phandles_are_unique() -> None:
    handles = [node["phandle"] for node in nodes(tree_of()).values() if "phandle" in node]

    assert len(handles) == len(set(handles)) == 4


def test_stdout_path_names_a_node_that_is_there() -> None:
    tree = nodes(tree_of())

    assert tree["/chosen"]["stdout-path"].strip('"') in tree


def test_poweroff_and_reboot_write_the_finishers_commands() -> None:
    tree = nodes(tree_of())

    for path, value in (("/poweroff", 0x5555), ("/reboot", 0x7777)):
        assert cells(tree[path]["value"]) == [value]
        assert tree[path]["regmap"] == tree["/soc/test@100000"]["phandle"]


@pytest.mark.parametrize("size", [1 * MIB, 128 * MIB, 1024 * MIB, 3 * 1024 * MIB, 8 * 1024 * MIB])
def test_memory_says_where_ram_is_and_how_much(size: int) -> None:
    memory = nodes(tree_of(ram_size=size))["/memory@80000000"]

    assert cells(memory["reg"]) == [0, RAM, size >> 32, size & 0xFFFF_FFFF]


@pytest.mark.parametrize("text", ["quiet", "console=ttyS0 root=/dev/vda rw", 'a="b c"', "späße"])
def test_bootargs_are_the_kernels_command_line(text: str) -> None:
    back = parsed(dtc(tree_of(bootargs=text), "dtb")[0])

    (chosen,) = (node for node in back.children if node.name == "chosen")
    assert chosen.properties["bootargs"] == text.encode() + b"\0"


def test_bootargs_and_initrd_are_absent_where_there_is_none() -> None:
    chosen = nodes(tree_of())["/chosen"]

    assert set(chosen) == {"stdout-path", "rng-seed"}


def test_initrd_is_told_by_start_and_end() -> None:
    chosen = nodes(tree_of(initrd=(0x8420_0000, 0x1_0000_0123)))["/chosen"]

    assert cells(chosen["linux,initrd-start"]) == [0, 0x8420_0000]
    assert cells(chosen["linux,initrd-end"]) == [1, 0x123]


# ---- what the board gives


@each_xlen
def test_boards_tree_has_the_initrd_and_the_command_line(tmp_path: Path, xlen: int) -> None:
    kernel, initrd = tmp_path / "kernel", tmp_path / "initrd"
    kernel.write_bytes(LOOPS)
    initrd.write_bytes(bytes(1000))
    (tmp_path / "bios").write_bytes(LOOPS)

    board = Board(
        tmp_path / "bios", BoardConfig(xlen=xlen, ram_size=64 * MIB), kernel=kernel, initrd=initrd, append="quiet"
    )

    tree = nodes(board.device_tree)
    start = RAM + (2 if xlen == 64 else 4) * MIB + 32 * MIB
    assert tree["/chosen"]["bootargs"] == '"quiet"'
    assert cells(tree["/chosen"]["linux,initrd-start"]) == [0, start]
    assert cells(tree["/chosen"]["linux,initrd-end"]) == [0, start + 1000]
    assert cells(tree["/memory@80000000"]["reg"]) == [0, RAM, 0, 64 * MIB]
    assert dtc(board.device_tree)[1] == ""


def test_rng_seed_depends_on_the_seed_only(tmp_path: Path) -> None:
    (tmp_path / "kernel").write_bytes(LOOPS)

    def rng_seed(**config: object) -> str:
        return nodes(board_of(LOOPS, **config).device_tree)["/chosen"]["rng-seed"]  # type: ignore[arg-type]

    assert rng_seed(seed=1) == rng_seed(seed=1) == rng_seed(seed=1, ram_size=2 * MIB) == rng_seed(seed=1, xlen=32)
    assert len({rng_seed(seed=seed) for seed in range(5)}) == 5


def test_trees_of_two_boards_are_byte_equal() -> None:
    assert board_of(LOOPS).device_tree == board_of(LOOPS).device_tree


# ---- the format


ODD = Node(
    "",
    {
        "#address-cells": 2, "#size-cells": 1, "empty": None, "one": "text", "two": ["first", "second"], "none": "",
        "cell": 0xDEADBEEF, "cells": [0, 1, 0xFFFF_FFFF], "wide": u64(0x1_2345_6789, (1 << 64) - 1),
        "raw": b"\x00\x01\x02", "raw5": b"\xff" * 5, "x,y.z+a?b_c-d#e": 1, "umlaut": "äöü",
    },
    [
        Node("a", {"name-of-31-characters-is-the-most": 1}),
        Node("a@0,1", {"reg": [0, 0, 1], "one": "again"}, [Node("a", {}, [Node("deep.er_still+", {"cell": 7})])]),
        Node("last"),
    ],
)  # fmt: skip


def encoded(value: object) -> bytes:
    """A property's bytes, by the specification."""
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode() + b"\0"
    if isinstance(value, int):
        return value.to_bytes(4, "big")
    assert isinstance(value, list)
    return b"".join(map(encoded, value))


def parsed(data: bytes) -> Node:
    """A reader of DTBs, for what dtc wrote."""
    words = [int.from_bytes(data[at : at + 4], "big") for at in range(0, 40, 4)]
    magic, total, structure, strings = words[:4]
    assert (magic, total) == (0xD00DFEED, len(data))
    at, open_nodes, root = structure, [], None

    def text(at: int) -> str:
        return data[at : data.index(b"\0", at)].decode()

    while True:
        token, at = int.from_bytes(data[at : at + 4], "big"), at + 4
        if token == 1:
            node = Node(text(at))
            at += len(node.name.encode()) + 1
            if open_nodes:
                open_nodes[-1].children.append(node)
            root = root or node
            open_nodes.append(node)
        elif token == 2:
            open_nodes.pop()
        elif token == 3:
            size, name = int.from_bytes(data[at : at + 4], "big"), int.from_bytes(data[at + 4 : at + 8], "big")
            open_nodes[-1].properties[text(strings + name)] = data[at + 8 : at + 8 + size]
            at += 8 + size
        elif token == 9:
            assert root is not None and not open_nodes
            return root
        at += -at % 4


def same(mine: Node, other: Node) -> None:
    assert other.name == mine.name
    assert other.properties == {name: encoded(value) for name, value in mine.properties.items()}
    assert list(other.properties) == list(mine.properties)
    for one, another in zip(mine.children, other.children, strict=True):
        same(one, another)


def test_tree_comes_back_from_dtc_as_it_was() -> None:
    back, _ = dtc(flatten(ODD), "dtb", "-q", "-q")

    same(ODD, parsed(back))


def test_tree_is_parsed_as_it_was_without_dtc_too() -> None:
    same(ODD, parsed(flatten(ODD)))


def test_tree_comes_back_through_source_text() -> None:
    source, _ = dtc(flatten(ODD), "dts", "-q", "-q")
    done = subprocess.run(
        ["dtc", "-I", "dts", "-O", "dtb", "-q", "-q"], input=source, capture_output=True, timeout=30, check=True
    )

    same(ODD, parsed(done.stdout))


@pytest.mark.parametrize("size", range(9))
def test_header_lengths_agree_for_every_padding(size: int) -> None:
    data = flatten(Node("", {"p": bytes(range(size))}))

    words = [int.from_bytes(data[at : at + 4], "big") for at in range(0, 40, 4)]
    _, total, structure, strings, reservations, version, last_compatible, boot_cpu, strings_size, structure_size = words
    assert (total, version, last_compatible, boot_cpu) == (len(data), 17, 16, 0)
    assert (reservations % 8, structure % 4) == (0, 0)
    assert structure + structure_size == strings
    assert strings + strings_size == total
    assert data[reservations : reservations + 16] == bytes(16)
    same(Node("", {"p": bytes(range(size))}), parsed(data))


def test_names_of_properties_are_stored_once() -> None:
    children = [Node(f"n{i}", {"the-very-same-name": i}) for i in range(10)]

    assert flatten(Node("", {}, children)).count(b"the-very-same-name") == 1


@pytest.mark.parametrize(
    ("key", "name"),
    [("reg", "reg"), ("stdout_path", "stdout-path"), ("riscv__isa", "riscv,isa"), ("device_type", "device_type"),
     ("cells_address", "#address-cells"), ("cells_interrupt", "#interrupt-cells")],
)  # fmt: skip
def test_keywords_stand_for_property_names(key: str, name: str) -> None:
    child = Node("").add("child", **{key: 1})

    assert child.properties == {name: 1}
