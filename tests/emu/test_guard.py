"""A device with a mistake: told with its name, what it did and the icount; ours are not looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from minstret.emu.errors import AccessFault, ConfigError, DeviceError
from minstret.emu.guard import Guard, GuardedDevice
from minstret.emu.part import Device


@dataclass(slots=True)
class OddState:
    value: Any = 0


class Odd(Device):
    """Answers with, or raises, what is in its state."""

    def __init__(self) -> None:
        super().__init__(0x1006_0000)
        self.state = OddState()

    def read(self, offset: int, size: int) -> int:
        if isinstance(self.state.value, BaseException):
            raise self.state.value
        value: int = self.state.value
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        self.read(offset, size)


def guarded(value: object) -> GuardedDevice:
    device = Odd()
    device.state.value = value
    return GuardedDevice(device, Guard("odd0", lambda: 1234))


@pytest.mark.parametrize("value", [0, 1, True, (1 << 64) - 1])
def test_unsigned_numbers_pass(value: int) -> None:
    assert guarded(value).read(0, 4) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (KeyError(16), "KeyError: 16"), (SystemExit(3), "SystemExit: 3"),
        (RecursionError("deep"), "RecursionError: deep"),
        (None, "expected an int, got None"), ([1], "expected an int, got [1]"),
        (-2, "expected an unsigned number of up to 64 bits, got -0x2"),
        (1 << 64, "expected an unsigned number of up to 64 bits, got 0x10000000000000000"),
    ],
)  # fmt: skip
def test_mistake_in_a_read_says_where_and_what(value: object, text: str) -> None:
    with pytest.raises(DeviceError) as raised:
        guarded(value).read(0x10, 4)

    assert str(raised.value) == f"odd0: read of 4 bytes at offset 0x10 at icount 1_234: {text}"
    assert raised.value.__cause__ is (value if isinstance(value, BaseException) else None)


def test_mistake_in_a_write_says_the_value() -> None:
    with pytest.raises(
        DeviceError, match=r"^odd0: write of 0xff in 1 byte at offset 0x0 at icount 1_234: ValueError: x$"
    ):
        guarded(ValueError("x")).write(0, 1, 0xFF)


@pytest.mark.parametrize("error", [AccessFault("nothing there"), ConfigError("told already"), DeviceError("once")])
def test_faults_of_the_guest_and_errors_of_ours_pass_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        guarded(error).read(0, 4)

    assert raised.value is error


def test_fault_where_the_guest_does_nothing_is_a_mistake() -> None:
    def reads_nowhere(late_ns: int) -> None:
        raise AccessFault("nothing answers at 0x0")

    with pytest.raises(DeviceError, match=r"^odd0: timer tick at icount 7: AccessFault: nothing answers at 0x0$"):
        Guard("odd0", lambda: 7).wrap("timer tick", reads_nowhere)(0)


def test_keyboard_interrupt_is_nobodys_mistake() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Guard("odd0", lambda: 0).run("timer tick", interrupted)


@pytest.mark.parametrize(("taken", "text"), [("x", "'x'"), (-1, "-1"), (4, "4"), (1.0, "1.0")])
def test_input_that_takes_an_odd_number_of_bytes_is_a_mistake(taken: Any, text: str) -> None:
    sink = Guard("odd0", lambda: 7).sink("input pins", lambda data: taken)

    with pytest.raises(DeviceError) as raised:
        sink(b"abc")

    assert str(raised.value) == f"odd0: input pins at icount 7: expected None or 0 to 3 bytes taken, got {text}"


@pytest.mark.parametrize("taken", [None, 0, 3])
def test_input_may_take_some_or_all(taken: int | None) -> None:
    assert Guard("odd0", lambda: 7).sink("input pins", lambda data: taken)(b"abc") == taken


def test_wrapped_function_gives_what_the_function_does() -> None:
    assert Guard("odd0", lambda: 0).wrap("input pins", len)(b"abc") == 3
