"""What a function does, as a hash: its code, and all of one's own that it refers to.

Found by reading, never by running: the code of the function, its defaults, what it closes over, and the constants,
functions and classes that it names, through as many calls as it takes. Code of the standard library and of installed
packages counts by its name. What a program changes while it runs (lists, counters, objects) does not count.
"""

from __future__ import annotations

import dis
import functools
import inspect
import os
import re
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, cast, get_args, get_origin
from uuid import UUID

from crewkit.core.messages import fingerprint

_PLAIN = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    type(...),
    range,
    Decimal,
    UUID,
    date,
    timedelta,
    PurePath,
)
_OPENING = {"LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL"}


def code_hash(*values: object) -> str:
    """Hash what some values are, functions and classes with the code that they run through."""
    reach = _Reach(values)
    return fingerprint(*(reach.told(value, constant=True) for value in values), *reach.found())


class _Reach:
    """All of one's own code that can be reached from some values, each piece once, so that circles end."""

    def __init__(self, roots: Iterable[object]) -> None:
        self._packages = {_package(root) for root in roots} - {"crewkit", ""}
        self._seen: dict[int, object] = {}
        self._queue: list[Callable[[], Iterator[str]]] = []

    def found(self) -> list[str]:
        """Describe the functions and classes that were met, in an order that depends on nothing else."""
        pieces: list[str] = []
        while self._queue:
            pieces.append(fingerprint(*self._queue.pop()()))
        return sorted(pieces)

    def told(self, value: object, *, constant: bool = False) -> str:
        """Describe a value in its place.

        Args:
            value: Anything.
            constant: Lists and the like count as well: nothing changes them while the program runs.
        """
        name = self._name(type(value), _file(type(value).__module__))
        if isinstance(value, Enum):
            return f"{name} {value.name} {value.value!r}"
        if isinstance(value, _PLAIN):
            return f"{name} {value!r}"
        if isinstance(value, re.Pattern):
            return f"{name} {cast('Any', value).pattern!r} {cast('Any', value).flags}"
        if isinstance(value, tuple | frozenset) or (constant and isinstance(value, list | set)):
            parts = [self.told(each, constant=constant) for each in cast("Iterable[Any]", value)]
            return f"{name} [{', '.join(parts if isinstance(value, tuple | list) else sorted(parts))}]"
        if isinstance(value, Mapping):
            if not constant:
                return name
            pairs = cast("Mapping[Any, Any]", value).items()
            return f"{name} {{{', '.join(sorted(f'{self.told(k)}: {self.told(v, constant=True)}' for k, v in pairs))}}}"
        return self._code(value) or self._object(value, name)

    def _code(self, value: Any) -> str:
        """Describe what holds code; empty for all else."""
        if isinstance(value, functools.partial):
            held = cast("functools.partial[Any]", value)
            return f"partial {self.told(held.func)} {self.told(held.args)} {self.told(held.keywords, constant=True)}"
        if isinstance(value, MethodType):
            return f"method {self.told(value.__func__)} of {self.told(type(value.__self__))}"
        if isinstance(value, staticmethod | classmethod):
            return f"{type(cast('object', value)).__name__} {self.told(cast('Any', value).__func__)}"
        if isinstance(value, property):
            return f"property {self.told((value.fget, value.fset, value.fdel))}"
        if isinstance(value, FunctionType):
            name = f"function {self._name(value, value.__code__.co_filename)}"
            if self._own(value.__module__, value.__code__.co_filename):
                self._meet(value, lambda: self._function(value))
                return name
            wrapped = getattr(value, "__wrapped__", None)
            return f"{name} around {self.told(wrapped)}" if wrapped is not None else name
        if isinstance(value, BuiltinFunctionType):
            return f"function {value.__module__}.{value.__qualname__}"
        if isinstance(value, type):
            if self._own(value.__module__, _file(value.__module__)):
                self._meet(value, lambda: self._class(value))
            return f"class {self._name(value, _file(value.__module__))}"
        if get_origin(value) is not None:
            return f"{get_origin(value)!r:.200} {[self.told(each) for each in get_args(value)]}"
        wrapped = getattr(value, "__wrapped__", None)
        return f"{type(value).__qualname__} around {self.told(wrapped)}" if callable(wrapped) else ""

    def _object(self, value: Any, name: str) -> str:
        """Describe an object: by its class, and what is in it where that cannot change."""
        if isinstance(value, ModuleType):
            return f"module {value.__name__}"
        kind = self.told(cast("object", type(value)))
        if is_dataclass(value) and getattr(type(value), "__dataclass_params__").frozen:  # noqa: B009
            parts = [f"{f.name}={self.told(getattr(value, f.name, None))}" for f in fields(value)]
            return f"{kind} {', '.join(parts)}"
        return kind or name

    def _meet(self, value: object, describe: Callable[[], Iterator[str]]) -> None:
        if id(value) not in self._seen:
            self._seen[id(value)] = value
            self._queue.append(describe)

    def _function(self, function: FunctionType) -> Iterator[str]:
        code = function.__code__
        yield function.__qualname__
        yield from _code_parts(code)
        yield self.told(function.__defaults__)
        for name, value in sorted((function.__kwdefaults__ or {}).items()):
            yield f"{name}={self.told(value)}"
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:
                continue
            yield f"{name}: {self.told(value)}"
        names, written = _globals(code)
        for name in sorted(names.keys() - written & names.keys()):
            if name in function.__globals__:
                yield from self._global(name, function.__globals__[name], names[name])

    def _global(self, name: str, value: object, attributes: Iterable[str]) -> Iterator[str]:
        """Describe a global that a function reads: a name in capitals is a constant, whatever it holds."""
        if isinstance(value, ModuleType) and self._own(
            value.__name__, getattr(value, "__file__", None) or ""
        ):
            for attribute in sorted(attributes):
                told = self.told(getattr(value, attribute, None), constant=attribute.isupper())
                yield f"{name}.{attribute}: {told}"
        else:
            yield f"{name}: {self.told(value, constant=name.isupper())}"

    def _class(self, kind: type) -> Iterator[str]:
        yield kind.__qualname__
        yield from (self.told(base) for base in kind.__bases__)
        yield repr(sorted(map(repr, inspect.get_annotations(kind).items())))
        schema = getattr(kind, "model_json_schema", None)
        if callable(schema):
            try:
                yield repr(schema())
            except Exception as error:  # noqa: BLE001  a class of somebody's own: it has no schema
                yield type(error).__name__
        for name, value in sorted(vars(kind).items()):
            if isinstance(
                value, FunctionType | staticmethod | classmethod | property | functools.cached_property
            ):
                held: Any = cast("object", value)
                yield f"{name}: {self.told(getattr(held, 'func', held))}"
            elif not name.startswith("_") and not callable(value):
                yield f"{name}: {self.told(value, constant=name.isupper())}"

    def _name(self, value: Any, file: str) -> str:
        """Name a function or a class; one's own file may move."""
        module = "" if self._own(value.__module__, file) else f"{value.__module__}."
        return f"{module}{value.__qualname__}"

    def _own(self, module: str, file: str) -> bool:
        """Say whether code is the user's: of the packages that were asked about, or nowhere installed."""
        package = module.partition(".")[0]
        if package in self._packages:
            return True
        return package != "crewkit" and package not in sys.stdlib_module_names and not _installed(file)


def _package(value: object) -> str:
    module = getattr(value, "__module__", None) or type(value).__module__
    return module.partition(".")[0] if module.partition(".")[0] not in sys.stdlib_module_names else ""


def _file(module: str) -> str:
    return getattr(sys.modules.get(module), "__file__", None) or ""


@functools.cache
def _installed_below() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple({os.path.join(paths[name], "") for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def _installed(file: str) -> bool:
    return file.startswith((*_installed_below(), "<frozen"))


def _globals(code: CodeType) -> tuple[dict[str, set[str]], set[str]]:
    """Return the globals that code reads, with the attributes that are read of each, and those that it writes."""
    read: dict[str, set[str]] = {}
    written: set[str] = set()
    last = ""
    for step in dis.get_instructions(code):
        if step.opname == "STORE_GLOBAL":
            written.add(str(step.argval))
        elif step.opname in _OPENING:
            read.setdefault(last := str(step.argval), set())
            continue
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD") and last:
            read[last].add(str(step.argval))
        last = ""
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            more, also = _globals(inner)
            for name, attributes in more.items():
                read.setdefault(name, set()).update(attributes)
            written |= also
    return read, written


def _code_parts(code: CodeType) -> Iterator[str]:
    yield code.co_name
    yield code.co_code.hex()
    yield repr((code.co_names, code.co_varnames, code.co_freevars))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_parts(constant)
        elif isinstance(constant, frozenset):
            yield repr(sorted(map(repr, cast("frozenset[Any]", constant))))
        else:
            yield repr(constant)
