"""tools/cosim: minstret and Spike, instruction by instruction."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import asm
import elf_files
import pytest
from needs import Need

TOOLS = Path(__file__).parent.parent / "tools"
sys.path.insert(0, str(TOOLS))

from cosimulation import spike  # noqa: E402
from cosimulation.__main__ import cosimulate  # noqa: E402
from cosimulation.compare import Comparison  # noqa: E402
from minstret.devices.board import Board, BoardConfig  # noqa: E402
from minstret.emu.hart.shared import Counting  # noqa: E402
from minstret.firmware import image_path  # noqa: E402

T0, T1, A0 = 5, 6, 10


@pytest.fixture
def spike_is_here(need: Need) -> None:
    found: object = None
    try:
        found = spike.executable()
    except spike.CosimError as error:
        need(f"Spike ({error})", None)
    need("Spike", found)


@pytest.mark.slow
@pytest.mark.parametrize("counting", list(Counting), ids=lambda counting: counting.value)
@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize(
    ("image", "insns"), [("hello", 2000), ("traps", 200_000), ("bench", 20_000), ("paging", 70_000)]
)
def test_image_does_what_spike_does(image: str, insns: int, xlen: int, counting: Counting, spike_is_here: None) -> None:
    if counting is not Counting.BLOCKS:
        insns = min(insns, 5000)
    result, _ = cosimulate(image_path(image, xlen), xlen, insns, counting)

    assert result.difference is None
    assert result.insns == insns or "interrupt" in result.end or "lacks" in result.end
    assert image != "traps" or counting is not Counting.BLOCKS or result.traps > 50


@pytest.mark.slow
def test_wrong_register_is_found_at_the_instruction_that_shows_it(tmp_path: Path, spike_is_here: None) -> None:
    """x6 is spoilt here after the second instruction; the fourth is the first to show that."""
    code = asm.code(asm.addi(T0, 0, 1), asm.addi(T1, 0, 2), asm.addi(T0, T0, 1), asm.add(A0, T0, T1), asm.jal(0, 0))
    image = tmp_path / "five.elf"
    image.write_bytes(elf_files.elf_bytes(elf_files.Load(elf_files.RAM, code), symbols={"five": (elf_files.RAM, 20)}))
    board = Board(str(image), BoardConfig(ram_size=spike.RAM_SIZE))
    comparison = Comparison(board)
    with spike.running(image, 64) as lines:
        steps = spike.steps(lines, board.firmware.entry)
        for _ in range(2):
            comparison.run(iter([next(steps)]))
        board.hart.env.x[T1] = 7
        result = comparison.run(iter([next(steps), next(steps)]))

    assert result.difference is not None
    assert (result.difference.number, result.difference.what) == (4, "a0")
    assert (result.difference.spike, result.difference.here) == ("0x4", "0x9")


def test_what_is_no_image_is_refused_in_one_line(tmp_path: Path) -> None:
    text = tmp_path / "text.elf"
    text.write_text("no ELF file\n")
    for argument in ("no-such-image", str(text)):
        done = subprocess.run(
            [sys.executable, "-m", "cosimulation", argument],
            capture_output=True,
            check=False,
            env={"PYTHONPATH": str(TOOLS)},
        )
        error = done.stderr.decode()
        assert done.returncode == 125
        assert len(error.splitlines()) == 1
        assert argument in error
