"""gdb with the command as its remote target, in batch mode, for tests: what it answers to each command."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.commands import COMMAND, PATIENCE_S, started
from support.needs import Need

TOP = Path(__file__).parents[2]
"""Where the sources of the bundled images begin."""
GDB = "gdb-multiarch"
_MARK = "=== "
_ADDRESS = re.compile(rb"(?:127\.0\.0\.1|\[::1\]):\d+")
_COUNT = re.compile(r"icount ([\d,_]+)")
QUIET = ("-nx", "-batch")
"""No files of the user's; ends after its commands, asks nothing and shows no pages."""


def need_gdb(need: Need) -> None:
    need(GDB, shutil.which(GDB))


@dataclass(frozen=True)
class Answers:
    """What gdb said to each of its commands, in order, before the first, and when it ended."""

    greeting: str
    texts: tuple[str, ...]
    farewell: str
    status: int

    def __getitem__(self, number: int) -> str:
        return self.texts[number]

    def __iter__(self) -> Iterator[str]:
        return iter(self.texts)


def as_arguments(commands: Iterable[str]) -> list[str]:
    """gdb's arguments for commands, with marks around each."""
    return [word for command in [*commands, "echo"] for word in ("-ex", f"echo \\n{_MARK}\\n", "-ex", command)]


def answers(text: str, status: int) -> Answers:
    greeting, *texts, farewell = text.split(f"\n{_MARK}\n")
    return Answers(greeting, tuple(text.removesuffix("\n") for text in texts), farewell, status)


def debug(trace: str | Path, *commands: str, options: Sequence[str] = ()) -> Answers:
    """``minstret debug``, as a user starts it, with these commands for gdb."""
    done = subprocess.run(
        [*COMMAND, "debug", *options, str(trace), "--", *QUIET, *as_arguments(commands)], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    return answers(done.stdout, done.returncode)


def gdb(address: str, *commands: str, elf: Path | None = None) -> Answers:
    """A gdb that connects to ``address`` itself."""
    files = [] if elf is None else [str(elf)]
    done = subprocess.run(
        [GDB, *QUIET, "-d", str(TOP), *files, "-ex", f"target extended-remote {address}", *as_arguments(commands)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE_S,
        check=False,
    )  # fmt: skip
    return answers(done.stdout, done.returncode)


@dataclass(frozen=True)
class Served:
    """A command that waits for a client at ``address``."""

    address: str
    process: subprocess.Popen[bytes]


@contextmanager
def serving(*arguments: object) -> Iterator[Served]:
    """``minstret`` with ``arguments`` that let it serve at a free port, which it says on standard error."""
    with started(*arguments) as process:
        assert process.stderr is not None
        said = b""
        while (found := _ADDRESS.search(said)) is None:
            line = process.stderr.readline()
            assert line, said.decode()
            said += line
        yield Served(found[0].decode(), process)


def icount_in(text: str) -> int:
    """The instruction count that ``monitor when`` tells."""
    found = _COUNT.search(text)
    assert found, text
    return int(found[1].replace(",", "").replace("_", ""))


class Mi:
    """gdb's machine interface, as an editor speaks it: one command after the other, while the guest may run."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._token = 1000
        self.stops: list[str] = []
        """Each stop of the guest that has been told, in order."""

    def __call__(self, command: str) -> str:
        """The result of a command: ``done``, ``running``, ``connected`` or ``error``, and what belongs to it."""
        assert self._process.stdin is not None
        self._token += 1
        self._process.stdin.write(f"{self._token}{command}\n")
        self._process.stdin.flush()
        return self._read(f"{self._token}^")

    def move(self, command: str) -> str:
        """Let the guest run, and give the stop."""
        known = len(self.stops)
        assert self(command) == "running"
        return self.next_stop(known)

    def next_stop(self, known: int) -> str:
        """The first stop after ``known`` ones."""
        while len(self.stops) == known:
            self._read("*stopped")
        return self.stops[known]

    def _read(self, beginning: str) -> str:
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if line.startswith("*stopped"):
                self.stops.append(line.rstrip())
            if line.startswith(beginning):
                return line.removeprefix(beginning).rstrip()
        raise AssertionError(f"gdb has ended; it said {said}")


@contextmanager
def machine_interface(path: str = GDB) -> Iterator[Mi]:
    """A gdb that an editor talks to."""
    with subprocess.Popen(
        [path, "-nx", "-q", "--interpreter=mi"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        patience = threading.Timer(PATIENCE_S, process.kill)
        patience.start()
        try:
            yield Mi(process)
        finally:
            patience.cancel()
            process.kill()


def mi_value(result: str) -> str:
    """The value in a result, as gdb quotes it."""
    found = re.search(r'value="((?:[^"\\]|\\.)*)"', result)
    assert found, result
    return found[1]
