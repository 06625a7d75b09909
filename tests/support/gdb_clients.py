"""A client of gdb's remote protocol that talks to a stub in the same process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.recordings import setup_of_code

from minstret.devices.board.traced import Recording, Replay
from minstret.emu.gdbpackets import checksum, escaped, unescaped
from minstret.emu.gdbstub import GdbStub
from minstret.emu.past import TraceTimeline


def framed(payload: bytes) -> bytes:
    """A packet, as it goes over the line."""
    return b"$" + payload + b"#" + checksum(payload)


def payloads_of(sent: bytes) -> list[bytes]:
    """What is in the packets that a stub has sent, unescaped; acknowledgements are left out."""
    pieces = sent.split(b"$")
    assert not pieces[0].strip(b"+-"), pieces[0]
    found = []
    for piece in pieces[1:]:
        payload, _, rest = piece.partition(b"#")
        assert rest[:2] == checksum(payload) and not rest[2:].strip(b"+-"), piece
        found.append(unescaped(payload))
    return found


class Client:
    """A debugger without a socket.

    Attributes:
        text: What the stub gave to be shown to the user.
    """

    def __init__(self, stub: GdbStub, features: str = "swbreak+;hwbreak+") -> None:
        """Connect, and agree on features, without acknowledgements."""
        self.stub = stub
        self.text = ""
        stub.connected()
        assert self.ask("QStartNoAckMode") == "OK"
        self.features = self.ask(f"qSupported:{features}")

    def ask(self, payload: str | bytes) -> str:
        """Send a packet, let run what it starts, and give the reply."""
        replies = self.ask_all(payload)
        assert len(replies) == 1, (payload, replies)
        return replies[0]

    def ask_all(self, payload: str | bytes) -> list[str]:
        """The same with any number of replies: some packets have none."""
        self.stub.receive(framed(escaped(payload.encode() if isinstance(payload, str) else payload)))
        return self.replies()

    def replies(self) -> list[str]:
        """Let run what is to run, and take what comes."""
        while self.stub.wants_to_run:
            self.stub.run()
        replies = []
        for payload in payloads_of(self.stub.output()):
            if payload[:1] == b"O" and payload != b"OK":
                self.text += bytes.fromhex(payload[1:].decode()).decode()
            else:
                replies.append(payload.decode("latin-1"))
        return replies

    def register(self, number: int) -> int:
        """The value of a register by gdb's number."""
        return int.from_bytes(bytes.fromhex(self.ask(f"p{number:x}")), "little")

    @property
    def pc(self) -> int:
        return self.register(32)

    def command(self, text: str) -> str:
        """The answer to ``monitor TEXT``."""
        before = len(self.text)
        assert self.ask(f"qRcmd,{text.encode().hex()}") == "OK"
        return self.text[before:]


def timeline_of_code(
    folder: Path, *pieces: bytes | tuple[int, bytes], insns: int = 1 << 20, xlen: int = 64,
    drive: Callable[[Any], None] = lambda board: None, **config: Any,
) -> TraceTimeline:  # fmt: skip
    """A recording of hand-made code, up to so many instructions, and a walk in it; see ``setup_of_code``."""
    path = folder / "code.mst"
    with Recording(path, setup_of_code(*pieces, xlen=xlen, **config), overwrite=True) as recording:
        drive(recording.board)
        recording.run(icount=insns)
    return TraceTimeline(Replay(path))


def reason(stop: str) -> str:
    """Why a stop reply says that the target has stopped: ``swbreak:``, or nothing."""
    words = [word for word in stop[3:].split(";") if word]
    return ",".join(word for word in words if word.partition(":")[0] not in ("thread", "02", "20"))


def thread(stop: str) -> int:
    """The thread of a stop reply."""
    return next(int(word[7:], 16) for word in stop[3:].split(";") if word.startswith("thread:"))
