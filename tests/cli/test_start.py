"""How the command starts: it imports what it needs and no more, and Ctrl-C ends it from the first moment on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from support.commands import PATIENCE_S

from minstret.emu.cli import INTERRUPTED
from minstret.emu.cli.group import cli, load_command

IMPORTS = """
import sys
from minstret.emu.cli import main
try:
    main(sys.argv[1:])
finally:
    sys.stdout = None
    print(*sys.modules, sep="\\n", file=sys.stderr)
"""

MEMORY = """
import sys
from minstret.emu.cli import main
try:
    main(sys.argv[1:])
finally:
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
    print(line.split()[1], file=sys.stderr)
"""

BOARD_KIB_MAX = 45 << 10
"""Resident memory that a board with 128 MiB of RAM may take, where the guest has used little of it: it takes 38 MiB."""

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

WITHOUT_C = """
import sys
class NoCallbacks:
    def find_spec(self, name, path=None, target=None):
        if name == "minstret.emu.hart._callbacks":
            raise ImportError(name)
sys.meta_path.insert(0, NoCallbacks())
from minstret.emu.cli import main
main(sys.argv[1:])
"""

NOT_FOR_A_RUN = (
    "asyncio", "backports.zstd", "capstone", "compression.zstd", "difflib", "dpkt", "elftools", "fractions",
    "hypothesis", "importlib.metadata", "importlib.resources", "jinja2", "pdb", "rich", "sqlite3", "subprocess",
    "tempfile", "unicorn",
    "minstret.devices.board.traced", "minstret.devices.hostside.hostinput.parsing",
    "minstret.devices.hostside.usernet.network",
    "minstret.devices.virtio.input", "minstret.devices.virtio.input_codes", "minstret.emu.cli.demo",
    "minstret.emu.cli.inspect", "minstret.emu.cli.record", "minstret.emu.door.recording", "minstret.emu.door.replaying",
    "minstret.emu.trace.cursor", "minstret.emu.trace.packing", "minstret.emu.trace.reader",
    "minstret.emu.trace.snapshot", "minstret.emu.trace.writer",
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
    modules = imported("run", "--quiet", "--no-input", "--memory", "4M", "hello")  # click compares -q with all names

    assert {"minstret.emu.hart.binding", "minstret.devices.board.board", "minstret.emu.cli.run"} <= modules
    assert modules.isdisjoint(NOT_FOR_A_RUN)


def test_run_for_gdb_imports_no_questions_before_gdb_asks() -> None:
    modules = imported("run", "-q", "--no-input", "-m", "4M", "--gdb", "127.0.0.1:0", "hello")

    assert "minstret.emu.monitor" in modules
    assert modules.isdisjoint({"importlib.metadata", "minstret.emu.questions.why"})


def test_board_takes_little_memory_beside_what_the_guest_uses() -> None:
    done = python(MEMORY, "run", "-q", "--no-input", "-m", "128M", "hello")

    assert int(done.stderr) < BOARD_KIB_MAX


def test_network_comes_with_the_card() -> None:
    assert "minstret.devices.hostside.usernet.network" in imported("run", "-q", "-m", "4M", "--net", "user", "hello")


def test_replay_that_is_soon_over_imports_nothing_to_show_how_far_it_is(tmp_path: Path) -> None:
    trace = str(tmp_path / "x.mst")
    imported("record", "-q", "--no-input", "-m", "4M", "-o", trace, "hello")

    assert "rich" not in imported("replay", "-q", trace)


@pytest.mark.parametrize("arguments", [(), ("--help",), ("--version",)], ids=["bare", "help", "version"])
def test_list_of_commands_and_version_import_no_command(arguments: tuple[str, ...]) -> None:
    modules = imported(*arguments)

    assert modules.isdisjoint(
        {
            *NOT_FOR_A_RUN,
            "ctypes",
            "dataclasses",
            "minstret.devices",
            "minstret.emu.hart.binding",
            "minstret.emu.machine",
        }
    )
    assert modules.isdisjoint(f"minstret.emu.cli.{name}" for name in cli.commands)


def test_each_command_of_the_list_is_there() -> None:
    assert len(cli.commands) == 19
    for name, listed in cli.commands.items():
        command = load_command(name)
        assert (command.name, bool(command.help), bool(listed.short_help)) == (name, True, True)
        assert isinstance(command, click.Command)


@pytest.mark.parametrize(
    "module",
    ["click", "minstret.emu.hart.binding", "minstret.devices.board.board", "minstret.devices.hostside.usernet.network"],
)
def test_ctrl_c_during_an_import_gives_130_and_no_traceback(module: str) -> None:
    done = python(INTERRUPTS, module, "run", "--no-input", "-m", "4M", "--net", "user", "hello")

    assert (done.returncode, done.stderr.strip()) == (INTERRUPTED, "")


@pytest.mark.parametrize("command", ["run", "record", "verify"])
def test_without_the_c_callbacks_one_line_says_so_and_how_to_mend_it(command: str, tmp_path: Path) -> None:
    options = {
        "run": ["--no-input"],
        "record": ["--no-input", "-o", str(tmp_path / "x.mst")],
        "verify": ["--runs", "1"],
    }

    done = python(WITHOUT_C, command, "-m", "4M", *options[command], "hello")

    slow, *others = done.stderr.splitlines()
    assert done.returncode == 0
    assert slow.startswith("minstret: this run is hundreds of times slower than it could be: minstret was ")
    assert slow.endswith("(Debian: gcc, libc6-dev, python3-dev), then install minstret again")
    assert not any("slow" in line for line in others)


@pytest.mark.parametrize("option", [("--counting", "python"), ("--quiet",)], ids=["asked for", "quiet"])
def test_nothing_is_said_where_the_python_callbacks_were_asked_for(option: tuple[str, ...]) -> None:
    done = python(WITHOUT_C, "run", "--no-input", "-m", "4M", *option, "hello")

    assert done.returncode == 0
    assert "slow" not in done.stderr


def test_replay_without_the_c_callbacks_says_so_too(tmp_path: Path) -> None:
    trace = str(tmp_path / "x.mst")
    assert python(IMPORTS, "record", "-q", "--no-input", "-m", "4M", "-o", trace, "hello").returncode == 0

    done = python(WITHOUT_C, "replay", trace)

    assert done.returncode == 0
    assert done.stderr.startswith("minstret: this run is hundreds of times slower than it could be: ")


# ---- mistyped names


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["rum", "hello"], "No such command 'rum'; did you mean run? See minstret --help"),
        (["helo"], "No such command 'helo'; did you mean minstret run hello? See minstret --help"),
        (["help", "run"], "No such command 'help'; see minstret --help"),
        (["verify"], "nothing to boot; give FIRMWARE, --bios or --kernel; see minstret verify --help"),
        (["run", "--json", "nowhere/x.json", "hello"],
         "--json: can't write nowhere/x.json: there is no folder nowhere"),
        (["run", "--json", ".", "hello"], "--json: can't write .: it is a folder; give a file"),
        (["xyzzy"], "No such command 'xyzzy'; see minstret --help"),
        (["run", "helo"], "helo: no such file, and no bundled image of that name; did you mean hello?"),
        (["run", "--kernel", "paging-rv3"], "paging-rv3: no such file, and no bundled image of that name;"
         " did you mean paging-rv32 or paging-s-rv32?"),
        (["run", "--bios", "u-bot"], "u-bot: no such file, and no bundled image of that name;"
         " did you mean u-boot?"),
        (["run", "firmwar.elf"], "firmwar.elf: no such file, and no bundled image of that name;"
         " did you mean firmware.elf?"),
        (["run", "hello.elf"], "hello.elf: no such file, and no bundled image of that name;"
         " did you mean hello or hello-rv32?"),
        (["replay", "traec.mst"], "traec.mst: No such file or directory; did you mean trace.mst?"),
        (["replay", "trace"], "trace: No such file or directory; did you mean trace.mst?"),
        (["run", "hell"], "hell: no such file, and no bundled image of that name; did you mean hello?"),
        (["run", "firmwre.mst"], "firmwre.mst: no such file, and no bundled image of that name;"
         " did you mean firmware.elf?"),
        (["replay", "x.mst"], "x.mst: No such file or directory"),
        (["run", "--input", "mouse", "hello"], "--input: expected keyboard or tablet, got 'mouse'"),
        (["run", "--timeout", "x", "hello"],
         "Invalid value for '--timeout': 'x' is not a number; see minstret run --help"),
        (["verify", "--runs", "x", "hello"],
         "Invalid value for '--runs': 'x' is not a whole number; see minstret verify --help"),
        (["firmware.elf"], "No such command 'firmware.elf'; did you mean minstret run firmware.elf?"
         " See minstret --help"),
    ],
)  # fmt: skip
def test_mistyped_name_gets_the_one_that_was_meant(
    arguments: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("firmware.elf").touch()
    for name in ("hello.S", "trace.elf", "trace.mst"):
        Path(name).touch()

    done = python(IMPORTS, *arguments)

    assert (done.returncode, done.stderr.splitlines()[0]) == (125, f"minstret: {text}")


def test_command_called_from_a_program_leaves_its_garbage_to_be_collected() -> None:
    """Boards are parts of cycles: frozen, those of tests and of users' programs would fill the memory."""
    program = """
import gc
from minstret.emu.cli import main
try:
    main(["run", "-q", "hello"])
except SystemExit:
    print(gc.isenabled(), gc.get_freeze_count())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S)

    assert done.stdout.splitlines()[-1:] == ["True 0"], done
