"""Places that hold across workers: who waits here asks the journal's database, one caller of each at a time."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeVar

from crewkit.errors import JournalError
from crewkit.journal.base import SharedJournal
from crewkit.journal.writer import Writer
from crewkit.resilience.throttle import Rate

T = TypeVar("T")

_PAUSES = (0.005, 0.1)
"""Seconds between two looks for a free place: at first, and at most."""

_KEEP = 1.0
"""Seconds between two looks at the connection over which places are held."""


class SharedPlaces:
    """The places of all workers on one database, by name. Whoever asks names the caps that count for it."""

    def __init__(self, journal: SharedJournal, writer: Writer) -> None:
        """Take places over the connection that appends: who loses his leases loses his places."""
        self._journal = journal
        self._writer = writer
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._freed: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._held = 0
        self._keeping: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def at(
        self, what: str, *, rate: Rate | None = None, concurrency: int | None = None
    ) -> AsyncGenerator[None]:
        """Wait for a place and for the rate; hold the place until left."""
        if rate is None and concurrency is None:
            yield
            return
        number = 0
        try:
            async with self._turns[what]:
                if concurrency is not None:
                    number = await self._place(what, concurrency)
                if rate is not None:
                    await self._turn(what, rate)
            yield
        finally:
            if number:
                self._leave(what, number)

    async def _place(self, what: str, count: int) -> int:
        pause, longest = _PAUSES
        while True:
            self._freed[what].clear()
            if number := await self._taken(what, count):
                self._held += 1
                if self._keeping is None or self._keeping.done():
                    self._keeping = asyncio.create_task(self._keep())
                return number
            with suppress(TimeoutError):
                # Not all workers look at the same moments, so none of them is always the first.
                await asyncio.wait_for(self._freed[what].wait(), pause * random.uniform(0.5, 1.5))  # noqa: S311
            pause = min(pause * 2, longest)

    async def _taken(self, what: str, count: int) -> int:
        """Take a place, if there is one; where nobody waits for the answer any more, leave it again."""
        asked = self._called(partial(self._journal.take_place, what, count))
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            asked.add_done_callback(lambda done: self._leave_unused(what, done))
            raise

    def _leave_unused(self, what: str, asked: asyncio.Future[int]) -> None:
        if not asked.cancelled() and asked.exception() is None and asked.result():
            self._held += 1
            self._leave(what, asked.result())

    def _leave(self, what: str, number: int) -> None:
        self._held -= 1
        with suppress(JournalError):  # the writer is closed, and the place with its connection
            self._writer.call(self._journal.leave_place, what, number)
        self._freed[what].set()

    async def _turn(self, what: str, rate: Rate) -> None:
        begin = partial(self._journal.begin_call, what, rate.calls, rate.seconds)
        seconds = await self._called(begin)
        while seconds:
            await asyncio.sleep(seconds + random.uniform(0, 0.01))  # noqa: S311
            seconds = await self._called(begin)

    async def _keep(self) -> None:
        """Notice a lost connection soon, so that the places held over it are not given to others."""
        while self._held:
            await asyncio.sleep(_KEEP)
            with suppress(JournalError):
                await self._called(self._journal.keep_places)

    def _called(self, what: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.wrap_future(self._writer.call(what))
