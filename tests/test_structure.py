"""The folders of tests mirror those of the sources: whoever looks for the tests of a file finds them."""

from __future__ import annotations

from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
ROOMS = ("emu", "devices")
COMMAND = TOP / "emu" / "cli"
"""Tests of the command are by what a user does, not by file."""

ELSEWHERE = {
    "emu/walk.py": "emu/test_past.py",
    "emu/monitorwhy.py": "emu/test_monitor.py",
    "emu/questions/farback.py": "emu/questions/test_registers.py",
    "emu/questions/why.py": "cli/test_why.py",
    "devices/board/console.py": "guests/test_piped_input.py",
    "devices/board/map.py": "devices/board/test_tree.py",
    "devices/board/traced.py": "guests/test_replay.py",
    "devices/hostside/hostinput/parsing.py": "devices/hostside/hostinput/test_script.py",
    "devices/hostside/side.py": "cli/test_network_options.py",
    "devices/hostside/usernet/addresses.py": "devices/hostside/usernet/test_like_qemu.py",
    "devices/hostside/usernet/neighbours.py": "devices/hostside/usernet/test_arp.py",
    "devices/hostside/usernet/state.py": "devices/hostside/usernet/test_network.py",
    "devices/hostside/usernet/wire.py": "devices/hostside/usernet/test_network.py",
    "devices/services/guestfiles.py": "devices/services/test_semihosting_files.py",
    "devices/virtio/constants.py": "devices/virtio/test_mmio.py",
    "devices/virtio/input_codes.py": "devices/virtio/test_input.py",
    "emu/door/door.py": "emu/door/test_live.py",
    "emu/package/dutoptions.py": "emu/package/test_pytest_plugin.py",
    "emu/package/duts.py": "emu/package/test_pytest_plugin.py",
    "emu/checks.py": "emu/test_machine.py",
    "emu/errors.py": "cli/test_cli.py",
    "emu/hart/accesses.py": "emu/hart/test_page_edges.py",
    "emu/hart/binding.py": "emu/hart/test_helpers.py",
    "emu/hart/callbacks.py": "emu/hart/test_ways_of_counting.py",
    "emu/hart/compiled.py": "cli/test_start.py",
    "emu/hart/core.py": "emu/hart/test_two_harts.py",
    "emu/hart/csr_table.py": "emu/hart/test_csr.py",
    "emu/hart/engine.py": "emu/hart/test_stale_code.py",
    "emu/hart/flow_twin.py": "emu/hart/test_flow.py",
    "emu/hart/hart.py": "emu/hart/test_counting.py",
    "emu/hart/observers.py": "emu/test_logs.py",
    "emu/hart/shared.py": "emu/hart/test_contract.py",
    "emu/hart/softfloat.py": "emu/hart/test_floating.py",
    "emu/hart/spec.py": "emu/hart/test_specification.py",
    "emu/hart/special.py": "emu/hart/test_stale_code.py",
    "emu/hart/state.py": "emu/hart/test_load_state.py",
    "emu/idle.py": "emu/test_machine.py",
    "emu/questions/diffing/compared.py": "emu/questions/diffing/test_search.py",
    "emu/questions/diffing/guards.py": "emu/questions/diffing/test_search.py",
    "emu/questions/diffing/inputs.py": "emu/questions/diffing/test_search.py",
    "emu/questions/diffing/side.py": "emu/questions/test_diff.py",
    "emu/questions/diffing/stepping.py": "emu/questions/diffing/test_search.py",
    "emu/questions/diffing/tables.py": "emu/questions/test_diff.py",
    "emu/questions/diffing/telling.py": "cli/test_diff.py",
}
"""Files that others' tests go through, and where those are."""


def sources() -> list[str]:
    files = (file for room in ROOMS for file in (TOP / room).rglob("*.py"))
    return sorted(
        str(file.relative_to(TOP)) for file in files if not file.name.startswith("__") and COMMAND not in file.parents
    )


def files_of_tests(source: str) -> list[Path]:
    """The files of tests beside which ``source`` would be: ``test_NAME.py`` and ``test_NAME_*.py``."""
    path = Path(source)
    folder = TOP / "tests" / path.parent
    return [*folder.glob(f"test_{path.stem}.py"), *folder.glob(f"test_{path.stem}_*.py")]


@pytest.mark.parametrize("source", sources())
def test_source_has_a_file_of_tests(source: str) -> None:
    if source in ELSEWHERE:
        assert (TOP / "tests" / ELSEWHERE[source]).exists()
    else:
        assert files_of_tests(source), (
            f"add tests/{Path(source).parent}/test_{Path(source).name}, or name the tests in ELSEWHERE"
        )


def test_exceptions_are_sources_without_files_of_their_own() -> None:
    assert [source for source in ELSEWHERE if source not in sources() or files_of_tests(source)] == []
