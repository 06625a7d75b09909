"""The far end of the network card."""

from __future__ import annotations

from typing import Any

import pytest

from minstret.devices.board.port import NetPort
from minstret.devices.virtio.net import DEFAULT_MAC, VirtioNet
from minstret.emu.errors import ConfigError

FRAME = bytes(range(60))


def port() -> tuple[NetPort, list[bytes]]:
    sent: list[bytes] = []
    return NetPort(VirtioNet(DEFAULT_MAC), sent.append), sent


def test_what_a_peer_returns_is_sent_back() -> None:
    net, sent = port()
    heard: list[bytes] = []
    net.on_frame(heard.append)
    net.on_frame(lambda frame: frame[::-1])
    net.on_frame(lambda frame: [frame, frame])
    net.on_frame(bytearray)
    net.hear(FRAME)
    assert heard == [FRAME] and sent == [FRAME[::-1], FRAME, FRAME, FRAME]


@pytest.mark.parametrize("frame", [b"", bytes(13), bytes(70_000), "text", None])
def test_what_is_no_frame_is_refused(frame: Any) -> None:
    net, sent = port()
    with pytest.raises(ConfigError, match="expected an Ethernet frame of 14 to 65535 bytes"):
        net.send(frame)
    assert sent == []
