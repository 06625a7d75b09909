"""The command ``minstret``: the only place that prints."""

from minstret.emu.cli.main import main

__all__ = ["main"]
