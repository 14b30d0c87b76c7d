"""What was wrong with an earlier answer, and the answer without it."""

from __future__ import annotations

import re
from typing import Any

from crewkit.core.messages import canonical
from crewkit.models.offline.material import Case, as_array, as_object, decode

_NUMBERED = re.compile(r"\b(?:item|point|entry|citation|number|source) (\d{1,3})\b", re.IGNORECASE)
_PLACED = re.compile(r"(?:^- |[a-z]\.|/|\[)(\d{1,3})(?=[.\]/:])", re.MULTILINE)
_ESCAPE = re.compile(r"\\(?:[nrt]|(?=[\"'\\]))")


def refused(case: Case) -> set[str]:
    """Return the list entries, as canonical JSON, that complaints about earlier answers name.

    An entry is named by its number, or by its longest text; where no entry is, by any text of some length.
    """
    return {canonical(entry) for answer, why in case.complaints for entry in _blamed(decode(answer), why)}


def without(value: Any, entries: set[str]) -> Any:
    """Leave those entries out of every list in a value."""
    if not entries:
        return value
    if (items := as_array(value)) is not None:
        return [without(item, entries) for item in items if canonical(item) not in entries]
    if (row := as_object(value)) is not None:
        return {key: without(v, entries) for key, v in row.items()}
    return value


def _blamed(answer: Any, why: str) -> list[Any]:
    told = " ".join(_ESCAPE.sub(lambda m: " " if len(m.group()) > 1 else "", why).split())
    numbered = {int(n) for n in _NUMBERED.findall(why)} | {int(n) + 1 for n in _PLACED.findall(why)}
    surely: list[Any] = []
    perhaps: list[Any] = []
    for i, item in _entries(answer):
        texts = sorted((" ".join(text.split()) for text in _texts(item)), key=len, reverse=True)
        if i in numbered or (texts and len(texts[0]) > 3 and texts[0] in told):
            surely.append(item)
        elif any(len(text) > 7 and text in told for text in texts):
            perhaps.append(item)
    return surely or perhaps


def _entries(answer: Any) -> list[tuple[int, Any]]:
    """Return the entries of all lists in an answer, each with its number."""
    found: list[tuple[int, Any]] = []
    stack: list[Any] = [answer]
    while stack:
        value = stack.pop()
        if (row := as_object(value)) is not None:
            stack += row.values()
        elif (items := as_array(value)) is not None:
            found += enumerate(items, 1)
            stack += items
    return found


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if (row := as_object(value)) is not None:
        return [text for v in row.values() for text in _texts(v)]
    return [text for v in as_array(value) or () for text in _texts(v)]
