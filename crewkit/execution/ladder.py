"""What happens when an agent's work is not accepted: another model, another agent, a person, in the order declared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crewkit.agents.desk import Rejected
from crewkit.agents.output import WrongAnswer
from crewkit.agents.prompt import UPSTREAM_CHARS, shorten
from crewkit.core.label import CREW, PERSON, Label, shown
from crewkit.errors import Denied, LimitExceeded, RunError
from crewkit.journal.ask import Question, ask
from crewkit.journal.edit import put_in

if TYPE_CHECKING:
    from crewkit.crew.compile import Job
    from crewkit.crew.ladder import Rung
    from crewkit.execution.walk import Walk

Data = dict[str, Any]


def entered(walk: Walk, job: Job, path: str) -> tuple[int, Data]:
    """Return how many rungs were climbed in this run already, and what was said then."""
    for number in range(len(job.ladder), 0, -1):
        said = walk.run.said(f"{path}/fallback:{number}", task=walk.path(job))
        if said is not None:
            return number, said
    return 0, {}


async def climb(walk: Walk, job: Job, path: str, number: int, error: RunError) -> Data:
    """Record that the next rung is entered, and why; return the record. What was done on those before is left behind.

    Raises:
        RunError: There is none, or the error is none that another may do better with.
    """
    if isinstance(error, LimitExceeded | Denied) or number > len(job.ladder):
        raise error
    rejected = error if isinstance(error, Rejected) else None
    data: Data = {"to": job.ladder[number - 1].who, "why": str(error)}
    if rejected:
        data |= {"answer": shorten(rejected.answer, UPSTREAM_CHARS), "output": rejected.output}
        data["label"] = rejected.label.to_data()

    async def record() -> Data:
        return data

    at = f"{path}/fallback:{number}"
    return await walk.run.verdict(at, record, task=walk.path(job), agent=job.worker, type="task.escalated")


def told(content: str, said: Mapping[str, Any]) -> str:
    """Return an assignment with what was tried before and why it was not accepted."""
    label = Label.from_data(said["label"]) if "label" in said else CREW
    parts = [content, "## An earlier attempt was not accepted"]
    if said.get("answer"):
        parts.append(shown(said["answer"], label))
    parts.append(f"Why: {shown(said['why'], label)}")
    return "\n\n".join(parts)


async def person(walk: Walk, job: Job, path: str, rung: Rung, said: Data) -> tuple[Any, Label]:
    """Have a person accept the last answer, or write a better one; return it with its label.

    Raises:
        Denied: They gave it up.
        Waiting: They have not decided.
    """
    attempt, objection = 1, ""
    while True:
        about = {"output": said.get("output", said.get("answer"))}
        reasons = {"reason": said["why"], "objection": objection}
        question = Question(
            path,
            "output",
            rung.question,
            walk.path(job),
            job.worker,
            about,
            {name: text for name, text in reasons.items() if text},
            attempt,
        )
        decision = await ask(walk.run, question)
        if not decision.approved:
            raise Denied(
                f"A person gave it up{': ' if decision.note else '.'}{decision.note} {said['why']}".strip()
            )
        output = decision.arguments.get("output") if decision.arguments else said.get("output")
        _, theirs = put_in(output, [said.get("output"), said.get("answer")])
        try:
            label = PERSON if theirs or "label" not in said else Label.from_data(said["label"])
            return job.output.dump(job.output.load(output)), label
        except (WrongAnswer, RunError) as error:
            attempt, objection = attempt + 1, f"It is not what the task promises: {error}"
