"""What a hart is: its width and its extensions, as ``--cpu`` and the trace name them.

``rv64gc`` is the hart of version 0.1.0, and what every other one has too; ``rv64`` has all that there is here;
``rv64,zba=off`` has all but that, ``rv64gc,zba=on`` that and no more. What an extension does is where its instructions
or CSRs are; here are their names, and what each needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntFlag
from typing import NamedTuple

from minstret.emu.errors import ConfigError
from minstret.emu.text import did_you_mean, printable

BASE = "imafdc"
"""What every hart has, beside M, S and U-mode: the letters of the specification."""
_SWITCH = {"on": True, "off": False}
_MISA_MODES = 1 << 20 | 1 << 18  # U and S
_SHOWN = 40


class Feature(IntFlag):
    """What a hart may have: bits of ``features`` in shared.py, by which C and Python decide."""

    SM1P12 = 1 << 0  # the CSRs that version 1.12 of the privileged specification has and 1.10 has not
    SSTC = 1 << 1
    SVADU = 1 << 2
    SVINVAL = 1 << 3
    SVNAPOT = 1 << 4
    SVPBMT = 1 << 5
    SV48 = 1 << 6
    SV57 = 1 << 7
    ZBA = 1 << 8
    ZBB = 1 << 9
    ZBS = 1 << 10
    ZICBOM = 1 << 11
    ZICBOZ = 1 << 12
    ZICOND = 1 << 13
    ZIHINTPAUSE = 1 << 14
    ZAWRS = 1 << 15


NOTHING_MORE = Feature(0)
ALL_FEATURES = ~NOTHING_MORE
"""The default."""


class Extension(NamedTuple):
    """One extension; ``needs`` others, and ``only_xlen`` where it is not for both widths."""

    feature: Feature
    needs: Feature = NOTHING_MORE
    only_xlen: int = 0

    @property
    def name(self) -> str:
        return str(self.feature.name).lower()


EXTENSIONS = (
    Extension(Feature.ZICBOM, Feature.SM1P12), Extension(Feature.ZICBOZ, Feature.SM1P12),
    Extension(Feature.ZICOND), Extension(Feature.ZIHINTPAUSE), Extension(Feature.ZAWRS),
    Extension(Feature.ZBA), Extension(Feature.ZBB), Extension(Feature.ZBS),
    Extension(Feature.SM1P12), Extension(Feature.SSTC, Feature.SM1P12),
    Extension(Feature.SV48, only_xlen=64), Extension(Feature.SV57, Feature.SV48, only_xlen=64),
    Extension(Feature.SVADU, Feature.SM1P12), Extension(Feature.SVINVAL),
    Extension(Feature.SVNAPOT, only_xlen=64), Extension(Feature.SVPBMT, Feature.SM1P12, only_xlen=64),
)  # fmt: skip
"""All that have a switch, in the order in which the specification names extensions."""

EXTENSION_NAMES = tuple(extension.name for extension in EXTENSIONS)
_BY_NAME = {extension.name: extension for extension in EXTENSIONS}
_NOT_NAMED = Feature.SM1P12 | Feature.SV48 | Feature.SV57
"""These the device tree does not have among its extensions: mmu-type tells the last two."""
_ALWAYS_NAMED = ("zicntr", "zicsr", "zifencei", "zihpm")


@dataclass(frozen=True, slots=True)
class Cpu:
    """A kind of hart."""

    xlen: int
    features: Feature = NOTHING_MORE

    def __str__(self) -> str:
        """The text that ``parse_cpu`` makes the same of, whatever its defaults are then."""
        return ",".join((f"rv{self.xlen}gc", *(f"{name}=on" for name in self.extensions)))

    @property
    def extensions(self) -> tuple[str, ...]:
        """The names of what it has beside the base, in their order."""
        return tuple(each.name for each in EXTENSIONS if each.feature in self.features)

    def has(self, name: str) -> bool:
        """Whether it has the extension of that name: ``has("zba")``."""
        return _BY_NAME[name].feature in self.features

    @property
    def misa(self) -> int:
        """What misa reads."""
        letters = BASE + ("b" if Feature.ZBA | Feature.ZBB | Feature.ZBS in self.features else "")
        bits = sum(1 << ord(letter) - ord("a") for letter in letters)
        return (self.xlen // 32) << self.xlen - 2 | _MISA_MODES | bits

    @property
    def mmu(self) -> str:
        """The largest page tables it has: what ``mmu-type`` says."""
        if self.xlen == 32:
            return "sv32"
        return "sv57" if self.has("sv57") else "sv48" if self.has("sv48") else "sv39"

    @property
    def isa_extensions(self) -> tuple[str, ...]:
        """What ``riscv,isa-extensions`` lists."""
        named = [each.name for each in EXTENSIONS if each.feature in self.features & ~_NOT_NAMED]
        return (*BASE, *sorted((*_ALWAYS_NAMED, *named), key=_canonical))

    @property
    def isa(self) -> str:
        """What ``riscv,isa`` says; of the base alone what it always said."""
        more = self.isa_extensions[len(BASE) :] if self.features else ()
        return "_".join((f"rv{self.xlen}{BASE}", *more))


RV64GC = Cpu(64)


def _canonical(name: str) -> tuple[bool, int, str]:
    """The key by which the specification orders extensions of more than a letter."""
    return name[0] != "z", "imafdqlcb".find(name[1]) if name[0] == "z" else 0, name


# ---- from text


def default_cpu(xlen: int) -> Cpu:
    """The hart of that width that has all there is."""
    return Cpu(xlen, _for_width(ALL_FEATURES, xlen))


def parse_cpu(text: str, what: str = "cpu") -> Cpu:
    """A hart from text such as ``rv64``, ``rv64gc`` or ``rv64,zba=off,sv48=off``.

    Args:
        text: The model, and settings.
        what: What an error names: the option that was used.
    Raises:
        ConfigError: an unknown name, one that is not there on this width, or settings that contradict each other.
    """
    model, *settings = text.strip().split(",")
    if model not in MODELS:
        raise ConfigError(f"{what}: expected {', '.join(MODELS)}, or one with ,EXTENSION=on|off; got {_quoted(text)}")
    xlen, features = MODELS[model]
    wanted: dict[str, bool] = {}
    for setting in settings:
        name, is_on = _setting(setting, xlen, what)
        if wanted.setdefault(name, is_on) is not is_on:
            raise ConfigError(f"{what}: {name} is both on and off")
    on = _features(name for name, is_on in wanted.items() if is_on)
    off = _features(name for name, is_on in wanted.items() if not is_on)
    for name, is_on in wanted.items():
        if is_on and (missing := _with_needed(_BY_NAME[name].feature) & off):
            raise ConfigError(f"{what}: {name} needs {feature_names(missing)}, which is off")
    kept = [e for e in EXTENSIONS if e.feature in features and not _with_needed(e.feature) & off]
    return Cpu(xlen, _for_width(_features(each.name for each in kept) | _with_needed(on), xlen))


MODELS: dict[str, tuple[int, Feature]] = {
    "rv64": (64, ALL_FEATURES), "rv32": (32, ALL_FEATURES), "rv64gc": (64, NOTHING_MORE), "rv32gc": (32, NOTHING_MORE),
}  # fmt: skip
"""What may stand before the settings: width and features."""


def _setting(text: str, xlen: int, what: str) -> tuple[str, bool]:
    """One ``EXTENSION=on|off``."""
    name, equals, value = (part.strip().lower() for part in text.partition("="))
    extension = _BY_NAME.get(name)
    if extension is None:
        meant = did_you_mean(name, _BY_NAME)
        names = f"{f'{meant} There' if meant else '; there'} are {' '.join(EXTENSION_NAMES)}"
        raise ConfigError(f"{what}: there is no extension {_quoted(name)} to switch{names}")
    if not equals or value not in _SWITCH:
        raise ConfigError(f"{what}: expected {name}=on or {name}=off, got {_quoted(text)}")
    if _SWITCH[value] and extension.only_xlen not in (0, xlen):
        raise ConfigError(f"{what}: {name} is for rv{extension.only_xlen} alone")
    return name, _SWITCH[value]


def _quoted(text: str) -> str:
    return f"'{printable(text, _SHOWN)}'"


def _features(names: Iterable[str]) -> Feature:
    found = NOTHING_MORE
    for name in names:
        found |= _BY_NAME[name].feature
    return found


def feature_names(features: Feature) -> str:
    """As ``--cpu`` names them, in their order: ``zba, zbb``."""
    return ", ".join(each.name for each in EXTENSIONS if each.feature in features)


def _for_width(features: Feature, xlen: int) -> Feature:
    """Those that are there on this width."""
    return _features(each.name for each in EXTENSIONS if each.feature in features and each.only_xlen in (0, xlen))


def _with_needed(features: Feature) -> Feature:
    """Those, and what they need in turn."""
    before = NOTHING_MORE
    while before != features:
        before = features
        for each in EXTENSIONS:
            if each.feature in features:
                features |= each.needs
    return features
