"""A hart's registers and its memory as the host side sees them, by name and by address.

Reading has no side effects and asks nobody for permission.
"""

from __future__ import annotations

from collections.abc import Iterator

from minstret.emu.errors import AccessFault
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.spec import ABI_NAMES


class Registers:
    """Registers by name. Unknown names raise KeyError with the name."""

    def __init__(self, hart: Hart) -> None:
        self._hart = hart
        self._x = {name: i for i, name in enumerate(ABI_NAMES)} | {f"x{i}": i for i in range(32)} | {"fp": 8}

    def __getitem__(self, name: str) -> int:
        env = self._hart.env
        if name in self._x:
            return int(env.x[self._x[name]])
        if name[:1] == "f" and name[1:].isdecimal() and int(name[1:]) < 32:
            return int(env.f[int(name[1:])])
        if name == "mip":
            return self._hart.mip
        if name in self._hart.save_state().words:
            return int(getattr(env, name))
        raise KeyError(name)

    def __setitem__(self, name: str, value: int) -> None:
        self[name]  # KeyError for an unknown one
        env, value = self._hart.env, value & self._hart.xlen_mask
        if name in self._x:
            if self._x[name]:
                env.x[self._x[name]] = value
        elif name[:1] == "f" and name[1:].isdecimal():
            env.f[int(name[1:])] = value
        elif name == "pc":
            env.pc = value
        else:
            raise KeyError(f"{name} is read-only here")

    def __iter__(self) -> Iterator[str]:
        return iter((*ABI_NAMES, "pc"))

    def items(self) -> Iterator[tuple[str, int]]:
        return ((name, self[name]) for name in self)


def _check_range(where: object, needs_stop: bool = True) -> None:
    """Raise TypeError for what is not ``start:stop``."""
    if not isinstance(where, slice) or where.start is None or where.step or (needs_stop and where.stop is None):
        raise TypeError("memory is asked for by a range of addresses: board.memory[0x80000000:0x80000008]")


class Memory:
    """Physical RAM and ROM by address. What is neither raises IndexError."""

    def __init__(self, hart: Hart) -> None:
        self._hart = hart

    def read(self, address: int, size: int) -> bytes:
        try:
            return self._hart.read_physical(address, size)
        except AccessFault:
            raise IndexError(f"no memory at {address:#x}, {size} bytes") from None

    def write(self, address: int, data: bytes) -> None:
        try:
            self._hart.write_physical(address, bytes(data))
        except AccessFault:
            raise IndexError(f"no RAM at {address:#x}, {len(data)} bytes") from None

    def __getitem__(self, where: slice) -> bytes:
        _check_range(where)
        return self.read(where.start, where.stop - where.start)

    def __setitem__(self, where: slice, data: bytes) -> None:
        _check_range(where, needs_stop=False)
        if where.stop is not None and where.stop - where.start != len(data):
            raise ValueError(f"{len(data)} bytes for {where.stop - where.start}")
        self.write(where.start, data)
