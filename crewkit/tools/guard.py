"""Putting something before its guardrails: each is asked once per run, and what it said is recorded."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

from crewkit.core.guardrails import Guardrail, Point
from crewkit.core.verdict import Allow, Ask, Deny, Revise, Verdict
from crewkit.journal.run import Run
from crewkit.tools.call import invoke
from crewkit.tools.tool import ToolContext

Data = dict[str, Any]

Asked = Callable[[Ask, str], Awaitable[str]]
"""Puts a question to a person; given it and the path of the guardrail that has it. Returns their objection."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the guardrails said of something."""

    objection: str = ""
    """Of the first that has one."""
    by: str = ""
    """Its name."""
    final: bool = False
    """It does not want it done better, but not used."""
    note: str = ""
    """Where nothing speaks against it: what is to be known of it all the same."""


async def guard(
    run: Run, guardrails: Sequence[Guardrail], point: Point, value: object, context: ToolContext, asked: Asked
) -> Seen:
    """Put something before its guardrails, one after the other, each once per run.

    Args:
        run: The run.
        guardrails: In the order in which they are asked.
        point: Where they stand.
        value: What they look at. Each gets a copy of its own.
        context: Of the step that is guarded.
        asked: Puts a guardrail's question to a person.

    Raises:
        Waiting: A person has to decide first.
    """
    notes: list[str] = []
    for i, guardrail in enumerate(guardrails):
        path = f"{context.path}/guardrail:{point}:{i}"
        look = partial(_look, guardrail, point, value, context)
        said = await run.verdict(path, look, task=context.task, agent=context.agent)
        why, by = said["why"], said["guardrail"]
        match said["verdict"]:
            case "allow":
                notes.append(why)
            case "ask":
                if objection := await asked(Ask(why, said.get("expires")), path):
                    return Seen(objection, by)
            case "revise":
                return Seen(why or "no reason given", by)
            case _:
                return Seen(why or "no reason given", by, final=True)
    return Seen(note=" ".join(filter(None, notes)))


async def _look(guardrail: Guardrail, point: Point, value: object, context: ToolContext) -> Data:
    """Return a guardrail's verdict as the journal keeps it."""
    verdict = await judge(guardrail, value, context)
    why = verdict.question if isinstance(verdict, Ask) else _reason(verdict)
    expires = verdict.expires if isinstance(verdict, Ask) else None
    return {
        "guardrail": name_of(guardrail),
        "on": point,
        "verdict": type(verdict).__name__.lower(),
        "why": why,
        **({} if expires is None else {"expires": expires}),
    }


def _reason(verdict: Allow | Revise | Deny) -> str:
    return verdict.note if isinstance(verdict, Allow) else verdict.reason


def name_of(guardrail: Guardrail) -> str:
    """Return a guardrail's name, for people."""
    return str(getattr(guardrail, "__name__", type(guardrail).__name__))


async def judge(guardrail: Guardrail, value: object, context: ToolContext) -> Verdict:
    """Return a guardrail's verdict; one that breaks denies."""
    try:
        said = await invoke(partial(guardrail, deepcopy(value)), _filled(guardrail, context))
    except Exception as error:  # noqa: BLE001  the guardrail's own code
        return Deny(f"it failed with {type(error).__name__}: {error}")
    if said is None:
        return Allow()
    if isinstance(said, Allow | Revise | Deny | Ask):
        return said
    if isinstance(said, str):
        return Revise(said)
    return Deny(f"it returned {said!r}, which is no verdict: return None, a sentence or a verdict")


def _filled(guardrail: Guardrail, context: ToolContext) -> Data:
    """Return what fills a guardrail's parameters after the first: inputs by name, and the context."""
    try:
        parameters = list(inspect.signature(guardrail, eval_str=True).parameters.values())[1:]
    except (TypeError, ValueError, NameError):
        return {}
    filled: Data = {}
    for parameter in parameters:
        if parameter.annotation is ToolContext:
            filled[parameter.name] = context
        elif parameter.name in context.inputs:
            filled[parameter.name] = context.inputs[parameter.name]
    return filled
