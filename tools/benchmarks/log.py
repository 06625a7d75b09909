"""Measure the size of traces: bytes per event, per checkpoint, per million instructions, compared with QEMU's log."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.processes import MINSTRET, machine_text, qemu_executable, run_to_end
from benchmarks.programs import Ticker, ticker_program
from minstret.emu.cli.inspect import trace_facts
from minstret.emu.trace.reader import TraceReader
from minstret.firmware import image_path

QEMU = "qemu-system-riscv64"
QEMU_S = 60
_QEMU_RECORD = ("-M", "virt", "-rtc", "clock=vm", "-display", "none", "-monitor", "none", "-serial", "stdio", "-icount",
                "shift=1,rr=record,rrfile={log}")  # fmt: skip
_QEMU_NET = ("-netdev", "user,id=n,restrict=on", "-device", "virtio-net-device,netdev=n",
             "-object", "filter-replay,id=r,netdev=n")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest to record. ``ticks`` is how many timer ticks it has; 0 if it is not about ticks."""

    name: str
    image: Path
    ticks: int = 0
    has_net: bool = False


TICKERS = (Ticker(1000), Ticker(1000, is_irregular=True), Ticker(1000, waits=True), Ticker(100_000),
           Ticker(100_000, waits=True, is_irregular=True))  # fmt: skip


def make_guests(folder: Path, ticks: int) -> list[Guest]:
    """All guests; raw binaries are written to ``folder``."""
    guests = []
    for number, ticker in enumerate(TICKERS):
        count = ticks * max(1, ticker.hz // 10_000)
        path = folder / f"{number}.bin"
        path.write_bytes(ticker_program(ticker, count))
        guests.append(Guest(ticker.name, path, ticks=count))
    return guests + [Guest(name, image_path(name), has_net=True) for name in ("dhcp", "dhcp-wfi")]


@dataclass(frozen=True, slots=True)
class Row:
    """The sizes of one guest's recordings, bytes."""

    guest: Guest
    insns: int
    events: int
    checkpoints: int
    bytes_events: int
    bytes_checkpoints: int
    bytes_file: int
    bytes_qemu: int | None


def measure(guest: Guest, folder: Path, with_qemu: bool) -> Row:
    """Record ``guest`` here and on QEMU."""
    trace = folder / "guest.mst"
    net = ("--net", "user,restrict=on") if guest.has_net else ()
    run_to_end([*MINSTRET, "record", "-f", "-q", "--no-input", "-o", str(trace), *net, str(guest.image)])
    facts = trace_facts(TraceReader(str(trace)))
    counts, sizes = facts["counts"], facts["sizes"]
    return Row(
        guest, facts["reached"]["icount"], counts["events"], counts["checkpoints"], sizes["events"],
        sizes["checkpoints"], sizes["file"], _qemu_bytes(guest, folder) if with_qemu else None,
    )  # fmt: skip


def _qemu_bytes(guest: Guest, folder: Path) -> int | None:
    """The size of QEMU's log; None if the guest fails there."""
    log = folder / "qemu.log"
    options = [option.format(log=log) for option in (*_QEMU_RECORD, *(_QEMU_NET if guest.has_net else ()))]
    took = run_to_end([QEMU, *options, "-bios", str(guest.image)], timeout_s=QEMU_S, may_fail=True)
    return None if took.status else log.stat().st_size


def _per(size: int | None, count: float) -> str:
    if size is None or not count:
        return "-"
    value = size / count
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 or not value else f"{value:.3f}"


COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("M insns", lambda row: f"{row.insns / 1e6:,.2f}"),
    ("events", lambda row: f"{row.events:,}"),
    ("bytes each", lambda row: _per(row.bytes_events, row.events)),
    ("checkpoints", lambda row: f"{row.checkpoints:,}"),
    ("bytes each", lambda row: _per(row.bytes_checkpoints, row.checkpoints)),
    ("bytes/M insns", lambda row: _per(row.bytes_events + row.bytes_checkpoints, row.insns / 1e6)),
    ("file, KiB", lambda row: f"{row.bytes_file / 1024:,.0f}"),
    ("QEMU, KiB", lambda row: _per(row.bytes_qemu, 1024)),
    ("bytes/tick", lambda row: _per(row.bytes_qemu, row.guest.ticks)),
    ("bytes/M insns", lambda row: _per(row.bytes_qemu, row.insns / 1e6)),
)


def show(rows: list[Row]) -> None:
    """Print the table."""
    width = max(len(row.guest.name) for row in rows)
    click.echo(" " * width + "".join(f"{title:>15}" for title, _ in COLUMNS))
    for row in rows:
        click.echo(f"{row.guest.name:<{width}}" + "".join(f"{cell(row):>15}" for _, cell in COLUMNS))


@click.command(
    "log",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  tools/bench log
  tools/bench log --ticks 100 --no-qemu
""",
)
@click.option("--ticks", type=click.IntRange(10, 100_000), default=1000, show_default=True, help=(
    "Ticks of each guest at 1 kHz; ten times as many at 100 kHz."))  # fmt: skip
@click.option("--no-qemu", is_flag=True, help="Don't run QEMU, even if it is installed.")
def main(ticks: int, no_qemu: bool) -> None:
    """Measure the size of traces, and of QEMU's logs.

    Records guests and prints the sizes of their traces and of QEMU's logs (-icount shift=1,rr=record).

    Events come from the host side, with their data. Checkpoints are passes of guest-side timers, packed as in the file.
    The file also contains images, what the guest sent, and SQLite's pages; QEMU's log has no images and
    no outputs. QEMU records with sleep=on, as it must, and with filter-replay if there is a network card. A dash means
    that the guest failed there, or did not end within a minute.
    """
    with_qemu = not no_qemu and qemu_executable() is not None
    with tempfile.TemporaryDirectory(prefix="minstret-bench-") as name:
        folder = Path(name)
        rows = [measure(guest, folder, with_qemu) for guest in make_guests(folder, ticks)]
    show(rows)
    click.echo(f"\n{machine_text()}")
