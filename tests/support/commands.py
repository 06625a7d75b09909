"""The command ``minstret`` in a process of its own: run to its end, or started and watched."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

COMMAND = (sys.executable, "-m", "minstret")
PATIENCE_S = 300
"""How long a process may take before a test gives up on it: some take a second, on a loaded machine many."""

Done = subprocess.CompletedProcess[bytes]
Command = Callable[..., Done]

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def minstret(
    *arguments: object, stdin: bytes | IO[Any] | int | None = None, first: Callable[[], None] | None = None,
    **options: Any,
) -> Done:  # fmt: skip
    """Run the command to its end.

    Args:
        arguments: What comes after ``minstret``; paths may stay paths.
        stdin: Its input: bytes go through a pipe, and a file is that; none by default.
        first: Called in the new process, before the command.
        options: As for ``subprocess.run``, such as another ``stdout``.
    """
    if isinstance(stdin, bytes):
        options["input"] = stdin
    else:
        options["stdin"] = subprocess.DEVNULL if stdin is None else stdin
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], timeout=PATIENCE_S, check=False, preexec_fn=first,
        **options,
    )  # fmt: skip


@contextmanager
def started(*arguments: object, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The command as a running process without input, which is not left behind; its pipes have no buffers."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], bufsize=0, **options
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the process's state on: field 3 of the manual page is the first."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def wait_until_asleep(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process waits for something."""
    _wait_for_state(process, "S")


def wait_until_ended(process: subprocess.Popen[bytes]) -> None:
    """Wait for its end, but leave it to be looked at: ``cpu_s`` still works."""
    _wait_for_state(process, "Z")


def _wait_for_state(process: subprocess.Popen[bytes], state: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while _stat(process.pid)[0] != state:
        assert time.monotonic() < deadline, "the process goes on"
        time.sleep(0.001)


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    """Processor time that a process has used, even one that has ended but was not waited for, seconds."""
    user, system = _stat(process.pid)[11:13]
    return (int(user) + int(system)) / _TICKS_PER_S
