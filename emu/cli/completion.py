"""Completion in a shell: ``minstret completion`` prints a script, which calls the command for each completion.

The script sets ``_MINSTRET_COMPLETE=answer`` and ``COMP_WORDS`` to the words up to the cursor as they were typed, one a
line. Each line of the answer is one of:

    name TEXT<TAB>HELP    a word that fits
    file SUFFIX           let the shell complete names of files with that suffix; any file, if there is no suffix
    folder                let the shell complete names of folders
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator

import click
from click.shell_completion import CompletionItem, ShellComplete

from minstret.emu.cli.group import cli, load_command
from minstret.emu.cli.streams import TRACE_SUFFIX
from minstret.emu.errors import ConfigError
from minstret.firmware import IMAGES, describe

VARIABLE = "_MINSTRET_COMPLETE"

_BASH = r"""
_minstret_completion() {
    local IFS=$'\n' answer kind value word=${COMP_WORDS[COMP_CWORD]} command=${1/#\~/$HOME} files=
    [[ $word == [=:@] ]] && word=
    COMPREPLY=()
    for answer in $(COMP_WORDS="${COMP_WORDS[*]:0:COMP_CWORD+1}" _MINSTRET_COMPLETE=answer "$command" 2>/dev/null); do
        kind=${answer%% *} value=${answer#* } value=${value%%$'\t'*}
        case $kind in
            name) COMPREPLY+=("$value") ;;
            file) compopt -o filenames
                COMPREPLY+=($(compgen -d -- "$word") $(compgen -f -X "!*$value" -- "$word")) files=yes ;;
            folder) compopt -o dirnames ;;
        esac
    done
    # Names that are typed with quotes, a tilde or a variable are left to bash itself.
    if [[ $files && ${#COMPREPLY[@]} == 0 && $word == *["\"'\\~\$"]* ]]; then compopt -o default; fi
}
complete -o nosort -F _minstret_completion minstret
"""

_ZSH = r"""
#compdef minstret
_minstret_completion() {
    local answer kind value option
    local -a names
    [[ $PREFIX == --*=* ]] && option=${PREFIX%%=*}=
    for answer in "${(@f)$(COMP_WORDS="${(F)words[1,CURRENT-1]}"$'\n'"$PREFIX" _MINSTRET_COMPLETE=answer \
            "${(Q)words[1]/#\~/$HOME}" 2>/dev/null)}"; do
        kind=${answer%% *} value=${answer#* }
        case $kind in
            name) names+=("${${value%%$'\t'*}//:/\\:}:${value#*$'\t'}") ;;
            file) [[ -n $option ]] && compset -P '*='
                if [[ -n $value ]]; then _files -g "*$value"; else _files; fi ;;
            folder) [[ -n $option ]] && compset -P '*='
                _files -/ ;;
        esac
    done
    if (( $#names )); then
        [[ -n $option ]] && compset -P '*='
        _describe -V minstret names
    fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _minstret_completion "$@"
else
    compdef _minstret_completion minstret
fi
"""

_FISH = r"""
function __minstret_completion
    set -l words (commandline -opc)
    set -l token (commandline -ct)
    set -l option (string match -r -- '^--[^=]*=' $token)
    set -l rest (string replace -r -- '^--[^=]*=' '' $token)
    set -l command (string replace -r -- '^~' $HOME $words[1])
    for answer in (_MINSTRET_COMPLETE=answer COMP_WORDS=(begin
                printf '%s\n' $words; printf '%s' "$token"; end | string collect --no-trim-newlines) \
            $command 2>/dev/null)
        set -l kind (string split -m 1 -- ' ' $answer)
        switch $kind[1]
            case name
                printf '%s\n' "$option$kind[2]"
            case file folder
                set -l wanted '/$'
                test $kind[1] = file; and set wanted (string escape --style=regex -- "$kind[2]")'$|/$'
                for file in (complete -C "minstret_file $rest" | string replace -r '\t.*' '')
                    string match -q -r -- $wanted $file; and printf '%s\n' "$option$file"
                end
        end
    end
end
complete --command minstret --no-files --arguments '(__minstret_completion)'
"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}

_VALUES = {
    "cpu": ("rv64", "rv32", "rv64gc", "rv32gc"),
    "bios": ("none",),
    "net": ("none", "user", "user,restrict=on"),
    "icount": ("sleep=on", "sleep=off", "shift=1,sleep=on", "shift=1,sleep=off"),
    "inputs": ("keyboard", "tablet", "keyboard,tablet"),
    "log": ("traps", "unmapped", "irq", "exec", "traps,unmapped,irq"),
    "rtc": ("clock=vm", "clock=host", "base=2018-10-01T00:00:00"),
}
"""Example values for options with a syntax of their own, by parameter name."""


@click.command(epilog="""\b
To have completion in every new shell, add a line to the shell's start-up file:
  ~/.bashrc                    eval "$(minstret completion bash)"
  ~/.zshrc, after compinit     eval "$(minstret completion zsh)"
  ~/.config/fish/config.fish   minstret completion fish | source

minstret has to be on the PATH there.""")  # fmt: skip
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice(sorted(_SCRIPTS)))
def completion(shell: str) -> None:
    """Print a script that lets the shell complete commands, options, images and files when Tab is pressed."""
    click.echo(_SCRIPTS[shell].lstrip("\n"), nl=False)


def obey(instruction: str) -> int:
    """Do what the environment variable asks for, and return the exit status.

    ``instruction`` is ``answer``, or click's name of a script, such as ``bash_source``.
    """
    shell = instruction.removesuffix("_source")
    if instruction == "answer":
        answer()
    elif shell in _SCRIPTS and shell != instruction:
        click.echo(_SCRIPTS[shell].lstrip("\n"), nl=False)
    else:
        raise ConfigError(f"{VARIABLE}={instruction}: expected answer, or {', '.join(f'{s}_source' for s in _SCRIPTS)}")
    return 0


def answer() -> None:
    """Print the completions of the last word of ``COMP_WORDS``."""
    pieces = os.environ.get("COMP_WORDS", "").split("\n")
    _, *words = _joined(pieces)
    *before, incomplete = map(_unquoted, words or [""])
    last = "" if _is_sign(pieces[-1]) else _unquoted(pieces[-1])
    for line in fitting(before, incomplete, last):
        click.echo(line)


def fitting(before: list[str], incomplete: str, last: str) -> list[str]:
    """Completions of a word: lines of an answer.

    Args:
        before: The words before it, without the command itself.
        incomplete: The word as far as it is typed.
        last: The part of it that the shell will replace.
    """
    if before and before[0] in cli.commands:
        for parameter in load_command(before[0]).params:
            _teach(parameter)
    items = ShellComplete(cli, {}, "minstret", VARIABLE).get_completions(before, incomplete)
    value = incomplete.partition("=")[2] if incomplete.startswith("--") and "=" in incomplete else incomplete
    kept = max(0, len(value) - len(last))
    return [_line(item, kept) for item in items]


def _line(item: CompletionItem[str], kept: int) -> str:
    """One line of an answer; the first ``kept`` characters of the word are left out, as the shell keeps them."""
    if item.type == "plain":
        return f"name {item.value[kept:]}\t{' '.join((item.help or '').partition('. ')[0].split()).rstrip('.')}"
    return f"file {item.value}" if item.type == "file" else "folder"


def _joined(pieces: list[str]) -> list[str]:
    """Join words that bash has split at ``=``, ``:`` and ``@``."""
    words: list[str] = []
    is_open = False
    for piece in pieces:
        is_sign = _is_sign(piece)
        if words and (is_sign or is_open):
            words[-1] += piece
        else:
            words.append(piece)
        is_open = is_sign
    return words


def _is_sign(piece: str) -> bool:
    return bool(piece) and not piece.strip("=:@")


def _unquoted(word: str) -> str:
    """A word as the shell would pass it to a command, also if its quotes are not closed yet."""
    try:
        return "".join(shlex.split(word))
    except ValueError:  # an open quote, or a last backslash
        return word.replace("\\", "").lstrip("\"'")


def _teach(parameter: click.Parameter) -> None:
    """Give a parameter completions that follow from its metavar. Choices and flags have their own already."""
    if not isinstance(parameter.type, click.Choice):
        setattr(parameter, "shell_complete", lambda context, text: list(_items(parameter, text)))  # noqa: B010


def _items(parameter: click.Parameter, text: str) -> Iterator[CompletionItem[str]]:
    what = (parameter.metavar or parameter.name or "").strip("[]").upper()
    name = parameter.name or ""
    names: dict[str, str] = dict.fromkeys(_VALUES.get(name, ()), "")
    if name in ("firmware", "bios", "kernel"):
        names |= _images()
    for each, help_text in names.items():
        if each.startswith(text):
            yield CompletionItem(each, help=help_text)
    if what.startswith(("FILE", "FIRMWARE")):
        yield CompletionItem("", type="file")
    elif what.startswith("TRACE"):
        yield CompletionItem(TRACE_SUFFIX, type="file")
    elif what.startswith("DIR"):
        yield CompletionItem("", type="dir")


def _images() -> dict[str, str]:
    packaged = {"opensbi": "Debian's OpenSBI", "u-boot": "Debian's U-Boot"}
    images = {image: describe(image) for image in IMAGES}
    return images | {f"{image}-rv32": f"for rv32: {text}" for image, text in images.items()} | packaged
