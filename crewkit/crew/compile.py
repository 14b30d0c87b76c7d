"""From a crew to a checked graph. Every mistake that can be found without running is found here."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import CodeType
from typing import TYPE_CHECKING, Any, Literal

from crewkit.agents.agent import Agent
from crewkit.agents.output import Output
from crewkit.checks.scope import Scope, granted
from crewkit.coordinator.graph import Graph, topological
from crewkit.core.messages import COORDINATOR, canonical, fingerprint
from crewkit.errors import DefinitionError, RunError, did_you_mean, expect
from crewkit.tools.tool import Tool, ToolContext, as_tools

if TYPE_CHECKING:
    from crewkit.crew.crew import Crew, Input
    from crewkit.crew.task import Task

JobKind = Literal["agent", "function", "crew"]

_INPUT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACEHOLDER = re.compile(r"\{\{(?P<literal>[A-Za-z_][A-Za-z0-9_]*)\}\}|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class Job:
    """One task of a compiled crew, with everything that its definition leaves open settled."""

    task: Task[Any]
    kind: JobKind
    needs: tuple[str, ...]
    context: tuple[str, ...]
    agent: Agent | None
    assigned: str
    """Why this agent, where the coordinator chose."""
    tools: tuple[Tool, ...]
    scope: Scope
    output: Output
    arguments: Mapping[str, str]
    """For a function or a crew: parameter to the task or input that fills it."""

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name

    @property
    def worker(self) -> str:
        """Who does it, as the bus knows them: an agent's role, or the task's own name."""
        return self.agent.role if self.agent else self.task.name

    @cached_property
    def definition(self) -> str:
        """Hash of all that decides what the task does. A resumed run compares it."""
        task, agent = self.task, self.agent
        who = [agent.role, agent.goal, agent.backstory, str(agent.temperature)] if agent else []
        return fingerprint(
            task.name,
            task.description,
            task.expected_output,
            *who,
            *self.needs,
            *self.context,
            *(tool_definition(tool) for tool in self.tools),
            *(code_hash(guardrail) for guardrail in task.guardrails),
            canonical(self.output.schema),
            _do_definition(task.do),
        )


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

    def graph(self) -> Graph:
        """Return who needs whom."""
        return {name: job.needs for name, job in self.jobs.items()}


def compile_crew(crew: Crew) -> Plan:
    """Check a crew and settle who does what.

    Raises:
        DefinitionError: Something in it cannot work; the message says what, where and what to do.
    """
    tasks = _tasks(crew)
    inputs = _inputs(crew)
    agents = _agents(crew)
    graph = {task.name: _needs(task, tasks) for task in tasks.values()}
    order = topological(graph)
    _placeholders(crew, inputs)
    jobs = {name: _job(tasks[name], graph, crew, inputs) for name in order}
    _scopes(crew, jobs)
    needed = {need for needs in graph.values() for need in needs}
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
    for agent in [*crew.agents, *(task.agent for task in crew.tasks if task.agent)]:
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


def _needs(task: Task[Any], tasks: Mapping[str, Task[Any]]) -> tuple[str, ...]:
    for need in (*task.needs, *(task.context or ())):
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
    return tuple(dict.fromkeys((*task.need_names(), *task.context_names())))


def _placeholders(crew: Crew, inputs: Mapping[str, Input]) -> None:
    texts = [
        (f"Task '{task.name}'", text)
        for task in crew.tasks
        for text in (task.description, task.expected_output)
    ]
    for agent in _agents(crew).values():
        texts += [(f"Agent '{agent.role}'", text) for text in (agent.goal, agent.backstory)]
    for where, text in texts:
        for match in _PLACEHOLDER.finditer(text):
            name = match["name"]
            if name and name not in inputs:
                known = f" Inputs: {', '.join(inputs)}." if inputs else ""
                raise DefinitionError(
                    f"{where} uses {{{name}}}, which is not an input of the crew.{did_you_mean(name, inputs)}{known} "
                    f"Declare it: Crew(…, inputs=['{name}']), or write {{{{{name}}}}} to have it stand there as it is."
                )


def _job(task: Task[Any], graph: Graph, crew: Crew, inputs: Mapping[str, Input]) -> Job:
    from crewkit.crew.crew import Crew

    where = f"Task '{task.name}'"
    needs = graph[task.name]
    if task.do is None:
        agent, assigned = _worker(task, crew)
        tools = as_tools(tuple({id(t): t for t in (*agent.tools, *task.tools)}.values()), where)
        scope = granted(tools, agent.scope, task.scope, crew.scope)
        output = Output(task.output_type, where)
        _ = output.schema
        return Job(task, "agent", needs, task.context_names(), agent, assigned, tools, scope, output, {})
    if task.tools or task.model:
        raise DefinitionError(
            f"{where} is done by a function or a crew (`do`), which uses no tools and no model."
        )
    if isinstance(task.do, Crew):
        arguments = _bind_crew(task.do, where, needs, inputs)
        output = Output(Any if task.output_type is str else task.output_type, where)
        return Job(task, "crew", needs, (), None, "", (), Scope(), output, arguments)
    function = task.do.function if isinstance(task.do, Tool) else task.do
    if not callable(function):
        raise DefinitionError(f"{where}: do={task.do!r} is not a function, a tool or a crew.")
    arguments, output = _bind_function(function, task, needs, inputs)
    return Job(task, "function", needs, (), None, "", (), Scope(), output, arguments)


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


def _bind_crew(sub: Crew, where: str, needs: Sequence[str], inputs: Mapping[str, Input]) -> dict[str, str]:
    from crewkit.crew.crew import REQUIRED

    known = {**{name: name for name in inputs}, **{need.replace("-", "_"): need for need in needs}}
    missing = [n for n, given in sub.plan.inputs.items() if given.default is REQUIRED and n not in known]
    if missing:
        raise DefinitionError(
            f"{where}: crew '{sub.name}' wants the input '{missing[0]}', which is neither an input of this crew nor "
            f"one of its needs.{did_you_mean(missing[0], known)} There are: {', '.join(known) or 'none'}."
        )
    return {name: known[name] for name in sub.plan.inputs if name in known}


def _bind_function(
    function: Callable[..., Any], task: Task[Any], needs: Sequence[str], inputs: Mapping[str, Input]
) -> tuple[dict[str, str], Output]:
    where = f"Task '{task.name}'"
    name = getattr(function, "__name__", repr(function))
    try:
        parameters = inspect.signature(function).parameters
        hints = typing.get_type_hints(function)
    except (TypeError, ValueError, NameError) as error:
        raise DefinitionError(f"{where}: the signature of {name}() cannot be read: {error}.") from error
    known = {**{n: n for n in inputs}, **{need.replace("-", "_"): need for need in needs}}
    arguments: dict[str, str] = {}
    for parameter in parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise DefinitionError(
                f"{where}: {name}() takes '{parameter}'; parameters are filled by name. Name each."
            )
        if hints.get(parameter.name) is ToolContext:
            arguments[parameter.name] = ""
        elif parameter.name in known:
            arguments[parameter.name] = known[parameter.name]
        elif parameter.default is parameter.empty:
            raise DefinitionError(
                f"{where}: {name}() takes '{parameter.name}', which is neither an input nor one of its needs."
                f"{did_you_mean(parameter.name, known)} There are: {', '.join(known) or 'none'}."
            )
    if "return" not in hints:
        raise DefinitionError(
            f"{where}: {name}() does not say what it returns. Annotate it (`-> str`): the result is kept as JSON."
        )
    output = Output(hints["return"] if task.output_type is str else task.output_type, where)
    _ = output.schema
    return arguments, output


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


def tool_definition(tool: Tool) -> str:
    """Hash of what a tool is and does."""
    return fingerprint(
        tool.name,
        tool.description,
        canonical(tool.parameters),
        ",".join(tool.effects),
        code_hash(tool.function),
    )


def code_hash(function: object) -> str:
    """Hash of a function's code, without its place in the file. Empty for what has no code of its own."""
    code = getattr(inspect.unwrap(function) if callable(function) else function, "__code__", None)
    return fingerprint(*_code_parts(code)) if isinstance(code, CodeType) else ""


def _code_parts(code: CodeType) -> Iterable[str]:
    yield code.co_name
    yield code.co_code.hex()
    yield repr(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_parts(constant)
        elif isinstance(constant, frozenset):
            yield repr(sorted(map(repr, constant)))  # pyright: ignore[reportUnknownArgumentType]
        else:
            yield repr(constant)


def _do_definition(do: object) -> str:
    from crewkit.crew.crew import Crew

    if isinstance(do, Crew):
        return fingerprint(*(job.definition for job in do.plan.jobs.values()))
    return tool_definition(do) if isinstance(do, Tool) else code_hash(do)


def fill(text: str, inputs: Mapping[str, Any]) -> str:
    """Put the inputs into a text's `{placeholders}`; `{{word}}` becomes `{word}`, other braces stay as they are."""
    return _PLACEHOLDER.sub(lambda m: f"{{{m['literal']}}}" if m["literal"] else str(inputs[m["name"]]), text)
