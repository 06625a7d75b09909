"""QEMU's command line in our words: what each option becomes, and what is refused."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from minstret.emu.cli.group import load_command
from minstret.emu.cli.qemuargs import Answer, MonitorKind, MonitorSpec, QemuArgs, parse_qemu
from minstret.emu.cli.qemuchars import CharKind
from minstret.emu.cli.qemusyntax import settings
from minstret.emu.errors import ConfigError

ZEPHYR = (
    "-nographic -machine virt -bios none -m 256 -cpu rv64 -net none -pidfile qemu.pid -chardev stdio,id=con,mux=on"
    " -serial chardev:con -mon chardev=con,mode=readline -icount shift=6,align=off,sleep=off -rtc clock=vm"
    " -kernel zephyr.elf"
)


def parsed(line: str, width: int | None = None) -> QemuArgs:
    return parse_qemu(shlex.split(line), width)


def words(line: str) -> list[str]:
    """Our options for a kernel that is run with these options, without those that each such line gives."""
    found = parsed(f"-nographic -bios none -kernel k {line}").words
    return [word for word in found if word not in ("--bios=none", "--kernel=k", "--entropy=none")]


def test_line_of_zephyr_is_understood() -> None:
    args = parsed(ZEPHYR)

    assert args.words == [
        "--memory=256", "--icount=shift=6,sleep=off", "--rtc=clock=vm", "--cpu=rv64", "--bios=none",
        "--kernel=zephyr.elf", "--entropy=none",
    ]  # fmt: skip
    assert (args.serial.kind, args.serial.is_mux, args.serial.has_signals) == (CharKind.STDIO, True, True)
    assert args.monitors == [MonitorSpec(MonitorKind.HUMAN, None)]
    assert (args.pidfile, args.notes, args.record, args.answer) == ("qemu.pid", [], None, None)


def test_words_are_options_of_run() -> None:
    context = load_command("run").make_context("run", parsed(ZEPHYR).words)

    assert context.params["kernel"] == "zephyr.elf"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-M virt,aclint=off,aia=none,acpi=off,usb=off", []),
        ("--machine type=virt", []),
        ("-cpu rv32", ["--cpu=rv32"]),
        ("-cpu rv64,pmp=on,v=false,h=off,Zicsr=true,x-epmp=off", ["--cpu=rv64"]),
        ("-smp 4", ["--smp=4"]),
        ("-smp cpus=2,maxcpus=2", ["--smp=2"]),
        ("-smp 4,sockets=1,cores=2,threads=2", ["--smp=4"]),
        ("-m 1G", ["--memory=1G"]),
        ("-m size=64M", ["--memory=64M"]),
        ("-icount 3", ["--icount=shift=3"]),
        ("-icount shift=3,sleep=on,align=off", ["--icount=shift=3,sleep=on"]),
        ("-rtc clock=vm,base=2020-01-01T00:00:00", ["--rtc=clock=vm,base=2020-01-01T00:00:00"]),
        ("-rtc base=utc", ["--rtc=clock=host"]),
        ("-append 'a b'", ["--append=a b"]),
        ("-initrd i.gz", ["--initrd=i.gz"]),
        ("-net none", []),
        ("-nic none", []),
        ("-net nic,model=virtio -net user,tftp=/t", ["--net=user,tftp=/t"]),
        ("-nic user,model=virtio-net-device,mac=52:54:00:00:00:01,restrict=y",
         ["--net=user,restrict=on,mac=52:54:00:00:00:01"]),
        ("-netdev user,id=n,restrict=on,hostname=h,bootfile=b,ipv6=off -device virtio-net-device,netdev=n,mac=1",
         ["--net=user,restrict=on,hostname=h,bootfile=b,ipv6=off,mac=1"]),
        ("-netdev user,id=n,tftp=/a,,b -device virtio-net-device,netdev=n", ["--net=user,tftp=/a,b"]),
        ("-device virtio-keyboard-device -device virtio-tablet-device,id=t", ["--input=keyboard,tablet"]),
        ("-device loader,file=x.bin,addr=0x80400000,force-raw=on", ["--load=x.bin@0x80400000"]),
        ("-device loader,file=x.elf", ["--load=x.elf"]),
        ("-semihosting", ["--semihosting=."]),
        ("-semihosting-config enable=on,target=native,arg=prog,arg=one,arg=two", ["--semihosting=.", "--args=one two"]),
        ("-semihosting-config enable=off", []),
        ("-s", ["-s"]),
        ("-s -S", ["-s", "--wait"]),
        ("-gdb tcp::1234,server=on,wait=off -S", ["--gdb=:1234", "--wait"]),
        ("-gdb none", []),
        ("-seed 7", ["--seed=7"]),
        ("-no-reboot", ["--no-reboot"]),
        ("-vga none -parallel none -display none -name x -no-user-config -accel tcg,thread=single", []),
    ],
)  # fmt: skip
def test_option_becomes_one_of_ours(line: str, expected: list[str]) -> None:
    assert words(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "none"),
        ("-device virtio-rng-device", "seed"),
        ("-object rng-builtin,id=r -device virtio-rng-device,rng=r", "seed"),
        ("-object rng-random,id=r,filename=/dev/urandom -device virtio-rng-device,rng=r", "host"),
    ],
)
def test_entropy_source_is_there_where_it_is_asked_for(line: str, expected: str) -> None:
    assert f"--entropy={expected}" in parsed(f"-nographic {line}").words


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-kernel k", ["--bios=opensbi", "--kernel=k"]),
        ("-bios default -kernel k", ["--bios=opensbi", "--kernel=k"]),
        ("-bios b", ["--bios=b"]),
        ("-bios b -kernel k", ["--bios=b", "--kernel=k"]),
        ("-drive file=f,if=mtd,format=raw", ["--bios=f"]),
        ("-bios none -drive file=f,if=mtd,format=raw", ["--bios=none", "--kernel=f"]),
        ("-bios none -kernel f -drive file=f,if=mtd,format=raw", ["--bios=none", "--kernel=f"]),
    ],
)
def test_what_boots(line: str, expected: list[str]) -> None:
    assert parsed(f"-nographic {line}").words[:-1] == expected


# ---- serial line and monitors

MUX = MonitorSpec(MonitorKind.HUMAN, None)


@pytest.mark.parametrize(
    ("line", "kind", "monitors"),
    [
        ("-nographic", CharKind.STDIO, [MUX]),
        ("-nographic -monitor none", CharKind.STDIO, []),
        ("-nographic -serial mon:stdio", CharKind.STDIO, [MUX]),
        ("-nographic -serial stdio", CharKind.STDIO, []),
        ("-display none", CharKind.NULL, []),
        ("-display none -serial stdio -monitor null", CharKind.STDIO, []),
        ("-nographic -nodefaults", CharKind.NULL, []),
        ("-nographic -monitor none -serial pipe:p", CharKind.PIPE, []),
        ("-nographic -monitor none -serial pty", CharKind.PTY, []),
        ("-nographic -monitor none -serial file:f", CharKind.FILE, []),
        ("-nographic -monitor none -serial none -serial null", CharKind.NULL, []),
        ("-serial mon:unix:/s,server,nowait", CharKind.UNIX, [MUX]),
    ],
)
def test_serial_line_and_monitor_go_where_qemu_has_them(
    line: str, kind: CharKind, monitors: list[MonitorSpec]
) -> None:  # fmt: skip
    args = parsed(line)

    assert (args.serial.kind, args.monitors) == (kind, monitors)
    assert args.serial.is_mux == bool(monitors)


@pytest.mark.parametrize(
    ("value", "host", "port", "is_server", "waits"),
    [
        ("tcp::5555,server,nowait", "", 5555, True, False),
        ("tcp:localhost:5555,server", "localhost", 5555, True, True),
        ("tcp:localhost:5555,server=on,wait=off", "localhost", 5555, True, False),
        ("tcp:[::1]:5555", "::1", 5555, False, False),
    ],
)
def test_socket_of_the_serial_line(value: str, host: str, port: int, is_server: bool, waits: bool) -> None:
    serial = parsed(f"-display none -serial {value}").serial

    assert (serial.host, serial.port, serial.is_server, serial.waits) == (host, port, is_server, waits)


def test_monitor_stands_at_the_terminal_where_the_serial_line_does_not() -> None:
    (monitor,) = parsed("-nographic -serial null").monitors

    assert (monitor.kind, monitor.device and monitor.device.kind) == (MonitorKind.HUMAN, CharKind.STDIO)


def test_qmp_has_a_socket_of_its_own_and_takes_the_place_of_the_default_monitor() -> None:
    args = parsed("-nographic -qmp tcp:127.0.0.1:4444,server,wait=off")

    assert args.serial.kind is CharKind.STDIO and not args.serial.is_mux
    (monitor,) = args.monitors
    assert monitor.kind is MonitorKind.QMP
    assert monitor.device is not None and (monitor.device.port, monitor.device.waits) == (4444, False)


def test_without_a_window_the_serial_line_is_at_the_terminal_and_a_note_says_so() -> None:
    args = parsed("-kernel k")

    assert args.serial.kind is CharKind.STDIO
    assert ["window" in note for note in args.notes] == [True]


def test_record_of_qemu_is_a_recording_of_ours() -> None:
    args = parsed("-nographic -icount shift=1,rr=record,rrfile=r.mst")

    assert args.record == "r.mst"
    assert "--icount=shift=1" in args.words


def test_log_is_what_comes_next_to_qemus_and_the_rest_is_left_out_with_a_note() -> None:
    args = parsed("-nographic -d int,unimp,cpu,guest_errors -D out.txt")

    assert args.words[-2:] == ["--log=traps,irq,unmapped", "--log-file=out.txt"]
    assert args.notes == ["-d cpu: left out; there are int, guest_errors, unimp, in_asm, exec, nochain"]


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("-version", Answer.VERSION),
        ("--version", Answer.VERSION),
        ("-h", Answer.HELP),
        ("-machine help", "Supported machines are:\nvirt                 RISC-V VirtIO board"),
        ("-cpu help", "rv64\nrv32"),
    ],
)
def test_question_is_answered_in_place_of_a_run(line: str, answer: Answer | str) -> None:
    assert parsed(line).answer == answer


def test_width_of_the_command_is_that_of_the_harts() -> None:
    assert "--cpu=rv32" in parsed("-nographic", 32).words
    assert parsed("-cpu ?", 32).answer == "rv32"
    with pytest.raises(ConfigError, match="there is no CPU 'rv64' here; expected rv32"):
        parsed("-cpu rv64", 32)


# ---- refusals


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("-foo", "-foo: not known here"),
        ("disk.img", "'disk.img': this board has no disk"),
        ("-kernel", "-kernel: its value is missing"),
        ("-M spike", "no machine 'spike'"),
        ("-M virt,aia=aplic", "no 'aia'"),
        ("-M virt,acpi=on", "acpi: this board has none"),
        ("-cpu sifive-u54", "no CPU 'sifive-u54' here; expected rv64 or rv32"),
        ("-cpu rv64,v=true,vlen=128", "v: these harts have none"),
        ("-cpu rv64,pmp=off", "pmp: these harts always have it"),
        ("-cpu rv64,nonsense=on", "'nonsense' can't be set"),
        ("-smp 0", "expected a number from 1 on"),
        ("-smp 4,cores=3", "don't agree"),
        ("-m 64M,slots=2", "'slots' is not known here"),
        ("-accel kvm", "in one thread"),
        ("-enable-kvm", "leave it out"),
        ("-bios none", "-bios none: nothing to boot"),
        ("-icount shift=1,align=on", "align=on"),
        ("-icount shift=1,rr=replay,rrfile=x", "minstret replay FILE"),
        ("-rtc clock=rt", "expected clock=vm"),
        ("-netdev tap,id=n", "user"),
        ("-netdev user,id=n,hostfwd=tcp::2222-:22", "hostfwd=: nothing of the host's"),
        ("-device virtio-net-device,netdev=n", "no -netdev user with id=n"),
        ("-device virtio-net-pci", "virtio-net-device"),
        ("-device virtio-blk-device,drive=d", "this board has no disk"),
        ("-drive file=f,if=none,id=d", "this board has no disk"),
        ("-bios b -kernel k -drive file=f,if=mtd,format=raw", "no flash"),
        ("-device virtio-rng-device,rng=r", "no -object with id=r"),
        ("-device loader,file=f,cpu-num=0", "only file=FILE"),
        ("-serial telnet::5", "telnet"),
        ("-serial tcp::port", "expected a port"),
        ("-serial /dev/ttyS0", "expected stdio"),
        ("-serial chardev:con", "no -chardev with id=con"),
        ("-serial stdio -serial pty", "one serial line"),
        ("-serial stdio -monitor stdio", "both the serial line and a monitor want the terminal"),
        ("-chardev stdio,id=c -serial chardev:c -mon chardev=c", "mux=on"),
        ("-chardev spicevmc,id=c", "no character device 'spicevmc'"),
        ("-semihosting-config target=gdb", "target=native"),
        ("-S", "add -s or -gdb"),
        ("-s -gdb tcp::1", "give -s or -gdb"),
        ("-display gtk", "there is no screen"),
        ("-vga std", "no such device"),
        ("-no-shutdown", "leave it out"),
        ("-daemonize", "stays in the foreground"),
        ("-loadvm x", "can't be loaded"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(line: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(f"-nographic {line}")

    text = str(caught.value)
    assert why in text and "\n" not in text


def test_elf_file_of_a_loader_goes_where_it_says_itself(tmp_path: Path) -> None:
    elf = tmp_path / "a.elf"
    elf.write_bytes(b"\x7fELF")

    assert words(f"-device loader,file={elf},addr=0x80000000") == [f"--load={elf}"]


def test_settings_are_split_as_qemu_does() -> None:
    assert settings("a,,b,c=d,,e,noserver,wait", "path", ("server", "wait")) == [
        ("path", "a,b"), ("c", "d,e"), ("server", "off"), ("wait", "on"),
    ]  # fmt: skip
    assert settings("") == []
