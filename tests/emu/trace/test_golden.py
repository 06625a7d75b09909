"""Traces that were recorded once, and are replayed ever after: no change of digests or of the format passes unnoticed.

``MINSTRET_NEW_GOLDEN=1`` records them anew, and CHANGELOG.md must say why traces or digests are others.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.recordings import NetConfig, UserNetConfig, record, setup_of_image, typed

from minstret.devices.board.traced import Replay
from minstret.devices.hostside.side import KEYBOARD, TABLET
from minstret.emu.door.door import Event
from minstret.emu.errors import MinstretError
from minstret.emu.machine import StopReason
from minstret.emu.trace.format import Kind
from minstret.emu.trace.reader import TraceReader

DATA = Path(__file__).parent / "data"
COMMAND = "MINSTRET_NEW_GOLDEN=1 python -m pytest tests/emu/trace/test_state_versions.py tests/emu/trace/test_golden.py"
ADVICE = (
    f"A trace that was good is not any more. If that is meant, record it anew with\n  {COMMAND}\nand say in"
    " CHANGELOG.md why digests or traces have changed. If the format has, raise FORMAT_VERSION in emu/trace/format.py"
    " first."
)


@dataclass(frozen=True)
class Golden:
    """A trace of an image, with what it is kept for."""

    image: str
    events: set[str]
    streams: set[str]
    has_checkpoints: bool

    @property
    def path(self) -> Path:
        return DATA / f"golden-{self.image}.mst"

    def record(self, path: Path) -> None:
        config = {"cpu": "rv64gc", "inputs": (KEYBOARD, TABLET), "net": NetConfig(UserNetConfig(restrict=True))}
        record(path, setup_of_image(self.image, **config), source=Typist(), every=5_000)


class Typist:
    """A host that has typed something before the guest begins."""

    is_open = False

    def __init__(self) -> None:
        self._typed = [typed(b"something\r")]

    def poll(self, wants_input: bool) -> list[Event]:
        events, self._typed = self._typed, []
        return events

    def wait(self, timeout_ns: int | None) -> int:
        return timeout_ns or 0


FRAMES = Golden("dhcp-wfi", {"uart0.rx", "net0.rx"}, {"uart0.tx", "net0.tx"}, False)
ALARMS = Golden("rtc", {"uart0.rx"}, {"uart0.tx"}, True)
GOLDEN = [pytest.param(golden, id=golden.image) for golden in (FRAMES, ALARMS)]


@pytest.fixture(scope="module", autouse=True)
def _recorded_anew() -> None:
    if os.environ.get("MINSTRET_NEW_GOLDEN") == "1":
        for golden in (FRAMES, ALARMS):
            golden.record(golden.path)


@pytest.mark.parametrize("golden", GOLDEN)
def test_golden_trace_has_what_it_is_kept_for(golden: Golden) -> None:
    reader = TraceReader(str(golden.path))

    assert {item.name for item in reader.items() if item.kind is Kind.EVENT} == golden.events
    assert (reader.counts()["checkpoints"] > 0) == golden.has_checkpoints
    assert {output.stream for output in reader.outputs()} == golden.streams
    assert len(reader.snapshot_positions()) > 1
    assert golden.path.stat().st_size < 200_000


@pytest.mark.parametrize("golden", GOLDEN)
def test_golden_trace_replays_to_its_digest_from_every_snapshot(golden: Golden) -> None:
    reader = TraceReader(str(golden.path))
    for snapshot in (None, *(number for number, _ in reader.snapshot_positions())):
        try:
            replay = Replay(reader, snapshot=snapshot)
            assert replay.left_out is None, f"{replay.left_out}\n{ADVICE}"
            outcome = replay.run()
        except MinstretError as error:
            pytest.fail(f"{error}\n{ADVICE}")
        assert outcome.reason is StopReason.FINISHED


@pytest.mark.parametrize("golden", GOLDEN)
def test_trace_of_version_0_1_0_replays_on_its_hart(golden: Golden) -> None:
    reader = TraceReader(str(DATA / f"old-{golden.image}.mst"))
    for snapshot in (None, *(number for number, _ in reader.snapshot_positions())):
        replay = Replay(reader, snapshot=snapshot)

        assert replay.left_out is None
        assert str(replay.board.cpu) == "rv64gc"
        assert replay.run().reason is StopReason.FINISHED


@pytest.mark.parametrize("golden", GOLDEN)
def test_golden_trace_recorded_anew_is_the_same(golden: Golden, tmp_path: Path) -> None:
    path = tmp_path / "new.mst"
    golden.record(path)

    new, old = TraceReader(str(path)), TraceReader(str(golden.path))

    assert list(new.items()) == list(old.items()), ADVICE
    assert list(new.outputs()) == list(old.outputs()), ADVICE
    assert new.end == old.end, ADVICE
    assert new.snapshot_positions() == old.snapshot_positions(), ADVICE
