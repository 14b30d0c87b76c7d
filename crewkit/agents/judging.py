"""Whether an agent's answer stands: its form, what it had to do for it, its guardrails, a person."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from crewkit.agents.desk import Desk
from crewkit.agents.output import WrongAnswer
from crewkit.agents.receipts import wants_receipts
from crewkit.core.text import sentence
from crewkit.core.verdict import Ask
from crewkit.errors import Denied
from crewkit.journal.ask import Decision, Question, ask, seconds
from crewkit.models.base import Answer
from crewkit.tools.guard import guard


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of looking at an answer."""

    problem: str = ""
    """What is wrong with it, for the agent; empty where it stands."""
    output: Any = None
    """The answer as JSON data; `None` where it is not of the type that was asked for."""
    idle: bool = False
    """It was given without doing what had to be done for it."""


async def judge_answer(desk: Desk, answer: Answer) -> Judged:
    """Say whether an answer stands.

    Raises:
        Denied: A guardrail refused it for good.
        Waiting: A person has to decide first.
    """
    if answer.tool_calls:
        return Judged("You called a tool where only an answer was left to give.")
    if answer.finish_reason == "length":
        return Judged("Your answer was cut off at its maximum length. Answer again, shorter.")
    missing = [name for name in desk.requires if name not in desk.made.values()]
    if missing:
        tools = " and ".join(missing)
        return Judged(
            f"You answered without calling {tools}. Call it, and build your answer on what it returns.",
            idle=True,
        )
    try:
        receipts = desk.made if wants_receipts(desk.output.schema) else None
        value = desk.output.parse(answer.content, receipts)
    except WrongAnswer as wrong:
        return Judged(str(wrong))
    data = desk.output.dump(value)
    problem = await _past_guardrails(desk, value, data)
    if not problem and desk.review:
        decision = await _review(desk, data, Ask(desk.review), desk.history.path)
        if not decision.approved:
            problem = f"A person read your answer and wants it changed: {decision.note or 'no reason given'}"
    return Judged(problem, data)


async def _past_guardrails(desk: Desk, value: Any, data: Any) -> str:
    """Return what a guardrail wants changed; empty for nothing."""
    context = desk.gateway.context(desk.history.path, desk.history.label)
    seen = await guard(desk.run, desk.guardrails, "output", value, context, partial(_asked, desk, data))
    if seen.final:
        raise Denied(f"The guardrail '{seen.by}' refused the answer of {desk.agent.role}: {seen.objection}")
    return (
        f"Your answer was not accepted: {sentence(seen.objection)} Answer again, whole."
        if seen.objection
        else ""
    )


async def _asked(desk: Desk, data: Any, wish: Ask, path: str) -> str:
    decision = await _review(desk, data, wish, path)
    return "" if decision.approved else f"A person did not accept it: {decision.note}"


async def _review(desk: Desk, data: Any, wish: Ask, path: str) -> Decision:
    task, role, about = desk.task, desk.agent.role, {"output": data}
    question = Question(path, "output", wish.question, task, role, about, expires=seconds(wish))
    return await ask(desk.run, question)
