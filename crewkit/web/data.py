"""What the page is given: a run's events as the journal holds them, and its tree with figures, bars and the red path.

The page draws; what things mean is settled here, with the folds that the terminal uses.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from crewkit.core.events import Event
from crewkit.journal.read import Totals, beginning, ending, inherited, origin, totals
from crewkit.journal.recall import used_hits
from crewkit.journal.timeline import Bar, Timeline, timeline
from crewkit.journal.tree import Node, tree

Data = dict[str, Any]

LONGEST = 100_000
"""Characters of one text that the page is sent at once when it is served; the rest it asks for."""
HEAD = 20_000
"""Characters of a longer one that it is sent."""

BAD = (
    "failed",
    "error",
    "timeout",
    "denied",
    "deny",
    "invalid",
    "unknown_tool",
    "unknown",
    "interrupted",
    "limit",
)
"""How a node stands whose work came to nothing."""


@dataclass(frozen=True, slots=True)
class RunData:
    """A run as the page knows it, without its events."""

    head: Data
    """Who, what, when, how it stands, what it used."""
    nodes: dict[str, Data]
    """Path to node, parents before their children, in the order in which they began."""
    forgotten: list[int]
    """`seq` of the events that a fork or a rerun begins again: they count no longer."""

    @classmethod
    def of(cls, events: Sequence[Event], *, alive: bool) -> RunData:
        """Fold a run's events.

        Args:
            events: All of them.
            alive: A process carries the run on right now.
        """
        root = tree(events, alive=alive)
        times = timeline(root)
        red = _red_path(root)
        nodes: dict[str, Data] = {}
        _collect(root, "", nodes, times, red)
        standing = {seq for node in nodes.values() for seq in node["events"]}
        forgotten = [event.seq for event in events if event.seq not in standing]
        return cls(_head(root, events, times, alive=alive), nodes, forgotten)

    def to_data(self, events: Sequence[Data]) -> Data:
        """Return what the page is given of a run."""
        return {"head": self.head, "nodes": self.nodes, "forgotten": self.forgotten, "events": events}

    def changed(self, before: RunData) -> dict[str, Data]:
        """Return the nodes that are new or not as they were."""
        return {path: node for path, node in self.nodes.items() if before.nodes.get(path) != node}


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


# The run


def _head(root: Node, events: Sequence[Event], times: Timeline, *, alive: bool) -> Data:
    end = ending(root.events)
    used = totals(events)
    forked = origin(events)
    return {
        "run": events[-1].run,
        "crew": root.title,
        "status": root.status,
        "alive": alive,
        "why": end.why,
        "output": end.output,
        "report": {
            "completed": list(end.completed),
            "failed": list(end.failed),
            "skipped": list(end.skipped),
            "capped": list(end.capped),
        },
        "beginning": {k: v for k, v in beginning(root.events).items() if k != "definitions"},
        "origin": forked.data if forked else None,
        "inherited": _used(inherited(events)) if forked else None,
        "used": _used(used) | {"seconds": used.seconds},
        "time": {
            "origin": times.origin,
            "end": times.end,
            "segments": [[each.seg, _round(each.start), _round(each.end)] for each in times.segments],
            "folds": [[_round(start), _round(end)] for start, end in times.folds],
        },
        "hits": {seq: places for seq, places in used_hits(events).items() if places},
        "last": max((event.seq for event in events), default=0),
    }


def _used(used: Totals) -> Data:
    return {
        "in": used.input_tokens,
        "out": used.output_tokens,
        "cached": used.cached_tokens,
        "usd": used.usd_known,
        "unpriced": used.unpriced,
        "steps": used.steps,
        "tools": dict(used.tools),
    }


# The tree


Used = list[float]
"""Tokens in and out, money whose amount is known, model calls whose price is not, steps."""


def _collect(
    node: Node, parent: str, nodes: dict[str, Data], times: Timeline, red: set[str]
) -> tuple[Used, int]:
    """Add a node and all below it; return what they used, and how many calls among them came to nothing."""
    data: Data = {"up": parent, "kind": node.kind, "title": node.title, "status": node.status}
    nodes[node.path] = data
    used, bad = _used_by(node), 0
    if node.kind in ("model", "summary", "tool"):
        bad += node.status in BAD
    for child in sorted(node.children, key=_begun) if len(node.children) > 1 else node.children:
        below, wrong = _collect(child, node.path, nodes, times, red)
        used = [mine + theirs for mine, theirs in zip(used, below, strict=True)]
        bad += wrong
    for name, value in (("task", node.task), ("agent", node.agent)):
        if value:
            data[name] = value
    if any(used):
        data["used"] = used
    if bad:
        data["bad"] = bad
    if node.path in red:
        data["red"] = True
    data["bars"] = [_bar(bar) for bar in times.bars[node.path]]
    data["events"] = [event.seq for event in node.events]
    return used, bad


def _used_by(node: Node) -> Used:
    """Return what a node used by itself."""
    used = Totals()
    for event in node.events if node.kind in ("model", "summary") else ():
        used.add(event)
    return [used.input_tokens, used.output_tokens, used.usd_known, used.unpriced, used.steps]


def _begun(node: Node) -> int:
    first = node.events[0].seq if node.events else 1 << 62
    return min([first, *(_begun(child) for child in node.children)])


def _bar(bar: Bar) -> list[Any]:
    return [_round(bar.start), _round(bar.end), bar.kind]


def _round(seconds: float) -> float:
    return round(seconds, 4)


# The red path


def _red_path(root: Node) -> set[str]:
    """Return the paths of the nodes on the way from the run to what its failed tasks failed at."""
    red: set[str] = set()
    for task in _failed_tasks(root):
        at: Node | None = task
        while at is not None:
            red.add(at.path)
            at = _cause(at)
    if red:
        red.add("")
    return red


def _failed_tasks(root: Node) -> list[Node]:
    return [node for node in root.children if node.kind == "task" and node.status in ("failed", "denied")]


def _cause(node: Node) -> Node | None:
    """Return the child in which a node failed: the last that failed or was refused; `None`: it is the node itself."""
    bad = [child for child in node.children if _went_wrong(child)]
    return max(bad, key=_begun, default=None)


def _went_wrong(node: Node) -> bool:
    if node.kind == "task":
        return node.status in ("failed", "denied")
    if node.status in BAD:
        return True
    verdict = node.data("guardrail.checked", "condition.checked").get("verdict")
    if verdict not in (None, "allow"):
        return True
    # What was put right afterwards is not what it failed at: of turns and iterations, only the last.
    last = max(node.children, key=_begun, default=None)
    return last is not None and node.kind in ("turn", "iteration", "fallback", "step") and _went_wrong(last)


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
