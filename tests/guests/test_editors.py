"""What editors do with a trace: VS Code through gdb's machine interface, and lldb, which goes forward only."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.commands import PATIENCE_S
from support.gdb import Mi, icount_in, machine_interface, mi_value, need_gdb, serving
from support.needs import Need
from support.recordings import record, setup_of_image

from minstret.firmware import image_path

TOP = Path(__file__).parents[2]
PAGE = (TOP / "docs" / "debugging.md").read_text()
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    each["name"]: each for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    for each in json.loads(block)["configurations"]
}  # fmt: skip
"""What the page says to put into launch.json."""
ADDRESS = "127.0.0.1:1234"


@pytest.fixture(scope="module", params=[(64, 1), (32, 2)], ids=lambda board: f"rv{board[0]}-{board[1]}")
def board(request: pytest.FixtureRequest) -> tuple[int, int]:
    """The width of the harts, and how many there are."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def trace(board: tuple[int, int], tmp_path_factory: pytest.TempPathFactory) -> Path:
    xlen, harts = board
    path = tmp_path_factory.mktemp("editors") / "smash.mst"
    record(path, setup_of_image("smash", xlen, smp=harts))
    return path


# ---- VS Code


@pytest.fixture(params=["minstret: trace", "minstret: live"], ids=lambda name: name.rpartition(" ")[2])
def configuration(request: pytest.FixtureRequest) -> dict[str, Any]:
    return CONFIGURATIONS[request.param]


@pytest.fixture
def mi(configuration: dict[str, Any], board: tuple[int, int], trace: Path, need: Need) -> Iterator[Mi]:
    """Connected, as VS Code's cppdbg does it by ``configuration``, at the end of ``smash``."""
    need_gdb(need)
    xlen, harts = board
    arguments = configuration["debugServerArgs"].replace(ADDRESS, "127.0.0.1:0").replace("app.mst", str(trace))
    arguments = arguments.replace("app.elf", f"--smp {harts} {image_path('smash', xlen)}")
    with serving(*arguments.split()) as served, machine_interface() as mi:
        assert mi("-gdb-set mi-async on") == "done"
        assert mi("-gdb-set pagination off") == "done"
        assert mi("-gdb-set auto-solib-add on") == "done"
        assert mi(f'-environment-cd "{TOP}"') == "done"
        for command in configuration["setupCommands"]:
            text = command["text"].replace("rv64", f"rv{xlen}")
            assert mi(text if text.startswith("-") else f'-interpreter-exec console "{text}"') == "done"
        assert mi("-gdb-set stop-on-solib-events 1") == "done"
        assert mi(f"-file-exec-and-symbols {image_path('smash', xlen)}") == "done"
        assert mi('-interpreter-exec console "show architecture"') == "done"
        assert mi(f"-target-select extended-remote {served.address}").startswith("connected")
        mi.next_stop(0)
        if configuration["name"] == "minstret: live":
            mi.move("-exec-continue")
        yield mi


def test_page_has_a_configuration_for_a_trace_and_one_for_a_live_run() -> None:
    assert set(CONFIGURATIONS) == {"minstret: trace", "minstret: live"}
    for each in CONFIGURATIONS.values():
        assert (each["type"], each["request"], each["MIMode"]) == ("cppdbg", "launch", "gdb")
        assert each["miDebuggerServerAddress"] == ADDRESS
        assert ADDRESS in each["debugServerArgs"]
        assert each["useExtendedRemote"]
        assert each["stopAtConnect"]


def test_target_has_the_buttons_that_go_back(mi: Mi) -> None:
    features = mi("-list-target-features")

    assert features.startswith("done,features=[")
    assert '"reverse"' in features


def test_breakpoint_of_a_source_line_is_reached_going_back_and_variables_are_shown(mi: Mi) -> None:
    inserted = mi("-break-insert -f -c surveys_done==1 firmware/smash/main.c:117")
    stopped = mi.move("-exec-continue --reverse")

    assert inserted.startswith("done,bkpt=")
    assert 'reason="breakpoint-hit"' in stopped
    assert 'func="survey_tank"' in stopped
    assert f'fullname="{TOP}/firmware/smash/main.c"' in stopped
    frames = mi("-stack-list-frames 0 1000")
    assert frames.index("survey_tank") < frames.index("hart_main")
    assert '{name="survey"}' in mi("-stack-list-variables --thread 1 --frame 0 0")
    assert mi_value(mi('-data-evaluate-expression "tank->name"')).endswith('south tank\\"')
    assert 'numchild="5"' in mi('-var-create - * "survey"')


def test_steps_go_forward_and_back(mi: Mi) -> None:
    mi("-break-insert -t -f measure")
    stops = [mi.move(command) for command in (
        "-exec-continue --reverse", "-exec-next", "-exec-next --reverse", "-exec-step-instruction",
        "-exec-step-instruction --reverse", "-exec-finish --reverse", "-exec-step", "-exec-step --reverse",
    )]  # fmt: skip

    lines = [re.findall(r'line="(\d+)"', stop)[-1] for stop in stops]
    assert lines[0] == lines[2] == lines[4] == lines[6]
    assert lines[1] != lines[0]
    assert 'func="survey_tank"' in stops[5]
    assert int(lines[7]) == int(lines[6]) - 1
    assert all('reason="end-stepping-range"' in stop for stop in stops[1:5])


def test_move_that_takes_long_can_be_paused(mi: Mi) -> None:
    """gdb asks 70,000 times for each tank whether the condition holds, and has to be heard in between."""
    assert mi("-break-insert -f -c 1==2 firmware/smash/main.c:104").startswith("done")
    known = len(mi.stops)
    assert mi("-exec-continue --reverse") == "running"
    assert mi("-exec-interrupt") == "done"

    assert 'signal-name="SIGINT"' in mi.next_stop(known)


def test_harts_are_listed_as_threads(mi: Mi, board: tuple[int, int]) -> None:
    threads = mi("-thread-info")

    assert re.findall(r'name="(hart\d)"', threads) == [f"hart{hart}" for hart in range(board[1])]


def test_debug_console_takes_monitor_commands(mi: Mi) -> None:
    assert mi('-interpreter-exec console "monitor when"') == "done"


# ---- lldb


def lldb(address: str, elf: Path, *commands: str) -> str:
    words = [word for command in (f"gdb-remote {address}", *commands) for word in ("-o", command)]
    done = subprocess.run(
        ["lldb", "--batch", "--no-lldbinit", *words, str(elf)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    return done.stdout


def test_lldb_connects_steps_forward_and_stops_at_a_breakpoint(trace: Path, board: tuple[int, int], need: Need) -> None:
    need("lldb", shutil.which("lldb"))
    with serving("debug", "--server", "127.0.0.1:0", "--at", "start", trace) as served:
        said = lldb(
            served.address, image_path("smash", board[0]), "thread step-inst", "thread step-inst", "register read pc",
            "breakpoint set --name set_title", "continue", "frame variable", "thread backtrace", "next", "thread list",
            "process plugin packet monitor when", "detach",
        )  # fmt: skip

    assert re.search(r"pc = 0x0*1008\b", said)
    assert "stop reason = breakpoint 1.1" in said
    assert "(const unsigned char *) name = " in said
    assert "frame #1" in said
    assert "survey_tank" in said or "write_titles" in said
    assert len(re.findall(r"thread #\d: tid", said)) == board[1]
    assert icount_in(said) > 1000
