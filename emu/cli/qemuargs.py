"""QEMU's command line in our words: options of ``minstret run``, and where the serial line and the monitors lead to.

One table at the end has all options that are known: what each means here, or why it is refused. Nothing is opened or
started here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import NamedTuple

from minstret.emu.cli.qemuchars import CharKind, CharSpec, parse_backend, parse_chardev
from minstret.emu.cli.qemuparts import MACHINE_HELP, check_cpu, check_machine, cpu_help
from minstret.emu.cli.qemusyntax import check_keys, refused, settings, shown, switch
from minstret.emu.errors import ConfigError


class MonitorKind(Enum):
    """What a monitor speaks."""

    HUMAN = auto()
    QMP = auto()


class MonitorSpec(NamedTuple):
    """A monitor and the device that it speaks through; None is the serial line's, where Ctrl-A c leads to it."""

    kind: MonitorKind
    device: CharSpec | None


_NO_SERIAL = CharSpec(CharKind.NULL, "-serial none", "serial0")


class Answer(Enum):
    """What is asked for in place of a run."""

    VERSION = auto()
    HELP = auto()


@dataclass(slots=True)
class QemuArgs:
    """What a command line asks for.

    Attributes:
        words: Options for ``minstret run``, each one word.
        serial: Where the guest's serial line leads to.
        monitors: Those that are asked for.
        pidfile: The file for the id of the process.
        record: The trace to write.
        notes: Lines for the user: what is not as it would be in QEMU.
        answer: What to print instead of a run: that, or this text.
    """

    words: list[str] = field(default_factory=list)
    serial: CharSpec = _NO_SERIAL
    monitors: list[MonitorSpec] = field(default_factory=list)
    pidfile: str | None = None
    record: str | None = None
    notes: list[str] = field(default_factory=list)
    answer: Answer | str | None = None


def parse_qemu(arguments: Sequence[str], width: int | None = None) -> QemuArgs:
    """Understand QEMU's command line.

    Args:
        arguments: Without the command's name.
        width: Of the harts, where the command's name says it; None: of any.
    Raises:
        ConfigError: something in it is unknown, or can't be done here; the text names it.
    """
    line = _Line(width)
    words = iter(arguments)
    for word in words:
        line.take(word, words)
        if line.args.answer is not None:
            return line.args
    line.finish()
    return line.args


class _Line:
    """A command line that is read option by option; ``args`` is what it has asked for so far."""

    def __init__(self, width: int | None) -> None:
        self.args = QemuArgs()
        self.width = width
        self.cpu: str | None = None if width is None else f"rv{width}"
        self.boot = _Boot()
        self.chars = _Chars()
        self.has_gdb = self.waits = False
        self.rngs: dict[str, str] = {}
        self.entropy = "none"
        self.netdevs: dict[str, list[str]] = {}
        self.has_card = False
        self.card_net: list[str] | None = None
        self.mac: list[str] = []
        self.inputs: list[str] = []
        self.logs: list[str] = []
        self.log_file: str | None = None

    def take(self, word: str, rest: Iterator[str]) -> None:
        """Read an option, and its value from ``rest`` if it has one."""
        option = f"-{word.lstrip('-')}" if word.startswith("--") else word
        if len(option) < 2 or option[0] != "-":
            raise ConfigError(f"{shown(word)!r}: this board has no disk; -kernel FILE boots a program")
        row = _OPTIONS.get(option[1:])
        if row is None:
            raise ConfigError(f"{shown(word)}: not known here; minstret qemu --help lists the options that are")
        value = next(rest, None) if row.has_value else ""
        if value is None:
            raise ConfigError(f"{option}: its value is missing")
        if isinstance(row.does, str):
            raise refused(option, value, row.does)
        row.does(self, option, value)

    def finish(self) -> None:
        """What follows from all options together."""
        words = self.args.words
        if self.cpu is not None:
            words.append(f"--cpu={self.cpu}")
        self.boot.finish(self.args)
        if self.waits and not self.has_gdb:
            raise ConfigError("-S: the guest would never begin, as nothing but gdb can let it; add -s or -gdb")
        if self.waits:
            words.append("--wait")
        self._finish_net()
        words.append(f"--entropy={self.entropy}")
        if self.inputs:
            words.append(f"--input={','.join(self.inputs)}")
        if self.logs:
            words.append(f"--log={','.join(self.logs)}")
            words += [f"--log-file={self.log_file}"] if self.log_file is not None else []
        self.chars.finish(self.args)

    def _finish_net(self) -> None:
        if not self.has_card:
            return
        pairs = self.card_net if self.card_net is not None else self.netdevs.get("")
        if pairs is None:
            raise ConfigError("-net nic: nothing is at the other end of the cable; add -net user")
        self.args.words.append(",".join(["--net=user", *pairs, *self.mac]))


# ---- what boots


@dataclass(slots=True)
class _Boot:
    """What boots: values of options."""

    bios: str = "default"
    kernel: str | None = None
    initrd: str | None = None
    append: str | None = None
    flash: str | None = None
    has_semihosting: bool = False
    arguments: list[str] = field(default_factory=list)

    def finish(self, args: QemuArgs) -> None:
        """Our options for all of it."""
        self._finish_flash()
        if self.bios == "none" and self.kernel is None:
            raise ConfigError("-bios none: nothing to boot; add -kernel FILE")
        args.words.append(f"--bios={'opensbi' if self.bios == 'default' else self.bios}")
        for name, value in (("kernel", self.kernel), ("initrd", self.initrd), ("append", self.append)):
            if value is not None:
                args.words.append(f"--{name}={value}")
        if self.bios != "none" and self.kernel is not None:
            if self.has_semihosting:
                args.notes.append("semihosting has no files where firmware starts a kernel")
        elif self.has_semihosting:
            args.words.append("--semihosting=.")
            if self.arguments[1:]:  # the first one stands for the program's name
                args.words.append(f"--args={' '.join(self.arguments[1:])}")

    def _finish_flash(self) -> None:
        """A flash is what boots if nothing else does: so it is in Espressif's QEMU, whose tools always name one."""
        if self.flash is None or self.flash in (self.kernel, self.bios):
            return
        if self.kernel is None and self.bios == "none":
            self.kernel = self.flash
        elif self.kernel is None and self.bios == "default":
            self.bios = self.flash
        else:
            raise refused("-drive", f"file={self.flash},if=mtd", "this board has no flash; leave out what else boots, "
                          "and this file does")  # fmt: skip


def _bios(line: _Line, option: str, value: str) -> None:
    line.boot.bios = value


def _kernel(line: _Line, option: str, value: str) -> None:
    line.boot.kernel = value


def _initrd(line: _Line, option: str, value: str) -> None:
    line.boot.initrd = value


def _append(line: _Line, option: str, value: str) -> None:
    line.boot.append = value


_NO_DISK = "this board has no disk"


def _drive(line: _Line, option: str, value: str) -> None:
    found = dict(settings(value, "file"))
    if found.get("if") != "mtd":
        raise refused(option, value, _NO_DISK)
    check_keys(option, value, settings(value, "file"), ("file", "if", "format", "id", "index", "unit"))
    if not found.get("file") or found.get("format", "raw") != "raw":
        raise refused(option, value, "expected file=FILE,if=mtd,format=raw")
    line.boot.flash = found["file"]


def _semihosting(line: _Line, option: str, value: str) -> None:
    line.boot.has_semihosting = True


def _semihosting_config(line: _Line, option: str, value: str) -> None:
    pairs = settings(value, "enable", ("enable", "userspace"))
    line.boot.arguments += [text for key, text in pairs if key == "arg"]
    found = check_keys(option, value, [pair for pair in pairs if pair[0] != "arg"],
                       ("enable", "target", "chardev", "userspace"))  # fmt: skip
    if found.get("target") == "gdb":
        raise refused(option, value, "target=gdb: gdb is not asked for files here; give target=native")
    line.boot.has_semihosting = switch(option, value, "enable", found.get("enable", "on"))


# ---- machine


def _machine(line: _Line, option: str, value: str) -> None:
    if value in ("help", "?"):
        line.args.answer = MACHINE_HELP
    else:
        check_machine(option, value)


def _cpu(line: _Line, option: str, value: str) -> None:
    if value in ("help", "?"):
        line.args.answer = cpu_help(line.width)
    else:
        line.cpu = check_cpu(option, value, line.width)


def _memory(line: _Line, option: str, value: str) -> None:
    found = check_keys(option, value, settings(value, "size"), ("size",))
    line.args.words.append(f"--memory={found.get('size', '')}")


_LEVELS = ("sockets", "dies", "clusters", "cores", "threads")


def _smp(line: _Line, option: str, value: str) -> None:
    found = check_keys(option, value, settings(value, "cpus"), ("cpus", "maxcpus", *_LEVELS))
    for key, text in found.items():
        if not re.fullmatch(r"[1-9][0-9]{0,3}", text, re.ASCII):
            raise refused(option, value, f"{key}: expected a number from 1 on, got {shown(text)!r}")
    product = 1
    for key in _LEVELS:
        product *= int(found.get(key, "1"))
    cpus = int(found.get("cpus", found.get("maxcpus", product)))
    if product not in (1, cpus) or int(found.get("maxcpus", cpus)) != cpus:
        raise refused(option, value, f"these don't agree on how many there are; give {option} {cpus}")
    line.args.words.append(f"--smp={cpus}")


def _accel(line: _Line, option: str, value: str) -> None:
    found = dict(settings(value, "accel"))
    if found.get("accel") != "tcg" or found.get("thread", "single") != "single":
        raise refused(option, value, "instructions are translated, in one thread; leave it out")


# ---- time


def _icount(line: _Line, option: str, value: str) -> None:
    found = check_keys(option, value, settings(value, "shift"), ("shift", "align", "sleep", "rr", "rrfile"))
    ours = []
    if found.get("shift", "auto") == "auto":
        line.args.notes.append(f"{option}: the shift is 1, not found out by the host's speed, so that runs agree")
    else:
        ours.append(f"shift={found['shift']}")
    if switch(option, value, "align", found.get("align", "off")):
        raise refused(option, value, "align=on: virtual time can't be held to the host's; leave it out")
    if "sleep" in found:
        ours.append(f"sleep={'on' if switch(option, value, 'sleep', found['sleep']) else 'off'}")
    line.args.words.append(f"--icount={','.join(ours)}")
    if "rr" in found:
        if found["rr"] != "record" or not found.get("rrfile"):
            raise refused(option, value, "expected rr=record,rrfile=FILE; to replay: minstret replay FILE")
        line.args.record = found["rrfile"]


def _rtc(line: _Line, option: str, value: str) -> None:
    found = check_keys(option, value, settings(value), ("base", "clock", "driftfix"))
    base, clock = found.get("base", "utc"), found.get("clock")
    if clock not in (None, "vm", "host") or found.get("driftfix", "none") != "none" or base == "localtime":
        raise refused(option, value, "expected clock=vm or clock=host, base=utc or base=TIME")
    if base == "utc" and clock is None:
        clock = "host"  # what it is in QEMU
    if "base" in found and base == "utc" and clock == "vm":
        line.args.notes.append(f"{option} base=utc: with clock=vm the guest's date is always the same; give base=TIME")
    ours = [f"clock={clock}"] if clock is not None else []
    line.args.words.append(f"--rtc={','.join([*ours, *([f'base={base}'] if base != 'utc' else [])])}")


# ---- network

_NO_OTHER_NET = "the one network here is user, which leads nowhere outside; give user or none"
_USER_NET = ("id", "restrict", "tftp", "bootfile", "hostname", "domainname", "tftp-server-name", "ipv4", "ipv6")
_NOT_OURS = {
    "hostfwd": "nothing of the host's leads into the guest's network; leave it out",
    "guestfwd": "nothing in the guest's network leads to the host; leave it out",
    "smb": "there is no SMB server here; tftp=DIR gives the guest files",
    **dict.fromkeys(("net", "host", "dhcpstart", "dns", "ipv6-prefix", "ipv6-prefixlen", "ipv6-host", "ipv6-dns"),
                    "the network's addresses are QEMU's defaults; leave it out"),
}  # fmt: skip


def _user_net(option: str, value: str, pairs: Sequence[tuple[str, str]]) -> tuple[str, list[str]]:
    """The id, and the settings for our --net."""
    for key, _ in pairs:
        if key in _NOT_OURS:
            raise refused(option, value, f"{key}=: {_NOT_OURS[key]}")
    found = check_keys(option, value, pairs, _USER_NET)
    ours = []
    for key, text in found.items():
        if key in ("restrict", "ipv4", "ipv6"):
            is_on = switch(option, value, key, text)
            if key == "ipv4" and not is_on:
                raise refused(option, value, "ipv4: the network always has it; leave it out")
            if key != "ipv4":
                ours.append(f"{key}={'on' if is_on else 'off'}")
        elif key != "id":
            ours.append(f"{key}={text}")
    return found.get("id", ""), ours


def _netdev(line: _Line, option: str, value: str) -> None:
    kind, _, rest = value.partition(",")
    if kind != "user":
        raise refused(option, value, _NO_OTHER_NET)
    name, ours = _user_net(option, value, settings(rest, None, ("restrict",)))
    if not name:
        raise refused(option, value, "id= is missing")
    line.netdevs[name] = ours


def _nic(line: _Line, option: str, value: str) -> None:
    kind, _, rest = value.partition(",")
    if kind == "none":
        return
    if kind != "user":
        raise refused(option, value, _NO_OTHER_NET)
    pairs = settings(rest, None, ("restrict",))
    of_card = [pair for pair in pairs if pair[0] in _CARD]
    _card(line, option, value, of_card)
    _, line.card_net = _user_net(option, value, [pair for pair in pairs if pair not in of_card])


_CARD = ("model", "mac", "macaddr", "name")


def _card(line: _Line, option: str, value: str, pairs: Sequence[tuple[str, str]]) -> None:
    found = check_keys(option, value, pairs, (*_CARD, "netdev"))
    if found.get("model", "virtio") not in ("virtio", "virtio-net-device"):
        raise refused(option, value, f"model={shown(found['model'])}: the one card here is virtio-net-device")
    _one_card(line, option, value, found.get("mac") or found.get("macaddr"))
    if "netdev" in found:
        line.card_net = _net_of(line, option, value, found["netdev"])


def _one_card(line: _Line, option: str, value: str, mac: str | None) -> None:
    if line.has_card:
        raise refused(option, value, "this board has one network card; leave one of them out")
    line.has_card, line.mac = True, [] if mac is None else [f"mac={mac}"]


def _net_of(line: _Line, option: str, value: str, name: str) -> list[str]:
    if name not in line.netdevs:
        raise refused(option, value, f"there is no -netdev user with id={shown(name)} before it")
    return line.netdevs[name]


def _net(line: _Line, option: str, value: str) -> None:
    kind, _, rest = value.partition(",")
    if kind == "user":
        line.netdevs[""] = _user_net(option, value, settings(rest, None, ("restrict",)))[1]
    elif kind == "nic":
        _card(line, option, value, settings(rest))
    elif kind != "none":
        raise refused(option, value, _NO_OTHER_NET)


# ---- devices

_INPUT_DEVICES = {"virtio-keyboard-device": "keyboard", "virtio-tablet-device": "tablet"}
_DEVICES_HELP = "virtio-net-device\nvirtio-rng-device\nvirtio-keyboard-device\nvirtio-tablet-device\nloader"


def _device(line: _Line, option: str, value: str) -> None:
    pairs = settings(value, "driver")
    driver, pairs = pairs[0][1] if pairs else "", pairs[1:]
    if driver in ("help", "?"):
        line.args.answer = _DEVICES_HELP
    elif driver == "loader":
        _loader(line, option, value, pairs)
    elif driver == "virtio-net-device":
        found = check_keys(option, value, pairs, ("netdev", "mac", "id"))
        line.card_net = _net_of(line, option, value, found.get("netdev", ""))
        _one_card(line, option, value, found.get("mac"))
    elif driver == "virtio-rng-device":
        name = check_keys(option, value, pairs, ("rng", "id")).get("rng", "")
        if name and name not in line.rngs:
            raise refused(option, value, f"there is no -object with id={shown(name)} before it")
        line.entropy = line.rngs.get(name, "seed")
    elif driver in _INPUT_DEVICES:
        check_keys(option, value, pairs, ("id",))
        line.inputs.append(_INPUT_DEVICES[driver])
    else:
        raise refused(option, value, _no_device(driver))


def _no_device(driver: str) -> str:
    if driver.startswith(("virtio-blk", "virtio-scsi", "nvme", "scsi-", "sd-card")):
        return _NO_DISK
    if driver.endswith("-pci"):
        return f"this board has no PCI; {driver.removesuffix('-pci')}-device may do"
    if driver in ("e1000", "e1000e", "rtl8139"):
        return "this board has no PCI; give virtio-net-device"
    return f"there is no device {shown(driver)!r} here; -device help lists those that are"


def _loader(line: _Line, option: str, value: str, pairs: list[tuple[str, str]]) -> None:
    if dict(pairs).keys() & {"data", "data-len", "data-be", "cpu-num"}:
        raise refused(option, value, "only file=FILE with addr=ADDRESS can be loaded; -bios says where harts begin")
    found = check_keys(option, value, pairs, ("file", "addr", "force-raw", "id"))
    if not found.get("file"):
        raise refused(option, value, "file= is missing")
    is_raw = switch(option, value, "force-raw", found.get("force-raw", "off"))
    has_address = "addr" in found and (is_raw or not _is_elf(found["file"]))
    line.args.words.append(f"--load={found['file']}" + (f"@{found['addr']}" if has_address else ""))


def _is_elf(path: str) -> bool:
    """Whether a file says itself where it goes; one that can't be read is refused later."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def _object(line: _Line, option: str, value: str) -> None:
    kind, _, rest = value.partition(",")
    if kind not in ("rng-random", "rng-builtin"):
        raise refused(option, value, f"there is no {shown(kind)!r} here; expected rng-random or rng-builtin")
    found = check_keys(option, value, settings(rest), ("id", "filename") if kind == "rng-random" else ("id",))
    if found.get("filename", "/dev/urandom") not in ("/dev/urandom", "/dev/random"):
        raise refused(option, value, "filename=: random bytes come from /dev/urandom; leave it out")
    if not found.get("id"):
        raise refused(option, value, "id= is missing")
    line.rngs[found["id"]] = "host" if kind == "rng-random" else "seed"


# ---- gdb, record, seed


def _gdb_here(line: _Line, option: str, value: str) -> None:
    _gdb_at(line, option, value, "-s")


def _gdb(line: _Line, option: str, value: str) -> None:
    if value == "none":
        return
    if not value.startswith("tcp:"):
        raise refused(option, value, "expected tcp:HOST:PORT or tcp::PORT")
    address, *flags = value.removeprefix("tcp:").split(",")
    if others := set(flags) - {"server", "server=on", "nowait", "wait=off", "nodelay", "nodelay=on"}:
        raise refused(option, value, f"{shown(min(others))!r} is not known here; expected server=on,wait=off")
    _gdb_at(line, option, value, f"--gdb={address}")


def _gdb_at(line: _Line, option: str, value: str, word: str) -> None:
    if line.has_gdb:
        raise refused(option, value, "gdb can come to one address; give -s or -gdb, and that once")
    line.has_gdb = True
    line.args.words.append(word)


def _wait(line: _Line, option: str, value: str) -> None:
    line.waits = True


def _seed(line: _Line, option: str, value: str) -> None:
    line.args.words.append(f"--seed={value}")


def _no_reboot(line: _Line, option: str, value: str) -> None:
    line.args.words.append("--no-reboot")


_LOGS = {"int": ("traps", "irq"), "guest_errors": ("unmapped",), "unimp": ("unmapped",), "in_asm": ("exec",),
         "exec": ("exec",), "nochain": ()}  # fmt: skip
"""What of our --log comes next to QEMU's."""


def _log(line: _Line, option: str, value: str) -> None:
    if value in ("help", "?"):
        line.args.answer = "\n".join(_LOGS)
        return
    for item in value.split(","):
        if item in _LOGS:
            line.logs += [kind for kind in _LOGS[item] if kind not in line.logs]
        else:
            line.args.notes.append(f"{option} {shown(item)}: left out; there are {', '.join(_LOGS)}")


def _log_file(line: _Line, option: str, value: str) -> None:
    line.log_file = value


def _pidfile(line: _Line, option: str, value: str) -> None:
    line.args.pidfile = value


# ---- serial line and monitors


class _Chars:
    """Character devices, and who uses them."""

    def __init__(self) -> None:
        self.devices: dict[str, CharSpec] = {}
        self.serials: list[tuple[str, str]] = []
        self.monitors: list[tuple[str, str, MonitorKind]] = []
        self.mons: list[tuple[str, str, CharSpec, MonitorKind]] = []
        self.is_nographic = self.has_no_display = False
        self.has_defaults = True

    def finish(self, args: QemuArgs) -> None:
        """Find out who speaks through what, with QEMU's defaults."""
        has_monitor = bool(self.monitors or self.mons)
        serials, monitors = list(self.serials), list(self.monitors)
        if self.has_defaults and not serials:
            serials = [("-nographic", self._default_serial(args, has_monitor))]
        args.serial = self._serial(serials) or args.serial
        if serials and serials[0][1].startswith("mon:"):
            args.monitors.append(MonitorSpec(MonitorKind.HUMAN, None))
        elif self.is_nographic and self.has_defaults and not has_monitor and args.serial.kind is not CharKind.STDIO:
            monitors.append(("-nographic", "stdio", MonitorKind.HUMAN))
        for option, value, kind in monitors:
            device = parse_backend(option, value, "monitor", self.devices)
            if device is not None:
                self._add(args, option, value, kind, device)
        for option, value, device, kind in self.mons:
            self._add(args, option, value, kind, device)
        self._check_shared(args)

    def _default_serial(self, args: QemuArgs, has_monitor: bool) -> str:
        if self.is_nographic:
            return "stdio" if has_monitor else "mon:stdio"
        if self.has_no_display:
            return "null"
        args.notes.append("there are no windows here: the serial line is at the terminal, as with -nographic")
        return "stdio" if has_monitor else "mon:stdio"

    def _serial(self, serials: list[tuple[str, str]]) -> CharSpec | None:
        """The board's one serial line."""
        found = [parse_backend(option, value, f"serial{i}", self.devices) for i, (option, value) in enumerate(serials)]
        for (option, value), device in zip(serials[1:], found[1:], strict=True):
            if device is not None and device.kind is not CharKind.NULL:
                raise refused(option, value, "the board has one serial line; leave it out")
        return found[0] if found else None

    def _add(self, args: QemuArgs, option: str, value: str, kind: MonitorKind, device: CharSpec) -> None:
        if device.kind is CharKind.NULL:
            return
        if device is args.serial or (device.is_mux and replace(device, is_mux=False) == args.serial):
            if not device.is_mux or kind is MonitorKind.QMP:
                raise refused(option, value, "the serial line goes there; give it another device, or mux=on")
            args.monitors.append(MonitorSpec(kind, None))
        else:
            args.monitors.append(MonitorSpec(kind, device))

    def _check_shared(self, args: QemuArgs) -> None:
        users = [args.serial, *(each.device for each in args.monitors if each.device is not None)]
        if sum(each.kind is CharKind.STDIO for each in users) > 1:
            raise ConfigError("stdio: both the serial line and a monitor want the terminal; "
                              "-serial mon:stdio lets them share it")  # fmt: skip


def _chardev(line: _Line, option: str, value: str) -> None:
    device = parse_chardev(option, value)
    if device.label in line.chars.devices:
        raise refused(option, value, f"there is one with id={shown(device.label)} already")
    line.chars.devices[device.label] = device


def _serial(line: _Line, option: str, value: str) -> None:
    line.chars.serials.append((option, value))


def _monitor(line: _Line, option: str, value: str) -> None:
    line.chars.monitors.append((option, value, MonitorKind.HUMAN))


def _qmp(line: _Line, option: str, value: str) -> None:
    line.chars.monitors.append((option, value, MonitorKind.QMP))


def _mon(line: _Line, option: str, value: str) -> None:
    found = check_keys(option, value, settings(value, "chardev", ("pretty",)), ("chardev", "mode", "pretty", "id"))
    if (name := found.get("chardev", "")) not in line.chars.devices:
        raise refused(option, value, f"there is no -chardev with id={shown(name)} before it")
    mode = found.get("mode", "readline")
    if mode not in ("readline", "control"):
        raise refused(option, value, f"mode: expected readline or control, got {shown(mode)!r}")
    kind = MonitorKind.QMP if mode == "control" else MonitorKind.HUMAN
    line.chars.mons.append((option, value, line.chars.devices[name], kind))


def _nographic(line: _Line, option: str, value: str) -> None:
    line.chars.is_nographic = True


def _display(line: _Line, option: str, value: str) -> None:
    if value != "none":
        raise refused(option, value, "there is no screen here; give -display none or -nographic")
    line.chars.has_no_display = True


def _nodefaults(line: _Line, option: str, value: str) -> None:
    line.chars.has_defaults = False


# ---- the table


def _version(line: _Line, option: str, value: str) -> None:
    line.args.answer = Answer.VERSION


def _help(line: _Line, option: str, value: str) -> None:
    line.args.answer = Answer.HELP


def _nothing(line: _Line, option: str, value: str) -> None:
    """An option that changes nothing here."""


def _only_none(line: _Line, option: str, value: str) -> None:
    if value not in ("none", "null"):
        raise refused(option, value, f"this board has no such device; give {option} none, or leave it out")


class _Option(NamedTuple):
    """An option: whether a value follows it, and what it does, or why it is refused."""

    has_value: bool
    does: Callable[[_Line, str, str], None] | str


def _with(does: Callable[[_Line, str, str], None] | str) -> _Option:
    return _Option(True, does)


def _flag(does: Callable[[_Line, str, str], None] | str) -> _Option:
    return _Option(False, does)


_NO_SCREEN = "there is no screen here; give -nographic"
_NO_STATE = "a saved machine can't be loaded; minstret record and debug go to any moment of a run"

_OPTIONS: dict[str, _Option] = {
    # machine
    "machine": _with(_machine), "M": _with(_machine), "cpu": _with(_cpu), "smp": _with(_smp), "m": _with(_memory),
    "accel": _with(_accel), "enable-kvm": _flag("instructions are translated; leave it out"),
    "dtb": _with("the board makes its own device tree; leave it out"),
    "global": _with("properties of devices can't be set; leave it out"),
    "set": _with("properties of devices can't be set; leave it out"),
    "fw_cfg": _with("this board has no fw_cfg device"), "pflash": _with("this board has no flash"),
    "numa": _with("memory is one piece; leave it out"), "boot": _with("-bios and -kernel say what boots; leave it out"),
    # what boots
    "bios": _with(_bios), "kernel": _with(_kernel), "initrd": _with(_initrd), "append": _with(_append),
    "semihosting": _flag(_semihosting), "semihosting-config": _with(_semihosting_config), "L": _with(_nothing),
    # time, chance
    "icount": _with(_icount), "rtc": _with(_rtc), "seed": _with(_seed),
    # devices
    "net": _with(_net), "nic": _with(_nic), "netdev": _with(_netdev), "device": _with(_device),
    "object": _with(_object), "drive": _with(_drive),
    **dict.fromkeys(("blockdev", "hda", "hdb", "hdc", "hdd", "cdrom", "sd", "mtdblock", "fda", "fdb"), _with(_NO_DISK)),
    **dict.fromkeys(("fsdev", "virtfs"), _with("the host's files are not shared; -semihosting or tftp=DIR gives some")),
    "usb": _flag("this board has no USB"), "usbdevice": _with("this board has no USB"),
    "parallel": _with(_only_none), "vga": _with(_only_none), "audio": _with(_only_none), "audiodev": _with(_only_none),
    # serial line and monitors
    "nographic": _flag(_nographic), "display": _with(_display), "nodefaults": _flag(_nodefaults),
    "serial": _with(_serial), "chardev": _with(_chardev), "monitor": _with(_monitor), "mon": _with(_mon),
    "qmp": _with(_qmp), "qmp-pretty": _with(_qmp), "vnc": _with(_NO_SCREEN), "spice": _with(_NO_SCREEN),
    "curses": _flag(_NO_SCREEN), "sdl": _flag(_NO_SCREEN), "echr": _with("the command key is Ctrl-A; leave it out"),
    # gdb, looking
    "s": _flag(_gdb_here), "S": _flag(_wait), "gdb": _with(_gdb), "d": _with(_log), "D": _with(_log_file),
    "dfilter": _with(_nothing), "trace": _with("QEMU's trace points are not here; minstret log shows a recording's"),
    "plugin": _with("QEMU's plugins can't be loaded; minstret's interface for Python is in docs/python.md"),
    # the run
    "no-reboot": _flag(_no_reboot), "no-shutdown": _flag("a guest that is off has ended; leave it out"),
    "action": _with("give -no-reboot, or leave it out"), "pidfile": _with(_pidfile),
    "daemonize": _flag("the run stays in the foreground; start it with & in the shell"),
    "loadvm": _with(_NO_STATE), "incoming": _with(_NO_STATE),
    "snapshot": _flag(_NO_DISK), "preconfig": _flag("there is nothing to configure; leave it out"),
    "readconfig": _with("give its options on the command line"),
    # no difference
    "name": _with(_nothing), "uuid": _with(_nothing), "no-user-config": _flag(_nothing), "singlestep": _flag(_nothing),
    "one-insn-per-tb": _flag(_nothing), "no-acpi": _flag(_nothing), "mem-prealloc": _flag(_nothing),
    "overcommit": _with(_nothing), "sandbox": _with(_nothing), "msg": _with(_nothing), "compat": _with(_nothing),
    "k": _with(_nothing),
    # answers
    "version": _flag(_version), "help": _flag(_help), "h": _flag(_help), "?": _flag(_help),
}  # fmt: skip
"""All options that are known."""
