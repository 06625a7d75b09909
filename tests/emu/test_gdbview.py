"""What a client of gdb's remote protocol looks at and changes: threads, registers, memory, descriptions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import asm
from support.gdb_clients import Client, reason, timeline_of_code
from support.harts import RAM, ROM_INSNS

from minstret.emu.gdbpackets import PAYLOAD_SIZE_MAX
from minstret.emu.gdbstub import GdbStub
from minstret.emu.gdbtarget import memory_map_xml, target_xml
from minstret.emu.hart.cpu import default_cpu

UART, ROM = 0x1000_0000, 0x1000
DATA = 0x1000
"""Where ``code`` stores, from the start of RAM."""
PC, F1, PRIV = 32, 34, 4161
MSTATUS, MISA = (65 + number for number in (0x300, 0x301))

Make = Callable[..., Client]


def code() -> bytes:
    """Counts in a0, and stores that at S0 + 16, again and again."""
    return asm.code(
        asm.auipc(asm.S0, 1), asm.addi(asm.A0, asm.A0, 1), asm.sw(asm.A0, asm.S0, 16), asm.jal(asm.ZERO, -8)
    )  # fmt: skip


@pytest.fixture
def client_of(tmp_path: Path) -> Make:
    """Makes a client of a recording of ``code`` that stands before its first instruction."""

    def make(xlen: int = 64) -> Client:
        timeline = timeline_of_code(tmp_path, code(), (0x2000, b"needle"), insns=100, xlen=xlen)
        timeline.seek(ROM_INSNS)
        return Client(GdbStub(timeline))

    return make


@pytest.fixture
def client(client_of: Make) -> Client:
    return client_of()


# ---- threads


def test_harts_are_threads_from_1_on(tmp_path: Path) -> None:
    client = Client(GdbStub(timeline_of_code(tmp_path, code(), insns=300, smp=2)))
    assert client.ask("qfThreadInfo") == "m1,2"
    assert client.ask("qsThreadInfo") == "l"
    assert [client.ask(f"T{number:x}") for number in (1, 2, 3)] == ["OK", "OK", "E22"]
    assert bytes.fromhex(client.ask("qThreadExtraInfo,2")) == b"M-mode"
    assert client.ask("qC") == "QC1"
    assert client.ask("Hg2") == "OK"
    assert client.ask("qC") == "QC2"
    assert [client.ask(packet) for packet in ("Hg0", "Hg00", "Hc-1", "Hc0", "Hgp1.1", "Hg-1")] == ["OK"] * 6
    assert [client.ask(packet) for packet in ("Hg3", "Hc3", "Hx1", "Hg", "H")] == ["E22"] * 5


def test_registers_are_those_of_the_chosen_thread(tmp_path: Path) -> None:
    timeline = timeline_of_code(tmp_path, asm.code(asm.csrr(asm.A0, "mhartid"), asm.LOOP), insns=300, smp=2, quantum=50)
    timeline.run()
    client = Client(GdbStub(timeline))
    found = []
    for number in (1, 2):
        client.ask(f"Hg{number}")
        found.append((client.register(10), client.register(65 + 0xF14)))
    assert found == [(0, 0), (1, 1)]


# ---- registers


@pytest.mark.parametrize("xlen", [32, 64])
def test_general_registers_come_at_once_and_others_one_by_one(client_of: Make, xlen: int) -> None:
    client = client_of(xlen)
    client.stub.timeline.step(2)
    values, size = bytes.fromhex(client.ask("g")), xlen // 8
    assert len(values) == 33 * size
    assert int.from_bytes(values[8 * size : 9 * size], "little") == RAM + DATA
    assert int.from_bytes(values[32 * size :], "little") == client.pc == RAM + 8
    assert client.register(10) == 1
    assert client.register(PRIV) == 3
    assert client.ask(f"p{F1:x}") == "00" * 8
    assert len(client.ask(f"p{MISA:x}")) == 2 * size
    assert client.register(MISA) & 1


@pytest.mark.parametrize(
    "packet", ["p", "pxyz", "p42ff", "p-1", "p1ffffffffffffffff", "P", "P=", "P1", "P1=0", "P1=xy"]
)
def test_register_that_is_not_there_or_has_no_value_is_refused(client: Client, packet: str) -> None:
    assert client.ask(packet) == "E22"


@pytest.mark.parametrize("xlen", [32, 64])
def test_register_that_is_written_reads_so_and_begins_a_diversion(client_of: Make, xlen: int) -> None:
    client = client_of(xlen)
    for number, value in ((10, 0x1234_5678), (F1, 0x1122_3344_5566_7788), (MSTATUS, 1 << 3), (PC, RAM + 4)):
        size = 8 if number == F1 else xlen // 8
        assert client.ask(f"P{number:x}={value.to_bytes(size, 'little').hex()}") == "OK"
        assert client.register(number) & value == value
    assert client.stub.timeline.is_diverted
    assert client.text == ""  # no client expects any now
    client.ask("vCont;s:1")
    assert client.text == "minstret: a diversion from the recording begins at icount 6; going back throws it away\n"


@pytest.mark.parametrize("number", [0, 10, PC, MSTATUS])
def test_register_that_is_written_with_its_own_value_leaves_the_recording_alone(client: Client, number: int) -> None:
    assert client.ask(f"P{number:x}={client.ask(f'p{number:x}')}") == "OK"
    assert client.ask("G" + client.ask("g")) == "OK"
    assert client.ask("P0=ffffffffffffffff") == "OK"
    assert not client.stub.timeline.is_diverted


def test_all_general_registers_can_be_written_at_once(client: Client) -> None:
    values = b"".join((RAM + number * 8).to_bytes(8, "little") for number in range(33))
    assert client.ask("G" + values.hex()) == "OK"
    assert client.ask("g") == (bytes(8) + values[8:]).hex()
    assert client.ask("G" + values.hex() + "00") == "E22"
    assert client.ask("G") == "E22"


def test_register_that_can_not_be_written_says_why(client: Client) -> None:
    assert client.ask(f"P{PRIV:x}=0100000000000000").startswith("E.priv can't be set")
    assert client.ask(f"P{MISA:x}=0100000000000000") == "E.misa is a read-only register"
    assert not client.stub.timeline.is_diverted


# ---- memory


def test_memory_is_read_and_written_in_hex_and_in_binary(client: Client) -> None:
    every_byte = bytes(range(256))
    assert client.ask(f"m{RAM:x},4") == code()[:4].hex()
    assert client.ask(f"M{RAM + 0x800:x},4:01020304") == "OK"
    assert client.ask(b"X%x,100:%b" % (RAM + 0x804, every_byte)) == "OK"
    assert client.ask(f"m{RAM + 0x800:x},104") == "01020304" + every_byte.hex()


def test_memory_that_is_written_with_what_is_there_leaves_the_recording_alone(client: Client) -> None:
    assert client.ask(f"M{RAM:x},8:{code()[:8].hex()}") == "OK"
    assert client.ask(f"X{RAM:x},0:") == "OK"
    assert not client.stub.timeline.is_diverted


def test_read_gives_what_is_there_and_an_error_where_nothing_is(client: Client) -> None:
    end = RAM + client.stub.timeline.board.machine.memory.ram_size
    assert client.ask(f"m{end - 3:x},100") == "000000"
    assert client.ask(f"m{end:x},4") == "E14"
    assert client.ask(f"m{ROM - 4:x},8") == "E14"
    assert len(client.ask(f"m{ROM:x},4")) == 8
    assert client.ask("mffffffffffffffff,10") == "E14"


def test_device_is_not_read_and_neither_it_nor_the_rom_is_written(client: Client) -> None:
    digest = client.stub.timeline.board.digest()
    assert client.ask(f"m{UART:x},4") == "E14"
    assert client.ask(f"M{UART:x},1:41") == "E14"
    assert client.ask(f"M{ROM:x},4:00000000") == "E14"
    assert client.stub.timeline.board.digest() == digest


def test_reply_is_no_longer_than_a_packet_may_be(client: Client) -> None:
    reply = client.ask(f"m{RAM:x},ffffffff")
    assert 1000 < len(reply) <= PAYLOAD_SIZE_MAX


@pytest.mark.parametrize(
    "packet",
    ["m", "m1", "m,", "m-1,4", "m1,-4", "m0x1,4", "m1 ,4", "m11111111111111111,4", "M80000000,4:010203", "M80000000,1",
     "M80000000,2:0 1 ", "M80000000,1:0", "X80000000,5:abc", "X80000000", "M,:"],
)  # fmt: skip
def test_memory_packet_that_makes_no_sense_is_refused(client: Client, packet: str) -> None:
    assert client.ask(packet) == "E22"


def paged_code() -> list[tuple[int, bytes]]:
    """Code that turns on Sv39 for its loads and stores; pages 1 and 2 of RAM are pages 5 and 3, others are not there.

    Then it stores a counter across the end of page 1, again and again.
    """
    root, tables, pages = 0x10000, 0x11000, 0x12000
    consts = asm.code(
        asm.auipc(asm.S0, 2), asm.addi(asm.T0, asm.ZERO, -1), asm.csrw("pmpaddr0", asm.T0),
        asm.addi(asm.T0, asm.ZERO, 0x1F), asm.csrw("pmpcfg0", asm.T0),
        asm.auipc(asm.T0, 0x10), asm.srli(asm.T0, asm.T0, 12), asm.addi(asm.T1, asm.ZERO, 8),
        asm.slli(asm.T1, asm.T1, 60), asm.add(asm.T0, asm.T0, asm.T1), asm.csrw("satp", asm.T0),
        asm.lui(asm.T0, 0x20), asm.addi(asm.T1, asm.ZERO, 1), asm.slli(asm.T1, asm.T1, 11),
        asm.add(asm.T0, asm.T0, asm.T1), asm.csrrs(asm.ZERO, "mstatus", asm.T0),
    )  # fmt: skip
    loop = asm.code(asm.addi(asm.A0, asm.A0, 1), asm.sd(asm.A0, asm.S0, -4), asm.jal(asm.ZERO, -8))

    def entry(offset: int, bits: int) -> bytes:
        return (RAM + offset >> 12 << 10 | bits).to_bytes(8, "little")

    valid, data = 1, 0xC7
    return [
        (0, consts + loop), (root + 8 * 2, entry(tables, valid)), (tables, entry(pages, valid)),
        (pages + 8, entry(0x5000, data) + entry(0x3000, data)),
    ]  # fmt: skip


@pytest.fixture
def paged_client(tmp_path: Path) -> Client:
    """Where paging is on, and nothing is stored yet."""
    timeline = timeline_of_code(tmp_path, *paged_code(), insns=100)
    timeline.seek(ROM_INSNS + 16)
    return Client(GdbStub(timeline))


def test_memory_is_by_the_thread_s_translation_or_physical(paged_client: Client) -> None:
    client = paged_client
    for _ in range(2):
        client.ask("vCont;s:1")
    assert client.ask(f"m{RAM + 0x1FFC:x},8") == "0100000000000000"
    assert client.ask(f"m{RAM:x},4") == "E14"
    assert client.ask("qqemu.PhyMemMode") == "0"
    assert client.ask("Qqemu.PhyMemMode:1") == "OK"
    assert client.ask("qqemu.PhyMemMode") == "1"
    assert client.ask(f"m{RAM + 0x5FFC:x},4") == "01000000"
    assert client.ask(f"m{RAM + 0x1FFC:x},8") == "00" * 8
    assert client.ask(f"M{RAM + 0x5FFC:x},4:05000000") == "OK"
    assert client.ask("Qqemu.PhyMemMode:0") == "OK"
    assert client.ask(f"m{RAM + 0x1FFC:x},8") == "0500000000000000"
    assert client.ask(f"M{RAM + 0x1FFE:x},4:aabbccdd") == "OK"
    assert client.ask(f"m{RAM + 0x1FFC:x},8") == "0500aabbccdd0000"
    assert client.ask("Qqemu.PhyMemMode:2") == client.ask("Qqemu.PhyMemMode") == "E22"


def test_watched_range_is_where_its_pages_are(paged_client: Client) -> None:
    client = paged_client
    assert client.ask(f"Z2,{RAM + 0x1FFE:x},2") == client.ask(f"Z2,{RAM + 0x2000:x},8") == "OK"
    stop = client.ask("vCont;c")
    assert reason(stop) in (f"watch:{RAM + 0x1FFE:x}", f"watch:{RAM + 0x2000:x}")
    assert client.ask(f"Z4,{RAM + 0x1000:x},2000") == "OK"
    assert client.ask(f"Z4,{RAM + 0x1000:x},2001").startswith("E.nothing is mapped at 0x80003000")


# ---- search


def test_search_finds_bytes_and_says_where(client: Client) -> None:
    assert client.ask(f"qSearch:memory:{RAM:x};10000;needle") == f"1,{RAM + 0x2000:x}"
    assert client.ask(f"qSearch:memory:{RAM + 0x2001:x};e000;needle") == "0"
    assert client.ask(f"qSearch:memory:{RAM + 0x2000:x};5;needle") == "0"
    assert client.ask(f"qSearch:memory:{RAM + 0x2000:x};6;needle") == f"1,{RAM + 0x2000:x}"
    assert client.ask(f"qSearch:memory:{RAM + 0x2003:x};6;d") == f"1,{RAM + 0x2003:x}"


@pytest.mark.parametrize("offset", [-1, -3, -6, 0, 2])
def test_search_finds_what_lies_across_two_of_its_pieces(client: Client, offset: int) -> None:
    at = RAM + 0x1_0000 + offset
    client.ask(f"M{at:x},6:{b'second'.hex()}")
    assert client.ask(f"qSearch:memory:{RAM:x};80000;second") == f"1,{at:x}"


def test_search_takes_any_bytes_and_ends_with_an_error_where_memory_does(client: Client) -> None:
    pattern = b";#$}*\x03,:"
    client.ask(b"X%x,8:%b" % (RAM + 0x3000, pattern))
    assert client.ask(b"qSearch:memory:%x;8000;%b" % (RAM, pattern)) == f"1,{RAM + 0x3000:x}"
    assert client.ask(f"qSearch:memory:{RAM:x};40000000;nothing") == "E14"
    for packet in ("qSearch:memory:", f"qSearch:memory:{RAM:x};100", f"qSearch:memory:{RAM:x};100;",
                   f"qSearch:memory:{RAM:x};40000001;a", "qSearch:memory:;;a"):  # fmt: skip
        assert client.ask(packet) == "E22"


# ---- texts that describe


@pytest.mark.parametrize("size", [0x80, 0x1000, 0xFFFFF])
@pytest.mark.parametrize("xlen", [32, 64])
def test_descriptions_come_in_pieces_and_whole(client_of: Make, xlen: int, size: int) -> None:
    client = client_of(xlen)
    for name, wanted in (
        ("features:read:target.xml", target_xml(default_cpu(xlen))),
        ("memory-map:read:", memory_map_xml(client.stub.timeline.board.machine.memory, xlen)),
    ):
        text, reply = "", "m"
        while reply[0] == "m":
            reply = client.ask(f"qXfer:{name}:{len(text):x},{size:x}")
            text += reply[1:]
        assert reply[0] == "l"
        assert text == wanted.decode()
        assert client.ask(f"qXfer:{name}:{len(text) + 7:x},{size:x}") == "l"
        assert client.ask(f"qXfer:{name}:-1,{size:x}") == client.ask(f"qXfer:{name}:") == "E22"
        assert client.ask(f"qXfer:{name}x:0,{size:x}") == "E00"


def test_list_of_threads_says_what_they_are_at(client: Client) -> None:
    assert '<thread id="1" name="hart0">M-mode</thread>' in client.ask("qXfer:threads:read::0,1000")
