"""What instructions write: single ones here; that nothing else changes is in tests/emu/questions/test_steps.py."""

from __future__ import annotations

import pytest
from support.asm import A0, A1, EBREAK, ECALL, MRET, SRET, ZERO, csrr, csrrs, csrrsi, csrrwi, csrw, sw

from minstret.emu.hart.spec import Csr
from minstret.emu.hart.written import Written, written

FENCE_I, SFENCE_VMA = 0x100F, 0x1200_0073
FADD_D, FEQ_D, FCVT_W_D, FCVT_D_W = 0x02B5_7553, 0xA2B5_2553, 0xC205_7553, 0xD205_7553
FMV_X_D, FMADD_S = 0xE205_0553, 0x60B5_7543
C_FLD, C_FSDSP, C_SDSP, C_LW, C_FLWSP = 0x2108, 0xA02A, 0xE02A, 0x4108, 0x6502


@pytest.mark.parametrize("insn", [ECALL, EBREAK, FENCE_I, SFENCE_VMA, 0x0001, 0x8082])
def test_what_writes_nothing(insn: int) -> None:
    assert written(insn, 64) == Written(None)


@pytest.mark.parametrize(
    ("insn", "x", "csr"),
    [
        (csrr(A0, "mtvec"), A0, None), (csrw("mtvec", A0), None, Csr.MTVEC), (csrrs(A0, "mie", A1), A0, Csr.MIE),
        (csrrsi(A0, "mie", 0), A0, None), (csrrwi(ZERO, "mie", 0), None, Csr.MIE), (MRET, None, Csr.MSTATUS),
        (SRET, None, Csr.SSTATUS),
    ],
)  # fmt: skip
def test_csrs(insn: int, x: int | None, csr: int | None) -> None:
    assert written(insn, 64) == Written(x, csr=csr)


@pytest.mark.parametrize(
    ("insn", "x", "f"),
    [(FADD_D, None, 10), (FEQ_D, 10, None), (FCVT_W_D, 10, None), (FCVT_D_W, None, 10), (FMV_X_D, 10, None),
     (FMADD_S, None, 10)],
)  # fmt: skip
def test_floating_point(insn: int, x: int | None, f: int | None) -> None:
    assert written(insn, 64) == Written(x, f, is_floating=True)


@pytest.mark.parametrize(
    ("insn", "xlen", "x", "f"),
    [(C_FLD, 64, None, 10), (C_LW, 64, 10, None), (C_FLWSP, 32, None, 10), (C_FLWSP, 64, 10, None)],
)  # fmt: skip
def test_compressed_loads(insn: int, xlen: int, x: int | None, f: int | None) -> None:
    found = written(insn, xlen)

    assert (found.x, found.f, found.stored) == (x, f, None)
    assert found.access is not None


@pytest.mark.parametrize(
    ("insn", "stored", "stores_f"), [(sw(A1, A0, 4), A1, False), (C_FSDSP, 10, True), (C_SDSP, 10, False)]
)
def test_stores(insn: int, stored: int, stores_f: bool) -> None:
    found = written(insn, 64)

    assert (found.x, found.f, found.stored, found.stores_f) == (None, None, stored, stores_f)
