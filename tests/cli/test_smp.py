"""What a user sees of several harts: ``--smp`` and ``--quantum``, ends, facts, recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import asm
from support.commands import Command
from support.elf_files import PASSES
from support.harts import program_at, programs_of

from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig
from minstret.emu.schedule import DEFAULT_QUANTUM

SPINS = asm.code(asm.addi(asm.S0, asm.S0, 1), asm.jal(0, -4))
WAITS = asm.code(asm.csrrsi(0, "mie", 8), asm.WFI, asm.LOOP)
CRASHES = asm.code(asm.NOP, 0xFFFF_FFFF)


@pytest.fixture
def image(tmp_path: Path) -> Any:
    """Makes an image whose harts run these programs."""

    def make(*programs: bytes) -> Path:
        path = tmp_path / "guest.bin"
        path.write_bytes(programs_of(*programs))
        return path

    return make


# ---- options


@pytest.mark.parametrize("number", ["0", "9", "x", "1.5", "", "-1", "2k", "0x2", "99999999", "4,cores=2", "\uff12"])
def test_number_of_harts_that_is_none_is_refused_in_one_line(inside: Command, number: str) -> None:
    done = inside("run", "--smp", number, "hello")

    assert (done.returncode, done.stdout) == (125, b"")
    assert done.stderr.decode() == f"minstret: --smp: expected a number of harts from 1 to 8, got {number!r}\n"


@pytest.mark.parametrize("insns", ["0", "4294967297", "99999999999999999999999", "5G"])
def test_quantum_out_of_range_is_refused_in_one_line(inside: Command, insns: str) -> None:
    done = inside("run", "--smp", "2", "--quantum", insns, "hello")

    assert (done.returncode, done.stdout) == (125, b"")
    text = f"minstret: --quantum: expected 1 to 4,294,967,296 instructions, got {insns}\n"
    assert done.stderr.decode() == text


@pytest.mark.parametrize("insns", ["-1", "1e9", "x", "", "1.5"])
def test_quantum_that_is_no_count_is_refused_in_one_line(inside: Command, insns: str) -> None:
    done = inside("run", "--smp", "2", "--quantum", insns, "hello")

    assert (done.returncode, done.stdout) == (125, b"")
    text = f"minstret: --quantum: expected a count such as 1000000 or 5M, got {insns!r}\n"
    assert done.stderr.decode() == text


@pytest.mark.parametrize("option", ["--smp=2", "--quantum=5K"])
def test_replay_takes_its_harts_from_the_trace_alone(inside: Command, option: str) -> None:
    done = inside("replay", option, "run.mst")

    assert (done.returncode, done.stdout) == (125, b"")
    name = option.partition("=")[0]
    text = f"minstret: {name}: a replay takes its board from the trace; leave it out; see "
    assert done.stderr.decode().startswith(text)
    assert b"No such option '--out" in inside("replay", "--out", "x", "run.mst").stderr


def test_tree_has_as_many_cpus(inside: Command, image: Any) -> None:
    guest = image(SPINS)
    done = inside("dtb", "--smp", "3", guest, "-o", "-")

    assert done.stdout.count(b"cpu@") == 3
    assert done.stdout == Board(guest, BoardConfig(smp=3)).device_tree


# ---- how a run ends


def test_stop_says_of_each_hart_where_it_is(inside: Command, image: Any) -> None:
    done = inside("run", "--no-input", "--smp", 2, "--max-insns", 5000, image(WAITS, SPINS))
    lines = done.stderr.decode().splitlines()

    assert done.returncode == 123
    assert lines[:2] == [
        "minstret: stopped by --max-insns",
        f"minstret: hart0: pc {program_at(0) + 8:#x}, in M-mode, in WFI for MSI; it has taken no trap",
    ]
    assert lines[2].startswith(f"minstret: hart1 (ran last): pc {program_at(1) >> 4:#x}")
    assert lines[3].startswith("minstret: 5,000 instructions, ")
    assert len(lines) == 4


@pytest.mark.parametrize("idle_ok", [[], ["--idle-ok"]])
def test_wait_forever_says_where_each_hart_waits_and_for_what(inside: Command, image: Any, idle_ok: list[str]) -> None:
    done = inside("run", "--no-input", *idle_ok, "--smp", 2, image(WAITS, asm.code(asm.WFI, asm.LOOP)))

    assert done.returncode == (0 if idle_ok else 120)
    assert done.stderr.decode().splitlines()[:4] == [
        "minstret: guest waits forever: all 2 harts are in WFI, and no timer or input can raise an interrupt that they"
        " wait for",
        f"minstret: hart0: pc {program_at(0) + 8:#x}, in M-mode, in WFI for MSI; it has taken no trap",
        f"minstret: hart1 (ran last): pc {program_at(1) + 4:#x}, in M-mode, in WFI with no interrupt enabled in mie;"
        " it has taken no trap",
        "minstret: a good end (--idle-ok)" if idle_ok else "minstret: add --idle-ok if this is a good end (status 0)",
    ]


def test_crash_report_is_of_the_hart_that_crashed(inside: Command, image: Any) -> None:
    done = inside("run", "--no-input", "--smp", 3, image(WAITS, CRASHES, SPINS))
    text = done.stderr.decode()

    assert done.returncode == 121
    at = f"{program_at(1) + 4:#x}"
    assert text.startswith(f"minstret: hart1: trap loop at 0x0: the first trap was illegal instruction (2) at pc {at},")
    assert f"\n=> {at}: ffffffff  (not an instruction)\n  hart0: pc " in text
    assert "\n  hart2: pc 0x1000, in M-mode; it has taken no trap\nminstret: " in text


def test_facts_have_each_hart_and_which_ran_last(inside: Command, image: Any, tmp_path: Path) -> None:
    facts = tmp_path / "facts.json"
    guest = image(WAITS, SPINS)
    inside("run", "-q", "--no-input", "--json", facts, "--smp", 2, "--max-insns", 5000, guest)
    several = json.loads(facts.read_text())
    inside("run", "-q", "--no-input", "--json", facts, "--max-insns", 5000, guest)
    one = json.loads(facts.read_text())

    assert several["hart"] == 1
    assert [hart["id"] for hart in several["harts"]] == [0, 1]
    assert [hart["waits_for"] for hart in several["harts"]] == [["MSI"], None]
    assert sum(hart["minstret"] for hart in several["harts"]) == several["icount"] == 5000
    assert several["where"] == several["harts"][1]["where"]
    assert set(several) - set(one) == {"hart", "harts"}


def test_mode_of_satp_that_several_harts_try_is_said_once(inside: Command, image: Any, tmp_path: Path) -> None:
    facts = tmp_path / "facts.json"
    tries = asm.code(asm.li(asm.T0, 9), asm.slli(asm.T0, asm.T0, 60), asm.csrw("satp", asm.T0), asm.LOOP)
    guest = image(WAITS, tries, tries)
    done = inside(
        "run", "-v", "--no-input", "--cpu", "rv64gc", "--smp", 3, "--max-insns", 50_000, "--json", facts, guest
    )

    assert done.stderr.count(b"minstret: the guest wrote Sv48 to satp") == 2  # when it did, and at the end
    assert json.loads(facts.read_text())["satp_refused"] == ["Sv48"]


# ---- recordings


def test_recording_of_several_harts_replays_and_says_how_many(inside: Command, image: Any, tmp_path: Path) -> None:
    trace, one, two = tmp_path / "run.mst", tmp_path / "one.json", tmp_path / "two.json"
    guest = image(SPINS, asm.code([asm.NOP] * 50) + PASSES)
    made = inside("record", "-o", trace, "--smp", 2, "--quantum", 50, "--json", one, guest)
    played = inside("replay", "--json", two, trace)
    told = inside("info", trace)

    assert (made.returncode, played.returncode) == (0, 0)
    ends = [json.loads(path.read_text()) for path in (one, two)]
    assert ends[0]["digest"] == ends[1]["digest"]
    assert ends[0]["harts"] == ends[1]["harts"]
    assert b"rv64, 2 harts, quantum 50, 128 MiB" in told.stdout
    assert json.loads(inside("info", "--json", trace).stdout)["config"]["smp"] == 2
    stopped = inside("replay", "--to", 60, trace)
    assert b"\nminstret: hart1 (ran last): pc " in stopped.stderr


def test_info_of_one_hart_says_nothing_of_harts(inside: Command, tmp_path: Path) -> None:
    inside("record", "-q", "-o", tmp_path / "run.mst", "hello")

    assert b"rv64, 128 MiB, shift 1" in inside("info", tmp_path / "run.mst").stdout


def test_verify_passes_both_options_on(inside: Command, image: Any) -> None:
    guest = image(SPINS, asm.code([asm.NOP] * 50) + PASSES)

    def verified(*options: object) -> bytes:
        done = inside("verify", "--runs", 2, *options, guest)
        assert done.returncode == 0, done.stderr
        return bytes(done.stdout)

    assert b"the same run 2 times: finished, " in verified("--smp", 2)
    assert (
        verified("--smp", 2, "--quantum", 30)
        != verified("--smp", 2)
        == verified("--smp", 2, "--quantum", DEFAULT_QUANTUM)
    )
