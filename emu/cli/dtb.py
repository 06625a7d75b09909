"""``minstret dtb``: write the device tree that the guest would get."""

from __future__ import annotations

from typing import Any

import click

from minstret.emu.cli.options import board_options, make_setup
from minstret.emu.cli.outputs import check_outputs, images_read
from minstret.emu.cli.streams import shown_output, write_output
from minstret.emu.errors import ConfigError


@click.command(epilog="""\b
Examples:
  minstret dtb -o virt.dtb
  minstret dtb -m 1G --cpu rv64 -o - | dtc -I dtb -O dts""")  # fmt: skip
@board_options
@click.option("-o", "--output", metavar="FILE", required=True, help="The file to write; - is standard output.")
def dtb(output: str, **options: Any) -> int:
    """Write the device tree blob (DTB) that a board with these options gives its guest. FIRMWARE may be left out."""
    if options["firmware"] is None and options["bios"] is None and options["kernel"] is None:
        options["firmware"] = (
            "hello-rv32" if (options["cpu"] or "").startswith("rv32") else "hello"
        )  # any firmware: the tree does not depend on it
    check_outputs([("--output", output)], images_read(options))
    tree = make_setup(options).make().device_tree
    try:
        write_output(output, tree)
    except OSError as error:
        raise ConfigError(f"--output: {shown_output(output)}: {error.strerror or error}") from None
    return 0
