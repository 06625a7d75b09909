"""The pytest plugin: a fixture ``minstret`` that makes boards, records them, and keeps the trace of what failed.

    def test_version(minstret):
        dut = minstret("app.elf", net="user")
        dut.expect("=> ", within="2s")
        dut.send("version\\r")

docs/python.md tells all of it. pytest loads this module in each of its runs, so it imports nothing of minstret before
a test asks for the fixture.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections import defaultdict
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from minstret.duts import Duts

KEEPS = ("failed", "all", "none")
TRACE, CHAOS = "minstret_trace", "minstret_chaos"
"""Properties of a test's report: the path of a trace that is kept, and the chaos seed."""
FOLDER = "minstret-traces"

_SEED_FIXTURE = "_minstret_chaos_seed"
_DUTS = pytest.StashKey["Duts"]()
"""What a test has made, while it runs."""
_OPEN = pytest.StashKey["list[Duts]"]()
_LINES = pytest.StashKey[list[str]]()
"""What to say at the end of the run."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("minstret", "minstret: boards that are recorded")
    group.addoption("--minstret-keep", choices=KEEPS, default="failed", help=(
        "Which tests' traces are kept: of those that failed (the default), all, or none."))  # fmt: skip
    group.addoption("--minstret-dir", metavar="DIR", help=(
        f"Where traces are kept. Default: {FOLDER} in the root folder of the tests."))  # fmt: skip
    group.addoption("--minstret-report", action="store_true", help=(
        "Also make a page of each trace that is kept, beside it: TRACE.html, as minstret report does."))  # fmt: skip
    group.addoption("--minstret-repeat", metavar="N", type=_count, help=(
        "Run each test that uses the fixture minstret N times, each under another chaos seed."))  # fmt: skip
    group.addoption("--minstret-seed", metavar="SEED", type=int, help=(
        "The chaos seed: delays and the turns of several harts are drawn from it. With --minstret-repeat the first "
        "one, which is 1 by default; else there is none."))  # fmt: skip
    parser.addini("minstret_max_time", "Virtual time that a board of a test may run for, or none. Default: 60s.")
    parser.addini("minstret_max_insns", "Instructions that it may execute, or none. Default: 2G if no limit is given.")
    parser.addini("minstret_seed", "As --minstret-seed.", default="")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of chaos seeds, 1 or more, got {text!r}")
    return int(text)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", (
        'minstret(max_time="2s", max_insns="1G"): how far each board of the test may run, in virtual time and in '
        "instructions. A test that wants more fails."))  # fmt: skip
    _check_folder(config)
    config.stash[_OPEN], config.stash[_LINES] = [], []
    if config.getoption("minstret_repeat") is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Repeats(config), "minstret-repeats")


def _check_folder(config: pytest.Config) -> None:
    """Check at the start that traces can be written where the user wants them.

    Raises:
        UsageError: they can't.
    """
    chosen: str | None = config.getoption("minstret_dir")
    if chosen is None:
        return
    folder = config.invocation_params.dir / chosen
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not there.is_dir():
        raise pytest.UsageError(f"--minstret-dir: {folder}: {there} is not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise pytest.UsageError(f"--minstret-dir: {folder}: can't write in {there}")


# ---- the fixture


@pytest.fixture(name=_SEED_FIXTURE)
def _chaos_seed(request: pytest.FixtureRequest) -> int | None:
    """The seed under which a test runs; None for no chaos."""
    seed: int | None = getattr(request, "param", None)
    return _first_seed(request.config) if seed is None else seed


def _first_seed(config: pytest.Config) -> int | None:
    """The seed that the user has chosen.

    Raises:
        UsageError: what the ini-file has is none.
    """
    seed: int | None = config.getoption("minstret_seed")
    text: str = config.getini("minstret_seed")
    if seed is not None or not text:
        return seed
    try:
        return int(text)
    except ValueError:
        raise pytest.UsageError(f"minstret_seed: expected a number, got {text!r}") from None


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    count: int | None = metafunc.config.getoption("minstret_repeat")
    if count is None or _SEED_FIXTURE not in metafunc.fixturenames:
        return
    seed = _first_seed(metafunc.config)
    first = 1 if seed is None else seed
    seeds = range(first, first + count)
    metafunc.parametrize(_SEED_FIXTURE, seeds, ids=[f"chaos{seed}" for seed in seeds], indirect=True)


@pytest.fixture(name="minstret")
def _minstret(request: pytest.FixtureRequest, _minstret_chaos_seed: int | None) -> Duts:
    """Make boards and record them: ``dut = minstret("app.elf", net="user")``; the options are those of minstret run."""
    from minstret.duts import Duts
    from minstret.emu.errors import ConfigError

    item, config = request.node, request.config
    try:
        duts = item.stash[_DUTS] = Duts(item, _minstret_chaos_seed)
    except ConfigError as error:
        raise pytest.fail.Exception(f"minstret: {error}", pytrace=False) from None
    if _minstret_chaos_seed is not None:
        item.user_properties = [pair for pair in item.user_properties if pair[0] != CHAOS]
        item.user_properties.append((CHAOS, _minstret_chaos_seed))
    config.stash[_OPEN].append(duts)
    return duts


# ---- what becomes of a test


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    duts = item.stash.get(_DUTS, None)
    if duts is not None and call.excinfo is not None and not item.config.getoption("fulltrace"):
        duts.end_at_users_line(call.excinfo.value)
    report = yield
    if duts is None:
        return report
    if report.failed and not duts.has_failed:
        duts.has_failed = True
        _add_section(report, "\n".join([*duts.story(), *_how_to_repeat(report, item.config)]))
    if report.when == "teardown":  # every fixture is down, so nobody uses the boards any more
        report.user_properties += [(TRACE, str(path)) for path in duts.close()]
        item.config.stash[_OPEN].remove(duts)
        del item.stash[_DUTS]
    return report


def _add_section(report: pytest.TestReport, text: str) -> None:
    """Show ``text``, if there is any, behind the traceback, in reports for other programs too."""
    if not text:
        return
    add = getattr(report.longrepr, "addsection", None)
    if add is not None:
        add("minstret", text)
    else:
        report.sections.append(("minstret", text))


def _how_to_repeat(report: pytest.TestReport, config: pytest.Config) -> list[str]:
    seed = dict(report.user_properties).get(CHAOS)
    return [] if seed is None else [f"to repeat it: {_repeating(report.nodeid, int(str(seed)), config)}"]


def _repeating(node_id: str, seed: int, config: pytest.Config) -> str:
    """What to type to run a test again under just this seed."""
    return f"pytest {shlex.quote(_typed(_without_seed(node_id, seed), config))} --minstret-seed {seed}"


def _typed(node_id: str, config: pytest.Config) -> str:
    """The name of a test from the folder where pytest was started."""
    path, colons, name = node_id.partition("::")
    return os.path.relpath(config.rootpath / path, config.invocation_params.dir) + colons + name


def _without_seed(node_id: str, seed: int) -> str:
    """The name of a test as it is without --minstret-repeat."""
    return node_id.replace(f"[chaos{seed}]", "").replace(f"-chaos{seed}]", "]")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Close what an interrupted test has left, when its fixtures are down; leave no empty folder."""
    config = session.config
    for duts in config.stash[_OPEN]:
        duts.has_failed = True
        paths = duts.close()
        if paths:
            config.stash[_LINES] += [f"{_typed(duts.item.nodeid, config)} was interrupted", *duts.commands()]
    config.stash[_OPEN].clear()
    if not hasattr(config, "workerinput"):
        _drop_empty_folder(config)


def _drop_empty_folder(config: pytest.Config) -> None:
    if (duts := sys.modules.get("minstret.duts")) is not None:
        duts.drop_empty(duts.trace_folder(config))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = config.stash[_LINES]
    if lines:
        terminalreporter.section("minstret")
        for line in lines:
            terminalreporter.write_line(line)


class _Repeats:
    """With --minstret-repeat: under which seeds tests have failed."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._seeds: dict[str, set[int]] = defaultdict(set)
        self._failed: dict[str, set[int]] = defaultdict(set)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Also called for what other processes of pytest-xdist have run."""
        seed = dict(report.user_properties).get(CHAOS)
        if seed is None:
            return
        number = int(str(seed))
        name = _without_seed(report.nodeid, number)
        self._seeds[name].add(number)
        if report.failed:
            self._failed[name].add(number)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        self._config.stash[_LINES] += self._lines()

    def _lines(self) -> Iterator[str]:
        for name, failed in self._failed.items():
            first, count = min(failed), len(self._seeds[name])
            yield (
                f"{_typed(name, self._config)}: failed under {len(failed)} of {count} chaos seeds, first"
                f" under {first}; to repeat it: {_repeating(name, first, self._config)}"
            )
