"""What stands before the door: the user network, the input queue and its script.

None of it is visible to the guest but through the door, so a replay makes nothing of this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from minstret.devices.outside.hostinput.queue import InputQueue
from minstret.devices.outside.hostinput.script import InputScript, ScriptLine
from minstret.devices.outside.usernet.config import Files, UserNetConfig
from minstret.devices.virtio.net import DEFAULT_MAC
from minstret.emu.door.door import Event
from minstret.emu.part import HasState
from minstret.emu.timers import TimerList

if TYPE_CHECKING:
    from minstret.devices.outside.usernet.network import UserNetwork

NET_TARGET = "net0.rx"
"""The door's target for frames."""

KEYBOARD, TABLET = "keyboard", "tablet"
INPUTS = (KEYBOARD, TABLET)
"""What ``BoardConfig.inputs`` may have."""


@dataclass(frozen=True, slots=True)
class NetConfig:
    """A network card on the user network."""

    user: UserNetConfig = field(default_factory=UserNetConfig)
    mac: bytes = DEFAULT_MAC


def input_target(kind: str) -> str:
    """The door's target for the events of a keyboard or tablet."""
    return f"{kind}0.events"


class Outside:
    """The host-side parts of one board.

    Attributes:
        network: The user network, None without a card.
        input: Where keys and pointer movements go in.
        script: What plays them at given moments.
    """

    def __init__(
        self,
        post: Callable[[Event], None],
        timers: TimerList,
        *,
        net: NetConfig | None,
        seed: int,
        inputs: Sequence[str],
        files: Files | None,
        script: Sequence[ScriptLine],
    ) -> None:
        """Make the parts; they keep time on ``timers``, the VIRTUAL ones, and ``post`` to the door."""
        self.network: UserNetwork | None = None
        if net is not None:
            from minstret.devices.outside.usernet.network import UserNetwork  # its packet library takes a while

            self.network = UserNetwork(
                "usernet",
                replace(net.user, seed=seed),
                timers,
                lambda frame: post(Event(NET_TARGET, frame)),
                files,
            )
        self.input = InputQueue(
            "input", timers, lambda target, batch: post(Event(target, batch)),
            {kind: input_target(kind) for kind in inputs},
        )  # fmt: skip
        self.script = InputScript("input.script", script, self.input, timers)

    def parts(self) -> dict[str, HasState]:
        """Everything with state, by name."""
        parts: dict[str, HasState] = {"input": self.input, "input.script": self.script}
        return parts if self.network is None else parts | {"usernet": self.network}
