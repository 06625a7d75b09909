"""--symbols of the questions to a trace: ELF files, System.map, and a kernel's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import Done, minstret


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("symbols") / "hello.mst"
    minstret("record", "-q", "--no-input", "-o", path, "hello")
    return path


def insns(trace: Path, *arguments: object) -> Done:
    return minstret("insns", "--from", "6", "--count", "3", *arguments, trace)


def test_system_map_names_places(trace: Path, tmp_path: Path) -> None:
    file = tmp_path / "System.map"
    file.write_text("0000000080000000 T the_start\n0000000080000800 D more\n")

    done = insns(trace, "--symbols", file)

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"0x80000000 <the_start>: " in done.stdout
    assert b"<the_start+0x4>" in done.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("80000000 T _start\n80000004 t a\n80000008 t b\nnonsense\n", "--symbols: {file}:4: expected a line such as"),
        ("0000000000000000 A only\n", "--symbols: {file}: it has no symbols"),
        ("raw\0", "--symbols: {file}: it has no symbols; give an ELF file, a System.map, or what nm prints"),
    ],
)
def test_map_that_is_none_is_refused(content: str, message: str, trace: Path, tmp_path: Path) -> None:
    file = tmp_path / "System.map"
    file.write_text(content)

    done = insns(trace, "--symbols", file)

    assert done.returncode == 125
    assert done.stderr.decode().startswith(f"minstret: {message.format(file=file)}")
    assert done.stderr.count(b"\n") == 1


def test_kallsyms_where_there_is_no_kernel_is_refused(trace: Path) -> None:
    done = insns(trace, "--symbols", "kallsyms")

    assert done.returncode == 125
    assert done.stderr.decode() == (
        f"minstret: --symbols kallsyms: {trace}: there is no Linux kernel in memory that has them\n"
    )
