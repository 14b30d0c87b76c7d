"""Documents cut into passages at their own structure, with exact places.

Blocks (a heading, a paragraph, a list, fenced code, a table) stay whole where they fit; neighbouring blocks
of a section share a passage; what is too long is cut at list items, lines or sentence ends, then at blanks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from crewkit.memory.base import Record

_Kind = Literal["heading", "code", "list", "lines", "text"]

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")
_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*))?$")
_UNDERLINE = re.compile(r"(=|-|~|\^)\1{2,}$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ITEM = re.compile(r"[ \t]*(?:[-*+•]|\d{1,9}[.)])[ \t]")

# Where a block that is too long may be cut: before these places, the first kind that the block has.
_CUTS: dict[_Kind, re.Pattern[str]] = {
    "heading": re.compile(r"\s(?=\S)"),
    "code": re.compile(r"[\r\n](?=[^\r\n])"),
    "lines": re.compile(r"[\r\n](?=[^\r\n])"),
    "list": re.compile(r"[\r\n](?=[ \t]*(?:[-*+•]|\d{1,9}[.)])[ \t])"),
    # The lookbehinds come first, so that a long run of anything is passed over once.
    "text": re.compile(r"(?<=[.!?…])\s+|(?<=[.!?…][\"'”’»)\]])\s+|(?<=[。！？])"),  # noqa: RUF001
}

_LONGEST_HEADING = 120
"""Characters of a heading kept in the titles below it."""


@dataclass(frozen=True, slots=True)
class _Block:
    kind: _Kind
    start: int
    end: int
    level: int = 0
    heading: str = ""


@dataclass(slots=True)
class _Outline:
    """The headings above a place."""

    title: str
    above: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    def enter(self, level: int, heading: str) -> None:
        """Go on below this heading."""
        while self.above and self.above[-1][0] >= level:
            self.above.pop()
        self.above.append((level, " ".join(heading[:_LONGEST_HEADING].split())))

    def path(self) -> str:
        """Return the document's title and the headings, the highest first."""
        names = [self.title, *(heading for _, heading in self.above)]
        if len(names) > 1 and names[0].casefold() == names[1].casefold():
            del names[0]
        return " › ".join(name for name in names if name)  # noqa: RUF001


def split(text: str, *, source: str, title: str = "", max_chars: int = 800) -> list[Record]:
    """Cut a document into passages of at most `max_chars` characters.

    `text[record.start:record.end] == record.text` for each of them; they do not overlap, and only blanks are
    left out between them. Takes time in proportion to the text, whatever is in it.

    Args:
        text: The document, as `read_document` returns it.
        source: Where it is from, usually its path.
        title: Its title; the headings above a passage are added to it.
        max_chars: Longest passage.
    """
    if max_chars < 1:
        raise ValueError(f"max_chars must be 1 or more, not {max_chars}")
    outline = _Outline(title)
    records: list[Record] = []
    for section in _sections(_blocks(text)):
        for block in section:
            if block.kind == "heading":
                outline.enter(block.level, block.heading)
        path = outline.path()
        pieces = (piece for block in section for piece in _pieces(text, block, max_chars))
        for start, end in _joined(pieces, max_chars):
            records.append(Record(text[start:end], source, start, end, path))
    return records


def _sections(blocks: Iterator[_Block]) -> Iterator[list[_Block]]:
    """Yield the blocks below each heading, with it. Headings with nothing between them stand together."""
    section: list[_Block] = []
    for block in blocks:
        goes_on = section and section[-1].kind == "heading" and block.level > section[-1].level
        if block.kind == "heading" and section and not goes_on:
            yield section
            section = []
        section.append(block)
    if section:
        yield section


def _joined(pieces: Iterator[tuple[int, int]], most: int) -> Iterator[tuple[int, int]]:
    """Put neighbours together while they fit."""
    start, end = next(pieces, (0, 0))
    for next_start, next_end in pieces:
        if next_end - start > most:
            yield start, end
            start = next_start
        end = next_end
    if end > start:
        yield start, end


def _pieces(text: str, block: _Block, most: int) -> Iterator[tuple[int, int]]:
    """Yield the block, cut where it is longer than `most`, each piece without blanks around it."""
    start, end = _trimmed(text, block.start, block.end)
    if end - start <= most:
        if end > start:
            yield start, end
        return
    last = start
    for cut in _CUTS[block.kind].finditer(text, start, end):
        # Cuts nearer than `most` to the last are passed over while the next may still fit.
        if cut.end() - start > most and last > start:
            yield from _forced(text, start, last, most)
            start = last
        last = cut.end()
    if end - start > most and last > start:
        yield from _forced(text, start, last, most)
        start = last
    yield from _forced(text, start, end, most)


def _forced(text: str, start: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    """Yield a stretch, cut at its last blank before `most`, or at `most` where there is none."""
    start, end = _trimmed(text, start, end)
    while end - start > most:
        cut = start + most
        while cut > start and not text[cut].isspace():
            cut -= 1
        stop = cut if cut > start else start + most
        yield _trimmed(text, start, stop)
        start, end = _trimmed(text, stop, end)
    if end > start:
        yield start, end


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _blocks(text: str) -> Iterator[_Block]:
    """Yield the document's blocks in their order."""
    return _Scanner(text).blocks()


class _Scanner:
    """One pass over the lines of a document."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = [match.span() for match in _LINE.finditer(text)]
        self._at = 0

    def blocks(self) -> Iterator[_Block]:
        """Yield the blocks in their order."""
        if self._lines and self._line(0) == "---":
            yield from self._front_matter()
        while self._at < len(self._lines):
            if self._line(self._at):
                yield self._block()
            else:
                self._at += 1

    def _line(self, i: int) -> str:
        """Return a line without the blanks at its end; empty beyond the last."""
        return self._text[slice(*self._lines[i])].rstrip() if i < len(self._lines) else ""

    def _take(self, kind: _Kind, count: int, level: int = 0, heading: str = "") -> _Block:
        start, self._at = self._at, self._at + count
        return _Block(kind, self._lines[start][0], self._lines[self._at - 1][1], level, heading)

    def _front_matter(self) -> Iterator[_Block]:
        for i in range(1, len(self._lines)):
            if self._line(i) == "---":
                yield self._take("lines", i + 1)
                return

    def _block(self) -> _Block:
        line = self._line(self._at)
        if found := _HEADING.match(line):
            return self._take("heading", 1, len(found[1]), (found[2] or "").rstrip("# \t"))
        if found := _FENCE.match(line):
            return self._code(found[1])
        if not _ITEM.match(line) and (under := _UNDERLINE.match(self._line(self._at + 1))):
            return self._take("heading", 2, "=-~^".index(under[1]) + 1, line.strip())
        if _ITEM.match(line):
            return self._list()
        if line.lstrip().startswith("|"):
            return self._while(lambda following: following.lstrip().startswith("|"), "lines")
        return self._while(lambda following: not self._begins(following), "text")

    def _code(self, fence: str) -> _Block:
        closing = re.compile(rf" {{0,3}}{fence[0]}{{{len(fence)},}}$")
        count = 1
        while self._at + count < len(self._lines):
            count += 1
            if closing.match(self._line(self._at + count - 1)):
                break
        return self._take("code", count)

    def _list(self) -> _Block:
        """Take items, what is indented below them, and the blank lines between."""
        count = end = 1
        while self._at + count < len(self._lines):
            line = self._line(self._at + count)
            if (
                line
                and not _ITEM.match(line)
                and (self._begins(line) or (end < count and line[0] not in " \t"))
            ):
                break
            count += 1
            if line:
                end = count
        return self._take("list", end)

    def _while(self, belongs: Callable[[str], bool], kind: _Kind) -> _Block:
        count = 1
        while (line := self._line(self._at + count)) and belongs(line):
            count += 1
        return self._take(kind, count)

    def _begins(self, line: str) -> bool:
        """Say whether a line ends a paragraph by beginning something else."""
        return bool(_HEADING.match(line) or _FENCE.match(line) or line.lstrip().startswith("|"))
