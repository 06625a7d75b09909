"""What one client of gdb's remote protocol looks at, and changes there: threads, registers, memory, descriptions.

Nothing here moves the run. Each packet has its reply at once.

Source: GDB manual, Remote Protocol: Packets, General Query Packets; QEMU docs/system/gdb.rst for physical memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from minstret.emu.errors import MinstretError
from minstret.emu.gdbpackets import (
    DATA_SIZE_MAX,
    NO_MEMORY,
    OK,
    UNKNOWN,
    Refused,
    bytes_of,
    error_reply,
    hex_of,
    number_of,
    numbers_of,
)
from minstret.emu.gdbpoints import Piece
from minstret.emu.gdbtarget import (
    GENERAL_COUNT,
    PC_NUMBER,
    GdbRegister,
    gdb_registers,
    memory_map_xml,
    read_general,
    target_xml,
    thread_text,
    threads_xml,
)
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.memory import by_page
from minstret.emu.timeline import Timeline

_OBJECTS = (b":features:read:", b":memory-map:read:", b":threads:read:")
_NO_OBJECT = b"E00"
"""Reply: there are such descriptions, but not this one."""
_SEARCH_SIZE_MAX, _SEARCH_PIECE = 1 << 30, 1 << 16


class View:
    """What one client looks at.

    Attributes:
        general: The id of the hart whose registers and memory it looks at.
        for_resume: The hart that it wants to step by the older packets; None for the one that it looks at.
        is_physical: Its addresses of memory are physical ones.
    """

    def __init__(self, timeline: Timeline, notice: Callable[[str], None]) -> None:
        """Look at the first hart, and at virtual addresses.

        Args:
            timeline: Where to look.
            notice: Shows the client's user a text that a reply can't have.
        """
        self.general: int = timeline.board.hart.hart_id
        self.for_resume: int | None = None
        self.is_physical = False
        self._timeline = timeline
        self._notice = notice

    def handlers(self) -> dict[bytes, Callable[[bytes], bytes]]:
        """What answers a packet, by its name; each gets the rest of it."""
        return {
            b"g": self._read_general, b"G": self._write_general, b"H": self._select_thread, b"m": self._read_memory,
            b"M": self._write_memory_in_hex, b"p": self._read_register, b"P": self._write_register,
            b"qC": self._current_thread, b"qfThreadInfo": self._list_threads, b"qqemu.PhyMemMode": self._tell_physical,
            b"Qqemu.PhyMemMode": self._choose_physical, b"qqemu.Supported": lambda rest: b"PhyMemMode",
            b"qSearch": self._search, b"qsThreadInfo": lambda rest: b"l", b"qThreadExtraInfo": self._describe_thread,
            b"qXfer": self._read_object, b"T": self._is_alive, b"X": self._write_memory_in_binary,
        }  # fmt: skip

    # ---- for the moves

    @property
    def hart(self) -> Hart:
        """The hart whose registers and memory the client looks at."""
        hart: Hart = self._timeline.board.harts[self.general]
        return hart

    @property
    def hart_to_step(self) -> int:
        """The id of the hart that the older packets step."""
        return self.general if self.for_resume is None else self.for_resume

    def hart_of(self, thread: bytes) -> int | None:
        """The id of the hart that a thread is; None for any, and for all.

        Raises:
            Refused: it is no thread.
        """
        thread = thread.rpartition(b".")[2]  # of p1.2, which is how a client that knows processes says it
        number = 0 if thread == b"-1" else number_of(thread)
        if number > len(self._timeline.board.harts):
            raise Refused
        return number - 1 if number else None

    def set_pc(self, address: int) -> None:
        """Let the hart go on from elsewhere.

        Raises:
            Refused: its pc can't be written; the reply says why.
        """
        self._change_register(gdb_registers(self.hart.cpu)[PC_NUMBER], address)

    def pieces(self, address: int, size: int) -> Iterator[Piece]:
        """Where a range is in physical memory, page by page, up to one that is nowhere."""
        hart = self.hart
        for at, length in by_page(address, size):
            physical = at if self.is_physical else hart.translate(at & hart.xlen_mask)
            if physical is None:
                return
            yield Piece(at, physical, length)

    # ---- threads

    def _select_thread(self, rest: bytes) -> bytes:
        operation, hart = rest[:1], self.hart_of(rest[1:])
        if operation == b"c":
            self.for_resume = hart
        elif operation != b"g":
            raise Refused
        elif hart is not None:
            self.general = hart
        return OK

    def _is_alive(self, rest: bytes) -> bytes:
        self.hart_of(rest)
        return OK

    def _current_thread(self, rest: bytes) -> bytes:
        return b"QC%x" % (self.general + 1)

    def _list_threads(self, rest: bytes) -> bytes:
        return b"m" + b",".join(b"%x" % (hart.hart_id + 1) for hart in self._timeline.board.harts)

    def _describe_thread(self, rest: bytes) -> bytes:
        hart = self.hart_of(rest[1:])
        if hart is None:
            raise Refused
        return hex_of(thread_text(self._timeline.board.harts[hart]).encode())

    # ---- registers

    def _read_general(self, rest: bytes) -> bytes:
        return hex_of(read_general(self.hart))

    def _write_general(self, rest: bytes) -> bytes:
        values, hart = bytes_of(rest), self.hart
        size = hart.xlen // 8
        if len(values) != GENERAL_COUNT * size:
            raise Refused
        registers = gdb_registers(hart.cpu)
        for number in range(GENERAL_COUNT):
            self._change_register(registers[number], int.from_bytes(values[number * size :][:size], "little"))
        return OK

    def _register(self, number: bytes) -> GdbRegister:
        register = gdb_registers(self.hart.cpu).get(number_of(number))
        if register is None:
            raise Refused
        return register

    def _value(self, register: GdbRegister) -> int:
        return int(self._timeline.board.registers_of(self.general)[register.name])

    def _read_register(self, rest: bytes) -> bytes:
        register = self._register(rest)
        return hex_of(self._value(register).to_bytes(register.size, "little"))

    def _write_register(self, rest: bytes) -> bytes:
        number, _, text = rest.partition(b"=")
        register, value = self._register(number), bytes_of(text)
        if len(value) != register.size:
            raise Refused
        self._change_register(register, int.from_bytes(value, "little"))
        return OK

    def _change_register(self, register: GdbRegister, value: int) -> None:
        """Write a register; one that is as wanted begins no diversion."""
        if register.number == 0:
            return
        try:
            self._timeline.write_register(register.name, value, self.general)
        except KeyError as error:
            raise Refused(error_reply(str(error.args[0]))) from None

    # ---- memory

    def _tell_physical(self, rest: bytes) -> bytes:
        return b"%d" % self.is_physical

    def _choose_physical(self, rest: bytes) -> bytes:
        if rest not in (b":0", b":1"):
            raise Refused
        self.is_physical = rest == b":1"
        return OK

    def _bytes_at(self, address: int, size: int) -> bytes:
        """What is in memory from ``address`` on; less than ``size`` where the rest is not there."""
        data, memory = bytearray(), self.hart.memory
        for piece in self.pieces(address, size):
            found = memory.peek(piece.physical, piece.size)
            if found is None:
                break
            data += found
        return bytes(data)

    def _read_memory(self, rest: bytes) -> bytes:
        address, size = numbers_of(rest)
        data = self._bytes_at(address, min(size, DATA_SIZE_MAX))
        return hex_of(data) or NO_MEMORY

    def _write_memory_in_hex(self, rest: bytes) -> bytes:
        where, _, text = rest.partition(b":")
        return self._write_memory(where, bytes_of(text))

    def _write_memory_in_binary(self, rest: bytes) -> bytes:
        where, _, data = rest.partition(b":")
        return self._write_memory(where, data)

    def _write_memory(self, where: bytes, data: bytes) -> bytes:
        address, size = numbers_of(where)
        if size != len(data):
            raise Refused
        hart = None if self.is_physical else self.general
        try:
            is_written = self._timeline.write_memory(address & self.hart.xlen_mask, data, hart)
        except MinstretError as error:
            self._notice(str(error))  # clients don't show the text of such a reply
            is_written = False
        return OK if is_written else NO_MEMORY

    def _search(self, rest: bytes) -> bytes:
        """Find bytes. Each piece is looked at together with the end of the one before."""
        start, size, pattern = (*rest.removeprefix(b":memory:").split(b";", 2), b"", b"")[:3]
        address, end = number_of(start), number_of(start) + number_of(size)
        if not pattern or end - address > _SEARCH_SIZE_MAX:
            raise Refused
        seen = b""
        while address < end:
            wanted = min(end - address, _SEARCH_PIECE)
            piece = self._bytes_at(address, wanted)
            seen = seen[len(seen) - len(pattern) + 1 :] + piece if len(seen) >= len(pattern) else seen + piece
            address += len(piece)
            found = seen.find(pattern)
            if found >= 0:
                return b"1,%x" % (address - len(seen) + found)
            if len(piece) < wanted:
                return NO_MEMORY
        return b"0"

    # ---- texts that describe

    def _read_object(self, rest: bytes) -> bytes:
        """Part of a text that describes something; ``m`` says that there is more of it, ``l`` that there is not."""
        name, _, where = rest.rpartition(b":")
        hart = self.hart
        if name == b":features:read:target.xml":
            text = target_xml(hart.cpu)
        elif name == b":memory-map:read:":
            text = memory_map_xml(hart.memory, hart.xlen)
        elif name == b":threads:read:":
            text = threads_xml(self._timeline.board.harts)
        else:
            return _NO_OBJECT if name.startswith(_OBJECTS) else UNKNOWN
        offset, size = numbers_of(where)
        end = offset + min(size, DATA_SIZE_MAX)
        return (b"m" if end < len(text) else b"l") + text[offset:end]
