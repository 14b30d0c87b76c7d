"""Text on its way to a screen: made harmless, measured, cut."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, cast

from crewkit.core.text import safe

Style = str
"""`""`, `dim`, `bold`, `red`, `green`, `yellow`, `cyan`: words that rich and click both know."""


def one_line(text: str, width: int = 0) -> str:
    """Make text safe and put it on one line, cut to a width where one is given."""
    joined = " ".join(safe(text).split())
    return cut(joined, width) if width else joined


def cells(text: str) -> int:
    """Return how many columns a line takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_cell(char) for char in text)


def cut(text: str, width: int) -> str:
    """Cut a line to this many columns, with `…` where something is gone."""
    if cells(text) <= width:
        return text
    room, kept = width - 1, ""
    for char in text:
        room -= _cell(char)
        if room < 0:
            break
        kept += char
    return f"{kept}…"


def _cell(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def arguments_of(call: Mapping[str, Any]) -> Any:
    """Return a model's arguments as data where they are an object, and as it wrote them where not."""
    text = call.get("arguments")
    try:
        value = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return text
    return cast("Any", value) if isinstance(value, dict) and value else text


def number(value: float) -> str:
    """Write a count with thousands separators."""
    return f"{value:,.0f}"


def money(usd: float | None) -> str:
    """Write a price; one that nobody knows is said to be so."""
    if usd is None:
        return "unknown cost"
    return f"{usd:.4f} usd" if usd else "0 usd"


def duration(seconds: float) -> str:
    """Write seconds for people: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def count(many: int, word: str) -> str:
    """Write `1 task`, `2 tasks`."""
    return f"{many:,} {word}" if many == 1 else f"{many:,} {word}s"


def sparkline(values: Sequence[float]) -> str:
    """Draw figures as a row of bars, the greatest of them full."""
    most = max(values, default=0)
    return "".join("▁▂▃▄▅▆▇█"[min(int(8 * value / most), 7)] if most else "▁" for value in values)


def size(many: float) -> str:
    """Write bytes for people: `812 B`, `3.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if many < 1000 or unit == "GB":
            break
        many /= 1000
    return f"{many:.0f} B" if unit == "B" else f"{many:.1f} {unit}"
