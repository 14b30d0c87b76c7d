"""Giving a task to whoever does it, over the bus, and accepting what comes back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from crewkit.agents.desk import Rejected
from crewkit.agents.prompt import shorten
from crewkit.coordinator.bus import assignment
from crewkit.core.label import UNKNOWN, Label
from crewkit.core.messages import Message
from crewkit.core.verdict import Ask
from crewkit.crew.compile import Job
from crewkit.crew.iteration import Iteration
from crewkit.errors import (
    CrewkitError,
    Denied,
    JournalError,
    LimitExceeded,
    ModelError,
    ReplayError,
    RunError,
    ToolError,
)
from crewkit.execution.guarded import guardrails_of
from crewkit.journal.ask import Question, ask, seconds
from crewkit.tools.guard import guard

if TYPE_CHECKING:
    from crewkit.execution.walk import Walk

Data = dict[str, Any]


async def give(
    walk: Walk,
    job: Job,
    iteration: Iteration,
    text: str,
    do: Callable[[str], Awaitable[tuple[Any, Label]]],
    *,
    to: str = "",
    thread: str = "",
) -> Any:
    """Assign a task over the bus; return the output that the report brings, as JSON data.

    Args:
        walk: The crew's walk.
        job: The task.
        iteration: The iteration that is begun; its path is the thread.
        text: The assignment; in it, what is not trusted is fenced.
        do: Does what the assignment that arrived says, and returns the output as JSON data, and its label.
        to: Who does it, where it is not the task's own worker.
        thread: The thread, where it is not the iteration's.
    """
    worker = to or job.worker

    async def answering(received: Message) -> Message:
        return await answered_by(worker, received, lambda: do(received.content), job.output.text)

    given = assignment(worker, thread or iteration.path, text, iteration.task)
    reply = await walk.bus.exchange(given, answering)
    if reply.kind != "report":
        raise raised(reply)
    walk.values.hold(job, reply.label)
    return reply.data["output"]


async def answered_by(
    worker: str,
    received: Message,
    do: Callable[[], Awaitable[tuple[Any, Label]]],
    text: Callable[[Any], str],
) -> Message:
    """Return the report about what an assignment came to, or the failure that kept it from that.

    Args:
        worker: Who does it.
        received: The assignment.
        do: Does it; returns the output as JSON data, and its label.
        text: Writes the output as people read it.
    """
    try:
        output, label = await do()
    except (JournalError, ReplayError):
        raise
    except CrewkitError as error:
        return _failure(worker, received, error)
    data = {"task": received.data["task"], "output": output}
    said = shorten(text(output), 2_000)
    return Message("report", worker, received.sender, received.thread, received.round, said, data, label)


def _failure(sender: str, received: Message, error: CrewkitError) -> Message:
    told: Data = {"type": type(error).__name__, "message": str(error)}
    if isinstance(error, LimitExceeded):
        told |= {"limit": error.limit, "level": error.level}
    label = UNKNOWN
    if isinstance(error, Rejected):
        told |= {"answer": error.answer, "output": error.output}
        label = error.label
    data = {"task": received.data["task"], "error": told}
    return Message(
        "failure", sender, received.sender, received.thread, received.round, str(error), data, label
    )


def raised(failure: Message) -> CrewkitError:
    """Turn a failure message back into the error that it tells of."""
    data = failure.data["error"]
    if data["type"] == "LimitExceeded":
        return LimitExceeded(data["message"], limit=data["limit"], level=data["level"])
    if data["type"] == "Rejected":
        return Rejected(data["message"], answer=data["answer"], output=data["output"], label=failure.label)
    kinds: dict[str, type[CrewkitError]] = {
        "ModelError": ModelError,
        "ToolError": ToolError,
        "Denied": Denied,
    }
    return kinds.get(data["type"], RunError)(data["message"])


async def accept(walk: Walk, job: Job, iteration: Iteration, output: Any) -> Any:
    """Put a function's or crew's output before the guardrails and the person; return it where it stands.

    Nobody is told to do it better.

    Raises:
        Denied: It does not stand.
        Waiting: A person has to decide first.
    """
    path = f"{iteration.path}/1"
    guardrails = guardrails_of(walk, job, None)
    context = walk.context(path, iteration.task, job.worker, walk.values.label(job.place))

    async def asked(wish: Ask, at: str) -> str:
        return await _review(walk, job, at, wish, output)

    seen = await guard(walk.run, guardrails.output, "output", job.output.load(output), context, asked)
    if seen.objection:
        raise Denied(f"The guardrail '{seen.by}' refused the result: {seen.objection}")
    if job.task.question and (why := await _review(walk, job, path, Ask(job.task.question), output)):
        raise Denied(why)
    return output


async def _review(walk: Walk, job: Job, path: str, wish: Ask, output: Any) -> str:
    """Return why a person does not accept a result; empty where they do."""
    about = {"output": output}
    question = Question(
        path, "output", wish.question, walk.path(job), job.worker, about, expires=seconds(wish)
    )
    decision = await ask(walk.run, question)
    if decision.approved:
        return ""
    return f"A person did not accept the result of '{job.name}': {decision.note or 'no reason given'}"
