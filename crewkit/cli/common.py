"""What several commands share: the journal, the RUN argument, the way things are printed."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from crewkit.cli.group import colour
from crewkit.cli.text import Style, cells, safe
from crewkit.errors import CrewkitError

if TYPE_CHECKING:
    from crewkit.journal.base import Journal

Span = tuple[str, Style]

STYLES = {
    "completed": "green",
    "running": "cyan",
    "paused": "yellow",
    "limit": "yellow",
    "interrupted": "yellow",
    "queued": "dim",
    "cancelled": "dim",
    "skipped": "dim",
    "waiting": "dim",
    "failed": "red",
    "denied": "red",
    "damaged": "red",
}
"""Status to style."""


def examples(*lines: str) -> str:
    """Return a command's epilog: its examples, not to be rewrapped."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


@contextmanager
def opened_journal() -> Generator[Journal]:
    """Open the journal that is meant here; there has to be one."""
    from crewkit.core.environ import environment
    from crewkit.journal.open import open_journal

    journal = open_journal(None, environment(), create=False)
    try:
        yield journal
    finally:
        journal.close()


@contextmanager
def journal_or_none() -> Generator[Journal | None]:
    """Open the journal that is meant here; `None` where nothing was ever run."""
    from crewkit.core.environ import environment
    from crewkit.journal.open import has_journal

    if not has_journal(environment()):
        yield None
        return
    with opened_journal() as journal:
        yield journal


def complete_run(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the ids of the runs, the newest first."""
    try:
        with opened_journal() as journal:
            runs = journal.runs(limit=1000)
    except CrewkitError:
        return []
    items = [
        CompletionItem(r.run, help=f"{r.crew}, {r.status}") for r in runs if r.run.startswith(incomplete)
    ]
    return [*items, CompletionItem("@last")] if "@last".startswith(incomplete) else items


def echo_json(value: Any) -> None:
    """Print JSON data on one line of stdout."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace"))


def say(text: str = "", *, style: Style = "", err: bool = False) -> None:
    """Print text that may come from anywhere, made harmless."""
    say_spans([(text, style)], err=err)


def say_spans(spans: Sequence[Span], *, err: bool = False) -> None:
    """Print one line made of styled pieces; colours are dropped where nobody sees them."""
    line = "".join(paint(safe(text), style) for text, style in spans)
    click.echo(line.encode("utf-8", "backslashreplace").decode(), err=err, color=colour())


def paint(text: str, style: Style) -> str:
    """Wrap a text in the terminal's codes for a style."""
    if not style:
        return text
    if style in ("dim", "bold"):
        return click.style(text, dim=style == "dim" or None, bold=style == "bold" or None)
    return click.style(text, fg=style)


def table(head: Sequence[str], rows: Sequence[Sequence[Span]]) -> None:
    """Print rows in columns as wide as their longest cell; nothing is cut."""
    clean = [[(" ".join(safe(text).split()), style) for text, style in row] for row in rows]
    texts = [list(head), *([text for text, _ in row] for row in clean)]
    widths = [max(cells(text) for text in column) for column in zip(*texts, strict=True)]
    for row in [[(text, "dim") for text in head], *clean]:
        padded = [
            (text + " " * (width - cells(text)), style)
            for (text, style), width in zip(row, widths, strict=True)
        ]
        line = "  ".join(paint(text, style) for text, style in padded)
        click.echo(line.rstrip() if not padded[-1][1] else line, color=colour())
