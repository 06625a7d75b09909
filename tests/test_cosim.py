"""tools/cosim: minstret and Spike, instruction by instruction."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterable
from itertools import takewhile
from pathlib import Path

import pytest
from support import asm, elf_files, generated_code, instruction_encodings
from support.random_cases import SEED_SLOW, TIMES

TOOLS = Path(__file__).parent.parent / "tools"
sys.path.insert(0, str(TOOLS))

from cosimulation import spike  # noqa: E402
from cosimulation.__main__ import changed, cosimulate  # noqa: E402
from cosimulation.compare import Comparison, Result  # noqa: E402
from cosimulation.floats import make_sweep  # noqa: E402
from cosimulation.follow import Follower  # noqa: E402
from cosimulation.sweep import differences, results_here, results_in_spike  # noqa: E402
from minstret.emu.hart.binding import ENVIRONMENT  # noqa: E402
from minstret.emu.hart.cpu import NOTHING_MORE, Feature  # noqa: E402
from minstret.emu.hart.shared import Counting  # noqa: E402
from minstret.firmware import IMAGES, image_path  # noqa: E402

T0, T1, A0 = 5, 6, 10
ENDS = ("the guest uses the", "Spike's run is over", "traps without end", "as many as were asked for")
TO_THE_END = {"hello": 500, "traps": 190_000, "paging": 490_000}
"""Images that finish in Spike too, and at least so many instructions."""
ENCODINGS_MAX = 8_000
"""Of so many at most of a kind, other ones each time, unless MINSTRET_TIMES asks for more."""
UP_TO = {"smp": 75_000}
"""Spike gives up reservations every 5,000 instructions: at its 80,000th that is between an LR and its SC, on rv32."""


@pytest.mark.slow
@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("image", IMAGES)
def test_image_does_what_spike_does(image: str, xlen: int, spike_is_here: None) -> None:
    result, _ = cosimulate(image_path(image, xlen), xlen, 600_000 if image in TO_THE_END else UP_TO.get(image, 80_000))

    assert result.difference is None
    assert result.end.startswith(ENDS)
    if image in TO_THE_END:
        assert result.end == "the guest uses the finisher, which Spike's board lacks"
        assert result.insns > TO_THE_END[image]


@pytest.mark.slow
@pytest.mark.parametrize("counting", [Counting.INSTRUCTIONS, Counting.PYTHON], ids=lambda counting: counting.value)
@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize(("image", "insns"), [("traps", 70_000), ("paging", 20_000)])
def test_other_ways_of_counting_do_too(
    image: str, insns: int, xlen: int, counting: Counting, spike_is_here: None
) -> None:
    result, _ = cosimulate(image_path(image, xlen), xlen, insns, counting)

    assert result.difference is None
    assert result.insns == insns


@pytest.mark.slow
@pytest.mark.parametrize(("xlen", "insns"), [(64, 100_000_000), (32, 5_000_000)])
def test_bench_does_what_spike_does(xlen: int, insns: int, tmp_path: Path, spike_is_here: None) -> None:
    """On rv64 to its end, with one round of each phase instead of 16."""
    image = changed(image_path("bench", xlen), ("bench_rounds=1",), tmp_path)
    result, _ = cosimulate(image, xlen, insns, in_strides=True)

    assert result.difference is None
    assert result.insns >= (60_000_000 if xlen == 64 else insns)
    print(f"{result.insns:,} instructions; end: {result.end}")


@pytest.mark.slow
@pytest.mark.parametrize("xlen", [64, 32])
def test_floating_point_does_what_it_does_in_spike(
    xlen: int, announce: Callable[[str], None], spike_is_here: None
) -> None:
    program = make_sweep(xlen)
    theirs = results_in_spike(program)

    assert list(differences(program, theirs, results_here(program))) == []
    announce(f"rv{xlen}: {program.cases:,} floating point cases beside Spike")


@pytest.mark.slow
@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("seed", range(3))
def test_random_floats_become_what_they_become_in_spike(xlen: int, seed: int, spike_is_here: None) -> None:
    program = make_sweep(xlen, seed=seed)

    assert list(differences(program, results_in_spike(program), results_here(program))) == []


@pytest.mark.slow
@pytest.mark.parametrize("counting", list(Counting), ids=lambda counting: counting.value)
@pytest.mark.parametrize(("xlen", "every"), [(64, 11), (32, 13)])
def test_floating_point_in_python_does_too(
    xlen: int, every: int, counting: Counting, monkeypatch: pytest.MonkeyPatch, spike_is_here: None
) -> None:
    program = make_sweep(xlen, every=every)
    monkeypatch.setenv(ENVIRONMENT, "off")

    assert list(differences(program, results_in_spike(program), results_here(program, counting))) == []


def test_float_case_that_differs_is_named() -> None:
    program = make_sweep(64, every=200)
    here = results_here(program)
    wrong = bytearray(here)
    wrong[24 * 5 + 16] ^= 1  # fcsr of the sixth case

    (found,) = differences(program, bytes(wrong), here)

    assert (found.what, found.spike ^ found.here) == ("fcsr", 1)
    assert found.case == "fadd.s 0xffffffff00000000 0xffffffffc0200000, rm 7, frm 0, fflags 0, FS 1"


@pytest.mark.slow
@pytest.mark.parametrize("is_quiet", [True, False], ids=["quiet", "interrupts"])
@pytest.mark.parametrize("counting", list(Counting), ids=lambda counting: counting.value)
@pytest.mark.parametrize("xlen", [64, 32])
def test_generated_programs_do_what_spike_does(
    xlen: int, counting: Counting, is_quiet: bool, tmp_path: Path, announce: Callable[[str], None], spike_is_here: None
) -> None:
    programs, insns_max = 20 if is_quiet else 12, 3000
    if counting is not Counting.CODE:
        programs, insns_max = 4, 300 if counting is Counting.PYTHON else 3000
    insns = exceptions = interrupts = 0
    for number in range(programs * TIMES):
        seed = f"spike {SEED_SLOW}/{number}"
        program = generated_code.generate(seed, xlen, is_portable=True, is_quiet=is_quiet)
        result = compared(program.image(), xlen, insns_max, tmp_path, counting, features=Feature.SSTC)
        assert result.difference is None, f"seed {seed!r}: {result.difference}"
        insns, exceptions = insns + result.insns, exceptions + result.exceptions
        interrupts += result.interrupts
    way = f"rv{xlen}, {counting.value}"
    assert not (is_quiet and interrupts)
    announce(
        f"{programs * TIMES} programs beside Spike, {way}, seed {SEED_SLOW}: {insns:,} instructions,"
        f" {exceptions:,} exceptions, {interrupts:,} interrupts"
    )


@pytest.mark.slow
@pytest.mark.parametrize("counting", list(Counting), ids=lambda counting: counting.value)
@pytest.mark.parametrize("levels", [4, 5])
def test_generated_programs_under_sv48_and_sv57_do_what_spike_does(
    levels: int, counting: Counting, tmp_path: Path, announce: Callable[[str], None], spike_is_here: None
) -> None:
    programs, insns_max = {
        Counting.CODE: (20, 3000), Counting.BLOCKS: (6, 3000), Counting.INSTRUCTIONS: (6, 3000),
        Counting.PYTHON: (6, 400),
    }[counting]  # fmt: skip
    features = Feature.SM1P12 | Feature.SVADU | Feature.SVPBMT | Feature.SVINVAL | Feature.SVNAPOT
    features |= Feature.SV48 | Feature.SV57
    insns = exceptions = 0
    for number in range(programs * TIMES):
        seed = f"levels {SEED_SLOW}/{number}"
        program = generated_code.generate(seed, 64, is_portable=True, is_quiet=number % 4 != 3, levels=levels)
        result = compared(program.image(), 64, insns_max, tmp_path, counting, features=features)
        assert result.difference is None, f"seed {seed!r}: {result.difference}"
        insns, exceptions = insns + result.insns, exceptions + result.exceptions
    assert exceptions, "the programs meet traps"
    announce(
        f"{programs * TIMES} programs with {levels} levels of page tables beside Spike, {counting.value}, seed"
        f" {SEED_SLOW}: {insns:,} instructions, {exceptions:,} exceptions"
    )


@pytest.mark.slow
@pytest.mark.parametrize("counting", list(Counting), ids=lambda counting: counting.value)
@pytest.mark.parametrize("xlen", [64, 32])
def test_generated_programs_with_finer_rights_do_what_spike_does(
    xlen: int, counting: Counting, tmp_path: Path, announce: Callable[[str], None], spike_is_here: None
) -> None:
    programs, insns_max = {
        Counting.CODE: (12, 3000), Counting.BLOCKS: (6, 3000), Counting.INSTRUCTIONS: (4, 3000),
        Counting.PYTHON: (4, 500),
    }[counting]  # fmt: skip
    insns = exceptions = 0
    for number in range(programs * TIMES):
        seed = f"finer {SEED_SLOW}/{number}"
        program = generated_code.generate(seed, xlen, is_portable=True, is_quiet=number % 4 != 3, has_finer_rights=True)
        result = compared(program.image(), xlen, insns_max, tmp_path, counting)
        assert result.difference is None, f"seed {seed!r}: {result.difference}"
        insns, exceptions = insns + result.insns, exceptions + result.exceptions
    assert exceptions, "the programs meet traps"
    announce(
        f"{programs * TIMES} programs with finer rights beside Spike, rv{xlen}, {counting.value}, seed {SEED_SLOW}:"
        f" {insns:,} instructions, {exceptions:,} exceptions"
    )


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "xlen"), [("spike 1128307464/9", 64), ("spike 1128307464/6", 32)])
def test_program_that_was_another_in_spike_is_the_same(
    seed: str, xlen: int, tmp_path: Path, spike_is_here: None
) -> None:
    """Each executes two bytes of 0 in a page with finer rights; see test_pmp.py for programs that do only that."""
    program = generated_code.generate(seed, xlen, is_portable=True, is_quiet=True)

    assert compared(program.image(), xlen, 3000, tmp_path).difference is None


@pytest.mark.slow
@pytest.mark.parametrize("insn", [asm.addi(A0, A0, 1), 0xFFFFFFFF], ids=["legal", "illegal"])
@pytest.mark.parametrize(("at", "rights"), [(0xFE, 7), (0x102, 7), (0xFE, 0x81)])  # the last locked, and no code
def test_instruction_across_a_border_of_pmp_entries_ends_the_comparison(
    at: int, insn: int, rights: int, tmp_path: Path, spike_is_here: None
) -> None:
    """It may be fetched as a whole, which faults here, or in halves: none faults, or one of them."""
    head = asm.code(
        asm.li(T0, elf_files.RAM + 0x100 >> 2), asm.csrw("pmpaddr0", T0), asm.addi(T0, 0, 0x10 | rights),  # NA4
        asm.csrw("pmpcfg0", T0), asm.auipc(T0, 0), asm.addi(T0, T0, 0x180), asm.csrw("mtvec", T0),
    )  # fmt: skip
    code = head + asm.code([asm.C_NOP] * ((at - len(head)) // 2), insn, [asm.C_NOP] * 0x100, asm.jal(0, 0))

    result = compared(code, 64, 1000, tmp_path)

    assert result.difference is None
    assert "across the border of PMP entries" in result.end


@pytest.mark.slow
@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize(
    "kind", ["compressed", "integer", "extension", "atomic", "single", "double", "system", "csr_reads", "csr_writes"]
)
def test_each_encoding_does_what_it_does_in_spike(
    kind: str, xlen: int, tmp_path: Path, announce: Callable[[str], None], spike_is_here: None
) -> None:
    insns: Iterable[int]
    if kind in ("single", "double"):
        insns = instruction_encodings.floating(int(kind == "double"))
    elif kind in ("compressed", "extension"):
        insns = getattr(instruction_encodings, kind)(xlen)
    else:
        insns = getattr(instruction_encodings, kind)()
    insns = some(insns)
    image, end = instruction_encodings.program(insns, xlen, floats="s" if kind == "single" else "d")
    result = compared(image, xlen, 1 << 40, tmp_path, end=end)

    assert result.difference is None
    assert result.insns > 10 * len(insns)
    announce(f"{kind}, rv{xlen}: {len(insns):,} encodings beside Spike, {result.exceptions:,} exceptions")


@pytest.mark.slow
@pytest.mark.parametrize("counting", list(Counting), ids=lambda counting: counting.value)
@pytest.mark.parametrize(("privilege", "envcfg"), [
    (3, (0, 0)), (1, (0xF0, 0)), (1, (0x90, 0xF0)), (1, (0, 0xF0)),
    (0, (0xF0, 0xF0)), (0, (0xD0, 0x50)), (0, (0xF0, 0)),
])  # fmt: skip
@pytest.mark.parametrize("xlen", [64, 32])
def test_instructions_on_cache_blocks_do_what_they_do_in_spike(
    xlen: int, privilege: int, envcfg: tuple[int, int], counting: Counting, tmp_path: Path, spike_is_here: None
) -> None:
    insns = list(instruction_encodings.cache_blocks())
    before = [
        insn for name, bits in zip(("menvcfg", "senvcfg"), envcfg, strict=True)
        for insn in (asm.addi(T0, 0, bits), asm.csrrs(0, name, T0))
    ]  # fmt: skip
    image, end = instruction_encodings.program(insns, xlen, privilege=privilege, before=before)
    result = compared(image, xlen, 1 << 40, tmp_path, counting, end=end)

    assert result.difference is None
    assert result.insns > 10 * len(insns)


@pytest.mark.slow
@pytest.mark.parametrize("privilege", [1, 0], ids=["S", "U"])
@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("kind", ["system", "csr_reads", "csr_writes"])
def test_each_privilege_may_do_what_it_may_in_spike(
    kind: str, xlen: int, privilege: int, tmp_path: Path, announce: Callable[[str], None], spike_is_here: None
) -> None:
    insns = some(
        instruction_encodings.csr_writes(privilege) if kind == "csr_writes" else getattr(instruction_encodings, kind)()
    )
    image, end = instruction_encodings.program(insns, xlen, privilege=privilege)
    result = compared(image, xlen, 1 << 40, tmp_path, end=end)

    assert result.difference is None
    assert result.insns > 10 * len(insns)
    announce(f"{kind}, rv{xlen}, {'US'[privilege]}: {len(insns):,} beside Spike, {result.exceptions:,} exceptions")


@pytest.mark.slow
@pytest.mark.parametrize("counting", list(Counting), ids=lambda counting: counting.value)
@pytest.mark.parametrize("has_stce", [True, False], ids=["STCE", ""])
@pytest.mark.parametrize("privilege", [3, 1, 0], ids=["M", "S", "U"])
@pytest.mark.parametrize("xlen", [64, 32])
def test_later_csrs_are_what_they_are_in_spike(
    xlen: int, privilege: int, has_stce: bool, counting: Counting, tmp_path: Path, spike_is_here: None
) -> None:
    insns = list(instruction_encodings.later_csrs())
    begin = [asm.csrw("stimecmp", 0), *([asm.csrw("stimecmph", 0)] if xlen == 32 else [])]
    stce = asm.csrrs(0, "menvcfg" if xlen == 64 else "menvcfgh", T0)
    begin += [asm.addi(T0, 0, int(has_stce)), asm.slli(T0, T0, xlen - 1), stce]
    image, end = instruction_encodings.program(insns, xlen, privilege=privilege, before=begin)
    features = Feature.SM1P12 | Feature.SVADU | Feature.SSTC
    result = compared(image, xlen, 1 << 40, tmp_path, counting, end=end, features=features)

    assert result.difference is None
    assert result.insns > 10 * len(insns)


def some(insns: Iterable[int]) -> list[int]:
    """A part of them in their order, or all where these are few or many are asked for."""
    of_all = list(insns)
    size = min(len(of_all), ENCODINGS_MAX * TIMES)
    return [of_all[at] for at in sorted(random.Random(SEED_SLOW).sample(range(len(of_all)), size))]


def compared(
    image: bytes, xlen: int, insns: int, tmp_path: Path, counting: Counting = Counting.CODE, end: int | None = None,
    features: Feature = NOTHING_MORE,
) -> Result:  # fmt: skip
    """Compare a program at the start of RAM; ``end`` is where it loops for good."""
    file = tmp_path / "program.elf"
    symbols = {"program": (elf_files.RAM, 4)}
    file.write_bytes(elf_files.elf_bytes(elf_files.Load(elf_files.RAM, image), xlen=xlen, symbols=symbols))
    follower = Follower(file, xlen, counting, features)
    with spike.running(file, xlen, features=features) as pieces:
        steps = spike.Log(follower.entry).steps(pieces)
        if end is not None:
            steps = takewhile(lambda step: step.pc != elf_files.RAM + end, steps)
        return Comparison(follower).run(steps, insns)


@pytest.mark.slow
def test_wrong_register_is_found_at_the_instruction_that_shows_it(tmp_path: Path, spike_is_here: None) -> None:
    """x6 is spoilt here after the second instruction; the fourth is the first to show that."""
    code = asm.code(asm.addi(T0, 0, 1), asm.addi(T1, 0, 2), asm.addi(T0, T0, 1), asm.add(A0, T0, T1), asm.jal(0, 0))
    image = tmp_path / "five.elf"
    image.write_bytes(elf_files.elf_bytes(elf_files.Load(elf_files.RAM, code), symbols={"five": (elf_files.RAM, 20)}))
    follower = Follower(image, 64)
    comparison = Comparison(follower)
    with spike.running(image, 64) as pieces:
        steps = spike.Log(follower.entry).steps(pieces)
        comparison.run(steps, 2)
        follower.hart.env.x[T1] = 7
        result = comparison.run(steps, 10)

    assert result.difference is not None
    assert (result.difference.number, result.difference.what) == (4, "a0")
    assert (result.difference.spike, result.difference.here) == ("0x4", "0x9")


@pytest.mark.slow
def test_wrong_byte_is_found_in_strides(tmp_path: Path, spike_is_here: None) -> None:
    image = changed(image_path("bench", 64), ("bench_rounds=1",), tmp_path)
    follower = Follower(image, 64)
    comparison, log = Comparison(follower), spike.Log(follower.entry)
    with spike.running(image, 64, tells_traps=False) as pieces:
        assert comparison.run_in_strides(log, pieces, 100_000).difference is None
        follower.hart.env.x[2] ^= 1 << 12  # sp
        result = comparison.run_in_strides(log, pieces, 200_000)

    assert result.difference is not None
    assert result.difference.insns > 1


@pytest.mark.parametrize(
    "arguments", [["no-such-image"], ["text.elf"], ["--set", "nonsense", "bench"], ["--set", "no_such=1", "bench"]]
)
def test_what_can_not_be_compared_is_refused_in_one_line(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "text.elf").write_text("no ELF file\n")
    done = subprocess.run(
        [sys.executable, "-m", "cosimulation", *arguments],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(TOOLS)},
    )
    error = done.stderr.decode()
    assert done.returncode == 125
    assert len(error.splitlines()) == 1
    assert arguments[-1 if len(arguments) == 1 else 1] in error
