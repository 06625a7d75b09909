"""What one question to a trace answers is what another one does: of random programs, at random places."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import generated_code, generated_smp
from support.commands import Command
from support.guest_boards import setup_of
from support.random_cases import TIMES
from support.recordings import setup_of_code
from support.two_runs import setup_of_ram

from minstret.devices.board.traced import Recording, Replay
from minstret.emu.door.recording import RecordOptions

INSNS, VIRTUAL_NS = 3_000, 100_000_000
CLEARED = 30_000
"""Up to there firmware only clears its variables."""
IMAGES = ("clocks", "paging", "rtos", "smash", "smp", "ticks", "traps")
RAM = 0x8000_0000
KINDS = ("one hart", "harts", "firmware")
SEEDS_USUAL = 4
SEEDS = [pytest.param(seed, marks=[pytest.mark.slow] if seed >= SEEDS_USUAL else []) for seed in range(4 + 16 * TIMES)]

Facts = dict[str, Any]
Ask = Callable[..., list[Facts]]


@dataclass
class Recorded:
    """A trace, and from where on it is looked at; ``is_firmware``: of a bundled image."""

    path: Path
    is_firmware: bool
    begin: int


def recorded(path: Path, seed: str, kinds: tuple[str, ...], steps: list[Facts] | None = None) -> Recorded:
    """The trace of something; with the ``steps`` of it, of that with a bit changed in what one of them uses."""
    pick = random.Random(seed)
    xlen = pick.choice((32, 64))
    options = RecordOptions(snapshot_every_insns=pick.choice((0, 137, 1000)))
    kind = pick.choice(kinds)
    begin = CLEARED if kind == "firmware" else 0
    if kind == "firmware":
        name, smp, chaos = pick.choice(IMAGES), pick.choice((1, 2, 4)), pick.choice((None, 5))
        setup = setup_of(name, xlen, smp=smp, chaos_seed=chaos, quantum=pick.choice((100, 50_000)))
    elif kind == "harts":
        harts = pick.choice((2, 4))
        program = generated_smp.generate(seed, xlen, harts, pages=pick.random() < 0.5, timers=True)
        setup = setup_of_ram(changed(program.image, steps, pick), xlen, smp=harts, quantum=211)
    else:
        alone = generated_code.generate(seed, xlen)
        setup = setup_of_code(changed(alone.image(), steps, pick), xlen=xlen, icount_shift=alone.icount_shift)
    with Recording(path, setup, options=options) as recording:
        recording.run(icount=begin + INSNS, virtual_ns=VIRTUAL_NS)
        begin = min(begin, recording.board.position.icount)
    return Recorded(path, kind == "firmware", begin)


def changed(image: bytes, steps: list[Facts] | None, pick: random.Random) -> bytes:
    if steps is None:
        return image
    used = [int(step["pc"], 16) for step in steps] + [address for _, address, _ in accesses(steps, "load")]
    at = pick.choice([address - RAM for address in used if RAM <= address < RAM + len(image)])
    return image[:at] + bytes([image[at] ^ 1 << pick.randrange(8)]) + image[at + 1 :]


@pytest.fixture
def ask(inside: Command) -> Ask:
    """Asks, and takes the answer apart: an object a line."""

    def answer(*arguments: object) -> list[Facts]:
        done = inside(*arguments)
        assert (done.returncode, done.stderr) == (0, b"")
        return [json.loads(line) for line in done.stdout.splitlines()]

    return answer


def steps_of(ask: Ask, run: Recorded) -> list[Facts]:
    return ask("insns", run.path, "--from", run.begin, "--to", "end", "--mem", "--json")


@pytest.mark.parametrize("seed", SEEDS)
def test_of_one_run(seed: int, tmp_path: Path, ask: Ask, inside: Command) -> None:
    run, pick = recorded(tmp_path / "run.mst", f"one/{seed}", KINDS), random.Random(seed)
    before = run.path.read_bytes()
    steps = steps_of(ask, run)
    assert_why_agrees(ask, run, steps, pick)
    assert_counts_agree(inside, run, steps)
    assert_traps_agree(inside, run, steps)
    assert inside("diff", run.path, run.path).returncode == 0
    assert inside("report", run.path, "-o", tmp_path / "run.html").returncode == 0
    assert run.path.read_bytes() == before
    with Replay(run.path) as replay:
        replay.run()
        end = replay.reader.end
        assert end is not None
        assert replay.board.digest() == end["digest"]


def accesses(steps: list[Facts], kind: str) -> Iterator[tuple[Facts, int, int]]:
    """Instructions that access RAM: what they are, and the physical addresses from one up to another."""
    for step in steps:
        for access in step.get("memory", ()):
            if access["access"] == kind and access["physical"] is not None and int(access["physical"], 16) >= RAM:
                address = int(access["physical"], 16)
                yield step, address, address + access["size"]


def assert_why_agrees(ask: Ask, run: Recorded, steps: list[Facts], pick: random.Random) -> None:
    for kind, option in (("store", "--write"), ("load", "--read")):
        every = list(accesses(steps, kind))
        for _ in range(6 if every else 0):
            _, address, end = pick.choice(every)
            address = pick.randrange(address, end)
            limit = pick.randrange(run.begin, steps[-1]["icount"] + 1)
            last = [step for step, start, end in every if start <= address < end and step["icount"] < limit][-1:]
            [answer] = ask("why", run.path, option, f"phys:{address:#x}:1", "--before", limit, "--json")
            if answer["by"] == "instruction" and answer["icount"] >= run.begin:
                assert last
                assert {key: answer[key] for key in ("icount", "hart", "pc")} == {
                    key: last[0][key] for key in ("icount", "hart", "pc")
                }, (kind, hex(address), limit)
            else:
                assert not last or last[0]["icount"] <= answer["icount"], (kind, hex(address), limit)


def assert_counts_agree(inside: Command, run: Recorded, steps: list[Facts]) -> None:
    rows = json.loads(inside("profile", run.path, "--from", run.begin, "--by", "insn", "--format", "json").stdout)[
        "insns"
    ]
    counts = Counter((step["pc"], step["privilege"]) for step in steps if step["kind"] == "exec")
    assert sum(row["count"] for row in rows) == counts.total()
    if run.is_firmware:  # other programs change their own code, which profile reads at the end
        assert {(row["pc"], row["mode"]): row["count"] for row in rows if row["count"]} == counts


def assert_traps_agree(inside: Command, run: Recorded, steps: list[Facts]) -> None:
    lines = inside("export", run.path, "--from", run.begin, "--format", "jsonl", "-o", "-").stdout.splitlines()
    told = [json.loads(line) for line in lines]
    keys = ("kind", "icount", "virtual_ns", "hart", "cause", "tval", "privilege", "handler", "handler_privilege")
    assert [(one["epc"], *(one[key] for key in keys)) for one in told if one["kind"] in ("trap", "interrupt")] == [
        (step["pc"], *(step[key] for key in keys)) for step in steps if step["kind"] != "exec"
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_of_two_runs(seed: int, tmp_path: Path, ask: Ask, inside: Command) -> None:
    """The first difference is at the first line that is another, when instructions and their accesses are listed."""
    one = recorded(tmp_path / "one.mst", f"two/{seed}", KINDS[:2])
    steps = steps_of(ask, one)
    other = recorded(tmp_path / "other.mst", f"two/{seed}", KINDS[:2], steps)
    others = steps_of(ask, other)
    answer = json.loads(inside("diff", one.path, other.path, "--json").stdout)
    parted = next((pair for pair in zip(steps, others, strict=False) if pair[0] != pair[1]), None)
    if parted is None:
        assert len(steps) == len(others)
        assert answer["same"], answer
    else:
        assert not answer["same"]
        assert answer["difference"]["icount"] == min(step["icount"] for step in parted), (parted, answer)
