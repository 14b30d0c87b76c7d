"""One task of a run, done by itself for whoever walks the run's graph in another process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from crewkit.coordinator.schedule import Outcome
from crewkit.core.events import Event
from crewkit.crew.part import ENDS, Doing, Here, OtherCrew, Part, told
from crewkit.errors import JournalError, ReplayError
from crewkit.runs.opened import Opened
from crewkit.runs.run import reopened, set_out, watch

if TYPE_CHECKING:
    from crewkit.crew.crew import Crew
    from crewkit.crew.options import Options
    from crewkit.execution.session import Session
    from crewkit.journal.run import Run


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
            turn.run.record("task.left", wanted.path, told(outcome), task=wanted.path, once=False)
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
