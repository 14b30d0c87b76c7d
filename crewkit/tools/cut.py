"""Showing a model as much of a result as its allowance holds, and the rest in pages.

Text is cut at the end of a line. Data keeps its form: a list is shown up to a whole item; within an object the keys
stay, and what is long in it is shortened. Allowances are in tokens, counted as four bytes of UTF-8.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from crewkit.tools.outline import outline

TOKEN_BYTES = 4
"""Bytes a token, roughly, in any language."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Selected:
    """What a model is shown of a result."""

    text: str
    """Within the allowance. Valid JSON where the whole is."""
    left_out: str = ""
    """What was left out, in a few words; empty where nothing was."""
    page: int = 0
    """The page on which what was left out begins; 0 where nothing was."""
    pages: int = 1
    """How many pages the whole has."""


def cut(text: str, tokens: int) -> Selected:
    """Cut a result to an allowance."""
    room = tokens * TOKEN_BYTES
    if _fits(text, room):
        return Selected(text)
    items = _items(text)
    listed = _item_pages(text, items, room)
    if listed:
        shown = sum(1 for _, end in items if end <= listed[0][1])
        left_out = f"{len(items) - shown:,} of {len(items):,} items left out"
        return Selected(_listed(text, listed[0]), left_out, 2, len(listed))
    spans = list(_text_pages(text, room))
    short = outline(text, room)
    if short:
        return Selected(short, f"{len(text):,} characters shortened where … stands", 1, len(spans))
    first = text[: spans[0][1]].removesuffix("\n")
    left_out = f"{len(text) - len(first):,} of {len(text):,} characters left out"
    return Selected(first, left_out, 2, len(spans))


def pages(text: str, tokens: int) -> list[str]:
    """Return the whole of a result in pages within an allowance.

    A list of which every item fits comes as lists, which one after the other hold all of its items; whatever else comes
    as pieces of text, which one after the other are the whole.
    """
    room = tokens * TOKEN_BYTES
    if _fits(text, room):
        return [text]
    listed = _item_pages(text, _items(text), room)
    if listed:
        return [_listed(text, span) for span in listed]
    return [text[start:end] for start, end in _text_pages(text, room)]


def _fits(text: str, room: int) -> bool:
    return len(text) <= room // TOKEN_BYTES or (len(text) <= room and _size(text) <= room)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


# Lists


def _items(text: str) -> list[Span]:
    """Return where the items of a JSON list stand; nothing where the text is no such list."""
    if not text.startswith("["):
        return []
    spans: list[Span] = []
    decoder, at = json.JSONDecoder(), _after_blanks(text, 1)
    try:
        if not isinstance(json.loads(text), list):
            return []
        while text[at] != "]":
            end = decoder.raw_decode(text, at)[1]
            spans.append((at, end))
            at = _after_blanks(text, end)
            at = _after_blanks(text, at + 1) if text[at] == "," else at
    except (ValueError, RecursionError):
        return []
    return spans


def _item_pages(text: str, items: list[Span], room: int) -> list[Span]:
    """Put the items of a list onto pages; nothing where one of them is larger than a page."""
    listed: list[Span] = []
    used = room + 1
    for start, end in items:
        size = _size(text[start:end])
        if size + 2 > room:
            return []
        gap = _size(text[listed[-1][1] : start]) if listed else 0
        if used + gap + size > room:
            listed.append((start, end))
            used = size + 2
        else:
            listed[-1] = (listed[-1][0], end)
            used += gap + size
    return listed


def _listed(text: str, span: Span) -> str:
    return f"[{text[slice(*span)]}]"


def _after_blanks(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


# Text


def _text_pages(text: str, room: int) -> Iterator[Span]:
    """Yield pieces of a text, each within the room and, where it can be, of whole lines."""
    at = 0
    while at < len(text):
        end = at + max(_beginning(text[at : at + room], room), 1)
        line = text.rfind("\n", at + (end - at) // 2, end) + 1
        yield (at, line) if line and end < len(text) else (at, end)
        at = line if line and end < len(text) else end


def _beginning(piece: str, room: int) -> int:
    """Return how many characters of a piece the room holds."""
    if _size(piece) <= room:
        return len(piece)
    return len(piece.encode("utf-8", "surrogatepass")[:room].decode("utf-8", "ignore"))
