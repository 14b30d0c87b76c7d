"""`crewkit show`: a run's transcript."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from crewkit.cli.common import complete_run, echo_json, examples, opened_journal, say, say_spans
from crewkit.cli.group import colour
from crewkit.cli.lines import Line
from crewkit.cli.overview import decision_lines, timeline_lines
from crewkit.cli.progress import Progress
from crewkit.cli.text import one_line, safe
from crewkit.cli.transcript import Transcript, only
from crewkit.core.events import Event, enclosing
from crewkit.errors import InputError, did_you_mean
from crewkit.journal.follow import follow

if TYPE_CHECKING:
    from rich.console import Console

    from crewkit.journal.base import Journal

_PAPER = 100
"""Columns of a timeline that nobody's terminal bounds."""
_NAMED = 40
"""Names that a message lists at most."""
_SHORT = 12
"""Lines of each text on a terminal."""


@click.command(
    epilog=examples(
        "crewkit show @last",
        "crewkit show r-7f3k --task draft --content full",
        "crewkit show @last --type tool.finished --json | jq .data.outcome",
        "crewkit show @last --timeline",
        "crewkit show @last --step draft/2/tool:0",
        "crewkit show @last --follow",
    )
)
@click.argument("run", shell_complete=complete_run)
@click.option("--task", default="", help="Only this task and what is below it.")
@click.option("--agent", default="", help="Only what this agent did.")
@click.option("--step", default="", metavar="PATH", help="Only what is at this path and below it.")
@click.option("--timeline", "as_timeline", is_flag=True, help="When what happened; of one --task, its steps.")
@click.option("--decisions", is_flag=True, help="Only what was decided in each turn, and out of what.")
@click.option("--type", "types", multiple=True, help="Only events of this type, one per line; repeatable.")
@click.option("--follow", "-f", is_flag=True, help="Show what happens as it happens, until the run ends.")
@click.option(
    "--content",
    type=click.Choice(["short", "full", "none"]),
    help="Cut long texts, or not, or show figures and decisions alone; cut on a terminal where left out.",
)
@click.option("--json", "as_json", is_flag=True, help="One event per line, as the journal holds it.")
def show(
    *,
    run: str,
    task: str,
    agent: str,
    step: str,
    as_timeline: bool,
    decisions: bool,
    types: tuple[str, ...],
    follow: bool,
    content: str | None,
    as_json: bool,
) -> None:
    """Show a RUN's transcript: who did what, why, with which tool, at what cost, and how it ended."""
    types = ("decision.made",) if decisions else types
    if follow and (as_timeline or step):
        raise InputError("--follow tells what happens; --timeline and --step show what has happened.")
    with opened_journal() as journal:
        found = journal.find(run)
        if follow:
            events = _followed(journal, found)
        else:
            events = iter(known := list(journal.events(found)))
            _check(known, task, agent, () if decisions else types, step)
            events = iter(known := list(_at(known, step)) if step and (as_json or types) else known)
        if as_timeline:
            _time(list(events), task, alive=journal.info(found).alive, as_json=as_json)
        elif as_json:
            for event in only(events, task=task, agent=agent, types=types):
                click.echo(event.to_json())
        elif follow:
            _tell(events, task=task, agent=agent, types=types)
        elif decisions:
            for line in decision_lines(only(events, task=task, agent=agent, types=())):
                say_spans(line)
        elif types:
            for event in only(events, task=task, agent=agent, types=types):
                say_spans(_plainly(event))
        else:
            short = content == "short" or (content is None and sys.stdout.isatty())
            lines, alive = 0 if content == "none" else _SHORT if short else None, journal.info(found).alive
            _print(Transcript(list(events), alive=alive, task=task, agent=agent, step=step, lines=lines))


def _at(events: Iterable[Event], step: str) -> Iterator[Event]:
    """Yield what happened at a path and below it."""
    return (event for event in events if event.path == step or event.path.startswith(f"{step}/"))


def _time(events: list[Event], task: str, *, alive: bool, as_json: bool) -> None:
    from crewkit.journal.timeline import timeline
    from crewkit.journal.tree import tree

    root = tree(events, alive=alive)
    if as_json:
        echo_json(asdict(timeline(root)))
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _PAPER
    for line in timeline_lines(root, width, task=task):
        say_spans(line)


def _check(events: Sequence[Event], task: str, agent: str, types: Sequence[str], step: str) -> None:
    """Refuse a filter that names nothing in the run."""
    for what, wanted, known in (
        ("task", task, {event.task for event in events if event.task}),
        ("agent", agent, {event.agent for event in events if event.agent}),
        ("step", step, _paths(events) if step else set[str]()),
        *(("event of the type", type, {event.type for event in events}) for type in types),
    ):
        if wanted and wanted not in known:
            names = sorted(known)
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            has = f"It has: {', '.join(names[:_NAMED])}{more}."
            raise InputError(f"The run has no {what} '{wanted}'.{did_you_mean(wanted, known)} {has}")


def _paths(events: Iterable[Event]) -> set[str]:
    """Return every path in a run, those in between too."""
    found: set[str] = set()
    for event in events:
        path = event.path.removesuffix("/0")
        while path and path not in found:
            found.add(path)
            path = enclosing(path)
    return found


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
