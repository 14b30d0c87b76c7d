"""What can be asked of the file of a memory: namespaces, records, their neighbours, their words."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from crewkit.memory.base import Record, Where
from crewkit.memory.lexical import Lexical
from crewkit.memory.rows import COLUMNS, ORIGIN, STREAM, matching, packed, to_record, unpacked
from crewkit.memory.vector_table import VectorTable


@dataclass(frozen=True, slots=True)
class Space:
    """A namespace as it stands."""

    number: int
    name: str
    generation: int
    """Grows with each change."""
    records: int
    length: int
    """Words in all records together."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where some records of a namespace are from."""

    name: str
    records: int
    added: str
    """When the newest of them was added."""
    sha256: str | None = None
    """Of the document, where it was indexed as one."""


class Reader:
    """Reads records by namespace, and what finds them; changes nothing."""

    def __init__(self, db: sqlite3.Connection, lexical: Lexical) -> None:
        self.vectors = VectorTable(db)
        self._db = db
        self._lexical = lexical

    def space(self, name: str) -> Space | None:
        """Return a namespace as it stands now; `None` where nothing was ever added."""
        row = self._db.execute(
            "SELECT number, generation, records, length FROM namespaces WHERE name = ?", (packed(name),)
        ).fetchone()
        return Space(row[0], name, *row[1:]) if row else None

    def spaces(self) -> list[Space]:
        """Return all namespaces, by name."""
        rows = self._db.execute("SELECT number, name, generation, records, length FROM namespaces").fetchall()
        return sorted((Space(n, unpacked(name), *rest) for n, name, *rest in rows), key=lambda s: s.name)

    def search_words(
        self, space: Space, query: str, most: int, where: Where | None = None
    ) -> dict[int, float]:
        """Return the BM25 scores of the `most` best records."""
        return self._lexical.search(
            space.number,
            query,
            records=space.records,
            length=space.length,
            most=most,
            among=matching(space.number, where) if where else None,
        )

    def matches(self, space: Space, where: Where, most: int) -> list[int]:
        """Return the numbers of records that a filter lets through, at most so many."""
        query, values = matching(space.number, where)
        rows = self._db.execute(f"SELECT * FROM ({query}) LIMIT ?", [*values, most])  # noqa: S608
        return [number for (number,) in rows]

    def matching(self, space: Space, where: Where, numbers: Iterable[int]) -> set[int]:
        """Return those of these records that a filter lets through."""
        query, values = matching(space.number, where)
        rows = self._db.execute(
            f"SELECT value FROM json_each(?) WHERE value IN ({query})",  # noqa: S608
            [json.dumps(list(numbers)), *values],
        )
        return {number for (number,) in rows}

    def records(self, numbers: Iterable[int]) -> dict[int, Record]:
        """Return these records by number; those that are gone are left out."""
        rows = self._db.execute(
            f"SELECT number, {COLUMNS}, {ORIGIN} FROM records "  # noqa: S608
            "WHERE number IN (SELECT value FROM json_each(?))",
            (json.dumps(list(numbers)),),
        )
        return {number: to_record(row) for number, *row in rows}

    def listed(self, space: Space, *, source: str | None, most: int) -> list[Record]:
        """Return the newest records, or those of one source in their order."""
        if source is None:
            condition, order, values = "", "number DESC", [space.number, most]
        else:
            condition, order = "AND source = ?", "position, number"
            values = [space.number, packed(source), most]
        rows = self._db.execute(
            f"SELECT {COLUMNS}, {ORIGIN} FROM records WHERE namespace = ? {condition} "  # noqa: S608
            f"ORDER BY {order} LIMIT ?",
            values,
        )
        return [to_record(row) for row in rows]

    def found(self, id: str, most: int) -> list[tuple[str, Record]]:
        """Return the records whose id begins so, in any namespace, with the name of theirs."""
        rows = self._db.execute(
            f"SELECT name, {COLUMNS}, {ORIGIN} FROM records "  # noqa: S608
            "JOIN namespaces ON namespaces.number = namespace WHERE id >= ? AND id < ? LIMIT ?",
            (id, id + "\x7f", most),
        )
        return [(unpacked(name), to_record(row)) for name, *row in rows]

    def sources(self, space: Space) -> list[Source]:
        """Return where the records of a namespace are from, by name. Reads them all."""
        rows = self._db.execute(
            "SELECT source, count(*), max(added), max(json_extract(metadata, '$.sha256')) FROM records "
            "WHERE namespace = ? GROUP BY source ORDER BY source",
            (space.number,),
        )
        return [Source(unpacked(name), *rest) for name, *rest in rows]

    def authors(self, numbers: Iterable[int]) -> dict[int, str]:
        """Return the authors of those of these records that have one."""
        rows = self._db.execute(
            "SELECT number, author FROM records "
            "WHERE author != '' AND number IN (SELECT value FROM json_each(?))",
            (json.dumps(list(numbers)),),
        )
        return {number: unpacked(author) for number, author in rows}

    def beside(self, numbers: Iterable[int]) -> dict[int, list[int]]:
        """Return the records before and after each of these.

        Passages of a document stand by their offset in it. What was said (records without an offset) stands beside
        what else was said in its source, in the order in which it was added; where each has a source of its own,
        in that order alone.
        """
        rows = self._db.execute(
            """
            SELECT r.number, r.start IS NULL AND r.thread != ?,
                (SELECT o.number FROM records AS o
                 WHERE o.namespace = r.namespace AND o.thread = r.thread
                   AND (o.position, o.number) < (r.position, r.number)
                 ORDER BY o.position DESC, o.number DESC LIMIT 1),
                (SELECT o.number FROM records AS o
                 WHERE o.namespace = r.namespace AND o.thread = r.thread
                   AND (o.position, o.number) > (r.position, r.number)
                 ORDER BY o.position, o.number LIMIT 1)
            FROM json_each(?) AS wanted JOIN records AS r ON r.number = wanted.value
            """,
            (STREAM, json.dumps(list(numbers))),
        ).fetchall()
        near = {number: [n for n in beside if n is not None] for number, _, *beside in rows}
        alone = [number for number, said, *_ in rows if said and not near[number]]
        return near | self._added_beside(alone)

    def _added_beside(self, numbers: list[int]) -> dict[int, list[int]]:
        """Return what was added before and after each of these, where that has no offset either."""
        rows = self._db.execute(
            """
            SELECT r.number, o.number FROM json_each(?) AS wanted
            JOIN records AS r ON r.number = wanted.value
            JOIN records AS o ON o.start IS NULL AND o.number IN (
                (SELECT max(number) FROM records WHERE namespace = r.namespace AND number < r.number),
                (SELECT min(number) FROM records WHERE namespace = r.namespace AND number > r.number))
            """,
            (json.dumps(numbers),),
        )
        near: dict[int, list[int]] = {number: [] for number in numbers}
        for number, other in rows:
            near[number].append(other)
        return near

    def forgotten_since(self, space: Space, generation: int) -> list[int]:
        """Return the numbers of the records forgotten after a generation."""
        rows = self._db.execute(
            "SELECT record FROM forgotten WHERE namespace = ? AND generation > ?", (space.number, generation)
        )
        return [number for (number,) in rows]
