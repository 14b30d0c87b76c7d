"""The tasks of a run, done by whichever worker the engine finds."""

from __future__ import annotations

import asyncio

from crewkit.coordinator.schedule import Outcome
from crewkit.crew.part import Here, Part, outcome_of
from crewkit.engine.port import Engine, Job
from crewkit.errors import JournalError, ReplayError
from crewkit.journal.run import Run

_REMIND = 30.0
"""Seconds after which a task that nothing was heard of is delivered again: it may have been lost on the way."""


class Elsewhere:
    """Does a task by letting the engine find a worker for it, and waiting for what that one records."""

    def __init__(self, engine: Engine) -> None:
        """Let this engine find the workers."""
        self._engine = engine
        self._leaving = False

    def leave(self) -> None:
        """From now on, let tasks go on that are no longer waited for: another worker will wait for them."""
        self._leaving = True

    async def __call__(self, run: Run, part: Part, here: Here) -> Outcome:
        """Return what became of a task. What is no work, a crew in a task or a wait, is walked here."""
        if part.kind not in ("agent", "function"):
            return await here()
        if run.held:
            return Outcome("waiting", why=run.held)
        await run.commit()  # whoever does it reads how far the run has come
        told = run.expect(part.path)
        job = Job(run.id, part.path, run.seen, part.definition)
        try:
            while not told.done():
                await self._engine.deliver(job)
                await asyncio.wait([told], timeout=_REMIND)
        except asyncio.CancelledError:
            await self._call_off(run, job)
            raise
        outcome = outcome_of(told.result())
        if isinstance(outcome.error, ReplayError):
            raise outcome.error
        return outcome

    async def _call_off(self, run: Run, job: Job) -> None:
        """Stop whoever does a task, unless the run is in other hands by now: then it is theirs."""
        if self._leaving:
            return
        try:
            await run.commit()
            await self._engine.cancel(job)
        except JournalError:
            return
