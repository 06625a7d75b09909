"""What somebody outside changes in a guest: its memory and registers.

In a live run that is the host's decision like any other: it comes in through the door, as an event for CHANGES_TARGET,
so that a recording has it. The event's text: ``memory 0x80001000 00ff``, a physical address and bytes, or
``register 0 mepc 0x80000000``, of a hart by its id.
"""

from __future__ import annotations

from collections.abc import Sequence

from minstret.emu.errors import AccessFault
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.memory import by_page
from minstret.emu.hart.views import Registers

CHANGES_TARGET = "machine.change"
"""The door's target for them."""


def memory_change(address: int, data: bytes) -> bytes:
    """The event that writes RAM at a physical address."""
    return f"memory {address:#x} {data.hex()}".encode()


def register_change(hart: int, name: str, value: int) -> bytes:
    """The event that sets a register of a hart; see ``Registers`` for the names."""
    return f"register {hart} {name} {value:#x}".encode()


def set_register(hart: Hart, name: str, value: int) -> None:
    """Set a register by name. A hart that waits goes on where its pc is set.

    Raises:
        KeyError: there is no such register, or it can't be written.
    """
    Registers(hart)[name] = value
    if name == "pc":
        hart.wake()


def changed_pieces(hart: Hart, address: int, data: bytes, *, is_physical: bool) -> list[tuple[int, bytes]] | None:
    """What of ``data`` is not in RAM yet, page by page, with its physical address; None where not all of it can be.

    A virtual address is translated as the loads of ``hart`` are now. Nobody asks whether it may store there, and
    nothing is noted in its page tables: this is no access of the guest's.
    """
    pieces = []
    for at, length in by_page(address, len(data)):
        pa = at if is_physical else hart.translate(at & hart.xlen_mask)
        piece = data[at - address : at - address + length]
        if pa is None or not hart.memory.has_ram(pa, length):
            return None
        if hart.memory.peek(pa, length) != piece:
            pieces.append((pa, piece))
    return pieces


def apply_change(harts: Sequence[Hart], text: bytes) -> None:
    """Do what an event says.

    Raises:
        ValueError: it says nothing that can be done here.
    """
    try:
        kind, where, *rest = text.decode().split(" ")
        if kind == "memory" and len(rest) == 1:
            harts[0].write_physical(int(where, 16), bytes.fromhex(rest[0]))
        elif kind == "register" and len(rest) == 2 and 0 <= int(where) < len(harts):
            set_register(harts[int(where)], rest[0], int(rest[1], 16))
        else:
            raise ValueError("no such change")
    except (AccessFault, KeyError) as error:
        raise ValueError(f"no change that can be made: {error}") from None
