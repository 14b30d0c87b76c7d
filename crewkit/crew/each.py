"""What a map is done for: a list that is known only when the run has come to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from crewkit.agents.output import Output
from crewkit.coordinator.condition import BadCondition, Condition, Step, written
from crewkit.core.label import Label
from crewkit.crew.check import schemas_at
from crewkit.errors import DefinitionError, RunError, did_you_mean

if TYPE_CHECKING:
    from crewkit.crew.bind import Known
    from crewkit.crew.task import Task

NAME = "item"
"""The name of the item: of a function's parameter, of a crew's input, and in a text."""


@dataclass(frozen=True)
class Each:
    """Where the list of a map is, and what one item comes to."""

    says: str
    """As people write it: `papers`, `plan.chapters`."""
    source: str
    """The task or input."""
    steps: tuple[Step, ...]
    """What is behind its name."""
    output: Output
    """What one item comes to; the map comes to a list of it."""


@dataclass(frozen=True)
class Item:
    """One item of a map, while it is being done."""

    number: int
    """Its position in the list, from 0."""
    value: Any
    """As its type."""
    data: Any
    """As JSON data."""
    label: Label


def source_of(task: Task[Any], tasks: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """Return the task that makes the list of a map; empty where it is an input.

    Raises:
        DefinitionError: It is neither.
    """
    given = task.for_each
    if given is None:
        return ""
    if not isinstance(given, str):
        name = given.name
    else:
        root = given.strip().partition(".")[0].partition("[")[0].strip()
        name = next((each for each in tasks if root in (each, each.replace("-", "_"))), root)
    if name in tasks:
        if not isinstance(given, str) and tasks[name] is not given:
            raise DefinitionError(
                f"Task '{task.name}' is done for each of another task '{name}' than the one in this crew."
            )
        return name
    if name not in inputs:
        known = [*tasks, *inputs]
        raise DefinitionError(
            f"Task '{task.name}' is to be done for each of '{name}', which is neither a task of this crew nor an "
            f"input.{did_you_mean(name, known)} There are: {', '.join(known)}."
        )
    return ""


def bind_each(
    task: Task[Any], output: Output, where: str, known: Known, types: Mapping[str, Output]
) -> Each | None:
    """Settle where the list of a map is; `None` for a task that is none.

    Args:
        task: The task.
        output: What one item comes to.
        where: How messages begin, for example `Task 'grade'`.
        known: What there is by name.
        types: Task or input to the type of what it holds.

    Raises:
        DefinitionError: It cannot be read, or is no list by its type.
    """
    given = task.for_each
    if given is None:
        return None
    says = given if isinstance(given, str) else given.name
    text = says.replace("-", "_") if says in types else says.strip()
    try:
        paths = Condition(text).paths
    except BadCondition as error:
        raise DefinitionError(f"{where}: for_each={says!r} names no list: {error}.") from error
    if len(paths) != 1 or written(paths[0]) != text:
        raise DefinitionError(
            f"{where}: for_each={says!r} names no list. Write the name of a task or an input, with `.field` behind it "
            "where the list is in one."
        )
    source, *steps = paths[0]
    found = schemas_at(paths[0], f"{where}: for_each={says!r}", known, types)
    kinds = {str(schema.get("type", "")) for schema in found}
    if kinds and not kinds & {"array", ""}:
        raise DefinitionError(
            f"{where}: for_each={says!r} is no list but {' or '.join(sorted(kinds))}. Give whatever makes it a type "
            "that is one: list[str], for example."
        )
    return Each(says, known[str(source)], tuple(steps), output)


def _at(value: Any, step: Step) -> Any:
    return value[step] if hasattr(value, "__getitem__") else getattr(value, str(step))


def listed(each: Each, value: Any, data: Any, where: str) -> tuple[Sequence[Any], Sequence[Any]]:
    """Return the items of a map, as their type and as JSON data.

    Raises:
        RunError: There is no list.
    """
    for step in each.steps:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError) as error:
            raise RunError(f"{where}: there is no `{each.says}` to do it for each of.") from error
        value = _at(value, step)
    if not isinstance(data, list):
        kind = "nothing" if data is None else f"no list but {type(data).__name__}"
        raise RunError(f"{where}: `{each.says}` is {kind}, so there is nothing to do it for each of.")
    items = cast("list[Any]", data)
    return (cast("Sequence[Any]", value) if isinstance(value, list | tuple) else items), items
