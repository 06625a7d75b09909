"""HTIF: the words ``tohost`` and ``fromhost`` of an ELF, through which programs for Spike ask for services.

    tohost     bits 63..56 device, 55..48 command, 47..0 payload
    device 0   command 0: bit 0 of the payload set: the run ends with payload >> 1; else a system call for a proxy, in
               8 words of 64 bits at that address: number, arguments; the first one takes the result
    device 1   the console. Command 0: a character, when there is one; command 1: print the payload

tohost is cleared when it was read. An answer is put into fromhost, with the same device and command, as soon as that is
0. Both words lie in RAM. Stores to their pages are looked at one by one, so everything happens at the very instruction,
wherever slices end. Of the system calls write (to 1 and 2) and exit are there; others give -ENOSYS.
Source: riscv-isa-sim, fesvr/device.cc, fesvr/syscall.cc.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from minstret.emu.errors import AccessFault
from minstret.emu.hart.shared import BYTES_A_CALL
from minstret.emu.hart.watches import WatchKind
from minstret.emu.machine import Machine
from minstret.emu.part import Part

_SIZE = 8
_BLOCK_SIZE = 8 * _SIZE
_SYSCALL, _CONSOLE = 0, 1
_GETCHAR, _PUTCHAR = 0, 1
_WRITE, _EXIT = 64, 93
_STDOUT, _STDERR = 1, 2
_HAS_CHARACTER = 0x100
_SYSCALL_DONE = 1
_SIZE_MAX = 1 << 20
_WAITING_MAX = 64
_U64 = (1 << 64) - 1


@dataclass(slots=True)
class HtifState:
    """Where HTIF is.

    Attributes:
        has_console: Input goes here, not to the UART.
        wanted: How many characters the guest has asked for and not got.
        received: Characters that came before the guest asked.
        answers: What will be put into fromhost, each when that is 0.
    """

    has_console: bool = False
    wanted: int = 0
    received: bytes = b""
    answers: list[int] = field(default_factory=list)


class Htif(Part):
    """Watches the words, whichever hart stores to them."""

    name = "htif"

    def __init__(
        self,
        machine: Machine,
        tohost: int,
        fromhost: int | None,
        on_exit: Callable[[int], None],
        on_tx: Callable[[bytes], None],
        take_console: Callable[[], bytes],
        room_for_input: Callable[[], None],
    ) -> None:
        """Watch ``tohost``, and answer in ``fromhost``, where there is one.

        Args:
            machine: Whose memory they are in.
            tohost: A physical address in RAM, as is the next.
            fromhost: None: nothing is answered.
            on_exit: Called with the exit code.
            on_tx: Called with what is printed.
            take_console: Gives what the UART has received, at the first request for input.
            room_for_input: Called when there is a request.
        """
        self.state: HtifState = HtifState()
        self._machine, self._hart = machine, machine.hart
        self._tohost, self._fromhost = tohost, fromhost
        self._on_exit = on_exit
        self._on_tx = on_tx
        self._take_console = take_console
        self._room_for_input = room_for_input
        machine.watches.add(WatchKind.STORE, tohost, _SIZE, self._on_tohost)
        if fromhost is not None:
            machine.watches.add(WatchKind.STORE, fromhost, _SIZE, self._on_fromhost)

    def reset(self) -> None:
        """Give the console back."""
        self.state = HtifState()

    # ---- the door

    def receive(self, data: bytes) -> int:
        """Take the characters that are wanted; how many."""
        taken = data[: self.state.wanted]
        self.state.received += taken
        self._hand_over()
        return len(taken)

    def _hand_over(self) -> None:
        state = self.state
        while state.wanted and state.received:
            character, state.received = state.received[0], state.received[1:]
            state.wanted -= 1
            self._answer(_CONSOLE, _GETCHAR, _HAS_CHARACTER | character)

    # ---- the guest

    def _on_tohost(self, address: int, size: int) -> None:
        value = self._word(self._tohost)
        self._do(value >> 56, value >> 48 & 0xFF, value & ((1 << 48) - 1))

    def _on_fromhost(self, address: int, size: int) -> None:
        self._pass_on()

    def _do(self, device: int, command: int, payload: int) -> None:
        if device == _SYSCALL and command == 0 and payload & 1:
            self._on_exit(payload >> 1)
        elif device == _SYSCALL and command == 0 and payload:
            self._do_syscall(payload)
        elif device == _CONSOLE and command == _PUTCHAR:
            self._clear_tohost()
            self._on_tx(bytes((payload & 0xFF,)))
        elif device == _CONSOLE and command == _GETCHAR and self._fromhost is not None:
            self._clear_tohost()
            self._want_character()

    def _clear_tohost(self) -> None:
        self._put(self._tohost, bytes(_SIZE))

    def _do_syscall(self, block: int) -> None:
        try:
            raw = self._hart.read_physical(block, _BLOCK_SIZE)
        except AccessFault:  # half a value, or no block at all
            return
        number, first, address, size = (int.from_bytes(raw[at : at + _SIZE], "little") for at in range(0, 32, _SIZE))
        self._clear_tohost()
        if number == _EXIT:
            self._on_exit(first & 0xFFFF_FFFF)
        elif number == _WRITE:
            self._finish_syscall(block, self._write(first, address, size))
        else:
            self._finish_syscall(block, -errno.ENOSYS)

    def _write(self, file: int, address: int, size: int) -> int:
        """The result; a long text is written in part."""
        if file not in (_STDOUT, _STDERR):
            return -errno.EBADF
        size = min(size, _SIZE_MAX)
        try:
            data = self._hart.read_physical(address, size)
        except AccessFault:
            return -errno.EFAULT
        self._machine.charge(size // BYTES_A_CALL)
        if data:
            self._on_tx(data)
        return size

    def _finish_syscall(self, block: int, result: int) -> None:
        with suppress(AccessFault):  # in ROM
            self._put(block, (result & _U64).to_bytes(_SIZE, "little"))
        self._answer(_SYSCALL, 0, _SYSCALL_DONE)

    def _want_character(self) -> None:
        state = self.state
        if not state.has_console:
            state.has_console = True
            state.received = self._take_console()
        state.wanted = min(state.wanted + 1, _WAITING_MAX)
        self._hand_over()
        self._room_for_input()

    # ---- answers

    def _answer(self, device: int, command: int, payload: int) -> None:
        if self._fromhost is not None and len(self.state.answers) < _WAITING_MAX:
            self.state.answers.append(device << 56 | command << 48 | payload)
            self._pass_on()

    def _pass_on(self) -> None:
        """Put the next answer into fromhost, once the last one was taken."""
        assert self._fromhost is not None
        if self.state.answers and self._word(self._fromhost) == 0:
            answer = self.state.answers.pop(0)
            self._put(self._fromhost, answer.to_bytes(_SIZE, "little"))

    def _put(self, address: int, data: bytes) -> None:
        self._machine.hart.write_by_device(address, data, self.name)

    def _word(self, address: int) -> int:
        return int.from_bytes(self._hart.read_physical(address, _SIZE), "little")
