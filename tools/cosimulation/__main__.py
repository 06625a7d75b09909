"""The command line of `tools/cosim`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from cosimulation import spike
from cosimulation.compare import Comparison, Result
from cosimulation.follow import ALLOWED, Follower
from minstret.emu.errors import MinstretError
from minstret.emu.hart.shared import Counting
from minstret.emu.units import parse_count
from minstret.firmware import IMAGES, image_path

SAME, DIFFERENT, TROUBLE = 0, 1, 125


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  tools/cosim traps
  tools/cosim --cpu rv32 --max-insns 100k paging
  tools/cosim --json result.json my.elf

Exit status: 0 both did the same, 1 they differ, 125 they can't be compared.
""",
)
@click.argument("firmware")
@click.option("--cpu", type=click.Choice(["rv64", "rv32"]), default="rv64", show_default=True, help="Register width.")
@click.option("--max-insns", default="1M", show_default=True, metavar="N", help="Compare so many instructions at most.")
@click.option(
    "--counting",
    type=click.Choice([each.value for each in Counting]),
    default=Counting.BLOCKS.value,
    help="How minstret counts; each instruction is a slice of its own anyway.",
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False), metavar="FILE", help="Write the result.")
def main(firmware: str, cpu: str, max_insns: str, counting: str, json_file: str | None) -> None:
    """Run FIRMWARE beside Spike, instruction by instruction, and name the first difference.

    FIRMWARE is an ELF file or the name of an image that comes along. Compared are, for each retired instruction, its
    address and privilege, the registers and CSRs and the memory it wrote, and the traps before it: cause, epc, tval.
    What comes from the boards around the hart (devices, counters, the first interrupt) is not; docs/exactness.md.
    """
    xlen = 64 if cpu == "rv64" else 32
    try:
        image = image_path(firmware, xlen) if firmware in IMAGES else Path(firmware)
        if not image.exists():
            raise spike.CosimError(f"{firmware}: no such file, and no image of that name: {', '.join(IMAGES)}")
        result, comparison = cosimulate(image, xlen, parse_count(max_insns, "--max-insns"), Counting(counting))
    except (spike.CosimError, MinstretError) as error:
        click.echo(f"tools/cosim: {error}", err=True)
        sys.exit(TROUBLE)
    show(result, comparison, firmware)
    if json_file is not None:
        Path(json_file).write_text(json.dumps(facts(result), indent=2) + "\n")
    sys.exit(SAME if result.difference is None else DIFFERENT)


def cosimulate(image: Path, xlen: int, insns_max: int, counting: Counting) -> tuple[Result, Comparison]:
    """Compare a run of ``image``."""
    follower = Follower(image, xlen, counting)
    comparison = Comparison(follower)
    with spike.running(image, xlen) as lines:
        return comparison.run(spike.steps(lines, follower.entry), insns_max), comparison


def show(result: Result, comparison: Comparison, name: str) -> None:
    """Print the result."""
    difference = result.difference
    for csr, count in sorted(result.not_compared.items()):
        click.echo(f"  not compared, {count:,} times: {csr}, which there is in Spike alone")
    click.echo(
        f"{name}: {result.insns:,} instructions, {result.exceptions:,} exceptions, {result.interrupts:,} interrupts"
        f" compared; end: {result.end}"
    )
    for kind, count in sorted(result.allowed.items()):
        click.echo(f"  allowed, {count:,} times: {ALLOWED[kind]}")
    if difference is not None:
        click.echo(f"instruction {difference.number:,}: {difference.what} is {difference.spike} in Spike,"
                   f" {difference.here} here")  # fmt: skip
        for recent in result.recent:
            click.echo(f"     {comparison.describe(*recent)}")
        click.echo(f"  => {comparison.describe(difference.pc, difference.insn)}")


def facts(result: Result) -> dict[str, object]:
    """The same for programs."""
    found = result.difference
    return {
        "insns": result.insns,
        "exceptions": result.exceptions, "interrupts": result.interrupts,
        "end": result.end, "allowed": dict(result.allowed),
        "difference": None if found is None else {
            "number": found.number, "pc": found.pc, "insn": found.insn, "what": found.what, "spike": found.spike,
            "here": found.here,
        },
    }  # fmt: skip


if __name__ == "__main__":
    main(prog_name="tools/cosim")
