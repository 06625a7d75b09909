"""``minstret diff``: it names what was planted, in traces and in images, for people and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.commands import Command

from benchmarks.programs import patched
from minstret.emu.images.loader import load_firmware
from minstret.firmware import image_path

ADDI = 1 << 20
"""One more in the constant of an ``addi``."""
KEPT = 0x8020_0000


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def image_of(name: str, xlen: int) -> str:
    return name if xlen == 64 else f"{name}-rv32"


def address_of(name: str, xlen: int, symbol: str) -> int:
    found = load_firmware(image_path(name, xlen), None).symbols.find(symbol)
    assert found is not None
    return found.address


def recalibrated(xlen: int) -> Path:
    """``meter`` with another constant at ``calibration``."""
    address = address_of("meter", xlen, "calibration")
    insn = next(
        int.from_bytes(piece.data[address - piece.address :][:4], "little")
        for piece in load_firmware(image_path("meter", xlen), None).segments
        if piece.address <= address < piece.address + len(piece.data)
    )
    return patched("meter", xlen, Path(), {"calibration": insn + ADDI})


def difference_of(inside: Command, *arguments: object) -> dict[str, Any]:
    done = inside("diff", "--json", *arguments)
    assert (done.returncode, done.stderr) == (1, b"")
    answer = json.loads(done.stdout)
    assert answer["same"] is False
    difference: dict[str, Any] = answer["difference"]
    return difference


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("snapshots", ["0", "20K"])
def test_changed_instruction_is_named(inside: Command, xlen: int, snapshots: str) -> None:
    images: tuple[object, object] = image_of("meter", xlen), recalibrated(xlen)
    for trace, image in zip(("a.mst", "b.mst"), images, strict=True):
        assert inside("record", "-q", "--no-input", "--snapshot-every", snapshots, "-o", trace, image).returncode == 0

    for pair in (("a.mst", "b.mst"), images, ("a.mst", images[1])):
        difference = difference_of(inside, *pair)
        assert difference["what"] == "instruction"
        for side, constant in (("a", 1), ("b", 2)):
            assert difference[side]["pc"] == f"{address_of('meter', xlen, 'calibration'):#x}"
            assert difference[side]["symbol"] == "calibration"
            assert "meter/main.c:" in difference[side]["source"]
            assert difference[side]["assembler"].endswith(f", {constant}")


@pytest.mark.parametrize("xlen", [64, 32])
def test_other_byte_of_input_is_named_where_it_is_read(inside: Command, xlen: int) -> None:
    for trace, text in (("a.mst", "123456789"), ("b.mst", "123556789")):
        Path("talk").write_text(f'SEND "{text}"\n')
        inside("record", "-q", "--no-input", "--input-script", "talk", "-o", trace, image_of("meter", xlen))

    difference = difference_of(inside, "a.mst", "b.mst")

    assert difference["what"] == "effect"
    assert [int(each[side], 16) for each in difference["registers"] for side in "ab"] == [ord("4"), ord("5")]
    assert "meter/main.c:" in difference["a"]["source"]
    assert difference["a"]["assembler"].startswith("lbu")
    assert [difference[side]["events"][-1].split()[-1] for side in "ab"] == ["'4'", "'5'"]


@pytest.mark.parametrize("xlen", [64, 32])
def test_memory_that_was_never_written_is_named_where_it_is_read(inside: Command, xlen: int) -> None:
    Path("garbage").write_bytes(bytes(range(1, 200)))
    inside("record", "-q", "--no-input", "-o", "a.mst", image_of("meter", xlen))
    inside("record", "-q", "--no-input", "--load", f"garbage@{KEPT:#x}", "-o", "b.mst", image_of("meter", xlen))

    difference = difference_of(inside, "a.mst", "b.mst")

    assert difference["what"] == "read"
    assert difference["memory"] == [
        {"access": "read", "a_address": f"{KEPT + 4:#x}", "b_address": f"{KEPT + 4:#x}", "a": "00000000",
         "b": "05060708"}
    ]  # fmt: skip
    assert "meter/main.c:" in difference["a"]["source"]


@pytest.mark.parametrize("xlen", [64, 32])
def test_harts_in_another_order_are_named(inside: Command, xlen: int) -> None:
    for seed in (1, 2):
        inside("record", "-q", "--no-input", "--smp", "2", "--chaos", seed, "-o", f"{seed}.mst", image_of("race", xlen))

    difference = difference_of(inside, "1.mst", "2.mst")

    assert difference["what"] == "hart"
    assert {difference[side]["hart"] for side in "ab"} == {0, 1}


def test_text_says_where_what_and_what_to_type(inside: Command) -> None:
    other = recalibrated(64)
    inside("record", "-q", "--no-input", "-o", "a.mst", "meter")

    done = inside("diff", "a.mst", other)

    lines = done.stdout.decode().splitlines()
    assert (done.returncode, done.stderr) == (1, b"")
    assert lines[:2] == ["A: a.mst", f"B: {other}"]
    assert lines[2].startswith("the first difference is at icount ")
    assert lines[2].endswith(": the instructions are different")
    assert "<calibration> (meter/main.c:" in lines[3]
    assert lines[-2] == "to look there:"
    assert " debug --at " in lines[-1]
    assert lines[-1].endswith(" a.mst")


def test_same_runs_give_0(inside: Command) -> None:
    for trace in ("a.mst", "b.mst"):
        inside("record", "-q", "--no-input", "-o", trace, "meter")

    for pair in (("a.mst", "b.mst"), ("meter", image_path("meter", 64)), ("a.mst", "meter")):
        done = inside("diff", *pair)
        assert (done.returncode, done.stderr) == (0, b""), pair
        assert done.stdout.startswith(b"the same run: ")
    assert json.loads(inside("diff", "--json", "a.mst", "b.mst").stdout)["difference"] is None


def test_recording_that_goes_on_longer_differs_at_the_end_of_the_other(inside: Command) -> None:
    inside("record", "-q", "--no-input", "-o", "a.mst", "meter")
    inside("record", "-q", "--no-input", "--max-insns", "10K", "-o", "b.mst", "meter")

    difference = difference_of(inside, "a.mst", "b.mst")

    assert (difference["what"], difference["icount"]) == ("end", 10_000)
    assert [difference[side]["end"] for side in "ab"] == [None, {"reason": "max-insns", "exit_code": None}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("meter", "meter-rv32"), b"meter is for rv64, meter-rv32 is for rv32"),
        (("nothing.mst", "meter"), b"nothing.mst: no such file"),
        (("bad.mst", "a.mst"), b"bad.mst: not a trace"),
        (("cut.mst", "a.mst"), b"cut.mst: "),
        (("a.mst", "meter-rv32"), b"rv32"),
        (("a.mst", "a.mst", "-m", "4M"), b"-m: the board and its input are those in a.mst"),
        (("meter", "meter", "--rtc", "clock=host"), b"--rtc clock=host: two such runs are never the same"),
        (("-", "a.mst"), b"diff -: "),
        (("ring.mst", "meter"), b"ring.mst: its recording forgot its beginning"),
    ],
)  # fmt: skip
def test_what_can_not_be_compared_is_one_line(inside: Command, arguments: tuple[str, ...], message: bytes) -> None:
    inside("record", "-q", "--no-input", "-o", "a.mst", "meter")
    inside("record", "-q", "--no-input", "--ring", 2, "--snapshot-every", "20K", "-o", "ring.mst", "meter")
    Path("bad.mst").write_bytes(b"no trace")
    Path("cut.mst").write_bytes(Path("a.mst").read_bytes()[:9000])

    done = inside("diff", *arguments)

    assert (done.returncode, done.stdout) == (125, b"")
    assert done.stderr.startswith(b"minstret: ")
    assert message in done.stderr
    assert done.stderr.count(b"\n") == 1
