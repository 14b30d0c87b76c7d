"""Code and types that a YAML file names."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from crewkit.errors import did_you_mean
from crewkit.files.lines import Data, File, Place

CODE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
"""`module:attr`."""

_GENERIC = re.compile(r"(list|dict)\[(.+)\]")
_TYPES: Mapping[str, Any] = {"str": str, "int": int, "float": float, "bool": bool, "any": Any, "null": None}


def imported(file: File, at: Place, name: str) -> Any:
    """Return what `module:attr` names."""
    if not CODE.fullmatch(name):
        raise file.wrong(at, f"'{name}' names no code: write module:function.")
    module, _, attr = name.partition(":")
    try:
        found = importlib.import_module(module)
    except Exception as error:
        raise file.wrong(at, f"{module} cannot be imported: {type(error).__name__}: {error}.") from error
    if not hasattr(found, attr):
        near = did_you_mean(attr, vars(found))
        raise file.wrong(at, f"there is no '{attr}' in {module}.{near}")
    return getattr(found, attr)


def type_of(file: File, at: Place, given: Any, name: str) -> Any:
    """Return a type: `str`, `list[str]`, `module:Class`, or the fields of a record."""
    if isinstance(given, dict):
        from pydantic import create_model

        told = {
            key: (type_of(file, (*at, key), value, key), ...) for key, value in cast("Data", given).items()
        }
        title = "".join(part.capitalize() for part in re.split(r"\W|_", name)) or "Output"
        return create_model(title, **cast("Any", told))
    text = str(given).strip()
    if CODE.fullmatch(text):
        return imported(file, at, text)
    return _written_type(file, at, text)


def _written_type(file: File, at: Place, text: str) -> Any:
    parts = list(_split(text, "|"))
    if len(parts) > 1:
        kinds = [_written_type(file, at, part) for part in parts]
        joined = kinds[0]
        for kind in kinds[1:]:
            joined = joined | kind
        return joined
    if match := _GENERIC.fullmatch(text):
        inner = tuple(_written_type(file, at, part) for part in _split(match[2], ","))
        if len(inner) == (1 if match[1] == "list" else 2):
            return list[inner[0]] if match[1] == "list" else dict[inner]  # pyright: ignore[reportInvalidTypeArguments]
    if text not in _TYPES:
        raise file.wrong(
            at, f"'{text}' is no type. There are: {', '.join(_TYPES)}, list[…], dict[str, …], module:Class."
        )
    return _TYPES[text]


def _split(text: str, mark: str) -> Iterator[str]:
    """Split at a mark that stands outside of brackets."""
    depth, part = 0, ""
    for letter in text:
        depth += (letter == "[") - (letter == "]")
        if letter == mark and not depth:
            yield part.strip()
            part = ""
        else:
            part += letter
    yield part.strip()
