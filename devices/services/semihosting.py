"""RISC-V semihosting: a debugger's services for firmware, called by a marked EBREAK.

    slli x0, x0, 0x1f ; ebreak ; srai x0, x0, 7      a0 = operation, a1 = parameter; result in a0

``:tt`` is the console. A read takes what comes through the door; where nothing has come, the hart waits on its EBREAK.
With its first read semihosting takes the console's input over from the UART. ``:semihosting-features`` says what is
there; other names are files below a folder of the host's, if the board was given one. A call counts as one
instruction. One call moves 1 MiB at most, and says so.
Source: RISC-V Semihosting 0.4; Semihosting for AArch32 and AArch64 (Arm), for the operations.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial

from minstret.devices.services.guestfiles import GuestFiles, OpenFile
from minstret.emu.clock import Clock
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.shared import BYTES_A_CALL, PAGE_SIZE
from minstret.emu.part import Part
from minstret.emu.units import NS_PER_S

_TT, _FEATURES = b":tt", b":semihosting-features"
_STDIN, _STDOUT, _STDERR = CONSOLE = (1, 2, 3)
_FIRST_FILE = 4
_FILES_MAX = 64
_NAME_MAX = 4096
_MODE_WRITE, _MODE_APPEND, _MODE_LAST = 4, 8, 11
_FEATURE_BYTES = b"SHFB" + bytes([0b11])
"""The magic, then: EXIT_EXTENDED is there, and ``:tt`` opened to append is standard error."""
_NS_PER_CENTISECOND = NS_PER_S // 100
_SIZE_MAX = 1 << 20
_OFFSET_MAX = (1 << 63) - 1
_TMPNAM_ID_MAX = 255
_FAILED = -1


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
    SEEK = 0x0A
    FLEN = 0x0C
    TMPNAM = 0x0D
    REMOVE = 0x0E
    RENAME = 0x0F
    CLOCK = 0x10
    TIME = 0x11
    ERRNO = 0x13
    GET_CMDLINE = 0x15
    HEAPINFO = 0x16
    EXIT = 0x18
    EXIT_EXTENDED = 0x20
    ELAPSED = 0x30
    TICKFREQ = 0x31


_APPLICATION_EXIT = 0x20026
_FAILURE_CODE = 1


@dataclass(slots=True)
class SemihostingState:
    """Where semihosting is.

    Attributes:
        has_console: Input goes here, not to the UART.
        wanted: How many bytes the read that waits is for.
        received: Bytes that came and were not read yet.
        ended: No more input will come.
        errno: Of the last call that failed.
        files: What is open, by handle.
    """

    has_console: bool = False
    wanted: int = 0
    received: bytes = b""
    ended: bool = False
    errno: int = 0
    files: dict[int, OpenFile] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a program may ask about: its command line, free RAM as [start, end), whether there are files."""

    command_line: bytes = b""
    free_ram: tuple[int, int] = (0, 0)
    has_files: bool = False


class Semihosting(Part):
    """Carries out the calls of all harts."""

    name = "semihosting"

    def __init__(
        self,
        harts: Sequence[Hart],
        clock: Clock,
        time_ns: Callable[[], int],
        on_exit: Callable[[int], None],
        on_tx: Callable[[bytes], None],
        take_console: Callable[[], bytes],
        more_is_there: Callable[[], bool],
        files: GuestFiles,
        surroundings: Surroundings,
    ) -> None:
        self.state: SemihostingState = SemihostingState()
        self._hart = harts[0]
        """The one that calls."""
        self._clock = clock
        self._time_ns = time_ns
        self._on_exit = on_exit
        self._on_tx = on_tx
        self._take_console = take_console
        self._more_is_there = more_is_there
        self._files = files
        self._surroundings = surroundings
        self.on_no_files: Callable[[bytes], None] = lambda name: None
        """Called with the name of a file that is asked for where the board has none."""
        self._handlers: dict[int, Callable[[int], int | None]] = {
            Op.OPEN: self._open, Op.CLOSE: self._close, Op.WRITEC: self._writec, Op.WRITE0: self._write0,
            Op.WRITE: self._write, Op.READ: self._read, Op.READC: self._readc, Op.ISERROR: self._iserror,
            Op.ISTTY: self._istty, Op.SEEK: self._seek, Op.FLEN: self._flen, Op.TMPNAM: self._tmpnam,
            Op.REMOVE: self._remove, Op.RENAME: self._rename, Op.GET_CMDLINE: self._get_cmdline,
            Op.HEAPINFO: self._heapinfo, Op.EXIT: self._exit, Op.EXIT_EXTENDED: self._exit_extended,
            Op.ELAPSED: self._elapsed,
            Op.CLOCK: lambda _: self._clock.now_ns() // _NS_PER_CENTISECOND,
            Op.TIME: lambda _: self._time_ns() // NS_PER_S,
            Op.ERRNO: lambda _: self.state.errno,
            Op.TICKFREQ: lambda _: NS_PER_S,
        }  # fmt: skip
        for hart in harts:
            hart.on_semihosting = partial(self._call, hart)

    def reset(self) -> None:
        """Give the console back, and close the files."""
        self.state = SemihostingState()
        self._files.close_all()

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

    def _call(self, hart: Hart, operation: int, parameter: int) -> int | None:
        """The result, or None to be called again when something has come."""
        self._hart = hart
        handler = self._handlers.get(operation)
        return _FAILED if handler is None else handler(parameter)

    def _words(self, address: int, count: int) -> list[int] | None:
        size = self._hart.xlen // 8
        data = self._hart.read_virtual(address, size * count)
        if data is None:
            return None
        return [int.from_bytes(data[i * size : (i + 1) * size], "little") for i in range(count)]

    def _store_words(self, address: int, *words: int) -> bool:
        size = self._hart.xlen // 8
        return self._hart.write_virtual(address, b"".join(word.to_bytes(size, "little") for word in words), self.name)

    def _failure(self, error: int) -> int:
        self.state.errno = error
        return _FAILED

    def _moved(self, data: bytes) -> bytes:
        """``data``, charged as work: after a large call the slice ends soon, so that the host is asked in between."""
        self._hart.charge(len(data) // BYTES_A_CALL)
        return data

    # ---- handles

    def _open(self, parameter: int) -> int:
        words = self._words(parameter, 3)
        if words is None:
            return self._failure(errno.EFAULT)
        name, mode = self._name(words[0], words[2]), words[1]
        if isinstance(name, int):
            return self._failure(name)
        if mode > _MODE_LAST:
            return self._failure(errno.EINVAL)
        if name == _TT:
            return _STDERR if mode >= _MODE_APPEND else _STDOUT if mode >= _MODE_WRITE else _STDIN
        return self._open_file(OpenFile(name, mode))

    def _name(self, address: int, size: int) -> bytes | int:
        """The name of a file, or the error's number."""
        if size > _NAME_MAX:
            return errno.ENAMETOOLONG
        name = self._hart.read_virtual(address, size)
        return errno.EFAULT if name is None else name

    def _open_file(self, file: OpenFile) -> int:
        files = self.state.files
        if len(files) >= _FILES_MAX:
            return self._failure(errno.EMFILE)
        handle = next(n for n in range(_FIRST_FILE, _FIRST_FILE + _FILES_MAX) if n not in files)
        if file.name == _FEATURES:
            error = 0 if file.mode < 2 else errno.EACCES
        elif self._surroundings.has_files:
            error = self._files.open(handle, file)
        else:
            error = errno.ENOENT
            self.on_no_files(file.name)
        if error:
            return self._failure(error)
        files[handle] = file
        return handle

    def _handle(self, parameter: int) -> int | None:
        """The handle of a call with nothing else, if it is open."""
        words = self._words(parameter, 1)
        return words[0] if words is not None and (words[0] in CONSOLE or words[0] in self.state.files) else None

    def _close(self, parameter: int) -> int:
        handle = self._handle(parameter)
        if handle is None:
            return self._failure(errno.EBADF)
        if self.state.files.pop(handle, None) is not None:
            self._files.close(handle)
        return 0

    def _istty(self, parameter: int) -> int:
        handle = self._handle(parameter)
        return self._failure(errno.EBADF) if handle is None else int(handle in CONSOLE)

    def _seek(self, parameter: int) -> int:
        words = self._words(parameter, 2)
        file = None if words is None else self.state.files.get(words[0])
        if words is None or file is None:
            return self._failure(errno.ESPIPE if words is not None and words[0] in CONSOLE else errno.EBADF)
        if words[1] > _OFFSET_MAX:
            return self._failure(errno.EINVAL)
        file.offset = words[1]
        return 0

    def _flen(self, parameter: int) -> int:
        handle = self._handle(parameter)
        if handle is None:
            return self._failure(errno.EBADF)
        file = self.state.files.get(handle)
        if file is None:
            return 0
        if file.name == _FEATURES:
            return len(_FEATURE_BYTES)
        error, size = self._files.size(handle, file)
        return self._failure(error) if error else size

    def _iserror(self, parameter: int) -> int:
        words = self._words(parameter, 1)
        return int(words is None or bool(words[0] >> (self._hart.xlen - 1)))

    # ---- writing

    def _writec(self, parameter: int) -> int:
        data = self._hart.read_virtual(parameter, 1)
        if data:
            self._on_tx(data)
        return 0

    def _write0(self, parameter: int) -> int:
        text, at = bytearray(), parameter
        while len(text) < _SIZE_MAX:
            data = self._hart.read_virtual(at, PAGE_SIZE - at % PAGE_SIZE)
            if data is None:
                break
            text += data.partition(b"\0")[0]
            if b"\0" in data:
                break
            at += len(data)
        if text:
            self._on_tx(self._moved(bytes(text)))
        return 0

    def _write(self, parameter: int) -> int:
        """Returns the number of bytes NOT written."""
        words = self._words(parameter, 3)
        if words is None:
            return self._failure(errno.EFAULT)
        handle, address, size = words
        file = self.state.files.get(handle)
        if handle not in (_STDOUT, _STDERR) and (file is None or file.name == _FEATURES):
            self.state.errno = errno.EBADF
            return size
        data = self._hart.read_virtual(address, min(size, _SIZE_MAX))
        if data is None:
            self.state.errno = errno.EFAULT
            return size
        written = len(self._moved(data))
        if file is not None:
            error, written = self._files.write(handle, file, data)
            self.state.errno = error or self.state.errno
        elif data:
            self._on_tx(data)
        return size - written

    # ---- reading

    def _read(self, parameter: int) -> int | None:
        """Returns the number of bytes NOT read; waits for the first one only, and where it is the console's."""
        words = self._words(parameter, 3)
        if words is None:
            return self._failure(errno.EFAULT)
        handle, address, size = words
        if size == 0:
            return 0
        if handle == _STDIN:
            data = self._take_input(min(size, _SIZE_MAX))
        elif handle in self.state.files:
            data = self._read_file(handle, min(size, _SIZE_MAX))
        else:
            self.state.errno = errno.EBADF
            return size
        if data is None:
            return None
        return size - len(data) if self._hart.write_virtual(address, self._moved(data), self.name) else size

    def _read_file(self, handle: int, size: int) -> bytes:
        """Nothing at the end, or where that fails."""
        file = self.state.files[handle]
        if file.name == _FEATURES:
            data = _FEATURE_BYTES[file.offset : file.offset + size]
            file.offset += len(data)
            return data
        error, data = self._files.read(handle, file, size)
        if error:
            self.state.errno = error
        return data

    def _readc(self, parameter: int) -> int | None:
        data = self._take_input(1)
        return None if data is None else data[0] if data else _FAILED

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

    # ---- names

    def _remove(self, parameter: int) -> int:
        words = self._words(parameter, 2)
        name = errno.EFAULT if words is None else self._name(*words)
        if isinstance(name, int):
            return self._failure(name)
        error = self._files.remove(name) if self._surroundings.has_files else errno.ENOENT
        return self._failure(error) if error else 0

    def _rename(self, parameter: int) -> int:
        words = self._words(parameter, 4)
        if words is None:
            return self._failure(errno.EFAULT)
        old, new = self._name(*words[:2]), self._name(*words[2:])
        if isinstance(old, int):
            return self._failure(old)
        if isinstance(new, int):
            return self._failure(new)
        error = self._files.rename(old, new) if self._surroundings.has_files else errno.ENOENT
        return self._failure(error) if error else 0

    def _tmpnam(self, parameter: int) -> int:
        """A name for each number: what is below the folder is the guest's own."""
        words = self._words(parameter, 3)
        if words is None or words[1] > _TMPNAM_ID_MAX:
            return self._failure(errno.EINVAL)
        address, number, size = words
        return self._give(address, size, b"tmp-%02x" % number)

    def _give(self, address: int, size: int, text: bytes) -> int:
        """Store ``text`` with a NUL where there is room for ``size`` bytes."""
        if len(text) >= size:
            return self._failure(errno.EINVAL)
        return 0 if self._hart.write_virtual(address, text + b"\0", self.name) else self._failure(errno.EFAULT)

    # ---- what is there

    def _get_cmdline(self, parameter: int) -> int:
        words, text = self._words(parameter, 2), self._surroundings.command_line
        if words is None:
            return self._failure(errno.EFAULT)
        address, size = words
        result = self._give(address, size, text)
        if result == 0 and not self._store_words(parameter, address, len(text)):
            return self._failure(errno.EFAULT)
        return result

    def _heapinfo(self, parameter: int) -> int:
        """Heap upwards and stack downwards in what RAM the images leave free."""
        words = self._words(parameter, 1)
        start, end = self._surroundings.free_ram
        if words is None or not self._store_words(words[0], start, end, end, start):
            return self._failure(errno.EFAULT)
        return 0

    # ---- ends and time

    def _exit(self, parameter: int) -> int:
        """On rv32 the parameter is the reason itself, on rv64 it points at reason and code."""
        if self._hart.xlen == 32:
            self._on_exit(0 if parameter == _APPLICATION_EXIT else _FAILURE_CODE)
            return 0
        return self._exit_extended(parameter)

    def _exit_extended(self, parameter: int) -> int:
        words = self._words(parameter, 2)
        if words is None:
            return self._failure(errno.EFAULT)
        reason, code = words
        self._on_exit(code & 0xFFFFFFFF if reason == _APPLICATION_EXIT else _FAILURE_CODE)
        return 0

    def _elapsed(self, parameter: int) -> int:
        ok = self._hart.write_virtual(parameter, self._clock.now_ns().to_bytes(8, "little"), self.name)
        return 0 if ok else _FAILED
