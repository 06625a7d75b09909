"""Debian's kernel: the symbols that are found in its memory are those that it prints itself."""

from __future__ import annotations

import hashlib
import re

import pytest
from support.linux_guest import PROMPT, WHAT, Shell, is_here, linux_setup
from support.needs import Need
from support.recordings import Hand

from minstret.emu.door.live import LiveDoor
from minstret.emu.images.kallsyms import find_kallsyms

PRINT = r"grep -v '\[' /proc/kallsyms | grep -v ' [aAUuNwn] ' | cut -d' ' -f1,3"
"""The kernel's own, without those of modules and without what has no place; address and name."""


@pytest.mark.slow
def test_symbols_in_memory_are_those_of_proc_kallsyms(need: Need) -> None:
    need(WHAT, is_here())
    hand = Hand(stays=True)
    board = linux_setup("minstret.net=off").make(door=LiveDoor(hand))
    shell = Shell(board, hand)
    shell.wait_for(PROMPT)

    printed = shell.command(f"{PRINT} | sha256sum; {PRINT} | head -n 3")
    symbols = find_kallsyms(board.machine.memory.ram, 64)

    text = "".join(f"{symbol.address:016x} {symbol.name}\n" for symbol in symbols)
    assert len(symbols) > 50_000
    assert text.splitlines()[:3] == re.findall(r"^([0-9a-f]{16} \S+)\r?$", printed, re.MULTILINE)
    assert hashlib.sha256(text.encode()).hexdigest() in printed
