"""A hart's registers by name and its memory by address, for the host side: debuggers, tests, a user's program.

Reading has no side effects, and nothing asks for the privilege that the guest has.
"""

from __future__ import annotations

from collections.abc import Iterator

from minstret.emu.errors import AccessFault
from minstret.emu.hart import csr
from minstret.emu.hart.csr_table import CsrRow, Owner, csrs_by_name
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.spec import ABI_NAMES

_F_BITS = (1 << 64) - 1
F_ABI_NAMES = (
    *(f"ft{i}" for i in range(8)), "fs0", "fs1", *(f"fa{i}" for i in range(8)), *(f"fs{i}" for i in range(2, 12)),
    *(f"ft{i}" for i in range(8, 12)),
)  # fmt: skip
_FIXED_OWNERS = (Owner.FIXED, Owner.HART_ID, Owner.MISA)


class Registers:
    """Registers by name, as ``registers["mstatus"]``; unknown names raise KeyError.

    Names are ``pc``; ``x0`` to ``x31``, and ``zero``, ``ra``, ``sp``... as the calling convention has it; ``f0`` to
    ``f31``, and ``ft0``, ``fa0``...: 64 bits on rv32 too; ``priv``, the privilege: 0 is U-mode, 1 is S-mode, 3 is
    M-mode; and every CSR that the hart has. A CSR reads as M-mode would see it. A write to it is masked as a write by
    the guest would be.

    Iterating gives the integer registers by the calling convention's names, and ``pc``; ``names()`` gives all.
    """

    def __init__(self, hart: Hart) -> None:
        self._hart = hart
        self._x = {name: i for i, name in enumerate(ABI_NAMES)} | {f"x{i}": i for i in range(32)} | {"fp": 8}
        self._f = {f"f{i}": i for i in range(32)} | {name: i for i, name in enumerate(F_ABI_NAMES)}
        self._csrs = csrs_by_name(hart.cpu)

    def __getitem__(self, name: str) -> int:
        env = self._hart.env
        if name in self._x:
            return int(env.x[self._x[name]])
        if name in self._f:
            return int(env.f[self._f[name]])
        if name in ("pc", "priv"):
            return int(getattr(env, name))
        return csr.read(self._hart.core, self._csr(name))

    def _csr(self, name: str) -> CsrRow:
        if name not in self._csrs:
            raise KeyError(f"rv{self._hart.xlen} has no register {name!r}; registers.names() has all names")
        return self._csrs[name]

    def __setitem__(self, name: str, value: int) -> None:
        """Set a register to the low bits of ``value``: XLEN of them, 64 of an ``f`` register.

        Raises:
            KeyError: there is no such register, or it can't be written.
        """
        self.check_writable(name)
        env, bits = self._hart.env, value & self._hart.xlen_mask
        if name in self._x:
            if self._x[name]:
                env.x[self._x[name]] = bits
        elif name in self._f:
            env.f[self._f[name]] = value & _F_BITS
        elif name == "pc":
            env.pc = bits & ~1
        else:
            csr.write(self._hart.core, self._csr(name), bits)

    def check_writable(self, name: str) -> None:
        """Raise KeyError where there is no such register, or it can't be written."""
        if name == "priv":
            raise KeyError("priv can't be set: the guest changes its privilege by traps and returns")
        if name in self._x or name in self._f or name == "pc":
            return
        row = self._csr(name)
        if row.is_read_only or row.owner in _FIXED_OWNERS:
            raise KeyError(f"{name} is a read-only register")

    def __contains__(self, name: object) -> bool:
        return name in self._x or name in self._f or name in ("pc", "priv") or name in self._csrs

    def __iter__(self) -> Iterator[str]:
        return iter((*ABI_NAMES, "pc"))

    def items(self) -> Iterator[tuple[str, int]]:
        return ((name, self[name]) for name in self)

    def names(self) -> tuple[str, ...]:
        """Every name there is a register for, CSRs in the order of their numbers."""
        return (*ABI_NAMES, *(f"x{i}" for i in range(32)), "fp", *self._f, "pc", "priv", *self._csrs)


def _check_range(where: object, needs_stop: bool = True) -> None:
    """Raise TypeError for what is not ``start:stop``."""
    if not isinstance(where, slice) or where.start is None or where.step or (needs_stop and where.stop is None):
        raise TypeError("memory is asked for by a range of addresses: board.memory[0x80000000:0x80000008]")


class Memory:
    """Physical RAM and ROM by address. What is neither raises IndexError."""

    def __init__(self, hart: Hart) -> None:
        self._hart = hart

    def read(self, address: int, size: int) -> bytes:
        """``size`` bytes at a physical address."""
        try:
            return self._hart.read_physical(address, size)
        except AccessFault:
            raise IndexError(f"no memory at {address:#x}, {size} bytes") from None

    def write(self, address: int, data: bytes) -> None:
        """Write RAM at a physical address."""
        try:
            self._hart.write_physical(address, bytes(data))
        except AccessFault:
            raise IndexError(f"no RAM at {address:#x}, {len(data)} bytes") from None

    def read_virtual(self, address: int, size: int) -> bytes:
        """``size`` bytes at an address as the guest's loads would find it now, through its page tables."""
        data = self._hart.read_virtual(address, size)
        if data is None:
            raise IndexError(f"nothing is mapped at virtual address {address:#x}, {size} bytes")
        return data

    def __getitem__(self, where: slice) -> bytes:
        _check_range(where)
        return self.read(where.start, where.stop - where.start)

    def __setitem__(self, where: slice, data: bytes) -> None:
        _check_range(where, needs_stop=False)
        if where.stop is not None and where.stop - where.start != len(data):
            raise ValueError(f"{len(data)} bytes for {where.stop - where.start}")
        self.write(where.start, data)
