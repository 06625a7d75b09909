"""What the guest is expected to say, and what ends its run: ``--until``, ``--fail-on``, and EXPECT in a script.

The run ends right behind the instruction that has sent the last character. That is the host side's decision, so it
comes by an event at the door, with a text, and a recording ends there in the same way and with the same words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from minstret.devices.hostside.hostinput.script import InputScript
from minstret.devices.hostside.matcher import ConsoleMatcher
from minstret.emu.door.door import Event
from minstret.emu.expect import Expected, quoted
from minstret.emu.machine import STOP_TARGET, Outcome, StopReason, stop_request
from minstret.emu.text import printable
from minstret.emu.timers import TimerList

_LINE_SHOWN, _LINE_LOOKED_AT, _EXPECTATION_SHOWN = 60, 1000, 160


@dataclass(frozen=True, slots=True)
class Ending:
    """What the guest says at the end of its run: at a good one (UNTIL), or at a bad one (FAIL_ON)."""

    reason: StopReason
    expected: Expected

    @property
    def shown(self) -> str:
        """As it is given to the command."""
        return f"--{self.reason.value} {self.expected.shown}"


def until(*expected: Expected) -> tuple[Ending, ...]:
    """The run goes on until the guest says one of these."""
    return tuple(Ending(StopReason.UNTIL, each) for each in expected)


def fail_on(*expected: Expected) -> tuple[Ending, ...]:
    """The guest says none of these, or else it has failed."""
    return tuple(Ending(StopReason.FAIL_ON, each) for each in expected)


class Expectations:
    """Ends the run by what the guest says, or has not said.

    Attributes:
        matcher: Looks for the endings in all that the guest sends to its console.
    """

    def __init__(
        self, endings: Sequence[Ending], script: InputScript, timers: TimerList, post: Callable[[Event], None],
        console: bytearray,
    ) -> None:  # fmt: skip
        """Listen for ``endings``.

        Args:
            endings: Of several that come at the same character the first one counts.
            script: Says what else is expected.
            timers: The timer list of the virtual clock.
            post: Hands an event to the door.
            console: Every byte the guest has sent.
        """
        self._endings = tuple(endings)
        self._script, self._post, self._console = script, post, console
        self.matcher = ConsoleMatcher("expectations", timers, self._wanted, self._on_match)
        script.on_missed = self._miss
        if endings:
            self.matcher.start()

    def _wanted(self) -> list[Expected]:
        return [ending.expected for ending in self._endings]

    def hear(self, data: bytes) -> None:
        """The guest has sent ``data`` to its console."""
        if self.matcher.state.is_matching:
            self.matcher.hear(data)

    def _on_match(self, number: int) -> None:
        if number < len(self._endings):
            ending = self._endings[number]
            said = "" if ending.reason is StopReason.UNTIL else f": {last_said(self._console)}"
            self._end(ending.reason, f"{printable(ending.expected.shown, _EXPECTATION_SHOWN)}{said}")

    def _miss(self, text: str) -> None:
        self._end(StopReason.EXPECTATION_MISSED, f"{text}; {last_said(self._console)}")

    def _end(self, reason: StopReason, text: str) -> None:
        self._post(Event(STOP_TARGET, stop_request(reason, text=text)))

    # ---- the end comes by itself

    def before_end(self, outcome: Outcome) -> bool:
        """The guest has finished with 0, or waits forever: whether that is not how the run ends; see Machine."""
        if self.matcher.settle() or self._script.settle():
            return True
        waits = outcome.reason is StopReason.WAITS_FOREVER
        return self.miss("the guest waits forever" if waits else "the guest has finished with 0")

    def miss(self, why: str) -> bool:
        """The run is over: if something that was expected has not been said, end it by that. Whether there is such."""
        text = self._script.open_line() or self._open_ending()
        if text is not None:
            self._miss(f"{printable(text, _EXPECTATION_SHOWN)}: not said: {why}")
        return text is not None

    def _open_ending(self) -> str | None:
        endings = [ending.shown for ending in self._endings if ending.reason is StopReason.UNTIL]
        return endings[0] if endings and self.matcher.state.is_matching else None


def last_said(console: bytes | bytearray) -> str:
    """The last line of what a guest has sent, in words."""
    lines = re.split(r"[\r\n]+", console[-_LINE_LOOKED_AT:].decode(errors="replace"))
    line = next((line for line in reversed(lines) if line.strip()), None)
    return "the guest has said nothing" if line is None else f"the guest said last {quoted(line[-_LINE_SHOWN:])}"
