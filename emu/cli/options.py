"""Options in QEMU's style (``shift=1,sleep=off``), checked and turned into a board's configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from minstret.devices.board import DEFAULT_XLEN, Board, BoardConfig, HostClocks
from minstret.devices.placement import PACKAGED, packaged
from minstret.emu import units
from minstret.emu.clock import ICOUNT_SHIFT_MAX
from minstret.emu.errors import ConfigError
from minstret.emu.ingress import Door
from minstret.firmware import IMAGES, image_path

_XLEN = {"rv64": 64, "rv32": 32}


FIRMWARE_HELP = """\b
What to boot, placed as QEMU's virt board places it:
  FIRMWARE       runs first, in M-mode: an ELF executable, a raw binary, or the
                 name of an image that comes along; the same as --bios FIRMWARE
  --bios FILE    the same; opensbi and u-boot are found where Debian puts them
  --kernel FILE  what the firmware starts next, in S-mode; without FIRMWARE or
                 --bios the firmware is opensbi
  --initrd FILE, --append TEXT   for the kernel
"""


def board_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that describe a board, and what boots on it, to a command."""
    options = (
        click.argument("firmware", metavar="[FIRMWARE]", required=False),
        click.option("--bios", metavar="FILE", help="What runs first: a file, opensbi or u-boot."),
        click.option("--kernel", metavar="FILE", help="What the firmware starts next, in S-mode."),
        click.option("--initrd", metavar="FILE", help="The kernel's initial RAM disk."),
        click.option("--append", metavar="TEXT", default="", help="The kernel's command line."),
        click.option("--cpu", type=click.Choice(sorted(_XLEN, reverse=True)), help="Default: from the ELF, else rv64."),
        click.option("-m", "--memory", metavar="SIZE", default="128M", show_default=True, help="RAM: 64M, 1G, ..."),
        click.option("--icount", metavar="shift=N,sleep=on|off", default="", help=(
            "An instruction lasts 2^N ns (N 0..10, default 1); sleep=on waits in real time while the guest idles, "
            "so that a person can type (default on at a terminal, else off; without input both are the same run).")),
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


def make_board(
    options: dict[str, Any],
    *,
    on_console: Callable[[bytes], None] | None = None,
    door: Door | None = None,
    host: HostClocks | None = None,
    sleep_by_default: bool = False,
) -> Board:
    """The board that the options from ``board_options`` ask for, with its images in it."""
    config = board_config(options, sleep_by_default)
    firmware, bios, kernel = options["firmware"], options["bios"], options["kernel"]
    if firmware is not None and bios is not None:
        raise ConfigError(f"FIRMWARE ({firmware}) and --bios ({bios}) are the same thing; give one of them")
    first = firmware or bios or ("opensbi" if kernel is not None else None)
    if first is None:
        raise click.UsageError("what to boot? give FIRMWARE, --bios or --kernel", click.get_current_context())
    if options["append"] and kernel is None:
        raise ConfigError("--append: goes with --kernel")
    return Board(
        find_firmware(first, config.xlen), config, on_console=on_console,
        kernel=None if kernel is None else find_firmware(kernel, config.xlen), initrd=options["initrd"],
        append=options["append"], door=door, host=host,
    )  # fmt: skip


def find_firmware(name: str, xlen: int | None) -> Path:
    """The file called ``name``, a packaged firmware, or the image of that name that comes along."""
    path = Path(name)
    if path.exists():
        return path
    if name in PACKAGED:
        return packaged(name, xlen or DEFAULT_XLEN)
    if (image := _image(name, xlen or DEFAULT_XLEN)) is not None:
        return image
    raise ConfigError(
        f"{name}: no such file, and no image of that name comes along ({', '.join(IMAGES)}; -rv32 for 32 bits)"
    )


def _image(name: str, xlen: int) -> Path | None:
    """The image of that name that comes along, ``-rv32`` or ``-rv64`` appended or not."""
    for suffix, width in (("", xlen), ("-rv64", 64), ("-rv32", 32)):
        if name.endswith(suffix) and name.removesuffix(suffix) in IMAGES:
            return image_path(name.removesuffix(suffix), width)
    return None


def board_config(options: dict[str, Any], sleep_by_default: bool = False) -> BoardConfig:
    """The configuration that the options from ``board_options`` ask for."""
    config = BoardConfig(
        xlen=_XLEN.get(options["cpu"]),
        ram_size=units.parse_size_bytes(options["memory"], "--memory"),
        seed=options["seed"],
        python_callbacks=options["python_callbacks"],
    )
    config = _with_icount(config, options["icount"], sleep_by_default)
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


def _with_icount(config: BoardConfig, text: str, sleep_by_default: bool) -> BoardConfig:
    pairs = _pairs("--icount", text, ("shift", "sleep"))
    shift, sleep = pairs.get("shift", "1"), pairs.get("sleep", "on" if sleep_by_default else "off")
    if not (shift.isdecimal() and shift.isascii() and len(shift) <= 2 and int(shift) <= ICOUNT_SHIFT_MAX):
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
