"""Images on the command line: further files, no firmware, all kinds; recorded, they need their files no more."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support import asm
from support.commands import minstret
from support.elf_files import PASSES, RAM, Load, elf_bytes, fails_with
from support.footprint import high_water, reset_high_water
from support.recordings import tamper

from minstret.emu.cli import main
from minstret.emu.cli.options import parse_load
from minstret.emu.errors import ConfigError

DATA_AT, RAM_SIZE = 0x8040_0000, 128 << 20
EXITS_WITH_WHAT_IS_LOADED = asm.code(
    asm.li(asm.T0, DATA_AT), asm.lw(asm.T1, asm.T0, 0),
    asm.li(asm.T0, 0x10_0000), asm.sw(asm.T1, asm.T0, 0), asm.LOOP,
)  # fmt: skip
EXIT_7 = (7 << 16 | 0x3333).to_bytes(4, "little")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fw.bin").write_bytes(EXITS_WITH_WHAT_IS_LOADED)
    (tmp_path / "seven.bin").write_bytes(EXIT_7)
    return tmp_path


def call(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    return int(caught.value.code or 0), out, err


def call_json(capfd: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    call(capfd, *arguments, "--json", "end.json")
    return json.loads(Path("end.json").read_text())


def test_load_puts_a_file_where_it_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    assert call(capfd, "run", "-q", "--no-input", "--load", f"seven.bin@{DATA_AT:#x}", "fw.bin") == (7, "", "")


def test_load_without_an_address_takes_what_says_where_it_goes(capfd: pytest.CaptureFixture[str]) -> None:
    Path("seven.elf").write_bytes(elf_bytes(Load(DATA_AT, EXIT_7), entry=DATA_AT))
    Path("seven.gz").write_bytes(gzip.compress(Path("seven.elf").read_bytes()))

    for name in ("seven.elf", "seven.gz"):
        assert call(capfd, "run", "-q", "--no-input", "--load", name, "fw.bin")[0] == 7


def test_load_that_overlaps_is_refused_by_both_names(capfd: pytest.CaptureFixture[str]) -> None:
    status, _, err = call(capfd, "run", "--load", "seven.bin@0x80000002", "fw.bin")

    assert status == 125
    assert err.startswith("minstret: fw.bin (0x80000000..")
    assert " overlaps seven.bin (0x80000002..0x80000005); move one, or give more --memory\n" in err


def test_recording_with_further_files_replays_without_them(capfd: pytest.CaptureFixture[str], folder: Path) -> None:
    Path("five.elf").write_bytes(elf_bytes(Load(DATA_AT + 0x1000, b"five"), entry=DATA_AT + 0x1000))
    loads = ("--load", f"seven.bin@{DATA_AT}", "--load", "five.elf")
    run = call_json(capfd, "run", "-q", "--no-input", *loads, "fw.bin")
    recorded = call_json(capfd, "record", "-q", "--no-input", "-o", "run.mst", *loads, "fw.bin")
    for name in ("seven.bin", "five.elf", "fw.bin"):
        (folder / name).unlink()

    replayed = call_json(capfd, "replay", "-q", "run.mst")

    assert run["exit_code"] == recorded["exit_code"] == replayed["exit_code"] == 7
    assert run["digest"] == recorded["digest"] == replayed["digest"]
    info = call(capfd, "info", "run.mst")[1]
    assert "load0      seven.bin" in info and "load1      five.elf" in info


@pytest.mark.parametrize("kind", ["bare", "gz", "hex", "headers"])
def test_recording_of_any_image_replays_without_it(capfd: pytest.CaptureFixture[str], folder: Path, kind: str) -> None:
    code = fails_with(3)
    content = {
        "bare": code, "gz": gzip.compress(elf_bytes(Load(RAM, code))),
        "hex": intel_hex(code), "headers": elf_bytes(Load(RAM, code, with_headers=True)),
    }[kind]  # fmt: skip
    Path("image").write_bytes(content)
    options = ("--bios", "none", "--kernel", "image") if kind == "bare" else ("image",)
    recorded = call_json(capfd, "record", "-q", "--no-input", "-o", "run.mst", *options)
    (folder / "image").unlink()

    replayed = call_json(capfd, "replay", "-q", "run.mst")

    assert (recorded["exit_code"], replayed["exit_code"]) == (3, 3)
    assert recorded["digest"] == replayed["digest"]


def intel_hex(code: bytes) -> bytes:
    record = bytes((len(code), 0, 0, 0)) + code
    record += bytes((-sum(record) & 0xFF,))
    return b"\n".join((b":0200000480007A", b":" + record.hex().upper().encode(), b":00000001FF", b""))


def replay_with_address(capfd: pytest.CaptureFixture[str], address: object) -> tuple[int, str]:
    """Status and standard error where a recording says that a further file goes to ``address`` (JSON)."""
    call(capfd, "record", "-q", "--no-input", "-o", "run.mst", "--load", f"seven.bin@{DATA_AT}", "fw.bin")
    old, new = (f'"address": {each}' for each in (DATA_AT, address))
    tamper("run.mst", "UPDATE meta SET value = replace(value, ?, ?)", old, new)
    status, _, err = call(capfd, "replay", "run.mst")
    assert err.count("\n") == 1
    return status, err


@pytest.mark.parametrize("address", ['"x"', "-1", "true", "1.5", "[]", str(1 << 64), "1" + "0" * 30])
def test_recording_with_no_good_address_is_refused(capfd: pytest.CaptureFixture[str], address: str) -> None:
    call(capfd, "record", "-q", "--no-input", "-o", "run.mst", "--load", f"seven.bin@{DATA_AT}", "fw.bin")
    assert tamper(
        "run.mst", "UPDATE meta SET value = replace(value, ?, ?)", f'"address": {DATA_AT}', f'"address": {address}'
    )

    status, _, err = call(capfd, "replay", "run.mst")

    assert status == 125
    assert err.startswith("minstret: run.mst: a damaged trace: ") and err.count("\n") == 1


@pytest.mark.parametrize(("address", "text"), [(0x1000, "is outside RAM"), (RAM + 2, "overlaps")])
def test_recording_whose_further_file_does_not_fit_is_refused_as_the_file_would_be(
    capfd: pytest.CaptureFixture[str], address: int, text: str
) -> None:
    status, err = replay_with_address(capfd, address)

    assert status == 125
    assert "seven.bin" in err and text in err


def test_verify_passes_further_files_on(capfd: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(
        capfd, "verify", "--runs", 2, "--load", f"seven.bin@{DATA_AT:#x}", "--load", "fw.bin@0x81000000", "fw.bin"
    )

    assert status == 0
    assert out.startswith("the same run 2 times: finished")


def test_bios_none_starts_the_kernel(capfd: pytest.CaptureFixture[str]) -> None:
    Path("kernel").write_bytes(fails_with(5))

    assert call(capfd, "run", "-q", "--no-input", "--bios", "none", "--kernel", "kernel")[0] == 5
    assert call(capfd, "run", "-q", "--no-input", "--bios", "none", "kernel")[0] == 5
    assert call(capfd, "run", "-q", "--no-input", "--bios", "none", "--kernel", "hello")[0] == 0


def test_bios_none_alone_asks_for_a_kernel(capfd: pytest.CaptureFixture[str]) -> None:
    assert call(capfd, "run", "--bios", "none") == (
        125, "", "minstret: --bios none: nothing to boot; add --kernel FILE\n"
    )  # fmt: skip


def test_firmware_beside_bios_none_and_a_kernel_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    Path("fw").write_bytes(PASSES)

    status, _, err = call(capfd, "run", "--bios", "none", "--kernel", "fw", "fw")

    text = "minstret: FIRMWARE (fw) and --bios (none) both say what runs first; give one of them\n"
    assert (status, err) == (125, text)


def test_verbose_says_what_was_left_out(capfd: pytest.CaptureFixture[str]) -> None:
    Path("fw.elf").write_bytes(elf_bytes(Load(RAM, PASSES, with_headers=True)))

    quiet = call(capfd, "run", "--no-input", "fw.elf")[2]
    verbose = call(capfd, "run", "--no-input", "-v", "fw.elf")[2]

    line = (
        "minstret: fw.elf (0x7fffff88..0x7fffffff) is left out: outside RAM, and nothing in it that a program needs\n"
    )
    assert line not in quiet
    assert line in verbose


@pytest.mark.parametrize("text", ["seven.bin@", "seven.bin@x", "@0x80000000", "seven.bin@0x", "seven.bin@_",
                                  "seven.bin@010", "seven.bin@-1", "seven.bin@0x80000000,force-raw=on"])  # fmt: skip
def test_load_with_no_good_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--load: expected"):
        parse_load(text, RAM_SIZE)


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [("a@b.bin", "a@b.bin", None), ("a@b.bin@0x10", "a@b.bin", 16), ("a@0x80000000@32", "a@0x80000000", 32)],
)
def test_load_takes_names_with_an_at_sign(text: str, name: str, address: int | None) -> None:
    shutil.copy("seven.bin", name)

    load = parse_load(text, RAM_SIZE)

    assert (load.file.name, load.address) == (name, address)


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (b"", "larger than RAM (16 MiB); give more --memory"),
        (b"\x1f\x8b\x08", "larger than RAM (16 MiB); give more --memory"),
        (b"\x27\x05\x19\x56", "larger than RAM (16 MiB); give more --memory"),
        (b"MZ\0\0zimg", "larger than RAM (16 MiB); give more --memory"),
        (b":0200000480007A\n", "more than 64 MiB of text; give an ELF file instead"),
        (b"S0090000782E73726563A3\n", "more than 64 MiB of text; give an ELF file instead"),
        (b"SQLite format 3\0" + bytes(52) + b"MSTR", "this is a recording: `minstret replay large`"),
    ],
)
def test_file_that_is_larger_than_it_may_be_is_refused_unread(
    capfd: pytest.CaptureFixture[str], head: bytes, text: str
) -> None:
    with Path("large").open("wb") as file:
        file.write(head)
        file.truncate(1 << 30)

    reset_high_water()
    before = high_water()
    for options in (("large",), ("--kernel", "large", "fw.bin")):
        assert call(capfd, "run", "-m", "16M", *options) == (125, "", f"minstret: large: {text}\n")
    assert high_water() - before < 100 << 20


def test_what_goes_into_ram_as_it_is_and_is_larger_is_refused_unread(capfd: pytest.CaptureFixture[str]) -> None:
    with Path("large").open("wb") as file:
        file.truncate(1 << 30)

    for options in (("--load", "large@0x80100000"), ("--load", "large"), ("--kernel", "fw.bin", "--initrd", "large")):
        status, _, err = call(capfd, "run", "-m", "16M", *options, "fw.bin")
        assert (status, err) == (125, "minstret: large: larger than RAM (16 MiB); give more --memory\n")


def test_endless_standard_input_is_refused_once_it_is_larger_than_ram() -> None:
    with subprocess.Popen(["cat", "/dev/zero"], stdout=subprocess.PIPE) as zeros:
        done = minstret("run", "-m", "16M", "-", stdin=zeros.stdout)
        zeros.kill()

    assert done.returncode == 125
    assert done.stderr == b"minstret: standard input: larger than RAM (16 MiB); give more --memory\n"
