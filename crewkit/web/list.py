"""The list of runs with what each used, read again only where a run has gone on."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

from crewkit.journal.base import Journal, RunInfo
from crewkit.journal.read import ending, pending, totals

Data = dict[str, Any]

NEWEST = 500
"""Runs in the list."""

_TELLING = (
    "run.started",
    "run.forked",
    "run.resumed",
    "run.paused",
    "run.finished",
    "model.finished",
    "tool.finished",
    "approval.requested",
    "approval.decided",
)


class RunList:
    """Summaries of a journal's runs. Any thread may ask."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._known: dict[str, tuple[int, Data]] = {}
        self._lock = threading.Lock()

    def summaries(self) -> list[Data]:
        """Return the newest runs, the newest first."""
        with self._lock:
            return [self._summary(info) for info in self._journal.runs()[:NEWEST]]

    def _summary(self, info: RunInfo) -> Data:
        count, used = self._known.get(info.run, (-1, {}))
        if count != info.events:
            used = self._used(info)
            self._known[info.run] = (info.events, used)
        status = "interrupted" if info.status == "running" and not info.alive else info.status
        return {
            "run": info.run,
            "crew": info.crew,
            "status": status,
            "started": info.started,
            "seconds": _seconds(info, running=status == "running"),
            "events": info.events,
            "origin": info.origin,
            **used,
        }

    def _used(self, info: RunInfo) -> Data:
        events = list(self._journal.events(info.run, types=_TELLING))
        used = totals(events)
        return {
            "tokens": used.tokens,
            "usd": used.usd_known,
            "unpriced": used.unpriced,
            "steps": used.steps,
            "tools": used.tools.total(),
            "why": ending(events).why,
            "waiting": len(pending(events)),
        }


def _seconds(info: RunInfo, *, running: bool) -> float:
    end = datetime.now(UTC) if running else datetime.fromisoformat(info.updated)
    return round(max((end - datetime.fromisoformat(info.started)).total_seconds(), 0.0), 3)
