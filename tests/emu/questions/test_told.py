"""How answers about accesses read."""

from __future__ import annotations

from minstret.emu.hart.cpu import RV64GC
from minstret.emu.hart.watches import WatchKind
from minstret.emu.images.image import SymbolTable
from minstret.emu.questions.accesses import Access, By
from minstret.emu.questions.targets import Target
from minstret.emu.questions.told import Teller

STORE, LOAD = WatchKind.STORE, WatchKind.LOAD
TARGET = Target("phys:0x80001000..0x80001003", 0x8000_1000, 4, ((0x8000_1000, 4),))
TELLER = Teller(SymbolTable(), RV64GC, lambda icount: f"there {icount}")


def test_every_writer_has_its_words() -> None:
    sw = Access(
        By.INSTRUCTION, 1234, 2468, STORE, hart=1, pc=0x80000010, code=(0x00B52023).to_bytes(4, "little"),
        callers=(0x8000_0100,), address=0x8000_1000, size=4, old=bytes(4), new=b"\1\0\0\0",
    )  # fmt: skip
    assert TELLER.last(sw, TARGET, STORE) == [
        "phys:0x80001000..0x80001003 was last written at icount 1,234, virtual time 0.000002468 s",
        "  hart1: pc 0x80000010: sw a1, 0(a0)",
        "    called from 0x80000100",
        "  stored 4 bytes at 0x80001000: 0x00000000 -> 0x00000001",
        "  look there: there 1234",
    ]
    dma = Access(
        By.DEVICE,
        1234,
        2468,
        STORE,
        "net0",
        hart=0,
        pc=0x80000010,
        address=0x8000_0FFE,
        size=4,
        old=bytes(4),
        new=b"abcd",
    )
    assert TELLER.last(dma, TARGET, STORE)[1:3] == [
        "  by net0, while hart0 was at pc 0x80000010",
        "  wrote 4 bytes at 0x80000ffe: 0x00000000 -> 0x64636261",
    ]
    assert TELLER.last(Access(By.OUTSIDE, 7, 14, new=b"\1"), TARGET, STORE)[0].endswith(
        "was last written at icount 7, virtual time 0.000000014 s, from outside, by a debugger or a test: 0x01"
    )
    assert "by a reset, which loads a.elf anew" in TELLER.last(Access(By.IMAGE, 7, 14, name="a.elf"), TARGET, STORE)[0]
    assert TELLER.last(Access(By.NOBODY, 500, 1000), TARGET, LOAD) == [
        "phys:0x80001000..0x80001003 was not read since this trace begins, at icount 500"
    ]
    amo = Access(
        By.INSTRUCTION, 1, 2, WatchKind.ACCESS, hart=0, pc=0, address=0x8000_1000, size=4, old=bytes(4), new=bytes(4)
    )
    assert "loaded and stored 4 bytes" in TELLER.line(amo, TARGET)
