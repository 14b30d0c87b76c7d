"""A worker: takes jobs from an engine and does them, whatever crews they are of."""

from __future__ import annotations

import asyncio
import os
import socket
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from crewkit.core.clock import SystemClock, timestamp
from crewkit.crew.crew import Crew
from crewkit.crew.options import Options
from crewkit.crew.part import OtherCrew, Part
from crewkit.engine.elsewhere import Elsewhere
from crewkit.engine.places import SharedPlaces
from crewkit.engine.port import Engine, Job, NotHere
from crewkit.engine.watch import Watch
from crewkit.errors import CrewkitError, DefinitionError, InputError, JournalError, ReplayError, RunBusy
from crewkit.files.load import load
from crewkit.journal.base import Journal, SharedJournal
from crewkit.journal.read import beginning
from crewkit.journal.workers import WorkerState
from crewkit.journal.writer import Writer
from crewkit.resilience.places import OwnPlaces
from crewkit.runs.changes import compare
from crewkit.runs.part import do_part
from crewkit.runs.run import give_up, resume

Data = dict[str, Any]

GRACE = 30.0
"""Seconds in which a worker that is told to stop may finish what it has in hand."""

_LOOK = 0.5
"""Seconds between two looks for paused runs that can go on."""

_TELL = 2.0
"""Seconds between two times that a worker tells others of itself."""

_QUIET = timedelta(seconds=5)
"""A run that was handed over and that nobody has touched for this long is delivered, in case it was not yet."""


@dataclass(frozen=True)
class Said:
    """What a worker says of itself."""

    what: str
    """taken, done, called off, handed back, put off, gave up."""
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

    def __init__(
        self,
        journal: Journal,
        engine: Engine,
        *,
        queue: str,
        say: Callable[[Said], None],
        shared: SharedJournal | None = None,
        name: str = "",
        concurrency: int = 0,
    ) -> None:
        """Work on the runs of a journal.

        Args:
            journal: Where the runs are.
            engine: Brings the jobs.
            queue: Whose runs are carried on: a name, or the folder that they were begun in.
            say: Is told what is taken and what becomes of it.
            shared: The same journal, where several workers carry one run on: its tasks are delivered. Otherwise each
                run is carried on whole.
            name: How it is listed.
            concurrency: Jobs at a time, as it is listed.
        """
        self._name = name
        self._concurrency = concurrency
        self.health = Health()
        self._journal = journal
        self._engine = engine
        self._queue = queue
        self._say = say
        self._shared = shared
        self._options = Options(journal=journal, queue=queue, places=OwnPlaces(SystemClock()))
        self._elsewhere = Elsewhere(engine)
        if shared is not None:
            writer = Writer(journal)
            self._options = replace(
                self._options,
                watch=Watch(shared).watch,
                writer=writer,
                places=SharedPlaces(shared, writer),
            )
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
        serving = asyncio.create_task(self._engine.serve(self._do, self._take_away))
        finding = asyncio.create_task(self._find())
        telling = asyncio.create_task(self._tell_state())
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((serving, stopped), return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
        finally:
            for each in (stopped, finding, serving):
                each.cancel()
            await asyncio.gather(serving, finding, return_exceptions=True)
            await self._hand_back(grace)
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
            if self._options.writer is not None:
                await asyncio.to_thread(self._options.writer.close)

    async def _hand_back(self, grace: float) -> None:
        """Finish what is in hand, or leave it to others. Who only waits for tasks that others do leaves at once."""
        self._elsewhere.leave()
        walks = [task for task, job in self._hands.items() if self._shared is not None and not job.task]
        await self._leave(walks)
        if self._hands:
            await asyncio.wait(list(self._hands), timeout=grace)
        await self._leave(list(self._hands))

    async def _leave(self, tasks: list[asyncio.Task[Any]]) -> None:
        jobs = [self._hands[task] for task in tasks]
        for task, job in zip(tasks, jobs, strict=True):
            task.cancel()
            self._say(Said("handed back", job))
        await asyncio.gather(*tasks, return_exceptions=True)
        for job in jobs:
            await self._engine.deliver(job)

    # Jobs

    async def _do(self, job: Job) -> None:
        task = asyncio.current_task()
        assert task is not None
        begun = await asyncio.to_thread(self._beginning, job)
        if begun is None:
            return
        crew = self._crew(begun)
        started = time.monotonic()
        self._hands[task] = job
        self._say(Said("taken", job, crew.name))
        try:
            work = self._do_task if job.task else self._do_run
            status, why = await work(job, crew, begun)
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                self._say(Said("called off", job, crew.name))
            raise
        finally:
            del self._hands[task]
        self.health.done += 1
        self._say(Said("done", job, crew.name, status, why, time.monotonic() - started))

    async def _do_task(self, job: Job, crew: Crew, begun: Data) -> tuple[str, str]:
        options = replace(self._options, target=str(begun["target"]))
        try:
            outcome = await do_part(crew, job.run, Part(job.task, "", job.definition), job.since, options)
        except (RunBusy, OtherCrew) as error:
            raise NotHere("" if isinstance(error, RunBusy) else str(error)) from error
        except JournalError as error:
            raise NotHere(str(error)) from error  # it was taken from us, or the database is away
        return (outcome.status, outcome.why) if outcome else ("completed", "It had been done.")

    async def _do_run(self, job: Job, crew: Crew, begun: Data) -> tuple[str, str]:
        doing = self._elsewhere if self._shared is not None else None
        options = replace(self._options, target=str(begun["target"]), doing=doing)
        try:
            result = await resume(crew, job.run, options)
        except RunBusy as error:
            raise NotHere("") from error
        except JournalError as error:
            raise NotHere(str(error)) from error
        except CrewkitError as error:
            if isinstance(error, ReplayError) and compare(begun["definitions"], crew.plan.definitions):
                raise NotHere(f"{error} Another worker may have it as it was.") from error
            await self._give_up(job, crew, str(error), options)
            return "paused", str(error)
        except Exception as error:
            why = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
            await self._give_up(job, crew, why, options)
            raise NotHere("") from error
        return result.status, result.why

    async def _give_up(self, job: Job, crew: Crew, why: str, options: Options) -> None:
        """Leave a run that cannot be carried on to a person."""
        self.health.gave_up += 1
        self._say(Said("gave up", job, crew.name, why=why))
        await give_up(job.run, why.splitlines()[0], options)

    async def _take_away(self, job: Job) -> None:
        """Take from a worker that stopped answering what it has for a job."""
        if self._shared is not None:
            await asyncio.to_thread(self._shared.expel, job.run, job.task)

    # What there is to do

    async def _find(self) -> None:
        """Deliver paused runs that can go on, and runs that were handed over and not delivered."""
        while self._shared is not None:
            try:
                for run in await asyncio.to_thread(self._ready):
                    await self._engine.deliver(Job(run))
            except JournalError:
                pass  # looked for again
            await asyncio.sleep(_LOOK)

    async def _tell_state(self) -> None:
        """Tell others of this worker, again and again."""
        if (shared := self._shared) is None:
            return
        host, pid = socket.gethostname(), os.getpid()
        try:
            while True:
                health = self.health
                counts = (self._concurrency, len(self._hands), health.done, health.gave_up)
                state = WorkerState(self._name, self._queue, host, pid, *counts)
                with suppress(JournalError):  # told again
                    await asyncio.to_thread(shared.tell_state, state)
                await asyncio.sleep(_TELL)
        finally:
            with suppress(JournalError):
                await asyncio.to_thread(shared.leave_workers, self._name)

    def _ready(self) -> list[str]:
        now = datetime.now(UTC)
        ready = [run for run in self._journal.due(timestamp(now)) if self._is_ours(run)]
        quiet = timestamp(now - _QUIET)
        for run in self._journal.handed(self._queue):
            if self._journal.info(run).updated < quiet:
                ready.append(run)
        return ready

    def _is_ours(self, run: str) -> bool:
        try:
            self._known(run)
        except NotHere:
            return False
        return True

    def _beginning(self, job: Job) -> Data | None:
        """Return how the run of a job began; nothing where there is nothing to do for it any more."""
        begun = self._known(job.run)
        info = self._journal.info(job.run)
        if job.task:
            return begun if info.status == "running" else None
        if info.alive:
            raise NotHere("")
        due = info.status == "paused" and "" < info.wake <= timestamp(datetime.now(UTC))
        return begun if due or (info.status == "running" and info.queue) else None

    def _known(self, run: str) -> Data:
        """Return how a run began, where it is one of ours."""
        events = list(self._journal.events(run, types=("run.started", "run.forked", "run.resumed")))
        begun = beginning(events)
        queue = (events[-1].data.get("queue") if events else "") or begun.get("cwd")
        if not begun.get("target") or queue != self._queue:
            raise NotHere("")
        return begun

    def _crew(self, begun: Data) -> Crew:
        """Return the crew of a run, loaded once."""
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
