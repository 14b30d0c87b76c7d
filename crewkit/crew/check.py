"""Conditions of tasks: bound to what they look at when a crew is defined, and asked while it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crewkit.agents.output import Output
from crewkit.coordinator.condition import BadCondition, Condition, Path, Undecided, written
from crewkit.core.verdict import Allow, Deny, Revise
from crewkit.crew.bind import Known, bind_parameters
from crewkit.errors import DefinitionError, RunError, did_you_mean
from crewkit.tools.call import invoke

if TYPE_CHECKING:
    from crewkit.crew.compile import Job
    from crewkit.crew.walk import Walk

Data = dict[str, Any]

_LONGEST_VALUE = 200
"""Characters of a value that is told with a condition."""


@dataclass(frozen=True)
class Check:
    """A condition of a task, with its names settled."""

    says: str
    """The text of the condition, or the function's name with `()`."""
    sources: Mapping[str, str]
    """Name in the text, or parameter, to the task or input that it means."""
    condition: Condition | None = None
    function: Callable[..., Any] | None = None


def bind_check(given: object, where: str, field: str, known: Known, schemas: Mapping[str, Output]) -> Check:
    """Check a condition as it was given, and settle what its names mean.

    Args:
        given: A text or a function.
        where: How messages begin, for example `Task 'draft'`.
        field: The task's field that holds it.
        known: What there is by name.
        schemas: Task or input to the type of what it holds.

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
            _there(path, f"{where}: {field}={given!r}", known, schemas)
        names = dict.fromkeys(str(path[0]) for path in paths)
        return Check(given.strip(), {name: known[name] for name in names}, condition)
    if not callable(given):
        raise DefinitionError(
            f"{where}: {field}={given!r:.60} is neither a condition in a text nor a function. Write "
            f'{field}="draft.score > 0.5", or a function of what the task needs that returns True or False.'
        )
    arguments, _ = bind_parameters(given, f"{where}: {field}", known)
    return Check(f"{getattr(given, '__name__', type(given).__name__)}()", arguments, None, given)


async def decide(walk: Walk, job: Job, check: Check, at: str) -> Data:
    """Ask whether a task is to be done; return the verdict as the journal keeps it.

    Raises:
        RunError: It cannot be said; the message names the condition and what it looked at.
    """
    if check.condition is not None:
        values = {name: walk.data(source) for name, source in check.sources.items()}
        try:
            holds = check.condition.holds(values)
        except Undecided as error:
            raise RunError(f"Its condition `{check.says}` cannot be decided: {error}.") from error
        seen = {name: brief(value) for name, value in check.condition.seen(values).items()}
        said = ", ".join(f"{name} is {json.dumps(value, ensure_ascii=False)}" for name, value in seen.items())
        why = "" if holds else f"Its condition `{check.says}` does not hold{': ' if said else ''}{said}."
        return _verdict(check, why, holds=holds) | {"values": seen}
    assert check.function is not None
    arguments = {name: walk.argument(job, source, at) for name, source in check.sources.items()}
    try:
        said = await invoke(check.function, arguments)
    except Exception as error:
        raise RunError(f"Its condition {check.says} failed with {type(error).__name__}: {error}") from error
    match said:
        case bool():
            return _verdict(check, "" if said else f"Its condition {check.says} said no.", holds=said)
        case Allow():
            return _verdict(check, "", holds=True)
        case Deny(why) | Revise(why) | str(why) if why.strip():
            return _verdict(check, f"Its condition {check.says} said: {why}", holds=False)
        case _:
            raise RunError(
                f"Its condition {check.says} returned {said!r:.80}: return True, False, or a sentence why not."
            )


def _verdict(check: Check, why: str, *, holds: bool) -> Data:
    return {"condition": check.says, "verdict": "allow" if holds else "deny", "why": why}


def brief(value: Any) -> Any:
    """Return JSON data as it is told with a condition: cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return value if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


# What a condition may look at


def _there(path: Path, where: str, known: Known, schemas: Mapping[str, Output]) -> None:
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
