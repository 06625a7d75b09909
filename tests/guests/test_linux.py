"""Debian's kernel under its OpenSBI, with a network, a keyboard and a shell: boots, and stays the same run."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest
from support.commands import minstret
from support.linux_guest import (
    GUESTS,
    INITRD,
    KERNEL,
    KEYBOARD_EVENTS,
    OPENSBI,
    OPENSBI_RV32,
    PROMPT,
    WHAT,
    Shell,
    is_here,
    linux_setup,
)
from support.needs import Need
from support.recordings import Hand, Recorded, assert_replays, record

from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig
from minstret.devices.board.traced import Replay
from minstret.devices.virtio.input_codes import Key
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.trace.reader import TraceReader
from minstret.emu.units import NS_PER_MS
from minstret.firmware import image_path

SNAPSHOT_EVERY_INSNS = 300_000_000
MARKS = (1_000_000, 30_000_000, 400_000_000, 900_000_000)


@pytest.fixture(autouse=True)
def linux(need: Need) -> None:
    need(WHAT, is_here())


# ---- one recorded session


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A boot to the shell, commands, a key, and power off."""
    hand = Hand(stays=True)

    def drive(board: Board) -> None:
        shell = Shell(board, hand)

        def press() -> None:
            board.run_until(virtual_ns=board.position.virtual_ns + 500 * NS_PER_MS)  # xxd has to be there
            assert board.host_side is not None
            board.host_side.input.press([Key.KEY_A])

        shell.wait_for(PROMPT)
        shell.command("uname -srm; nproc; cat /proc/uptime")
        shell.command("ip -4 addr show eth0; ping -c 2 10.0.2.2")
        shell.command(f"xxd -p -c 24 -l 96 {KEYBOARD_EVENTS}", press)
        shell.command("sleep 5; date; cat /dev/hwrng | head -c 8 | xxd -p")
        shell.type("poweroff")

    return record(tmp_path_factory.mktemp("linux"), linux_setup(), source=hand, every=SNAPSHOT_EVERY_INSNS, drive=drive)


@pytest.mark.slow
def test_linux_leases_an_address_pings_and_powers_off(session: Recorded) -> None:
    console = session.console.decode()

    assert session.end.outcome == Outcome(StopReason.FINISHED, 0)
    assert "riscv64" in console.partition("uname -srm")[2]
    assert "lease of 10.0.2.15 obtained from 10.0.2.2" in console
    assert "inet 10.0.2.15/24" in console
    assert "2 packets transmitted, 2 packets received, 0% packet loss" in console
    assert "Mon Oct  1 00:00:" in console
    assert "reboot: Power down" in console


@pytest.mark.slow
def test_key_pressed_arrives_in_evdev(session: Recorded) -> None:
    events = re.findall("^[0-9a-f]{32}([0-9a-f]{16})\r$", session.console.decode(), re.MULTILINE)

    synchronize, down, up = "0000000000000000", "01001e0001000000", "01001e0000000000"
    assert events == [down, synchronize, up, synchronize]


@pytest.mark.slow
def test_session_replays_the_same_at_every_snapshot_and_at_the_end(session: Recorded) -> None:
    def drive(board: Board) -> None:
        for number, digest in digests.items():
            board.run_until(icount=positions[number].icount)
            assert (board.position, board.digest()) == (positions[number], digest)

    with closing(TraceReader(session.path)) as reader:
        positions = dict(reader.snapshot_positions())
    digests = {number: digest_of(session.path, number) for number in positions}
    assert len(digests) >= 4
    assert_replays(session, drive=drive, slice_insns_max=99_991)


def digest_of(path: str, snapshot: int) -> str:
    with closing(TraceReader(path)) as reader:
        return Replay(reader, snapshot=snapshot).board.digest()


@pytest.mark.slow
def test_session_resumed_from_snapshots_ends_the_same(session: Recorded) -> None:
    for snapshot in session.snapshots()[-2:]:
        assert_replays(session, snapshot=snapshot, slice_insns_max=None if snapshot % 2 else 49_999)


# ---- plain runs


@pytest.mark.slow
def test_reboot_boots_again_and_slices_of_any_size_make_the_same_run() -> None:
    def run(slice_insns: int | None) -> list[object]:
        board = linux_setup('minstret.net=off minstret.script="reboot -f"', slice_insns_max=slice_insns).make()
        shell, seen = Shell(board), list[object]()
        for icount in MARKS:
            board.run_until(icount=icount)
            seen += [board.position, board.digest()]
        shell.wait_for("reboot: Restarting system")
        shell.wait_for("OpenSBI v")
        shell.wait_for("Linux version")
        return [*seen, board.position, board.digest(), bytes(board.console)]

    assert run(7_919) == run(None)


@pytest.mark.slow
def test_script_on_the_command_line_gives_the_exit_status(tmp_path: Path) -> None:
    done = minstret(
        "run", "--no-input", "--bios", OPENSBI, "--kernel", KERNEL, "--initrd", INITRD, "-m", "256M",
        "--append", 'console=ttyS0 quiet minstret.script="test -d /proc/1 && exit 42"', cwd=tmp_path,
    )  # fmt: skip

    assert done.returncode == 42, done.stderr.decode()


# ---- OpenSBI on rv32


@pytest.mark.parametrize("slice_insns", [997, None])
def test_paging_checks_pass_under_opensbi_on_rv32(slice_insns: int | None) -> None:
    board = Board(
        OPENSBI_RV32, BoardConfig(xlen=32, slice_insns_max=slice_insns), kernel=image_path("paging-s", xlen=32)
    )

    outcome = board.run()

    assert outcome == Outcome(StopReason.FINISHED, 0)
    console = board.console.decode()
    assert "Boot HART Base ISA          : rv32imafdc" in console
    assert "Platform Console Device     : uart8250" in console
    assert "150 checks, all ok" in console
    assert board.digest() == RV32_DIGESTS.setdefault(GUESTS, board.digest())


RV32_DIGESTS: dict[Path, str] = {}
"""Of the run above, in slices of whichever size came first."""
