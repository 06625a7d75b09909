"""Recordings of several guests, and what they are in the forms of other tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.own_devices import PulsedGpio, example_setup
from support.recordings import Hand, Recorded, record, setup_of_image, typed

from minstret.devices.board.board import Board
from minstret.devices.board.traced import Replay
from minstret.devices.virtio.input_codes import Key
from minstret.emu.machine import Outcome
from minstret.emu.questions.exports.form import RunFacts, facts_of
from minstret.emu.questions.exports.forms import form_of
from minstret.emu.questions.happenings import ALL, Happening
from minstret.emu.questions.noting import Happenings
from minstret.emu.session import NO_LIMITS, RunLimits


def _press(board: Board) -> Outcome | None:
    board.run_until(uart="ready")
    assert board.host_side is not None
    board.host_side.input.press([Key.KEY_A])
    return None


GUESTS: dict[str, Callable[[Path], Recorded]] = {
    "dhcp": lambda path: record(path, setup_of_image("dhcp-wfi")),
    "keys": lambda path: record(path, setup_of_image("keys"), drive=_press, icount=300_000),
    "smp": lambda path: record(path, setup_of_image("smp", smp=3, quantum=500)),
    "ticks": lambda path: record(path, setup_of_image("ticks"), every=10_000),
    "gpio": lambda path: record(path, example_setup("gpio")),
    "echo": lambda path: record(path, setup_of_image("echo"), source=Hand(typed("hé\n".encode()), typed(b".q"))),
}
"""By name: what records it."""


def replay_of(recorded: Recorded, **options: Any) -> Replay:
    """A replay of one of these."""
    with recorded.reader() as reader:
        devices = [PulsedGpio] if "devices" in reader.meta else []
    return Replay(recorded.path, devices=devices, **options)


def happenings_of(recorded: Recorded, kinds: frozenset[type[Happening]] = ALL) -> list[Happening]:
    """What happens in it."""
    return list(Happenings(replay_of(recorded), kinds))


def facts_of_recorded(recorded: Recorded) -> RunFacts:
    """What is known of it before."""
    replay = replay_of(recorded)
    symbols = replay.board.symbols
    return facts_of(replay, Happenings(replay), name="run.mst", made_by="minstret 1", symbols=symbols)


def exported(
    recorded: Recorded, name: str, *, stop: RunLimits = NO_LIMITS, snapshot: int | None = None, stride: int = 250_000
) -> bytes:  # fmt: skip
    """It in the form of that name."""
    replay, form, pieces = replay_of(recorded, snapshot=snapshot), form_of(name), list[bytes]()
    happenings = Happenings(replay, form.KINDS, stop=stop, stride_insns=stride)
    facts = facts_of(replay, happenings, name="run.mst", made_by="minstret 1", symbols=replay.board.symbols)
    writer = form(facts, pieces.append)
    for happening in happenings:
        writer.add(happening)
    writer.finish(happenings.position)
    return b"".join(pieces)
