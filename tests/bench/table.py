"""Rows of the benchmark table, and where it is kept."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
HEAD = ("what", "crewkit", "against", "ratio", "goal", "met")


@dataclass(frozen=True)
class Row:
    """One measurement: what was measured, of whom, beside whom."""

    what: str
    ours: str
    theirs: str
    ratio: str
    goal: str = ""
    met: bool | None = None
    """`None` where there is no goal: the row is for comparison."""

    def cells(self) -> tuple[str, ...]:
        met = {True: "yes", False: "**no**", None: ""}[self.met]
        return self.what, self.ours, self.theirs, self.ratio, self.goal, met


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"


def times(ours: float, theirs: float) -> str:
    return f"{ours / theirs:.2f} times"


def render(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table that also reads well in a terminal."""
    table = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(cells[i]) for cells in table) for i in range(len(HEAD))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    return "\n".join([line(HEAD), line(["-" * width for width in widths]), *map(line, table[1:])])


def versions() -> str:
    """Say what ran, and when."""
    others = ", ".join(f"{name} {version(name)}" for name in ("litellm", "openai", "httpx", "chromadb"))
    return f"{date.today():%d %B %Y}, Python {platform.python_version()}, {others}."


def write(document: Path, text: str) -> None:
    """Put the table between the document's markers."""
    head, _, rest = document.read_text(encoding="utf-8").partition(BEGIN)
    _, _, tail = rest.partition(END)
    document.write_text(f"{head}{BEGIN}\n{versions()}\n\n{text}\n{END}{tail}", encoding="utf-8")
