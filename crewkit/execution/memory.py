"""The memory of a run: whose it is, what may be written, and a record of every use."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from crewkit.agents.output import as_json
from crewkit.agents.prompt import inline
from crewkit.core.events import Event
from crewkit.core.label import UNKNOWN, Label, join
from crewkit.crew.compile import fill
from crewkit.errors import InputError, ToolError
from crewkit.journal.run import Run
from crewkit.memory.base import Hit, Memory, Origin, Record, Where

if TYPE_CHECKING:
    from crewkit.crew.crew import Crew
    from crewkit.memory.embed import Embedder
    from crewkit.memory.semantic import SemanticMemory

LARGEST_RECORD = 100_000
"""Characters of a record, its metadata included."""
MOST_RECORDS = 50_000
"""Records that the tools of one run may write."""
SHOWN = 20
"""Ids and sources of what was written, in the transcript."""

Data = dict[str, Any]


class RunMemory:
    """A run's namespaces, and what it has written into them."""

    def __init__(
        self,
        run: Run,
        opened: Callable[[], Memory],
        *,
        crew: str,
        namespace: str,
        knowledge: Sequence[str],
        inputs: Mapping[str, str],
        history: Iterable[Event] = (),
    ) -> None:
        """Describe a run's memory.

        Args:
            run: The run.
            opened: Returns the memory, opened when it is first used.
            crew: The crew's name.
            namespace: The crew's lasting namespace, with `{input}` placeholders; empty: the run's own.
            knowledge: Files and folders that are to be in memory.
            inputs: The run's inputs as texts.
            history: What happened in the run before.
        """
        self.run = run
        self.crew = crew
        self.lasts = bool(namespace)
        """What is remembered lasts over runs."""
        self._opened = opened
        self._inputs = {name: quote(value, safe=" @.-") for name, value in inputs.items()}
        self.own = self.filled(f"crew:{namespace}") if namespace else f"run:{run.id}"
        self.shared: list[str] = []
        """The namespaces of the runs from which this one was forked: what their tasks remembered counts here."""
        self._paths = knowledge
        self._written: dict[str, int] = {}
        for event in history:
            if not namespace and event.run != run.id and f"run:{event.run}" not in self.shared:
                self.shared.append(f"run:{event.run}")
            if event.type == "memory.written" and event.path:
                self._count(event.path, event.data["count"])

    @property
    def memory(self) -> Memory:
        """The memory, opened."""
        return self._opened()

    @property
    def episodes(self) -> str:
        """The namespace of what became of earlier tasks."""
        return f"{self.own}/episodes"

    @property
    def knowledge(self) -> str:
        """The namespace of the crew's documents."""
        return f"knowledge:{self.crew}"

    def filled(self, namespace: str) -> str:
        """Return a namespace with the run's inputs in it, so written that no two of them are the same."""
        try:
            return fill(namespace, self._inputs)
        except KeyError as error:
            raise ToolError(
                f"The namespace '{namespace}' names {error}, which is no input of this run."
            ) from error

    def at(self, path: str, task: str, agent: str, label: Label) -> TaskMemory:
        """Return the memory as a tool called at `path` with arguments of this label sees it."""
        return TaskMemory(self, path, task, agent, label)

    async def learn(self) -> None:
        """Bring the crew's documents into memory; those that are there as they are are not read again.

        Raises:
            InputError: There is no such file or folder.
        """
        if not self._paths:
            return
        from crewkit.memory.knowledge import index

        def tell(source: str, done: int, of: int) -> None:
            if source and done in (0, of // 4, of // 2, 3 * of // 4):
                self.run.note("", f"Reading {source}: document {done + 1} of {of}.", task="", agent="")

        origin = Origin(crew=self.crew, run=self.run.id, label=Label(trusted=False, sources=("knowledge",)))
        done = await index(self.memory, self._paths, namespace=self.knowledge, origin=origin, progress=tell)
        data = {
            "namespace": self.knowledge,
            "count": done.passages,
            "sources": done.added[:SHOWN],
            "unchanged": len(done.unchanged),
            "removed": done.removed[:SHOWN],
            "refused": dict(itertools.islice(done.refused.items(), SHOWN)),
        }
        self.run.record("memory.written", data=data, once=False)

    def allow(self, path: str, records: Sequence[Record]) -> None:
        """Count what a step writes.

        Raises:
            ToolError: A record is too large, or too many were written.
        """
        for record in records:
            size = len(record.text) + len(record.title) + len(repr(record.metadata))
            if size > LARGEST_RECORD:
                raise ToolError(
                    f"A record of {size:,} characters is too large to remember; {LARGEST_RECORD:,} is the most. "
                    "Split it."
                )
        self._count(path, len(records))
        written = sum(self._written.values())
        if written > MOST_RECORDS:
            raise ToolError(
                f"One run may write {MOST_RECORDS:,} records into memory, and this would be {written:,}."
            )

    def _count(self, path: str, count: int) -> None:
        self._written[path] = self._written.get(path, 0) + count


def run_memory(
    crew: Crew, run: Run, opened: Callable[[], Memory], inputs: Mapping[str, Any], history: Iterable[Event]
) -> RunMemory:
    """Return the memory of a run of a crew."""
    shown = {name: inline(as_json(value, f"Input '{name}'")) for name, value in inputs.items()}
    return RunMemory(
        run,
        opened,
        crew=crew.name,
        namespace=crew.memory or "",
        knowledge=_knowledge(crew),
        inputs=shown,
        history=history,
    )


def check_knowledge(crew: Crew) -> None:
    """Say before anything runs which documents are not there.

    Raises:
        InputError: There is no such file or folder.
    """
    for path in _knowledge(crew):
        if not Path(path).exists():
            raise InputError(
                f"Crew '{crew.name}' is to know '{path}', and there is no such file or folder in {Path.cwd()}."
            )


def _knowledge(crew: Crew) -> list[str]:
    """Return the documents of a crew and of the crews in its tasks."""
    from crewkit.crew.crew import Crew

    inner = [job.task.do for job in crew.plan.jobs.values()]
    return [*crew.knowledge, *(path for each in inner if isinstance(each, Crew) for path in _knowledge(each))]


@dataclass
class TaskMemory:
    """The run's memory for one tool call: every use is in the transcript."""

    of: RunMemory
    path: str
    task: str
    agent: str
    label: Label
    """The join of what the call was given and of what it recalled so far; what it adds has it too."""
    guard: Callable[[Sequence[Record]], Awaitable[None]] | None = field(default=None, init=False)
    """Refuses what must not be remembered."""
    _added: int = field(default=0, init=False)

    async def add(self, records: Sequence[Record], *, namespace: str = "") -> list[str]:
        """Remember these; return their ids. What one step adds is there once, however often it is tried.

        Raises:
            ToolError: A record is too large, or the run has written as much as one may.
        """
        self.of.allow(self.path, records)
        where = self.of.filled(namespace) if namespace else self.of.own
        clean = [self._signed(record) for record in records]
        if self.guard is not None:
            await self.guard(clean)
        ids = await self.of.memory.add(clean, namespace=where)
        sources = sorted({record.source for record in clean if record.source})
        data = {"namespace": where, "count": len(ids), "ids": ids[:SHOWN], "sources": sources[:SHOWN]}
        self._note("memory.written", data)
        return ids

    async def recall(
        self, query: str, *, k: int = 5, namespace: str | Sequence[str] = "", where: Where | None = None
    ) -> list[Hit]:
        """Return the `k` records that fit the query best, the best first."""
        names = [namespace] if isinstance(namespace, str) else namespace
        namespaces = [each for name in names for each in self._searched(name)]
        hits = await self.of.memory.recall(query, k=k, namespace=namespaces, where=where)
        self.label = join([self.label, *(hit.record.origin.label for hit in hits)])
        data = {
            "namespace": ", ".join(namespaces),
            "query": query,
            "k": k,
            "hits": [found(hit) for hit in hits],
        }
        self._note("memory.searched", data | ({"where": dict(where)} if where else {}))
        return hits

    def _searched(self, namespace: str) -> list[str]:
        return [self.of.filled(namespace)] if namespace else [self.of.own, *self.of.shared, self.of.knowledge]

    def _signed(self, record: Record) -> Record:
        """Return a record without the secrets in it, and with who adds it."""
        redact = self.of.run.redactor
        nth, self._added = self._added, self._added + 1
        label = self.label if record.origin.label == UNKNOWN else record.origin.label | self.label
        origin = Origin(self.of.crew, self.agent, self.of.run.id, f"{self.path}#{nth}", label)
        return replace(
            record,
            text=redact.text(record.text),
            source=redact.text(record.source),
            title=redact.text(record.title),
            author=redact.text(record.author),
            metadata=redact.data(record.metadata),
            origin=origin,
        )

    def _note(self, type: str, data: Data) -> None:
        self.of.run.record(type, self.path, data, task=self.task, agent=self.agent, once=False)


def found(hit: Hit) -> Data:
    """Return what the transcript says of a hit."""
    record, origin = hit.record, hit.record.origin
    said: Data = {
        "id": record.id(),
        "source": record.source,
        "start": record.start,
        "end": record.end,
        "score": round(hit.score, 4),
        "parts": {name: round(part, 4) for name, part in hit.parts.items()},
        "label": str(origin.label),
    }
    by = {"run": origin.run, "agent": origin.agent}
    return said | {name: value for name, value in by.items() if value}


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
        self._opened = self._opened or open_memory(self._folder, self._environ)
        return self._opened

    async def close(self) -> None:
        """Close what was opened here."""
        if self._opened is not None:
            await self._opened.close()


def open_memory(
    folder: Path, environ: Mapping[str, str], *, say: Callable[[str], None] | None = None
) -> SemanticMemory:
    """Return the semantic memory in a folder, with the embedder that is set or at hand.

    Raises:
        InputError: `CREWKIT_EMBEDDER` names no model.
    """
    from crewkit.memory.embed import default_embedder, log
    from crewkit.memory.semantic import SemanticMemory

    named = partial(model_embedder, environ=environ)
    embedder = default_embedder(folder, environ=environ, named=named, say=say or log)
    return SemanticMemory(folder, embedder=embedder, say=say or log)


def model_embedder(name: str, environ: Mapping[str, str]) -> Embedder:
    """Return an embedding model by its name."""
    from crewkit.models.embedding import ModelEmbedder

    return ModelEmbedder(name, environ=environ)
