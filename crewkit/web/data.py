"""What the page is given: a run's events as the journal holds them, and its tree with figures, bars and the red path.

The page draws; what things mean is settled here, with the folds that the terminal uses.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from crewkit.core.events import Event

Data = dict[str, Any]

LONGEST = 100_000
"""Characters of one text that the page is sent at once when it is served; the rest it asks for."""
HEAD = 20_000
"""Characters of a longer one that it is sent."""


@dataclass(frozen=True, slots=True)
class RunData:
    """A run as the page knows it, without its events."""

    head: Data
    """Who, what, when, how it stands, what it used."""
    nodes: dict[str, Data]
    """Path to node, parents before their children, in the order in which they began."""
    forgotten: list[int]
    """`seq` of the events that a fork or a rerun begins again: they count no longer."""

    def to_data(self, events: Sequence[Data]) -> Data:
        """Return what the page is given of a run."""
        return {"head": self.head, "nodes": self.nodes, "forgotten": self.forgotten, "events": events}

    def changed(self, before: RunData) -> dict[str, Data]:
        """Return the nodes that are new or not as they were."""
        known = before.nodes
        return {
            path: node
            for path, node in self.nodes.items()
            if (old := known.get(path)) is not node and old != node
        }


def event_data(event: Event) -> Data:
    """Return an event as the page reads it: the journal's envelope, without what the page works out itself."""
    data: Data = {"seq": event.seq, "ts": event.ts, "type": event.type, "data": event.data}
    for name in ("path", "task", "agent", "seg"):
        if value := getattr(event, name):
            data[name] = value
    if event.attempt != 1:
        data["attempt"] = event.attempt
    return data


def shortened(event: Data) -> Data:
    """Return an event with its long texts cut, and `cut`: where, and how long each is."""
    cut: list[tuple[list[str | int], int]] = []
    data = _shortened(event["data"], [], cut)
    return {**event, "data": data, "cut": cut} if cut else event


def embedded(value: Any) -> str:
    """Write JSON data so that it can stand in a `<script>`: nothing in it closes the element or opens another."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return (
        text.encode("utf-8", "backslashreplace").decode().replace("<", "\\u003c").replace("\u2028", "\\u2028")
    )


def _shortened(value: Any, at: list[str | int], cut: list[tuple[list[str | int], int]]) -> Any:
    match value:
        case str() if len(value) > LONGEST:
            cut.append((at, len(value)))
            return value[:HEAD]
        case dict():
            known = cast("Data", value)
            return {key: _shortened(each, [*at, key], cut) for key, each in known.items()}
        case list():
            return [_shortened(each, [*at, i], cut) for i, each in enumerate(cast("list[Any]", value))]
        case _:
            return value
