"""Writes network frames to a pcap file, stamped with virtual time, for Wireshark and the like."""

from __future__ import annotations

from typing import BinaryIO

from minstret.emu import units
from minstret.emu.cli.streams import open_output, shown_output
from minstret.emu.errors import ConfigError

_SNAPLEN = 1 << 18


class PcapFile:
    """A pcap file with times in ns since power-on. Each frame is in the file when ``write`` returns."""

    def __init__(self, path: str) -> None:
        """Create the file.

        Raises:
            ConfigError: it can't be written.
        """
        from dpkt.pcap import Writer  # imported here: it takes a while, and few runs need it

        try:
            self._file: BinaryIO = open_output(path)
            self._writer = Writer(self._file, snaplen=_SNAPLEN, nano=True)
        except OSError as error:
            raise ConfigError(f"--pcap: can't write {shown_output(path)}: {error.strerror}") from None
        self._path = shown_output(path)

    def write(self, virtual_ns: int, frame: bytes) -> None:
        """Add a frame that was sent at ``virtual_ns``. Seconds have 32 bits in the file: they wrap after 136 years."""
        from fractions import Fraction

        try:
            self._writer.writepkt_time(frame, Fraction(virtual_ns % (units.NS_PER_S << 32), units.NS_PER_S))
        except OSError as error:
            raise ConfigError(f"--pcap: can't write {self._path}: {error.strerror}") from None

    def close(self) -> None:
        self._file.close()
