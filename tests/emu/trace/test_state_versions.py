"""States and the configuration have versions: when their fields change, so must these.

``data/state_fields.json`` has the fields and the version of each, as they were when last written.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import pytest
from support.commands import minstret
from support.htif_guests import echo_setup
from support.recordings import NetConfig, setup_of_image

from minstret.devices.board.board import BoardConfig
from minstret.devices.board.traced import CONFIG_VERSION, Recording, Replay
from minstret.devices.hostside.side import KEYBOARD, TABLET
from minstret.emu.door.recording import RecordOptions
from minstret.emu.errors import TraceError
from minstret.emu.hart.state import WORDS
from minstret.emu.machine import Machine, StopReason
from minstret.emu.part import HasState
from minstret.emu.trace.snapshot import STATE_VERSIONS, state_versions

FIELDS_FILE = Path(__file__).parent / "data" / "state_fields.json"
WRITES_ANEW = os.environ.get("MINSTRET_NEW_GOLDEN") == "1"
MINSTRET = f"minstret {metadata.version('minstret')}"
COMMAND = "MINSTRET_NEW_GOLDEN=1 python -m pytest tests/emu/trace/test_state_versions.py tests/emu/trace/test_golden.py"


class Versioned(NamedTuple):
    """The fields of a state, ``class.field: type``, with its version, and where that stands."""

    fields: list[str]
    version: int
    where: str


def fields_of(kind: type) -> list[str]:
    """Of a dataclass, and of those in it."""
    found: list[str] = []
    waiting, seen = [kind], {kind}
    while waiting:
        kind = waiting.pop(0)
        hints = get_type_hints(kind)
        for field in dataclasses.fields(kind):
            found.append(f"{kind.__name__}.{field.name}: {field.type}")
            inner = [hints[field.name]]
            while inner:
                hint = inner.pop()
                inner += get_args(hint)
                if dataclasses.is_dataclass(hint) and isinstance(hint, type) and hint not in seen:
                    seen.add(hint)
                    waiting.append(hint)
    return found


def machines() -> list[Machine]:
    """Between them they have every part there is."""
    full = setup_of_image("hello", net=NetConfig(), inputs=(KEYBOARD, TABLET), chaos_seed=1, host_files=True)
    return [full.make().machine, echo_setup().make().machine]


def states() -> dict[str, Versioned]:
    """Every state and the configuration, by name; parts by the name of their state's class."""
    found = {"config": Versioned(fields_of(BoardConfig), CONFIG_VERSION, "CONFIG_VERSION in devices/board/traced.py")}
    where = "STATE_VERSIONS in emu/trace/snapshot.py"
    for machine in machines():
        state = machine.save_state()
        hart = fields_of(type(state.harts[0]))
        found["hart"] = Versioned([*hart, *(f"words: {name}" for name in sorted(WORDS))], STATE_VERSIONS["hart"], where)
        core = [line for line in fields_of(type(state)) if line not in hart]
        found["machine"] = Versioned(core, STATE_VERSIONS["machine"], where)
        for part in (*machine.parts.guest.values(), *machine.parts.host.values()):
            found[type(part.state).__name__] = of_part(part)
    return found


def of_part(part: HasState) -> Versioned:
    kind = type(part)
    file = kind.__module__.removeprefix("minstret.").replace(".", "/") + ".py"
    return Versioned(
        fields_of(type(part.state)), getattr(part, "version", 1), f"the version of {kind.__name__} in {file}"
    )


def written() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(FIELDS_FILE.read_text())
    return found


def test_version_is_raised_where_fields_change() -> None:
    before, now = written(), states()
    for name, state in now.items():
        old = before.get(name)
        if old is None or old["fields"] == state.fields or state.version > old["version"]:
            continue
        gone = [line for line in old["fields"] if line not in state.fields]
        come = [line for line in state.fields if line not in old["fields"]]
        pytest.fail(
            f"{name}: the fields have changed (gone: {gone}, come: {come}), so states of version {old['version']} don't"
            f" fit any more.\nRaise {state.where} to {old['version'] + 1}, then run\n  {COMMAND}"
        )
    if WRITES_ANEW:
        plain = {name: {"version": s.version, "fields": s.fields} for name, s in sorted(now.items())}
        FIELDS_FILE.write_text(json.dumps(plain, indent=1) + "\n")
    kept = {name: (old["version"], old["fields"]) for name, old in written().items()}
    assert kept == {name: (s.version, s.fields) for name, s in now.items()}, f"write the new ones down:\n  {COMMAND}"


def test_fields_added_to_the_configuration_have_defaults() -> None:
    """A trace of an older version has none for them."""
    for field in dataclasses.fields(BoardConfig):
        has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        assert has_default, field.name


# ---- traces of other versions


@pytest.fixture
def trace(path: Path) -> Path:
    """A trace with snapshots."""
    with Recording(str(path), setup_of_image("hello"), options=RecordOptions(200)) as recording:
        recording.run()
    return path


def change_meta(path: Path, key: str, value: Any) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(value), key))


def meta(path: Path, key: str) -> Any:
    with closing(sqlite3.connect(path)) as db:
        return json.loads(db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0])


def with_other_hart(path: Path) -> None:
    versions = meta(path, "state_versions")
    versions["core"]["hart"] += 1
    change_meta(path, "state_versions", versions)
    end = meta(path, "end")
    change_meta(path, "end", end | {"digest": "0" * 64})  # that of another state


def test_trace_says_which_version_each_state_has(trace: Path) -> None:
    machine = setup_of_image("hello").make().machine

    assert meta(trace, "state_versions") == state_versions(machine)
    assert meta(trace, "config_version") == CONFIG_VERSION


@pytest.mark.parametrize("snapshot", [None, 1])
def test_trace_with_other_states_replays_from_power_on(trace: Path, snapshot: int | None) -> None:
    with_other_hart(trace)

    replay = Replay(str(trace), snapshot=snapshot)

    assert replay.is_whole
    assert replay.run().reason is StopReason.FINISHED
    assert replay.left_out == (
        f"{trace}: recorded by {MINSTRET} with another version of the state of hart: replayed from power-on;"
        " its snapshots and its digest are left out"
    )


def test_trace_with_other_states_is_still_compared(trace: Path) -> None:
    with_other_hart(trace)
    with closing(sqlite3.connect(trace, isolation_level=None)) as db:
        db.execute("UPDATE outputs SET data = CAST('jello' AS BLOB) WHERE id = (SELECT max(id) FROM outputs)")

    with pytest.raises(Exception, match=r"^uart0\.tx at icount"):
        Replay(str(trace)).run()


def test_commands_say_that_snapshots_are_left_out(trace: Path) -> None:
    with_other_hart(trace)
    line = f"minstret: {Replay(str(trace)).left_out}\n"

    replayed = minstret("replay", "--from", "300", trace)
    verified = minstret("verify", "--runs", "2", trace)

    assert replayed.stderr.decode().startswith(line)
    assert b"hello" in replayed.stdout
    assert verified.stdout == b"the same run 2 times; its snapshots are left out\n"
    assert verified.stderr.decode() == line


def test_ring_with_other_states_is_refused(path: Path) -> None:
    with Recording(str(path), setup_of_image("hello"), options=RecordOptions(200, ring=1)) as recording:
        recording.run()
    with_other_hart(path)

    with pytest.raises(TraceError) as caught:
        Replay(str(path))

    assert str(caught.value) == (
        f"{path}: recorded by {MINSTRET} with another version of the state of hart, and it begins with a snapshot:"
        " use that minstret to replay it"
    )


@pytest.mark.parametrize("versions", [None, [], {}, {"core": 5}, {"core": {}, "guest": []}])
def test_trace_that_does_not_say_its_states_versions_replays_without_snapshots(trace: Path, versions: Any) -> None:
    change_meta(trace, "state_versions", versions)

    replay = Replay(str(trace), snapshot=1)

    assert replay.is_whole
    assert replay.run().reason is StopReason.FINISHED


def test_configuration_of_an_older_version_gets_the_defaults_of_newer_fields(trace: Path) -> None:
    config = meta(trace, "config")
    del config["arguments"], config["timer_model"]
    change_meta(trace, "config", config)
    change_meta(trace, "config_version", CONFIG_VERSION - 1)

    assert Replay(str(trace)).run().reason is StopReason.FINISHED


def test_nested_configuration_of_an_older_version_gets_defaults_too(path: Path) -> None:
    with Recording(str(path), setup_of_image("dhcp")) as recording:
        recording.run()
    config = meta(path, "config")
    del config["net"]["user"]["restrict"]
    change_meta(path, "config", config)
    change_meta(path, "config_version", CONFIG_VERSION - 1)

    assert Replay(str(path)).run().reason is StopReason.FINISHED


@pytest.mark.parametrize(("version", "added", "what"), [
    (CONFIG_VERSION + 1, {}, ""), (CONFIG_VERSION + 1, {"warp_drive": 1}, ": it has warp_drive, which is unknown here"),
    (CONFIG_VERSION - 1, {"steam": 1}, ": it has steam, which is unknown here"),
])  # fmt: skip
def test_configuration_that_is_unknown_here_is_refused_by_its_version(
    trace: Path, version: int, added: dict[str, int], what: str
) -> None:
    change_meta(trace, "config", meta(trace, "config") | added)
    change_meta(trace, "config_version", version)

    with pytest.raises(TraceError) as caught:
        Replay(str(trace))

    assert str(caught.value) == (
        f"{trace}: recorded by {MINSTRET} with configuration version {version}; this one knows version"
        f" {CONFIG_VERSION}{what}: use the one that recorded it"
    )


def test_configuration_of_our_version_that_lacks_a_field_is_damaged(trace: Path) -> None:
    config = meta(trace, "config")
    del config["seed"]
    change_meta(trace, "config", config)

    with pytest.raises(TraceError, match=r": a damaged trace: what it says of the board makes none "):
        Replay(str(trace))


def test_trace_of_the_format_of_the_first_release_is_refused_by_name(trace: Path) -> None:
    with closing(sqlite3.connect(trace, isolation_level=None)) as db:
        db.execute("PRAGMA user_version=2")
        db.execute("DROP TABLE blobs")
        db.execute("CREATE TABLE blobs (sha256 BLOB PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID")

    for command in ("replay", "info", "log", "timers", "verify"):
        assert minstret(command, trace).stderr.decode() == (
            f"minstret: {trace}: a trace of format 2; this minstret reads format 4: use the one that recorded it\n"
        )
