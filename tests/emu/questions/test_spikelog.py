"""The form of Spike's log: like lines of Spike's, and line by line like a whole log of it."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from support.asm import LOOP, NOP, code
from support.recordings import RAM, setup_of_code, setup_of_image

from cosimulation import spike
from cosimulation.compare import Comparison
from cosimulation.follow import Follower
from minstret.emu.hart.state import HartState
from minstret.emu.images.loader import load_firmware
from minstret.emu.questions.spikelog import SpikeLog
from minstret.emu.questions.steps import Step, stepping
from minstret.firmware import image_path

FROM_SPIKE = """\
core   0: >>>>  _start
core   0: 0x0000000080000000 (0x00006197) auipc   gp, 6
core   0: 3 0x0000000080000000 (0x00006197) x3  0x0000000080006000
core   0: 0x0000000080000004 (0x80018193) addi    gp, gp, -0x800
core   0: 3 0x0000000080000004 (0x80018193) x3  0x0000000080005800
core   0: 0x0000000080000008 (0x00011117) auipc   sp, 0x11
core   0: 3 0x0000000080000008 (0x00011117) x2  0x0000000080011008
core   0: 0x000000008000000c (0xff810113) addi    sp, sp, -8
core   0: 3 0x000000008000000c (0xff810113) x2  0x0000000080011000
core   0: 0x0000000080000010 (0x00006289) c.lui   t0, 2
core   0: 3 0x0000000080000010 (0x6289) x5  0x0000000000002000
core   0: 0x0000000080000012 (0x3002a073) csrs    mstatus, t0
core   0: 3 0x0000000080000012 (0x3002a073) c768_mstatus 0x0000000a00002000
core   0: 0x0000000080000016 (0x00006297) auipc   t0, 6
core   0: 3 0x0000000080000016 (0x00006297) x5  0x0000000080006016
core   0: 0x000000008000001a (0xfea28293) addi    t0, t0, -0x16
core   0: 3 0x000000008000001a (0xfea28293) x5  0x0000000080006000
core   0: 0x000000008000001e (0x0000d317) auipc   t1, 0xd
core   0: 3 0x000000008000001e (0x0000d317) x6  0x000000008000d01e
core   0: 0x0000000080000022 (0xfe230313) addi    t1, t1, -0x1e
core   0: 3 0x0000000080000022 (0xfe230313) x6  0x000000008000d000
core   0: 0x0000000080000026 (0x0062f663) bgeu    t0, t1, 0xc
core   0: 3 0x0000000080000026 (0x0062f663)
core   0: 0x000000008000002a (0x0002a023) sw      zero, 0(t0)
core   0: 3 0x000000008000002a (0x0002a023) mem 0x0000000080006000 0x00000000
core   0: 0x000000008000002e (0x00000291) c.addi  t0, 4
core   0: 3 0x000000008000002e (0x0291) x5  0x0000000080006004
"""
"""The beginning of ``traps`` in Spike; capstone writes some operands in another way."""

TRAP_FROM_SPIKE = """\
core   0: 3 0x0000000080001312 (0x30200073) c768_mstatus 0x0000000a00002080
core   0: >>>>  load_word
core   0: 0x0000000080003024 (0x00052503) lw      a0, 0(a0)
core   0: exception trap_load_access_fault, epc 0x0000000080003024
core   0:           tval 0x000000001f000000
core   0: >>>>  m_vectors
core   0: 0x0000000080001400 (0x07c0006f) j       0x7c
"""


def log_of(image: str, icount: int, begin: int = 0) -> str:
    board = setup_of_image(image).make()
    board.run_until(icount=begin)
    log, lines = SpikeLog(board.symbols), list[str]()
    with stepping(
        board.harts, lambda step: lines.extend(log.step_lines(step)), lambda trap: lines.extend(log.trap_lines(trap))
    ):
        board.run_until(icount=icount)
    return "".join(f"{line}\n" for line in lines)


def test_instructions_are_written_as_spike_does() -> None:
    assert FROM_SPIKE in log_of("traps", 40)


def test_exceptions_are_written_as_spike_does() -> None:
    assert TRAP_FROM_SPIKE in log_of("traps", 29_300, 28_700)


def test_an_instruction_that_repeats_is_fetched_once() -> None:
    board, lines = setup_of_code(code(LOOP)).make(), list[str]()
    log = SpikeLog(board.symbols)
    step = Step(board.hart, 0, RAM, LOOP, 3, None, None, (), ())

    for _ in range(3):
        lines += log.step_lines(step)
    lines += log.step_lines(Step(board.hart, 0, RAM + 4, NOP, 3, None, None, (), ()))

    assert [line for line in lines if re.match("core   0: [^3]", line)] == [
        "core   0: 0x0000000080000000 (0x0000006f) j       0", "core   0: Executed 3 times",
        "core   0: 0x0000000080000004 (0x00000013) nop",
    ]  # fmt: skip


# ---- beside Spike

_FETCH = re.compile(r"(core +\d+: 0x[0-9a-f]+) \(0x([0-9a-f]+)\) .*")
_OP_AMO = 0x2F


class LoggedFollower(Follower):
    """A hart that follows Spike, and its log.

    Where the specifications leave open how an atomic faults it takes what it did back, and does what Spike did.
    """

    def __init__(self, image: Path, xlen: int) -> None:
        super().__init__(image, xlen)
        self.log, self.lines = SpikeLog(load_firmware(image, None).symbols), list[str]()
        self._before: tuple[int, dict[int, Any]] | None = None
        self._load_state = self.hart.load_state
        self.hart.load_state = self._take_back  # type: ignore[method-assign]

    def step(self, step: spike.Step) -> None:
        self._before = len(self.lines), copy.deepcopy(self.log._fetched)
        super().step(step)

    def _take_back(self, state: HartState) -> None:
        if self._before is not None:
            del self.lines[self._before[0] :]
            self.log._fetched = self._before[1]
        self._load_state(state)


def comparable(line: str) -> str | None:
    """A line without what need not be the same: see the docstring of spikelog.py, and follow.ALLOWED."""
    if ">>>>" in line:
        return None  # Spike shows local labels too
    if (fetch := _FETCH.fullmatch(line)) is not None:
        insn = int(fetch[2], 16) & 0xFFFF_FFFF  # Spike shows more where the length that is encoded is more
        return fetch[1] if insn & 0x7F == _OP_AMO else f"{fetch[1]} {insn:#x}"
    line = re.sub(r" c836_mip 0x[0-9a-f]+", " c836_mip", line)
    commit = re.fullmatch(r"(core +\d+: \d 0x[0-9a-f]+ \(0x([0-9a-f]+)\)) x.*", line)
    if commit is not None and int(commit[2], 16) & 0x7F == 0x73 and _is_of_board(int(commit[2], 16) >> 20):
        return commit[1]
    return line


def agree(ours: str, spikes: str) -> bool:
    """Whether lines are the same. Where an atomic was taken back, its bits are not known here any more."""
    return ours == spikes or (re.fullmatch(r"core +\d+: 0x[0-9a-f]+", spikes) is not None and ours.startswith(spikes))


def _is_of_board(csr: int) -> bool:
    """Whether reading a CSR gives another value on another board: counters, mip, and what identifies it."""
    return csr >> 8 in (0xC, 0xB, 0xF) or csr in (0x301, 0x344, 0x144, 0x302, 0x306, 0x106, 0x180)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("image", "xlen", "insns_max"),
    [("traps", 64, 600_000), ("traps", 32, 100_000), ("mix", 64, 10_000), ("mix", 32, 10_000)],
)
def test_whole_log_is_that_of_spike(image: str, xlen: int, insns_max: int, spike_is_here: None) -> None:
    path = image_path(image, xlen)
    follower, pieces_seen = LoggedFollower(path, xlen), list[bytes]()

    def seen(pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            pieces_seen.append(piece)
            yield piece

    with (
        spike.running(path, xlen) as pieces,
        stepping(
            [follower.hart], lambda step: follower.lines.extend(follower.log.step_lines(step)),
            lambda trap: follower.lines.extend(follower.log.trap_lines(trap)),
        ),
    ):  # fmt: skip
        result = Comparison(follower).run(spike.Log(follower.entry).steps(seen(pieces)), insns_max)
    assert result.difference is None

    theirs = b"\n".join(pieces_seen).decode().split("\n")
    begin = next(at for at, line in enumerate(theirs) if re.match(rf"core   0: 0x0*{follower.entry:x} ", line))
    ours = [text for line in follower.lines if (text := comparable(line)) is not None]
    spikes = [text for line in theirs[begin:] if (text := comparable(line)) is not None][: len(ours)]
    different = [pair for pair in zip_longest(ours, spikes, fillvalue="") if not agree(*pair)]
    if image == "mix":  # flags that were set already
        different = [pair for pair in different if "c1_fflags" not in pair[1]]
    assert different[:5] == []
    assert len(ours) > 1.4 * result.insns  # an instruction that repeats is fetched once
