"""Commands whose outputs would destroy their inputs, or each other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.commands import Command, minstret
from support.elf_files import PASSES, write_elf


@pytest.fixture
def here(inside: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command within this process, in a folder with fw.elf, x.mst, a script, and links to them."""
    monkeypatch.chdir(tmp_path)
    write_elf(tmp_path / "fw.elf", PASSES)
    Path("keys.txt").write_text("AT 1ms: press a\n")
    assert inside("record", "-q", "-m", "4M", "-o", "x.mst", "fw.elf").returncode == 0
    for name in ("fw.elf", "x.mst", "keys.txt"):
        os.symlink(name, f"soft-{name}")
        os.link(name, f"hard-{name}")
    os.symlink("new", "soft-new")
    Path("folder").mkdir()
    return inside


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("replay --json x.mst x.mst", "--json: can't write x.mst, which is read as the trace"),
        ("replay --json hard-x.mst x.mst", "--json: can't write hard-x.mst, which is read as the trace"),
        ("replay --json x.mst soft-x.mst", "--json: can't write x.mst, which is read as the trace"),
        ("replay --pcap folder/../x.mst x.mst", "--pcap: can't write folder/../x.mst, which is read as the trace"),
        ("replay --json x.mst-journal x.mst",
         "--json: can't write x.mst-journal, which is read as the trace's journal"),
        ("replay --json new --pcap soft-new x.mst", "--pcap: can't write soft-new, which is written by --json"),
        ("run --json fw.elf fw.elf", "--json: can't write fw.elf, which is read as FIRMWARE"),
        ("run --json soft-fw.elf --bios fw.elf", "--json: can't write soft-fw.elf, which is read as --bios"),
        ("run --json hard-fw.elf --kernel fw.elf", "--json: can't write hard-fw.elf, which is read as --kernel"),
        ("run --json keys.txt --kernel fw.elf --initrd keys.txt",
         "--json: can't write keys.txt, which is read as --initrd"),
        ("run --json keys.txt --load keys.txt@0x80400000 fw.elf",
         "--json: can't write keys.txt, which is read as --load"),
        ("run --json soft-keys.txt --input keyboard --input-script hard-keys.txt fw.elf",
         "--json: can't write soft-keys.txt, which is read as --input-script"),
        ("run --net user --pcap fw.elf fw.elf", "--pcap: can't write fw.elf, which is read as FIRMWARE"),
        ("run --net user --pcap new --json ./new fw.elf", "--pcap: can't write new, which is written by --json"),
        ("record -o new --json new fw.elf", "--json: can't write new, which is written by -o"),
        ("record -o new --json soft-new fw.elf", "--json: can't write soft-new, which is written by -o"),
        ("record -o new --json new-journal fw.elf",
         "--json: can't write new-journal, which is written by -o (its journal)"),
        ("record --json fw.mst fw.elf", "--json: can't write fw.mst, which is written by -o"),
        ("record -f -o fw.elf fw.elf", "-o: can't write fw.elf, which is read as FIRMWARE"),
        ("record -f -o hard-fw.elf fw.elf", "-o: can't write hard-fw.elf, which is read as FIRMWARE"),
        ("record -f -o x.mst --net user --pcap x.mst fw.elf", "--pcap: can't write x.mst, which is written by -o"),
        ("dtb -o fw.elf fw.elf", "--output: can't write fw.elf, which is read as FIRMWARE"),
    ],
)  # fmt: skip
def test_output_that_is_another_file_of_the_command_is_refused(here: Command, arguments: str, text: str) -> None:
    before = {name: Path(name).read_bytes() for name in os.listdir() if os.path.isfile(name)}

    done = here(*arguments.split())

    assert done.stderr.decode() == f"minstret: {text}; give another name\n"
    assert done.returncode == 125
    assert {name: Path(name).read_bytes() for name in os.listdir() if os.path.isfile(name)} == before


@pytest.mark.parametrize(
    "arguments",
    [
        "run -m 4M --json /dev/null --net user --pcap /dev/null fw.elf",
        "run -m 4M --json a.json --net user --pcap b.pcap fw.elf",
        "record -m 4M --json a.json -f -o x.mst fw.elf",
        "replay --json a.json x.mst",
        "dtb -o -",
        "run -m 4M --json fw.json hello",
    ],
)
def test_files_apart_are_written(here: Command, arguments: str) -> None:
    assert here(*arguments.split()).returncode == 0


def test_file_that_is_standard_input_is_not_written(here: Command) -> None:
    before = Path("fw.elf").read_bytes()
    with open("fw.elf", "rb") as file:
        done = minstret("run", "--json", "hard-fw.elf", "-", stdin=file)

    assert done.stderr == b"minstret: --json: can't write hard-fw.elf, which is read as FIRMWARE; give another name\n"
    assert Path("fw.elf").read_bytes() == before
