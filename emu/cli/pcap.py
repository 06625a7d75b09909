"""Frames into a pcap file, stamped with virtual time, as Wireshark reads it."""

from __future__ import annotations

from typing import BinaryIO

from minstret.emu import units
from minstret.emu.cli.streams import open_output, shown_output
from minstret.emu.errors import ConfigError

_SNAPLEN = 1 << 18


class PcapFile:
    """A pcap file with ns resolution; time 0 is power-on. Each frame is in the file when ``write`` returns."""

    def __init__(self, path: str) -> None:
        """Start the file.

        Raises:
            ConfigError: it can't be written.
        """
        from dpkt.pcap import Writer  # takes a while, and most runs have no card

        try:
            self._file: BinaryIO = open_output(path)
            self._writer = Writer(self._file, snaplen=_SNAPLEN, nano=True)
        except OSError as error:
            raise ConfigError(f"--pcap: can't write {shown_output(path)}: {error.strerror}") from None
        self._path = shown_output(path)

    def write(self, virtual_ns: int, frame: bytes) -> None:
        """Add a frame that crossed the wire at ``virtual_ns``. The format has 32 bits of seconds: 136 years, then 0."""
        from fractions import Fraction

        try:
            self._writer.writepkt_time(frame, Fraction(virtual_ns % (units.NS_PER_S << 32), units.NS_PER_S))
        except OSError as error:
            raise ConfigError(f"--pcap: can't write {self._path}: {error.strerror}") from None

    def close(self) -> None:
        self._file.close()
