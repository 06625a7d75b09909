"""Revisions that tools/bench compares with: which commit a name means, and one that is built and measured."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from support.needs import Need

from benchmarks.__main__ import main
from benchmarks.processes import Took
from benchmarks.report import Measured, Report, Side
from benchmarks.revisions import ROOT, Revision, find
from benchmarks.workloads import START, Workload, image

LOOP = Workload("loop", "A loop", image("hello"), "reads", 100, 10)


def git(folder: Path, *arguments: str) -> str:
    name = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(folder), *name, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, need: Need) -> tuple[Path, list[str]]:
    """A repository whose versions are 0.1.0, 0.1.0, 0.2.0.dev0, 0.2.0, 0.3.0.dev0, and its commits."""
    need("git", shutil.which("git"))
    git(tmp_path, "init", "-q", "-b", "main")
    commits = []
    for number, version in enumerate(("0.1.0", "0.1.0", "0.2.0.dev0", "0.2.0", "0.3.0.dev0")):
        (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "x"\nversion = "{version}"\n# {number}\n')
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-q", "-m", str(number))
        commits.append(git(tmp_path, "rev-parse", "HEAD"))
    return tmp_path, commits


def test_version_is_the_last_commit_that_had_it(checkout: tuple[Path, list[str]]) -> None:
    root, commits = checkout

    assert find("0.1.0", root).commit == commits[1]
    assert find("v0.2.0", root).commit == commits[3]


def test_tag_of_a_version_is_that_version(checkout: tuple[Path, list[str]]) -> None:
    root, commits = checkout
    git(root, "tag", "v0.1.0", commits[0])

    assert find("0.1.0", root).commit == commits[0]


def test_release_is_the_newest_tag_or_the_last_commit_of_a_version(checkout: tuple[Path, list[str]]) -> None:
    root, commits = checkout
    assert find("release", root) == Revision("0.2.0", commits[3])
    git(root, "tag", "v0.1.0", commits[1])

    assert find("release", root) == Revision("v0.1.0", commits[1])


def test_release_of_a_history_without_one_is_an_error(checkout: tuple[Path, list[str]]) -> None:
    root, commits = checkout
    git(root, "checkout", "-q", commits[0])

    with pytest.raises(click.ClickException, match="no release comes before what is in "):
        find("release", root)


def test_what_git_knows_is_found_in_a_dirty_tree(checkout: tuple[Path, list[str]]) -> None:
    root, commits = checkout
    (root / "pyproject.toml").write_text("not committed")

    assert find("HEAD~", root).commit == commits[3]
    assert find("main", root).commit == commits[4]
    assert find(commits[2][:8], root).text() == commits[2][:7]
    assert find(commits[2], root).title == commits[2][:7]
    assert find("HEAD", root).text() == f"HEAD ({commits[4][:7]})"


@pytest.mark.parametrize("name", ["nonsense", "9.9.9", "--all", "", "HEAD~99"])
def test_unknown_revision_is_an_error(name: str, checkout: tuple[Path, list[str]]) -> None:
    with pytest.raises(click.ClickException, match=f"there is no revision '{name}' in "):
        find(name, checkout[0])


def test_folder_that_is_no_checkout_is_an_error(tmp_path: Path, need: Need) -> None:
    need("git", shutil.which("git"))

    with pytest.raises(click.ClickException, match="is no checkout of git"):
        find("HEAD", tmp_path)


def took(user_s: float) -> Took:
    return Took(user_s, 0.0, wall_s=9.0, rss_bytes=1 << 20, status=0)


def report(row: Measured) -> Report:
    start = Measured(START, 1, minstret=[took(0.5)] * 3, qemu=[took(0.25)] * 3, other=[took(1.0)] * 3)
    machine: dict[str, str | int | float] = {
        "cpu": "Z80", "cores": 1, "system": "CP/M 2", "python": "3", "unicorn": "2", "qemu": "", "load": 0.5,
    }  # fmt: skip
    return Report(machine, 64, 3, [start, row], "0.1.0", "0.1.0 (abcdef0)")


def test_ratio_to_another_revision_stands_beside_that_to_qemu() -> None:
    row = Measured(LOOP, 100, minstret=[took(1.5)] * 3, qemu=[took(0.75)] * 3, other=[took(3.0)] * 2 + [took(2.0)])
    table = report(row)

    assert table.ratio(row, to=Side.OTHER) == 0.5
    assert table.ratio_range(row, Side.OTHER) == (0.5, 1.0)
    assert "| A loop | 1.50 | 3.00 | 0.50 (0.50..1.00) | 0.75 | 2.00 (2.00..2.00) |" in table.markdown()
    assert table.markdown().startswith("rv64, medians of 3 rounds, against 0.1.0 (abcdef0). Measured on: Z80")
    assert "| workload | minstret user s | 0.1.0 user s | to 0.1.0 | QEMU user s | to QEMU |" in table.markdown()


def test_what_another_revision_can_not_do_is_told_and_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    row = Measured(LOOP, 100, minstret=[took(1.5)], other_failure="no such option: --new")
    table = report(row)
    table.show()

    assert table.ratio(row, to=Side.OTHER) is None
    assert "| A loop | 1.50 | - | - | - | - |" in table.markdown()
    assert "loop does not run on 0.1.0: no such option: --new" in capsys.readouterr().out


def test_unknown_revision_is_told_before_anything_is_measured(need: Need) -> None:
    need("git", shutil.which("git"))

    done = CliRunner().invoke(main, ["smoke", "--against", "no-such-thing"])

    assert done.exit_code == 1
    assert "no such" not in done.output.replace("no-such-thing", "")
    assert "give a branch, a tag, a commit" in done.output


@pytest.mark.slow
def test_revision_is_built_and_measured(need: Need, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("git, and a checkout", shutil.which("git") if (ROOT / ".git").exists() else None)
    monkeypatch.setattr("benchmarks.revisions.build.__defaults__", (tmp_path / "revisions", ROOT))
    path = tmp_path / "smoke.json"

    done = CliRunner().invoke(
        main, ["smoke", "--only", "rdtime", "--no-qemu", "--against", "HEAD", "--json", str(path)]
    )

    assert done.exit_code == 0, done.output
    found = json.loads(path.read_text())
    assert found["against"] == Revision("HEAD", find("HEAD").commit).text()
    assert [len(row["other"]) for row in found["workloads"]] == [2, 1]
