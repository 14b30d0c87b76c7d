"""What is known of finished tasks besides their outputs, for conditions: `meta.draft.usd < 0.01`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import TypedDict

from crewkit.coordinator.schedule import Outcome

if TYPE_CHECKING:
    from crewkit.crew.compile import Job
    from crewkit.execution.walk import Walk


class Facts(TypedDict):
    """What is known of a finished task besides its output: `meta.draft.usd` in a condition."""

    model: str | None
    """That gave its last answer; `None` where no model did."""
    route: str | None
    """Of the model table, that gave it."""
    seconds: float
    """From its beginning to its end, in the process that ended it."""
    tokens: int
    usd: float | None
    """`None`: the price is unknown."""
    steps: int
    """Model turns."""
    confidence: float | None
    """The output's own field of this name, where it is a number."""


def facts_type(needs: Iterable[str]) -> Any:
    """Return the type of `meta` for a task with these needs; one that did not complete is `None`."""
    make: Any = TypedDict
    return make("meta", {need.replace("-", "_"): Facts | None for need in needs})


def facts(walk: Walk, job: Job) -> dict[str, Facts | None]:
    """Return `meta` for a task: what the journal has of those that it needs."""
    return {need.replace("-", "_"): _of(walk, need) for need in job.needs}


def _of(walk: Walk, name: str) -> Facts | None:
    outcome, ended = walk.ended(name)
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
