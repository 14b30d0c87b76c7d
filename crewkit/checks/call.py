"""May this call be made? One function for the gateway of a crew and for whoever asks from outside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crewkit.checks.scope import Scope
from crewkit.checks.taint import controlled, unfounded, unproven
from crewkit.core.verdict import Allow, Ask, Deny, Verdict
from crewkit.errors import ToolError
from crewkit.tools.arguments import parse_arguments
from crewkit.tools.tool import Tool

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CallContext:
    """What decides about a call besides the scope, the tool and the arguments."""

    trusted: Sequence[str] | str = ()
    """Texts that may be taken at their word: what the user and the crew's definition say. One text is a list of one."""
    calls: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many calls were made before, by tool."""
    repeated: bool = False
    """A call of the same tool with the same control arguments was made before in this run."""
    cwd: Path | None = None
    """The folder that relative paths start from; the process's where left out."""

    @property
    def texts(self) -> Sequence[str]:
        """The trusted texts, as a list."""
        return [self.trusted] if isinstance(self.trusted, str) else self.trusted


def check_call(
    scope: Scope, tool: Tool, arguments: str | Mapping[str, Any], context: CallContext | None = None
) -> Verdict:
    """Say whether a call may be made, as the gateway of a crew does.

    In this order: is the tool granted, by its exact name; are the arguments strict JSON that satisfies its schema; are
    they within the grant; is a call left; does a person have to be asked.

    ```python
    scope = Scope(Grant("pay", where={"properties": {"amount": {"maximum": 100}}}, approval="tainted"))
    verdict = check_call(scope, pay, '{"to": "ann", "amount": 20}', CallContext(trusted=["Pay ann 20 euro."]))
    ```

    Args:
        scope: What is granted.
        tool: The tool's definition: `@tool`, or `tool_from_schema` for a foreign JSON Schema.
        arguments: JSON text exactly as a model wrote it, or JSON data.
        context: What else decides. Left out: no text is trusted and no call was made.

    Returns:
        `Allow()`; `Ask(question)`: only once a person has agreed to exactly this call; `Deny(reason)`. Never raises:
        whatever goes wrong in a check denies.
    """
    context = context or CallContext()
    try:
        if scope.grant(tool.name) is None:
            return Deny(f"The scope has no grant for '{tool.name}'.")
        raw = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        return judge(scope, tool, parse_arguments(raw, tool), context)
    except ToolError as error:
        return Deny(str(error))
    except Exception as error:  # noqa: BLE001  whatever goes wrong in a check denies
        return Deny(f"The check failed: {type(error).__name__}: {error}")


def judge(scope: Scope, tool: Tool, arguments: Data, context: CallContext) -> Verdict:
    """Say whether a call with valid arguments is within the scope; see `check_call`."""
    grant = scope.grant(tool.name)
    if grant is None:
        return Deny(f"The scope has no grant for '{tool.name}'.")
    if problem := grant.problem(tool, arguments, context.cwd or Path.cwd()):
        return Deny(f"'{tool.name}' may not be called so: {problem}.")
    if spent := used_up(scope, tool, context.calls):
        return Deny(f"'{tool.name}' {spent}.")
    if not grant.asks(tool):
        return Allow()
    effects = " and ".join(tool.effects)
    question = f"May '{tool.name}' ({effects}) be called?"
    if grant.approval != "tainted":
        return Ask(question, grant.expires)
    if missing := unproven(tool, arguments, context.texts):
        return Ask(f"{question} Not from a trusted text: {', '.join(missing)}.", grant.expires)
    if unfounded(tool, arguments, context.texts):
        return Ask(f"{question} Nothing in it is from a trusted text.", grant.expires)
    if context.repeated and pays(tool):
        return Ask(f"{question} It was already called with {_control(tool, arguments)}.", grant.expires)
    return Allow()


def used_up(scope: Scope, tool: Tool, calls: Mapping[str, int]) -> str:
    """Say why no call of a tool is left; empty where one is. `calls`: those made, by whose cap it is."""
    grant = scope.grant(tool.name)
    for holder, cap in grant.caps.items() if grant else ():
        if calls.get(holder or tool.name, 0) >= cap:
            return f"may be called {'once' if cap == 1 else f'{cap} times'} in a run, and it was"
    return ""


def pays(tool: Tool) -> bool:
    """Say whether calling a tool twice pays twice: what the user said once goes through unasked once."""
    return "financial" in tool.effects and not tool.idempotent


def _control(tool: Tool, arguments: Data) -> str:
    return ", ".join(f"{name}={value!r:.60}" for name, value in controlled(tool, arguments).items())
