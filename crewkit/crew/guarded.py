"""Guardrails and fallbacks of a crew, checked when it is defined."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from crewkit.agents.agent import Agent
from crewkit.core.guardrails import Guardrail, as_guardrails
from crewkit.crew.bind import bind_parameters, known_names
from crewkit.errors import DefinitionError
from crewkit.tools.tool import Tool

if TYPE_CHECKING:
    from crewkit.crew.crew import Crew, Input


def check_guardrails(crew: Crew, agents: Mapping[str, Agent], inputs: Mapping[str, Input]) -> None:
    """Check that what guardrails take besides what they look at is there.

    Raises:
        DefinitionError: One takes something that is no input of the crew.
    """
    known = known_names((), inputs)
    tools: dict[int, Tool] = {}
    places = [(f"Crew '{crew.name}'", as_guardrails(crew.guardrails, "crew"))]
    for agent in agents.values():
        tools |= {id(tool): tool for tool in agent.tools}
        places.append((f"Agent '{agent.role}'", as_guardrails(agent.guardrails, "agent")))
    for task in crew.tasks:
        tools |= {id(tool): tool for tool in task.tools}
        places.append((f"Task '{task.name}'", as_guardrails(task.guardrails, "task")))
    places += [(f"Tool '{tool.name}'", as_guardrails(tool.guardrails, "tool")) for tool in tools.values()]
    for where, guardrails in places:
        for guardrail in guardrails.all():
            _check(guardrail, where, known)


def _check(guardrail: Guardrail, where: str, known: Mapping[str, str]) -> None:
    try:
        inspect.signature(guardrail)
    except (TypeError, ValueError):
        return  # written in C: it gets what it looks at
    bind_parameters(guardrail, f"{where}: guardrail", known, given=(0,))


def check_fallbacks(tools: Sequence[Tool], where: str, whose: str) -> None:
    """Check that whoever has a tool has its fallback, too: it is called only where it is granted.

    Raises:
        DefinitionError: A fallback is not among the tools.
    """
    for tool in tools:
        if tool.fallback is not None and tool.fallback not in tools:
            raise DefinitionError(
                f"{where}: '{tool.name}' falls back to '{tool.fallback.name}', which {whose} does not have. "
                f"A fallback is called only where it is granted: list it too, tools=[{tool.name}, "
                f"{tool.fallback.name}]."
            )
