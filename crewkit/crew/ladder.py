"""What happens when an agent's work is not accepted: another model, another agent, a person, in the order declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crewkit.agents.agent import Agent, ModelSpec
from crewkit.agents.desk import Rejected
from crewkit.agents.output import WrongAnswer
from crewkit.agents.prompt import UPSTREAM_CHARS, shorten
from crewkit.checks.scope import Scope, granted
from crewkit.core.label import CREW, PERSON, Label, shown
from crewkit.core.verdict import Ask
from crewkit.errors import DefinitionError, Denied, LimitExceeded, RunError
from crewkit.journal.ask import Question, ask
from crewkit.models.route import Capable
from crewkit.tools.tool import Tool, as_tools

if TYPE_CHECKING:
    from crewkit.crew.compile import Job
    from crewkit.crew.crew import Crew
    from crewkit.crew.task import Task
    from crewkit.execution.walk import Walk

Data = dict[str, Any]


@dataclass(frozen=True)
class Rung:
    """Who tries after the ones before were not accepted."""

    who: str
    """For people: `the model x`, `Editor`, `a person`."""
    agent: Agent | None = None
    """Who works; `None`: a person decides."""
    tools: tuple[Tool, ...] = ()
    scope: Scope = field(default_factory=Scope)
    model: ModelSpec = None
    """The model of this rung; `None`: the agent's own."""
    question: str = ""
    """What a person is asked."""


def ladder_of(task: Task[Any], agent: Agent, crew: Crew) -> tuple[Rung, ...]:
    """Return the rungs of a task's ladder, with everything that its definition leaves open settled."""
    return tuple(_rung(each, task, agent, crew) for each in task.fallback)


def _rung(given: object, task: Task[Any], agent: Agent, crew: Crew) -> Rung:
    where = f"Task '{task.name}'"
    if isinstance(given, Ask):
        return Rung("a person", question=given.question)
    who = given if isinstance(given, Agent) else agent
    tools = as_tools(tuple({id(t): t for t in (*who.tools, *task.tools)}.values()), where)
    scope = granted(tools, who.scope, task.scope, crew.scope)
    if isinstance(given, Agent):
        return Rung(given.role, given, tools, scope, given.model)
    name = given if isinstance(given, str) else getattr(given, "name", None)
    if not isinstance(name, str) and not isinstance(given, Capable):
        raise DefinitionError(
            f"{where}: fallback={given!r:.60} is no one to fall back to. Name a model, an agent, or Ask('…') for a "
            "person."
        )
    model: Any = given
    return Rung(f"the model {name or given}", agent, tools, scope, model)


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
        edited = decision.arguments is not None
        output = decision.arguments.get("output") if decision.arguments else said.get("output")
        try:
            label = PERSON if edited or "label" not in said else Label.from_data(said["label"])
            return job.output.dump(job.output.load(output)), label
        except (WrongAnswer, RunError) as error:
            attempt, objection = attempt + 1, f"It is not what the task promises: {error}"


def models(job: Job) -> Sequence[tuple[str, ModelSpec]]:
    """Return the models that the rungs of a task name, with the ends of their paths; `None`: the crew's."""
    return [(f"/fallback:{i}", rung.model) for i, rung in enumerate(job.ladder, 1) if rung.agent is not None]
