"""The command at a pseudo-terminal of its own: type, and look at what is shown."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Sequence
from typing import Any

from support.commands import COMMAND, PATIENCE_S

LFLAG, CC = 3, 6
"""Where tcgetattr has the local modes and the control characters."""


class Terminal:
    """A command, ours by default, running at a pseudo-terminal of its own."""

    def __init__(self, *arguments: object, vmin: int = 1, command: Sequence[str] = COMMAND) -> None:
        self._master, self._slave = pty.openpty()
        odd = termios.tcgetattr(self._slave)
        odd[CC][termios.VMIN] = vmin
        odd[LFLAG] &= ~termios.ECHOK  # not the defaults: restoring those would not do
        odd[CC][termios.VSTOP] = b"\x15"
        termios.tcsetattr(self._slave, termios.TCSANOW, odd)
        self.attributes_before = self.attributes()
        self.shown = b""
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)], stdin=self._slave, stdout=self._slave, stderr=self._slave,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env=os.environ | {"TERM": "xterm"},
        )  # fmt: skip

    def set_attributes(self, attributes: list[Any]) -> None:
        termios.tcsetattr(self._slave, termios.TCSANOW, attributes)

    def hang_up(self) -> None:
        """Close it as a window does, and with it this object."""
        os.close(self._slave)
        os.close(self._master)

    def attributes(self) -> list[Any]:
        return termios.tcgetattr(self._slave)

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def wait_for(self, text: bytes) -> bytes:
        """Wait until ``text`` is shown; what came before it. The next call looks behind it."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.shown:
            assert self.shows_more(deadline - time.monotonic()), f"{text!r} does not come; shown: {self.shown!r}"
        before, _, self.shown = self.shown.partition(text)
        return before

    def shows_more(self, within_s: float) -> bool:
        if not select.select([self._master], [], [], max(0.0, within_s))[0]:
            return False
        self.shown += os.read(self._master, 4096)
        return True

    def end(self) -> int:
        """The exit status, once there is one; reads what is still shown, so that nothing waits for a reader."""
        deadline = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it goes on; shown: {self.shown!r}"
            self.shows_more(0.01)
        while self.shows_more(0):
            pass
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)
        os.close(self._slave)
