"""Floating point, FS, SD, UXL and SXL as specified: with our functions in Unicorn's place, and without."""

from __future__ import annotations

import ctypes
import hashlib
import platform
import random
import struct
from fractions import Fraction
from math import sqrt

import pytest
from support.asm import (
    A0,
    A1,
    A2,
    A3,
    LOOP,
    NOP,
    T0,
    T1,
    T2,
    ZERO,
    addi,
    auipc,
    code,
    csrr,
    csrrc,
    csrrs,
    csrrwi,
    csrw,
    lui,
)  # fmt: skip
from support.harts import RAM, board_of, run_insns
from support.needs import Need

from cosimulation.floats import make_sweep
from cosimulation.sweep import results_here
from minstret.devices.board.board import Board
from minstret.emu.hart import helpers, softfloat
from minstret.emu.hart.binding import ENVIRONMENT
from minstret.emu.hart.shared import Counting
from minstret.emu.hart.softfloat import DOUBLE, NV, NX, SINGLE, UF

BOX = 0xFFFFFFFF << 32
ONE, SIGNALING, QUIET, INFINITY = 0x3FF0 << 48, 0x7FF4 << 48, 0x7FF8 << 48, 0x7FF0 << 48
ONE_S, SIGNALING_S, QUIET_S, INFINITY_S = (BOX | bits for bits in (0x3F800000, 0x7FA00000, 0x7FC00000, 0x7F800000))
FS, INITIAL, CLEAN = 3 << 13, 1 << 13, 2 << 13
FA0, FA1, FA2, FA3 = 10, 11, 12, 13
ILLEGAL = 2


@pytest.fixture(params=["helpers", "bare"])
def helped(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, need: Need) -> bool:
    """Run a test with our functions in Unicorn's place, and without."""
    if request.param == "bare":
        monkeypatch.setenv(ENVIRONMENT, "off")
    else:
        need.helpers()
    return bool(request.param == "helpers")


def op(funct5: int, double: bool, rs2: int, funct3: int, rd: int, rs1: int) -> int:
    return funct5 << 27 | double << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x53


def fused(opcode: int, double: bool) -> int:
    return FA2 << 27 | double << 25 | FA1 << 20 | FA0 << 15 | 7 << 12 | FA3 << 7 | opcode


def board_with(f: tuple[int, ...], *insns: int, fs: int = FS, counting: str, xlen: int = 64) -> Board:
    """A board about to execute ``insns``, with fa0 and on set, and FS."""
    board = board_of(code(*insns, LOOP), xlen=xlen, counting=counting)
    run_insns(board, 0)
    env = board.hart.env
    env.f[FA0 : FA0 + len(f)] = f
    env.mstatus = int(env.mstatus) & ~(FS | 1 << xlen - 1) | fs | (1 << xlen - 1 if fs == FS else 0)
    return board


def run(board: Board, insns: int) -> tuple[int, int]:
    """fa3 and fflags after so many instructions."""
    run_insns(board, insns)
    return int(board.hart.env.f[FA3]), board.hart.save_state().fflags


def state(board: Board) -> tuple[int, bool]:
    """FS, and whether SD is set."""
    mstatus = int(board.hart.env.mstatus)
    return mstatus & FS, bool(mstatus >> board.hart.xlen - 1)


@pytest.mark.parametrize("funct3", [0, 1], ids=["fmin", "fmax"])
@pytest.mark.parametrize("is_swapped", [False, True])
@pytest.mark.parametrize(("double", "signaling", "one"), [(True, SIGNALING, ONE), (False, SIGNALING_S, ONE_S)])
def test_minimum_ignores_a_signaling_nan(
    counting: str, helped: bool, double: bool, signaling: int, one: int, is_swapped: bool, funct3: int
) -> None:
    operands = (one, signaling) if is_swapped else (signaling, one)
    board = board_with(operands, op(0x05, double, FA1, funct3, FA3, FA0), counting=counting)
    assert run(board, 1) == (one, NV)


@pytest.mark.parametrize("opcode", [0x43, 0x47, 0x4B, 0x4F], ids=["fmadd", "fmsub", "fnmsub", "fnmadd"])
@pytest.mark.parametrize(("double", "infinity", "zero", "nan"),
                         [(True, INFINITY, 0, QUIET), (False, INFINITY_S, BOX, QUIET_S)])  # fmt: skip
def test_infinity_times_zero_plus_a_quiet_nan_is_invalid(
    counting: str, helped: bool, double: bool, infinity: int, zero: int, nan: int, opcode: int
) -> None:
    board = board_with((infinity, zero, nan), fused(opcode, double), counting=counting)
    assert run(board, 1) == (nan, NV)


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("rs2", [FA0, FA1])
@pytest.mark.parametrize("funct3", [0, 1, 2], ids=["fsgnj", "fsgnjn", "fsgnjx"])
def test_sign_injection_traps_while_fs_is_off(
    counting: str, helped: bool, funct3: int, rs2: int, double: bool, xlen: int
) -> None:
    insn = op(0x04, double, rs2, funct3, FA3, FA0)
    board = board_with((ONE, ONE), insn, fs=0, counting=counting, xlen=xlen)
    run_insns(board, 1)
    trap = board.hart.first_trap
    assert trap is not None
    assert (trap.cause, trap.epc, trap.tval) == (ILLEGAL, RAM, insn)


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("fs", [INITIAL, CLEAN])
@pytest.mark.parametrize(
    "insn", [csrw("fflags", ZERO), csrw("frm", ZERO), csrw("fcsr", ZERO), csrrs(ZERO, "fcsr", A0), csrrwi(0, "frm", 1)],
    ids=hex,
)  # fmt: skip
def test_writing_a_float_csr_makes_fs_dirty_and_sets_sd(
    counting: str, helped: bool, insn: int, fs: int, xlen: int
) -> None:
    board = board_with((), insn, csrr(A1, "mstatus"), csrr(A2, "sstatus"), fs=fs, counting=counting, xlen=xlen)
    run_insns(board, 3)
    assert state(board) == (FS, True)
    assert board.registers["a1"] >> xlen - 1 == board.registers["a2"] >> xlen - 1 == 1


@pytest.mark.parametrize("insn", [csrr(A1, "fflags"), csrrs(A1, "frm", ZERO), csrrc(A1, "fcsr", ZERO)], ids=hex)
def test_reading_a_float_csr_leaves_fs(counting: str, helped: bool, insn: int) -> None:
    board = board_with((), insn, fs=CLEAN, counting=counting)
    run_insns(board, 1)
    assert state(board) == (CLEAN, False)


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize(
    ("insn", "a0", "flags"),
    [
        (op(0x14, True, FA1, 2, A1, FA0), SIGNALING, NV),  # feq.d
        (op(0x14, True, FA1, 2, A1, FA0), QUIET, 0),
        (op(0x14, True, FA1, 1, A1, FA0), QUIET, NV),  # flt.d
        (op(0x14, False, FA1, 2, A1, FA0), SIGNALING_S, NV),
        (op(0x14, False, FA1, 0, A1, FA0), ONE_S, 0),
        (op(0x18, False, 0, 7, A1, FA0), BOX | 0x3FC00000, NX),  # fcvt.w.s of 1.5
        (op(0x18, True, 0, 7, A1, FA0), 0x3FF8 << 48, NX),
        (op(0x18, True, 1, 7, A1, FA0), 0xBFF0 << 48, NV),  # fcvt.wu.d of -1.0
        (op(0x18, True, 0, 7, A1, FA0), ONE, 0),
        (op(0x1C, False, 0, 1, A1, FA0), SIGNALING_S, 0),  # fclass.s
    ],
)
def test_instruction_that_raises_flags_alone_makes_fs_dirty(
    counting: str, helped: bool, insn: int, a0: int, flags: int, xlen: int
) -> None:
    board = board_with((a0, ONE if insn >> 25 & 1 else ONE_S), insn, fs=INITIAL, counting=counting, xlen=xlen)
    assert run(board, 1)[1] == flags
    assert state(board) == ((FS, True) if flags else (INITIAL, False))


@pytest.mark.parametrize("name", ["mstatus", "sstatus"])
def test_status_shows_the_widths_and_keeps_them(counting: str, helped: bool, name: str) -> None:
    """The fields that give the width of U-mode and of S-mode, which sstatus has only the first of."""
    board = board_with(
        (), csrr(A0, name), addi(T0, ZERO, -1), csrrc(A1, name, T0), csrrs(A2, name, T0), csrr(A3, name),
        fs=INITIAL, counting=counting,
    )  # fmt: skip
    run_insns(board, 5)
    for register in ("a0", "a1", "a2", "a3"):
        assert board.registers[register] >> 32 & 0xF == (0xA if name == "mstatus" else 0x2)
    assert board.hart.env.mstatus >> 32 & 0xF == 0xA
    assert board.registers["a3"] >> 36 == 1 << 27  # SD, and nothing of a hypervisor's


def test_sstatus_writes_what_it_shows(counting: str, helped: bool) -> None:
    board = board_with((), addi(T0, ZERO, -1), csrw("sstatus", T0), csrr(A0, "mstatus"), fs=0, counting=counting)
    run_insns(board, 3)
    assert board.registers["a0"] == 1 << 63 | 0xA << 32 | 0xC6122


# ---- NaN boxing


@pytest.mark.parametrize(
    ("insn", "expected"),
    [
        (op(0x1C, False, 0, 1, A0, FA0), 0x200),  # fclass.s
        (op(0x1C, False, 0, 0, A0, FA0), 0x3F800000),  # fmv.x.w looks at the bits
        (op(0x14, False, FA0, 2, A0, FA0), 0),  # feq.s
        (op(0x18, False, 0, 7, A0, FA0), 0x7FFFFFFF),  # fcvt.w.s
    ],
)
def test_operand_that_is_not_boxed_is_a_nan(counting: str, helped: bool, insn: int, expected: int) -> None:
    board = board_with((0x1122_3344_3F80_0000,), insn, counting=counting)
    run_insns(board, 1)
    assert board.registers["a0"] == expected


@pytest.mark.parametrize("funct3", [0, 1, 2], ids=["fsgnj", "fsgnjn", "fsgnjx"])
@pytest.mark.parametrize("rs2", [FA0, FA1])
def test_sign_injection_boxes_and_wants_boxes(counting: str, helped: bool, rs2: int, funct3: int) -> None:
    insn = op(0x04, False, rs2, funct3, FA3, FA0)
    sign = funct3 == 1  # of the canonical NaN it is 0
    board = board_with((ONE, 0xBFF0 << 48), insn, counting=counting)
    assert run(board, 1) == (QUIET_S | sign << 31, 0)
    board = board_with((BOX | 0xBF800000, ONE_S), insn, counting=counting)
    expected = {(FA0, 0): 1, (FA0, 1): 0, (FA0, 2): 0, (FA1, 0): 0, (FA1, 1): 1, (FA1, 2): 1}[rs2, funct3]
    assert run(board, 1) == (ONE_S | expected << 31, 0)


@pytest.mark.parametrize(
    ("insn", "expected"),
    [
        (op(0x1E, False, 0, 0, FA3, A0), BOX | 0x9ABCDEF0),  # fmv.w.x
        (op(0x1A, False, 0, 7, FA3, A0), BOX | 0xCECA8642),  # fcvt.s.w
        (op(0x08, False, 1, 7, FA3, FA0), ONE_S),  # fcvt.s.d
        (op(0x00, False, FA1, 7, FA3, FA1), BOX | 0x40000000),  # fadd.s
    ],
)
def test_single_precision_result_is_boxed(counting: str, helped: bool, insn: int, expected: int) -> None:
    board = board_with((ONE, ONE_S), insn, counting=counting)
    board.registers["a0"] = 0x1234_5678_9ABC_DEF0
    assert run(board, 1)[0] == expected


# ---- all of it


SWEEPS = {
    64: "c5ad8b2f6d9979f17733a2f84e5c9fa4ea750d75f70581df55115dbc6252c5b0",
    32: "68de5dfa3231896b4987f64d9b0e3331fb1b07ac8bcb1494627471d512b637f1",
}
"""SHA-256 of what the whole sweep leaves behind; test_cosim.py sees that Spike leaves the same."""


@pytest.mark.parametrize("xlen", [64, 32])
def test_sweep_leaves_what_spike_leaves(xlen: int, need: Need) -> None:
    need.helpers()  # too many cases for Python: see below
    assert hashlib.sha256(results_here(make_sweep(xlen))).hexdigest() == SWEEPS[xlen]


@pytest.mark.parametrize(("xlen", "every"), [(64, 29), (32, 31)])
@pytest.mark.parametrize("seed", [None, 0])
def test_sweep_in_part_is_one_run(
    counting: str, xlen: int, every: int, seed: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it is counted, with our functions in Unicorn's place and without."""
    sweep = make_sweep(xlen, every=every, seed=seed)
    expected = results_here(sweep, Counting(counting))
    monkeypatch.setenv(ENVIRONMENT, "off")
    assert results_here(sweep, Counting.CODE) == expected


@pytest.mark.parametrize("rounding", [0x400, 0x800, 0xC00], ids=["down", "up", "to-zero"])
def test_rounding_of_the_host_does_not_matter(rounding: int) -> None:
    """Somebody else in the process has changed how its processor rounds (numbers of x86-64)."""
    libm = ctypes.CDLL("libm.so.6")
    if platform.machine() != "x86_64":
        pytest.skip("other numbers there")
    sweep = make_sweep(64, every=7)
    expected = results_here(sweep)
    assert libm.fesetround(rounding) == 0
    try:
        assert results_here(sweep) == expected
        assert libm.fegetround() == rounding
    finally:
        libm.fesetround(0)


def test_functions_that_have_no_effect_are_not_used(monkeypatch: pytest.MonkeyPatch, need: Need) -> None:
    """The trial finds it out."""
    need.helpers()
    monkeypatch.setattr(helpers, "_problem", {64: "", 32: ""})
    monkeypatch.setattr(helpers, "_tried", set())
    monkeypatch.setattr(helpers, "_RESULTS_F", (0,) * 5)  # as if others had computed
    board = board_with((ONE,), op(0x1C, False, 0, 1, A0, FA0), counting="code")
    assert helpers.problem(64) == "they do not take effect in this Unicorn"
    run_insns(board, 1)
    assert board.registers["a0"] == 0x200


# ---- softfloat.py


def bits_of(number: float) -> int:
    return int.from_bytes(struct.pack("<d", number), "little")


def double_of(bits: int) -> float:
    return float(struct.unpack("<d", bits.to_bytes(8, "little"))[0])


def some_double(pick: random.Random) -> int:
    kind = pick.randrange(4)
    if kind == 0:
        return pick.getrandbits(64)
    if kind == 1:
        return pick.getrandbits(1) << 63 | pick.choice((0, 1, 2, 0x7FE, 0x3FF, 0x3FE)) << 52 | pick.getrandbits(52)
    if kind == 2:
        return pick.getrandbits(1) << 63 | pick.randrange(4)
    return bits_of(pick.uniform(-8, 8))


def test_double_arithmetic_is_the_hosts() -> None:
    pick = random.Random(20)
    for _ in range(3000):
        a, b = some_double(pick), some_double(pick)
        x, y = double_of(a), double_of(b)
        results = {softfloat.add: x + y, softfloat.subtract: x - y, softfloat.multiply: x * y}
        if y:
            results[softfloat.divide] = x / y
        for function, number in results.items():
            expected = softfloat.DOUBLE.nan if number != number else bits_of(number)
            assert function(a, b, DOUBLE, 0)[0] == expected, (function, hex(a), hex(b))
        if x >= 0:
            assert softfloat.square_root(a, DOUBLE, 0)[0] == bits_of(sqrt(x))
        if abs(x) < 3e38:
            single = int.from_bytes(struct.pack("<f", x), "little")
            assert softfloat.convert(a, DOUBLE, SINGLE, 0)[0] == single


def value_of(bits: int) -> Fraction:
    return Fraction(double_of(bits))


def test_rounding_modes_bracket_the_exact_value() -> None:
    """Down and up are neighbours around a * b + c, and the other modes give one of the two."""
    pick, inexact = random.Random(21), 0
    for _ in range(2000):
        a, b, c = (bits_of(pick.uniform(-4, 4) * 2.0 ** pick.randrange(-30, 30)) for _ in range(3))
        exact = value_of(a) * value_of(b) + value_of(c)
        (down, flags), (up, _) = (softfloat.fused(a, b, c, DOUBLE, rounding) for rounding in (2, 3))
        low, high = value_of(down), value_of(up)
        assert low <= exact <= high
        assert (flags == NX) == (low != high)
        if low == high:
            continue
        inexact += 1
        assert abs(down - up) == 1
        near = softfloat.fused(a, b, c, DOUBLE, 0)[0]
        assert value_of(near) == min((low, high), key=lambda each: abs(each - exact))
        assert value_of(softfloat.fused(a, b, c, DOUBLE, 1)[0]) == (low if exact > 0 else high)
    assert inexact > 1500


@pytest.mark.parametrize(
    ("a", "b", "rounding", "expected", "flags"),
    [
        (1, 0x3FE0 << 48, 0, 0, UF | NX),  # half of the least subnormal: to even
        (1, 0x3FE0 << 48, 4, 1, UF | NX),  # ties away
        (3, 0x3FE0 << 48, 0, 2, UF | NX),
        (2, 0x3FE0 << 48, 0, 1, 0),  # exact
        (0x001F_FFFF_FFFF_FFFF, 0x3FE0 << 48, 0, 0x0010 << 48, UF | NX),  # tiny even in full precision
        (0x0010_0000_0000_0001, 0x3FEF_FFFF_FFFF_FFFE, 0, 0x0010 << 48, NX),  # not tiny after rounding
    ],
)
def test_tininess_is_detected_after_rounding(a: int, b: int, rounding: int, expected: int, flags: int) -> None:
    assert softfloat.multiply(a, b, DOUBLE, rounding) == (expected, flags)


@pytest.mark.parametrize("slice_insns", [1, None])
@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("offset", [0xF00, 0xFFC])
def test_load_that_a_device_refuses_leaves_the_floating_point_register_alone(
    counting: str, xlen: int, offset: int, slice_insns: int | None
) -> None:
    # Unicorn loads into it at once; the UART has no registers there, and the second half of the last is no device's
    fld = 3 << 12 | T0 << 15 | 10 << 7 | 0x07
    main = code(auipc(T1, 0), addi(T1, T1, 0x100), csrw("mtvec", T1), lui(T2, 6), csrrs(ZERO, "mstatus", T2), NOP, fld)
    board = board_of(main, (0x100, code(LOOP)), xlen=xlen, counting=counting, slice_insns=slice_insns)
    run_insns(board, 1)
    kept = 0x4008_0000_0000_0000
    board.hart.env.f[10] = kept
    board.registers["t0"] = 0x1000_0000 + offset
    run_insns(board, 7)
    assert (board.hart.env.mcause, board.hart.env.mepc) == (5, RAM + 24)
    assert board.hart.env.f[10] == kept
