"""QEMU's ``virt`` board, to compare ours with."""

from __future__ import annotations

import shutil
import subprocess

from support.needs import Need

from minstret.firmware import image_path

QEMU_SECONDS_MAX = 60


def qemu_console(image: str, xlen: int, need: Need, *, harts: int = 1) -> tuple[int, bytes]:
    """QEMU's exit status and what one of our images prints there."""
    program = f"qemu-system-riscv{xlen}"
    need(program, shutil.which(program))
    done = subprocess.run(
        [program, "-M", "virt", "-smp", str(harts), "-bios", image_path(image, xlen), "-display", "none",
         "-monitor", "none", "-serial", "stdio"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=QEMU_SECONDS_MAX,
    )  # fmt: skip
    return done.returncode, done.stdout


def without_times(console: bytes) -> list[str]:
    """The lines that are the same on every correct machine."""
    lines = console.decode().replace("\r\n", "\n").splitlines()
    return [line for line in lines if not line.startswith("t:")]
