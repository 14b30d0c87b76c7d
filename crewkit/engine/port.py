"""What an engine does for us: it gets jobs to live workers. There are two, behind one small port."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Job:
    """Something that a worker does for a run."""

    run: str
    task: str = ""
    """A task's path; empty: the run itself, whose graph has to be walked."""
    since: int = 0
    """`seq` of the run when it was delivered: a task whose end was recorded after it is done."""
    definition: str = ""
    """Hash of the task as whoever walks the graph knows it."""

    @property
    def name(self) -> str:
        """The job as people and locks know it: `r-7f3k` or `r-7f3k/draft`."""
        return f"{self.run}/{self.task}" if self.task else self.run


class NotHere(Exception):
    """Raise this from a job that this worker cannot do, and another or a later one may. The text says why."""


Do = Callable[[Job], Awaitable[None]]


class Engine(Protocol):
    """Gets each job to a live worker, at least once; no two of a name are done at the same time.

    A worker that stops answering counts as dead, its job is delivered again, and it may wake up later: what it does
    then has to be refused by the leases of the journal.
    """

    async def deliver(self, job: Job) -> None:
        """Let some worker do this. Nothing happens where it waits for one already.

        Raises:
            JournalError: The engine could not be reached.
        """
        ...

    async def cancel(self, job: Job) -> None:
        """Do not do this, and let whoever does it stop; return when nobody does it any more, or after a while."""
        ...

    async def serve(self, do: Do, lost: Do) -> None:
        """Do the jobs that are delivered, those of a dead worker too, until cancelled; then take no more.

        Jobs in hand go on after that: whoever began them waits for them.

        Args:
            do: Does a job. One that raises `NotHere` is tried again later, here or elsewhere.
            lost: Called with a job whose worker counts as dead, before it is delivered again: what that worker
                had for it is to be taken from it.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
