"""Other revisions of minstret, built beside this one to compare with: each in a folder and an environment of its own.

They stay in .cache/revisions, by commit, so that the next comparison begins at once.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "revisions"
RELEASE = "release"
"""What the last release is called here: the newest tag of a version, or the last commit that had no ``.dev0``."""
_BUILD_S_MAX = 900
_VERSION = re.compile(r"v?(\d+(?:\.\d+)+)")


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit, and what somebody called it."""

    name: str
    commit: str

    @property
    def title(self) -> str:
        """Its name, or a few digits of the commit, where that is its name."""
        return self.commit[:7] if self.commit.startswith(self.name) else self.name

    def text(self) -> str:
        """Its name, and the commit that this is."""
        return self.title if self.commit.startswith(self.title) else f"{self.title} ({self.commit[:7]})"


def find(name: str, root: Path = ROOT) -> Revision:
    """The commit of a name: what git knows, a version (``0.1.0``: its tag, or its last commit), or ``release``.

    Raises:
        ClickException: There is none, or this is no checkout.
    """
    if _git(root, "rev-parse", "--git-dir") is None:
        raise click.ClickException(f"{root} is no checkout of git, so no revision can be built beside it")
    if name == RELEASE:
        found = _release(root)
        if found is None:
            raise click.ClickException(f"no release comes before what is in {root}")
        return found
    commit = _known_to_git(name, root) or _of_version(name, root)
    if commit is None:
        raise click.ClickException(
            f"there is no revision {name!r} in {root}: give a branch, a tag, a commit (git log --oneline), or a version"
            " (0.1.0)"
        )
    return Revision(name, commit)


def _known_to_git(name: str, root: Path) -> str | None:
    said = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", name + "^{commit}")
    return said.decode().strip() if said else None


def _of_version(name: str, root: Path) -> str | None:
    """The tag of a version, or the last commit that had it."""
    if (found := _VERSION.fullmatch(name)) is None:
        return None
    for tag in (f"v{found[1]}", found[1]):
        if (commit := _known_to_git(f"refs/tags/{tag}", root)) is not None:
            return commit
    return next((commit for commit, version in _last_of_versions(root) if version == found[1]), None)


def _release(root: Path) -> Revision | None:
    tags = (_git(root, "tag", "--merged", "HEAD", "--sort=-creatordate") or b"").decode().split()
    for tag in filter(_VERSION.fullmatch, tags):
        if (commit := _known_to_git(f"refs/tags/{tag}", root)) is not None:
            return Revision(tag, commit)
    versions = ((commit, version) for commit, version in _last_of_versions(root) if _VERSION.fullmatch(version))
    return next((Revision(version, commit) for commit, version in versions), None)


def _last_of_versions(root: Path) -> Iterator[tuple[str, str]]:
    """The last commit of each version before the present one, newest first, with the version."""
    changes = _git(root, "log", "--first-parent", "--format=%H", "-G^version = ", "--", "pyproject.toml") or b""
    for change in changes.decode().split():
        before, now = (_version_at(root, commit) for commit in (f"{change}^", change))
        if before is not None and before != now and (commit := _known_to_git(f"{change}^", root)) is not None:
            yield commit, before


def _version_at(root: Path, commit: str) -> str | None:
    text = _git(root, "show", f"{commit}:pyproject.toml")
    return None if text is None else str(tomllib.loads(text.decode())["project"]["version"])


def build(revision: Revision, cache: Path = CACHE, root: Path = ROOT) -> tuple[str, ...]:
    """The command of that revision's minstret; it is built where the cache has not got it.

    Raises:
        ClickException: It can't be built.
    """
    folder = cache / revision.commit
    python = folder / ".venv" / "bin" / "python"
    with _locked(cache / f"{revision.commit}.lock"):
        if not (folder / ".built").exists():
            click.echo(f"Building {revision.text()} in {folder} ...", err=True)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            _unpack(revision, folder, root)
            _install(folder, python)
            (folder / ".built").touch()
    return (str(python), "-m", "minstret.emu.cli")


def _unpack(revision: Revision, folder: Path, root: Path) -> None:
    archive = _git(root, "archive", "--format=tar", revision.commit)
    if archive is None:
        raise click.ClickException(f"git archive {revision.commit} fails")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)


def _install(folder: Path, python: Path) -> None:
    """As tools/setup.sh does: in place, and compiled, so that both start in the same way. Downloads are shared."""
    if uv := shutil.which("uv"):
        _run([uv, "venv", "-q", "--python", sys.executable, str(folder / ".venv")])
        _run([uv, "pip", "install", "-q", "--python", str(python), "-e", str(folder)])
    else:
        _run([sys.executable, "-m", "venv", str(folder / ".venv")])
        _run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-e", str(folder)])
    if not _has_callbacks(python):
        click.echo(f"{folder}: its C callbacks were not built, so it is hundreds of times slower", err=True)
    _run([str(python), "-m", "compileall", "-q", *(str(folder / room) for room in ("emu", "devices", "firmware"))])


def _has_callbacks(python: Path) -> bool:
    code = "import minstret.emu.hart._callbacks"
    return subprocess.run([str(python), "-c", code], capture_output=True, check=False).returncode == 0


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_S_MAX, check=False)
    except subprocess.TimeoutExpired:
        raise click.ClickException(f"{' '.join(command)}: took more than {_BUILD_S_MAX} s") from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise click.ClickException(f"{' '.join(command)}: status {done.returncode}: {''.join(last)}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Only one process builds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _git(root: Path, *arguments: str) -> bytes | None:
    """What git prints; None where it fails, or there is none."""
    if (git := shutil.which("git")) is None:
        raise click.ClickException("git is not on this machine; Debian has it in the package git")
    done = subprocess.run([git, "-C", str(root), *arguments], capture_output=True, check=False)
    return None if done.returncode else done.stdout
