"""What is known of a run before it is gone through."""

from __future__ import annotations

from collections.abc import Callable

from support.exported import facts_of_recorded
from support.recordings import Recorded

from minstret.emu.door.door import Position
from minstret.emu.hart.spec import PRIV_M
from minstret.emu.questions.exports.form import TimerFacts


def test_facts_are_of_the_board_and_of_the_whole_recording(guest: Callable[[str], Recorded]) -> None:
    facts = facts_of_recorded(guest("dhcp"))

    assert facts.start == Position(0, 0)
    assert facts.privileges == (PRIV_M,)
    assert {"uart0.irq", "clint.mtip", "plic.meip"} <= set(facts.lines)
    assert facts.sources[10] == "uart0"
    assert facts.card == ("net0", bytes.fromhex("525400123456"))
    timers = {timer.name: timer for timer in facts.timers}
    assert timers["clint.mtimecmp"].clock == "virtual"
    assert not timers["clint.mtimecmp"].is_external


def test_external_timers_are_told_with_what_they_have_saved(guest: Callable[[str], Recorded]) -> None:
    external = [timer for timer in facts_of_recorded(guest("dhcp")).timers if timer.is_external]

    assert external
    assert all(isinstance(timer, TimerFacts) and timer.fired is not None for timer in external)
    assert sum(timer.saved for timer in external) > 0


def test_users_devices_have_pins_and_each_hart_a_privilege(guest: Callable[[str], Recorded]) -> None:
    assert ("gpio0.out", 64) in facts_of_recorded(guest("gpio")).pins
    assert facts_of_recorded(guest("smp")).privileges == (PRIV_M,) * 3
    assert facts_of_recorded(guest("ticks")).card is None
