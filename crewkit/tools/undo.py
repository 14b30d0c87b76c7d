"""What takes an effect back: its arguments come from the call that it undoes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from crewkit.errors import DefinitionError, did_you_mean

if TYPE_CHECKING:
    from crewkit.tools.tool import Tool

RESULT, KEY = "result", "key"
"""What an undo may take besides the arguments of the call: what it returned, and its idempotency key."""


def check_undo(tool: Tool) -> None:
    """Check that what undoes a tool's calls can be called with what is known of them.

    Raises:
        DefinitionError: It is no tool, or takes something that a call does not tell.
    """
    from crewkit.tools.tool import Tool

    undo = tool.undo
    if undo is None:
        return
    if not isinstance(undo, Tool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError(
            f"Tool '{tool.name}': undo={getattr(undo, '__name__', undo)!s:.60} is no tool. Decorate it with @tool."
        )
    if tool.reads_only:
        raise DefinitionError(f"Tool '{tool.name}' only reads: there is nothing to undo. Leave out undo.")
    known = [*tool.parameters.get("properties", {}), RESULT, KEY]
    for name in undo.parameters.get("properties", {}):
        if name not in known:
            raise DefinitionError(
                f"Tool '{tool.name}': its undo '{undo.name}' takes '{name}', which is no argument of '{tool.name}'."
                f"{did_you_mean(name, known)} There are: {', '.join(known)}."
            )


def as_undo(
    given: Tool | Callable[..., Any], tool: str, where: str, names: Mapping[str, Any], like: Any
) -> Tool:
    """Make a tool of a plain function that undoes: with the effects of what it undoes, and to be run again if need be.

    Args:
        given: A tool is left as it is.
        tool: The name of what it undoes.
        where: How messages begin.
        names: The names that its annotations may use.
        like: The effects, `timeout` and `retries` of what it undoes, by name.
    """
    from crewkit.tools.schema import describe
    from crewkit.tools.tool import Tool

    if isinstance(given, Tool):
        return given
    described = describe(given, where, names)
    return Tool(
        getattr(given, "__name__", f"undo_{tool}"),
        described.description,
        described.parameters,
        given,
        idempotent=True,
        context=described.context,
        convert=described.convert,
        **like,
    )


def values_for(undo: Tool, arguments: Mapping[str, Any], result: Any, key: str) -> dict[str, Any]:
    """Return what an undo is called with, as JSON data, of the call that it undoes."""
    wanted: Mapping[str, Any] = undo.parameters.get("properties", {})
    values = {name: arguments[name] for name in wanted if name in arguments}
    if RESULT in wanted and RESULT not in values:
        text = wanted[RESULT].get("type") == "string"
        values[RESULT] = _parsed(result) if isinstance(result, str) and not text else result
    if KEY in wanted and KEY not in values:
        values[KEY] = key
    return values


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
