"""What every device keeps to, as a check for tests of your own: ``check_device(Gpio(base=0x1006_0000))``.

All that a device remembers is in its state, and state is saved and loaded exactly.
"""

from __future__ import annotations

import random
from contextlib import suppress

from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig
from minstret.devices.board.map import Base
from minstret.devices.board.own import again
from minstret.devices.virtio.mmio import VirtioFunction
from minstret.emu.door.door import Event
from minstret.emu.errors import AccessFault
from minstret.emu.images.loader import Firmware, Segment
from minstret.emu.part import Device, Part
from minstret.emu.state import canonical_bytes, from_plain, to_plain

_SIZES = (1, 2, 4)
_LOOP = b"\x6f\x00\x00\x00"


def check_device(device: Part, *, accesses: int = 500, seed: int = 0) -> None:
    """Raise AssertionError where ``device`` breaks the contract.

    It is put on a board, read and written all over its window, and given bytes at its inputs; between them time passes.
    A device that looks at a clock, a file or a generator of its own is only found where that changes what is read.

    Args:
        device: One that is on no board.
        accesses: How many accesses there are.
        seed: Of what is drawn.
    """
    board = _board_with(device)
    window = _window(device)
    wiring = _wiring(device)
    pick = random.Random(seed)
    for number in range(accesses):
        _do_something(board, device, window, pick)
        if number % 50 == 0:
            board.run_until(icount=board.position.icount + 1000)
    board.run_until(icount=board.position.icount + 1000)  # what was posted is in
    now = _wiring(device)
    changed = [name for name in sorted(wiring.keys() | now.keys()) if wiring.get(name) != now.get(name)]
    assert not changed, f"{device.name}: {', '.join(changed)} changed, and it is not in the state: put it there"
    _check_state_comes_back(device)
    saved = board.machine.save_state()
    fresh = _board_with(again(device))
    fresh.memory.write(Base.RAM, bytes(board.machine.memory.ram))
    fresh.machine.load_state(saved)
    assert canonical_bytes(fresh.machine.save_state()) == canonical_bytes(saved), f"{device.name}: loading changes it"
    end = board.position.icount + 100_000
    for each in (board, fresh):
        each.run_until(icount=end)
    assert fresh.digest() == board.digest(), f"{device.name}: a restored board goes on in another way"
    _check_reads_are_the_same(device.name, board, fresh, window)
    board.reset()
    lines = [line.name for line in board.machine.lines.values() if line.level]
    assert lines == [], f"after a reset these lines are up: {', '.join(lines)}"


def _board_with(device: Part) -> Board:
    firmware = Firmware("loop", 64, Base.RAM, (Segment(Base.RAM, _LOOP, len(_LOOP)),))
    return Board(firmware, BoardConfig(ram_size=1 << 20), devices=[device])


def _window(device: Part) -> range:
    registers = device.transport if isinstance(device, VirtioFunction) else device
    assert isinstance(registers, Device), f"{device!r} has no registers"
    return range(registers.base, registers.base + registers.size_bytes)


def _do_something(board: Board, device: Part, window: range, pick: random.Random) -> None:
    size = pick.choice(_SIZES)
    address = pick.randrange(window.start, window.stop - size + 1) // size * size
    if pick.random() < 0.5:
        address = window.start + address % min(0x40, len(window))
        address -= address % size
    kind = pick.randrange(5)
    if kind == 0:
        targets = [name for name in board.assembly.inlets if name.startswith(f"{device.name}.")]
        if targets:
            board.machine.door.post(Event(pick.choice(targets), pick.randbytes(pick.randrange(1, 8))))
    elif kind < 3:
        _read(board, address, size)
    else:
        with suppress(AccessFault):
            board.machine.bus.write(address, size, pick.choice((0, 1, 0xFF, 0xFFFF_FFFF, pick.getrandbits(32))))


def _read(board: Board, address: int, size: int) -> int | None:
    """What a load gives; None for an access fault."""
    try:
        value = board.machine.bus.read(address, size)
    except AccessFault:
        return None
    assert 0 <= value < 1 << 8 * size
    return value


def _check_reads_are_the_same(name: str, board: Board, restored: Board, window: range) -> None:
    for address in range(window.start, min(window.stop, window.start + 0x100), 4):
        expected, got = _read(board, address, 4), _read(restored, address, 4)
        at = f"a read at offset {address - window.start:#x}"
        assert expected == got, f"{name}: {at} gives {expected}, and {got} on a restored board in the same state"


def _wiring(part: Part) -> dict[str, object]:
    """Every attribute but the state: plain values by value, whatever else by identity."""
    return {name: _frozen(value) for name, value in vars(part).items() if name != "state"}


def _frozen(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_frozen(item) for item in value]
    if isinstance(value, dict):
        return [(_frozen(key), _frozen(item)) for key, item in value.items()]
    if isinstance(value, bytearray | set):
        return repr(value)
    return value if value is None or isinstance(value, bool | int | str | bytes) else _Same(value)


class _Same:
    """Equal to itself alone."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._value is other._value

    __hash__ = None  # type: ignore[assignment]


def _check_state_comes_back(part: Part) -> None:
    back = from_plain(type(part.state), to_plain(part.state))
    assert canonical_bytes(back) == canonical_bytes(part.state), f"{part.name}: its state comes back changed"
