"""Who needs whom."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from crewkit.errors import DefinitionError

Graph = Mapping[str, tuple[str, ...]]
"""Task to the tasks that must be finished first."""


def topological(graph: Graph) -> list[str]:
    """Return the tasks in an order in which they could run one by one, as near to the given order as possible.

    Raises:
        DefinitionError: The tasks wait for each other in a circle; the message shows it.
    """
    unmet = {name: len(needs) for name, needs in graph.items()}
    dependents = dependents_of(graph)
    ready = deque(name for name, count in unmet.items() if not count)
    order: list[str] = []
    while ready:
        name = ready.popleft()
        order.append(name)
        for dependent in dependents[name]:
            unmet[dependent] -= 1
            if not unmet[dependent]:
                ready.append(dependent)
    if len(order) < len(graph):
        circle = " → ".join(_circle({name: graph[name] for name in graph if name not in set(order)}))
        raise DefinitionError(
            f"Tasks wait for each other in a circle: {circle}. Take one of these needs away."
        )
    return order


def dependents_of(graph: Graph) -> dict[str, list[str]]:
    """Turn the graph round: task to the tasks that need it."""
    dependents: dict[str, list[str]] = {name: [] for name in graph}
    for name, needs in graph.items():
        for need in needs:
            dependents[need].append(name)
    return dependents


def _circle(rest: Graph) -> list[str]:
    """Return one circle, its first task again at the end. Every task of `rest` needs another of `rest`."""
    name = next(iter(rest))
    walked: list[str] = []
    while name not in walked:
        walked.append(name)
        name = next(need for need in rest[name] if need in rest)
    return [*walked[walked.index(name) :], name]
