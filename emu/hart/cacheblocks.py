"""Instructions on cache blocks. The board has no caches: CBO.ZERO stores zeros, the others check what they may access.

Both privileges below M-mode need leave for them, in menvcfg, and U-mode in senvcfg too. A block must be in RAM: there
are none of a device or of the ROM.

Source: The RISC-V Instruction Set Manual, Volume I, "CMO", and Volume II, "menvcfg" and "senvcfg".
"""

from __future__ import annotations

from minstret.emu.hart.accesses import Accesses
from minstret.emu.hart.core import Core
from minstret.emu.hart.csr import IllegalInstruction
from minstret.emu.hart.extensions import Op
from minstret.emu.hart.mmu import Mmu
from minstret.emu.hart.shared import Access, Fault, Prot
from minstret.emu.hart.spec import CACHE_BLOCK, ENVCFG_CBCFE, ENVCFG_CBIE, ENVCFG_CBZE, PRIV_M, PRIV_U, Cause
from minstret.emu.hart.triggers import McontrolBit

PMP_GRAIN = 4
"""Bytes: the least that a PMP entry is about."""
_LEAVE = {
    Op.CBO_INVAL: ENVCFG_CBIE, Op.CBO_CLEAN: ENVCFG_CBCFE, Op.CBO_FLUSH: ENVCFG_CBCFE, Op.CBO_ZERO: ENVCFG_CBZE,
}  # fmt: skip
"""An instruction needs one of these bits."""


def execute(core: Core, mmu: Mmu, accesses: Accesses, op: Op, va: int) -> tuple[Cause, int] | None:
    """Carry out an instruction on the block of the virtual address ``va``.

    Returns:
        The exception that it raises and its value; None if it retires. The value is ``va``; of CBO.ZERO, which stores
        from the start of the block on, it is the first byte that it may not store: those before may be zero then.
    Raises:
        IllegalInstruction: it may not be used in this privilege.
    """
    if not _may_be_used(core, op):
        raise IllegalInstruction
    block = va & -CACHE_BLOCK
    at, wanted = (block, Access.WRITE) if op is Op.CBO_ZERO else (va, Access.READ)
    if core.shared.trigger_page_count and any(
        core.triggers.fires(McontrolBit.STORE, block + byte) for byte in range(CACHE_BLOCK)
    ):
        return Cause.BREAKPOINT, at
    mode = mmu.data_mode()
    translation = mmu.translate(at, wanted, mode, quiet=False)
    if translation.fault != Fault.NONE:
        return Cause.STORE_PAGE_FAULT if translation.fault == Fault.PAGE else Cause.STORE_ACCESS, at
    if not accesses.memory.has_ram(translation.pa, 1):
        return Cause.STORE_ACCESS, at
    if op is Op.CBO_ZERO:
        allowed = _allowed_bytes(mmu, translation.pa, mode)
        if allowed == CACHE_BLOCK:
            _store_zeros(core, accesses, translation.pa)
            return None
        if allowed:
            accesses.memory.write(translation.pa, bytes(allowed))
        return Cause.STORE_ACCESS, block + allowed
    return None if mmu.pmp_allows(translation.pa, 1, mode) & Prot.R else (Cause.STORE_ACCESS, at)


def _allowed_bytes(mmu: Mmu, pa: int, mode: int) -> int:
    """How much of a block PMP lets be stored, from its start on."""
    allowed = mmu.pmp_allows(pa, CACHE_BLOCK, mode)
    if not allowed & Prot.MIXED:
        return CACHE_BLOCK if allowed & Prot.W else 0
    pieces = range(0, CACHE_BLOCK, PMP_GRAIN)
    return next((at for at in pieces if not mmu.pmp_allows(pa + at, PMP_GRAIN, mode) & Prot.W), CACHE_BLOCK)


def _may_be_used(core: Core, op: Op) -> bool:
    priv = int(core.env.priv)
    if priv == PRIV_M:
        return True
    s = core.shared
    return bool(s.menvcfg & _LEAVE[op]) and (priv != PRIV_U or bool(s.senvcfg & _LEAVE[op]))


def _store_zeros(core: Core, accesses: Accesses, pa: int) -> None:
    """Store as a store does while it is under way: it is counted then, and has not retired."""
    core.shared.icount += 1
    accesses.store(pa, bytes(CACHE_BLOCK))
    core.shared.icount -= 1
