"""From what a tool returned to the text that a model is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import cast

from crewkit.errors import ToolError

NOTHING = "The tool ran and returned nothing."
"""What a model is shown of `None`: `null` reads like a failure, and `done` claims more than is known."""
KEPT_CHARS = 1_000_000
"""Longest result that is kept, for the journal too: data beyond it is refused, text is cut."""
MAX_DEPTH = 100
"""Most lists and objects within each other."""
MAX_BITS = 3_322
"""Largest integer that is written: a thousand digits. Long ones take minutes to write."""
_PLAIN = frozenset((bool, float, type(None)))


class UnusableResult(ToolError):
    """A tool ran to its end, and what it returned cannot be shown. The message is written for the model."""


def to_text(value: object) -> str:
    """Write what a tool returned: text as it is, data as JSON.

    Raises:
        UnusableResult: It is binary, holds itself, is too large, or has no JSON form.
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return _whole_characters(str.__str__(value))
    if value is None:
        return NOTHING
    if isinstance(value, (bytes, bytearray, memoryview)):
        size = memoryview(cast(bytes, value)).nbytes
        kind = type(cast(object, value)).__name__
        raise UnusableResult(f"The result is binary ({kind}, {size:,} bytes) and cannot be shown as text.")
    return _to_json(value)


def _to_json(value: object) -> str:
    from pydantic_core import to_json

    try:
        _Measure().add(value, 0)
        return to_json(value, inf_nan_mode="strings").decode()
    except UnusableResult:
        raise
    except Exception as error:  # models write themselves: code that we do not own
        raise UnusableResult(
            f"The result, of type {type(value).__name__}, cannot be written as JSON: {str(error)[:300]}"
        ) from error


class _Measure:
    """A lower bound of the JSON's length, found before any of it is written; shared parts are walked once."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}
        self._open: set[int] = set()

    def add(self, value: object, depth: int) -> int:
        if type(value) in _PLAIN:
            return 1
        if isinstance(value, (str, bytes, bytearray)):
            return _allowed(len(value))
        if isinstance(value, int):
            return _digits(value)
        if isinstance(value, Iterator):
            raise UnusableResult("The result holds an iterator, which has no end that can be known.")
        parts = _parts(value)
        if parts is None:
            return 1
        return self._sum(value, parts, depth)

    def _sum(self, value: object, parts: list[object], depth: int) -> int:
        key = id(value)
        if key in self._known:
            return self._known[key]
        if key in self._open:
            raise UnusableResult(f"The result is a {type(value).__name__} that contains itself.")
        if depth >= MAX_DEPTH:
            raise UnusableResult(f"The result is nested more than {MAX_DEPTH} levels deep.")
        size = _allowed(2 * len(parts))
        self._open.add(key)
        for part in parts:
            size += self.add(part, depth + 1)
            if size > KEPT_CHARS:
                _allowed(size)
        self._open.discard(key)
        self._known[key] = size
        return size


def _digits(number: int) -> int:
    if number.bit_length() > MAX_BITS:
        raise UnusableResult("The result holds a number of more than 1,000 digits.")
    return 1


def _parts(value: object) -> list[object] | None:
    if isinstance(value, Mapping):
        mapping = cast(Mapping[object, object], value)
        _allowed(4 * len(mapping))
        return [part for pair in mapping.items() for part in pair]
    if isinstance(value, (list, tuple, set, frozenset)):
        sequence = cast(list[object], value)
        _allowed(2 * len(sequence))
        return list(sequence)
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name, None) for field in fields(value)]
    if hasattr(type(value), "model_fields"):
        return list(vars(value).values())
    return None


def _allowed(size: int) -> int:
    if size > KEPT_CHARS:
        raise UnusableResult(
            f"The result is data of more than {KEPT_CHARS:,} characters, too much to show or to keep. "
            "Ask for less of it, where the tool lets you."
        )
    return size


def _whole_characters(text: str) -> str:
    """Replace halves of surrogate pairs, which no encoding can carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
