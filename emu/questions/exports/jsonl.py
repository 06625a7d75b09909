"""One happening a line, as JSON: see ``Happening.facts``."""

from __future__ import annotations

import json

from minstret.emu.door.door import Position
from minstret.emu.questions.exports.form import RunFacts, Write
from minstret.emu.questions.happenings import ALL, Happening


class JsonLines:
    """Writes all kinds."""

    KINDS = ALL

    def __init__(self, run: RunFacts, write: Write) -> None:
        self._symbols, self._write = run.symbols, write

    def add(self, happening: Happening) -> None:
        line = json.dumps(happening.facts(self._symbols), ensure_ascii=False, separators=(", ", ": "))
        self._write(f"{line}\n".encode(errors="surrogatepass"))

    def finish(self, position: Position) -> None:
        """Each line is whole by itself."""
