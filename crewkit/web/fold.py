"""A run's events folded for the page: its tree with figures, bars and the red path, kept up while events come."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

from crewkit.core.events import Event
from crewkit.journal.forget import standing
from crewkit.journal.read import Totals, beginning, ending, inherited, origin, totals
from crewkit.journal.recall import used_hits
from crewkit.journal.timeline import Bar, Timeline, Times
from crewkit.journal.tree import Node, Tree, around
from crewkit.web.data import RunData

Data = dict[str, Any]

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

_OPEN = ("running", "paused", "waiting", "interrupted")
"""How a node stands whose bars go on with the clock."""

Used = list[float]
"""Tokens in and out, money whose amount is known, model calls whose price is not, steps."""


class Fold:
    """A run folded, kept up while events come: what ended and was not touched since is not folded again."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._begin()

    def _begin(self) -> None:
        self._tree, self._times = Tree(), Times()
        self._nodes: dict[str, Data] = {}
        self._below: dict[str, tuple[Used, int]] = {}
        self._open: set[str] = set()
        self._red: set[str] = set()
        self._forgotten: list[int] = []
        self._alive: bool | None = None

    def add(self, events: Sequence[Event], *, alive: bool) -> RunData:
        """Take in a run's next events.

        Args:
            events: Those that are new.
            alive: A process carries the run on right now.
        """
        self.events += events
        if alive != self._alive or any(Tree.regrows(event) for event in events):
            self._begin()
            self._alive = alive
            events = standing(self.events).events
            counted = {event.seq for event in events}
            self._forgotten = [event.seq for event in self.events if event.seq not in counted]
        paths = self._tree.add(events) | around(self._open)
        self._tree.settle(paths, alive=alive)
        root = self._tree.root
        times = self._times.add(root, events, paths)
        red = _red_path(root)
        paths |= around(red ^ self._red)
        self._red = red
        self._open = set()
        self._collect(root, "", paths, times)
        return RunData(_head(root, self.events, times, alive=alive), dict(self._nodes), list(self._forgotten))

    def _collect(self, node: Node, parent: str, paths: Set[str], times: Timeline) -> tuple[Used, int]:
        """Fold a node and those below it; return what they used, and how many calls among them came to nothing."""
        if node.path not in paths:
            return self._below[node.path]
        data: Data = {"up": parent, "kind": node.kind, "title": node.title, "status": node.status}
        self._nodes[node.path] = data
        used, bad = _used_by(node), 0
        if node.kind in ("model", "summary", "tool"):
            bad += node.status in BAD
        for child in node.children:
            below, wrong = self._collect(child, node.path, paths, times)
            used = [mine + theirs for mine, theirs in zip(used, below, strict=True)]
            bad += wrong
        for name, value in (("task", node.task), ("agent", node.agent)):
            if value:
                data[name] = value
        if any(used):
            data["used"] = used
        if bad:
            data["bad"] = bad
        if node.path in self._red:
            data["red"] = True
        data["bars"] = [_bar(bar) for bar in times.bars[node.path]]
        data["events"] = [event.seq for event in node.events]
        if node.status in _OPEN or any(attempt.finished is None for attempt in node.attempts):
            self._open.add(node.path)
        self._below[node.path] = used, bad
        return used, bad


def fold(events: Sequence[Event], *, alive: bool) -> RunData:
    """Fold all of a run's events; `alive`: a process carries the run on right now."""
    return Fold().add(events, alive=alive)


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


def _used_by(node: Node) -> Used:
    """Return what a node used by itself."""
    used = Totals()
    for event in node.events if node.kind in ("model", "summary") else ():
        used.add(event)
    return [used.input_tokens, used.output_tokens, used.usd_known, used.unpriced, used.steps]


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
    return bad[-1] if bad else None


def _went_wrong(node: Node) -> bool:
    if node.kind == "task":
        return node.status in ("failed", "denied")
    if node.status in BAD:
        return True
    verdict = node.data("guardrail.checked", "condition.checked").get("verdict")
    if verdict not in (None, "allow"):
        return True
    # What was put right afterwards is not what it failed at: of turns and iterations, only the last.
    last = node.children[-1] if node.children else None
    return last is not None and node.kind in ("turn", "iteration", "fallback", "step") and _went_wrong(last)
