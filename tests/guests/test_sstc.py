"""A supervisor that ticks by its own timer: the same run however it is cut, counted, recorded and replayed."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from support import asm
from support.asm import A0, S0, S1, T0, T1, T2, ZERO, addi, auipc, code, csrr, csrrc, csrrs, csrrsi, csrw, li, slli
from support.guest_boards import restored, run_cut, summary
from support.recordings import PASS, assert_replays, finish_code, record, setup_of_code

from minstret.devices.board.board import Setup
from minstret.emu.hart.shared import Counting
from minstret.emu.machine import StopReason

TICKS, PERIOD, HANDLER, FINISH = 60, 37, 0x400, 0x600
WIDTHS = (64, 32)


@cache
def ticking(xlen: int, waits: bool) -> Setup:
    """In S-mode: a tick each 3.7 us, between which it waits, or counts."""
    is_wide = xlen == 32
    start = [
        *li(T0, 0x1F << 24), csrw("pmpcfg0", T0), addi(T0, ZERO, -1), csrw("pmpaddr3", T0),
        addi(T0, ZERO, 7), csrw("mcounteren", T0), addi(T0, ZERO, 0x20), csrw("mideleg", T0), csrw("mie", T0),
        addi(T0, ZERO, 1), slli(T0, T0, xlen - 1), csrw("menvcfgh" if is_wide else "menvcfg", T0),
        auipc(T0, 0), asm.NOP, csrw("stvec", T0),  # the NOP becomes the sum: below
        *li(T0, 0x1800), csrrc(ZERO, "mstatus", T0), *li(T0, 0x0800), csrrs(ZERO, "mstatus", T0),
        auipc(T0, 0), addi(T0, T0, 16), csrw("mepc", T0), asm.MRET,
    ]  # fmt: skip
    at = start.index(auipc(T0, 0))
    start[at + 1] = addi(T0, T0, HANDLER - 4 * at)
    high = [csrw("stimecmph", ZERO)] if is_wide else []
    supervisor = [
        addi(S1, ZERO, TICKS), csrr(S0, "time"), addi(S0, S0, PERIOD), *high, csrw("stimecmp", S0),
        csrrsi(ZERO, "sstatus", 2), asm.WFI if waits else asm.NOP, addi(A0, A0, 1), asm.jal(ZERO, -8),
    ]  # fmt: skip
    tick = [addi(S0, S0, PERIOD), csrw("stimecmp", S0), csrr(T1, "sip"), asm.add(T2, T2, T1), addi(S1, S1, -1)]
    handler = [*tick, asm.beq(S1, ZERO, 8), asm.SRET, asm.jal(ZERO, FINISH - HANDLER - 4 * (len(tick) + 2))]
    return setup_of_code(
        code(start, supervisor), (HANDLER, code(handler)), (FINISH, finish_code(PASS)), xlen=xlen, cpu=f"rv{xlen}"
    )


@cache
def reference(xlen: int, waits: bool) -> tuple[object, ...]:
    board = ticking(xlen, waits).make()
    return summary(board, board.run())


@pytest.mark.parametrize("waits", [True, False], ids=["waits", "counts"])
@pytest.mark.parametrize("xlen", WIDTHS)
def test_supervisor_ticks_as_often_as_it_asks_for(xlen: int, waits: bool) -> None:
    board = ticking(xlen, waits).make()
    outcome = board.run()

    assert outcome.reason is StopReason.FINISHED and outcome.exit_code == 0
    (timer,) = [timer for timer in board.machine.virtual_timers.timers() if timer.name == "clint.stimecmp"]
    assert timer.expire_ns == 100 * board.registers["s0"] == 100 * board.registers["stimecmp"]
    assert board.registers["t2"] == 0  # the write lowers STIP at once
    assert board.position.virtual_ns // 100 >= TICKS * PERIOD


@pytest.mark.parametrize("waits", [True, False], ids=["waits", "counts"])
@pytest.mark.parametrize("xlen", WIDTHS)
@pytest.mark.parametrize("slice_insns", [1, 7, 100])
def test_slices_and_ways_of_counting_make_no_difference(
    counting: str, slice_insns: int, xlen: int, waits: bool
) -> None:
    setup = ticking(xlen, waits)
    config = replace(setup.config, counting=Counting(counting), slice_insns_max=slice_insns)
    board = replace(setup, config=config).make()

    assert summary(board, board.run()) == reference(xlen, waits)


@pytest.mark.parametrize("waits", [True, False], ids=["waits", "counts"])
@pytest.mark.parametrize("xlen", WIDTHS)
def test_saved_and_restored_anywhere_it_goes_on_as_it_did(xlen: int, waits: bool) -> None:
    setup = ticking(xlen, waits)
    end = reference(xlen, waits)[1].icount  # type: ignore[attr-defined]

    assert run_cut(setup, list(range(1, end, max(1, end // 97)))) == reference(xlen, waits)


@pytest.mark.parametrize("xlen", WIDTHS)
def test_restored_board_has_the_csrs_and_the_timer(xlen: int) -> None:
    setup = ticking(xlen, False)
    board = setup.make()
    board.run_until(icount=1000)
    fresh = restored(board, setup)

    assert fresh.registers["stimecmp"] == board.registers["stimecmp"] != (1 << xlen) - 1
    assert [(t.name, t.expire_ns) for t in fresh.machine.virtual_timers.armed()] == [
        ("clint.stimecmp", fresh.registers["stimecmp"] * 100)
    ]


@pytest.mark.parametrize("waits", [True, False], ids=["waits", "counts"])
@pytest.mark.parametrize("xlen", WIDTHS)
def test_recording_replays_from_every_snapshot(xlen: int, waits: bool, tmp_path: Path) -> None:
    recorded = record(tmp_path, ticking(xlen, waits), every=150)

    assert recorded.snapshots()
    for snapshot in (None, *recorded.snapshots()):
        assert_replays(recorded, snapshot=snapshot)
