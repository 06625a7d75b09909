"""Guests for several harts, to be cut, saved, recorded and replayed: all that harts do to each other in a small space.

Each hart of ``busy`` goes through the same loop: LR and SC, AMOs, loads of what others have stored, stores across two
pages, code that all of them patch and call, counters, interrupts to each other, its own timer, and WFI. The UART
interrupts two harts, whoever claims first. In the middle the board may be reset. What a hart sees goes into a hash that
it stores where others load it, so that nearly every other order of instructions ends with another digest.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from support import asm
from support.asm import (
    A0,
    FENCE_I,
    MRET,
    RA,
    T0,
    T1,
    T2,
    T3,
    T4,
    T5,
    T6,
    WFI,
    ZERO,
    add,
    addi,
    amoadd_w,
    andi,
    csrr,
    csrrci,
    csrrsi,
    csrrw,
    csrw,
    jalr,
    lb,
    lr_w,
    lui,
    lw,
    sb,
    sc_w,
    slli,
    srli,
    sw,
)  # fmt: skip
from support.elf_files import Load, elf_bytes
from support.generated_code import EQ, LT, NE, Text
from support.generated_smp import HART_ROOM, generate
from support.own_devices import GPIO_BASE, GPIO_IRQ, PulsedGpio
from support.recordings import FINISHER, PASS, RAM, RESET, UART, setup_of_image

from minstret.devices.board.board import Setup
from minstret.devices.board.config import BoardConfig
from minstret.devices.board.map import IRQ, Base
from minstret.emu.images.loader import ImageFile, load_firmware

RAM_SIZE = 1 << 20
HART, LOG, ROUND, HARTS, MTIMECMP, MSIP = 8, 9, 18, 19, 20, 21
BOOTS_AT = 0x6000
"""How often the board was reset, from where the guest is: beyond what a reset loads anew."""
MEETING_PLACES = (0x3000, 0x4000, 0x4004, 0x4040, 0x4FFC, 0x5000)
"""Offsets of words that several harts load and store, from where the guest is."""
_SAVE, _COUNTER, _MIX, _EDGE, _STUB, _DONE = 0x5000, 0x4000, 0x4040, 0x4FFD, 0x3000, 0x4080
_PLIC = int(Base.PLIC)
_GENERATED_START = 0x30000


def busy(xlen: int, harts: int, *, rounds: int = 12, reset_in: int = 5, base: int = 0, first: int = 0) -> bytes:
    """The guest's code, for RAM at offset ``base``.

    Args:
        xlen: 32 or 64.
        harts: How many there are.
        rounds: How often each goes through its loop; the last one to come there passes.
        reset_in: In this round the last hart resets the board, once; -1: never.
        base: A multiple of 4096.
        first: The first hart that runs this; with others than 0 the run does not end here.
    """
    text = Text(base, xlen)
    _start(text, base, harts)
    text.label("again")
    for part in (_reservation, _share, _patch, _edge, _counters, _send, _wait, _say):
        part(text, base)
    if reset_in >= 0:
        _reset(text, base, harts, reset_in)
    text.emit(addi(ROUND, ROUND, 1), addi(T0, ROUND, -rounds))
    text.branch(EQ, T0, ZERO, "done")
    text.jump("again")
    text.label("done")
    text.ram(T3, base + _DONE)
    text.emit(addi(T1, ZERO, 1), amoadd_w(T0, T1, T3), addi(T0, T0, first + 1 - harts))
    text.branch(NE, T0, ZERO, "idle")
    if first == 0:
        text.constant(T3, FINISHER)
        text.constant(T4, PASS)
        text.emit(sw(T4, T3, 0))
    text.label("idle")
    text.emit(WFI)
    text.jump("idle")
    _handler(text, base)
    assert len(text.data) < _STUB
    _, data = text.finish()
    return data.ljust(_STUB, b"\0") + asm.code(addi(A0, A0, 0), jalr(ZERO, RA, 0), [addi(A0, A0, 1)] * 4)


def _start(text: Text, base: int, harts: int) -> None:
    text.emit(csrr(HART, "mhartid"), addi(LOG, HART, 1), addi(ROUND, ZERO, 0), addi(HARTS, ZERO, harts))
    text.ram(T0, base + _SAVE)
    text.emit(slli(T1, HART, 6), add(T0, T0, T1), csrw("mscratch", T0))
    text.address(T0, "handler")
    text.emit(csrw("mtvec", T0))
    text.emit(lui(MSIP, Base.CLINT >> 12), slli(T0, HART, 2), add(MSIP, MSIP, T0))
    text.emit(lui(MTIMECMP, Base.CLINT + 0x4000 >> 12), slli(T0, HART, 3), add(MTIMECMP, MTIMECMP, T0))
    text.emit(addi(T0, HART, -2))
    text.branch(LT, T0, ZERO, "hears")
    text.jump("deaf")
    text.label("hears")
    text.emit(lui(T0, _PLIC >> 12), addi(T1, ZERO, 1), sw(T1, T0, 4 * IRQ.UART0), sw(T1, T0, 4 * GPIO_IRQ))
    text.emit(lui(T0, _PLIC + 0x2000 >> 12), slli(T1, HART, 8), add(T0, T0, T1))
    text.constant(T1, 1 << IRQ.UART0 | 1 << GPIO_IRQ)
    text.emit(sw(T1, T0, 0), lui(T0, UART >> 12), addi(T1, ZERO, 1), sb(T1, T0, 1))
    text.label("deaf")
    text.constant(T0, 0x888)
    text.emit(csrw("mie", T0), csrrsi(ZERO, "mstatus", 8))


def _reservation(text: Text, base: int) -> None:
    """Count by LR and SC: try a few times, as with the smallest quanta it never succeeds."""
    text.ram(T3, base + _COUNTER)
    text.emit(addi(T2, ZERO, 4))
    text.label("try")
    text.emit(lr_w(T0, T3), addi(T0, T0, 1), sc_w(T1, T0, T3), add(LOG, LOG, T0), addi(T2, T2, -1))
    text.branch(EQ, T1, ZERO, "counted")
    text.branch(NE, T2, ZERO, "try")
    text.label("counted")


def _share(text: Text, base: int) -> None:
    """Add to a place of all, and hash what another hart has stored."""
    text.ram(T3, base + _COUNTER)
    text.emit(addi(T3, T3, 4), amoadd_w(T0, LOG, T3), add(LOG, LOG, T0))
    text.ram(T3, base + _MIX)
    text.emit(andi(T0, LOG, 7), slli(T0, T0, 2), add(T0, T0, T3), lw(T1, T0, 0))
    text.emit(slli(T2, LOG, 3), add(LOG, LOG, T2), add(LOG, LOG, T1))
    text.emit(slli(T0, HART, 2), add(T0, T0, T3), sw(LOG, T0, 0))


def _patch(text: Text, base: int) -> None:
    """In every second round: change what all call; then call it."""
    text.ram(T3, base + _STUB)
    text.emit(andi(T0, ROUND, 1))
    text.branch(NE, T0, ZERO, "call")
    text.constant(T0, addi(A0, A0, 0))
    text.emit(slli(T1, LOG, 22), add(T0, T0, T1), sw(T0, T3, 0), FENCE_I)
    text.label("call")
    text.emit(jalr(RA, T3, 0), add(LOG, LOG, A0))


def _edge(text: Text, base: int) -> None:
    text.ram(T3, base + _EDGE)
    text.store(LOG, T3, 0)
    text.load(T0, T3, 0)
    text.emit(add(LOG, LOG, T0))


def _counters(text: Text, base: int) -> None:
    text.emit(*[word for name in ("minstret", "cycle", "time", "mip") for word in (csrr(T0, name), add(LOG, LOG, T0))])
    text.emit(andi(T0, LOG, 31))
    text.branch(NE, T0, ZERO, "counts on")
    text.emit(csrw("minstret", LOG))
    text.label("counts on")


def _send(text: Text, base: int) -> None:
    """Interrupt one of the harts, perhaps itself."""
    text.emit(andi(T0, LOG, 7))
    text.branch(LT, T0, HARTS, "there")
    text.emit(addi(T0, ZERO, 0))
    text.label("there")
    text.emit(slli(T0, T0, 2), lui(T3, Base.CLINT >> 12), add(T3, T3, T0), addi(T1, ZERO, 1), sw(T1, T3, 0))


def _wait(text: Text, base: int) -> None:
    """Sometimes wait for a time of its own, or for anything else that comes before."""
    text.emit(srli(T0, LOG, 4), andi(T0, T0, 1))
    text.branch(NE, T0, ZERO, "awake")
    text.emit(csrrci(ZERO, "mstatus", 8), csrr(T0, "time"), andi(T1, LOG, 7), addi(T1, T1, 1), add(T0, T0, T1))
    text.emit(sw(ZERO, MTIMECMP, 4), sw(T0, MTIMECMP, 0), WFI, csrrsi(ZERO, "mstatus", 8))
    text.label("awake")


def _say(text: Text, base: int) -> None:
    text.emit(andi(T0, LOG, 7))
    text.branch(NE, T0, ZERO, "silent")
    text.emit(andi(T0, LOG, 0x3F), addi(T0, T0, 0x40), lui(T3, UART >> 12), sb(T0, T3, 0))
    text.label("silent")


def _reset(text: Text, base: int, harts: int, reset_in: int) -> None:
    text.emit(addi(T0, HART, 1 - harts))
    text.branch(NE, T0, ZERO, "goes on")
    text.emit(addi(T0, ROUND, -reset_in))
    text.branch(NE, T0, ZERO, "goes on")
    text.ram(T3, base + BOOTS_AT)
    text.emit(lw(T0, T3, 0))
    text.branch(NE, T0, ZERO, "goes on")
    text.emit(addi(T0, ZERO, 1), sw(T0, T3, 0))
    text.ram(T3, base + _DONE)
    text.emit(sw(ZERO, T3, 0))
    text.constant(T3, FINISHER)
    text.constant(T4, RESET)
    text.emit(sw(T4, T3, 0))
    text.label("goes on")


def _handler(text: Text, base: int) -> None:
    """Hash cause and place, and end what has interrupted."""
    word = text.xlen // 8
    while text.here % 4:
        text.emit(asm.C_NOP)
    text.label("handler")
    text.emit(csrrw(T6, "mscratch", T6))
    for at, register in enumerate((T5, T4)):
        text.store(register, T6, at * word)
    text.emit(csrr(T5, "mcause"), add(LOG, LOG, T5), csrr(T4, "mepc"), add(LOG, LOG, T4), andi(T5, T5, 15))
    for cause, name in ((3, "software"), (7, "timer"), (11, "external")):
        text.emit(addi(T4, T5, -cause))
        text.branch(EQ, T4, ZERO, name)
    text.emit(0)  # an exception is a mistake of the guest's: loop in it
    text.label("software")
    text.emit(sw(ZERO, MSIP, 0))
    text.jump("out")
    text.label("timer")
    text.emit(addi(T4, ZERO, -1), sw(T4, MTIMECMP, 4), sw(T4, MTIMECMP, 0))
    text.jump("out")
    text.label("external")
    text.emit(lui(T4, _PLIC + 0x20_0000 >> 12), slli(T5, HART, 13), add(T4, T4, T5), lw(T5, T4, 4))
    text.emit(add(LOG, LOG, T5), sw(T5, T4, 4), addi(T4, T5, -IRQ.UART0))
    text.branch(NE, T4, ZERO, "out")
    text.emit(lui(T4, UART >> 12), lb(T5, T4, 0), add(LOG, LOG, T5), sb(T5, T4, 0))
    text.label("out")
    for at, register in enumerate((T5, T4)):
        text.load(register, T6, at * word)
    text.emit(csrrw(T6, "mscratch", T6), MRET)


# ---- boards


def setup_of_busy(
    xlen: int = 64, harts: int = 2, *, reset_in: int = 5, rounds: int = 12, is_pulsed: bool = False, **config: Any
) -> Setup:
    """A board for ``busy``; ``is_pulsed``: with a device whose pins pulse, by an EXTERNAL timer and by the host."""
    code = busy(xlen, harts, reset_in=reset_in, rounds=rounds)
    made = BoardConfig(**{"ram_size": RAM_SIZE, "xlen": xlen, "smp": harts} | config)
    devices = (PulsedGpio(GPIO_BASE, GPIO_IRQ, 1),) if is_pulsed else ()
    return Setup(made, ImageFile("busy.bin", code), devices=devices)


def setup_of_generated(number: int, xlen: int, harts: int, **config: Any) -> Setup:
    """A program of generated_smp.py; it never ends."""
    program = generate(f"exact/{number}", xlen, harts, reads_time=True)
    start = asm.code(
        csrr(T0, "mhartid"), slli(T0, T0, HART_ROOM.bit_length() - 1), asm.li(T1, RAM), add(T0, T0, T1),
        jalr(ZERO, T0, 0),
    )  # fmt: skip
    image = bytearray(program.image)
    image[_GENERATED_START : _GENERATED_START + len(start)] = start
    elf = elf_bytes(Load(RAM, bytes(image)), entry=RAM + _GENERATED_START, xlen=xlen)
    made = BoardConfig(**{"ram_size": RAM_SIZE, "xlen": xlen, "smp": harts} | config)
    return Setup(made, ImageFile("generated.elf", elf))


BESIDE_AT = 0x80000


def setup_beside(image: str, harts: int = 2, **config: Any) -> Setup:
    """Hart 0 runs an image that is made for one hart, which ends the run; the others ``busy``."""
    setup = setup_of_image(image, ram_size=RAM_SIZE)
    assert setup.bios is not None
    firmware = load_firmware(setup.bios, RAM)
    code = busy(64, harts, rounds=60, reset_in=-1, base=BESIDE_AT, first=1)
    start_at = BESIDE_AT - 0x1000
    start = asm.code(
        csrr(T0, "mhartid"), asm.bne(T0, ZERO, 8), asm.jal(ZERO, firmware.entry - RAM - start_at - 8),
        asm.jal(ZERO, BESIDE_AT - start_at - 12),
    )  # fmt: skip
    loads = [Load(segment.address, bytes(segment.data)) for segment in firmware.segments]
    loads += [Load(RAM + start_at, start), Load(RAM + BESIDE_AT, code)]
    elf = elf_bytes(*loads, entry=RAM + start_at)
    return replace(setup, config=replace(setup.config, smp=harts, **config), bios=ImageFile(f"{image}-beside.elf", elf))
