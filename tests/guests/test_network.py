"""Guests on the user network: the same run however it is cut or started, and what they get is what was there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.commands import PATIENCE_S, minstret
from support.guest_boards import BOOTFILE, BOOTS, FILE, OPEN, RAM_SIZE, restored, run_cut, setup_of, summary
from support.needs import Need

from minstret.devices.board.board import Board, Setup
from minstret.devices.board.map import IRQ
from minstret.devices.hostside.side import NetConfig
from minstret.devices.hostside.usernet.network import UserNetConfig
from minstret.emu.host import HostFolder
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.units import NS_PER_MS
from minstret.firmware import image_path

WIDTHS = (64, 32)
NET_IMAGES = ("dhcp", "dhcp-wfi", "tftp")
PASSED = Outcome(StopReason.FINISHED, 0)
GUEST_MAC = bytes.fromhex("525400123456")
CARD_LINE = "virtio7.irq"
NS_PER_INSN = 2

each_width = pytest.mark.parametrize("xlen", WIDTHS)
each_image = pytest.mark.parametrize("image", NET_IMAGES)


class Wire:
    """The frames that cross a board's card: (icount, virtual ns, frame)."""

    def __init__(self, board: Board) -> None:
        self.frames: list[tuple[int, int, bytes]] = []
        self._board = board
        board.on_frame = self._on_frame

    def _on_frame(self, frame: bytes) -> None:
        self.frames.append((*self._board.position, frame))

    @property
    def icounts(self) -> list[int]:
        return [icount for icount, _, _ in self.frames]


def is_from_guest(frame: bytes) -> bool:
    return frame[6:12] == GUEST_MAC


def whole_run(setup: Setup) -> tuple[tuple[object, ...], Wire]:
    board = setup.make()
    wire = Wire(board)
    return summary(board, board.run()), wire


def same_everywhere(board: Board) -> list[str]:
    """The lines that do not depend on the machine."""
    return [line for line in board.console.decode().splitlines() if not line.startswith("t:")]


LEASED = [
    "mac 52:54:00:12:34:56", *(f"cycle {cycle}: leased 10.0.2.15" for cycle in (1, 2, 3, 4)),
    "10.0.2.2 is at 52:55:0a:00:02:02", "10.0.2.2 answers",
]  # fmt: skip


# ---- what guests get


@each_width
@pytest.mark.parametrize("is_legacy", [False, True], ids=["modern", "legacy"])
@pytest.mark.parametrize("is_restricted", [False, True], ids=["open", "restricted"])
@pytest.mark.parametrize("image", ["dhcp", "dhcp-wfi"])
def test_guest_gets_its_leases_and_pings_the_gateway(
    image: str, is_restricted: bool, is_legacy: bool, xlen: int
) -> None:
    net = NetConfig(UserNetConfig(restrict=is_restricted))
    board = setup_of(image, xlen, net=net, virtio_legacy=is_legacy).make()

    assert board.run() == PASSED

    assert same_everywhere(board) == LEASED
    assert board.card is not None
    assert (board.card.state.sent, board.card.state.received) == (10, 10)
    assert (board.card.state.dropped_no_buffer, board.card.state.dropped_bad_size) == (0, 0)


@pytest.mark.parametrize("delay_ns", [0, 50_000, 3 * NS_PER_MS])
@each_image
def test_answer_comes_exactly_the_links_delay_after_the_question(image: str, delay_ns: int) -> None:
    net = NetConfig(replace(BOOTS.user, link_delay_ns=delay_ns))

    (outcome, *_), wire = whole_run(setup_of(image, net=net))

    assert outcome == PASSED
    asked_ns, answers = 0, 0
    for _, at_ns, frame in wire.frames:
        if is_from_guest(frame):
            asked_ns = at_ns
        else:
            answers += 1
            assert 0 <= at_ns - asked_ns - delay_ns <= NS_PER_INSN
    assert answers >= 7


def test_guest_without_a_card_says_so() -> None:
    board = setup_of("dhcp", net=None).make()

    assert board.run() == Outcome(StopReason.FINISHED, 2)
    assert b"no network card" in board.console


def test_card_without_a_cable_gives_no_lease() -> None:
    board = setup_of("dhcp-wfi").make()
    assert board.card is not None
    board.card.set_link(False)

    assert board.run() == Outcome(StopReason.FINISHED, 1)
    assert b"dhcp: no OFFER within 2 s" in board.console


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 2048, 7001])
def test_tftp_fetches_the_file_as_it_is(size: int, tmp_path: Path) -> None:
    data = bytes(zlib.crc32(at.to_bytes(4, "little")) & 0xFF for at in range(size))
    (tmp_path / BOOTFILE).write_bytes(data)
    board = replace(setup_of("tftp"), files=HostFolder(str(tmp_path))).make()

    assert board.run() == PASSED

    assert same_everywhere(board)[-1] == f"{BOOTFILE}: {size} bytes, crc32 {zlib.crc32(data):08x}"


def test_tftp_of_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    board = replace(setup_of("tftp"), files=HostFolder(str(tmp_path))).make()

    assert board.run() == Outcome(StopReason.FINISHED, 3)
    assert "tftp: error 1: File not found" in same_everywhere(board)


# ---- one run, however it is cut


@each_width
@each_image
def test_restrict_off_is_another_run_and_the_same_each_time(image: str, xlen: int) -> None:
    restricted = whole_run(setup_of(image, xlen))[0]
    net = replace(OPEN, user=replace(BOOTS.user, restrict=False))

    runs = [whole_run(setup_of(image, xlen, net=net, slice_insns_max=slice_insns))[0] for slice_insns in (None, 997)]

    assert runs[0] == runs[1]
    assert runs[0][0] == PASSED
    assert runs[0][2] != restricted[2]  # the lease names a router


@each_width
@each_image
def test_run_saved_and_restored_around_each_frame_goes_on_the_same(image: str, xlen: int) -> None:
    setup = setup_of(image, xlen)
    expected, wire = whole_run(setup)
    cuts = [icount + around for icount in wire.icounts for around in (-1, 0, 1)]

    assert run_cut(setup, cuts) == expected


def on_the_link(board: Board) -> list[bytes]:
    """Frames under way to the guest."""
    return [flying.frame for flying in board.machine.save_state().host["usernet"].link.frames]


def cut_between_question_and_answer(image: str, xlen: int, question: int) -> tuple[Setup, int]:
    """An icount while the answer is under way: to the question with that index."""
    setup = setup_of(image, xlen)
    icounts = whole_run(setup)[1].icounts
    return setup, (icounts[2 * question] + icounts[2 * question + 1]) // 2


@each_width
@pytest.mark.parametrize("image", ["dhcp", "dhcp-wfi"])
def test_frame_under_way_when_the_run_is_saved_still_arrives(image: str, xlen: int) -> None:
    expected = whole_run(setup_of(image, xlen))[0]
    for question in range(3):
        setup, cut = cut_between_question_and_answer(image, xlen, question)
        flying: list[int] = []

        got = run_cut(setup, [cut], lambda board, flying=flying: flying.append(len(on_the_link(board))))  # type: ignore[misc]

        assert flying == [1]
        assert got == expected


def test_frame_under_way_is_part_of_what_is_loaded() -> None:
    setup, cut = cut_between_question_and_answer("dhcp", 64, 0)
    board = setup.make()
    board.run_until(icount=cut)
    offer = on_the_link(board)

    fresh = restored(board, setup)
    wire = Wire(fresh)
    fresh.run_until(icount=2 * cut)

    assert len(offer) == 1
    assert wire.frames[0][2] == offer[0]


@each_width
def test_guest_saved_asleep_between_discover_and_offer_goes_on_the_same(xlen: int) -> None:
    setup = setup_of("dhcp-wfi", xlen)
    expected, wire = whole_run(setup)
    discover_ns, offer_ns = wire.frames[0][1], wire.frames[1][1]
    board = setup.make()

    board.run_until(virtual_ns=(discover_ns + offer_ns) // 2)
    assert board.hart.waiting
    assert len(on_the_link(board)) == 1
    board = restored(board, setup)

    assert summary(board, board.run()) == (*expected[:3], bytes(board.console))
    assert expected[3].endswith(bytes(board.console))  # type: ignore[attr-defined]


@each_width
@each_image
def test_run_saved_with_a_frame_received_and_not_yet_read_goes_on_the_same(image: str, xlen: int) -> None:
    setup = setup_of(image, xlen)
    expected, wire = whole_run(setup)
    cuts = [virtual_ns for _, virtual_ns, frame in wire.frames if not is_from_guest(frame)]
    raised: list[bool] = []

    def look(board: Board) -> None:
        raised.append(board.machine.lines[CARD_LINE].level)
        assert board.plic.state.pending >> (IRQ.VIRTIO0 + 7) & 1
        assert not on_the_link(board)

    assert run_cut(setup, cuts, look, by="virtual_ns") == expected
    assert raised == [True] * len(cuts)


@each_width
def test_run_saved_with_the_transfer_under_way_goes_on_the_same(xlen: int) -> None:
    setup = setup_of("tftp", xlen)
    expected, wire = whole_run(setup)
    options_and_blocks = [icount for icount, _, frame in wire.frames if not is_from_guest(frame)][3:]
    cuts = [icount + 100 for icount in options_and_blocks]
    blocks: list[int] = []

    def look(board: Board) -> None:
        (transfer,) = board.machine.save_state().host["usernet"].tftp.transfers
        blocks.append(transfer.block)

    assert run_cut(setup, cuts, look) == expected
    assert blocks == [0, 1, 2, 3]
    assert f"{BOOTFILE}: {len(FILE)} bytes, crc32 {zlib.crc32(FILE):08x}".encode() in expected[3]  # type: ignore[operator]


def test_run_saved_while_the_lease_is_halfway_is_unlike_one_that_forgets_the_outside() -> None:
    setup, cut = cut_between_question_and_answer("dhcp", 64, 0)
    board = setup.make()
    board.run_until(icount=cut)
    state, ram = board.machine.save_state(), bytes(board.machine.memory.ram)
    state.host.clear()
    forgetful = setup.make()
    forgetful.hart.write_physical(0x8000_0000, ram)
    forgetful.machine.load_state(state)

    forgetful.run_until(icount=3 * cut)
    board.run_until(icount=3 * cut)

    assert forgetful.digest() != board.digest()


# ---- one run, whatever process it is in


def run_in_a_process(image: str, xlen: int, sleep: str, result: Path) -> tuple[Any, ...]:
    """What ``--json`` says of a run by the command."""
    options = ("-q", "-m", "1M", "--net", "user,restrict=on", "--icount", f"sleep={sleep}", "--json", result)
    assert minstret("run", *options, f"{image}-rv{xlen}").returncode == 0
    facts = json.loads(result.read_text())
    return facts["icount"], facts["virtual_ns"], facts["digest"]


def test_processes_asleep_or_not_make_the_run_made_here(tmp_path: Path) -> None:
    runs = [(image, xlen, sleep) for image in ("dhcp", "dhcp-wfi") for xlen in WIDTHS for sleep in ("on", "off")]

    with ThreadPoolExecutor(len(runs)) as pool:  # all at once: nobody has a core to itself
        found = list(pool.map(lambda run: run_in_a_process(*run, tmp_path / "-".join(map(str, run))), runs))

    for (image, xlen, _), got in zip(runs, found, strict=True):
        (_, position, digest, _), _ = whole_run(setup_of(image, xlen))
        assert got == (*position, digest)  # type: ignore[misc]


# ---- QEMU


@each_width
@pytest.mark.parametrize("is_legacy", [False, True], ids=["modern", "legacy"])
@each_image
def test_console_is_that_of_qemu(image: str, is_legacy: bool, xlen: int, need: Need, tmp_path: Path) -> None:
    program = f"qemu-system-riscv{xlen}"
    need(program, shutil.which(program))
    (tmp_path / BOOTFILE).write_bytes(FILE)
    done = subprocess.run(
        [program, "-M", "virt", "-bios", image_path(image, xlen), "-display", "none", "-monitor", "none",
         "-serial", "stdio", "-global", f"virtio-mmio.force-legacy={str(is_legacy).lower()}",
         "-netdev", f"user,id=net0,restrict=on,tftp={tmp_path},bootfile={BOOTFILE}",
         "-device", "virtio-net-device,netdev=net0"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S,
    )  # fmt: skip
    board = setup_of(image, xlen, net=BOOTS, virtio_legacy=is_legacy, ram_size=2 * RAM_SIZE).make()

    assert board.run() == PASSED
    assert done.returncode == 0
    assert same_everywhere(board) == re.sub(r"^t:.*\n", "", done.stdout.decode(), flags=re.MULTILINE).splitlines()
