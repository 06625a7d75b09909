"""gdb on ``smash``, recorded and live: forwards, backwards, and forwards again to the very same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from support import asm, elf_files
from support.commands import PATIENCE_S, minstret
from support.gdb import Answers, Mi, debug, gdb, icount_in, machine_interface, mi_value, need_gdb, serving
from support.needs import Need
from support.recordings import record, setup_of_image

from minstret.firmware import image_path

NO_MORE = "No more reverse-execution history"
NAME = "rain water tank behind the boiler house (south)"
TITLE_SIZE = 16
SAMPLES = 70_000
TO_CULPRIT = (
    "thread 1", "reverse-finish", "watch -l *(void **) ($sp - sizeof(void *))", "reverse-continue", "delete",
)  # fmt: skip
"""From the end to who wrote the last byte of the return address that differs."""


@dataclass(frozen=True)
class Smash:
    """``smash`` on a board: a recording, or a new live run each time, which is not recorded to a file."""

    recording: Path | None
    xlen: int
    harts: int

    def debug(self, *commands: str, at: str = "end") -> Answers:
        """Answers to ``commands``, from the start or the end on."""
        if self.recording is not None:
            return debug(self.recording, *commands, options=("-q", "--at", at))
        first = ("continue",) if at == "end" else ()
        options = ("--no-input", "--smp", self.harts, "--gdb", "127.0.0.1:0", "--wait")
        with serving("run", *options, f"smash-rv{self.xlen}") as served:
            said = gdb(served.address, *first, *commands, elf=image_path("smash", self.xlen))
        return replace(said, texts=said.texts[len(first) :])

    def debug_culprit(self, *commands: str) -> Answers:
        """Answers to ``commands`` where the return address is overwritten."""
        said = self.debug(*TO_CULPRIT, *commands)
        return replace(said, texts=said.texts[len(TO_CULPRIT) :])


def each_smash() -> Iterator[Any]:
    """Recorded or live, in both widths, with one hart or two: each pair of these. Two boards are for every day."""
    quick = (False, 64, 1), (True, 32, 2)
    for is_live, xlen, harts in (*quick, (False, 64, 2), (False, 32, 1), (True, 64, 1)):
        name = f"{'live' if is_live else 'recorded'}-rv{xlen}-{harts}"
        marks = () if (is_live, xlen, harts) in quick else pytest.mark.slow
        yield pytest.param((is_live, xlen, harts), id=name, marks=marks)


@pytest.fixture(scope="module", params=each_smash())
def smash(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Smash:
    is_live, xlen, harts = request.param
    if is_live:
        return Smash(None, xlen, harts)
    path = tmp_path_factory.mktemp("smash") / "smash.mst"
    record(path, setup_of_image("smash", xlen, smp=harts))
    return Smash(path, xlen, harts)


@pytest.fixture(autouse=True)
def is_here(need: Need) -> None:
    need_gdb(need)


def line_in(text: str) -> str:
    """The last line of source that gdb shows."""
    return re.findall(r"^\d+\t\s*(.*)$", text, re.MULTILINE)[-1]


# ---- who overwrote the return address?


def test_backtrace_at_the_end_ends_at_an_address_that_is_text(smash: Smash) -> None:
    (where,) = smash.debug("thread apply 1 backtrace")

    assert "on_trap () at firmware/smash/main.c" in where
    address = re.search(r"0x([0-9a-f]+) in \?\?", where)
    assert address
    assert bytes.fromhex(address[1])[::-1].rstrip(b"\0")[1:].decode() in NAME


def test_reverse_continue_finds_who_overwrote_the_return_address(smash: Smash) -> None:
    _, returned, _, culprit, _ = smash.debug(*TO_CULPRIT)
    last, size, threads, when = smash.debug_culprit(
        "print at", "print sizeof survey->title", "info threads", "monitor when"
    )

    assert "in survey_tank" in returned
    assert re.search(rf'set_title \(survey=0x\w+, name=0x\w+ "{re.escape(NAME)}"\)', culprit)
    assert "Old value = (void *) 0x" in culprit
    assert line_in(culprit) == "survey->title[at] = name[at];"
    assert size == f"$2 = {TITLE_SIZE}"
    assert int(last.removeprefix("$1 = ")) >= TITLE_SIZE
    assert re.search(rf"^\* {smash.harts} .*set_title", threads, re.MULTILINE)
    assert icount_in(when) < icount_in(smash.debug("monitor when")[0]) - 10 * SAMPLES


def test_monitor_why_names_the_culprit_and_stays_where_it_is(smash: Smash) -> None:
    said = smash.debug("monitor when", "monitor why --trap", "monitor when", "stepi")
    here, why, still, _ = said
    assert re.search(r"\n  hart\d: pc 0x\w+ <set_title\+0x\w+> \(smash/main.c:63\): ", why), why
    assert still == here

    *_, last = smash.debug("watch surveys_done", "reverse-continue", "monitor why --write surveys_done --before end")
    assert last.splitlines()[-2].endswith(": surveys_done: 2 -> 3")
    starti = last.splitlines()[-1].removeprefix("  look there: ")
    *_, line = smash.debug(starti, "frame")
    assert "survey_tank" in line


def test_culprit_has_locals_arguments_and_callers(smash: Smash) -> None:
    variables, arguments, title, callers, code = smash.debug_culprit(
        "info locals", "info args", "print survey->title", "backtrace", "x/2i $pc"
    )

    assert re.fullmatch(r"at = \d+", variables)
    assert re.fullmatch(rf'survey = 0x\w+\nname = 0x\w+ "{re.escape(NAME)}"', arguments)
    assert title == f'$1 = "{NAME[:TITLE_SIZE]}"'
    caller = "survey_tank" if smash.harts == 1 else "write_titles"
    assert re.search(rf"^#1 .* {caller} ", callers, re.MULTILINE)
    assert re.match(r"=> 0x\w+ <set_title\+\d+>:\tsb\t", code)


def test_forward_again_comes_to_the_same_trap_with_the_same_registers(smash: Smash) -> None:
    looks = ("thread 1", "info registers", "info registers csr", "monitor when")
    before = smash.debug("thread 1", "tbreak on_trap", "reverse-continue", *looks)
    again = smash.debug_culprit("tbreak on_trap", "continue", *looks)

    assert "on_trap" in again[1]
    assert before.texts[3:] == again.texts[2:]
    assert "mhartid" in again[4]


def test_end_can_be_reached_again(smash: Smash) -> None:
    at_end, registers = smash.debug("monitor when", "info registers")
    again = smash.debug_culprit("continue", "monitor when", "info registers")

    assert again[1] == at_end
    assert again[2] == registers


# ---- steps


def test_reverse_stepi_undoes_stepi(smash: Smash) -> None:
    steps, look = ["stepi", "stepi 1000", "stepi 3"], ["info registers", "monitor when"]
    moves = [*steps, *(f"reverse-{step}" for step in reversed(steps))]
    commands = ["tbreak measure", "continue", *look, *(word for move in moves for word in (move, *look))]
    said = smash.debug(*commands, at="start")

    places = [(said[at], icount_in(said[at + 1])) for at in range(2, len(commands), 3)]
    forward, back = places[: len(steps) + 1], places[len(steps) :]
    assert forward == back[::-1]
    assert [icount - forward[0][1] for _, icount in forward] == [0, 1, 1001, 1004]


def test_reverse_finish_goes_to_the_call(smash: Smash) -> None:
    _, line = smash.debug_culprit("reverse-finish", "frame")

    caller, call = ("survey_tank", "set_title(&survey, tank->name);") if smash.harts == 1 else (
        "write_titles", "set_title(request.survey, request.tank->name);"
    )  # fmt: skip
    assert caller in line
    assert line_in(line) == call


def test_reverse_next_passes_over_calls_and_reverse_step_enters_them(smash: Smash) -> None:
    over = smash.debug("break main.c:117", "continue", "reverse-next", "frame", at="start")
    into = smash.debug("break main.c:117", "continue", "reverse-step", "frame", at="start")

    assert line_in(over[1]).startswith("print(")
    assert (line_in(over[3]), "survey_tank" in over[3]) == ("measure(&survey, tank->seed);", True)
    assert "measure (survey=0x" in into[3]


def test_next_until_advance_and_finish_go_line_by_line(smash: Smash) -> None:
    said = smash.debug(
        "tbreak measure", "continue", "until 107", "next", "next", "finish", "advance measure", "step", at="start"
    )

    assert [line_in(text).partition("(")[0] for text in said.texts[1:6]] == [
        "survey->lowest = LEVELS;", "}", "print", "surveys_done++;", "survey_tank"
    ]  # fmt: skip
    assert "measure (survey=0x" in said[6]
    assert line_in(said[7]) == "uint32_t level = next_level(&noise);"


# ---- breakpoints


def test_conditional_breakpoint_going_back_stops_at_the_last_time_it_holds(smash: Smash) -> None:
    hit, seed, when, hit_before, seed_before, start = smash.debug(
        "break survey_tank if surveys_done < 2", "reverse-continue", "print surveys_done", "reverse-continue",
        "print surveys_done", "reverse-continue",
    )  # fmt: skip

    assert "Breakpoint 1, survey_tank" in seed
    assert when == "$1 = 1"
    assert "Breakpoint 1, survey_tank" in hit_before
    assert seed_before == "$2 = 0"
    assert NO_MORE in start
    assert "Breakpoint 1 at" in hit


def test_temporary_breakpoint_stops_once(smash: Smash) -> None:
    _, first, second = smash.debug("tbreak survey_tank", "continue", "continue", at="start")

    assert "Temporary breakpoint 1, survey_tank" in first
    assert NO_MORE in second


def test_breakpoint_changes_no_byte_of_the_guest(smash: Smash) -> None:
    before, _, _, after, by_gdb = smash.debug(
        "x/2xw survey_tank", "break survey_tank", "reverse-continue", "x/2xw survey_tank", "info breakpoints"
    )

    assert before == after
    assert "already hit 1 time" in by_gdb


# ---- watchpoints


def values_in(text: str) -> tuple[int, int]:
    found = re.search(r"Old value = (\d+)\nNew value = (\d+)\n", text)
    assert found, text
    return int(found[1]), int(found[2])


def test_watch_stops_at_each_change_forwards_and_backwards(smash: Smash) -> None:
    there, back = ["continue"] * 4, ["reverse-continue"] * 4
    said = smash.debug("watch surveys_done", *there, *back, at="start")

    assert "Hardware watchpoint 1: surveys_done" in said[0]
    assert [values_in(text) for text in said.texts[1:4]] == [(0, 1), (1, 2), (2, 3)]
    assert NO_MORE in said[4]
    assert [values_in(text) for text in said.texts[5:8]] == [(3, 2), (2, 1), (1, 0)]
    assert NO_MORE in said[8]


def test_rwatch_stops_at_each_read(smash: Smash) -> None:
    said = smash.debug("rwatch surveys_done", *["continue"] * 4, *["reverse-continue"] * 3, at="start")

    assert [re.findall(r"Value = (\d+)", text) for text in said] == [[], ["0"], ["1"], ["2"], [], ["2"], ["1"], ["0"]]
    assert "Hardware read watchpoint 1: surveys_done" in said[0]


def test_awatch_stops_at_reads_and_writes(smash: Smash) -> None:
    said = smash.debug("tbreak hart_main", "continue", "awatch surveys_done", *["continue"] * 7, at="start")

    assert [re.findall(r"Value = (\d+)", said[at]) for at in (3, 5, 7)] == [["0"], ["1"], ["2"]]
    assert [values_in(said[at]) for at in (4, 6, 8)] == [(0, 1), (1, 2), (2, 3)]
    assert NO_MORE in said[9]


def test_watch_of_a_field_of_a_local_ends_with_its_function(smash: Smash) -> None:
    said = smash.debug(
        "tbreak main.c:116 if surveys_done == 1", "continue", "watch survey.lowest", "continue", "continue", at="start"
    )

    assert values_in(said[3])[1] == 1000
    assert "measure (" in said[3]


# ---- harts are threads


def test_threads_are_harts(smash: Smash) -> None:
    threads, backtraces, ids = smash.debug(
        "info threads", "thread apply all backtrace 1", "thread apply all print $mhartid"
    )

    assert re.findall(r"^[* ] (\d+)", threads, re.MULTILINE) == [str(1 + hart) for hart in range(smash.harts)]
    assert threads.count("hart") >= smash.harts
    assert backtraces.count("#0 ") == smash.harts
    assert sorted(re.findall(r"= (\d)$", ids, re.MULTILINE)) == [str(hart) for hart in range(smash.harts)]


def test_stepi_of_a_thread_retires_an_instruction_of_its_hart(smash: Smash) -> None:
    commands = ["tbreak set_title", "continue", "thread 1", "print $minstret", "stepi", "print $minstret", "thread"]
    said = smash.debug(*commands, at="start")

    before, after = (int(said[at].rpartition("= ")[2]) for at in (3, 5))
    assert after == before + 1
    assert "Current thread is 1 " in said[6]


# ---- changing the past


def test_what_is_written_in_the_past_holds_until_one_goes_back(smash: Smash) -> None:
    *_, written, stepped, _, went_back, _, again = smash.debug(
        "tbreak measure if surveys_done == 1", "continue", "stepi 9", "reverse-stepi 9", "set var surveys_done = 77",
        "print surveys_done", "stepi", "print surveys_done", "reverse-stepi", "print surveys_done", "stepi",
        "print surveys_done", at="start",
    )  # fmt: skip

    assert (stepped, went_back, again) == ("$2 = 77", "$3 = 1", "$4 = 1")
    assert "minstret: a diversion" in written


def test_another_return_address_lets_the_guest_go_on_until_one_goes_back(smash: Smash) -> None:
    """The bug is undone by hand: the fourth tank is surveyed, in what is no recording any more."""
    said = smash.debug(
        "thread 1", "tbreak survey_tank if surveys_done == 2", "reverse-continue", "set $good = $ra",
        "tbreak main.c:118", "continue", "set var *(void **) ($fp - sizeof(void *)) = $good",
        "tbreak survey_tank", "continue", "print surveys_done", "reverse-continue", "print surveys_done",
    )  # fmt: skip

    assert "Temporary breakpoint 3, survey_tank" in said[8]
    assert said[9].endswith("= 3")


def test_register_written_in_the_past_is_forgotten_by_going_back(smash: Smash) -> None:
    *_, before, _, written, _, _, after = smash.debug(
        "stepi 200", "reverse-stepi 100", "print $t0", "set $t0 = 12345", "print $t0", "reverse-stepi", "stepi",
        "print $t0", at="start",
    )  # fmt: skip

    assert written == "$2 = 12345"
    assert after.removeprefix("$3") == before.removeprefix("$1")


# ---- the rest


def test_monitor_answers(smash: Smash) -> None:
    helped, when, unknown, why = smash.debug("monitor help", "monitor when", "monitor frobnicate", "monitor why")

    assert {"when", "seek", "timers", "events"} <= set(helped.split())
    assert icount_in(when) > 20 * SAMPLES
    assert "frobnicate" in unknown
    assert "Traceback" not in unknown
    assert "instruction access fault" in why


def test_monitor_seek_goes_there_and_gdb_sees_it(smash: Smash) -> None:
    end, _, there, threads, back, here = smash.debug(
        "monitor when", "monitor seek 50%", "monitor when", "info threads", "reverse-stepi", "monitor when"
    )

    assert abs(icount_in(there) * 2 - icount_in(end)) <= 1
    assert icount_in(here) == icount_in(there) - 1
    assert threads
    assert back


def test_run_begins_again_at_the_start(smash: Smash) -> None:
    _, restarted, when = smash.debug("tbreak survey_tank", "run", "monitor when")
    said = smash.debug("starti", "monitor when", "break survey_tank", "run", "print surveys_done")

    assert "survey_tank" in restarted
    assert icount_in(when) < 10 * SAMPLES
    assert icount_in(said[1]) == 0
    assert said[4] == "$1 = 0"


def test_starti_with_a_place_goes_there_and_gdb_knows(smash: Smash) -> None:
    end, _, pc, here, _, again, _, lost = smash.debug(
        "monitor when", "starti 50%", "print/x $pc", "monitor when", "starti 1000", "monitor when", "starti nowhere",
        "stepi",
    )  # fmt: skip

    assert abs(icount_in(here) * 2 - icount_in(end)) <= 1
    assert f"pc {pc.rpartition(' ')[2]} " in here
    assert icount_in(again) == 1000
    assert "got 'nowhere'" in lost


def test_find_searches_memory(smash: Smash) -> None:
    found, text, nothing = smash.debug(
        "find 0x80000000, +0x2000, 'b', 'o', 'i', 'l', 'e', 'r'",
        "print (char *) $_",
        "find 0x80000000, +0x2000, 'q', 'z', 'q'",
    )

    assert "patterns found." in found
    assert '"boiler house (south)"' in text
    assert "Pattern not found." in nothing


def test_memory_that_is_not_there_is_an_error_of_gdb(smash: Smash) -> None:
    (said,) = smash.debug("x/xw 0x40000000")

    assert "Cannot access memory at address 0x40000000" in said


def test_detach_and_kill_end_the_session(smash: Smash) -> None:
    (detached,) = smash.debug("detach")
    (killed,) = smash.debug("kill")

    assert detached == "[Inferior 1 (Remote target) detached]"
    assert killed.splitlines()[-1] == "[Inferior 1 (Remote target) killed]"


# ---- live runs


@pytest.mark.parametrize("xlen", [64, 32])
def test_what_is_written_at_the_present_of_a_live_run_is_part_of_its_recording(xlen: int, tmp_path: Path) -> None:
    """A name that fits is put in place of the one that does not, so the run ends well; its replay does that alone."""
    trace = tmp_path / "mended.mst"
    with serving("record", "-o", trace, "--gdb", "127.0.0.1:0", "--wait", f"smash-rv{xlen}") as served:
        *_, kept, _ = gdb(
            served.address, "tbreak set_title if surveys_done == 2", "continue", "reverse-stepi 5", "stepi 5",
            "set var name = tanks[0].name", "stepi 2", "reverse-stepi 2", "print name", "continue",
            elf=image_path("smash", xlen),
        )  # fmt: skip
        console, _ = served.process.communicate(timeout=PATIENCE_S)

    replayed = minstret("replay", trace)

    assert '"north tank"' in kept
    assert b"all 4 tanks surveyed" in console
    assert (served.process.returncode, replayed.returncode) == (0, 0)
    assert replayed.stdout == console


def test_live_run_is_stopped_by_ctrl_c_goes_back_goes_on_live_and_goes_on_without_gdb(tmp_path: Path) -> None:
    spins = elf_files.write_elf(tmp_path / "spins.elf", asm.code(asm.addi(asm.S1, asm.S1, 1), asm.jal(0, -4)))
    with serving("run", "--gdb", "127.0.0.1:0", "--wait", spins) as served, machine_interface() as mi:
        assert mi("-gdb-set mi-async on") == "done"
        assert mi(f"-target-select extended-remote {served.address}").startswith("connected")
        stop = run_on(mi, 100)
        back = mi.move("-exec-step-instruction --reverse 3")
        forward = mi.move("-exec-step-instruction 3")
        later = retired(mi) + 1000
        mi.move("-exec-step-instruction --reverse")
        run_on(mi, later)
        assert mi("-target-detach").startswith("done")

        assert served.process.poll() is None

    assert 'signal-name="SIGINT"' in stop
    assert 'reason="end-stepping-range"' in back
    assert address_in(forward) == address_in(stop)


def run_on(mi: Mi, insns: int) -> str:
    """Let hart 0 go on and stop it, until it has retired so many instructions. The last stop."""
    while True:
        known = len(mi.stops)
        assert mi("-exec-continue") == "running"
        assert mi("-exec-interrupt") == "done"
        stop = mi.next_stop(known)
        if retired(mi) >= insns:
            return stop


def retired(mi: Mi) -> int:
    return int(mi_value(mi("-data-evaluate-expression $minstret")))


def address_in(stop: str) -> str:
    found = re.search(r'addr="(0x\w+)"', stop)
    assert found, stop
    return found[1]


def test_kill_ends_a_live_run() -> None:
    with serving("run", "--gdb", "127.0.0.1:0", "--wait", "smash") as served:
        gdb(served.address, "stepi 10", "kill", elf=image_path("smash"))
        served.process.communicate(timeout=PATIENCE_S)

    assert served.process.returncode != 0
