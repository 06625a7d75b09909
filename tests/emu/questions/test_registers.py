"""Who wrote a register: answers compared with a run in which each instruction is looked at."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support.generated_code import generate
from support.guest_boards import setup_of
from support.recordings import setup_of_code

from minstret.devices.board.traced import Recording, Replay
from minstret.emu.errors import ConfigError
from minstret.emu.hart.spec import ABI_NAMES
from minstret.emu.past import TraceTimeline
from minstret.emu.questions import farback, registers
from minstret.emu.questions.registers import RegisterWrite, last_register_write
from minstret.emu.timeline import Why


@pytest.fixture(params=[32, 64], scope="module")
def trace(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trace of a generated program."""
    path = tmp_path_factory.mktemp("registers") / "run.mst"
    program = generate("registers/1", request.param)
    setup = setup_of_code(program.image(), xlen=request.param, icount_shift=program.icount_shift)
    with Recording(path, setup) as recording:
        recording.run(icount=1500, virtual_ns=300_000_000)
    return path


def test_no_register_has_changed_since_its_last_write_and_there_it_has_that_value(
    trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registers, "_FIRST_INSNS", 50)
    replay = Replay(trace)
    board, values = replay.board, list[dict[str, int]]()
    end = replay.reader.reached().position.icount
    for icount in range(end + 1):
        replay.play(icount=icount)
        values.append({name: board.registers[name] for name in ABI_NAMES})
    timeline, pick = TraceTimeline(Replay(trace)), random.Random(7)
    symbols, answered = board.symbols, 0
    for _ in range(25):
        name, before = pick.choice(ABI_NAMES[1:]), pick.randrange(end // 2, end + 1)
        timeline.seek(before)
        found = last_register_write(timeline, name, 0, symbols)
        changes = [at for at in range(before) if values[at][name] != values[at + 1][name]]
        if isinstance(found, RegisterWrite):
            answered += 1
            assert found.icount < before
            assert not changes or changes[-1] <= found.icount
            assert values[found.icount + 1][name] == values[before][name] == found.value
        else:
            assert found is Why.START
            assert not changes
    assert answered > 8


def asked_each_way(path: Path, icount: int, name: str, hart: int = 0) -> list[RegisterWrite | Why]:
    """Answers by counting what ran, and by stepping alone."""
    found = []
    for far in (0, 1 << 40):
        timeline = TraceTimeline(Replay(path))
        timeline.seek(icount)
        found.append(last_register_write(timeline, name, hart, timeline.board.symbols, far=far))
    return found


def test_far_back_the_answer_is_that_of_stepping(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registers, "_FIRST_INSNS", 5)
    monkeypatch.setattr(registers, "_FAR_STRETCH", 400)
    monkeypatch.setattr(farback, "STEPPED_MAX", 20)
    end, pick = Replay(trace).reader.reached().position.icount, random.Random(11)
    names = [*ABI_NAMES[1:], "fa0", "fs3", "ft1", "mscratch", "mtvec", "mepc", "fcsr", "mstatus", "mie"]
    answered = 0
    for _ in range(16):
        name, before = pick.choice(names), pick.randrange(end // 3, end + 1)
        by_flow, by_steps = asked_each_way(trace, before, name)
        assert by_flow == by_steps, (name, before)
        answered += isinstance(by_flow, RegisterWrite)
    assert answered > 4


@pytest.mark.parametrize("image", ["smp", "traps"])
def test_far_back_with_traps_and_several_harts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: str) -> None:
    with Recording(tmp_path / "run.mst", setup_of(image)) as recording:
        recording.run(icount=8_000)
    monkeypatch.setattr(registers, "_FIRST_INSNS", 16)
    monkeypatch.setattr(registers, "_FAR_STRETCH", 3000)
    monkeypatch.setattr(farback, "STEPPED_MAX", 100)
    replay = Replay(tmp_path / "run.mst")
    end, pick = replay.reader.reached().position.icount, random.Random(12)
    for _ in range(4):
        name, hart = (
            pick.choice(["sp", "gp", "tp", "s11", "t6", "mtvec", "a7"]),
            pick.randrange(len(replay.board.harts)),
        )
        by_flow, by_steps = asked_each_way(tmp_path / "run.mst", pick.randrange(end // 2, end + 1), name, hart)
        assert by_flow == by_steps, (name, hart)


def test_taking_a_trap_writes_its_csrs(tmp_path: Path) -> None:
    with Recording(tmp_path / "run.mst", setup_of("smash")) as recording:
        recording.run()
    timeline = TraceTimeline(Replay(tmp_path / "run.mst"))
    timeline.run()
    hart = timeline.board.hart
    value = timeline.board.registers["mepc"]
    found = last_register_write(timeline, "mepc", hart.hart_id, timeline.board.symbols)
    assert isinstance(found, RegisterWrite)
    assert found.value == value
    assert (found.trap, found.icount) == ("instruction access fault", 3_371_122)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a00", "--reg: rv"), ("pc", "--reg: nobody can be asked for who wrote pc: every instruction does"),
        ("zero", "--reg: nobody can be asked for who wrote zero: it is always 0"),
    ],
)  # fmt: skip
def test_register_that_can_not_be_asked_for_is_one_line(trace: Path, name: str, message: str) -> None:
    timeline = TraceTimeline(Replay(trace))
    with pytest.raises(ConfigError) as caught:
        last_register_write(timeline, name, 0, timeline.board.symbols)
    assert str(caught.value).startswith(message)
