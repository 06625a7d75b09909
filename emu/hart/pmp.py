"""Physical memory protection: the registers, and the ranges they describe.

Source: The RISC-V Instruction Set Manual, Volume II, "Physical Memory Protection". 16 entries, granularity
4 bytes; ``pmpcfg`` with W but not R is reserved and loses its W.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from minstret.emu.hart.csr_table import PMP_ENTRIES
from minstret.emu.hart.shared import Shared
from minstret.emu.hart.spec import PMP_LOCKED, PMP_MODE_SHIFT, PMP_NA4, PMP_NAPOT, PMP_R, PMP_TOR, PMP_W

_CFG_MASK = 0x9F


@dataclass(slots=True)
class PmpState:
    """``cfg``: the entries' configuration bytes; ``addr``: their address registers (physical address >> 2)."""

    cfg: list[int] = field(default_factory=lambda: [0] * PMP_ENTRIES)
    addr: list[int] = field(default_factory=lambda: [0] * PMP_ENTRIES)


class Pmp:
    """One hart's PMP registers, kept in step with what the callbacks check."""

    def __init__(self, xlen: int, shared: Shared) -> None:
        self._xlen = xlen
        self._shared = shared
        self.state = PmpState()

    def read_cfg(self, number: int) -> int:
        return int.from_bytes(bytes(self._entries(number)), "little")

    def write_cfg(self, number: int, value: int) -> None:
        for i in range(self._xlen // 8):
            entry = number * 4 + i
            if not self.state.cfg[entry] & PMP_LOCKED:
                cfg = value >> 8 * i & _CFG_MASK
                self.state.cfg[entry] = cfg & ~PMP_W if not cfg & PMP_R else cfg
        self.publish()

    def write_addr(self, entry: int, value: int) -> None:
        cfg = self.state.cfg
        following = cfg[entry + 1] if entry + 1 < PMP_ENTRIES else 0
        next_locks_this = following & PMP_LOCKED and following >> PMP_MODE_SHIFT & 3 == PMP_TOR
        if not cfg[entry] & PMP_LOCKED and not next_locks_this:
            self.state.addr[entry] = value & ((1 << (54 if self._xlen == 64 else 32)) - 1)
        self.publish()

    def publish(self) -> None:
        """Write the active entries, as ranges in order of priority, where the callbacks look."""
        shared, count = self._shared, 0
        for entry, cfg in enumerate(self.state.cfg):
            low, high = self._range(entry)
            if low < high:
                shared.pmp_low[count], shared.pmp_high[count], shared.pmp_cfg[count] = low, high, cfg
                count += 1
        shared.pmp_count = count

    def _entries(self, number: int) -> list[int]:
        return self.state.cfg[number * 4 : number * 4 + self._xlen // 8]

    def _range(self, entry: int) -> tuple[int, int]:
        mode, addr = self.state.cfg[entry] >> PMP_MODE_SHIFT & 3, self.state.addr[entry]
        if mode == PMP_TOR:
            return (self.state.addr[entry - 1] << 2 if entry else 0), addr << 2
        if mode == PMP_NA4:
            return addr << 2, (addr << 2) + 4
        if mode == PMP_NAPOT:
            size = ((addr ^ (addr + 1)) + 1) << 2
            base = (addr << 2) & ~(size - 1)
            return base, min(base + size, (1 << 64) - 1)
        return 0, 0
