"""gdb as a process of ours: which one there is, what to start it with, and when it has ended."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from minstret.emu.cli import SIGNALLED
from minstret.emu.errors import ConfigError
from minstret.emu.host import HANG_UP
from minstret.emu.hostserver import Address
from minstret.emu.text import printable
from minstret.firmware import IMAGES, image_path

FOR_RISCV = (
    "gdb-multiarch", "riscv64-unknown-elf-gdb", "riscv64-elf-gdb", "riscv-none-elf-gdb", "riscv32-unknown-elf-gdb",
    "riscv32-elf-gdb", "riscv64-unknown-linux-gnu-gdb", "riscv64-linux-gnu-gdb",
)  # fmt: skip
"""Names under which gdb for RISC-V is installed, in the order in which they are looked for."""
_ANY = "gdb"
_NONE_HERE = "no gdb for RISC-V is here: install Debian's gdb-multiarch (elsewhere riscv64-elf-gdb, or gdb itself)"
_SOURCES = image_path(IMAGES[0]).parents[2]
"""Where gdb finds the sources of the bundled images: the files that these name begin at the root of the checkout."""
_PROBE_S, _END_S = 60, 10
_SHOWN_MAX = 200


def found_gdb() -> str | None:
    """The path of a gdb that knows RISC-V, None if there is none."""
    for name in FOR_RISCV:
        if path := shutil.which(name):
            return path
    path = shutil.which(_ANY)
    return path if path is not None and _knows_riscv(path) else None


def _knows_riscv(path: str) -> bool:
    """Whether a gdb for the host's own programs knows RISC-V too: some distributions build it for all processors."""
    with suppress(OSError, subprocess.TimeoutExpired):
        command = [path, "-nx", "-batch", "-ex", "set architecture riscv:rv64"]
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_S, check=False
        ).returncode == 0  # fmt: skip
    return False


def gdb_command(given: str | None) -> list[str]:
    """The command that starts gdb: ``given`` by the user, or the one that is installed.

    Raises:
        ConfigError: there is none.
    """
    if given is None:
        path = found_gdb()
        if path is None:
            raise ConfigError(f"{_NONE_HERE}; or use --gdb COMMAND, or --server HOST:PORT to connect from elsewhere")
        return [path]
    try:
        words = shlex.split(given)
    except ValueError as error:
        raise ConfigError(f"--gdb: {printable(given, _SHOWN_MAX)}: {str(error).lower()}") from None
    if not words or shutil.which(words[0]) is None:
        name = printable(words[0] if words else given, _SHOWN_MAX)
        raise ConfigError(f"--gdb: {name!r} is no command here; leave --gdb out to use the gdb that is installed")
    return words


def arguments_for(address: Address, xlen: int, symbols: Sequence[str | Path]) -> list[str]:
    """gdb's arguments to be connected to ``address``, for harts of ``xlen`` bits.

    Args:
        symbols: ELF files, the first of which is gdb's program.
    """
    commands = [f"set architecture riscv:rv{xlen}"]
    commands += (f"with confirm off -- add-symbol-file {_quoted(path)}" for path in symbols[1:])
    commands.append(f"target extended-remote {address}")
    first = [str(symbols[0])] if symbols else []
    return ["-q", "-d", str(_SOURCES), *(word for command in commands for word in ("-ex", command)), *first]


def _quoted(path: str | Path) -> str:
    """A file name as an argument of gdb's own commands, which it splits as a shell does."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


class Child:
    """A process that has the terminal while it runs.

    Attributes:
        ended_fd: A file that can be read when the process has ended.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.ended_fd, self._end_fd = os.pipe()
        self._thread = threading.Thread(target=self._watch, name="gdb", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        self._process.wait()
        os.close(self._end_fd)

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def status(self) -> int:
        """Its exit status, as a shell would give it; waits for its end."""
        status = self._process.wait()
        return status if status >= 0 else SIGNALLED - status

    def close(self) -> None:
        """Bring its end about, if it has not ended."""
        if not self.has_ended:
            self._process.send_signal(HANG_UP)  # SIGTERM makes gdb's Python print a traceback
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._thread.join()
        os.close(self.ended_fd)


@contextmanager
def running(command: Sequence[str]) -> Iterator[Child]:
    """Start a process, which has ended when this is left.

    Raises:
        ConfigError: it can't be started.
    """
    try:
        process = subprocess.Popen(command)
    except OSError as error:
        raise ConfigError(f"--gdb: can't start {printable(command[0], _SHOWN_MAX)}: {error.strerror}") from None
    child = Child(process)
    try:
        yield child
    finally:
        child.close()
