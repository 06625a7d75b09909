"""What the makers of the thermostat (firmware/thermostat) test. One test fails: the firmware has a bug."""

import pytest


@pytest.fixture
def dut(minstret):
    """A thermostat that has started."""
    dut = minstret("thermostat", memory="4M")
    dut.expect_exact("> ")
    return dut


def ask(dut, line):
    """Type a line; what comes back up to the next prompt."""
    dut.send(f"{line}\r")
    dut.expect_exact(f"{line}\n")
    return dut.expect(r"((?:.*\n)*)> ", within="50ms")[1]


@pytest.mark.parametrize("xlen", [64, 32])
def test_starts_within_a_millisecond(minstret, xlen):
    dut = minstret("thermostat", xlen=xlen, memory="4M")

    assert dut.expect(r"thermostat, rv(\d\d)\n> ", within="1ms")[1] == str(xlen)


def test_help_lists_all_commands(dut):
    assert set(ask(dut, "help").splitlines()[0].split()) >= {"get", "set", "temp", "log", "uptime", "reset", "halt"}


def test_setting_is_changed_and_read_back(dut):
    assert ask(dut, "set target 235") == ""
    assert dut.read("cfg") == {"mode": 1, "target": 235, "band": 5}
    assert ask(dut, "get target") == "target = 235\n"


@pytest.mark.parametrize("line", ["set mode 3", "set target warm", "set colour 1", "get colour", "frobnicate"])
def test_nonsense_is_refused(dut, line):
    assert ask(dut, line).startswith(("no ", "'frobnicate'?"))


def test_backspace_erases_a_character(dut):
    dut.send("get mood\b\bde\r")

    dut.expect_exact("mode = 1\n> ", within="50ms")


def test_line_of_full_length_changes_no_setting(dut):
    dut.send("x" * 32 + "\r")
    dut.expect_exact("try help\n> ")
    dut.send("get mode\r")

    dut.expect_exact("mode = 1\n> ", within="50ms")


def test_room_is_kept_between_the_limits(dut):
    dut.write("room.temperature", 180)
    dut.run_for("1s")

    for _ in range(10):
        assert dut.run_until(write="room.is_heating").met == "write"
        assert 203 <= dut.read("room.temperature") <= 216
    assert ask(dut, "temp").endswith(("heater on\n", "heater off\n"))


def test_log_tells_when_the_heater_was_switched(dut):
    dut.run_for("300ms")

    assert ask(dut, "log").splitlines() == ["10 ms: on at 199", "170 ms: off at 215", "280 ms: on at 204"]


def test_uptime_counts_while_nobody_types(dut):
    dut.run_for("5s")

    assert 5000 <= int(ask(dut, "uptime").split()[0]) <= 5050


def test_crash_names_the_fault(dut):
    dut.send("crash\r")

    dut.expect(r"fault 7 at 0x[0-9a-f]+, value 0x1f000000\n")
    assert dut.run().exit_code == 107
