"""The Rule of Two: text that is not trusted, sensitive data and effects do not belong in one agent's hands.

Whoever can write the text then can have the data sent anywhere. After "Agents Rule of Two: A Practical Approach to AI
Agent Security" (Meta AI, 2025).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from crewkit.checks.scope import Scope, granted
from crewkit.crew.several import agents_in
from crewkit.tools.tool import Tool

if TYPE_CHECKING:
    from crewkit.crew.compile import Job
    from crewkit.crew.crew import Crew


def rule_of_two(crew: Crew) -> Iterator[str]:
    """Name the agents of a crew, and of those inside it, that have all three, and with which tools."""
    from crewkit.crew.crew import Crew

    tools: dict[str, dict[str, Tool]] = {}
    unasked: dict[str, set[str]] = {}
    for job in crew.plan.jobs.values():
        if isinstance(job.task.do, Crew):
            yield from rule_of_two(job.task.do)
        for role, held, scope in _hands(job, crew):
            for tool in held:
                if grant := scope.grant(tool.name):
                    tools.setdefault(role, {})[tool.name] = tool
                    if not grant.asks(tool):
                        unasked.setdefault(role, set()).add(tool.name)
    for role, held in tools.items():
        untrusted = [tool.name for tool in held.values() if not tool.trusted and "read" in tool.effects]
        sensitive = [tool.name for tool in held.values() if tool.sensitive]
        effects = [tool.name for tool in held.values() if not tool.reads_only]
        if untrusted and sensitive and effects:
            free = sorted(unasked.get(role, set()) & set(effects))
            asked = (
                f"Nobody is asked before {', '.join(free)}." if free else "A person is asked before the last."
            )
            yield (
                f"Agent '{role}' reads what is not trusted ({', '.join(untrusted)}), sees what is sensitive "
                f"({', '.join(sensitive)}) and has effects ({', '.join(effects)}): whoever writes what it reads may "
                f"have it send what it sees. {asked} Give one of the three to another agent."
            )


def _hands(job: Job, crew: Crew) -> Iterator[tuple[str, Sequence[Tool], Scope]]:
    """Yield who has a part in a task, with what tools, as far as the scopes go."""
    if job.agent is not None:
        yield job.agent.role, job.tools, job.scope
    for agent in agents_in(job.task):
        tools = tuple(agent.tools)
        yield agent.role, tools, granted(tools, agent.scope, job.task.scope, crew.scope)
