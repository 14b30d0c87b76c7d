"""A task done by a plan: proposed by a model, checked, approved, recorded, done as a crew; made anew on failure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from crewkit.agents.loop import work
from crewkit.agents.output import Output, WrongAnswer
from crewkit.agents.prompt import UPSTREAM_CHARS, assignment_text, shorten
from crewkit.checks.scope import Scope
from crewkit.core.guardrails import Guardrails, as_guardrails
from crewkit.core.label import Label, shown
from crewkit.crew.crew import Crew, Input
from crewkit.crew.planner import (
    Planner,
    about_agents,
    check_of,
    draft,
    escaped,
    proposal_form,
    told_results,
)
from crewkit.crew.task import Task
from crewkit.errors import Denied, LimitExceeded, RunError
from crewkit.execution.by_agent import again, member_desk
from crewkit.execution.by_crew import limits_inside, output_of
from crewkit.execution.exchange import give

if TYPE_CHECKING:
    from crewkit.crew.compile import Job
    from crewkit.crew.iteration import Iteration
    from crewkit.execution.walk import Walk

Data = dict[str, Any]

PROPOSAL = "proposal"
"""Where in a plan it is made; no task of it has this name."""

DRAFT = "A draft that was made by rule stands below. Keep of it what is good, and make a better plan where you can."


@dataclass
class _State:
    """What earlier plans of the task came to."""

    kept: dict[str, tuple[Any, Label]] = field(default_factory=dict[str, tuple[Any, Label]])
    """Results that stand, by the names of their tasks."""
    failed: Mapping[str, str] = field(default_factory=dict[str, str])
    """Tasks of the last plan that failed, and why."""


async def by_plan(walk: Walk, job: Job, iteration: Iteration) -> Any:
    """Have a model plan how to do a task, and do it so; return the output as JSON data."""
    planner = job.task.do
    assert isinstance(planner, Planner)
    state = _State()
    number = 0
    while True:
        number += 1
        at = f"{iteration.path}/plan:{number}"
        tasks = await _proposed(walk, job, iteration, planner, at, state)
        closed = walk.run.said(f"{at}/closed", task=walk.path(job))
        if closed is None:
            try:
                return await _done(walk, job, planner, at, tasks, state)
            except (LimitExceeded, Denied):
                raise
            except RunError as error:
                if number > planner.replans:
                    raise
                closed = await _closed(walk, job, at, tasks, error)
        for name in closed["kept"]:
            ended = walk.run.finished[f"{at}/{name}"]
            state.kept[name] = ended["output"], Label.from_data(ended.get("label"))
        state.failed = closed["failed"]


# The plan


async def _proposed(
    walk: Walk, job: Job, iteration: Iteration, planner: Planner, at: str, state: _State
) -> list[Data]:
    """Have a plan proposed, and record what stands of it; afterwards it is read from the journal."""
    task, at = walk.path(job), f"{at}/{PROPOSAL}"
    recorded = walk.run.said(at, task=task)
    if recorded is not None:
        return recorded["tasks"]
    who = planner.who
    output = Output(proposal_form(planner), f"The plan of task '{job.name}'")
    text = _assignment(walk, job, iteration, planner, output, state)

    async def propose(content: str) -> tuple[Any, Label]:
        desk = member_desk(walk, job, who, at)
        room = desk.meter.left()["tokens"]
        desk = replace(
            desk,
            output=output,
            guardrails=(check_of(planner, state.kept, _taken(walk, job), room),),
            review=planner.question,
        )
        return await work(desk, content, walk.values.fill), desk.history.label

    proposal = await give(walk, job, iteration, text, propose, to=who.role, thread=at)

    async def record() -> Data:
        why = f"'{', '.join(state.failed)}' failed." if state.failed else ""
        return {"by": who.role, "tasks": proposal["tasks"], "kept": list(state.kept), "why": why}

    told = await walk.run.verdict(at, record, task=task, agent=who.role, type="plan.proposed")
    return told["tasks"]


def _assignment(
    walk: Walk, job: Job, iteration: Iteration, planner: Planner, output: Output, state: _State
) -> str:
    goal, expected = (
        walk.values.fill(job.task.description, job),
        walk.values.fill(job.task.expected_output, job),
    )
    parts = [
        goal.strip(),
        "Do not do it yourself: plan the tasks by which these agents do it, each told all that it has to know.",
        f"## Agents\n{about_agents(planner, walk.values.fill)}",
        "## Rules\n"
        f"- {planner.tasks} tasks at most. What a task does not need runs beside it.\n"
        "- One last task makes the whole result out of what it needs.\n"
        "- An agent has its own tools and no others.",
    ]
    if state.kept or state.failed:
        parts.append(told_results(dict.fromkeys(state.kept, ""), state.failed))
    parts.append(DRAFT)
    made = draft(planner, goal, expected)
    names = {each["name"]: _unique(each["name"], {*_taken(walk, job), *state.kept}) for each in made}
    made = [{**d, "name": names[d["name"]], "needs": [names[need] for need in d["needs"]]} for d in made]
    upstream = {
        **walk.values.upstream(job),
        **{
            name: shown(shorten(_text(value), UPSTREAM_CHARS), label)
            for name, (value, label) in state.kept.items()
        },
        "draft of the plan": json.dumps(made, ensure_ascii=False, indent=2),
    }
    before = None if iteration.number == 1 else again(job, iteration)
    told = walk.values.told_of(job)
    return assignment_text(job.name, "\n\n".join(parts), expected, told, upstream, output.schema, before)


def _taken(walk: Walk, job: Job) -> set[str]:
    """Return the names that stand for inputs and results already."""
    return {PROPOSAL, *walk.values.inputs, *(need.replace("-", "_") for need in job.needs)}


def _unique(name: str, taken: set[str]) -> str:
    return name if name not in taken else _unique(f"{name}_2", taken)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# What is done of it


async def _done(walk: Walk, job: Job, planner: Planner, at: str, tasks: list[Data], state: _State) -> Any:
    """Do the tasks of a plan as a crew; return what the last one came to."""
    crew = _crew(walk, job, planner, tasks, state)
    inputs: Data = {name: walk.values.inputs[name] for name in walk.values.inputs}
    labels = {name: walk.values.label(name) for name in walk.values.inputs}
    for need in job.needs:
        if (value := walk.values.data(need)) is not None:
            name = need.replace("-", "_")
            inputs[name], labels[name] = value, walk.values.label(need)
    for kept, (value, label) in state.kept.items():
        name = kept.replace("-", "_")
        inputs[name], labels[name] = value, label
    inner = walk.inside(job, at, crew, inputs, labels, limits_inside(walk, job, crew))
    for each in tasks:
        walk.lend(f"{at}/{each['name']}", walk.colleague_model(each["agent"], job))
    outcomes = await inner.in_time()
    if inner.refused is not None:
        raise inner.refused
    output = output_of(crew, outcomes)
    try:
        output = job.output.dump(job.output.load(output))
    except WrongAnswer as error:
        raise RunError(f"What the plan came to is not what the task promises. {error}") from error
    [last] = crew.plan.final
    walk.values.hold(job, inner.values.label(last))
    return output


def _crew(walk: Walk, job: Job, planner: Planner, tasks: list[Data], state: _State) -> Crew:
    """Return the crew that does a plan. The last task makes what the whole one promises."""
    agents = {agent.role: agent for agent in planner.agents}
    names = [each["name"] for each in tasks]
    needed = {need for each in tasks for need in each["needs"]}
    whole = job.task
    made: list[Task[Any]] = []
    for each in tasks:
        last = each["name"] not in needed
        outer = as_guardrails(whole.guardrails, "task")
        wanted = each["expected_output"]
        if last and whole.expected_output.strip():
            wanted = f"{wanted}\n{walk.values.fill(whole.expected_output, job)}".strip()
        made.append(
            Task(
                each["name"],
                escaped(each["description"]),
                escaped(wanted),
                agents[each["agent"]],
                needs=[need for need in each["needs"] if need in names],
                scope=None if each.get("tools") is None else Scope(*each["tools"]),
                output_type=whole.output_type if last else str,
                guardrails=Guardrails(output=outer.output) if last else Guardrails(),
                human_input=whole.human_input if last else False,
                revisions=whole.revisions,
            )
        )
    given = [*walk.values.inputs, *job.needs, *state.kept]
    inputs = {name.replace("-", "_"): Input(type=Any, default=None) for name in given}
    return Crew(made, agents=planner.agents, inputs=inputs, name=f"plan of {job.name}")


async def _closed(walk: Walk, job: Job, at: str, tasks: list[Data], error: RunError) -> Data:
    """Record what a plan that failed leaves behind; return the record."""
    finished = {each["name"]: walk.run.finished.get(f"{at}/{each['name']}") for each in tasks}
    kept = [name for name, ended in finished.items() if ended and ended["status"] == "completed"]
    outcomes = walk.outcomes_inside(at)
    failed = {name: outcome.why for name, outcome in outcomes.items() if outcome.status == "failed"}

    async def record() -> Data:
        return {"kept": kept, "failed": failed or {job.name: str(error)}, "why": str(error)}

    return await walk.run.verdict(
        f"{at}/closed", record, task=walk.path(job), agent=job.worker, type="plan.failed"
    )
