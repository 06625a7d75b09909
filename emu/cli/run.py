"""``minstret run``: boot firmware, show its console, report how the run ended."""

from __future__ import annotations

from typing import Any

import click

from minstret.emu.cli import exits
from minstret.emu.cli.options import FIRMWARE_HELP, board_options, device_errors
from minstret.emu.cli.outputs import default_trace
from minstret.emu.cli.session import HostedRun, session_options


@click.command(epilog=FIRMWARE_HELP + """
\b
Examples:
  minstret run firmware.elf
  minstret run hello                        a bundled image
  minstret run --max-insns 10M --json out.json -q firmware.elf
  minstret run --icount shift=3,sleep=on app.bin --cpu rv32
  minstret run --bios u-boot --net user,restrict=on,tftp=boot/
  minstret run dhcp --net user,restrict=on --pcap dhcp.pcap
  minstret run --smp 4 --quantum 5K smp     four harts in turns of 5000 instructions
  minstret run keys --input keyboard --keys "hello<esc>"
  minstret run --log traps,unmapped app.elf show each trap, and each access to nothing
  minstret run -D irq.log --log irq app.elf write interrupts to a file
  minstret run --until "tests passed" --fail-on '/panic|assert/' app.elf
  minstret run --input-script talk.txt app.elf
                                            EXPECT "login:" within 20s, SEND "root\\r"
  minstret run -s -S app.elf                wait for gdb at 127.0.0.1:1234, as QEMU does
  minstret run --kernel Image --initrd initrd.gz --append console=ttyS0

""" + exits.HELP)  # fmt: skip
@board_options
@session_options
def run(**options: Any) -> int:
    """Boot firmware, or a kernel under firmware.

    The guest's console writes to standard output and reads from standard input; everything else goes to standard
    error.

    At a terminal all keys go to the guest, Ctrl-C too: Ctrl-A x ends the run, Ctrl-A h lists the other Ctrl-A keys.
    Without a terminal Ctrl-C ends the run. SIGTERM, SIGHUP and SIGQUIT end it cleanly: the report is made and all
    files are complete.
    """
    with device_errors(options["devices"], options["verbose"]):
        hosted = HostedRun(options)
        with hosted.session:
            outcome = hosted.run()
    if hosted.has_crashed(outcome):
        from minstret.emu.cli.invocation import how_to_look_again  # imported here: most runs end well

        if (line := how_to_look_again(default_trace(options))) is not None:
            hosted.say(line)
    return exits.exit_status(outcome, options["idle_ok"])
