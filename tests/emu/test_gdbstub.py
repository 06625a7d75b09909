"""gdb's remote protocol: what a client agrees on, text that it is shown, the monitor, how it comes and goes.

For what it looks at see test_gdbview.py, for its moves test_gdbmoves.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import asm
from support.gdb_clients import Client, framed, payloads_of, reason, thread, timeline_of_code
from support.harts import RAM, ROM_INSNS

from minstret.emu.errors import ConfigError
from minstret.emu.gdbpackets import PAYLOAD_SIZE_MAX
from minstret.emu.gdbstub import GdbStub
from minstret.emu.monitor import Monitor
from minstret.emu.timeline import Why

ROM = 0x1000
DATA = 0x1000
"""Where ``code`` stores, from the start of RAM."""

Make = Callable[..., Client]


def code() -> bytes:
    """Counts in a0, and stores that at S0 + 16, again and again."""
    return asm.code(
        asm.auipc(asm.S0, 1), asm.addi(asm.A0, asm.A0, 1), asm.sw(asm.A0, asm.S0, 16), asm.jal(asm.ZERO, -8)
    )  # fmt: skip


@pytest.fixture
def client_of(tmp_path: Path) -> Make:
    """Makes a client of a recording of ``code`` that stands before its first instruction."""

    def make(**options: Any) -> Client:
        timeline = timeline_of_code(tmp_path, code(), insns=100)
        timeline.seek(ROM_INSNS)
        return Client(GdbStub(timeline, **options))

    return make


@pytest.fixture
def client(client_of: Make) -> Client:
    return client_of()


# ---- agreeing


def test_features_say_how_long_packets_may_be_and_that_it_goes_backwards(client: Client) -> None:
    features = client.features.split(";")
    assert f"PacketSize={PAYLOAD_SIZE_MAX:x}" in features
    assert {
        "QStartNoAckMode+", "qXfer:features:read+", "qXfer:memory-map:read+", "qXfer:threads:read+", "vContSupported+",
        "swbreak+", "hwbreak+", "ReverseStep+", "ReverseContinue+",
    } < set(features)  # fmt: skip


@pytest.mark.parametrize(
    "packet",
    ["vMustReplyEmpty", "qOffsets", "qTStatus", "QNonStop:1", "QNonStop:0", "vFile:setfs:0", "qXfer:auxv:read::0,100",
     "qXfer:features:write:target.xml:0:aa", "Z5,0,0",
     "z9,0,0", "qRcmd,68", "B", "t", "\x80", "vAttach;1", "qCRC:0,1", "bx", "b", "x80000000,4"],
)  # fmt: skip
def test_packet_that_is_not_known_has_an_empty_reply(client: Client, packet: str) -> None:
    assert client.ask(packet) == ""


@pytest.mark.parametrize(
    ("packet", "reply"),
    [("qAttached", "1"), ("qAttached:1", "1"), ("qSymbol::", "OK"), ("QThreadEvents:0", "OK"), ("!", "OK"),
     ("vCont?", "vCont;c;C;s;S;t;r"), ("qqemu.Supported", "PhyMemMode")],
)  # fmt: skip
def test_small_questions_have_their_replies(client: Client, packet: str, reply: str) -> None:
    assert client.ask(packet) == reply


def test_with_acks_each_packet_is_acknowledged_before_its_reply(client: Client) -> None:
    client.stub.connected()
    client.stub.receive(framed(b"?"))
    sent = client.stub.output()
    assert sent.startswith(b"+$T05")
    client.stub.receive(b"+" + framed(b"QStartNoAckMode"))
    assert client.stub.output() == b"+$OK#9a"
    client.stub.receive(b"+" + framed(b"qAttached"))
    assert client.stub.output() == b"$1#31"


def test_packet_that_is_too_long_is_not_known(client: Client) -> None:
    client.stub.receive(framed(b"M80000000,9000:" + b"00" * 0x9000))
    assert client.replies() == [""]


# ---- the monitor


class Answers:
    """Answers commands."""

    def command(self, text: str) -> str:
        if text == "wrong":
            raise ConfigError("there is no such thing")
        if text == "long":
            return "a" * 100_000
        return text.upper() + "\n" if text else ""

    def interrupt(self) -> None:
        pass


def test_monitor_s_answer_is_shown(client_of: Make) -> None:
    client = client_of(monitor=Answers())
    assert client.command("when") == "WHEN\n"
    assert client.command("") == ""
    assert client.command("\u00e4\u20ac") == "\u00c4\u20ac\n"
    assert client.command("wrong") == "there is no such thing\n"
    assert client.ask("qRcmd,ff") == "OK"
    assert client.ask("qRcmd,f") == client.ask("qRcmd,xx") == "E22"


def test_long_answer_comes_in_packets_that_are_not_too_long(client_of: Make) -> None:
    client = client_of(monitor=Answers())
    client.stub.receive(framed(b"qRcmd," + b"long".hex().encode()))
    client.stub.run()
    sent = client.stub.output()
    assert max(len(packet) for packet in sent.split(b"$")) <= PAYLOAD_SIZE_MAX + 3
    assert sum(packet.count(b"61") for packet in sent.split(b"$")) == 100_000


# ---- text


def test_output_of_the_guest_is_shown_while_it_runs(client_of: Make) -> None:
    client = client_of(shows_output=True)
    client.stub.timeline.on_stride = lambda: client.stub.on_output(b"hello\r\n")
    client.ask("vCont;c")
    assert client.text.startswith("hello\r\n")


def test_output_is_not_shown_again_on_the_way_back(client_of: Make) -> None:
    client = client_of(shows_output=True)
    client.ask("vCont;c")
    client.text = ""
    client.stub.timeline.on_stride = lambda: client.stub.on_output(b"hello\r\n")
    client.ask("bc")
    client.ask("bs")
    assert "hello" not in client.text


def test_output_of_the_guest_is_not_shown_unless_wanted(client: Client) -> None:
    client.stub.timeline.on_stride = lambda: client.stub.on_output(b"hello\r\n")
    client.ask("vCont;c")
    assert "hello" not in client.text


def test_notice_comes_when_something_is_under_way_again(client: Client) -> None:
    client.stub.notice("one\ntwo")
    assert client.replies() == [] and client.text == ""
    stop = client.ask("vCont;s:1")
    assert stop.startswith("T05")
    assert client.text == "minstret: one\nminstret: two\n"


def test_notice_goes_before_the_stop_that_it_is_about(client: Client) -> None:
    client.ask("P0a=0500000000000000")
    client.stub.receive(framed(b"bs"))
    client.stub.run()
    texts = [bytes.fromhex(payload[1:].decode()) for payload in payloads_of(client.stub.output())[:-1]]
    assert [b"begins" in texts[0], b"thrown away" in texts[1]] == [True, True]


# ---- coming and going


def test_detaching_lets_go_of_the_run_and_removes_what_was_set(client: Client) -> None:
    timeline = client.stub.timeline
    client.ask(f"Z0,{RAM + 8:x},4")
    client.ask(f"Z2,{RAM + DATA:x},64")
    assert client.ask("D") == "OK"
    assert client.stub.is_detached and not client.stub.is_killed
    assert timeline.run().why is Why.END


def test_client_that_vanishes_leaves_nothing_behind(client: Client) -> None:
    timeline = client.stub.timeline
    for packet in (f"Z0,{RAM + 8:x},4", f"Z4,{RAM + DATA:x},64", "Qqemu.PhyMemMode:1", "Hc1", "!"):
        assert client.ask(packet) == "OK"
    client.stub.receive(b"$m8000")
    client.stub.disconnected()
    assert client.stub.output() == b""
    assert timeline.run().why is Why.END
    timeline.seek(ROM_INSNS)
    again = Client(client.stub)
    assert again.ask("qqemu.PhyMemMode") == "0"
    assert again.ask(f"m{RAM:x},4") == code()[:4].hex()


def test_client_that_vanishes_after_asking_for_a_run_is_not_run_for(client: Client) -> None:
    client.stub.receive(framed(b"vCont;c"))
    assert client.stub.wants_to_run
    client.stub.disconnected()
    assert not client.stub.wants_to_run
    client.stub.run()
    assert client.stub.timeline.position.icount == ROM_INSNS


def test_ctrl_c_right_behind_a_packet_is_for_what_that_asks_for(client: Client) -> None:
    client.stub.receive(framed(b"vCont;c") + b"\x03")
    [stop] = client.replies()
    assert stop.startswith("T02")
    assert client.stub.timeline.position.icount == ROM_INSNS


def test_kill_ends_the_run_and_in_extended_mode_it_may_begin_anew(client: Client) -> None:
    assert client.ask("!") == "OK"
    assert client.ask("vKill;1") == "OK"
    assert not client.stub.is_killed
    assert client.ask("?") == "W00"
    client.stub.timeline.step(5)
    stop = client.ask("vRun;;")
    assert (reason(stop), thread(stop), client.pc) == ("", 1, ROM)
    assert client.ask("?").startswith("T05")
    assert client.ask_all("k") == []
    assert client.stub.is_killed


def test_kill_without_extended_mode_ends_the_run(client: Client) -> None:
    assert client.ask("vKill;a410") == "OK"
    assert client.stub.is_killed


def test_restart_goes_to_the_start_without_a_reply(client: Client) -> None:
    client.ask("P0a=0500000000000000")
    client.ask("!")
    client.ask("vKill;1")
    assert client.ask_all("R00") == []
    assert client.ask("?").startswith("T05")
    assert client.stub.timeline.position.icount == 0
    assert client.text == ""
    client.ask("vCont;s:1")
    assert "thrown away" in client.text


def test_beginning_anew_is_answered_by_a_stop_alone_and_texts_come_with_the_next_move(client: Client) -> None:
    client.ask("P0a=0500000000000000")
    client.ask("!")
    [stop] = client.ask_all("vRun;;")
    assert (reason(stop), client.pc, client.text) == ("", ROM, "")
    client.ask("vCont;s:1")
    assert "thrown away" in client.text


def test_arguments_of_a_run_are_a_place_to_begin_at(client_of: Make) -> None:
    client = client_of()
    timeline = client.stub.timeline
    client = Client(GdbStub(timeline, monitor=Monitor(timeline, timeline.board.symbols)))
    client.ask("!")
    [stop] = client.ask_all(f"vRun;;{b'50%'.hex()}")
    assert (reason(stop), timeline.position.icount) == ("", timeline.end.icount // 2)
    [stop] = client.ask_all(f"vRun;;{b'17'.hex()};{b'years'.hex()}")
    assert (reason(stop), timeline.position.icount, client.text) == ("", 0, "")
    client.ask("vCont;s:1")
    assert "17 years" in client.text
    assert client.ask("vRun;;7") == "E22"


def test_after_detaching_nothing_is_answered(client: Client) -> None:
    client.ask("D;1")
    assert client.ask_all("g") == []
