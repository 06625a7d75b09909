"""The wheel holds exactly what it should, and versions agree."""

from __future__ import annotations

import ast
import importlib
import os
import pickle
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest

import minstret

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("emu", "devices", "firmware")
SHOWN_BY_GDB = Path("firmware/smash/main.c")
"""The only source of firmware that is installed: for a first look at gdb."""
PAGE = Path("emu/questions/page/static")
"""What the page of ``minstret report`` is made of."""
BUILT = {"minstret/emu/hart/_callbacks.abi3.so", "minstret/emu/hart/_helpers.abi3.so"}
"""In the wheel only where there was a C compiler."""


def project() -> dict[str, object]:
    table: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def tracked_files() -> list[Path]:
    """The files of the tree: what is committed or would be."""
    listing = subprocess.check_output(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"], text=True
    )
    names = {name for name in listing.split("\0") if name}
    return sorted(Path(name) for name in names if (ROOT / name).is_file())


def in_the_wheel(path: Path) -> str:
    """The name there of a file of the tree: emu/package/ is the package ``minstret`` itself."""
    return f"minstret/{path.as_posix().removeprefix('emu/package/')}"


def belongs_in_the_wheel(path: Path) -> bool:
    if path.parts[0] not in ROOMS:
        return False
    is_code = path.suffix == ".py" or path.name == "py.typed"
    return is_code or path.parts[:2] == ("firmware", "images") or path == SHOWN_BY_GDB or path.parent == PAGE


def test_every_module_has_its_place_in_the_import_rules() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    placed = {module.strip() for layer in rules[0]["layers"] for module in layer.split("|")}
    files = [path for path in tracked_files() if path.suffix == ".py" and path.parts[0] in ("emu", "devices")]
    modules = {".".join(("minstret", *path.with_suffix("").parts)) for path in files if path.name != "__init__.py"}

    assert {module for module in modules if not any(f"{module}.".startswith(f"{one}.") for one in placed)} == set()


def test_each_name_of_the_package_is_imported_for_type_checkers_and_at_run_time() -> None:
    tree = ast.parse((ROOT / "emu" / "package" / "__init__.py").read_text())
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.name: node.module for node in checked.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }

    assert minstret.__all__ == sorted(imported)
    for name, module in imported.items():
        assert getattr(minstret, name) is getattr(importlib.import_module(str(module)), name)


def test_errors_are_called_by_the_name_that_they_are_imported_by_and_can_be_pickled() -> None:
    kinds = [getattr(minstret, name) for name in minstret.__all__ if name.endswith(("Error", "Fault"))]

    assert {kind.__module__ for kind in kinds} == {"minstret"}
    for kind in kinds:
        error = pickle.loads(pickle.dumps(kind("a text")))
        assert (type(error), str(error)) == (kind, "a text")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a copy of the tree."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for path in tracked_files():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tree / path)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps", "-w", out, "."],
        cwd=tree, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (built,) = out.iterdir()
    return built


@pytest.mark.slow
def test_source_distribution_holds_the_tree(tmp_path: Path) -> None:
    """With the C header, the examples of docs/ and the tests; in particular all that a wheel is built from."""
    tree, tools = tmp_path / "tree", tmp_path / "tools"
    for path in tracked_files():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tree / path)
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", str(tools), *needed]
    subprocess.run(pip, check=True)
    build = "import setuptools.build_meta as backend; print(backend.build_sdist('out'))"
    environment = {**os.environ, "PYTHONPATH": str(tools)}
    subprocess.run([sys.executable, "-c", build], cwd=tree, env=environment, check=True, capture_output=True)

    (built,) = (tree / "out").iterdir()
    with tarfile.open(built) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    left_out = {path.as_posix() for path in tracked_files()} - held
    assert {name for name in left_out if not name.startswith(".")} == set()


@pytest.mark.slow
def test_wheel_holds_exactly_the_trees_modules_types_images_and_licence(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())

    package = {name for name in names if ".dist-info/" not in name}
    expected = {in_the_wheel(path) for path in tracked_files() if belongs_in_the_wheel(path)}
    assert package - BUILT == expected
    info = f"minstret-{project()['version']}.dist-info"
    assert {name.removeprefix(f"{info}/") for name in names - package} == {
        "METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"
    }  # fmt: skip


@pytest.mark.slow
def test_wheel_holds_the_bytes_of_the_tree(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        for path in tracked_files():
            if belongs_in_the_wheel(path):
                assert archive.read(in_the_wheel(path)) == (ROOT / path).read_bytes(), path


@pytest.mark.slow
def test_wheel_is_for_every_python_from_3_11_on(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        has_callbacks = not BUILT.isdisjoint(archive.namelist())

    python, abi = wheel.stem.split("-")[2:4]
    assert (python, abi) == ("cp311", "abi3") if has_callbacks else python in ("cp311", "py3")
    assert project()["requires-python"] == ">=3.11"


@pytest.mark.slow
def test_wheel_installs_the_command_and_the_plugin_of_pytest(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        entry_points = archive.read(name).decode()

    assert "minstret = minstret.emu.cli:main" in entry_points
    assert "minstret = minstret.pytest_plugin" in entry_points


@pytest.mark.slow
def test_wheels_package_runs_as_a_module(wheel: Path, tmp_path: Path) -> None:
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path)

    done = run_module(tmp_path, PYTHONPATH=str(tmp_path))

    assert done.stdout.startswith("hello from minstret"), done.stderr


def test_package_runs_as_a_module_beside_a_folder_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "minstret").mkdir()

    assert run_module(tmp_path).stdout.startswith("hello from minstret")


def run_module(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m minstret run hello``, started in ``folder``."""
    return subprocess.run(
        [sys.executable, "-m", "minstret", "run", "-q", "--no-input", "-m", "4M", "hello"], cwd=folder,
        env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_every_image_comes_in_both_widths_and_is_tracked() -> None:
    from minstret.firmware import IMAGES, XLENS, image_path

    tracked = {path.name for path in tracked_files() if path.parts[:2] == ("firmware", "images")}
    expected = {f"{name}-rv{xlen}.elf" for name in IMAGES for xlen in XLENS}

    assert {name for name in tracked if name.endswith(".elf")} == expected
    assert all(image_path(name, xlen).is_file() for name in IMAGES for xlen in XLENS)


def test_changelogs_newest_version_is_the_projects_or_the_one_before() -> None:
    """Between two releases the project has the next version, with ``.dev0``."""
    headings = re.findall(r"^## \[?v?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    ours = project()["version"]
    next_one = ours.removesuffix(".dev0")

    assert headings
    if next_one == ours:
        assert headings[0] == ours
    else:
        assert [*map(int, headings[0].split("."))] < [*map(int, next_one.split("."))]


def test_installed_version_is_the_projects() -> None:
    assert version("minstret") == project()["version"]
