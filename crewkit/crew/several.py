"""Tasks that are not done by one agent, a function or a crew: what is settled about them when a crew is defined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from crewkit.agents.agent import Agent
from crewkit.agents.output import Output
from crewkit.checks.scope import Scope, granted
from crewkit.coordinator.graph import Need
from crewkit.core.limits import CREW_LIMITS
from crewkit.crew.bind import bind_parameters, known_names
from crewkit.crew.conversation import SAID, TEXT, Conversation, name_of, rounds_of
from crewkit.crew.each import NAME
from crewkit.crew.iteration import ITEM
from crewkit.crew.planner import Planner
from crewkit.crew.resolve import Resolution, Resolve
from crewkit.errors import DefinitionError
from crewkit.tools.tool import Tool

if TYPE_CHECKING:
    from crewkit.crew.compile import Job
    from crewkit.crew.crew import Crew, Input
    from crewkit.crew.task import Task


Several = Resolve | Conversation | Planner
"""What stands in a task's `do` where several have a part in it."""


def agents_in(task: Task[Any]) -> tuple[Agent, ...]:
    """Return the agents who have a part in a task that no single agent does."""
    if isinstance(task.do, Resolve):
        return (task.do.judge,) if task.do.judge else ()
    if isinstance(task.do, Conversation):
        return task.do.agents
    if isinstance(task.do, Planner):
        return (*task.do.agents, task.do.who)
    return ()


def done_by_several(
    task: Task[Any], do: Several, joins: tuple[Need, ...], crew: Crew, inputs: Mapping[str, Input]
) -> Job:
    """Return the job of a task that several do.

    Raises:
        DefinitionError: Something in it cannot work.
    """
    if isinstance(do, Conversation):
        return conversing(task, do, joins, crew, inputs)
    if isinstance(do, Planner):
        return planning(task, joins, crew)
    if task.for_each is not None:
        raise DefinitionError(
            f"Task '{task.name}': a conflict is not resolved for each of a list. Leave out for_each."
        )
    return resolving(task, do, joins, crew)


def turns(job: Job, crew: Crew) -> float | None:
    """Return how often an agent is at work in one iteration of a task at most; `None`: no cap."""
    conversation = job.task.do
    if isinstance(conversation, Planner):
        return (conversation.tasks + 1) * (conversation.replans + 1)
    if not isinstance(conversation, Conversation):
        return 1 + sum(rung.agent is not None for rung in job.ladder)
    rounds = rounds_of(conversation, job.task.limits, crew.limits, crew.limits.over(CREW_LIMITS))
    if rounds is None:
        return None
    agents = sum(isinstance(member, Agent) for member in conversation.members)
    asides = agents if conversation.speaker == "by hand" else int(isinstance(conversation.speaker, Agent))
    return rounds * (1 + asides) + agents + (conversation.closing is not None)


def functions_in(task: Task[Any]) -> tuple[str, ...]:
    """Return the names of the functions that have a part in a task, and ask nobody before they are called."""
    if not isinstance(task.do, Conversation):
        return ()
    return tuple(name_of(each) for each in task.do.members if not isinstance(each, Agent))


def reach(task: Task[Any], crew: Crew) -> tuple[tuple[Tool, ...], Scope]:
    """Return the tools of all who have a part in a task, and how far the task and the crew let them go."""
    tools = tuple({id(tool): tool for agent in agents_in(task) for tool in agent.tools}.values())
    held = ((task.scope, f"task {task.name}"), (crew.scope, "crew"))
    return tools, granted(tools, *(scope and scope.held_by(holder) for scope, holder in held))


def resolving(task: Task[Any], resolve: Resolve, joins: tuple[Need, ...], crew: Crew) -> Job:
    """Return the job of a task that resolves a conflict."""
    from crewkit.crew.compile import Job

    where = f"Task '{task.name}'"
    parties = task.context_names()
    resolve.check(where, parties)
    output = Output(Any if task.output_type is str else task.output_type, where)
    _ = output.schema
    tools, scope = reach(task, crew)
    return Job(task, "conflict", joins, parties, None, "", tools, scope, output, {})


def conversing(
    task: Task[Any],
    conversation: Conversation,
    joins: tuple[Need, ...],
    crew: Crew,
    inputs: Mapping[str, Input],
) -> Job:
    """Return the job of a task that a conversation does.

    Raises:
        DefinitionError: A function in it takes what is not there, or nobody writes the result as its type.
    """
    from crewkit.crew.compile import Job

    where = f"Task '{task.name}'"
    output = Output(task.output_type, where)
    _ = output.schema
    if not task.description.strip():
        raise DefinitionError(f"{where} has no description. Say what its members are to talk about.")
    if output.type is not str and conversation.closing is None:
        raise DefinitionError(
            f"{where}: what was said is a text, not {output.kind}. Say who writes the result: Conversation(…, "
            "closing=agent)."
        )
    tools, scope = reach(task, crew)
    job = Job(task, "conversation", joins, task.context_names(), None, "", tools, scope, output, {})
    arguments_of(job, inputs)
    return job


def planning(task: Task[Any], joins: tuple[Need, ...], crew: Crew) -> Job:
    """Return the job of a task that is done by a plan.

    Raises:
        DefinitionError: It has no goal, or is done for each of a list.
    """
    from crewkit.crew.compile import Job

    where = f"Task '{task.name}'"
    output = Output(task.output_type, where)
    _ = output.schema
    if not task.description.strip():
        raise DefinitionError(f"{where} has no description. Say what its plan is to reach.")
    if task.for_each is not None:
        raise DefinitionError(
            f"{where}: a plan is not made for each of a list. Put it into a crew: do=Crew([…])."
        )
    tools, scope = reach(task, crew)
    return Job(task, "plan", joins, task.context_names(), None, "", tools, scope, output, {})


def arguments_of(job: Job, inputs: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return what fills the parameters of the functions in a conversation: the check's under the empty name."""
    conversation = job.task.do
    assert isinstance(conversation, Conversation)
    known = known_names(job.needs, inputs) | ({} if job.task.for_each is None else {NAME: ITEM})
    where = f"Task '{job.name}'"
    found: dict[str, dict[str, str]] = {"": {}}
    for member in conversation.members:
        if not isinstance(member, Agent):
            function = member.function if isinstance(member, Tool) else member
            bound, _ = bind_parameters(function, where, {**known, "said": SAID, "text": TEXT})
            found[name_of(member)] = bound
    if conversation.until is not None:
        found[""], _ = bind_parameters(conversation.until, f"{where}: until", known, given=(0,))
    return found


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
        steps, outputs = resolve.about.split("."), {name: jobs[name].output for name in job.context}
        for name in job.context:
            schemas_at((name, *steps), f"{where}: about={resolve.about!r}", {name: name}, outputs)
    types = {jobs[name].output.type for name in job.context}
    same = len(types) == 1 and job.task.output_type is str and job.output.type is not Resolution
    return replace(job, output=Output(types.pop(), where)) if same else job
