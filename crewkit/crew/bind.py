"""Filling parameters by name: from the inputs of a crew and from the outputs of what a task needs."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from crewkit.agents.output import Output
from crewkit.errors import DefinitionError, did_you_mean
from crewkit.tools.tool import Tool, ToolContext

if TYPE_CHECKING:
    from crewkit.crew.crew import Crew, Input
    from crewkit.crew.task import Task

Known = Mapping[str, str]
"""Name as code writes it to the task or input that it means."""


def known_names(needs: Iterable[str], inputs: Iterable[str]) -> dict[str, str]:
    """Return the names that a task can use: inputs, and what it needs with `_` for `-`."""
    return {**{name: name for name in inputs}, **{need.replace("-", "_"): need for need in needs}}


def bind_function(
    function: Callable[..., Any], task: Task[Any], known: Known
) -> tuple[dict[str, str], Output]:
    """Settle what fills the parameters of a function that does a task, and what it returns.

    Raises:
        DefinitionError: A parameter cannot be filled, or the function does not say what it returns.
    """
    where = f"Task '{task.name}'"
    arguments, hints = bind_parameters(function, where, known)
    if "return" not in hints:
        name = getattr(function, "__name__", repr(function))
        raise DefinitionError(
            f"{where}: {name}() does not say what it returns. Annotate it (`-> str`): the result is kept as JSON."
        )
    output = Output(hints["return"] if task.output_type is str else task.output_type, where)
    _ = output.schema
    if isinstance(task.do, Tool) and (fallback := task.do.fallback) is not None:
        bind_parameters(fallback.function, f"{where}: the fallback", known)
    return arguments, output


def bind_parameters(
    function: Callable[..., Any], where: str, known: Known, *, given: Collection[int] = ()
) -> tuple[dict[str, str], dict[str, Any]]:
    """Settle what fills a function's parameters; return that, and its annotations.

    A parameter for the `ToolContext` is filled by the empty name.

    Args:
        function: Any function.
        where: How messages begin, for example `Task 'draft'`.
        known: What there is by name.
        given: Positions of parameters that the caller fills.

    Raises:
        DefinitionError: A parameter without a default has no such name.
    """
    name = getattr(function, "__name__", repr(function))
    try:
        parameters = inspect.signature(function).parameters
        hints = typing.get_type_hints(function)
    except (TypeError, ValueError, NameError) as error:
        raise DefinitionError(f"{where}: the signature of {name}() cannot be read: {error}.") from error
    arguments: dict[str, str] = {}
    for i, parameter in enumerate(parameters.values()):
        if i in given and parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise DefinitionError(
                f"{where}: {name}() takes '{parameter}'; parameters are filled by name. Name each."
            )
        if hints.get(parameter.name) is ToolContext:
            arguments[parameter.name] = ""
        elif parameter.name in known:
            arguments[parameter.name] = known[parameter.name]
        elif parameter.default is parameter.empty:
            raise DefinitionError(
                f"{where}: {name}() takes '{parameter.name}', which is neither an input nor one of its needs."
                f"{did_you_mean(parameter.name, known)} There are: {', '.join(known) or 'none'}."
            )
    return arguments, hints


def bind_crew(sub: Crew, where: str, known: Known) -> dict[str, str]:
    """Settle what fills the inputs of a crew that does a task.

    Raises:
        DefinitionError: An input without a default has no such name.
    """
    from crewkit.crew.crew import REQUIRED

    wanted: Mapping[str, Input] = sub.plan.inputs
    missing = [name for name, given in wanted.items() if given.default is REQUIRED and name not in known]
    if missing:
        raise DefinitionError(
            f"{where}: crew '{sub.name}' wants the input '{missing[0]}', which is neither an input of this crew nor "
            f"one of its needs.{did_you_mean(missing[0], known)} There are: {', '.join(known) or 'none'}."
        )
    return {name: known[name] for name in wanted if name in known}
