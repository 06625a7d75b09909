"""Sessions with generated programs: recorded, replayed whole, up to an icount, and from a snapshot. By seed alone.

A program is one of generated_code.py; the host types, wakes a guest that sleeps in real time, and has a wall clock of
its own. However a replay is cut, counted and begun, it has to be the same run.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from support.generated_code import RAM_SIZE, generate
from support.own_devices import GPIO_BASE, GPIO_IRQ, PulsedGpio, Shout
from support.recordings import CTRL_C, Hand, Recorded, record, setup_of_code, typed

from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import HostAnswers
from minstret.devices.board.traced import Replay
from minstret.devices.hostside.side import KEYBOARD, NET_TARGET, NetConfig, input_target
from minstret.devices.hostside.timer_models import TIMER_MODELS
from minstret.devices.hostside.usernet.network import UserNetConfig
from minstret.emu.door.door import Event
from minstret.emu.hart.shared import WORK_MAX, Counting
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.part import Part
from minstret.emu.trace.reader import TraceReader

RECORDED_MODELS = tuple(model for model in TIMER_MODELS if model != "virtual-ext")
SLICES = (1, 2, 7, 97, 1000, None, None)
PULSED_NS = 20_000_000
"""A session with a user's own device ends here: pulses would come each microsecond through a sleep of centuries."""
QUANTA = (1, 3, 20, 100, 10_000)
"""With several harts all of them run the same program, over the same memory."""
COUNTINGS = (Counting.CODE,) * 5 + (Counting.BLOCKS,) + (Counting.INSTRUCTIONS,) * 3 + (Counting.PYTHON,)


SLOT: dict[str, tuple[str | None, dict[str, Any]]] = {
    "rng": (None, {}),
    "rng of the host": (None, {"entropy": "host"}),
    "keyboard": (input_target(KEYBOARD), {"inputs": (KEYBOARD,)}),
    "shout": ("shout0.word", {"entropy": "none"}),
    "pulses": ("gpio0.pins", {}),
    "net": (NET_TARGET, {"net": NetConfig(UserNetConfig(restrict=True, ipv6=False))}),
}
"""What is in the last virtio slot, of which the programs use a queue: the target of what comes by it, if anything does;
the configuration. With IPv6 the network would say that it is there until the end of a sleep of centuries."""


OWN: dict[str, tuple[Part, ...]] = {"shout": (Shout(),), "pulses": (PulsedGpio(GPIO_BASE, GPIO_IRQ, 1),)}
"""A user's own devices: in the slot, or with pulses that come by the door."""


class Host(Hand):
    """Types where the guest waits, and unasked at times, wakes it early, and presses Ctrl-C in the end.

    What comes to ``target``, a keyboard or a card, is anything.
    """

    def __init__(self, pick: random.Random, target: str | None = None) -> None:
        super().__init__(
            *[typed(bytes(pick.randrange(1, 256) for _ in range(pick.choice((1, 1, 3, 20))))) for _ in "ab"]
        )
        self._target, self._unasked = target, pick.choice((0, 0, 2, 6))
        self._pick, self._wall_ns = pick, pick.choice((0, 10**18, (1 << 63) - 10**6))

    def wall_ns(self) -> int:
        self._wall_ns += self._pick.choice((0, 1, 999, 54_321))
        return self._wall_ns

    def poll(self, wants_input: bool) -> Iterable[Event]:
        if self._unasked and self._pick.random() < 0.1:  # wherever a slice ends, and for whatever reason
            self._unasked -= 1
            self.give(typed(bytes([self._pick.randrange(1, 256)])))
        if self._target is not None and self._pick.random() < 0.3:
            size = 14 + self._pick.randrange(60) if self._target == NET_TARGET else 8 * self._pick.randint(1, 3)
            self.give(Event(self._target, self._pick.randbytes(size)))
        return super().poll(wants_input)

    def entropy(self, size: int) -> bytes:
        return self._pick.randbytes(size)

    def wait(self, timeout_ns: int | None) -> int:
        if timeout_ns is None:
            if self.is_empty:
                self.give(CTRL_C)
                return 0
            return super().wait(None)
        if self._pick.random() < 0.2:
            super().wait(timeout_ns)
        return self._pick.choice((timeout_ns, timeout_ns, timeout_ns + 1, self._pick.randrange(timeout_ns + 1)))


@dataclass
class Sessions:
    """Runs sessions and counts their kinds. ``run`` raises AssertionError, with the seed, if a replay differs."""

    folder: Path
    ends: Counter[str] = field(default_factory=Counter)
    sessions: int = 0
    replays: int = 0
    snapshots: int = 0

    def run(self, seed: str) -> None:
        """Record one session, and replay it whole, to an icount and from a snapshot."""
        pick = random.Random(seed)
        program = generate(seed, pick.choice((32, 64)))
        slot = pick.choice(list(SLOT))
        target, config = SLOT[slot]
        harts = random.Random(f"{seed}/harts")
        config = config | {"smp": harts.choice((1, 1, 2, 3, 4)), "quantum": harts.choice(QUANTA)}
        setup = setup_of_code(
            program.image().rstrip(b"\0"), xlen=program.xlen, ram_size=RAM_SIZE, icount_shift=program.icount_shift,
            sleep=pick.random() < 0.3, chaos_seed=pick.choice((None, pick.getrandbits(16))),
            timer_model=pick.choice(RECORDED_MODELS), rtc_follows_host=pick.random() < 0.3,
            slice_insns_max=pick.choice(SLICES), counting=pick.choice(COUNTINGS), **config,
        )  # fmt: skip
        setup = replace(setup, devices=OWN.get(slot, ()))
        self._own = [type(device) for device in setup.devices]
        try:
            recorded = self._record(setup, pick, target)
            self._replay(recorded, pick)
        except Exception as error:
            raise AssertionError(f"session {seed!r}, rv{program.xlen}, {setup.config.smp} harts: {error!r}") from error
        self.sessions += 1
        self.ends[recorded.end.outcome.reason.value] += 1

    def __str__(self) -> str:
        ends = ", ".join(f"{count} {reason}" for reason, count in sorted(self.ends.items()))
        return f"{self.sessions} sessions, {self.replays} replays, {self.snapshots} snapshots; ends: {ends}"

    def _record(self, setup: Setup, pick: random.Random, target: str | None) -> Recorded:
        host, limit = Host(pick, target), pick.choice((300, 1200, 2500))
        virtual_ns = PULSED_NS if setup.devices else None
        steps = sorted(pick.randrange(limit) for _ in range(pick.randrange(4)))
        work_max = pick.choice((WORK_MAX, 10, 30, 100))

        def drive(board: Board) -> Outcome | None:
            for hart in board.harts:
                hart.work_max = work_max
            for icount in steps:
                if board.run_until(icount=icount, virtual_ns=virtual_ns).reason is not StopReason.REACHED:
                    break
                host.give(typed(bytes([pick.randrange(256)])))
            return board.run_until(icount=limit, virtual_ns=virtual_ns)

        every = pick.choice((0, limit // 60, 60, 200, 700))
        recorded = record(
            self.folder / "run.mst", setup, source=host, host=HostAnswers(wall_ns=host.wall_ns, entropy=host.entropy),
            every=every, ring=pick.choice((0, 0, 1, 2, 3)) if every else 0, drive=drive,
        )  # fmt: skip
        self.snapshots += len(recorded.snapshots())
        return recorded

    def _replay(self, recorded: Recorded, pick: random.Random) -> None:
        end = recorded.end.position.icount
        with recorded.reader() as reader:
            snapshots = list(reader.snapshot_positions())
            first = snapshots[0][1].icount if snapshots and "first_snapshot" in reader.meta else 0
            middle = pick.randint(first, end)
            digest = self._play(reader, recorded, pick, middle)
            if snapshots:
                number, position = pick.choice(snapshots)
                found = self._play(reader, recorded, pick, middle if position.icount <= middle else None, number)
                assert found in (digest, None), f"other digests at icount {middle}, and from snapshot {number}"
            self._play(reader, recorded, pick, end)
            self._play(reader, recorded, pick, None)

    def _play(
        self, reader: TraceReader, recorded: Recorded, pick: random.Random, to: int | None, snapshot: int | None = None
    ) -> str | None:
        """Replay to an icount and then to the end. Returns the digest at that icount, None if there is none."""
        self.replays += 1
        end, digest = recorded.end, None
        replay = Replay(
            reader, snapshot=snapshot, slice_insns_max=pick.choice(SLICES), counting=pick.choice(COUNTINGS),
            devices=self._own,
        )  # fmt: skip
        outcome = replay.run(icount=to)
        if to is not None and to < end.position.icount:
            assert outcome.reason is StopReason.REACHED, outcome
            assert replay.board.position.icount == to
            digest = replay.board.digest()
            outcome = replay.run()
        found = outcome.reason, outcome.exit_code, replay.board.position, replay.board.digest()
        assert found == (end.outcome.reason, end.outcome.exit_code, end.position, end.digest)
        assert recorded.console.endswith(replay.board.console)
        return digest
