"""`crewkit runs`: the list of runs."""

from __future__ import annotations

from dataclasses import asdict

import click

from crewkit.cli.common import echo_json, examples, journal_or_none, say
from crewkit.cli.listing import STATUSES, print_runs, seconds, state
from crewkit.cli.prune import prune
from crewkit.cli.text import count, size


@click.group(
    invoke_without_command=True,
    epilog=examples(
        "crewkit runs",
        "crewkit runs --status paused --status interrupted",
        "crewkit runs --json | jq -r .run",
        "crewkit runs prune --older-than 30d",
    ),
)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Show this many.")
@click.option(
    "--status", type=click.Choice(STATUSES), multiple=True, help="Only runs in this state; repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_context
def runs(ctx: click.Context, *, limit: int, status: tuple[str, ...], as_json: bool) -> None:
    """List the runs, the newest first.

    A run whose process died without a word is shown as `interrupted`: it can be resumed. One that was
    handed over and waits for a worker is `queued`.
    """
    if ctx.invoked_subcommand is not None:
        return
    with journal_or_none() as journal:
        known = journal.runs() if journal else []
        found = [info for info in known if not status or state(info) in status]
    if as_json:
        for info in found[:limit]:
            echo_json({**asdict(info), "status": state(info), "seconds": seconds(info)})
        return
    if not found:
        say("No such runs here." if status else "No runs here yet. Begin one: crewkit run FILE", err=True)
        return
    print_runs(found[:limit])
    total = f"{count(len(found), 'run')}, {size(sum(info.bytes for info in found))}"
    if len(found) > limit:
        say(f"… {len(found) - limit:,} older ones: crewkit runs --limit {len(found)}", style="dim", err=True)
    else:
        say(total, style="dim", err=True)


runs.add_command(prune)
