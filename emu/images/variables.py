"""Variables by the paths that C has for them: ``rx_count``, ``cfg.mode``, ``queue.slots[3].len``, ``head->next->id``.

The symbol table tells where a variable is, DWARF its type; without it, the symbol's size decides. Memory comes and goes
by functions, with the guest's own addresses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from minstret.emu.errors import ConfigError
from minstret.emu.images.debugtypes import DebugTypes, Variable
from minstret.emu.images.image import Symbol, SymbolTable
from minstret.emu.images.types import Array, CType, Pointer, Raw, Struct, Value, shown, untyped
from minstret.emu.text import printable

Load = Callable[[int, int], bytes]
"""Reads memory: address, size."""
Store = Callable[[int, bytes], None]
"""Writes memory: address, data."""

_VALUES_MAX = 1 << 20
_SIZE_MAX = 16 << 20
_SHOWN_MAX = 200
_LABELS_MAX = 8
_ASKED_MAX = 50
"""Variables of one name whose debug information is read to tell them apart."""
_PATH = re.compile(
    r"(?P<stars>[*\s]*)"
    r"(?:(?P<file>[^:*\[\]]+):(?!:))?"
    r"(?P<name>[\w$]+(?:::[\w$]+)*(?:\.\d+)*)"
    r"(?P<steps>.*)", re.DOTALL
)  # fmt: skip
_STEP = re.compile(
    r"\s*(?:(?:\.|->)\s*(?P<member>[A-Za-z_$][\w$]*)"
    r"|\[\s*(?P<index>-?(?:0[xX][0-9a-fA-F]+|[0-9]+))\s*\])\s*"
)  # fmt: skip
_CLONE = re.compile(r"(?:\.(?:lto_priv|llvm|isra|constprop))?(?:\.\d+)?$")
"""What compilers add to the names of statics."""


class Place(NamedTuple):
    """Where a variable, or a part of one, is."""

    address: int
    size: int


@dataclass(frozen=True)
class _Object:
    """A variable, or a part of one. ``is_typed``: DWARF says what it is; ``path`` is for messages."""

    path: str
    address: int
    type: CType
    is_typed: bool = True


class Variables:
    """The variables of the images whose symbols these are."""

    def __init__(self, symbols: SymbolTable) -> None:
        self._symbols = symbols
        self._types = [DebugTypes(file) for file in symbols.debug]
        self._told: dict[Symbol, Variable | None] = {}

    def locate(self, path: str, load: Load) -> Place:
        """Where a variable, a part of one, or a function is. Memory is read where pointers lead.

        Raises:
            ConfigError: there is no such thing.
        """
        found = self._find(path, _told_where(path, load))
        return Place(found.address, found.type.size)

    def typed(self, path: str, load: Load) -> tuple[Place, CType | None]:
        """The same, with its type; None where no debug information says it.

        Raises:
            ConfigError: there is no such thing.
        """
        found = self._find(path, _told_where(path, load))
        return Place(found.address, found.type.size), found.type if found.is_typed else None

    def read(self, path: str, load: Load, size: int | None = None) -> Value:
        """What a variable, or a part of one, holds; with a ``size`` so many bytes from where it begins.

        Raises:
            ConfigError: there is no such thing, or nobody knows how large it is.
        """
        load = _told_where(path, load)
        found = self._find(path, load)
        if size is not None:
            if not 0 < size <= _SIZE_MAX:
                raise ConfigError(f"{found.path}: expected a size from 1 to {_SIZE_MAX:,}, got {size}")
            return load(found.address, size)
        self._check(found)
        return found.type.decode(load(found.address, found.type.size))

    def write(self, path: str, value: Value, load: Load, store: Store) -> None:
        """Let a variable, or a part of one, hold ``value``; a dict changes only the members it has.

        Raises:
            ConfigError: there is no such thing, or the value does not fit.
        """
        load = _told_where(path, load)
        found = self._find(path, load)
        if not found.type.size and not found.is_typed and isinstance(value, (bytes, bytearray)):
            found = replace(found, type=Raw("a block", len(value)))
        self._check(found)
        old = load(found.address, found.type.size)
        store(found.address, found.type.encode(value, old, found.path))

    @staticmethod
    def _check(found: _Object) -> None:
        size = found.type.size
        if not size and not found.is_typed:
            raise ConfigError(f"{found.path}: nothing says how large it is; give a size, as in read(..., size=16)")
        if size > _SIZE_MAX or found.type.values > _VALUES_MAX:
            raise ConfigError(f"{found.path}: {size:,} bytes are too many at once; name a part")

    # ---- paths

    def _find(self, path: str, load: Load) -> _Object:
        if not isinstance(path, str):
            raise ConfigError(f"expected the name of a variable, got {shown(path)}")
        text = path.strip()
        if text in self._symbols:  # also a name with dots, as compilers make them
            return self._variable("", text)
        parsed = _PATH.fullmatch(text)
        if parsed is None:
            raise ConfigError(f"{_shown(path)}: not a variable; expected something like cfg.mode or queue.slots[3]")
        found = self._variable((parsed["file"] or "").strip(), parsed["name"])
        at, steps = 0, parsed["steps"]
        while at < len(steps):
            step = _STEP.match(steps, at)
            if step is None:
                raise ConfigError(f"{_shown(path)}: expected .member, ->member or [number], got {_shown(steps[at:])}")
            found = _stepped(found, step, load)
            at = step.end()
        for _ in range(parsed["stars"].count("*")):
            found = _element(found, 0, load, f"*{found.path}")
        return found

    # ---- names

    def _variable(self, file: str, name: str) -> _Object:
        label = _shown(f"{file}:{name}" if file else name)
        found = self._candidates(name)
        if file:
            found = [symbol for symbol in found if self._is_of(symbol, file)]
        elif len(shared := [symbol for symbol in found if not symbol.file]) == 1:
            found = shared
        if not found:
            raise ConfigError(f"{label}: no such variable{self._others(name) or self._symbols.hint(name)}")
        if len(found) > 1:
            raise ConfigError(f"{label}: there are {len(found)} of this name: say {self._labels(found)}")
        told = self._variable_of(found[0])
        if told is not None:
            return _Object(label, found[0].address, told.type)
        return _Object(label, found[0].address, untyped(found[0].size), is_typed=False)

    def _candidates(self, name: str) -> list[Symbol]:
        """The symbols that a name may mean: its own, those C++ makes of it, or else statics of functions."""
        found = [symbol for mangled in (name, *_mangled(name)) for symbol in self._symbols.named(mangled)]
        if not found:
            scope, _, static = name.rpartition("::")
            found = [symbol for symbol in self._symbols.symbols if _is_static(symbol.name, static)]
            found = self._inside(scope, found) if scope else found
        return list({symbol.address: symbol for symbol in found}.values())

    def _inside(self, scope: str, found: list[Symbol]) -> list[Symbol]:
        """Those of some statics that are in a function. The debug information of each is read, so not of all."""
        lines = [self._symbols.source(symbol.address) for symbol in self._symbols.named(scope)]
        files = [_without_folder(line.file) for line in lines if line is not None]
        likely = [symbol for symbol in found if _without_folder(symbol.file) in files]
        return [symbol for symbol in (likely or found)[:_ASKED_MAX] if self._is_in(symbol, scope)]

    def _is_in(self, symbol: Symbol, scope: str) -> bool:
        if symbol.name.startswith(f"{scope}."):
            return True
        told = self._variable_of(symbol)
        return told is not None and scope.rpartition("::")[2] in told.scopes

    def _is_of(self, symbol: Symbol, file: str) -> bool:
        """Whether a symbol is from a source file, of which the end of its path is given."""
        if symbol.file and _without_folder(symbol.file) != _without_folder(file):
            return False
        if symbol.file and "/" not in file:
            return True
        whole = self._file_of(symbol)
        return whole == file or whole.endswith(f"/{file}")

    def _others(self, name: str) -> str:
        """Where else there are variables of a name."""
        found = self._candidates(name)
        return f" there; there is {self._labels(found)}" if found else ""

    def _labels(self, found: Sequence[Symbol]) -> str:
        """How to tell variables of one name apart, for a message."""
        named = found[:_LABELS_MAX]
        if len({symbol.name for symbol in found}) == len(found):
            labels = [self._scoped(symbol) for symbol in named]
        elif len({symbol.file for symbol in found}) == len(found):
            labels = [f"{_without_folder(self._file_of(symbol))}:{symbol.name}" for symbol in named]
        else:
            labels = [f"{self._file_of(symbol)}:{symbol.name}".lstrip(":") for symbol in named]
        return ", ".join(labels) + (f" and {len(found) - len(named)} more" if len(found) > len(named) else "")

    def _scoped(self, symbol: Symbol) -> str:
        """``rx::calls`` for the static of a function, or the symbol's own name."""
        told = self._variable_of(symbol)
        return f"{told.scopes[-1]}::{told.name}" if told is not None and told.scopes else symbol.name

    def _file_of(self, symbol: Symbol) -> str:
        """The source file of a symbol, with its folder where DWARF tells; ``""`` if nothing does."""
        told = self._variable_of(symbol)
        if told is not None:
            return told.file
        line = None if symbol.is_object else self._symbols.source(symbol.address)
        return symbol.file if line is None else line.file

    def _variable_of(self, symbol: Symbol) -> Variable | None:
        """What DWARF says of a symbol; None where it says nothing, or what can't be."""
        if symbol not in self._told:
            self._told[symbol] = next((told for types in self._types if (told := _told(types, symbol))), None)
        return self._told[symbol]


def _told_where(path: str, load: Load) -> Load:
    """``load``, whose errors say for which path it is."""

    def loaded(address: int, size: int) -> bytes:
        try:
            return load(address, size)
        except ConfigError as error:
            raise ConfigError(f"{_shown(path)}: {error}") from None

    return loaded


def _told(types: DebugTypes, symbol: Symbol) -> Variable | None:
    try:
        told = types.variable(symbol.address, symbol.name)
    except OSError:
        raise
    except Exception:  # a damaged file can raise any exception: see DebugTypes
        return None
    if told is None:
        return None
    kind = told.type
    if isinstance(kind, Array) and not kind.count and kind.element.size:  # declared without a size
        told = told._replace(type=Array.of(kind.element, symbol.size // kind.element.size))
    return told if 0 < told.type.size <= (symbol.size or told.type.size) else None


# ---- parts


def _stepped(found: _Object, step: re.Match[str], load: Load) -> _Object:
    if step["member"] is None:
        index = int(step["index"], 16 if "x" in step["index"].lower() else 10)
        return _element(found, index, load, f"{found.path}[{index}]")
    return _member(found, step["member"], load)


def _member(found: _Object, name: str, load: Load) -> _Object:
    """A member of a structure, or of the one that a pointer leads to."""
    separator = "."
    if isinstance(found.type, Pointer):
        found, separator = replace(_pointed(found, load, 0, f"{found.path}->{name}"), path=found.path), "->"
    if not isinstance(found.type, Struct):
        raise _lacks(found, "members", name)
    member = found.type.member(name, found.path)
    return _Object(f"{found.path}{separator}{name}", found.address + member.offset, member.type)


def _element(found: _Object, index: int, load: Load, path: str) -> _Object:
    """An element of an array, or of what a pointer leads to."""
    if isinstance(found.type, Pointer):
        return _pointed(found, load, index, path)
    if not isinstance(found.type, Array):
        raise _lacks(found, "elements", path)
    count, element = found.type.count, found.type.element
    if index < 0 or 0 < count <= index:
        raise ConfigError(f"{path}: {found.type.name} has elements {f'0 to {count - 1}' if count else 'from 0'}")
    return _Object(path, found.address + index * element.size, element)


def _pointed(found: _Object, load: Load, index: int, path: str) -> _Object:
    """What a pointer leads to, or the element ``index`` behind that."""
    pointer = found.type
    assert isinstance(pointer, Pointer)
    target = _target(pointer)
    if not target.size:
        raise ConfigError(f"{found.path}: no debug information says what {pointer.name} points to")
    address = pointer.decode(load(found.address, pointer.size))
    if not address:
        raise ConfigError(f"{path}: {found.path} is a null pointer")
    return _Object(path, (address + index * target.size) % (1 << 8 * pointer.size), target)


def _target(pointer: Pointer) -> CType:
    try:
        return pointer.target()
    except OSError:
        raise
    except Exception:  # a damaged file can raise any exception: see DebugTypes
        return untyped(0)


def _lacks(found: _Object, parts: str, wanted: str) -> ConfigError:
    if not found.is_typed:
        return ConfigError(f"{found.path}: no debug information says what it is, so no {wanted}; compile it with -g")
    return ConfigError(f"{found.path}: a value of type {found.type.name} has no {parts}, so no {wanted}")


# ---- names of compilers


def _mangled(name: str) -> list[str]:
    """The names that C++ gives to a variable: of a namespace or class, or one that only its file knows.

    Source: Itanium C++ ABI, 5.1, and what GCC and clang call a namespace without a name.
    """
    *scopes, last = (f"{len(piece)}{piece}" for piece in name.split("::"))
    around = "".join(scopes)
    found = [f"_ZN{around}{mark}{last}E" for mark in ("", "L", "12_GLOBAL__N_1")]
    return found if scopes else [f"_ZL{last}", found[2]]


def _is_static(symbol: str, name: str) -> bool:
    """Whether a symbol is what a compiler made of a static's name: ``name.0``, clang's ``function.name``, C++'s."""
    if symbol.startswith("_ZZ"):
        return symbol.endswith(f"E{len(name)}{name}")
    if "." not in symbol:
        return False
    stem = _CLONE.sub("", symbol)
    return stem == name or stem.rpartition(".")[2] == name


def _without_folder(file: str) -> str:
    return file.rpartition("/")[2]


def _shown(text: str) -> str:
    return printable(text, _SHOWN_MAX)
