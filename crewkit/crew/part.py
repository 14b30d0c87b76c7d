"""One task of a run, done by itself for whoever walks the run's graph in another process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crewkit.coordinator.schedule import Outcome
from crewkit.core.events import Event
from crewkit.errors import CrewkitError, Denied, JournalError, LimitExceeded, ReplayError, RunError, ToolError

if TYPE_CHECKING:
    from crewkit.crew.crew import Crew
    from crewkit.crew.options import Options
    from crewkit.crew.session import Session
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


async def do_part(crew: Crew, name: str, wanted: Part, since: int, options: Options) -> Outcome | None:
    """Do one task of a run under a lease of its own, and record what became of it.

    The graph is walked as far as the task, with the outcomes and the steps that are recorded; nothing else in it is
    begun, and nothing else is recorded.

    Args:
        crew: The run's crew.
        name: The run.
        wanted: The task; its kind does not matter.
        since: `seq` of the run when it was wanted. One that was left after that is not done.
        options: As for a run.

    Returns:
        What became of it; `None` where it had been done.

    Raises:
        RunBusy: Another process does it.
        OtherCrew: The task is defined otherwise here.
        ReplayError: The graph does not lead to the task.
    """
    from crewkit.crew.opened import Opened
    from crewkit.crew.run import reopened, set_out, watch

    async with Opened(options) as opened:
        lease = await opened.take(name, task=wanted.path)
        history: Sequence[Event] = await opened.call(lambda: list(opened.journal.events(name)))
        if any(e.type in ENDS and e.path == wanted.path and e.seq > since for e in history):
            return None
        turn = await reopened(crew, name, lease, history, opened, options)
        reached: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        session, walk, _ = set_out(turn, _only(wanted, reached), wanted.path)
        walking = asyncio.create_task(walk.through())
        watching = asyncio.create_task(watch(session, options))
        try:
            await asyncio.wait([walking, reached], return_when=asyncio.FIRST_COMPLETED)
            if reached.done():
                outcome = reached.result()
            else:
                await walking
                outcome = Outcome("stopped", why=session.cancelled, error=_unreached(name, wanted, session))
            watching.cancel()
            if session.telling:
                await session.telling.finish()
        except (OtherCrew, JournalError):
            raise
        except Exception as error:  # noqa: BLE001  it ends the run, not the worker
            outcome = Outcome("stopped", why=str(error), error=_broken(error))
        finally:
            if session.telling:
                await session.telling.stop()
            for task in (walking, watching):
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
        if outcome.status in ("waiting", "stopped"):
            _leave(turn.run, wanted.path, outcome)
        await turn.run.commit(durable=True)
        return outcome


def _only(wanted: Part, reached: asyncio.Future[Outcome]) -> Doing:
    """Do this task, walk through what it is in, and leave everything else alone."""

    async def doing(_run: Run, part: Part, here: Here) -> Outcome:
        if part.path == wanted.path:
            if part.definition != wanted.definition:
                raise OtherCrew(f"Task '{part.path}' is defined otherwise here than where its run is walked.")
            reached.set_result(await here())
        elif wanted.path.startswith((f"{part.path}/", f"{part.path}#", f"{part.path}[")):
            return await here()
        return await asyncio.get_running_loop().create_future()

    return doing


def _unreached(run: str, wanted: Part, session: Session) -> ReplayError | None:
    """Return what is wrong where the walk ended before the task; nothing is where the run was cancelled."""
    why = f"Run {run} does not lead to task '{wanted.path}' here: its crew changed, or depends on time or chance."
    return None if session.cancelled else ReplayError(why)


def _broken(error: Exception) -> ReplayError:
    return error if isinstance(error, ReplayError) else ReplayError(f"{type(error).__name__}: {error}")


def _leave(run: Run, path: str, outcome: Outcome) -> None:
    data: Data = {"status": outcome.status, "why": outcome.why}
    data |= {"approvals": list(outcome.approvals)} if outcome.approvals else {}
    data |= {"waits": list(outcome.waits)} if outcome.waits else {}
    data |= {"until": outcome.until} if outcome.until else {}
    if outcome.error is not None:
        data["error"] = {"type": type(outcome.error).__name__, "message": str(outcome.error)}
    if isinstance(outcome.error, LimitExceeded):
        data["error"] |= {"limit": outcome.error.limit, "level": outcome.error.level}
    run.record("task.left", path, data, task=path, once=False)


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
