"""The command line of `tools/bench`."""

from __future__ import annotations

import click

import oneline
from benchmarks import compare, log, operations, questions, replay, timetravel


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  tools/bench smoke
  tools/bench all --rounds 5 --json all.json
  tools/bench all --only ticks-1k-busy --only uboot
  tools/bench operations --ns

Run it on a quiet machine. Compare only figures of one table: machines differ, and the same machine differs from hour
to hour.
""",
)
def main() -> None:
    """Measure how fast minstret is, mostly as ratios to QEMU's times with the same guests."""


main.add_command(compare.run_all)
main.add_command(compare.smoke)
main.add_command(compare.linux)
main.add_command(compare.start)
main.add_command(operations.main)
main.add_command(replay.main)
main.add_command(log.main)
main.add_command(timetravel.main)
main.add_command(questions.main)

if __name__ == "__main__":
    oneline.run(main, "tools/bench")
