"""What is done with a stranger's file: it is opened so that it can do no harm, and what it says is checked.

Opened read-only, as a file that nobody changes: SQLite then looks at nothing next to it, neither a journal nor a
write-ahead log. A recording that was killed in a transaction has left its journal; that is rolled back here, in a copy.
Bounded are the size of the file's holes, of its journal, of its schema, of a row, and the steps and bytes of a query:
all in proportion to what really is on the disk. What a query finds may be of any type and size: the checks for that are
at the end of this file, and in the reader.
"""

from __future__ import annotations

import os
import reprlib
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from minstret.emu.clock import ICOUNT_SHIFT_MAX
from minstret.emu.door.door import Position
from minstret.emu.errors import TraceError
from minstret.emu.newfile import is_being_written
from minstret.emu.text import printable
from minstret.emu.trace.format import HOST_AT_END, NAME_MAX, PAGE_SIZE, ROW_SIZE_MAX

_MAGIC, _NO_WAL = b"SQLite format 3\0", b"\x01\x01"
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_HEAD_SIZE = 108
_LEAF_OF_TABLE, _SCHEMA_ENTRIES_MAX = 13, 50
_SCHEMA_SIZE_MAX = 10_000
_HOLES_MAX = 64 << 20
"""Bytes of nothing in a file beyond as many as it has of something. Copying tools make holes of blocks of zeros."""
_JOURNAL_EXTRA = 1 << 20
_STEPS_AT_ONCE, _STEPS_MIN, _STEPS_PER_BYTE = 1_000, 2_000_000, 4
"""Steps of SQLite's machine that one query may take: several times what a whole table needs in a file of that size."""
_BYTES_EXTRA = 1 << 20
_MESSAGE_MAX = 200
"""Characters of what SQLite or a parser says, which may quote the file."""


class UntrustedDatabase:
    """Queries of a file that may be anything. All of it raises TraceError, in one line, where the file is no good."""

    def __init__(self, path: str) -> None:
        """Open the file.

        Raises:
            TraceError: there is none, it is being written, or it is no database that can be read safely.
        """
        self.path = path
        real_path = os.path.realpath(path)
        try:
            _check_kind(path)
            if is_being_written(real_path):
                raise TraceError(f"{path}: is being recorded; read it when that has ended")
            self.size_bytes = _checked_size(path)
            journal_size = _hot_journal_size(path, f"{real_path}-journal")
        except (OSError, ValueError) as error:  # ValueError: a null character in the name
            raise TraceError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
        self._steps_left = self._steps_max = _STEPS_MIN + _STEPS_PER_BYTE * self.size_bytes
        if not journal_size:
            self._db = self._connect(real_path)
        elif journal_size > 2 * self.size_bytes + _JOURNAL_EXTRA:
            raise self.damaged("its journal is larger than it can be")
        else:
            self._db = self._rolled_back(real_path)

    def _connect(self, path: str) -> sqlite3.Connection:
        with open(path, "rb") as file:
            head, size = file.read(_HEAD_SIZE), os.fstat(file.fileno()).st_size
        self._check_head(head, size)
        db = sqlite3.connect(f"{Path(path).as_uri()}?mode=ro&immutable=1", timeout=0, uri=True, isolation_level=None)
        db.text_factory = _decoded
        try:
            db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _SCHEMA_SIZE_MAX)
            db.set_progress_handler(self._is_too_much_work, _STEPS_AT_ONCE)
            db.executescript("PRAGMA trusted_schema=OFF; PRAGMA query_only=ON; PRAGMA cell_size_check=ON;")
            db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()  # no count(*): that can't be interrupted
            db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, ROW_SIZE_MAX)
        except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter from what SQLite would say
            db.close()
            raise self._read_error(error) from None
        return db

    def _check_head(self, head: bytes, size: int) -> None:
        """The file must be whole, and the schema in its first page: so it is small, and can't go round in circles."""
        if len(head) < _HEAD_SIZE:
            raise self.damaged("file is not a database")
        if int.from_bytes(head[16:18], "big") != PAGE_SIZE:
            raise self.damaged("its pages are of another size")
        if int.from_bytes(head[28:32], "big") * PAGE_SIZE > size:
            raise self.damaged("it is cut short")
        if head[100] != _LEAF_OF_TABLE or int.from_bytes(head[103:105], "big") > _SCHEMA_ENTRIES_MAX:
            raise self.damaged("its tables are not those of a trace")

    def _rolled_back(self, path: str) -> sqlite3.Connection:
        """A connection to a copy of the file as of its last commit. Open, it outlives its folder."""
        try:
            with tempfile.TemporaryDirectory(prefix="minstret-") as folder:
                return self._connect(_roll_back(path, folder))
        except OSError as error:
            raise TraceError(f"{self.path}: can't copy it to roll back its journal: {error.strerror}") from None
        except (sqlite3.Error, ValueError) as error:
            raise self.damaged(error) from None

    def _is_too_much_work(self) -> bool:
        self._steps_left -= _STEPS_AT_ONCE
        return self._steps_left < 0

    def damaged(self, what: object) -> TraceError:
        """The error that says so."""
        return TraceError(f"{self.path}: a damaged trace: {printable(str(what), _MESSAGE_MAX)}")

    def _read_error(self, error: Exception) -> TraceError:
        is_interrupted = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT
        return self.damaged("its tables go round in circles" if is_interrupted else error)

    def rows(self, sql: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """What a query finds. No byte of the file can be part of it twice, and no row twice."""
        steps_left, self._steps_left = self._steps_left, self._steps_max
        bytes_left = self.size_bytes + _BYTES_EXTRA
        try:
            for row in self._db.execute(sql, values):
                for value in row:  # texts that are long are no names, and refused at once
                    if type(value) is bytes:
                        bytes_left -= len(value)
                if bytes_left < 0:
                    raise self.damaged("its tables go round in circles")
                yield row
        except sqlite3.Error as error:
            raise self._read_error(error) from None
        except (OverflowError, UnicodeDecodeError) as error:
            raise self.damaged(error) from None
        finally:
            self._steps_left = min(steps_left, self._steps_left)

    def close(self) -> None:
        self._db.close()


def _decoded(data: bytes) -> str:
    return data.decode(errors="replace")


# ---- the file, before SQLite sees it


def _check_kind(path: str) -> None:
    """Refuse what is not a regular file, without opening it: a pipe would block, and a device has no end."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise TraceError(f"{path}: is a folder; give a trace")
    if not stat.S_ISREG(mode):
        raise TraceError(f"{path}: is not a regular file; give a trace")


def _checked_size(path: str) -> int:
    """The file's size, which is not mostly holes; its first bytes are a database's."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        head, info = os.read(fd, 20), os.fstat(fd)
        if not head.startswith(_MAGIC):
            raise TraceError(f"{path}: not a trace (made by minstret record)")
        if head[18:] != _NO_WAL:
            raise TraceError(f"{path}: a damaged trace: it is in WAL mode")
        if info.st_blocks * 512 < info.st_size - _HOLES_MAX:
            data_size = _data_size(fd, info.st_size)
            if info.st_size - data_size > data_size + _HOLES_MAX:
                raise TraceError(f"{path}: a damaged trace: {info.st_size - data_size} bytes of nothing in it")
        return info.st_size
    finally:
        os.close(fd)


def _data_size(fd: int, size: int) -> int:
    """Bytes that are not in holes."""
    found = at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:  # nothing but a hole from here on
            break
        at = os.lseek(fd, start, os.SEEK_HOLE)
        found += at - start
    return found


def _hot_journal_size(path: str, journal: str) -> int:
    """Bytes of the journal of a transaction that was cut off; 0 where there is none to roll back."""
    try:
        info = os.lstat(journal)
    except OSError:
        return 0
    if not stat.S_ISREG(info.st_mode):  # a link is not followed, a pipe not waited for
        raise TraceError(f"{path}: a damaged trace: its journal, {journal}, is not a regular file")
    with open(journal, "rb") as file:
        return info.st_size if file.read(1) not in (b"", b"\0") else 0


def _roll_back(path: str, folder: str) -> str:
    """A copy of the database at ``path``, in ``folder``, as of its last commit."""
    copy = os.path.join(folder, "trace")
    _copy(path, copy)
    _copy(path + "-journal", copy + "-journal")
    with open(copy + "-journal", "rb") as file:
        with suppress(OSError):
            file.seek(-len(_JOURNAL_MAGIC), os.SEEK_END)
        if file.read() == _JOURNAL_MAGIC:  # it names a file, which SQLite would delete
            raise ValueError("its journal is that of several files")
    with closing(sqlite3.connect(copy)) as db:
        db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    return copy


def _copy(path: str, copy: str) -> None:
    """Copy a file, without following what has become a link meanwhile."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    with open(fd, "rb") as source, open(copy, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)


def has_trace_head(path: str) -> bool:
    """Whether a file looks like a trace, whatever its name."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return stat.S_ISREG(os.fstat(fd).st_mode) and os.read(fd, len(_MAGIC)) == _MAGIC
        finally:
            os.close(fd)
    return False


# ---- what SQLite has read


class Order:
    """Checks that positions never go back, and stay within a recording."""

    def __init__(self, shift: int, end: Position) -> None:
        self._shift, self._end = shift, end
        self._icount = self._warp_ns = 0

    def accepts(self, position: Position) -> bool:
        """Whether ``position`` may come next."""
        icount, warp_ns = position.icount, position.virtual_ns - (position.icount << self._shift)
        if icount < self._icount or warp_ns < self._warp_ns:
            return False
        self._icount, self._warp_ns = icount, warp_ns
        return icount <= self._end.icount and position.virtual_ns <= self._end.virtual_ns


_OUTSIDE_KINDS = {"script_lines": "count", "tftp": "flag"}
_END_KINDS = {
    "reason": "name", "exit_code": "code", "icount": "count", "virtual_ns": "count", "digest": "name",
    "uart_sha256": "name", "registers": "count",
}  # fmt: skip
_MORE_END_KINDS = {"handler": "handler", "text": "text"}
"""Of these an end may have none."""


def check_meta(meta: dict[str, Any]) -> None:
    """Raise ValueError where ``meta`` lacks something, or has something of another kind."""
    for key in ("minstret", "unicorn", "config_version", "config", "images"):
        if key not in meta:
            raise ValueError(f"it lacks {key}")
    _check_kinds("it", meta, {
        "minstret": "name", "unicorn": "name", "config_version": "count", "config": "object", "images": "object",
        **({"end": "object"} if "end" in meta else {}),
        **({"first_snapshot": "count"} if "first_snapshot" in meta else {}),
        **({HOST_AT_END: "name"} if HOST_AT_END in meta else {}),
        **({"outside": "object"} if "outside" in meta else {}),
    })  # fmt: skip
    outside = meta.get("outside", {})
    _check_kinds("outside", outside, {name: kind for name, kind in _OUTSIDE_KINDS.items() if name in outside})
    _check_kinds("config", meta["config"], {"icount_shift": "count"})
    if meta["config"]["icount_shift"] > ICOUNT_SHIFT_MAX:
        raise ValueError(f"config: icount_shift is {shown(meta['config']['icount_shift'])}")
    _check_kinds("images", meta["images"], {"append": "text"})
    for role in sorted(meta["images"].keys() - {"append"}):
        _check_kinds("images", meta["images"], {role: "object"})
        _check_kinds(f"images: {shown(role)}", meta["images"][role], {"name": "text", "sha256": "name"})
    if "end" in meta:
        more = {name: kind for name, kind in _MORE_END_KINDS.items() if name in meta["end"]}
        _check_kinds("end", meta["end"], _END_KINDS | more)


def _check_kinds(what: str, found: dict[str, Any], kinds: Mapping[str, str]) -> None:
    for key, kind in kinds.items():
        if key not in found or not _KINDS[kind](found[key]):
            raise ValueError(f"{what}: {shown(key)} is {shown(found.get(key))}, not a {kind}")


def is_count(value: object) -> bool:
    """Whether it is a number that counts something."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_handler(value: object) -> bool:
    """Whether it is a HandlerEntry."""
    return isinstance(value, list) and len(value) == 2 and all(map(is_count, value)) and not value[0] & 1


def is_name(value: object) -> bool:
    """Whether it is a name that can be shown at a terminal."""
    return isinstance(value, str) and value.isascii() and value.isprintable() and 0 < len(value) <= NAME_MAX


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "count": is_count,
    "flag": lambda value: isinstance(value, bool),
    "code": lambda value: value is None or (isinstance(value, int) and not isinstance(value, bool)),
    "name": is_name,
    "text": lambda value: isinstance(value, str),
    "object": lambda value: isinstance(value, dict),
    "handler": _is_handler,
}


def shown(value: object) -> str:
    """``value`` for a line of text, whatever it is."""
    return reprlib.repr(value)
