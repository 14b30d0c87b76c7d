"""The text of a web page, with its structure as Markdown writes it: headings, lists, tables, code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bs4.element import NavigableString, Tag

_UNSEEN = frozenset({"script", "style", "template", "noscript", "svg", "iframe", "object", "head", "nav"})
_INLINE = frozenset(
    """a abbr b bdi bdo big cite code data del dfn em font i img input ins kbd label mark q s samp small span strike
    strong sub sup time tt u var wbr""".split()  # noqa: SIM905 - a list of quoted words reads worse
)
_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}
_BLANKS = re.compile(r"[ \t\r\n\f]+")


def html_text(html: str) -> str:
    """Return what a page says; its title is the first heading where it has none. Takes any text."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(html, "html.parser")
    writer = _Writer()
    title = " ".join(soup.title.get_text().split()) if soup.title else ""
    if title and not soup.find("h1"):
        writer.block(f"# {title}")
    _walk(soup, writer)
    return writer.text()


class _Writer:
    """Blocks of text with blank lines between."""

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._line: list[str] = []
        self.prefix = ""
        """Of the next block: `# `, `- `."""
        self.cells: list[str] | None = None
        """Of the table row that is being read."""

    def add(self, text: str) -> None:
        """Go on in the present block."""
        self._line.append(_BLANKS.sub(" ", text))

    def end(self) -> None:
        """End the present block."""
        text = _BLANKS.sub(" ", "".join(self._line)).strip()
        self._line = []
        if text and self.cells is not None:
            self.cells.append(text)
        elif text:
            self.block(self.prefix + text)
            self.prefix = ""

    def block(self, text: str) -> None:
        """Add a whole block; the items of a list and the rows of a table stand together."""
        close = self._blocks and text[:2] in ("- ", "| ") and self._blocks[-1][:2] == text[:2]
        if close:
            self._blocks[-1] += f"\n{text}"
        else:
            self._blocks.append(text)

    def text(self) -> str:
        """Return all blocks."""
        self.end()
        return "\n\n".join(self._blocks) + "\n" if self._blocks else ""


def _walk(root: Tag, writer: _Writer) -> None:
    """Write a tree, without recursion: pages may nest as deep as they like."""
    from bs4.element import NavigableString, PreformattedString, Tag

    stack: list[tuple[Tag | NavigableString, bool]] = [(root, False)]
    while stack:
        node, left = stack.pop()
        if left:
            assert isinstance(node, Tag)
            _leave(node, writer)
        elif isinstance(node, Tag):
            if node.name not in _UNSEEN and _enter(node, writer):
                stack.append((node, True))
                stack += [
                    (child, False)
                    for child in reversed(node.contents)
                    if isinstance(child, Tag | NavigableString)  # pyright: ignore[reportUnnecessaryIsInstance]
                ]
        elif not isinstance(node, PreformattedString):  # comments and their like
            writer.add(str(node))


def _enter(tag: Tag, writer: _Writer) -> bool:
    """Begin an element; say whether what is in it comes next."""
    if tag.name in _INLINE:
        return True
    writer.end()
    if tag.name == "pre":
        code = tag.get_text().strip("\r\n")
        if writer.cells is None and code.strip():
            writer.block(f"```\n{code}\n```")
        return False
    if tag.name == "li":
        writer.prefix = "- "
    elif tag.name in _HEADINGS:
        writer.prefix = _HEADINGS[tag.name] + " "
    elif tag.name == "tr" and writer.cells is None:
        writer.cells = []
    return True


def _leave(tag: Tag, writer: _Writer) -> None:
    if tag.name in _INLINE:
        return
    writer.end()
    if tag.name == "tr" and writer.cells is not None:
        cells, writer.cells = writer.cells, None
        if cells:
            writer.block(f"| {' | '.join(cells)} |")
    elif tag.name == "li" or tag.name in _HEADINGS:
        writer.prefix = ""
