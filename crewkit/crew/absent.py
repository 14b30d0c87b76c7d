"""Which tasks of a crew may come to nothing although the crew goes on: what depends on them gets `None`."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from crewkit.agents.output import Output, WrongAnswer
from crewkit.coordinator.graph import AnyOf
from crewkit.tools.tool import Tool

if TYPE_CHECKING:
    from crewkit.crew.compile import Job, Plan


def absent(jobs: Mapping[str, Job]) -> frozenset[str]:
    """Return the tasks that may have no output in a crew that did not fail.

    Args:
        jobs: The crew's, in an order in which they could run one by one.
    """
    found: set[str] = set()
    for name, job in jobs.items():
        unmet = any(
            found.issuperset(need.names)
            if isinstance(need, AnyOf)
            else need in found and jobs[need].task.on_failure != "continue"
            for need in job.joins
        )
        if unmet or job.when is not None or job.task.on_failure != "fail":
            found.add(name)
    return frozenset(found)


def comes_to(plan: Plan) -> Any:
    """Return the type of what a crew comes to: its last task's, or `Any` where several are last."""
    if len(plan.final) != 1:
        return Any
    last = plan.final[0]
    kind = plan.jobs[last].output.type
    return typing.Optional[kind] if last in absent(plan.jobs) else kind  # noqa: UP045 (a value, and `kind` may be a text)


def unready(plan: Plan) -> Iterator[str]:
    """Name the parameters, and inputs of crews in tasks, that may be given `None` and are not annotated with it."""
    from crewkit.crew.crew import Crew

    gone = absent(plan.jobs)
    for job in plan.jobs.values():
        passed = {need for need in job.needs if plan.jobs[need].task.on_failure == "continue"}
        open_ = gone & (job.alternatives | passed)
        if job.kind not in ("function", "crew"):
            continue
        types = _taken(job)
        for parameter, source in job.arguments.items():
            if source in open_ and parameter in types and not _takes_nothing(types[parameter]):
                kind = Output(types[parameter]).kind
                yield (
                    f"Task '{job.name}' may go on without '{source}'; '{parameter}' is then None, and is annotated as "
                    f"{kind}. Write {kind} | None."
                )
        if isinstance(job.task.do, Crew):
            yield from unready(job.task.do.plan)


def _taken(job: Job) -> Mapping[str, Any]:
    from crewkit.crew.crew import Crew

    do = job.task.do
    if isinstance(do, Crew):
        return {name: given.type for name, given in do.plan.inputs.items()}
    function: Any = do.function if isinstance(do, Tool) else do
    return typing.get_type_hints(function) if inspect.isroutine(function) else {}


def _takes_nothing(kind: Any) -> bool:
    try:
        Output(kind).load(None)
    except WrongAnswer:
        return False
    return True
