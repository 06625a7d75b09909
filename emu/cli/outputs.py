"""Checks that no output file of a command is also one of its inputs, or another of its outputs."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from minstret.emu.cli.options import find_firmware, load_file
from minstret.emu.cli.streams import is_stream
from minstret.emu.errors import ConfigError

_DATABASE = b"SQLite format 3\0"

Named = tuple[str, str | None]
"""The option that names a file (``--json``), and the file's path; None if the option is not given."""


def default_trace(options: Mapping[str, Any]) -> str:
    """What a recording is called, unless the user says: by what is booted."""
    from minstret.emu.trace.format import SUFFIX  # imported here: most runs are not recorded, and end well

    booted = str(options["kernel"] or options["firmware"] or options["bios"])
    return ("stdin" if is_stream(booted) else Path(booted).stem) + SUFFIX


def check_outputs(writes: Iterable[Named], reads: Iterable[Named]) -> None:
    """Check all files of a command before any is opened. Hard links and symbolic links are recognized.

    Raises:
        ConfigError: writing one file would destroy another.
    """
    known: dict[object, str] = {}
    for what, path in reads:
        if (key := _stdin_key() if is_stream(path or "") else _key(path)) is not None:
            known.setdefault(key, f"which is read as {what}")
    for what, path in writes:
        if (key := _key(path)) is None:
            continue
        if key in known:
            raise ConfigError(f"{what}: can't write {path}, {known[key]}; give another name")
        known[key] = f"which is written by {what}"


def _key(path: str | None) -> object:
    """A key that is equal for two paths of one file; None if there is no regular file that could be lost."""
    if path is None or is_stream(path):
        return None
    try:
        info = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    return _key_of(info)


def _stdin_key() -> object:
    with suppress(OSError):
        return _key_of(os.fstat(0))
    return None


def _key_of(info: os.stat_result) -> object:
    return (info.st_dev, info.st_ino) if stat.S_ISREG(info.st_mode) else None


def images_read(options: Mapping[str, Any]) -> Iterator[Named]:
    """The files that the options from ``board_options`` name."""
    for name, what in (("firmware", "FIRMWARE"), ("bios", "--bios"), ("kernel", "--kernel")):
        if options[name] is not None:
            yield what, _image_path(options[name])
    yield "--initrd", options["initrd"]
    for text in options["loads"]:
        yield "--load", load_file(text)


def _image_path(name: str) -> str | None:
    """The image's path; None if loading it will fail anyway, with a better message."""
    if is_stream(name):
        return name
    try:
        path = str(find_firmware(name, None))
    except ConfigError:
        return None
    return None if os.path.isfile(path) and _is_database(path) else path


def _is_database(path: str) -> bool:
    """Whether it may be a trace. Importing the trace reader to ask it would take as long as starting a run."""
    with suppress(OSError), open(path, "rb") as file:
        return file.read(len(_DATABASE)) == _DATABASE
    return False


def trace_read(path: str) -> tuple[Named, ...]:
    """A trace that is read, and its journal."""
    return ("the trace", path), ("the trace's journal", f"{path}-journal")


def trace_written(path: str) -> tuple[Named, ...]:
    """A trace that is written, and its journal."""
    return ("-o", path), ("-o (its journal)", f"{path}-journal")
