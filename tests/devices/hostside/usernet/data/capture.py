#!/usr/bin/env python3
"""Ask QEMU's user network what usernet_exchanges.py asks, and keep what passed as pcap files.

    .venv/bin/python tests/devices/hostside/usernet/data/capture.py [scenario ...]

QEMU runs without a machine: a hub joins `-netdev user` to a UDP socket, and this script is the only guest.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dpkt

DATA = Path(__file__).resolve().parent
sys.path.insert(0, str(DATA.parent))

from usernet_exchanges import FILES, SCENARIOS, Scenario  # noqa: E402
from usernet_guest import arp_request  # noqa: E402

QEMU = "qemu-system-riscv64"
SILENCE_S = 0.15
"""An exchange is over when QEMU has said nothing for so long."""


def main() -> None:
    wanted = sys.argv[1:]
    for scenario in SCENARIOS:
        if not wanted or scenario.name in wanted:
            frames = capture(scenario)
            write_pcap(DATA / f"{scenario.name}.pcap", frames)
            print(f"{scenario.name}: {len(scenario.exchanges)} requests, {len(frames)} frames")


def capture(scenario: Scenario) -> list[bytes]:
    """All frames, requests and replies, in order."""
    frames = []
    with tempfile.TemporaryDirectory() as folder, qemu(scenario, Path(folder)) as guest:
        for _, request in scenario.exchanges:
            frames.append(request)
            frames += exchange(guest, request, SILENCE_S)
    return frames


@contextmanager
def qemu(scenario: Scenario, folder: Path) -> Iterator[socket.socket]:
    """QEMU with the scenario's network; the socket sends to and receives from it."""
    for name, content in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    tftp = f",tftp={folder}" if scenario.tftp else ""
    guest = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    guest.bind(("127.0.0.1", 0))
    port = free_port()
    command = [
        QEMU, "-M", "none", "-display", "none", "-nodefaults",
        "-netdev", f"user,id=user,{scenario.qemu}{tftp}",
        "-netdev", "dgram,id=wire,local.type=inet,local.host=127.0.0.1,"
        f"local.port={port},remote.type=inet,remote.host=127.0.0.1,remote.port={guest.getsockname()[1]}",
        "-netdev", "hubport,hubid=0,id=a,netdev=user", "-netdev", "hubport,hubid=0,id=b,netdev=wire",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        guest.connect(("127.0.0.1", port))
        wait_until_up(guest)
        yield guest
    finally:
        process.kill()
        process.wait()
        guest.close()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_up(guest: socket.socket) -> None:
    """Ask for the host's MAC, from no address, so that QEMU learns nothing of use."""
    for _ in range(100):
        if exchange(guest, arp_request("10.0.2.2", sender="0.0.0.0"), 0.1):
            return
        time.sleep(0.05)
    raise SystemExit(f"{QEMU} does not answer")


def exchange(guest: socket.socket, request: bytes, silence_s: float) -> list[bytes]:
    """Send ``request``; what comes back until silence."""
    guest.settimeout(silence_s)
    replies = []
    try:
        guest.send(request)
        while True:
            replies.append(guest.recv(65536))
    except (TimeoutError, ConnectionRefusedError):
        return replies


def write_pcap(path: Path, frames: list[bytes]) -> None:
    """Frame n at n ms: the times of a capture say nothing, and so the file is the same each time."""
    with path.open("wb") as file:
        writer = dpkt.pcap.Writer(file)
        for number, frame in enumerate(frames):
            writer.writepkt_time(frame, number // 1000 + number % 1000 / 1000)


if __name__ == "__main__":
    main()
