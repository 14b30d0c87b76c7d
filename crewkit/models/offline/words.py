"""Words, sentences and values in plain text, found by rule and in linear time."""

# ruff: noqa: RUF001 - typographic quotes and signs are what it looks for

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from crewkit.models.offline.lexicon import STOP_WORDS

LONGEST_SENTENCE = 500
"""Characters; a longer run without an end is cut at a blank."""

_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_BREAK = re.compile(r"[.!?…][\"'”’)\]]*\s+(?!\([^()\n]{1,100}\)\s*$)|[。！？]\s*", re.MULTILINE)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-Za-z]|[Mm]rs?|[Dd]r|[Pp]rof|[Nn]o|[Vv]s|[Ss]t|etc|e\.g|i\.e|cf|ca|approx)\.$"
)
_MARKER = re.compile(r"\s*(?:[-*+•>]|\d{1,3}[.)])[ \t]+")
_OWN_LINE = re.compile(r"\s*(?:[-*+•|>]\s?|\d{1,3}[.)]\s|#{1,6}\s|```|[\w ()/-]{1,40}:\s)")


def words(text: str) -> list[str]:
    """Return the words of a text in lower case; scripts without blanks give pairs of characters."""
    found = _WORD.findall(text.casefold())
    if not _WIDE.search(text):
        return found
    return [part for word in found for part in _pairs(word)]


def _pairs(word: str) -> list[str]:
    if len(word) < 3 or not _WIDE.search(word):
        return [word]
    return [word[i : i + 2] for i in range(len(word) - 1)]


def name_words(name: str) -> list[str]:
    """Split an identifier into its words: `orderId` and `order_id` give `order`, `id`."""
    return words(_CAMEL.sub(" ", name).replace("_", " "))


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Cut an English word to a rough stem, so that `files` and `file`, `migrated` and `migrate` meet."""
    if len(word) < 4 or not word.isascii():
        return word
    word = _singular(word)
    for ending in ("ingly", "edly", "ing", "ed", "ion", "ly", "ment"):
        base = word.removesuffix(ending)
        if base != word and len(base) >= 3 and any(letter in "aeiouy" for letter in base):
            word = base[:-1] if len(base) > 3 and base[-1] == base[-2] and base[-1] not in "lsz" else base
            break
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    return word[:-1] + "i" if len(word) > 2 and word.endswith("y") else word


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def singular(name: str) -> str:
    """Return an identifier with its last word in the singular: `file_paths` gives `file_path`."""
    return _singular(name) if len(name) > 3 else name


def stems(text: str) -> list[str]:
    """Return the stems of the words of a text that are no stop words."""
    return [stem(word) for word in words(text) if word not in STOP_WORDS]


def name_stems(name: str) -> tuple[str, ...]:
    """Return the stems of the words of an identifier."""
    return tuple(stem(word) for word in name_words(name))


def sentences(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield each sentence as (start, end, heading above it), offsets in characters; headings that end the text too."""
    heading = ""
    headings: list[tuple[int, int, str]] = []
    for start, end in _blocks(text):
        block = text[start:end].strip()
        if block.startswith("#") and "\n" not in block:
            heading = block.lstrip("# ").rstrip("# ")
            headings += ((a, b, "") for a, b in _trimmed(text, start, end))
        else:
            headings.clear()
            yield from ((a, b, heading) for a, b in _split(text, start, end))
    yield from headings


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Join wrapped lines into one block; list items, table rows and labelled lines stand alone."""
    begin = position = 0
    previous_alone = False
    for line in text.splitlines(keepends=True):
        alone = _OWN_LINE.match(line) is not None
        heading = line.lstrip().startswith("#")
        if not line.strip() or alone or previous_alone:
            if begin < position:
                yield begin, position
            begin = position if line.strip() else position + len(line)
        previous_alone = heading
        position += len(line)
    if begin < position:
        yield begin, position


def _split(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    begin = mark.end() if (mark := _MARKER.match(text, start, end)) else start
    for mark in _BREAK.finditer(text, start, end):
        stop = mark.end() - (len(mark.group()) - len(mark.group().rstrip()))
        if not _ABBREVIATION.search(text[max(begin, stop - 12) : stop]):
            yield from _trimmed(text, begin, stop)
            begin = mark.end()
    yield from _trimmed(text, begin, end)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    while end - start > LONGEST_SENTENCE:
        cut = text.rfind(" ", start + LONGEST_SENTENCE // 2, start + LONGEST_SENTENCE)
        cut = cut if cut > 0 else start + LONGEST_SENTENCE
        yield start, cut
        start = cut + (text[cut] == " ")
    if end > start:
        yield start, end


def one_line(text: str) -> str:
    """Collapse blanks and drop the marks of a list or a heading."""
    return re.sub(r"^(?:[-*+•>]\s+|\d{1,3}[.)]\s+|#{1,6}\s+)+", "", " ".join(text.split()))


def clip(text: str, length: int) -> str:
    """Cut a text to a length in characters, at a blank where there is one."""
    if len(text) <= length:
        return text
    cut = text.rfind(" ", length // 2, length)
    return text[: cut if cut > 0 else max(length - 1, 0)].rstrip(" ,;:") + "…"


NUMBER = re.compile(
    r"(?<![\w.])[-+]?\d{1,3}(?:[ ,]\d{3})+(?:\.\d+)?(?![\w])|(?<![\w.,-])[-+]?\d+(?:\.\d+)?(?![\w]|\.\d)"
)


def numbers(text: str) -> list[float]:
    """Return the numbers in a text in their order; thousands may be grouped."""
    return [float(re.sub(r"[ ,]", "", found)) for found in NUMBER.findall(text)]
