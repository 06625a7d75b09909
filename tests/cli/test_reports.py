"""What is said of a run that got stuck: the place of the cause, who called, and how to look closer."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support import asm, elf_files
from support.commands import PATIENCE_S, Command, minstret, started
from support.elf_files import Load, elf_bytes, says
from support.harts import program_at, programs_of
from support.needs import Need

from minstret.devices.board.map import Base

RAM = int(Base.RAM)
GCC = "riscv64-unknown-elf-gcc"
READY = b"ready\n"
MAIN, GREET, COPY, HANDLER = RAM, RAM + 0x100, RAM + 0x200, RAM + 0x300
NAMES = {"main": (MAIN, 0x100), "greet": (GREET, 0x100), "copy_name": (COPY, 0x100), "handler": (HANDLER, 0x100)}
SETS_HANDLER = [asm.auipc(asm.T0, 0), asm.addi(asm.T0, asm.T0, HANDLER - MAIN), asm.csrw("mtvec", asm.T0)]
WAITS = [asm.WFI, asm.jal(0, -4)]
COUNTS = [asm.addi(asm.A0, asm.A0, 1), asm.jal(0, -4)]
FAULTS = [asm.lui(asm.A0, 0x40000), asm.sw(0, asm.A0, 0)]


def save_ra(xlen: int) -> list[int]:
    store = asm.sd if xlen == 64 else asm.sw
    return [asm.addi(asm.SP, asm.SP, -16), store(asm.RA, asm.SP, 8)]


def elf_of_calls(
    path: Path, copy: list[int], handler: list[int] | None = None, xlen: int = 64, greet: list[int] | None = None,
    first: bytes = b"",
) -> Path:  # fmt: skip
    """A guest that goes from ``main`` over ``greet`` to ``copy_name``, with these instructions there."""
    start = asm.code(*SETS_HANDLER[:1], SETS_HANDLER[1:], asm.auipc(asm.SP, 8)) + first
    main = start + asm.code(asm.jal(asm.RA, GREET - MAIN - len(start)), asm.LOOP)
    middle = asm.code(save_ra(xlen), greet or [])
    middle += asm.code(asm.jal(asm.RA, COPY - GREET - len(middle)), asm.LOOP)
    code = bytearray(0x400)
    for at, piece in ((0, main), (0x100, middle), (0x200, asm.code(copy)), (0x300, asm.code(handler or WAITS))):
        code[at : at + len(piece)] = piece
    path.write_bytes(elf_bytes(Load(RAM, bytes(code)), xlen=xlen, symbols=NAMES))
    return path


def lines_of(errors: bytes) -> list[str]:
    """What was said, but for the figures at the end and what comes after them."""
    lines = [line.removeprefix("minstret: ") for line in errors.decode().splitlines()]
    end = next(number for number, line in enumerate(lines) if " instructions, " in line and " MIPS)" in line)
    return lines[:end]


# ---- a fault, and a handler that waits


@pytest.mark.parametrize("xlen", [64, 32])
def test_wait_after_a_fault_names_the_place_of_the_fault_first_and_who_called(
    inside: Command, tmp_path: Path, xlen: int
) -> None:
    guest = elf_of_calls(tmp_path / "guest.elf", [asm.NOP, *FAULTS], xlen=xlen)

    done = inside("run", "--no-input", guest)

    assert done.returncode == 120
    assert lines_of(done.stderr) == [
        "guest waits forever after store/AMO access fault (7) at pc 0x80000208 <copy_name+0x8>, tval 0x40000000, in"
        " M-mode; its handler is at 0x80000304 <handler+0x4>, in WFI with no interrupt enabled in mie",
        "  called from 0x80000108 <greet+0x8>",
        "  called from 0x80000010 <main+0x10>",
    ]


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("how", ["run", "record", "replay"])
def test_smashed_stack_is_told_by_the_return_that_used_it(inside: Command, tmp_path: Path, xlen: int, how: str) -> None:
    trace = tmp_path / "smash.mst"
    image = "smash" if xlen == 64 else "smash-rv32"
    done = inside(*(("run",) if how == "run" else ("record", "-o", trace)), "--no-input", image)
    if how == "replay":
        done = inside("replay", trace)

    what, ra, way = lines_of(done.stderr)

    assert done.returncode == 120
    assert re.fullmatch(
        r"guest waits forever after instruction access fault \(1\) at pc (0x\w+), tval \1, in M-mode; its handler is at"
        r" 0x\w+ <on_trap\+0x\w+> \(smash/main\.c:\d+\), in WFI with no interrupt enabled in mie", what,
    )  # fmt: skip
    assert ra == "  ra has this address too: a function has returned to a wrong address"
    assert re.fullmatch(r"  it came from 0x\w+ <survey_tank\+0x\w+> \(smash/main\.c:\d+\): c\.jr ra", way)


def test_smashed_stack_of_two_harts_is_told_of_the_hart_that_it_is_of(inside: Command) -> None:
    done = inside("run", "--no-input", "--smp", "2", "smash")

    head, *lines = lines_of(done.stderr)
    assert "all 2 harts are in WFI" in head
    assert re.search(r"; hart0 after instruction access fault \(1\) at pc 0x", head)
    assert re.match(r"hart0.*: pc 0x\w+ <on_trap\+0x\w+> \(smash/main\.c:\d+\), in M-mode, in WFI", lines[0])
    assert lines[1].startswith("  its last trap: instruction access fault (1) at pc 0x")
    assert lines[2] == "    ra has this address too: a function has returned to a wrong address"
    assert re.match(r"    it came from 0x\w+ <survey_tank\+0x\w+> \(smash/main\.c:\d+\): c\.jr ra", lines[3])
    assert lines[4].startswith("hart1: pc 0x") and "<ipi_await+" in lines[4]
    assert any(line.startswith("  called from 0x") and "<write_titles+" in line for line in lines[5:])


def test_wild_jump_of_a_run_that_had_input_is_told_by_ra_alone_but_for_a_recording(tmp_path: Path) -> None:
    """That run can't be had again: the trace can."""
    jumps = [asm.lui(asm.T0, 0x40000), asm.jalr(0, asm.T0, 0)]
    reads = [*asm.li(asm.T1, elf_files.UART0), asm.lb(asm.T2, asm.T1, 5), asm.andi(asm.T2, asm.T2, 1)]
    reads += [asm.beq(asm.T2, 0, -8), asm.lb(asm.T2, asm.T1, 0)]
    guest = elf_of_calls(tmp_path / "guest.elf", jumps, greet=reads)

    ran = minstret("run", guest, stdin=b"x")
    recorded = minstret("record", "-o", tmp_path / "run.mst", guest, stdin=b"x")

    assert lines_of(ran.stderr)[1:2] == ["  ra is 0x80000130 <greet+0x30>"]
    assert lines_of(recorded.stderr)[1:2] == ["  it came from 0x80000204 <copy_name+0x4>: jr t0"]
    assert b"to look at it: " not in ran.stderr


def test_fault_is_told_though_interrupts_came_after_it(inside: Command, tmp_path: Path) -> None:
    """A handler that waits with the timer enabled, and takes its interrupt."""
    mtimecmp = asm.li(asm.T0, elf_files.CLINT + 0x4000)
    on_fault = [
        *mtimecmp, asm.sd(0, asm.T0, 0), asm.addi(asm.T1, 0, 128), asm.csrw("mie", asm.T1),
        asm.csrrsi(0, "mstatus", 8), *WAITS,
    ]  # fmt: skip
    on_timer = [*mtimecmp, asm.addi(asm.T1, 0, -1), asm.sd(asm.T1, asm.T0, 0), asm.MRET]
    which = [asm.csrr(asm.T2, "mcause"), asm.srli(asm.T2, asm.T2, 63), asm.bne(asm.T2, 0, 4 * (1 + len(on_fault)))]
    guest = elf_of_calls(tmp_path / "guest.elf", FAULTS, [*which, *on_fault, *on_timer])

    done = inside("run", "--no-input", guest)

    lines = lines_of(done.stderr)
    assert re.match(r"guest waits forever at 0x\w+ <handler\+0x\w+>: in WFI for MTI, and no timer or input", lines[0])
    assert re.fullmatch(
        r"its last trap: machine timer interrupt \(7\) at pc 0x\w+ <handler\+0x\w+>, in M-mode,"
        r" \d+ instructions earlier, at icount [\d,]+", lines[1],
    )  # fmt: skip
    assert lines[2].startswith(
        "its last exception: store/AMO access fault (7) at pc 0x80000204 <copy_name+0x4>, tval 0x4"
    )
    assert lines[3:5] == ["  called from 0x80000108 <greet+0x8>", "  called from 0x80000010 <main+0x10>"]
    assert not lines[5].startswith(" ")


@pytest.mark.parametrize("is_run_again", [False, True])
def test_stack_that_a_handler_may_have_changed_is_looked_at_in_the_past_alone(
    tmp_path: Path, is_run_again: bool
) -> None:
    """A handler that is about to return, and waits: what is on the stack then need not be what was there."""
    handler = [asm.csrr(asm.T1, "mepc"), asm.addi(asm.T1, asm.T1, 4), asm.csrw("mepc", asm.T1), *WAITS]
    uart = [*asm.li(asm.T1, elf_files.UART0), asm.lb(asm.T2, asm.T1, 0)]
    guest = elf_of_calls(tmp_path / "guest.elf", FAULTS, handler, greet=uart)

    done = minstret("run", guest, stdin=None if is_run_again else b"xy")

    lines = lines_of(done.stderr)
    assert lines[0].startswith("guest waits forever at 0x80000310 <handler+0x10>: in WFI")
    assert lines[1].startswith("its last trap: store/AMO access fault (7) at pc 0x80000204 <copy_name+0x4>")
    called = [line for line in lines if line.startswith("  called from")]
    assert (
        called == ["  called from 0x80000120 <greet+0x20>", "  called from 0x80000010 <main+0x10>"][: 1 + is_run_again]
    )


# ---- trap loops, limits, signals


def test_failing_code_of_a_handler_is_told_with_the_exception_that_it_is_for(inside: Command, tmp_path: Path) -> None:
    script, trace, facts = tmp_path / "talk.txt", tmp_path / "run.mst", tmp_path / "facts.json"
    script.write_text('EXPECT "> "\nSEND "crash\\r"\n')

    recorded = inside("record", "--no-input", "--input-script", script, "-o", trace, "thermostat")
    played = inside("replay", "--json", facts, trace)

    assert recorded.returncode == played.returncode == 107
    head, fault, *callers = lines_of(recorded.stderr)
    assert lines_of(played.stderr) == [head, fault, *callers]
    assert head == "guest finished with 107"
    assert re.fullmatch(
        r"its last exception: store/AMO access fault \(7\) at pc 0x\w+ <crash\+0x\w+> \(thermostat/main.c:\d+\),"
        r" tval 0x1f000000, in M-mode, \d+ instructions earlier, at icount [\d,]+", fault,
    )  # fmt: skip
    assert [re.sub(r".*<(\w+).*", r"\1", caller) for caller in callers] == ["main", "_start"]
    told = json.loads(facts.read_text())["last_exception"]
    assert (told["name"], told["tval"]) == ("store/AMO access fault", "0x1f000000")
    assert [caller["symbol"].split("+")[0] for caller in told["callers"]] == ["main", "_start"]


def test_trap_loop_has_the_chain_of_callers(inside: Command) -> None:
    done = inside("run", "--no-input", "crash")

    assert done.returncode == 121
    assert re.findall(r"called from 0x\w+ <(\w+)\+0x\w+> \((.*)\)", done.stderr.decode()) == [
        ("save_record", "crash/main.c:16"), ("save_all", "crash/main.c:23"), ("main", "crash/main.c:29"),
        ("_start", "common/start.S:30"),
    ]  # fmt: skip


def test_recorded_trap_loop_shows_the_last_instructions_as_a_plain_run_does(inside: Command, tmp_path: Path) -> None:
    trace = tmp_path / "crash.mst"
    plain = lines_of(inside("run", "--no-input", "crash").stderr)
    recorded = lines_of(inside("record", "--no-input", "-o", trace, "crash").stderr)
    replayed = lines_of(inside("replay", trace).stderr)

    assert plain == recorded == replayed
    assert any("the last instructions that retired:" in line for line in plain)


WHERE_IT_COUNTS = [
    r"the guest was at pc 0x8000020\w <copy_name(\+0x\w)?>, in M-mode",
    r"  called from 0x80000108 <greet\+0x8>", r"  called from 0x800000\w\w <main\+0x\w+>",
    r"it has taken no trap",
]  # fmt: skip


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize(("options", "status"), [(("--max-insns", "1000"), 123), (("--timeout", "0.3"), 124)])
def test_limit_says_where_and_who_called(
    inside: Command, tmp_path: Path, xlen: int, options: tuple[str, ...], status: int
) -> None:
    guest = elf_of_calls(tmp_path / "guest.elf", COUNTS, xlen=xlen)

    done = inside("run", "--no-input", *options, guest)

    assert done.returncode == status
    for line, expected in zip(lines_of(done.stderr)[1:], WHERE_IT_COUNTS, strict=True):
        assert re.fullmatch(expected, line)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_says_where_and_who_called_and_the_replay_says_the_same(tmp_path: Path, number: signal.Signals) -> None:
    guest, trace = elf_of_calls(tmp_path / "guest.elf", COUNTS, first=says(READY)), tmp_path / "run.mst"
    with started("record", "-o", trace, guest) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == READY
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE_S)

        assert process.returncode == 128 + number
    lines = lines_of(errors)
    for line, expected in zip(lines[1:], WHERE_IT_COUNTS, strict=True):
        assert re.fullmatch(expected, line)
    replayed = minstret("replay", trace)
    assert (replayed.returncode, lines_of(replayed.stderr)) == (128 + number, lines)


def test_replay_that_stops_on_the_way_says_who_called(inside: Command, tmp_path: Path) -> None:
    guest, trace = elf_of_calls(tmp_path / "guest.elf", COUNTS), tmp_path / "run.mst"
    inside("record", "--no-input", "--max-insns", "1000", "-o", trace, guest)

    done = inside("replay", "--to", "500", trace)

    assert done.returncode == 0
    for line, expected in zip(lines_of(done.stderr)[1:], WHERE_IT_COUNTS, strict=True):
        assert re.fullmatch(expected, line)
    assert b"to look at it" not in done.stderr


def test_stop_of_several_harts_has_the_callers_of_each(inside: Command, tmp_path: Path) -> None:
    calls = asm.code(asm.jal(asm.RA, 8), asm.LOOP, asm.jal(0, 0))
    path = tmp_path / "guest.elf"
    symbols = {f"{name}{hart}": (program_at(hart) + at, size)
               for hart in range(2) for name, at, size in (("main", 0, 8), ("inner", 8, 4))}  # fmt: skip
    path.write_bytes(elf_bytes(Load(RAM, programs_of(calls, calls)), symbols=symbols))

    done = inside("run", "--no-input", "--smp", "2", "--quantum", "100", "--max-insns", "1000", path)

    names = re.findall(r"<(\w+)>", "\n".join(lines_of(done.stderr)))
    assert names == ["inner0", "main0", "inner1", "main1"]


# ---- source lines, and JSON

START = """\
.globl _start
.type _start, @function
_start:
    la sp, stack_top
    la t0, idle
    csrw mtvec, t0
    call main
1:  j 1b
.size _start, . - _start
.bss
.space 4096
stack_top:
"""
PROGRAM = """\
volatile unsigned char *nowhere = (volatile unsigned char *)0x40000000;

__attribute__((noinline)) void copy_name(volatile unsigned char *to, const char *from)
{
    while (*from)
        *to++ = *from++;
}

int main(void)
{
    copy_name(nowhere, "wide");
    return nowhere != 0;
}

__attribute__((aligned(4))) void idle(void)
{
    for (;;)
        __asm__ volatile("wfi");
}
"""


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("debug", ["-g", "-g0"])
@pytest.mark.parametrize("optimize", ["-O2", "-Os", "-O0"])
def test_fault_of_a_compiled_program_is_told_with_and_without_source_lines(
    inside: Command, need: Need, tmp_path: Path, xlen: int, debug: str, optimize: str
) -> None:
    need(GCC, shutil.which(GCC))
    (tmp_path / "app.c").write_text(PROGRAM)
    (tmp_path / "start.S").write_text(START)
    machine = ["-march=rv64imac_zicsr", "-mabi=lp64"] if xlen == 64 else ["-march=rv32imac_zicsr", "-mabi=ilp32"]
    subprocess.run(
        [GCC, *machine, optimize, debug, "-ffreestanding", "-mcmodel=medany", "-nostdlib", "-Wl,-N",
         "-Wl,-Ttext=0x80000000", "-o", "app.elf", "start.S", "app.c"],
        cwd=tmp_path, check=True, capture_output=True, timeout=PATIENCE_S,
    )  # fmt: skip
    facts_path = tmp_path / "facts.json"

    done = inside("run", "--no-input", "--json", facts_path, tmp_path / "app.elf")

    head, *callers = lines_of(done.stderr)
    lines = {"copy_name": "app.c:6", "main": "app.c:11", "_start": "start.S:7"}
    source = {name: rf" \({re.escape(line)}\)" if debug == "-g" else "" for name, line in lines.items()}
    idle = r" \(app\.c:1[78]\)" if debug == "-g" else ""
    assert re.match(
        rf"guest waits forever after store/AMO access fault \(7\) at pc 0x\w+ <copy_name\+0x\w+>{source['copy_name']},"
        rf" tval 0x40000000, in M-mode; its handler is at 0x\w+ <idle\+0x\w+>{idle}, in WFI", head,
    )  # fmt: skip
    assert len(callers) == 2
    assert re.fullmatch(rf"  called from 0x\w+ <main\+0x\w+>{source['main']}", callers[0])
    assert re.fullmatch(rf"  called from 0x\w+ <_start\+0x\w+>{source['_start']}", callers[1])
    facts = json.loads(facts_path.read_text())
    assert facts["message"] == head
    assert facts["last_trap"] == facts["last_exception"]
    assert [(caller["symbol"].split("+")[0], caller["source"]) for caller in facts["last_trap"]["callers"]] == [
        (name, lines[name] if debug == "-g" else None) for name in ("main", "_start")
    ]
    assert facts["where"]["source"] in (("app.c:17", "app.c:18") if debug == "-g" else (None,))


def test_facts_of_a_recording_and_of_its_replay_are_the_same(inside: Command, tmp_path: Path) -> None:
    paths, trace = [tmp_path / "one.json", tmp_path / "two.json"], tmp_path / "smash.mst"
    inside("record", "-q", "--no-input", "--json", paths[0], "-o", trace, "smash")
    inside("replay", "-q", "--json", paths[1], trace)

    one, two = (json.loads(path.read_text()) for path in paths)
    for key in ("message", "where", "last_trap", "last_exception"):
        assert one[key] == two[key]


# ---- how to look


def test_bad_end_of_a_recording_and_of_its_replay_says_what_to_type(
    inside: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ends: list[Any] = [
        inside("record", "--no-input", "-o", "my run.mst", "crash"), inside("replay", "my run.mst"),
        inside("record", "--no-input", "--max-insns", "100", "-o", "my run.mst", "-f", "hello"),
    ]  # fmt: skip

    for done in ends:
        assert done.returncode
        assert re.fullmatch(rb"minstret: to look at it: .*minstret debug 'my run.mst'", done.stderr.splitlines()[-1])


@pytest.mark.parametrize("options", [("-q", "crash"), ("hello",)])
def test_good_or_quiet_end_says_nothing_of_it(inside: Command, tmp_path: Path, options: tuple[str, ...]) -> None:
    trace = tmp_path / "run.mst"
    done = [inside("record", "--no-input", "-o", trace, *options), inside("replay", *options[:-1], trace)]

    assert not any(b"to look at it" in one.stderr for one in done)


def test_crash_of_a_plain_run_says_how_to_have_it_again(tmp_path: Path) -> None:
    done = minstret("run", "--no-input", "crash", cwd=tmp_path)
    line = done.stderr.decode().splitlines()[-1]
    _, record, debug = re.split(r": |; ", line.removeprefix("minstret: "))

    assert re.search(r"minstret record --no-input crash$", record)
    assert re.search(r"minstret debug crash\.mst$", debug)
    assert subprocess.run(record, shell=True, cwd=tmp_path, capture_output=True, check=False).returncode == 121
    assert (tmp_path / "crash.mst").exists()
    again = minstret("run", "--no-input", "crash", cwd=tmp_path)
    assert b"to look at it" not in again.stderr  # that would refuse to write over the trace


def test_command_that_is_too_long_to_be_read_is_left_out(tmp_path: Path) -> None:
    done = minstret("run", "--no-input", "--args", "x" * 100, "crash", cwd=tmp_path)

    assert done.returncode == 121
    assert b"to look at it" not in done.stderr
