"""The agent: a role, a goal, a toolset and a scope. A definition, without state: it serves many tasks at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import NoneType

from crewkit.agents.window import Window
from crewkit.checks.scope import Scope
from crewkit.core.guardrails import NONE, Guardrail, Guardrails, as_guardrails
from crewkit.core.limits import Limits
from crewkit.errors import DefinitionError, expect, expect_number
from crewkit.models.route import ModelSpec, check_model
from crewkit.tools.tool import Tool, as_tools


@dataclass(frozen=True)
class Agent:
    """Someone who does tasks, as far as the scope goes."""

    role: str
    """What the agent is, and its name in the crew."""
    goal: str
    """What it is after, in every task."""
    backstory: str = ""
    """What else it should know of itself."""
    tools: Sequence[Tool] = ()
    """What it can call. Listing a tool grants it."""
    scope: Scope | None = None
    """Narrows what `tools`, here and in its tasks, grant; and settles which calls a person is asked about."""
    model: ModelSpec = None
    guardrails: Guardrails | Sequence[Guardrail] = NONE
    """Over all that the agent does; a plain list is for its outputs."""
    limits: Limits = field(default_factory=Limits)
    """Over all tasks that the agent does in a run."""
    max_tokens: int = 4096
    """Longest answer of one model call."""
    temperature: float | None = None
    """`None`: the model's own default."""
    window: Window = field(default_factory=Window)
    """How much of a long conversation the model is sent; what is older is summarised."""

    def __post_init__(self) -> None:
        expect("Agent", "role", self.role, str, "a text")
        if not self.role.strip():
            raise DefinitionError("An agent has no role. Give it one: Agent('Researcher', 'Find facts.').")
        where = f"Agent '{self.role}'"
        expect(where, "goal", self.goal, str, "a text")
        expect(where, "backstory", self.backstory, str, "a text")
        expect(where, "scope", self.scope, (Scope, NoneType), "a Scope: scope=Scope('search')")
        expect(where, "limits", self.limits, Limits, "a Limits: limits=Limits(tokens=50_000)")
        expect(where, "window", self.window, Window, "a Window: window=Window(messages=100)")
        expect(where, "max_tokens", self.max_tokens, int, "a number of tokens")
        check_model(self.model, where)
        if self.temperature is not None:
            expect_number(where, "temperature", self.temperature, 0)
        if not self.goal.strip():
            raise DefinitionError(f"{where} has no goal. Say in a sentence what it is after.")
        if self.max_tokens < 1:
            raise DefinitionError(
                f"{where}: max_tokens={self.max_tokens!r} leaves no room for an answer. Give a number above 0."
            )
        object.__setattr__(self, "tools", as_tools(self.tools, where))
        object.__setattr__(self, "guardrails", as_guardrails(self.guardrails, where))
