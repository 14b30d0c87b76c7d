"""A task of a run as those know it who do it elsewhere, and what they say became of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crewkit.coordinator.schedule import Outcome
from crewkit.errors import CrewkitError, Denied, LimitExceeded, ReplayError, RunError, ToolError

if TYPE_CHECKING:
    from crewkit.journal.run import Run

Data = dict[str, Any]

Here = Callable[[], Awaitable[Outcome]]
"""Does a task in this process."""

ENDS = ("task.finished", "task.left")
"""What tells how whoever had a task left it."""


@dataclass(frozen=True, slots=True)
class Part:
    """A task of a run, as those who do it elsewhere know it."""

    path: str
    kind: str
    """agent, function, crew or wait."""
    definition: str
    """Hash of the task's definition."""


Doing = Callable[["Run", Part, Here], Awaitable[Outcome]]
"""How the tasks of a run are done: here, or elsewhere."""


class OtherCrew(ReplayError):
    """The task is defined otherwise here than where the run's graph is walked."""


def told(outcome: Outcome) -> Data:
    """Return what `task.left` says of an outcome; `outcome_of` reads it."""
    data: Data = {"status": outcome.status, "why": outcome.why}
    data |= {"approvals": list(outcome.approvals)} if outcome.approvals else {}
    data |= {"waits": list(outcome.waits)} if outcome.waits else {}
    data |= {"until": outcome.until} if outcome.until else {}
    if outcome.error is not None:
        data["error"] = {"type": type(outcome.error).__name__, "message": str(outcome.error)}
    if isinstance(outcome.error, LimitExceeded):
        data["error"] |= {"limit": outcome.error.limit, "level": outcome.error.level}
    return data


def outcome_of(data: Data) -> Outcome:
    """Return the outcome that `task.finished` or `task.left` tells."""
    error = _error(data["error"]) if "error" in data else None
    return Outcome(
        data["status"],
        data.get("output"),
        data.get("why", "") or (str(error) if error else ""),
        error,
        bool(data.get("passes")),
        tuple(data.get("approvals", ())),
        tuple(data.get("waits", ())),
        data.get("until", ""),
    )


def _error(told: Data) -> CrewkitError:
    if told["type"] == "LimitExceeded":
        return LimitExceeded(told["message"], limit=told.get("limit", ""), level=told.get("level", ""))
    kinds: dict[str, type[CrewkitError]] = {
        "Denied": Denied,
        "ToolError": ToolError,
        "ReplayError": ReplayError,
    }
    return kinds.get(told["type"], RunError)(told["message"])
