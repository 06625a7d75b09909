"""What the board says about itself: the device tree that firmware and kernels get.

Source: QEMU hw/riscv/virt.c for names and compatibles; Devicetree Specification 0.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from minstret.devices.board.map import IRQ, VIRTIO_SLOTS, Base, virtio_base
from minstret.devices.chips.finisher import Command
from minstret.devices.chips.plic import SOURCES
from minstret.devices.chips.uart16550 import CLOCK_HZ
from minstret.emu.clock import TIMEBASE_HZ
from minstret.emu.fdt import Node, flatten, u64

_CPU, _CPU_INTC, _PLIC, _TEST = 1, 2, 3, 4  # phandles
_M_SOFTWARE, _M_TIMER, _M_EXTERNAL, _S_EXTERNAL = 3, 7, 11, 9


@dataclass(frozen=True, slots=True)
class Described:
    """What differs from board to board. ``initrd`` is [start, end)."""

    xlen: int
    ram_size: int
    rng_seed: bytes
    bootargs: str = ""
    initrd: tuple[int, int] | None = None


def device_tree(board: Described) -> bytes:
    """The board's DTB."""
    root = Node("", {"#address-cells": 2, "#size-cells": 2, "compatible": "riscv-virtio", "model": "minstret,virt"})
    _add_chosen(root, board)
    root.add("memory@80000000", device_type="memory", reg=u64(Base.RAM, board.ram_size))
    _add_cpus(root, board.xlen)
    _add_soc(root)
    for name, compatible, command in (("poweroff", "syscon-poweroff", Command.PASS),
                                      ("reboot", "syscon-reboot", Command.RESET)):  # fmt: skip
        root.add(name, compatible=compatible, regmap=_TEST, offset=0, value=int(command))
    return flatten(root)


def _add_chosen(root: Node, board: Described) -> None:
    chosen = root.add("chosen", stdout_path="/soc/serial@10000000", rng_seed=board.rng_seed)
    if board.bootargs:
        chosen.properties["bootargs"] = board.bootargs
    if board.initrd is not None:
        chosen.properties["linux,initrd-start"] = u64(board.initrd[0])
        chosen.properties["linux,initrd-end"] = u64(board.initrd[1])


def _add_cpus(root: Node, xlen: int) -> None:
    cpus = root.add("cpus", cells_address=1, cells_size=0, timebase_frequency=TIMEBASE_HZ)
    cpu = cpus.add(
        "cpu@0", device_type="cpu", reg=0, status="okay", compatible="riscv", riscv__isa=f"rv{xlen}imafdc",
        mmu_type="riscv,sv39" if xlen == 64 else "riscv,sv32", phandle=_CPU,
    )  # fmt: skip
    cpu.add(
        "interrupt-controller", compatible="riscv,cpu-intc", cells_interrupt=1, cells_address=0,
        interrupt_controller=None, phandle=_CPU_INTC,
    )  # fmt: skip
    cpus.add("cpu-map").add("cluster0").add("core0", cpu=_CPU)


def _add_soc(root: Node) -> None:
    soc = root.add("soc", cells_address=2, cells_size=2, compatible="simple-bus", ranges=None)
    soc.add("test@100000", compatible=["sifive,test1", "sifive,test0", "syscon"], reg=_reg(Base.FINISHER),
            phandle=_TEST)  # fmt: skip
    soc.add("rtc@101000", compatible="google,goldfish-rtc", reg=_reg(Base.RTC), interrupt_parent=_PLIC,
            interrupts=int(IRQ.RTC))  # fmt: skip
    soc.add("clint@2000000", compatible=["sifive,clint0", "riscv,clint0"], reg=_reg(Base.CLINT, 0x10000),
            interrupts_extended=[_CPU_INTC, _M_SOFTWARE, _CPU_INTC, _M_TIMER])  # fmt: skip
    soc.add(
        "plic@c000000", compatible=["sifive,plic-1.0.0", "riscv,plic0"], reg=_reg(Base.PLIC, 0x600000),
        interrupt_controller=None, cells_interrupt=1, cells_address=0, riscv__ndev=SOURCES,
        interrupts_extended=[_CPU_INTC, _M_EXTERNAL, _CPU_INTC, _S_EXTERNAL], phandle=_PLIC,
    )  # fmt: skip
    soc.add("serial@10000000", compatible="ns16550a", reg=_reg(Base.UART0, 0x100), clock_frequency=CLOCK_HZ,
            interrupt_parent=_PLIC, interrupts=int(IRQ.UART0))  # fmt: skip
    for slot in range(VIRTIO_SLOTS):
        base = virtio_base(slot)
        soc.add(f"virtio_mmio@{base:x}", compatible="virtio,mmio", reg=_reg(base), interrupt_parent=_PLIC,
                interrupts=IRQ.VIRTIO0 + slot)  # fmt: skip


def _reg(base: int, size: int = 0x1000) -> list[int]:
    return u64(base, size)
