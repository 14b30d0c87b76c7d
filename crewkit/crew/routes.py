"""A task that chooses which of several others is done: exactly one of its routes.

`routes=` is short for what could be written out: an output that can be nothing but the name of a route, and for each
route `needs=[chooser]` with `when="chooser == 'route'"`. So the schedule, the drawings, the plan and the journal know
no routes; they see needs and conditions.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

from crewkit.coordinator.condition import BadCondition, Condition
from crewkit.coordinator.graph import AnyOf, Need
from crewkit.errors import DefinitionError, RunError, did_you_mean
from crewkit.tools.tool import Tool

if TYPE_CHECKING:
    from crewkit.crew.task import Task

Tasks = Mapping[str, "Task[Any]"]

ELSE = "else"
"""The condition that holds where no other does."""
FIELD = "route"
"""The field of a record that names the route, where a chooser says more than that."""


def names_of(task: Task[Any]) -> tuple[str, ...]:
    """Return the routes of a chooser, by name."""
    return tuple(cast("Iterable[str]", task.routes))


def check_routes(tasks: Tasks) -> None:
    """Refuse routes that lead nowhere.

    Raises:
        DefinitionError: One is no task of the crew, or has a condition that cannot be joined with being chosen.
    """
    for task in tasks.values():
        where = f"Task '{task.name}'"
        if task.routes and (task.for_each is not None or task.wait_for is not None):
            raise DefinitionError(
                f"{where} has routes, so it is done once and by somebody: leave out for_each and wait_for."
            )
        for route in names_of(task):
            if route not in tasks:
                raise DefinitionError(
                    f"{where} has the route '{route}', which is not in this crew.{did_you_mean(route, tasks)} "
                    f"Tasks: {', '.join(tasks)}."
                )
            if route == task.name:
                raise DefinitionError(f"{where} is a route of itself. To do it again: until=….")
            if callable(tasks[route].when):
                raise DefinitionError(
                    f"Task '{route}' is a route of '{task.name}' and has a function as its condition (`when`). Write "
                    "the condition as a text, or let the chooser look at it."
                )


def choosers(tasks: Tasks) -> dict[str, list[str]]:
    """Return the choosers of each task that is a route."""
    found: dict[str, list[str]] = {}
    for task in tasks.values():
        for route in names_of(task):
            found.setdefault(route, []).append(task.name)
    return found


def joined(joins: tuple[Need, ...], by: list[str]) -> tuple[Need, ...]:
    """Return what a route must wait for: its choosers too."""
    open_ = [name for name in by if name not in joins]
    if not open_:
        return joins
    return (*joins, open_[0] if len(by) == 1 else AnyOf(tuple(by)))


def written_out(task: Task[Any], by: list[str], tasks: Tasks) -> Task[Any]:
    """Return a task with what routes stand for: the type of its output as a chooser, its condition as a route."""
    if task.routes:
        task = _chooser(task)
    if by:
        chosen = " or ".join(_chose(tasks[name], task.name, alone=len(by) == 1) for name in by)
        own = f" and ({task.when})" if task.when is not None else ""
        task = replace(task, when=f"({chosen}){own}" if own and len(by) > 1 else f"{chosen}{own}")
    return task


def _chose(chooser: Task[Any], route: str, *, alone: bool) -> str:
    name = chooser.name.replace("-", "_")
    if not _is_record(_returned(chooser)):
        return f"{name} == {route!r}"
    said = f"{name}.{FIELD} == {route!r}"
    if alone and chooser.on_failure != "continue":
        return said
    return f"{name} is not None and {said}" if alone else f"({name} is not None and {said})"


def _chooser(task: Task[Any]) -> Task[Any]:
    names = names_of(task)
    if isinstance(task.routes, Mapping):
        if task.agent is not None or task.do is not None:
            raise DefinitionError(
                f"Task '{task.name}' has conditions for its routes, so nobody else chooses: leave out agent and do."
            )
        return replace(
            task,
            do=_table(task, cast("Mapping[str, str]", task.routes)),
            output_type=cast("Any", Literal[names]),
        )
    returned = _returned(task)
    if _is_record(returned):
        from pydantic import create_model

        fields: Any = {FIELD: (Literal[names], ...)}
        made = create_model(returned.__name__, __base__=returned, __module__=returned.__module__, **fields)
        return replace(task, output_type=made)
    if returned is str or (
        typing.get_origin(returned) is Literal and set(typing.get_args(returned)) <= set(names)
    ):
        return replace(task, output_type=cast("Any", Literal[names]))
    raise DefinitionError(
        f"Task '{task.name}' has routes, so its output names one: a text, or a pydantic model with a field "
        f"'{FIELD}'. It is {getattr(returned, '__name__', returned)}."
    )


def _returned(task: Task[Any]) -> Any:
    """Return the type of what a chooser says, as far as its definition goes."""
    function = task.do.function if isinstance(task.do, Tool) else task.do
    if task.output_type is str and inspect.isroutine(function):
        try:
            return typing.get_type_hints(function).get("return", str)
        except (TypeError, NameError):
            return str
    return task.output_type


def _is_record(returned: Any) -> bool:
    return FIELD in getattr(returned, "model_fields", ())


def _table(task: Task[Any], routes: Mapping[str, str]) -> Tool:
    """Return the function that chooses by conditions: the first that holds."""
    where = f"Task '{task.name}'"
    *_, last = routes.values()
    if ELSE in list(routes.values())[:-1]:
        raise DefinitionError(
            f"{where}: '{ELSE}' is the condition of the last route: nothing after it can be chosen."
        )
    conditions = {name: Condition(text) for name, text in routes.items() if text != ELSE}
    names: dict[str, None] = {}
    for name, condition in conditions.items():
        try:
            names |= dict.fromkeys(str(path[0]) for path in condition.paths)
        except BadCondition as error:
            raise DefinitionError(
                f"{where}: routes['{name}']={condition.text!r} is no condition: {error}."
            ) from error
    otherwise = list(routes)[-1] if last == ELSE else ""
    chosen: Any = _first(conditions, otherwise)
    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
    chosen.__signature__ = inspect.Signature(parameters, return_annotation=str)
    says = "; ".join(f"{name}: {text}" for name, text in routes.items())
    schema: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
    return Tool("choose", f"Choose the first that holds. {says}", schema, chosen, effects=("read",))


def _first(conditions: Mapping[str, Condition], otherwise: str) -> Callable[..., str]:
    def choose(**values: Any) -> str:
        from pydantic_core import to_jsonable_python

        data = {name: to_jsonable_python(value) for name, value in values.items()}
        for name, condition in conditions.items():
            if condition.holds(data):
                return name
        if otherwise:
            return otherwise
        seen = {key: value for each in conditions.values() for key, value in each.seen(data).items()}
        raise RunError(f"None of its routes can be taken: {seen}. Give the last one the condition '{ELSE}'.")

    return choose


def conditions_of(task: Task[Any]) -> Iterator[tuple[str, Condition]]:
    """Yield the conditions by which a chooser chooses, with their routes."""
    if isinstance(task.routes, Mapping):
        for name, text in task.routes.items():
            if text != ELSE:
                yield str(name), Condition(text)


def told(routes: Iterable[Any] | Mapping[Any, str]) -> list[str]:
    """Return routes as texts, in their order."""
    if isinstance(routes, Mapping):
        pairs = cast("Mapping[Any, str]", routes)
        return [f"{name}: {text}" for name, text in pairs.items()]
    return [str(route) for route in routes]
