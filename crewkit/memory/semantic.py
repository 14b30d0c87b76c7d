"""Semantic memory: recall by meaning and by words, over a store that loses nothing.

| stage | adds to a record's score |
|---|---|
| dense | its cosine with the query, scaled to 0..1 over the leg's 100 candidates |
| lexical | its BM25 score, scaled in the same way |
| neighbour | 0.4 of the best score of the records beside it |
| author | 0.2 where the query names its author |
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import ParamSpec, TypeVar

from crewkit.errors import CrewkitError, InputError
from crewkit.memory.base import Hit, Memory, Merge, Record, Where
from crewkit.memory.embed import Embedder, default_embedder, log
from crewkit.memory.lexical import indexed_text
from crewkit.memory.rank import Pipeline
from crewkit.memory.reader import Source, Space
from crewkit.memory.shelf import Shelf

P = ParamSpec("P")
T = TypeVar("T")

_EMBED_AT_ONCE = 32
"""Texts per turn of the worker: recalls of others come in between."""

_EMBED_UNASKED = 2_000
"""Records that get vectors of a new embedder at the first recall; more take `rebuild`."""


class Default(Enum):
    """Stands for `default_embedder`."""

    DEFAULT = "default"


class SemanticMemory(Memory):
    """Records in SQL, found by an embedded Chroma and by their words.

    Any number of processes may use one folder. All blocking work is done by one thread of the memory's own.
    Opens nothing before the first use; usable again after `close`.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        embedder: Embedder | Default | None = Default.DEFAULT,
        pipeline: Pipeline | None = None,
        wait: float = 1.0,
        say: Callable[[str], None] = log,
    ) -> None:
        """Describe a memory.

        Args:
            folder: Where its files are or will be.
            embedder: Makes the vectors; left out: the best one on this machine, see `default_embedder`; `None` to
                recall by words alone.
            pipeline: The stages of recall and their weights.
            wait: Seconds to wait for another process that owns the Chroma index, before going on without it.
            say: Is told, once each, what people should know: an index in use elsewhere, a failed embedder.
        """
        self.folder = Path(folder)
        self.pipeline = pipeline or Pipeline()
        self._say = say
        self._said: set[str] = set()
        if isinstance(embedder, Default):
            embedder = default_embedder(self.folder, say=self._say_once)
        self.embedder = embedder
        self._shelf = Shelf(self.folder, embedder, wait, self._say_once)
        self._thread: ThreadPoolExecutor | None = None

    async def add(
        self, records: Sequence[Record], *, namespace: str = "default", merge: Merge | None = None
    ) -> list[str]:
        """Remember these; return their ids; arguments as in `Memory.add`.

        When this returns, the records survive the end of the process, however it ends.

        Raises:
            InputError: A record's metadata is not JSON, or the namespace's vectors are of another embedder.
            CrewkitError: The store cannot be read or written.
        """
        records = list(records)
        ids, fresh = await self._do(self._shelf.unknown, namespace, records)
        if merge is not None:
            fresh = dict(zip(ids, records, strict=True))
        if fresh:
            vectors = await self._do(self._shelf.known_vectors, fresh)
            new = [id for id in fresh if id not in vectors]
            made = await self._embed([indexed_text(fresh[id]) for id in new])
            vectors |= dict(zip(new, made, strict=True)) if made else {}
            await self._do(self._shelf.add, namespace, fresh, vectors, merge)
        return ids

    async def recall(
        self,
        query: str,
        *,
        k: int = 5,
        namespace: str | Sequence[str] = "default",
        where: Where | None = None,
    ) -> list[Hit]:
        """Return the `k` records that fit the query best; arguments as in `Memory.recall`. A blank query fits none.

        Raises:
            InputError: `k` is less than 1, or a namespace's vectors are of another embedder.
            CrewkitError: The store cannot be read.
        """
        if k < 1:
            raise InputError(f"Cannot recall {k} records: k must be 1 or more.")
        if not query.strip():
            return []
        namespaces = [namespace] if isinstance(namespace, str) else list(namespace)
        if self.pipeline.dense:
            for each in namespaces:
                await self._embed_missing(each, most=_EMBED_UNASKED)
        return await self._do(self._shelf.recall, query, k, namespaces, where, self.pipeline)

    async def forget(
        self,
        *,
        ids: Sequence[str] = (),
        source: str | None = None,
        before: str = "",
        namespace: str = "default",
    ) -> int:
        """Remove records from the store and from the index; return how many; arguments as in `Memory.forget`.

        Where another process owns the index, the vectors leave it when that process next uses it.

        Raises:
            InputError: `before` is no moment.
            CrewkitError: The store cannot be written.
        """
        return await self._do(self._shelf.forget, namespace, ids, source, _moment(before))

    # For people

    async def spaces(self) -> list[Space]:
        """Return the namespaces, by name."""
        return await self._do(self._shelf.spaces)

    async def sources(self, *, namespace: str = "default") -> list[Source]:
        """Return where the records of a namespace are from, by name."""
        return await self._do(self._shelf.sources, namespace)

    async def listed(
        self, *, namespace: str = "default", source: str | None = None, most: int = 100
    ) -> list[Record]:
        """Return the newest records, or those of one source in their order."""
        return await self._do(self._shelf.listed, namespace, source, most)

    async def found(self, id: str, *, most: int = 20) -> list[tuple[str, Record]]:
        """Return the records whose id begins so, each with its namespace."""
        return await self._do(self._shelf.found, id, most)

    async def embedders(self, *, namespace: str = "default") -> dict[str, int]:
        """Return how many records have a vector of which embedder."""
        return await self._do(self._shelf.embedders, namespace)

    async def rebuild(
        self, *, namespace: str | None = None, progress: Callable[[int, int], None] = lambda done, of: None
    ) -> None:
        """Make the index anew from the store, embedding what has no vector of the present embedder.

        Args:
            namespace: Which one; by default all.
            progress: Told how many of a namespace's records have their vectors by now, and of how many.

        Raises:
            CrewkitError: The store cannot be read or written.
        """
        spaces = await self._do(self._shelf.spaces)
        for space in spaces:
            if namespace in (None, space.name):
                await self._embed_missing(space.name, most=None, progress=progress)
                await self._do(self._shelf.renew, space.name)

    async def close(self) -> None:
        """Release files and locks."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._shelf.close)
            thread.shutdown()

    async def _do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do this on the memory's own thread."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="crewkit-memory")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, lambda: work(*args, **kwargs))
        except sqlite3.Error as error:
            raise CrewkitError(
                f"Memory {self.folder} failed: {error}. What was added before is kept; "
                "check the disk's space and permissions and try again."
            ) from error

    async def _embed(self, texts: Sequence[str]) -> list[bytes]:
        """Return the texts' vectors; none at all where there is no working embedder."""
        vectors: list[bytes] = []
        for start in range(0, len(texts), _EMBED_AT_ONCE):
            some = await self._do(self._shelf.embed, texts[start : start + _EMBED_AT_ONCE])
            if some is None:
                return []
            vectors += [vector.tobytes() for vector in some]
        return vectors

    async def _embed_missing(
        self,
        namespace: str,
        *,
        most: int | None,
        progress: Callable[[int, int], None] = lambda done, of: None,
    ) -> None:
        """Give vectors to records that were added without this embedder."""
        missing = await self._do(self._shelf.without_vector, namespace, most)
        for start in range(0, len(missing), _EMBED_AT_ONCE):
            some = missing[start : start + _EMBED_AT_ONCE]
            if not await self._do(self._shelf.embed_records, namespace, some):
                return
            progress(start + len(some), len(missing))

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)


def _moment(text: str) -> str:
    """Return a moment as the store compares it, in UTC.

    Raises:
        InputError: It is none.
    """
    if not text:
        return ""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"'{text}' is no moment. Write it like 2026-05-31 or 2026-05-31T12:00:00Z."
        ) from error
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
