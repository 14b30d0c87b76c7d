"""What is given up, and what follows from it: a branch whose task failed, a run that failed or was cancelled so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from crewkit.coordinator.schedule import Outcome
from crewkit.core.label import UNKNOWN
from crewkit.core.text import sentence
from crewkit.execution.undo import TYPES, Effect, Undone, can_undo, effects, give_back
from crewkit.tools.tool import ToolContext

if TYPE_CHECKING:
    from crewkit.execution.walk import Walk

Data = dict[str, Any]

AT = "undo"
"""Where the undoing of a whole run stands."""


async def take_back(walk: Walk, path: str, outcome: Outcome) -> Outcome:
    """Undo what was done for a task or an item that failed, where the run goes on without it.

    Raises:
        Waiting: A person has to decide first.
    """
    undone = await _undo(walk, path, {"scope": "task", "why": outcome.why}, f"{path}/undo", path)
    return (
        outcome
        if undone is None
        else replace(outcome, why=f"{sentence(outcome.why)} {undone.said()}", over=True)
    )


async def undo_run(walk: Walk, status: str, why: str) -> Undone | None:
    """Undo what was done in a run that is given up; `None` where nothing of it can be undone.

    Raises:
        Waiting: A person has to decide first.
    """
    return await _undo(walk, "", {"scope": "run", "status": status, "why": why}, AT, "")


async def _undo(walk: Walk, under: str, told: Data, at: str, task: str) -> Undone | None:
    if not can_undo(walk.whole):
        return None
    found = await walk.run.events((*TYPES, "undo.finished"))
    # What a fork shares is not its own doing: it stands for the run that did it.
    history = [event for event in found if event.run == walk.run.id]
    # What was undone with a branch is not undone with the run once more.
    before = {
        path
        for e in history
        if e.type == "undo.finished" and e.path != at
        for path in e.data.get("undone", ())
    }
    done = [effect for effect in effects(history, under) if effect.path not in before]

    def context(effect: Effect, path: str) -> ToolContext:
        return walk.context(path, effect.task, effect.agent, UNKNOWN)

    return await give_back(walk.run, walk.whole, done, context, told, at=at, task=task)
