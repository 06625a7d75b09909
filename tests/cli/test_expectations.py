"""``--until``, ``--fail-on``, ``--max-time``, EXPECT in a script: statuses, lines, and the same words in a replay."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from support.commands import Command

ECHO = ("echo", "--no-input")
SAID = 'the guest said last "echo: type, end with a full stop"'
MAIN = "pc 0x800004b0 <main+0xa8> (echo/main.c:145)"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script that a test writes."""
    return tmp_path / "s.txt"


def first_line(stderr: bytes) -> str:
    return next(line for line in stderr.decode().splitlines() if line).removeprefix("minstret: ")


def test_script_talks_to_the_guest(inside: Command, script: Path) -> None:
    script.write_text('EXPECT /full stop\\s/ within 1ms\nSEND "hi"\nEXPECT "HI"\nSLEEP 5ms\nSEND "."\n')

    done = inside("run", *ECHO, "--input-script", script)

    assert (done.returncode, first_line(done.stderr)) == (0, "guest finished with 0")
    assert b"\nHI\n2 bytes" in done.stdout


@pytest.mark.parametrize(
    ("options", "status", "reason", "line"),
    [
        (("--until", "H"), 0, "until", 'stopped by --until "H"'),
        (("--until", "zz", "--until", "/[EH]/"), 0, "until", "stopped by --until /[EH]/"),
        (("--fail-on", "/E$/", "--until", "E"), 126, "fail-on",
         'stopped by --fail-on /E$/: the guest said last "HE"; pc 0x8000077e <on_trap+0x1ca> (echo/main.c:86)'),
        (("--until", "never"), 126, "expectation-missed",
         '--until "never": not said: the guest waits forever; the guest said last "HE"; ' + MAIN),
        (("--max-insns", "600"), 123, "max-insns", "stopped by --max-insns"),
        (("--max-insns", "600", "--until", "never"), 126, "expectation-missed",
         f'--until "never": not said: --max-insns is reached; {SAID}; pc '),
        (("--max-time", "5us"), 123, "max-time", "stopped by --max-time"),
        (("--max-time", "5us", "--until", "never"), 126, "expectation-missed",
         f'--until "never": not said: --max-time is reached; {SAID}; {MAIN}'),
        (("--idle-ok", "--fail-on", "zz"), 0, "waits-forever", "guest waits forever at "),
    ],
)  # fmt: skip
def test_end_is_told_recorded_and_replayed(
    inside: Command, script: Path, options: tuple[str, ...], status: int, reason: str, line: str
) -> None:
    script.write_text('SEND "he"\n')
    trace, said, again = (script.with_name(name) for name in ("run.mst", "said.json", "again.json"))

    done = inside("record", *ECHO, "-o", trace, "--input-script", script, "--json", said, *options)
    replayed = inside("replay", trace, "--json", again, *(["--idle-ok"] if "--idle-ok" in options else []))

    assert (done.returncode, replayed.returncode) == (status, status)
    assert first_line(done.stderr).startswith(line)
    assert first_line(replayed.stderr) == first_line(done.stderr)
    facts, facts_again = (json.loads(path.read_text()) for path in (said, again))
    assert facts["stop_reason"] == reason
    same = ("stop_reason", "message", "exit_code", "icount", "virtual_ns", "digest")
    assert [facts[key] for key in same] == [facts_again[key] for key in same]
    assert facts.get("expectation") == facts_again.get("expectation")
    assert ("expectation" in facts) == (reason in ("until", "fail-on", "expectation-missed"))


@pytest.mark.parametrize(
    ("options", "status", "line"),
    [
        (("--until", "full"), 0, 'stopped by --until "full"'),
        (("--until", "never"), 126, '--until "never": not said: the guest waits forever; '),
        (("--max-insns", "300", "--until", "never"), 126, '--until "never": not said: --max-insns is reached; '),
        (("--max-time", "500ns"), 123, "stopped by --max-time"),
    ],
)
def test_end_is_the_same_where_gdb_may_come(
    inside: Command, options: tuple[str, ...], status: int, line: str
) -> None:  # fmt: skip
    done = inside("run", *ECHO, "--gdb", "127.0.0.1:0", *options)

    assert done.returncode == status
    assert f"minstret: {line}" in done.stderr.decode()


def test_missed_line_is_named_with_its_file(inside: Command, script: Path) -> None:
    script.write_text('# a guest with a prompt\nEXPECT "login:" within 2s  # not this one\n')

    done = inside("run", *ECHO, "--input-script", script)

    expected = (
        f'{script}:2: EXPECT "login:" within 2s  # not this one: not said: the guest waits forever; {SAID}; {MAIN}'
    )
    assert (done.returncode, first_line(done.stderr)) == (126, expected)
    assert done.stderr.count(b"\n") == 2 + done.stderr.startswith(b"\n")


def test_guest_that_fails_by_itself_keeps_its_status(inside: Command) -> None:
    done = inside("run", "crash", "--no-input", "--until", "never")

    assert done.returncode == 121


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--until", ""), "--until: expected a text or a regular expression to wait for, got nothing"),
        (("--fail-on", "/(/"), "--fail-on: /(/: not a regular expression: "),
        (("--max-time", "5"), "--max-time: expected a time such as 50us or 1.5s, got '5'"),
    ],
)
def test_options_that_say_nothing_are_refused(inside: Command, arguments: tuple[str, ...], text: str) -> None:
    done = inside("run", *ECHO, *arguments)

    assert done.returncode == 125
    assert done.stderr.decode().startswith(f"minstret: {text}")
    assert done.stderr.count(b"\n") == 1


def test_script_that_presses_keys_needs_a_keyboard(inside: Command, script: Path) -> None:
    script.write_text('EXPECT "a"\npress a\n')

    done = inside("run", *ECHO, "--input-script", script)

    text = f"minstret: {script}:2: press a: there is no input device; add --input keyboard,tablet\n"
    assert (done.returncode, done.stderr.decode()) == (125, text)


def test_trace_tells_its_end(inside: Command, script: Path) -> None:
    trace = script.with_name("run.mst")
    assert inside("record", *ECHO, "-o", trace, "--until", "full").returncode == 0

    assert b'  end        until, "full", digest ' in inside("info", trace).stdout
    assert inside("log", trace).stdout.decode().endswith("<- machine.stop     'until \"full\"'\n")


def test_runs_with_a_script_are_verified(inside: Command, script: Path) -> None:
    script.write_text('EXPECT "stop"\nSEND "hi"\nEXPECT "no" within 1ms\n')

    done = inside("verify", "echo", "--runs", "2", "--input-script", script)

    assert (done.returncode, done.stdout.startswith(b"the same run 2 times: expectation-missed, ")) == (0, True)


def test_page_s_script_does_what_it_shows(inside: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "scripts.md").read_text()
    talk = textwrap.dedent(page.partition("what is typed:\n\n")[2].partition("\n\n")[0])
    shown = next(line.strip() for line in page.splitlines() if line.startswith("    minstret: talk.txt:3:"))
    monkeypatch.chdir(tmp_path)
    Path("talk.txt").write_text(talk)

    done = inside("run", *ECHO, "--input-script", "talk.txt")
    assert (done.returncode, first_line(done.stderr)) == (0, "guest finished with 0")
    assert b"\nHELLOBYE\n" in done.stdout

    Path("talk.txt").write_text(talk.replace('"HELLO"', '"HELO"'))
    done = inside("run", *ECHO, "--input-script", "talk.txt")
    assert (done.returncode, f"minstret: {first_line(done.stderr)}") == (126, shown)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--until", "never"), b'minstret: --until "never": not said: the guest waits forever; '),
        (("--fail-on", "E$"), b""),
        (("--fail-on", "end"), b'\nminstret: stopped by --fail-on "end": the guest said last "echo: type, end"; '),
    ],
)
def test_missed_expectation_is_the_one_line_of_a_quiet_run_and_of_its_replay(
    inside: Command, script: Path, options: tuple[str, ...], said: bytes
) -> None:
    trace = script.with_name("run.mst")

    done = inside("record", "-q", *ECHO, "-o", trace, *options)
    replayed = inside("replay", "-q", trace)

    assert done.stderr.startswith(said)
    assert done.stderr.count(b"\n") == said.count(b"\n") + bool(said)
    assert replayed.stderr == done.stderr
