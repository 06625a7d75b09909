"""``--device``: a user's device on the command line, with run, record, replay, verify and dtb."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest
from support import asm
from support.commands import Done, minstret, started
from support.elf_files import says
from support.own_devices import EXAMPLES

OURS = 125
GPIO = f"{EXAMPLES / 'gpio.py'}:Gpio"
PULSED = f"{EXAMPLES / 'pulse.py'}:PulsedGpio"
PLACED = "base=0x10060000,irq=12"
GUEST = EXAMPLES / "gpio.hex"
FLAWED = """
from dataclasses import dataclass
from pathlib import Path
from minstret import Device

@dataclass(slots=True)
class FlawedState:
    count: int = 0

class Flawed(Device):
    def __init__(
        self, base: int = 0x10060000, is_endless: bool = False, size: int | None = None, odd: list | None = None
    ):
        super().__init__(base)
        self.state, self.is_endless = FlawedState(), is_endless

    def write(self, offset, size, value):
        while self.is_endless:
            Path("looping").touch()
        return self.helper(value)

    def helper(self, value):
        return value // 0

def function():
    pass
"""

UNTYPED = """
from minstret import Device

class Untyped(Device):
    def __init__(self, base, irq, speed, name="untyped0"):
        super().__init__(base, irq, name)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands run: it has a device with a mistake."""
    monkeypatch.chdir(tmp_path)
    Path("flawed.py").write_text(FLAWED)
    Path("untyped.py").write_text(UNTYPED)
    Path("broken.py").write_text("x = 1\ndef f(:\n")
    Path("raises.py").write_text("x = 1\n\nx / 0\n")
    Path("lacks.py").write_text("import nowhere_to_be_found\n")
    return tmp_path


def run(*arguments: object) -> Done:
    return minstret("run", "--no-input", *arguments)


def last_line(done: Done) -> str:
    return done.stderr.decode().splitlines()[-1]


def test_device_is_there_for_the_guest() -> None:
    done = run("--json", "-", GUEST, "--device", f"{PULSED},{PLACED},pulse_us=10")

    assert done.returncode == 0, done.stderr
    assert b'"virtual_ns": 50026' in done.stdout


def test_recording_is_replayed_verified_and_told_with_the_device() -> None:
    recorded = minstret("record", "--no-input", "-o", "x.mst", GUEST, "--device", f"{PULSED},{PLACED}")
    assert recorded.returncode == 0, recorded.stderr
    assert f"replay --device {PULSED} x.mst" in last_line(recorded)

    without = minstret("replay", "x.mst")
    assert without.returncode == OURS
    assert without.stderr.decode() == (
        "minstret: x.mst: recorded with a device that is not part of minstret: add --device pulse.py:PulsedGpio\n"
    )
    for command in (("replay", "-q"), ("verify", "--runs", "2")):
        for device in (PULSED, f"{PULSED},{PLACED}"):
            done = minstret(*command, "x.mst", "--device", device)
            assert done.returncode == 0, done.stderr
    assert b"gpio0.pins" in minstret("log", "x.mst").stdout
    info = minstret("info", "x.mst").stdout.decode()
    assert "  device     gpio0  pulse.py:PulsedGpio  version 1, base=0x10060000,irq=12,pulse_us=100" in info


def test_changed_source_is_refused_unless_the_user_says_that_it_does_no_harm(tmp_path: Path) -> None:
    own = tmp_path / "gpio.py"
    own.write_text((EXAMPLES / "gpio.py").read_text())
    device = f"gpio.py:Gpio,{PLACED}"
    assert minstret("record", "--no-input", "-o", "x.mst", "hello", "--device", device).returncode == 0
    own.write_text(own.read_text() + "\n# changed\n")

    refused = minstret("replay", "x.mst", "--device", "gpio.py:Gpio")

    assert refused.returncode == OURS
    assert "x.mst: gpio0 was recorded with another gpio.py:Gpio (sha256 " in last_line(refused)
    assert minstret("replay", "--changed-devices", "x.mst", "--device", "gpio.py:Gpio").returncode == 0


def test_replay_that_differs_says_how_to_look_closer_with_the_device(tmp_path: Path) -> None:
    own = tmp_path / "gpio.py"
    own.write_text((EXAMPLES / "gpio.py").read_text())
    assert (
        minstret("record", "--no-input", "-o", "x.mst", "hello", "--device", f"gpio.py:Gpio,{PLACED}").returncode == 0
    )
    own.write_text(own.read_text().replace("enable: int = 0", "enable: int = 1"))

    done = minstret("replay", "--changed-devices", "x.mst", "--device", "gpio.py:Gpio")
    verified = minstret("verify", "--changed-devices", "x.mst", "--device", "gpio.py:Gpio")

    assert done.returncode == 122
    assert last_line(done).endswith("; look closer: minstret verify --device gpio.py:Gpio x.mst")
    assert verified.returncode == 1
    assert b"expected digest" in verified.stdout


def test_runs_with_a_device_are_compared() -> None:
    done = minstret("verify", "--runs", "2", GUEST, "--device", f"{PULSED},{PLACED}")

    assert (done.returncode, done.stdout[:20]) == (0, b"the same run 2 times")


def test_device_is_in_the_tree() -> None:
    done = minstret("dtb", "-o", "-", "--device", f"{GPIO},{PLACED}")

    assert b"example,gpio\0" in done.stdout


def test_class_may_be_in_a_package(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").touch()
    (tmp_path / "pack" / "chips.py").write_text((EXAMPLES / "gpio.py").read_text())

    done = minstret("run", "--no-input", "-q", "hello", "--device", f"pack.chips:Gpio,{PLACED}",
                    env=os.environ | {"PYTHONPATH": str(tmp_path)})  # fmt: skip

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("device", "text"),
    [
        ("gpio.py", "expected FILE.py:CLASS[,OPTION=...], got 'gpio.py'"),
        ("nowhere.py:Gpio", "nowhere.py: no such file"),
        ("no.such.module:Gpio", "there is no module no.such.module; give a file, such as gpio.py:Gpio"),
        ("broken.py:Gpio", "broken.py: line 2: invalid syntax"),
        ("raises.py:Gpio", "raises.py: line 3: ZeroDivisionError: division by zero; -v shows its traceback"),
        ("lacks.py:Gpio", "lacks.py: line 1: ModuleNotFoundError: No module named 'nowhere_to_be_found';"
         " -v shows its traceback"),
        ("flawed.py:Flawd", "flawed.py has no class Flawd; did you mean Flawed?"),
        ("flawed.py:function",
         "flawed.py:function is no device: it is no class made from minstret.Device or minstret.VirtioFunction"),
        ("flawed.py:FlawedState",
         "flawed.py:FlawedState is no device: it is no class made from minstret.Device or minstret.VirtioFunction"),
        ("flawed.py:Flawed,speed=1",
         "flawed.py:Flawed: expected base=... or is_endless=... or size=... or odd=..., got 'speed=1'"),
        ("flawed.py:Flawed,base=4K,base=8K", "flawed.py:Flawed: base is given twice"),
        ("flawed.py:Flawed,base=here",
         "flawed.py:Flawed: base: expected a number such as 12, 0x1000 or 4K, got 'here'"),
        ("flawed.py:Flawed,base=0x_", "flawed.py:Flawed: base: expected a number such as 12, 0x1000 or 4K, got '0x_'"),
        ("flawed.py:Flawed,is_endless=yes", "flawed.py:Flawed: is_endless: expected on or off, got 'yes'"),
        ("untyped.py:Untyped,base=0x10060000,irq=12,speed=3",
         "untyped.py:Untyped: speed: say of which type it is: annotate it in __init__, as in speed: int"),
        ("flawed.py:Flawed,odd=1", "flawed.py:Flawed: odd: it is a list, which can't be given here"),
        (GPIO, f"{GPIO}: it needs base=... and irq=..."),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_option_is_said_in_one_line(device: str, text: str) -> None:
    done = run("hello", "--device", device)

    assert done.returncode == OURS
    assert done.stderr.decode() == f"minstret: --device: {text}\n"


@pytest.mark.parametrize(("given", "base"), [("0x1006_0000", 0x1006_0000), ("256K", 256 << 10), ("512m", 512 << 20)])
def test_numbers_may_be_hexadecimal_and_have_units(given: str, base: int) -> None:
    done = minstret("dtb", "-o", "-", "--device", f"flawed.py:Flawed,base={given},size=none")

    assert f"flawed@{base:x}\0".encode() in done.stdout


def test_conflict_is_one_line() -> None:
    done = run("hello", "--device", f"{GPIO},base=0x10000000,irq=12")

    assert done.stderr == b"minstret: gpio0: 0x10000000..0x10000fff overlaps uart0 (0x10000000..0x100000ff)\n"


@pytest.mark.parametrize("command", ["run", "record"])
def test_mistake_is_one_line_and_its_traceback_comes_with_verbose(command: str) -> None:
    text = (
        "minstret: flawed0: write of 0x1 in 4 bytes at offset 0x8 at icount 10: ZeroDivisionError: integer division or"
        " modulo by zero"
    )
    plain = minstret(command, "--no-input", GUEST, "--device", "flawed.py:Flawed")
    verbose = minstret(command, "--no-input", "-v", *(["-f"] if command == "record" else []), GUEST, "--device",
                       "flawed.py:Flawed")  # fmt: skip

    assert (plain.returncode, plain.stderr.decode()) == (OURS, f"{text}; -v shows its traceback\n")
    lines = verbose.stderr.decode().splitlines()
    assert (verbose.returncode, lines[-1]) == (OURS, text)
    assert [line.strip() for line in lines if line.strip().startswith(("return ", "Traceback", "Zero"))] == [
        "Traceback (most recent call last):", "return self.helper(value)", "return value // 0",
        "ZeroDivisionError: integer division or modulo by zero",
    ]  # fmt: skip
    if command == "record":
        assert minstret("replay", "-q", "gpio.mst", "--device", "flawed.py:Flawed").returncode == OURS


def test_message_has_a_line_of_its_own_where_the_guest_left_one_unfinished() -> None:
    Path("hello.py").write_text(FLAWED.replace("return self.helper(value)", "raise SystemExit(value)"))
    device = asm.code(asm.lui(asm.T0, 0x10060), asm.sb(asm.ZERO, asm.T0, 0))
    Path("prompt.bin").write_bytes(says(b">") + device)

    done = run("prompt.bin", "--device", "hello.py:Flawed")

    assert (done.returncode, done.stdout) == (OURS, b">")
    assert re.fullmatch(
        r"\nminstret: flawed0: write of 0x0 in 1 byte at offset 0x0 at icount \d+: SystemExit: 0; -v shows its"
        r" traceback\n",
        done.stderr.decode(),
    )


def test_ctrl_c_ends_an_endless_loop_in_a_device() -> None:
    """The first asks for an end of the run, which the loop does not see; the second ends the command."""
    with started("run", "--no-input", GUEST, "--device", "flawed.py:Flawed,is_endless=on") as process:
        while not Path("looping").exists():
            assert process.poll() is None
            time.sleep(0.01)
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
        assert process.returncode == 130
