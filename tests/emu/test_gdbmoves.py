"""Moves that a client of gdb's remote protocol asks for, and what it is told of where they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import asm
from support.gdb_clients import Client, framed, reason, thread, timeline_of_code
from support.harts import RAM, ROM_INSNS, program_at, programs_of
from support.recordings import PASS, finish_code, setup_of_code, tamper

from minstret.devices.board.traced import Recording, Replay, live_timeline
from minstret.emu.gdbstub import GdbStub
from minstret.emu.hart.watches import WatchKind
from minstret.emu.monitor import Monitor
from minstret.emu.past import TraceTimeline
from minstret.emu.session import RunLimits

UART = 0x1000_0000
WORD = RAM + 0x1010
LOOP_AT, STORE_AT, LOAD_AT, JUMP_AT = RAM + 4, RAM + 8, RAM + 12, RAM + 16
LOOP_INSNS = 4
INSNS = ROM_INSNS + 1 + 10 * LOOP_INSNS
"""How many of ``code`` are recorded: ten rounds."""


def code() -> bytes:
    """Counts in a0, stores that at WORD and loads it, again and again."""
    return asm.code(
        asm.auipc(asm.S0, 1), asm.addi(asm.A0, asm.A0, 1), asm.sw(asm.A0, asm.S0, 16), asm.lw(asm.A1, asm.S0, 16),
        asm.jal(asm.ZERO, -12),
    )  # fmt: skip


Make = Callable[..., Client]


@pytest.fixture
def client_of(tmp_path: Path) -> Make:
    """Makes a client of a recording of ``code`` that stands before its first instruction."""

    def make(features: str = "swbreak+;hwbreak+", xlen: int = 64, **options: Any) -> Client:
        timeline = timeline_of_code(tmp_path, code(), insns=INSNS, xlen=xlen)
        timeline.seek(ROM_INSNS)
        return Client(GdbStub(timeline, **options), features)

    return make


@pytest.fixture
def client(client_of: Make) -> Client:
    return client_of()


def icount(client: Client) -> int:
    return client.stub.timeline.position.icount


def word(client: Client) -> int:
    return int.from_bytes(bytes.fromhex(client.ask(f"m{WORD:x},4")), "little")


# ---- steps


@pytest.mark.parametrize("xlen", [32, 64])
def test_step_goes_one_instruction_on_and_back(client_of: Make, xlen: int) -> None:
    client = client_of(xlen=xlen)
    for packet, pc in (("vCont;s:1", RAM + 4), ("s", RAM + 8), ("S05", RAM + 12), ("bs", RAM + 8), ("bs", RAM + 4)):
        stop = client.ask(packet)
        size = xlen // 8
        assert stop.startswith("T05thread:1;")
        assert f";20:{pc.to_bytes(size, 'little').hex()};" in stop
        assert client.pc == pc


def test_step_with_an_address_goes_on_from_there(client: Client) -> None:
    client.ask("vCont;s:1")
    client.ask(f"s{JUMP_AT:x}")
    assert client.pc == LOOP_AT
    client.ask(f"S05;{JUMP_AT:x}")
    assert client.pc == LOOP_AT
    client.ask(f"Z0,{STORE_AT:x},4")
    assert reason(client.ask(f"c{JUMP_AT:x}")) == "swbreak:"
    assert client.ask("sxyz") == client.ask("c-1") == client.ask("C05;q") == "E22"


def test_range_is_stepped_through_until_pc_leaves_it(client: Client) -> None:
    client.ask("vCont;s:1")
    stop = client.ask(f"vCont;r{LOOP_AT:x},{JUMP_AT:x}:1;c")
    assert (reason(stop), client.pc, icount(client)) == ("", JUMP_AT, ROM_INSNS + 4)
    client.ask(f"vCont;r{JUMP_AT:x},{JUMP_AT + 4:x}:1")
    assert client.pc == LOOP_AT


def test_range_steps_at_least_once_and_stops_at_breakpoints(client: Client) -> None:
    client.ask(f"vCont;r{RAM:x},{RAM:x}:1")
    assert client.pc == LOOP_AT
    client.ask(f"Z0,{LOAD_AT:x},4")
    stop = client.ask(f"vCont;r{LOOP_AT:x},{RAM + 0x100:x}:1")
    assert (reason(stop), client.pc) == ("swbreak:", LOAD_AT)
    client.ask(f"z0,{LOAD_AT:x},4")
    assert reason(client.ask(f"vCont;r{LOOP_AT:x},{RAM + 0x100:x}:1")) == "replaylog:end"


@pytest.mark.parametrize(
    "packet",
    ["vCont", "vCont;", "vCont;x", "vCont;s:", "vCont;s:9", "vCont;C", "vCont;r1:1", "vCont;r,:1", "vCont;s:1;z",
     "vCont;r1,22222222222222222:1", "vCont;s;;", "vContX;s"],
)  # fmt: skip
def test_resumption_that_makes_no_sense_moves_nothing(client: Client, packet: str) -> None:
    assert client.ask(packet) == ("" if packet == "vContX;s" else "E22")
    assert icount(client) == ROM_INSNS


def test_thread_that_is_to_stop_has_stopped_already(client: Client) -> None:
    assert client.ask("vCont;t:1").startswith("T00thread:1;")
    assert icount(client) == ROM_INSNS


# ---- breakpoints


@pytest.mark.parametrize(("kind", "name"), [(0, "swbreak"), (1, "hwbreak")])
def test_breakpoint_stops_before_its_instruction_in_both_directions(client: Client, kind: int, name: str) -> None:
    assert client.ask(f"Z{kind},{STORE_AT:x},4") == client.ask(f"Z{kind},{STORE_AT:x},4;X1,0") == "OK"
    for packet in ("vCont;c", "c", "C05", "vCont;C05:1", "vCont;c:1"):
        stop = client.ask(packet)
        assert (reason(stop), thread(stop), client.pc) == (f"{name}:", 1, STORE_AT)
    assert icount(client) == ROM_INSNS + 2 + 4 * LOOP_INSNS
    stop = client.ask("bc")
    assert (reason(stop), icount(client)) == (f"{name}:", ROM_INSNS + 2 + 3 * LOOP_INSNS)
    assert client.ask(f"z{kind},{STORE_AT:x},4") == client.ask(f"z{kind},{STORE_AT:x},4") == "OK"
    assert reason(client.ask("bc")) == "replaylog:begin"


def test_client_that_does_not_know_a_reason_is_not_told_it(client_of: Make) -> None:
    client = client_of("hwbreak+")
    client.ask(f"Z0,{STORE_AT:x},4")
    assert reason(client.ask("vCont;c")) == ""
    client.ask(f"Z1,{LOAD_AT:x},4")
    assert reason(client.ask("vCont;c")) == "hwbreak:"


def test_breakpoint_where_no_instruction_can_be_is_refused(client: Client) -> None:
    assert client.ask(f"Z0,{LOOP_AT + 1:x},4") == "E.no instruction can be at 0x80000005"
    assert client.ask("Z0,,") == client.ask("Z,1,1") == client.ask("Zx,1,1") == client.ask("z0") == "E22"


def test_address_that_was_extended_by_its_sign_is_meant_on_rv32(client_of: Make) -> None:
    client = client_of(xlen=32)
    assert client.ask(f"Z0,ffffffff{STORE_AT:x},4") == "OK"
    assert reason(client.ask("vCont;c")) == "swbreak:"
    assert client.ask(f"mffffffff{RAM:x},4") == code()[:4].hex()


# ---- watchpoints


def step_over_watch(client: Client, packet: str, type_: int, address: int, size: int) -> None:
    """What gdb does after it was told of an access: it takes that to be not yet done."""
    client.ask(f"z{type_},{address:x},{size:x}")
    before = icount(client)
    stop = client.ask(packet)
    assert (reason(stop), icount(client)) == ("", before)
    client.ask(f"Z{type_},{address:x},{size:x}")


@pytest.mark.parametrize(
    ("type_", "name", "places"),
    [(2, "watch", [(LOAD_AT, 1)]), (3, "rwatch", [(JUMP_AT, 1)]), (4, "awatch", [(LOAD_AT, 1), (JUMP_AT, 1)])],
)
def test_watchpoint_stops_after_an_access_going_forward(
    client: Client, type_: int, name: str, places: list[tuple[int, int]]
) -> None:
    assert client.ask(f"Z{type_},{WORD:x},4") == "OK"
    for pc, value in places:
        stop = client.ask("vCont;c")
        assert (reason(stop), thread(stop)) == (f"{name}:{WORD:x}", 1)
        step_over_watch(client, "vCont;s:1", type_, WORD, 4)
        assert (client.pc, word(client)) == (pc, value)


@pytest.mark.parametrize(
    ("type_", "name", "places"),
    [(2, "watch", [(STORE_AT, 9), (STORE_AT, 8)]), (3, "rwatch", [(LOAD_AT, 10), (LOAD_AT, 9)]),
     (4, "awatch", [(LOAD_AT, 10), (STORE_AT, 9), (LOAD_AT, 9)])],
)  # fmt: skip
def test_watchpoint_stops_before_an_access_going_back(
    client: Client, type_: int, name: str, places: list[tuple[int, int]]
) -> None:
    client.stub.timeline.run()
    client.ask(f"Z{type_},{WORD:x},4")
    for pc, value in places:
        stop = client.ask("bc")
        assert reason(stop) == f"{name}:{WORD:x}"
        step_over_watch(client, "bs", type_, WORD, 4)
        assert (client.pc, word(client)) == (pc, value)


def test_step_after_a_watchpoint_that_is_still_there_is_a_step(client: Client) -> None:
    client.ask(f"Z2,{WORD:x},4")
    client.ask("vCont;c")
    client.ask("vCont;s:1")
    assert client.pc == JUMP_AT


def test_only_the_first_step_in_the_same_direction_was_made_before(client: Client) -> None:
    client.ask(f"Z2,{WORD:x},4")
    client.ask("vCont;c")
    step_over_watch(client, f"vCont;r{RAM:x},{RAM + 0x100:x}:1", 2, WORD, 4)
    client.ask("vCont;s:1")
    assert client.pc == JUMP_AT
    client.ask("vCont;c")
    client.ask(f"z2,{WORD:x},4")
    client.ask("bs")
    assert client.pc == STORE_AT


@pytest.mark.parametrize(
    ("address", "size", "told"), [(WORD + 3, 1, WORD + 3), (WORD - 5, 7, WORD), (RAM, 0x8000, WORD)]
)
def test_watched_range_may_have_any_length_and_its_accesses_are_told_by_address(
    client: Client, address: int, size: int, told: int
) -> None:
    client.ask(f"Z2,{address:x},{size:x}")
    assert reason(client.ask("vCont;c")) == f"watch:{told:x}"


def test_range_that_is_no_ram_can_not_be_watched(client: Client) -> None:
    assert client.ask(f"Z2,{UART:x},4") == "E.4 bytes at 0x10000000 are not in RAM"
    assert client.ask(f"Z3,{WORD:x},0").startswith("E.0 bytes can't be watched")
    assert client.ask("Z4,8000000,ffffffffffffffff").startswith("E.")
    assert client.ask(f"z2,{UART:x},4") == "OK"
    assert reason(client.ask("vCont;c")) == "replaylog:end"


def test_stop_for_somebody_else_s_watch_has_no_reason(client: Client) -> None:
    client.stub.timeline.add_watch(WatchKind.STORE, WORD, 4)
    stop = client.ask("vCont;c")
    assert (reason(stop), client.pc) == ("", LOAD_AT)


# ---- the ends


def test_end_of_the_recording_says_so_and_one_can_go_back(client: Client) -> None:
    for _ in range(2):
        client.text = ""
        assert reason(client.ask("vCont;c")) == "replaylog:end"
        assert client.text == "minstret: the recording ends here\n"
    assert client.ask("bs").startswith("T05thread")
    assert icount(client) == INSNS - 1
    assert reason(client.ask("vCont;s:1")) == ""
    assert reason(client.ask("vCont;s:1")) == "replaylog:end"


def test_start_says_so_and_one_can_go_on(client: Client) -> None:
    for packet in ("bc", "bc", "bs"):
        assert reason(client.ask(packet)) == "replaylog:begin"
    assert icount(client) == 0
    assert reason(client.ask("vCont;s:1")) == ""


@pytest.mark.parametrize(
    ("program", "text"),
    [
        (asm.code(asm.WFI), "guest waits forever at 0x80000004: in WFI with no interrupt enabled in mie"),
        (asm.code(0), "trap loop at 0x0: the first trap was illegal instruction (2) at pc 0x80000000"),
        (finish_code(PASS), "the guest has finished, with exit code 0"),
    ],
)
def test_end_of_a_run_says_how_it_ended(tmp_path: Path, program: bytes, text: str) -> None:
    client = Client(GdbStub(timeline_of_code(tmp_path, program)))
    assert reason(client.ask("vCont;c")) == "replaylog:end"
    assert client.text.startswith(f"minstret: {text}")


def test_text_for_the_end_may_come_from_outside(client_of: Make) -> None:
    client = client_of(end_text=lambda outcome: f"it is over:\n{outcome.reason.name} \x1b")
    client.ask("vCont;c")
    assert client.text == "minstret: it is over:\nminstret: REACHED \\x1b\n"


def test_replay_that_differs_is_told_in_one_line_and_stops(tmp_path: Path) -> None:
    timeline_of_code(tmp_path, finish_code(PASS))
    path = tmp_path / "code.mst"
    assert tamper(str(path), "UPDATE meta SET value = replace(value, '\"exit_code\": 0', '\"exit_code\": 5')")
    client = Client(GdbStub(TraceTimeline(Replay(path))))
    assert reason(client.ask("vCont;c")) == ""
    assert client.text.startswith("minstret: ") and client.text.count("\n") == 1
    assert client.ask("bs").startswith("T05")


# ---- Ctrl-C


def looping(tmp_path: Path) -> Client:
    """Of a recording that takes long to play."""
    return Client(GdbStub(timeline_of_code(tmp_path, asm.code(asm.LOOP), insns=3_000_000)))


@pytest.mark.parametrize("packet", ["vCont;c", f"vCont;r{RAM:x},{RAM + 16:x}:1", "bc"])
def test_ctrl_c_stops_what_is_under_way(tmp_path: Path, packet: str) -> None:
    client = looping(tmp_path)
    client.stub.timeline.seek(2_999_999 if packet == "bc" else ROM_INSNS)
    strides = []

    def on_stride() -> None:
        strides.append(1)
        if len(strides) == 2:
            client.stub.receive(b"\x03")

    client.stub.timeline.on_stride = on_stride
    assert client.ask(packet).startswith("T02thread:1;")
    assert icount(client) < 3_000_000
    client.stub.timeline.on_stride = lambda: None
    assert client.ask("vCont;s:1").startswith("T05thread:1;")


def test_ctrl_c_that_comes_with_the_resumption_stops_it_at_once(client: Client) -> None:
    client.stub.receive(framed(b"vCont;c") + b"\x03")
    assert client.replies()[0].startswith("T02")
    assert icount(client) == ROM_INSNS


def test_ctrl_c_while_nothing_is_under_way_is_passed_over(client: Client) -> None:
    client.stub.receive(b"\x03")
    assert client.replies() == []
    assert client.ask("vCont;s:1").startswith("T05")


@pytest.mark.parametrize(("run", "step"), [("vCont;c", "vCont;s:1"), ("bc", "bs")])
def test_ctrl_c_that_crosses_a_stop_is_for_the_next_move(client: Client, run: str, step: str) -> None:
    """Where a breakpoint's condition does not hold, gdb goes on by itself: for its user it has run all the time."""
    client.stub.timeline.seek(INSNS // 2)
    client.ask(f"Z0,{STORE_AT:x},4")
    assert reason(client.ask(run)) == "swbreak:"
    there = icount(client)
    client.stub.receive(b"\x03")
    client.ask(f"z0,{STORE_AT:x},4")
    assert client.ask(step).startswith("T02")
    assert icount(client) == there
    assert client.ask(step).startswith("T05")
    assert abs(icount(client) - there) == 1


@pytest.mark.parametrize(("run", "step"), [("vCont;c", "vCont;s:1"), ("bc", "bs")])
def test_ctrl_c_that_crosses_a_watchpoint_s_stop_waits_until_the_client_is_past_the_access(
    client: Client, run: str, step: str
) -> None:
    """gdb takes any stop after that step for the watchpoint's, and goes on if its condition does not hold."""
    client.stub.timeline.seek(INSNS // 2)
    client.ask(f"Z2,{WORD:x},4")
    assert reason(client.ask(run)) == f"watch:{WORD:x}"
    client.stub.receive(b"\x03")
    step_over_watch(client, step, 2, WORD, 4)
    assert client.ask(run).startswith("T02")
    assert reason(client.ask(run)) == f"watch:{WORD:x}"


def test_ctrl_c_after_a_stop_that_the_client_has_seen_is_passed_over(client: Client) -> None:
    client.ask(f"Z0,{STORE_AT:x},4")
    client.ask("vCont;c")
    client.ask("g")
    client.stub.receive(b"\x03")
    assert reason(client.ask("vCont;c")) == "swbreak:"


@pytest.mark.parametrize("packet", ["bc", "vCont;c"])
def test_ctrl_c_that_crosses_a_stop_at_which_every_client_stays_is_passed_over(client: Client, packet: str) -> None:
    assert reason(client.ask(packet)).startswith("replaylog:")
    client.stub.receive(b"\x03")
    assert client.ask("bs" if packet == "vCont;c" else "vCont;s:1").startswith("T05")


@pytest.mark.parametrize("packet", ["vRun;;", "R00", f"qRcmd,{b'when'.hex()}"])
def test_ctrl_c_that_crossed_a_stop_is_over_when_the_user_begins_something_else(client_of: Make, packet: str) -> None:
    client = client_of()
    timeline = client.stub.timeline
    client = Client(GdbStub(timeline, monitor=Monitor(timeline, timeline.board.symbols)))
    client.ask("vCont;s:1")
    client.stub.receive(b"\x03")
    client.ask_all(packet)
    assert client.ask("vCont;s:1").startswith("T05")


def test_packets_that_come_meanwhile_are_answered_after_the_stop(tmp_path: Path) -> None:
    client = looping(tmp_path)
    client.stub.timeline.on_stride = lambda: client.stub.receive(b"\x03" + framed(b"qAttached"))
    client.stub.receive(framed(b"vCont;c") + framed(b"qC"))
    client.stub.timeline.on_stride()
    stop, current, *attached = client.replies()
    assert stop.startswith("T02")
    assert current == "QC1"
    assert set(attached) == {"1"}


def test_client_that_sends_too_much_meanwhile_is_shut_out(client: Client) -> None:
    client.stub.receive(framed(b"vCont;c") + framed(b"g" * 1000) * 2000)
    assert client.stub.wants_to_close
    client.stub.disconnected()
    client.stub.connected()
    assert not client.stub.wants_to_close


def test_client_that_vanishes_during_a_run_ends_it_and_leaves_nothing_behind(tmp_path: Path) -> None:
    client = looping(tmp_path)
    client.ask(f"Z0,{RAM + 0x100:x},4")
    client.ask(f"Z2,{WORD:x},4")
    client.stub.timeline.on_stride = client.stub.disconnected
    client.stub.receive(framed(b"vCont;c"))
    client.stub.run()
    assert icount(client) < 3_000_000
    assert client.stub.output() == b""
    client.stub.timeline.on_stride = lambda: None
    again = Client(client.stub)
    assert reason(again.ask("vCont;c")) == "replaylog:end"


# ---- several harts


@pytest.fixture
def two(tmp_path: Path) -> Client:
    """Two harts that count in a0, and store that at WORD + 4 times their number."""
    programs = []
    for _ in range(2):
        programs.append(
            asm.code(
                asm.auipc(asm.S0, 0), asm.addi(asm.A0, asm.A0, 1), asm.sw(asm.A0, asm.S0, 0x400),
                asm.jal(asm.ZERO, -8),
            )
        )  # fmt: skip
    return Client(GdbStub(timeline_of_code(tmp_path, programs_of(*programs), insns=600, smp=2, quantum=50)))


def hart_icounts(client: Client) -> list[int]:
    return [hart.minstret for hart in client.stub.timeline.board.harts]


def test_step_of_a_thread_goes_on_until_its_hart_has_retired_one(two: Client) -> None:
    two.stub.timeline.seek(60)
    pcs = []
    for _ in range(5):
        stop = two.ask("vCont;s:2;c")
        assert thread(stop) == 2
        pcs.append(two.pc)
    assert len(set(pcs)) > 1
    stop = two.ask("vCont;s:1;c")
    assert thread(stop) == 1


def test_step_back_is_of_the_thread_that_was_chosen_for_it(two: Client) -> None:
    two.stub.timeline.seek(130)
    two.ask("Hg1")
    before = two.pc
    assert two.ask("Hc1") == "OK"
    assert thread(two.ask("vCont;s:1")) == 1
    assert thread(two.ask("bs")) == 1
    assert two.pc == before
    two.ask("Hc2")
    assert thread(two.ask("bs")) == 2
    two.ask("Hc0")
    two.ask("Hg1")
    assert thread(two.ask("bs")) == 1


def test_stop_is_of_the_thread_whose_hart_is_there(two: Client) -> None:
    at = [program_at(hart) + 8 for hart in range(2)]
    two.ask(f"Z0,{at[1]:x},4")
    stop = two.ask("vCont;c")
    assert (reason(stop), thread(stop), two.pc) == ("swbreak:", 2, at[1])
    two.ask(f"z0,{at[1]:x},4")
    two.ask(f"Z2,{program_at(0) + 0x400:x},4")
    stop = two.ask("vCont;c")
    assert (reason(stop), thread(stop), two.pc) == (f"watch:{program_at(0) + 0x400:x}", 1, program_at(0) + 12)
    assert two.ask("qC") == "QC1"


@pytest.mark.parametrize("is_backward", [False, True])
def test_thread_that_is_stepped_alone_is_the_one_that_stops_and_what_others_meet_is_met_next(
    tmp_path: Path, is_backward: bool
) -> None:
    """gdb steps a thread alone over a breakpoint, and fails where another one stops meanwhile."""
    timeline = timeline_of_code(tmp_path, code(), insns=600, smp=2, quantum=50)
    timeline.seek(600 if is_backward else 50)
    client = Client(GdbStub(timeline))
    client.ask(f"Z0,{RAM + 8:x},4")
    client.ask("Hc1")
    step, run = ("bs", "bc") if is_backward else ("vCont;s:1", "vCont;c")
    passed = 0
    for _ in range(150):
        before = timeline.position.icount
        stop = client.ask(step)
        assert thread(stop) == 1
        after = timeline.position.icount
        if abs(after - before) < 10:
            continue
        passed += 1
        stop = client.ask(run)
        assert (reason(stop), thread(stop), timeline.board.harts[1].pc) == ("swbreak:", 2, RAM + 8)
        assert min(before, after) <= timeline.position.icount <= max(before, after)
        timeline.seek(after)
    assert passed > 1


# ---- a live run


@pytest.fixture
def live() -> Iterator[Client]:
    """Of a live run of ``code``, which may go on to INSNS, before its first instruction."""
    with Recording(None, setup_of_code(code())) as recording:
        timeline = live_timeline(recording, limits=RunLimits(INSNS))
        timeline.step(ROM_INSNS)
        yield Client(GdbStub(timeline))


def test_live_run_goes_back_and_on_from_where_it_was(live: Client) -> None:
    live.ask(f"Z0,{STORE_AT:x},4")
    assert [reason(live.ask("vCont;c")) for _ in range(3)] == ["swbreak:"] * 3
    there = icount(live)
    assert reason(live.ask("bc")) == "swbreak:"
    assert live.ask("bs").startswith("T05thread")
    assert live.pc == LOOP_AT
    assert [reason(live.ask("vCont;c")) for _ in range(2)] == ["swbreak:"] * 2
    assert icount(live) == there
    live.ask(f"z0,{STORE_AT:x},4")
    live.ask(f"Z2,{WORD:x},4")
    assert reason(live.ask("vCont;c")) == f"watch:{WORD:x}"
    assert reason(live.ask("bc")) == f"watch:{WORD:x}"
    assert live.pc == STORE_AT
    assert reason(live.ask("bc")) == f"watch:{WORD:x}"
    assert (live.pc, icount(live)) == (STORE_AT, there - LOOP_INSNS)


def test_write_at_the_present_of_a_live_run_is_part_of_it(live: Client) -> None:
    live.ask("vCont;s:1")
    assert live.ask("P0a=6400000000000000") == "OK"
    for _ in range(3):
        live.ask("vCont;s:1")
    assert word(live) == 101
    live.ask("bs")
    live.ask("vCont;s:1")
    assert word(live) == 101
    assert live.text == ""


def test_write_at_the_end_of_a_live_run_is_refused_and_says_what_to_do(live: Client) -> None:
    assert reason(live.ask("vCont;c")) == "replaylog:end"
    assert live.ask("P0a=6400000000000000").startswith("E.the run is over")
    assert live.ask(f"M{WORD:x},4:01020304") == "E14"
    live.text = ""
    assert live.ask("bs").startswith("T05")
    assert live.text.startswith("minstret: the run is over, so it can't be changed; go back first")
    assert live.ask(f"M{WORD:x},4:01020304") == "OK"


# ---- interrupts


HANDLER_AT = RAM + 0x100


@pytest.fixture
def interrupted(tmp_path: Path) -> tuple[Client, int]:
    """Before an instruction that waits in a loop until a timer's interrupt has set s1, and where that is."""
    clint_mtimecmp = 0x0200_4000
    start = asm.code(
        asm.li(asm.T0, HANDLER_AT), asm.csrw("mtvec", asm.T0), asm.li(asm.T1, clint_mtimecmp),
        asm.addi(asm.T0, asm.ZERO, 5), asm.sd(asm.T0, asm.T1, 0), asm.addi(asm.T0, asm.ZERO, 1 << 7),
        asm.csrw("mie", asm.T0), asm.csrrsi(asm.ZERO, "mstatus", 1 << 3),
    )  # fmt: skip
    loop = asm.code(asm.beq(asm.S1, asm.ZERO, 0), asm.LOOP)
    handler = asm.code(
        asm.addi(asm.S1, asm.ZERO, 1), asm.addi(asm.T0, asm.ZERO, -1), asm.sd(asm.T0, asm.T1, 0), asm.MRET
    )
    timeline = timeline_of_code(tmp_path, start + loop, (HANDLER_AT - RAM, handler), insns=400)
    timeline.seek(ROM_INSNS + len(start) // 4)
    return Client(GdbStub(timeline)), RAM + len(start)


def test_range_is_stepped_through_while_interrupts_come(interrupted: tuple[Client, int]) -> None:
    client, loop_at = interrupted
    stop = client.ask(f"vCont;r{loop_at:x},{loop_at + 4:x}:1")
    assert (reason(stop), client.pc, client.register(asm.S1)) == ("", loop_at + 4, 1)
    assert reason(client.ask("vCont;c")) == "replaylog:end"  # no breakpoint is left where the interrupt came


def test_breakpoint_in_a_handler_stops_a_range_step(interrupted: tuple[Client, int]) -> None:
    client, loop_at = interrupted
    before = icount(client)
    for at in (HANDLER_AT, HANDLER_AT + 8):
        client.stub.timeline.seek(before)
        client.ask(f"Z0,{at:x},4")
        stop = client.ask(f"vCont;r{loop_at:x},{loop_at + 4:x}:1")
        assert (reason(stop), client.pc) == ("swbreak:", at)
        client.ask(f"z0,{at:x},4")


def test_single_step_shows_the_handler(interrupted: tuple[Client, int]) -> None:
    client, loop_at = interrupted
    client.ask(f"Z0,{HANDLER_AT:x},4")
    client.ask("vCont;c")
    client.ask(f"z0,{HANDLER_AT:x},4")
    client.ask("bs")
    assert client.pc == loop_at
    client.ask("vCont;s:1")
    client.ask("vCont;s:1")
    assert client.pc == HANDLER_AT + 4
