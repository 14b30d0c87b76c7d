"""Crews of AI agents that can be trusted.

The public names load when they are first used, so that `import crewkit` costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing `typing` for it would be half of what `import crewkit` costs
if TYPE_CHECKING:
    from typing import Any

    from crewkit.agents.agent import Agent
    from crewkit.agents.delegate import ask_colleague
    from crewkit.agents.lookback import pin_fact
    from crewkit.agents.receipts import Receipt
    from crewkit.agents.window import Window
    from crewkit.checks.call import CallContext, check_call
    from crewkit.checks.scope import Grant, Scope
    from crewkit.coordinator.conversation import Said, Transitions
    from crewkit.core.events import Event
    from crewkit.core.guardrails import Guardrails
    from crewkit.core.limits import Limits
    from crewkit.core.verdict import Allow, Ask, Deny, Revise, Verdict
    from crewkit.crew.conversation import Conversation
    from crewkit.crew.crew import Crew, Input
    from crewkit.crew.options import Options
    from crewkit.crew.planner import Planner
    from crewkit.crew.resolve import Priority, Resolution, Resolve
    from crewkit.crew.result import Report, Result
    from crewkit.crew.task import Task, any_of
    from crewkit.errors import (
        CrewkitError,
        DefinitionError,
        Denied,
        InputError,
        JournalError,
        LimitExceeded,
        ModelError,
        ReplayError,
        RunBusy,
        RunError,
        ToolError,
    )
    from crewkit.journal.read import Pending
    from crewkit.memory.base import Hit, Record
    from crewkit.memory.semantic import SemanticMemory
    from crewkit.models.route import Capable, Route
    from crewkit.notify.base import Notifier, Unreached
    from crewkit.resilience.breaker import Breaker
    from crewkit.resilience.retry import Retry
    from crewkit.tools.memory import memory_tools, recall, remember
    from crewkit.tools.tool import Tool, ToolContext, tool, tool_from_schema

__version__ = "0.1.0"

_ROOMS = {
    "Agent": "agents.agent",
    "Allow": "core.verdict",
    "Ask": "core.verdict",
    "Breaker": "resilience.breaker",
    "CallContext": "checks.call",
    "Capable": "models.route",
    "Conversation": "crew.conversation",
    "Crew": "crew.crew",
    "CrewkitError": "errors",
    "DefinitionError": "errors",
    "Denied": "errors",
    "Deny": "core.verdict",
    "Event": "core.events",
    "Grant": "checks.scope",
    "Guardrails": "core.guardrails",
    "Hit": "memory.base",
    "Input": "crew.crew",
    "InputError": "errors",
    "JournalError": "errors",
    "LimitExceeded": "errors",
    "Limits": "core.limits",
    "ModelError": "errors",
    "Notifier": "notify.base",
    "Options": "crew.options",
    "Pending": "journal.read",
    "Planner": "crew.planner",
    "Priority": "crew.resolve",
    "Receipt": "agents.receipts",
    "Record": "memory.base",
    "ReplayError": "errors",
    "Report": "crew.result",
    "Resolution": "crew.resolve",
    "Resolve": "crew.resolve",
    "Result": "crew.result",
    "Retry": "resilience.retry",
    "Revise": "core.verdict",
    "Route": "models.route",
    "RunBusy": "errors",
    "RunError": "errors",
    "Said": "coordinator.conversation",
    "Scope": "checks.scope",
    "SemanticMemory": "memory.semantic",
    "Task": "crew.task",
    "Tool": "tools.tool",
    "ToolContext": "tools.tool",
    "ToolError": "errors",
    "Transitions": "coordinator.conversation",
    "Unreached": "notify.base",
    "Verdict": "core.verdict",
    "Window": "agents.window",
    "any_of": "crew.task",
    "ask_colleague": "agents.delegate",
    "check_call": "checks.call",
    "memory_tools": "tools.memory",
    "pin_fact": "agents.lookback",
    "recall": "tools.memory",
    "remember": "tools.memory",
    "tool": "tools.tool",
    "tool_from_schema": "tools.tool",
}

__all__ = [
    "Agent",
    "Allow",
    "Ask",
    "Breaker",
    "CallContext",
    "Capable",
    "Conversation",
    "Crew",
    "CrewkitError",
    "DefinitionError",
    "Denied",
    "Deny",
    "Event",
    "Grant",
    "Guardrails",
    "Hit",
    "Input",
    "InputError",
    "JournalError",
    "LimitExceeded",
    "Limits",
    "ModelError",
    "Notifier",
    "Options",
    "Pending",
    "Planner",
    "Priority",
    "Receipt",
    "Record",
    "ReplayError",
    "Report",
    "Resolution",
    "Resolve",
    "Result",
    "Retry",
    "Revise",
    "Route",
    "RunBusy",
    "RunError",
    "Said",
    "Scope",
    "SemanticMemory",
    "Task",
    "Tool",
    "ToolContext",
    "ToolError",
    "Transitions",
    "Unreached",
    "Verdict",
    "Window",
    "any_of",
    "ask_colleague",
    "check_call",
    "memory_tools",
    "pin_fact",
    "recall",
    "remember",
    "tool",
    "tool_from_schema",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _ROOMS:
        raise AttributeError(f"module 'crewkit' has no attribute '{name}'")
    value = getattr(import_module(f"crewkit.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOMS])
