"""The guest's own triggers: two address triggers (mcontrol), which raise a breakpoint exception.

A trigger fires before the instruction at its address is executed, or before a load or store that begins at its address;
the instruction does not retire, and the exception's value is the address. Other kinds, matches and actions are not
there: their fields read as 0.

A trigger does not fire in M-mode while MIE is clear, nor in S-mode while breakpoint exceptions are delegated and SIE is
clear: otherwise a trigger in a trap handler would fire again and again. That is the first of the two ways that the
specification offers.

An instruction at a trigger's address is found as one at a breakpoint is. A page with a trigger for loads or stores is
never in the TLB, so every access to it stops before it is done; if no trigger fires, that one instruction may pass.

Source: The RISC-V Debug Specification, "Sdtrig"; QEMU offers the same two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any

from minstret.emu.hart.breakpoints import Breakpoints
from minstret.emu.hart.shared import NOWHERE, PAGE_BITS, TRIGGERS, Shared
from minstret.emu.hart.spec import MSTATUS_MIE, MSTATUS_SIE, PRIV_M, PRIV_S, PRIV_U, Cause, Csr

_TYPE_MCONTROL = 2
_TYPE_BITS = 4


class McontrolBit(IntFlag):
    """The bits of tdata1 that can be written: which accesses, and in which modes."""

    LOAD = 0x01
    STORE = 0x02
    EXECUTE = 0x04
    U = 0x08
    S = 0x10
    M = 0x40


MCONTROL_BITS = int(McontrolBit.LOAD | McontrolBit.STORE | McontrolBit.EXECUTE) | int(
    McontrolBit.U | McontrolBit.S | McontrolBit.M
)
_MODES = {PRIV_U: McontrolBit.U, PRIV_S: McontrolBit.S, PRIV_M: McontrolBit.M}


@dataclass(slots=True)
class TriggerState:
    """``tselect``; of each trigger the bits of tdata1 that can be written, and tdata2."""

    tselect: int = 0
    tdata1: list[int] = field(default_factory=lambda: [0] * TRIGGERS)
    tdata2: list[int] = field(default_factory=lambda: [0] * TRIGGERS)

    def check(self, xlen: int) -> None:
        """Raise ValueError where these are not the values of such registers."""
        is_there = 0 <= self.tselect < TRIGGERS and len(self.tdata1) == len(self.tdata2) == TRIGGERS
        if not is_there or any(bits & ~MCONTROL_BITS for bits in self.tdata1):
            raise ValueError("a trigger that is not there")
        if any(not 0 <= address < 1 << xlen for address in self.tdata2):
            raise ValueError("a trigger at an address that is not there")


class Triggers:
    """One hart's trigger registers, kept in step with what the callbacks look out for."""

    def __init__(
        self, xlen: int, shared: Shared, env: Any, breakpoints: Breakpoints, flush_tlb: Callable[[], None]
    ) -> None:
        self._xlen = xlen
        self._shared = shared
        self._env = env
        self._breakpoints = breakpoints
        self._flush_tlb = flush_tlb
        self.state = TriggerState()
        shared.trigger_passed_pc = shared.trigger_passed_icount = NOWHERE

    def read(self, number: int) -> int:
        """The value of one of the trigger CSRs."""
        state = self.state
        if number == Csr.TSELECT:
            return state.tselect
        if number == Csr.TDATA1:
            return _TYPE_MCONTROL << self._xlen - _TYPE_BITS | state.tdata1[state.tselect]
        if number == Csr.TDATA2:
            return state.tdata2[state.tselect]
        return 1 << _TYPE_MCONTROL if number == Csr.TINFO else 0

    def write(self, number: int, value: int) -> None:
        """Write one of them. What is not there can't be selected, and a trigger of another type is disabled."""
        state = self.state
        if number == Csr.TSELECT and value < TRIGGERS:
            state.tselect = value
        elif number == Csr.TDATA1:
            is_mcontrol = value >> self._xlen - _TYPE_BITS == _TYPE_MCONTROL
            state.tdata1[state.tselect] = value & MCONTROL_BITS if is_mcontrol else 0
            self.publish()
        elif number == Csr.TDATA2:
            state.tdata2[state.tselect] = value
            self.publish()

    def publish(self) -> None:
        """Let the callbacks look out for what the triggers may fire on."""
        s, wanted = self._shared, list(zip(self.state.tdata1, self.state.tdata2, strict=True))
        self._breakpoints.set_trigger_pcs({at for bits, at in wanted if bits & McontrolBit.EXECUTE and not at & 1})
        accesses = McontrolBit.LOAD | McontrolBit.STORE
        pages = sorted({address >> PAGE_BITS for bits, address in wanted if bits & accesses})
        if pages != list(s.trigger_pages[: s.trigger_page_count]):
            s.trigger_pages[: len(pages)], s.trigger_page_count = pages, len(pages)
            self._flush_tlb()

    def fires(self, access: McontrolBit, address: int) -> bool:
        """Whether a trigger fires on an access that begins at a virtual address, in the mode that the hart is in."""
        env, priv = self._env, int(self._env.priv)
        if priv == PRIV_M and not env.mstatus & MSTATUS_MIE:
            return False
        if priv == PRIV_S and env.medeleg >> Cause.BREAKPOINT & 1 and not env.mstatus & MSTATUS_SIE:
            return False
        return any(
            bits & access and bits & _MODES[priv] and at == address
            for bits, at in zip(self.state.tdata1, self.state.tdata2, strict=True)
        )
