"""What a guest's RAM takes of the host's: pages that were written, and not those that were only looked at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.commands import PATIENCE_S

MAX_MIB = 300
"""100 MiB of the guest's, and Python with all that is imported."""

TOUCHES_100_MIB = """
import sys
from pathlib import Path
from minstret.devices.board.board import Setup
from minstret.devices.board.config import BoardConfig
from minstret.devices.board.traced import Recording
from minstret.emu.images.loader import read_image
from minstret.emu.door.recording import RecordOptions
from minstret.firmware import image_path

setup = Setup(BoardConfig(ram_size=1 << 30), read_image(image_path("hello")))
with Recording(sys.argv[1], setup, options=RecordOptions(snapshot_every_insns=300)) as recording:
    board = recording.board
    board.run_until(icount=100)
    for mib in range(100):
        at = 0x8100_0000 + 8 * mib * (1 << 20)
        board.memory[at : at + (1 << 20)] = bytes((mib + 1,)) * (1 << 20)
    recording.run()
assert len(recording.end.digest) == 64
status = Path("/proc/self/status").read_text()  # getrusage would count what our parent had before exec
print(int(status.partition("VmHWM:")[2].split()[0]) // 1024)
"""


def test_gib_of_ram_takes_what_was_written_though_snapshots_and_a_digest_are_taken(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TOUCHES_100_MIB, str(tmp_path / "run.mst")],
        stdout=subprocess.PIPE, timeout=PATIENCE_S, check=True,
    )  # fmt: skip

    assert 100 < int(done.stdout) < MAX_MIB
