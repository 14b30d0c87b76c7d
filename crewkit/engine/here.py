"""The engine of one machine: the journal alone says what is to be done, and its leases who does it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime

from crewkit.core.clock import timestamp
from crewkit.engine.port import Do, Job, NotHere
from crewkit.errors import RunBusy
from crewkit.journal.base import Journal

LOOK = 0.5
"""Seconds between two looks for runs that can go on."""

_LATER = (2.0, 60.0)
"""Seconds until a job that cannot be done here is looked at again: at first, and at most."""


class Here:
    """Carries on whole runs in this process: those handed over to workers, and paused ones that are due.

    Several processes may do so: what one of them has taken, the others do not get.
    """

    def __init__(
        self, journal: Journal, *, queue: str, concurrency: int, told: Callable[[str], None]
    ) -> None:
        """Take runs from a journal.

        Args:
            journal: Where the runs are.
            queue: Whose runs are taken.
            concurrency: Runs at a time.
            told: Is told why a run cannot be carried on here, once for each reason.
        """
        self._journal = journal
        self._queue = queue
        self._free = asyncio.Semaphore(concurrency)
        self._told = told
        self._taken: dict[str, asyncio.Task[None]] = {}
        self._later: dict[str, tuple[float, float, str]] = {}
        """Runs that could not be carried on here: when to look again, how long that was, and why."""

    async def deliver(self, job: Job) -> None:
        """Do nothing: what is recorded is seen."""

    async def cancel(self, job: Job) -> None:
        """Do nothing: whoever carries a run on does its tasks."""

    async def serve(self, do: Do, lost: Do) -> None:
        """Look for runs that can go on, and let them, until cancelled. A dead process has lost its leases by itself."""
        while True:
            for run in await asyncio.to_thread(self._ready):
                if run in self._taken or self._is_for_later(run):
                    continue
                await self._free.acquire()
                self._taken[run] = asyncio.create_task(self._one(do, run), name=run)
            # Workers that were started together do not look together.
            await asyncio.sleep(LOOK * random.uniform(0.8, 1.2))  # noqa: S311

    async def close(self) -> None:
        """Release nothing: the journal belongs to the worker."""

    def _ready(self) -> list[str]:
        due = self._journal.due(timestamp(datetime.now(UTC)))
        return list(dict.fromkeys([*due, *self._journal.handed(self._queue)]))

    async def _one(self, do: Do, run: str) -> None:
        try:
            await do(Job(run))
            self._later.pop(run, None)
        except RunBusy:
            pass  # another worker was faster
        except NotHere as error:
            self._put_off(run, str(error))
        finally:
            del self._taken[run]
            self._free.release()

    def _put_off(self, run: str, why: str) -> None:
        _, pause, told = self._later.get(run, (0.0, _LATER[0] / 2, ""))
        pause = min(pause * 2, _LATER[1])
        self._later[run] = (asyncio.get_running_loop().time() + pause, pause, why)
        if why and why != told:
            self._told(why)

    def _is_for_later(self, run: str) -> bool:
        return run in self._later and self._later[run][0] > asyncio.get_running_loop().time()
