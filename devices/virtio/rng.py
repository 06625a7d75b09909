"""A virtio entropy source: fills buffers with bytes that follow from a seed, or that the host gives.

Source: VIRTIO 1.2, section 5.4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from minstret.devices.virtio.constants import DeviceId
from minstret.devices.virtio.mmio import VirtioFunction
from minstret.emu.part import Wiring

REQUEST_SIZE_MAX = 4096
"""Bytes that one request gets at most; for more the guest asks again."""
_HASH_SIZE = 32


@dataclass(slots=True)
class RngState:
    """Bytes given since power-on."""

    given: int = 0


class VirtioRng(VirtioFunction):
    """The device behind its transport."""

    name = "rng0"
    device_id = DeviceId.ENTROPY

    def __init__(self, seed: int, host: Callable[[int], bytes] | None = None, name: str = "") -> None:
        """A source of bytes that follow from ``seed``, or of those that ``host(size)`` gives."""
        super().__init__(name)
        self.state: RngState = RngState()
        self._seed = seed
        self._host = host

    def attach(self, wiring: Wiring) -> None:
        self._ask = wiring.ask

    def reset(self) -> None:
        """The count goes on: bytes that were given do not come again."""

    def on_notify(self, queue: int) -> None:
        requests = self.transport.queue(queue)
        for chain in requests.available():
            data = self.draw(self.state.given, min(chain.writable_size, REQUEST_SIZE_MAX))
            self.state.given += len(data)
            requests.push(chain, chain.write(data))
        requests.flush()

    def draw(self, offset: int, size: int) -> bytes:
        """The ``size`` bytes behind the first ``offset`` ones."""
        if (host := self._host) is not None:
            return self._ask("entropy", lambda: host(size))[:size]
        first, last = offset // _HASH_SIZE, (offset + size) // _HASH_SIZE
        blocks = (hashlib.sha256(f"{self._seed}/entropy/{at}".encode()).digest() for at in range(first, last + 1))
        return b"".join(blocks)[offset % _HASH_SIZE :][:size]
