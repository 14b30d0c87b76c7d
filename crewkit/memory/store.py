"""The truth about a memory: records, vectors and postings in one SQLite file.

Whatever searches vectors is an index of it. Each change of a namespace has a number, its *generation*; an
index that knows the generation it has seen catches up from there, or from 0.

Blocking, and for one thread: `semantic` gives it its own.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from crewkit.errors import CrewkitError
from crewkit.memory import lexical
from crewkit.memory.base import Merge, Record
from crewkit.memory.lexical import Lexical, Stemmer, indexed_text
from crewkit.memory.reader import Reader, Space
from crewkit.memory.rows import (
    COLUMNS,
    FORMAT,
    INDICES,
    ORIGIN,
    TABLES,
    attributes,
    packed,
    thread,
    to_origin,
    to_record,
    to_row,
    upgrade,
)


class Store(Reader):
    """Writes records by namespace, with what finds them, and forgets them."""

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(file, timeout=30, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise CrewkitError(
                f"Memory {file} cannot be opened: {error}. Give it a folder that can be written."
            ) from error
        self._stemmer = Stemmer()
        super().__init__(db, Lexical(db, self._stemmer))
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
            for statement in (TABLES + ";" + lexical.SCHEMA).split(";\n"):
                self._db.execute(statement)
            fresh = {"format": str(FORMAT), "stamp": secrets.token_hex(8), "words": str(lexical.VERSION)}
            self._db.executemany("INSERT OR IGNORE INTO about VALUES (?, ?)", fresh.items())
            about = dict(self._db.execute("SELECT name, value FROM about"))
            if int(about["format"]) > FORMAT:
                raise CrewkitError(
                    f"Memory {self.file} has format {about['format']}, this crewkit reads up to {FORMAT}. "
                    "Update crewkit."
                )
            if int(about["format"]) < FORMAT:
                upgrade(self._db, int(about["format"]))
                self._db.execute("UPDATE about SET value = ? WHERE name = 'format'", (str(FORMAT),))
            for statement in INDICES.split(";\n"):
                self._db.execute(statement)
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

    # Adding

    def unknown(self, name: str, records: Sequence[Record]) -> tuple[list[str], dict[str, Record]]:
        """Return the ids of the records in their order, and by id those that are not yet here as they are."""
        space = self.space(name)
        ids: list[str] = []
        fresh: dict[str, Record] = {}
        for record in records:
            id = record.id()
            held = self._held(space.number, id) if space else None
            if (
                space
                and held is None
                and record.origin.path
                and (earlier := self._tried(space.number, record))
            ):
                id, held = earlier, record
            ids.append(id)
            if held is None or to_row(held) != to_row(record):
                fresh[id] = record
        return ids, fresh

    def _held(self, namespace: int, id: str) -> Record | None:
        row = self._db.execute(
            f"SELECT {COLUMNS}, {ORIGIN} FROM records WHERE namespace = ? AND id = ?",  # noqa: S608
            (namespace, id),
        ).fetchone()
        return to_record(row) if row else None

    def _tried(self, namespace: int, record: Record) -> str | None:
        """Return the id under which an earlier try of the same step added this; it may have had another time."""
        row = self._db.execute(
            "SELECT id FROM records WHERE run = ? AND path = ? AND namespace = ? AND text = ? AND source = ? "
            "AND author = ? AND run != ''",
            (
                *map(packed, (record.origin.run, record.origin.path)),
                namespace,
                *map(packed, (record.text, record.source, record.author)),
            ),
        ).fetchone()
        return row[0] if row else None

    def add(
        self,
        name: str,
        records: dict[str, Record],
        vectors: dict[str, bytes],
        embedder: str,
        merge: Merge | None = None,
    ) -> None:
        """Write records with their vectors, all or nothing.

        A record that is here already with another title or other metadata keeps its place and is written anew.
        """
        with self._change():
            self._db.execute("INSERT OR IGNORE INTO namespaces (name) VALUES (?)", (packed(name),))
            space = self.space(name)
            assert space is not None
            added = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            count = grown = changed = 0
            for id, record in records.items():
                held = self._held(space.number, id)
                if held is None:
                    number, length = self._insert(space, id, record, added)
                    count += 1
                    grown += length
                else:
                    kept = merge(held, record) if merge else record
                    if to_row(kept) == to_row(held):
                        continue
                    number, length = self._replace(space, id, held, kept)
                    grown += length
                changed += 1
                if id in vectors:
                    self.vectors.set({number: vectors[id]}, embedder)
            if changed:
                self._recount(space, count, grown)

    def _insert(self, space: Space, id: str, record: Record, added: str) -> tuple[int, int]:
        """Write a record; return its number and how many words it has."""
        cursor = self._db.execute(
            f"INSERT INTO records (namespace, id, {COLUMNS}, length, thread, position, generation, {ORIGIN}) "  # noqa: S608
            f"VALUES ({', '.join('?' * 20)})",
            (
                *(space.number, id, *to_row(record)),
                *(0, thread(record), 0, space.generation + 1),
                *to_origin(record.origin, added),
            ),
        )
        number = cursor.lastrowid
        assert number is not None
        length = self._find_by(space, number, record)
        self._db.execute(
            "UPDATE records SET length = ?, position = coalesce(start, number) WHERE number = ?",
            (length, number),
        )
        return number, length

    def _replace(self, space: Space, id: str, held: Record, record: Record) -> tuple[int, int]:
        """Write a record over the one of the same id, in its place; return its number and how it grew in words."""
        (number,) = self._numbers(space.number, [id])
        shrunk = self._find_no_more(space, number, held)
        if indexed_text(held) != indexed_text(record):
            self.vectors.remove([number])
        length = self._find_by(space, number, record)
        assigned = ", ".join(f"{column.strip()} = ?" for column in COLUMNS.split(","))
        self._db.execute(
            f"UPDATE records SET {assigned}, length = ?, generation = ? WHERE number = ?",  # noqa: S608
            (*to_row(record), length, space.generation + 1, number),
        )
        return number, length - shrunk

    def _find_by(self, space: Space, number: int, record: Record) -> int:
        """Write what finds a record; return how many words it has."""
        self._db.executemany(
            "INSERT OR IGNORE INTO attributes VALUES (?, ?, ?, ?)", attributes(space.number, number, record)
        )
        return self._lexical.add(space.number, number, indexed_text(record))

    def _find_no_more(self, space: Space, number: int, record: Record) -> int:
        """Remove what `_find_by` wrote; return how many words the record has."""
        self._db.executemany(
            "DELETE FROM attributes WHERE namespace = ? AND name = ? AND value = ? AND record = ?",
            attributes(space.number, number, record),
        )
        return self._lexical.remove(space.number, number, indexed_text(record))

    def set_vectors(self, space: Space, vectors: dict[int, bytes], embedder: str) -> None:
        """Give records their vectors, in place of those of another embedder."""
        with self._change():
            present = self.space(space.name)
            assert present is not None
            self.vectors.set(vectors, embedder)
            self._db.executemany(
                "UPDATE records SET generation = ? WHERE number = ?",
                ((present.generation + 1, number) for number in vectors),
            )
            self._recount(present, 0, 0)

    # Forgetting

    def forget(self, name: str, *, ids: Sequence[str], source: str | None, before: str = "") -> list[int]:
        """Remove records by id, source or age with all that was made of them; return their numbers."""
        with self._change():
            space = self.space(name)
            if space is None:
                return []
            numbers = self._numbers(space.number, ids)
            if source is not None:
                numbers |= self._selected("source = ?", space.number, packed(source))
            if before:
                numbers |= self._selected("added < ?", space.number, before)
            if numbers:
                gone = self._remove(space, numbers)
                self._recount(space, -len(numbers), -gone)
        # Without this, what was forgotten stays readable in the write-ahead log until it is next reused.
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return sorted(numbers)

    def _numbers(self, namespace: int, ids: Iterable[str]) -> set[int]:
        wanted = json.dumps(list(ids))
        return self._selected("id IN (SELECT value FROM json_each(?))", namespace, wanted)

    def _selected(self, condition: str, namespace: int, value: str | bytes) -> set[int]:
        rows = self._db.execute(
            f"SELECT number FROM records WHERE namespace = ? AND {condition}",  # noqa: S608 - constants of ours
            (namespace, value),
        )
        return {number for (number,) in rows}

    def _remove(self, space: Space, numbers: set[int]) -> int:
        """Remove records and what was made of them; return their length in words."""
        length = 0
        for number, record in self.records(numbers).items():
            length += self._find_no_more(space, number, record)
        one = [(number,) for number in numbers]
        self.vectors.remove(numbers)
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
