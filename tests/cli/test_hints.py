"""What the report says about a guest that may be busy with one interrupt, or wrote an unsupported mode to satp."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import asm
from support.harts import ROM_INSNS

from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig
from minstret.emu.cli.group import run_command
from minstret.emu.hart.shared import Counting
from minstret.emu.images.loader import ImageFile

PLIC, UART, UART_IRQ = 0x0C00_0000, 0x1000_0000, 10
CLAIM = PLIC + 0x20_0004
SV48, SV57 = 9, 10
LOOP_INSNS = 3
"""The claim is the first."""


def spinning() -> bytes:
    """Enables the UART's transmit interrupt, and claims and completes it for ever without serving it."""
    writes = ((PLIC + 4 * UART_IRQ, 1), (PLIC + 0x2000, 1 << UART_IRQ))
    setup = [[*asm.li(asm.T0, at), *asm.li(asm.T1, value), asm.sw(asm.T1, asm.T0, 0)] for at, value in writes]
    uart = [*asm.li(asm.T0, UART), *asm.li(asm.T1, 2), asm.sb(asm.T1, asm.T0, 1)]
    loop = [asm.lw(asm.T1, asm.T0, 0), asm.sw(asm.T1, asm.T0, 0), asm.jal(asm.ZERO, -8)]
    return asm.code(*setup, uart, asm.li(asm.T0, CLAIM), loop)


def asking_satp(*modes: int) -> bytes:
    """Writes each mode to satp, then loops."""
    writes = [[asm.li(asm.T0, mode), asm.slli(asm.T0, asm.T0, 60), asm.csrw("satp", asm.T0)] for mode in modes]
    return asm.code(*[word for write in writes for word in ([*write[0], *write[1:]])], asm.LOOP)


def end_of(tmp_path: Path, capsys: pytest.CaptureFixture[str], code: bytes, *options: str) -> tuple[str, Any]:
    """What ``run`` says on standard error, and in --json."""
    image, facts = tmp_path / "guest.bin", tmp_path / "end.json"
    image.write_bytes(code)
    limit = ("--max-insns", "20000", "--no-input", "--json", str(facts))
    assert run_command(["run", *limit, *options, str(image)]) == 123
    return capsys.readouterr().err, json.loads(facts.read_text())


def test_end_names_the_interrupt_that_a_guest_spins_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, facts = end_of(tmp_path, capsys, spinning())

    [claims] = facts["interrupts"]
    assert claims == {"source": UART_IRQ, "name": "uart0", "claimed": claims["claimed"], "raised": True}
    assert 6600 < claims["claimed"] < 20_000 / LOOP_INSNS
    assert f"\nminstret: interrupt 10 uart0: claimed {claims['claimed']:,} times, still raised\n" in text


def test_end_says_nothing_of_interrupts_that_were_few(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, facts = end_of(tmp_path, capsys, asm.code(asm.LOOP))

    assert "interrupt " not in text
    assert facts["interrupts"] == facts["satp_refused"] == []


@pytest.mark.parametrize("counting", [each.value for each in Counting])
def test_counts_are_the_same_however_it_is_counted_and_in_no_digest(counting: str) -> None:
    board = Board(ImageFile("guest.bin", spinning()), BoardConfig(counting=Counting(counting), slice_insns_max=7))
    board.run_until(icount=5000)
    digest, claimed = board.digest(), board.plic.counts.claimed[UART_IRQ]

    counts = board.plic.counts
    counts.claimed[UART_IRQ] += 1
    board.plic.counts = counts

    assert board.plic.counts.claimed[UART_IRQ] == claimed + 1
    assert board.digest() == digest
    in_loop = 5000 - ROM_INSNS - (len(spinning()) // 4 - LOOP_INSNS)
    assert claimed == -(-in_loop // LOOP_INSNS)


def test_modes_that_satp_does_not_have_are_said_once_and_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, facts = end_of(tmp_path, capsys, asking_satp(SV57, SV48, SV57, SV48), "-v", "--cpu", "rv64gc")

    assert [line.split(",")[0] for line in text.splitlines() if "satp" in line] == [
        "minstret: the guest wrote Sv57 to satp",
        "minstret: the guest wrote Sv48 to satp",
        "minstret: the guest wrote Sv48 and Sv57 to satp",
    ]
    assert facts["satp_refused"] == ["Sv48", "Sv57"]


def test_modes_are_not_said_of_where_the_guest_found_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As Linux does: it tries the largest first."""
    text, facts = end_of(tmp_path, capsys, asking_satp(SV57, SV48, 8), "--cpu", "rv64,sv48=off")

    assert "satp" not in text
    assert facts["satp_refused"] == ["Sv48", "Sv57"]
