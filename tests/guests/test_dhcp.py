"""Firmware that does DHCP over virtio-net: the same run each time, however busy the host is."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.commands import minstret
from support.host_load import busy_machine

RUNS = 4


def digest_of_run(image: str, sleep: str, result: Path, number: int) -> tuple[str, str, int]:
    """Run in a process of its own, with its own hash seed: digest, console's hash, virtual time."""
    options = ("-q", "--no-input", "--net", "user,restrict=on", "--icount", f"sleep={sleep}", "--json", result)
    done = minstret("run", *options, image, env=os.environ | {"PYTHONHASHSEED": str(number)})
    assert done.returncode == 0, done.stderr
    facts = json.loads(result.read_text())
    assert facts["exit_code"] == 0
    return facts["digest"], facts["uart_sha256"], facts["virtual_ns"]


def runs_of(image: str, sleep: str, folder: Path, numbers: range) -> set[tuple[str, str, int]]:
    """The runs of these numbers that differ."""
    with ThreadPoolExecutor(2) as pool:
        return set(pool.map(lambda n: digest_of_run(image, sleep, folder / f"{n}.json", n), numbers))


@pytest.mark.slow
@pytest.mark.parametrize("sleep", ["on", "off"])
@pytest.mark.parametrize("image", ["dhcp", "dhcp-wfi", "dhcp-rv32", "dhcp-wfi-rv32"])
def test_runs_on_a_quiet_and_on_a_busy_host_are_one_run(image: str, sleep: str, tmp_path: Path) -> None:
    """Half of them on a busy machine."""
    quiet = runs_of(image, sleep, tmp_path, range(RUNS // 2))
    with busy_machine():
        busy = runs_of(image, sleep, tmp_path, range(RUNS // 2, RUNS))

    assert len(quiet | busy) == 1


@pytest.mark.parametrize("sleep", ["on", "off"])
@pytest.mark.parametrize("image", ["dhcp", "dhcp-wfi"])
def test_runs_on_a_busy_host_are_one_run(image: str, sleep: str, tmp_path: Path) -> None:
    with busy_machine():
        assert len(runs_of(image, sleep, tmp_path, range(3))) == 1
