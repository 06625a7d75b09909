"""Options and fixtures for all tests."""

from __future__ import annotations

import pytest
from needs import Need


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
    return params.get("callbacks") == "Python" and params.get("slice_insns") in (1, 7) and "guests" in item.path.parts


@pytest.fixture(scope="session")
def need(request: pytest.FixtureRequest) -> Need:
    """``need("qemu-system-riscv64", path)``: skip with the reason, or fail with --require-guests."""
    return Need(bool(request.config.getoption("--require-guests")))


@pytest.fixture(params=["C", "Python"])
def callbacks(request: pytest.FixtureRequest, need: Need) -> str:
    """Run a test with the C callbacks and with their Python twins."""
    from minstret.emu.hart.engine import c_callbacks

    if request.param == "C":
        need("the C extension (a C compiler at install time)", c_callbacks)
    return str(request.param)
