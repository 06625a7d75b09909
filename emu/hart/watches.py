"""Watches: ranges of RAM whose loads or stores are told of, or stop the run.

A page with a watch on it goes the slow way (PageFlag.SLOW): each access to it that is near the watched range comes to
Python, piece by piece. Here the pieces become one access again. What is farther away C does itself, in some tens of ns.
Other pages cost nothing. Loads go that way too where only stores are watched: an entry of Unicorn's TLB has one address
for both, and would be filled anew for each store after a load.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntFlag

from minstret.emu.hart.memory import GuestMemory
from minstret.emu.hart.shared import PAGE_BITS, Shared

_MARGIN = 8
"""Bytes, as long as an access may be: where one of its pieces is in a watched range, all of them are near."""


class WatchKind(IntFlag):
    """Which accesses are watched, or what an access was: an AMO loads and stores."""

    LOAD = 1
    STORE = 2
    ACCESS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """A watched range of RAM: physical address and size in bytes. Without ``on_store`` it stops the run.

    ``sees_devices``: what devices write there counts as stores too.
    """

    kind: WatchKind
    address: int
    size: int
    on_store: Callable[[int, int], None] | None = None
    sees_devices: bool = False

    def overlaps(self, address: int, size: int) -> bool:
        return address < self.address + self.size and self.address < address + size


@dataclass(frozen=True, slots=True)
class WatchHit:
    """An access to a watched range.

    Attributes:
        watch: Whose range it is.
        kind: What the access did: LOAD, STORE, or for an AMO ACCESS.
        address: Where in physical memory; of an access across two pages, the part in the range's page.
        size: How long it, or that part, is, bytes.
        pc: The virtual address of the accessing instruction.
        old: The bytes there before a store; None for a load.
        new: The bytes there after it, the same perhaps; None for a load.
        is_by_device: Whether a device or a service has written; ``pc`` is then where the hart was.
        device: Its name.
        hart: The id of the hart that accessed; of the one that ran, where a device has written.
        icount: How many instructions had retired before the access.
    """

    watch: Watch
    kind: WatchKind
    address: int
    size: int
    pc: int
    old: bytes | None = None
    new: bytes | None = None
    is_by_device: bool = False
    hart: int = 0
    icount: int = 0
    device: str = ""


@dataclass(slots=True)
class AccessUnderWay:
    """The access of one instruction in physical memory: one part, or two where it goes across a page's end.

    Attributes:
        instruction: What tells this execution of the instruction from all others. It begins with the icount after it.
        pc: The virtual address of the instruction.
        kind: What it does: LOAD, STORE, or for an AMO ACCESS.
        parts: Address and size of each part.
        expected: For SC the bits that have to be there so that it stores; None for others.
    """

    instruction: tuple[int, ...]
    pc: int
    kind: WatchKind
    parts: tuple[tuple[int, int], ...]
    expected: int | None = None
    old: dict[int, bytes] = field(default_factory=dict)
    reported: list[Watch] = field(default_factory=list)

    def part_of(self, address: int) -> tuple[int, int]:
        """The part in the page of a piece at ``address``."""
        return next(part for part in self.parts if part[0] >> PAGE_BITS == address >> PAGE_BITS)


class Watches:
    """One hart's watches. Not part of its state: the guest can't see them.

    A run comes back with ``HartStop.WATCH`` after the accessing instruction has retired; ``hits`` tells about it. An
    instruction that traps has not accessed, and an SC that fails neither. Each instruction hits a watch at most once.
    """

    def __init__(self, memory: GuestMemory, shared: Shared, hart: int = 0) -> None:
        """Watch accesses to ``memory`` by the hart of that id."""
        self._memory, self._shared, self._hart = memory, shared, hart
        self._edges = (ctypes.c_uint64 * 0)()
        self._watches: list[Watch] = []
        self._access: AccessUnderWay | None = None
        self._found: list[WatchHit] = []
        self._found_by_devices: list[WatchHit] = []
        self.see_devices = False
        """Whether any of them sees what devices write."""
        self.hits: tuple[WatchHit, ...] = ()
        """What stopped the last run that came back with HartStop.WATCH."""

    def __iter__(self) -> Iterator[Watch]:
        return iter(tuple(self._watches))

    def __len__(self) -> int:
        return len(self._watches)

    def add(
        self,
        kind: WatchKind,
        address: int,
        size: int,
        on_store: Callable[[int, int], None] | None = None,
        *,
        sees_devices: bool = False,
    ) -> Watch:
        """Watch a range of RAM.

        Args:
            kind: Which accesses.
            address: Physical address.
            size: Bytes.
            on_store: Called after each store, with the physical address and size of the whole store; icount is that
                before it. For STORE alone. Without it the run stops.
            sees_devices: Stop after a device has written there too, before the next instruction.
        Raises:
            ValueError: the range is not all in RAM, or ``on_store`` shall be told of more than the guest's stores.
        """
        if size <= 0 or not self._memory.has_ram(address, size):
            raise ValueError(f"{size} bytes at {address:#x} are not in RAM")
        if on_store is not None and (kind is not WatchKind.STORE or sees_devices):
            raise ValueError("on_store is told of the guest's stores only")
        if sees_devices and not kind & WatchKind.STORE:
            raise ValueError("devices that read are not seen")
        watch = Watch(kind, address, size, on_store, sees_devices)
        self.add_watch(watch)
        return watch

    def add_watch(self, watch: Watch) -> None:
        """Add one that another hart has too, or that was removed."""
        self._watches.append(watch)
        self._publish()
        self.see_devices = self.see_devices or watch.sees_devices
        self._memory.watch_pages(self._pages(watch))

    def remove(self, watch: Watch) -> None:
        """Watch it no more.

        Raises:
            ValueError: it is not watched.
        """
        self._watches.remove(watch)
        self._publish()
        self.see_devices = any(other.sees_devices for other in self._watches)
        self._memory.unwatch_pages(self._pages(watch))

    def clear(self) -> None:
        """Remove those that stop the run."""
        for watch in self:
            if watch.on_store is None:
                self.remove(watch)

    def _publish(self) -> None:
        """Tell the callbacks which accesses are near."""
        edges: list[int] = []
        for watch in sorted(self._watches, key=lambda watch: not watch.kind & WatchKind.LOAD):
            offset = watch.address - self._memory.ram_base
            edges += max(0, offset - _MARGIN), offset + watch.size + _MARGIN
        self._edges = (ctypes.c_uint64 * len(edges))(*edges)
        self._shared.watch_edges, self._shared.watch_count = ctypes.addressof(self._edges), len(self._watches)
        self._shared.watch_load_count = sum(bool(watch.kind & WatchKind.LOAD) for watch in self._watches)

    def _pages(self, watch: Watch) -> range:
        offset = watch.address - self._memory.ram_base
        return range(offset >> PAGE_BITS, (offset + watch.size - 1 >> PAGE_BITS) + 1)

    # ---- for the hart

    def access(self, instruction: tuple[int, ...], begin: Callable[[], AccessUnderWay]) -> AccessUnderWay:
        """The access of the instruction under way; ``begin`` tells it at its first piece."""
        if self._access is None or self._access.instruction != instruction:
            self._found.clear()  # of an instruction that did not retire: else the run would have ended
            self._access = begin()
        return self._access

    def piece_loaded(self, access: AccessUnderWay, address: int) -> bool:
        """A piece at ``address`` is loaded; whether the run is to stop."""
        if access.kind is WatchKind.LOAD:
            self._report(access, access.part_of(address), None)
        return bool(self._found)

    def before_piece(self, access: AccessUnderWay, address: int) -> None:
        """A piece at ``address`` is about to be stored: keep the bytes of its part."""
        part = access.part_of(address)
        if part[0] not in access.old:
            access.old[part[0]] = self._bytes(part)

    def piece_stored(self, access: AccessUnderWay, address: int, size: int) -> bool:
        """A piece was stored; whether the run is to stop. ``on_store`` is called after the last one."""
        part = access.part_of(address)
        old = access.old[part[0]]
        has_failed = access.expected is not None and int.from_bytes(old, "little") != access.expected
        if not has_failed and address + size >= sum(part):
            self._report(access, part, old)
        return bool(self._found)

    def _report(self, access: AccessUnderWay, part: tuple[int, int], old: bytes | None) -> None:
        address, size = part
        new = None if old is None else self._bytes(part)
        for watch in self:
            if not watch.kind & access.kind or not watch.overlaps(address, size) or watch in access.reported:
                continue
            access.reported.append(watch)
            if watch.on_store is None:
                icount = access.instruction[0] - 1
                self._found.append(
                    WatchHit(watch, access.kind, address, size, access.pc, old, new, hart=self._hart, icount=icount)
                )
            else:
                watch.on_store(address, size)

    def _bytes(self, part: tuple[int, int]) -> bytes:
        offset = part[0] - self._memory.ram_base
        return bytes(self._memory.ram[offset : offset + part[1]])

    def have_hit(self, has_retired: Callable[[AccessUnderWay], bool]) -> bool:
        """The run has come back after an access that hit: whether it retired, so that these are ``hits``."""
        found, self._found = self._found, []
        if found and (self._access is None or not has_retired(self._access)):
            found = []
        self.hits = (*found, *self._found_by_devices)
        self._found_by_devices = []
        return bool(self.hits)

    def device_writes(self, address: int, data: bytes | memoryview, pc: int, icount: int, device: str) -> bool:
        """A device, by name, is about to write; whether the run is to stop."""
        watches = [watch for watch in self._watches if watch.sees_devices and watch.overlaps(address, len(data))]
        for watch in watches:
            low, high = max(address, watch.address), min(address + len(data), watch.address + watch.size)
            old, new = self._bytes((low, high - low)), bytes(data[low - address : high - address])
            hit = WatchHit(watch, WatchKind.STORE, low, high - low, pc, old, new, True, self._hart, icount, device)
            self._found_by_devices.append(hit)
        return bool(watches)

    def forget_access(self) -> None:
        """The hart's state was replaced: its instructions are others."""
        self._access = None
        self._found.clear()
        self._found_by_devices.clear()


class SharedWatches:
    """The watches of several harts, which all have the same."""

    def __init__(self, of_harts: Sequence[Watches]) -> None:
        self._of_harts = of_harts

    def __iter__(self) -> Iterator[Watch]:
        return iter(self._of_harts[0])

    def __len__(self) -> int:
        return len(self._of_harts[0])

    def add(
        self, kind: WatchKind, address: int, size: int, on_store: Callable[[int, int], None] | None = None, *,
        sees_devices: bool = False,
    ) -> Watch:  # fmt: skip
        """See ``Watches.add``."""
        first, *others = self._of_harts
        watch = first.add(kind, address, size, on_store, sees_devices=sees_devices)
        for watches in others:
            watches.add_watch(watch)
        return watch

    def add_watch(self, watch: Watch) -> None:
        """Add one that was removed, or that another machine has too."""
        for watches in self._of_harts:
            watches.add_watch(watch)

    def remove(self, watch: Watch) -> None:
        """See ``Watches.remove``."""
        for watches in self._of_harts:
            watches.remove(watch)

    def clear(self) -> None:
        """Remove those that stop the run."""
        for watches in self._of_harts:
            watches.clear()
