"""Text for people: made harmless, and calls as people write them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast


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


def sentence(text: str) -> str:
    """Close what was said as a sentence, where it is not one yet: another one follows."""
    said = text.rstrip()
    return text if said.endswith((".", "!", "?", ":", "…")) else f"{said}."


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
