"""Conditions of tasks: bound to what they look at when a crew is defined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from crewkit.agents.output import Output
from crewkit.coordinator.condition import BadCondition, Condition, Path, written
from crewkit.crew.bind import Known, bind_parameters
from crewkit.crew.iteration import OUTPUT
from crewkit.errors import DefinitionError, did_you_mean

Data = dict[str, Any]


@dataclass(frozen=True)
class Check:
    """A condition of a task, with its names settled."""

    says: str
    """The text of the condition, or the function's name with `()`."""
    sources: Mapping[str, str]
    """Name in the text, or parameter, to the task or input that it means."""
    condition: Condition | None = None
    function: Callable[..., Any] | None = None


def bind_check(
    given: object, where: str, field: str, known: Known, schemas: Mapping[str, Output], *, own: bool = False
) -> Check:
    """Check a condition as it was given, and settle what its names mean.

    Args:
        given: A text or a function.
        where: How messages begin, for example `Task 'draft'`.
        field: The task's field that holds it.
        known: What there is by name.
        schemas: Task or input to the type of what it holds.
        own: It looks at the task's own output: a function takes it first, whatever that parameter is called.

    Raises:
        DefinitionError: It cannot be read, or looks at something that is not there.
    """
    if isinstance(given, str):
        condition = Condition(given)
        try:
            paths = condition.paths
        except BadCondition as error:
            raise DefinitionError(f"{where}: {field}={given!r} is no condition: {error}.") from error
        for path in paths:
            schemas_at(path, f"{where}: {field}={given!r}", known, schemas)
        names = dict.fromkeys(str(path[0]) for path in paths)
        return Check(given.strip(), {name: known[name] for name in names}, condition)
    if not callable(given):
        raise DefinitionError(
            f"{where}: {field}={given!r:.60} is neither a condition in a text nor a function. Write "
            f'{field}="draft.score > 0.5", or a function of what the task needs that returns True or False.'
        )
    others = {name: source for name, source in known.items() if source != OUTPUT}
    arguments, _ = bind_parameters(given, f"{where}: {field}", others, given=(0,) if own else ())
    arguments |= {"": OUTPUT} if own else {}
    return Check(f"{getattr(given, '__name__', type(given).__name__)}()", arguments, None, given)


# What a condition may look at


def schemas_at(path: Path, where: str, known: Known, schemas: Mapping[str, Output]) -> list[Data]:
    """Return the JSON Schemas of what may stand at a path, without references and alternatives.

    Raises:
        DefinitionError: There can be nothing.
    """
    name, *steps = path
    if name not in known:
        raise DefinitionError(
            f"{where} looks at '{name}', which is neither an input nor one of its needs."
            f"{did_you_mean(str(name), known)} There are: {', '.join(known) or 'none'}."
        )
    output = schemas[known[str(name)]]
    root: Data = {"type": "string"} if output.schema is None else output.schema
    below: list[Data] = [root]
    for i, step in enumerate(steps, 1):
        fields: dict[str, None] = {}
        below = [each for schema in _plain(below, root) for each in _below(schema, step, fields)]
        if not below:
            has = f"It has: {', '.join(fields)}." if fields else "It has no fields."
            near = did_you_mean(str(step), fields)
            of = f" of {output.kind}" if i == 1 else ""
            raise DefinitionError(f"{where}: there is no `{written(path[: i + 1])}`{of}.{near} {has}")
    return list(_plain(below, root))


def _plain(schemas: Iterable[Data], root: Data) -> Iterable[Data]:
    """Yield JSON Schemas without references and alternatives."""
    for schema in schemas:
        inside = [each for word in ("anyOf", "oneOf", "allOf") for each in schema.get(word, ())]
        if reference := schema.get("$ref"):
            inside.append(root.get("$defs", {}).get(str(reference).rpartition("/")[2], {}))
        if inside:
            yield from _plain(inside, root)
        else:
            yield schema


def _below(schema: Data, step: str | int, fields: dict[str, None]) -> Iterable[Data]:
    """Yield what a schema says of a field or an element; nothing where there is none."""
    kind = schema.get("type")
    if isinstance(step, int):
        if kind == "array":
            yield {} if "prefixItems" in schema else schema.get("items", {})
        elif kind == "string":
            yield schema
        elif kind is None and "enum" not in schema and "const" not in schema:
            yield {}
        return
    properties: Data = schema.get("properties", {})
    fields |= dict.fromkeys(properties)
    others = schema.get("additionalProperties")
    if step in properties:
        yield properties[step]
    elif others or (others is None and not properties and kind in ("object", None) and "enum" not in schema):
        yield others if isinstance(others, dict) else {}
