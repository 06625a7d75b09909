"""Runs processes and measures their time and memory; describes the machine."""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import click

MINSTRET = (sys.executable, "-m", "minstret.emu.cli")
TIMEOUT_S = 300
SAMPLE_S = 0.02

Dialogue = tuple[tuple[bytes, bytes], ...]
"""What to type to a guest, and after which output: pairs (awaited, typed)."""


@dataclass(frozen=True, slots=True)
class Took:
    """The time and memory that a process took, and its exit status.

    Attributes:
        user_s: User time of all its threads; ``system_s`` likewise.
        rss_bytes: The most memory it had, as seen every `SAMPLE_S`: rusage has at least what its parent had.
    """

    user_s: float
    system_s: float
    wall_s: float
    rss_bytes: int
    status: int


def run_to_end(
    command: Sequence[str], dialogue: Dialogue = (), *, timeout_s: float = TIMEOUT_S, may_fail: bool = False
) -> Took:
    """Run a process that ends by itself.

    Raises:
        ClickException: It failed, took too long, or ended before it printed what ``dialogue`` awaits.
    """
    guest = subprocess.PIPE if dialogue else subprocess.DEVNULL
    start_s = time.monotonic()
    with subprocess.Popen(command, stdin=guest, stdout=guest, stderr=subprocess.PIPE) as child:
        assert child.stderr is not None
        watcher = _Watcher(child.pid, timeout_s)
        watcher.start()
        missed = _converse(child, dialogue)
        said = child.stderr.read()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        watcher.end()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if missed is not None:
        raise click.ClickException(f"{' '.join(command)}: ended before it printed {missed.decode()!r}")
    if child.returncode and not may_fail:
        what = f"took more than {timeout_s:.0f} s" if child.returncode == -signal.SIGKILL else f"{child.returncode}"
        raise click.ClickException(f"{' '.join(command)}: status {what}: {said.decode(errors='replace')}")
    wall_s = time.monotonic() - start_s
    return Took(usage.ru_utime, usage.ru_stime, wall_s, watcher.rss_bytes, child.returncode)


class _Watcher(threading.Thread):
    """Notes how much memory a process uses, and kills it if it takes too long."""

    def __init__(self, pid: int, timeout_s: float) -> None:
        super().__init__(daemon=True)
        self.rss_bytes = 0
        self._pid = pid
        self._deadline_s = time.monotonic() + timeout_s
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            if time.monotonic() > self._deadline_s:
                os.kill(self._pid, signal.SIGKILL)
            peak = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{self._pid}/status").read_text())
            if peak is not None:  # a process that has just ended has no memory
                self.rss_bytes = int(peak[1]) * 1024

    def end(self) -> None:
        """Stop. The process has ended, but was not waited for yet, so no other process has its id."""
        self._ended.set()
        self.join()


def _converse(child: subprocess.Popen[bytes], dialogue: Dialogue) -> bytes | None:
    """Type, then read to the end. Returns the text that was awaited and did not come, if any."""
    if not dialogue:
        return None
    assert child.stdin is not None
    assert child.stdout is not None
    for awaited, typed in dialogue:
        seen = b""
        while not seen.endswith(awaited):
            byte = child.stdout.read(1)
            if not byte:
                return awaited
            seen += byte
        child.stdin.write(typed)
        child.stdin.flush()
    child.stdout.read()
    return None


def qemu_executable(xlen: int = 64) -> str | None:
    """The path of QEMU; None if it is not installed."""
    return shutil.which(f"qemu-system-riscv{xlen}")


def machine_facts() -> dict[str, str | int | float]:
    """The machine that is measured on, and its load now."""
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "minstret": version("minstret"),
        "unicorn": version("unicorn"),
        "qemu": qemu_version() or "",
        "load": round(os.getloadavg()[0], 1),
    }


def qemu_version() -> str | None:
    """QEMU's version; None if it is not installed."""
    executable = qemu_executable()
    if executable is None:
        return None
    said = subprocess.run([executable, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version ([0-9.]+)", said)
    return found[1] if found else "unknown"


def machine_text(facts: dict[str, str | int | float] | None = None) -> str:
    """``facts`` as a sentence; by default those of this moment."""
    facts = facts or machine_facts()
    qemu = f"QEMU {facts['qemu']}" if facts["qemu"] else "QEMU not installed"
    load = f"{facts['load']} .. {facts['load_after']}" if "load_after" in facts else f"{facts['load']}"
    return (
        f"Measured on: {facts['cpu']}, {facts['cores']} cores; {facts['system']}; Python {facts['python']}; "
        f"unicorn {facts['unicorn']}; {qemu}; load average {load}."
    )
