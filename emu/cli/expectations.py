"""Options for how a run should end: what the guest is to say, what it must not say, and how long that may take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from minstret.devices.hostside.expectations import Ending, fail_on, until
from minstret.emu import units
from minstret.emu.expect import parse_expected
from minstret.emu.session import RunLimits

NO_EXPECTATIONS: dict[str, Any] = {"until": (), "fail_on": (), "max_time": None}
"""The values of the options where a command has none of them."""


def expectation_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command."""
    options = (
        click.option("--until", multiple=True, metavar="TEXT|/RE/", help=(
            "Stop with status 0 as soon as the guest's console says this: a text, or a regular expression between "
            "slashes. A guest that ends well without it gives status 126. May be given several times: any of them. "
            "A text that begins with / and has no other / is given as a regular expression: '/\\/init/'.")),
        click.option("--fail-on", multiple=True, metavar="TEXT|/RE/", help=(
            "Stop with status 126 as soon as the guest's console says this. May be given several times.")),
        click.option("--max-time", metavar="TIME", help=(
            "Stop after this much virtual time (exit status 123; with --until 126): 500ms, 5s.")),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def endings_of(options: dict[str, Any]) -> tuple[Ending, ...]:
    """What ends the run by the guest's saying it; where that is said in one character, the bad end counts.

    Raises:
        ConfigError: it can't be read; the text says which.
    """
    bad = (parse_expected(text, "--fail-on") for text in options["fail_on"])
    good = (parse_expected(text, "--until") for text in options["until"])
    return fail_on(*bad) + until(*good)


def limits_of(options: dict[str, Any]) -> RunLimits:
    """How far the run may go.

    Raises:
        ConfigError: an option can't be read; the text says which.
    """
    insns, time = options["max_insns"], options["max_time"]
    return RunLimits(
        None if insns is None else units.parse_count(insns, "--max-insns"),
        None if time is None else units.parse_time_ns(time, "--max-time"),
    )
