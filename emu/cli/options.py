"""Options in QEMU's style (``shift=1,sleep=off``), checked and turned into a board's configuration."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from minstret.devices.board.board import Setup
from minstret.devices.board.config import DEFAULT_XLEN, ENTROPY, BoardConfig
from minstret.devices.board.placement import PACKAGED, Load, packaged
from minstret.devices.hostside.hostinput.script import ScriptLine
from minstret.devices.hostside.side import INPUTS, NetConfig
from minstret.devices.hostside.timer_models import TIMER_MODELS
from minstret.devices.hostside.usernet.config import UserNetConfig
from minstret.devices.virtio.net import DEFAULT_MAC
from minstret.emu import units
from minstret.emu.cli.streams import input_from_stdin, is_stream, read_image
from minstret.emu.cli.suggestions import file_or
from minstret.emu.clock import ICOUNT_SHIFT_MAX
from minstret.emu.errors import ConfigError
from minstret.emu.hart.cpu import EXTENSION_NAMES, parse_cpu
from minstret.emu.hart.shared import Counting
from minstret.emu.host import HostFolder
from minstret.emu.part import Part
from minstret.emu.registers import HARTS_MAX
from minstret.emu.schedule import DEFAULT_QUANTUM, QUANTUM_MAX
from minstret.firmware import IMAGES, image_path

counting_option = click.option(
    "--counting", type=click.Choice([each.value for each in Counting]), default=Counting.CODE.value,
    help="How instructions are counted. Never visible to the guest; code is the fastest.",
)  # fmt: skip

_LINK_DELAY_NS = UserNetConfig().link_delay_ns


FIRMWARE_HELP = f"""\b
What to boot, and where it is loaded (as on QEMU's virt board):
  FIRMWARE       the program that runs first, in M-mode: an image file, or the name
                 of a bundled image
  --bios FILE    the same as FIRMWARE. Also "opensbi" or "u-boot": the files of
                 Debian's packages; or "none": the kernel runs first, in M-mode
  --kernel FILE  the program that the firmware starts next, in S-mode. Without
                 FIRMWARE and --bios the firmware is opensbi
  --initrd FILE  the kernel's initial RAM disk
  --append TEXT  the kernel's command line
  --load FILE@ADDRESS
                 one more file, copied unchanged to this physical address. Without
                 @ADDRESS: an image that contains its own address
An image file is an ELF executable, Intel hex, S-records or a U-Boot uImage, each
also compressed with gzip; any other file is a raw binary, loaded to the start of
RAM. One FILE may be -, standard input; the guest's console then has no input.
Bundled images, for rv64 (add -rv32 to a name for rv32):
{textwrap.fill(", ".join(IMAGES), 78, initial_indent="  ", subsequent_indent="  ")}
"""


device_option = click.option("--device", "devices", metavar="FILE.py:CLASS[,OPTION=...]", multiple=True, help=(
    "Add a device of your own, such as gpio.py:Gpio,base=0x10060000,irq=12; see docs/devices.md. The class may also be "
    "in a package: package.module:CLASS. May be given several times."))  # fmt: skip


replayed_device_option = click.option("--device", "devices", metavar="FILE.py:CLASS", multiple=True, help=(
    "The class of a device of your own that was recorded; its options are in the trace. May be given several "
    "times."))  # fmt: skip
changed_devices_option = click.option("--changed-devices", is_flag=True, help=(
    "For a trace: accept that the source of a --device has changed since the recording."))  # fmt: skip


def device_errors(devices: Sequence[str], is_verbose: bool) -> AbstractContextManager[None]:
    """Where a device of the user's has a mistake, show its traceback if --verbose asks for it."""
    if not devices:
        return nullcontext()
    from minstret.emu.cli.devices import device_errors

    return device_errors(is_verbose)


def board_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that describe a board, and what boots on it, to a command."""
    return click.argument("firmware", metavar="[FIRMWARE]", required=False)(options_of_board(function))


def options_of_board(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same without FIRMWARE."""
    options = (
        click.option("--bios", metavar="FILE", help="The program that runs first: a file, opensbi, u-boot or none."),
        click.option("--kernel", metavar="FILE", help="The program that the firmware starts next, in S-mode."),
        click.option("--initrd", metavar="FILE", help="The kernel's initial RAM disk."),
        click.option("--append", metavar="TEXT", default="", help="The kernel's command line."),
        click.option("--load", "loads", metavar="FILE@ADDRESS", multiple=True, help=(
            "Load one more file into memory; may be given several times.")),
        click.option("--cpu", metavar="rv64|rv32[,EXTENSION=on|off]", help=(
            "What the harts are. Default: of the width of the ELF file, else rv64, with all extensions there are: "
            f"{', '.join(EXTENSION_NAMES)}. rv64gc, rv32gc: with none of these. rv64,zba=off leaves one out, "
            "rv64gc,zba=on has that one alone. See docs/hart.md.")),
        click.option("--smp", metavar="N", default="1", show_default=True, help=(
            f"How many harts (CPUs), 1 to {HARTS_MAX}. One runs at a time, in turns that are the same in each run: "
            "N busy harts take N times as long as one.")),
        click.option("--quantum", metavar="INSNS", default=str(DEFAULT_QUANTUM), show_default=True, help=(
            "With several harts: the instructions that one may run before it is the next one's turn, such as 1000 or "
            "50K. The guest can see it. With less than 32 an LR and its SC may never succeed.")),
        click.option("-m", "--memory", metavar="SIZE", default="128M", show_default=True,
                     help="Size of RAM: 64M, 1G, ...; a number without a unit is in MiB."),
        click.option("--icount", metavar="shift=N,sleep=on|off", default="", help=(
            "An instruction takes 2^N ns of virtual time (N 0..10, default 1). A guest that waits one second in a busy "
            "loop executes 500 million instructions, which takes seconds on the host; with shift=3 it is 125 million. "
            "sleep=on waits in real time while the guest idles, so that a person can type (default: on at a terminal, "
            "else off; without input both give the same run).")),
        click.option("--rtc", metavar="clock=vm|host,base=TIME", default="", help=(
            "The guest's wall clock follows virtual time (clock=vm, the default) or the host's clock (clock=host). "
            "With vm, base is the time at power-on, 2018-10-01T00:00:00 by default.")),
        click.option("--net", metavar="none|user[,OPTION=...]", default="none", help=(
            "A network card. user: it is on a network inside minstret, with DHCP and TFTP servers and an IPv6 router, "
            "and no way to the host. Options: restrict=on|off, delay=TIME (default 50us), tftp=DIR, bootfile=NAME, "
            "hostname=NAME, tftp-server-name=NAME, domainname=NAME, mac=ADDRESS, ipv6=on|off.")),
        click.option("--input", "inputs", metavar="keyboard,tablet", default="",
                     help="Input devices (virtio): one or both."),
        click.option("--virtio", type=click.Choice(("modern", "legacy")), default="modern", show_default=True,
                     help="The virtio-mmio interface: version 2, or 1 (legacy)."),
        click.option("--seed", type=int, default=0, show_default=True, help="Seed for everything random."),
        click.option("--entropy", type=click.Choice(ENTROPY), default="seed", show_default=True, help=(
            "Where the guest's entropy source (virtio-rng) gets its bytes: from --seed, or from the host. none: no "
            "such device.")),
        click.option("--chaos", "chaos_seed", type=int, metavar="SEED", help=(
            "Delay frames, keys and console input by random times drawn from SEED, so that rare orderings occur. Of "
            "several harts it also draws when which one runs, in place of --quantum: that brings races out.")),
        click.option("--semihosting", metavar="DIR", help=(
            "Let the firmware read and write files below DIR by semihosting. A recording contains what it read.")),
        click.option("--args", "arguments", metavar="TEXT", default="", help=(
            "Arguments for the firmware, which asks for them by semihosting.")),
        device_option,
        click.option("--no-reboot", is_flag=True, help="End the run where the guest resets the board."),
        click.option("--timer-model", type=click.Choice(TIMER_MODELS), default="attributes", show_default=True, help=(
            "For comparison: virtual-ext runs EXTERNAL timers on a second clock, in a host thread; no-attributes "
            "treats them like all others.")),
        click.option("--slice-insns", metavar="N", default=None, help=(
            "Run at most N instructions before looking for host input. Never visible to the guest.")),
        counting_option,
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def make_setup(options: dict[str, Any], *, sleep_by_default: bool = False, script: Sequence[ScriptLine] = ()) -> Setup:
    """What the options from ``board_options`` ask for: a configuration, and images read from their files."""
    config = board_config(options, sleep_by_default)
    input_from_stdin(options)  # refuses several
    kernel, initrd = options["kernel"], options["initrd"]
    first = _first_image(options)
    if options["append"] and kernel is None:
        raise ConfigError("--append: goes with --kernel")
    if initrd is not None and kernel is None:
        raise ConfigError("--initrd: goes with --kernel")
    if first is not None and kernel is not None and (config.host_files or config.arguments):
        raise ConfigError("--semihosting, --args: not available with --kernel, except with --bios none")
    return Setup(
        config, None if first is None else read_image(find_firmware(first, config.xlen), config.ram_size),
        kernel=None if kernel is None else read_image(find_firmware(kernel, config.xlen), config.ram_size),
        initrd=None if initrd is None else read_image(initrd, config.ram_size),
        append=options["append"], files=_files(options["net"]), script=tuple(script),
        loads=tuple(parse_load(text, config.ram_size) for text in options["loads"]),
        devices=_devices(options["devices"]),
    )  # fmt: skip


def replayed_devices(texts: Sequence[str]) -> tuple[type[Part] | Part, ...]:
    """What ``--device`` gives for a replay."""
    if not texts:
        return ()
    from minstret.emu.cli.devices import devices_to_replay

    return devices_to_replay(texts)


def _devices(texts: Sequence[str]) -> tuple[Part, ...]:
    if not texts:
        return ()
    from minstret.emu.cli.devices import make_devices

    return make_devices(texts)


_NO_BIOS = "none"


def check_boots_something(options: dict[str, Any]) -> None:
    """Raise click.UsageError, which names the command, where no option says what to boot."""
    if not any(options[name] for name in ("firmware", "bios", "kernel")):
        raise click.UsageError("nothing to boot; give FIRMWARE, --bios or --kernel", click.get_current_context())


def _first_image(options: dict[str, Any]) -> str | None:
    """What runs first; None if that is the kernel."""
    check_boots_something(options)
    firmware, bios, kernel = (options[name] for name in ("firmware", "bios", "kernel"))
    if bios == _NO_BIOS and firmware is None:
        if kernel is None:
            raise ConfigError("--bios none: nothing to boot; add --kernel FILE")
        return None
    if bios == _NO_BIOS and kernel is None:
        bios = None  # FIRMWARE runs first in any case
    if firmware is not None and bios is not None:
        raise ConfigError(f"FIRMWARE ({firmware}) and --bios ({bios}) both say what runs first; give one of them")
    first: str = firmware or bios or "opensbi"
    return first


_ADDRESS = re.compile(r"0[xX][0-9a-fA-F_]{1,20}|[0-9_]{1,20}", re.ASCII)


def load_file(text: str) -> str:
    """The path in a value of ``--load``."""
    name, at, address = text.rpartition("@")
    return text if not at or (not _ADDRESS.fullmatch(address) and Path(text).exists()) else name


def parse_load(text: str, ram_size: int) -> Load:
    """Read the file that ``--load FILE`` or ``--load FILE@ADDRESS`` names."""
    name, _, address = text.rpartition("@")
    if load_file(text) == text:
        return Load(read_image(text, ram_size))
    if not name or not _ADDRESS.fullmatch(address):
        raise ConfigError(f"--load: expected FILE@ADDRESS with an address such as 0x80400000, got {text!r}")
    try:
        return Load(read_image(name, ram_size), int(address, 0))
    except ValueError:
        raise ConfigError(f"--load: expected an address such as 0x80400000, got {address!r}") from None


def _files(net: str) -> HostFolder | None:
    folder = net_config(net)[1]
    return None if folder is None else HostFolder(folder)


def find_firmware(name: str, xlen: int | None) -> str | Path:
    """The file called ``name``, else the Debian package's firmware or the bundled image; ``-`` is returned as it is."""
    if is_stream(name):
        return name
    path = Path(name)
    if path.exists():
        return path
    if name in PACKAGED:
        return packaged(name, xlen or DEFAULT_XLEN)
    if (image := _image(name, xlen or DEFAULT_XLEN)) is not None:
        return image
    known = [*IMAGES, *(f"{image}-rv32" for image in IMAGES), *PACKAGED]
    meant = file_or(name, known) or f" ({', '.join(IMAGES)}; -rv32 for 32 bits)"
    raise ConfigError(f"{name}: no such file, and no bundled image of that name{meant}")


def _image(name: str, xlen: int) -> Path | None:
    """The bundled image of that name, with or without ``-rv32`` or ``-rv64`` at its end."""
    for suffix, width in (("", xlen), ("-rv64", 64), ("-rv32", 32)):
        if name.endswith(suffix) and name.removesuffix(suffix) in IMAGES:
            return image_path(name.removesuffix(suffix), width)
    return None


def board_config(options: dict[str, Any], sleep_by_default: bool = False) -> BoardConfig:
    """The configuration that the options from ``board_options`` ask for."""
    cpu = None if options["cpu"] is None else parse_cpu(options["cpu"], "--cpu")
    config = BoardConfig(
        xlen=None if cpu is None else cpu.xlen,
        cpu=None if cpu is None else str(cpu),
        ram_size=units.parse_size_bytes(options["memory"], "--memory"),
        seed=options["seed"],
        counting=Counting(options["counting"]),
        smp=_smp(options["smp"]),
        quantum=_quantum(options["quantum"]),
    )
    config = replace(
        config, net=net_config(options["net"])[0], inputs=_inputs(options["inputs"]),
        virtio_legacy=options["virtio"] == "legacy", entropy=options["entropy"], chaos_seed=options["chaos_seed"],
        timer_model=options["timer_model"], host_files=options["semihosting"] is not None,
        arguments=options["arguments"], reset_ends=options["no_reboot"],
    )  # fmt: skip
    config = _with_icount(config, options["icount"], sleep_by_default)
    config = _with_rtc(config, options["rtc"])
    if options["slice_insns"] is not None:
        config = replace(config, slice_insns_max=parse_slice_insns(options["slice_insns"]))
    return config


def _smp(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text.strip(), re.ASCII) or not 1 <= int(text) <= HARTS_MAX:
        raise ConfigError(f"--smp: expected a number of harts from 1 to {HARTS_MAX}, got {text!r:.40}")
    return int(text)


def _quantum(text: str) -> int:
    quantum = units.parse_count(text, "--quantum")
    if not 1 <= quantum <= QUANTUM_MAX:
        raise ConfigError(f"--quantum: expected 1 to {QUANTUM_MAX:,} instructions, got {text}")
    return quantum


def parse_slice_insns(text: str) -> int:
    """The value of --slice-insns."""
    slice_insns = units.parse_count(text, "--slice-insns")
    if slice_insns < 1:
        raise ConfigError("--slice-insns: expected 1 or more, got 0")
    return slice_insns


def _inputs(text: str) -> tuple[str, ...]:
    kinds = tuple(filter(None, text.split(",")))
    for kind in kinds:
        if kind not in INPUTS:
            raise ConfigError(f"--input: expected {' or '.join(INPUTS)}, got {kind!r}")
    return kinds


_NET_OPTIONS = ("restrict", "delay", "tftp", "bootfile", "hostname", "tftp-server-name", "domainname", "mac", "ipv6")


def net_config(text: str) -> tuple[NetConfig | None, str | None]:
    """The card that --net asks for, and the folder of its TFTP server."""
    kind, _, rest = text.partition(",")
    if kind == "none" and not rest:
        return None, None
    if kind != "user":
        raise ConfigError(f"--net: expected none or user[,OPTION=...], got {text!r}")
    pairs = _pairs("--net", rest, _NET_OPTIONS)
    user = UserNetConfig(
        restrict=_switch("--net: restrict", pairs.get("restrict", "off")),
        link_delay_ns=units.parse_time_ns(pairs["delay"], "--net: delay") if "delay" in pairs else _LINK_DELAY_NS,
        hostname=_name(pairs, "hostname"), tftp_server_name=_name(pairs, "tftp-server-name"),
        bootfile=_name(pairs, "bootfile"), domainname=_name(pairs, "domainname"),
        ipv6=_switch("--net: ipv6", pairs.get("ipv6", "on")),
    )  # fmt: skip
    return NetConfig(user, _mac(pairs["mac"]) if "mac" in pairs else DEFAULT_MAC), pairs.get("tftp")


def _switch(what: str, text: str) -> bool:
    if text not in ("on", "off"):
        raise ConfigError(f"{what}: expected on or off, got {text!r}")
    return text == "on"


def _name(pairs: dict[str, str], key: str) -> str | None:
    """The text of a DHCP option, None if it is not given."""
    text = pairs.get(key)
    if text is not None and not (text.isascii() and text.isprintable() and 0 < len(text) < 128):
        raise ConfigError(f"--net: {key}: expected 1 to 127 printable ASCII characters, got {text!r}")
    return text


def _mac(text: str) -> bytes:
    if not re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", text):
        raise ConfigError(f"--net: mac: expected an address such as 52:54:00:12:34:56, got {text!r}")
    mac = bytes.fromhex(text.replace(":", ""))
    if mac[0] & 1:
        raise ConfigError(f"--net: mac: {text} is a group address; expected that of one card, with an even first byte")
    return mac


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
    return replace(config, icount_shift=int(shift), sleep=_switch("--icount: sleep", sleep))


def _with_rtc(config: BoardConfig, text: str) -> BoardConfig:
    pairs = _pairs("--rtc", text, ("clock", "base"))
    clock = pairs.get("clock", "vm")
    if clock not in ("vm", "host"):
        raise ConfigError(f"--rtc: clock: expected vm or host, got {clock!r}")
    config = replace(config, rtc_follows_host=clock == "host")
    if "base" not in pairs:
        return config
    if clock == "host":
        raise ConfigError("--rtc: base= needs clock=vm; with clock=host the time is the host's")
    return replace(config, rtc_base_ns=_time_ns(pairs["base"]))


def _time_ns(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--rtc: base: expected a time such as 2018-10-01T00:00:00, got {text!r}") from None
    moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    seconds = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (seconds.days * 86_400 + seconds.seconds) * units.NS_PER_S + seconds.microseconds * units.NS_PER_US
