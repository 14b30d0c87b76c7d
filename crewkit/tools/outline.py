"""A short form of JSON: its keys and the beginnings of what is long in it, as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, cast

LEAST = 48
"""Bytes in which every value has a form."""
WORTH_BEGINNING = 200
"""Bytes from which on a value that does not fit whole is begun in what is left."""


class _Number(str):
    """A number as it was written."""


@dataclass(slots=True)
class _Node:
    """A JSON value with its parts."""

    kind: str
    """`object`, `list`, `text`, or `other`."""
    size: int
    """Bytes of the value, written."""
    text: str = ""
    """The value, written, where it has no parts."""
    parts: list[_Node] = field(default_factory=list["_Node"])
    keys: list[str] = field(default_factory=list[str])
    """For an object: its keys, written."""

    def write(self) -> str:
        """Write the whole value."""
        match self.kind:
            case "object":
                fields = (f"{key}:{part.write()}" for key, part in zip(self.keys, self.parts, strict=True))
                return f"{{{','.join(fields)}}}"
            case "list":
                return f"[{','.join(part.write() for part in self.parts)}]"
            case _:
                return self.text


def outline(text: str, room: int) -> str:
    """Return a short form of a JSON object or list that is valid JSON and within the room (bytes of UTF-8).

    Keys are kept as far as there is room for any form of their values; a list keeps its beginning, a text too. What was
    left out stands in its place, as a text with … in it. Empty where the text is no object or list, or the room too
    small.
    """
    if room < 2 * LEAST or not text.lstrip().startswith(("{", "[")):
        return ""
    try:
        value = json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_refuse)
        short = _fit(_node(value), room)
    except (ValueError, RecursionError):
        return ""
    return short if short.startswith(("{", "[")) else ""


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _node(value: Any) -> _Node:
    if isinstance(value, _Number):
        return _Node("other", len(value), value)
    if isinstance(value, dict):
        given = cast("dict[str, Any]", value)
        keys, parts = [_written(key) for key in given], [_node(part) for part in given.values()]
        size = 2 + sum(_size(key) + 1 for key in keys) + _joined(parts)
        return _Node("object", size, parts=parts, keys=keys)
    if isinstance(value, list):
        parts = [_node(part) for part in cast("list[Any]", value)]
        return _Node("list", 2 + _joined(parts), parts=parts)
    text = _written(value)
    return _Node("text" if isinstance(value, str) else "other", _size(text), text)


def _joined(parts: list[_Node]) -> int:
    return sum(part.size for part in parts) + max(len(parts) - 1, 0)


def _written(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _fit(node: _Node, room: int) -> str:
    """Write a value within a room of at least `LEAST` bytes."""
    if node.size <= room:
        return node.write()
    match node.kind:
        case "object":
            return _fit_object(node, room)
        case "list":
            return _fit_list(node, room)
        case "text":
            return _fit_text(json.loads(node.text), room)
        case _:
            return _written(f"… a number of {len(node.text):,} characters")


def _fit_object(node: _Node, room: int) -> str:
    frames = [_size(key) + 2 for key in node.keys]  # a colon and a comma
    least = [frame + min(part.size, LEAST) for frame, part in zip(frames, node.parts, strict=True)]
    kept, rest = len(least), ""
    if sum(least) + 1 > room:
        used, kept = 1 + LEAST, 0
        while used + least[kept] <= room:
            used += least[kept]
            kept += 1
        if not kept:
            return _written(f"… an object of {len(least):,} keys")
        rest = f'"…":{_written(f"{len(least) - kept:,} more keys")}'
    free = room - 1 - sum(frames[:kept]) - (LEAST if rest else 0)
    rooms = _shares([part.size for part in node.parts[:kept]], free)
    fields = [
        f"{key}:{_fit(part, share)}" for key, part, share in zip(node.keys, node.parts, rooms, strict=False)
    ]
    return f"{{{','.join([*fields, rest] if rest else fields)}}}"


def _shares(sizes: list[int], free: int) -> list[int]:
    """Divide the room among values: the small ones get what they need, the large ones the same each."""
    shares = [0] * len(sizes)
    order = sorted(range(len(sizes)), key=sizes.__getitem__)
    for done, at in enumerate(order):
        shares[at] = min(sizes[at], free // (len(order) - done))
        free -= shares[at]
    return shares


def _fit_list(node: _Node, room: int) -> str:
    left = room - 2 - LEAST  # brackets, and the words for what is left out
    shown: list[str] = []
    for part in node.parts:
        if part.size + 1 > left:
            if left > (LEAST if not shown else WORTH_BEGINNING) and part.kind != "other":
                shown.append(_fit(part, left - 1))
            break
        shown.append(part.write())
        left -= part.size + 1
    if not shown:
        return _written(f"… a list of {len(node.parts):,} items")
    missing = len(node.parts) - len(shown)
    return f"[{','.join([*shown, _written(f'… {missing:,} more items')] if missing else shown)}]"


def _fit_text(text: str, room: int) -> str:
    """Write the beginning of a text; how long its written form gets is found by halving."""
    low, high = 0, min(len(text), room)
    while low < high:
        middle = (low + high + 1) // 2
        if _size(_shortened(text, middle)) <= room:
            low = middle
        else:
            high = middle - 1
    return _shortened(text, low)


def _shortened(text: str, kept: int) -> str:
    return _written(f"{text[:kept]}… {len(text) - kept:,} more characters")
