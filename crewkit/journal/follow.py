"""A run that another process carries on: its events as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator

from crewkit.core.events import Event
from crewkit.journal.base import Journal

_POLL = 0.3
"""Seconds between two looks at a run that goes on."""

_ENDS = ("run.finished", "run.paused", "journal.damaged")


def follow(journal: Journal, run: str, *, after: int = 0) -> Iterator[Event | None]:
    """Yield a run's events, past and present, until it ends, pauses, or its process dies.

    Between two looks that find nothing `None` is yielded, so that whoever follows can stop.

    Args:
        journal: Where the run is kept.
        run: Its id.
        after: The `seq` after which to begin.
    """
    idle, ended = 0, False
    while True:
        if journal.last(run) > after:
            idle = 0
            for event in journal.events(run, after=after):
                after = max(after, event.seq)
                if event.type in _ENDS:
                    ended = True
                elif event.type in ("run.started", "run.forked", "run.resumed"):
                    ended = False
                yield event
        if ended or (idle % 10 == 3 and not journal.info(run).alive and journal.last(run) == after):
            return
        yield None
        time.sleep(_POLL)
        idle += 1
