"""Nothing in the machine draws on the host: the tree is searched for all that differs from run to run.

Clocks, threads, sockets, environment, randomness, addresses and hash order may be looked at in emu/host.py and emu/cli
alone. Each exception elsewhere is named here, with its reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("emu", "devices")
HOST_ROOMS = ("emu/host.py", "emu/cli/", "emu/package/")
"""What may ask the host."""

MODULES = (
    "time", "datetime", "random", "secrets", "uuid", "socket", "select", "selectors", "threading", "multiprocessing",
    "concurrent", "asyncio", "signal", "subprocess", "tempfile", "resource", "platform", "getpass", "locale", "gc",
    "weakref", "queue", "numpy",
)  # fmt: skip
OS_NAMES = (
    "urandom", "getrandom", "environ", "environb", "getenv", "getpid", "getppid", "gettid", "times", "cpu_count",
    "sched_getaffinity", "getloadavg", "uname", "getlogin", "getcwd",
)  # fmt: skip
UNSORTED_CALLS = ("listdir", "scandir", "walk", "glob", "iglob", "rglob", "iterdir")
CALLS = ("hash", "id", "object")
SETS = ("set", "frozenset")

ALLOWED = {
    ("devices/board/contract.py", "import random"): "what a test does to a device, from a seed of the test's",
    ("devices/board/contract.py", "random.Random(seed)"): "the same",
    ("emu/generator.py", "import random"): "its methods; the bits are our own",
    ("emu/part.py", "import random"): "the type of a part's generator",
    ("emu/wiring.py", "import random"): "one generator a name, seeded from --seed: Assembly.generator",
    ("emu/wiring.py", "random.Random(seed)"): "Assembly.generator",
    ("emu/hostserver.py", "import select"): "a debugger's connection: what comes of it is an event",
    ("emu/hostserver.py", "import socket"): "the same",
    ("emu/hart/binding.py", "import weakref"): "closes an engine that nobody has any more",
    ("emu/hart/binding.py", "os.environ"): "where Unicorn's library is; only one version of it will do",
    ("emu/hart/helpers.py", "os.environ"): "whether our functions stand in Unicorn's place: the same run either way",
    ("emu/hart/memory.py", "import weakref"): "users of dirty pages: each is told the same, in whatever order",
    ("emu/trace/untrusted.py", "import tempfile"): "a copy to roll back a journal in; not in the machine",
    ("emu/trace/writer.py", "import tempfile"): "a new trace's bytes, where SQLite is old; not in the machine",
}
"""(file, what): why it does no harm."""


@dataclass(frozen=True, order=True)
class Finding:
    """Something that may differ from run to run."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


def findings_in(source: str, file: str) -> list[Finding]:
    """All of them in one file."""
    return sorted(_Search(file).run(ast.parse(source)))


class _Search(ast.NodeVisitor):
    def __init__(self, file: str) -> None:
        self._file = file
        self._found: list[Finding] = []
        self._ordered: set[int] = set()  # nodes by place in the tree: sorted() and the like are around them

    def run(self, tree: ast.AST) -> Iterator[Finding]:
        self._names_of_sets = set(_names_of_sets(tree))
        self.visit(tree)
        yield from self._found

    def _add(self, node: ast.AST, what: str) -> None:
        self._found.append(Finding(self._file, getattr(node, "lineno", 0), what))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name.split(".")[0] in MODULES:
                self._add(node, f"import {alias.name}")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if module.split(".")[0] in MODULES:
            self._add(node, f"import {module}")
        for alias in node.names:
            if module == "os" and alias.name in (*OS_NAMES, *UNSORTED_CALLS):
                self._add(node, f"os.{alias.name}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.value, ast.Name) and node.value.id == "os" and node.attr in OS_NAMES:
            self._add(node, f"os.{node.attr}")
        if isinstance(node.value, ast.Name) and node.value.id == "random" and node.attr != "Random":
            self._add(node, f"random.{node.attr}")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in ("sorted", "min", "max", "sum", "len", "any", "all", *SETS):  # in them, order does not matter
            self._ordered |= {id(inner) for argument in node.args for inner in (argument, *_loops_of(argument))}
        if isinstance(node.func, ast.Name) and name in CALLS:
            self._add(node, f"{name}()")
        if isinstance(node.func, ast.Name) and name == "__import__":
            self._add(node, "__import__()")
        if name in UNSORTED_CALLS and id(node) not in self._ordered:
            self._add(node, f"{name}() unsorted")
        if name == "Random":
            self._add(node, "random.Random(seed)" if node.args else "random.Random()")
        if name == "SystemRandom":
            self._add(node, "random.SystemRandom()")
        if name in ("list", "tuple", "enumerate", "iter", "join", "zip", "extend", "next", "map", "filter", "reversed"):
            for argument in node.args:
                self._iterated(argument)
        if name == "pop" and isinstance(node.func, ast.Attribute) and self._is_set(node.func.value) and not node.args:
            self._add(node, "pop() of a set")
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        self._iterated(node.iter)
        self.generic_visit(node)

    def visit_Starred(self, node: ast.Starred) -> None:
        self._iterated(node.value)
        self.generic_visit(node)

    def _visit_comprehension(self, node: ast.ListComp | ast.GeneratorExp | ast.DictComp) -> None:
        if id(node) not in self._ordered:
            for generator in node.generators:
                self._iterated(generator.iter)
        self.generic_visit(node)

    visit_ListComp = visit_GeneratorExp = visit_DictComp = _visit_comprehension  # noqa: N815

    def _iterated(self, node: ast.expr) -> None:
        if id(node) not in self._ordered and self._is_set(node):
            self._add(node, "iteration over a set")

    def _is_set(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Set | ast.SetComp):
            return True
        if isinstance(node, ast.Call):
            return isinstance(node.func, ast.Name) and node.func.id in SETS
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor):
            return self._is_set(node.left) or self._is_set(node.right) or _is_keys(node.left) or _is_keys(node.right)
        return _name(node) in self._names_of_sets


def _loops_of(node: ast.expr) -> Iterator[ast.AST]:
    """The comprehension that an argument is, and what it runs over."""
    if isinstance(node, ast.ListComp | ast.GeneratorExp | ast.SetComp):
        for generator in node.generators:
            yield generator.iter


def _is_keys(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "keys"


def _name(node: ast.expr) -> str:
    """``x``, or ``.x`` for an attribute of anything."""
    if isinstance(node, ast.Name):
        return node.id
    return f".{node.attr}" if isinstance(node, ast.Attribute) else ""


def _names_of_sets(tree: ast.AST) -> Iterator[str]:
    """Names and attributes to which a set is assigned, or that are annotated as one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
            text = ast.unparse(node.annotation)
            if text.split("[")[0] in ("set", "frozenset", "Set", "AbstractSet"):
                yield node.arg if isinstance(node, ast.arg) else _name(node.target)
        if isinstance(node, ast.Assign):
            value = node.value
            is_call = isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in SETS
            if is_call or isinstance(value, ast.Set | ast.SetComp):
                yield from (_name(target) for target in node.targets)


def sources() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def is_host_room(file: str) -> bool:
    return file.startswith(HOST_ROOMS)


# ---- the tree


@cache
def all_findings() -> list[Finding]:
    files = [path for path in sources() if not is_host_room(relative(path))]
    return [finding for path in files for finding in findings_in(path.read_text(), relative(path))]


def test_machine_and_devices_draw_nothing_from_the_host() -> None:
    assert [str(found) for found in all_findings() if (found.file, found.what) not in ALLOWED] == []


def test_each_exception_is_still_there() -> None:
    assert {(found.file, found.what) for found in all_findings()} >= ALLOWED.keys()


def test_search_sees_the_whole_tree() -> None:
    files = [relative(path) for path in sources()]
    for file in (
        "emu/machine.py",
        "emu/hart/hart.py",
        "devices/board/board.py",
        "devices/hostside/usernet/network.py",
        "emu/host.py",
    ):
        assert file in files
    assert len(files) > 60
    assert {file for file in files if is_host_room(file)} >= {"emu/host.py", "emu/cli/group.py", "emu/cli/session.py"}


def test_search_finds_what_the_host_room_does() -> None:
    """The one file that may ask the host would be found."""
    found = {finding.what for finding in findings_in((ROOT / "emu/host.py").read_text(), "emu/host.py")}
    assert found >= {"import time", "import threading", "import select", "import signal", "os.urandom"}


# ---- the search


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import time", "import time"),
        ("import time as clock", "import time"),
        ("from time import monotonic_ns", "import time"),
        ("import os, random", "import random"),
        ("import random\nrandom.random()", "random.random"),
        ("import random\nrandom.Random()", "random.Random()"),
        ("import random\nrandom.Random(7)", "random.Random(seed)"),
        ("import random\nrandom.SystemRandom()", "random.SystemRandom()"),
        ("from secrets import token_bytes", "import secrets"),
        ("import uuid", "import uuid"),
        ("import socket", "import socket"),
        ("import select", "import select"),
        ("import threading", "import threading"),
        ("from concurrent.futures import ThreadPoolExecutor", "import concurrent.futures"),
        ("def f():\n    import asyncio", "import asyncio"),
        ("import os\nos.urandom(4)", "os.urandom"),
        ("from os import urandom", "os.urandom"),
        ("import os\nos.environ['X']", "os.environ"),
        ("import os\nos.getenv('X')", "os.getenv"),
        ("import os\nfor name in os.listdir('.'): pass", "listdir() unsorted"),
        ("names = [p.name for p in folder.iterdir()]", "iterdir() unsorted"),
        ("for path in Path('.').glob('*.elf'): pass", "glob() unsorted"),
        ("key = hash(name)", "hash()"),
        ("heap.append((when, id(timer), timer))", "id()"),
        ("__import__('time')", "__import__()"),
        ("for device in {a, b}: pass", "iteration over a set"),
        ("for device in set(devices): pass", "iteration over a set"),
        ("order = list(frozenset(devices))", "iteration over a set"),
        ("order = [d.name for d in {d for d in devices}]", "iteration over a set"),
        ("order = [*set(devices)]", "iteration over a set"),
        ("text = ','.join({'a', 'b'})", "iteration over a set"),
        ("for name in old.keys() - new.keys(): pass", "iteration over a set"),
        ("for name in set(old) | set(new): pass", "iteration over a set"),
        ("held = set()\nfor key in held: pass", "iteration over a set"),
        ("class A:\n    def f(self):\n        self.held = {1}\n        return list(self.held)", "iteration over a set"),
        ("def f(held: set[int]):\n    for key in held: pass", "iteration over a set"),
        ("held: set[str] = make()\nfirst = next(iter(held))", "iteration over a set"),
        ("held = {1, 2}\nheld.pop()", "pop() of a set"),
    ],
)
def test_planted_offender_is_found(source: str, what: str) -> None:
    assert what in [finding.what for finding in findings_in(source, "planted.py")]


@pytest.mark.parametrize(
    "source",
    [
        "import json\nimport struct",
        "class A:\n    def time(self): return self.clock.time()",
        "import os\nfor name in sorted(os.listdir('.')): pass",
        "names = sorted(path.name for path in folder.iterdir())",
        "for device in sorted({a, b}): pass",
        "is_known = name in {'a', 'b'}",
        "count = len(set(names))",
        "first = min({b.name for b in boards})",
        "for key in {'a': 1}: pass",
        "held = set()\nheld.add(1)\nis_held = 1 in held",
        "timer.id = 5\nself.hash(3)",
    ],
)
def test_what_is_the_same_in_every_run_is_not_found(source: str) -> None:
    assert findings_in(source, "planted.py") == []


def test_finding_tells_file_and_line() -> None:
    (finding,) = findings_in("x = 1\n\nimport time\n", "emu/machine.py")
    assert str(finding) == "emu/machine.py:3: import time"
