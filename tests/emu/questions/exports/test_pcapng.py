"""Frames as pcapng, read back by dpkt and by tshark."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import dpkt
import pytest
from support.exported import exported, facts_of_recorded, happenings_of
from support.needs import Need
from support.recordings import Recorded

from minstret.emu.door.door import Position
from minstret.emu.errors import ConfigError
from minstret.emu.questions.exports.pcapng import Pcapng
from minstret.emu.questions.happenings import ConsoleOut, Frame

TSHARK = "tshark"


def tshark(capture: bytes, path: Path, *fields: str) -> list[list[str]]:
    file = path / "net.pcapng"
    file.write_bytes(capture)
    wanted = [text for field in fields for text in ("-e", field)]
    done = subprocess.run(
        [TSHARK, "-r", str(file), "-T", "fields", "-E", "separator=|", "-E", "aggregator=\x01", *wanted],
        capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    return [line.split("|") for line in done.stdout.decode().splitlines()]


def test_tshark_reads_frames_times_directions_and_what_is_in_them(
    need: Need, guest: Callable[[str], Recorded], tmp_path: Path
) -> None:
    need(TSHARK, shutil.which(TSHARK))
    recorded = guest("dhcp")
    frames = [one for one in happenings_of(recorded) if isinstance(one, Frame)]

    rows = tshark(
        exported(recorded, "pcapng"), tmp_path, "frame.time_epoch", "frame.packet_flags_direction", "frame.len",
        "frame.interface_name", "frame.interface_description", "dhcp.option.dhcp",
    )  # fmt: skip

    assert [row[:3] for row in rows] == [
        [f"{one.virtual_ns / 1e9:.9f}", f"0x0000000{2 if one.is_sent else 1}", str(len(one.data))] for one in frames
    ]
    assert {(row[3], row[4]) for row in rows} == {("net0", "the guest's network card in run.mst")}
    assert [row[5] for row in rows][:4] == ["1", "2", "3", "5"]


def test_tshark_finds_what_the_guest_said_as_comments(
    need: Need, guest: Callable[[str], Recorded], tmp_path: Path
) -> None:
    need(TSHARK, shutil.which(TSHARK))
    recorded = guest("dhcp")

    rows = tshark(exported(recorded, "pcapng"), tmp_path, "frame.number", "frame.comment")

    comments = "\n".join(row[1].replace("\\n", "\n") for row in rows if row[1])
    said = [line.partition("] ")[2] for line in comments.splitlines() if line]
    assert said == [line for line in recorded.console.decode().splitlines() if line]


def test_another_reader_finds_the_same_frames(guest: Callable[[str], Recorded]) -> None:
    recorded = guest("dhcp")

    packets = list(dpkt.pcapng.Reader(io.BytesIO(exported(recorded, "pcapng"))))

    assert [data for _, data in packets] == recorded.frames
    frames = [one for one in happenings_of(recorded) if isinstance(one, Frame)]
    assert [round(float(time) * 1e9) for time, _ in packets] == pytest.approx(
        [one.virtual_ns for one in frames], abs=1_000
    )


def test_board_without_a_card_has_nothing_to_export(guest: Callable[[str], Recorded]) -> None:
    with pytest.raises(ConfigError, match=r"^run\.mst: the board has no network card"):
        exported(guest("ticks"), "pcapng")


def test_talkative_guest_makes_many_comments_and_the_oldest_go(guest: Callable[[str], Recorded]) -> None:
    pieces: list[bytes] = []
    capture = Pcapng(facts_of_recorded(guest("dhcp")), pieces.append)
    for number in range(40_000):
        capture.add(ConsoleOut(number, number, 0, b"line %d of many that the guest says\n" % number))
    capture.add(Frame(40_000, 40_000, 0, bytes(60), True))
    capture.finish(Position(40_000, 40_000))

    (_, data), *others = dpkt.pcapng.Reader(io.BytesIO(b"".join(pieces)))

    assert (data, others) == (bytes(60), [])
    assert len(pieces[-1]) < 1 << 20
    assert b"line 39999 of" in pieces[-1]
    assert b"line 0 of" not in pieces[-1]
