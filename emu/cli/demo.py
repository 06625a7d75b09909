"""``minstret demo``: runs under load, record and replay, timer attributes, a changed trace, a race, gdb going back."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from minstret.devices.hostside.timer_models import TIMER_MODELS
from minstret.emu import host
from minstret.emu.cli.exits import Exit
from minstret.emu.cli.gdb import found_gdb
from minstret.emu.cli.inspect import timer_table_facts, trace_facts
from minstret.emu.cli.invocation import invocation
from minstret.emu.cli.progress import HowFar, Progress
from minstret.emu.cli.run import run
from minstret.emu.trace.reader import TraceReader
from minstret.emu.units import NS_PER_S
from minstret.firmware import image_path

RUNS = 20
AT_A_TIME = 2
PROCESSES = 2
"""The runs of a model are divided among this many processes: to start one takes longer than a run."""
QEMU = "qemu-system-riscv64"
QEMU_RUN_S, QEMU_ALL_S = 10, 10
"""A run that takes longer than the first is killed; after the second time no run is started."""
CHILD_S = 600
"""A process that takes longer is killed. Even without the C callbacks none should."""

_WIDTH = 100
_COMPARED = ("attributes", "no-attributes")
_COMMAND = (sys.executable, "-m", "minstret.emu.cli")
_GUESTS = {
    "dhcp": ("dhcp", "--net", "user,restrict=on", "-m", "16M"),
    "keys": ("keys", "--input", "keyboard", "--keys", "Hello, minstret!<esc>", "-m", "16M"),
}
_QEMU_OPTIONS = (
    "-M", "virt", "-icount", "shift=1,sleep=off", "-rtc", "clock=vm", "-netdev", "user,id=n,restrict=on",
    "-device", "virtio-net-device,netdev=n", "-display", "none", "-serial", "stdio", "-monitor", "none",
)  # fmt: skip
_MODELS_EXPLAINED = {
    "attributes": "the network's timers follow guest time and have the attribute EXTERNAL",
    "virtual-ext": "the network's timers have a clock of their own, which a thread of the host polls",
    "no-attributes": "the same timers without the attribute: as exact, but all of them are recorded, see 3",
    "QEMU": "-icount shift=1,sleep=off -rtc clock=vm; console outputs are compared",
}
_BUSY = """
import os, sys
parent = int(sys.argv[1])
while os.getppid() == parent:
    for _ in range(1_000_000): pass
"""
_OFFER = re.compile(rb"offer at ([0-9]+) ns")
_KEY_CODE_AT = 2
"""Offset of the low byte of the key code in a keyboard event."""
_SEEDS = 50
"""Of so many at least one has to find the race."""
_TO_CULPRIT = (
    "backtrace", "reverse-finish", "watch -l *(void **) ($sp - 8)", "reverse-continue", "print at",
    "print sizeof survey->title",
)  # fmt: skip
"""What to ask gdb where ``smash`` has ended."""
_CULPRIT = re.compile(
    r"^Old value = .*\n(?:.*\n)*.*\bset_title \((?:.*\n)*\$1 = (\d+)\n\(gdb\) .*\n\$2 = (\d+)$", re.MULTILINE
)
LAST_LINE = "Now yours: {0} record your.elf && {0} replay your.mst"


class Screen:
    """Standard output: tables and short paragraphs; 100 columns wide and without colours if it is not a terminal."""

    def __init__(self) -> None:
        is_terminal = sys.stdout.isatty()
        self._console = Console(
            force_terminal=is_terminal, width=None if is_terminal else _WIDTH, highlight=False, markup=False
        )
        self.tick = "✓" if self._console.encoding.startswith("utf") else "yes"

    def heading(self, text: str) -> None:
        self._print(f"\n{text}\n", "bold")

    def say(self, text: str, style: str = "") -> None:
        self._print(text, style)

    def show(self, table: Table) -> None:
        self._print(table)

    def verdict(self, is_good: bool, good: str, bad: str) -> None:
        self._print(f"\n{good if is_good else bad}", "green" if is_good else "bold red")

    def _print(self, what: str | Table, style: str = "") -> None:
        """Print without trailing blanks."""
        with self._console.capture() as captured:
            self._console.print(what, style=style)
        for line in captured.get().splitlines():
            click.echo(line.rstrip(" "))

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """At a terminal, show meanwhile what is being done."""
        with Progress(lambda: HowFar(text)).shown():
            yield

    def mark(self, is_same: bool) -> str:
        return self.tick if is_same else "NO"


def _table(*columns: str, numbers: int = 0) -> Table:
    """A table whose last ``numbers`` columns are numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i >= len(columns) - numbers else "left", no_wrap=True)
    return table


def _legend(rows: Mapping[str, str]) -> Table:
    table = _table("", "")
    table.show_header = False
    table.columns[1].no_wrap = False
    for word, meaning in rows.items():
        table.add_row(word, meaning)
    return table


# ---- 1: the same run, under load


@dataclass(frozen=True, slots=True)
class Run:
    """The result of one run: a hash of everything that is compared, and when each DHCP offer came, ns."""

    fingerprint: str
    offers_ns: tuple[int, ...]
    is_good: bool


@contextmanager
def every_core_busy() -> Iterator[int]:
    """Run a busy loop on each core meanwhile. The loops end when this process ends, however it ends."""
    cores = len(os.sched_getaffinity(0))
    command = [sys.executable, "-S", "-E", "-c", _BUSY, str(os.getpid())]
    with ExitStack() as stack:
        for _ in range(cores):
            null = subprocess.DEVNULL  # Ctrl-C reaches the loops too: hide their tracebacks
            loop = subprocess.Popen(command, stdin=null, stdout=null, stderr=null)
            stack.callback(loop.wait)
            stack.callback(loop.kill)
        yield cores


class Pool(ThreadPoolExecutor):
    """Threads that wait for processes. An exception, such as Ctrl-C or SIGTERM, kills the processes."""

    def __init__(self) -> None:
        super().__init__(AT_A_TIME)

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        if kind is not None:
            for child in list(_children):
                child.kill()
        super().__exit__(kind, *error)


_children: set[subprocess.Popen[bytes]] = set()
"""The processes that threads wait for."""


def _run_process(command: Sequence[str], timeout_s: int, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a command without input to its end.

    Raises:
        TimeoutExpired: it took longer than ``timeout_s`` and was killed.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, **options) as child:
        _children.add(child)
        try:
            output, errors = child.communicate(timeout=timeout_s)
        except BaseException:
            child.kill()
            raise
        finally:
            _children.discard(child)
    return subprocess.CompletedProcess(command, child.returncode, output, errors)


def runs_of(model: str, runs: int) -> list[Run]:
    """Runs of ``dhcp`` with one timer model, a few in each process, two processes at a time."""
    shares = [(runs + i) // PROCESSES for i in range(PROCESSES)]
    with tempfile.TemporaryDirectory(prefix="minstret-") as folder, Pool() as pool:
        folders = [Path(folder, str(i)) for i in range(PROCESSES)]
        results = pool.map(_run_in_child, [model] * PROCESSES, shares, folders, range(PROCESSES))
        return [one for share in results for one in share]


def _run_in_child(model: str, runs: int, folder: Path, hash_seed: int) -> list[Run]:
    if not runs:
        return []
    folder.mkdir()
    done = _ended(
        ["demo", "--child", model, str(runs), str(folder)], env=os.environ | {"PYTHONHASHSEED": str(hash_seed)}
    )
    found = [_read_run(folder / str(number)) for number in range(runs)]
    if model == TIMER_MODELS[0] and not all(one.is_good for one in found):
        raise click.ClickException(f"minstret run dhcp failed: {done.stderr.decode(errors='replace').strip()}")
    return found


def _ended(arguments: Sequence[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a process of its own, without input, to its end."""
    try:
        return _run_process([*_COMMAND, *arguments], CHILD_S, **options)
    except subprocess.TimeoutExpired:
        raise click.ClickException(f"minstret {' '.join(arguments)}: did not end within {CHILD_S} s") from None


def run_here(model: str, runs: int, folder: Path) -> None:
    """In a child process: run several times, and leave each run's console and --json file in ``folder``."""
    for number in range(runs):
        with open(folder / f"{number}.txt", "w") as console, redirect_stdout(console):
            options = ["-q", "--no-input", "--timer-model", model, "--json", str(folder / f"{number}.json")]
            run.main([*_GUESTS["dhcp"], *options], prog_name="minstret", standalone_mode=False)


def _read_run(stem: Path) -> Run:
    console_path, result_path = stem.with_suffix(".txt"), stem.with_suffix(".json")
    console = console_path.read_bytes() if console_path.exists() else b""
    uart_sha256 = hashlib.sha256(console).hexdigest()
    if not result_path.exists():
        return Run(uart_sha256, _offers_ns(console), False)
    result = json.loads(result_path.read_text())
    is_good = result["exit_code"] == 0 and result["uart_sha256"] == uart_sha256
    return Run(result["digest"] + uart_sha256, _offers_ns(console), is_good)


def _offers_ns(console: bytes) -> tuple[int, ...]:
    return tuple(map(int, _OFFER.findall(console)))


def qemu_runs(executable: str, runs: int) -> list[Run]:
    """Runs of ``dhcp`` on QEMU, two at a time, as many as QEMU_ALL_S allows."""
    begin_until_ns = host.realtime_ns() + QEMU_ALL_S * NS_PER_S
    command = [executable, *_QEMU_OPTIONS, "-bios", str(image_path("dhcp"))]

    def one(_: int) -> Run | None:
        if host.realtime_ns() > begin_until_ns:
            return None
        try:
            done = _run_process(command, QEMU_RUN_S)
        except subprocess.TimeoutExpired:
            return Run("no end", (), False)
        return Run(hashlib.sha256(done.stdout).hexdigest(), _offers_ns(done.stdout), done.returncode == 0)

    with Pool() as pool:
        return [one for one in pool.map(one, range(runs)) if one is not None]


def qemu_name(executable: str) -> str:
    """``QEMU`` and its version."""
    said = subprocess.run([executable, "--version"], stdin=subprocess.DEVNULL, capture_output=True).stdout.decode()
    version = re.search(r"version ([0-9.]+)", said)
    return f"QEMU {version[1]}" if version else "QEMU"


def _qemu_row(runs: int) -> tuple[str, ...]:
    executable = shutil.which(QEMU)
    if executable is None:
        return "QEMU", "not installed"
    found = qemu_runs(executable, runs)
    if not any(one.offers_ns for one in found):
        return qemu_name(executable), "does not run it"
    return qemu_name(executable), *_row(found)


def distinct(runs: Sequence[Run]) -> int:
    """The number of different results."""
    return len({one.fingerprint for one in runs})


def _row(runs: Sequence[Run]) -> tuple[str, ...]:
    """Table cells: runs, different results, time of the first offer, and the largest spread of an offer's times."""
    failed = sum(not one.is_good for one in runs)
    count = f"{len(runs)}, {failed} failed" if failed else str(len(runs))
    cycles = [[one.offers_ns[i] for one in runs if len(one.offers_ns) > i] for i in range(4)]
    if not all(cycles):
        return count, str(distinct(runs)), "none", "none"
    first = f"{min(cycles[0]):,}" + (f" .. {max(cycles[0]):,}" if max(cycles[0]) > min(cycles[0]) else "")
    spread = max(max(cycle) - min(cycle) for cycle in cycles)
    return count, str(distinct(runs)), first, f"{spread:,}"


def same_run_under_load(screen: Screen, runs: int, run_model: Callable[[str, int], list[Run]] = runs_of) -> bool:
    """Part 1. Returns whether all runs with timer attributes were the same."""
    screen.heading("1. Is it the same run each time?")
    table = _table("timer model", "runs", "different results", "first offer at, ns", "spread, ns", numbers=4)
    with every_core_busy() as cores:
        screen.say(
            f"The firmware `dhcp` asks for an address by DHCP four times. It runs {runs} times with each timer model,"
            f" while {cores} busy loop{'s' if cores > 1 else ''} load{'' if cores > 1 else 's'} the machine. Nothing is"
            " recorded. Digest and console of the runs are compared.\n"
        )
        ours: list[Run] = []
        for model in TIMER_MODELS:
            with screen.waiting(f"{runs} runs with timer model {model}"):
                of_model = run_model(model, runs)
            ours = ours or of_model
            table.add_row(model, *_row(of_model))
        with screen.waiting(f"{runs} runs on QEMU"):
            table.add_row(*_qemu_row(runs))
    screen.show(table)
    screen.say("")
    screen.show(_legend(_MODELS_EXPLAINED))
    is_same = distinct(ours) == 1
    screen.verdict(
        is_same, f"With attributes: the same run, {runs} times.", "THE RUNS WITH ATTRIBUTES DIFFER: this is a bug."
    )
    return is_same


# ---- 2: record and replay


class Folder:
    """The folder with the demo's traces. Commands run in it, so that the file names in their messages are short."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def minstret(self, *arguments: str, expected: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[bytes]:
        """Run the command in a process of its own.

        Raises:
            ClickException: its status is not one of the expected ones.
        """
        done = _ended(arguments, cwd=self.path)
        if done.returncode not in expected:
            said = done.stderr.decode(errors="replace").strip().removeprefix("minstret: ")
            raise click.ClickException(f"minstret {' '.join(arguments)}: status {done.returncode}: {said}")
        return done

    def record(self, guest: str, model: str) -> subprocess.CompletedProcess[bytes]:
        stem = f"{guest}-{model}"
        pcap = ("--pcap", f"{stem}.pcap") if guest == "dhcp" else ()
        return self.minstret("record", "-q", "--no-input", *_GUESTS[guest], "--timer-model", model,
                             "-o", f"{stem}.mst", "--json", f"{stem}.json", *pcap)  # fmt: skip

    def reader(self, guest: str, model: str) -> TraceReader:
        return TraceReader(str(self.path / f"{guest}-{model}.mst"))

    def json(self, name: str) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads((self.path / name).read_text())
        return facts

    def bytes(self, name: str) -> bytes:
        return (self.path / name).read_bytes()


def recorded_and_replayed(screen: Screen, folder: Folder) -> bool:
    """Part 2. Returns whether the replay was the same run as the recording."""
    screen.heading("2. Recorded, and replayed from the trace alone")
    command = invocation()
    click.echo(f"$ {command} record dhcp --net user,restrict=on\n$ {command} replay dhcp.mst\n")
    with screen.waiting("recording"), Pool() as pool:
        recorded, *_ = pool.map(folder.record, ("dhcp", "dhcp", "keys", "keys"), _COMPARED * 2)
        replayed = folder.minstret("replay", "-q", "dhcp-attributes.mst", "--pcap", "replay.pcap", "--json",
                                   "replay.json", expected=(0, Exit.DIVERGED))  # fmt: skip
    if replayed.returncode == Exit.DIVERGED:
        said = replayed.stderr.decode(errors="replace").strip()
        screen.verdict(False, "", f"THE REPLAY DIVERGED: this is a bug. {said}")
        return False
    was, now = folder.json("dhcp-attributes.json"), folder.json("replay.json")
    frames = [folder.bytes("dhcp-attributes.pcap"), folder.bytes("replay.pcap")]
    rows = [
        ("instructions", *(f"{facts['icount']:,}" for facts in (was, now))),
        ("virtual time, ns", *(f"{facts['virtual_ns']:,}" for facts in (was, now))),
        ("console, bytes", *(f"{len(done.stdout):,}" for done in (recorded, replayed))),
        ("frames, sent and received", *(f"{f['net']['sent']} and {f['net']['received']}" for f in (was, now))),
        ("frames' bytes and times", *(_short_hash(pcap) for pcap in frames)),
        ("registers, RAM, devices", was["digest"][:16], now["digest"][:16]),
    ]
    same = [one == other for _, one, other in rows]
    same[2] = recorded.stdout == replayed.stdout
    same[4] = frames[0] == frames[1]
    same[5] = was["digest"] == now["digest"]
    table = _table("", "recorded", "replayed", "the same", numbers=3)
    for (what, one, other), is_same in zip(rows, same, strict=True):
        table.add_row(what, one, other, screen.mark(is_same))
    screen.show(table)
    screen.verdict(
        all(same), "The replay asked the host nothing, and was the same run.", "THE REPLAY DIFFERS: this is a bug."
    )
    return all(same)


def _short_hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


# ---- 3: what attributes save


def what_attributes_save(screen: Screen, folder: Folder) -> None:
    """Part 3: checkpoints by timer, and sizes of traces, with attributes and without."""
    screen.heading("3. Checkpoints that the attribute EXTERNAL saves")
    screen.say(
        "A checkpoint in a trace says: timers of the guest ran here. A timer on the host side, outside the guest, needs"
        " none. Such timers are the network's in `dhcp`, and the delays between the keys that a script types in `keys`."
        " The last column has the checkpoints of a recording without attributes (--timer-model no-attributes).\n"
    )
    readers = {guest: [folder.reader(guest, model) for model in _COMPARED] for guest in _GUESTS}
    table = _table("guest", "timer", "fired", "checkpoints", "saved", "bytes saved", "no-attributes", numbers=5)
    for guest, (with_them, without) in readers.items():
        checkpoints = {row["name"]: row["checkpoints"] for row in timer_table_facts(without)}
        for row in timer_table_facts(with_them):
            if row["fired"]:
                counts = (row["fired"], row["checkpoints"], row["checkpoints_saved"], row["bytes_saved"],
                          checkpoints.get(row["name"], 0))  # fmt: skip
                table.add_row(guest, str(row["name"]), *(f"{count:,}" for count in counts))
    screen.show(table)
    screen.say("")
    table = _table("trace of", "", "attributes", "no-attributes", numbers=2)
    for guest, (with_them, without) in readers.items():
        facts = [trace_facts(reader) for reader in (with_them, without)]
        table.add_row(guest, "checkpoints", *(f"{one['counts']['checkpoints']:,}" for one in facts))
        table.add_row("", "bytes for them, packed", *(f"{one['sizes']['checkpoints']:,}" for one in facts))
        table.add_row("", "bytes of the file", *(f"{one['sizes']['file']:,}" for one in facts))
    screen.show(table)
    screen.say(
        "\nA file grows in pages of 4096 bytes. `minstret timers` and `minstret info` show these numbers for any trace."
    )


# ---- 4: a trace that was changed


def flaws_found(screen: Screen, folder: Folder) -> bool:
    """Part 4. Returns whether replays noticed one changed byte in a trace."""
    screen.heading("4. One byte of the trace is changed")
    flaws = [("keys", "keyboard0.events", _KEY_CODE_AT, "first key"), ("dhcp", "net0.rx", -1, "first frame")]
    with screen.waiting("replaying"), Pool() as pool:
        said = list(pool.map(lambda flaw: _replay_changed(folder, *flaw[:3]), flaws))
    for (guest, target, at, what), (old, new, done) in zip(flaws, said, strict=True):
        where = "last byte" if at < 0 else f"byte {at}"
        screen.say(f"{guest}: {target}, {what}, {where}: 0x{old:02x} becomes 0x{new:02x}")
        screen.say(done.stderr.decode(errors="replace").strip(), style="yellow")
        if guest != flaws[-1][0]:
            screen.say("")
    screen.say("\nThese two traces are deleted when the demo ends; with your own you can use the commands above.")
    found = all(done.returncode == Exit.DIVERGED for _, _, done in said)
    screen.verdict(
        found,
        "Each replay stopped at the first difference, and said where.",
        "A CHANGED TRACE WAS NOT NOTICED: this is a bug.",
    )
    return found


def _replay_changed(
    folder: Folder, guest: str, target: str, at: int
) -> tuple[int, int, subprocess.CompletedProcess[bytes]]:
    """Change one byte of an event in a copy of a trace and replay that. Returns old byte, new byte, the replay."""
    name = f"{guest}-changed.mst"
    shutil.copyfile(folder.path / f"{guest}-attributes.mst", folder.path / name)
    with closing(sqlite3.connect(folder.path / name)) as db, db:
        query = "SELECT seq, data FROM events WHERE name = ? ORDER BY seq LIMIT 1"
        seq, data = db.execute(query, (target,)).fetchone()
        changed = bytearray(data)
        changed[at] ^= 1
        db.execute("UPDATE events SET data = ? WHERE seq = ?", (bytes(changed), seq))
    done = folder.minstret("replay", "-q", name, expected=tuple(range(256)))
    return data[at], changed[at], done


# ---- 5: a race between harts


def race_found(screen: Screen, folder: Folder) -> bool:
    """Part 5. Returns whether a seed found the bug, and its replay shows it again."""
    screen.heading("5. A race between four harts")
    command = invocation()
    screen.say(
        "The firmware `race` has a planted bug: a sum that two harts change without a lock. In turns of equal length it"
        " never shows. With --chaos SEED the seed decides, sparingly, where one hart has to let another run.\n"
    )
    with screen.waiting("looking for a seed"):
        plain = folder.minstret("run", "-q", "--no-input", "--smp", "4", "race", expected=(0, 1))
        seed, failed = _first_failing_seed(folder)
    click.echo(f"$ {command} run --smp 4 race\n{_last_line(plain)}")
    if failed is None:
        screen.verdict(False, "", f"{_SEEDS} SEEDS DID NOT FIND THE RACE: this is a bug.")
        return False
    click.echo(f"$ {command} record --smp 4 --chaos {seed} -o race-{seed}.mst race\n{_last_line(failed)}")
    replayed = folder.minstret("replay", "-q", f"race-{seed}.mst", expected=tuple(range(256)))
    click.echo(f"$ {command} replay race-{seed}.mst\n{_last_line(replayed)}")
    is_good = plain.returncode == 0 and (replayed.returncode, replayed.stdout) == (failed.returncode, failed.stdout)
    screen.verdict(
        is_good, f"Found with {_count(seed + 1, 'seed')}, and there each time from now on.",
        "THE REPLAY DIFFERS: this is a bug.",
    )  # fmt: skip
    return is_good


def _first_failing_seed(folder: Folder) -> tuple[int, subprocess.CompletedProcess[bytes] | None]:
    """The seed, and the recording that failed; None if all went well."""
    for seed in range(_SEEDS):
        done = folder.minstret("record", "-q", "--no-input", "--smp", "4", "--chaos", str(seed),
                               "-o", f"race-{seed}.mst", "race", expected=(0, 1))  # fmt: skip
        if done.returncode:
            return seed, done
    return _SEEDS, None


def _last_line(done: subprocess.CompletedProcess[bytes]) -> str:
    return done.stdout.decode(errors="replace").rstrip().rpartition("\n")[2]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


# ---- 6: backwards


def culprit_found(screen: Screen, folder: Folder) -> bool:
    """Part 6. Returns whether gdb, going back in a recording, came to what the firmware died of; also without a gdb."""
    screen.heading("6. Back from a crash to its cause")
    if found_gdb() is None:
        screen.say("Left out, as there is no gdb for RISC-V: install gdb-multiarch.")
        return True
    command = invocation()
    screen.say(
        "The firmware `smash` overwrites a return address, and uses it a million instructions later. From the end of"
        " the recording gdb goes back to who did that.\n"
    )
    asked = [word for one in _TO_CULPRIT for word in ("-ex", f"echo (gdb) {one}\\n", "-ex", one)]
    with screen.waiting("going back"):
        folder.minstret("record", "-q", "--no-input", "-o", "smash.mst", "smash", expected=(Exit.GUEST_IDLE,))
        done = folder.minstret("debug", "-q", "smash.mst", "--", "-nx", "-batch", *asked)
    said = _of_gdb(done.stdout.decode(errors="replace"))
    click.echo(f"$ {command} record smash\n$ {command} debug smash.mst\n{said}")
    culprit = _CULPRIT.search(said)
    is_good = culprit is not None and int(culprit[1]) >= int(culprit[2])
    screen.verdict(
        is_good, "There is no room for the name in the title: set_title does not look.",
        "GDB DID NOT FIND WHAT OVERWROTE THE ADDRESS: this is a bug.",
    )  # fmt: skip
    return is_good


def _of_gdb(text: str) -> str:
    """What gdb says to its commands, without blank lines, and no wider than the demo."""
    lines = [line.rstrip() for line in text[text.find("(gdb)") :].splitlines() if not line.startswith("[Inferior ")]
    return "\n".join(textwrap.fill(line, _WIDTH, subsequent_indent="    ") for line in lines if line)


# ---- the command


@click.command()
@click.option("--runs", type=click.IntRange(2, 1000), default=RUNS, show_default=True, help="Runs of each timer model.")
@click.option("--child", type=(click.Choice(TIMER_MODELS), int, str), hidden=True)
def demo(runs: int, child: tuple[str, int, str] | None) -> int:
    """Show that repeated runs are the same run, even under load; record a run and replay it; show what timer attributes
    are for; find a race between harts; go back from a crash to its cause, if there is a gdb.

    Takes about half a minute on two cores. Exit status 0 if everything is as it should be, 125 if not.
    """
    if child is not None:
        run_here(child[0], child[1], Path(child[2]))
        return 0
    start_ns = host.realtime_ns()
    screen = Screen()
    with tempfile.TemporaryDirectory(prefix="minstret-") as path:
        folder = Folder(path)
        good = [same_run_under_load(screen, runs), recorded_and_replayed(screen, folder)]
        what_attributes_save(screen, folder)
        good.append(flaws_found(screen, folder))
        good.append(race_found(screen, folder))
        good.append(culprit_found(screen, folder))
    screen.say(f"\nThis took {(host.realtime_ns() - start_ns) / NS_PER_S:.0f} s.")
    click.echo(LAST_LINE.format(invocation()))
    return 0 if all(good) else Exit.OURS
