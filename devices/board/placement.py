"""Where boot images go in RAM: as QEMU's ``virt`` board places them, and never one over another.

    bios     at the start of RAM (an ELF and others that say where they go: there)
    kernel   unpacked; the same; anything else: the next 2 MiB (rv32: 4 MiB) behind the bios
    initrd   half the RAM, at most 128 MiB, behind the kernel's start
    tree     the last 2 MiB boundary at which it fits (small RAM: the last page boundary)
    loads    where they are told to go

Source: QEMU hw/riscv/boot.c, hw/riscv/virt.c, docs/system/generic-loader.rst.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from minstret.devices.board.map import Base
from minstret.emu import units
from minstret.emu.errors import ConfigError
from minstret.emu.hart.shared import PAGE_SIZE
from minstret.emu.images.loader import Firmware, ImageFile, Segment, load_firmware

_KERNEL_ALIGN = {64: 2 * units.MIB, 32: 4 * units.MIB}
_INITRD_DISTANCE_MAX = 128 * units.MIB
_TREE_ALIGN = 2 * units.MIB
_TREE_END_MAX = 3 * units.GIB
_HEAP_ALIGN = 16
_SMALL_RAM = 8 * units.MIB


class Load(NamedTuple):
    """A further file to put into memory: as it is at ``address``, or where it says itself (None)."""

    file: ImageFile
    address: int | None = None


@dataclass(frozen=True, slots=True)
class BootImages:
    """What to boot: files for the roles QEMU's options of the same names have.

    ``is_bare``: there is no firmware, and ``bios`` is the kernel.
    """

    bios: Firmware
    kernel: ImageFile | None = None
    initrd: ImageFile | None = None
    append: str = ""
    loads: tuple[Load, ...] = ()
    is_bare: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """Segments to load, and the addresses the boot ROM passes on. 0 where there is none.

    ``others`` are kernel and loads, for their symbols; ``left_out`` says, a line each, what is not in memory. ``names``
    are of what each segment is from.
    """

    segments: tuple[Segment, ...]
    names: tuple[str, ...]
    entry: int
    tree: int
    next_entry: int
    others: tuple[Firmware, ...]
    left_out: tuple[str, ...]

    def names_in(self, address: int, size: int) -> tuple[str, ...]:
        """From what there is something in ``[address, address + size)``, in order."""
        found = [
            name for name, segment in zip(self.names, self.segments, strict=True)
            if segment.address < address + size and address < segment.end
        ]  # fmt: skip
        return tuple(dict.fromkeys(found))

    def free_ram(self, ram_size: int) -> tuple[int, int]:
        """The largest part of RAM, as [start, end), with nothing loaded in it."""
        start, gaps = int(Base.RAM), []
        for segment in sorted(self.segments, key=lambda segment: segment.address):
            gaps.append((start, segment.address))
            start = max(start, _align_up(segment.address + segment.size, _HEAP_ALIGN))
        gaps.append((start, Base.RAM + ram_size))
        return max(gaps, key=lambda gap: gap[1] - gap[0])


class _Piece(NamedTuple):
    what: str
    segment: Segment

    def __str__(self) -> str:
        return f"{self.what} ({self.segment.address:#x}..{self.segment.end - 1:#x})"


@dataclass(slots=True)
class _Memory:
    """RAM while it is filled."""

    ram_size: int
    pieces: list[_Piece] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def end(self) -> int:
        return Base.RAM + self.ram_size

    @property
    def filled_end(self) -> int:
        """The first address behind what is there."""
        return max((piece.segment.end for piece in self.pieces), default=Base.RAM)

    def __str__(self) -> str:
        return f"RAM ({Base.RAM:#x}..{self.end - 1:#x})"

    def add(self, what: str, *segments: Segment) -> None:
        """Put segments of one file there; what lies outside and no program needs is left out.

        Raises:
            ConfigError: some of the rest is outside RAM, or nothing is inside.
        """
        inside = [piece for segment in segments if (piece := self._inside(_Piece(what, segment))) is not None]
        if not inside:
            raise ConfigError(f"{_Piece(what, segments[0])} is outside {self}, and nothing of it inside")
        self.pieces += [piece for piece in inside if piece.segment.size]

    def _inside(self, piece: _Piece) -> _Piece | None:
        """What of ``piece`` is in RAM, or None."""
        segment = piece.segment
        if segment.address >= Base.RAM and segment.end <= self.end:
            return piece
        is_apart = segment.end <= Base.RAM or self.end <= segment.address
        outside = len(segment.data) if is_apart else max(0, Base.RAM - segment.address)
        is_behind_the_end = not is_apart and segment.end > self.end
        if is_behind_the_end or outside > len(segment.data) or segment.needs(0, outside):
            what_to_do = (
                "link or load it there"
                if segment.address < Base.RAM
                else "link or load it there, or give more --memory"
            )
            raise ConfigError(f"{piece} is outside {self}; {what_to_do}")
        head = piece if is_apart else _Piece(piece.what, Segment(segment.address, b"", outside))
        why = "nothing in it that a program needs" if outside else "no bytes in the file"
        self.left_out.append(f"{head} is left out: outside RAM, and {why}")
        return None if is_apart else _Piece(piece.what, segment.without_head(outside))

    def check_overlaps(self) -> None:
        """Raise ConfigError where two pieces overlap; both are named."""
        ordered = sorted(self.pieces, key=lambda piece: piece.segment.address)
        for one, other in pairwise(ordered):
            if other.segment.address < one.segment.end:
                first, second = sorted((one, other), key=self.pieces.index)
                if first.what == second.what:
                    raise ConfigError(f"{first}: its segment at {second.segment.address:#x} overlaps this one")
                raise ConfigError(f"{first} overlaps {second}; move one, or give more --memory")

    def check_entry(self, image: Firmware) -> None:
        if not Base.RAM <= image.entry < self.end:
            raise ConfigError(f"{image.name}: the entry point {image.entry:#x} is outside {self}")


def place(images: BootImages, xlen: int, ram_size: int,
          make_tree: Callable[[tuple[int, int] | None], bytes]) -> Placement:  # fmt: skip
    """Place ``images`` and the device tree that ``make_tree`` gives for an initrd's [start, end).

    Raises:
        ConfigError: something is outside RAM, or two things overlap; both are named.
    """
    memory = _Memory(ram_size)
    memory.add(images.bios.name, *images.bios.segments)
    memory.check_entry(images.bios)
    kernel, others = images.bios if images.is_bare else None, []
    if images.kernel is not None:
        raw_base = _align_up(memory.filled_end, _KERNEL_ALIGN[xlen])
        kernel = _load(images.kernel, raw_base, xlen, ram_size)
        others.append(kernel)
        memory.add(kernel.name, *kernel.segments)
        memory.check_entry(kernel)
    initrd = None
    if images.initrd is not None:
        if kernel is None:
            raise ConfigError("--initrd: goes with --kernel")
        from minstret.emu.images.uimage import read_ramdisk  # few runs have one

        start = kernel.entry + min(ram_size // 2, _INITRD_DISTANCE_MAX)
        data = read_ramdisk(images.initrd, ram_size).data
        initrd = (start, start + len(data))
        memory.add(images.initrd.name, Segment(start, data, len(data)))
    for load in images.loads:
        if load.address is None:
            others.append(_load(load.file, None, xlen, ram_size))
            memory.add(load.file.name, *others[-1].segments)
        elif not load.file.data:
            raise ConfigError(f"{load.file.name}: the file is empty")
        else:
            memory.add(load.file.name, Segment(load.address, load.file.data, len(load.file.data)))
    tree = make_tree(initrd)
    tree_base = _tree_base(ram_size, len(tree))
    memory.add("the device tree", Segment(tree_base, tree, len(tree)))
    memory.check_overlaps()
    return Placement(
        segments=tuple(piece.segment for piece in memory.pieces),
        names=tuple(piece.what for piece in memory.pieces),
        entry=images.bios.entry,
        tree=tree_base,
        next_entry=kernel.entry if kernel else 0,
        others=tuple(others),
        left_out=tuple(memory.left_out),
    )


def _load(file: ImageFile, raw_base: int | None, xlen: int, ram_size: int) -> Firmware:
    image = load_firmware(file, raw_base, ram_size)
    if image.xlen not in (None, xlen):
        raise ConfigError(f"{image.name}: an rv{image.xlen} executable on an rv{xlen} board")
    return image


def _align_up(address: int, alignment: int) -> int:
    return -(-address // alignment) * alignment


def _tree_base(ram_size: int, size: int) -> int:
    end = Base.RAM + ram_size
    if Base.RAM < _TREE_END_MAX:
        end = min(end, _TREE_END_MAX)
    alignment = PAGE_SIZE if ram_size < _SMALL_RAM else _TREE_ALIGN
    return (end - size) // alignment * alignment


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
