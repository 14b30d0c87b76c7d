"""Loops: a task that is done again until its check is content, or its cap is reached."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from crewkit.core.label import Label
from crewkit.crew.check import Check
from crewkit.crew.compile import Job
from crewkit.crew.iteration import Iteration
from crewkit.errors import Denied
from crewkit.execution.conditions import inspect
from crewkit.journal.ask import Question, ask

if TYPE_CHECKING:
    from crewkit.execution.walk import Walk

Do = Callable[[Iteration], Awaitable[Any]]
"""Does one iteration and returns the output as JSON data."""


async def repeated(walk: Walk, job: Job, until: Check, do: Do) -> tuple[Any, str]:
    """Do a task until its check is content; return the last output, and what is wrong with it where it never was.

    What an iteration came to is recorded, and so is what the check said: a resumed run goes on behind them.

    Raises:
        Denied: The check gave it up.
        Waiting: A person has to decide first.
    """
    run, task = walk.run, walk.path(job)
    iteration = Iteration(task)
    while True:
        at = iteration.path
        if iteration.number > 1:
            data = {"number": iteration.number, "reason": iteration.reason}
            run.record("iteration.started", at, data, task=task, agent=job.worker)
        finished = run.result(at, task=task)
        if finished is None:
            output = await do(iteration)
            finished = {
                "number": iteration.number,
                "output": output,
                "label": walk.values.label(job.place).to_data(),
            }
            run.answer(at, "iteration", finished, task=task, agent=job.worker)
        output, label = finished["output"], Label.from_data(finished.get("label"))
        walk.values.hold(job, label)
        reason = await _objection(walk, job, until, iteration, output)
        if reason is None:
            return output, ""
        if iteration.number >= job.task.iterations:
            times = f"{iteration.number} iterations" if iteration.number > 1 else "its one iteration"
            return output, f"It was not accepted in {times}; this is the last version. {reason}"
        iteration = Iteration(task, iteration.number + 1, output, reason, label)


async def _objection(walk: Walk, job: Job, until: Check, iteration: Iteration, output: Any) -> str | None:
    """Return why an output is not good enough yet; `None` where it is."""
    at = f"{iteration.path}/until"
    said = await walk.run.verdict(
        at,
        lambda: inspect(walk, job, until, at, output),
        task=iteration.task,
        agent=job.worker,
        type="condition.checked",
    )
    match said["verdict"]:
        case "allow":
            return None
        case "revise":
            return said["why"]
        case "ask":
            question = Question(at, "output", said["why"], iteration.task, job.worker, {"output": output})
            decision = await ask(walk.run, question)
            said = f"A person wants it changed: {decision.note or 'no reason given'}"
            return None if decision.approved else said
        case _:
            raise Denied(f"Its check {said['condition']} gave it up: {said['why']}")
