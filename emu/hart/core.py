"""One hart's registers: what an instruction that the hart executes itself may read and write.

Below the loop (hart.py) and everything that executes instructions (csr.py, floating.py, special instructions), so that
these need not know the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minstret.emu.hart.cpu import Cpu
from minstret.emu.hart.pmp import Pmp
from minstret.emu.hart.shared import Shared
from minstret.emu.hart.spec import MENVCFG_STCE, MSTATUS_FS
from minstret.emu.hart.triggers import Triggers


class Core:
    """The registers of one hart, most of them in Unicorn's CPU state.

    Attributes:
        cpu: What it has.
        xlen: 32 or 64.
        xlen_mask: The bits of a register.
        hart_id: What mhartid reads.
        env: Unicorn's CPU state: see layout.py.
        shared: What is shared with the callbacks.
        pmp: The PMP registers.
        triggers: The guest's triggers.
        lines: The interrupt lines that are up, as bits of mip.
        soft_mip: The bits of mip that the guest has written.
        refused_satp_modes: Modes that were written to satp and are not there. Statistics, not state.
        on_refused_satp: Called with each such mode, once.
    """

    def __init__(
        self,
        cpu: Cpu,
        env: Any,
        shared: Shared,
        *,
        flush_tlb: Callable[[], None],
        flush_blocks: Callable[[], None],
        triggers: Triggers,
        hart_id: int = 0,
    ) -> None:
        self.cpu = cpu
        self.xlen = xlen = cpu.xlen
        self.xlen_mask = (1 << xlen) - 1
        self.hart_id = hart_id
        self.env = env
        self.shared = shared
        self.pmp = Pmp(xlen, shared)
        self.triggers = triggers
        self.flush_tlb = flush_tlb
        self._flush_blocks = flush_blocks
        self.refused_satp_modes: set[int] = set()
        self.on_stimecmp: Callable[[], None] = lambda: None
        """Called when ``supervisor_deadline`` may have changed."""
        self.on_refused_satp: Callable[[int], None] = lambda mode: None

    # ---- counters

    @property
    def icount(self) -> int:
        """The machine's icount. Within an access: before the accessing instruction."""
        return int(self.shared.icount - self.shared.in_flight)

    def cycles(self) -> int:
        """The cycle CSR without what software added: one an instruction, and those the hart waited."""
        s = self.shared
        return int((self.icount << s.shift) + s.warp_ns >> s.shift)

    def counted(self, index: int) -> int:
        """What mcycle (0) or minstret (2) counts, without what software added."""
        return self.icount if index else self.cycles()

    def count_of(self, index: int) -> int:
        """The same, or 0 while mcountinhibit stops it: then the offset alone is its value."""
        return 0 if self.shared.mcountinhibit >> index & 1 else self.counted(index)

    def time(self) -> int:
        """The time CSR."""
        s = self.shared
        return int(((self.icount << s.shift) + s.warp_ns) // s.ns_per_tick + s.time_delta)

    @property
    def supervisor_deadline(self) -> int | None:
        """The value of ``time`` from which on STIP is pending; None while menvcfg leaves STIP to software."""
        return int(self.shared.stimecmp) if self.shared.menvcfg & MENVCFG_STCE else None

    # ---- interrupts

    @property
    def lines(self) -> int:
        return int(self.shared.lines)

    @lines.setter
    def lines(self, lines: int) -> None:
        self.shared.lines = lines

    @property
    def soft_mip(self) -> int:
        return int(self.shared.soft_mip)

    @soft_mip.setter
    def soft_mip(self, bits: int) -> None:
        self.shared.soft_mip = bits

    @property
    def mip(self) -> int:
        """Pending interrupts: the lines, and the bits that the guest wrote."""
        return self.lines | self.soft_mip

    def set_soft_mip(self, bits: int) -> None:
        """Set the pending bits that software owns (SSIP, STIP, SEIP)."""
        self.soft_mip = bits
        self.publish_mip()

    def publish_mip(self) -> None:
        """Tell the callbacks what is pending."""
        s = self.shared
        s.mip = mip = s.lines | s.soft_mip
        s.fast_limit = 0 if mip or s.resync else s.limit

    # ---- what other registers decide

    def pmp_changed(self) -> None:
        """Forget what the old PMP entries allowed, and which instructions they made special."""
        self._flush_blocks()
        self.flush_tlb()

    def make_fs_dirty(self) -> None:
        """Note that floating point state was written: FS, and SD, which sums it up."""
        self.env.mstatus |= MSTATUS_FS | 1 << self.xlen - 1

    def refuse_satp(self, mode: int) -> None:
        """The guest has asked for a mode that is not there."""
        if mode not in self.refused_satp_modes:
            self.refused_satp_modes.add(mode)
            self.on_refused_satp(mode)
