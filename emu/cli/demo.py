"""``minstret demo``: boots the firmware that comes along and shows that two runs are the same run."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from minstret.emu.cli.exits import Exit

_RULE = "-" * 78


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the command, in a process of its own."""

    how: str
    icount: int
    digest: str
    uart_sha256: str
    console: bytes


def _run(how: str, image: str, *options: str, hash_seed: str = "0") -> Run:
    """Run ``minstret run IMAGE`` in another process, with its own hash seed."""
    with tempfile.TemporaryDirectory() as folder:
        result_path = Path(folder) / "run.json"
        command = [sys.executable, "-m", "minstret.emu.cli", "run", image, "-q", "--json", str(result_path), *options]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, env=os.environ | {"PYTHONHASHSEED": hash_seed}
        )
        if not result_path.exists():
            raise click.ClickException(f"minstret run {image} failed: {done.stderr.decode(errors='replace').strip()}")
        result = json.loads(result_path.read_text())
    assert hashlib.sha256(done.stdout).hexdigest() == result["uart_sha256"]
    return Run(how, result["icount"], result["digest"], result["uart_sha256"], done.stdout)


def _heading(text: str) -> None:
    click.echo(f"\n{_RULE}\n{text}\n{_RULE}")


def _same_run_twice() -> bool:
    _heading("Timer interrupts at 1 kHz, five times over. Does anything differ?")
    ways = (
        ("plain", (), "0"),
        ("again, other PYTHONHASHSEED", (), "4242"),
        ("in slices of 1000 instructions", ("--slice-insns", "1000"), "0"),
        ("in slices of 7 instructions", ("--slice-insns", "7"), "0"),
        ("counted by the Python twins", ("--python-callbacks",), "0"),
    )
    runs = [_run(how, "ticks", *options, hash_seed=seed) for how, options, seed in ways]
    click.echo(runs[0].console.decode(errors="replace"), nl=False)
    click.echo()
    for run in runs:
        click.echo(f"  {run.how:<32} {run.icount:>9,} instructions   digest {run.digest[:16]}")
    same = len({(run.icount, run.digest, run.uart_sha256) for run in runs}) == 1
    click.echo(f"\n  {'The same run, five times.' if same else 'THE RUNS DIFFER: this is a bug in minstret.'}")
    return same


@click.command()
def demo() -> int:
    """Boot the firmware that comes along; show that two runs are the same run, and what a crash looks like.

    Exit status 0 when all runs agreed, 125 when not.
    """
    _heading("Firmware boots: minstret run hello, and hello-rv32")
    for image in ("hello", "hello-rv32"):
        run = _run("plain", image)
        click.echo(run.console.decode(errors="replace") + f"  ({run.icount:,} instructions)")
    same = _same_run_twice()
    _heading("Firmware crashes: minstret run crash")
    sys.stdout.flush()
    subprocess.run([sys.executable, "-m", "minstret.emu.cli", "run", "--no-input", "crash"], stderr=subprocess.STDOUT)
    click.echo("\nYour own: minstret run firmware.elf          All options: minstret run --help")
    return 0 if same else Exit.OURS
