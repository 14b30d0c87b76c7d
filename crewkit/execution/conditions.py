"""Conditions of tasks, asked: whether one is to be done, whether its output is good enough."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from crewkit.coordinator.condition import Condition, Undecided
from crewkit.coordinator.schedule import Outcome
from crewkit.core.verdict import Allow, Ask, Deny, Revise
from crewkit.crew.check import Check
from crewkit.crew.facts import Facts
from crewkit.crew.iteration import ITEM, META, OUTPUT
from crewkit.errors import RunError
from crewkit.tools.call import invoke

if TYPE_CHECKING:
    from crewkit.crew.compile import Job
    from crewkit.execution.walk import Walk

Data = dict[str, Any]

_LONGEST_VALUE = 200
"""Characters of a value that is told with a condition."""


async def decide(walk: Walk, job: Job, check: Check, at: str) -> Data:
    """Ask whether a task is to be done; return the verdict as the journal keeps it.

    Raises:
        RunError: It cannot be said; the message names the condition and what it looked at.
    """
    match await _asked(walk, job, check, at):
        case Allow():
            return _told(walk, job, check, "allow", "")
        case Deny(why) | Revise(why):
            said = (
                why if check.condition else f"{check.says} said: {why}" if why else f"{check.says} said no."
            )
            return _told(walk, job, check, "deny", f"Its condition {said}")
        case said:
            raise RunError(
                f"Its condition {check.says} returned {said!r:.80}: return True, False, or a sentence why not."
            )


async def inspect(walk: Walk, job: Job, check: Check, at: str, output: Any) -> Data:
    """Ask whether an output is good enough for a loop to end; return the verdict as the journal keeps it.

    Raises:
        RunError: It cannot be said; the message names the check and what it looked at.
    """
    match await _asked(walk, job, check, at, output):
        case None | Allow():
            return _told(walk, job, check, "allow", "", output)
        case Revise(why):
            return _told(walk, job, check, "revise", why or f"{check.says} said no.", output)
        case Deny(why):
            return _told(walk, job, check, "deny", why, output)
        case Ask(question):
            return _told(walk, job, check, "ask", question, output)
        case said:
            raise RunError(
                f"Its check {check.says} returned {said!r:.80}: return None, a sentence about what is wrong, or a "
                "verdict."
            )


async def _asked(walk: Walk, job: Job, check: Check, at: str, output: Any = None) -> Any:
    """Return what a condition says: of True, False and sentences, the verdict that they mean."""
    if check.condition is not None:
        values = _values(walk, job, check, output)
        try:
            holds = check.condition.holds(values)
        except Undecided as error:
            raise RunError(f"Its condition `{check.says}` cannot be decided: {error}.") from error
        return Allow() if holds else Revise(_failing(check.condition, values))
    assert check.function is not None
    function = check.function
    if OUTPUT in check.sources.values():
        function = partial(function, job.output.load(output))
    arguments = {
        name: walk.argument(job, source, at) for name, source in check.sources.items() if source != OUTPUT
    }
    try:
        said = await invoke(function, arguments)
    except Exception as error:
        raise RunError(f"Its condition {check.says} failed with {type(error).__name__}: {error}") from error
    if isinstance(said, bool):
        return Allow() if said else Revise("")
    return Revise(said) if isinstance(said, str) and said.strip() else said


def _values(walk: Walk, job: Job, check: Check, output: Any) -> Data:
    """Return the values of the names in a condition."""
    given: Data = {OUTPUT: output, ITEM: job.item.data if job.item else None}
    if META in check.sources.values():
        given[META] = facts(walk, job)
    return {name: given[s] if s in given else walk.values.data(s) for name, s in check.sources.items()}


def _failing(condition: Condition, values: Data) -> str:
    seen = {name: brief(value) for name, value in condition.seen(values).items()}
    said = ", ".join(f"{name} is {json.dumps(value, ensure_ascii=False)}" for name, value in seen.items())
    return f"`{condition.text.strip()}` does not hold{': ' if said else ''}{said}."


def _told(walk: Walk, job: Job, check: Check, verdict: str, why: str, output: Any = None) -> Data:
    """Return a verdict as the journal keeps it."""
    data: Data = {"condition": check.says, "verdict": verdict, "why": why}
    if check.condition is not None:
        seen = check.condition.seen(_values(walk, job, check, output))
        data["values"] = {name: brief(value) for name, value in seen.items()}
    return data


def brief(value: Any) -> Any:
    """Return JSON data as it is told with a condition: cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return value if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def facts(walk: Walk, job: Job) -> dict[str, Facts | None]:
    """Return `meta` for a task: what the journal has of those that it needs."""
    return {need.replace("-", "_"): _of(walk, need) for need in job.needs}


def _of(walk: Walk, name: str) -> Facts | None:
    outcome, ended = walk.values.ended(name)
    if outcome.status != "completed":
        return None
    usage: dict[str, Any] = ended.get("usage") or {}
    return {
        "model": ended.get("model"),
        "route": ended.get("route"),
        "seconds": ended.get("seconds", 0.0),
        "tokens": usage.get("tokens", 0),
        "usd": usage.get("usd") if usage else 0.0,
        "steps": usage.get("steps", 0),
        "confidence": _confidence(outcome),
    }


def _confidence(outcome: Outcome) -> float | None:
    given: object = outcome.output
    said: Any = cast("Mapping[str, Any]", given).get("confidence") if isinstance(given, dict) else None
    return float(said) if type(said) in (int, float) else None
