"""QEMU replaying a run of its own, driven by gdb's remote protocol: seek, and one instruction back."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from benchmarks.processes import qemu_executable, run_to_end

SHIFT = 1
ANSWER_S = 60
"""How long QEMU may take for one command."""
_SNAPSHOT = "init"


class NoAnswerError(Exception):
    """QEMU has not answered in time."""


class QemuReplay:
    """QEMU at a place of a recorded run."""

    def __init__(self, child: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self._child, self._connection = child, connection
        self._received = b""
        self.ask("qSupported:")

    def seek(self, icount: int) -> None:
        """Go to an icount."""
        self._send("qRcmd," + f"replay_seek {icount}".encode().hex())
        answers = [self._packet()]
        while answers[-1][:1] != b"T":  # it stops there; that comes behind the command's own answer
            answers.append(self._packet())

    def step_back(self) -> None:
        """Go back by one instruction."""
        self.ask("bs")

    def cpu_s(self) -> float:
        """Processor time of all its threads, s."""
        tasks = Path(f"/proc/{self._child.pid}/task")
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9

    def ask(self, text: str) -> bytes:
        self._send(text)
        return self._packet()

    def _send(self, text: str) -> None:
        data = text.encode()
        self._connection.sendall(b"$%s#%02x" % (data, sum(data) & 0xFF))

    def _packet(self) -> bytes:
        while True:
            start, end = self._received.find(b"$"), self._received.find(b"#")
            if 0 <= start < end <= len(self._received) - 3:
                packet, self._received = self._received[start + 1 : end], self._received[end + 3 :]
                self._connection.sendall(b"+")
                return packet
            try:
                data = self._connection.recv(1 << 16)
            except TimeoutError:
                raise NoAnswerError from None
            if not data:
                raise click.ClickException("QEMU has ended")
            self._received += data


def lacking() -> str | None:
    """What is not installed of what this needs."""
    if qemu_executable() is None:
        return "qemu-system-riscv64 (Debian: qemu-system-misc)"
    return None if shutil.which("qemu-img") is not None else "qemu-img (Debian: qemu-utils)"


def _mode(mode: str, folder: Path) -> list[str]:
    return ["-icount", f"shift={SHIFT},rr={mode},rrfile={folder / 'qemu.rr'},rrsnapshot={_SNAPSHOT}"]


def _command(options: Sequence[str], folder: Path) -> list[str]:
    executable = qemu_executable()
    assert executable is not None
    return [
        executable, "-M", "virt", "-display", "none", "-monitor", "none", "-serial", "null", *options,
        "-drive", f"file={folder / 'qemu.qcow2'},if=none,id=snapshots",
    ]  # fmt: skip


@contextmanager
def replay(options: Sequence[str], folder: Path) -> Iterator[QemuReplay]:
    """Record a whole run with these options, and replay it, stopped at its beginning. ``lacking`` must be None."""
    disk = folder / "qemu.qcow2"
    run_to_end(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "1G"])  # for the snapshot at the start
    run_to_end([*_command(options, folder), *_mode("record", folder)])
    address = folder / "qemu.socket"
    gdb = ["-S", "-gdb", f"unix:{address},server=on,wait=off"]
    child = subprocess.Popen([*_command(options, folder), *_mode("replay", folder), *gdb], stderr=subprocess.DEVNULL)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_S)
            _connect(connection, address)
            yield QemuReplay(child, connection)
    finally:
        child.kill()
        child.wait()
        for path in (address, disk, folder / "qemu.rr"):
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)


def _connect(connection: socket.socket, address: Path) -> None:
    deadline_s = time.monotonic() + ANSWER_S
    while True:
        try:
            connection.connect(str(address))
            return
        except OSError:
            if time.monotonic() > deadline_s:
                raise click.ClickException("QEMU does not listen") from None
            time.sleep(0.05)
