"""Tasks that are not done by one agent, a function or a crew: what is settled about them when a crew is defined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from crewkit.agents.agent import Agent
from crewkit.agents.output import Output
from crewkit.checks.scope import Scope, granted
from crewkit.coordinator.graph import Need, names_in
from crewkit.crew.resolve import Resolution, Resolve
from crewkit.errors import DefinitionError
from crewkit.tools.tool import Tool

if TYPE_CHECKING:
    from crewkit.crew.compile import Job
    from crewkit.crew.crew import Crew
    from crewkit.crew.task import Task


def agents_in(task: Task[Any]) -> tuple[Agent, ...]:
    """Return the agents who have a part in a task that no single agent does."""
    if isinstance(task.do, Resolve):
        return (task.do.judge,) if task.do.judge else ()
    return ()


def turns(_job: Job) -> int:
    """Return how often an agent is at work in one iteration of a task at most."""
    return 1


def reach(task: Task[Any], crew: Crew) -> tuple[tuple[Tool, ...], Scope]:
    """Return the tools of all who have a part in a task, and how far the task and the crew let them go."""
    tools = tuple({id(tool): tool for agent in agents_in(task) for tool in agent.tools}.values())
    held = ((task.scope, f"task {task.name}"), (crew.scope, "crew"))
    return tools, granted(tools, *(scope and scope.held_by(holder) for scope, holder in held))


def resolving(task: Task[Any], resolve: Resolve, joins: tuple[Need, ...], crew: Crew) -> Job:
    """Return the job of a task that resolves a conflict."""
    from crewkit.crew.compile import Job

    where = f"Task '{task.name}'"
    needs = tuple(dict.fromkeys(names_in(joins)))
    resolve.check(where, needs)
    output = Output(Any if task.output_type is str else task.output_type, where)
    _ = output.schema
    tools, scope = reach(task, crew)
    return Job(task, "conflict", joins, needs, None, "", tools, scope, output, {})


def settled(job: Job, jobs: Mapping[str, Job]) -> Job:
    """Return a job with what depends on the jobs before it: what is chosen from several has their type.

    Raises:
        DefinitionError: It compares a field that a result does not have.
    """
    from crewkit.crew.check import schemas_at

    resolve = job.task.do
    if not isinstance(resolve, Resolve):
        return job
    where = f"Task '{job.name}'"
    if isinstance(resolve.about, str):
        if not resolve.about.strip():
            raise DefinitionError(f"{where}: about='' names no field. Leave it out to compare whole results.")
        steps, outputs = resolve.about.split("."), {name: jobs[name].output for name in job.needs}
        for name in job.needs:
            schemas_at((name, *steps), f"{where}: about={resolve.about!r}", {name: name}, outputs)
    types = {jobs[name].output.type for name in job.needs}
    same = len(types) == 1 and job.task.output_type is str and job.output.type is not Resolution
    return replace(job, output=Output(types.pop(), where)) if same else job
