"""Text on its way to a screen: made harmless, measured, cut."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

Style = str
"""`""`, `dim`, `bold`, `red`, `green`, `yellow`, `cyan`: words that rich and click both know."""


def _escapes() -> Iterator[int]:
    """Yield what must never reach a terminal as it is."""
    yield from (c for c in range(0x20) if chr(c) not in "\n\t")
    yield from range(0x7F, 0xA0)  # DEL and the C1 controls, among them an eight-bit ESC [
    yield from (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))  # writing direction
    yield from (0x2028, 0x2029, 0x200B, 0x2060, 0xFEFF)  # line ends and blanks that no one sees
    yield from range(0xE0000, 0xE0080)  # tags: text that is not drawn, but read by models


def _escaped(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_TABLE = {code: _escaped(code) for code in (*_escapes(), *range(0xD800, 0xE000))}


def safe(text: str) -> str:
    """Write out whatever would steer a terminal or hide itself: escapes, controls, direction overrides."""
    if text.isascii() and text.isprintable():
        return text
    return text.replace("\r\n", "\n").translate(_TABLE)


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


def compact(value: object) -> str:
    """Write JSON data for people: a text as it is, anything else as JSON on one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def call_text(tool: str, arguments: Any) -> str:
    """Write a call as people write one: `search(query="x", limit=5)`."""
    if isinstance(arguments, Mapping):
        pairs = cast("Mapping[str, Any]", arguments)
        inside = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in pairs.items())
        return f"{tool}({inside})"
    return f"{tool}({compact(arguments)})" if arguments not in (None, "") else f"{tool}()"


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
