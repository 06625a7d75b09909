# Sourced by the tools: makes .venv with minstret in it. Quick if nothing has changed since the last time.
#
# setup_environment EXTRAS             EXTRAS is "" or "[dev]"; sets $python and changes to the top folder
# setup_unless_help EXTRAS ARGUMENT... the same, but installs nothing if the arguments ask for help; if there is no
#                                      environment yet, it prints the tool's first comment as the help

setup_unless_help() {
    local extras=$1 script
    shift
    if asks_for_help "$@"; then
        script=$(realpath "$0")
        find_environment || return 1
        if ! "$python" -c 'import click, minstret.emu.cli' 2>/dev/null; then
            show_first_comment "$script"
            exit 0
        fi
        return 0
    fi
    setup_environment "$extras"
}

asks_for_help() {
    local argument
    for argument in "$@"; do
        case $argument in
            -h | --help) return 0 ;;
            --) return 1 ;;
        esac
    done
    return 1
}

show_first_comment() {
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$1"
}

find_environment() {
    cd "$(dirname "${BASH_SOURCE[0]}")/.." || return 1
    python=$PWD/.venv/bin/python
}

setup_environment() {
    local extras=$1 stamp sources wanted
    find_environment || return 1
    stamp=.venv/.installed
    sources=$(cat pyproject.toml emu/hart/*.[ch] | cksum)
    command -v cc gcc >/dev/null && sources+=" with a C compiler"  # so a compiler that is installed later is used
    wanted="$sources$extras"
    if [ -x "$python" ] && [ -f "$stamp" ] && grep -qxF -e "$wanted" -e "$sources[dev]" "$stamp"; then
        return 0
    fi
    trap 'echo >&2; exit 130' INT  # pip and uv would end with other statuses
    make_venv || return 1
    echo "Installing minstret$extras into .venv ..." >&2
    rm -f emu/hart/_*.so  # built from older sources
    install_into_venv "$extras" || return 1
    "$python" -c 'import minstret.emu.hart._callbacks' 2>/dev/null ||
        echo "The C callbacks were not built, so the Python callbacks are used, which are hundreds of times slower: $python -m pip install -v -e . says why" >&2
    "$python" -m compileall -q emu devices firmware  # so that no start has to compile, even in a read-only folder
    link_sources
    make_starts_quick
    if [ -f "$stamp" ]; then  # installs of other sources are gone
        grep -F "$sources" "$stamp" > "$stamp.new" || true
        mv "$stamp.new" "$stamp"
    fi
    echo "$wanted" >> "$stamp"
    trap - INT
}

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return 0
        fi
    done
    echo "minstret needs Python 3.11 or newer: install it (Debian: apt-get install python3), or set PYTHON" >&2
    return 1
}

make_venv() {
    local base
    base=$(find_python) || return 1
    if [ -x "$python" ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        return 0
    fi
    rm -rf .venv
    if command -v uv >/dev/null; then
        uv venv -q --python "$base" .venv && return 0
    fi
    "$base" -m venv .venv 2>/dev/null && return 0
    rm -rf .venv
    if "$base" -m venv --without-pip .venv 2>/dev/null && "$base" -m pip --version >/dev/null 2>&1; then
        return 0
    fi
    echo "Can't make a virtual environment: install venv (Debian: apt-get install python3-venv)" >&2
    return 1
}

install_into_venv() {
    local target=.$1
    if command -v uv >/dev/null; then
        uv pip install -q --python "$python" -e "$target" && return 0
    fi
    if "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m pip install -q --disable-pip-version-check -e "$target"
    else
        "$(find_python)" -m pip -q --disable-pip-version-check --python "$python" install -e "$target"
    fi
}

# Puts tools/checkout_finder.py, which says why, in place of the finder that an editable install has.
make_starts_quick() {
    local finder mapping
    for finder in .venv/lib/python*/site-packages/__editable___minstret_*_finder.py; do
        mapping=$(grep -s '^MAPPING' "$finder") || continue
        { grep -v '^MAPPING' tools/checkout_finder.py; echo "$mapping"; } > "$finder.new"
        mv "$finder.new" "$finder"
        "$python" -m compileall -q "$finder"
    done
}

# mypy, import-linter and editors find the sources under their import names in .venv/src.
link_sources() {
    local room file
    mkdir -p .venv/src/minstret
    for room in emu devices firmware; do
        ln -sfn "../../../$room" ".venv/src/minstret/$room"
    done
    for file in emu/package/[!_]*.py emu/package/__init__.py; do
        ln -sfn "../../../$file" ".venv/src/minstret/${file##*/}"
    done
}
