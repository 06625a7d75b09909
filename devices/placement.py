"""Where boot images go in RAM: as QEMU's ``virt`` board places them, and never one over another.

    bios     at the start of RAM (an ELF: where it says)
    kernel   unpacked; an ELF: where it says; anything else: the next 2 MiB (rv32: 4 MiB) behind the bios
    initrd   half the RAM, at most 128 MiB, behind the kernel's start
    tree     the last 2 MiB boundary at which it fits (small RAM: the last page boundary)

Source: QEMU hw/riscv/boot.c, hw/riscv/virt.c.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from minstret.devices.map import Base
from minstret.emu import units
from minstret.emu.errors import ConfigError
from minstret.emu.hart.shared import PAGE_SIZE
from minstret.emu.loader import Firmware, ImageFile, Segment, load_firmware, unpack_kernel

_KERNEL_ALIGN = {64: 2 * units.MIB, 32: 4 * units.MIB}
_INITRD_DISTANCE_MAX = 128 * units.MIB
_TREE_ALIGN = 2 * units.MIB
_TREE_END_MAX = 3 * units.GIB
_SMALL_RAM = 8 * units.MIB


@dataclass(frozen=True, slots=True)
class BootImages:
    """What to boot: files for the roles QEMU's options of the same names have."""

    bios: Firmware
    kernel: ImageFile | None = None
    initrd: ImageFile | None = None
    append: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """Segments to load, and the addresses the boot ROM passes on. 0 where there is none."""

    segments: tuple[Segment, ...]
    entry: int
    tree: int
    next_entry: int
    kernel: Firmware | None


@dataclass(frozen=True, slots=True)
class _Piece:
    what: str
    segment: Segment

    @property
    def end(self) -> int:
        return self.segment.address + self.segment.size

    def __str__(self) -> str:
        return f"{self.what} ({self.segment.address:#x}..{self.end - 1:#x})"


def place(images: BootImages, xlen: int, ram_size: int,
          make_tree: Callable[[tuple[int, int] | None], bytes]) -> Placement:  # fmt: skip
    """Place ``images`` and the device tree that ``make_tree`` gives for an initrd's [start, end).

    Raises:
        ConfigError: something is outside RAM, or two things overlap; both are named.
    """
    pieces = [_Piece(images.bios.name, segment) for segment in images.bios.segments]
    kernel = None
    if images.kernel is not None:
        bios_end = max(piece.end for piece in pieces)
        kernel = load_firmware(unpack_kernel(images.kernel), raw_base=_align_up(bios_end, _KERNEL_ALIGN[xlen]))
        if kernel.xlen not in (None, xlen):
            raise ConfigError(f"{kernel.name}: an rv{kernel.xlen} executable on an rv{xlen} board")
        pieces += [_Piece(kernel.name, segment) for segment in kernel.segments]
    initrd = None
    if images.initrd is not None:
        if kernel is None:
            raise ConfigError("--initrd: goes with --kernel")
        start = kernel.entry + min(ram_size // 2, _INITRD_DISTANCE_MAX)
        data = images.initrd.data
        initrd = (start, start + len(data))
        pieces.append(_Piece(images.initrd.name, Segment(start, data, len(data))))
    tree = make_tree(initrd)
    tree_base = _tree_base(ram_size, len(tree))
    pieces.append(_Piece("the device tree", Segment(tree_base, tree, len(tree))))
    _check(pieces, ram_size)
    _check_entry(images.bios, ram_size)
    return Placement(
        segments=tuple(piece.segment for piece in pieces),
        entry=images.bios.entry,
        tree=tree_base,
        next_entry=kernel.entry if kernel else 0,
        kernel=kernel,
    )


def _align_up(address: int, alignment: int) -> int:
    return -(-address // alignment) * alignment


def _tree_base(ram_size: int, size: int) -> int:
    end = Base.RAM + ram_size
    if Base.RAM < _TREE_END_MAX:
        end = min(end, _TREE_END_MAX)
    alignment = PAGE_SIZE if ram_size < _SMALL_RAM else _TREE_ALIGN
    return (end - size) // alignment * alignment


def _check(pieces: list[_Piece], ram_size: int) -> None:
    ram_end = Base.RAM + ram_size
    for piece in pieces:
        if piece.segment.address < Base.RAM or piece.end > ram_end:
            raise ConfigError(
                f"{piece} is outside RAM ({Base.RAM:#x}..{ram_end - 1:#x}); link it there, or give more --memory"
            )
    for i, one in enumerate(pieces):
        for other in pieces[i + 1 :]:
            overlap = one.segment.address < other.end and other.segment.address < one.end
            if overlap and one.what != other.what:
                raise ConfigError(f"{one} overlaps {other}; move one, or give more --memory")


def _check_entry(bios: Firmware, ram_size: int) -> None:
    if not Base.RAM <= bios.entry < Base.RAM + ram_size:
        raise ConfigError(
            f"{bios.name}: the entry point {bios.entry:#x} is outside RAM ({Base.RAM:#x}..{Base.RAM + ram_size - 1:#x})"
        )


PACKAGED = {
    "opensbi": {
        64: "/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin",
        32: "/usr/lib/riscv32-linux-gnu/opensbi/generic/fw_dynamic.bin",
    },
    "u-boot": {
        64: "/usr/lib/u-boot/qemu-riscv64/u-boot.bin",
        32: "/usr/lib/u-boot/qemu-riscv32/u-boot.bin",
    },
}
"""Where Debian's packages opensbi and u-boot-qemu put their images."""

_DEBIAN_PACKAGE = {"opensbi": "opensbi", "u-boot": "u-boot-qemu"}


def packaged(name: str, xlen: int) -> Path:
    """The file of a packaged image: ``opensbi`` or ``u-boot``.

    Raises:
        ConfigError: it is not installed; the text says how to get it.
    """
    path = Path(PACKAGED[name][xlen])
    if path.exists():
        return path
    if xlen == 32:
        raise ConfigError(f"--bios {name}: Debian packages it for rv64 only ({path} is absent); give a file instead")
    raise ConfigError(f"--bios {name}: {path} is absent; install it: apt-get install {_DEBIAN_PACKAGE[name]}")
