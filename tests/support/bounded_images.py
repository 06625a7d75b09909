"""Loads and places images while this process may take so much more memory and time; run by test_loader_bounds.py.

python bounded_images.py FILE...              each file: one line, with what became of it
python bounded_images.py --fuzz SEED CASES    ELF files with random headers: anything but a load or an error is named
"""

from __future__ import annotations

import gzip
import random
import resource
import signal
import struct
import sys
import zlib
from pathlib import Path

from minstret.devices.board.placement import BootImages, place
from minstret.emu.errors import ConfigError
from minstret.emu.images import elf  # noqa: F401  # imported before memory is bounded
from minstret.emu.images.loader import ImageFile, load_firmware, read_image

RAM, RAM_SIZE = 0x8000_0000, 128 << 20
MORE_MEMORY_MAX = 200 << 20
CASE_CPU_S_MAX = 10
"""Far above what a case takes: this finds what has no end."""


def outcome(source: Path | ImageFile) -> str:
    signal.setitimer(signal.ITIMER_PROF, CASE_CPU_S_MAX)
    try:
        file = read_image(source) if isinstance(source, Path) else source
        firmware = load_firmware(file, RAM, RAM_SIZE)
        place(BootImages(firmware), firmware.xlen or 64, RAM_SIZE, lambda initrd: b"tree")
    except ConfigError as error:
        text = str(error)
        name = str(source) if isinstance(source, Path) else source.name
        return text if text.startswith(name) and "\n" not in text else f"BAD TEXT {text!r}"
    except BaseException as error:
        return f"CRASH {error!r}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    firmware.symbols.describe(RAM)
    return "loaded"


# ---- random ELF files

EDGES = (0, 1, 2, 3, 4, 5, 7, 8, 16, 20, 24, 32, 40, 52, 56, 63, 64, 100, 0xFF, 0x1000, 0x7FFF, 0xFFFE, 0xFFFF, RAM,
         RAM - 1, RAM + RAM_SIZE, (1 << 31) - 1, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 4096,
         (1 << 64) - 1)  # fmt: skip


def random_elf(rng: random.Random) -> bytes:
    """A file that is correct except for one or a few of its fields."""
    is_64, size = rng.random() < 0.7, rng.choice((0, 1, 4, 100, 300, 5000))
    word, order = ("Q" if is_64 else "I"), rng.choice("<" * 20 + ">")
    header_size, segment_size, section_size, symbol_size = (64, 56, 64, 24) if is_64 else (52, 32, 40, 16)
    segments, sections, symbols = rng.choice((1, 1, 2, 3, 40)), rng.choice((0, 3, 3, 5)), rng.choice((0, 1, 10))
    segments_at = header_size
    sections_at = segments_at + segment_size * segments
    symbols_at = sections_at + section_size * sections
    names_at = symbols_at + symbol_size * symbols

    def spoiled(*values: int) -> list[int]:
        return [rng.choice((rng.choice(EDGES), value + rng.randint(-9, 9))) if rng.random() < spoil else value
                for value in values]  # fmt: skip

    def pack(layout: str, *values: int) -> bytes:
        masks = {"B": 0xFF, "H": 0xFFFF, "I": (1 << 32) - 1, "Q": (1 << 64) - 1}
        layout = layout.replace("W", word)
        return struct.pack(order + layout, *(value & masks[kind] for kind, value in zip(layout, values, strict=True)))

    spoil = rng.choice((0.0, 0.02, 0.1, 0.5))
    kind = rng.choice((2,) * 10 + (3, 1))
    data = b"\x7fELF" + bytes((2 if is_64 else 1, 1 if order == "<" else 2, 1)) + bytes(9)
    data += pack("HHIWWWIHHHHHH", *spoiled(
        kind, rng.choice((243,) * 10 + (62,)), 1, RAM, segments_at, sections_at if sections else 0, 0, header_size,
        segment_size, segments, section_size, sections, 2 if sections else 0,
    ))  # fmt: skip
    for number in range(segments):
        at = RAM + 0x10000 * number
        fields = {"t": rng.choice((1, 1, 1, 1, 4, 6)), "f": 7, "o": names_at, "v": at, "p": at, "s": size, "m": size}
        names = "tfovpsm" if is_64 else "tovpsmf"
        data += pack("IIWWWWWW" if is_64 else "IWWWWWIW", *spoiled(*(fields[name] for name in names), 4))
    for number in range(sections):
        at, length, link, entry = ((symbols_at, symbol_size * symbols, 2, symbol_size), (names_at, size, 0, 0))[
            number % 2
        ]
        data += pack("IIWWWWIIWW", *spoiled(0, (2, 3, 7, 11)[number % 4], 0, 0, at, length, link, 1, 1, entry))
    for number in range(symbols):
        fields = (number, 2, 0, 1, RAM + number, 4) if is_64 else (number, RAM + number, 4, 2, 0, 1)
        data += pack("IBBHWW" if is_64 else "IIIBBH", *spoiled(*fields))
    data += rng.randbytes(size)
    return data[: rng.choice((*(len(data),) * 9, rng.randint(4, len(data))))]


def random_other(rng: random.Random) -> bytes:
    """An image of another kind with a few bytes changed, left out or put in."""
    code = rng.randbytes(rng.choice((0, 1, 64, 4096)))
    packed = gzip.compress(code, 1, mtime=0)
    record = bytes((16, 0, 0, 0)) + code[:16].ljust(16)
    record += bytes((-sum(record) & 0xFF,))
    s_record = bytes((21, 128, 0, 0, 0)) + code[:16].ljust(16)
    s_record += bytes((~sum(s_record) & 0xFF,))
    fields = (code, 0x2705_1956, len(code), RAM, RAM)
    data = bytearray(rng.choice((
        b":0200000480007A\n:" + record.hex().encode() + b"\n:040000058000000077\n:00000001FF\n",
        b"S0090000782E73726563A3\nS3" + s_record.hex().encode() + b"\nS705800000007A\n",
        struct.pack(">7I4B32s", fields[1], 0, 0, fields[2], fields[3], fields[4], zlib.crc32(code), 5, 26, 2,
                    rng.choice((0, 1, 9)), b"fuzz") + rng.choice((code, packed)),
        packed,
        struct.pack("<4s4sII8x8s32x", b"MZ", b"zimg", 64, 1 << 20, rng.choice((b"gzip", b"zstd"))) + packed,
        b"MZ" + bytes(14) + rng.choice(EDGES).to_bytes(8, "little") + bytes(0x20) + b"RSC\x05" + code,
        b"SQLite format 3\0" + code, b"#include <stdio.h>\n" + code, b"\n" * 300 + code,
    )))  # fmt: skip
    for _ in range(rng.choice((0, 1, 1, 2, 8))):
        at = rng.randrange(len(data) + 1)
        put_in = rng.choice((b"", rng.randbytes(1), bytes((rng.choice(b"0:S\nF%"),))))
        data[at : at + rng.choice((0, 1, 1, 1, 5))] = put_in
    if data[:4] == b"\x27\x05\x19\x56" and len(data) >= 64:  # a checksum that is right, so that the rest is looked at
        data[4:8] = zlib.crc32(bytes(data[:4]) + bytes(4) + bytes(data[8:64])).to_bytes(4, "big")
    return bytes(data)


def fuzz(seed: int, cases: int) -> int:
    """Returns how many were loaded. Prints those that are neither loaded nor refused in one line."""
    loaded = 0
    for number in range(cases):
        rng = random.Random(f"{seed}/{number}")
        data = random_elf(rng) if rng.random() < 0.7 else random_other(rng)
        text = outcome(ImageFile("fuzz", data))
        loaded += text == "loaded"
        if text.startswith(("CRASH", "BAD")):
            print(f"seed {seed}, case {number}: {text}")
    return loaded


def bound_memory(size: int) -> None:
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + size, now + size))


def main(arguments: list[str]) -> None:
    def expired(*_: object) -> None:
        raise TimeoutError(f"more than {CASE_CPU_S_MAX} s")

    signal.signal(signal.SIGPROF, expired)
    if arguments[0] == "--fuzz":
        bound_memory(MORE_MEMORY_MAX)
        print(f"{fuzz(int(arguments[1]), int(arguments[2]))} loaded")
        return
    largest = max((path.stat().st_size for path in map(Path, arguments) if path.is_file()), default=0)
    bound_memory(MORE_MEMORY_MAX + min(largest, 1 << 30))
    for name in arguments:
        print(outcome(Path(name)))


if __name__ == "__main__":
    main(sys.argv[1:])
