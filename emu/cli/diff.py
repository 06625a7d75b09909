"""``minstret diff``: where two runs part, to the first instruction."""

from __future__ import annotations

import json
import shlex
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from minstret.devices.board.board import Setup
from minstret.devices.board.traced import Replay
from minstret.emu.cli.asking import Asked, read_symbols, working
from minstret.emu.cli.expectations import limits_of
from minstret.emu.cli.invocation import how_to_debug, invocation, with_devices
from minstret.emu.cli.options import (
    changed_devices_option,
    device_errors,
    find_firmware,
    make_setup,
    options_of_board,
    replayed_devices,
)
from minstret.emu.cli.progress import HowFar
from minstret.emu.cli.say import say
from minstret.emu.cli.session import host_answers, input_options, wanted_script
from minstret.emu.cli.streams import as_given, is_stream, read_image
from minstret.emu.cli.verify import is_trace
from minstret.emu.errors import ConfigError
from minstret.emu.questions.diff import Answer, Diff
from minstret.emu.questions.diffing.side import Side
from minstret.emu.questions.diffing.telling import facts, text_lines
from minstret.emu.recorded import ReplaySession
from minstret.emu.session import LiveSession
from minstret.emu.text import printable
from minstret.emu.trace.format import SUFFIX

_MAX_INSNS, _MAX_TIME = "1G", "60s"
_FOR_TRACES = {"symbols", "changed_devices", "devices", "as_json", "quiet", "verbose", "one", "other"}
"""Options that make sense where no image is run live."""


class _InterruptedError(Exception):
    """A signal ends the search."""


@click.command(epilog="""\b
Examples:
  minstret diff good.mst bad.mst               two recordings
  minstret diff crash.mst fixed.elf            the recording, and its input given to another image
  minstret diff old.elf new.elf --net user     two images, each run with these options
  minstret diff --json a.mst b.mst | jq .difference.a.source

\b
Exit status:
  0    the same run
  1    not the same; standard output says what differs first, and where
  125  no result: a usage error, an unusable file, or runs that do not compare""")  # fmt: skip
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@options_of_board
@changed_devices_option
@input_options
@click.option("--max-insns", metavar="N", default=_MAX_INSNS, show_default=True, help=(
    "Of two images: compare so many instructions."))  # fmt: skip
@click.option("--max-time", metavar="TIME", default=_MAX_TIME, show_default=True, help=(
    "Of two images: compare so much virtual time."))  # fmt: skip
@click.option("--symbols", metavar="FILE", multiple=True, help=(
    "A file with symbols, in place of those in traces and images: an ELF file, a System.map, or what nm prints. May be "
    "given several times. kallsyms: what a Linux kernel keeps in memory; used for it in traces anyway where there is "
    "nothing else."))  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No lines of minstret's own on standard error, but errors.")
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of a --device with a mistake.")
def diff(one: str, other: str, **options: Any) -> int:
    """Find the first instruction that is not the same in two runs.

    A and B are traces or images. Of two traces each is replayed as it was recorded. Of a trace and an image, the image
    runs on the recorded board, with the recorded input, until it does something else. Two images run live, without
    input but what the options give.

    First is the first instruction that runs on another hart, after another trap, at another virtual time or address;
    that is another instruction; that reads bytes of memory which differ; or that leaves other registers or memory.
    Memory that differs is no difference until it is used.
    """
    with device_errors(options["devices"], options["verbose"]):
        sides = _sides(one, other, options)
        answer = find(*sides, is_quiet=options["quiet"])
    if options["as_json"]:
        click.echo(json.dumps(facts(answer) | {"look": _commands(answer, sides, options)}, indent=2))
    else:
        for line in text_lines(answer):
            click.echo(printable(as_given(line)))
        if commands := _commands(answer, sides, options):
            click.echo("to look there:")
            for command in commands:
                click.echo(f"  {command}")
    return 0 if answer.is_same else 1


def find(one: Side, other: Side, *, is_quiet: bool) -> Answer:
    """Look for the first difference, with progress, until a signal comes."""
    sides, is_stopped = (one, other), list[bool]()
    whole = min(side.end_icount for side in sides)
    start = max(side.icount for side in sides)

    def look() -> None:
        if is_stopped:
            raise _InterruptedError

    def stop() -> None:
        is_stopped.append(True)
        for side in sides:
            side.machine.reach()

    for side in sides:
        side.on_stride = look
    answer = None
    with working(lambda: _how_far(sides, start, whole), stop, is_quiet=is_quiet), suppress(_InterruptedError):
        answer = Diff(one, other).find()
    assert answer is not None
    return answer


def _how_far(sides: tuple[Side, Side], start: int, whole: int) -> HowFar:
    at = min(side.icount for side in sides)
    return HowFar("comparing", at - start, whole - start, sum(side.icount - start for side in sides), is_place=True)


# ---- the two runs


def _sides(one: str, other: str, options: dict[str, Any]) -> tuple[Side, Side]:
    """The two runs, each where it begins."""
    for name in (one, other):
        if is_stream(name):
            raise ConfigError("diff -: it reads its files more than once; give their names")
    traces = [name for name in (one, other) if is_trace(name)]
    if traces:
        _check_only_for_traces(traces[0])
        sides = [_of_trace(name, traces[0], options) for name in (one, other)]
    else:
        sides = [_of_image(name, options) for name in (one, other)]
    return sides[0], sides[1]


def _check_only_for_traces(trace: str) -> None:
    """Refuse options that a trace has decided."""
    context = click.get_current_context()
    for parameter in context.command.params:
        is_given = context.get_parameter_source(parameter.name or "") is not click.core.ParameterSource.DEFAULT
        if is_given and parameter.name not in _FOR_TRACES:
            raise ConfigError(f"{parameter.opts[0]}: the board and its input are those in {trace}; leave it out")


def _of_trace(name: str, trace: str, options: dict[str, Any]) -> Side:
    """A replay of a trace; for an image one of ``trace`` that boots it."""
    asked = Asked(
        name if is_trace(name) else trace, options["symbols"], options["devices"], options["changed_devices"],
        is_quiet=True,
    )  # fmt: skip
    reader = asked.reader
    image = None if is_trace(name) else read_image(find_firmware(name, reader.meta["config"].get("xlen")))
    replay = Replay(
        reader, devices=replayed_devices(options["devices"]), devices_may_have_changed=options["changed_devices"],
        instead=image,
    )  # fmt: skip
    if replay.left_out is not None and not options["quiet"]:
        say(f"minstret: {as_given(replay.left_out)}")
    find_symbols = (lambda: asked.symbols) if image is None or options["symbols"] else None
    return Side(name, replay, find_symbols, boots_other=image is not None)


def _of_image(name: str, options: dict[str, Any]) -> Side:
    """A live run of an image, with the board that the options describe."""
    given = options | {"firmware": name}
    setup = _without_host(make_setup(given, script=wanted_script(given)))
    limits = limits_of(options)
    host = host_answers(options)
    session = LiveSession(lambda door: setup.make(door=door, host=host))
    symbols = read_symbols(options["symbols"]) if options["symbols"] else None
    return Side(name, session, None if symbols is None else lambda: symbols, limits)


def _without_host(setup: Setup) -> Setup:
    """A board of which two runs can be the same.

    Raises:
        ConfigError: the host would decide something.
    """
    config = setup.config
    for option, asks_host in (
        ("--entropy host", config.entropy == "host"), ("--rtc clock=host", config.rtc_follows_host),
        ("--semihosting", config.host_files), ("--timer-model", config.timer_model != "attributes"),
    ):  # fmt: skip
        if asks_host:
            raise ConfigError(f"{option}: two such runs are never the same; record both, and compare the traces")
    return replace(setup, config=replace(config, sleep=False))


# ---- where to look


def _commands(answer: Answer, sides: tuple[Side, Side], options: dict[str, Any]) -> list[str]:
    """What to type to look at the first difference, for each trace; an image has to be recorded before."""
    if answer.difference is None:
        return []
    commands = []
    for side in sides:
        trace, record = side.name, ""
        if not isinstance(side.session, ReplaySession):
            trace = Path(side.name).stem + SUFFIX
            record = f"{invocation()} record {shlex.quote(side.name)}{_given_options()}; "
        elif side.boots_other:
            continue
        given = with_devices(trace, [text.partition(",")[0] for text in options["devices"]])
        commands.append(f"{record}{how_to_debug(given, answer.difference.icount)}")
    return commands


def _given_options() -> str:
    """The options of the board as they were typed, with a blank before each word."""
    context, words = click.get_current_context(), list[str]()
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if not isinstance(parameter, click.Option) or value == parameter.default or not value:
            continue
        if parameter.name in ("symbols", "as_json", "quiet", "verbose", "changed_devices", "max_insns", "max_time"):
            continue
        for each in value if isinstance(value, tuple) else (value,):
            words += [parameter.opts[-1]] if each is True else [parameter.opts[-1], str(each)]
    return "".join(f" {shlex.quote(word)}" for word in words)
