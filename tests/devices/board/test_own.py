"""A user's own devices on a board: in the tree, the digest, snapshots, recordings and replays, as ours are."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import asm
from support.guest_boards import restored
from support.harts import RAM, board_of
from support.own_devices import (
    GPIO_BASE,
    GPIO_IRQ,
    Flawed,
    FlawedState,
    Gpio,
    OtherFunction,
    PulsedGpio,
    Shout,
    example,
    example_setup,
)

from minstret import (
    Board,
    BoardConfig,
    ConfigError,
    Device,
    DeviceError,
    DivergenceError,
    HostWiring,
    Recording,
    Replay,
    TraceError,
    Wiring,
)
from minstret.devices.board.board import Setup
from minstret.emu.door.recording import RecordOptions
from minstret.emu.hart.shared import Counting
from minstret.emu.images.loader import Firmware, ImageFile, Segment
from minstret.emu.machine import StopReason
from minstret.emu.part import Part
from minstret.emu.session import LiveSession
from minstret.emu.trace.reader import TraceReader

LOOP = asm.code(asm.LOOP)
each_example = pytest.mark.parametrize("name", ["gpio", "shout"])
each_counting = pytest.mark.parametrize("counting", [each.value for each in Counting])


def board_with(*devices: object, code: bytes = LOOP, **config: Any) -> Board:
    firmware = Firmware("test", 64, RAM, (Segment(RAM, code, len(code)),))
    return Board(firmware, BoardConfig(ram_size=1 << 20, **config), devices=devices)  # type: ignore[arg-type]


def setup_with(*devices: Part, code: bytes = LOOP) -> Setup:
    return Setup(BoardConfig(ram_size=1 << 20), ImageFile("test.bin", code), devices=devices)


class Mistaken(Gpio):
    """Makes the mistake that ``what`` names, when pin 0 is driven."""

    def __init__(self, what: str) -> None:
        super().__init__(GPIO_BASE, GPIO_IRQ)
        self.what = what

    def attach(self, wiring: Wiring) -> None:
        super().attach(wiring)
        self._wiring = wiring
        if self.what == "two inputs":
            wiring.input("pins", print)

    def write(self, offset: int, size: int, value: int) -> None:
        if self.what == "output":
            self._drive("text")  # type: ignore[arg-type]
        elif self.what == "ask":
            self._wiring.ask("question", lambda: 5)  # type: ignore[arg-type, return-value]
        elif self.what == "exit":
            self._wiring.request_exit("bad")  # type: ignore[arg-type]

    def properties(self) -> dict[str, Any]:
        return {"clock": 1.5} if self.what == "property" else {}

    def host_side(self, host: HostWiring) -> Any:
        if self.what == "post":
            host.post("nothing", b"x")
        elif self.what == "post text":
            host.post("pins", "x")  # type: ignore[arg-type]
        elif self.what == "listen":
            host.listen("nothing", print)
        return None


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("output", "gpio0: output out at icount 7: expected bytes, got 'text'"),
        ("ask", "gpio0: ask question at icount 7: expected bytes, got 5"),
        ("exit", "gpio0: request_exit at icount 7: expected an int, got 'bad'"),
        ("property", "gpio0: node at icount 0: TypeError: 'float' object is not iterable"),
        ("two inputs", "gpio0.pins: two inputs of that name"),
        ("post", "gpio0: host side's post at icount 0: the device has no input 'nothing'"),
        ("post text", "gpio0: host side's post to pins at icount 0: expected bytes, got 'x'"),
        ("listen", "gpio0: host side's listen at icount 0: the device has no output 'nothing'"),
    ],
)
def test_wrong_use_of_the_wiring_is_one_line_that_says_what_was_wrong(what: str, text: str) -> None:
    code = asm.code(asm.lui(asm.T0, GPIO_BASE >> 12), asm.sw(asm.ZERO, asm.T0, 0), asm.LOOP)
    with pytest.raises((ConfigError, DeviceError)) as raised:
        board_with(Mistaken(what), code=code).run_until(icount=100)

    assert str(raised.value) == text


# ---- as ours are


@each_example
@each_counting
def test_guest_uses_the_device_and_each_way_of_counting_gives_the_same_run(name: str, counting: str) -> None:
    boards = [example_setup(name, way).make() for way in ("code", counting)]

    outcomes = [board.run() for board in boards]

    assert outcomes[0] == outcomes[1]
    assert (outcomes[0].reason, outcomes[0].exit_code) == (StopReason.FINISHED, 0)
    assert boards[0].digest() == boards[1].digest()
    assert boards[0].position == boards[1].position
    if name == "gpio":
        assert boards[0].part("gpio0").state.out == 3
    else:
        assert bytes(boards[0].console) == b"OK: HELLO, DEVICE\n"


@each_example
def test_run_saved_anywhere_and_restored_ends_the_same(name: str) -> None:
    setup = example_setup(name)
    whole = setup.make()
    outcome = whole.run()
    for icount in range(0, whole.position.icount, 5):
        board = setup.make()
        board.run_until(icount=icount)
        fresh = restored(board, setup)
        assert (fresh.run(), fresh.position, fresh.digest()) == (outcome, whole.position, whole.digest())


@each_example
@each_counting
def test_session_that_is_put_back_runs_on_as_before(name: str, counting: str) -> None:
    with LiveSession(lambda door: example_setup(name, counting).make(door=door)) as session:
        board = session.board
        for icount in (0, 15, 30, 45):
            session.run(icount=icount)
            saved, before = session.save(), board.digest()
            end = session.run(), board.position, board.digest()

            session.restore(saved)

            assert board.digest() == before
            assert (session.run(), board.position, board.digest()) == end
            session.restore(saved)
            session.release(saved)


@each_example
@each_counting
def test_recording_replays_from_the_start_and_from_each_snapshot(name: str, counting: str, tmp_path: Path) -> None:
    path = str(tmp_path / "x.mst")
    with Recording(path, example_setup(name, counting), options=RecordOptions(20)) as recording:
        recording.run()

    with closing(TraceReader(path)) as reader:
        for snapshot in (None, *(number for number, _ in reader.snapshot_positions())):
            replay = Replay(reader, snapshot=snapshot, devices=[type(example(name))])
            assert replay.run().reason is StopReason.FINISHED
            assert replay.board.digest() == recording.board.digest()
            assert replay.board.machine.parts.host == {}
        assert len(reader.snapshot_positions()) >= 2


@pytest.mark.parametrize("config", [{"timer_model": "no-attributes"}, {"chaos_seed": 3}, {"rtc_follows_host": True}],
                         ids=["no-attributes", "chaos", "host's time"])  # fmt: skip
def test_recording_of_another_board_replays_too(config: dict[str, Any], tmp_path: Path) -> None:
    path = str(tmp_path / "x.mst")
    with Recording(path, example_setup("gpio", **config), options=RecordOptions(20)) as recording:
        recording.run()

    with closing(TraceReader(path)) as reader:
        for snapshot in (None, *(number for number, _ in reader.snapshot_positions())):
            replay = Replay(reader, snapshot=snapshot, devices=[PulsedGpio])
            assert replay.run().reason is StopReason.FINISHED
            assert replay.board.digest() == recording.board.digest()


def test_device_is_in_the_device_tree() -> None:
    tree = board_with(Gpio(GPIO_BASE, GPIO_IRQ)).device_tree

    assert b"gpio@10060000\0" in tree
    assert b"example,gpio\0" in tree


def test_device_is_in_the_digest_and_the_state() -> None:
    board = board_with(Gpio(GPIO_BASE, GPIO_IRQ))
    before = board.digest()

    board.part("gpio0").state.pins = 1

    assert board.digest() != before
    assert board.machine.save_state().devices["gpio0"].pins == 1
    assert board_with().digest() != before


def test_device_is_reset_with_the_board() -> None:
    board = board_with(Gpio(GPIO_BASE, GPIO_IRQ))
    board.machine.bus.write(GPIO_BASE + 8, 4, 1)
    board.post("gpio0.pins", b"\1")
    board.run_until(icount=10)
    assert board.machine.lines["gpio0.irq"].level

    board.reset()

    assert not board.machine.lines["gpio0.irq"].level
    assert board.part("gpio0").state.pins == 1  # what the host drives stays


def test_interrupts_of_a_device_are_counted_under_its_name() -> None:
    board = example_setup("gpio").make()
    board.run()

    assert [(count.source, count.name, count.claimed) for count in board.interrupt_counts() if count.claimed] == [
        (GPIO_IRQ, "gpio0", 3)
    ]


def test_post_gives_bytes_that_are_recorded_and_replayed(tmp_path: Path) -> None:
    path = str(tmp_path / "x.mst")
    with Recording(path, setup_with(Gpio(GPIO_BASE, GPIO_IRQ))) as recording:
        board = recording.board
        board.run_until(icount=50)
        board.post("gpio0.pins", b"\5")
        recording.run(icount=100)

    replay = Replay(path, devices=[Gpio])
    replay.run()

    assert board.part("gpio0").state.pins == replay.board.part("gpio0").state.pins == 5
    with pytest.raises(ConfigError, match=r"^gpio0.pins: in a replay everything comes from the trace$"):
        replay.board.post("gpio0.pins", b"\5")
    with pytest.raises(ConfigError, match=r"^nothing takes 'gpio0.pin'; there are gpio0.pins, uart0.rx$"):
        board.post("gpio0.pin", b"\5")


def test_what_a_device_sends_is_compared_in_a_replay(tmp_path: Path) -> None:
    path = str(tmp_path / "x.mst")
    with Recording(path, example_setup("gpio")) as recording:
        recording.run()

    class PulsedGpio(type(example("gpio"))):  # type: ignore[misc]
        def write(self, offset: int, size: int, value: int) -> None:
            super().write(offset, size, value | 0x80 if offset == 4 else value)

    with pytest.raises(DivergenceError, match=r"^gpio0.out at icount 2\d: "):
        Replay(path, devices=[PulsedGpio], devices_may_have_changed=True).run()


def test_a_board_that_is_repeated_has_such_devices_too() -> None:
    board = example_setup("gpio").make()
    board.run_until(icount=20)

    second = board.again()
    second.run_until(icount=20)

    assert second.digest() == board.digest()
    assert second.part("gpio0") is not board.part("gpio0")


def test_two_boards_of_one_setup_have_devices_of_their_own() -> None:
    setup = example_setup("gpio")
    first, second = setup.make(), setup.make()

    first.run()

    assert first.part("gpio0") is not second.part("gpio0")
    assert second.part("gpio0").state.out == 0


# ---- what does not fit


class NoState(Device):
    """Forgets to have one."""


class PlainState(Device):
    def __init__(self, state: Any) -> None:
        super().__init__(GPIO_BASE, name="plain0")
        self.state = state


class NoSuper(Device):
    def __init__(self) -> None:
        self.state = FlawedState()


@dataclass
class NoSlots:
    count: int = 0


@dataclass(slots=True)
class OddState:
    what: Any


NO_FIT: list[tuple[list[Callable[[], object]], str]] = [
    ([lambda: Gpio(0x1000_0000, 12)],
     "gpio0: 0x10000000..0x10000fff overlaps uart0 (0x10000000..0x100000ff)"),
    ([lambda: Gpio(0x1000, 12)], "gpio0: 0x1000..0x1fff overlaps the boot ROM (0x1000..0xffff)"),
    ([lambda: Gpio(RAM, 12)], "gpio0: 0x80000000..0x80000fff is outside of 0x0..0x3fefffff, where devices can be"),
    ([lambda: Gpio(-4096, 12)], "gpio0: -0x1000..-0x1 is outside of 0x0..0x3fefffff, where devices can be"),
    ([lambda: Gpio(GPIO_BASE, 10)], "gpio0: irq 10 is that of uart0"),
    ([lambda: Gpio(GPIO_BASE, 3)], "gpio0: irq 3 is that of virtio2"),
    ([lambda: Gpio(GPIO_BASE, 54)], "gpio0: irq 54: expected 1 to 53"),
    ([lambda: Gpio(GPIO_BASE, 0)], "gpio0: irq 0: expected 1 to 53"),
    ([lambda: Gpio(GPIO_BASE, 12), lambda: Gpio(GPIO_BASE + 0x1000, 13)],
     "two devices are called gpio0; give one of them another name"),
    ([lambda: Gpio(GPIO_BASE, 12), lambda: Gpio(GPIO_BASE + 0x800, 13, name="gpio1")],
     "gpio1: 0x10060800..0x100617ff overlaps gpio0 (0x10060000..0x10060fff)"),
    ([lambda: Gpio(GPIO_BASE, 12), lambda: Gpio(GPIO_BASE + 0x1000, 12, name="gpio1")],
     "gpio1: irq 12 is that of gpio0"),
    ([lambda: Gpio(GPIO_BASE, 12, name="uart0")], "two devices are called uart0; give one of them another name"),
    ([lambda: Gpio(GPIO_BASE, 12, name="htif")], "two devices are called htif; give one of them another name"),
    ([lambda: Gpio(GPIO_BASE, 12, name="My GPIO")],
     "device 'My GPIO': a name is up to 31 of a-z, 0-9, _ and -, first a letter"),
    ([lambda: "gpio"], "a str is no device: it is no class made from minstret.Device or minstret.VirtioFunction"),
    ([NoState], "NoState: __init__ has to call super().__init__ and to set self.state"),
    ([NoSuper], "NoSuper: __init__ has to call super().__init__ and to set self.state"),
    ([lambda: PlainState({})], "plain0: its state can't be saved: it is no dataclass with slots=True"),
    ([lambda: PlainState(NoSlots())], "plain0: its state can't be saved: it is no dataclass with slots=True"),
    ([lambda: PlainState(OddState(1.5))], "plain0: its state can't be saved: a state can't hold a float: 1.5"),
    ([lambda: PlainState(OddState(b"x"))], "plain0: its state can't be saved: it comes back changed"),
    ([lambda number=number: Shout(name=f"shout{number}") for number in range(8)],
     "9 virtio devices (rng0, shout0, shout1, shout2, shout3, shout4, shout5, shout6, shout7), but there are 8 slots"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "text"), NO_FIT, ids=[text[:40] for _, text in NO_FIT])
def test_what_does_not_fit_is_refused_in_one_line(make: list[Callable[[], object]], text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        board_with(*(each() for each in make))

    assert str(raised.value) == text


def test_device_that_is_on_a_board_already_is_refused() -> None:
    gpio = Gpio(GPIO_BASE, GPIO_IRQ)
    board_with(gpio)

    with pytest.raises(ConfigError, match=r"^gpio0 is on a board already; make another one$"):
        board_with(gpio)


def test_device_may_share_a_page_with_others() -> None:
    class Small(Gpio):  # type: ignore[misc,valid-type]
        size_bytes = 0x10

    board = board_with(Small(0x1000_0100, 12))

    board.machine.bus.write(0x1000_0104, 4, 7)

    assert board.machine.bus.read(0x1000_0104, 4) == 7
    assert board.machine.bus.read(0x1000_0005, 1) == 0x60


# ---- mistakes

ACCESS = asm.code(asm.li(asm.T0, GPIO_BASE), asm.lw(asm.T1, asm.T0, 0x10), asm.sb(asm.T1, asm.T0, 3), asm.LOOP)
RESETS = asm.code(asm.li(asm.T0, 0x10_0000), asm.li(asm.T1, 0x7777), asm.sw(asm.T1, asm.T0, 0), asm.LOOP)
FLAWS = [
    ("read", ACCESS, "read of 4 bytes at offset 0x10 at icount 11: RuntimeError: no read today"),
    ("text", ACCESS, "read of 4 bytes at offset 0x10 at icount 11: expected an int, got 'x'"),
    ("none", ACCESS, "read of 4 bytes at offset 0x10 at icount 11: expected an int, got None"),
    ("float", ACCESS, "read of 4 bytes at offset 0x10 at icount 11: expected an int, got 1.0"),
    ("negative", ACCESS,
     "read of 4 bytes at offset 0x10 at icount 11: expected an unsigned number of up to 64 bits, got -0x1"),
    ("huge", ACCESS,
     "read of 4 bytes at offset 0x10 at icount 11: expected an unsigned number of up to 64 bits,"
     " got 0x10000000000000000"),
    ("write", ACCESS, "write of 0x7 in 1 byte at offset 0x3 at icount 12: RuntimeError: no write today"),
    ("timer", ACCESS, "timer tick at icount 500: RuntimeError: no timer today"),
    ("input", LOOP, "input in at icount 0: RuntimeError: no input today"),
    ("attach", LOOP, "attach at icount 0: RuntimeError: no attach today"),
    ("node", LOOP, "node at icount 0: RuntimeError: no node today"),
    ("reset", RESETS, "reset at icount 17: RuntimeError: no reset today"),
]  # fmt: skip


@each_counting
@pytest.mark.parametrize(("flaw", "code", "text"), FLAWS, ids=[flaw for flaw, _, _ in FLAWS])
def test_mistake_of_a_device_ends_the_run_with_one_line(flaw: str, code: bytes, text: str, counting: str) -> None:
    def run() -> None:
        board = board_with(Flawed(flaw=flaw), code=code, counting=Counting(counting))
        board.post("flawed0.in", b"x")
        board.run_until(icount=1000)

    with pytest.raises(DeviceError) as raised:
        run()

    assert str(raised.value) == f"flawed0: {text}"


def test_mistake_of_a_virtio_function_names_it() -> None:
    board = board_with(OtherFunction(), entropy="none")
    bus, base = board.machine.bus, 0x1000_8000
    for offset, value in ((0x70, 3), (0x24, 1), (0x20, 1), (0x70, 11), (0x38, 2), (0x80, RAM), (0x90, RAM + 64),
                          (0xA0, RAM + 128), (0x44, 1)):  # fmt: skip
        bus.write(base + offset, 4, value)

    with pytest.raises(DeviceError, match=r"^other0: write of 0xf in 4 bytes at offset 0x70 at icount 0: RuntimeError"):
        bus.write(base + 0x70, 4, 15)


def test_recording_of_a_device_with_a_mistake_is_closed_and_replays_up_to_there(tmp_path: Path) -> None:
    path = str(tmp_path / "x.mst")
    with pytest.raises(DeviceError), Recording(path, setup_with(Flawed(flaw="timer"), code=ACCESS)) as recording:
        recording.run(icount=1000)

    with closing(TraceReader(path)) as reader:
        assert reader.end is None
        Replay(reader, devices=[Flawed]).run()


def test_state_that_can_not_be_saved_any_more_is_a_mistake() -> None:
    board = board_with(Flawed())
    board.run_until(icount=10)
    board.part("flawed0").state.count = 1.5

    with pytest.raises(DeviceError) as raised:
        board.digest()

    assert str(raised.value) == "flawed0: state at icount 10: it can't be saved: a state can't hold a float: 1.5"


def test_host_side_without_a_state_is_a_mistake() -> None:
    class Careless(Flawed):
        def host_side(self, host: HostWiring) -> Any:
            return object()

    with pytest.raises(DeviceError) as raised:
        board_with(Careless())

    assert str(raised.value) == (
        "flawed0: host side's state at icount 0: it can't be saved: it is no dataclass with slots=True"
    )


def test_what_the_guest_does_wrong_stays_a_trap_of_its_own() -> None:
    class Strict(Flawed):
        def read(self, offset: int, size: int) -> int:
            from minstret import AccessFault

            raise AccessFault("nothing here")

    handler = asm.code(asm.li(asm.T2, RAM + 0x100), asm.csrw("mtvec", asm.T2))
    board = board_with(Strict(), code=(handler + ACCESS).ljust(0x100, b"\0") + LOOP)
    board.run_until(icount=30)

    assert board.registers["mcause"] == 5


# ---- what a trace says of them


def recorded(path: Path, *devices: Part) -> str:
    with Recording(str(path), setup_with(*devices)) as recording:
        recording.run(icount=100)
    return str(path)


def test_trace_names_the_device_and_has_no_code(tmp_path: Path) -> None:
    path = recorded(tmp_path / "x.mst", Gpio(GPIO_BASE, irq=GPIO_IRQ))

    with closing(TraceReader(path)) as reader:
        (facts,) = reader.meta["devices"]
    assert facts["name"] == "gpio0"
    assert facts["class"] == "gpio.py:Gpio"
    assert facts["version"] == 1
    assert facts["options"] == {"base": GPIO_BASE, "irq": GPIO_IRQ, "name": "gpio0"}
    assert len(facts["sha256"]) == 64
    assert b"_on_pins" not in Path(path).read_bytes()


def test_replay_without_the_device_says_which_to_give(tmp_path: Path) -> None:
    path = recorded(tmp_path / "x.mst", Gpio(GPIO_BASE, GPIO_IRQ), Shout())

    with pytest.raises(TraceError) as raised:
        Replay(path)

    assert str(raised.value) == (
        f"{path}: recorded with a device that is not part of minstret:"
        " add --device gpio.py:Gpio --device shout.py:Shout"
    )


class Versioned(Flawed):
    version = 2


def test_other_version_or_source_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = recorded(tmp_path / "x.mst", Versioned())
    monkeypatch.setattr(Versioned, "version", 3)
    with pytest.raises(
        TraceError, match=r"flawed0 was recorded with version 2 of .*test_own:Versioned, and this is 3$"
    ):
        Replay(path, devices=[Versioned], devices_may_have_changed=True)

    monkeypatch.setattr(Versioned, "version", 2)
    monkeypatch.setattr("minstret.devices.board.own.source_hash", lambda kind: "0" * 64)
    with pytest.raises(TraceError, match=r"flawed0 was recorded with another .*test_own:Versioned \(sha256 "):
        Replay(path, devices=[Versioned])
    assert Replay(path, devices=[Versioned], devices_may_have_changed=True).run().reason is StopReason.REACHED


def test_replay_with_a_device_that_was_not_recorded_is_refused(tmp_path: Path) -> None:
    path = recorded(tmp_path / "x.mst", Gpio(GPIO_BASE, GPIO_IRQ))

    with pytest.raises(TraceError, match=r": recorded without shout.py:Shout; leave --device away$"):
        Replay(path, devices=[Gpio, Shout])


def test_options_of_a_replay_may_be_given_if_they_are_those_recorded(tmp_path: Path) -> None:
    path = recorded(tmp_path / "x.mst", Gpio(GPIO_BASE, GPIO_IRQ))

    assert Replay(path, devices=[Gpio(GPIO_BASE, GPIO_IRQ)]).run().reason is StopReason.REACHED
    with pytest.raises(TraceError, match=r": gpio0 was recorded with irq=12; its options may be left away$"):
        Replay(path, devices=[Gpio(GPIO_BASE, 13)])


def test_options_that_a_trace_can_not_hold_are_refused(tmp_path: Path) -> None:
    class Odd(Flawed):
        def __init__(self, sizes: list[int]) -> None:
            super().__init__()

    with pytest.raises(ConfigError, match=r"^flawed0: sizes is a list; a trace holds int, bool and str only$"):
        Recording(str(tmp_path / "x.mst"), setup_with(Odd([1])))
    assert not (tmp_path / "x.mst").exists()


@pytest.mark.parametrize(
    "facts",
    [
        "{}",
        "[1]",
        "[{}]",
        "null",
        '[{"name": "gpio0", "class": "gpio.py:Gpio", "version": 1, "options": {"base": [1]}, "sha256": ""}]',
        '[{"name": "gpio0", "class": 1, "version": 1, "options": {}, "sha256": ""}]',
    ],
)
def test_trace_that_says_odd_things_of_devices_is_refused(facts: str, tmp_path: Path) -> None:
    path = recorded(tmp_path / "x.mst", Gpio(GPIO_BASE, GPIO_IRQ))
    with sqlite3.connect(path) as database:
        database.execute("UPDATE meta SET value = ? WHERE key = 'devices'", (facts,))

    with pytest.raises(TraceError, match=r": a damaged trace: what it says of devices is none$"):
        Replay(path, devices=[Gpio])


def test_a_board_without_devices_of_its_own_says_nothing_of_them(tmp_path: Path) -> None:
    with closing(TraceReader(recorded(tmp_path / "x.mst"))) as reader:
        assert "devices" not in reader.meta


def test_pulse_is_held_back_by_chaos_as_all_that_the_host_gives() -> None:
    ends = []
    for chaos_seed in (None, 1, 1):
        board = example_setup("gpio", chaos_seed=chaos_seed).make()
        assert board.run().reason is StopReason.FINISHED
        ends.append(board.position.virtual_ns)
    assert ends[0] < ends[1] == ends[2]


def test_plain_board_helper_has_none() -> None:
    assert "gpio0" not in board_of(LOOP).machine.parts.guest
    assert PulsedGpio.__mro__[1].__name__ == "Gpio"
