"""The shapes of what readers look into: what a damaged or foreign event holds instead is as good as not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

Data = dict[str, Any]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _is_list_of_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in cast("list[object]", value))


def _is_list_of_calls(value: object) -> bool:
    return _is_list_of_objects(value) and all(
        isinstance(call.get(name), str)
        for call in cast("list[Data]", value)
        for name in ("id", "name", "arguments")
    )


_SHAPES: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(("seconds", "usd", "received", "selected"), _is_number),
    **dict.fromkeys(("role", "content"), _is_text),
    **dict.fromkeys(("offered", "effects"), _is_list),
    **dict.fromkeys(("hits", "withheld", "tasks"), _is_list_of_objects),
    "tool_calls": _is_list_of_calls,
}
_NEVER_NULL = frozenset(("role", "content", "tool_calls"))


_OF_TYPE: dict[str, dict[str, Callable[[object], bool]]] = {"decision.made": {"chosen": _is_list_of_objects}}


_NONE: dict[str, Callable[[object], bool]] = {}


def readable(type: str, data: Data) -> Data:
    """Return an event's data without what has another shape than it has in every event of ours."""
    of_type = _OF_TYPE.get(type, _NONE)
    looked_at = [name for name in data if name in _SHAPES or name in of_type]
    odd = [name for name in looked_at if not _fits(type, name, data[name])]
    return {name: value for name, value in data.items() if name not in odd} if odd else data


def _fits(type: str, name: str, value: object) -> bool:
    fits = _SHAPES.get(name) or _OF_TYPE.get(type, {}).get(name)
    return fits is None or fits(value) or (value is None and name not in _NEVER_NULL)


def no_constant(name: str) -> float:
    """Refuse NaN and Infinity, which are no JSON.

    Raises:
        ValueError: Always.
    """
    raise ValueError(f"{name} is no JSON value")
