"""What all crews and tasks of one run share while it is carried on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crewkit.coordinator.bus import Bus
from crewkit.coordinator.schedule import Schedule
from crewkit.core.events import Event
from crewkit.core.messages import Message
from crewkit.crew.options import Options
from crewkit.errors import LimitExceeded
from crewkit.journal.run import Run
from crewkit.memory.base import Hit, Memory, Record
from crewkit.models.base import Model

if TYPE_CHECKING:
    from crewkit.memory.embed import Embedder


@dataclass(frozen=True, slots=True)
class Spent:
    """What one model call of an earlier process used, or may have used."""

    task: str
    agent: str
    tokens: int
    usd: float | None
    seconds: float


class Session:
    """One process's turn at a run."""

    def __init__(
        self,
        run: Run,
        options: Options,
        models: Mapping[str, Model],
        memory: Callable[[], Memory],
        namespace: str,
        inputs: Mapping[str, Any],
        spent: Sequence[Spent] = (),
    ) -> None:
        self.run = run
        self.models = models
        """Path of an agent's task to its model; `@role` to that of a colleague or coordinator who has one."""
        self.inputs = inputs
        self.spent = spent
        self.bus = (options.bus or Bus)(self._record)
        self.limit: LimitExceeded | None = None
        """The cap that ended the run, once one did."""
        self.cancelled = ""
        """Why the run was given up, once it was."""
        self._schedules: list[Schedule] = []
        self._memory = memory
        self._namespace = namespace

    def enter(self, schedule: Schedule) -> None:
        """Let a schedule be woken and halted with the run."""
        self._schedules.append(schedule)

    def leave(self, schedule: Schedule) -> None:
        """Forget a schedule that is done."""
        self._schedules.remove(schedule)

    def wake(self) -> None:
        """Enter waiting tasks again: somebody decided something."""
        for schedule in list(self._schedules):
            schedule.wake()

    def drain(self, limit: LimitExceeded) -> None:
        """Start nothing more: a cap was reached."""
        self.limit = self.limit or limit
        for schedule in list(self._schedules):
            schedule.drain(str(limit))

    def halt(self, why: str) -> None:
        """Stop everything now."""
        for schedule in list(self._schedules):
            schedule.halt(why)

    def memory(self, path: str, task: str, agent: str) -> TaskMemory:
        """Return the memory as a tool called at `path` sees it."""
        return TaskMemory(self.run, self._memory, self._namespace, path, task, agent)

    def _record(self, message: Message) -> None:
        data = message.to_data()
        if message.kind == "report":
            data["data"] = {}  # the output stands in `task.finished`
        key = f"bus {message.thread} {message.round} {message.kind} {message.sender}"
        self.run.record(
            "message.recorded",
            message.thread,
            self.run.redactor.data({"id": key, **data}),
            task=message.data.get("task") or message.thread.partition(" ")[0],
            agent=message.sender,
            once=False,
            key=key,
        )


@dataclass(frozen=True)
class TaskMemory:
    """The run's memory for one tool call: its namespace is settled, and every use is in the transcript."""

    run: Run
    memory: Callable[[], Memory]
    namespace: str
    path: str
    task: str
    agent: str

    async def add(self, records: Sequence[Record]) -> list[str]:
        """Remember these; return their ids."""
        ids = await self.memory().add(records, namespace=self.namespace)
        sources = sorted({record.source for record in records if record.source})
        self._note("memory.written", {"count": len(ids), "ids": ids[:20], "sources": sources[:20]})
        return ids

    async def recall(self, query: str, *, k: int = 5) -> list[Hit]:
        """Return the `k` records that fit the query best, the best first."""
        hits = await self.memory().recall(query, k=k, namespace=self.namespace)
        found = [
            {
                "id": hit.record.id(),
                "source": hit.record.source,
                "start": hit.record.start,
                "end": hit.record.end,
                "score": round(hit.score, 4),
                "parts": {name: round(part, 4) for name, part in hit.parts.items()},
            }
            for hit in hits
        ]
        self._note("memory.searched", {"query": query, "k": k, "hits": found})
        return hits

    def _note(self, type: str, data: dict[str, Any]) -> None:
        self.run.record(type, self.path, data, task=self.task, agent=self.agent, once=False)


class LazyMemory:
    """Opens the memory when it is first used, and closes it only if it was."""

    def __init__(self, given: Memory | None, folder: Path, environ: Mapping[str, str]) -> None:
        self._given = given
        self._folder = folder
        self._environ = environ
        self._opened: Memory | None = None

    def __call__(self) -> Memory:
        """Return the memory, opened."""
        if self._given is not None:
            return self._given
        if self._opened is None:
            from crewkit.memory.embed import default_embedder
            from crewkit.memory.semantic import SemanticMemory

            embedder = default_embedder(
                self._folder, environ=self._environ, named=partial(model_embedder, environ=self._environ)
            )
            self._opened = SemanticMemory(self._folder, embedder=embedder)
        return self._opened

    async def close(self) -> None:
        """Close what was opened here."""
        if self._opened is not None:
            await self._opened.close()


def model_embedder(name: str, environ: Mapping[str, str]) -> Embedder:
    """Return an embedding model by its name."""
    from crewkit.models.embedding import ModelEmbedder

    return ModelEmbedder(name, environ=environ)


def spent_before(history: Iterable[Event]) -> list[Spent]:
    """Return what the model calls of a run used so far; one that never came back counts as reserved."""
    begun: dict[tuple[str, int], Event] = {}
    spent: list[Spent] = []
    for event in history:
        if event.type == "model.started":
            begun[event.path, event.attempt] = event
        elif event.type == "model.finished":
            begun.pop((event.path, event.attempt), None)
            usage = event.data.get("usage")
            if usage:
                tokens = usage["input_tokens"] + usage["output_tokens"]
                spent.append(Spent(event.task, event.agent, tokens, event.data["usd"], event.data["seconds"]))
    for event in begun.values():
        held = event.data["reserved"]
        spent.append(Spent(event.task, event.agent, held["tokens"], held["usd"], 0.0))
    return spent
