"""The types and variables that DWARF tells of.

Each size, offset and count is checked, so that what comes out is sound: members lie within their structure, and types
that are made of others are no larger than they say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from minstret.emu.images.dwarf import DwarfFile, children
from minstret.emu.images.types import (
    VOID,
    Array,
    BitField,
    Boolean,
    Character,
    CType,
    Enumeration,
    Float,
    Integer,
    Member,
    Pointer,
    Raw,
    Struct,
)
from minstret.emu.text import printable

_NAME_MAX = 200
_DEPTH_MAX = 64
"""Types within types: a hostile file may have one within itself."""
_SIZE_MAX = 1 << 40
_BITS_MAX = 128
_BITS = {"DW_FORM_data1": 8, "DW_FORM_data2": 16, "DW_FORM_data4": 32}
_ADDRESS, _BOOLEAN, _FLOAT, _SIGNED, _SIGNED_CHAR, _UNSIGNED, _UNSIGNED_CHAR, _UTF = (
    0x01, 0x02, 0x04, 0x05, 0x06, 0x07, 0x08, 0x10,
)  # fmt: skip
"""DW_ATE_*. Source: DWARF 5, 7.8."""
_OP_PLUS_UCONST = 0x23
_TRANSPARENT = frozenset(
    f"DW_TAG_{name}_type" for name in ("const", "volatile", "restrict", "atomic", "immutable", "packed", "shared")
)
_POINTERS = ("DW_TAG_pointer_type", "DW_TAG_reference_type", "DW_TAG_rvalue_reference_type")
_STRUCTS = {"DW_TAG_structure_type": "struct", "DW_TAG_class_type": "class", "DW_TAG_union_type": "union"}


class Variable(NamedTuple):
    """What a file says of a variable: its type, its source file, and what it is in: functions and namespaces."""

    name: str
    type: CType
    file: str
    scopes: tuple[str, ...]


class DebugTypes:
    """Variables and their types, from one file. Any method may raise any exception if the file is damaged."""

    def __init__(self, file: DwarfFile) -> None:
        self._file = file
        self._made: dict[tuple[bool, int], CType] = {}
        """By whether it is in .debug_info, and the offset: DWARF 4 has units of types elsewhere."""

    def variable(self, address: int, symbol: str) -> Variable | None:
        """The variable at an address, if its name is in that of a symbol."""
        if self._file.info is None:
            return None
        return next(self._variables(address, symbol), None)

    def _variables(self, address: int, symbol: str) -> Iterator[Variable]:
        for die, parents in self._file.entries_at(address):
            name = _name(die)
            if die.tag == "DW_TAG_variable" and name and name in symbol:
                scopes = tuple(filter(None, map(_name, parents[1:])))
                *_, origin = _origins(die)  # the link-time optimizer has units of its own, and refers to those of files
                yield Variable(name, self._type_of(die, 0), _name(origin.cu.get_top_DIE()), scopes)

    # ---- types

    def _type_of(self, die: Any, depth: int) -> CType:
        """The type of what an entry tells of."""
        for entry in _origins(die):
            if "DW_AT_type" in entry.attributes:
                return self._type(self._file.referred(entry, "DW_AT_type"), depth)
        return VOID

    def _type(self, die: Any, depth: int) -> CType:
        if depth > _DEPTH_MAX:
            raise ValueError("types within types without end")
        place = die.stream is self._file.info.debug_info_sec.stream, die.offset
        if place not in self._made:
            self._made[place] = self._make(die, depth + 1)
        return self._made[place]

    def _make(self, die: Any, depth: int) -> CType:
        tag, name, size = die.tag, _name(die), _number(die, "DW_AT_byte_size", 0)
        if "DW_AT_signature" in die.attributes:  # it is in a unit of its own
            return self._type(self._file.referred(die, "DW_AT_signature"), depth)
        if tag in _TRANSPARENT:
            return self._type_of(die, depth)
        if tag == "DW_TAG_typedef":
            return replace(self._type_of(die, depth), name=name)
        if tag == "DW_TAG_base_type":
            return _base_type(name, size, _number(die, "DW_AT_encoding", 0))
        if tag in _POINTERS:
            return self._pointer(die, size)
        if tag == "DW_TAG_enumeration_type":
            return self._enumeration(die, name, size, depth)
        if tag == "DW_TAG_array_type":
            return self._array(die, depth)
        if tag in _STRUCTS:
            return self._struct(die, f"{_STRUCTS[tag]} {name}".rstrip(), size, depth)
        return Raw(name or "a value", size) if size else VOID

    def _pointer(self, die: Any, size: int) -> CType:
        word = self._file.info.config.default_address_size
        return Pointer(f"{self._target_name(die)} *", size or word, target=lambda: self._type_of(die, 0))

    def _target_name(self, die: Any) -> str:
        """The name of what a pointer is to. Its type is not made for that: it may have the pointer."""
        for _ in range(_DEPTH_MAX):
            if "DW_AT_type" not in die.attributes:
                break
            die = self._file.referred(die, "DW_AT_type")
            if _name(die):
                return f"{_STRUCTS.get(die.tag, '')} {_name(die)}".lstrip()
        return "void"

    def _enumeration(self, die: Any, name: str, size: int, depth: int) -> CType:
        base = self._type_of(die, depth)
        entries = [entry for entry in children(die) if entry.tag == "DW_TAG_enumerator"]
        numbers = {_name(entry): int(entry.attributes["DW_AT_const_value"].value) for entry in entries}
        is_signed = isinstance(base, Integer) and base.is_signed
        is_signed |= _number(die, "DW_AT_encoding", 0) == _SIGNED or min(numbers.values(), default=0) < 0
        return Enumeration(f"enum {name}".rstrip(), size or base.size, is_signed, numbers)

    def _array(self, die: Any, depth: int) -> CType:
        element = self._type_of(die, depth)
        ranges = [entry for entry in children(die) if entry.tag in ("DW_TAG_subrange_type", "DW_TAG_enumeration_type")]
        if len(ranges) > _DEPTH_MAX:
            raise ValueError("too many dimensions")
        for count in [_count(entry) for entry in reversed(ranges)] or [0]:
            element = Array.of(element, count)
            _checked(element.size)
        return element

    def _struct(self, die: Any, name: str, size: int, depth: int) -> CType:
        if "DW_AT_declaration" in die.attributes:
            whole = self._definition(die)
            return VOID if whole is None else self._type(whole, depth)
        members: list[Member] = []
        for entry in children(die):
            if entry.tag in ("DW_TAG_member", "DW_TAG_inheritance") and "DW_AT_external" not in entry.attributes:
                members += self._members(entry, depth)
        if any(member.offset < 0 or member.offset + member.type.size > size for member in members):
            raise ValueError("a member outside of its structure")
        return Struct(name, _checked(size), members=tuple(members))

    def _members(self, die: Any, depth: int) -> list[Member]:
        """A member; of one without a name those in it."""
        kind, name = self._type_of(die, depth), _name(die)
        if "DW_AT_bit_size" in die.attributes:
            return [_bit_field(die, name, kind)] if name and isinstance(kind, Integer) else []
        offset = _member_offset(die)
        if not name and isinstance(kind, Struct):
            return [member._replace(offset=offset + member.offset) for member in kind.members]
        return [Member(name, offset, kind)] if name else []

    def _definition(self, die: Any) -> Any:
        """The whole of a type that this unit only declares, from another unit."""
        name = _name(die)
        for other in self._file.entries_named(name) if name else ():
            if other.tag == die.tag and "DW_AT_declaration" not in other.attributes:
                return other
        return None


def _base_type(name: str, size: int, encoding: int) -> CType:
    if not 0 < size <= 16:
        raise ValueError("a base type without a size")
    if encoding == _FLOAT:
        return Float.of(name, size)
    if encoding == _BOOLEAN:
        return Boolean(name, size)
    if size == 1 and (encoding == _UNSIGNED_CHAR or (encoding == _SIGNED_CHAR and name == "char")):
        return Character(name, size, encoding == _SIGNED_CHAR)
    if encoding in (_SIGNED, _SIGNED_CHAR, _UNSIGNED, _UNSIGNED_CHAR, _ADDRESS, _UTF):
        return Integer(name, size, encoding in (_SIGNED, _SIGNED_CHAR))
    return Raw(name, size)


def _bit_field(die: Any, name: str, base: Integer) -> Member:
    """A bit-field, in the bytes that have bits of it.

    Source: DWARF 5, 5.7.6. Before, bits were counted from the most significant one of a storage unit.
    """
    bits = _number(die, "DW_AT_bit_size", 0)
    if "DW_AT_data_bit_offset" in die.attributes:
        first = _number(die, "DW_AT_data_bit_offset", 0)
    else:
        unit = 8 * _number(die, "DW_AT_byte_size", base.size)
        first = 8 * _member_offset(die) + unit - bits - _signed_number(die, "DW_AT_bit_offset")
    if not 0 < bits <= min(_BITS_MAX, 8 * base.size) or first < 0:
        raise ValueError("a bit-field that is nowhere")
    offset, shift = divmod(first, 8)
    return Member(name, offset, BitField(base.name, (shift + bits + 7) // 8, base, shift, bits))


def _member_offset(die: Any) -> int:
    attribute = die.attributes.get("DW_AT_data_member_location")
    if attribute is None:
        return 0
    if isinstance(attribute.value, int):
        return attribute.value
    first, *rest = attribute.value
    if first != _OP_PLUS_UCONST:
        raise ValueError("a member that has to be searched for")
    return sum((byte & 0x7F) << 7 * at for at, byte in enumerate(rest))


def _count(die: Any) -> int:
    """How many elements a range has; 0 where it does not say, or says so while the program runs."""
    count, bound = die.attributes.get("DW_AT_count"), die.attributes.get("DW_AT_upper_bound")
    if count is not None and isinstance(count.value, int) and not _is_reference(count):
        return _checked(count.value)
    if bound is not None and isinstance(bound.value, int) and not _is_reference(bound):
        if bound.value in (-1, (1 << _BITS.get(bound.form, 64)) - 1):
            return 0
        return _checked(bound.value + 1 - _number(die, "DW_AT_lower_bound", 0))
    return 0


def _is_reference(attribute: Any) -> bool:
    return str(attribute.form).startswith("DW_FORM_ref")


def _origins(die: Any) -> Iterator[Any]:
    """An entry, and those that it completes."""
    for _ in range(4):
        yield die
        link = next((name for name in ("DW_AT_specification", "DW_AT_abstract_origin") if name in die.attributes), None)
        if link is None:
            return
        die = die.get_DIE_from_attribute(link)


def _name(die: Any) -> str:
    for entry in _origins(die):
        if "DW_AT_name" in entry.attributes:
            value = entry.attributes["DW_AT_name"].value
            return printable(value.decode(errors="replace") if isinstance(value, bytes) else str(value), _NAME_MAX)
    return ""


def _number(die: Any, attribute: str, default: int) -> int:
    found = die.attributes.get(attribute)
    return default if found is None else _checked(int(found.value))


def _signed_number(die: Any, attribute: str) -> int:
    found = die.attributes.get(attribute)
    return 0 if found is None else int(found.value)


def _checked(size: int) -> int:
    if not 0 <= size <= _SIZE_MAX:
        raise ValueError("a size that no machine has")
    return size
