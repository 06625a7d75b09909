"""Debian's kernel under its OpenSBI, with a network, a keyboard and a shell: boots, and stays the same run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from support import asm
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
from minstret.emu.hart.extensions import extension_insn
from minstret.emu.images.kallsyms import find_kallsyms
from minstret.emu.images.loader import ImageFile
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.trace.reader import TraceReader
from minstret.emu.units import NS_PER_MS
from minstret.firmware import image_path

SNAPSHOT_EVERY_INSNS = 300_000_000
EXTENSIONS = "zba zbb zbs zicond zicbom zicboz zawrs sstc svinval svnapot svpbmt"
"""Those that the kernel names. It does not know Svadu."""
MARKS = (1_000_000, 30_000_000, 400_000_000, 900_000_000)
HARTS = 4
KERNEL_OFFSET, FUNCTION_SIZE = 0x20_0000, 0x60
"""Of the kernel in RAM; and what of a function is looked at, bytes."""
JUMP = 0x06F
"""jal with the register zero."""


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
        shell.command("uname -srm; nproc; cat /proc/uptime; cat /proc/cpuinfo")
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
def test_opensbi_and_linux_find_the_extensions_that_the_device_tree_names(session: Recorded) -> None:
    console = session.console.decode().replace("\r", "")

    assert found_in(console, r"^Boot HART Base ISA +: (\S+)$") == "rv64imafdcb"
    assert {"sstc", "svadu", "svpbmt", "zicboz"} <= set(
        found_in(console, r"^Boot HART ISA Extensions +: (\S+)$").split(",")
    )
    assert set(EXTENSIONS.split()) <= set(found_in(console, r"^isa\t+: rv64imafdc_(\S+)$").split("_"))
    assert found_in(console, r"^mmu\t+: (\S+)$") == "sv57"
    assert "riscv-timer: Timer interrupt in S-mode is available via sstc extension" in console


def found_in(text: str, pattern: str) -> str:
    """What the group of ``pattern`` stands for in a line of ``text``."""
    found = re.search(pattern, text, re.MULTILINE)
    assert found is not None, (pattern, text)
    return found[1]


@pytest.mark.slow
def test_linux_works_on_strings_by_zbb(session: Recorded) -> None:
    """The kernel has written jumps to its other ways over the beginnings of the functions, and takes them."""
    with closing(TraceReader(session.path)) as reader:
        replay = Replay(reader, snapshot=session.snapshots()[-1])
        flow, ram = replay.board.machine.hart.flow, replay.board.machine.memory.ram
        flow.count(True)
        replay.run()

    symbols = {symbol.name: symbol.address for symbol in find_kallsyms(ram, 64)}
    kernel = symbols["_start"]

    def insn_at(pc: int) -> int:
        at = KERNEL_OFFSET + pc - kernel
        return int.from_bytes(ram[at : at + 4], "little")

    def executed_in(start: int) -> Iterator[str]:
        for run in flow.blocks():
            pc = run.pc
            for _ in range(run.insns if start <= pc < start + FUNCTION_SIZE else 0):
                insn = insn_at(pc)
                row = extension_insn(insn, 64)
                yield "" if row is None else row.name
                pc += 4 if insn & 3 == 3 else 2

    for function in ("strlen", "strcmp"):
        assert insn_at(symbols[function]) & 0xFFF == JUMP
        assert "orc.b" in executed_in(symbols[function])


@pytest.mark.slow
def test_key_pressed_arrives_in_evdev(session: Recorded) -> None:
    events = re.findall("^[0-9a-f]{32}([0-9a-f]{16})\r$", session.console.decode(), re.MULTILINE)

    synchronize, down, up = "0000000000000000", "01001e0001000000", "01001e0000000000"
    assert events == [down, synchronize, up, synchronize]


@pytest.mark.slow
def test_session_replays_the_same_at_every_snapshot_and_at_the_end(session: Recorded) -> None:
    assert_replays_by_snapshots(session, slice_insns_max=99_991)


def assert_replays_by_snapshots(session: Recorded, slice_insns_max: int) -> None:
    """Replay from power-on, and compare with each snapshot on the way."""

    def drive(board: Board) -> None:
        for number, digest in digests.items():
            board.run_until(icount=positions[number].icount)
            assert (board.position, board.digest()) == (positions[number], digest)

    with closing(TraceReader(session.path)) as reader:
        positions = dict(reader.snapshot_positions())
    digests = {number: digest_of(session.path, number) for number in positions}
    assert len(digests) >= 4
    assert_replays(session, drive=drive, slice_insns_max=slice_insns_max)


def digest_of(path: str, snapshot: int) -> str:
    with closing(TraceReader(path)) as reader:
        return Replay(reader, snapshot=snapshot).board.digest()


@pytest.mark.slow
def test_session_resumed_from_snapshots_ends_the_same(session: Recorded) -> None:
    for snapshot in session.snapshots()[-2:]:
        assert_replays(session, snapshot=snapshot, slice_insns_max=None if snapshot % 2 else 49_999)


# ---- a recorded session with several harts


@pytest.fixture(scope="module")
def session_of_several(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A boot to the shell, work on all harts, one of them taken away and given back, and power off."""
    hand = Hand(stays=True)

    def drive(board: Board) -> None:
        shell = Shell(board, hand)
        shell.wait_for(PROMPT)
        shell.command("nproc; grep -c ^processor /proc/cpuinfo")
        shell.command("for i in 1 2 3 4 5 6; do (seq 500 | sha256sum) & done; wait")
        shell.command("cd /sys/devices/system/cpu; echo 0 > cpu2/online; nproc; echo 1 > cpu2/online; nproc; cd")
        shell.command("grep ^cpu /proc/stat")
        shell.type("poweroff")

    setup = linux_setup("minstret.net=off", smp=HARTS)
    return record(
        tmp_path_factory.mktemp("linux"), setup, source=hand, every=SNAPSHOT_EVERY_INSNS, drive=drive
    )  # fmt: skip


@pytest.mark.slow
def test_linux_works_on_all_harts(session_of_several: Recorded) -> None:
    """Its idle time is some of each, and its work is some of each: counted in hundredths of a second."""
    console = session_of_several.console.decode().replace("\r", "")

    assert session_of_several.end.outcome == Outcome(StopReason.FINISHED, 0)
    assert f"smp: Brought up 1 node, {HARTS} CPUs" in console
    assert f"/proc/cpuinfo\n{HARTS}\n{HARTS}\n" in console
    assert console.count(f"{sha256_of_seq(500)}  -\n") == 6
    assert re.search(rf"^{HARTS - 1}\n{HARTS}\n{PROMPT}", console, re.MULTILINE)
    times = re.findall(r"^cpu\d (\d+) 0 (\d+) (\d+) ", console, re.MULTILINE)
    assert len(times) == HARTS
    assert all(int(user) + int(system) > 0 and int(idle) > 0 for user, system, idle in times)
    assert "reboot: Power down" in console


def sha256_of_seq(last: int) -> str:
    """What ``seq LAST | sha256sum`` prints first."""
    return sha256("".join(f"{number}\n" for number in range(1, last + 1)).encode()).hexdigest()


@pytest.mark.slow
def test_session_of_several_harts_replays_the_same_at_every_snapshot_and_at_the_end(
    session_of_several: Recorded,
) -> None:
    assert_replays_by_snapshots(session_of_several, slice_insns_max=99_991)


@pytest.mark.slow
def test_session_of_several_harts_resumed_from_a_snapshot_ends_the_same(session_of_several: Recorded) -> None:
    snapshots = session_of_several.snapshots()
    assert_replays(session_of_several, snapshot=snapshots[len(snapshots) // 2], slice_insns_max=49_999)


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


# ---- OpenSBI with several harts

SBI_HSM, SBI_IPI, SBI_SRST = 0x48534D, 0x735049, 0x53525354
STARTED_AT, SECONDARY_AT = 0x1000, 0x400
STOPPED = 1
A6, A7, S2, S3, S4 = 16, 17, 18, 19, 20


def sbi(extension: int, function: int) -> bytes:
    """Call OpenSBI with what a0, a1 and a2 hold."""
    return asm.code(asm.li(A7, extension), asm.addi(A6, asm.ZERO, function), asm.ECALL)


def supervisor() -> ImageFile:
    """Starts the other harts by SBI, interrupts them when all run, and powers off when all have stopped again.

    Behind STARTED_AT they count that they have started, and that they were interrupted. Powers off as after a failure
    where a call of SBI's gave an error.
    """
    others = HARTS - 1
    start = asm.code(
        asm.add(asm.A0, asm.S1, asm.ZERO), asm.addi(asm.A1, S3, SECONDARY_AT), asm.add(asm.A2, asm.S1, asm.ZERO)
    )
    start += sbi(SBI_HSM, 0) + asm.code(asm.add(S2, S2, asm.A0))
    ask = asm.code(asm.add(asm.A0, asm.S1, asm.ZERO)) + sbi(SBI_HSM, 2)
    ask += asm.code(asm.addi(asm.T0, asm.ZERO, STOPPED))
    ask += asm.code(asm.bne(asm.A1, asm.T0, -len(ask)))
    main = (
        asm.code(asm.auipc(S3, 0), asm.li(S4, STARTED_AT), asm.add(S4, S3, S4), asm.add(asm.S0, asm.A0, asm.ZERO))
        + asm.code(asm.add(S2, asm.ZERO, asm.ZERO))
        + for_each_other(start)
        + asm.code(asm.addi(asm.T1, asm.ZERO, others), asm.lw(asm.T0, S4, 0), asm.bne(asm.T0, asm.T1, -4))
        + asm.code(asm.addi(asm.T0, asm.ZERO, 1), asm.sll(asm.T0, asm.T0, asm.S0))
        + asm.code(asm.addi(asm.A0, asm.ZERO, (1 << HARTS) - 1), asm.sub(asm.A0, asm.A0, asm.T0))
        + asm.code(asm.addi(asm.A1, asm.ZERO, 0)) + sbi(SBI_IPI, 0) + asm.code(asm.add(S2, S2, asm.A0))
        + for_each_other(ask)
        + asm.code(asm.addi(asm.A0, asm.ZERO, 0), asm.add(asm.A1, S2, asm.ZERO)) + sbi(SBI_SRST, 0)
    )  # fmt: skip
    wait = asm.code(asm.WFI, asm.csrr(asm.T0, "sip"), asm.andi(asm.T0, asm.T0, 2), asm.beq(asm.T0, asm.ZERO, -12))
    secondary = (
        asm.code(asm.bne(asm.A0, asm.A1, 0))
        + asm.code(asm.auipc(S4, 0), asm.li(asm.T0, STARTED_AT - SECONDARY_AT - 4), asm.add(S4, S4, asm.T0))
        + asm.code(asm.csrrsi(0, "sie", 2), asm.addi(asm.T1, asm.ZERO, 1), asm.amoadd_w(asm.ZERO, asm.T1, S4))
        + wait
        + asm.code(asm.addi(S4, S4, 4), asm.csrrci(0, "sip", 2), asm.amoadd_w(asm.ZERO, asm.T1, S4))
        + sbi(SBI_HSM, 1)
    )  # fmt: skip
    return ImageFile("supervisor.bin", main.ljust(SECONDARY_AT, b"\0") + secondary)


def for_each_other(body: bytes) -> bytes:
    """``body`` with each hart's id in s1 but that in s0."""
    begin = asm.code(asm.addi(asm.S1, asm.ZERO, HARTS - 1))
    loop = asm.code(asm.beq(asm.S1, asm.S0, len(body) + 4)) + body
    end = asm.code(asm.addi(asm.S1, asm.S1, -1), asm.addi(asm.T0, asm.ZERO, -1))
    return begin + loop + end + asm.code(asm.bne(asm.S1, asm.T0, -len(loop) - len(end)))


@pytest.mark.parametrize("xlen", [64, 32])
def test_opensbi_starts_interrupts_and_stops_harts(xlen: int) -> None:
    digests = set()
    for slice_insns in (997, None):
        config = BoardConfig(xlen=xlen, smp=HARTS, slice_insns_max=slice_insns)
        board = Board(OPENSBI if xlen == 64 else OPENSBI_RV32, config, kernel=supervisor())
        outcome = board.run_until(icount=30_000_000)
        digests.add(board.digest())

        assert outcome == Outcome(StopReason.FINISHED, 0)
        at = board.placement.next_entry + STARTED_AT
        assert board.memory[at : at + 8] == (HARTS - 1).to_bytes(4, "little") * 2

    console = board.console.decode()
    assert re.search(r"Platform HART Count +: 4\r", console)
    assert re.search(r"Domain0 HARTs +: 0\*,1\*,2\*,3\*\r", console)
    assert len(digests) == 1
