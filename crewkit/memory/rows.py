"""Records as rows of SQL: the tables, what a row holds, and filters."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, cast

from crewkit.core.label import UNKNOWN, Label
from crewkit.core.messages import canonical
from crewkit.errors import InputError
from crewkit.memory.base import Origin, Record, Where

FORMAT = 2

TABLES = """
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
    crew NOT NULL DEFAULT '', agent NOT NULL DEFAULT '', run NOT NULL DEFAULT '', path NOT NULL DEFAULT '',
    label TEXT NOT NULL DEFAULT '', added TEXT NOT NULL DEFAULT '',
    UNIQUE (namespace, id)
);
CREATE TABLE IF NOT EXISTS vectors (
    record INTEGER PRIMARY KEY, embedder TEXT NOT NULL, vector BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS forgotten (
    namespace INTEGER NOT NULL, generation INTEGER NOT NULL, record INTEGER NOT NULL,
    PRIMARY KEY (namespace, generation, record)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attributes (
    namespace INTEGER NOT NULL, name NOT NULL, value NOT NULL, record INTEGER NOT NULL,
    PRIMARY KEY (namespace, name, value, record)
) WITHOUT ROWID
"""

INDICES = """
CREATE INDEX IF NOT EXISTS records_beside ON records (namespace, thread, position, number);
CREATE INDEX IF NOT EXISTS records_order ON records (namespace);
CREATE INDEX IF NOT EXISTS records_source ON records (namespace, source);
CREATE INDEX IF NOT EXISTS records_changed ON records (namespace, generation);
CREATE INDEX IF NOT EXISTS records_added ON records (namespace, added);
CREATE INDEX IF NOT EXISTS vectors_embedder ON vectors (embedder);
CREATE INDEX IF NOT EXISTS records_step ON records (run, path) WHERE run != '';
CREATE INDEX IF NOT EXISTS records_id ON records (id)
"""

# Constants, the only thing ever formatted into statements.
COLUMNS = 'text, source, start, "end", title, author, time, metadata'
ORIGIN = "crew, agent, run, path, label, added"

STREAM = "stream"
"""The thread of all records without a source."""

_OWN = ("author", "crew", "agent", "run")
"""What a filter may name besides the source and the keys of the metadata."""

_LONGEST_VALUE = 200
"""Characters of a value that a filter compares."""


def upgrade(db: sqlite3.Connection, found: int) -> None:
    """Bring the tables of an older format to the present one."""
    if found < 2:
        for column in ("crew", "agent", "run", "path"):
            db.execute(f"ALTER TABLE records ADD COLUMN {column} NOT NULL DEFAULT ''")
        db.execute("ALTER TABLE records ADD COLUMN label TEXT NOT NULL DEFAULT ''")
        db.execute("ALTER TABLE records ADD COLUMN added TEXT NOT NULL DEFAULT ''")
        rows = db.execute(f"SELECT namespace, number, {COLUMNS}, {ORIGIN} FROM records").fetchall()  # noqa: S608
        for namespace, number, *row in rows:
            record = to_record(row)
            db.execute("UPDATE records SET thread = ? WHERE number = ?", (thread(record), number))
            db.executemany(
                "INSERT OR IGNORE INTO attributes VALUES (?, ?, ?, ?)", attributes(namespace, number, record)
            )


def thread(record: Record) -> str | bytes:
    """Return what a record's neighbours share with it."""
    return packed(f"in {record.source}") if record.source or record.start is not None else STREAM


def to_row(record: Record) -> tuple[Any, ...]:
    """Return what the columns hold of a record, but for its origin."""
    try:
        metadata = json.dumps(record.metadata, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The metadata of a record from '{record.source}' is not JSON: {error}. "
            "Use texts, numbers, booleans, lists and dictionaries with text keys."
        ) from error
    texts = (record.title, record.author, record.time)
    return (
        packed(record.text),
        packed(record.source),
        record.start,
        record.end,
        *map(packed, texts),
        metadata,
    )


def to_origin(origin: Origin, added: str) -> tuple[Any, ...]:
    """Return what the columns hold of a record's origin."""
    names = map(packed, (origin.crew, origin.agent, origin.run, origin.path))
    label = "" if origin.label == UNKNOWN else canonical(origin.label.to_data())
    return (*names, packed(label), origin.added or added)


def to_record(row: Sequence[Any]) -> Record:
    """Return the record of a row of `COLUMNS` and `ORIGIN`."""
    text, source, start, end, title, author, time, metadata, crew, agent, run, path, label, added = row
    return Record(
        unpacked(text),
        unpacked(source),
        start,
        end,
        unpacked(title),
        unpacked(author),
        unpacked(time),
        json.loads(metadata),
        Origin(
            unpacked(crew),
            unpacked(agent),
            unpacked(run),
            unpacked(path),
            Label.from_data(json.loads(unpacked(label) or "null")),
            added,
        ),
    )


def attributes(namespace: int, number: int, record: Record) -> Iterator[tuple[Any, ...]]:
    """Yield the rows by which filters find a record."""
    own = {"author": record.author} | {name: getattr(record.origin, name) for name in _OWN[1:]}
    for name, value in own.items():
        if value:
            yield namespace, name, _compared(value), number
    for key, value in record.metadata.items():
        if isinstance(value, str | int | float):
            yield namespace, packed(f".{key}"), _compared(value), number


def matching(namespace: int, where: Where) -> tuple[str, list[Any]]:
    """Return a query for the numbers of the records that a filter lets through, and its values."""
    parts: list[str] = []
    values: list[Any] = []
    for name, wanted in where.items():
        several = cast("list[Any]", wanted if isinstance(wanted, list | tuple | set) else [wanted])
        marks = ", ".join("?" * len(several))
        if name == "source":
            parts.append(f"SELECT number FROM records WHERE namespace = ? AND source IN ({marks})")  # noqa: S608
            values += [namespace, *(packed(str(each)) for each in several)]
        else:
            parts.append(
                f"SELECT record FROM attributes WHERE namespace = ? AND name = ? AND value IN ({marks})"  # noqa: S608
            )
            key = name if name in _OWN else f".{name}"
            values += [namespace, packed(key), *(_compared(each) for each in several)]
    return " INTERSECT ".join(parts), values


def _compared(value: Any) -> str | bytes:
    """Return a value as filters compare it: `1` and `1.0` are the same, `1` and `"1"` are not."""
    if isinstance(value, str):
        return packed(f'"{value[:_LONGEST_VALUE]}')
    if isinstance(value, bool) or not isinstance(value, int | float):
        return json.dumps(value)[:_LONGEST_VALUE]
    return json.dumps(int(value) if value == value // 1 else value)


def packed(text: str) -> str | bytes:
    """Return a text as SQLite can hold it: file names and model output may contain lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def unpacked(value: str | bytes) -> str:
    """Return a text that `packed` made fit."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogatepass")
