"""Who wrote these bytes: answers compared with a run that notes the writer of each byte."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.generated_code import DATA, PAGE, RAM, generate
from support.guest_boards import setup_of
from support.recordings import Hand, record, resetter_code, setup_of_code, typed
from support.semihosting_program import MoodyFolder, all_kinds

from minstret.devices.board.board import Board
from minstret.devices.board.config import HostAnswers
from minstret.devices.board.traced import Recording, Replay
from minstret.emu import past, walk
from minstret.emu.door.door import RESET_MARK
from minstret.emu.errors import ConfigError
from minstret.emu.hart.watches import WatchHit, WatchKind
from minstret.emu.machine import StopReason
from minstret.emu.past import TraceTimeline
from minstret.emu.questions.accesses import Access, By, all_accesses, last_access
from minstret.emu.questions.targets import Target, find_target
from minstret.firmware import image_path

Recorded = Callable[..., Path]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Gives the trace of a bundled image."""
    folder, made = tmp_path_factory.mktemp("accesses"), dict[str, Path]()

    def trace_of(name: str, xlen: int = 64, **config: Any) -> Path:
        key = f"{name}-{xlen}-{sorted(config.items())}"
        if key not in made:
            made[key] = folder / f"{len(made)}.mst"
            with Recording(made[key], setup_of(name, xlen, **config)) as recording:
                recording.run()
        return made[key]

    return trace_of


class Asking:
    """Asks one trace."""

    def __init__(self, path: Path) -> None:
        self.replay = Replay(path)
        self.timeline = TraceTimeline(self.replay)
        self.symbols = self.replay.board.symbols
        self.timeline.run()

    def target(self, text: str) -> Target:
        return find_target(text, "--write", self.timeline.board.hart, self.symbols)

    def last(self, text: str, kind: WatchKind = WatchKind.STORE, *, before: int | None = None) -> Access:
        if before is not None:
            self.timeline.seek(before)
        target = self.target(text)
        access = last_access(self.timeline, self.replay.reader, target, kind, self.symbols)
        assert access is not None
        return access

    def line_of(self, access: Access) -> tuple[str, int]:
        assert access.pc is not None
        source = self.symbols.source(access.pc)
        assert source is not None
        return Path(source.file).parent.name, source.line


def line_with(name: str, text: str) -> int:
    """The line of a firmware's main.c that has a text."""
    lines = Path(image_path(name, 64)).parents[1] / name / "main.c"
    return 1 + next(at for at, line in enumerate(lines.read_text().splitlines()) if text in line)


@pytest.mark.parametrize("xlen", [32, 64])
@pytest.mark.parametrize("harts", [1, 2])
def test_who_overwrote_the_return_address_of_smash_is_the_planted_line(
    recorded: Recorded, xlen: int, harts: int
) -> None:
    asking = Asking(recorded("smash", xlen, smp=harts))
    timeline = asking.timeline
    trap = timeline.board.harts[0].last_trap
    assert trap is not None
    word = trap.sp - xlen // 8
    access = asking.last(f"{word:#x}:{xlen // 8}", before=trap.icount)
    assert access.by is By.INSTRUCTION
    assert asking.line_of(access) == ("smash", line_with("smash", "survey->title[at] = name[at];"))
    assert access.hart == harts - 1
    assert access.size == 1
    callers = [asking.symbols.describe(caller).split("+")[0] for caller in access.callers]
    assert callers[0] == ("survey_tank" if harts == 1 else "write_titles")
    assert timeline.position.icount == access.icount


# ---- against a run that watches every byte


class Noted:
    """A run straight through a trace that notes every store and load, page by page."""

    def __init__(self, path: Path, kind: WatchKind) -> None:
        self.replay, self.kind = Replay(path), kind
        machine = self.replay.board.machine
        for at in range(0, machine.memory.ram_size, PAGE):
            machine.watches.add(kind, machine.memory.ram_base + at, PAGE, sees_devices=kind is WatchKind.STORE)
        self.hits: list[tuple[tuple[int, int], WatchHit]] = []
        while (outcome := self.replay.run()).reason is StopReason.WATCH:
            position = self.replay.board.position
            self.hits += [((position.icount, position.virtual_ns), hit) for hit in outcome.hits]
        self.end = self.replay.board.position.icount
        self.resets = [item.position for item in self.replay.reader.items() if item.name == RESET_MARK]

    def last(self, address: int, size: int, before: tuple[int, int]) -> tuple[object, ...] | None:
        """The facts of the last access, or the icount of a reset behind it, which loads all of RAM; None: neither."""
        fitting = (
            (at, hit) for at, hit in reversed(self.hits)
            if at <= before and hit.address < address + size and address < hit.address + hit.size
        )  # fmt: skip
        when, hit = next(fitting, ((0, 0), None))
        resets = [reset for reset in self.resets if when < reset <= before and self.kind is WatchKind.STORE]
        return ("reset", resets[-1].icount) if resets else facts(hit)


def told(access: Access) -> tuple[object, ...] | None:
    """What an access has in common with a hit."""
    if access.by is By.IMAGE and access.icount:
        return "reset", access.icount
    if access.by not in (By.INSTRUCTION, By.DEVICE):
        return None
    return access.by is By.DEVICE, access.name, access.icount, access.hart, access.pc, access.kind


def facts(hit: WatchHit | None) -> tuple[object, ...] | None:
    return None if hit is None else (hit.is_by_device, hit.device, hit.icount, hit.hart, hit.pc, hit.kind)


@pytest.mark.parametrize("kind", [WatchKind.STORE, WatchKind.LOAD])
@pytest.mark.parametrize("xlen", [32, 64])
@pytest.mark.parametrize("seed", range(3))
def test_last_access_is_what_a_run_that_watches_everything_has_noted(
    xlen: int, seed: int, kind: WatchKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "STRIDE_INSNS", 700)
    monkeypatch.setattr(walk, "POLL_INSNS", 333)
    monkeypatch.setattr(past, "_HITS_MAX", 20)
    program = generate(f"why/{seed}", xlen)
    setup = setup_of_code(program.image(), xlen=xlen, icount_shift=program.icount_shift)
    with Recording(tmp_path / "run.mst", setup) as recording:
        recording.run(icount=2500, virtual_ns=300_000_000)
    noted = Noted(tmp_path / "run.mst", kind)
    asking, pick = Asking(tmp_path / "run.mst"), random.Random(f"{seed}/{xlen}/{kind}")
    used = sorted({hit.address for _, hit in noted.hits})
    answered = 0
    for _ in range(25):
        address = pick.choice(used) + pick.randrange(-2, 4) if used else RAM + DATA
        size = pick.choice((1, 1, 2, 4, 8, 64))
        before = pick.choice((noted.end, pick.randrange(1, noted.end + 1)))
        asking.timeline.seek(before)
        here = asking.timeline.position
        asking.timeline.seek(noted.end)
        access = asking.last(f"phys:{address:#x}:{size}", kind, before=before)
        expected = noted.last(address, size, (here.icount, here.virtual_ns))
        assert told(access) == expected, (program.units, hex(address), size, before)
        answered += expected is not None
    assert answered > 5


@pytest.mark.parametrize("name", ["smash", "dhcp", "traps", "smp"])
def test_all_accesses_are_those_of_a_run_straight_through(recorded: Recorded, name: str) -> None:
    path = recorded(name)
    asking = Asking(path)
    stack = asking.timeline.board.harts[0].env.x[2]
    target = asking.target(f"phys:{stack - 256:#x}:256")
    replay = Replay(path)
    for address, size in target.pieces:
        replay.board.machine.watches.add(WatchKind.STORE, address, size, sees_devices=True)
    expected = []
    while (outcome := replay.run()).reason is StopReason.WATCH:
        expected += [facts(hit) for hit in outcome.hits]
    begin, *found = all_accesses(asking.timeline, asking.replay.reader, target, WatchKind.STORE)
    assert begin.icount == 0
    assert [told(access) for access in found] == expected
    assert len(expected) > 3
    for one, other in pairwise(found):
        if one.address == other.address and one.size == other.size:
            assert one.new == other.old


# ---- who is no instruction


def test_network_card_that_received_a_frame_is_named(recorded: Recorded) -> None:
    replay = Replay(recorded("dhcp"))
    hart = replay.board.hart
    write, received = hart.write_by_device, list[tuple[int, int]]()

    def note(address: int, data: bytes | memoryview, device: str) -> None:
        if device == "net0" and len(data) > 100:
            received.append((address, hart.icount))
        write(address, data, device)

    hart.write_by_device = note  # type: ignore[method-assign]
    replay.run()
    address, icount = received[-1]
    access = Asking(recorded("dhcp")).last(f"phys:{address + 40:#x}:4")
    assert (access.by, access.name, access.icount) == (By.DEVICE, "net0", icount)


def test_what_was_only_loaded_is_told_with_the_image(recorded: Recorded) -> None:
    asking = Asking(recorded("smash"))
    access = asking.last("tanks")
    assert (access.by, access.name, access.icount) == (By.IMAGE, "smash-rv64.elf", 0)
    tree = asking.replay.board.placement.tree
    assert asking.last(f"{tree:#x}").name == "the device tree"


def test_what_nobody_wrote_is_as_at_power_on(recorded: Recorded) -> None:
    access = Asking(recorded("hello")).last("0x80080000:4")
    assert (access.by, access.icount, access.new) == (By.NOBODY, 0, bytes(4))


def test_ring_says_since_when_it_knows(tmp_path: Path) -> None:
    record(tmp_path, setup_of("smash"), every=500_000, ring=2)
    asking = Asking(tmp_path / "run.mst")
    start = asking.timeline.start.icount
    assert start > 0
    access = asking.last("tanks")
    assert (access.by, access.icount, access.name) == (By.NOBODY, start, "")


def test_change_from_outside_is_a_writer_until_an_instruction_writes_again(tmp_path: Path) -> None:
    with Recording(tmp_path / "run.mst", setup_of("smash")) as recording:
        recording.run_until(icount=2_000_000)
        recording.write("surveys_done", 70)
        recording.run_until(icount=2_100_000)
    asking = Asking(tmp_path / "run.mst")
    access = asking.last("surveys_done")
    assert (access.by, access.icount, access.new) == (By.OUTSIDE, 2_000_000, (70).to_bytes(4, "little"))
    assert asking.last("surveys_done", before=1_999_999).by is By.INSTRUCTION
    target = asking.target("surveys_done")
    asking.timeline.seek(2_100_000)
    every = list(all_accesses(asking.timeline, asking.replay.reader, target, WatchKind.STORE))
    assert [access.by for access in every][-1] is By.OUTSIDE
    assert [access.order for access in every] == sorted(access.order for access in every)


def test_reset_that_loads_the_images_anew_is_a_writer(tmp_path: Path) -> None:
    hand = Hand(stays=True)

    def drive(board: Board) -> None:
        for text in (b"r", b"."):
            board.run_until(icount=board.position.icount + 300)
            hand.give(typed(text))

    record(tmp_path, setup_of_code(resetter_code()), source=hand, drive=drive)
    asking = Asking(tmp_path / "run.mst")
    access = asking.last(f"{RAM:#x}:4")
    assert (access.by, access.name) == (By.IMAGE, "test.bin")
    assert access.icount > 0


def test_services_are_writers(tmp_path: Path) -> None:
    record(tmp_path, all_kinds().setup(), host=HostAnswers(files=MoodyFolder(random.Random(1))))
    noted = Noted(tmp_path / "run.mst", WatchKind.STORE)
    written = [hit for _, hit in noted.hits if hit.device == "semihosting"]
    assert written
    asking = Asking(tmp_path / "run.mst")
    for hit in written:
        access = asking.last(f"phys:{hit.address:#x}:{hit.size}", before=hit.icount + 1)
        assert (access.by, access.name, access.icount) == (By.DEVICE, "semihosting", hit.icount)


# ---- values


def test_value_is_of_the_member_that_was_written(recorded: Recorded) -> None:
    access = Asking(recorded("smash")).last("last_trap")
    assert access.part == "last_trap.value"
    assert access.old == bytes(8)
    assert access.type is not None
    assert access.type.size == 8


def test_asking_leaves_no_watch_and_the_run_as_it_was(recorded: Recorded) -> None:
    asking = Asking(recorded("smash"))
    asking.last("surveys_done")
    assert not [watch for watch in asking.timeline.board.machine.watches if watch.on_store is None]
    stop = asking.timeline.run()
    assert stop.outcome is not None
    assert asking.timeline.board.digest() == (asking.replay.reader.end or {})["digest"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("surveys_dome", "surveys_dome: no such variable: did you mean surveys_done"),
        ("0x10000000", "0x10000000 is not in RAM where the question looks from; RAM is"),
        ("surveys_done:0", "expected a length from 1 to 16,777,216 bytes, got '0'"),
        ("surveys_done:-1", "expected a length from 1 to 16,777,216 bytes, got '-1'"),
        ("0x80000000:x", "expected a length from 1 to 16,777,216 bytes, got 'x'"),
        ("0x80000000:99999999999", "expected a length from 1 to 16,777,216 bytes, got '99999999999'"),
        ("phys:surveys_done", "expected an address such as"),
        ("", "expected an address such as"),
        ("last_trap.nothing", "struct has no member 'nothing'"),
    ],
)
def test_what_can_not_be_asked_for_is_one_clear_line(recorded: Recorded, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Asking(recorded("smash")).last(text)
    assert str(caught.value).startswith("--write: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
