"""The options about network, input, entropy and chaos: what they do, and errors in one line."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import dpkt
import pytest
from support.commands import Command, Done, minstret
from support.guest_boards import BOOTFILE, FILE, KEYS_SCRIPT, KEYS_SEEN, setup_of

from minstret.emu.cli.pcap import PcapFile

NET = ("--net", "user,restrict=on")
KEYBOARD = ("--input", "keyboard")
PCAP_NS_MAGIC = 0xA1B23C4D


@pytest.fixture
def facts(inside: Command, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """``--json`` of a run that must pass."""

    def run(*arguments: object) -> dict[str, Any]:
        path = tmp_path / "facts.json"
        done = inside("run", "-q", "-m", "1M", "--no-input", "--json", path, *arguments)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(path.read_text()))

    return run


def assert_is_one_line_error(done: Done, *parts: str) -> None:
    """Exit status 125, and one line on standard error that has all ``parts``."""
    text = done.stderr.decode()
    assert done.returncode == 125, text
    assert text.startswith("minstret: ")
    assert text.count("\n") == 1
    assert text.endswith("\n")
    for part in parts:
        assert part in text


# ---- what can't be


BAD_OPTIONS = [
    ("--net foo", "--net: expected none or user[,OPTION=...], got 'foo'"),
    ("--net none,restrict=on", "--net: expected none or user"),
    ("--net User", "got 'User'"),
    ("--net user,restrict=maybe", "--net: restrict: expected on or off, got 'maybe'"),
    ("--net user,ipv6=yes", "--net: ipv6: expected on or off, got 'yes'"),
    ("--net user,restrict", "got 'restrict'"),
    ("--net user,speed=10", "restrict=...", "got 'speed=10'"),
    ("--net user,restrict=on,restrict=on", "--net: restrict is given twice"),
    ("--net user,mac=52:54:00:00:00:01,mac=52:54:00:00:00:02", "--net: mac is given twice"),
    ("--net user,delay=5parsecs", "--net: delay: expected a time such as 50us or 1.5s, got '5parsecs'"),
    ("--net user,delay=-1us", "--net: delay"),
    ("--net user,delay=", "--net: delay"),
    ("--net user,delay=0.1ns", "finer than a nanosecond"),
    ("--net user,tftp=/nonexistent", "/nonexistent"),
    ("--net user,tftp=/dev/null", "/dev/null"),
    ("--net user,mac=01:00:5e:00:00:01", "--net: mac: 01:00:5e:00:00:01 is a group address"),
    ("--net user,mac=ff:ff:ff:ff:ff:ff", "is a group address"),
    ("--net user,mac=garbage", "--net: mac: expected an address such as 52:54:00:12:34:56, got 'garbage'"),
    ("--net user,mac=52:54:00:12:34", "--net: mac"),
    ("--net user,mac=52-54-00-12-34-56", "--net: mac"),
    ("--net user,bootfile=", "--net: bootfile: expected 1 to 127 printable ASCII characters"),
    (f"--net user,hostname={'h' * 128}", "--net: hostname"),
    ("--net user,domainname=caf\N{LATIN SMALL LETTER E WITH ACUTE}", "--net: domainname"),
    ("--net", "--net"),
    ("--input mouse", "keyboard or tablet, got 'mouse'"),
    ("--input keyboard,keyboard", "keyboard, keyboard", "given once"),
    ("--input keyboard,mouse", "'mouse'"),
    ("--keys hello", "--keys: there is no keyboard to type on; add --input keyboard"),
    ("--keys hello --input tablet", "--keys: there is no keyboard"),
    ("--keys <entr> --input keyboard", "--keys: there is no key 'entr'; did you mean"),
    ("--keys <escape> --input keyboard", "did you mean 'esc'?"),
    ("--keys <ctrl-entre> --input keyboard", "there is no key 'entre'"),
    ("--keys <ctrl-ctrl> --input keyboard", "the same key twice"),
    ("--keys <a --input keyboard", "'<' begins a key such as <ret>"),
    ("--keys \N{SNOWMAN} --input keyboard", "is not on a US keyboard"),
    ("--input-script /nonexistent --input keyboard", "--input-script: /nonexistent: No such file or directory"),
    ("--input-script / --input keyboard", "--input-script: /: is a folder; give a file"),
    ("--input-script /nonexistent", "--input-script: /nonexistent: No such file or directory"),
    ("--pcap x.pcap", "--pcap: there is no network card; add --net user"),
    ("--pcap /nonexistent/x.pcap --net user", "--pcap: can't write /nonexistent/x.pcap"),
    ("--pcap / --net user", "--pcap: can't write /"),
    ("--pcap /dev/full --net user", "--pcap: can't write /dev/full: No space left on device"),
    ("--entropy dice", "'dice' is not one of 'seed', 'host', 'none'"),
    ("--chaos much", "'much' is not a whole number"),
    ("--virtio ancient", "'ancient' is not one of 'modern', 'legacy'"),
    ("--timer-model qemu", "'qemu' is not one of"),
]


@pytest.mark.parametrize(("options", "parts"), [(bad, parts) for bad, *parts in BAD_OPTIONS], ids=lambda x: str(x)[:40])
def test_bad_option_is_told_in_one_line(
    options: str, parts: list[str], inside: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    done = inside("run", "hello", *options.split(" "))

    assert_is_one_line_error(done, *parts)
    assert done.stdout == b""
    assert list(tmp_path.iterdir()) == []


BAD_LINES = [
    ("AT 1s press a", "expected AT MOMENT: ACTION"),
    ("AT noon: press a", "expected a time such as 50us or 1.5s, got 'noon'"),
    ("AT icount many: press a", "expected a count such as 1000000 or 5M, got 'many'"),
    ("AT 1s: dance", "wheel, EXPECT, SEND, SLEEP, got 'dance'"),
    ("AT 1s:", "expected one of press"),
    ("AT 1s: press entre", "there is no key 'entre'; did you mean"),
    ("AT 1s: press a for", "expected press KEYS [for TIME]"),
    ("AT 1s: press a for ever", "expected a time"),
    ("AT 1s: type hello", 'expected type "TEXT"'),
    ('AT 1s: type "hello', "can't read"),
    ("AT 1s: move 1", "expected move X Y, both 0..32767"),
    ("AT 1s: move 1 32768", "expected move X Y"),
    ("AT 1s: click up", "there is no button 'up'; did you mean"),
    ("AT 1s: wheel left", "expected wheel up|down"),
]


@pytest.mark.parametrize(("line", "part"), BAD_LINES, ids=[line for line, _ in BAD_LINES])
def test_bad_line_of_a_script_is_told_with_its_number(line: str, part: str, inside: Command, tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(f"# a comment\n\nAT 1ms: press a\n{line}\nAT 2s: press b\n")

    done = inside("run", "keys", "--input", "keyboard,tablet", "--input-script", path)

    assert_is_one_line_error(done, f"{path}:4: ", part)
    assert done.stdout == b""


def test_script_that_is_no_text_is_refused(inside: Command, tmp_path: Path) -> None:
    path = tmp_path / "binary"
    path.write_bytes(bytes(range(256)))

    done = inside("run", "keys", *KEYBOARD, "--input-script", path)

    assert_is_one_line_error(done, f"--input-script: {path}: not a text file")


def test_error_in_a_process_of_its_own_is_one_line_too() -> None:
    done = minstret("run", "hello", "--net", "user,restrict=maybe")

    assert_is_one_line_error(done, "restrict")
    assert done.stdout == b""


# ---- pcap


def frames_in(path: Path) -> list[tuple[int, bytes]]:
    """(ns, frame) as the file has them."""
    with path.open("rb") as file:
        return [(int(Decimal(stamp) * 1_000_000_000), frame) for stamp, frame in dpkt.pcap.Reader(file)]


@pytest.mark.parametrize("image", ["dhcp", "dhcp-wfi"])
def test_pcap_has_each_frame_at_its_virtual_time(image: str, facts: Any, tmp_path: Path) -> None:
    board = setup_of(image).make()
    crossed: list[tuple[int, bytes]] = []
    board.on_frame = lambda frame: crossed.append((board.position.virtual_ns, frame))
    board.run()
    path = tmp_path / "net.pcap"

    result = facts(image, *NET, "--pcap", path)

    assert frames_in(path) == crossed
    assert len(crossed) == 20
    assert result["digest"] == board.digest()  # nobody notices that somebody listens


@pytest.mark.parametrize("years", [0, 135, 137, 292])
def test_pcap_counts_seconds_modulo_its_32_bits(years: int, tmp_path: Path) -> None:
    at_ns = years * 31_557_600 * 1_000_000_000 + 7
    file = PcapFile(str(tmp_path / "net.pcap"))

    file.write(at_ns, bytes(60))
    file.close()

    assert frames_in(tmp_path / "net.pcap") == [(at_ns % (1_000_000_000 << 32), bytes(60))]


def test_pcap_is_of_ethernet_with_ns_and_begins_with_discover_and_offer(facts: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.pcap"

    facts("dhcp", *NET, "--pcap", path)

    assert int.from_bytes(path.read_bytes()[:4], sys.byteorder) == PCAP_NS_MAGIC
    with path.open("rb") as file:
        assert dpkt.pcap.Reader(file).datalink() == dpkt.pcap.DLT_EN10MB
    kinds = []
    for _, frame in frames_in(path)[:4]:
        options = dict(dpkt.dhcp.DHCP(dpkt.ethernet.Ethernet(frame).data.data.data).opts)
        kinds.append(options[dpkt.dhcp.DHCP_OPT_MSGTYPE][0])
    assert kinds == [dpkt.dhcp.DHCPDISCOVER, dpkt.dhcp.DHCPOFFER, dpkt.dhcp.DHCPREQUEST, dpkt.dhcp.DHCPACK]


def test_pcap_of_a_run_cut_short_has_what_crossed_till_then(inside: Command, tmp_path: Path) -> None:
    path = tmp_path / "net.pcap"

    done = inside("run", "-q", "dhcp", *NET, "--pcap", path, "--max-insns", "80000")

    assert done.returncode == 123
    assert [len(frame) for _, frame in frames_in(path)] == [346, 590]


def test_pcap_that_cannot_grow_ends_the_run_with_one_line(tmp_path: Path) -> None:
    path = tmp_path / "net.pcap"

    done = minstret(
        "run", "dhcp", *NET, "--pcap", path, first=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    )

    assert_is_one_line_error(done, f"--pcap: can't write {path}: File too large")
    assert path.stat().st_size == 1000


# ---- what the options do


def test_json_has_counts_of_the_card(facts: Any) -> None:
    result = facts("dhcp", *NET)

    assert result["net"] == {"sent": 10, "received": 10, "dropped_no_buffer": 0, "dropped_bad_size": 0}


def test_json_of_a_board_without_a_card_has_none(facts: Any) -> None:
    assert "net" not in facts("hello")


def test_net_options_reach_the_guest(inside: Command, tmp_path: Path) -> None:
    (tmp_path / BOOTFILE).write_bytes(FILE)
    net = f"user,restrict=on,delay=1ms,tftp={tmp_path},bootfile={BOOTFILE},mac=52:54:00:AB:cd:ef"

    done = inside("run", "-q", "tftp", "--net", net)

    assert done.returncode == 0
    assert b"mac 52:54:00:ab:cd:ef\n" in done.stdout
    assert f"{BOOTFILE}: {len(FILE)} bytes".encode() in done.stdout


def test_delay_moves_the_answers(facts: Any) -> None:
    short, default, same, long = (
        facts("dhcp-wfi", "--net", f"user,restrict=on{delay}")["virtual_ns"]
        for delay in (",delay=0", "", ",delay=50us", ",delay=1.5ms")
    )

    assert default == same
    assert short < default < long
    assert abs((long - default) - 10 * 1_450_000) < 100_000


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["--net", "user,restrict=on"], ["--net", "user"]),
        (["--virtio", "modern"], ["--virtio", "legacy"]),
        (["--entropy", "seed"], ["--entropy", "none"]),
        (["--chaos", "1"], ["--chaos", "2"]),
        ([], ["--chaos", "1"]),
    ],
)
def test_option_makes_another_run_that_passes(one: list[str], other: list[str], facts: Any) -> None:
    digests = [facts("dhcp-wfi", *NET, *options)["digest"] for options in (one, other, one)]

    assert digests[0] == digests[2] != digests[1]


def test_sleep_on_and_off_are_the_same_run(facts: Any, tmp_path: Path) -> None:
    script = tmp_path / "keys.txt"
    script.write_text("AT 1ms: press a for 5ms\nAT 20ms: press esc")
    options = ("--input", "keyboard,tablet", "--input-script", script)

    runs = [facts("keys", *options, "--icount", f"sleep={sleep}") for sleep in ("on", "off")]

    for fact in ("digest", "icount", "virtual_ns", "uart_sha256"):
        assert runs[0][fact] == runs[1][fact]


def test_keys_are_typed(inside: Command) -> None:
    done = inside("run", "-q", "keys", *KEYBOARD, "--keys", "a<esc>")

    assert done.returncode == 0
    lines = done.stdout.decode().splitlines()
    assert lines[-6:] == [
        "keyboard: KEY 30 press", "led on", "keyboard: KEY 30 release", "keyboard: KEY 1 press", "led off", "3 events",
    ]  # fmt: skip


def test_input_script_is_played(inside: Command, tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(KEYS_SCRIPT)

    done = inside("run", "-q", "-m", "1M", "keys", "--input", "keyboard,tablet", "--input-script", path)

    assert done.returncode == 0
    assert done.stdout.decode().splitlines()[-len(KEYS_SEEN) :] == list(KEYS_SEEN)


def test_keys_come_before_a_script_that_goes_on_later(inside: Command, tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_text("AT 1s: press esc")

    done = inside("run", "-q", "keys", *KEYBOARD, "--keys", "ab", "--input-script", path)

    pressed = [line.split()[2] for line in done.stdout.decode().splitlines() if line.endswith("press")]
    assert pressed == ["30", "48", "1"]


def test_host_entropy_is_another_run_only_for_guests_that_ask(facts: Any) -> None:
    runs = [facts("dhcp-wfi", *NET, "--entropy", entropy)["digest"] for entropy in ("host", "seed")]

    assert runs[0] == runs[1]


@pytest.mark.parametrize("command", ["run", "record"])
def test_help_names_the_options(command: str, inside: Command) -> None:
    done = inside(command, "--help")

    text = done.stdout.decode()
    assert done.returncode == 0
    for option in ("--net", "--input", "--keys", "--input-script", "--pcap", "--virtio", "--entropy", "--chaos"):
        assert option in text
    for word in ("restrict=", "delay=", "tftp=", "bootfile=", "mac=", "keyboard,tablet", "AT icount"):
        assert word in " ".join(text.split())
