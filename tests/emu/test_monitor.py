"""The commands of gdb's ``monitor``."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.commands import minstret
from support.guest_boards import setup_of
from support.recordings import Hand, record, typed

from minstret.devices.board.traced import Recording, Replay
from minstret.emu import monitorwhy
from minstret.emu.hart.watches import WatchKind
from minstret.emu.images.loader import SymbolTable
from minstret.emu.monitor import Monitor
from minstret.emu.past import TraceTimeline
from minstret.emu.present import LiveTimeline
from minstret.emu.timeline import Timeline, Why
from minstret.emu.trace.reader import TraceReader
from minstret.emu.walk import Place

COMMANDS = ("back", "events", "help", "info", "seek", "snapshot", "snapshots", "timers", "type", "when", "why")


def nowhere() -> Monitor:
    """For commands that do not come to where they would look at a timeline."""
    return Monitor(Timeline(), SymbolTable())


# ---- help, and what is wrong


def test_help_lists_every_command_and_nothing_asks_for_help() -> None:
    text = nowhere().command("help")

    assert [line.split()[0] for line in text.splitlines()[:-1]] == list(COMMANDS)
    assert nowhere().command("") == nowhere().command("  ") == text


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_says_how_it_is_written(name: str) -> None:
    assert nowhere().command(f"help {name}").startswith(name)


def test_abbreviation_is_enough_where_one_command_begins_so() -> None:
    assert nowhere().command("h se") == nowhere().command("help seek")


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("reset", f"there is no command 'reset'; there are {', '.join(COMMANDS)}"),
        ("w", "'w' could be when or why"),
        ("snap", "'snap' could be snapshot or snapshots"),
        ("help me", f"there is no command 'me'; there are {', '.join(COMMANDS)}"),
        ("when now", "when takes no arguments, got 'now'"),
        (
            "why not",
            "why: expected --write WHAT, --read WHAT, --reg NAME, --trap, --all, --before PLACE and --hart N; got"
            " 'not'",
        ),
        ("why --all", "--all: goes with --write or --read"),
        (
            "why --reg",
            "--reg: something has to follow: there are --write WHAT, --read WHAT, --reg NAME, --trap, --all,"
            " --before PLACE and --hart N",
        ),
        ("why --reg a0 --trap", "--trap: can't be asked together with --reg: ask twice"),
        ("why --trap --hart x", "--hart: expected the number of a hart, got 'x'"),
        ("why --before 5", "why: expected one of --write, --read, --reg and --trap besides; see help why"),
        ("why 'x", "why: no closing quotation"),
        ("timers 1", "timers takes no arguments, got '1'"),
        (
            "seek here",
            "seek: expected an icount such as 5M, a percentage such as 12.5%, a time such as 1.5s, start, end, or a"
            " snapshot's name; got 'here'",
        ),
        ("seek 101%", "seek: the end is at 100%, got '101%'"),
        ("seek 0.1ns", "seek: '0.1ns' is finer than a nanosecond"),
        ("back", "usage: back until event [NAME], for example: back until event uart0.rx"),
        ("back until then", "usage: back until event [NAME], for example: back until event uart0.rx"),
        ("events 0", "events: expected a number from 1 to 1000, got '0'"),
        ("events x", "events: expected a count such as 1000000 or 5M, got 'x'"),
        ("events", "events: there is no recording here whose events could be listed"),
        ("info", "usage: info devices, info lines, info tlb [HART] or info csrs [HART]"),
        ("info registers", "there is no topic 'registers'; there are devices, lines, tlb, csrs"),
        (
            "snapshot 5M",
            "snapshot: expected a name of letters, digits, _, . and -, which begins with a letter; got '5M'",
        ),
        (
            "snapshot end",
            "snapshot: expected a name of letters, digits, _, . and -, which begins with a letter; got 'end'",
        ),
        ("type", r"usage: type TEXT, for example: type ls\n"),
        (r"type a\q", r"type: expected \n, \r, \t, \e, \xNN or \\ where a backslash is"),
        ("type a\\", r"type: expected \n, \r, \t, \e, \xNN or \\ where a backslash is"),
        ("\x1b[2J\n", rf"there is no command '\x1b[2J'; there are {', '.join(COMMANDS)}"),
        ("\u202e\xe4", rf"there is no command '\u202e\xe4'; there are {', '.join(COMMANDS)}"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(command: str, answer: str) -> None:
    assert nowhere().command(command) == f"{answer}\n"


# ---- in a trace


@dataclass
class Walk:
    """A monitor on a timeline."""

    timeline: Timeline
    read: Callable[[], TraceReader]
    notices: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.monitor = Monitor(self.timeline, self.timeline.board.symbols, read=self.read)
        self.timeline.on_notice = self.notices.append

    def lines(self, command: str) -> list[str]:
        return self.monitor.command(command).splitlines()


@pytest.fixture(scope="module")
def echo_trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image echo, to which two lines are typed."""
    path = tmp_path_factory.mktemp("monitor") / "echo.mst"
    record(path, setup_of("echo"), source=Hand(typed(b"hello\r"), typed(b"bye.")))
    return path


@pytest.fixture
def walk(echo_trace: Path) -> Iterator[Walk]:
    with closing(TraceReader(str(echo_trace))) as reader:
        yield Walk(TraceTimeline(Replay(reader)), lambda: reader)


def test_when_tells_place_time_and_share_of_the_trace(walk: Walk) -> None:
    end = walk.timeline.end
    walk.timeline.seek(1000)

    where, hart, kind = walk.lines("when")

    share = f"{100 * 1000 / end.icount:.2f}%"
    assert where == f"icount 1,000 ({share}), virtual time {walk.timeline.position.virtual_ns / 1e9:.9f} s"
    assert hart.startswith("hart0: pc 0x8000")
    assert kind == f"in the past: what is recorded goes up to icount {end.icount:,}"

    walk.timeline.run()
    assert walk.lines("when")[0].startswith(f"icount {end.icount:,} (100.00%)")
    assert walk.lines("when")[2] == "at the end"


@pytest.mark.parametrize(
    ("place", "icount"),
    [
        ("1000", 1000),
        ("2K", 2000),
        ("1,234", 1234),
        ("0x10", 16),
        ("start", 0),
        ("0%", 0),
        ("800ns", 400),
        ("0.8us", 400),
    ],
)
def test_seek_goes_to_counts_and_times(walk: Walk, place: str, icount: int) -> None:
    assert walk.lines(f"seek {place}")[0].startswith(f"icount {icount:,} (")
    assert walk.timeline.position.icount == icount


@pytest.mark.parametrize("percent", ["50", "12.5", ".1", "99.99"])
def test_seek_goes_to_a_share_of_the_trace(walk: Walk, percent: str) -> None:
    walk.lines(f"seek {percent}%")

    assert abs(walk.timeline.position.icount - walk.timeline.end.icount * float(percent) / 100) <= 1


def test_seek_beyond_the_end_comes_to_the_end_and_says_how_it_ended(walk: Walk) -> None:
    for place in ("end", "100%", "1G", "100s"):
        assert walk.lines(f"seek {place}")[-1] == "this is the end: finished"
        assert walk.timeline.is_at_end
        walk.timeline.seek(0)


def test_snapshot_is_a_name_to_come_back_to(walk: Walk) -> None:
    assert walk.lines("snapshots") == ["no moment has a name yet: snapshot NAME gives one"]
    walk.timeline.seek(500)
    digest = walk.timeline.board.digest()
    assert walk.lines("snapshot") == ["s1 is icount 500, virtual time 0.000001000 s: seek s1"]
    walk.timeline.seek(300)
    walk.lines("snapshot before")

    assert [line.split()[0] for line in walk.lines("snapshots")] == ["before", "s1"]
    walk.lines("seek s1")
    assert walk.timeline.board.digest() == digest


def test_snapshot_within_a_wait_is_found_again(walk: Walk) -> None:
    """echo sleeps until something is typed, so icount stands still while time goes on."""
    walk.timeline.seek(walk.read().reached().position.icount)
    item = next(item for item in walk.read().items() if item.name == "uart0.rx")
    walk.timeline.seek_ns(item.position.virtual_ns - 10)
    position, digest = walk.timeline.position, walk.timeline.board.digest()
    walk.lines("snapshot asleep")
    walk.lines("seek start")

    walk.lines("seek asleep")

    assert (walk.timeline.position, walk.timeline.board.digest()) == (position, digest)


def test_events_are_listed_as_the_log_has_them_with_a_mark_where_one_is(walk: Walk) -> None:
    items = [item for item in walk.read().items() if item.name == "uart0.rx"]
    walk.timeline.seek(items[1].position.icount - 1)

    lines = walk.lines("events")

    here = next(n for n, line in enumerate(lines) if line.startswith("      =>"))
    assert "hart0 is here" in lines[here]
    assert len([line for line in lines[:here] if "<- uart0.rx" in line]) == 1
    assert len([line for line in lines[here:] if "<- uart0.rx" in line]) == len(items) - 1
    assert "'hello\\r'" in lines[here - 1] or "<- uart0.rx" in lines[here - 1]
    walk.timeline.seek(0)
    assert walk.lines("events 1")[0].startswith("      =>")
    assert len(walk.lines("events 1")) == 2


def test_back_until_event_goes_to_just_before_it(walk: Walk) -> None:
    walk.timeline.run()
    items = [item for item in walk.read().items() if item.name == "uart0.rx"]

    walk.lines("back until event uart0.rx")

    assert walk.timeline.position < items[-1].position
    assert any(f"{items[-1].seq:>8}  " in line for line in walk.lines("events 1")[-1:])
    here = walk.timeline.position
    assert "nothing called nothing came in" in walk.lines("b u e nothing")[0]
    assert walk.timeline.position == here


def test_stop_of_a_move_is_told_with_its_reason(walk: Walk) -> None:
    walk.timeline.run()
    main = walk.timeline.board.symbols.find("main")
    assert main is not None
    walk.timeline.add_breakpoint(main.address)
    assert walk.monitor._arrived(walk.timeline.run_back())[-1] == "stopped before a breakpoint"
    walk.timeline.remove_breakpoint(main.address)
    walk.timeline.seek(1 << 40)
    walk.timeline.add_watch(WatchKind.STORE, walk.timeline.board.registers_of(0)["sp"] & ~7, 8)
    assert walk.monitor._arrived(walk.timeline.run_back())[-1].startswith("stopped by a watch: ")


def test_typing_in_the_past_diverts_and_when_says_so(walk: Walk) -> None:
    walk.timeline.seek(5000)

    assert walk.lines(r"type a\x62\r\n") == ["typed 4 bytes"]

    assert walk.lines("when")[-1].startswith("diverted: ")
    assert walk.notices
    assert walk.lines("snapshot x")[0].startswith("snapshot: in a diversion ")
    assert any(line.startswith("      =>") for line in walk.lines("events"))
    walk.lines("seek 100")
    assert not walk.timeline.is_diverted


def test_what_is_on_the_board_is_told_of_the_place_that_is_looked_at(walk: Walk) -> None:
    walk.timeline.seek(3000)
    for command, beginning in (
        ("info devices", "device"), ("info lines", "up:"), ("info tlb", "hart0: satp is 0x0"),
        ("info csrs 0", "hart0: rv64"), ("timers", "no timer is armed"), ("why", "hart0: pc 0x8"),
    ):  # fmt: skip
        assert walk.lines(command)[0].startswith(beginning), command
    assert walk.lines("info csrs 1") == ["info csrs: expected a hart from 0 to 0, got '1'"]
    assert walk.lines("info lines 1") == ["info lines takes no arguments, got '1'"]


def test_whatever_is_asked_the_answer_is_lines_of_plain_text(walk: Walk) -> None:
    pick = random.Random(20181001)
    words = [*COMMANDS, "tlb", "csrs", "devices", "until", "event", "uart0.rx", "5M", "3%", "1.5s", "-1", "\x1b",
             "\xff", "", "\u202e", "\udcff", "\ud800", "9" * 30, "0x", "%", "ns", "\n", "..", "1e9"]  # fmt: skip
    for _ in range(400):
        command = " ".join(pick.choices(words, k=pick.randrange(1, 4)))
        answer = walk.monitor.command(command)
        assert answer.endswith("\n"), command
        assert all(" " <= char <= "~" or char == "\n" for char in answer), command


# ---- who did that


class Asking(Walk):
    """A monitor that can ask another walk of the trace ``path``."""

    def __init__(self, reader: TraceReader) -> None:
        self.beside = TraceTimeline(Replay(reader))
        super().__init__(TraceTimeline(Replay(reader)), lambda: reader)
        self.monitor = Monitor(self.timeline, self.timeline.board.symbols, read=self.read, beside=lambda: self.beside)


@pytest.fixture(scope="module")
def smash_trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image smash, which ends in a trap."""
    path = tmp_path_factory.mktemp("monitor") / "smash.mst"
    record(path, setup_of("smash"))
    return path


@pytest.fixture
def asking(smash_trace: Path) -> Iterator[Asking]:
    with closing(TraceReader(str(smash_trace))) as reader:
        yield Asking(reader)


@pytest.mark.parametrize(
    "question",
    [
        "--write surveys_done",
        "--write surveys_done --all",
        "--read=surveys_done --before 2M",
        "--reg mcause",
        "--trap --before 100% --hart 0",
    ],
)
def test_questions_are_answered_as_the_command_does(asking: Asking, smash_trace: Path, question: str) -> None:
    asking.timeline.run()
    place, digest = asking.timeline.position, asking.timeline.board.digest()
    expected = minstret("why", smash_trace, *question.split()).stdout.decode()
    expected = re.sub(r"minstret debug --at (\d+) .*", r"starti \1", expected)

    assert expected
    assert asking.lines(f"why {question}") == expected.splitlines()
    assert (asking.timeline.position, asking.timeline.board.digest()) == (place, digest)
    assert asking.timeline.is_at_end


def test_what_the_hart_has_just_done_counts(asking: Asking) -> None:
    counter = asking.timeline.board.symbols.find("surveys_done")
    assert counter is not None
    watch = asking.timeline.add_watch(WatchKind.STORE, counter.address, 4)
    asking.timeline.run()
    stop = asking.timeline.run()
    assert stop.why is Why.WATCH

    first = asking.lines("why --write surveys_done")[0]

    assert f"was last written at icount {stop.hits[0].icount:,}," in first
    asking.timeline.remove_watch(watch)
    asking.timeline.seek(stop.hits[0].icount)
    assert f"at icount {stop.hits[0].icount:,}," not in asking.lines("why --write surveys_done")[0]


def test_trap_that_was_just_taken_counts(asking: Asking) -> None:
    """A breakpoint at the handler stops where the trap and no instruction lies behind."""
    asking.timeline.seek(3_371_122)
    assert asking.lines("why --trap") == ["no trap was taken"]
    asking.timeline.add_breakpoint(asking.timeline.board.registers_of(0)["mtvec"])
    assert asking.timeline.run().why is Why.BREAKPOINT
    assert asking.timeline.position.icount == 3_371_122

    assert asking.lines("why --trap")[0].startswith("hart0 took its last trap at icount 3,371,122,")
    assert asking.lines("why --reg mepc")[0].startswith("mepc of hart0 was last written at icount 3,371,122,")


def test_in_a_diversion_the_answer_is_about_the_recording(asking: Asking) -> None:
    asking.timeline.seek(2_000_000)
    asked = asking.lines("why --write surveys_done")
    asking.timeline.write_register("a0", 77)

    note, *lines = asking.lines("why --write surveys_done")

    assert note == "diverted: this is about the recording up to icount 2,000,000, and not about what was changed"
    assert lines == asked
    assert asking.timeline.is_diverted


def test_of_very_many_accesses_the_last_are_listed(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitorwhy, "LINES_MAX", 3)
    asking.timeline.run()
    note, *lines = asking.lines("why --write surveys_done --all")
    assert note == "the last 3 of 5; the command minstret why lists all"
    assert len(lines) == 3


def test_question_can_be_interrupted(asking: Asking) -> None:
    asking.timeline.run()
    calls: list[None] = []

    def look() -> None:
        calls.append(None)
        asking.monitor.interrupt()

    asking.timeline.on_stride = look
    assert asking.lines("why --write phys:0x800f0000:4") == ["interrupted on the way"]
    assert calls
    asking.timeline.on_stride = lambda: None
    assert asking.lines("why --write phys:0x800f0000:4")[0].endswith("it is as at power-on, 0x00000000")


def test_place_beyond_what_is_recorded_is_refused(asking: Asking) -> None:
    assert asking.lines("why --trap --before 5M") == ["--before: what is recorded goes from icount 0 to 3,371,132"]


def test_place_within_a_wait_is_found_again(echo_trace: Path) -> None:
    with closing(TraceReader(str(echo_trace))) as reader:
        asking = Asking(reader)
        item = next(item for item in reader.items() if item.name == "uart0.rx")
        for distance_ns in (10, 1, 0):
            asking.timeline.seek_ns(item.position.virtual_ns - distance_ns)
            asking.beside.seek_place(Place.of(asking.timeline.board.machine))
            assert asking.beside.position == asking.timeline.position
            assert asking.beside.board.digest() == asking.timeline.board.digest()


# ---- in a live run


def test_questions_in_a_live_run_are_about_what_has_happened_so_far(tmp_path: Path) -> None:
    with Recording(tmp_path / "live.mst", setup_of("smash")) as recording:
        timeline = LiveTimeline(recording, Replay)
        live = Walk(timeline, recording.reader)
        live.monitor = Monitor(timeline, timeline.board.symbols, read=recording.reader, beside=timeline.beside)
        timeline.step(1_500_000)
        assert live.lines("why --write surveys_done")[0].endswith("icount 1,128,371, virtual time 0.002256742 s")
        timeline.step(1_000_000)
        assert live.lines("why --write surveys_done")[0].split(" at icount ")[1].startswith("2,2")
        timeline.seek(1_500_000)
        assert live.lines("why --write surveys_done")[0].endswith("icount 1,128,371, virtual time 0.002256742 s")
        timeline.seek(2_500_000)
        assert timeline.is_live
        timeline.run()
        assert live.lines("why --trap")[0].startswith("hart0 took its last trap at icount 3,371,122,")
        assert timeline.is_at_end
        recording.run()


def test_live_run_is_told_as_such_and_its_events_as_far_as_it_has_come(tmp_path: Path) -> None:
    with Recording(tmp_path / "live.mst", setup_of("echo"), source=Hand(typed(b"one\r"), typed(b"two."))) as recording:
        live = Walk(LiveTimeline(recording, Replay), recording.reader)
        live.timeline.step(1_000)
        assert live.lines("when")[-1] == "live: the run goes on from here"
        count = len(live.lines("events"))
        live.lines("seek 50%")
        assert live.lines("when")[-1].startswith("in the past: what is recorded goes up to icount 1,000")
        live.lines("seek end")
        assert live.lines("when")[-1] == "live: the run goes on from here"
        assert len(live.lines("events")) == count
        assert live.lines("events")[-1].endswith("hart0 is here")
        assert live.lines(r"type x") == ["typed 1 byte"]
        assert live.lines("seek 100000000")[0].startswith("icount 1,000 ")
        live.timeline.run()
        assert live.lines("when")[-1] == "at the end"
        recording.run()
