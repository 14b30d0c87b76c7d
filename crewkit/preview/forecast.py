"""What a run of a crew can come to at most, read off its definition: no model is asked."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from crewkit.agents.agent import Agent
from crewkit.core.limits import CREW_LIMITS, TASK_LIMITS
from crewkit.core.verdict import Ask
from crewkit.crew.compile import Job
from crewkit.crew.crew import Crew
from crewkit.crew.resolve import Resolve
from crewkit.crew.several import agents_in, turns
from crewkit.models.prices import Prices
from crewkit.models.route import Capable, ModelSpec
from crewkit.preview.graph import conditions, depths, worker
from crewkit.preview.rule_of_two import rule_of_two


@dataclass
class Ahead:
    """One task, and what it can come to."""

    path: str
    worker: str
    kind: str
    step: int
    """Tasks that have to be done one after the other before it."""
    after: str
    conditions: list[str] = field(default_factory=list[str])
    """When it is done, which others it chooses, until when it is done again."""
    model: str = ""
    iterations: int = 1
    each: str = ""
    """The list for each of whose items it is done, or the crew that it is in; what follows is then of one item."""
    calls: float | None = None
    """Model calls at most; `None`: no cap."""
    answer_tokens: float | None = None
    """Tokens that all its answers can have."""
    usd: float | None = None
    """What those answers cost at most at the listed price; `None`: not known, or no cap."""
    effects: list[str] = field(default_factory=list[str])
    """What its tools may do beyond reading."""
    people: list[str] = field(default_factory=list[str])
    """Where a person is asked."""
    narrowed: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """By tool, how far its grant goes."""


@dataclass
class Forecast:
    """A whole crew."""

    tasks: list[Ahead]
    widest: int
    """Tasks that can run side by side at most."""
    longest: list[str]
    """The tasks of the longest chain, in their order."""
    caps: dict[str, float | None]
    """The run's own limits."""
    notes: list[str]
    """What is unreachable, hidden in a description, or too much in one agent's hands."""


def forecast(crew: Crew, model: ModelSpec = None) -> Forecast:
    """Say what a run can come to.

    Args:
        crew: The crew.
        model: For whoever has none.
    """
    jobs, depth = crew.plan.jobs, depths(crew.plan)
    rows = [depth[name] for name in jobs]
    return Forecast(
        list(_tasks(crew, model or "offline", Prices(), "", 1, 0, "")),
        max(rows.count(row) for row in set(rows)),
        _longest(crew, depth),
        crew.limits.over(CREW_LIMITS).caps(),
        [*_unreachable(crew), *_hidden(crew), *rule_of_two(crew)],
    )


def _tasks(
    crew: Crew, model: ModelSpec, prices: Prices, prefix: str, times: int, step: int, each: str
) -> Iterator[Ahead]:
    depth, named = depths(crew.plan), crew.model or model
    for job in crew.plan.jobs.values():
        rounds = times * (job.task.iterations if job.until else 1)
        at = step + depth[job.name]
        ahead = Ahead(prefix + job.name, worker(job), job.kind, at, job.after, iterations=rounds)
        ahead.conditions = [said for said in conditions(job) if not said.startswith("for each of ")]
        ahead.each = " of each of ".join(filter(None, (job.each.says if job.each else "", each)))
        if job.agent is not None:
            _with_agents(ahead, job, [job.agent], named, crew, prices)
        elif members := agents_in(job.task):
            _with_agents(ahead, job, members, named, crew, prices)
        ahead.effects = sorted({e for tool in job.tools for e in tool.effects if e != "read"})
        ahead.people = list(_people(job))
        ahead.narrowed = {grant.tool: lines for grant in job.scope if (lines := grant.narrowed())}
        yield ahead
        if isinstance(job.task.do, Crew):
            yield from _tasks(job.task.do, named, prices, f"{ahead.path}/", rounds, at, ahead.each)


def _with_agents(
    ahead: Ahead, job: Job, agents: Sequence[Agent], model: ModelSpec, crew: Crew, prices: Prices
) -> None:
    """Reckon with the agent of a task, or with the dearest of those who have a part in it."""
    models = [job.task.model or agent.model or model for agent in agents]
    ahead.model = ", ".join(dict.fromkeys(map(_said, models)))
    own = [agent.limits.cap("steps") for agent in agents] if len(agents) == 1 else []
    steps = [job.task.limits.over(TASK_LIMITS).cap("steps"), *own]
    known = [cap for cap in steps if cap is not None]
    times = turns(job, crew)
    ahead.calls = min(known) * times * ahead.iterations if known and times is not None else None
    if ahead.calls is None:
        return
    longest = max(agent.max_tokens for agent in agents)
    ahead.answer_tokens = ahead.calls * longest
    named = [name for each in models for name in _named(each, crew)]
    per_call = [_price(name, longest, crew, prices) for name in named]
    if per_call and None not in per_call:
        ahead.usd = round(max(price for price in per_call if price is not None) * ahead.calls, 6)


def _price(name: str, tokens: int, crew: Crew, prices: Prices) -> float | None:
    """Return what an answer of this length costs by a model or route."""
    route = crew.models.get(name)
    if route is None:
        return prices.price(name, 0, tokens)
    if route.usd is not None:
        return tokens * route.usd[1] / 1_000_000
    return prices.price(route.model, 0, tokens) if isinstance(route.model, str) else None


def _named(model: ModelSpec, crew: Crew) -> list[str]:
    if isinstance(model, Capable):
        return list(crew.models)
    several = model if isinstance(model, Sequence) and not isinstance(model, str) else [model]
    names = [each if isinstance(each, str) else str(getattr(each, "name", each)) for each in several]
    return [name.strip() for each in names for name in each.split(",")]


def _said(model: ModelSpec) -> str:
    several = model if isinstance(model, Sequence) and not isinstance(model, str) else [model]
    return ", then ".join(
        str(each if isinstance(each, str | Capable) else getattr(each, "name", each)) for each in several
    )


def _people(job: Job) -> Iterator[str]:
    for tool in job.tools:
        grant = job.scope.grant(tool.name)
        if grant is None:
            continue
        if grant.asks(tool):
            tainted = grant.approval == "tainted"
            yield f"before {'a call' if tainted else 'each call'} of {tool.name}" + (
                " that is not all in the words of the user or the crew" if tainted else ""
            )
        elif not tool.reads_only:
            yield f"never for {tool.name}, which may {' and '.join(e for e in tool.effects if e != 'read')}"
    if isinstance(job.task.do, Resolve):
        yield from (
            f"which result counts: {rule.question}" for rule in job.task.do.rules if isinstance(rule, Ask)
        )
    yield from (
        f"where its work is not accepted: {rung.question}"
        for rung in job.task.fallback
        if isinstance(rung, Ask)
    )
    if job.task.question:
        yield f"about its output: {job.task.question}"


def _longest(crew: Crew, depth: dict[str, int]) -> list[str]:
    name = max(depth, key=lambda each: depth[each])
    chain = [name]
    while needs := crew.plan.jobs[name].needs:
        name = max(needs, key=lambda each: depth[each])
        chain.append(name)
    return chain[::-1]


# What should not be


def _unreachable(crew: Crew) -> Iterator[str]:
    """Name tasks whose conditions, with those of what they need, can never hold together."""
    wanted: dict[str, dict[str, set[Any]]] = {}
    for name, job in crew.plan.jobs.items():
        mine: dict[str, set[Any]] = {}
        text = job.when.condition.text if job.when and job.when.condition else ""
        sources = [wanted[need] for need in job.needs if need not in job.alternatives]
        for each in [_equals(text), *sources]:
            for path, values in each.items():
                mine[path] = mine[path] & values if path in mine else values
        wanted[name] = mine
        impossible = next((path for path, values in mine.items() if not values), "")
        if impossible:
            yield f"Task '{name}' can never run: what it needs wants {impossible} to be different things at once."
            continue
        for path, values in _equals(text).items():
            choices = _choices(crew, path)
            if choices is not None and not values & choices:
                said = ", ".join(sorted(map(repr, choices)))
                yield f"Task '{name}' can never run: {path} is one of {said}, and its condition wants {min(values)!r}."


def _equals(text: str) -> dict[str, set[Any]]:
    """Return what a condition wants things to be, where it is `x == 'a'`, `x in ('a', 'b')`, or several by `and`."""
    if not text:
        return {}
    tree = ast.parse(text.strip(), mode="eval").body
    parts = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
    found: dict[str, set[Any]] = {}
    for part in parts:
        if not isinstance(part, ast.Compare) or len(part.ops) != 1:
            continue
        right = part.comparators[0]
        values: set[Any] = set()
        if isinstance(part.ops[0], ast.Eq) and isinstance(right, ast.Constant):
            values = {right.value}
        elif isinstance(part.ops[0], ast.In) and isinstance(right, ast.Tuple | ast.List):
            values = {each.value for each in right.elts if isinstance(each, ast.Constant)}
        if values:
            path = ast.unparse(part.left)
            found[path] = found[path] & values if path in found else values
    return found


def _choices(crew: Crew, path: str) -> set[Any] | None:
    """Return what a field of an output can be, where its type lists it."""
    name, *steps = path.split(".")
    if name not in crew.plan.jobs:
        return None
    schema: Any = crew.plan.jobs[name].output.schema or {}
    for step in steps:
        properties: Any = _followed(schema, crew, name).get("properties") or {}
        schema = properties.get(step) or {}
    schema = _followed(schema, crew, name)
    if "const" in schema:
        return {schema["const"]}
    return set(schema["enum"]) if "enum" in schema else None


def _followed(schema: Any, crew: Crew, name: str) -> Any:
    ref: str = schema.get("$ref", "")
    if not ref.startswith("#/$defs/"):
        return schema
    whole: Any = crew.plan.jobs[name].output.schema or {}
    return whole["$defs"].get(ref.removeprefix("#/$defs/"), {})


def _hidden(crew: Crew) -> Iterator[str]:
    """Name descriptions that speak of another task which is not among what the task waits for."""
    before: dict[str, set[str]] = {}
    for name, job in crew.plan.jobs.items():
        before[name] = set(job.needs).union(*(before[need] for need in job.needs))
        text = f"{job.task.description} {job.task.expected_output}"
        for other in crew.plan.jobs:
            spoken = re.search(rf"(?<![\w-]){re.escape(other)}(?![\w-])", text)
            if other != name and other not in before[name] and spoken and not _follows(crew, name, other):
                yield (
                    f"The description of '{name}' speaks of '{other}', which it does not wait for. "
                    f"If it builds on it: needs=['{other}']."
                )


def _follows(crew: Crew, name: str, other: str) -> bool:
    """Say whether the other comes after: then it is only announced."""
    queue = [other]
    while queue:
        needs = crew.plan.jobs[queue.pop()].needs
        if name in needs:
            return True
        queue += needs
    return False
