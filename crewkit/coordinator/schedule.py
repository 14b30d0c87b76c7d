"""Runs a graph: each task the moment its own needs are met."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from crewkit.coordinator.graph import AnyOf, Graph, Need, names_in

Status = Literal["completed", "failed", "skipped", "waiting", "stopped"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task."""

    status: Status
    """`waiting`: for a person, a time or an event; it is entered again then. `stopped`: the run ended before it."""
    output: Any = None
    why: str = ""
    error: Exception | None = None
    passes: bool = False
    """Although it did not complete, what depends on it goes on without its output."""
    approvals: tuple[str, ...] = ()
    """Ids of the questions that it waits for."""
    waits: tuple[str, ...] = ()
    """Ids of the times and events that it waits for."""
    until: str = ""
    """RFC 3339: from then on a waiting task can go on by itself. Empty: it cannot."""

    over: bool = False
    """It is never entered again, although it failed."""

    @property
    def serves(self) -> bool:
        """What depends on it can go on."""
        return self.status == "completed" or self.passes


Do = Callable[[str], Awaitable[Outcome]]


@dataclass(slots=True)
class _Join:
    """One need of a task, until it is met: a task, or several as alternatives."""

    task: str
    """Who needs it."""
    need: Need
    open: int
    """How many of them are not settled."""
    met: bool = False
    """One of them brings what is needed."""

    def settle(self, outcome: Outcome) -> None:
        """Take one of them in. An alternative counts only where it completed."""
        self.open -= 1
        completed = outcome.status == "completed"
        self.met = self.met or completed or (outcome.passes and isinstance(self.need, str))

    def lost(self, outcome: Outcome) -> str:
        """Say why it can never be met any more; `outcome` came last."""
        if isinstance(self.need, AnyOf):
            return f"It needs one of {', '.join(repr(name) for name in self.need.names)}, and none completed."
        return f"It needs '{self.need}', which {'failed' if outcome.status == 'failed' else 'was skipped'}."


class Schedule:
    """One walk through a graph. `outcomes` fills while it goes on."""

    def __init__(self, graph: Graph, do: Do, *, skipped: Callable[[str, str], Outcome]) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._graph = graph
        self._do = do
        self._skipped = skipped
        self._joins: dict[str, list[_Join]] = {name: [] for name in graph}
        """Task to the needs that it is part of."""
        for name, needs in graph.items():
            for need in needs:
                members = dict.fromkeys(names_in([need]))
                join = _Join(name, need, len(members))
                for member in members:
                    self._joins[member].append(join)
        self._unmet = {name: len(needs) for name, needs in graph.items()}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._done: deque[tuple[str, Outcome | BaseException]] = deque()
        self._news = asyncio.Event()
        self._halted = ""

    async def run(self) -> Mapping[str, Outcome]:
        """Run until every task has an outcome; a task that waits is left waiting when nothing else can go on.

        An exception of `do` is a mistake in the engine or a broken journal: everything running is cancelled and it
        is raised as itself.
        """
        try:
            for name, unmet in self._unmet.items():
                if not unmet:
                    self._start(name)
            while self._running:
                await self._news.wait()
                self._news.clear()
                while self._done:
                    self._settle(*self._done.popleft())
        finally:
            await self._cancel()
        for name in self._graph:
            if name not in self.outcomes:
                self.outcomes[name] = Outcome("stopped", why=self._halted or self._blocked(name))
        return self.outcomes

    def halt(self, why: str) -> None:
        """Start nothing more, and cancel what is running."""
        self._halted = why
        for task in self._running.values():
            task.cancel()

    def drain(self, why: str) -> None:
        """Start nothing more; what is running goes on to its end."""
        self._halted = self._halted or why

    def wake(self) -> None:
        """Enter the waiting tasks again: somebody decided something."""
        for name, outcome in list(self._done):  # left a moment ago, and not counted yet
            if isinstance(outcome, Outcome) and outcome.status == "waiting":
                self._done.remove((name, outcome))
                self._settle(name, outcome)
        for name, outcome in list(self.outcomes.items()):
            if outcome.status == "waiting" and not self._halted:
                del self.outcomes[name]
                self._start(name)

    def _blocked(self, name: str) -> str:
        """Say what a task that never started was waiting for."""
        for need in names_in(self._graph[name]):
            outcome = self.outcomes.get(need)
            if outcome is not None and outcome.status == "stopped" and outcome.error:
                return f"It needs '{need}', which was stopped: {outcome.why}"
        return "The run waits."

    def _start(self, name: str) -> None:
        if self._halted:
            self._settle(name, Outcome("stopped", why=self._halted))
        else:
            self._running[name] = asyncio.create_task(self._enter(name), name=name)

    async def _enter(self, name: str) -> None:
        outcome: Outcome | BaseException
        try:
            outcome = await self._do(name)
        except asyncio.CancelledError as error:
            outcome = Outcome("stopped", why=self._halted) if self._halted else error
        except BaseException as error:  # noqa: BLE001  raised again by `run`, as itself: nothing may hang on it
            outcome = error
        self._done.append((name, outcome))
        self._news.set()

    def _settle(self, name: str, outcome: Outcome | BaseException) -> None:
        self._running.pop(name, None)
        if isinstance(outcome, BaseException):
            raise outcome
        self.outcomes[name] = outcome
        settled = deque([name])
        while settled:
            name = settled.popleft()
            outcome = self.outcomes[name]
            if outcome.status in ("waiting", "stopped"):
                continue
            for join in self._joins[name]:
                join.settle(outcome)
                if join.open or join.task in self.outcomes:
                    continue
                if not join.met:
                    self.outcomes[join.task] = self._skipped(join.task, join.lost(outcome))
                    settled.append(join.task)
                    continue
                self._unmet[join.task] -= 1
                if not self._unmet[join.task]:
                    self._start(join.task)

    async def _cancel(self) -> None:
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        self._running.clear()
