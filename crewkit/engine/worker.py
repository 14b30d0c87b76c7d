"""A worker: takes jobs from an engine and does them, whatever crews they are of."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crewkit.crew.changes import compare
from crewkit.crew.crew import Crew
from crewkit.crew.load import load
from crewkit.crew.options import Options
from crewkit.crew.run import give_up, resume
from crewkit.engine.port import Engine, Job, NotHere
from crewkit.errors import CrewkitError, DefinitionError, InputError, JournalError, ReplayError, RunBusy
from crewkit.journal.base import Journal
from crewkit.journal.read import beginning

Data = dict[str, Any]

GRACE = 30.0
"""Seconds in which a worker that is told to stop may finish what it has in hand."""


@dataclass(frozen=True)
class Said:
    """What a worker says of itself."""

    what: str
    """taken, done, handed back, put off, gave up."""
    job: Job = field(default_factory=lambda: Job(""))
    crew: str = ""
    status: str = ""
    why: str = ""
    seconds: float = 0.0


@dataclass
class Health:
    """What a worker has done so far."""

    since: float = field(default_factory=time.monotonic)
    done: int = 0
    gave_up: int = 0

    def to_data(self, in_hand: int) -> Data:
        """Return it as JSON data."""
        up = round(time.monotonic() - self.since, 1)
        return {"in_hand": in_hand, "done": self.done, "gave_up": self.gave_up, "seconds": up}


class Worker:
    """Does jobs in this process's event loop until it is told to stop."""

    def __init__(self, journal: Journal, engine: Engine, *, queue: str, say: Callable[[Said], None]) -> None:
        """Work on the runs of a journal.

        Args:
            journal: Where the runs are.
            engine: Brings the jobs.
            queue: Whose runs are carried on: a name, or the folder that they were begun in.
            say: Is told what is taken and what becomes of it.
        """
        self.health = Health()
        self._journal = journal
        self._engine = engine
        self._queue = queue
        self._say = say
        self._crews: dict[str, Crew] = {}
        self._hands: dict[asyncio.Task[Any], Job] = {}
        self._stopping = asyncio.Event()

    @property
    def in_hand(self) -> list[Job]:
        """What it is working on."""
        return list(self._hands.values())

    def stop(self) -> None:
        """Take no more; `work` returns when what is in hand is finished or handed back."""
        self._stopping.set()

    async def work(self, grace: float = GRACE) -> None:
        """Take jobs and do them until told to stop.

        Args:
            grace: Seconds that what is in hand then has to finish; what has not is left to others, who go on from
                where its journal stands.
        """
        serving = asyncio.create_task(self._engine.serve(self._do))
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((serving, stopped), return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
        finally:
            stopped.cancel()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await self._hand_back(grace)

    async def _hand_back(self, grace: float) -> None:
        if self._hands:
            await asyncio.wait(list(self._hands), timeout=grace)
        for task, job in list(self._hands.items()):
            task.cancel()
            self._say(Said("handed back", job))
        await asyncio.gather(*self._hands, return_exceptions=True)

    async def _do(self, job: Job) -> None:
        task = asyncio.current_task()
        assert task is not None
        begun = await asyncio.to_thread(self._beginning, job.run)
        crew = self._crew(begun)
        started = time.monotonic()
        self._hands[task] = job
        self._say(Said("taken", job, crew.name))
        try:
            status, why = await self._carry_on(job, crew, begun)
        finally:
            del self._hands[task]
        self.health.done += 1
        self._say(Said("done", job, crew.name, status, why, time.monotonic() - started))

    async def _carry_on(self, job: Job, crew: Crew, begun: Data) -> tuple[str, str]:
        options = Options(journal=self._journal, queue=self._queue, target=str(begun["target"]))
        try:
            result = await resume(crew, job.run, options)
        except (RunBusy, JournalError) as error:
            raise error if isinstance(error, RunBusy) else NotHere(str(error)) from error
        except CrewkitError as error:
            if isinstance(error, ReplayError) and _changed(crew, begun):
                raise NotHere(f"{error} Another worker may have it as it was.") from error
            await self._give_up(job, crew, str(error))
            return "paused", str(error)
        except Exception as error:
            await self._give_up(job, crew, f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
            raise NotHere("") from error
        return result.status, result.why

    async def _give_up(self, job: Job, crew: Crew, why: str) -> None:
        """Leave a run that cannot be carried on to a person."""
        self.health.gave_up += 1
        self._say(Said("gave up", job, crew.name, why=why))
        await give_up(job.run, why.splitlines()[0], Options(journal=self._journal))

    # What a run is of

    def _beginning(self, run: str) -> Data:
        """Return how a run began, where it is one of ours."""
        events = list(self._journal.events(run, types=("run.started", "run.forked", "run.resumed")))
        begun = beginning(events)
        queue = (events[-1].data.get("queue") if events else "") or begun.get("cwd")
        if not begun.get("target") or queue != self._queue:
            raise NotHere("")
        return begun

    def _crew(self, begun: Data) -> Crew:
        """Return the crew of a run, loaded once; where it was changed since, again."""
        target = str(begun["target"])
        crew = self._crews.get(target)
        if crew is None:
            try:
                crew = self._crews[target] = load(target, Path.cwd())
            except (DefinitionError, InputError) as error:
                raise NotHere(f"{target}, which '{begun['crew']}' was begun with: {error}") from error
        if crew.name != begun["crew"]:
            raise NotHere(f"{target} is the crew '{crew.name}' here, not '{begun['crew']}'.")
        return crew


def _changed(crew: Crew, begun: Data) -> bool:
    return bool(compare(begun["definitions"], crew.plan.definitions))
