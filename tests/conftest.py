"""Options and fixtures for all tests."""

from __future__ import annotations

import pytest
from needs import Need

from minstret.emu.hart.engine import c_callbacks
from minstret.emu.hart.shared import Counting


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run tests marked slow too")
    parser.addoption("--require-guests", action="store_true", help="fail where a tool or guest is missing")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords or _is_crawling(item):
            item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))


def _is_crawling(item: pytest.Item) -> bool:
    """Whether a whole guest runs on the Python twins in the smallest slices."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    return params.get("counting") == "python" and params.get("slice_insns") in (1, 7) and "guests" in item.path.parts


@pytest.fixture(scope="session")
def need(request: pytest.FixtureRequest) -> Need:
    """``need("qemu-system-riscv64", path)``: skip with the reason, or fail with --require-guests."""
    return Need(bool(request.config.getoption("--require-guests")))


@pytest.fixture(params=[each.value for each in Counting])
def counting(request: pytest.FixtureRequest, need: Need) -> str:
    """Run a test under every way of counting."""
    if request.param != Counting.PYTHON.value:
        need("the C extension (a C compiler at install time)", c_callbacks)
    return str(request.param)
