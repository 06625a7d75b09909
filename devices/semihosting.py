"""RISC-V semihosting: a debugger's services for firmware, called by a marked EBREAK.

    slli x0, x0, 0x1f ; ebreak ; srai x0, x0, 7      a0 = operation, a1 = parameter; result in a0

There is one file, ``:tt``, the console. A read takes what comes through the door; where nothing has come, the
hart waits on its EBREAK. With its first read semihosting takes the console's input over from the UART. A call
counts as one instruction.
Source: RISC-V Semihosting 0.4; Semihosting for AArch32 and AArch64 (Arm), for the operations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from minstret.emu.clock import Clock
from minstret.emu.hart.hart import Hart
from minstret.emu.units import NS_PER_S

_TT = b":tt"
_STDIN, _STDOUT, _STDERR = 1, 2, 3
_MODE_WRITE, _MODE_APPEND = 4, 8
_NS_PER_CENTISECOND = NS_PER_S // 100
_TEXT_MAX = 1 << 20
_FAILED = -1
_ENOENT, _EBADF = 2, 9


class Op(IntEnum):
    """Operation numbers."""

    OPEN = 0x01
    CLOSE = 0x02
    WRITEC = 0x03
    WRITE0 = 0x04
    WRITE = 0x05
    READ = 0x06
    READC = 0x07
    ISERROR = 0x08
    ISTTY = 0x09
    CLOCK = 0x10
    TIME = 0x11
    ERRNO = 0x13
    EXIT = 0x18
    EXIT_EXTENDED = 0x20
    ELAPSED = 0x30
    TICKFREQ = 0x31


_APPLICATION_EXIT = 0x20026
_FAILURE_CODE = 1


@dataclass(slots=True)
class SemihostingState:
    """``wanted`` bytes are waited for; ``received`` came and were not read; ``ended``: no more will come.

    ``has_console``: input goes here, not to the UART.
    """

    has_console: bool = False
    wanted: int = 0
    received: bytes = b""
    ended: bool = False
    errno: int = 0


class Semihosting:
    """Carries out calls for one hart."""

    def __init__(
        self,
        hart: Hart,
        clock: Clock,
        time_ns: Callable[[], int],
        on_exit: Callable[[int], None],
        on_tx: Callable[[int], None],
        take_console: Callable[[], bytes],
        more_is_there: Callable[[], bool],
    ) -> None:
        self.state = SemihostingState()
        self._hart = hart
        self._clock = clock
        self._time_ns = time_ns
        self._on_exit = on_exit
        self._on_tx = on_tx
        self._take_console = take_console
        self._more_is_there = more_is_there
        hart.on_semihosting = self._call

    def reset(self) -> None:
        """Give the console back."""
        self.state = SemihostingState()

    # ---- the door

    def receive(self, data: bytes) -> int:
        """Take bytes for the read that waits; how many."""
        taken = data[: max(0, self.state.wanted - len(self.state.received))]
        self.state.received += taken
        return len(taken)

    def end_of_input(self) -> None:
        """No more will come: the read that waits ends with what it has."""
        self.state.ended = True

    # ---- the guest

    def _call(self, operation: int, parameter: int) -> int | None:
        """The result, or None to be called again when something has come."""
        if operation == Op.READ:
            return self._read(parameter)
        if operation == Op.READC:
            data = self._take_input(1)
            return None if data is None else data[0] if data else _FAILED
        handlers: dict[int, Callable[[int], int]] = {
            Op.OPEN: self._open, Op.CLOSE: self._close, Op.WRITEC: self._writec, Op.WRITE0: self._write0,
            Op.WRITE: self._write, Op.ISERROR: self._iserror, Op.ISTTY: self._istty, Op.EXIT: self._exit,
            Op.EXIT_EXTENDED: self._exit_extended, Op.ELAPSED: self._elapsed,
            Op.CLOCK: lambda _: self._clock.now_ns() // _NS_PER_CENTISECOND,
            Op.TIME: lambda _: self._time_ns() // NS_PER_S,
            Op.ERRNO: lambda _: self.state.errno,
            Op.TICKFREQ: lambda _: NS_PER_S,
        }  # fmt: skip
        handler = handlers.get(operation)
        return _FAILED if handler is None else handler(parameter)

    def _words(self, address: int, count: int) -> list[int] | None:
        size = self._hart.xlen // 8
        data = self._hart.read_virtual(address, size * count)
        if data is None:
            return None
        return [int.from_bytes(data[i * size : (i + 1) * size], "little") for i in range(count)]

    def _failure(self, errno: int) -> int:
        self.state.errno = errno
        return _FAILED

    def _send(self, data: bytes) -> None:
        for byte in data:
            self._on_tx(byte)

    def _open(self, parameter: int) -> int:
        words = self._words(parameter, 3)
        if words is None or self._hart.read_virtual(words[0], min(words[2], len(_TT) + 1)) != _TT:
            return self._failure(_ENOENT)
        if words[1] >= _MODE_APPEND:
            return _STDERR
        return _STDOUT if words[1] >= _MODE_WRITE else _STDIN

    def _close(self, parameter: int) -> int:
        return 0 if self._is_open(parameter) else self._failure(_EBADF)

    def _is_open(self, parameter: int) -> bool:
        words = self._words(parameter, 1)
        return words is not None and words[0] in (_STDIN, _STDOUT, _STDERR)

    def _istty(self, parameter: int) -> int:
        return int(self._is_open(parameter))

    def _iserror(self, parameter: int) -> int:
        words = self._words(parameter, 1)
        return int(words is None or bool(words[0] >> (self._hart.xlen - 1)))

    def _writec(self, parameter: int) -> int:
        data = self._hart.read_virtual(parameter, 1)
        self._send(data or b"")
        return 0

    def _write0(self, parameter: int) -> int:
        for at in range(parameter, parameter + _TEXT_MAX):
            data = self._hart.read_virtual(at, 1)
            if data is None or data == b"\0":
                break
            self._send(data)
        return 0

    def _write(self, parameter: int) -> int:
        """Returns the number of bytes NOT written."""
        words = self._words(parameter, 3)
        if words is None:
            return self._failure(_EBADF)
        handle, address, size = words
        data = self._hart.read_virtual(address, size) if size <= _TEXT_MAX else None
        if handle not in (_STDOUT, _STDERR) or data is None:
            self.state.errno = _EBADF
            return size
        self._send(data)
        return 0

    def _read(self, parameter: int) -> int | None:
        """Returns the number of bytes NOT read; waits for the first one only."""
        words = self._words(parameter, 3)
        if words is None:
            return self._failure(_EBADF)
        handle, address, size = words
        if handle != _STDIN or size == 0:
            return size
        data = self._take_input(min(size, _TEXT_MAX))
        if data is None:
            return None
        return size - len(data) if self._hart.write_virtual(address, data) else size

    def _take_input(self, wanted: int) -> bytes | None:
        state = self.state
        if not state.has_console:
            state.has_console = True
            state.received = self._take_console()
        is_short = len(state.received) < wanted and self._more_is_there()
        if is_short or (not state.received and not state.ended):
            state.wanted = wanted
            return None
        data, state.received = state.received[:wanted], state.received[wanted:]
        state.wanted, state.ended = 0, False
        return data

    def _exit(self, parameter: int) -> int:
        """On rv32 the parameter is the reason itself, on rv64 it points at reason and code."""
        if self._hart.xlen == 32:
            self._on_exit(0 if parameter == _APPLICATION_EXIT else _FAILURE_CODE)
            return 0
        return self._exit_extended(parameter)

    def _exit_extended(self, parameter: int) -> int:
        words = self._words(parameter, 2)
        if words is None:
            return self._failure(_EBADF)
        reason, code = words
        self._on_exit(code & 0xFFFFFFFF if reason == _APPLICATION_EXIT else _FAILURE_CODE)
        return 0

    def _elapsed(self, parameter: int) -> int:
        ok = self._hart.write_virtual(parameter, self._clock.now_ns().to_bytes(8, "little"))
        return 0 if ok else _FAILED
