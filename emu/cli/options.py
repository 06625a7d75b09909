"""Options in QEMU's style (``shift=1,sleep=off``), checked and turned into a board's configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import click

from minstret.devices.board import BoardConfig
from minstret.emu import units
from minstret.emu.clock import ICOUNT_SHIFT_MAX
from minstret.emu.errors import ConfigError

_XLEN = {"rv64": 64, "rv32": 32}


def board_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that describe a board to a command."""
    options = (
        click.option("--cpu", type=click.Choice(sorted(_XLEN, reverse=True)), help="Default: from the ELF, else rv64."),
        click.option("-m", "--memory", metavar="SIZE", default="128M", show_default=True, help="RAM: 64M, 1G, ..."),
        click.option("--icount", metavar="shift=N,sleep=on|off", default="", help=(
            "An instruction lasts 2^N ns (N 0..10, default 1); sleep=on waits in real time while the guest idles, "
            "so that a person can type (default off).")),
        click.option("--rtc", metavar="clock=vm|host,base=TIME", default="", help=(
            "Wall-clock time follows virtual time (vm, the default) or the host's; base is its start, "
            "such as 2018-10-01T00:00:00 (the default).")),
        click.option("--seed", type=int, default=0, show_default=True, help="For all that would else be random."),
        click.option("--slice-insns", metavar="N", default=None, help=(
            "Run at most N instructions at a stretch. Never visible to the guest.")),
        click.option("--python-callbacks", is_flag=True, help="Use the slow Python twins of the C callbacks."),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def board_config(options: dict[str, Any]) -> BoardConfig:
    """The configuration that the options from ``board_options`` ask for."""
    config = BoardConfig(
        xlen=_XLEN.get(options["cpu"]),
        ram_size=units.parse_size_bytes(options["memory"], "--memory"),
        seed=options["seed"],
        python_callbacks=options["python_callbacks"],
    )
    config = _with_icount(config, options["icount"])
    config = _with_rtc(config, options["rtc"])
    if options["slice_insns"] is not None:
        slice_insns = units.parse_count(options["slice_insns"], "--slice-insns")
        if slice_insns < 1:
            raise ConfigError("--slice-insns: expected 1 or more, got 0")
        config = replace(config, slice_insns_max=slice_insns)
    return config


def _pairs(option: str, text: str, known: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if key not in known or not equals:
            raise ConfigError(f"{option}: expected {' or '.join(f'{k}=...' for k in known)}, got {part!r}")
        if key in pairs:
            raise ConfigError(f"{option}: {key} is given twice")
        pairs[key] = value
    return pairs


def _with_icount(config: BoardConfig, text: str) -> BoardConfig:
    pairs = _pairs("--icount", text, ("shift", "sleep"))
    shift, sleep = pairs.get("shift", "1"), pairs.get("sleep", "off")
    if not (shift.isdecimal() and shift.isascii() and int(shift) <= ICOUNT_SHIFT_MAX):
        raise ConfigError(f"--icount: shift: expected 0..{ICOUNT_SHIFT_MAX}, got {shift!r}")
    if sleep not in ("on", "off"):
        raise ConfigError(f"--icount: sleep: expected on or off, got {sleep!r}")
    return replace(config, icount_shift=int(shift), sleep=sleep == "on")


def _with_rtc(config: BoardConfig, text: str) -> BoardConfig:
    pairs = _pairs("--rtc", text, ("clock", "base"))
    clock = pairs.get("clock", "vm")
    if clock not in ("vm", "host"):
        raise ConfigError(f"--rtc: clock: expected vm or host, got {clock!r}")
    config = replace(config, rtc_follows_host=clock == "host")
    if "base" not in pairs:
        return config
    if clock == "host":
        raise ConfigError("--rtc: base= goes with clock=vm; clock=host takes the host's time")
    return replace(config, rtc_base_ns=_time_ns(pairs["base"]))


def _time_ns(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--rtc: base: expected a time such as 2018-10-01T00:00:00, got {text!r}") from None
    moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    seconds = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (seconds.days * 86_400 + seconds.seconds) * units.NS_PER_S + seconds.microseconds * units.NS_PER_US
