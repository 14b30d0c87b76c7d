"""`crewkit show`: a run's transcript."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from crewkit.cli.common import complete_run, examples, opened_journal, say, say_spans
from crewkit.cli.group import colour
from crewkit.cli.progress import Progress
from crewkit.cli.text import one_line, safe
from crewkit.cli.transcript import Line, Transcript, only
from crewkit.core.events import Event
from crewkit.errors import InputError, did_you_mean
from crewkit.journal.follow import follow

if TYPE_CHECKING:
    from rich.console import Console

    from crewkit.journal.base import Journal

_SHORT = 12
"""Lines of each text on a terminal."""


@click.command(
    epilog=examples(
        "crewkit show @last",
        "crewkit show r-7f3k --task draft --content full",
        "crewkit show @last --type tool.finished --json | jq .data.outcome",
        "crewkit show @last --follow",
    )
)
@click.argument("run", shell_complete=complete_run)
@click.option("--task", default="", help="Only this task and what is below it.")
@click.option("--agent", default="", help="Only what this agent did.")
@click.option("--type", "types", multiple=True, help="Only events of this type, one per line; repeatable.")
@click.option("--follow", "-f", is_flag=True, help="Show what happens as it happens, until the run ends.")
@click.option(
    "--content",
    type=click.Choice(["short", "full"]),
    help="Cut long texts or not; by default they are cut on a terminal only.",
)
@click.option("--json", "as_json", is_flag=True, help="One event per line, as the journal holds it.")
def show(
    *,
    run: str,
    task: str,
    agent: str,
    types: tuple[str, ...],
    follow: bool,
    content: str | None,
    as_json: bool,
) -> None:
    """Show a RUN's transcript: who did what, why, with which tool, at what cost, and how it ended."""
    with opened_journal() as journal:
        found = journal.find(run)
        if follow:
            events = _followed(journal, found)
        else:
            events = iter(known := list(journal.events(found)))
            _check(known, task, agent, types)
        if as_json:
            for event in only(events, task=task, agent=agent, types=types):
                click.echo(event.to_json())
        elif follow:
            _tell(events, task=task, agent=agent, types=types)
        elif types:
            for event in only(events, task=task, agent=agent, types=types):
                say_spans(_plainly(event))
        else:
            short = content == "short" or (content is None and sys.stdout.isatty())
            lines, alive = _SHORT if short else None, journal.info(found).alive
            _print(Transcript(list(events), alive=alive, task=task, agent=agent, lines=lines))


def _check(events: Sequence[Event], task: str, agent: str, types: Sequence[str]) -> None:
    """Refuse a filter that names nothing in the run."""
    for what, wanted, known in (
        ("task", task, {event.task for event in events if event.task}),
        ("agent", agent, {event.agent for event in events if event.agent}),
        *(("event of the type", type, {event.type for event in events}) for type in types),
    ):
        if wanted and wanted not in known:
            raise InputError(
                f"The run has no {what} '{wanted}'.{did_you_mean(wanted, known)} It has: {', '.join(sorted(known))}."
            )


# Printing


def _print(transcript: Transcript) -> None:
    draw = _on_paper
    if sys.stdout.isatty():
        from rich.console import Console

        draw = drawn(Console(markup=False, highlight=False, emoji=False))
    for line in transcript:
        draw(line)
    if transcript.shortened:
        say("Long texts are cut. All of them: --content full", style="dim", err=True)


def _on_paper(line: Line) -> None:
    bar = "| " if line.bar else ""
    click.echo(
        "  " * line.indent + bar + "".join(safe(text) for text, _ in line.spans).rstrip(), color=colour()
    )


def drawn(console: Console) -> Callable[[Line], None]:
    """Return what draws lines wrapped to the width of a console, each under its own beginning."""
    from rich.text import Text

    def draw(line: Line) -> None:
        indent = "  " * min(line.indent, max(console.width // 8, 1))
        first = indent + ("│ " if line.bar else "")
        text = Text.assemble(*((safe(text), style) for text, style in line.spans))
        text.expand_tabs(4)
        room = max(console.width - len(first) - 2, 10)
        for i, wrapped in enumerate(text.wrap(console, room)):
            prefix = first if line.bar or not i else f"{indent}  "
            console.print(Text.assemble((prefix, "dim"), wrapped), soft_wrap=True)

    return draw


def _plainly(event: Event) -> list[tuple[str, str]]:
    import json

    data = json.dumps(event.data, ensure_ascii=False)
    head = f"{event.seq:>5}  {event.ts[11:23]}  {event.type:18} {event.path or '-'}"
    return [(head, ""), (f"  {one_line(data)}", "dim")]


# Following


def _followed(journal: Journal, run: str) -> Iterator[Event]:
    """Yield a run's events, past and present, until it ends, pauses, or its process dies."""
    for event in follow(journal, run):
        if event is not None:
            yield event
    info = journal.info(run)
    if info.status == "running" and not info.alive:
        say(f"its process is gone: crewkit resume {run}", style="yellow", err=True)


def _tell(events: Iterable[Event], *, task: str, agent: str, types: Sequence[str]) -> None:
    progress = Progress(verbose=True)
    for event in events:
        progress.add(event)
        if not list(only([event], task=task, agent=agent, types=types)):
            continue
        line = _plainly(event) if types else progress.line(event)
        if line:
            say_spans([(f"{event.ts[11:19]}  ", "dim"), *line])
            sys.stdout.flush()
