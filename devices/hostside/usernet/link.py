"""The link to the guest: frames arrive in order after a fixed delay; at most FRAMES_MAX are under way at once."""

from __future__ import annotations

from dataclasses import dataclass, field

FRAMES_MAX = 256
"""Frames under way at once; further ones are dropped."""


@dataclass(slots=True)
class FrameInFlight:
    arrive_ns: int
    frame: bytes


@dataclass(slots=True)
class LinkState:
    """Frames under way, the next to arrive first."""

    frames: list[FrameInFlight] = field(default_factory=list)


def send(state: LinkState, frame: bytes, arrive_ns: int) -> bool:
    """Put ``frame`` under way; False if it was dropped. ``arrive_ns`` never decreases."""
    if len(state.frames) >= FRAMES_MAX:
        return False
    state.frames.append(FrameInFlight(arrive_ns, frame))
    return True


def arrived(state: LinkState, now_ns: int) -> list[bytes]:
    """Take out the frames that have arrived."""
    count = sum(1 for frame in state.frames if frame.arrive_ns <= now_ns)
    taken, state.frames = state.frames[:count], state.frames[count:]
    return [frame.frame for frame in taken]


def deadline_ns(state: LinkState) -> int | None:
    """When the next frame arrives; None for never."""
    return state.frames[0].arrive_ns if state.frames else None
