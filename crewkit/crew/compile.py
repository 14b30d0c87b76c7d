"""From a crew to a checked graph. Every mistake that can be found without running is found here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from crewkit.agents.agent import Agent
from crewkit.agents.output import Output
from crewkit.checks.scope import Scope, granted
from crewkit.coordinator.graph import Graph, Need, names_in, topological
from crewkit.core.messages import COORDINATOR
from crewkit.crew.absent import comes_to
from crewkit.crew.bind import Known, bind_crew, bind_function, bind_parameters, known_names
from crewkit.crew.check import Check, bind_check, schemas_at
from crewkit.crew.definition import Parts, definitions
from crewkit.crew.each import NAME, Each, Item, bind_each, source_of
from crewkit.crew.facts import facts_type
from crewkit.crew.guarded import check_fallbacks, check_guardrails
from crewkit.crew.iteration import ITEM, META, NAMES, OUTPUT
from crewkit.crew.ladder import Rung, ladder_of
from crewkit.crew.routes import check_routes, choosers, conditions_of, joined, written_out
from crewkit.crew.several import Several, agents_in, done_by_several, settled
from crewkit.errors import DefinitionError, RunError, did_you_mean, expect
from crewkit.tools.tool import Tool, as_tools

if TYPE_CHECKING:
    from crewkit.crew.crew import Crew, Input
    from crewkit.crew.task import Task

JobKind = Literal["agent", "function", "crew", "wait", "conversation", "conflict", "plan"]

_INPUT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACEHOLDER = re.compile(r"\{\{(?P<literal>[A-Za-z_][A-Za-z0-9_]*)\}\}|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}")


_LOOP = {"previous": "the version before", "reason": "why it is done again"}


@dataclass(frozen=True)
class Job:
    """One task of a compiled crew, with everything that its definition leaves open settled."""

    task: Task[Any]
    kind: JobKind
    joins: tuple[Need, ...]
    """What must be finished first, alternatives as one."""
    context: tuple[str, ...]
    agent: Agent | None
    assigned: str
    """Why this agent, where the coordinator chose."""
    tools: tuple[Tool, ...]
    scope: Scope
    output: Output
    arguments: Mapping[str, str]
    """For a function or a crew: parameter to the task or input that fills it."""
    when: Check | None = None
    until: Check | None = None
    each: Each | None = None
    """Of a map: its list. `output` is the list that it comes to."""
    item: Item | None = None
    """The item, where this is one of a map. `output` is what it comes to."""
    ladder: tuple[Rung, ...] = ()
    """Who tries when the agent's work is not accepted."""

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """The tasks that must be finished first, alternatives one by one."""
        return tuple(dict.fromkeys(names_in(self.joins)))

    @property
    def after(self) -> str:
        """What must be finished first, as people read it; empty for nothing."""
        return ", ".join(
            need if isinstance(need, str) else f"one of {' or '.join(need.names)}" for need in self.joins
        )

    @property
    def alternatives(self) -> frozenset[str]:
        """The tasks that it needs only as one of several."""
        single = {need for need in self.joins if isinstance(need, str)}
        return frozenset(name for name in self.needs if name not in single)

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name

    @property
    def place(self) -> str:
        """The task's segment of a path: its name, with the item's number where it is one of a map."""
        return self.name if self.item is None else f"{self.name}[{self.item.number}]"

    @property
    def worker(self) -> str:
        """Who does it, as the bus knows them: an agent's role, or the task's own name."""
        return self.agent.role if self.agent else self.task.name


@dataclass(frozen=True)
class Plan:
    """A crew as a checked graph."""

    jobs: Mapping[str, Job]
    """In an order in which they could run one by one."""
    inputs: Mapping[str, Input]
    agents: Mapping[str, Agent]
    """By role."""
    final: tuple[str, ...]
    """The tasks on which no other depends."""

    def output(self, outputs: Mapping[str, Any]) -> Any:
        """Return what the crew came to, of what its tasks came to: the last task's output, or all last ones by name."""
        done = {name: outputs[name] for name in self.final if name in outputs}
        return next(iter(done.values()), None) if len(self.final) == 1 else done

    @cached_property
    def definitions(self) -> Mapping[str, Parts]:
        """What decides what each task does, by its path, of the crews in tasks too. A resumed run compares it."""
        return definitions(self)

    def graph(self) -> Graph:
        """Return who needs whom."""
        return {name: job.joins for name, job in self.jobs.items()}


def compile_crew(crew: Crew) -> Plan:
    """Check a crew and settle who does what.

    Raises:
        DefinitionError: Something in it cannot work; the message says what, where and what to do.
    """
    tasks = _tasks(crew)
    inputs = _inputs(crew)
    agents = _agents(crew)
    check_routes(tasks)
    by = choosers(tasks)
    graph = {name: joined(_joins(task, tasks, inputs), by.get(name, [])) for name, task in tasks.items()}
    order = topological(graph)
    _placeholders(crew, inputs)
    jobs: dict[str, Job] = {}
    for name in order:
        job = _job(written_out(tasks[name], by.get(name, []), tasks), graph[name], crew, inputs)
        jobs[name] = _conditioned(settled(job, jobs), jobs, inputs)
    _scopes(crew, jobs)
    check_guardrails(crew, agents, inputs)
    for agent in agents.values():
        check_fallbacks(agent.tools, f"Agent '{agent.role}'", "it")
    needed = {need for needs in graph.values() for need in names_in(needs)}
    return Plan(jobs, inputs, agents, tuple(name for name in tasks if name not in needed))


def _tasks(crew: Crew) -> dict[str, Task[Any]]:
    from crewkit.crew.task import Task

    if not crew.tasks:
        raise DefinitionError(f"Crew '{crew.name}' has no tasks. Give it at least one: Crew([Task(…)]).")
    tasks: dict[str, Task[Any]] = {}
    for task in crew.tasks:
        if not isinstance(task, Task):  # pyright: ignore[reportUnnecessaryIsInstance]
            what = getattr(task, "__name__", f"of type {type(task).__name__}")
            raise DefinitionError(
                f"Crew '{crew.name}': one of its tasks is none, but {what}. Write Task(name, …), with do=… for a "
                "function or a crew."
            )
        if task.name in tasks:
            raise DefinitionError(f"Crew '{crew.name}' has two tasks named '{task.name}'. Rename one.")
        tasks[task.name] = task
    return tasks


def _inputs(crew: Crew) -> dict[str, Input]:
    from crewkit.crew.crew import Input

    if isinstance(crew.inputs, str):
        raise DefinitionError(
            f"Crew '{crew.name}': inputs={crew.inputs!r} is a text. Write inputs=['{crew.inputs}']."
        )
    given = crew.inputs if isinstance(crew.inputs, Mapping) else {name: Input() for name in crew.inputs}
    for name, declared in given.items():
        if not isinstance(declared, Input):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(
                f"Crew '{crew.name}': input '{name}' is {declared!r}. Write Input('what it is', default=…)."
            )
        _input(name, declared, f"Crew '{crew.name}': input '{name}'")
    return dict(given)


def _input(name: str, declared: Input, where: str) -> None:
    from crewkit.crew.crew import REQUIRED

    expect(where, "name", name, str, "a text")
    expect(where, "description", declared.description, str, "a text")
    if not _INPUT_NAME.fullmatch(name):
        raise DefinitionError(f"{where}: a name is letters, digits and '_', and starts with a letter.")
    output = Output(declared.type, where)
    _ = output.schema
    if declared.default is REQUIRED:
        return
    try:
        output.dump(declared.default)
    except RunError as error:
        raise DefinitionError(
            f"{where} has the default {declared.default!r}, which is not {output.kind}. Give another, or another type."
        ) from error


def _agents(crew: Crew) -> dict[str, Agent]:
    agents: dict[str, Agent] = {}
    rungs = (each for task in crew.tasks for each in task.fallback if isinstance(each, Agent))
    several = (agent for task in crew.tasks for agent in agents_in(task))
    for agent in [*crew.agents, *(task.agent for task in crew.tasks if task.agent), *rungs, *several]:
        if not isinstance(agent, Agent):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(f"Crew '{crew.name}': {agent!r} is not an Agent.")
        held = agents.setdefault(agent.role, agent)
        if held is not agent and held != agent:
            raise DefinitionError(
                f"Crew '{crew.name}' has two agents with the role '{agent.role}'. Rename one."
            )
        if agent.role == COORDINATOR:
            raise DefinitionError(
                f"Crew '{crew.name}': the role '{COORDINATOR}' is taken by the coordinator."
            )
    return agents


def _joins(task: Task[Any], tasks: Mapping[str, Task[Any]], inputs: Mapping[str, Input]) -> tuple[Need, ...]:
    for need in (*task.alternatives(), *(task.context or ())):
        name = need if isinstance(need, str) else need.name
        if name not in tasks:
            raise DefinitionError(
                f"Task '{task.name}' needs '{name}', which is not in this crew."
                f"{did_you_mean(name, tasks)} Tasks: {', '.join(tasks)}."
            )
        if not isinstance(need, str) and tasks[name] is not need:
            raise DefinitionError(
                f"Task '{task.name}' needs another task '{name}' than the one in this crew."
            )
    joins: dict[Need, None] = dict.fromkeys(task.joins())
    named = set(names_in(joins))
    others = (*task.context_names(), source_of(task, tasks, inputs))
    joins |= dict.fromkeys(name for name in others if name and name not in named)
    return tuple(joins)


def _conditioned(job: Job, jobs: Mapping[str, Job], inputs: Mapping[str, Input]) -> Job:
    """Return a job with its conditions; `jobs` are those before it."""
    where = f"Task '{job.name}'"
    known = known_names(job.needs, inputs)
    types = {name: Output(given.type, f"Input '{name}'") for name, given in inputs.items()}
    types |= {name: jobs[name].output for name in job.needs}
    if job.needs:
        known = {**known, "meta": known.get("meta", META)}
        types[META] = Output(facts_type(job.needs), where)
    for route, condition in conditions_of(job.task):
        for path in condition.paths:
            schemas_at(path, f"{where}: routes['{route}']={condition.text!r}", known, types)
    when = until = None
    each = bind_each(job.task, job.output, where, known, types)
    if job.task.when is not None:
        when = bind_check(job.task.when, where, "when", known, types)
    if job.task.until is not None:
        itself = {job.name.replace("-", "_"): OUTPUT}
        if each is not None:
            itself[NAME] = ITEM
            types[ITEM] = Output(Any, where)
        types[OUTPUT] = job.output
        until = bind_check(job.task.until, where, "until", known | itself, types, own=True)
    if each is None:
        return replace(job, when=when, until=until)
    several = Output(list[job.output.type], where)
    # Who works on one item is not told the whole list, unless the task says so.
    told = job.context if job.task.context is not None else tuple(n for n in job.context if n != each.source)
    return replace(job, when=when, until=until, each=each, output=several, context=told)


def _placeholders(crew: Crew, inputs: Mapping[str, Input]) -> None:
    texts = [
        (f"Task '{task.name}'", text)
        for task in crew.tasks
        for text in (task.description, task.expected_output)
    ]
    for agent in _agents(crew).values():
        texts += [(f"Agent '{agent.role}'", text) for text in (agent.goal, agent.backstory)]
    maps = {f"Task '{task.name}'" for task in crew.tasks if task.for_each is not None}
    texts.append((f"The memory of crew '{crew.name}'", crew.memory or ""))
    for where, text in texts:
        for match in _PLACEHOLDER.finditer(text):
            name = match["name"]
            if name == NAME and where in maps:
                continue
            if name and name not in inputs:
                known = f" Inputs: {', '.join(inputs)}." if inputs else ""
                raise DefinitionError(
                    f"{where} uses {{{name}}}, which is not an input of the crew.{did_you_mean(name, inputs)}{known} "
                    f"Declare it: Crew(…, inputs=['{name}']), or write {{{{{name}}}}} to have it stand there as it is."
                )


def _job(task: Task[Any], joins: tuple[Need, ...], crew: Crew, inputs: Mapping[str, Input]) -> Job:
    from crewkit.crew.crew import Crew

    where = f"Task '{task.name}'"
    known = known_names(names_in(joins), inputs)
    if joins and isinstance(task.routes, Mapping):
        known = {"meta": META, **known}
    if task.until is not None and task.agent is None:
        if taken := [name for name in NAMES if name in names_in(joins)]:
            raise DefinitionError(
                f"{where}: it needs '{taken[0]}', which is what a loop calls {_LOOP[taken[0]]}. Rename that task."
            )
        known |= NAMES
    if task.for_each is not None:
        if NAME in names_in(joins):
            raise DefinitionError(
                f"{where}: it needs '{NAME}', which is what a map calls what it is done for. Rename that task."
            )
        known |= {NAME: ITEM}
    if task.wait_for is not None:
        return _waiting(task, joins, known)
    if task.do is None:
        agent, assigned = _worker(task, crew)
        tools = as_tools(tuple({id(t): t for t in (*agent.tools, *task.tools)}.values()), where)
        held = ((agent.scope, f"agent {agent.role}"), (task.scope, f"task {task.name}"), (crew.scope, "crew"))
        scope = granted(tools, *(scope and scope.held_by(holder) for scope, holder in held))
        output = Output(task.output_type, where)
        _ = output.schema
        check_fallbacks(tools, where, f"Agent '{agent.role}'")
        _requires(task, tools, where)
        ladder = ladder_of(task, agent, crew)
        context = task.context_names()
        return Job(task, "agent", joins, context, agent, assigned, tools, scope, output, {}, ladder=ladder)
    if task.tools or task.model or task.requires_tools or task.fallback:
        raise DefinitionError(
            f"{where} is done by a function or a crew (`do`), which uses no tools, no model and no fallback."
        )
    if isinstance(task.do, Several):
        return done_by_several(task, task.do, joins, crew, inputs)
    if isinstance(task.do, Crew):
        arguments = bind_crew(task.do, where, known)
        output = Output(comes_to(task.do.plan) if task.output_type is str else task.output_type, where)
        return Job(task, "crew", joins, (), None, "", (), Scope(), output, arguments)
    function = task.do.function if isinstance(task.do, Tool) else task.do
    if not callable(function):
        raise DefinitionError(f"{where}: do={task.do!r} is not a function, a tool or a crew.")
    arguments, output = bind_function(function, task, known)
    return Job(task, "function", joins, (), None, "", (), Scope(), output, arguments)


def _waiting(task: Task[Any], joins: tuple[Need, ...], known: Known) -> Job:
    wanted, where = task.wait_for, f"Task '{task.name}'"
    event = isinstance(wanted, str)
    output = Output(Any if event and task.output_type is str else task.output_type, where)
    if not event and task.output_type is not str:
        raise DefinitionError(
            f"{where} waits for a time, which is its output as a text: leave out output_type."
        )
    _ = output.schema
    arguments: dict[str, str] = {}
    if callable(wanted):
        arguments, _ = bind_parameters(wanted, f"{where}: wait_for", known)
    return Job(task, "wait", joins, (), None, "", (), Scope(), output, arguments)


def _requires(task: Task[Any], tools: tuple[Tool, ...], where: str) -> None:
    names = [tool.name for tool in tools]
    for name in task.requires_tools:
        if name not in names:
            raise DefinitionError(
                f"{where} requires '{name}', which is none of its tools.{did_you_mean(str(name), names)} "
                f"Tools: {', '.join(names) or 'none'}."
            )


def _worker(task: Task[Any], crew: Crew) -> tuple[Agent, str]:
    if task.agent is not None:
        return task.agent, ""
    agents = list(_agents(crew).values())
    if not agents:
        raise DefinitionError(
            f"Task '{task.name}' has no one to do it: give it an agent or a function (`do`), or list the crew's agents."
        )
    if len(agents) == 1:
        return agents[0], f"{agents[0].role} is the crew's only agent."
    wanted = _words(f"{task.name} {task.description} {task.expected_output}")

    def shared(agent: Agent) -> set[str]:
        tools = " ".join(f"{tool.name} {tool.description}" for tool in agent.tools)
        return wanted & _words(f"{agent.role} {agent.goal} {agent.backstory} {tools}")

    best = max(agents, key=lambda agent: len(shared(agent)))
    common = ", ".join(sorted(shared(best))[:6])
    why = (
        f"shares the most words with the task ({common})"
        if common
        else "is listed first and no other fits better"
    )
    return best, f"{best.role} {why}."


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"[a-z]{4,}", text.lower())}


def _scopes(crew: Crew, jobs: Mapping[str, Job]) -> None:
    """Refuse grants for tools that nobody has, and tools that a task grants where a scope forbids them."""
    from crewkit.crew.crew import Crew

    by_agent: dict[int, tuple[Agent, list[Tool]]] = {
        id(agent): (agent, [*agent.tools]) for agent in crew.agents
    }
    for job in jobs.values():
        if isinstance(job.task.do, Crew) and job.task.scope is not None:
            job.task.scope.known(
                _tools(job.task.do, job.task.do.plan.jobs), f"The scope of task '{job.name}'"
            )
        for agent in agents_in(job.task):
            by_agent.setdefault(id(agent), (agent, [*agent.tools]))
        if job.agent is None:
            continue
        by_agent.setdefault(id(job.agent), (job.agent, [*job.agent.tools]))[1].extend(job.task.tools)
        if job.task.scope is not None:
            job.task.scope.known(job.tools, f"The scope of task '{job.name}'")
        for tool in job.task.tools:
            if job.scope.grant(tool.name) is None:
                raise DefinitionError(
                    f"Task '{job.name}' grants '{tool.name}', but the scope of agent '{job.agent.role}' (or of the "
                    "task or crew) does not allow it. Add a Grant there, or take the tool away."
                )
    for agent, tools in by_agent.values():
        if agent.scope is not None:
            agent.scope.known(tools, f"The scope of agent '{agent.role}'")
    if crew.scope is not None:
        crew.scope.known(_tools(crew, jobs), f"The scope of crew '{crew.name}'")


def _tools(crew: Crew, jobs: Mapping[str, Job]) -> Iterable[Tool]:
    """Yield every tool that somebody in a crew, or in a crew inside it, has."""
    from crewkit.crew.crew import Crew

    for agent in crew.agents:
        yield from agent.tools
    for job in jobs.values():
        yield from job.tools
        if isinstance(job.task.do, Crew):
            yield from _tools(job.task.do, job.task.do.plan.jobs)


def fill(text: str, inputs: Mapping[str, Any]) -> str:
    """Put the inputs into a text's `{placeholders}`; `{{word}}` becomes `{word}`, other braces stay as they are."""
    return _PLACEHOLDER.sub(lambda m: f"{{{m['literal']}}}" if m["literal"] else str(inputs[m["name"]]), text)
