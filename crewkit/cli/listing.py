"""Runs as lines of a list."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from crewkit.cli.common import STYLES, Span, table
from crewkit.cli.text import cut, duration, number

if TYPE_CHECKING:
    from crewkit.journal.base import RunInfo

STATUSES = (
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


def state(info: RunInfo) -> str:
    """Return the run's status as people see it: one that nobody carries on is not running."""
    if info.status != "running" or info.alive:
        return info.status
    return "queued" if info.queue else "interrupted"


def seconds(info: RunInfo) -> float:
    """Return the seconds from the run's start to its last event, or to now where it is running."""
    end = datetime.now(UTC) if state(info) == "running" else datetime.fromisoformat(info.updated)
    return round(max((end - datetime.fromisoformat(info.started)).total_seconds(), 0.0), 3)


def print_runs(found: Sequence[RunInfo]) -> None:
    """Print a table of runs as wide as the terminal allows."""
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
