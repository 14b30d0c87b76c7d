"""A task done by a whole crew, inside another's run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from crewkit.agents.output import WrongAnswer
from crewkit.coordinator.schedule import Outcome
from crewkit.core.label import CREW, Label, join
from crewkit.core.limits import Limits
from crewkit.core.messages import canonical
from crewkit.crew.compile import Job
from crewkit.crew.crew import REQUIRED, Crew
from crewkit.crew.iteration import NAMES, Iteration
from crewkit.errors import Denied, LimitExceeded, RunError
from crewkit.execution.exchange import accept, give
from crewkit.journal.waiting import Waiting

if TYPE_CHECKING:
    from crewkit.execution.walk import Walk


async def by_crew(walk: Walk, job: Job, iteration: Iteration) -> Any:
    """Let a crew do a task; return the output as JSON data."""
    crew = job.task.do
    assert isinstance(crew, Crew)
    inputs: dict[str, Any] = {}
    labels: dict[str, Label] = {}
    for name, declared in crew.plan.inputs.items():
        source = job.arguments.get(name, "")
        first = source in NAMES.values() and iteration.number == 1
        if source and not (first and declared.default is not REQUIRED):
            inputs[name] = walk.argument(job, source, iteration.path, iteration)
            labels[name] = walk.values.source_label(job, source, iteration)
        else:
            inputs[name], labels[name] = declared.default, CREW
    inner = walk.inside(job, iteration.path, crew, inputs, labels, limits_inside(walk, job, crew))

    async def run(_content: str) -> tuple[Any, Label]:
        outcomes = await inner.in_time()
        if inner.refused is not None:
            raise inner.refused
        output = output_of(crew, outcomes)
        try:
            return job.output.dump(job.output.load(output)), join(map(inner.values.label, crew.plan.final))
        except WrongAnswer as error:
            raise RunError(
                f"The output of crew '{crew.name}' is not what the task promises. {error}"
            ) from error

    said = (
        f"Run crew '{crew.name}' with {canonical({name: str(value)[:80] for name, value in inputs.items()})}."
    )
    return await accept(walk, job, iteration, await give(walk, job, iteration, said, run))


def limits_inside(walk: Walk, job: Job, crew: Crew) -> Limits:
    """Return the limits of the crew inside: what it leaves out is the outer crew's; depth never grows.

    Raises:
        LimitExceeded: It would be deeper than it may.
    """
    outer = [cap for level in (walk.limits, job.task.limits) if (cap := level.cap("depth")) is not None]
    if outer and walk.depth >= min(outer):
        raise LimitExceeded(
            f"Crew '{crew.name}' would be {walk.depth + 1} deep; the cap is {min(outer):g}.", limit="depth"
        )
    limits = crew.limits.over(replace(walk.limits, tokens=None, usd=None, seconds=None, steps=None))
    own = limits.cap("depth")
    caps = outer if own is None else [*outer, own]
    return replace(limits, depth=int(min(caps)) if caps else None)


def output_of(crew: Crew, outcomes: Mapping[str, Outcome]) -> Any:
    """Return what the crew came to; raise what kept it from that."""
    waits = [
        Waiting(each.approvals, waits=each.waits, until=each.until, why=each.why)
        for each in outcomes.values()
        if each.status == "waiting"
    ]
    if waits:
        raise Waiting.joined(waits)
    for name, outcome in outcomes.items():
        if isinstance(outcome.error, LimitExceeded) and outcome.status == "stopped":
            raise outcome.error
        if outcome.status == "stopped":
            raise LimitExceeded(outcome.why, limit="run")
        if outcome.status == "failed" and crew.plan.jobs[name].task.on_failure == "fail":
            kind = Denied if isinstance(outcome.error, Denied) else RunError
            raise kind(f"Task '{name}' of crew '{crew.name}' failed: {outcome.why}")
    return crew.plan.output(
        {name: each.output for name, each in outcomes.items() if each.status == "completed"}
    )
