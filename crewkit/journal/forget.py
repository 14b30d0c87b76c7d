"""What no longer counts of a run's history: where a fork branches off, and where a rerun begins again.

`run.forked` and `run.resumed` name the paths from which on they forget (`forgets`). What was recorded there before
them stays in the journal, and is neither an answer nor an outcome any more. Whoever reads how a run stands reads
what is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from crewkit.core.events import Event

_ITEM = re.compile(r"\[(?=\d+\](?:[/#]|$))")

_ORDER = {
    "when": 0,
    "inbox": 0,
    "offer": 0,
    "recall": 0,
    "summary": 0,
    "model": 1,
    "ask": 3,
    "until": 3,
    "closed": 3,
    "proposal": 0,
}
"""What comes after what beside each other. The rest stands between: the tasks of a crew, turns by their numbers, the
calls of a turn, which are made at once, and guardrails, one after the other."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What still counts of a history."""

    events: Sequence[Event]
    attempts: dict[str, int] = field(default_factory=dict[str, int])
    """Path to the highest attempt that was forgotten there: the next one goes on from it."""


def standing(history: Iterable[Event], forgets: Sequence[str] = ()) -> Standing:
    """Return what still counts of a history.

    Args:
        history: Events of one run in their order, all or of some types.
        forgets: Paths that are being forgotten just now, after the last event.
    """
    events = list(history)
    if not forgets and not any(event.data.get("forgets") or event.type == "run.forked" for event in events):
        return Standing(events)
    marks = _Marks(forgets)
    kept: list[Event] = []
    attempts: dict[str, int] = {}
    open_questions = _open_at_forks(events)
    for event in reversed(events):
        if event.type in ("run.forked", "run.resumed"):
            marks.add(event.data.get("forgets") or ())
        asked = event.type.startswith("approval.") and event.data.get("id") in open_questions
        if asked or marks.cover(event):
            attempts[event.path] = max(attempts.get(event.path, 0), event.attempt)
        else:
            kept.append(event)
    kept.reverse()
    return Standing(kept, attempts)


def covers(mark: str, task: str, path: str, type: str = "") -> bool:
    """Say whether what happened at a path is forgotten with a mark: it is there, below, later, or holds it.

    Later is what an agent did after it, and what a loop did in its next iterations. What happened beside it, in
    another task or in another call of the same turn, is not. What encloses it, the task or the call in which it
    happened, is entered again.

    Args:
        mark: The path of a task, an iteration, a turn or a step.
        task: The task's path of what happened.
        path: Where in the task it happened.
        type: The event's type: the end of a task or of an agent's work stands at its beginning.
    """
    if not path:
        return False
    here = _segments(mark)
    if type == "agent.finished":
        path = path.removesuffix("/0")
    own = _segments(task)
    there = _segments(path)
    if not _begins_with(there, own):
        there = own  # a thread between agents
    for depth, ((name, number), (marked, of)) in enumerate(zip(there, here, strict=False)):
        if name != marked:
            # Another task: whether it depends on this one, a mark of its own says.
            return depth >= len(own) and rank(name) > rank(marked)
        if number != of:
            return number > of or (type == "task.finished" and depth == len(there) - 1)
    return True


def touches(mark: str, task: str) -> bool:
    """Say whether a task is entered again where a mark is forgotten: it lies below the mark, or holds it."""
    here, there = ([name for name, _ in _segments(path)] for path in (mark, task))
    return here[: len(there)] == there[: len(here)]


class _Marks:
    """Paths that are forgotten, by the outermost task in which they lie: there are few in each."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._by_root: dict[str, list[str]] = {}
        self.add(paths)

    def add(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._by_root.setdefault(_root(path), []).append(path)

    def cover(self, event: Event) -> bool:
        if not self._by_root:
            return False
        marks = self._by_root.get(_root(event.task or event.path), ())
        return any(covers(mark, event.task, _place(event), event.type) for mark in marks)


def _open_at_forks(events: Sequence[Event]) -> set[Any]:
    """Return the questions that had led to nothing where a fork branched off: it asks them again, or never.

    An answer to a question about a result counts on; leave to make a call does not, before the call is made.
    """
    waiting: dict[str, tuple[Any, bool]] = {}
    dropped: set[Any] = set()
    for event in events:
        data = event.data
        match event.type:
            case "approval.requested":
                waiting[event.path] = (data.get("id"), data.get("kind") == "output")
            case "approval.decided":
                id, about_a_result = waiting.get(event.path, (None, False))
                if about_a_result and id == data.get("id"):
                    del waiting[event.path]
            case "tool.started" | "tool.finished":
                waiting.pop(f"{event.path}/ask", None)
            case "run.forked":
                dropped |= {id for id, _ in waiting.values()}
                waiting.clear()
            case _:
                pass
    return dropped


def _place(event: Event) -> str:
    """Return where it happened. What colleagues say to each other belongs to the call that asked."""
    said: Any = event.data.get("data") if event.type == "message.recorded" else None
    at = cast("dict[str, Any]", said).get("at") if isinstance(said, dict) else None
    return str(at or event.path)


def _root(path: str) -> str:
    return _segments(path.partition("/")[0])[0][0]


def _segments(path: str) -> list[tuple[str, int]]:
    """Return the segments of a path, each with the number of its iteration. An item lies in its map."""
    found: list[tuple[str, int]] = []
    for text in _ITEM.sub("/[", path).split("/"):
        name, _, number = text.partition("#")
        found.append((name, int(number) if number.isdigit() else 1))
    return found


def _begins_with(path: list[tuple[str, int]], task: list[tuple[str, int]]) -> bool:
    """Say whether a path lies in a task, in whichever of its iterations."""
    *outer, (name, _) = task
    return path[: len(outer)] == outer and len(path) > len(outer) and path[len(outer)][0] == name


def rank(segment: str) -> tuple[int, int]:
    """Say what comes after what beside each other: `inbox`, `model`, the calls of a turn, `ask`; turns by number."""
    if segment.isdigit():
        return 2, int(segment)
    kind, _, number = segment.partition(":")
    counted = kind in ("guardrail", "plan") and number.isdigit()
    return _ORDER.get(kind, 2), int(number) + 1 if counted else 0
