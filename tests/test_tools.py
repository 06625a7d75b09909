"""The tools of a checkout: help installs nothing, and bad input is one line."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.commands import PATIENCE_S

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("bench", "build-firmware", "cosim", "demo", "get-guests", "test")


def run_tool(tool: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool, *arguments], cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S,
        check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which nothing has been run yet, as far as the tools look at it."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("tools", "emu", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    return folder


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("tool", TOOLS)
def test_help_in_a_fresh_checkout_installs_nothing(checkout: Path, tool: str, option: str) -> None:
    before = sorted(checkout.rglob("*"))

    done = run_tool(checkout / "tools" / tool, option)

    assert (done.returncode, done.stderr) == (0, "")
    assert tool in done.stdout
    assert "setup" not in done.stdout  # no code
    assert sorted(checkout.rglob("*")) == before


@pytest.mark.parametrize("tool", TOOLS)
def test_help_after_an_install_is_the_whole_help(tool: str) -> None:
    done = run_tool(ROOT / "tools" / tool, "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert ("usage: " if tool != "test" else "runs the checks") in done.stdout.lower()


# ---- bad input, and Ctrl-C


@pytest.mark.parametrize(
    "command",
    [
        "bench --nope", "bench nope", "bench smoke --rounds 0", "bench smoke --only nope",
        "bench all --json /nonexistent/x.json", "bench all --markdown /tmp", "bench operations --json /tmp",
        "bench replay x", "bench all --json -", "cosim --json - hello",
        "cosim", "cosim --nope", "cosim nope", "cosim --cpu rv99 hello", "cosim --max-insns x hello",
        "cosim --json /nonexistent/x.json hello", "cosim /tmp", "get-guests --nope", "get-guests x",
        "get-guests --into /proc/x", "build-firmware --nope", "build-firmware --check --output x",
        "build-firmware --output /proc/x", "demo --nope", "demo x", "demo --runs 0",
    ],
)  # fmt: skip
def test_bad_input_is_one_line(command: str) -> None:
    tool, *arguments = command.split()

    done = run_tool(ROOT / "tools" / tool, *arguments)

    assert (done.stdout, done.stderr.count("\n")) == ("", 1), done.stderr
    assert done.returncode in (1, 2, 125)
    assert done.returncode == 125 or tool in ("get-guests", "build-firmware")


def test_bench_by_itself_lists_its_commands() -> None:
    done = run_tool(ROOT / "tools" / "bench")

    assert (done.returncode, done.stderr) == (0, "")
    assert "  smoke " in done.stdout


def test_ctrl_c_gives_130_and_one_line() -> None:
    assert_ctrl_c_gives_130_and_one_line("bench", "smoke", "--no-qemu", "--only", "integer")


@pytest.mark.slow
def test_ctrl_c_at_spike_gives_130_and_one_line(spike_is_here: None) -> None:
    assert_ctrl_c_gives_130_and_one_line("cosim", "--max-insns", "1G", "bench")


def assert_ctrl_c_gives_130_and_one_line(tool: str, *arguments: str) -> None:
    """Sent when the tool has started the process that does the work."""
    with subprocess.Popen(
        [ROOT / "tools" / tool, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not has_child(process.pid) and time.monotonic() < deadline:
                assert process.poll() is None
            os.killpg(process.pid, signal.SIGINT)
            said = process.communicate(timeout=PATIENCE_S)[1]
        finally:
            if process.poll() is None:  # otherwise the end of this block would wait for it
                os.killpg(process.pid, signal.SIGKILL)

    assert (process.returncode, said.strip()) == (130, f"tools/{tool}: interrupted")


def has_child(pid: int) -> bool:
    """Whether this process, which the shell script has become, runs something itself."""
    is_python = b"python" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    return is_python and bool(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
