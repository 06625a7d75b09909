"""Guests that give a card far too much to do at one kick: the work comes in rounds, and every run of it is the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.guest_boards import summary
from support.recordings import CTRL_C, assert_replays, cut, record
from support.virtio_storms import endless, finishing

from minstret.devices.virtio.constants import ROUND_CHAINS_MAX, ROUND_NS
from minstret.emu.door.door import Event
from minstret.emu.door.live import LiveDoor
from minstret.emu.machine import StopReason

each_storm = pytest.mark.parametrize(
    ("chains", "descriptors", "size"), [(5, 700, 90), (200, 1, 54), (3, 1, 54)], ids=["long", "many", "few"]
)


@each_storm
def test_work_that_is_too_much_for_one_kick_takes_virtual_time(chains: int, descriptors: int, size: int) -> None:
    board = finishing(chains, descriptors, size).make()

    outcome = board.run()

    rounds = -(-chains // ROUND_CHAINS_MAX) if descriptors == 1 else -(-chains // 2)
    assert outcome.exit_code == 0
    assert board.card is not None
    assert board.card.state.sent + board.card.state.dropped_bad_size == chains
    assert (rounds - 1) * ROUND_NS <= board.position.virtual_ns < rounds * ROUND_NS


@each_storm
def test_storm_saved_and_put_back_anywhere_is_the_same_run(chains: int, descriptors: int, size: int) -> None:
    setup = finishing(chains, descriptors, size)
    board = setup.make()
    whole = summary(board, board.run())

    for step in (1999, 4999):
        again = setup.make()
        while again.position.icount < board.position.icount - step:
            again.run_until(icount=again.position.icount + step)
            cut(again)
        assert summary(again, again.run()) == whole


@each_storm
def test_storm_recorded_replays_the_same(chains: int, descriptors: int, size: int, tmp_path: Path) -> None:
    recorded = record(tmp_path, finishing(chains, descriptors, size), every=3001)

    assert_replays(recorded)
    assert_replays(recorded, slice_insns_max=7)
    for snapshot in recorded.snapshots():
        assert_replays(recorded, snapshot=snapshot)


class Impatient:
    """A host that asks for the end at its ``polls``-th poll."""

    is_open = True

    def __init__(self, polls: int) -> None:
        self._left = polls

    def poll(self, wants_input: bool) -> list[Event]:
        self._left -= 1
        return [] if self._left > 0 else [CTRL_C]

    def wait(self, timeout_ns: int | None) -> int:
        return 0


def test_endless_storm_hears_the_host_between_two_rounds() -> None:
    board = endless().make(door=LiveDoor(Impatient(polls=60)))

    outcome = board.run()

    assert outcome.reason is StopReason.INTERRUPTED
    assert board.card is not None
    assert 0 < board.card.state.dropped_bad_size + board.card.state.sent <= 60 * 5
