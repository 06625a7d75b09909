"""A virtio entropy source: fills buffers with what ``draw`` gives.

Source: VIRTIO 1.2, section 5.4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from minstret.devices.virtio.constants import QUEUE_SIZE_MAX, DeviceId
from minstret.devices.virtio.mmio import Transport

REQUEST_SIZE_MAX = 4096
"""More is not given at once; the guest asks again."""


@dataclass(slots=True)
class RngState:
    """Bytes given since power-on."""

    given: int = 0


class VirtioRng:
    """The device behind its transport."""

    device_id = DeviceId.ENTROPY
    features = 0
    queue_sizes = (QUEUE_SIZE_MAX,)

    def __init__(self, name: str, draw: Callable[[int, int], bytes]) -> None:
        """A source that asks ``draw(offset, size)`` for bytes; ``offset`` counts those given since power-on."""
        self.name = name
        self.state = RngState()
        self._draw = draw
        self._transport: Transport

    def attach(self, transport: Transport) -> None:
        self._transport = transport

    def read_config(self) -> bytes:
        return b""

    def write_config(self, offset: int, data: bytes) -> None:
        """There is nothing to configure."""

    def reset(self) -> None:
        """What was given stays given."""

    def on_notify(self, queue: int) -> None:
        requests = self._transport.queue(queue)
        for chain in requests.available():
            data = self._draw(self.state.given, min(chain.writable_size, REQUEST_SIZE_MAX))
            self.state.given += len(data)
            requests.push(chain, chain.write(data))
        requests.flush()
