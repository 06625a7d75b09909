"""Interrupt lines: the listener hears of changes, and of nothing else."""

from __future__ import annotations

from minstret.emu.irq import IrqLine


def test_listener_hears_of_changes_only() -> None:
    heard: list[bool] = []
    line = IrqLine("uart0.irq", heard.append)

    for level in (False, True, True, False, False, True):
        line.set_level(level)

    assert heard == [True, False, True]
    assert line.level


def test_loading_a_level_tells_nobody_and_counts_as_what_was_told() -> None:
    heard: list[bool] = []
    line = IrqLine("uart0.irq", heard.append)

    line.load_level(True)
    assert line.level
    line.set_level(True)
    assert heard == []
    line.set_level(False)
    assert heard == [False]


def test_line_without_a_listener_has_a_level_and_the_last_listener_hears() -> None:
    first: list[bool] = []
    second: list[bool] = []
    line = IrqLine("uart0.irq")
    line.set_level(True)
    assert line.level

    line.connect(first.append)
    line.connect(second.append)
    line.set_level(False)

    assert (first, second) == ([], [False])


def test_tapped_line_tells_both_and_the_tap_first_until_it_ends() -> None:
    heard: list[tuple[str, bool]] = []
    line = IrqLine("uart0.irq", lambda level: heard.append(("owner", level)))

    end = line.tap(lambda level: heard.append(("tap", level)))
    line.set_level(True)
    line.set_level(True)
    end()
    line.set_level(False)

    assert heard == [("tap", True), ("owner", True), ("owner", False)]
