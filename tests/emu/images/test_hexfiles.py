"""Intel hex and S-records: data, start addresses, checksums; as objcopy writes them, and damaged."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from support.elf_files import RAM
from support.needs import Need

from minstret.emu.errors import ConfigError
from minstret.emu.images.loader import Firmware, ImageFile, Segment, load_firmware
from minstret.firmware import image_path

OBJCOPY = "riscv64-unknown-elf-objcopy"
CODE = bytes.fromhex("b702100015631b03535523a0620001a0")
INTEL_HEX = b":0200000480007A\r\n:10000000B702100015631B03535523A0620001A023\r\n:040000058000000077\r\n:00000001FF\r\n"
S_RECORDS = b"S0090000782E73726563A3\r\nS31580000000B702100015631B03535523A0620001A09D\r\nS705800000007A\r\n"
"""One program, as objcopy 2.40 writes it."""


def loaded(data: bytes) -> Firmware:
    return load_firmware(ImageFile("fw", data), 0x1234)


def error(data: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def intel(kind: int, address: int, data: bytes) -> bytes:
    record = bytes((len(data), address >> 8, address & 0xFF, kind)) + data
    return b":%s%02X\n" % (record.hex().upper().encode(), -sum(record) & 0xFF)


def srec(kind: int, address: int, data: bytes = b"") -> bytes:
    size = {0: 2, 1: 2, 2: 3, 3: 4, 5: 2, 6: 3, 7: 4, 8: 3, 9: 2}[kind]
    record = bytes((size + len(data) + 1,)) + address.to_bytes(size, "big") + data
    return b"S%d%s%02X\n" % (kind, record.hex().upper().encode(), ~sum(record) & 0xFF)


INTEL_END = intel(1, 0, b"")


@pytest.mark.parametrize("data", [INTEL_HEX, S_RECORDS, INTEL_HEX.replace(b"\r", b""), b"\n\n" + S_RECORDS.lower()
                                  .replace(b"s", b"S")], ids=["intel", "s", "intel-unix", "s-lower"])  # fmt: skip
def test_what_objcopy_writes_is_loaded_and_started_where_it_says(data: bytes) -> None:
    assert loaded(data) == Firmware("fw", None, RAM, (Segment(RAM, CODE, 16),))


@pytest.mark.parametrize("image", ["hello", "traps"])
@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("options", [("ihex",), ("srec",), ("srec", "--srec-len", "9"), ("srec", "--srec-forceS3")])
def test_image_through_objcopy_is_the_same_memory_and_start(
    tmp_path: Path, need: Need, image: str, xlen: int, options: tuple[str, ...]
) -> None:
    need(OBJCOPY, shutil.which(OBJCOPY))
    elf, text = image_path(image, xlen), tmp_path / "fw"

    subprocess.run([OBJCOPY, "-O", *options, elf, text], check=True)

    assert memory_of(load_firmware(text, 0)) == memory_of(load_firmware(elf, 0))
    assert load_firmware(text, 0).entry == load_firmware(elf, 0).entry


def memory_of(firmware: Firmware) -> dict[int, int]:
    """Bytes that are not zero: what only fills a gap between sections is in the ELF file alone."""
    return {s.address + at: byte for s in firmware.segments for at, byte in enumerate(s.data) if byte}


def test_intel_hex_has_three_ways_to_say_an_address() -> None:
    data = intel(0, 0x10, b"a") + intel(2, 0, b"\x12\x34") + intel(0, 1, b"b") + intel(4, 0, b"\x80\x00")
    data += intel(0, 0xFFFF, b"c") + INTEL_END + b"what is behind the end is not looked at"

    firmware = loaded(data)

    assert [(segment.address, segment.data) for segment in firmware.segments] == [
        (0x10, b"a"), (0x12341, b"b"), (0x8000_FFFF, b"c")
    ]  # fmt: skip
    assert firmware.entry == 0x10


def test_s_records_have_addresses_of_three_sizes() -> None:
    firmware = loaded(srec(1, 0x10, b"a") + srec(2, 0x12_3456, b"b") + srec(3, RAM, b"c") + srec(5, 3) + srec(8, 0x10))

    assert [(segment.address, segment.data) for segment in firmware.segments] == [
        (0x10, b"a"), (0x12_3456, b"b"), (RAM, b"c")
    ]  # fmt: skip
    assert firmware.entry == 0x10


def test_start_address_outside_the_data_is_none() -> None:
    assert loaded(srec(3, RAM + 8, b"code") + srec(7, 0)).entry == RAM + 8
    assert loaded(intel(3, 0, bytes(4)) + intel(0, 8, b"code") + INTEL_END).entry == 8


def test_intel_start_in_a_segment_is_found() -> None:
    assert loaded(intel(0, 0x20, bytes(32)) + intel(3, 0, b"\x00\x02\x00\x04") + INTEL_END).entry == 0x24


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (INTEL_HEX.replace(b"1B03", b"1B04"), "fw:2: the checksum is wrong: expected 0x22, got 0x23"),
        (INTEL_HEX[:-13], "fw: Intel hex, cut short: its last line, :00000001FF, is missing"),
        (INTEL_HEX.replace(b"A023\r", b"A0\r"), "fw:2: 20 bytes; its length field says otherwise"),
        (INTEL_HEX.replace(b"\r\n:10", b"\r\n10"), "fw:2: expected ':' and pairs of hexadecimal digits"),
        (INTEL_HEX.replace(b"A023", b"A02x"), "fw:2: expected ':' and pairs of hexadecimal digits"),
        (intel(6, 0, b"") + INTEL_END, "fw:1: unknown record of type 6 with 0 bytes of data"),
        (intel(4, 0, b"x") + INTEL_END, "fw:1: unknown record of type 4 with 1 bytes of data"),
        (INTEL_END, "fw: it contains no data"),
        (S_RECORDS.replace(b"1B03", b"1B04"), "fw:2: the checksum is wrong: expected 0x9c, got 0x9d"),
        (S_RECORDS[:-16], "fw: S-records, cut short: the last line, S7, S8 or S9, is missing"),
        (S_RECORDS.replace(b"A09D", b"A0"), "fw:2: 21 bytes; its length field says otherwise"),
        (S_RECORDS.replace(b"S315", b"S415"), "fw:2: expected an S-record, S0 to S9, got 'S4'"),
        (S_RECORDS.replace(b"S315", b"\xff\xff15"), "fw:2: expected"),
        (S_RECORDS[:-16] + srec(5, 2) + S_RECORDS[-16:], "fw:3: expected 2 lines of data before it, got 1"),
        (srec(9, 0), "fw: it contains no data"),
    ],
)  # fmt: skip
def test_damaged_line_is_named(data: bytes, text: str) -> None:
    assert error(data).startswith(text)


@pytest.mark.parametrize("whole", [INTEL_HEX, S_RECORDS], ids=["intel", "s"])
def test_one_changed_digit_of_the_data_is_found(whole: bytes) -> None:
    start, end = whole.index(b"B702"), whole.index(b"01A0") + 4

    for at in range(start, end):
        changed = whole[:at] + (b"8" if whole[at] == ord("7") else b"7") + whole[at + 1 :]
        assert "fw:2: the checksum is wrong" in error(changed)
