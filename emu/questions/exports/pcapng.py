"""Network frames both ways as pcapng, in virtual time, with what the guest said on its console as comments.

A frame's comment has the lines that the guest said since the frame before; that of the last frame also those after it.
Source: IETF draft-ietf-opsawg-pcapng, "PCAP Now Generic (pcapng) Capture File Format".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from dpkt.pcapng import (
    PCAPNG_OPT_COMMENT,
    PCAPNG_OPT_ENDOFOPT,
    PCAPNG_OPT_IF_DESCRIPTION,
    PCAPNG_OPT_IF_MACADDR,
    PCAPNG_OPT_IF_NAME,
    PCAPNG_OPT_IF_TSRESOL,
    PCAPNG_OPT_SHB_HARDWARE,
    PCAPNG_OPT_SHB_USERAPPL,
    EnhancedPacketBlockLE,
    InterfaceDescriptionBlockLE,
    PcapngOptionLE,
    SectionHeaderBlockLE,
)

from minstret.emu.door.door import Position
from minstret.emu.errors import ConfigError
from minstret.emu.questions.exports.form import RunFacts, Write
from minstret.emu.questions.exports.lines import ConsoleLines
from minstret.emu.questions.happenings import ConsoleOut, Frame, Happening
from minstret.emu.text import printable

_SNAPLEN = 1 << 18
_OPT_EPB_FLAGS = 2
_RECEIVED, _SENT = 1, 2
_NANOSECONDS = bytes((9,))
_COMMENT_MAX = 60_000
"""Bytes in one comment; an option has less than 64 KiB."""
_COMMENTS_MAX = 16
"""Comments of one frame; there are more lines where the guest says so much between two frames: the oldest go."""


class Pcapng:
    """Writes frames as they cross the network card."""

    KINDS = frozenset({Frame, ConsoleOut})

    def __init__(self, run: RunFacts, write: Write) -> None:
        if run.card is None:
            raise ConfigError(f"{run.name}: the board has no network card, so there are no frames to export")
        self._write = write
        self._lines = ConsoleLines(self._said)
        self._comments: list[str] = []
        self._last: tuple[Frame, list[str]] | None = None
        name, mac = run.card
        self._block(
            SectionHeaderBlockLE(),
            (PCAPNG_OPT_SHB_HARDWARE, b"minstret's virt board"),
            (PCAPNG_OPT_SHB_USERAPPL, run.made_by.encode()),
            (PCAPNG_OPT_COMMENT, (
                f"{run.name}: times are virtual time since power-on; comments are what the guest said on its console"
                " since the frame before"
            ).encode()),
        )  # fmt: skip
        self._block(
            InterfaceDescriptionBlockLE(snaplen=_SNAPLEN), (PCAPNG_OPT_IF_NAME, name.encode()),
            (PCAPNG_OPT_IF_DESCRIPTION, f"the guest's network card in {run.name}".encode()),
            (PCAPNG_OPT_IF_MACADDR, mac), (PCAPNG_OPT_IF_TSRESOL, _NANOSECONDS),
        )  # fmt: skip

    def add(self, happening: Happening) -> None:
        if isinstance(happening, ConsoleOut):
            self._lines.add(happening.virtual_ns, happening.data)
        elif isinstance(happening, Frame):
            self._lines.flush()
            self._write_last()
            self._last, self._comments = (happening, self._comments), []

    def finish(self, position: Position) -> None:
        self._lines.flush()
        if self._last is not None:
            self._last[1].extend(self._comments)
            self._write_last()

    def _said(self, virtual_ns: int, line: str) -> None:
        """The guest has said a line: it is in a comment, the last one or a new one."""
        said, comments = f"[{virtual_ns / 1e9:.9f}] {printable(line)}", self._comments
        if not line.strip():
            return
        if comments and len(comments[-1].encode()) + len(said.encode()) < _COMMENT_MAX:
            comments[-1] += f"\n{said}"
        else:
            comments.append(said[: _COMMENT_MAX // 4])
            del comments[:-_COMMENTS_MAX]

    def _write_last(self) -> None:
        if self._last is None:
            return
        frame, comments = self._last
        direction = _SENT if frame.is_sent else _RECEIVED
        block = EnhancedPacketBlockLE(
            ts_high=frame.virtual_ns >> 32, ts_low=frame.virtual_ns & 0xFFFF_FFFF, pkt_data=frame.data
        )
        self._block(
            block, (_OPT_EPB_FLAGS, struct.pack("<I", direction)),
            *((PCAPNG_OPT_COMMENT, comment.encode(errors="replace")) for comment in comments),
        )  # fmt: skip

    def _block(
        self, block: SectionHeaderBlockLE | InterfaceDescriptionBlockLE | EnhancedPacketBlockLE,
        *options: tuple[int, bytes],
    ) -> None:  # fmt: skip
        block.opts = [PcapngOptionLE(code=code, data=data) for code, data in _ended(options)]
        self._write(bytes(block))


def _ended(options: tuple[tuple[int, bytes], ...]) -> Iterator[tuple[int, bytes]]:
    yield from options
    yield PCAPNG_OPT_ENDOFOPT, b""
