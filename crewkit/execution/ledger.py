"""What the model calls of a run used that this process did not make: those before it, and those beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol
from weakref import WeakSet

from crewkit.core.events import Event
from crewkit.core.limits import Charge
from crewkit.journal.run import Run
from crewkit.resilience.places import Places

Data = dict[str, Any]

TYPES = ("model.started", "model.finished", "task.finished", "task.left")
"""The events that tell what was used."""

_CHANGE = 0.2
"""Seconds between two looks at what others used, where what is wanted does not fit beside it."""

Read = Callable[[int], Awaitable[Sequence[Event]]]
"""Reads the events of `TYPES` after a `seq`."""


class Counting(Protocol):
    """Knows which meters a call concerns."""

    def charge(self, call: Charge) -> None:
        """Count a call that this process did not make."""
        ...


class Ledger:
    """The model calls of a run, folded from its events. One that never came back counts as it was reserved."""

    def __init__(self, history: Iterable[Event] = (), *, task: str | None = None) -> None:
        """Take in what happened before.

        Args:
            history: The run's own events.
            task: Calls of other tasks may still end: they are in the hands of other processes. `None`: none may.
        """
        self.calls: dict[tuple[str, int], Charge] = {}
        self._counting: WeakSet[Counting] = WeakSet()
        self.seq = 0
        """Up to here nothing changes any more: it is synced, so that no crash of a server takes it."""
        self._open: dict[tuple[str, int], Charge] = {}
        for event in history:
            self.add(event)
        self._close(task)

    def count_on(self, counting: Counting) -> None:
        """Count all calls on what knows their meters, and those that come, as long as it is there."""
        for call in self.calls.values():
            counting.charge(call)
        self._counting.add(counting)

    def add(self, event: Event) -> None:
        """Take in an event. One that is known already changes nothing."""
        key = (event.path, event.attempt)
        if event.type == "model.started" and key not in self.calls:
            self._begin(key, event)
        elif event.type == "model.finished":
            self.seq = event.seq
            if key in self._open:
                self._end(key, event.data)
        elif event.type in ("task.finished", "task.left"):
            self._close(event.path, inside=True)

    def _begin(self, key: tuple[str, int], event: Event) -> None:
        path, attempt = key
        if before := self._open.pop((path, attempt - 1), None):  # whoever made it is gone
            before.settle(before.tokens, before.usd)
        held = event.data["reserved"]
        call = Charge(event.task, event.agent, held["tokens"], held["usd"], open=True)
        self.calls[key] = self._open[key] = call
        for each in self._counting:
            each.charge(call)

    def _end(self, key: tuple[str, int], data: Data) -> None:
        call = self._open.pop(key)
        if usage := data.get("usage"):
            call.settle(usage["input_tokens"] + usage["output_tokens"], data["usd"], data["seconds"])
        else:  # it failed, and is made again under the next number
            call.drop()
            del self.calls[key]

    def _close(self, task: str | None, *, inside: bool = False) -> None:
        """Let what a task has open count as it was reserved; `None`: what all have."""
        for key, call in list(self._open.items()):
            if task is None or _is_in(call.task, task, inside=inside):
                call.settle(call.tokens, call.usd)
                del self._open[key]


class SharedLedger:
    """Lets one process at a time reserve for a run that several carry on, knowing what the others did."""

    def __init__(self, ledger: Ledger, run: Run, places: Places, read: Read) -> None:
        self._ledger = ledger
        self._run = run
        self._places = places
        self._read = read

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[None]:
        """Let no other process reserve until left. What others reserved and used is counted on entry."""
        async with self._places.at(f"limits of {self._run.id}", concurrency=1):
            for event in await self._read(self._ledger.seq):
                if event.seg != self._run.seg:
                    self._ledger.add(event)
                elif event.type == "model.finished":
                    self._ledger.seq = event.seq
            yield
            self._run.flush()  # before the place is left: both go the same way

    async def change(self) -> None:
        """Wait until another process may have settled something."""
        await asyncio.sleep(_CHANGE)


def _is_in(task: str, other: str, *, inside: bool) -> bool:
    return task == other or (inside and task.startswith((f"{other}/", f"{other}#")))
