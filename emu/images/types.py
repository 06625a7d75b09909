"""C types: how many bytes a value has, what they mean in Python, and the other way.

What ``decode`` gives, ``encode`` turns into the same bytes again. There are two exceptions: Python may change the
payload of a NaN, and a ``_Bool`` that is neither 0 nor 1 can be read and not written.

An integer, an enumeration and a pointer are ints; ``_Bool`` is a bool, or an int where memory has neither 0 nor 1;
arrays are lists, those of characters bytes; structures and unions are dicts by member.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from minstret.emu.errors import ConfigError
from minstret.emu.text import printable

Value = Any
"""What a variable holds: int, bool, float, bytes, or a list or a dict of values."""

_SHOWN_MAX = 60
_NAMES_SHOWN_MAX = 20
_FLOATS = {2: "<e", 4: "<f", 8: "<d"}


def shown(value: object) -> str:
    """A value that can't be written, cut to what fits in a message."""
    return printable(repr(value), _SHOWN_MAX)


def listed(names: Sequence[str]) -> str:
    """Names for a message: the first twenty."""
    text = ", ".join(printable(name, _SHOWN_MAX) for name in names[:_NAMES_SHOWN_MAX])
    return text + (f" and {len(names) - _NAMES_SHOWN_MAX} more" if len(names) > _NAMES_SHOWN_MAX else "")


@dataclass(frozen=True)
class CType:
    """A type without values, such as ``void``; the base of all others. ``size`` is in bytes."""

    name: str
    size: int

    @cached_property
    def values(self) -> int:
        """How many values in Python one of it becomes: memory and time follow it."""
        return 1

    def decode(self, data: bytes) -> Value:
        """What ``size`` bytes mean.

        Raises:
            ConfigError: nothing that Python has a type for.
        """
        raise ConfigError(f"a value of type {self.name} can't be read")

    def encode(self, value: Value, old: bytes, what: str) -> bytes:
        """The ``size`` bytes that mean ``value``, where ``old`` are there now; ``what`` is written, for messages.

        Raises:
            ConfigError: the value does not fit.
        """
        raise ConfigError(f"{what}: a value of type {self.name} can't be written")


@dataclass(frozen=True)
class Raw(CType):
    """Bytes of which nothing but their number is known."""

    def decode(self, data: bytes) -> Value:
        return data

    def encode(self, value: Value, old: bytes, what: str) -> bytes:
        if not isinstance(value, (bytes, bytearray, memoryview)) or len(value) != self.size:
            raise ConfigError(f"{what}: {self.name} takes {self.size} bytes, got {_amount(value)}")
        return bytes(value)


@dataclass(frozen=True)
class Integer(CType):
    """A whole number, little-endian."""

    is_signed: bool = False

    def decode(self, data: bytes) -> Value:
        return self.meaning(int.from_bytes(data, "little", signed=self.is_signed))

    def encode(self, value: Value, old: bytes, what: str) -> bytes:
        number = self.number(value, 8 * self.size, what)
        return number.to_bytes(self.size, "little", signed=self.is_signed)

    def meaning(self, number: int) -> Value:
        """What a number in memory stands for."""
        return number

    def number(self, value: Value, bits: int, what: str) -> int:
        """The number that stands for a value, if it fits into so many bits."""
        try:
            number = operator.index(value)
        except TypeError:
            raise ConfigError(f"{what}: {self.name} takes an integer, got {shown(value)}") from None
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if self.is_signed else (0, (1 << bits) - 1)
        if not low <= number <= high:
            size = "" if bits == 8 * self.size else f" in {bits} bit{'s' * (bits > 1)}"
            raise ConfigError(f"{what}: {self.name}{size} holds {low} to {high}, got {shown(number)}")
        return number


@dataclass(frozen=True)
class Boolean(Integer):
    """``_Bool``."""

    def meaning(self, number: int) -> Value:
        return bool(number) if number in (0, 1) else number

    def number(self, value: Value, bits: int, what: str) -> int:
        if value not in (0, 1):
            raise ConfigError(f"{what}: {self.name} takes True or False, got {shown(value)}")
        return int(value)


@dataclass(frozen=True)
class Enumeration(Integer):
    """Named numbers. Others fit too, as in C."""

    enumerators: Mapping[str, int] = field(default_factory=dict)

    def number(self, value: Value, bits: int, what: str) -> int:
        if isinstance(value, str):
            if value not in self.enumerators:
                names = listed([*self.enumerators])
                raise ConfigError(f"{what}: {self.name} has no {shown(value)}; there are {names}")
            value = self.enumerators[value]
        return super().number(value, bits, what)


@dataclass(frozen=True)
class Pointer(Integer):
    """An address. ``target`` gives the type of what is there: a type may point to itself."""

    target: Callable[[], CType] = field(kw_only=True, compare=False)


@dataclass(frozen=True)
class Float(CType):
    """A binary floating-point number of 2, 4 or 8 bytes."""

    def decode(self, data: bytes) -> Value:
        return struct.unpack(_FLOATS[self.size], data)[0]

    def encode(self, value: Value, old: bytes, what: str) -> bytes:
        if isinstance(value, (str, bytes, bytearray)):
            raise ConfigError(f"{what}: {self.name} takes a number, got {shown(value)}")
        try:
            return struct.pack(_FLOATS[self.size], float(value))
        except (OverflowError, TypeError, ValueError) as error:
            problem = "a smaller number" if isinstance(error, OverflowError) else "a number"
            raise ConfigError(f"{what}: {self.name} takes {problem}, got {shown(value)}") from None

    @staticmethod
    def of(name: str, size: int) -> CType:
        """Python has no other sizes: those are bytes."""
        return Float(name, size) if size in _FLOATS else Raw(name, size)


@dataclass(frozen=True)
class BitField(CType):
    """Some bits of an integer; ``size`` is that of the bytes they are in."""

    base: Integer
    shift: int
    bits: int

    def decode(self, data: bytes) -> Value:
        number = int.from_bytes(data, "little") >> self.shift & self._mask
        if self.base.is_signed and number >> self.bits - 1:
            number -= 1 << self.bits
        return self.base.meaning(number)

    def encode(self, value: Value, old: bytes, what: str) -> bytes:
        number = self.base.number(value, self.bits, what) & self._mask
        others = int.from_bytes(old, "little") & ~(self._mask << self.shift)
        return (others | number << self.shift).to_bytes(self.size, "little")

    @property
    def _mask(self) -> int:
        return (1 << self.bits) - 1


@dataclass(frozen=True)
class Array(CType):
    """``count`` elements. 0 is that of one that ends a structure: any element of it may be asked for."""

    element: CType
    count: int

    @staticmethod
    def of(element: CType, count: int) -> Array:
        name, bracket, others = element.name.partition("[")
        return Array(f"{name}[{count or ''}]{bracket}{others}", element.size * count, element, count)

    @cached_property
    def values(self) -> int:
        return 1 if self.is_text else max(1, self.element.values * self.count)

    @property
    def is_text(self) -> bool:
        """Whether it is read as bytes: of ``char`` and ``unsigned char``, also by other names."""
        return isinstance(self.element, Character)

    def decode(self, data: bytes) -> Value:
        if self.is_text:
            return bytes(data)
        size = self.element.size
        return [self.element.decode(data[at : at + size]) for at in self._offsets()]

    def encode(self, value: Value, old: bytes, what: str) -> bytes:
        if self.is_text and isinstance(value, (str, bytes, bytearray, memoryview)):
            return self._text(value.encode() if isinstance(value, str) else bytes(value), what)
        if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != self.count:
            raise ConfigError(f"{what}: {self.name} takes {self.count} values, got {_amount(value)}")
        size = self.element.size
        return b"".join(
            self.element.encode(item, old[at : at + size], f"{what}[{number}]")
            for number, (at, item) in enumerate(zip(self._offsets(), value, strict=True))
        )

    def _text(self, text: bytes, what: str) -> bytes:
        """A text and zeros behind it, as in C."""
        if len(text) > self.size:
            raise ConfigError(f"{what}: {self.name} holds {self.size} bytes, got {len(text)}")
        return text.ljust(self.size, b"\0")

    def _offsets(self) -> list[int]:
        return [self.element.size * number for number in range(self.count)]


@dataclass(frozen=True)
class Character(Integer):
    """``char`` or ``unsigned char``: an integer, but arrays of it are bytes."""


class Member(NamedTuple):
    """A part of a structure, ``offset`` bytes from its start."""

    name: str
    offset: int
    type: CType


@dataclass(frozen=True)
class Struct(CType):
    """A structure, class or union. The members of those in it that have no name are among its own."""

    members: tuple[Member, ...] = ()

    @cached_property
    def values(self) -> int:
        return 1 + sum(member.type.values for member in self.members)

    @cached_property
    def _by_name(self) -> dict[str, Member]:
        return {member.name: member for member in self.members}

    def member(self, name: str, what: str) -> Member:
        """A member by name.

        Raises:
            ConfigError: ``what`` has none of this name; those there are are named.
        """
        if name not in self._by_name:
            names = listed([*self._by_name]) or "none"
            raise ConfigError(f"{what}: {self.name} has no member {shown(name)}; there are {names}")
        return self._by_name[name]

    def decode(self, data: bytes) -> Value:
        return {
            name: member.type.decode(data[member.offset : member.offset + member.type.size])
            for name, member in self._by_name.items()
        }

    def encode(self, value: Value, old: bytes, what: str) -> bytes:
        if isinstance(value, (bytes, bytearray, memoryview)) and len(value) == self.size:
            return bytes(value)
        if not isinstance(value, Mapping):
            raise ConfigError(f"{what}: {self.name} takes a dict of members, got {_amount(value)}")
        data = bytearray(old)
        for name, item in value.items():
            member = self.member(name, what)
            end = member.offset + member.type.size
            data[member.offset : end] = member.type.encode(item, bytes(data[member.offset : end]), f"{what}.{name}")
        return bytes(data)


VOID = CType("void", 0)


def untyped(size: int) -> CType:
    """The type of a variable of which only the size is known."""
    return Integer(f"an integer of {8 * size} bits", size) if size in (1, 2, 4, 8) else Raw("a block", size)


def _amount(value: object) -> str:
    """What somebody has given where a number of things was expected."""
    if isinstance(value, (bytes, bytearray, memoryview, Sequence)) and not isinstance(value, str):
        return f"{len(value)}: {shown(value)}"
    return shown(value)
