"""A Unicorn laid out in another way is refused, whichever offset is off."""

from __future__ import annotations

import ctypes

import pytest

from minstret.emu.errors import HostError
from minstret.emu.hart import layout
from minstret.emu.hart.binding import Uc
from minstret.emu.hart.cpu import Cpu
from minstret.emu.machine import Machine, MachineConfig

CASES = [(xlen, name) for xlen in (64, 32) for name in layout.offsets(xlen)]


@pytest.mark.parametrize(("xlen", "name"), CASES)
def test_offset_that_is_off_is_refused(xlen: int, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shifted = dict(layout.offsets(xlen))
    behind = ctypes.sizeof(layout.ENV_TYPES[xlen]) + 7 & ~7  # still the CPU's own memory: some of it is written back
    shifted[name] = 0x1000 if name in ("x", "f") else behind + xlen // 8
    monkeypatch.setitem(layout._OFFSETS, xlen, shifted)
    monkeypatch.setitem(layout.ENV_TYPES, xlen, layout._env_type(xlen))
    with pytest.raises(HostError, match=r"unicorn==2\.1\.4"):
        Machine(MachineConfig(cpu=Cpu(xlen), ram_size=1 << 20))


@pytest.mark.parametrize("constant", ["_CPU_IN_ENGINE", "ENV_IN_CPU"])
@pytest.mark.parametrize("off_by", [-64, -8, 8, 64])
def test_pointer_that_is_elsewhere_is_refused(constant: str, off_by: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if constant == "ENV_IN_CPU" and off_by == 8:
        off_by = 16  # the word next to it points there too
    monkeypatch.setattr(layout, constant, getattr(layout, constant) + off_by)
    uc = Uc(64)
    with pytest.raises(HostError, match=r"unicorn==2\.1\.4"):
        layout.find_live_state(uc, 64)


def test_other_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "unicorn_version", lambda: "2.1.3")
    with pytest.raises(HostError, match=r"this Unicorn \(2\.1\.3\).*pip install unicorn==2\.1\.4"):
        Machine(MachineConfig(ram_size=1 << 20))


def test_fflags_survive_the_way_to_softfloat_and_back() -> None:
    for fflags in range(32):
        assert layout.fflags_from_softfloat(layout.softfloat_from_fflags(fflags)) == fflags
