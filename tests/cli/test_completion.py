"""Completion, by the shells themselves: what is on the command line after Tab."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import PATIENCE_S
from support.needs import Need

from minstret.emu.cli import main
from minstret.emu.cli.completion import fitting

SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "--no-rcs", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
SET_UP = {
    "bash": 'PS1="ready> "; eval "$(minstret completion bash)"',
    "zsh": 'PS1="ready> "; autoload -U compinit; compinit -u -D; unsetopt auto_menu; eval "$(minstret completion zsh)"',
    "fish": "function fish_prompt; printf 'ready> '; end; minstret completion fish | source",
}
ESCAPE_SEQUENCE = re.compile(r"\x1b(\[[0-9;?>=<]*[a-zA-Z]|\][^\x07\x1b]*(\x07|\x1b\\)|[=>()][0-9A-Z]?|[78PM])")


class Shell:
    """A shell at a terminal of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        self._name = name
        self._fd, terminal = pty.openpty()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("FISH", "ZSH", "XDG"))}
        self.process = subprocess.Popen(
            SHELLS[name], cwd=folder, stdin=terminal, stdout=terminal, stderr=terminal,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env=environment | {"TERM": "dumb", "HOME": str(folder / "home"), "LC_ALL": "C.UTF-8", "COLUMNS": "200"},
        )  # fmt: skip
        os.close(terminal)
        self._seen = ""
        self._type(f"{SET_UP[name]}; echo set\\ up\n")
        self._wait_for("set up\r")

    def after_tab(self, typed: str) -> str:
        """The command line when Tab has been pressed behind ``typed``: it is made an argument of echo and so shown."""
        self._seen = ""
        self._type(f"{typed}\t\x05'.\x01echo 'is: \n")
        found = self._wait_for(r"\nis: ([^\r]*)\.\r")
        return found[1]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)

    def _type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def _wait_for(self, pattern: str) -> re.Match[str]:
        deadline = time.monotonic() + PATIENCE_S
        while (found := re.search(pattern, ESCAPE_SEQUENCE.sub("", self._seen))) is None:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([self._fd], [], [], left_s)[0]:
                raise AssertionError(f"{self._name} showed {self._seen!r}, not {pattern!r}")
            self._seen += os.read(self._fd, 4096).decode(errors="replace")
        return found


@pytest.fixture(scope="module", params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, need: Need) -> Iterator[Shell]:
    """A shell in a folder with some files."""
    need(request.param, shutil.which(request.param))
    folder = tmp_path_factory.mktemp(request.param)
    for name in ("firmware.elf", "notes.txt", "first.mst", "heap.bin"):
        (folder / name).touch()
    for name in ("home", "traces"):
        (folder / name).mkdir()
    (folder / "traces" / "second.mst").touch()
    (folder / "home" / "of-mine.elf").touch()
    shell = Shell(request.param, folder)
    yield shell
    shell.close()


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("minstret repl", "minstret replay "),
        ("minstret run --max-i", "minstret run --max-insns "),
        ("minstret run tic", "minstret run ticks"),
        ("minstret run firm", "minstret run firmware.elf "),
        ("minstret run hea", "minstret run heap.bin "),
        ("minstret replay fi", "minstret replay first.mst "),
        ("minstret replay trac", "minstret replay traces/"),
        ("minstret replay traces/", "minstret replay traces/second.mst "),
        ("minstret debug fi", "minstret debug first.mst "),
        ("minstret debug --symbols firm", "minstret debug --symbols firmware.elf "),
        ("minstret run --json no", "minstret run --json notes.txt "),
        ("minstret run --json=no", "minstret run --json=notes.txt "),
        ("minstret run --virtio m", "minstret run --virtio modern "),
        ("minstret run --cpu ", "minstret run --cpu rv"),
        ("minstret run --virtio=m", "minstret run --virtio=modern "),
        ("minstret run --rtc clock=v", "minstret run --rtc clock=vm "),
        ("true; minstret info fi", "true; minstret info first.mst "),
        ("minstret run ~/of-m", "minstret run ~/of-mine.elf "),
        ("minstret dtb -o not", "minstret dtb -o notes.txt "),
    ],
)
def test_tab_completes(shell: Shell, typed: str, completed: str) -> None:
    # zsh takes the last blank or slash back when something else is typed.
    assert shell.after_tab(typed).rstrip(" /") == completed.rstrip(" /")


# ---- what fits


def words(before: str, incomplete: str = "") -> list[str]:
    return [line.partition("\t")[0] for line in fitting(before.split(), incomplete, incomplete)]


@pytest.mark.parametrize("option", ["bios", "kernel"])
def test_images_and_files_fit_for_what_is_booted(option: str) -> None:
    assert words(f"run --{option}", "dhcp") == [
        "name dhcp", "name dhcp-wfi", "name dhcp-rv32", "name dhcp-wfi-rv32", "file "
    ]  # fmt: skip
    assert words(f"run --{option}", "u-b") == ["name u-boot", "file "]
    assert words("verify", "dhcp-w") == ["name dhcp-wfi", "name dhcp-wfi-rv32", "file "]


@pytest.mark.parametrize("command", ["replay", "info", "log", "timers"])
def test_traces_fit_for_commands_that_read_one(command: str) -> None:
    assert words(command) == ["file .mst"]


@pytest.mark.parametrize("option", ["--json", "--pcap", "--input-script", "--initrd"])
def test_files_fit_where_the_placeholder_is_a_file(option: str) -> None:
    assert words(f"run {option}") == ["file "]


@pytest.mark.parametrize(
    "typed", ["minstret\nrun\n'", 'minstret\nrun\n"x', "minstret\nrun\nx\\", "", "\n\n", "a\n=\n:\n", "=\n="]
)
def test_odd_words_are_no_traceback(
    typed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("_MINSTRET_COMPLETE", "answer")

    with pytest.raises(SystemExit) as caught:
        main([])

    assert (caught.value.code, capsys.readouterr().err) == (0, "")


def test_script_of_an_unknown_shell_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["completion", "tcsh"])

    error = capsys.readouterr().err
    assert (caught.value.code, error.count("\n")) == (125, 1)
    assert "'bash'" in error


def test_script_has_clicks_name_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    scripts = []
    for arguments, instruction in ((["completion", "zsh"], None), ([], "zsh_source")):
        if instruction is not None:
            monkeypatch.setenv("_MINSTRET_COMPLETE", instruction)
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
        scripts.append(capsys.readouterr().out)

    assert scripts[0] == scripts[1]


def test_unknown_instruction_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("_MINSTRET_COMPLETE", "tcsh_source")

    with pytest.raises(SystemExit) as caught:
        main([])

    assert caught.value.code == 125
    assert capsys.readouterr().err.startswith("minstret: _MINSTRET_COMPLETE=tcsh_source: expected answer, or ")
