"""Does one thing for each of many items, so many at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from crewkit.coordinator.schedule import Outcome


class Pool:
    """One walk through a list. `outcomes` fills while it goes on, by the item's position."""

    def __init__(
        self, items: range, do: Callable[[int], Awaitable[Outcome]], *, concurrency: int, may_fail: int
    ) -> None:
        """Begin with nothing done.

        Args:
            items: The positions.
            do: Does one item.
            concurrency: Items under way at once, at most. One that waits for a person makes room for another.
            may_fail: With more failures than this nothing more is begun: the whole is lost.
        """
        self.outcomes: dict[int, Outcome] = {}
        self.halted = ""
        """Why nothing more was begun, where that came from outside."""
        self.failed = 0
        self._next = iter(items)
        self._again: deque[int] = deque()
        self._do = do
        self._concurrency = concurrency
        self._may_fail = may_fail
        self._running: dict[int, asyncio.Task[None]] = {}
        self._done: deque[tuple[int, Outcome | BaseException]] = deque()
        self._news = asyncio.Event()

    async def run(self) -> Mapping[int, Outcome]:
        """Run until nothing more can go on; what was not begun has no outcome.

        An exception of `do` is a mistake in the engine or a broken journal: everything running is cancelled and it
        is raised as itself.
        """
        try:
            self._fill()
            while self._running:
                await self._news.wait()
                self._news.clear()
                while self._done:
                    self._settle(*self._done.popleft())
                self._fill()
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)
            self._running.clear()
        return self.outcomes

    def halt(self, why: str) -> None:
        """Start nothing more, and cancel what is running."""
        self.halted = why
        for task in self._running.values():
            task.cancel()

    def drain(self, why: str) -> None:
        """Start nothing more; what is running goes on to its end."""
        self.halted = self.halted or why

    def wake(self) -> None:
        """Enter the waiting items again: somebody decided something."""
        if not self.halted and self._running:
            for i, outcome in list(self._done):  # left a moment ago, and not counted yet
                if isinstance(outcome, Outcome) and outcome.status == "waiting":
                    self._done.remove((i, outcome))
                    self._settle(i, outcome)
            waiting = [i for i, outcome in self.outcomes.items() if outcome.status == "waiting"]
            for i in waiting:
                del self.outcomes[i]
            self._again.extend(waiting)
            self._fill()

    def _fill(self) -> None:
        while len(self._running) < self._concurrency and not self.halted and self.failed <= self._may_fail:
            i = self._again.popleft() if self._again else next(self._next, None)
            if i is None:
                return
            self._running[i] = asyncio.create_task(self._enter(i))

    async def _enter(self, i: int) -> None:
        outcome: Outcome | BaseException
        try:
            outcome = await self._do(i)
        except asyncio.CancelledError as error:
            outcome = Outcome("stopped", why=self.halted) if self.halted else error
        except BaseException as error:  # noqa: BLE001  raised again by `run`, as itself: nothing may hang on it
            outcome = error
        self._done.append((i, outcome))
        self._news.set()

    def _settle(self, i: int, outcome: Outcome | BaseException) -> None:
        self._running.pop(i, None)
        if isinstance(outcome, BaseException):
            raise outcome
        self.outcomes[i] = outcome
        self.failed += outcome.status == "failed"
        if outcome.status == "stopped":
            self.drain(outcome.why)
