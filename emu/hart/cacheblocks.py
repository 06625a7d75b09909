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
from minstret.emu.hart.spec import CACHE_BLOCK, PRIV_M, PRIV_U, Cause
from minstret.emu.hart.triggers import McontrolBit

_LEAVE = {Op.CBO_INVAL: 3 << 4, Op.CBO_CLEAN: 1 << 6, Op.CBO_FLUSH: 1 << 6, Op.CBO_ZERO: 1 << 7}
"""The bits CBIE, CBCFE and CBZE of the environment configurations: an instruction needs one of them."""


def execute(core: Core, mmu: Mmu, accesses: Accesses, op: Op, va: int) -> Cause | None:
    """Carry out an instruction on the block of the virtual address ``va``.

    Returns:
        The exception that it raises, nothing was changed then; None if it retires.
    Raises:
        IllegalInstruction: it may not be used in this privilege.
    """
    if not _may_be_used(core, op):
        raise IllegalInstruction
    block = va & -CACHE_BLOCK
    if core.shared.trigger_page_count and any(
        core.triggers.fires(McontrolBit.STORE, block + at) for at in range(CACHE_BLOCK)
    ):
        return Cause.BREAKPOINT
    wanted, right = (Access.WRITE, Prot.W) if op is Op.CBO_ZERO else (Access.READ, Prot.R)
    mode = mmu.data_mode()
    translation = mmu.translate(block, wanted, mode, quiet=False)
    if translation.fault != Fault.NONE:
        return Cause.STORE_PAGE_FAULT if translation.fault == Fault.PAGE else Cause.STORE_ACCESS
    allowed = mmu.pmp_allows(translation.pa, CACHE_BLOCK, mode)
    if allowed & Prot.MIXED or not allowed & right or not accesses.memory.has_ram(translation.pa, CACHE_BLOCK):
        return Cause.STORE_ACCESS
    if op is Op.CBO_ZERO:
        _store_zeros(core, accesses, translation.pa - accesses.memory.ram_base)
    return None


def _may_be_used(core: Core, op: Op) -> bool:
    priv = int(core.env.priv)
    if priv == PRIV_M:
        return True
    return bool(core.menvcfg & _LEAVE[op]) and (priv != PRIV_U or bool(core.senvcfg & _LEAVE[op]))


def _store_zeros(core: Core, accesses: Accesses, offset: int) -> None:
    """Store as a store does while it is under way: it is counted then, and has not retired."""
    core.shared.icount += 1
    accesses.slow_write(offset, CACHE_BLOCK, 0)
    core.shared.icount -= 1
