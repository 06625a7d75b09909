"""The board's device tree: what it says, read back with dtc."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support import asm
from support.devicetrees import dtc, parsed
from support.harts import RAM, board_of
from support.needs import Need

from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig, HostAnswers
from minstret.devices.board.tree import Described, device_tree
from minstret.devices.board.virt import virt_parts
from minstret.emu import units
from minstret.emu.hart.cpu import Cpu, parse_cpu

MIB = units.MIB
LOOPS = asm.code(asm.LOOP)

each_xlen = pytest.mark.parametrize("xlen", [64, 32])


@pytest.fixture(autouse=True)
def _dtc(need: Need) -> None:
    need("dtc", shutil.which("dtc"))


def tree_of(xlen: int = 64, **changes: object) -> bytes:
    devices = [node for part in virt_parts(BoardConfig(), HostAnswers()) if (node := part.node()) is not None]
    described: dict[str, object] = {"cpu": Cpu(xlen), "ram_size": 128 * MIB, "rng_seed": bytes(range(32)), **changes}
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


@pytest.mark.parametrize(
    ("text", "mmu"),
    [("rv64,sv57=on", "sv57"), ("rv64gc,sv48=on", "sv48"), ("rv64,sv57=off", "sv48"), ("rv64,sv48=off", "sv39")],
)
def test_cpu_says_which_page_tables_it_has(text: str, mmu: str) -> None:
    assert nodes(tree_of(cpu=parse_cpu(text)))["/cpus/cpu@0"]["mmu-type"] == f'"riscv,{mmu}"'


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
