"""A user's own devices: whether they fit on the board, and what a trace says of them.

A trace names a device and holds its options. It never holds code, and no code is imported by a name from a trace:
whoever replays gives the class, and the hash of its source says whether it is the one that was recorded.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from minstret.devices.board.map import BOOT_ROM_SIZE, Base
from minstret.devices.chips.plic import SOURCES
from minstret.devices.virtio.mmio import VirtioFunction
from minstret.emu.errors import ConfigError, TraceError
from minstret.emu.hart.engine import IO_SIZE
from minstret.emu.part import Device, Part
from minstret.emu.state import why_not_saved

PartT = TypeVar("PartT", bound=Part)
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
_SERVICES = ("semihosting", "htif")
_ALIGNMENT = 4


def again(part: PartT) -> PartT:
    """Another one, made with the same arguments."""
    arguments, options = part.made_with
    return type(part)(*arguments, **options)


# ---- whether it fits


def check_own(own: Iterable[object], others: Sequence[Device]) -> None:
    """Raise ConfigError where a user's devices don't fit on the board beside ``others``; the text says why."""
    names = {part.name for device in others for part in (device, *device.parts())} | {*_SERVICES}
    placed = list(others)
    for part in own:
        _check_kind(part)
        assert isinstance(part, Part)
        if not isinstance(part.name, str) or not _NAME.fullmatch(part.name):
            raise ConfigError(f"device {part.name!r}: a name is up to 31 of a-z, 0-9, _ and -, first a letter")
        if part.name in names:
            raise ConfigError(f"two devices are called {part.name}; give one of them another name")
        names.add(part.name)
        _check_state(part)
        if isinstance(part, Device):
            _check_window(part, placed)
            _check_irq(part, placed)
            placed.append(part)


def check_class(kind: object, what: str) -> None:
    """Raise ConfigError where ``kind`` is no class of devices; ``what`` names it."""
    if not isinstance(kind, type) or not issubclass(kind, Device | VirtioFunction):
        raise ConfigError(f"{what} is no device: it is no class made from minstret.Device or minstret.VirtioFunction")


def _check_kind(part: object) -> None:
    check_class(type(part), f"a {type(part).__name__}")
    assert isinstance(part, Part)
    if part.is_attached:
        raise ConfigError(f"{part.name} is on a board already; make another one")
    if not part.name or not hasattr(part, "state") or (isinstance(part, Device) and not hasattr(part, "irq")):
        raise ConfigError(f"{type(part).__name__}: __init__ has to call super().__init__ and to set self.state")
    if type(part.version) is not int:
        raise ConfigError(f"{part.name}: version: expected an int, got {part.version!r:.100}")
    if isinstance(part, VirtioFunction) and not hasattr(part, "device_id"):
        raise ConfigError(f"{part.name}: a virtio device needs a device_id")


def _check_state(part: Part) -> None:
    """All of it must come back from a snapshot."""
    if reason := why_not_saved(part.state):
        raise ConfigError(f"{part.name}: its state can't be saved: {reason}")


def _check_window(device: Device, others: Iterable[Device]) -> None:
    window = _window_text(device.base, device.size_bytes)
    if device.base % _ALIGNMENT:
        raise ConfigError(f"{device.name}: base {device.base:#x}: expected a multiple of {_ALIGNMENT}")
    if device.size_bytes <= 0 or device.base < 0 or device.base + device.size_bytes > IO_SIZE:
        raise ConfigError(f"{device.name}: {window} is outside of 0x0..{IO_SIZE - 1:#x}, where devices can be")
    taken = [("the boot ROM", int(Base.BOOT_ROM), BOOT_ROM_SIZE)]
    taken += [(other.name, other.base, other.size_bytes) for other in others]
    for name, base, size in taken:
        if base < device.base + device.size_bytes and device.base < base + size:
            raise ConfigError(f"{device.name}: {window} overlaps {name} ({_window_text(base, size)})")


def _window_text(base: int, size: int) -> str:
    return f"{base:#x}..{base + size - 1:#x}"


def _check_irq(device: Device, others: Iterable[Device]) -> None:
    if device.irq is None:
        return
    if not 1 <= device.irq <= SOURCES:
        raise ConfigError(f"{device.name}: irq {device.irq}: expected 1 to {SOURCES}")
    for other in others:
        if other.irq == device.irq:
            raise ConfigError(f"{device.name}: irq {device.irq} is that of {other.name}")


# ---- what a trace says


def own_facts(part: Part) -> dict[str, Any]:
    """What a trace says of a user's device.

    Raises:
        ConfigError: it was made with arguments that a trace can't hold.
    """
    return {
        "name": part.name, "class": class_name(type(part)), "version": part.version, "options": options_of(part),
        "sha256": source_hash(type(part)),
    }  # fmt: skip


def options_of(part: Part) -> dict[str, Any]:
    """The arguments it was made with, by name, defaults too."""
    arguments, options = part.made_with
    bound = inspect.signature(type(part)).bind(*arguments, **options)
    bound.apply_defaults()
    for name, value in bound.arguments.items():
        if value is not None and not isinstance(value, bool | int | str):
            raise ConfigError(f"{part.name}: {name} is a {type(value).__name__}; a trace holds int, bool and str only")
    return {name: int(value) if isinstance(value, int) and type(value) is not bool else value
            for name, value in bound.arguments.items()}  # fmt: skip


def class_name(kind: type) -> str:
    """``mygpio.py:Gpio`` for a class in a file, ``package.module:Gpio`` for one in a package."""
    module = sys.modules.get(kind.__module__)
    if "." in kind.__module__ or module is None or getattr(module, "__file__", None) is None:
        return f"{kind.__module__}:{kind.__name__}"
    return f"{Path(str(module.__file__)).name}:{kind.__name__}"


def source_hash(kind: type) -> str:
    """SHA-256, in hex, of the files that the class and its bases are in, ours left out; of nothing without a file."""
    modules = [
        each.__module__ for each in kind.__mro__ if each.__module__.partition(".")[0] not in ("minstret", "builtins")
    ]
    files = [getattr(sys.modules.get(module), "__file__", None) for module in modules]
    sha = hashlib.sha256()
    for file in dict.fromkeys(files):
        try:
            sha.update(b"" if file is None else Path(file).read_bytes())
        except OSError:
            continue
    return sha.hexdigest()


def own_from_facts(
    all_facts: Any, given: Sequence[type[Part] | Part], path: str, may_have_changed: bool
) -> tuple[Part, ...]:
    """The devices that the trace at ``path`` says, made from those that were ``given``: classes, or devices like them.

    Raises:
        TraceError: some were not given, or are not those that were recorded; the text says what to do.
    """
    if not isinstance(all_facts, list) or not all(_is_facts(facts) for facts in all_facts):
        raise TraceError(f"{path}: a damaged trace: what it says of devices is none")
    made, used = [], []
    missing = sorted({facts["class"] for facts in all_facts if _match(facts, given) is None})
    if missing:
        needed = " ".join(f"--device {name}" for name in missing)
        raise TraceError(f"{path}: recorded with a device that is not part of minstret: add {needed}")
    for facts in all_facts:
        one = _match(facts, given)
        assert one is not None
        used.append(one)
        made.append(_made(facts, one, path, may_have_changed))
    for one in given:
        if not any(one is other for other in used):
            kind = one if isinstance(one, type) else type(one)
            raise TraceError(f"{path}: recorded without {class_name(kind)}; leave --device away")
    return tuple(made)


def _is_facts(facts: Any) -> bool:
    kinds = {"name": str, "class": str, "version": int, "options": dict, "sha256": str}
    if not isinstance(facts, dict) or not all(isinstance(facts.get(key), kind) for key, kind in kinds.items()):
        return False
    return all(value is None or isinstance(value, bool | int | str) for value in facts["options"].values())


def _match(facts: dict[str, Any], given: Sequence[type[Part] | Part]) -> type[Part] | Part | None:
    """The class of that name, be it in a file of another name; a device with other options is another one's."""
    wanted = facts["class"].rpartition(":")[2]
    found = [one for one in given if (one if isinstance(one, type) else type(one)).__name__ == wanted]
    alike = [one for one in found if not isinstance(one, type) and one.name == facts["name"]]
    return next(iter([*alike, *found]), None)


def _made(facts: dict[str, Any], one: type[Part] | Part, path: str, may_have_changed: bool) -> Part:
    kind = one if isinstance(one, type) else type(one)
    name, version = facts["name"], facts["version"]
    if kind.version != version:
        raise TraceError(
            f"{path}: {name} was recorded with version {version} of {facts['class']}, and this is {kind.version}"
        )
    ours = source_hash(kind)
    if ours != facts["sha256"] and not may_have_changed:
        raise TraceError(
            f"{path}: {name} was recorded with another {facts['class']} (sha256 {facts['sha256'][:12]}, and this is"
            f" {ours[:12]}); give that one, or add --changed-devices where the change makes no difference"
        )
    if not isinstance(one, type) and one.name == name and (wanted := _difference(options_of(one), facts["options"])):
        raise TraceError(f"{path}: {name} was recorded with {wanted}; its options may be left away")
    try:
        part: Part = kind(**facts["options"])
    except Exception as error:
        raise TraceError(f"{path}: {name} can't be made with its options in the trace: {error}") from error
    if part.name != name:
        raise TraceError(f"{path}: a damaged trace: {facts['class']} with its options is {part.name}, not {name}")
    return part


def _difference(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    return ",".join(f"{key}={_option_text(value)}" for key, value in theirs.items() if ours.get(key) != value)


def _option_text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return hex(value) if isinstance(value, int) and value >= 1 << 12 else f"{value}"
