"""What is run side by side with QEMU: a table of guests that end by themselves.

To add one, write a function that makes a `Job` and put it into `WORKLOADS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.processes import Dialogue
from benchmarks.programs import (
    CLAIM,
    ECALL,
    HARTS,
    ILLEGAL,
    LINE_STATUS,
    MTIME,
    RDTIME,
    Operation,
    Sharing,
    Switch,
    Ticker,
    harts_program,
    loop_program,
    patched,
    switch_program,
    ticker_program,
)
from minstret.devices.board.placement import PACKAGED
from minstret.firmware import image_path

INSTRUCTIONS = "instructions"
"""The unit of workloads that compute. Their work is the number of instructions that minstret counted."""

MIB = 1 << 20
GUESTS = Path(os.environ.get("MINSTRET_GUESTS") or Path(__file__).parents[2] / ".cache" / "guests")
"""Where tools/get-guests puts Linux."""

LINUX_COMMAND_LINE = "console=ttyS0 minstret.script=poweroff"
_WHILE, _NEXT = "i=0; while [ $i -lt {work} ];", "i=$((i+1))"
_UBOOT = Path(PACKAGED["u-boot"][64])
KERNEL_ROW = "kernel-"
KERNELS = {
    "crc": 2400, "sieve": 4600, "matrix": 11000, "list": 12000, "sha": 1200, "modular": 22000, "lexer": 52000,
    "filter": 8800, "packer": 320, "queens": 15000, "strings": 10600, "division": 48000,
}  # fmt: skip
"""Those of the image `kernels`, each with the rounds that take 400 M instructions."""
_QUICK = ("filter", "lexer", "queens")
"""Those that `smoke` has too: arithmetic, branches, calls. Half of their work takes QEMU 0.15 s and more."""
_SMP = (("--smp", str(HARTS)), ("-smp", str(HARTS)))
_NET = (("--net", "user,restrict=on"),
        ("-netdev", "user,id=net0,restrict=on", "-device", "virtio-net-device,netdev=net0"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """One guest for both: the options for `minstret run`, and those for QEMU besides the ones it always gets."""

    minstret: tuple[str, ...]
    qemu: tuple[str, ...]
    dialogue: Dialogue = ()
    verb: tuple[str, ...] = ("run",)
    """Minstret's command, where it is another."""
    icount: str = "shift=1,sleep=off"
    """What QEMU gets as -icount."""


@dataclass(frozen=True, slots=True)
class Place:
    """The folder for a job's files, and its register width."""

    folder: Path
    xlen: int

    def image(self, name: str) -> Path:
        return image_path(name, self.xlen)

    def binary(self, data: bytes) -> Path:
        path = self.folder / "guest.bin"
        path.write_bytes(data)
        return path


@dataclass(frozen=True, slots=True)
class Workload:
    """Something to measure.

    Attributes:
        name: Its name on the command line and in JSON.
        make: Makes the job for a given amount of work.
        unit: The unit of work; empty for a session, whose time includes the start-up.
        work: Work for `all`, so that QEMU takes a second or more and minstret not too long.
        smoke_work: Work for `smoke`; 0 leaves it out there.
        is_rv64_only: Whether there is no such guest for rv32.
        needs: A file that it needs; if that is missing, the workload is left out.
        base: Name of the workload whose time is subtracted, unless this is a session.
        ends_on_qemu: Whether it does so there before long; otherwise it is run on minstret alone.
    """

    name: str
    title: str
    make: Callable[[Place, int], Job]
    unit: str = ""
    work: int = 1
    smoke_work: int = 1
    is_rv64_only: bool = False
    needs: Path | None = None
    ends_on_qemu: bool = True
    base: str = "start"

    @property
    def is_session(self) -> bool:
        return not self.unit


# ---- how jobs are made


def firmware(path: Path, minstret: tuple[str, ...] = (), qemu: tuple[str, ...] = (), dialogue: Dialogue = ()) -> Job:
    """Boot ``path`` in M-mode, with more options for minstret and for QEMU."""
    return Job((*minstret, str(path)), ("-bios", str(path), *qemu), dialogue)


def image(name: str) -> Callable[[Place, int], Job]:
    return lambda place, _: firmware(place.image(name))


def networked(name: str) -> Callable[[Place, int], Job]:
    return lambda place, _: firmware(place.image(name), *_NET)


def bench(place: Place, rounds: int) -> Job:
    return firmware(patched("bench", place.xlen, place.folder, {"bench_rounds": rounds}))


def mix(place: Place, values: dict[str, int]) -> Path:
    """The image `mix`, which does only the work that ``values`` say."""
    parts = ("memory_rounds", "float_rounds", "line_rounds", "interrupt_rounds")
    return patched("mix", place.xlen, place.folder, dict.fromkeys(parts, 0) | values)


def mix_of(part: str, **values: int) -> Callable[[Place, int], Job]:
    """One part of `mix`, as many rounds as there is work."""
    return lambda place, rounds: firmware(mix(place, {part: rounds, **values}))


def large(place: Place, _: int) -> Job:
    path = mix(place, {"memory_rounds": 1, "memory_bytes": 100 * MIB})
    return firmware(path, ("--memory", "1G"), ("-m", "1G"))


def raw(place: Place, program: bytes) -> Job:
    return firmware(place.binary(program), ("--cpu", f"rv{place.xlen}"))


def ticks(hz: int, *, waits: bool = False) -> Callable[[Place, int], Job]:
    return lambda place, count: raw(place, ticker_program(Ticker(hz, waits), count))


def loop(operation: Operation) -> Callable[[Place, int], Job]:
    return lambda place, repeats: raw(place, loop_program(operation, repeats))


def uboot(_: Place, __: int) -> Job:
    return firmware(_UBOOT, *_NET, dialogue=(
        (b"Hit any key", b"\n"),
        (b"=> ", b"setenv autoload no; dhcp; poweroff\n"),
        (b"bound to address", b""),
    ))  # fmt: skip


def kernel(name: str) -> Callable[[Place, int], Job]:
    """One of the image `kernels`."""

    def make(place: Place, rounds: int) -> Job:
        values = {f"{each}_rounds": rounds if each == name else 0 for each in KERNELS}
        return firmware(patched("kernels", place.xlen, place.folder, values))

    return make


def switches(switch: Switch) -> Callable[[Place, int], Job]:
    return lambda place, count: raw(place, switch_program(switch, place.xlen, count // 2))


def debugged(make: Callable[[Place, int], Job]) -> Callable[[Place, int], Job]:
    """With a server for gdb to which nobody connects."""

    def add(place: Place, work: int) -> Job:
        job = make(place, work)
        address = "127.0.0.1:0"
        return replace(job, minstret=("--gdb", address, *job.minstret), qemu=("-gdb", f"tcp:{address}", *job.qemu))

    return add


def recorded(make: Callable[[Place, int], Job]) -> Callable[[Place, int], Job]:
    """Into a trace; on QEMU into a log, for which it needs ``sleep=on``."""

    def add(place: Place, work: int) -> Job:
        job = make(place, work)
        verb = ("record", "-f", "-o", str(place.folder / "guest.mst"))
        log = place.folder / "qemu.log"
        return replace(job, verb=verb, icount=f"shift=1,rr=record,rrfile={log}", qemu=("-rtc", "clock=vm", *job.qemu))

    return add


def harts(sharing: Sharing, count: int = HARTS) -> Callable[[Place, int], Job]:
    """All harts share so; the work is divided among them."""

    def make(place: Place, work: int) -> Job:
        path = place.binary(harts_program(sharing, work // count, count))
        return firmware(path, ("--cpu", f"rv{place.xlen}", "--smp", str(count)), ("-smp", str(count)))

    return make


def linux_does(script: str) -> Callable[[Place, int], Job]:
    """Linux runs a line of shell, in which ``{work}`` is how often, and powers off."""
    return lambda _, work: linux_with(f'console=ttyS0 minstret.script="{script.format(work=work)}"')


def linux(_: Place, __: int) -> Job:
    return linux_with(LINUX_COMMAND_LINE)


def linux_with(command_line: str) -> Job:
    boot = {"bios": GUESTS / "opensbi.bin", "kernel": GUESTS / "Image", "initrd": GUESTS / "rootfs.cpio",
            "append": command_line}  # fmt: skip
    here = [word for name, value in boot.items() for word in (f"--{name}", str(value))]
    there = [word for name, value in boot.items() for word in (f"-{name}", str(value))]
    return Job(("-m", "512M", *_NET[0], *here), ("-m", "512M", *_NET[1], *there))


def linux_on_harts(place: Place, work: int) -> Job:
    job = linux(place, work)
    return Job((*_SMP[0], *job.minstret), (*_SMP[1], *job.qemu))


# ---- the table

START = Workload("start", "Start-up: image hello", image("hello"))
"""Its time is subtracted from that of all workloads except sessions, and those with another base."""

WORKLOADS = (
    START,
    Workload("integer", "Integer: sort, hash, matrix", bench, INSTRUCTIONS, 16, 2),
    *(
        Workload(KERNEL_ROW + name, f"Kernel {name}", kernel(name), INSTRUCTIONS, rounds,
                 rounds // 2 if name in _QUICK else 0)
        for name, rounds in KERNELS.items()
    ),
    Workload("memory", "Memory: copy and hop in 16 MiB", mix_of("memory_rounds", memory_bytes=16 * MIB), INSTRUCTIONS,
             12, 2),
    Workload("float", "Floating point: five bodies", mix_of("float_rounds"), INSTRUCTIONS, 600_000, 50_000),
    Workload("ticks-1k-busy", "Ticks at 1 kHz, busy", ticks(1000), "ticks", 1000, 200),
    Workload("ticks-100k-busy", "Ticks at 100 kHz, busy", ticks(100_000), "ticks", 60_000, 10_000),
    Workload("ticks-1k-idle", "Ticks at 1 kHz, in WFI", ticks(1000, waits=True), "ticks", 100_000, 10_000),
    Workload("ticks-10k-idle", "Ticks at 10 kHz, in WFI", ticks(10_000, waits=True), "ticks", 100_000, 0),
    Workload("ticks-100k-idle", "Ticks at 100 kHz, in WFI", ticks(100_000, waits=True), "ticks", 100_000, 10_000),
    Workload("line-status", "Reads of the UART's line status", loop(LINE_STATUS), "reads", 4_000_000, 1_000_000),
    Workload("mtime", "Reads of mtime", loop(MTIME), "reads", 4_000_000, 1_000_000),
    Workload("plic", "Reads of the PLIC's claim register", loop(CLAIM), "reads", 2_000_000, 300_000),
    Workload("interrupts", "UART interrupts through the PLIC", mix_of("interrupt_rounds"), "interrupts", 200_000,
             20_000),
    Workload("uart", "Lines of 64 characters, polling", mix_of("line_rounds"), "lines", 10_000, 1_500),
    Workload("ecall", "Traps: ecall", loop(ECALL), "traps", 2_000_000, 500_000),
    Workload("illegal", "Traps: illegal instruction", loop(ILLEGAL), "traps", 2_000_000, 400_000),
    Workload("rdtime", "Reads of time (rdtime)", loop(RDTIME), "reads", 10_000_000, 2_000_000),
    Workload("satp", "Writes of satp, each with sfence.vma", switches(Switch.FENCED), "writes", 1_000_000, 100_000),
    Workload("spaces", "Switches of two address spaces", switches(Switch.SPACES), "switches", 1_000_000, 100_000),
    Workload("gdb", "Integer, --gdb, nobody connects", debugged(bench), INSTRUCTIONS, 16, 2),
    Workload("record", "Integer, recorded", recorded(bench), INSTRUCTIONS, 16, 2),
    Workload("record-ticks", "Ticks at 100 kHz, busy, recorded", recorded(ticks(100_000)), "ticks", 60_000, 10_000),
    Workload("harts-2", "2 harts, independent", harts(Sharing.NOTHING, 2), INSTRUCTIONS, 240_000_000, 24_000_000),
    Workload("lock-2", "2 harts, one lock", harts(Sharing.LOCK, 2), "times", 4_000_000, 0),
    Workload("harts", f"{HARTS} harts, independent", harts(Sharing.NOTHING), INSTRUCTIONS, 240_000_000, 24_000_000),
    Workload("lock", f"{HARTS} harts, one lock", harts(Sharing.LOCK), "times", 4_000_000, 400_000),
    Workload("dhcp", "DHCP: image dhcp, polling", networked("dhcp")),
    Workload("dhcp-wfi", "DHCP: image dhcp-wfi, asleep", networked("dhcp-wfi"), smoke_work=0),
    Workload("uboot", "U-Boot: prompt, dhcp, poweroff", uboot, is_rv64_only=True, needs=_UBOOT),
    Workload("large", "1 GiB of RAM, 100 MiB written", large, smoke_work=0),
    Workload("linux", "Linux: boot, DHCP, ping, poweroff", linux, smoke_work=0, is_rv64_only=True,
             needs=GUESTS / "Image"),
    Workload("linux-while", "Linux: a while loop of busybox", linux_does(f"{_WHILE} do {_NEXT}; done"), "rounds",
             40_000, 0, is_rv64_only=True, needs=GUESTS / "Image", base="linux"),
    Workload("linux-fork", "Linux: fork and exec of busybox", linux_does(f"{_WHILE} do busybox true; {_NEXT}; done"),
             "processes", 500, 0, is_rv64_only=True, needs=GUESTS / "Image", base="linux"),
    Workload("linux-record", "Linux: boot, recorded", recorded(linux), smoke_work=0, is_rv64_only=True,
             needs=GUESTS / "Image", ends_on_qemu=False),
    Workload("linux-harts", f"Linux: the same, {HARTS} harts", linux_on_harts, smoke_work=0, is_rv64_only=True,
             needs=GUESTS / "Image", ends_on_qemu=False),
)  # fmt: skip
