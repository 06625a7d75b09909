"""Recordings of guests and their replays, for tests: hosts that need no terminal, and what must agree."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support import asm

from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import BoardConfig, HostAnswers
from minstret.devices.board.console import CONSOLE_TARGET
from minstret.devices.board.map import Base
from minstret.devices.board.traced import Recording, Replay
from minstret.devices.hostside.side import KEYBOARD, TABLET, NetConfig
from minstret.devices.hostside.usernet.network import Files, UserNetConfig
from minstret.devices.services.semihosting import Op
from minstret.emu.door.door import Event
from minstret.emu.door.live import Source
from minstret.emu.door.recording import RecordOptions
from minstret.emu.images.loader import ImageFile, read_image
from minstret.emu.machine import STOP_TARGET, Outcome, StopReason
from minstret.emu.session import End
from minstret.emu.timeline import Timeline
from minstret.emu.trace.format import Item
from minstret.emu.trace.reader import TraceReader
from minstret.firmware import image_path

RAM = int(Base.RAM)
RAM_SIZE = 1 << 20
FINISHER, UART = int(Base.FINISHER), int(Base.UART0)
PASS, FAIL, RESET = 0x5555, 0x3333, 0x7777
NET_IMAGES = ("dhcp", "dhcp-wfi", "tftp")
TFTP_TEXT = bytes(range(256)) * 9

CTRL_C = Event(STOP_TARGET, StopReason.INTERRUPTED.value.encode())
TIMEOUT = Event(STOP_TARGET, StopReason.TIMEOUT.value.encode())
TERMINATED = Event(STOP_TARGET, b"terminated 15")


def typed(data: bytes) -> Event:
    """``data`` typed at the console."""
    return Event(CONSOLE_TARGET, data)


class Hand:
    """A host that hands over ``planned`` events one at a time, whenever the guest waits; others at once.

    While a guest sleeps in real time (sleep=on) each wait is cut short after ``nap_of(timeout)``.
    """

    def __init__(
        self, *planned: Event, stays: bool = False, nap_of: Callable[[int], int] = lambda timeout_ns: timeout_ns
    ) -> None:
        self._planned, self._now = list(planned), list[Event]()
        self._nap_of = nap_of
        self._stays = stays  # whether more may come even where nothing is planned

    @property
    def is_open(self) -> bool:
        return self._stays or bool(self._planned or self._now)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is planned any more."""
        return not self._planned

    def give(self, event: Event) -> None:
        self._now.append(event)

    def poll(self, wants_input: bool) -> Iterable[Event]:
        now = [event for event in self._now if wants_input or event.target != CONSOLE_TARGET]
        self._now = [event for event in self._now if event not in now]
        return now

    def wait(self, timeout_ns: int | None) -> int:
        if self._planned:
            self._now.append(self._planned.pop(0))
        elif not self._now:
            assert timeout_ns is not None, "the guest waits for input that the test does not give"
            return timeout_ns
        return 0 if timeout_ns is None else self._nap_of(timeout_ns)


@dataclass
class OneFile:
    """A TFTP server's folder with one file."""

    name: str = "hello.txt"
    data: bytes = TFTP_TEXT

    def size(self, name: str) -> int | None:
        return len(self.data) if name == self.name else None

    def read(self, name: str, offset: int, size: int) -> bytes:
        return self.data[offset : offset + size]


def setup_of_image(image: str, xlen: int = 64, **config: Any) -> Setup:
    """An image on a board with what it needs."""
    files: Files | None = OneFile() if image == "tftp" else None
    if image in NET_IMAGES:
        config = {"net": NetConfig(UserNetConfig(restrict=True))} | config
    if image == "keys":
        config = {"inputs": (KEYBOARD, TABLET)} | config
    return Setup(BoardConfig(**{"ram_size": RAM_SIZE} | config), read_image(image_path(image, xlen)), files=files)


def setup_of_code(*pieces: bytes | tuple[int, bytes], xlen: int = 64, **config: Any) -> Setup:
    """Code at the start of RAM; further pieces as (offset in RAM, bytes)."""
    size = max(len(p) if isinstance(p, bytes) else p[0] + len(p[1]) for p in pieces)
    image = bytearray(size)
    for piece in pieces:
        offset, data = (0, piece) if isinstance(piece, bytes) else piece
        image[offset : offset + len(data)] = data
    return Setup(BoardConfig(**{"ram_size": RAM_SIZE, "xlen": xlen} | config), ImageFile("test.bin", bytes(image)))


# ---- record, replay


@dataclass
class Recorded:
    """A finished recording, and what was seen from outside while it was made."""

    path: str
    end: End
    console: bytes
    frames: list[bytes] = field(default_factory=list)

    @contextmanager
    def reader(self) -> Iterator[TraceReader]:
        with closing(TraceReader(self.path)) as reader:
            yield reader

    def items(self) -> list[Item]:
        with self.reader() as reader:
            return list(reader.items())

    def snapshots(self) -> list[int]:
        with self.reader() as reader:
            return [number for number, _ in reader.snapshot_positions()]


Drive = Callable[[Board], Outcome | None]
"""Runs a board up to where the rest of the run needs nobody, or to its end (its outcome)."""


def record(
    path: Path, setup: Setup, *, source: Source | None = None, host: HostAnswers | None = None, every: int = 0,
    ring: int = 0, icount: int | None = None, drive: Drive = lambda board: None,
) -> Recorded:  # fmt: skip
    """Record a whole run into ``path``, a folder or a file."""
    file = path / "run.mst" if path.is_dir() else path
    options = RecordOptions(snapshot_every_insns=every, ring=ring)
    frames: list[bytes] = []
    with Recording(str(file), setup, source=source, host=host, options=options, overwrite=True) as recording:
        board = recording.board
        board.on_frame = frames.append
        outcome = drive(board)
        if outcome is None:
            recording.run(icount=icount)
        else:
            recording.finish(outcome)
    assert recording.end is not None
    return Recorded(str(file), recording.end, bytes(board.console), frames)


def assert_replays(
    recorded: Recorded, *, snapshot: int | None = None, drive: Callable[[Board], None] = lambda board: None,
    prepare: Callable[[Board], None] = lambda board: None, to_icount: int | None = None, **options: Any,
) -> None:  # fmt: skip
    """Replay, and compare all that can be seen: the end, the digest, the console, the frames.

    ``to_icount`` is as for Replay.run: the recording's last one, or beyond.
    """
    with recorded.reader() as reader:
        replay = Replay(reader, snapshot=snapshot, **options)
        board, frames = replay.board, list[bytes]()
        board.on_frame = frames.append
        prepare(board)
        drive(board)
        outcome = replay.run(icount=to_icount)
        assert (outcome, board.position, board.digest()) == (
            recorded.end.outcome, recorded.end.position, recorded.end.digest
        )  # fmt: skip
        if replay.is_whole:
            assert hashlib.sha256(board.console).hexdigest() == recorded.end.uart_sha256
            assert frames == recorded.frames
        else:
            assert recorded.console.endswith(board.console)
            assert recorded.frames[len(recorded.frames) - len(frames) :] == frames


def cut(board: Board) -> None:
    """Save all of the machine, spoil it, and put it back."""
    machine = board.machine
    state, ram = machine.save_state(), bytes(machine.memory.ram)
    machine.hart.write_physical(machine.memory.ram_base, bytes(len(ram)))
    machine.hart.reset(0)
    machine.hart.write_physical(machine.memory.ram_base, ram)
    machine.load_state(state)


def tamper(path: str, sql: str, *values: Any) -> int:
    """Change a trace from outside; how many rows were."""
    with closing(sqlite3.connect(path)) as db:
        count = db.execute(sql, values).rowcount
        db.commit()
    return count


# ---- guests made by hand


def without_end(path: str) -> None:
    """As if it had been recorded for days, and killed then: a replay of it goes on until it is stopped."""
    tamper(path, "UPDATE reached SET icount = ?, virtual_ns = ?", 1 << 40, 2 << 40)
    tamper(path, "DELETE FROM meta WHERE key = 'end'")


def call(op: int, parameter: int = 0) -> bytes:
    """A semihosting call."""
    return asm.code(asm.li(asm.A0, op), asm.li(asm.A1, parameter), (0x01F01013, asm.EBREAK, 0x40705013))


def reader_code() -> bytes:
    """Reads bytes by semihosting and sends them back, up to a full stop or the end of input; then passes."""
    at = RAM + 0x800
    consts = asm.code(asm.li(asm.S1, at), asm.addi(asm.T0, asm.ZERO, -1), asm.addi(asm.T1, asm.ZERO, ord(".")))
    back = asm.code(asm.sb(asm.A0, asm.S1, 0)) + call(Op.WRITEC, at)
    end = len(back) + 8  # from the second branch
    ask = call(Op.READC) + asm.code(asm.beq(asm.A0, asm.T0, end + 4), asm.beq(asm.A0, asm.T1, end))
    body = ask + back
    return consts + body + asm.code(asm.jal(asm.ZERO, -len(body))) + finish_code(PASS)


BOOTS_AT = 0x2000
"""Where ``resetter_code`` counts its boots, from the start of RAM; no image is there."""


def resetter_code() -> bytes:
    """Says how often it has booted, then echoes what it polls from the UART: ``r`` resets, a full stop passes."""
    start = asm.code(
        asm.li(asm.S1, UART), asm.li(asm.A3, ord("r")), asm.li(asm.A4, ord(".")),
        asm.li(asm.T0, RAM + BOOTS_AT), asm.lw(asm.T1, asm.T0, 0), asm.addi(asm.T1, asm.T1, 1),
        asm.sw(asm.T1, asm.T0, 0), asm.addi(asm.T1, asm.T1, ord("0")), asm.sb(asm.T1, asm.S1, 0),
    )  # fmt: skip
    poll = asm.code(asm.lb(asm.T0, asm.S1, 5), asm.slli(asm.T0, asm.T0, 63), asm.beq(asm.T0, asm.ZERO, -8))
    echo = asm.code(asm.lb(asm.A0, asm.S1, 0), asm.sb(asm.A0, asm.S1, 0))
    reset, finish = finish_code(RESET), finish_code(PASS)
    choose = asm.code(
        asm.beq(asm.A0, asm.A4, 8 + len(reset)), asm.bne(asm.A0, asm.A3, -(len(poll) + len(echo) + 4))
    )  # fmt: skip
    return start + poll + echo + choose + reset + finish


def finish_code(value: int) -> bytes:
    """Writes ``value`` to the finisher."""
    return asm.code(asm.li(asm.T3, FINISHER), asm.li(asm.T4, value), asm.sw(asm.T4, asm.T3, 0), asm.LOOP)


def interrupt_at_stride(timeline: Timeline, number: int) -> None:
    """Have moves of ``timeline`` interrupted once, at the stride of that number from now on."""
    strides = 0

    def on_stride() -> None:
        nonlocal strides
        strides += 1
        if strides == number:
            timeline.interrupt()

    timeline.on_stride = on_stride
