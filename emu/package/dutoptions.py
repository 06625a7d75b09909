"""What a test says of a board it wants, and of how far that may run: keywords, marker and ini-file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest

from minstret.devices.board.board import Setup
from minstret.emu import units
from minstret.emu.cli.options import board_options, load_file, make_setup
from minstret.emu.cli.session import input_options, wanted_script
from minstret.emu.errors import ConfigError
from minstret.emu.session import RunLimits
from minstret.emu.text import did_you_mean

_LIMITS = ("max_time", "max_insns")
_DEFAULT_TIME = "60s"
_DEFAULTS = {"max_time": _DEFAULT_TIME, "max_insns": "2G"}
_NO_LIMIT = "none"


def limits_of(item: pytest.Item) -> tuple[RunLimits, str]:
    """How far a test's boards may run, and that in words: by its markers, else by the ini-file, else by default.

    The default of ``max_insns`` is for tests that say nothing: one that asks for 30 s of virtual time gets them.

    Raises:
        ConfigError: what these say is no limit.
    """
    given = {name: text for name in _LIMITS if (text := item.config.getini(f"minstret_{name}"))}
    for marker in reversed([*item.iter_markers("minstret")]):
        if marker.args:
            raise ConfigError(f'@pytest.mark.minstret: expected max_time="2s" or such, got {marker.args[0]!r:.60}')
        for name, value in marker.kwargs.items():
            if name not in _LIMITS:
                raise ConfigError(f"@pytest.mark.minstret: there is no limit {name!r}{did_you_mean(name, _LIMITS)}")
            given[name] = value
    given = {"max_time": _DEFAULT_TIME, **given} if given else _DEFAULTS
    limited = {name: str(value) for name, value in given.items() if value is not None and str(value) != _NO_LIMIT}
    time, insns = map(limited.get, _LIMITS)
    limits = RunLimits(
        icount=None if insns is None else units.parse_count(insns, "max_insns"),
        virtual_ns=None if time is None else units.parse_time_ns(time, "max_time"),
    )
    return limits, f"{' or '.join(f'{name}={text}' for name, text in limited.items())}, the limit of this test"


@cache
def _command() -> click.Command:
    """Takes the options that describe a board and its script, as ``minstret run`` does."""

    @click.command("minstret")
    @board_options
    @input_options
    def command(**options: Any) -> None:
        """Nothing."""

    return command


@cache
def _names() -> dict[str, click.Option]:
    """The options by keyword: ``chaos``, ``timer_model``; and as they are called in Python, such as ``inputs``."""
    options = [param for param in _command().params if isinstance(param, click.Option)]
    flags = {flag.lstrip("-").replace("-", "_"): option for option in options for flag in option.opts}
    return flags | {str(option.name): option for option in options}


def board_option_values(
    firmware: str | Path | None, keywords: dict[str, Any], found: Callable[[str], str]
) -> dict[str, Any]:
    """Keywords as ``board_options`` gives them to a command.

    Args:
        firmware: What comes first on the command line.
        keywords: As a test gives them.
        found: Tells where a relative path of the test's is.
    Raises:
        ConfigError: one is wrong.
    """
    typed: list[str] = []
    given: dict[str | None, str] = {}
    for keyword, value in keywords.items():
        typed += _typed_option(keyword, value, found)
        option = _names()[_OTHER_NAMES.get(keyword, keyword)]
        if value is not None and (other := given.setdefault(option.name, keyword)) != keyword:
            raise ConfigError(f"minstret(): {other} and {keyword} are the same option; give one of them")
    if firmware is not None:
        typed += ["--", found(str(firmware))]
    try:
        return _command().make_context("minstret", typed).params
    except click.ClickException as error:
        raise ConfigError(f"minstret(): {error.format_message()}") from None


@contextmanager
def naming_keywords(keywords: Iterable[str]) -> Iterator[None]:
    """An error inside that names an option, such as ``--memory``, also names the keyword that it was given by."""
    try:
        yield
    except ConfigError as error:
        text = str(error)
        for keyword in keywords:
            if re.search(rf"{_names()[_OTHER_NAMES.get(keyword, keyword)].opts[-1]}\b", text):
                raise ConfigError(f"minstret({keyword}=...): {text}") from None
        raise


_OTHER_NAMES = {"xlen": "cpu"}
_XLENS = {32: "rv32", 64: "rv64"}
_FILES = ("bios", "kernel", "initrd", "semihosting", "input_script")
_INSTEAD = {
    "max_time": '@pytest.mark.minstret(max_time="2s")',
    "max_insns": '@pytest.mark.minstret(max_insns="1G")',
    "until": 'dut.expect("...") or dut.run_until(...)',
    "fail_on": 'dut.expect("passed|failed") and look at the match',
    "timeout": '@pytest.mark.minstret(max_time="2s"), or pytest-timeout for time of the host',
    "log": "dut.log(traps=True)",
    "log_file": "dut.log(traps=True)",
    "gdb": "minstret debug, as the report of a failed test says",
    "pcap": "minstret replay --pcap, as the report of a failed test names the trace",
    "json": "what dut.run() returns",
}
"""Options of ``minstret run`` that are no part of a board."""


def _typed_option(keyword: str, value: Any, found: Callable[[str], str]) -> list[str]:
    """One keyword as it is typed."""
    if keyword == "xlen":
        keyword, value = _OTHER_NAMES[keyword], _XLENS.get(value, value)
    option = _names().get(keyword)
    if option is None and keyword in _INSTEAD:
        raise ConfigError(f"minstret(): {keyword} is no part of a board; use {_INSTEAD[keyword]}")
    if option is None:
        raise ConfigError(f"minstret(): there is no option {keyword!r}{did_you_mean(keyword, [*_names(), 'xlen'])}")
    if value is None:
        return []
    flag = option.opts[-1]
    if not option.multiple:
        text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        return [f"{flag}={_with_paths(str(option.name), text, found)}"]
    each = value if isinstance(value, list | tuple) else [value]
    return [f"{flag}={_with_paths(str(option.name), str(one), found)}" for one in each if isinstance(one, str | Path)]


def _with_paths(name: str, text: str, found: Callable[[str], str]) -> str:
    """The value of an option, where its files are found."""
    if name in _FILES:
        return found(text)
    if name == "loads":
        path = load_file(text)
        return found(path) + text[len(path) :]
    if name == "devices":
        path, colon, rest = text.partition(":")
        return found(path) + colon + rest
    if name == "net":
        parts = (part.partition("=") for part in text.split(","))
        return ",".join(f"{key}{equals}{found(value) if key == 'tftp' else value}" for key, equals, value in parts)
    return text


def setup_of_options(options: dict[str, Any]) -> Setup:
    """The board that they ask for, with the images from their files.

    Raises:
        ConfigError: they ask for nothing, or for what is not there.
    """
    if not any(options[name] for name in ("firmware", "bios", "kernel")):
        raise ConfigError('minstret(): nothing to boot; give the firmware first, as in minstret("app.elf"), or kernel=')
    return make_setup(options, script=wanted_script(options))
