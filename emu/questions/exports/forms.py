"""The forms of export by name. A form's module is imported when it is wanted."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from minstret.emu.questions.exports.form import Form

FORMS = {
    "pcapng": ("Pcapng", "network frames, the guest's console as comments; Wireshark, tshark"),
    "perfetto": ("Perfetto", "tracks of harts, timers, interrupts, input, with arrows; ui.perfetto.dev"),
    "vcd": ("Vcd", "levels of interrupt lines, harts, pins, the UART; GTKWave"),
    "asciicast": ("Asciicast", "the console with virtual time; asciinema"),
    "jsonl": ("JsonLines", "all that happened, one JSON object a line"),
}
"""By name: the class, which is in the module of that name, and what it is for."""


def form_of(name: str) -> type[Form]:
    """The form of that name, which is one of FORMS."""
    module = import_module(f"minstret.emu.questions.exports.{name}")
    return cast(type[Form], getattr(module, FORMS[name][0]))
