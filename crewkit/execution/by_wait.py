"""A task that nobody does: it waits for a time, or for something outside."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from crewkit.agents.output import WrongAnswer
from crewkit.core.label import CREW, Label
from crewkit.crew.compile import Job
from crewkit.crew.iteration import Iteration
from crewkit.errors import RunError
from crewkit.execution.exchange import accept
from crewkit.journal.wait import wait_for, wait_until
from crewkit.tools.call import invoke

if TYPE_CHECKING:
    from crewkit.execution.walk import Walk


async def by_wait(walk: Walk, job: Job, iteration: Iteration) -> Any:
    """Wait for what a task waits for; return the output as JSON data."""
    run, task, wanted = walk.run, iteration.task, job.task.wait_for
    at = f"{iteration.path}/wait"

    def read(data: Any) -> Any:
        try:
            return job.output.dump(job.output.load(data))
        except WrongAnswer as error:
            raise RunError(f"its data is not {job.output.kind}: {error.problem}") from error

    if isinstance(wanted, str):
        output = await wait_for(run, at, wanted, read, task=task, agent=job.worker)
        walk.values.hold(job, Label(sources=(f"event {wanted}",)))
    else:
        known = run.waiting(at, task=task) is not None
        moment = run.clock.now() if known else await _moment(walk, job, iteration, at)
        output = await wait_until(run, at, lambda: moment, task=task, agent=job.worker)
        walk.values.hold(job, CREW)
    return await accept(walk, job, iteration, output)


async def _moment(walk: Walk, job: Job, iteration: Iteration, at: str) -> datetime:
    """Return until when to wait."""
    wanted: Any = job.task.wait_for
    if callable(wanted):
        name = getattr(wanted, "__name__", "wait_for")
        arguments = {
            parameter: walk.argument(job, source, at, iteration)
            for parameter, source in job.arguments.items()
        }
        try:
            wanted = await invoke(wanted, arguments)
        except Exception as error:
            raise RunError(f"{name}() failed with {type(error).__name__}: {error}") from error
        if not isinstance(wanted, datetime | timedelta) or (
            isinstance(wanted, datetime) and wanted.tzinfo is None
        ):
            raise RunError(
                f"{name}() returned {wanted!r:.80}, which is no time to wait until: return a datetime with a "
                "timezone, or a timedelta."
            )
    return walk.run.clock.now() + wanted if isinstance(wanted, timedelta) else wanted
