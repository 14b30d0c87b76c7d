"""Who needs whom."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from crewkit.errors import DefinitionError


@dataclass(frozen=True, slots=True)
class AnyOf:
    """A join over alternatives: met when all of them are settled and at least one completed."""

    names: tuple[str, ...]


Need = str | AnyOf
Graph = Mapping[str, tuple[Need, ...]]
"""Task to what must be finished first."""


def names_in(needs: Iterable[Need]) -> Iterator[str]:
    """Yield the tasks in needs, those of alternatives one by one."""
    for need in needs:
        if isinstance(need, AnyOf):
            yield from need.names
        else:
            yield need


def topological(graph: Graph) -> list[str]:
    """Return the tasks in an order in which they could run one by one, as near to the given order as possible.

    Raises:
        DefinitionError: The tasks wait for each other in a circle; the message shows it.
    """
    named = {name: tuple(dict.fromkeys(names_in(needs))) for name, needs in graph.items()}
    unmet = {name: len(needs) for name, needs in named.items()}
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
        taken = set(order)
        circle = " → ".join(_circle({name: named[name] for name in graph if name not in taken}))
        raise DefinitionError(
            f"Tasks wait for each other in a circle: {circle}. Take one of these needs away."
        )
    return order


def dependents_of(graph: Graph) -> dict[str, list[str]]:
    """Turn the graph round: task to the tasks that need it, each once."""
    dependents: dict[str, list[str]] = {name: [] for name in graph}
    for name, needs in graph.items():
        for need in dict.fromkeys(names_in(needs)):
            dependents[need].append(name)
    return dependents


def _circle(rest: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return one circle, its first task again at the end. Every task of `rest` needs another of `rest`."""
    name = next(iter(rest))
    walked: list[str] = []
    while name not in walked:
        walked.append(name)
        name = next(need for need in rest[name] if need in rest)
    return [*walked[walked.index(name) :], name]
