"""What stands around a task's function where it is a tool: kept results, its circuit, attempts, its guardrails."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from crewkit.core.guardrails import as_guardrails
from crewkit.core.label import Label
from crewkit.core.messages import fingerprint
from crewkit.core.verdict import Ask
from crewkit.crew.compile import Job
from crewkit.errors import Denied, ToolError
from crewkit.execution.guarded import guardrails_of
from crewkit.journal.ask import Question, ask, seconds
from crewkit.journal.waiting import LostOutcome
from crewkit.resilience.breaker import CircuitOpen
from crewkit.tools.guard import guard
from crewkit.tools.services import Answer, Failing, Services
from crewkit.tools.tool import Tool, ToolContext

if TYPE_CHECKING:
    from crewkit.core.guardrails import Point
    from crewkit.execution.walk import Walk

Data = dict[str, Any]


async def with_care(
    services: Services,
    tool: Tool,
    arguments: Data,
    at: str,
    label: Label,
    make: Callable[[], Awaitable[Data]],
    told: Callable[[int, float, BaseException], None],
) -> tuple[Data, Label]:
    """Make a tool's call as the tool says, or answer from what is kept.

    Args:
        services: What the calls of the run share.
        tool: What is called.
        arguments: What its function is given.
        at: The step's path.
        label: Of what goes into the call and of the tool.
        make: Makes one attempt; returns what `tool.finished` says.
        told: Called before each pause, as `Services.call` does.

    Returns:
        What `tool.finished` says, and the label of the output.

    Raises:
        ToolError: It failed, or was not called.
        LostOutcome: It may have happened.
    """
    contexts = [value for value in arguments.values() if isinstance(value, ToolContext)]
    key = _key(services, tool, arguments, contexts)
    fresh = _kept(services, key, label, tool.cache_ttl)
    if fresh is not None:
        return fresh
    try:
        ended = await _made(services, tool, make, told)
    except ToolError:
        stale = _kept(services, key, label, None) if tool.stale_on_failure else None
        if stale is None:
            raise
        return stale
    for context in contexts:
        label = label | context.memory.label
    if key and ended["outcome"] == "ok":
        services.keep(key, Answer(at, json.dumps(ended["output"]), label))
        ended = {**ended, "keeps": key}
    return ended, label


async def _made(
    services: Services,
    tool: Tool,
    make: Callable[[], Awaitable[Data]],
    told: Callable[[int, float, BaseException], None],
) -> Data:
    async def attempt() -> Data:
        try:
            return await make()
        except (ToolError, LostOutcome) as error:
            cause = error.__cause__ or error
            if not tool.may_pass(cause):
                raise
            after = cause.retry_after if isinstance(cause, ToolError) else None
            raise Failing(str(error), error, retry_after=after) from error

    try:
        return await services.call(tool, attempt, told)
    except Failing as failing:
        raise failing.outcome from failing.outcome.__cause__
    except CircuitOpen as no:
        raise ToolError(f"'{tool.name}' was not called: {no}.") from no


def _key(services: Services, tool: Tool, arguments: Data, contexts: list[ToolContext]) -> str:
    """Return under which key a result is kept; not that of an agent's calls, which are shown text."""
    if not tool.cache_ttl:
        return ""
    whose = [context.task for context in contexts]
    return fingerprint("output", services.key(replace(tool, context=""), plain(arguments), None), *whose)


def _kept(services: Services, key: str, label: Label, ttl: float | None) -> tuple[Data, Label] | None:
    held = services.kept(key, ttl)
    if held is None:
        return None
    kept, age = held
    cached = {"path": kept.path, "age": round(age, 3), "stale": ttl is None}
    return {"outcome": "ok", "output": json.loads(kept.text), "cached": cached}, label | kept.label


def plain(arguments: Data) -> Data:
    """Return what a function is given as JSON data, without the context."""
    from pydantic_core import to_jsonable_python

    given = {name: value for name, value in arguments.items() if not isinstance(value, ToolContext)}
    return to_jsonable_python(given, fallback=str)


async def guard_tool(
    walk: Walk, job: Job, tool: Tool, point: Point, value: Any, at: str, label: Label
) -> None:
    """Put the arguments of a tool that does a task, or its result, before the guardrails over it.

    Raises:
        Denied: One objects.
        Waiting: A person has to decide first.
    """
    over = guardrails_of(walk, job, None) + as_guardrails(tool.guardrails, tool.name)
    if not over.at(point):
        return
    task = walk.path(job)
    about: Data = {"tool": tool.name, "output": value}
    context = replace(walk.context(at, task, job.worker, label), tool=tool.name)
    asked = partial(_asked, walk, task, job.worker, about)
    seen = await guard(walk.run, over.at(point), point, value, context, asked)
    if seen.objection:
        what = "was not called" if point == "arguments" else "was called, and its result is not used"
        raise Denied(f"'{tool.name}' {what}. {seen.by}: {seen.objection}")


async def _asked(walk: Walk, task: str, agent: str, about: Data, wish: Ask, path: str) -> str:
    question = Question(path, "output", wish.question, task, agent, about, expires=seconds(wish))
    decision = await ask(walk.run, question)
    return "" if decision.approved else f"A person said no. {decision.note}".strip()
