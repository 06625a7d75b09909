"""Physical memory protection: the registers, and the ranges they describe.

Source: The RISC-V Instruction Set Manual, Volume II, "Physical Memory Protection". 16 entries, granularity
4 bytes; ``pmpcfg`` with W but not R is reserved and loses its W.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from minstret.emu.hart.shared import PMP_ENTRIES, Shared

_R, _W, _LOCKED = 0x01, 0x02, 0x80
_TOR, _NA4, _NAPOT = 1, 2, 3
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

    def has_cfg(self, number: int) -> bool:
        """Whether ``pmpcfg<number>`` exists: only even ones do on rv64."""
        return self._xlen == 32 or number % 2 == 0

    def read_cfg(self, number: int) -> int:
        return int.from_bytes(bytes(self._entries(number)), "little")

    def write_cfg(self, number: int, value: int) -> None:
        for i in range(self._xlen // 8):
            entry = number * 4 + i
            if not self.state.cfg[entry] & _LOCKED:
                cfg = value >> 8 * i & _CFG_MASK
                self.state.cfg[entry] = cfg & ~_W if not cfg & _R else cfg
        self.publish()

    def write_addr(self, entry: int, value: int) -> None:
        cfg = self.state.cfg
        next_locks_this = entry + 1 < PMP_ENTRIES and cfg[entry + 1] & _LOCKED and cfg[entry + 1] >> 3 & 3 == _TOR
        if not cfg[entry] & _LOCKED and not next_locks_this:
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
        mode, addr = self.state.cfg[entry] >> 3 & 3, self.state.addr[entry]
        if mode == _TOR:
            return (self.state.addr[entry - 1] << 2 if entry else 0), addr << 2
        if mode == _NA4:
            return addr << 2, (addr << 2) + 4
        if mode == _NAPOT:
            size = ((addr ^ (addr + 1)) + 1) << 2
            base = (addr << 2) & ~(size - 1)
            return base, min(base + size, (1 << 64) - 1)
        return 0, 0
