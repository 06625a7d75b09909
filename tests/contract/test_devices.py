"""What every device on a board keeps to: all it remembers is ``state``, and state is saved and loaded exactly."""

from __future__ import annotations

import copy
import json
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import asm
from support.elf_files import CLINT, RAM
from support.guest_boards import restored, setup_of, summary
from support.harts import board_of
from support.own_devices import GPIO_BASE, GPIO_IRQ, PulsedGpio, Shout, example_setup
from support.recordings import UART

from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import BoardConfig
from minstret.devices.board.console import CONSOLE_TARGET
from minstret.devices.hostside.side import INPUTS, KEYBOARD, NET_TARGET, NetConfig, input_target
from minstret.devices.hostside.usernet.network import UserNetConfig
from minstret.devices.virtio.input_codes import REPORT
from minstret.emu.bus import Window
from minstret.emu.clock import VirtualClockState
from minstret.emu.door.door import Event
from minstret.emu.door.live import LiveDoor
from minstret.emu.hart.state import HartState
from minstret.emu.images.loader import Firmware, Segment
from minstret.emu.part import Device, state_types
from minstret.emu.state import canonical_bytes, from_plain, to_plain
from minstret.emu.timers import TimerListState

LOOPS = asm.code(asm.LOOP)
FIRMWARE = Firmware("test", 64, RAM, (Segment(RAM, LOOPS, len(LOOPS)),))
EVERYTHING: dict[str, Any] = {"net": NetConfig(UserNetConfig(restrict=True)), "inputs": INPUTS, "chaos_seed": 1}


def new_board(**config: Any) -> Board:
    """A board with every device there is, and with a user's own."""
    own = [PulsedGpio(GPIO_BASE, GPIO_IRQ), Shout()]
    config = {"xlen": 64, "ram_size": 1 << 20, "slice_insns_max": None} | EVERYTHING | config
    return Board(FIRMWARE, BoardConfig(**config), devices=own)


DEVICES = [window.device.name for window in new_board().machine.bus.windows]
PARTS = [name for name in new_board().machine.parts.guest if name not in DEVICES]
"""What is not on the bus, but has state that the guest can see."""
HOST_PARTS = list(new_board().machine.parts.host)
each_device = pytest.mark.parametrize("name", DEVICES)


def window_of(board: Board, name: str) -> Window:
    return next(window for window in board.machine.bus.windows if window.device.name == name)


Access = tuple[bool, int, int, int]
"""(is a write, offset, size, value)"""


REGISTERS = (*range(8), *range(0x10, 0xB0, 4), 0x100, 0x101, 0x4000, 0x4004, 0xBFF8, 0xBFFC)
"""Offsets at which one device or another has something."""


def accesses(size_bytes: int) -> st.SearchStrategy[list[Access]]:
    """Accesses all over a window; most of them where registers are."""
    registers = st.sampled_from([at for at in REGISTERS if at < size_bytes])
    values = st.sampled_from([0, 1, 8, 15, 0x80, 0xFF, 0x5555, 0x7777, 0x7_3333, RAM, RAM >> 12, 0xFFFF_FFFF])
    values |= st.integers(0, (1 << 64) - 1)
    access = st.tuples(st.booleans(), registers | st.integers(0, size_bytes - 8), st.sampled_from([1, 2, 4, 8]), values)
    return st.lists(access, max_size=30)


def hit(board: Board, window: Window, todo: list[Access]) -> None:
    for is_write, offset, size, value in todo:
        if is_write:
            board.machine.bus.write(window.base + offset, size, value)
        else:
            result = board.machine.bus.read(window.base + offset, size)
            assert 0 <= result < 1 << 8 * size


def wiring(device: Device) -> list[object]:
    """Every attribute but ``state``: plain values by value, whatever else by identity."""
    return [(name, _frozen(value)) for name, value in sorted(vars(device).items()) if name != "state"]


def _frozen(value: object) -> object:
    if isinstance(value, dict):
        return [(_frozen(key), _frozen(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [_frozen(item) for item in value]
    if isinstance(value, bytearray | set):
        return copy.copy(value)
    return value if value is None or isinstance(value, bool | int | str | bytes) else id(value)


def through_json(kind: type, state: Any) -> Any:
    return from_plain(kind, json.loads(json.dumps(to_plain(state))))


def test_there_are_devices() -> None:
    assert {"plic", "clint", "uart0", "finisher", "virtio7", "virtio6", "virtio5", "virtio4", "virtio3"} <= set(DEVICES)
    assert {"gpio0"} <= set(DEVICES)
    assert {"net0", "keyboard0", "tablet0", "rng0", "shout0", "semihosting"} <= set(PARTS)
    assert set(HOST_PARTS) == {
        "usernet", "input", "input.script", "input.script.match", "expectations", "chaos", "gpio0.host", "uart0.line",
    }  # fmt: skip


@each_device
def test_device_is_a_device_with_one_slotted_dataclass_for_state(name: str) -> None:
    device = new_board().part(name)

    assert isinstance(device, Device)
    assert device.name == name
    assert device.size_bytes > 0
    assert is_dataclass(device.state)
    assert not hasattr(device.state, "__dict__")
    assert set(type(device.state).__slots__) == {f.name for f in fields(device.state)}


@each_device
@settings(max_examples=12, deadline=None, print_blob=True)
@given(data=st.data())
def test_accesses_change_no_attribute_but_state(name: str, data: st.DataObject) -> None:
    board = new_board()
    window = window_of(board, name)
    before = wiring(board.part(name))

    hit(board, window, data.draw(accesses(window.size)))

    assert wiring(board.part(name)) == before


def test_input_and_passing_time_change_no_attribute_but_state() -> None:
    board = Board(FIRMWARE, BoardConfig(ram_size=1 << 20), door=LiveDoor(OneLine()))
    devices = [board.part(window.device.name) for window in board.machine.bus.windows]
    before = [wiring(device) for device in devices]
    board.machine.bus.write(CLINT + 0x4000, 8, 5)
    board.machine.bus.read(UART + 5, 1)  # nothing is sent to a receiver that nobody looks at

    board.run_until(icount=1000)

    assert board.machine.lines["clint.mtip"].level
    assert board.uart.state.rx_fifo
    assert [wiring(device) for device in devices] == before


def deep_wiring(part: object) -> dict[str, list[object]]:
    """The wiring of a part and of all parts of ours that it is made of; what is a timer's is its list's state."""
    found: dict[str, list[object]] = {}
    todo = [("", part)]
    while todo:
        path, each = todo.pop()
        found[path] = wiring(each)
        for name, value in sorted(vars(each).items()):
            if (
                name != "state"
                and type(value).__module__.startswith("minstret.devices.")
                and hasattr(value, "__dict__")
            ):
                if not any(value is owner for _, owner in todo) and path.count("/") < 4:
                    todo.append((f"{path}/{name}", value))
    return found


def parts_of(board: Board) -> dict[str, Any]:
    """Parts that are not on the bus, guest-side and host-side."""
    functions = [board.card, *board.inputs.values()]
    return {part.name: part for part in functions if part is not None} | board.machine.parts.host


BUSY = {
    "dhcp": ("virtual_ns", 120_000, {}), "dhcp-wfi": ("virtual_ns", 125_000, {"virtio_legacy": True}),
    "tftp": ("icount", 91_100, {}), "keys": ("virtual_ns", 50_000_000, {}),
    "echo": ("virtual_ns", 0, {"inputs": INPUTS}),
}  # fmt: skip
"""Guests and a moment at which much is under way: frames on the link, a transfer, keys held, events queued."""
each_busy = pytest.mark.parametrize("image", BUSY)
each_chaos = pytest.mark.parametrize("chaos_seed", [None, 3], ids=["as-it-is", "chaos"])


def busy_setup(image: str, chaos_seed: int | None) -> Setup:
    return setup_of(image, chaos_seed=chaos_seed, **BUSY[image][2])


def busy_board(image: str, chaos_seed: int | None) -> Board:
    board = busy_setup(image, chaos_seed).make()
    by, at, _ = BUSY[image]
    if chaos_seed is not None and image == "dhcp":
        at += 40_000  # the frame has left the link
    board.run_until(**{by: at})  # type: ignore[arg-type]
    return board


@each_chaos
@pytest.mark.parametrize("image", ["dhcp", "tftp", "keys"])
def test_a_whole_run_changes_no_attribute_of_a_part_but_state(image: str, chaos_seed: int | None) -> None:
    board = busy_setup(image, chaos_seed).make()
    before = {name: deep_wiring(part) for name, part in parts_of(board).items()}
    states = {name: canonical_bytes(part.state) for name, part in parts_of(board).items()}

    board.run()

    assert {name: deep_wiring(part) for name, part in parts_of(board).items()} == before
    assert {name for name, part in parts_of(board).items() if canonical_bytes(part.state) != states[name]}


@pytest.mark.parametrize("name", [*PARTS, *HOST_PARTS])
def test_part_has_one_slotted_dataclass_for_state(name: str) -> None:
    machine = new_board().machine
    kind = state_types(machine.parts.guest | machine.parts.host)[name]

    assert is_dataclass(kind)
    assert not hasattr(kind(), "__dict__")
    assert set(kind.__slots__) == {f.name for f in fields(kind)}


@each_chaos
@each_busy
def test_state_of_busy_parts_comes_back_from_plain_values(image: str, chaos_seed: int | None) -> None:
    machine = busy_board(image, chaos_seed).machine
    state = machine.save_state()
    types = state_types(machine.parts.guest | machine.parts.host)

    for name, part in (state.devices | state.host).items():
        back = through_json(types[name], part)
        assert back == part, name
        assert canonical_bytes(back) == canonical_bytes(part), name


@each_chaos
@each_busy
def test_busy_board_saved_and_loaded_is_saved_the_same_and_goes_on_the_same(image: str, chaos_seed: int | None) -> None:
    board = busy_board(image, chaos_seed)
    saved = board.machine.save_state()
    before = canonical_bytes(saved)

    fresh = restored(board, busy_setup(image, chaos_seed))

    assert canonical_bytes(fresh.machine.save_state()) == before
    ends = [summary(each, each.run())[:3] for each in (board, fresh)]
    assert ends[0] == ends[1]
    assert canonical_bytes(saved) == before  # what was saved is nobody's live state


def test_busy_boards_are_busy() -> None:
    hosts = {image: busy_board(image, None).machine.save_state().host for image in ("dhcp", "dhcp-wfi", "tftp", "keys")}

    for image in ("dhcp", "dhcp-wfi", "tftp"):
        assert hosts[image]["usernet"].link.frames
    assert hosts["tftp"]["usernet"].tftp.transfers
    assert hosts["keys"]["input"].held
    assert hosts["keys"]["input"].entries
    assert hosts["keys"]["input.script"].next_line > 1
    assert busy_board("dhcp", 3).machine.save_state().host["chaos"].waiting


@pytest.mark.parametrize("name", HOST_PARTS)
def test_loading_a_host_parts_state_arms_no_timer(name: str) -> None:
    chaos_seed = 3 if name == "chaos" else None
    image = "dhcp" if name in ("usernet", "chaos") else "keys"
    if name == "gpio0.host":
        setup = example_setup("gpio")
        busy = setup.make()
        busy.run_until(virtual_ns=150_000)
    else:
        setup, busy = busy_setup(image, chaos_seed), busy_board(image, chaos_seed)
    state = busy.machine.save_state().host[name]
    fresh = setup.make()
    armed = armed_timers(fresh)

    fresh_state = fresh.machine.save_state()
    fresh_state.host[name] = state
    fresh.machine.load_state(fresh_state)

    assert fresh.machine.save_state().host[name] == state
    assert armed_timers(fresh) == armed


# ---- what comes through the door, whenever


@settings(max_examples=25, deadline=None, print_blob=True)
@given(data=st.data())
def test_whatever_comes_through_the_door_is_taken_by_devices_in_any_state(data: st.DataObject) -> None:
    board = new_board(chaos_seed=None)
    for name in ("virtio7", "virtio6", "virtio5", "uart0"):
        window = window_of(board, name)
        hit(board, window, data.draw(accesses(window.size)))
    frames = st.binary(max_size=200).map(lambda frame: Event(NET_TARGET, frame))
    batches = st.builds(lambda kind, count: Event(input_target(kind), REPORT * count), st.sampled_from(INPUTS),
                        st.integers(1, 70))  # fmt: skip
    typed = st.binary(min_size=1, max_size=40).map(lambda text: Event(CONSOLE_TARGET, text))

    for event in data.draw(st.lists(frames | batches | typed, max_size=10)):
        board.machine.door.post(event)
    board.run_until(icount=20)

    fresh = new_board(chaos_seed=None)
    fresh.machine.load_state(board.machine.save_state())
    assert canonical_bytes(fresh.machine.save_state()) == canonical_bytes(board.machine.save_state())


class OneLine:
    """A host that types one line."""

    is_open = True

    def __init__(self) -> None:
        self.events = [Event(CONSOLE_TARGET, b"one line\n")]

    def poll(self, wants_input: bool = True) -> list[Event]:
        events, self.events = self.events, []
        return events

    def wait(self, timeout_ns: int | None) -> int:
        return 0


@each_device
@settings(max_examples=12, deadline=None, print_blob=True)
@given(data=st.data())
def test_state_comes_back_from_plain_values(name: str, data: st.DataObject) -> None:
    board = new_board()
    window = window_of(board, name)
    hit(board, window, data.draw(accesses(window.size)))
    state = board.part(name).state

    back = through_json(type(state), state)

    assert back == state
    assert canonical_bytes(back) == canonical_bytes(state)


@each_device
@settings(max_examples=12, deadline=None, print_blob=True)
@given(data=st.data())
def test_save_load_save_is_byte_equal_on_a_fresh_board(name: str, data: st.DataObject) -> None:
    board, fresh = new_board(), new_board()
    window = window_of(board, name)
    hit(board, window, data.draw(accesses(window.size)))
    saved = board.machine.save_state()
    before = canonical_bytes(saved)

    fresh.machine.load_state(saved)

    assert canonical_bytes(fresh.machine.save_state()) == before
    assert fresh.digest() == board.digest()
    for each in (board, fresh):  # what was saved is nobody's live state
        scratch = [(True, at, 1, value) for value in (0, 1) for at in range(8)]
        hit(each, window_of(each, name), scratch)
        assert canonical_bytes(saved) == before


def armed_timers(board: Board) -> list[str]:
    return [timer.name for timers in board.machine.timers for timer in timers.armed()]


@each_device
@settings(max_examples=8, deadline=None, print_blob=True)
@given(data=st.data())
def test_loading_a_devices_state_arms_no_timer_and_moves_no_line(name: str, data: st.DataObject) -> None:
    board, fresh = new_board(), new_board()
    window = window_of(board, name)
    hit(board, window, data.draw(accesses(window.size)))

    armed = armed_timers(fresh)
    state = board.part(name).state
    fresh.part(name).state = through_json(type(state), state)

    assert armed_timers(fresh) == armed == ["gpio0.pulse", "usernet.ra"]
    assert not any(line.level for line in fresh.machine.lines.values())
    assert fresh.hart.mip == 0


VARIANTS: dict[str, dict[str, Any]] = {
    "bare": {"net": None, "inputs": (), "chaos_seed": None, "entropy": "none"},
    "legacy": {"virtio_legacy": True}, "host's time": {"rtc_follows_host": True}, "host's entropy": {"entropy": "host"},
    "one input": {"inputs": (KEYBOARD,), "net": None}, "second clock": {"timer_model": "virtual-ext"},
    "no attributes": {"timer_model": "no-attributes"}, "rv32": {"xlen": 32},
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=3, deadline=None, print_blob=True)
@given(data=st.data())
def test_each_board_comes_back_and_is_reset(variant: str, data: st.DataObject) -> None:
    config = VARIANTS[variant]
    firmware = replace(FIRMWARE, xlen=config.get("xlen", 64))
    boards = [
        Board(firmware, BoardConfig(**{"ram_size": 1 << 20} | EVERYTHING | config),
              devices=[PulsedGpio(GPIO_BASE, GPIO_IRQ), Shout()])
        for _ in range(2)
    ]  # fmt: skip
    board, fresh = boards
    assert all(type(part.version) is int for part in board.machine.parts.guest.values())  # type: ignore[attr-defined]
    for window in board.machine.bus.windows:
        hit(board, window, data.draw(accesses(window.size))[:5])
    saved = board.machine.save_state()

    fresh.machine.load_state(saved)

    assert canonical_bytes(fresh.machine.save_state()) == canonical_bytes(saved)
    assert fresh.digest() == board.digest()
    fresh.reset()
    assert [line.name for line in fresh.machine.lines.values() if line.level] == []
    assert fresh.hart.mip == 0


@each_device
@settings(max_examples=12, deadline=None, print_blob=True)
@given(data=st.data())
def test_reset_of_the_board_lowers_every_line(name: str, data: st.DataObject) -> None:
    board = new_board()
    window = window_of(board, name)
    hit(board, window, data.draw(accesses(window.size)))

    board.reset()

    assert [line.name for line in board.machine.lines.values() if line.level] == []
    assert board.hart.mip == 0


# ---- the rest of a machine's state


def test_machine_state_comes_back_from_plain_values() -> None:
    board = new_board()
    board.machine.bus.write(CLINT + 0x4000, 8, 1000)
    board.run_until(icount=1001)
    state = board.machine.save_state()

    for kind, part in ((HartState, state.harts[0]), (VirtualClockState, state.clock), (TimerListState, state.timers)):
        assert through_json(kind, part) == part
    assert state.timers.armed
    assert state.harts[0].icount == 1001


def test_run_saved_anywhere_and_continued_on_a_fresh_board_is_the_same_run() -> None:
    guest = asm.code(
        asm.li(asm.T0, CLINT + 0x4000), asm.addi(asm.T1, 0, 3), asm.sw(asm.T1, asm.T0, 0), asm.sw(0, asm.T0, 4),
        asm.addi(asm.T2, 0, 128), asm.csrw("mie", asm.T2),  # MTIE, but not enabled: WFI goes on by itself
        asm.WFI,
        asm.addi(asm.T1, asm.T1, 5), asm.sw(asm.T1, asm.T0, 0),
        asm.jal(0, -12),
    )  # fmt: skip
    end = 80
    whole = board_of(guest)
    whole.run_until(icount=end)

    for icount in range(0, end, 3):
        first, second = board_of(guest), board_of(guest)
        first.run_until(icount=icount)
        second.memory.write(RAM, bytes(first.machine.memory.ram))
        second.machine.load_state(first.machine.save_state())
        second.run_until(icount=end)
        assert second.digest() == whole.digest(), f"saved at icount {icount}"
        assert second.position == whole.position
