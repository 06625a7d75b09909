"""The list of the board's parts: those of QEMU's ``virt`` machine. The only file that knows every device."""

from __future__ import annotations

from collections.abc import Sequence

from minstret.devices.board.config import BoardConfig, HostAnswers
from minstret.devices.board.map import IRQ, VIRTIO_SLOTS, Base, virtio_base
from minstret.devices.chips.clint import Clint
from minstret.devices.chips.finisher import Finisher
from minstret.devices.chips.plic import Plic
from minstret.devices.chips.rtc import GoldfishRtc
from minstret.devices.chips.uart16550 import Uart16550
from minstret.devices.hostside.side import KEYBOARD, TABLET
from minstret.devices.virtio.mmio import LEGACY, MODERN, EmptySlot, VirtioFunction, VirtioMmio
from minstret.devices.virtio.net import VirtioNet
from minstret.devices.virtio.rng import VirtioRng
from minstret.emu.errors import ConfigError
from minstret.emu.part import Device


def virt_parts(
    config: BoardConfig, host: HostAnswers, own: Sequence[VirtioFunction] = (), *, has_sstc: bool = False
) -> list[Device]:
    """The board's devices, in the order in which a reset comes to them; ``own`` are a user's virtio devices.

    ``has_sstc``: the harts have ``stimecmp``.
    """
    return [
        Finisher(Base.FINISHER),
        GoldfishRtc(Base.RTC, IRQ.RTC, None if config.rtc_follows_host else config.rtc_base_ns),
        Clint(Base.CLINT, config.smp, has_sstc=has_sstc),
        Plic(Base.PLIC, config.smp),
        Uart16550(Base.UART0, IRQ.UART0),
        *_virtio_slots([*_functions(config, host), *own], LEGACY if config.virtio_legacy else MODERN),
    ]


def _functions(config: BoardConfig, host: HostAnswers) -> list[VirtioFunction]:
    """The virtio devices."""
    functions: list[VirtioFunction] = []
    if config.net is not None:
        functions.append(VirtioNet(config.net.mac))
    if config.inputs:
        from minstret.devices.virtio.input import keyboard, tablet  # imported here: few boards have one

        functions += [{KEYBOARD: keyboard, TABLET: tablet}[kind](f"{kind}0") for kind in config.inputs]
    if config.entropy != "none":
        functions.append(VirtioRng(config.seed, host.entropy if config.entropy == "host" else None))
    return functions


def _virtio_slots(functions: Sequence[VirtioFunction], interface: int) -> list[Device]:
    """All slots, filled from the last one down."""
    if len(functions) > VIRTIO_SLOTS:
        names = ", ".join(function.name for function in functions)
        raise ConfigError(f"{len(functions)} virtio devices ({names}), but there are {VIRTIO_SLOTS} slots")
    slots: list[Device] = []
    for slot in range(VIRTIO_SLOTS):
        base, irq, name = virtio_base(slot), IRQ.VIRTIO0 + slot, f"virtio{slot}"
        at = VIRTIO_SLOTS - 1 - slot
        if at < len(functions):
            slots.append(VirtioMmio(base, irq, name, functions[at], interface))
        else:
            slots.append(EmptySlot(base, irq, name, interface))
    return slots
