"""The vectors in the store: the truth from which every index of them can be made."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from crewkit.memory.base import Record
from crewkit.memory.rows import packed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]


class VectorTable:
    """Vectors by record and embedder. A record has one vector at most."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def set(self, vectors: dict[int, bytes], embedder: str) -> None:
        """Give records that are still there their vectors, in place of others."""
        self._db.executemany(
            "INSERT OR REPLACE INTO vectors SELECT number, ?, ? FROM records WHERE number = ?",
            ((embedder, vector, number) for number, vector in vectors.items()),
        )

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove the vectors of these records."""
        self._db.executemany("DELETE FROM vectors WHERE record = ?", ((number,) for number in numbers))

    def embedders(self, namespace: int) -> dict[str, int]:
        """Return how many vectors a namespace has of which embedder."""
        return dict(
            self._db.execute(
                "SELECT embedder, count(*) FROM records CROSS JOIN vectors ON record = number "
                "WHERE namespace = ? GROUP BY embedder",
                (namespace,),
            ).fetchall()
        )

    def other(self, namespace: int, embedder: str) -> tuple[str, int] | None:
        """Return another embedder that some vector of the namespace is of, and the vector's dimension."""
        least, most = self._db.execute(
            "SELECT (SELECT min(embedder) FROM vectors), (SELECT max(embedder) FROM vectors)"
        ).fetchone()
        if least in (None, embedder) and most in (None, embedder):
            return None
        row = self._db.execute(
            "SELECT embedder, length(vector) / 4 FROM records CROSS JOIN vectors ON record = number "
            "WHERE namespace = ? AND embedder != ? LIMIT 1",
            (namespace, embedder),
        ).fetchone()
        return (row[0], row[1]) if row else None

    def missing(self, namespace: int, embedder: str, generation: int) -> list[int]:
        """Return the records changed after a generation that have no vector of this embedder."""
        rows = self._db.execute(
            "SELECT number FROM records LEFT JOIN vectors ON record = number AND embedder = ? "
            "WHERE namespace = ? AND generation > ? AND record IS NULL ORDER BY number",
            (embedder, namespace, generation),
        )
        return [number for (number,) in rows]

    def known(self, records: dict[str, Record], embedder: str) -> dict[str, bytes]:
        """Return, by id, the vectors of this embedder that the same records have in any namespace."""
        known: dict[str, bytes] = {}
        for id, record in records.items():
            row = self._db.execute(
                "SELECT vector FROM records CROSS JOIN vectors ON record = number "
                "WHERE id = ? AND title = ? AND embedder = ? LIMIT 1",
                (id, packed(record.title), embedder),
            ).fetchone()
            if row is not None:
                known[id] = row[0]
        return known

    def since(
        self, namespace: int, embedder: str, generation: int, batch: int
    ) -> Iterator[tuple[list[int], Vectors]]:
        """Yield, in batches, the vectors of this embedder that changed after a generation."""
        rows = self._db.execute(
            "SELECT number, vector FROM records CROSS JOIN vectors ON record = number "
            "WHERE namespace = ? AND generation > ? AND embedder = ?",
            (namespace, generation, embedder),
        )
        while part := rows.fetchmany(batch):
            yield _array(part)

    def of(self, numbers: Iterable[int], embedder: str) -> tuple[list[int], Vectors]:
        """Return the vectors that these records have of this embedder."""
        rows = self._db.execute(
            "SELECT record, vector FROM vectors WHERE record IN (SELECT value FROM json_each(?)) AND embedder = ?",
            (json.dumps(list(numbers)), embedder),
        ).fetchall()
        return _array(rows)

    def count(self, namespace: int, embedder: str) -> int:
        """Count the vectors of this embedder."""
        (count,) = self._db.execute(
            "SELECT count(*) FROM records CROSS JOIN vectors ON record = number "
            "WHERE namespace = ? AND embedder = ?",
            (namespace, embedder),
        ).fetchone()
        return count


def _array(rows: list[tuple[int, bytes]]) -> tuple[list[int], Vectors]:
    import numpy as np

    vectors = np.frombuffer(b"".join(vector for _, vector in rows), np.float32)
    return [number for number, _ in rows], vectors.reshape(len(rows), -1) if rows else vectors.reshape(0, 0)
