"""Which instruction wrote a register last. Looked for by executing again one by one, in stretches ever farther
back; where it is far, by what has run in a stretch (farback.py)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from minstret.emu.errors import ConfigError
from minstret.emu.hart.csr_table import csrs_by_name
from minstret.emu.hart.decode import insn_bytes
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.spec import ABI_NAMES, INSN_EBREAK, PRIV_M, REG_FP
from minstret.emu.hart.views import F_ABI_NAMES
from minstret.emu.hart.written import written
from minstret.emu.images.image import SymbolTable
from minstret.emu.past import TraceTimeline
from minstret.emu.questions.farback import last_in
from minstret.emu.questions.steps import Step, TrapStep, stepping
from minstret.emu.report import callers_now, trap_name
from minstret.emu.text import did_you_mean, printable
from minstret.emu.timeline import Why
from minstret.emu.walk import Place

_A0 = 10
_FIRST_INSNS, _STRETCH_MAX, _FAR_STRETCH = 2048, 1 << 18, 1 << 26
_FAR_INSNS = 1 << 13
"""So far back it is not looked for one by one."""
_SHARED = (("mstatus", "sstatus"), ("mie", "sie"), ("mip", "sip"), ("fcsr", "fflags", "frm"))
"""CSRs that are views of one register."""
_BY_FLOATS = (*_SHARED[0], *_SHARED[3])
_BY_TRAP = ("epc", "cause", "tval", "status")
"""What taking a trap writes, with the letter of the mode that takes it in front."""


@dataclass(frozen=True, slots=True)
class RegisterWrite:
    """A register was written, perhaps with the value that it had.

    Attributes:
        icount, virtual_ns: Where. The instruction has not been counted.
        hart, pc, code: Of the instruction; of a trap where the hart was, and no code.
        trap: The cause in words, where taking a trap wrote it.
        value: What was written.
        callers: Addresses of the calls that led there, the last one first.
    """

    icount: int
    virtual_ns: int
    hart: int
    pc: int
    code: bytes
    trap: str
    value: int
    callers: tuple[int, ...] = ()


class Register:
    """A register by name: who writes it."""

    def __init__(self, name: str, hart: Hart) -> None:
        """That of ``hart``.

        Raises:
            ConfigError: there is no such register, or no instruction writes it.
        """
        self.name, self._xlen = name, hart.xlen
        csrs = csrs_by_name(hart.cpu)
        x = {"fp": REG_FP} | {f"x{at}": at for at in range(32)} | {abi: at for at, abi in enumerate(ABI_NAMES)}
        f = {f"f{at}": at for at in range(32)} | {abi: at for at, abi in enumerate(F_ABI_NAMES)}
        if name in ("zero", "x0", "pc", "priv"):
            why = "it is always 0" if name in ("zero", "x0") else "every instruction does; minstret insns shows them"
            raise ConfigError(f"--reg: nobody can be asked for who wrote {name}: {why}")
        if name not in x and name not in f and name not in csrs:
            hint = did_you_mean(name, [*x, *f, *csrs])
            raise ConfigError(f"--reg: rv{hart.xlen} has no register '{printable(name)}'{hint}")
        self._x, self._f = x.get(name), f.get(name)
        group = next((names for names in _SHARED if name in names), (name,))
        self._csrs = [csrs[one].number for one in group if one in csrs]

    def value_in(self, step: Step) -> int | None:
        """What an instruction wrote to it; None where it did not."""
        if self._x is not None:
            return step.x[1] if step.x is not None and step.x[0] == self._x else None
        if self._f is not None:
            return step.f[1] if step.f is not None and step.f[0] == self._f else None
        return next((value for number, value in step.csrs if number in self._csrs), None)

    @property
    def is_told_by_code(self) -> bool:
        """Whether the bits of an instruction tell that it writes it; taking a trap does not, nor a float's flags."""
        return not self._csrs or not (self.name[1:] in _BY_TRAP or self.name in _BY_FLOATS)

    def may_be_written_by(self, insn: int) -> bool:
        """Whether an instruction of these bits writes it, as far as they tell."""
        what = written(insn, self._xlen)
        if self._x is not None:
            return what.x == self._x or (insn == INSN_EBREAK and self._x == _A0)
        return what.f == self._f if self._f is not None else what.csr in self._csrs

    def is_written_by_trap(self, mode: int) -> bool:
        """Whether taking a trap to a mode writes it."""
        letter = "m" if mode == PRIV_M else "s"
        return self.name in [letter + rest for rest in _BY_TRAP] or (self.name == "sstatus" and letter == "m")


def last_register_write(
    timeline: TraceTimeline, name: str, hart: int, symbols: SymbolTable, *, far: int = _FAR_INSNS
) -> RegisterWrite | Why:  # fmt: skip
    """The last write of a register before where a timeline is. The timeline ends up there, or somewhere else.

    Args:
        timeline: The walk.
        name: As in ``board.registers``.
        hart: The id of the hart whose register it is.
        symbols: To find callers by.
        far: How far back it is looked for one by one.
    Returns:
        It; Why.START where there is none since the trace begins; Why.INTERRUPTED.
    Raises:
        ConfigError: there is no such register.
    """
    register = Register(name, timeline.board.harts[hart])
    upper, size, start = timeline.position.icount, _FIRST_INSNS, timeline.start.icount
    far_at = upper - far if register.is_told_by_code else -1
    here: Place | None = timeline.place()
    while upper > start or here is not None:
        is_far = here is None and upper <= far_at
        lower = max(start, upper - (_FAR_STRETCH if is_far else size))
        if is_far:
            step = partial(_in_stretch, timeline, register, hart)
            found = last_in(timeline, hart, lower, upper, register.may_be_written_by, step)
        else:
            found = _in_stretch(timeline, register, hart, lower, here or upper)
        here = None
        if found is Why.INTERRUPTED:
            return Why.INTERRUPTED
        if isinstance(found, RegisterWrite):
            return _with_callers(timeline, found, symbols)
        upper, size = lower, min(2 * size, _STRETCH_MAX)
    return Why.START


def _in_stretch(
    timeline: TraceTimeline, register: Register, hart: int, lower: int, upper: int | Place
) -> RegisterWrite | Why:  # fmt: skip
    """The last write from icount ``lower`` on; Why.REACHED where there is none. A trap may be just before a place."""
    if timeline.seek(lower).why is Why.INTERRUPTED:
        return Why.INTERRUPTED
    found: RegisterWrite | None = None
    board, clock = timeline.board, timeline.board.machine.clock

    def stepped(step: Step) -> None:
        nonlocal found
        value = register.value_in(step) if step.hart.hart_id == hart else None
        if value is not None:
            found = RegisterWrite(
                step.icount, clock.ns_at(step.icount), hart, step.pc, insn_bytes(step.insn), "", value
            )  # fmt: skip

    def trapped(step: TrapStep) -> None:
        nonlocal found
        taken = step.taken
        if step.hart.hart_id == hart and register.is_written_by_trap(taken.priv):
            trap, value = taken.trap, board.registers_of(hart)[register.name]
            found = RegisterWrite(trap.icount, clock.ns_at(trap.icount), hart, trap.epc, b"", trap_name(trap), value)

    with stepping(board.harts, stepped, trapped):
        stop = timeline.seek(upper) if isinstance(upper, int) else timeline.seek_place(upper)
    if stop.why is Why.INTERRUPTED:
        return Why.INTERRUPTED
    return Why.REACHED if found is None else found


def _with_callers(timeline: TraceTimeline, found: RegisterWrite, symbols: SymbolTable) -> RegisterWrite:
    timeline.seek(found.icount)
    hart = timeline.board.harts[found.hart]
    if hart.pc != found.pc:  # an interrupt or a wait lies between
        return found
    callers = tuple(callers_now(hart, symbols))
    return RegisterWrite(
        found.icount, found.virtual_ns, found.hart, found.pc, found.code, found.trap, found.value, callers
    )  # fmt: skip
