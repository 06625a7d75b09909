"""``--device``: a device of the user's own, from a file or a package, with the options of its constructor."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
import traceback
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from minstret.devices.board.own import check_class
from minstret.emu.cli.say import say
from minstret.emu.errors import ConfigError, DeviceError
from minstret.emu.part import Part
from minstret.emu.text import did_you_mean

_INT = re.compile(r"(-?)(0x[0-9a-f_]+|[0-9_]+)([km]?)", re.IGNORECASE | re.ASCII)
_INT_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20}


def make_devices(texts: Sequence[str]) -> tuple[Part, ...]:
    """The devices that ``--device`` asks for.

    Raises:
        ConfigError: there is no such class, or it can't be made with these options.
    """
    return tuple(_made(text) for text in texts)


def devices_to_replay(texts: Sequence[str]) -> tuple[type[Part] | Part, ...]:
    """The same for a replay, where the options are in the trace: the class is enough."""
    return tuple(_made(text) if "," in text else load_class(text) for text in texts)


def _made(text: str) -> Part:
    where, _, rest = text.partition(",")
    kind = load_class(where)
    known = {name: each for name, each in inspect.signature(kind).parameters.items() if name != "self"}
    hints = _hints(kind)
    options: dict[str, Any] = {}
    for pair in filter(None, rest.split(",")):
        key, equals, value = pair.partition("=")
        if key not in known or not equals:
            raise ConfigError(f"--device: {where}: expected {_options_text(known)}, got {pair!r}")
        if key in options:
            raise ConfigError(f"--device: {where}: {key} is given twice")
        options[key] = _converted(f"--device: {where}: {key}", value, hints.get(key) or _kind_of(key, known[key]))
    missing = [name for name, each in known.items() if each.default is each.empty and name not in options]
    if missing:
        raise ConfigError(f"--device: {where}: it needs {' and '.join(f'{name}=...' for name in missing)}")
    try:
        made: Part = kind(**options)
        return made
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        raise DeviceError(f"--device: {where}: {type(error).__name__}: {error}") from error


def _kind_of(key: str, parameter: inspect.Parameter) -> Any:
    """The type of an argument without annotation: that of its default, or that of Device's argument of this name."""
    if parameter.default is parameter.empty:
        return {"base": int, "irq": int, "name": str}.get(key)
    return type(parameter.default)


def _options_text(known: dict[str, inspect.Parameter]) -> str:
    return " or ".join(f"{name}=..." for name in known) or "no options"


def _hints(kind: type) -> dict[str, Any]:
    try:
        return get_type_hints(kind.__init__)  # type: ignore[misc]
    except Exception:  # a name that is imported for type checkers only
        plain = {"int": int, "bool": bool, "str": str}
        return {name: plain.get(each.annotation) for name, each in inspect.signature(kind).parameters.items()}


def _converted(what: str, text: str, kind: Any) -> Any:
    """``text`` as the constructor's annotation says."""
    if get_origin(kind) in (Union, types.UnionType):
        kinds = [each for each in get_args(kind) if each is not type(None)]
        if len(kinds) < len(get_args(kind)) and text == "none":
            return None
        kind = kinds[0]
    if kind is bool:
        if text not in ("on", "off"):
            raise ConfigError(f"{what}: expected on or off, got {text!r}")
        return text == "on"
    if kind is int:
        number = _number(text)
        if number is None:
            raise ConfigError(f"{what}: expected a number such as 12, 0x1000 or 4K, got {text!r}")
        return number
    if kind in (str, type(None)):
        return text
    if kind is None:
        raise ConfigError(f"{what}: say of which type it is: annotate it in __init__, as in speed: int")
    raise ConfigError(f"{what}: it is a {getattr(kind, '__name__', kind)}, which can't be given here")


def _number(text: str) -> int | None:
    """The number that ``text`` says, such as ``12``, ``-0x1000`` or ``4K``; None if it says none."""
    match = _INT.fullmatch(text)
    if match is None:
        return None
    sign, digits, unit = match.groups()
    try:
        number = int(digits, 0 if digits[:2].lower() == "0x" else 10) * _INT_UNITS[unit.lower()]
    except ValueError:  # underscores where there can be none, or thousands of digits
        return None
    return -number if sign else number


# ---- the class


def load_class(text: str) -> type[Part]:
    """The class that ``FILE.py:CLASS`` or ``package.module:CLASS`` names.

    Raises:
        ConfigError: there is none.
        DeviceError: its file raises something.
    """
    where, colon, name = text.partition(",")[0].rpartition(":")
    if not colon or not name.isidentifier() or not where:
        raise ConfigError(f"--device: expected FILE.py:CLASS[,OPTION=...], got {text!r}")
    is_file = where.endswith(".py") or "/" in where
    try:
        module = _file_module(where) if is_file else importlib.import_module(where)
    except SyntaxError as error:
        raise ConfigError(f"--device: {where}: line {error.lineno}: {error.msg}") from None
    except ModuleNotFoundError as error:
        if is_file or error.name is None or not f"{where}.".startswith(f"{error.name}."):
            raise _import_error(where, error) from error
        raise ConfigError(f"--device: there is no module {where}; give a file, such as gpio.py:{name}") from None
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        raise _import_error(where, error) from error
    if not hasattr(module, name):
        classes = [key for key, value in vars(module).items() if _is_own_class(value, module)]
        raise ConfigError(f"--device: {where} has no class {name}{did_you_mean(name, classes)}")
    kind = getattr(module, name)
    check_class(kind, f"--device: {where}:{name}")
    assert isinstance(kind, type)
    return kind


def _is_own_class(value: object, module: types.ModuleType) -> bool:
    return isinstance(value, type) and value.__module__ == module.__name__ and issubclass(value, Part)


class _Source(SourceFileLoader):
    """Loads what a file says now: Python's cache takes a change within a second for none, if the size is the same."""

    def get_code(self, fullname: str) -> types.CodeType:
        return compile(self.get_data(self.path), self.path, "exec", dont_inherit=True)


def _file_module(where: str) -> types.ModuleType:
    """The module in a file, imported once, under a name that no other module has; it finds others in its folder."""
    path = Path(where)
    if not path.is_file():
        raise ConfigError(f"--device: {where}: {'it is a folder' if path.is_dir() else 'no such file'}")
    name = "minstret_device_" + re.sub(r"\W", "_", str(path.resolve()))
    if name in sys.modules:
        return sys.modules[name]
    file = str(path.resolve())
    loader = _Source(name, file) if path.suffix == ".py" else None
    spec = importlib.util.spec_from_file_location(name, file, loader=loader)
    if spec is None or spec.loader is None:
        raise ConfigError(f"--device: {where}: not a Python file; its name has to end in .py")
    if str(path.resolve().parent) not in sys.path:
        sys.path.append(str(path.resolve().parent))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import_error(where: str, error: BaseException) -> DeviceError:
    """An error while the module was imported, with the line of the file that it came from."""
    frames, path = traceback.extract_tb(error.__traceback__), str(Path(where).resolve())
    lines = [frame.lineno for frame in frames if frame.filename == path]
    at = f"line {lines[-1]}: " if lines else ""
    return DeviceError(f"--device: {where}: {at}{type(error).__name__}: {error}")


# ---- a device with a mistake


@contextmanager
def device_errors(is_verbose: bool) -> Iterator[None]:
    """Show the traceback of a device with a mistake where --verbose asks for it."""
    try:
        yield
    except DeviceError as error:
        if error.__cause__ is None:
            raise
        if not is_verbose:
            raise DeviceError(f"{error}; -v shows its traceback") from error.__cause__
        say("".join(_traceback_of(error.__cause__)), nl=False)
        raise


def _traceback_of(error: BaseException) -> list[str]:
    """The traceback from the first line of the device's own on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and _is_ours(trace.tb_frame.f_globals.get("__name__", "")):
        trace = trace.tb_next
    return traceback.format_exception(type(error), error, trace)


def _is_ours(module: str) -> bool:
    return module.startswith(("minstret.", "importlib", "_frozen_importlib"))
