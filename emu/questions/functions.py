"""Which function an instruction is in, at which privilege."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from minstret.emu.hart.spec import PRIV_M, PRIV_S, PRIV_U
from minstret.emu.images.image import LABEL_REACH, Symbol, SymbolTable
from minstret.emu.questions.code import Code
from minstret.emu.text import printable

NO_SYMBOL = {PRIV_U: "[user]", PRIV_S: "[supervisor]", PRIV_M: "[machine]"}
"""What code is called that no symbol names."""
_NAME_SHOWN_MAX = 200


class Function(NamedTuple):
    """A function, executed at one privilege. ``address`` is None of all the code there that no symbol names."""

    name: str
    address: int | None
    priv: int


class Functions:
    """The functions of images. Labels within a function are none; user code of Linux is in none of a firmware's."""

    def __init__(self, symbols: SymbolTable, code: Code) -> None:
        self._code = code
        self._symbols = list(_functions(symbols))
        self._addresses = [symbol.address for symbol in self._symbols]
        seen: set[str] = set()
        self._repeated: set[str] = set()
        for symbol in self._symbols:
            (self._repeated if symbol.name in seen else seen).add(symbol.name)

    def beginnings(self) -> Iterator[tuple[int, str]]:
        """The addresses of all functions, and their names as the file has them."""
        return ((symbol.address, symbol.name) for symbol in self._symbols)

    def start_of(self, pc: int) -> int | None:
        """Where the function begins that has code at ``pc``."""
        symbol = self._symbol_at(pc)
        return None if symbol is None else symbol.address

    def at(self, pc: int, priv: int) -> Function:
        """The function of the instruction at ``pc``, executed at privilege ``priv``."""
        symbol = self._symbol_at(pc)
        if symbol is not None and self._code.is_known(pc, priv):
            return Function(self._name(symbol), symbol.address, priv)
        return Function(NO_SYMBOL.get(priv, "[unknown]"), None, priv)

    def _symbol_at(self, pc: int) -> Symbol | None:
        at = bisect_right(self._addresses, pc) - 1
        symbol = self._symbols[at] if at >= 0 else None
        return symbol if symbol is not None and pc - symbol.address < (symbol.size or LABEL_REACH) else None

    def _name(self, symbol: Symbol) -> str:
        """Its name; of several with one name, which of them."""
        name = printable(symbol.name, _NAME_SHOWN_MAX)
        if symbol.name not in self._repeated:
            return name
        return f"{name} ({printable(symbol.file, _NAME_SHOWN_MAX) or hex(symbol.address)})"


def _functions(symbols: SymbolTable) -> Iterator[Symbol]:
    """One symbol for each function, in order."""
    end = 0
    code = (symbol for symbol in symbols.symbols if not symbol.is_object)
    for _, group in groupby(code, key=attrgetter("address")):
        names = list(group)  # those without a size come first
        symbol = names[-1] if names[-1].size else names[0]
        if not symbol.size and symbol.address < end:
            continue
        end = max(end, symbol.address + symbol.size)
        yield symbol
