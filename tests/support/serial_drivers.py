"""Generated guests that receive text from their UART, as drivers do: they reset it, probe it, and read it in many ways.

None of them takes a byte out and throws it away, but for reads that drivers do right behind a reset. So each must get
the whole text, whatever it does.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

from support import asm
from support.asm import A0, A1, A2, A3, S0, S1, T0, T1, T2, ZERO
from support.recordings import FINISHER, PASS, RESET, UART, finish_code

from minstret.devices.chips.uart16550 import Ier, Mcr, Reg

RAM = 0x8000_0000
BUFFER_AT = 0x4_0000
"""Where the text goes, from the start of RAM."""
_KEPT_AT = 0x3_F000
"""Where a driver that resets the board keeps how far it got."""
STOP = b"."
TEXT_MAX = 60

_PLIC_PRIORITY, _PLIC_ENABLE, _PLIC_CLAIM = 0x0C00_0028, 0x0C00_2000, 0x0C20_0004
_IRQ_UART, _MEIE = 10, 1 << 11
_FIFO_CONTROLS = (0x00, 0x01, 0x02, 0x07, 0x41, 0x87, 0xC1, 0xC7)
_DLAB, _EIGHT_BITS = 0x80, 0x03


@dataclass(frozen=True)
class Driver:
    """Machine code for the start of RAM, and what was drawn for it."""

    code: bytes
    is_polling: bool
    description: str


def received(ram: memoryview, size: int) -> bytes:
    """What a driver has stored."""
    return bytes(ram[BUFFER_AT : BUFFER_AT + size])


def draw_driver(pick: random.Random, text: bytes, is_polling: bool | None = None) -> Driver:
    """A driver for ``text``, which ends with STOP and has no other; ``is_polling`` None: this is drawn too."""
    is_polling = pick.random() < 0.5 if is_polling is None else is_polling
    words: list[list[int]] = []
    answers, resets = pick.random() < 0.3, pick.random() < 0.2
    said = ["polls" if is_polling else "interrupts"]

    def add(name: str, *parts: int | Iterable[int]) -> None:
        said.append(name)
        words.extend([part] if isinstance(part, int) else list(part) for part in parts)

    if pick.random() < 0.5:
        add("discards first", *_discard(pick))
    for _ in range(pick.choice((0, 1, 1, 2, 2, 3))):
        _set_up(pick, add)
    left = len(text)
    if not is_polling:
        add("listens", *_listen())
    again = b""
    if resets or pick.random() < 0.5:  # once more in the middle of the text
        first = pick.randrange(left)
        left -= first
        for _ in range(first):
            words.extend(_wait_for_byte(is_polling))
            words.extend(_store_byte(answers))
        if resets:
            add("resets the board", _reset())
            again, words = asm.code(*words), []
        _set_up(pick, add)
        if not is_polling:
            add("listens", *_listen())
    slow = pick.choice((0, 0, 50, 3000))
    add(f"reads {left} at {slow}" + " and answers" * answers, _read_all(is_polling, slow, answers))
    code = _begin(len(again)) + again + asm.code(*words) + finish_code(PASS)
    return Driver(code, is_polling, ", ".join(said))


def _begin(size: int) -> bytes:
    """Where the board was reset, go on behind ``size`` bytes."""
    return asm.code(
        asm.li(S1, UART), asm.li(A3, STOP[0]), asm.li(T0, RAM + _KEPT_AT), asm.ld(S0, T0, 0),
        asm.beq(S0, ZERO, 8), asm.jal(ZERO, 4 + 4 * 5 + size), asm.li(S0, RAM + BUFFER_AT),
    )  # fmt: skip


def _reset() -> list[int]:
    return [
        *asm.li(T0, RAM + _KEPT_AT), asm.sd(S0, T0, 0), *asm.li(T0, FINISHER), *asm.li(T1, RESET),
        asm.sw(T1, T0, 0), asm.LOOP,
    ]  # fmt: skip


def _write(reg: int, value: int) -> list[int]:
    return [*asm.li(T0, value), asm.sb(T0, S1, reg)]


def _spin(insns: int) -> list[int]:
    return [*asm.li(T1, insns // 2 + 1), asm.addi(T1, T1, -1), asm.bne(T1, ZERO, -4)]


def _discard(pick: random.Random) -> list[list[int]]:
    """Reads the receiver empty, or once without looking, as drivers do to begin afresh."""
    once = [asm.lb(T0, S1, Reg.LSR), asm.lb(T0, S1, Reg.RBR_THR), asm.lb(T0, S1, Reg.IIR_FCR), asm.lb(T0, S1, Reg.MSR)]
    drain = [
        asm.lb(T0, S1, Reg.LSR), asm.andi(T0, T0, 1), asm.beq(T0, ZERO, 12), asm.lb(T0, S1, Reg.RBR_THR),
        asm.jal(ZERO, -16),
    ]  # fmt: skip
    return [pick.choice((once, drain))]


def _loopback(pick: random.Random) -> list[int]:
    """A test in loopback: some bytes go round, some are read back, the rest is cleared."""
    words = _write(Reg.MCR, Mcr.LOOPBACK)
    for _ in range(pick.randrange(20)):
        words += _write(Reg.RBR_THR, pick.randrange(256))
    return words + _write(Reg.IIR_FCR, pick.choice((0x02, 0x03, 0x07))) + _write(Reg.MCR, Mcr.DTR | Mcr.RTS)


def _set_up(pick: random.Random, add: object) -> None:
    """Some of what drivers write, maybe a read that throws away at once, maybe much else before they go on."""
    assert callable(add)
    divisor = [_write(Reg.LCR, _DLAB | _EIGHT_BITS), _write(Reg.RBR_THR, pick.choice((1, 2, 12))), _write(Reg.IER, 0),
               _write(Reg.LCR, _EIGHT_BITS)]  # fmt: skip
    choices = {
        "fcr": [_write(Reg.IIR_FCR, pick.choice(_FIFO_CONTROLS))],
        "fcr twice": [_write(Reg.IIR_FCR, 0x07), _write(Reg.IIR_FCR, pick.choice(_FIFO_CONTROLS))],
        "divisor": divisor, "lcr": [_write(Reg.LCR, _EIGHT_BITS)], "mcr": [_write(Reg.MCR, pick.randrange(16))],
        "loopback": [_loopback(pick)],
    }  # fmt: skip
    names = pick.sample(sorted(choices), pick.randrange(1, 5))
    for name in names:
        add(name, *choices[name])
    if {"fcr twice", "loopback"} & set(names) and pick.random() < 0.5:  # the FIFO is clear
        add("discards", *_discard(pick))
    pause = pick.choice((0, 0, 100, 5_000, 70_000, 150_000))
    add(f"pauses {pause}", _spin(pause))


def _listen() -> list[list[int]]:
    """Let the UART's interrupt end a WFI; it is not taken."""
    words = []
    for address, value in ((_PLIC_PRIORITY, 1), (_PLIC_ENABLE, 1 << _IRQ_UART)):
        words.append([*asm.li(T0, address), *asm.li(T1, value), asm.sw(T1, T0, 0)])
    return [
        *words, [*asm.li(T0, _MEIE), asm.csrrs(ZERO, "mie", T0)], asm.li(A2, _PLIC_CLAIM),
        _write(Reg.IER, Ier.RX_DATA),
    ]  # fmt: skip


def _wait_for_byte(is_polling: bool) -> list[list[int]]:
    """Until there is a byte; interrupts are claimed and completed on the way."""
    look = [asm.lb(T0, S1, Reg.LSR), asm.andi(T0, T0, 1)]
    if is_polling:
        return [[*look, asm.beq(T0, ZERO, -8)]]
    return [[*look, asm.bne(T0, ZERO, 20), asm.WFI, asm.lw(T2, A2, 0), asm.sw(T2, A2, 0), asm.jal(ZERO, -24)]]


def _store_byte(answers: bool) -> list[list[int]]:
    answer = [asm.sb(A0, S1, Reg.RBR_THR)] if answers else []
    return [[asm.lb(A0, S1, Reg.RBR_THR), asm.sb(A0, S0, 0), asm.addi(S0, S0, 1), *answer]]


def _read_all(is_polling: bool, slow: int, answers: bool) -> list[int]:
    """Up to the stop."""
    body = [word for words in _wait_for_byte(is_polling) + _store_byte(answers) for word in words]
    body += [asm.andi(A1, A0, 0xFF), *(_spin(slow) if slow else [])]
    return [*body, asm.bne(A1, A3, -4 * len(body))]
