"""What others append to the runs in this process's hands: one question to the journal for all of them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from crewkit.errors import JournalError
from crewkit.journal.base import SharedJournal
from crewkit.journal.run import Run

SOON = 0.1
"""Seconds between two looks at a run whose tasks others do."""

_LATER = 5
"""Looks after which one is taken at the others too: decisions and signals may take half a second."""

_ANYWAY = 50
"""Looks after which one is taken whatever the last `seq` is: a crash of the server may have set it back meanwhile."""


class Watch:
    """Looks for news of all runs that are open here."""

    def __init__(self, journal: SharedJournal, seconds: float = SOON) -> None:
        """Watch the runs of a journal, every so many seconds."""
        self._journal = journal
        self._seconds = seconds
        self._runs: dict[Run, int] = {}
        """What is watched, and the last `seq` of the run when it was looked at."""
        self._nudge = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    async def watch(self, run: Run) -> None:
        """Let a run look whenever there is something new, until cancelled."""
        self._runs[run] = run.seen
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            del self._runs[run]

    def nudge(self) -> None:
        """Look now: something was appended by this process."""
        self._nudge.set()

    async def _look(self) -> None:
        tick = 0
        while self._runs:
            self._nudge.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._nudge.wait(), self._seconds)
            tick += 1
            runs = [run for run in self._runs if run.expects or tick % _LATER == 0]
            if runs:
                with suppress(JournalError):  # looked for again
                    await self._tell(runs, anyway=tick % _ANYWAY == 0)

    async def _tell(self, runs: list[Run], *, anyway: bool) -> None:
        lasts = await asyncio.to_thread(self._journal.lasts, list({run.id for run in runs}))
        for run in runs:
            last = lasts.get(run.id, 0)
            if run in self._runs and (anyway or last != self._runs[run]):
                self._runs[run] = last
                await run.look()
