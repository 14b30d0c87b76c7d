"""`crewkit replay`: the present code against recorded answers."""

from __future__ import annotations

import asyncio
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from crewkit.cli.again import crew_again
from crewkit.cli.common import complete_run, echo_json, examples, opened_journal, say, say_spans
from crewkit.cli.group import FAILED, OK
from crewkit.cli.text import count

if TYPE_CHECKING:
    from crewkit.core.events import Event
    from crewkit.runs.replay import Replay


@click.command(
    epilog=examples(
        "crewkit replay @last",
        "crewkit replay r-7f3k moved/crew.py",
        "crewkit replay tests/tides.yaml crew.py",
        "crewkit replay @last --json | jq .divergences[0].path",
    )
)
@click.argument("run", metavar="RUN", shell_complete=complete_run)
@click.argument("target", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as one JSON object.")
def replay(*, run: str, target: str | None, as_json: bool) -> int:
    """Run the present code against RUN's recorded answers, and say where it goes another way first.

    RUN may be the file of a cassette, too: crewkit export RUN --format cassette.

    Models and tools answer from the journal: there is no network, no effect and no cost, and nothing is kept. Exit
    code 0: the same; 1: different.
    """
    from crewkit.runs.history import beginning
    from crewkit.runs.replay import replay as replayed

    events = _recorded(run)
    found = events[-1].run
    begun = beginning(found, events)
    crew, _ = crew_again(found, begun, target, "replay")
    with redirect_stdout(sys.stderr):
        told, _ = asyncio.run(replayed(crew, events))
    if as_json:
        echo_json({"same": told.same, **asdict(told)})
    else:
        _print(told)
    return OK if told.same else FAILED


def _recorded(run: str) -> list[Event]:
    """Return the events of a run, or of a cassette's file."""
    if run.endswith((".yaml", ".yml")):
        from crewkit.testing.cassette import Cassette

        return list(Cassette.read(run).events)
    with opened_journal() as journal:
        return list(journal.events(journal.find(run)))


def _print(told: Replay) -> None:
    from crewkit.runs.replay import in_words

    if told.same:
        say_spans(
            [("same", "green"), (f": {count(told.steps, 'recorded answer')} given, nothing else asked", "")]
        )
        for path in told.ends:
            say(f"  the recording ends at {path}", style="dim")
        for task, what in told.unseen.items():
            say(f"  changed, and not seen by this: {task} ({what})", style="yellow")
        return
    first, *more = told.divergences
    _, *lines = in_words(first)
    say_spans([("different", "red"), (" at ", ""), (first.path, "bold"), (f": {first.why}", "")])
    for line in lines:
        side = line[4:5] if line.startswith("    ") else ""
        say(line, style={"-": "red", "+": "green", "": "cyan"}.get(side, "dim"))
    if more:
        say(f"Also at {', '.join(each.path for each in more[:8])}.", style="dim")
