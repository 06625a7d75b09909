"""The pytest plugin, as a user has it: a suite of tests with boards, what is reported, and which traces are kept."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from support.commands import PATIENCE_S
from support.gdb import need_gdb
from support.host_load import busy_machine
from support.needs import Need

from minstret import Replay
from minstret.dutoptions import board_option_values
from minstret.emu.cli.options import board_config
from minstret.emu.trace.reader import TraceReader
from minstret.firmware import image_path

pytest_plugins = "pytester"

PRODUCT = Path(__file__).parents[2] / "support" / "product"
FAILED = "test_thermostat.test_line_of_full_length_changes_no_setting.mst"
QUICK = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:pytest_embedded")
"""Without what is of no use here, takes long or leaves processes behind."""

Suite = Callable[..., pytest.RunResult]


def run_suite(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", *QUICK, *arguments], cwd=folder, capture_output=True,
        text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def run_line(output: str, begin: str, folder: Path, more: str = "") -> subprocess.CompletedProcess[str]:
    """Type what a report says behind ``begin``."""
    (line,) = dict.fromkeys(re.findall(rf"{begin} *(.*)", output))
    return subprocess.run(
        ["sh", "-c", f"{line} {more}"], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )  # fmt: skip


def digest(trace: Path) -> str:
    """That of the end of a recording."""
    with closing(TraceReader(str(trace))) as reader:
        assert reader.end is not None
        return str(reader.end["digest"])


def traces(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("minstret-traces/*.mst"))


# ---- the product


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The thermostat's suite was run in this folder, and pytest said this."""
    folder = tmp_path_factory.mktemp("product")
    shutil.copytree(PRODUCT, folder, dirs_exist_ok=True)
    done = run_suite(folder, "--junitxml", "report.xml")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    return folder, done.stdout


def test_report_of_the_product_is_as_it_should_be(product: tuple[Path, str]) -> None:
    _, output = product
    report = re.search(r"=+ FAILURES =+\n(.*?)-+ generated xml file", output, re.DOTALL)
    assert report is not None

    if os.environ.get("MINSTRET_NEW_GOLDEN"):
        (PRODUCT / "report.txt").write_text(report[1])
    assert report[1] == (PRODUCT / "report.txt").read_text()
    assert re.search(r"=+ 1 failed, 14 passed in ", output)


def test_only_the_trace_of_the_failed_test_is_kept_and_it_replays_by_the_line_of_the_report(
    product: tuple[Path, str],
) -> None:
    folder, output = product

    assert traces(folder) == [FAILED]
    replayed = run_line(output, "to replay it:", folder)
    assert replayed.returncode == 0
    assert f"digest {digest(folder / 'minstret-traces' / FAILED)[:16]}" in replayed.stderr
    assert "> get mode\nmode = 0\n> \n" in replayed.stdout + "\n"
    assert "minstret: the recording ends here: the guest could have gone on" in replayed.stderr


def test_line_to_debug_it_leads_to_the_bug(product: tuple[Path, str], need: Need) -> None:
    need_gdb(need)
    folder, output = product

    done = run_line(output, "to debug it:", folder, '-- -nx -batch -ex "watch cfg.mode" -ex reverse-continue')

    assert "s: the guest could have gone on" in done.stderr
    assert re.search(r"in end_line .*firmware/thermostat/console.c:\d+\n", done.stdout), done.stdout + done.stderr


def test_junit_report_names_the_trace_of_the_failed_test_only(product: tuple[Path, str]) -> None:
    folder, _ = product
    cases = ElementTree.parse(folder / "report.xml").iter("testcase")
    named = {
        str(case.get("name")): (each.get("value"), case.findtext("failure"))
        for case in cases for each in case.iter("property") if each.get("name") == "minstret_trace"
    }  # fmt: skip

    ((name, (trace, text)),) = named.items()
    assert name == "test_line_of_full_length_changes_no_setting"
    assert trace == str(folder / "minstret-traces" / FAILED)
    assert text is not None
    assert "to replay it: minstret replay" in text


# ---- the same test again and again

SCENARIO = """
def scenario(dut):
    dut.expect_exact("> ")
    dut.send("set target 250\\r")
    dut.expect_exact("> ")
    dut.run_for("800ms")
    dut.send("log\\r")
    assert dut.expect(r"(?:(\\d+) ms: (on|off) at \\d+\\n)+> ")[1] == "790"
    dut.send("halt\\r")
    assert dut.run_for("1ms").exit_code == 0
"""


@pytest.mark.slow
def test_digests_of_twenty_runs_under_load_in_two_processes_and_from_a_trace_are_equal(tmp_path: Path) -> None:
    test = """
        import pytest

        @pytest.mark.parametrize("number", range(20))
        def test_scenario(minstret, number):
            scenario(minstret("thermostat", memory="4M"))
    """
    (tmp_path / "test_scenario.py").write_text(textwrap.dedent(test) + SCENARIO)

    with busy_machine():
        done = run_suite(tmp_path, "-n", "2", "--minstret-keep", "all")

    assert "20 passed" in done.stdout, done.stdout
    kept = sorted(tmp_path.glob("minstret-traces/*.mst"))
    assert len(kept) == 20
    names: dict[str, Callable[[Replay], None]] = {}
    exec(SCENARIO, names)
    with Replay(kept[-1]) as replay:
        names["scenario"](replay)
        assert {*map(digest, kept)} == {replay.board.digest()}


# ---- one thing at a time


@pytest.fixture
def suite(pytester: pytest.Pytester) -> Suite:
    """Run pytest in this process on a file with these tests."""

    def run(text: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(test_it=text)
        return pytester.runpytest_inprocess(*QUICK, "-p", "no:xdist", *arguments)

    return run


ENDLESS = """
    import pytest

    @pytest.mark.minstret({limit})
    def test_endless(minstret):
        dut = minstret("thermostat", memory="4M")
        dut.{waits}
"""


@pytest.mark.parametrize("waits", ["run()", 'run_for("90s")', 'expect("never", within=None)'])
@pytest.mark.parametrize(
    ("limit", "shown", "reached"),
    [
        ('max_time="20ms"', "max_time=20ms", "s virtual"),
        ('max_insns="3K"', "max_time=60s or max_insns=3K", "3,000 instructions"),
    ],
)
def test_guest_that_goes_on_forever_fails_at_its_tests_limit(
    suite: Suite, limit: str, shown: str, reached: str, waits: str
) -> None:
    outputs = [suite(ENDLESS.format(limit=limit, waits=waits)).stdout.str() for _ in range(2)]

    (line,) = {line for output in outputs for line in output.splitlines() if line.startswith("E  ")}
    assert f"ExpectationError: the run has come to {shown}, the limit of this test: the guest" in line
    assert reached in line


def test_limits_of_a_test_go_before_those_of_its_class_and_of_the_ini_file(
    suite: Suite, pytester: pytest.Pytester
) -> None:
    pytester.makeini("[pytest]\nminstret_max_time = 1ms\nminstret_max_insns = 1K\n")

    result = suite("""
        import pytest

        @pytest.mark.minstret(max_time="2ms", max_insns="2K")
        class TestLimits:
            @pytest.mark.minstret(max_time=None)
            def test_limits(self, minstret):
                limits = minstret("hello").limits
                assert (limits.icount, limits.virtual_ns) == (2000, None)
    """)

    result.assert_outcomes(passed=1)


def test_default_of_instructions_holds_for_a_test_that_is_given_no_limit(suite: Suite) -> None:
    result = suite("""
        import pytest

        def test_default(minstret):
            limits = minstret("hello").limits
            assert (limits.icount, limits.virtual_ns) == (2_000_000_000, 60_000_000_000)

        @pytest.mark.minstret(max_time="30s")
        def test_time_is_chosen(minstret):
            limits = minstret("hello").limits
            assert (limits.icount, limits.virtual_ns) == (None, 30_000_000_000)
    """)

    result.assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ('minstret("hello", until="x")', "ConfigError: minstret(): until is no part of a board; use dut.expect("),
        (
            'minstret("hello", max_time="1s")',
            "ConfigError: minstret(): max_time is no part of a board; use @pytest.mark",
        ),
        ('minstret("hello-rv32", xlen=64)', "ConfigError: minstret(xlen=...): "),
        ('minstret("hello", memory="lots")', "ConfigError: minstret(memory=...): --memory: expected a size such as"),
        ('minstret("hello", nett="user")', "ConfigError: minstret(): there is no option 'nett'; did you mean net?"),
        ('minstret("helo")', "ConfigError: helo: no such file, and no bundled image of that name; did you mean hello"),
        ('minstret("hello", net="usr")', "ConfigError: minstret(net=...): --net: expected none or user[,OPTION="),
        ('minstret("hello", cpu="rv65")', "ConfigError: minstret(cpu=...): --cpu: expected rv64, rv32, rv64gc, rv32gc"),
        (
            'minstret("hello", cpu="rv64,zba=off", xlen=32)',
            "ConfigError: minstret(): cpu and xlen are the same option; give one of them",
        ),
        ("minstret()", "ConfigError: minstret(): nothing to boot; give the firmware first"),
        ('minstret("hello").read("nothing")', "ConfigError: nothing: no such variable"),
        ('minstret("hello").run_for("1 h")', "ConfigError: run_for: expected a time such as 50us or 1.5s, got '1 h'"),
    ],
)
def test_wrong_option_is_one_line_at_the_line_of_the_test(suite: Suite, body: str, line: str) -> None:
    result = suite(f"def test_it(minstret):\n    {body}\n")

    errors = [text for text in result.outlines if text.startswith("E  ")]
    assert len(errors) == 1
    assert line in errors[0]
    assert f">       {body}"[:40] in result.stdout.str()
    assert "test_it.py:2: ConfigError" in result.stdout.str()


@pytest.mark.parametrize(
    ("mark", "line"),
    [
        ('max_tme="1s"', "minstret: @pytest.mark.minstret: there is no limit 'max_tme'; did you mean max_time?"),
        ('"1s"', "minstret: @pytest.mark.minstret: expected max_time=\"2s\" or such, got '1s'"),
        ('max_time="1 h"', "minstret: max_time: expected a time such as 50us or 1.5s, got '1 h'"),
    ],
)
def test_wrong_marker_is_one_line(suite: Suite, mark: str, line: str) -> None:
    result = suite(f"import pytest\n@pytest.mark.minstret({mark})\ndef test_it(minstret):\n    pass\n")

    result.assert_outcomes(errors=1)
    said = [text for text in result.outlines if line.removeprefix("minstret: ") in text]
    assert [text for text in said if not text.startswith("ERROR ")] == [line]  # the summary is not cut where CI is set
    assert not [text for text in result.outlines if text.startswith(("E  ", ">"))]


BOARDS = """
    import pytest

    @pytest.fixture
    def dut(minstret):
        dut = minstret("hello", memory="4M")
        dut.run()
        yield dut

    @pytest.fixture
    def fails_first(dut):
        assert dut is None

    @pytest.fixture
    def outer(request):
        yield
        assert request.node.name != "test_teardown_of_an_outer_fixture_fails"

    def test_passes(dut):
        pass

    def test_setup_fails(dut, fails_first):
        pass

    def test_teardown_of_an_outer_fixture_fails(outer, dut):
        pass

    @pytest.mark.xfail
    def test_is_known_to_fail(dut):
        assert False

    @pytest.mark.parametrize("name", ["a b/c", "a_b_c"])
    def test_two(minstret, name):
        first, second = minstret("hello", memory="4M"), minstret("hello", xlen=32, memory="4M")
        minstret("echo")
        first.run()
        second.run()
        assert False

    def test_called_with(dut):
        with dut:
            assert False
"""


def test_traces_are_kept_of_tests_that_fail_anywhere(suite: Suite, pytester: pytest.Pytester) -> None:
    result = suite(BOARDS)

    result.assert_outcomes(passed=2, failed=3, errors=2, xfailed=1)
    two = "test_it.test_two-a_b_c"
    (odd,) = {name[len(two) :][:9] for name in traces(pytester.path) if name.startswith(f"{two}-") and len(name) > 36}
    assert traces(pytester.path) == sorted([
        "test_it.test_called_with.mst", "test_it.test_setup_fails.mst",
        "test_it.test_teardown_of_an_outer_fixture_fails.mst", f"{two}.mst", f"{two}-2.mst", f"{two}{odd}.mst",
        f"{two}{odd}-2.mst",
    ])  # fmt: skip
    for name in traces(pytester.path):
        with Replay(pytester.path / "minstret-traces" / name) as replay:
            assert replay.run().exit_code == 0
    text = result.stdout.str()
    assert text.count("\nhello: ") == 7
    assert text.count("guest finished with 0\n") == 7
    assert text.count("to replay it: ") == 7
    assert text.count("echo: it has not run\n") == 2


WAITS = """
    def scenario(dut):
        outcome = dut.run_until(uart="nothing like it")
        first = outcome.reason, dut.read("bytes_echoed"), dut.position
        dut.send("12")
        return first, dut.expect(r"[0-9]+")[0], dut.read("bytes_echoed"), dut.position
"""


def test_same_test_goes_through_its_trace_where_the_guest_waited_forever(
    suite: Suite, pytester: pytest.Pytester
) -> None:  # fmt: skip
    told = "def test_it(minstret):\n    print(scenario(minstret('echo')))\n    assert False\n"
    result = suite(textwrap.dedent(WAITS) + told)

    names: dict[str, Any] = {}
    exec(textwrap.dedent(WAITS), names)
    (name,) = traces(pytester.path)
    seen = names["scenario"](Replay(pytester.path / "minstret-traces" / name))
    assert str(seen) in result.stdout.str()
    assert "waits-forever" in str(seen)


@pytest.mark.parametrize(
    ("options", "kept"),
    [(("--minstret-keep=all",), 9), (("--minstret-keep=none",), None), (("-k", "passes"), None)],
    ids=["all", "none", "none has failed"],
)
def test_as_many_traces_are_kept_as_asked_for(
    suite: Suite, pytester: pytest.Pytester, options: tuple[str, ...], kept: int | None
) -> None:
    suite(BOARDS, *options)

    assert len(traces(pytester.path)) == (kept or 0)
    assert (pytester.path / "minstret-traces").exists() == (kept is not None)


def test_trace_of_a_test_that_is_interrupted_is_kept(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        textwrap.dedent("""
        import pytest

        @pytest.fixture
        def dut(minstret):
            dut = minstret("thermostat", memory="4M")
            yield dut
            dut.run_until(icount=2000)

        def test_it(dut):
            dut.run_until(icount=1000)
            raise KeyboardInterrupt
    """)
    )

    done = run_suite(tmp_path)

    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert "\ntest_it.py::test_it was interrupted\n" in done.stdout
    assert "icount 2,000" in run_line(done.stdout, "to debug it:", tmp_path, "-- -nx -batch").stderr


def test_folder_that_cant_be_made_is_one_line_at_the_start(suite: Suite, pytester: pytest.Pytester) -> None:
    (pytester.path / "file").write_text("")

    result = suite("", "--minstret-dir", "file/x")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert re.fullmatch(r"ERROR: --minstret-dir: (\S*/file)/x: \1 is not a folder\n+", result.stderr.str())


def test_default_folder_that_cant_be_made_is_one_line(suite: Suite, pytester: pytest.Pytester) -> None:
    (pytester.path / "minstret-traces").write_text("")

    result = suite('def test_it(minstret):\n    minstret("hello")\n')

    (line,) = (text for text in result.outlines if text.startswith("E  "))
    assert re.search(r"TraceError: --minstret-dir: \S*/minstret-traces: can't make that folder: File exists$", line)


def test_crash_that_a_handler_ends_is_in_the_report_with_its_place(suite: Suite) -> None:
    result = suite("""
        def test_it(minstret):
            dut = minstret("thermostat", memory="4M")
            dut.send("crash\\r")
            assert dut.run().exit_code == 0
    """)

    result.stdout.re_match_lines([
        r"thermostat: .*; guest finished with 107",
        r"its last exception: store/AMO access fault \(7\) at pc 0x\w+ <crash\+",
        r"  called from 0x\w+ <main\+",
        r"to replay it: ",
    ])  # fmt: skip


def test_test_that_fails_without_a_board_has_no_section(suite: Suite) -> None:
    result = suite("def test_it(minstret):\n    assert False\n")

    result.assert_outcomes(failed=1)
    result.stdout.no_re_match_line("-+ minstret -+")


def test_script_and_keys_are_played_as_the_command_plays_them(suite: Suite, pytester: pytest.Pytester) -> None:
    (pytester.path / "talk.txt").write_text('EXPECT "> "\nSEND "halt\\r"\n')

    result = suite("""
        def test_it(minstret):
            assert minstret("thermostat", memory="4M", input_script="talk.txt").run().exit_code == 0
            minstret("keys", input="keyboard", memory="16M", keys="a").expect("KEY 30 press")
    """)

    result.assert_outcomes(passed=1)


def test_trace_whose_end_cant_be_written_is_one_line(tmp_path: Path) -> None:
    """As on a full disk: no file may be written behind half of what the trace has by then."""
    (tmp_path / "test_it.py").write_text(
        textwrap.dedent("""
        import os, resource

        def test_it(minstret):
            dut = minstret("thermostat", memory="4M")
            dut.expect("> ")
            resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(dut.file) // 2, resource.RLIM_INFINITY))
    """)
    )

    done = run_suite(tmp_path, "--minstret-keep=all", "-p", "no:terminalprogress")

    assert "1 passed, 1 warning" in done.stdout, done.stdout + done.stderr
    (line,) = (line for line in done.stdout.splitlines() if "PytestWarning: " in line)
    assert re.search(r"minstret: \S+/test_it.test_it.mst: can't write it: .*; the recording is good up to icount", line)


def test_files_are_found_in_the_root_folder_and_beside_the_test(suite: Suite, pytester: pytest.Pytester) -> None:
    below = pytester.mkdir("below")
    shutil.copy(image_path("hello", 32), below / "app.elf")
    shutil.copy(image_path("hello", 64), pytester.mkdir("build") / "app.elf")
    (below / "files").mkdir()
    (below / "test_below.py").write_text(
        textwrap.dedent("""
        def test_it(minstret):
            assert minstret("app.elf", net="user,tftp=files", semihosting="files").board.config.xlen == 32
            assert minstret("build/app.elf").board.config.xlen == 64
    """)
    )

    suite("").assert_outcomes(passed=1)


def test_run_without_the_fixture_imports_nothing_and_says_nothing(suite: Suite) -> None:
    code = "import sys, pytest; before = {*sys.modules}; import minstret.pytest_plugin; print({*sys.modules} - before)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True)

    assert sorted(eval(loaded)) == ["minstret", "minstret.pytest_plugin"]
    result = suite("def test_it():\n    pass\n")
    result.assert_outcomes(passed=1)
    assert not [line for line in result.outlines if "minstret" in line and not line.startswith("plugins: ")]


def test_keywords_mean_what_the_options_of_the_command_mean() -> None:
    options = board_option_values(
        "hello",
        {
            "net": "user,restrict=on", "smp": 2, "memory": 64, "inputs": ("keyboard", "tablet"), "chaos": 7, "xlen": 32,
            "icount": "shift=3", "append": "-x --y", "load": ["a.bin@0x80400000", Path("b.elf")], "timer_model": None,
        },
        lambda path: f"found/{path}",
    )  # fmt: skip

    config = board_config(options)
    assert config.net is not None
    assert config.net.user.restrict
    assert (config.smp, config.ram_size, config.inputs) == (2, 64 << 20, ("keyboard", "tablet"))
    assert (config.chaos_seed, config.xlen, config.icount_shift) == (7, 32, 3)
    assert options["firmware"] == "found/hello"
    assert options["append"] == "-x --y"
    assert options["loads"] == ("found/a.bin@0x80400000", "found/b.elf")


def test_plugin_can_be_left_out(suite: Suite) -> None:
    result = suite("def test_it(minstret):\n    pass\n", "-p", "no:minstret")

    result.assert_outcomes(errors=1)
    assert "fixture 'minstret' not found" in result.stdout.str()


# ---- chaos


def test_repeats_tell_the_first_seed_that_fails_and_how_to_have_it_again(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        textwrap.dedent("""
        import pytest

        @pytest.mark.parametrize("harts", [4])
        def test_race(minstret, harts):
            assert minstret("race", smp=harts, memory="4M").run().exit_code == 0

        def test_other():
            pass
    """)
    )

    done = run_suite(tmp_path, "-n", "2", "--minstret-repeat", "6", "--junitxml", "report.xml")

    failed = sorted(int(seed) for seed in re.findall(r"FAILED test_it.py::test_race\[4-chaos(\d+)\]", done.stdout))
    assert 0 < len(failed) < 6, done.stdout
    assert f"{len(failed)} failed, {7 - len(failed)} passed" in done.stdout
    (line,) = (line for line in done.stdout.splitlines() if "chaos seeds" in line)
    again = f"pytest 'test_it.py::test_race[4]' --minstret-seed {failed[0]}"
    assert line == (
        f"test_it.py::test_race[4]: failed under {len(failed)} of 6 chaos seeds, first under {failed[0]};"
        f" to repeat it: {again}"
    )
    assert traces(tmp_path) == [f"test_it.test_race-4-chaos{seed}.mst" for seed in failed]
    values = [each.get("value") for each in ElementTree.parse(tmp_path / "report.xml").iter("property")]
    assert {str(seed) for seed in range(1, 7)} <= {*values}
    again_done = run_line(done.stdout, rf"first under {failed[0]}; to repeat it:", tmp_path)
    assert "1 failed" in again_done.stdout
    assert digest(tmp_path / f"minstret-traces/test_it.test_race-4-chaos{failed[0]}.mst") == digest(
        tmp_path / "minstret-traces/test_it.test_race-4.mst"
    )


@pytest.mark.parametrize("count", ["0", "many"])
def test_number_of_repeats_that_is_none_is_one_line(suite: Suite, count: str) -> None:
    result = suite("", "--minstret-repeat", count)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"expected a number of chaos seeds, 1 or more, got '{count}'" in result.stderr.str()


def test_seed_of_the_ini_file_is_that_of_boards_that_choose_none(suite: Suite, pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nminstret_seed = 7\n")

    result = suite("""
        def test_it(minstret):
            assert minstret("hello").board.config.chaos_seed == 7
            assert minstret("hello", chaos=8).board.config.chaos_seed == 8
    """)

    result.assert_outcomes(passed=1)


# ---- pages


def test_page_is_beside_the_trace_and_the_report_names_it(suite: Suite, pytester: pytest.Pytester) -> None:
    result = suite(BOARDS, "--minstret-report", "-k", "test_two or test_passes")

    pages = sorted(path.name for path in pytester.path.glob("minstret-traces/*.html"))
    assert pages == [f"{Path(name).stem}.html" for name in traces(pytester.path)]
    assert len(pages) == 4
    page = "minstret-traces/test_it.test_two-a_b_c.html"
    result.stdout.fnmatch_lines([f"its page:     {page}"])
    text = (pytester.path / page).read_text()
    assert "guest finished with 0" in text
    assert "test_it.test_two-a_b_c.mst" in text


def test_page_that_cant_be_made_is_one_warning(suite: Suite, pytester: pytest.Pytester) -> None:
    folder = pytester.mkdir("minstret-traces")
    (folder / "test_it.test_passes.html").mkdir()

    result = suite(BOARDS, "--minstret-report", "--minstret-keep=all", "-k", "test_passes")

    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*minstret: no page of minstret-traces/test_it.test_passes.mst: IsADirectoryError*"])
    assert traces(pytester.path) == ["test_it.test_passes.mst"]


def test_without_the_option_there_is_no_page(suite: Suite, pytester: pytest.Pytester) -> None:
    result = suite(BOARDS, "-k", "test_two")

    assert [*pytester.path.glob("minstret-traces/*.html")] == []
    assert "its page:" not in result.stdout.str()
