"""The far end of the network card: what a test sends to the guest, and who hears what the guest sends."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from minstret.devices.virtio.net import VirtioNet
from minstret.emu.errors import ConfigError

Reply = bytes | Iterable[bytes] | None
"""A frame, several, or none."""
Peer = Callable[[bytes], Reply]

_FRAME_MIN, _FRAME_MAX = 14, 65_535
"""Bytes: an Ethernet header, and more than any card takes."""


class NetPort:
    """The other end of the guest's network card: ``board.net``.

    Attributes:
        card: The card, a device of the board; None where it has none.
    """

    def __init__(self, card: VirtioNet | None, post: Callable[[bytes], None]) -> None:
        """For ``card``; ``post`` passes a frame to it."""
        self.card = card
        self._post = post
        self._peers: list[Peer] = []

    def send(self, frame: bytes) -> None:
        """Send an Ethernet frame to the guest: it enters at the next turn. In a replay the trace has the frames.

        Raises:
            ConfigError: there is no card, or this is no frame.
        """
        self._need_card()
        if not isinstance(frame, bytes | bytearray | memoryview) or not _FRAME_MIN <= len(frame) <= _FRAME_MAX:
            what = f"{len(frame)} bytes" if isinstance(frame, bytes | bytearray | memoryview) else f"{frame!r:.60}"
            raise ConfigError(f"net: expected an Ethernet frame of {_FRAME_MIN} to {_FRAME_MAX} bytes, got {what}")
        self._post(bytes(frame))

    def on_frame(self, peer: Peer) -> Peer:
        """Call ``peer`` with each frame that the guest sends; what it returns, a frame or several, is sent back.

        May be used as a decorator.

        Raises:
            ConfigError: there is no card.
        """
        self._need_card()
        self._peers.append(peer)
        return peer

    def hear(self, frame: bytes) -> None:
        """The guest has sent ``frame``."""
        for peer in tuple(self._peers):
            reply = peer(frame)
            for each in (reply,) if isinstance(reply, bytes | bytearray) else reply or ():
                self.send(each)

    def _need_card(self) -> None:
        if self.card is None:
            raise ConfigError("there is no network card: make the board with net=NetConfig(), or --net user")
