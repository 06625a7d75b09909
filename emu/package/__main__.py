"""``python -m minstret``: the same as the command ``minstret``."""

from minstret.emu.cli import main

main()
