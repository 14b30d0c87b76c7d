"""Which guardrails hold over a task, and what they are shown before anything begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from crewkit.agents.agent import Agent
from crewkit.core.guardrails import NONE, Guardrail, Guardrails, as_guardrails
from crewkit.core.label import UNKNOWN
from crewkit.core.messages import canonical, fingerprint
from crewkit.core.verdict import Ask
from crewkit.crew.bind import known_names
from crewkit.crew.each import NAME
from crewkit.errors import Denied, ToolError
from crewkit.journal.ask import Question, ask, seconds
from crewkit.memory.base import Record
from crewkit.tools.guard import guard
from crewkit.tools.tool import ToolContext

if TYPE_CHECKING:
    from crewkit.crew.compile import Job
    from crewkit.execution.walk import Walk

Data = dict[str, Any]


def guardrails_of(walk: Walk, job: Job, agent: Agent | None) -> Guardrails:
    """Return all guardrails over what an agent, or a function, does for a task: the outermost first."""
    crew = as_guardrails(walk.crew.guardrails, "crew")
    last = Guardrails(output=crew.output) if job.name in walk.plan.final else NONE
    own = as_guardrails(agent.guardrails, "agent") if agent else NONE
    return walk.guardrails + last + own + as_guardrails(job.task.guardrails, "task")


async def admit_crew(walk: Walk, path: str) -> None:
    """Put a crew's inputs before its guardrails.

    Raises:
        Denied: They are refused.
        Waiting: A person has to decide first.
    """
    guardrails = as_guardrails(walk.crew.guardrails, "crew").input
    if guardrails:
        await _admit(
            walk,
            guardrails,
            dict(walk.values.inputs),
            walk.values.shown,
            path,
            "",
            f"crew '{walk.crew.name}'",
        )


async def admit(walk: Walk, job: Job) -> None:
    """Put what a task begins with before its guardrails and its agent's.

    Raises:
        Denied: It is refused.
        Waiting: A person has to decide first.
    """
    own = as_guardrails(job.agent.guardrails, "agent") if job.agent else NONE
    guardrails = (own + as_guardrails(job.task.guardrails, "task")).input
    if guardrails:
        names = known_names(job.needs, walk.plan.inputs)
        if job.each is not None:
            names = {name: source for name, source in names.items() if source != job.each.source}
        value = {name: walk.argument(job, source, walk.path(job)) for name, source in names.items()}
        shown = {name: walk.values.data(source) for name, source in names.items()}
        if job.item is not None:
            value[NAME], shown[NAME] = job.item.value, job.item.data
        await _admit(walk, guardrails, value, shown, walk.path(job), job.worker, f"task '{job.name}'")


async def _admit(
    walk: Walk, guardrails: Sequence[Guardrail], value: Data, shown: Data, task: str, agent: str, what: str
) -> None:
    context = walk.context(f"{task}/0" if task else "0", task, agent, UNKNOWN)

    async def asked(wish: Ask, path: str) -> str:
        about = {"output": shown}
        question = Question(path, "output", wish.question, task, agent, about, expires=seconds(wish))
        decision = await ask(walk.run, question)
        return "" if decision.approved else f"A person said no. {decision.note}".strip()

    seen = await guard(walk.run, guardrails, "input", value, context, asked)
    if seen.objection:
        raise Denied(f"The guardrail '{seen.by}' refused what {what} begins with: {seen.objection}")


def memory_guard(
    walk: Walk, guardrails: Sequence[Guardrail], context: ToolContext
) -> Callable[[Sequence[Record]], Any] | None:
    """Return what puts records before the guardrails over memory; `None` where there are none."""
    if not guardrails:
        return None

    async def asked(wish: Ask, _path: str) -> str:
        return f"{wish.question} (Nobody can be asked in the middle of a call.)"

    async def check(records: Sequence[Record]) -> None:
        mark = fingerprint(*(record.id() for record in records), canonical([r.metadata for r in records]))
        at = replace(context, path=f"{context.path}/memory:{mark[:8]}")
        seen = await guard(walk.run, guardrails, "memory", list(records), at, asked)
        if seen.objection:
            raise ToolError(f"Nothing was remembered. {seen.by}: {seen.objection}")

    return check
