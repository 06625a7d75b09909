"""How the command starts: it imports what it needs and no more, and Ctrl-C ends it from the first moment on."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from minstret.emu.cli import INTERRUPTED
from minstret.emu.cli.group import cli, load_command

PATIENCE_S = 60

IMPORTS = """
import sys
from minstret.emu.cli import main
try:
    main(sys.argv[1:])
finally:
    sys.stdout = None
    print(*sys.modules, sep="\\n", file=sys.stderr)
"""

INTERRUPTS = """
import sys
class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            raise KeyboardInterrupt
sys.meta_path.insert(0, CtrlC())
from minstret.emu.cli import main
main(sys.argv[2:])
"""

NOT_FOR_A_RUN = (
    "asyncio", "backports.zstd", "capstone", "compression.zstd", "dpkt", "rich", "sqlite3",
    "minstret.devices.recording", "minstret.devices.usernet.network", "minstret.emu.cli.demo",
    "minstret.emu.cli.inspect", "minstret.emu.cli.record", "minstret.emu.recorder", "minstret.emu.replayer",
    "minstret.emu.snapshot", "minstret.emu.trace",
)  # fmt: skip


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL,
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def imported(*arguments: str) -> set[str]:
    """The modules that a process has imported by the end of this command."""
    done = python(IMPORTS, *arguments)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_run_imports_only_what_a_run_needs() -> None:
    modules = imported("run", "-q", "--no-input", "-m", "4M", "hello")

    assert {"unicorn", "elftools", "minstret.devices.board", "minstret.emu.cli.run"} <= modules
    assert modules.isdisjoint(NOT_FOR_A_RUN)


def test_network_comes_with_the_card() -> None:
    assert "minstret.devices.usernet.network" in imported("run", "-q", "-m", "4M", "--net", "user", "hello")


@pytest.mark.parametrize("arguments", [(), ("--help",)], ids=["bare", "help"])
def test_list_of_commands_imports_none(arguments: tuple[str, ...]) -> None:
    modules = imported(*arguments)

    assert modules.isdisjoint({*NOT_FOR_A_RUN, "elftools", "unicorn", "minstret.devices.board", "minstret.emu.machine"})
    assert modules.isdisjoint(f"minstret.emu.cli.{name}" for name in cli.commands)


def test_each_command_of_the_list_is_there() -> None:
    assert len(cli.commands) == 10
    for name, listed in cli.commands.items():
        command = load_command(name)
        assert (command.name, bool(command.help), bool(listed.short_help)) == (name, True, True)
        assert isinstance(command, click.Command)


@pytest.mark.parametrize("module", ["click", "unicorn", "minstret.devices.board", "minstret.devices.usernet.network"])
def test_ctrl_c_during_an_import_gives_130_and_no_traceback(module: str) -> None:
    done = python(INTERRUPTS, module, "run", "--no-input", "-m", "4M", "--net", "user", "hello")

    assert (done.returncode, done.stderr.strip()) == (INTERRUPTED, "")
