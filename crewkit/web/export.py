"""A run written down for somebody who has no journal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crewkit.core.events import Event
from crewkit.web.data import event_data
from crewkit.web.fold import fold
from crewkit.web.page import page


def as_html(events: Sequence[Event], *, alive: bool) -> str:
    """Return the page of a run as one document that needs nothing else."""
    data = fold(events, alive=alive)
    title = f"{data.head['crew']} {data.head['run']}"
    given = data.to_data([event_data(event) for event in events])
    return page({"mode": "file", "run": data.head["run"], "data": given}, title=title, served=False)


def as_lines(events: Sequence[Event]) -> Iterator[str]:
    """Yield the events as the journal holds them, one JSON object each."""
    for event in events:
        yield event.to_json()
