"""A virtio network card: one receive and one transmit queue.

Frames come in by the input ``rx`` and leave by the output ``tx``. A frame for which the guest
has no room is dropped and counted.

Source: VIRTIO 1.2, section 5.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from minstret.devices.virtio.constants import QUEUE_SIZE_MAX, DeviceId, Feature
from minstret.devices.virtio.mmio import VirtioFunction
from minstret.devices.virtio.queue import Chain, VirtioError, Virtqueue
from minstret.emu.part import Wiring

DEFAULT_MAC = bytes.fromhex("525400123456")
"""QEMU's first."""

FRAME_SIZE_MAX = 65_550
"""The longest frame a driver may send, with its Ethernet header."""
_FRAME_SIZE_MIN = 14

_RECEIVE, _TRANSMIT = 0, 1
_HEADER_SIZE, _HEADER_SIZE_WITHOUT_COUNT = 12, 10
_STATUS_LINK_UP = 1


class NetFeature(IntEnum):
    """Feature bits of a network card, section 5.1.3. Bit numbers."""

    MAC = 5
    MRG_RXBUF = 15
    STATUS = 16


@dataclass(slots=True)
class NetState:
    """The link's state, and counts of frames since power-on."""

    link_up: bool = True
    sent: int = 0
    received: int = 0
    dropped_no_buffer: int = 0
    dropped_bad_size: int = 0


class VirtioNet(VirtioFunction):
    """The card behind its transport."""

    name = "net0"
    device_id = DeviceId.NET
    features = 1 << NetFeature.MAC | 1 << NetFeature.MRG_RXBUF | 1 << NetFeature.STATUS
    queue_sizes = (QUEUE_SIZE_MAX, QUEUE_SIZE_MAX)

    def __init__(self, mac: bytes, name: str = "") -> None:
        """A card with address ``mac``."""
        super().__init__(name)
        self.mac = mac
        self.state: NetState = NetState()

    def attach(self, wiring: Wiring) -> None:
        self._transmit = wiring.output("tx")
        wiring.input("rx", self.receive)

    def read_config(self) -> bytes:
        return self.mac + (_STATUS_LINK_UP if self.state.link_up else 0).to_bytes(2, "little")

    def write_config(self, offset: int, data: bytes) -> None:
        """Nothing there can be written: a new MAC needs a control queue."""

    def set_link(self, is_up: bool) -> None:
        """Plug or unplug the cable: nothing passes while it is out.

        This does not go through the door, so a recording does not have it, and its replay differs.
        """
        if is_up != self.state.link_up:
            self.state.link_up = is_up
            self.transport.config_changed()

    def reset(self) -> None:
        """The counts go on, and so does the link."""

    # ---- guest to network

    def on_notify(self, queue: int) -> None:
        if queue != _TRANSMIT:
            return
        transmit = self.transport.queue(_TRANSMIT)
        for chain in transmit.available():
            frame = chain.read(self._header_size() + FRAME_SIZE_MAX + 1)[self._header_size() :]
            transmit.push(chain, 0)
            self._send(frame)
        transmit.flush()

    def _send(self, frame: bytes) -> None:
        if not _FRAME_SIZE_MIN <= len(frame) <= FRAME_SIZE_MAX:
            self.state.dropped_bad_size += 1
        elif self.state.link_up:
            self.state.sent += 1
            self._transmit(frame)

    def _header_size(self) -> int:
        has_count = self.transport.has_feature(Feature.VERSION_1) or self._merges()
        return _HEADER_SIZE if has_count else _HEADER_SIZE_WITHOUT_COUNT

    def _merges(self) -> bool:
        return self.transport.has_feature(NetFeature.MRG_RXBUF)

    # ---- network to guest

    def receive(self, frame: bytes) -> int:
        """Put a frame into the guest's buffers, or drop it; takes it whole either way."""
        is_delivered = False
        if self.transport.is_running and self.state.link_up:
            with self.transport.guarded():
                is_delivered = self._deliver(frame)
        if is_delivered:
            self.state.received += 1
        else:
            self.state.dropped_no_buffer += 1
        return len(frame)

    def _deliver(self, frame: bytes) -> bool:
        receive = self.transport.queue(_RECEIVE)
        chains = self._take_room(receive, self._header_size() + len(frame))
        self._fill(receive, chains, frame)
        receive.flush()
        return bool(chains)

    def _take_room(self, receive: Virtqueue, size: int) -> list[Chain]:
        """Chains with room for ``size`` bytes; none, and none taken, where the driver offers too little.

        Raises:
            VirtioError: the frame would be scattered over more than QUEUE_SIZE_MAX descriptors.
        """
        chains: list[Chain] = []
        room = 0
        while room < size and (chain := receive.pop()) is not None:
            chains.append(chain)
            room += chain.writable_size
            if not self._merges():
                break
            if room < size and receive.descriptors > QUEUE_SIZE_MAX:
                raise VirtioError(f"{self.name}: a frame in more than {QUEUE_SIZE_MAX} descriptors")
        if room < size:
            receive.unpop(len(chains))
            return []
        return chains

    def _fill(self, receive: Virtqueue, chains: list[Chain], frame: bytes) -> None:
        count = len(chains).to_bytes(2, "little") if self._header_size() == _HEADER_SIZE else b""
        rest = bytes(_HEADER_SIZE_WITHOUT_COUNT) + count + frame
        for chain in chains:
            written = chain.write(rest)
            receive.push(chain, written)
            rest = rest[written:]
