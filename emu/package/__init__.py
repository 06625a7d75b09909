"""A deterministic RISC-V board, in three rooms: ``emu``, ``devices`` and ``firmware``.

What is used from Python most can be imported from here: ``from minstret import Board, Device``. Each name is looked up
when it is used first, so that ``import minstret`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minstret.devices.board.board import Board, Setup
    from minstret.devices.board.config import BoardConfig, HostAnswers
    from minstret.devices.board.contract import check_device
    from minstret.devices.board.golive import go_live
    from minstret.devices.board.placement import Load
    from minstret.devices.board.traced import Recording, Replay, live_timeline
    from minstret.devices.hostside.side import NetConfig
    from minstret.devices.hostside.usernet.config import UserNetConfig
    from minstret.devices.virtio.mmio import VirtioFunction
    from minstret.emu.door.door import Event
    from minstret.emu.door.recording import RecordOptions
    from minstret.emu.errors import (
        AccessFault,
        ConfigError,
        DeviceError,
        DivergenceError,
        ExpectationError,
        HostError,
        MinstretError,
        TimelineError,
        TraceError,
    )
    from minstret.emu.hart.shared import Counting
    from minstret.emu.hart.watches import WatchKind
    from minstret.emu.images.loader import read_image
    from minstret.emu.machine import Outcome, StopReason
    from minstret.emu.part import Device, HostWiring, Wiring
    from minstret.emu.past import TraceTimeline
    from minstret.emu.session import LiveSession
    from minstret.emu.timeline import Why

_HOMES = {
    "minstret.devices.board.board": ("Board", "Setup"),
    "minstret.devices.board.config": ("BoardConfig", "HostAnswers"),
    "minstret.devices.board.contract": ("check_device",),
    "minstret.devices.board.golive": ("go_live",),
    "minstret.devices.board.placement": ("Load",),
    "minstret.devices.board.traced": ("Recording", "Replay", "live_timeline"),
    "minstret.devices.hostside.side": ("NetConfig",),
    "minstret.devices.hostside.usernet.config": ("UserNetConfig",),
    "minstret.devices.virtio.mmio": ("VirtioFunction",),
    "minstret.emu.door.door": ("Event",),
    "minstret.emu.door.recording": ("RecordOptions",),
    "minstret.emu.errors": (
        "AccessFault", "ConfigError", "DeviceError", "DivergenceError", "ExpectationError", "HostError",
        "MinstretError", "TimelineError", "TraceError",
    ),
    "minstret.emu.hart.shared": ("Counting",),
    "minstret.emu.hart.watches": ("WatchKind",),
    "minstret.emu.images.loader": ("read_image",),
    "minstret.emu.machine": ("Outcome", "StopReason"),
    "minstret.emu.part": ("Device", "HostWiring", "Wiring"),
    "minstret.emu.past": ("TraceTimeline",),
    "minstret.emu.session": ("LiveSession",),
    "minstret.emu.timeline": ("Why",),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AccessFault", "Board", "BoardConfig", "ConfigError", "Counting", "Device", "DeviceError", "DivergenceError",
    "Event", "ExpectationError", "HostAnswers", "HostError", "HostWiring", "LiveSession", "Load", "MinstretError",
    "NetConfig", "Outcome", "RecordOptions", "Recording", "Replay", "Setup", "StopReason", "TimelineError",
    "TraceError", "TraceTimeline", "UserNetConfig", "VirtioFunction", "WatchKind", "Why", "Wiring", "check_device",
    "go_live", "live_timeline", "read_image",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
