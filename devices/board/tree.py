"""What the board says about itself: the device tree that firmware and kernels get.

Source: QEMU hw/riscv/virt.c for names and compatibles; Devicetree Specification 0.4.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from minstret.devices.board.map import Base
from minstret.devices.chips.finisher import Command
from minstret.emu.clock import TIMEBASE_HZ
from minstret.emu.fdt import Node, flatten, u64
from minstret.emu.hart.cpu import Cpu
from minstret.emu.hart.spec import CACHE_BLOCK
from minstret.emu.part import Phandle, cpu_intc, cpu_phandle


class Described(NamedTuple):
    """What differs from board to board. ``initrd`` is [start, end), ``harts`` how many there are."""

    cpu: Cpu
    ram_size: int
    rng_seed: bytes
    bootargs: str = ""
    initrd: tuple[int, int] | None = None
    harts: int = 1


def device_tree(board: Described, devices: Iterable[Node]) -> bytes:
    """The board's DTB; ``devices`` say themselves what stands for them, in whatever order."""
    root = Node("", {"#address-cells": 2, "#size-cells": 2, "compatible": "riscv-virtio", "model": "minstret,virt"})
    _add_chosen(root, board)
    root.add("memory@80000000", device_type="memory", reg=u64(Base.RAM, board.ram_size))
    _add_cpus(root, board.cpu, board.harts)
    soc = root.add("soc", cells_address=2, cells_size=2, compatible="simple-bus", ranges=None)
    soc.children += sorted(devices, key=_unit_address)
    for name, compatible, command in (("poweroff", "syscon-poweroff", Command.PASS),
                                      ("reboot", "syscon-reboot", Command.RESET)):  # fmt: skip
        root.add(name, compatible=compatible, regmap=Phandle.TEST, offset=0, value=int(command))
    return flatten(root)


def _add_chosen(root: Node, board: Described) -> None:
    chosen = root.add("chosen", stdout_path="/soc/serial@10000000", rng_seed=board.rng_seed)
    if board.bootargs:
        chosen.properties["bootargs"] = board.bootargs
    if board.initrd is not None:
        chosen.properties["linux,initrd-start"] = u64(board.initrd[0])
        chosen.properties["linux,initrd-end"] = u64(board.initrd[1])


def _add_cpus(root: Node, kind: Cpu, harts: int) -> None:
    cpus = root.add("cpus", cells_address=1, cells_size=0, timebase_frequency=TIMEBASE_HZ)
    for hart in range(harts):
        cpu = cpus.add(
            f"cpu@{hart}", device_type="cpu", reg=hart, status="okay", compatible="riscv", riscv__isa=kind.isa,
            mmu_type=f"riscv,{kind.mmu}", phandle=cpu_phandle(hart),
        )  # fmt: skip
        for name, block in (("zicbom", "cbom"), ("zicboz", "cboz")):
            if kind.has(name):
                cpu.properties[f"riscv,{block}-block-size"] = CACHE_BLOCK
        if kind.features:
            cpu.properties |= {"riscv,isa-base": f"rv{kind.xlen}i", "riscv,isa-extensions": kind.isa_extensions}
        cpu.add(
            "interrupt-controller", compatible="riscv,cpu-intc", cells_interrupt=1, cells_address=0,
            interrupt_controller=None, phandle=cpu_intc(hart),
        )  # fmt: skip
    cluster = cpus.add("cpu-map").add("cluster0")
    for hart in range(harts):
        cluster.add(f"core{hart}", cpu=cpu_phandle(hart))


def _unit_address(node: Node) -> int:
    return int(node.name.partition("@")[2] or "0", 16)
