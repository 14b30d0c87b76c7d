"""A run followed for one browser: what is new since the last time, folded with all that was."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from crewkit.core.events import Event
from crewkit.journal.base import Journal
from crewkit.web.data import RunData, event_data, shortened

Data = dict[str, Any]

_POLL = 0.4
"""Seconds between two looks."""
_SHARE = 4
"""Following a run takes at most one in so many seconds of a core, however long the run is."""
_STILL = 25
"""Looks without news after which the browser hears that somebody is still there."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A run as a browser was given it."""

    events: Sequence[Event]
    data: RunData


def changes(
    journal: Journal, run: str, after: int, closing: threading.Event, loaded: Loaded | None = None
) -> Iterator[Data]:
    """Yield what is new in a run, and an empty dictionary from time to time while nothing is.

    Args:
        journal: Where the run is.
        run: Its id.
        after: The last `seq` that the browser has.
        closing: Set when nobody is to be followed any more.
        loaded: The run as it was read and folded before, where somebody did: if the browser has just that, it is not
            read again.
    """
    events: list[Event] = []
    known: RunData | None = None
    if loaded and loaded.data.head["last"] == after:
        events, known = list(loaded.events), loaded.data
    looks = 0
    while not closing.is_set():
        began = time.monotonic()
        seen = events[-1].seq if events else 0
        events += journal.events(run, after=seen) if journal.last(run) > seen else ()
        alive = journal.info(run).alive
        if known is None or events[-1].seq > seen or alive != known.head["alive"]:
            data = RunData.of(events, alive=alive)
            new = [shortened(event_data(event)) for event in events if event.seq > after]
            nodes = data.changed(known) if known else data.nodes
            yield {"head": data.head, "nodes": nodes, "forgotten": data.forgotten, "events": new}
            known, after, looks = data, max(after, data.head["last"]), 0
        elif looks % _STILL == _STILL - 1:
            yield {}
        looks += 1
        closing.wait(max(_POLL, _SHARE * (time.monotonic() - began)))
