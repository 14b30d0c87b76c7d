"""The dense leg: the vectors in the store, searched by an embedded Chroma, or exactly by numpy.

Chroma's files are for one process at a time, so a lock file says whose they are. Who does not hold it
searches the vectors in the store instead: the same results, from any number of processes, in time that
grows with the namespace. The only door to chromadb.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from crewkit.memory.reader import Space
from crewkit.memory.store import Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

_BATCH = 5_000
"""Chroma takes 5,461 at once."""

SEARCH_WIDTH = 256
"""Of Chroma's graph search; it finds no more than this, and misses some near it."""


TAIL = 200
"""Vectors that are compared one by one before they are worth a write to Chroma (tens of milliseconds each)."""


MOST_MADE_ANEW = 5_000
"""Vectors of an index that is made anew, the next time it is needed, to be rid of the forgotten ones in its files."""


_GRAPH = ("header.bin", "data_level0.bin", "length.bin", "link_lists.bin", "index_metadata.pickle")
"""Files of a collection's graph."""


class Index(Protocol):
    """Finds the nearest of a namespace's vectors."""

    def search(self, space: Space, vector: Vector, most: int) -> dict[int, float]:
        """Return the cosines of the `most` nearest records, as they stand in the store now."""
        ...


class ExactIndex:
    """All vectors of a namespace against the query, by numpy."""

    def __init__(self, store: Store, embedder: str) -> None:
        self._store = store
        self._embedder = embedder
        self._held: dict[int, tuple[int, list[int], Vector]] = {}

    def search(self, space: Space, vector: Vector, most: int) -> dict[int, float]:
        """Return the cosines of the `most` nearest records."""
        return nearest(*self._vectors(space), vector, most)

    def _vectors(self, space: Space) -> tuple[list[int], Vector]:
        import numpy as np

        held = self._held.get(space.number)
        if held is None or held[0] != space.generation:
            numbers: list[int] = []
            parts: list[Vector] = []
            for some, vectors in self._store.vectors.since(space.number, self._embedder, 0, _BATCH):
                numbers += some
                parts.append(vectors)
            held = space.generation, numbers, np.concatenate(parts) if parts else np.empty((0, 0), np.float32)
            self._held[space.number] = held
        return held[1:]


def nearest(numbers: list[int], vectors: Vector, vector: Vector, most: int) -> dict[int, float]:
    """Return the cosines of the `most` nearest of these vectors, by number."""
    import numpy as np

    if not numbers:
        return {}
    cosines = vectors @ vector
    best = np.argpartition(-cosines, min(most, len(numbers)) - 1)[:most]
    return {numbers[i]: float(cosines[i]) for i in best}


class ChromaIndex:
    """An embedded Chroma with one collection for each namespace, which follows the store.

    A collection's metadata says which store and embedder it belongs to, which generation it has seen, and as of
    which it was made. Whatever is missing from there on is caught up before each search; a collection of another
    store or embedder, or with a wrong count, is made anew. So is one from which something was forgotten since it was
    made, for Chroma deletes a vector from its search and not from its files.
    """

    def __init__(self, folder: Path, store: Store, embedder: str, dimension: int) -> None:
        """Open or create the files in `folder`; takes a second or more, for chromadb is imported here.

        Raises:
            Exception: Whatever chromadb raises where its files are damaged.
        """
        import chromadb
        from chromadb.config import Settings

        # All that a user's environment or .env file could change is said here.
        settings = Settings(
            _env_file=None,  # pyright: ignore[reportCallIssue] - pydantic-settings takes it
            anonymized_telemetry=False,
            chroma_api_impl="chromadb.api.rust.RustBindingsAPI",
            allow_reset=False,
        )
        if _is_torn(folder):
            discard_files(folder)
        _sweep(folder)
        self._folder = folder
        self._client: Any = chromadb.PersistentClient(str(folder), settings=settings)
        self._store = store
        self._belongs = {"store": store.stamp, "embedder": embedder, "dimension": dimension}
        self._open: dict[int, tuple[Any, int]] = {}
        self._unclean: set[str] = set()
        """Namespaces with forgotten vectors in Chroma's files."""
        self._discarded = False

    def search(self, space: Space, vector: Vector, most: int) -> dict[int, float]:
        """Return the cosines of the `most` nearest records."""
        collection, seen = self._open.get(space.number) or self._opened(space)
        numbers, vectors = self._tail(space, seen)
        if len(numbers) > TAIL:
            collection, seen, numbers = self.catch_up(space), space.generation, []
        found = collection.query(
            query_embeddings=[vector], n_results=min(most, SEARCH_WIDTH), include=["distances"]
        )
        near = {int(id): 1.0 - d for id, d in zip(found["ids"][0], found["distances"][0], strict=True)}
        if seen != space.generation:
            gone = {*numbers, *self._store.forgotten_since(space, seen)}
            near = {number: cosine for number, cosine in near.items() if number not in gone}
        return near | nearest(numbers, vectors, vector, most)

    def _tail(self, space: Space, seen: int) -> tuple[list[int], Vector]:
        """Return the newest vectors, which are not in the collection yet; more than `TAIL` if there are more."""
        import numpy as np

        numbers: list[int] = []
        empty = numbers, np.empty((0, 0), np.float32)
        if seen == space.generation:
            return empty
        embedder = str(self._belongs["embedder"])
        return next(self._store.vectors.since(space.number, embedder, seen, TAIL + 1), empty)

    def settle(self) -> None:
        """Bring what was opened up to date, or out of the files whole where something in it was forgotten."""
        for space in self._store.spaces():
            made = self._open[space.number][0].metadata["made"] if space.number in self._open else 0
            forgotten = space.name in self._unclean or self._store.forgotten_since(space, made)
            if (made or space.name in self._unclean) and forgotten and space.records <= MOST_MADE_ANEW:
                self._discard(space)
            elif made:
                self.catch_up(space)

    def catch_up(self, space: Space) -> Any:
        """Bring the namespace's collection to what the store holds; return it."""
        collection, seen = self._open.get(space.number) or self._opened(space)
        if seen != space.generation:
            self._follow(collection, space, seen)
        return collection

    def renew(self, space: Space) -> None:
        """Make the namespace's collection anew from the store."""
        self._discard(space)
        self.catch_up(space)

    def remove(self, name: str, numbers: Iterable[int]) -> None:
        """Remove these records' vectors from the search now, whichever embedder they are of."""
        from chromadb.errors import NotFoundError

        try:
            collection = self._client.get_collection(_collection_name(name), embedding_function=None)
        except NotFoundError:
            return
        _delete(collection, numbers)
        self._unclean.add(name)

    def close(self) -> None:
        """Close Chroma's files, and take out of them what was discarded."""
        self._client.close()
        if self._discarded:
            _sweep(self._folder, discarded=True)

    def _opened(self, space: Space) -> tuple[Any, int]:
        collection = self._create(space)
        found = dict(collection.metadata or {})
        seen, made = int(found.pop("generation", 0)), int(found.pop("made", 0))
        if not made or found != self._belongs or seen > space.generation:
            self._discard(space)
            collection, seen = self._create(space), 0
        if seen != space.generation:
            self._follow(collection, space, seen)
        wanted = self._store.vectors.count(space.number, str(self._belongs["embedder"]))
        if collection.count() != wanted and self._store.space(space.name) == space:
            self._discard(space)
            collection = self._create(space)
            self._follow(collection, space, 0)
        self._open[space.number] = collection, space.generation
        return self._open[space.number]

    def _create(self, space: Space) -> Any:
        return self._client.get_or_create_collection(
            _collection_name(space.name),
            metadata=self._belongs | {"generation": 0, "made": space.generation},
            embedding_function=None,
            configuration={"hnsw": {"space": "cosine", "ef_search": SEARCH_WIDTH}},
        )

    def _discard(self, space: Space) -> None:
        from chromadb.errors import NotFoundError

        self._open.pop(space.number, None)
        self._discarded = True
        try:
            self._client.delete_collection(_collection_name(space.name))
        except NotFoundError:
            return

    def _follow(self, collection: Any, space: Space, seen: int) -> None:
        embedder = str(self._belongs["embedder"])
        for numbers, vectors in self._store.vectors.since(space.number, embedder, seen, _BATCH):
            collection.upsert(ids=[str(number) for number in numbers], embeddings=vectors)
        _delete(collection, self._store.forgotten_since(space, seen) if seen else ())
        # Last, so that a process killed before it catches up again.
        made = collection.metadata["made"]
        collection.modify(metadata=self._belongs | {"generation": space.generation, "made": made})
        self._open[space.number] = collection, space.generation


class Lock:
    """Says which process owns Chroma's files. Freed by the system when the process ends, however it ends."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._held: int | None = None

    def acquire(self, seconds: float) -> bool:
        """Take the lock, waiting this long for it; say whether it is ours."""
        end = time.monotonic() + seconds
        while not (ours := self._try()) and time.monotonic() < end:
            time.sleep(0.05)
        return ours

    def holder(self) -> str:
        """Return the id of the process that took the lock last."""
        return self._file.read_text("ascii", "replace").strip() if self._file.exists() else ""

    def release(self) -> None:
        """Give the lock back."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def _try(self) -> bool:
        try:
            import fcntl
        except ImportError:  # Windows: every process searches the store's vectors
            return False
        if self._held is not None:
            return True
        handle = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # held by another process, or a file system without locks
            os.close(handle)
            return False
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        self._held = handle
        return True


def discard_files(folder: Path) -> None:
    """Remove Chroma's files: an index is made anew from the store, never repaired."""
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _is_torn(folder: Path) -> bool:
    """Say whether this is no folder, or lacks a graph that Chroma wrote: it counts such vectors and finds none."""
    if not folder.is_dir():
        return os.path.lexists(folder)
    file = folder / "chroma.sqlite3"
    if not file.is_file():
        return False
    with closing(sqlite3.connect(file)) as db:
        written = db.execute(
            "SELECT id FROM segments JOIN max_seq_id ON segment_id = id WHERE scope = 'VECTOR'"
        ).fetchall()
    return any(not (folder / id / part).is_file() for (id,) in written for part in _GRAPH)


def _sweep(folder: Path, *, discarded: bool = False) -> None:
    """Remove what Chroma leaves behind of deleted collections: files, queued writes, freed pages, with all vectors."""
    file = folder / "chroma.sqlite3"
    if not file.is_file():
        return
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        used = {id for (id,) in db.execute("SELECT id FROM segments")}
        left = [place for place in folder.iterdir() if place.is_dir() and place.name not in used]
        for place in left:
            discard_files(place)
        if left or discarded:
            db.execute(
                "DELETE FROM embeddings_queue WHERE NOT EXISTS "
                "(SELECT 1 FROM collections WHERE substr(topic, -length(collections.id)) = collections.id)"
            )
            db.execute("VACUUM")


def _collection_name(namespace: str) -> str:
    """Return a name that Chroma takes, whatever the namespace's is."""
    return "ns-" + blake2b(namespace.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _delete(collection: Any, numbers: Iterable[int]) -> None:
    ids = [str(number) for number in numbers]
    for start in range(0, len(ids), _BATCH):
        collection.delete(ids=ids[start : start + _BATCH])
