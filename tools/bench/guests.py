#!/usr/bin/env python3
"""Measure whole guests as a user runs them: minstret beside QEMU's icount mode, user seconds and their ratio.

Run it with the environment that tools/demo or tools/test makes: .venv/bin/python tools/bench/guests.py
"""

from __future__ import annotations

import resource
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from minstret.devices.placement import PACKAGED
from minstret.firmware import image_path

QEMU = "qemu-system-riscv64"
_QEMU_ICOUNT = ("-M", "virt", "-icount", "shift=1,sleep=off", "-rtc", "clock=vm", "-display", "none", "-monitor",
                "none", "-serial", "stdio")  # fmt: skip
UBOOT = Path(PACKAGED["u-boot"][64])


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest that ends by itself, and what is typed to it after which output."""

    name: str
    image: Path
    dialogue: tuple[tuple[bytes, bytes], ...] = ()


GUESTS = (
    Guest("bench", image_path("bench")),
    Guest("U-Boot to its prompt, poweroff", UBOOT, ((b"Hit any key", b"\n"), (b"=> ", b"poweroff\n"))),
)


def _user_s(command: list[str], guest: Guest) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for awaited, typed in guest.dialogue:
            seen = b""
            while not seen.endswith(awaited):
                byte = process.stdout.read(1)
                if not byte:
                    raise click.ClickException(f"{command[0]}: {guest.name} ended before it said {awaited.decode()!r}")
                seen += byte
            process.stdin.write(typed)
            process.stdin.flush()
        process.stdout.read()
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def _minstret(guest: Guest) -> float:
    return _user_s([sys.executable, "-m", "minstret.emu.cli", "run", "-q", str(guest.image)], guest)


def _qemu(guest: Guest) -> float:
    return _user_s([QEMU, *_QEMU_ICOUNT, "-bios", str(guest.image)], guest)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--repeat", type=click.IntRange(1), default=3, show_default=True, help="Take the median of so many runs.")
def main(repeat: int) -> None:
    """Print user seconds of whole guests here and on QEMU (-icount shift=1,sleep=off), and their ratio."""
    runners: list[tuple[str, Callable[[Guest], float]]] = [("minstret", _minstret)]
    if shutil.which(QEMU):
        runners.append(("QEMU icount", _qemu))
    click.echo(f"{'guest':<32}" + "".join(f"{name:>14}" for name, _ in runners) + f"{'ratio':>9}")
    for guest in GUESTS:
        if not guest.image.exists():
            click.echo(f"{guest.name:<32}  {guest.image} is absent")
            continue
        times: list[list[float]] = [[] for _ in runners]
        for _ in range(repeat):  # in turn, so that a slow spell of the machine hits all
            for (_, run), column in zip(runners, times, strict=True):
                column.append(run(guest))
        medians = [statistics.median(column) for column in times]
        ratio = f"{medians[0] / medians[1]:>9.2f}" if len(medians) > 1 and medians[1] else ""
        click.echo(f"{guest.name:<32}" + "".join(f"{median:>13.2f}s" for median in medians) + ratio)


if __name__ == "__main__":
    main()
