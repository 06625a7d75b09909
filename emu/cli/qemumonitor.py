"""QEMU's monitors, as far as this board has something behind a command: the one for people, and QMP for tools.

Bytes in, bytes out: a source of events gives them what has come, and sends what they say.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from minstret.devices.board.board import Board
from minstret.emu.cli.ending import now_lines
from minstret.emu.installed import installed
from minstret.emu.text import printable

QEMU_VERSION = (7, 2, 0)
"""The version of QEMU whose command line and monitors this is like."""


def qemu_version_text() -> str:
    """What ``qemu-system-riscv64 --version`` prints: tools search its beginning."""
    return f"QEMU emulator version {'.'.join(map(str, QEMU_VERSION))} (minstret {installed('minstret')})"


class Control(Protocol):
    """What a monitor can do to a run."""

    board: Board

    def reset(self) -> None:
        """Reset the board at the next turn."""
        ...

    def quit(self) -> None:
        """End the run at the next turn."""
        ...


class MonitorTalk(Protocol):
    """What a monitor says."""

    def greeting(self) -> bytes:
        """To somebody who has just come."""
        ...

    def feed(self, data: bytes) -> bytes:
        """The answer to what has come."""
        ...


# ---- for people

_PROMPT = "(qemu) "
_COMMANDS = {
    "help": "this help", "info registers": "registers of all harts", "info status": "whether the guest runs",
    "info version": "the version", "info cpus": "where the harts are", "system_reset": "reset the board",
    "quit": "end the run",
}  # fmt: skip
_SHORT = {"q": "quit", "?": "help", "h": "help"}
_BACKSPACES = b"\x7f\x08"
_LINE_MAX = 1000
"""Bytes of a line; what is typed behind them is dropped."""


class HumanMonitor:
    """Commands in lines."""

    def __init__(self, control: Control, *, echoes: bool) -> None:
        """Make it; ``echoes``: whether nobody else shows what is typed."""
        self._control, self._echoes = control, echoes
        self._line = bytearray()

    def greeting(self) -> bytes:
        number = ".".join(map(str, QEMU_VERSION))
        return f"QEMU {number} monitor - type 'help' for more information\r\n{_PROMPT}".encode()

    def feed(self, data: bytes) -> bytes:
        said = bytearray()
        for byte in data:
            if byte in b"\r\n":
                if byte == 0x0A and not self._line:  # of a pair
                    continue
                said += b"\r\n" if self._echoes else b""
                said += self._answer(self._line.decode(errors="replace"))
                self._line.clear()
            elif byte in _BACKSPACES:
                said += b"\b \b" if self._line and self._echoes else b""
                del self._line[-1:]
            elif byte >= 0x20 and len(self._line) < _LINE_MAX:
                self._line.append(byte)
                said += bytes([byte]) if self._echoes else b""
        return bytes(said)

    def _answer(self, line: str) -> bytes:
        text = self.answer(line)
        return f"{text}\n".replace("\n", "\r\n").encode() * bool(text) + _PROMPT.encode()

    def answer(self, line: str) -> str:
        """Do a command; what it says."""
        command = " ".join(line.split())
        command = _SHORT.get(command, command)
        if not command:
            return ""
        board = self._control.board
        if command == "quit":
            self._control.quit()
        elif command == "system_reset":
            self._control.reset()
        elif command == "info status":
            return "VM status: running"
        elif command == "info version":
            return qemu_version_text()
        elif command == "info cpus":
            return "\n".join(now_lines(board))
        elif command == "info registers":
            return "\n".join(_registers(board, hart) for hart in range(len(board.harts)))
        elif command == "help":
            return "\n".join(f"{name} -- {text}" for name, text in _COMMANDS.items())
        else:
            return f"unknown command: '{printable(command, 60)}'"
        return ""


def _registers(board: Board, hart: int) -> str:
    registers = board.registers_of(hart)
    digits = board.harts[hart].xlen // 4
    named = ("mstatus", "mip", "mie", "mideleg", "medeleg", "mtvec", "stvec", "mepc", "sepc", "mcause", "scause",
             "mtval", "stval", "mscratch", "sscratch", "satp")  # fmt: skip
    lines = [f"\nCPU#{hart}", *(f" {name:<8} {registers[name]:0{digits}x}" for name in ("pc", *named))]
    names = [name for name in registers if name != "pc"]
    cells = [f" {f'x{i}/{name}':<8} {registers[name]:0{digits}x}" for i, name in enumerate(names)]
    return "\n".join([*lines, *("".join(cells[i : i + 4]) for i in range(0, len(cells), 4))])


# ---- QMP

_LONGEST = 1 << 20
"""Characters of a command."""
_NAMES = ("qmp_capabilities", "query-commands", "query-name", "query-status", "query-version", "quit", "system_reset",
          "human-monitor-command")  # fmt: skip


class Qmp:
    """QEMU's protocol for tools: JSON objects. Source: QEMU docs/interop/qmp-spec.rst."""

    def __init__(self, control: Control, wall_ns: Callable[[], int]) -> None:
        """Make it; ``wall_ns`` stamps its events, as the protocol wants it."""
        self._control, self._wall_ns = control, wall_ns
        self._text = ""
        self._is_negotiated = False

    def greeting(self) -> bytes:
        self._text, self._is_negotiated = "", False
        return _packed({"QMP": {"version": _version(), "capabilities": []}})

    def feed(self, data: bytes) -> bytes:
        self._text += data.decode(errors="replace")
        said = bytearray()
        while text := self._text.lstrip():
            self._text = text
            try:
                command, end = json.JSONDecoder().raw_decode(text)
            except (ValueError, RecursionError):  # also: a number of too many digits, too many brackets in brackets
                if "\n" not in text and len(text) < _LONGEST:
                    break  # the rest is on its way
                self._text = text.partition("\n")[2]
                said += _error("GenericError", "JSON parse error", None)
                continue
            self._text = text[end:]
            said += self._obey(command)
        return bytes(said)

    def _obey(self, command: Any) -> bytes:
        if not isinstance(command, dict) or not isinstance(command.get("execute"), str):
            return _error("GenericError", "QMP input must be a JSON object with the member 'execute'", None)
        name, number = command["execute"], command.get("id")
        if not self._is_negotiated and name != "qmp_capabilities":
            return _error("CommandNotFound", "Expecting capabilities negotiation with 'qmp_capabilities'", number)
        if name not in _NAMES:
            return _error("CommandNotFound", f"The command {printable(name, 60)} has not been found", number)
        events, result = self._do(name, command.get("arguments") or {})
        return events + _packed({"return": result} | ({} if number is None else {"id": number}))

    def _do(self, name: str, arguments: Any) -> tuple[bytes, Any]:
        if name == "qmp_capabilities":
            self._is_negotiated = True
        elif name == "query-version":
            return b"", _version()
        elif name == "query-status":
            return b"", {"status": "running", "singlestep": False, "running": True}
        elif name == "query-commands":
            return b"", [{"name": each} for each in _NAMES]
        elif name == "human-monitor-command":
            text = arguments.get("command-line", "") if isinstance(arguments, dict) else ""
            answer = HumanMonitor(self._control, echoes=False).answer(str(text))
            return b"", f"{answer}\n".replace("\n", "\r\n") if answer else ""
        elif name == "system_reset":
            self._control.reset()
            return self._event("RESET", "host-qmp-system-reset"), {}
        elif name == "quit":
            self._control.quit()
            return self._event("SHUTDOWN", "host-qmp-quit"), {}
        return b"", {}

    def _event(self, name: str, reason: str) -> bytes:
        seconds, rest_ns = divmod(self._wall_ns(), 1_000_000_000)
        stamp = {"seconds": seconds, "microseconds": rest_ns // 1000}
        return _packed({"timestamp": stamp, "event": name, "data": {"guest": False, "reason": reason}})


def _version() -> dict[str, Any]:
    major, minor, micro = QEMU_VERSION
    return {"qemu": {"micro": micro, "minor": minor, "major": major}, "package": f"minstret {installed('minstret')}"}


def _error(kind: str, text: str, number: Any) -> bytes:
    return _packed({"error": {"class": kind, "desc": text}} | ({} if number is None else {"id": number}))


def _packed(what: dict[str, Any]) -> bytes:
    return json.dumps(what).encode() + b"\r\n"
