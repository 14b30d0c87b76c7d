"""A task that says which of several contradicting results counts: by declared rules, an agent or a person."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from crewkit.agents.agent import Agent
from crewkit.agents.loop import work
from crewkit.agents.output import Output, as_json
from crewkit.agents.prompt import assignment_text
from crewkit.coordinator.bus import assignment
from crewkit.core.label import Label, join
from crewkit.core.messages import Message, canonical
from crewkit.core.verdict import Ask
from crewkit.crew.compile import Job
from crewkit.crew.iteration import Iteration
from crewkit.crew.resolve import Priority, Resolution, Resolve, Rule, said
from crewkit.errors import Denied, LimitExceeded, RunError
from crewkit.execution.by_agent import member_desk
from crewkit.execution.conditions import brief
from crewkit.execution.exchange import accept, answered_by, give, raised
from crewkit.journal.ask import EXPIRES, Question, ask

if TYPE_CHECKING:
    from crewkit.execution.walk import Walk

Data = dict[str, Any]

UNDECIDED = "undecided"
"""What a judge says who leaves it to the next rule."""

CONTRADICT = "These results contradict each other. Say which one counts, and why. Add nothing of your own."


@dataclass(frozen=True)
class _Party:
    """One of the results, while it is weighed."""

    task: str
    agent: str
    output: Any
    value: Any
    """What has to be the same, as JSON data."""
    label: Label

    @property
    def vote(self) -> str:
        return canonical(self.value)


async def by_rule(walk: Walk, job: Job, iteration: Iteration) -> Any:
    """Say which result counts; return it as JSON data, or how that was found, where the task returns that."""
    resolve = job.task.do
    assert isinstance(resolve, Resolve)

    async def settle(_content: str) -> tuple[Any, Label]:
        parties = _parties(walk, job, resolve)
        if not parties:
            raise RunError(f"None of {', '.join(job.context)} has a result.")
        agreed = len({party.vote for party in parties}) == 1
        record = {"chosen": parties[0].task, "rule": "", "why": "All say the same."}
        if not agreed:
            record = await walk.run.verdict(
                f"{iteration.path}/resolved",
                lambda: _resolved(walk, job, iteration, resolve, parties),
                task=walk.path(job),
                agent=job.worker,
                type="conflict.resolved",
            )
        chosen = next(party for party in parties if party.task == record["chosen"])
        return _output(job, record, chosen, parties, agreed=agreed), join(p.label for p in parties)

    asked = f"Say which result counts of {', '.join(job.context)}: by {resolve.says}."
    return await accept(walk, job, iteration, await give(walk, job, iteration, asked, settle))


def _parties(walk: Walk, job: Job, resolve: Resolve) -> list[_Party]:
    """Return the results that there are, in the order in which the task names them.

    Who says nothing of what is compared abstains, unless all do.
    """
    found: list[_Party] = []
    for name in job.context:
        output = walk.values.data(name)
        if output is not None:
            agent = walk.plan.jobs[name].worker
            value = _value(walk, name, output, resolve)
            found.append(_Party(name, agent, output, value, walk.values.label(name)))
    return [party for party in found if party.value is not None] or found


def _value(walk: Walk, name: str, output: Any, resolve: Resolve) -> Any:
    """Return what has to be the same of a result."""
    if callable(resolve.about):
        try:
            return as_json(resolve.about(walk.values.value(name)), f"What '{name}' says")
        except Exception as error:
            raise RunError(
                f"What '{name}' says cannot be compared: about() failed with {type(error).__name__}: {error}"
            ) from error
    for field in resolve.about.split(".") if resolve.about else ():
        output = output.get(field) if isinstance(output, dict) else None  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
    return output  # pyright: ignore[reportUnknownVariableType]


def _output(job: Job, record: Data, chosen: _Party, parties: Sequence[_Party], *, agreed: bool) -> Any:
    if job.output.type is not Resolution:
        return chosen.output
    return {
        "chosen": chosen.task,
        "output": chosen.output,
        "agreed": agreed,
        "rule": record["rule"],
        "why": record["why"],
        "parties": [
            {"task": p.task, "agent": p.agent, "value": p.value, "output": p.output} for p in parties
        ],
    }


async def _resolved(
    walk: Walk, job: Job, iteration: Iteration, resolve: Resolve, parties: Sequence[_Party]
) -> Data:
    """Ask the rules in order until one decides; return the record."""
    tried: list[Data] = []
    for number, rule in enumerate(resolve.rules):
        last = number == len(resolve.rules) - 1
        chosen, why = await _ruling(walk, job, iteration, rule, parties, tried, last=last)
        if chosen:
            by = walk.run.redactor.text(why)
            return {
                "rule": said(rule),
                "chosen": chosen,
                "why": by,
                "tried": tried,
                "about": resolve.about if isinstance(resolve.about, str) else "",
                "parties": [
                    {
                        "task": party.task,
                        "agent": party.agent,
                        "value": brief(party.value),
                        "evidence": brief(party.output),
                        "label": party.label.to_data(),
                    }
                    for party in parties
                ],
            }
        tried.append({"rule": said(rule), "why": why})
    told = " ".join(f"{each['rule'].capitalize()}: {each['why']}" for each in tried)
    raise RunError(f"{_contradiction(parties)} No rule decided. {told}")


async def _ruling(
    walk: Walk,
    job: Job,
    iteration: Iteration,
    rule: Rule,
    parties: Sequence[_Party],
    tried: Sequence[Data],
    *,
    last: bool,
) -> tuple[str, str]:
    """Return the task whose result counts by a rule, and why; an empty name where it does not decide."""
    match rule:
        case "first":
            return parties[0].task, f"'{parties[0].task}' is the first that has a result."
        case "vote":
            return _vote(parties)
        case Priority():
            names = [party.task for party in parties]
            chosen = next((name for name in rule.tasks if name in names), "")
            return (
                chosen,
                f"'{chosen}' comes first." if chosen else "None of those that it ranks has a result.",
            )
        case Agent():
            return await _judged(walk, job, iteration, rule, parties, last=last)
        case Ask():
            return await _chosen(walk, job, iteration, rule, parties, tried)


def _vote(parties: Sequence[_Party]) -> tuple[str, str]:
    votes: dict[str, list[_Party]] = {}
    for party in parties:
        votes.setdefault(party.vote, []).append(party)
    most = max(len(voters) for voters in votes.values())
    ahead = [voters for voters in votes.values() if len(voters) == most]
    counted = ", ".join(f"{len(voters)} for {_short(voters[0].value)}" for voters in votes.values())
    return (ahead[0][0].task if len(ahead) == 1 else ""), f"{counted}."


def _contradiction(parties: Sequence[_Party]) -> str:
    says = "; ".join(f"'{party.task}' ({party.agent}) says {_short(party.value)}" for party in parties)
    return f"They contradict each other: {says}."


def _short(value: Any) -> str:
    return json.dumps(brief(value), ensure_ascii=False)


# A judge


def _form(names: Sequence[str], *, last: bool) -> Any:
    """Return the type of a judge's word: one of the tasks, and a reason."""
    from pydantic import ConfigDict, create_model

    choices = (*names, *(() if last else (UNDECIDED,)))
    config = ConfigDict(extra="forbid")
    fields: Any = {"chosen": (Literal[choices], ...), "why": (str, ...)}
    return create_model("Ruling", __config__=config, **fields)


async def _judged(
    walk: Walk, job: Job, iteration: Iteration, judge: Agent, parties: Sequence[_Party], *, last: bool
) -> tuple[str, str]:
    """Let an agent choose among the results; it works from a message and is heard by its report alone."""
    output = Output(_form([party.task for party in parties], last=last), f"The judge of task '{job.name}'")
    task = job.task
    text = assignment_text(
        job.name,
        walk.values.fill(task.description) or CONTRADICT,
        walk.values.fill(task.expected_output),
        walk.values.told,
        walk.values.upstream(job),
        output.schema,
    )

    async def answering(received: Message) -> Message:
        async def do() -> tuple[Any, Label]:
            desk = replace(member_desk(walk, job, judge, iteration.path), output=output)
            return await work(desk, received.content, walk.values.fill), desk.history.label

        return await answered_by(judge.role, received, do, output.text)

    given = replace(assignment(judge.role, iteration.path, text, walk.path(job)), round=2)
    try:
        reply = await walk.bus.exchange(given, answering)
        if reply.kind != "report":
            raise raised(reply)
    except (LimitExceeded, Denied):
        raise
    except RunError as error:
        if last:
            raise
        return "", str(error)
    ruling = reply.data["output"]
    return ("" if ruling["chosen"] == UNDECIDED else ruling["chosen"]), ruling["why"]


# A person


async def _chosen(
    walk: Walk,
    job: Job,
    iteration: Iteration,
    rule: Ask,
    parties: Sequence[_Party],
    tried: Sequence[Data],
) -> tuple[str, str]:
    """Let a person choose: approved as it is, the first counts; `--edit chosen=…` takes another.

    Raises:
        Denied: They want none of them.
        Waiting: They have not decided.
    """
    names = [party.task for party in parties]
    form: Data = {
        "type": "object",
        "properties": {"chosen": {"type": "string", "enum": names}},
        "required": ["chosen"],
        "additionalProperties": False,
    }
    told = " ".join(f"{each['rule'].capitalize()}: {each['why']}" for each in tried)
    question = Question(
        f"{iteration.path}/resolved",
        "output",
        walk.values.fill(rule.question),
        walk.path(job),
        job.worker,
        {"output": {party.task: party.output for party in parties}, "arguments": {"chosen": names[0]}},
        {"parameters": form, "reason": f"{_contradiction(parties)} {told}".strip()},
        expires=EXPIRES if rule.expires is None else rule.expires,
    )
    decision = await ask(walk.run, question)
    if not decision.approved:
        raise Denied(f"A person wants none of them{': ' if decision.note else '.'}{decision.note}")
    chosen = str((decision.arguments or {}).get("chosen", names[0]))
    if chosen not in names:
        raise Denied(f"A person chose '{chosen}', which is none of {', '.join(names)}.")
    who = decision.by or "A person"
    return chosen, f"{who} chose '{chosen}'{': ' if decision.note else '.'}{decision.note}"
