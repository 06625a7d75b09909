"""Variables of programs that don't run: of what their files put into memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minstret.emu.errors import ConfigError
from minstret.emu.images.loader import Firmware
from minstret.emu.images.variables import Variables

DATA = Path(__file__).parents[1] / "emu" / "images" / "data"
CLANG = DATA / "kinds-rv64-clang.elf"
"""From kinds.c and hidden.c, with ziglang 0.13.0 (clang 18):
``cc -target riscv64-freestanding -gdwarf-5 -O1 -nostdlib -ffreestanding -mcmodel=medany
-Wl,--image-base=0x80000000,--no-gc-sections``. clang has addresses and names by their indices in tables there."""


class Guest:
    """What a program has in memory before its first instruction, and its variables."""

    def __init__(self, firmware: Firmware) -> None:
        self.symbols, self.variables = firmware.symbols, Variables(firmware.symbols)
        self._pieces = [(segment.address, bytearray(segment.size)) for segment in firmware.segments]
        for segment, (_, memory) in zip(firmware.segments, self._pieces, strict=True):
            memory[: len(segment.data)] = segment.data

    def load(self, address: int, size: int) -> bytes:
        memory, at = self._at(address, size)
        return bytes(memory[at : at + size])

    def store(self, address: int, data: bytes) -> None:
        memory, at = self._at(address, len(data))
        memory[at : at + len(data)] = data

    def _at(self, address: int, size: int) -> tuple[bytearray, int]:
        for start, memory in self._pieces:
            if start <= address and address + size <= start + len(memory):
                return memory, address - start
        raise ConfigError(f"no memory at {address:#x}")

    def read(self, path: str, size: int | None = None) -> Any:
        return self.variables.read(path, self.load, size)

    def write(self, path: str, value: object) -> None:
        self.variables.write(path, value, self.load, self.store)

    def problem(self, path: str) -> str:
        with pytest.raises(ConfigError) as raised:
            self.read(path)
        return str(raised.value)

    def refusal(self, path: str, value: object) -> str:
        before = [bytes(memory) for _, memory in self._pieces]
        with pytest.raises(ConfigError) as raised:
            self.write(path, value)
        assert [bytes(memory) for _, memory in self._pieces] == before
        return str(raised.value)
