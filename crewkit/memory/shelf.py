"""A memory's open files, and the blocking work on them.

For one thread at a time: `SemanticMemory` gives it one of its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from crewkit.errors import InputError
from crewkit.memory.base import Hit, Merge, Record, Where
from crewkit.memory.embed import SETTING, Embedder
from crewkit.memory.lexical import indexed_text, words
from crewkit.memory.rank import Pipeline, add_neighbours, best, fuse, named
from crewkit.memory.reader import Source, Space
from crewkit.memory.store import Store
from crewkit.memory.vectors import (
    MOST_MADE_ANEW,
    SEARCH_WIDTH,
    TAIL,
    ChromaIndex,
    ExactIndex,
    Lock,
    discard_files,
    nearest,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

T = TypeVar("T")

_FEW = 4_000
"""Records that a filter lets through whose vectors are compared one by one."""


_MANY = 2_000
"""Vectors that one recall may have to bring into the index."""


class Shelf:
    """The store, its vector index and the embedder of one memory, each opened when it is first needed."""

    def __init__(
        self, folder: Path, embedder: Embedder | None, wait: float, say: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self._embedder = embedder
        self._wait = wait
        self._say = say
        self._lock = Lock(folder / "lock")
        self._open_store: Store | None = None
        self._chroma: ChromaIndex | None = None
        self._exact: ExactIndex | None = None
        self._has_no_chroma = False
        self._unseen = 0
        """Vectors that were added and are perhaps not in the index."""
        self._checked: dict[int, int] = {}
        self._sound: set[int] = set()
        """Namespaces that were seen to have no vectors of another embedder."""

    @property
    def _store(self) -> Store:
        if self._open_store is None:
            self._open_store = Store(self._folder / "memory.db")
        return self._open_store

    def close(self) -> None:
        """Close all files and give back the lock."""
        if self._chroma is not None:
            with suppress(Exception):  # what does not work now is done at the next opening
                self._chroma.settle()
            self._chroma.close()
        self._lock.release()
        if self._open_store is not None:
            self._open_store.close()
        self._chroma = self._exact = self._open_store = None
        self._checked.clear()
        self._sound.clear()

    # Adding and forgetting

    def unknown(self, namespace: str, records: Sequence[Record]) -> tuple[list[str], dict[str, Record]]:
        """Return all ids, and by id the records that are not yet here as they are."""
        space = self._store.space(namespace)
        if space is not None:
            self._refuse_other(space)
        return self._store.unknown(namespace, records)

    def known_vectors(self, records: dict[str, Record]) -> dict[str, bytes]:
        """Return, by id, the vectors that the same records have already, here or in another namespace."""
        return self._store.vectors.known(records, self._embedder.id) if self._embedder else {}

    def add(
        self, namespace: str, records: dict[str, Record], vectors: dict[str, bytes], merge: Merge | None
    ) -> None:
        """Write records with their vectors, all or nothing."""
        embedder = self._embedder.id if self._embedder else ""
        self._store.add(namespace, records, vectors, embedder, merge)
        space = self._store.space(namespace)
        self._unseen += len(vectors)
        if space is not None and self._unseen > (_MANY if self._chroma is None else TAIL):
            # The next recall would do it, but it should not pay for many adds at once.
            self._unseen = 0
            self._guarded(namespace, lambda chroma: chroma.catch_up(space))

    def forget(self, namespace: str, ids: Sequence[str], source: str | None, before: str) -> int:
        """Remove records from the store and, where it is ours, from the index; return how many."""
        numbers = self._store.forget(namespace, ids=ids, source=source, before=before)
        if numbers and (self._folder / "chroma").exists():
            self._guarded(namespace, lambda chroma: chroma.remove(namespace, numbers))
            space = self._store.space(namespace)
            if space is not None and space.records > MOST_MADE_ANEW:
                self._say(
                    f"No search finds what was forgotten in '{namespace}', but as numbers its vectors stay in the "
                    "index's files until: crewkit memory rebuild"
                )
        return len(numbers)

    # Embedding

    def embed(self, texts: Sequence[str]) -> Vectors | None:
        """Return one row of length 1 for each text; `None` where there is no working embedder."""
        if self._embedder is None:
            return None
        import numpy as np

        try:
            vectors = np.asarray(self._embedder.embed(texts), np.float32)
            if vectors.shape != (len(texts), self._embedder.dimension) or not np.isfinite(vectors).all():
                raise ValueError(f"it returned {vectors.shape} or NaN for {len(texts)} texts")
        except Exception as error:  # noqa: BLE001 - an embedder is the user's or a vendor's code
            self._say(
                f"Embedder {self._embedder.id} failed: {error}. {self._folder} goes on by words alone: "
                "vectors are made up for when the embedder works again."
            )
            self._embedder = None
            return None
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def without_vector(self, namespace: str, most: int | None) -> list[int]:
        """Return the records without a vector of this embedder; none if over `most`."""
        space = self._store.space(namespace)
        if self._embedder is None or space is None:
            return []
        if most is not None:
            self._refuse_other(space)
        since = self._checked.get(space.number, 0) if most is not None else 0
        if since == space.generation:
            return []
        missing = self._store.vectors.missing(space.number, self._embedder.id, since)
        if missing and most is not None:  # perhaps another process made the vectors anew meanwhile
            self._sound.discard(space.number)
            self._refuse_other(space)
        if most is not None and len(missing) > most:
            self._say(
                f"{len(missing)} records in '{namespace}' of memory {self._folder} have no vector "
                f"of {self._embedder.id} and are found by their words only. Make them: crewkit memory rebuild"
            )
            missing = []
        if not missing:
            self._checked[space.number] = space.generation
        return missing

    def embed_records(self, namespace: str, numbers: Sequence[int]) -> bool:
        """Give these records vectors of the present embedder; say whether that went well."""
        space = self._store.space(namespace)
        records = self._store.records(numbers)
        vectors = self.embed([indexed_text(record) for record in records.values()])
        if vectors is None or space is None or self._embedder is None:
            return False
        found = {number: vector.tobytes() for number, vector in zip(records, vectors, strict=True)}
        self._store.set_vectors(space, found, self._embedder.id)
        return True

    def _refuse_other(self, space: Space) -> None:
        """Refuse a namespace with vectors of another embedder: they and ours cannot be compared.

        Raises:
            InputError: There are some; the message says what to do.
        """
        if self._embedder is None or space.number in self._sound:
            return
        other = self._store.vectors.other(space.number, self._embedder.id)
        if other is not None:
            raise InputError(
                f"The vectors of '{space.name}' in memory {self._folder} are of the embedder '{other[0]}' "
                f"({other[1]} numbers each), and the one at hand is '{self._embedder.id}' "
                f"({self._embedder.dimension}): they cannot be compared. Set {SETTING} to the other one again, or "
                "make all vectors anew: crewkit memory rebuild"
            )
        self._sound.add(space.number)

    # Recalling

    def recall(
        self, query: str, k: int, namespaces: Sequence[str], where: Where | None, pipeline: Pipeline
    ) -> list[Hit]:
        """Return the `k` records that fit the query best, the best first."""
        legs: dict[str, dict[int, float]] = {}
        spaces = [space for name in dict.fromkeys(namespaces) if (space := self._store.space(name))]
        vector = self._query_vector(query) if pipeline.dense and spaces else None
        for space in spaces:
            if vector is not None:
                found = self._nearest(space, vector, pipeline.candidates, where)
                legs.setdefault("dense", {}).update(found)
            if pipeline.lexical:
                found = self._store.search_words(space, query, pipeline.candidates, where)
                legs.setdefault("lexical", {}).update(found)
        parts = fuse({name: best(leg, pipeline.candidates) for name, leg in legs.items()}, pipeline)
        if pipeline.neighbour:
            add_neighbours(parts, self._store.beside(parts), pipeline.neighbour)
            if where:
                allowed = set[int]().union(*(self._store.matching(s, where, parts) for s in spaces))
                parts = {number: part for number, part in parts.items() if number in allowed}
        if pipeline.author:
            self._add_authors(parts, frozenset(words(query)), pipeline.author)
        scores = best({number: sum(part.values()) for number, part in parts.items()}, k)
        records = self._store.records(scores)
        return [Hit(records[n], scores[n], parts[n]) for n in scores if n in records]

    def _query_vector(self, query: str) -> Vectors | None:
        vectors = self.embed([query])
        return None if vectors is None else vectors[0]

    def _add_authors(self, parts: dict[int, dict[str, float]], query: frozenset[str], weight: float) -> None:
        for number, author in self._store.authors(parts).items():
            share = named(author, query)
            if share:
                parts[number]["author"] = weight * share

    def _nearest(self, space: Space, vector: Vectors, most: int, where: Where | None) -> dict[int, float]:
        if where:
            return self._nearest_of(space, vector, most, where)
        found = self._guarded(space.name, lambda chroma: chroma.search(space, vector, most))
        if found is not None:
            return found
        if self._exact is None:
            assert self._embedder is not None
            self._exact = ExactIndex(self._store, self._embedder.id)
        return self._exact.search(space, vector, most)

    def _nearest_of(self, space: Space, vector: Vectors, most: int, where: Where) -> dict[int, float]:
        """Search those that a filter lets through: their own vectors where they are few, else among the nearest."""
        assert self._embedder is not None
        allowed = self._store.matches(space, where, _FEW + 1)
        if len(allowed) > _FEW:
            near = self._nearest(space, vector, SEARCH_WIDTH, None)
            found = {n: near[n] for n in self._store.matching(space, where, near)}
            if len(found) >= most // 4:
                return found
            allowed = self._store.matches(space, where, space.records)
        numbers, vectors = self._store.vectors.of(allowed, self._embedder.id)
        return nearest(numbers, vectors, vector, most)

    # Chroma

    def spaces(self) -> list[Space]:
        """Return all namespaces as they stand."""
        return self._store.spaces()

    def embedders(self, namespace: str) -> dict[str, int]:
        """Return how many vectors a namespace has of which embedder."""
        space = self._store.space(namespace)
        return self._store.vectors.embedders(space.number) if space else {}

    def sources(self, namespace: str) -> list[Source]:
        """Return where a namespace's records are from."""
        space = self._store.space(namespace)
        return self._store.sources(space) if space else []

    def listed(self, namespace: str, source: str | None, most: int) -> list[Record]:
        """Return a namespace's newest records, or those of one source in their order."""
        space = self._store.space(namespace)
        return self._store.listed(space, source=source, most=most) if space else []

    def found(self, id: str, most: int) -> list[tuple[str, Record]]:
        """Return the records whose id begins so, each with its namespace."""
        return self._store.found(id, most)

    def renew(self, namespace: str) -> None:
        """Make a namespace's index anew from the store."""
        space = self._store.space(namespace)
        if space is not None and self._embedder is not None:
            self._guarded(namespace, lambda chroma: chroma.renew(space))

    def _owned_chroma(self) -> ChromaIndex | None:
        """Return Chroma where its files are ours or free and sound."""
        if self._chroma is not None or self._has_no_chroma:
            return self._chroma
        self._folder.mkdir(parents=True, exist_ok=True)
        wait, self._wait = self._wait, 0.0
        if not self._lock.acquire(wait):
            self._say(
                f"The vector index of memory {self._folder} is used by process {self._lock.holder()}. "
                "This one searches the stored vectors without it: the same results, slower for many."
            )
            return None
        self._exact = None
        try:
            self._chroma = self._open_chroma()
        except ImportError as error:
            self._give_up(error)
        except Exception as error:  # noqa: BLE001 - whatever Chroma says of damaged files
            # Its client cannot open the same folder twice after a failure, so the next process does.
            discard_files(self._folder / "chroma")
            self._give_up(error)
        return self._chroma

    def _open_chroma(self) -> ChromaIndex:
        embedder, dimension = (self._embedder.id, self._embedder.dimension) if self._embedder else ("", 0)
        return ChromaIndex(self._folder / "chroma", self._store, embedder, dimension)

    def _guarded(self, space_name: str, work: Callable[[ChromaIndex], T]) -> T | None:
        """Do this with Chroma where it is ours; if it fails, once more with a new one."""
        chroma = self._owned_chroma()
        if chroma is None:
            return None
        try:
            return work(chroma)
        except sqlite3.Error:
            raise
        except Exception:  # noqa: BLE001 - whatever Chroma says of damaged files
            return self._once_more(chroma, space_name, work)

    def _once_more(self, chroma: ChromaIndex, space_name: str, work: Callable[[ChromaIndex], T]) -> T | None:
        try:
            if (space := self._store.space(space_name)) is not None and self._embedder is not None:
                chroma.renew(space)
            return work(chroma)
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 - see above
            self._chroma = None
            chroma.close()
            self._give_up(error)
            return None

    def _give_up(self, error: BaseException) -> None:
        self._say(
            f"The vector index of memory {self._folder} cannot be used: {error}. The stored vectors are "
            "searched without it, and the next process makes it anew."
        )
        self._has_no_chroma = True
        self._lock.release()
