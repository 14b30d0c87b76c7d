"""The truth about a memory: records, vectors and postings in one SQLite file.

Whatever searches vectors is an index of it. Each change of a namespace has a number, its *generation*; an
index that knows the generation it has seen catches up from there, or from 0.

Blocking, and for one thread: `semantic` gives it its own.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crewkit.errors import CrewkitError, InputError
from crewkit.memory import lexical
from crewkit.memory.base import Record
from crewkit.memory.lexical import Lexical, Stemmer, indexed_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

FORMAT = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS namespaces (
    number INTEGER PRIMARY KEY, name NOT NULL UNIQUE,
    generation INTEGER NOT NULL DEFAULT 0,
    records INTEGER NOT NULL DEFAULT 0, length INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS records (
    number INTEGER PRIMARY KEY AUTOINCREMENT, namespace INTEGER NOT NULL, id TEXT NOT NULL,
    text NOT NULL, source NOT NULL, start INTEGER, "end" INTEGER,
    title NOT NULL, author NOT NULL, time NOT NULL, metadata TEXT NOT NULL,
    length INTEGER NOT NULL, thread NOT NULL, position INTEGER NOT NULL, generation INTEGER NOT NULL,
    UNIQUE (namespace, id)
);
CREATE INDEX IF NOT EXISTS records_beside ON records (namespace, thread, position, number);
CREATE INDEX IF NOT EXISTS records_source ON records (namespace, source);
CREATE INDEX IF NOT EXISTS records_changed ON records (namespace, generation);
CREATE INDEX IF NOT EXISTS records_id ON records (id);
CREATE TABLE IF NOT EXISTS vectors (
    record INTEGER PRIMARY KEY, embedder TEXT NOT NULL, vector BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS forgotten (
    namespace INTEGER NOT NULL, generation INTEGER NOT NULL, record INTEGER NOT NULL,
    PRIMARY KEY (namespace, generation, record)
) WITHOUT ROWID;
"""

# A constant, the only thing ever formatted into the statements below.
_COLUMNS = 'text, source, start, "end", title, author, time, metadata'

_STREAM = "stream"
"""The thread of all records without an offset: they stand in the order in which they were added."""


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


class Store:
    """Records by namespace, with what finds them."""

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(file, timeout=30, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise CrewkitError(
                f"Memory {file} cannot be opened: {error}. Give it a folder that can be written."
            ) from error
        self._stemmer = Stemmer()
        self._lexical = Lexical(self._db, self._stemmer)
        try:
            self.stamp = self._prepare()
        except sqlite3.DatabaseError as error:
            self.close()
            raise CrewkitError(
                f"Memory {file} cannot be opened: {error}. Restore the file, or move it away to start empty."
            ) from error
        except CrewkitError:
            self.close()
            raise

    def _prepare(self) -> str:
        """Bring the file to the present format; return the stamp by which an index knows it."""
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA secure_delete = ON")
        with self._change():
            for statement in (_SCHEMA + lexical.SCHEMA).split(";\n"):
                self._db.execute(statement)
            fresh = {"format": str(FORMAT), "stamp": secrets.token_hex(8), "words": str(lexical.VERSION)}
            self._db.executemany("INSERT OR IGNORE INTO about VALUES (?, ?)", fresh.items())
            about = dict(self._db.execute("SELECT name, value FROM about"))
            if int(about["format"]) > FORMAT:
                raise CrewkitError(
                    f"Memory {self.file} has format {about['format']}, this crewkit reads up to {FORMAT}. "
                    "Update crewkit."
                )
            if about["words"] != str(lexical.VERSION):
                self._rebuild_postings()
        return about["stamp"]

    def close(self) -> None:
        """Close the file."""
        self._db.close()
        self._stemmer.close()

    @contextmanager
    def _change(self) -> Generator[None]:
        """Do all of this or nothing, alone among all processes."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def space(self, name: str) -> Space | None:
        """Return a namespace as it stands now; `None` where nothing was ever added."""
        row = self._db.execute(
            "SELECT number, generation, records, length FROM namespaces WHERE name = ?", (_packed(name),)
        ).fetchone()
        return Space(row[0], name, *row[1:]) if row else None

    def spaces(self) -> list[Space]:
        """Return all namespaces, by name."""
        rows = self._db.execute("SELECT number, name, generation, records, length FROM namespaces").fetchall()
        return sorted((Space(n, _unpacked(name), *rest) for n, name, *rest in rows), key=lambda s: s.name)

    # Adding and forgetting

    def unknown(self, name: str, records: Iterable[Record]) -> dict[str, Record]:
        """Return, by id and once each, the records that are not yet here as they are."""
        space = self.space(name)
        return {
            id: record
            for id, record in {r.id(): r for r in records}.items()
            if space is None or self._held(space.number, id) != _row(record)
        }

    def _held(self, namespace: int, id: str) -> tuple[Any, ...] | None:
        return self._db.execute(
            f"SELECT {_COLUMNS} FROM records WHERE namespace = ? AND id = ?",  # noqa: S608
            (namespace, id),
        ).fetchone()

    def add(self, name: str, records: dict[str, Record], vectors: dict[str, bytes], embedder: str) -> None:
        """Write records with their vectors, all or nothing.

        A record that is here already with another title or other metadata is written anew.
        """
        with self._change():
            self._db.execute("INSERT OR IGNORE INTO namespaces (name) VALUES (?)", (_packed(name),))
            space = self.space(name)
            assert space is not None
            fresh = self.unknown(name, records.values())
            if not fresh:
                return
            replaced = self._numbers(space.number, list(fresh))
            grown = -self._remove(space, replaced)
            for id, record in fresh.items():
                grown += self._insert(space, id, record, vectors.get(id), embedder)
            self._recount(space, len(fresh) - len(replaced), grown)

    def _insert(self, space: Space, id: str, record: Record, vector: bytes | None, embedder: str) -> int:
        thread = _STREAM if record.start is None else _packed(f"in {record.source}")
        cursor = self._db.execute(
            f"INSERT INTO records (namespace, id, {_COLUMNS}, length, thread, position, generation) "  # noqa: S608
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 0, ?)",
            (space.number, id, *_row(record), thread, space.generation + 1),
        )
        number = cursor.lastrowid
        assert number is not None
        length = self._lexical.add(space.number, number, indexed_text(record))
        self._db.execute(
            "UPDATE records SET length = ?, position = coalesce(start, number) WHERE number = ?",
            (length, number),
        )
        if vector is not None:
            self._db.execute("INSERT INTO vectors VALUES (?, ?, ?)", (number, embedder, vector))
        return length

    def forget(self, name: str, *, ids: Sequence[str], source: str | None) -> list[int]:
        """Remove records by id or by source with all that was made of them; return their numbers."""
        with self._change():
            space = self.space(name)
            if space is None:
                return []
            numbers = self._numbers(space.number, ids)
            if source is not None:
                numbers |= {
                    number
                    for (number,) in self._db.execute(
                        "SELECT number FROM records WHERE namespace = ? AND source = ?",
                        (space.number, _packed(source)),
                    )
                }
            if numbers:
                gone = self._remove(space, numbers)
                self._recount(space, -len(numbers), -gone)
        # Without this, what was forgotten stays readable in the write-ahead log until it is next reused.
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return sorted(numbers)

    def _numbers(self, namespace: int, ids: Iterable[str]) -> set[int]:
        rows = self._db.execute(
            "SELECT number FROM records WHERE namespace = ? AND id IN (SELECT value FROM json_each(?))",
            (namespace, json.dumps(list(ids))),
        )
        return {number for (number,) in rows}

    def _remove(self, space: Space, numbers: set[int]) -> int:
        """Remove records and what was made of them; return their length in words."""
        length = 0
        for number, record in self.records(numbers).items():
            length += self._lexical.remove(space.number, number, indexed_text(record))
        one = [(number,) for number in numbers]
        self._db.executemany("DELETE FROM vectors WHERE record = ?", one)
        self._db.executemany("DELETE FROM records WHERE number = ?", one)
        self._db.executemany(
            "INSERT INTO forgotten VALUES (?, ?, ?)",
            ((space.number, space.generation + 1, number) for number in numbers),
        )
        return length

    def _recount(self, space: Space, records: int, length: int) -> None:
        """Note a change of the namespace by this many records and words."""
        self._db.execute(
            "UPDATE namespaces SET generation = generation + 1, records = records + ?, length = length + ? "
            "WHERE number = ?",
            (records, length, space.number),
        )

    def _rebuild_postings(self) -> None:
        self._db.execute("DELETE FROM postings")
        for space in self.spaces():
            rows = self._db.execute(
                "SELECT number FROM records WHERE namespace = ?", (space.number,)
            ).fetchall()
            total = 0
            for (number,) in rows:
                length = self._lexical.add(space.number, number, indexed_text(self.records([number])[number]))
                self._db.execute("UPDATE records SET length = ? WHERE number = ?", (length, number))
                total += length
            self._recount(space, 0, total - space.length)
        self._db.execute("UPDATE about SET value = ? WHERE name = 'words'", (str(lexical.VERSION),))

    # Reading

    def search_words(self, space: Space, query: str, most: int) -> dict[int, float]:
        """Return the BM25 scores of the `most` best records."""
        return self._lexical.search(
            space.number, query, records=space.records, length=space.length, most=most
        )

    def records(self, numbers: Iterable[int]) -> dict[int, Record]:
        """Return these records by number; those that are gone are left out."""
        rows = self._db.execute(
            f"SELECT number, {_COLUMNS} FROM records "  # noqa: S608
            "WHERE number IN (SELECT value FROM json_each(?))",
            (json.dumps(list(numbers)),),
        )
        return {number: _record(row) for number, *row in rows}

    def authors(self, numbers: Iterable[int]) -> dict[int, str]:
        """Return the authors of those of these records that have one."""
        rows = self._db.execute(
            "SELECT number, author FROM records "
            "WHERE author != '' AND number IN (SELECT value FROM json_each(?))",
            (json.dumps(list(numbers)),),
        )
        return {number: _unpacked(author) for number, author in rows}

    def beside(self, numbers: Iterable[int]) -> dict[int, list[int]]:
        """Return the records before and after each of these.

        Passages of a document stand by their offset in it; records without an offset (what was said, facts)
        by the order in which they were added.
        """
        rows = self._db.execute(
            """
            SELECT r.number,
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
            (json.dumps(list(numbers)),),
        )
        return {number: [n for n in near if n is not None] for number, *near in rows}

    # Vectors

    def without_vector(self, space: Space, embedder: str, generation: int) -> list[int]:
        """Return the records changed after a generation that have no vector of this embedder."""
        rows = self._db.execute(
            "SELECT number FROM records LEFT JOIN vectors ON record = number AND embedder = ? "
            "WHERE namespace = ? AND generation > ? AND record IS NULL ORDER BY number",
            (embedder, space.number, generation),
        )
        return [number for (number,) in rows]

    def known_vectors(self, records: dict[str, Record], embedder: str) -> dict[str, bytes]:
        """Return, by id, the vectors of this embedder that the same records have in any namespace."""
        known: dict[str, bytes] = {}
        for id, record in records.items():
            row = self._db.execute(
                "SELECT vector FROM records JOIN vectors ON record = number "
                "WHERE id = ? AND title = ? AND embedder = ? LIMIT 1",
                (id, _packed(record.title), embedder),
            ).fetchone()
            if row is not None:
                known[id] = row[0]
        return known

    def set_vectors(self, space: Space, vectors: dict[int, bytes], embedder: str) -> None:
        """Give records their vectors, in place of those of another embedder."""
        with self._change():
            present = self.space(space.name)
            assert present is not None
            self._db.executemany(
                "INSERT OR REPLACE INTO vectors SELECT number, ?, ? FROM records WHERE number = ?",
                ((embedder, vector, number) for number, vector in vectors.items()),
            )
            self._db.executemany(
                "UPDATE records SET generation = ? WHERE number = ?",
                ((present.generation + 1, number) for number in vectors),
            )
            self._db.execute(
                "UPDATE namespaces SET generation = generation + 1 WHERE number = ?", (space.number,)
            )

    def vectors_since(
        self, space: Space, embedder: str, generation: int, batch: int
    ) -> Iterator[tuple[list[int], Vectors]]:
        """Yield, in batches, the vectors of this embedder that changed after a generation."""
        import numpy as np

        rows = self._db.execute(
            "SELECT number, vector FROM records JOIN vectors ON record = number "
            "WHERE namespace = ? AND generation > ? AND embedder = ?",
            (space.number, generation, embedder),
        )
        while part := rows.fetchmany(batch):
            vectors = np.frombuffer(b"".join(vector for _, vector in part), np.float32)
            yield [number for number, _ in part], vectors.reshape(len(part), -1)

    def vector_count(self, space: Space, embedder: str) -> int:
        """Count the vectors of this embedder."""
        (count,) = self._db.execute(
            "SELECT count(*) FROM records JOIN vectors ON record = number "
            "WHERE namespace = ? AND embedder = ?",
            (space.number, embedder),
        ).fetchone()
        return count

    def forgotten_since(self, space: Space, generation: int) -> list[int]:
        """Return the numbers of the records forgotten after a generation."""
        rows = self._db.execute(
            "SELECT record FROM forgotten WHERE namespace = ? AND generation > ?", (space.number, generation)
        )
        return [number for (number,) in rows]


def _row(record: Record) -> tuple[Any, ...]:
    try:
        metadata = json.dumps(record.metadata, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The metadata of a record from '{record.source}' is not JSON: {error}. "
            "Use texts, numbers, booleans, lists and dictionaries with text keys."
        ) from error
    texts = (record.title, record.author, record.time)
    return (
        _packed(record.text),
        _packed(record.source),
        record.start,
        record.end,
        *map(_packed, texts),
        metadata,
    )


def _record(row: Sequence[Any]) -> Record:
    text, source, start, end, title, author, time, metadata = row
    return Record(
        _unpacked(text),
        _unpacked(source),
        start,
        end,
        _unpacked(title),
        _unpacked(author),
        _unpacked(time),
        json.loads(metadata),
    )


def _packed(text: str) -> str | bytes:
    """Return a text as SQLite can hold it: file names and model output may contain lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def _unpacked(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "surrogatepass")
