"""Wiring for a part that a test uses without a board."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from minstret.emu.clock import Clock, ClockType
from minstret.emu.irq import IrqLine, KeptLine, LevelKeeper
from minstret.emu.part import Dma, Part, PieceOutput, Sink
from minstret.emu.timers import Timer, TimerAttribute, TimerList


class ToList:
    """An output that keeps what is sent."""

    may_wait = False

    def __init__(self, sent: list[bytes]) -> None:
        self.send = sent.append

    def send_late(self, data: bytes, icounts: Sequence[int]) -> None:
        self.send(data)


class BenchWiring:
    """See emu/part.py, Wiring. All names are the part's own.

    Attributes:
        lines, inputs: By name, ``irq`` for the interrupt.
        sent: What went out by each output, a piece a call.
        calls: Of the machine: an exit code, or "reset".
    """

    def __init__(self, part: Part, timers: TimerList, memory: Dma | None = None, *, charge: object = None) -> None:
        """Attach ``part``; its timers go on ``timers``, whatever their clock."""
        self._part, self._timers = part, timers
        self.clock: Clock = timers.clock
        self.host_clock: Clock = timers.clock
        if memory is not None:
            self.memory = memory
        self.lines: dict[str, IrqLine] = {}
        self.inputs: dict[str, Sink] = {}
        self.sent: dict[str, list[bytes]] = {}
        self.calls: list[object] = []
        self.charge = charge or (lambda work: None)
        part.attach(self)
        for inner in part.parts():
            wiring = BenchWiring(inner, timers, memory)
            self.sent |= wiring.sent
            self.inputs |= wiring.inputs

    def timer(
        self, name: str, callback: Callable[[int], None], clock: ClockType = ClockType.VIRTUAL,
        attributes: TimerAttribute = TimerAttribute.NONE,
    ) -> Timer:  # fmt: skip
        return Timer(f"{self._part.name}.{name}", self._timers, callback, attributes)

    def irq(self, keeper: LevelKeeper | None = None) -> IrqLine:
        return self.hart_line("irq", keeper=keeper)

    def hart_line(self, name: str, hart: int = 0, keeper: LevelKeeper | None = None) -> IrqLine:
        full_name = f"{self._part.name}.{name}{hart or ''}"
        line = IrqLine(full_name) if keeper is None else KeptLine(full_name, keeper)
        return self.lines.setdefault(f"{name}{hart or ''}", line)

    def input(self, name: str, sink: Sink) -> None:
        self.inputs[name] = sink

    def output(self, name: str, is_message: bool = True) -> Callable[[bytes], None]:
        return self.sent.setdefault(name, []).append

    def output_in_pieces(self, name: str) -> PieceOutput:
        return ToList(self.sent.setdefault(name, []))

    def answered(self, registers: object, catch_up: Callable[[], None] | None = None) -> bool:
        return False

    def ask(self, name: str, live: Callable[[], bytes]) -> bytes:
        return live()

    def generator(self, name: str = "") -> random.Random:
        return random.Random(name)

    def cached_register(self, offset: int, size: int, hart: int | None = None) -> Callable[[int | None], None]:
        return lambda value: None

    def room_for_input(self) -> None:
        """Nobody waits."""

    def request_exit(self, code: int) -> None:
        self.calls.append(code)

    def request_reset(self) -> None:
        self.calls.append("reset")
