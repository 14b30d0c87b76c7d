"""`crewkit runs`: the list of runs."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from crewkit.cli.common import STYLES, Span, echo_json, examples, journal_or_none, say, table
from crewkit.cli.text import cut, duration, number

if TYPE_CHECKING:
    from crewkit.journal.base import RunInfo

_STATUSES = (
    "running",
    "queued",
    "paused",
    "interrupted",
    "completed",
    "failed",
    "limit",
    "denied",
    "cancelled",
    "damaged",
)


@click.command(
    epilog=examples(
        "crewkit runs",
        "crewkit runs --status paused --status interrupted",
        "crewkit runs --json | jq -r .run",
    )
)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Show this many.")
@click.option(
    "--status", type=click.Choice(_STATUSES), multiple=True, help="Only runs in this state; repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def runs(*, limit: int, status: tuple[str, ...], as_json: bool) -> None:
    """List the runs, the newest first.

    A run whose process died without a word is shown as `interrupted`: it can be resumed. One that was
    handed over and waits for a worker is `queued`.
    """
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
    _print(found[:limit])
    if len(found) > limit:
        say(f"… {len(found) - limit:,} older ones: crewkit runs --limit {len(found)}", style="dim", err=True)


def state(info: RunInfo) -> str:
    """Return the run's status as people see it: one that nobody carries on is not running."""
    if info.status != "running" or info.alive:
        return info.status
    return "queued" if info.queue else "interrupted"


def seconds(info: RunInfo) -> float:
    """Return the seconds from the run's start to its last event, or to now where it is running."""
    end = datetime.now(UTC) if state(info) == "running" else datetime.fromisoformat(info.updated)
    return round(max((end - datetime.fromisoformat(info.started)).total_seconds(), 0.0), 3)


def _print(found: list[RunInfo]) -> None:
    narrow = shutil.get_terminal_size().columns < 72
    rows: list[list[Span]] = []
    for info in found:
        status = state(info)
        started = datetime.fromisoformat(info.started).astimezone()
        row: list[Span] = [
            (info.run, "bold"),
            (cut(info.crew, 14 if narrow else 40), ""),
            (status, STYLES.get(status, "")),
        ]
        if not narrow:
            row += [
                (started.strftime("%Y-%m-%d %H:%M:%S"), "dim"),
                (duration(seconds(info)), ""),
                (number(info.events), "dim"),
            ]
        rows.append(row)
    table(
        ("run", "crew", "status") if narrow else ("run", "crew", "status", "started", "duration", "events"),
        rows,
    )
