"""Options of the commands that gdb can come to. Nothing here serves it, so that a run without it starts as fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from minstret.emu import units
from minstret.emu.errors import ConfigError

if TYPE_CHECKING:
    from minstret.emu.hostserver import Address

_HISTORY = "256M"
_LOOPBACK, _QEMU_PORT = "127.0.0.1", 1234

history_option = click.option("--history", metavar="SIZE", help=(
    f"For gdb: memory for moments of the run that are kept, so that going back is fast. Default: {_HISTORY}."
))  # fmt: skip
allow_remote_option = click.option("--allow-remote", is_flag=True, help=(
    "For gdb: HOST may be an address that other machines can reach. Whoever connects controls the run: there is no "
    "password."))  # fmt: skip


def history_size_bytes(text: str | None) -> int:
    """The value of ``--history``."""
    return units.parse_size_bytes(text or _HISTORY, "--history")


class WantedGdb(NamedTuple):
    """What the options say of gdb at a live run."""

    address: Address
    option: str
    allows_others: bool
    waits: bool
    history_bytes: int


gdb_options = (
    click.option("--gdb", metavar="HOST:PORT", help=(
        "Let gdb connect at this address: it stops the run, and can go back in it too, as the run is recorded, in "
        "memory or in the trace. HOST is 127.0.0.1 by default; port 0 is any that is free.")),
    click.option("-s", "gdb_here", is_flag=True, help=f"The same as --gdb {_LOOPBACK}:{_QEMU_PORT}, as in QEMU."),
    click.option("-S", "--wait", is_flag=True, help=(
        "With --gdb or -s: begin when gdb says so, as in QEMU. --timeout does not count while gdb has stopped the "
        "run.")),
    allow_remote_option,
    history_option,
)  # fmt: skip
"""For a live run."""


def wanted_gdb(options: dict[str, Any]) -> WantedGdb | None:
    """What the options say of gdb; None where they want none.

    Raises:
        ConfigError: they don't fit together.
    """
    address, is_here = options["gdb"], options["gdb_here"]
    if address is not None and is_here:
        raise ConfigError(f"-s is the same as --gdb {_LOOPBACK}:{_QEMU_PORT}; give one of them")
    if address is None and not is_here:
        for name, option in (("wait", "--wait (-S)"), ("allow_remote", "--allow-remote"), ("history", "--history")):
            if options[name]:
                raise ConfigError(f"{option}: goes with --gdb or -s")
        return None
    from minstret.emu.hostserver import Address, parse_address

    return WantedGdb(
        parse_address(address, "--gdb") if address is not None else Address(_LOOPBACK, _QEMU_PORT),
        "-s" if is_here else "--gdb", options["allow_remote"], options["wait"], history_size_bytes(options["history"]),
    )  # fmt: skip
