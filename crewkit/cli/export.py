"""`crewkit export`: a run written down for other programs, and for people without a journal."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from crewkit.cli.common import complete_run, examples, opened_journal, say
from crewkit.errors import InputError


@click.command(
    epilog=examples(
        "crewkit export @last --format html -o run.html",
        "crewkit export r-7f3k --format jsonl > run.jsonl",
    )
)
@click.argument("run", shell_complete=complete_run)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["html", "jsonl", "json"]),
    default="html",
    show_default=True,
    help="html: the page as one file; jsonl: an event per line; json: one object with all of them.",
)
@click.option(
    "--output", "-o", "target", default="", metavar="FILE", help="Write here; stdout where left out."
)
def export(*, run: str, kind: str, target: str) -> None:
    """Write a RUN down: as a page for a ticket or a mail, or as data."""
    from crewkit.web.data import RunData
    from crewkit.web.export import as_html, as_lines

    with opened_journal() as journal:
        found = journal.find(run)
        events, alive = list(journal.events(found)), journal.info(found).alive
    if kind == "html":
        if not target and sys.stdout.isatty():
            target = f"{found}.html"
        text = as_html(events, alive=alive)
    elif kind == "jsonl":
        text = "".join(f"{line}\n" for line in as_lines(events))
    else:
        head = RunData.of(events, alive=alive).head
        whole = {"run": head, "events": [json.loads(line) for line in as_lines(events)]}
        text = json.dumps(whole, ensure_ascii=False) + "\n"
    _write(text.encode("utf-8", "backslashreplace"), target)


def _write(data: bytes, target: str) -> None:
    if not target:
        sys.stdout.buffer.write(data)
        return
    try:
        Path(target).write_bytes(data)
    except OSError as error:
        raise InputError(f"'{target}' cannot be written: {error.strerror}.") from error
    say(f"{target}  {len(data):,} bytes", style="dim", err=True)
