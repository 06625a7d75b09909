"""Options and fixtures for all tests."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath

import pytest
from support.browser import Browser, browser, need_browser
from support.needs import Need
from support.random_cases import SEED_FAST, SEED_SLOW, let_hypothesis_draw_by_seed_alone
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from cosimulation import spike
from minstret.emu import checks
from minstret.emu.hart.compiled import c_callbacks
from minstret.emu.hart.shared import Counting

ANNOUNCED = "announced"
COSTLY_FILES = {
    "test_completion.py", "test_demo.py", "test_gdb_linux.py", "test_linux.py", "test_packaging.py",
    "test_pytest_plugin.py", "test_render.py", "test_replay.py", "test_run_page.py", "test_tools.py",
    "test_trace_hostile.py",
}  # fmt: skip
"""Their tests share what takes long to make: a whole guest's session, a package, a browser, gigabytes of spoilt traces.
"""

SHORT_BYTES = 16
"""Up to so many may be part of a test's name."""

COSTS_SHOWN = 20
"""So many files and so many tests are named that took longest."""

USUAL_HANDLERS = {
    signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL,
    signal.SIGQUIT: signal.SIG_DFL,
}  # fmt: skip

collect_ignore = ["support/product"]
"""A suite of its own, which tests/emu/package/test_pytest_plugin.py runs: one test of it fails."""

checks.is_on = True

let_hypothesis_draw_by_seed_alone()

os.environ["PATH"] = os.pathsep.join((os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)))
"""As in an activated environment: messages call the command ``minstret``."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run tests marked slow too")
    parser.addoption("--require-guests", action="store_true", help="fail where a tool or guest is missing")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Each quick run draws the same cases; with --slow they are this run's own, and MINSTRET_SEED repeats them."""
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = SEED_SLOW if config.getoption("--slow") else SEED_FAST


def pytest_report_header(config: pytest.Config) -> str | None:
    return f"MINSTRET_SEED={SEED_SLOW}" if config.getoption("--slow") else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords or _is_crawling(item):
            item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Python's own handlers for the signals that end processes, before any fixture of the test.

    A process that a test starts inherits signals that are ignored here, and then goes on for ever. They are ignored
    where tests are run in the background, and when the command itself has run in the test's process: it ignores
    Ctrl-C as its last act.
    """
    for number, handler in USUAL_HANDLERS.items():
        signal.signal(number, handler)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Long bytes don't name a test: several processes must give it the same name, and a person has to read it."""
    return argname if isinstance(val, bytes) and len(val) > SHORT_BYTES else None


class CostlyFilesTogether(LoadScopeScheduling):
    """One process runs all tests of a costly file; any other test goes to the process that is free.

    pytest-xdist 3.8 has ``xdist_group`` for this, which has no effect with pytest 9.2: it renames tests.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return path if PurePath(path).name in COSTLY_FILES else nodeid

    def remove_node(self, node: WorkerController) -> str | None:
        """The test in which a process ended: it is not run again, as by pytest-xdist, which would lose more of them."""
        workload = self.assigned_work.pop(node)
        left = [(unit, name) for unit in workload.values() for name, is_done in unit.items() if not is_done]
        if not left:
            return None
        unit, ended_in = left[0]
        unit[ended_in] = True
        self.workqueue.update((scope, unit) for scope, unit in workload.items() if not all(unit.values()))
        for other in self.assigned_work:
            self._reschedule(other)
        return ended_in

    def _reschedule(self, node: WorkerController) -> None:
        """Give it work. One in another's place gets none before it has collected its tests, and then two tests.

        A process begins a test only when it knows the next, or that there is none: with one it would wait for ever.
        """
        if node not in self.registered_collections:
            return
        super()._reschedule(node)
        if not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
            super()._reschedule(node)


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> CostlyFilesTogether | None:
    return CostlyFilesTogether(config, log) if config.getvalue("dist") == "loadgroup" else None


def _is_crawling(item: pytest.Item) -> bool:
    """Whether a whole guest runs on the Python twins in the smallest slices."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    return params.get("counting") == "python" and params.get("slice_insns") in (1, 7) and "guests" in item.path.parts


@pytest.fixture(scope="module", autouse=True)
def free_boards() -> Iterator[None]:
    """Each board maps a gigabyte for translated code, and is part of a cycle: free them now and then."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """A test that leaves a process behind fails: it would take time from the others, maybe for ever."""
    before = running_children()
    yield
    left = {pid: name for pid, name in running_children().items() if pid not in before}
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, f"left behind, and killed now: {', '.join(left.values())}"


def running_children() -> dict[int, str]:
    """The processes that this one has started and that have not ended: id and command line, where Linux tells."""
    children, found = Path(f"/proc/self/task/{os.getpid()}/children"), dict[int, str]()
    for pid in children.read_text().split() if children.exists() else ():
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            command = _command_line(pid) if state != "Z" else b""
        except OSError:
            continue
        if state != "Z":
            found[int(pid)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def _command_line(pid: str) -> bytes:
    """Of a process that has just begun another program it is empty for a moment, though its parent was told already."""
    for _ in range(1000):
        if command := Path(f"/proc/{pid}/cmdline").read_bytes():
            return command
    return b""


@pytest.fixture
def announce(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Say something at the end of the whole run, such as how many cases were tried."""

    def say(text: str) -> None:
        request.node.user_properties.append((ANNOUNCED, text))

    return say


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    said = [text for report in reports for name, text in getattr(report, "user_properties", ()) if name == ANNOUNCED]
    if said:
        terminalreporter.section("what tests have to say")
        for text in dict.fromkeys(said):
            terminalreporter.write_line(text)
    if terminalreporter.config.getoption("--slow"):
        _tell_costs(terminalreporter)


def _tell_costs(terminalreporter: pytest.TerminalReporter) -> None:
    """Which files and which tests took longest, seconds of each process's time."""
    files, tests = defaultdict[str, float](float), defaultdict[str, float](float)
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        if isinstance(report, pytest.TestReport):
            files[report.nodeid.partition("::")[0]] += report.duration
            tests[report.nodeid] += report.duration
    terminalreporter.section(f"what took longest of {sum(files.values()) / 60:.1f} min, of all processes together")
    for counts in (files, tests):
        for name, seconds in sorted(counts.items(), key=lambda each: -each[1])[:COSTS_SHOWN]:
            terminalreporter.write_line(f"{seconds:7.1f} s  {name}")


@pytest.fixture(scope="session")
def need(request: pytest.FixtureRequest) -> Need:
    """``need("qemu-system-riscv64", path)``: skip with the reason, or fail with --require-guests."""
    return Need(bool(request.config.getoption("--require-guests")))


@pytest.fixture(scope="module")
def chromium(need: Need) -> Iterator[Browser]:
    """Headless Chromium, for the tests of a file."""
    need_browser(need)
    with browser() as found:
        yield found


@pytest.fixture
def spike_is_here(need: Need) -> None:
    """For a slow test: Spike is installed at the first use."""
    try:
        spike.executable()
    except spike.CosimError as error:
        need(f"Spike ({error})", None)


@pytest.fixture(params=[each.value for each in Counting])
def counting(request: pytest.FixtureRequest, need: Need) -> str:
    """Run a test under every way of counting."""
    if request.param != Counting.PYTHON.value:
        need("the C extension (a C compiler at install time)", c_callbacks)
    return str(request.param)
