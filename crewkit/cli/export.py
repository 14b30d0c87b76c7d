"""`crewkit export`: a run written down for other programs, and for people without a journal."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import click

from crewkit.cli.common import complete_run, examples, opened_journal, say
from crewkit.cli.text import count
from crewkit.core.events import Event
from crewkit.errors import InputError
from crewkit.journal.strip import without_content


@click.command(
    epilog=examples(
        "crewkit export @last --format html -o run.html",
        "crewkit export @last --content none -o run.html",
        "crewkit export r-7f3k --format jsonl > run.jsonl",
        "crewkit export @last --format cassette -o tests/run.yaml",
        "crewkit export @last --format otlp --endpoint http://localhost:6006",
    )
)
@click.argument("run", shell_complete=complete_run)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["html", "jsonl", "json", "cassette", "otlp"]),
    default="html",
    show_default=True,
    help="html: the page as one file; jsonl: an event per line; json: one object; "
    "cassette: what was said, for tests; otlp: traces, sent.",
)
@click.option(
    "--output", "-o", "target", default="", metavar="FILE", help="Write here; stdout where left out."
)
@click.option(
    "--content",
    type=click.Choice(["full", "none"]),
    help="With what was said and returned, or figures, names and decisions alone.",
)
@click.option(
    "--endpoint", default="", metavar="URL", help="otlp: the collector; OTEL_EXPORTER_OTLP_ENDPOINT."
)
def export(*, run: str, kind: str, target: str, content: str | None, endpoint: str) -> None:
    """Write a RUN down: as a page for a ticket or a mail, as data, or as traces sent to a collector.

    --content none leaves out what was said: texts, arguments, inputs, outputs.
    Sending traces again adds nothing: the same run has the same ids.
    """
    if kind == "otlp" and target:
        raise InputError("Traces are sent, not written: name the collector with --endpoint.")
    if kind != "otlp" and endpoint:
        raise InputError(f"--endpoint goes with --format otlp, not with {kind}.")
    from crewkit.web.export import as_html, as_lines
    from crewkit.web.fold import fold

    with opened_journal() as journal:
        found = journal.find(run)
        events, alive = list(journal.events(found)), journal.info(found).alive
    if kind == "otlp":
        _send(events, content, endpoint)
        return
    if content == "none":
        events = [replace(event, data=without_content(event.type, event.data)) for event in events]
    if kind == "html":
        if not target and sys.stdout.isatty():
            target = f"{found}.html"
        text = as_html(events, alive=alive)
    elif kind == "jsonl":
        text = "".join(f"{line}\n" for line in as_lines(events))
    elif kind == "cassette":
        text = _cassette(found, events)
    else:
        head = fold(events, alive=alive).head
        whole = {"run": head, "events": [json.loads(line) for line in as_lines(events)]}
        text = json.dumps(whole, ensure_ascii=False) + "\n"
    _write(text.encode("utf-8", "backslashreplace"), target)


def _cassette(run: str, events: list[Event]) -> str:
    from crewkit.journal.cassette import write_cassette
    from crewkit.runs.history import beginning

    beginning(run, events)  # refuses what has lost its content, or cannot be read to its end
    return write_cassette(events)


def _send(events: list[Event], content: str | None, endpoint: str) -> None:
    from crewkit.core.environ import environment
    from crewkit.traces.send import send_run

    environ = dict(environment())
    sent, address = send_run(
        events, environ, to=endpoint, content=None if content is None else content == "full"
    )
    say(f"{count(sent, 'span')} sent to {address}", err=True)


def _write(data: bytes, target: str) -> None:
    if not target:
        sys.stdout.buffer.write(data)
        return
    try:
        Path(target).write_bytes(data)
    except OSError as error:
        raise InputError(f"'{target}' cannot be written: {error.strerror}.") from error
    say(f"{target}  {len(data):,} bytes", style="dim", err=True)
