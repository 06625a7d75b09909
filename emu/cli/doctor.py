"""``minstret doctor``: check the installation on this machine."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

import click

from minstret.devices.board.placement import PACKAGED
from minstret.emu.cli.exits import Exit
from minstret.emu.cli.gdb import found_gdb
from minstret.emu.cli.version import counter_text
from minstret.emu.errors import MinstretError
from minstret.emu.hart import helpers
from minstret.emu.hart.compiled import c_callbacks
from minstret.emu.hart.cpu import default_cpu
from minstret.emu.hart.layout import UNICORN_VERSION
from minstret.emu.installed import installed
from minstret.emu.machine import Machine, MachineConfig

_PACKAGES = ("unicorn", "capstone", "click", "pyelftools")
_TOOLS = (
    ("qemu-system-riscv64", "minstret demo and the tests compare with it"),
    ("qemu-system-riscv32", "the tests compare with it"),
    ("dtc", "shows a device tree of minstret dtb as text"),
)


@click.command()
def doctor() -> int:
    """Check the installation: show the packages and tools that were found, and try the hart.

    Exit status 0 if firmware can run on this machine, 125 if not.
    """
    click.echo(f"minstret     {installed('minstret')}")
    click.echo(f"python       {platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in _PACKAGES:
        note = f" (needs {UNICORN_VERSION})" if package == "unicorn" and installed(package) != UNICORN_VERSION else ""
        click.echo(f"{package:<12} {installed(package)}{note}")
    click.echo(f"counter      {counter_text()}")
    problem = _try_harts()
    click.echo(f"harts        {problem or 'rv64 and rv32 work'}")
    click.echo(f"counting     {_counting_text()}")
    click.echo(f"extensions   {_extensions_text()}")
    click.echo(f"floats       {_floats_text()}")
    for tool, purpose in _TOOLS:
        click.echo(f"{tool:<20} {shutil.which(tool) or 'not found'} ({purpose})")
    click.echo(f"{'gdb':<20} {found_gdb() or 'not found: install gdb-multiarch'} (minstret debug starts it)")
    for name, paths in PACKAGED.items():
        found = paths[64] if Path(paths[64]).exists() else "not found"
        click.echo(f"{name:<20} {found} (for --bios {name})")
    return Exit.OURS if problem else 0


def _counting_text() -> str:
    """Which way of counting is in use, in words."""
    if c_callbacks is None:
        return "by instructions"
    problems = {helpers.counting_problem(xlen) for xlen in (64, 32)} - {""}
    return f"by calls, slower ({'; '.join(sorted(problems))})" if problems else "in the generated code"


def _extensions_text() -> str:
    """What executes the extensions' instructions that compute, in words."""
    if c_callbacks is None:
        return "computed one by one"
    problems = {helpers.translation_problem(xlen) for xlen in (64, 32)} - {""}
    return f"computed one by one, slower ({'; '.join(sorted(problems))})" if problems else "translated, as all others"


def _floats_text() -> str:
    """What computes floating-point instructions, in words."""
    problems = {helpers.problem(xlen) for xlen in (64, 32)} - {""}
    if c_callbacks is None:
        problems.add("the C callbacks are not in use")
    if not problems:
        return "minstret's own functions instead of Unicorn's"
    return f"Unicorn, and Python where Unicorn is wrong (same results, but slower: {'; '.join(sorted(problems))})"


def _try_harts() -> str:
    """Make a hart of each width, which checks everything minstret relies on. Returns what is wrong, or ``""``."""
    try:
        for xlen in (64, 32):
            Machine(MachineConfig(cpu=default_cpu(xlen), ram_size=1 << 20))
    except MinstretError as error:
        return str(error)
    return ""
