"""What a run of a crew can come to at most, read off its definition: no model is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crewkit.agents.agent import Agent
from crewkit.agents.delegate import COLLEAGUE_STEPS, ask_colleague
from crewkit.core.limits import CREW_LIMITS, TASK_LIMITS
from crewkit.core.verdict import Ask
from crewkit.crew.absent import unready
from crewkit.crew.compile import Job
from crewkit.crew.crew import Crew
from crewkit.crew.resolve import Resolve
from crewkit.crew.several import agents_in, turns
from crewkit.models.prices import Prices
from crewkit.models.route import Capable, ModelSpec
from crewkit.preview.exclusive import compared, wanted, ways, widest
from crewkit.preview.graph import conditions, depths, worker
from crewkit.preview.rule_of_two import rule_of_two
from crewkit.tools.tool import Tool


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
    worst: dict[str, float | None]
    """Calls, tokens of answers and money of the dearest way that a run can go; `None`: no cap but the run's."""
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
    tasks = list(_tasks(crew, model or "offline", Prices(), "", 1, 0, ""))
    by_path = {task.path: task for task in tasks}
    return Forecast(
        tasks,
        widest(crew.plan),
        _longest(crew, depths(crew.plan)),
        {name: _in_all(crew, by_path, "", name) for name in ("calls", "answer_tokens", "usd")},
        crew.limits.over(CREW_LIMITS).caps(),
        [*_unreachable(crew), *_hidden(crew), *unready(crew.plan), *rule_of_two(crew)],
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
            rungs = [rung.agent for rung in job.ladder if rung.agent is not None]
            _with_agents(ahead, job, [job.agent, *rungs, *_colleagues(job, crew)], named, crew, prices)
        elif members := agents_in(job.task):
            _with_agents(ahead, job, members, named, crew, prices)
        ahead.effects = sorted({e for tool in job.tools for e in tool.effects if e != "read"})
        ahead.people = list(_people(job))
        ahead.narrowed = {grant.tool: lines for grant in job.scope if (lines := grant.narrowed())}
        yield ahead
        if isinstance(job.task.do, Crew):
            yield from _tasks(job.task.do, named, prices, f"{ahead.path}/", rounds, at, ahead.each)


def _in_all(crew: Crew, tasks: Mapping[str, Ahead], prefix: str, field: str) -> float | None:
    """Add up what the tasks of a crew can come to, those in its crews too, for the dearest way that a run can go."""
    sums: dict[str, float | None] = {}
    for name, job in crew.plan.jobs.items():
        task = tasks[prefix + name]
        own: float | None = getattr(task, field) if task.model else 0
        inside = _in_all(job.task.do, tasks, f"{task.path}/", field) if isinstance(job.task.do, Crew) else 0
        both = None if own is None or inside is None else own + inside
        sums[name] = None if task.each and both else both  # nobody knows how many items a map has
    totals = [[sums[name] for name in names] for names in ways(crew.plan)]
    if any(each is None for total in totals for each in total):
        return None
    return round(max((sum(filter(None, total)) for total in totals), default=0), 6)


def _with_agents(
    ahead: Ahead, job: Job, agents: Sequence[Agent], model: ModelSpec, crew: Crew, prices: Prices
) -> None:
    """Reckon with the agent of a task, or with the dearest of those who have a part in it."""
    rungs = [rung.model or (rung.agent and rung.agent.model) for rung in job.ladder]
    models = [*(job.task.model or agent.model or model for agent in agents), *filter(None, rungs)]
    ahead.model = ", ".join(dict.fromkeys(map(_said, models)))
    own = [agent.limits.cap("steps") for agent in agents] if len(agents) == 1 else []
    steps = [job.task.limits.over(TASK_LIMITS).cap("steps"), *own]
    known = [cap for cap in steps if cap is not None]
    times, asked = turns(job, crew), _asked(job, crew)
    if not known or times is None or asked is None:
        return
    ahead.calls = (min(known) * times + asked) * ahead.iterations
    longest = max(agent.max_tokens for agent in agents)
    ahead.answer_tokens = ahead.calls * longest
    named = [name for each in models for name in _named(each, crew)]
    per_call = [_price(name, longest, crew, prices) for name in named]
    if per_call and None not in per_call:
        ahead.usd = round(max(price for price in per_call if price is not None) * ahead.calls, 6)


def _colleagues(job: Job, crew: Crew) -> list[Agent]:
    """Return the agents that the one who does a task can ask."""
    return [agent for role, agent in crew.plan.agents.items() if _asks(job.tools) and role != job.worker]


def _asks(tools: Sequence[Tool]) -> bool:
    return ask_colleague.name in (tool.name for tool in tools)


def _asked(job: Job, crew: Crew) -> float | None:
    """Return the model calls of those who are asked in one iteration; `None`: no cap."""
    if not _asks(job.tools):
        return 0
    colleagues = _colleagues(job, crew)
    rounds = crew.limits.over(CREW_LIMITS).cap("rounds")
    deeper = any(_asks(agent.tools) for agent in colleagues)
    return None if rounds is None or deeper else rounds * COLLEAGUE_STEPS * (len(colleagues) + 1)


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
    for name, wants in wanted(crew.plan).items():
        when = crew.plan.jobs[name].when
        impossible = next((path for path, value in wants.items() if value.impossible), "")
        if impossible:
            yield f"Task '{name}' can never run: what it needs wants {impossible} to be different things at once."
            continue
        for path, value in compared(when.condition.text if when and when.condition else "").items():
            choices = _choices(crew, path)
            if choices is not None and not any(map(value.holds, choices)):
                said = ", ".join(sorted(map(repr, choices)))
                want = ", ".join(sorted(map(repr, value.only or ()))) or "another"
                yield f"Task '{name}' can never run: {path} is one of {said}, and its condition wants {want}."


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
