"""What decides what a task does, part by part, as hashes: a resumed run, a fork and a replay compare them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from crewkit.agents.agent import Agent
from crewkit.agents.delegate import ask_colleague
from crewkit.checks.scope import Scope
from crewkit.core.guardrails import as_guardrails
from crewkit.core.messages import canonical, fingerprint
from crewkit.core.verdict import Ask
from crewkit.crew.code import code_hash
from crewkit.crew.routes import told
from crewkit.models.route import ModelSpec
from crewkit.tools.tool import Tool

if TYPE_CHECKING:
    from crewkit.crew.check import Check
    from crewkit.crew.compile import Job, Plan
    from crewkit.crew.crew import Crew

Parts = Mapping[str, str]
"""Part of a definition to its hash. What stands before a dot is its kind: `prompt.goal`, `tool.look`, `code.look`."""

_TASK = frozenset({
    *("name", "description", "expected_output", "agent", "do", "needs", "context", "when", "until", "output_type"),
    *("guardrails", "tools", "scope", "model"),  # each in words of its own, below
    "routes",
    *("on_failure", "human_input", "timeout", "revisions", "iterations", "limits", "deadline"),  # how far it goes
    *("for_each", "concurrency", "min_success"),
})  # fmt: skip
_AGENT = frozenset({"role", "goal", "backstory", "tools", "scope", "model", "limits"})

_BEHIND = ("code", "model", "when", "until", "guardrails")
"""Kinds of parts that no request tells of: what was asked and answered before fits them as well."""


def definitions(plan: Plan, prefix: str = "") -> dict[str, Parts]:
    """Return the parts of every task's definition by its path, of the crews in tasks too."""
    from crewkit.crew.crew import Crew

    found: dict[str, Parts] = {}
    for name, job in plan.jobs.items():
        found[f"{prefix}{name}"] = dict(_parts(job, plan))
        if isinstance(job.task.do, Crew):
            found |= definitions(job.task.do.plan, f"{prefix}{name}/")
    return found


def digest(parts: Parts) -> str:
    """Hash a whole definition."""
    return fingerprint(canonical(dict(parts)))


def asks_for(part: str) -> bool:
    """Say whether a part shapes what is asked of models and tools, so that old requests no longer fit a new one."""
    return part.partition(".")[0] not in _BEHIND


def in_words(part: str) -> str:
    """Name a part as people do."""
    kind, _, name = part.partition(".")
    match kind:
        case "prompt":
            return f"prompt ({name.replace('_', ' ')})"
        case "code":
            return f"code of {name}()"
        case "tool" | "guardrails" | "colleague" | "member":
            return f"{kind.removesuffix('s')} '{name}'" if name else kind
        case _:
            return (name or kind).replace("_", " ")


def _parts(job: Job, plan: Plan) -> Iterator[tuple[str, str]]:
    task = job.task
    yield "needs", fingerprint(*map(repr, job.joins), *job.context, *told(task.routes))
    yield "output_type", fingerprint(canonical(job.output.schema), code_hash(job.output.type))
    for field in fields(task):
        if field.name not in _TASK:
            yield field.name, code_hash(getattr(task, field.name))
    guardrails = as_guardrails(task.guardrails, "").all()
    if guardrails:
        yield "guardrails", fingerprint(*(_name(guardrail) for guardrail in guardrails))
    for guardrail in guardrails:
        yield f"code.{_name(guardrail)}", code_hash(guardrail)
    yield from _flow_parts(job)
    yield from _worker_parts(job, plan)


def _worker_parts(job: Job, plan: Plan) -> Iterator[tuple[str, str]]:
    match job.kind:
        case "agent":
            yield from _agent_parts(job, plan)
        case "function":
            yield from _function_parts(job)
        case "crew":
            yield from _crew_parts(job)
        case "conversation":
            yield from _conversation_parts(job)
        case "plan":
            yield from _plan_parts(job)
        case "conflict":
            yield from _conflict_parts(job)
        case "wait":
            pass


def _flow_parts(job: Job) -> Iterator[tuple[str, str]]:
    """Yield what decides whether a task is done, for what, and how often."""
    if job.each is not None:
        yield "for_each", fingerprint(job.each.source, *map(str, job.each.steps))
    for name, check in (("when", job.when), ("until", job.until)):
        if check is not None:
            yield name, _check(check)


def _agent_parts(job: Job, plan: Plan) -> Iterator[tuple[str, str]]:
    task, agent = job.task, job.agent
    assert agent is not None
    yield "prompt.description", fingerprint(task.description)
    yield "prompt.expected_output", fingerprint(task.expected_output)
    yield from _person(agent)
    if spec := task.model or agent.model:
        yield "model", _model(spec)
    yield from _tools(job.tools, job.scope)
    if any(tool.name == ask_colleague.name for tool in job.tools):
        for role, colleague in plan.agents.items():
            if role != agent.role:
                parts = [*_person(colleague), *_tools(tuple(colleague.tools), colleague.scope)]
                yield f"colleague.{role}", digest(dict(parts))


def _person(agent: Agent) -> Iterator[tuple[str, str]]:
    for name in ("role", "goal", "backstory"):
        yield f"prompt.{name}", fingerprint(str(getattr(agent, name)))
    for field in fields(agent):
        if field.name not in _AGENT:
            yield f"agent.{field.name}", code_hash(getattr(agent, field.name))


def _tools(tools: Sequence[Tool], scope: Scope | None) -> Iterator[tuple[str, str]]:
    for tool in tools:
        if scope is None or scope.grant(tool.name) is not None:
            yield f"tool.{tool.name}", tool.definition
            code = (tool.function, tool.guardrails, tool.fallback, tool.max_tokens, tool.trusted)
            code += (tool.undo.function,) if tool.undo is not None else ()
            yield f"code.{tool.name}", code_hash(*code)


def _function_parts(job: Job) -> Iterator[tuple[str, str]]:
    do = job.task.do
    function = do.function if isinstance(do, Tool) else do
    declared = fingerprint(",".join(do.effects), str(do.idempotent)) if isinstance(do, Tool) else ""
    yield "arguments", fingerprint(_name(function), canonical(dict(job.arguments)), declared)
    yield f"code.{_name(function)}", code_hash(function)


def _conflict_parts(job: Job) -> Iterator[tuple[str, str]]:
    resolve: Any = job.task.do
    yield "rules", fingerprint(resolve.says, *(repr(r) for r in resolve.rules if isinstance(r, Ask)))
    yield "code.about", code_hash(resolve.about)
    yield "prompt.description", fingerprint(job.task.description)
    if resolve.judge:
        yield from _member_parts(resolve.judge)
        if spec := job.task.model or resolve.judge.model:
            yield "model", _model(spec)


def _conversation_parts(job: Job) -> Iterator[tuple[str, str]]:
    conversation: Any = job.task.do
    kept = (conversation.rounds, conversation.pair, conversation.direct, conversation.transitions)
    yield "conversation", fingerprint(conversation.says, *map(repr, kept))
    yield "prompt.description", fingerprint(job.task.description)
    yield "prompt.expected_output", fingerprint(job.task.expected_output)
    for agent in conversation.agents:
        yield from _member_parts(agent)
    for member in conversation.members:
        if not isinstance(member, Agent):
            function = member.function if isinstance(member, Tool) else member
            yield f"code.{_name(function)}", code_hash(function)
    if conversation.until is not None:
        yield "until.conversation", code_hash(conversation.until)
    if spec := job.task.model:
        yield "model", _model(spec)


def _plan_parts(job: Job) -> Iterator[tuple[str, str]]:
    planner: Any = job.task.do
    yield "plan", fingerprint(planner.says, planner.question)
    yield "prompt.description", fingerprint(job.task.description)
    yield "prompt.expected_output", fingerprint(job.task.expected_output)
    for agent in (*planner.agents, planner.who):
        yield from _member_parts(agent)


def _member_parts(agent: Agent) -> Iterator[tuple[str, str]]:
    """Yield what an agent who has a part in a task is, all as one."""
    yield f"member.{agent.role}", digest(dict([*_person(agent), *_tools(tuple(agent.tools), agent.scope)]))


def _crew_parts(job: Job) -> Iterator[tuple[str, str]]:
    crew: Any = job.task.do
    yield "arguments", fingerprint(crew.name, canonical(dict(job.arguments)), _defaults(crew))


def _defaults(crew: Crew) -> str:
    return code_hash({name: given.default for name, given in crew.plan.inputs.items()})


def _check(check: Check) -> str:
    return fingerprint(check.says, "" if check.condition else code_hash(check.function))


def _model(spec: ModelSpec) -> str:
    if isinstance(spec, Sequence) and not isinstance(spec, str):
        return fingerprint(*map(_model, spec))
    return code_hash(spec) if isinstance(spec, str) else fingerprint(str(getattr(spec, "name", spec)))


def _name(function: object) -> str:
    return getattr(function, "__name__", type(function).__name__)
