"""The command line of `tools/cosim`."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import click
from elftools.elf.elffile import ELFFile

import oneline
from cosimulation import spike
from cosimulation.compare import Comparison, Result
from cosimulation.floats import make_sweep
from cosimulation.follow import ALLOWED, Follower
from cosimulation.sweep import FloatDifference, differences, results_here, results_in_spike
from minstret.emu.cli.outputs import check_outputs
from minstret.emu.cli.suggestions import file_or
from minstret.emu.errors import MinstretError
from minstret.emu.hart.shared import Counting
from minstret.emu.images.loader import load_firmware
from minstret.emu.units import parse_count
from minstret.firmware import IMAGES, image_path

SAME, DIFFERENT, TROUBLE, INTERRUPTED = 0, 1, 125, 130


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  tools/cosim traps
  tools/cosim --cpu rv32 --max-insns 100k paging
  tools/cosim --strides --set bench_rounds=1 --max-insns 100M bench
  tools/cosim --json result.json my.elf
  tools/cosim --floats
  tools/cosim --floats --seed 7

Exit status: 0 both did the same, 1 they differ, 125 they could not be compared, 130 Ctrl-C.
""",
)
@click.argument("firmware", required=False)
@click.option("--cpu", type=click.Choice(["rv64", "rv32"]), default="rv64", show_default=True, help="Register width.")
@click.option("--max-insns", default="1M", show_default=True, metavar="N", help="Compare N instructions at most.")
@click.option(
    "--counting",
    type=click.Choice([each.value for each in Counting]),
    default=Counting.CODE.value,
    help="How minstret counts instructions. Each instruction is a slice of its own in any case.",
)
@click.option(
    "--strides", is_flag=True, help="Compare after about a thousand instructions each time; for programs without traps."
)
@click.option("--set", "settings", multiple=True, metavar="SYMBOL=N", help="Set a 4-byte variable of the image first.")
@click.option(
    "--floats",
    is_flag=True,
    help="Instead of FIRMWARE, compare every floating-point operation on special values, in every rounding mode.",
)
@click.option("--seed", type=int, metavar="N", help="With --floats: use random values from this seed.")
@click.option("--json", "json_file", callback=oneline.writable, metavar="FILE", help="Write the result to FILE.")
def main(
    firmware: str | None,
    cpu: str,
    max_insns: str,
    counting: str,
    strides: bool,
    settings: tuple[str, ...],
    floats: bool,
    seed: int | None,
    json_file: str | None,
) -> None:
    """Run FIRMWARE here and in Spike, compare instruction by instruction, and show the first difference.

    FIRMWARE is an ELF file or the name of a bundled image. For each retired instruction its address and privilege are
    compared, the registers, CSRs and memory that it wrote, and the traps before it (cause, epc, tval). Devices,
    counters and the moments of interrupts are not compared, but taken from Spike: see docs/exactness.md.
    """
    xlen = 64 if cpu == "rv64" else 32
    if floats == (firmware is not None):
        raise click.UsageError("give either FIRMWARE or --floats")
    if seed is not None and not floats:
        raise click.UsageError("--seed needs --floats")
    try:
        if firmware is None:
            sweep_floats(xlen, Counting(counting), seed, json_file)
        image = image_path(firmware, xlen) if firmware in IMAGES else Path(firmware)
        if not image.exists():
            meant = file_or(firmware, IMAGES) or f": {', '.join(IMAGES)}"
            raise spike.CosimError(f"{firmware}: no such file, and no image of that name{meant}")
        check_outputs([("--json", json_file)], [("FIRMWARE", str(image))])
        with tempfile.TemporaryDirectory(prefix="minstret-cosim-") as folder:
            if settings:
                image = changed(image, settings, Path(folder))
            insns_max = parse_count(max_insns, "--max-insns")
            result, comparison = cosimulate(image, xlen, insns_max, Counting(counting), in_strides=strides)
    except (spike.CosimError, MinstretError) as error:
        click.echo(f"tools/cosim: {error}", err=True)
        sys.exit(TROUBLE)
    except KeyboardInterrupt:  # click would exit with 1, which means that they differ
        click.echo("tools/cosim: interrupted", err=True)
        sys.exit(INTERRUPTED)
    show(result, comparison, firmware)
    write_facts(json_file, facts(result))
    sys.exit(SAME if result.difference is None else DIFFERENT)


def sweep_floats(xlen: int, counting: Counting, seed: int | None, json_file: str | None) -> NoReturn:
    """Compare every floating-point operation, show the differences, and exit."""
    program = make_sweep(xlen, seed=seed)
    found = list(differences(program, results_in_spike(program), results_here(program, counting)))
    kinds: dict[tuple[str, str], list[FloatDifference]] = {}
    for each in found:
        kinds.setdefault((each.case.partition(" ")[0], each.what), []).append(each)
    click.echo(
        f"rv{xlen}: {program.cases:,} floating point cases compared: result, flags, mstatus; {len(found):,} differ"
    )
    for (name, what), cases in kinds.items():
        first = cases[0]
        click.echo(
            f"  {name}, {len(cases):,} times: {what} is {first.spike:#x} in Spike, {first.here:#x} here: {first.case}"
        )
    examples = [asdict(cases[0]) for cases in kinds.values()]
    write_facts(json_file, {"cases": program.cases, "differences": len(found), "first": examples})
    sys.exit(DIFFERENT if found else SAME)


def write_facts(json_file: str | None, facts: dict[str, object]) -> None:
    """Write the file of `--json`."""
    if json_file is None:
        return
    try:
        Path(json_file).write_text(json.dumps(facts, indent=2) + "\n")
    except OSError as error:
        click.echo(f"tools/cosim: --json {json_file}: {error.strerror}", err=True)
        sys.exit(TROUBLE)


def changed(image: Path, settings: tuple[str, ...], folder: Path) -> Path:
    """A copy of ``image`` with other values in some of its variables, each of 4 bytes.

    Raises:
        CosimError: there is no such variable, or no such value.
    """
    data, elf = bytearray(image.read_bytes()), load_firmware(image, spike.RAM_BASE)
    for setting in settings:
        name, _, value = setting.partition("=")
        symbol = elf.symbols.find(name)
        if symbol is None or not value.isdecimal() or int(value) >> 32:
            raise spike.CosimError(f"--set {setting}: SYMBOL=N, a symbol of {image.name} and a number of 32 bits")
        with open(image, "rb") as stream:
            offset = next(iter(ELFFile(stream).address_offsets(symbol.address, 4)), None)
        if offset is None:
            raise spike.CosimError(f"--set {setting}: {name} has no bytes in {image.name}")
        data[offset : offset + 4] = int(value).to_bytes(4, "little")
    copy = folder / image.name
    copy.write_bytes(data)
    return copy


def cosimulate(
    image: Path, xlen: int, insns_max: int, counting: Counting = Counting.CODE, *, in_strides: bool = False
) -> tuple[Result, Comparison]:
    """Compare a run of ``image``."""
    follower = Follower(image, xlen, counting)
    comparison, log = Comparison(follower), spike.Log(follower.entry)
    with spike.running(image, xlen, tells_traps=not in_strides) as pieces:
        if in_strides:
            result = comparison.run_in_strides(log, pieces, insns_max)
        else:
            result = comparison.run(log.steps(pieces), insns_max)
    return result, comparison


def show(result: Result, comparison: Comparison, name: str) -> None:
    """Print the result."""
    difference = result.difference
    for csr, count in sorted(result.not_compared.items()):
        click.echo(f"  not compared, {count:,} times: {csr}, which only Spike has")
    click.echo(
        f"{name}: {result.insns:,} instructions, {result.exceptions:,} exceptions, {result.interrupts:,} interrupts"
        f" compared; end: {result.end}"
    )
    for kind, count in sorted(result.allowed.items()):
        click.echo(f"  allowed, {count:,} times: {ALLOWED[kind]}")
    if difference is not None:
        where = f"instruction {difference.number:,}"
        if difference.insns > 1:
            where = f"after the {difference.insns:,} instructions from {where} on"
        click.echo(f"{where}: {difference.what} is {difference.spike} in Spike,"
                   f" {difference.here} here")  # fmt: skip
        for recent in result.recent:
            click.echo(f"     {comparison.describe(*recent)}")
        if difference.insns == 1:
            click.echo(f"  => {comparison.describe(difference.pc, difference.insn)}")


def facts(result: Result) -> dict[str, object]:
    """The result, for JSON."""
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
    oneline.run(main, "tools/cosim")
