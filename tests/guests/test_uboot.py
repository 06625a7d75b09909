"""U-Boot and OpenSBI as Debian packages them, unmodified, driven through the UART."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support.asm import A0, ZERO, addi, code, jalr
from support.harts import Typist
from support.needs import Need
from support.recordings import assert_replays, record

from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import BoardConfig
from minstret.devices.board.placement import PACKAGED
from minstret.devices.hostside.hostinput.parsing import parse_script
from minstret.devices.hostside.side import NetConfig
from minstret.devices.hostside.usernet.network import UserNetConfig
from minstret.emu.door.live import LiveDoor
from minstret.emu.host import HostFolder
from minstret.emu.images.loader import read_image
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.units import NS_PER_MS, NS_PER_S

UBOOT = Path(PACKAGED["u-boot"][64])
UBOOT_S = UBOOT.parent.parent / "qemu-riscv64_smode" / "u-boot.bin"
OPENSBI = Path(PACKAGED["opensbi"][64])
PROMPT = "=> "
INSNS_MAX = 2_000_000_000
RA = 1


@dataclass
class Session:
    """A board with somebody at its console."""

    board: Board
    typist: Typist

    def wait_for(self, text: str) -> Outcome:
        outcome = self.board.run_until(uart=text, icount=self.board.position.icount + INSNS_MAX)
        assert text.encode() in self.board.console or outcome.reason is StopReason.FINISHED
        return outcome

    def to_prompt(self) -> None:
        self.wait_for("Hit any key to stop autoboot")
        self.typist.type("\n")
        self.wait_for(PROMPT)

    def command(self, text: str) -> str:
        """Type a command, and give what it printed."""
        start = len(self.board.console)
        self.typist.type(text + "\n")
        self.wait_for(PROMPT)
        return self.board.console[start:].decode().replace("\r\n", "\n").removeprefix(text + "\n").removesuffix(PROMPT)


def session(
    first: Path, kernel: Path | None = None, *, slice_insns: int | None = 1_000_000,
    config: BoardConfig | None = None, files: HostFolder | None = None,
) -> Session:  # fmt: skip
    typist = Typist()
    config = replace(config or BoardConfig(), slice_insns_max=slice_insns)
    return Session(Board(first, config, kernel=kernel, door=LiveDoor(typist), files=files), typist)


TALK = r"""
EXPECT "autoboot" within 5s
SEND " "
EXPECT /=> $/
SEND "version\r"
EXPECT "U-Boot 20"
EXPECT /=> $/
SEND "poweroff\r"
"""


@pytest.fixture
def uboot(need: Need) -> Session:
    need("u-boot.bin (package u-boot-qemu)", UBOOT.exists())
    return session(UBOOT)


def test_script_talks_to_uboot_and_is_recorded(need: Need, tmp_path: Path) -> None:
    need("u-boot.bin (package u-boot-qemu)", UBOOT.exists())
    setup = Setup(BoardConfig(), read_image(UBOOT), script=tuple(parse_script(TALK, "talk.txt")))

    recorded = record(tmp_path, setup, icount=INSNS_MAX)

    assert recorded.end.outcome == Outcome(StopReason.FINISHED, 0)
    assert b"=> version\r\nU-Boot 20" in recorded.console
    assert_replays(recorded, slice_insns_max=49_999)


def test_uboot_answers_and_powers_off(uboot: Session) -> None:
    uboot.to_prompt()

    assert uboot.command("version").startswith("U-Boot 20")
    bdinfo = uboot.command("bdinfo")
    assert "-> start    = 0x0000000080000000" in bdinfo
    assert "-> size     = 0x0000000008000000" in bdinfo
    start_ns = uboot.board.position.virtual_ns
    uboot.command("sleep 1")
    slept_ns = uboot.board.position.virtual_ns - start_ns
    assert abs(slept_ns - NS_PER_S) < NS_PER_MS  # U-Boot counts whole milliseconds from the one it is in
    uboot.typist.type("poweroff\n")
    outcome = uboot.wait_for(PROMPT)
    assert outcome == Outcome(StopReason.FINISHED, 0)


@pytest.mark.parametrize("slice_insns", [9_973, None])
@pytest.mark.parametrize("is_legacy", [False, True], ids=["modern", "legacy"])
def test_uboot_does_dhcp_ping_and_tftp(is_legacy: bool, slice_insns: int | None, need: Need, tmp_path: Path) -> None:
    need("u-boot.bin (package u-boot-qemu)", UBOOT.exists())
    contents = bytes(range(256)) * 20  # four blocks, the last one short
    (tmp_path / "image.bin").write_bytes(contents)
    config = BoardConfig(net=NetConfig(UserNetConfig(restrict=True)), virtio_legacy=is_legacy)
    uboot = session(UBOOT, config=config, files=HostFolder(str(tmp_path)), slice_insns=slice_insns)

    uboot.to_prompt()
    dhcp = uboot.command("setenv autoload no; dhcp")
    ping = uboot.command("ping 10.0.2.2")
    tftp = uboot.command("tftpboot 0x84000000 image.bin")
    uboot.typist.type(f"crc32 84000000 {len(contents):x}\n")
    uboot.wait_for(f"==> {zlib.crc32(contents):08x}")
    uboot.wait_for(PROMPT)

    assert "DHCP client bound to address 10.0.2.15" in dhcp
    assert "host 10.0.2.2 is alive" in ping
    assert f"Bytes transferred = {len(contents)}" in tftp
    assert uboot.board.memory[0x8400_0000 : 0x8400_0000 + len(contents)] == contents
    assert uboot.board.digest() == DHCP_DIGESTS.setdefault(is_legacy, uboot.board.digest())


DHCP_DIGESTS: dict[bool, str] = {}
"""Of the session above, in slices of whichever size came first."""


def test_uboot_gets_all_that_was_piped_to_it_from_the_start(need: Need) -> None:
    """It resets its UART twice, long before it reads; the first byte stops its countdown."""
    need("u-boot.bin (package u-boot-qemu)", UBOOT.exists())
    runs = set()
    for slice_insns in (99_991, None):
        uboot = session(UBOOT, slice_insns=slice_insns)
        uboot.typist.type("dhcp\nping 10.0.2.2\n")
        uboot.wait_for("=> ping 10.0.2.2")
        uboot.wait_for(PROMPT)
        runs.add((uboot.board.position, uboot.board.digest()))

    assert "=> hcp\r\nUnknown command 'hcp'" in uboot.board.console.decode()
    assert len(runs) == 1


def test_uboot_carries_out_all_commands_that_were_piped_to_it(need: Need) -> None:
    """Most of its commands drop what comes meanwhile; the first byte stops its countdown."""
    need("u-boot.bin (package u-boot-qemu)", UBOOT.exists())
    runs = set()
    for slice_insns in (99_991, None):
        uboot = session(UBOOT, config=BoardConfig(net=NetConfig(UserNetConfig())), slice_insns=slice_insns)
        uboot.typist.type("\ndhcp\nping 10.0.2.2\nversion\nping 10.0.2.3\n")
        uboot.wait_for("host 10.0.2.3 is alive")
        uboot.wait_for(PROMPT)
        runs.add((uboot.board.position, uboot.board.digest()))

    said = uboot.board.console.decode()
    assert [line for line in said.split("\r\n") if line.startswith("=> ")] == [
        "=> dhcp", "=> ping 10.0.2.2", "=> version", "=> ping 10.0.2.3", "=> ",
    ]  # fmt: skip
    assert "DHCP client bound to address 10.0.2.15" in said
    assert "host 10.0.2.2 is alive" in said
    assert len(runs) == 1


def test_uboot_sleeps_the_same_time_in_every_run(need: Need) -> None:
    need("u-boot.bin (package u-boot-qemu)", UBOOT.exists())
    positions = []
    for slice_insns in (999_983, 1_000_000):
        guest = session(UBOOT, slice_insns=slice_insns)
        guest.to_prompt()
        guest.command("sleep 1")
        positions.append((guest.board.position, guest.board.digest()))
    assert positions[0] == positions[1]


def test_code_loaded_over_code_that_ran_is_what_runs(uboot: Session) -> None:
    uboot.to_prompt()
    at = 0x8400_0000
    five, seven = (int.from_bytes(code(addi(A0, ZERO, n)), "little") for n in (5, 7))
    uboot.command(f"mw.l {at:x} {five:x}; mw.l {at + 4:x} {jalr(ZERO, RA, 0):x}")

    assert "rc = 0x5" in uboot.command(f"go {at:x}")
    uboot.command(f"mw.l {at:x} {seven:x}")
    assert "rc = 0x7" in uboot.command(f"go {at:x}")


def boot_digests(first: Path, kernel: Path | None, slice_insns: int | None, icounts: tuple[int, ...]) -> list[object]:
    """Digests on the way, up to the prompt."""
    guest = session(first, kernel, slice_insns=slice_insns)
    found: list[object] = []
    for icount in icounts:
        guest.board.run_until(icount=icount)
        found.append(guest.board.digest())
    if len(icounts) > 1:
        guest.to_prompt()
    return [*found, guest.board.position, guest.board.digest(), bytes(guest.board.console)]


@pytest.mark.parametrize("kernel", [None, UBOOT_S], ids=["m-mode", "under-opensbi"])
def test_slices_of_any_size_make_the_same_boot(kernel: Path | None, need: Need) -> None:
    need("u-boot.bin (package u-boot-qemu)", UBOOT.exists() and UBOOT_S.exists())
    need("fw_dynamic.bin (package opensbi)", OPENSBI.exists())
    first = OPENSBI if kernel else UBOOT
    marks = (1_000_000, 10_000_000)
    whole = boot_digests(first, kernel, None, marks)
    assert boot_digests(first, kernel, 9_973, marks) == whole
    assert boot_digests(first, kernel, 1_000, (1_000_000,))[0] == whole[0]
    assert boot_digests(first, kernel, 7, (1_000_000,))[0] == whole[0]
    start = boot_digests(first, kernel, None, (150_000,))
    assert boot_digests(first, kernel, 1, (150_000,)) == start


@pytest.mark.slow
def test_small_slices_make_the_same_whole_boot(need: Need) -> None:
    need("u-boot.bin (package u-boot-qemu)", UBOOT.exists())
    marks = (1_000_000, 10_000_000)
    assert boot_digests(UBOOT, None, 61, marks) == boot_digests(UBOOT, None, None, marks)


def test_opensbi_prints_this_board_and_enters_uboot(need: Need) -> None:
    need("fw_dynamic.bin (package opensbi)", OPENSBI.exists())
    need("U-Boot's S-mode build (package u-boot-qemu)", UBOOT_S.exists())
    guest = session(OPENSBI, UBOOT_S)
    guest.to_prompt()
    banner = guest.board.console.decode()
    for line in (
        "Platform Timer Device     : aclint-mtimer @ 10000000Hz",
        "Platform Console Device   : uart8250",
        "Platform Shutdown Device  : sifive_test",
        "Domain0 Next Address      : 0x0000000080200000",
        "Domain0 Next Mode         : S-mode",
        "Boot HART Base ISA        : rv64imafdc",
        "Boot HART PMP Count       : 16",
        "Boot HART MEDELEG         : 0x000000000000b109",
    ):
        assert line in banner
    assert f"Domain0 Next Arg1         : 0x{guest.board.placement.tree:016x}" in banner
    assert guest.command("version").startswith("U-Boot 20")


def test_uboot_runs_on_one_of_several_harts(need: Need) -> None:
    """The other stays stopped. It does not sleep, as OpenSBI 1.1 leaves the interrupt that called it pending."""
    need("fw_dynamic.bin (package opensbi)", OPENSBI.exists())
    need("U-Boot's S-mode build (package u-boot-qemu)", UBOOT_S.exists())
    runs = set()
    for slice_insns in (99_991, None):
        guest = session(OPENSBI, UBOOT_S, config=BoardConfig(smp=2), slice_insns=slice_insns)
        guest.to_prompt()
        banner = guest.board.console.decode()
        assert "Platform HART Count       : 2" in banner
        assert "Domain0 HARTs             : 0*,1*" in banner
        listed = [line.split()[:2] for line in guest.command("cpu list").splitlines() if line.strip()]
        assert listed == [["0:", "cpu@0"], ["1:", "cpu@1"]]  # it has room for a riscv,isa of 100 characters, no more
        guest.typist.type("poweroff\n")
        outcome = guest.wait_for(PROMPT)
        assert outcome == Outcome(StopReason.FINISHED, 0)
        runs.add((guest.board.position, guest.board.digest()))

    assert len(runs) == 1
