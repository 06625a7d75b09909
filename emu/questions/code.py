"""The code that a hart executes, as memory has it now: where its instructions are."""

from __future__ import annotations

from minstret.emu.hart.decode import insn_size
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.shared import PAGE_BITS, PAGE_SIZE
from minstret.emu.hart.spec import PRIV_M, PRIV_U

_OFFSET = PAGE_SIZE - 1


class Code:
    """The code of one hart.

    User code that is mapped to other physical addresses is taken for one of several programs: what is there now need
    not be what ran, and symbols are not of it.
    """

    def __init__(self, hart: Hart) -> None:
        self._hart = hart
        self._pages: dict[tuple[int, int], bytes] = {}

    def insns_from(self, pc: int, priv: int, count: int) -> list[int]:
        """The addresses of ``count`` instructions from ``pc`` on; fewer where it can't be known where they are."""
        found: list[int] = []
        number, page = -1, b""
        for _ in range(count):
            if pc >> PAGE_BITS != number:
                number = pc >> PAGE_BITS
                page = self._page(number, priv)
                if not page:
                    break
            found.append(pc)
            pc += insn_size(page[pc & _OFFSET])
        return found

    def insn_at(self, pc: int, priv: int) -> bytes:
        """The instruction at an address, 2 or 4 bytes; nothing where it can't be known."""
        number, at = pc >> PAGE_BITS, pc & _OFFSET
        page = self._page(number, priv)
        size = insn_size(page[at]) if page else 2
        if at + size > PAGE_SIZE:
            page += self._page(number + 1, priv)
        return page[at : at + size]

    def is_known(self, pc: int, priv: int) -> bool:
        """Whether symbols are of the code at this address."""
        return priv != PRIV_U or bool(self._page(pc >> PAGE_BITS, priv))

    def _page(self, number: int, priv: int) -> bytes:
        key = number, priv
        if key not in self._pages:
            self._pages[key] = self._read(number << PAGE_BITS, priv) or b""
        return self._pages[key]

    def _read(self, address: int, priv: int) -> bytes | None:
        hart = self._hart
        if priv == PRIV_U:
            return hart.read_virtual(address, PAGE_SIZE, priv) if hart.translate(address, priv) == address else None
        found = hart.read_virtual(address, PAGE_SIZE, priv)
        return hart.read_virtual(address, PAGE_SIZE, PRIV_M) if found is None else found
