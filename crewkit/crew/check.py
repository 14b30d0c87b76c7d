"""Conditions of tasks: bound to what they look at when a crew is defined, and asked while it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from crewkit.agents.output import Output
from crewkit.coordinator.condition import BadCondition, Condition, Path, Undecided, written
from crewkit.core.verdict import Allow, Ask, Deny, Revise
from crewkit.crew.bind import Known, bind_parameters
from crewkit.crew.facts import facts
from crewkit.crew.iteration import ITEM, META, OUTPUT
from crewkit.errors import DefinitionError, RunError, did_you_mean
from crewkit.tools.call import invoke

if TYPE_CHECKING:
    from crewkit.crew.compile import Job
    from crewkit.execution.walk import Walk

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


async def decide(walk: Walk, job: Job, check: Check, at: str) -> Data:
    """Ask whether a task is to be done; return the verdict as the journal keeps it.

    Raises:
        RunError: It cannot be said; the message names the condition and what it looked at.
    """
    match await _asked(walk, job, check, at):
        case Allow():
            return _told(walk, job, check, "allow", "")
        case Deny(why) | Revise(why):
            said = (
                why if check.condition else f"{check.says} said: {why}" if why else f"{check.says} said no."
            )
            return _told(walk, job, check, "deny", f"Its condition {said}")
        case said:
            raise RunError(
                f"Its condition {check.says} returned {said!r:.80}: return True, False, or a sentence why not."
            )


async def inspect(walk: Walk, job: Job, check: Check, at: str, output: Any) -> Data:
    """Ask whether an output is good enough for a loop to end; return the verdict as the journal keeps it.

    Raises:
        RunError: It cannot be said; the message names the check and what it looked at.
    """
    match await _asked(walk, job, check, at, output):
        case None | Allow():
            return _told(walk, job, check, "allow", "", output)
        case Revise(why):
            return _told(walk, job, check, "revise", why or f"{check.says} said no.", output)
        case Deny(why):
            return _told(walk, job, check, "deny", why, output)
        case Ask(question):
            return _told(walk, job, check, "ask", question, output)
        case said:
            raise RunError(
                f"Its check {check.says} returned {said!r:.80}: return None, a sentence about what is wrong, or a "
                "verdict."
            )


async def _asked(walk: Walk, job: Job, check: Check, at: str, output: Any = None) -> Any:
    """Return what a condition says: of True, False and sentences, the verdict that they mean."""
    if check.condition is not None:
        values = _values(walk, job, check, output)
        try:
            holds = check.condition.holds(values)
        except Undecided as error:
            raise RunError(f"Its condition `{check.says}` cannot be decided: {error}.") from error
        return Allow() if holds else Revise(_failing(check.condition, values))
    assert check.function is not None
    function = check.function
    if OUTPUT in check.sources.values():
        function = partial(function, job.output.load(output))
    arguments = {
        name: walk.argument(job, source, at) for name, source in check.sources.items() if source != OUTPUT
    }
    try:
        said = await invoke(function, arguments)
    except Exception as error:
        raise RunError(f"Its condition {check.says} failed with {type(error).__name__}: {error}") from error
    if isinstance(said, bool):
        return Allow() if said else Revise("")
    return Revise(said) if isinstance(said, str) and said.strip() else said


def _values(walk: Walk, job: Job, check: Check, output: Any) -> Data:
    """Return the values of the names in a condition."""
    given: Data = {OUTPUT: output, ITEM: job.item.data if job.item else None}
    if META in check.sources.values():
        given[META] = facts(walk, job)
    return {name: given[s] if s in given else walk.data(s) for name, s in check.sources.items()}


def _failing(condition: Condition, values: Data) -> str:
    seen = {name: brief(value) for name, value in condition.seen(values).items()}
    said = ", ".join(f"{name} is {json.dumps(value, ensure_ascii=False)}" for name, value in seen.items())
    return f"`{condition.text.strip()}` does not hold{': ' if said else ''}{said}."


def _told(walk: Walk, job: Job, check: Check, verdict: str, why: str, output: Any = None) -> Data:
    """Return a verdict as the journal keeps it."""
    data: Data = {"condition": check.says, "verdict": verdict, "why": why}
    if check.condition is not None:
        seen = check.condition.seen(_values(walk, job, check, output))
        data["values"] = {name: brief(value) for name, value in seen.items()}
    return data


def brief(value: Any) -> Any:
    """Return JSON data as it is told with a condition: cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return value if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


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
