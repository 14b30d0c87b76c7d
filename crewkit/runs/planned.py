"""What else a fork inside a plan begins again: no definition tells what builds on what there, but the plan does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from crewkit.coordinator.graph import dependents_of
from crewkit.core.events import Event

_PLAN = re.compile(r"plan:(\d+)")


def planned_after(events: Iterable[Event], place: str) -> Iterator[str]:
    """Yield the tasks of plans that are done again where a run is forked at a place in one of them.

    Those that build on the task of the place; all of the plan, where it is a turn of the planner; all of later plans.

    Args:
        events: What the run holds, the tasks that began and the plans among it.
        place: A path.
    """
    history = list(events)
    segments = place.split("/")
    for i, segment in enumerate(segments):
        found = _PLAN.fullmatch(segment)
        if found is None:
            continue
        prefix, number = "/".join(segments[:i]), int(found[1])
        task = segments[i + 1].partition("#")[0] if i + 1 < len(segments) else ""
        for event in history:
            plan = event.path.rpartition("/")[0]
            if event.type != "plan.proposed" or not plan.startswith(f"{prefix}/plan:"):
                continue
            later = _PLAN.fullmatch(plan[len(prefix) + 1 :])
            if later is None or int(later[1]) < number:
                continue
            names = _names(event, task if int(later[1]) == number else "")
            yield from (f"{plan}/{name}" for name in names)


def _names(proposed: Event, task: str) -> list[str]:
    """Return the tasks of a plan that build on one of them; all, where it is none of them."""
    tasks: list[dict[str, Any]] = proposed.data["tasks"]
    names = [each["name"] for each in tasks]
    if task not in names:
        return names
    graph = dependents_of({each["name"]: tuple(n for n in each["needs"] if n in names) for each in tasks})
    found: dict[str, None] = {}
    queue = [task]
    while queue:
        for dependent in graph[queue.pop()]:
            if dependent not in found:
                found[dependent] = None
                queue.append(dependent)
    return list(found)
