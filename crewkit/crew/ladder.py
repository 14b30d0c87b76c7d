"""Who tries again when an agent's work is not accepted: another model, another agent, a person, as declared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crewkit.agents.agent import Agent
from crewkit.checks.scope import Scope, granted
from crewkit.core.verdict import Ask
from crewkit.errors import DefinitionError
from crewkit.models.route import Capable, ModelSpec
from crewkit.tools.tool import Tool, as_tools

if TYPE_CHECKING:
    from crewkit.crew.compile import Job
    from crewkit.crew.crew import Crew
    from crewkit.crew.task import Task

Data = dict[str, Any]


@dataclass(frozen=True)
class Rung:
    """Who tries after the ones before were not accepted."""

    who: str
    """For people: `the model x`, `Editor`, `a person`."""
    agent: Agent | None = None
    """Who works; `None`: a person decides."""
    tools: tuple[Tool, ...] = ()
    scope: Scope = field(default_factory=Scope)
    model: ModelSpec = None
    """The model of this rung; `None`: the agent's own."""
    question: str = ""
    """What a person is asked."""


def ladder_of(task: Task[Any], agent: Agent, crew: Crew) -> tuple[Rung, ...]:
    """Return the rungs of a task's ladder, with everything that its definition leaves open settled."""
    return tuple(_rung(each, task, agent, crew) for each in task.fallback)


def _rung(given: object, task: Task[Any], agent: Agent, crew: Crew) -> Rung:
    where = f"Task '{task.name}'"
    if isinstance(given, Ask):
        return Rung("a person", question=given.question)
    who = given if isinstance(given, Agent) else agent
    tools = as_tools(tuple({id(t): t for t in (*who.tools, *task.tools)}.values()), where)
    scope = granted(tools, who.scope, task.scope, crew.scope)
    if isinstance(given, Agent):
        return Rung(given.role, given, tools, scope, given.model)
    name = given if isinstance(given, str) else getattr(given, "name", None)
    if not isinstance(name, str) and not isinstance(given, Capable):
        raise DefinitionError(
            f"{where}: fallback={given!r:.60} is no one to fall back to. Name a model, an agent, or Ask('…') for a "
            "person."
        )
    model: Any = given
    return Rung(f"the model {name or given}", agent, tools, scope, model)


def models(job: Job) -> Sequence[tuple[str, ModelSpec]]:
    """Return the models that the rungs of a task name, with the ends of their paths; `None`: the crew's."""
    return [(f"/fallback:{i}", rung.model) for i, rung in enumerate(job.ladder, 1) if rung.agent is not None]
