"""The SQLite file under the journal: opening, transactions, and what its errors mean."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from crewkit.errors import InputError, JournalError
from crewkit.journal.sql import Row

_SCHEMAS = (
    # 1: from nothing. A later version appends its step here; a file goes through those it has not seen.
    """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE runs (
        run TEXT PRIMARY KEY, crew TEXT NOT NULL, status TEXT NOT NULL, started TEXT NOT NULL,
        updated TEXT NOT NULL, seq INTEGER NOT NULL, epoch INTEGER NOT NULL, held INTEGER NOT NULL,
        pid INTEGER NOT NULL, host TEXT NOT NULL, seg TEXT NOT NULL
    );
    CREATE TABLE events (
        run TEXT NOT NULL, seq INTEGER NOT NULL, v INTEGER NOT NULL, type TEXT NOT NULL, ts TEXT NOT NULL,
        t REAL NOT NULL, seg TEXT NOT NULL, path TEXT NOT NULL, task TEXT NOT NULL, agent TEXT NOT NULL,
        attempt INTEGER NOT NULL, key TEXT, data TEXT NOT NULL,
        PRIMARY KEY (run, seq)
    );
    CREATE UNIQUE INDEX events_key ON events (run, key) WHERE key IS NOT NULL;
    """,
    # 2: forks, paused runs that can go on, sizes.
    """
    ALTER TABLE runs ADD COLUMN origin TEXT NOT NULL DEFAULT '';
    ALTER TABLE runs ADD COLUMN origin_seq INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN wake TEXT NOT NULL DEFAULT '';
    ALTER TABLE runs ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
    UPDATE runs SET bytes = (SELECT coalesce(sum(length(CAST(data AS BLOB))), 0) FROM events WHERE run = runs.run);
    CREATE INDEX runs_wake ON runs (wake) WHERE wake <> '';
    """,
    # 3: runs that are handed over to workers.
    """
    ALTER TABLE runs ADD COLUMN queue TEXT NOT NULL DEFAULT '';
    CREATE INDEX runs_queue ON runs (queue) WHERE queue <> '' AND status = 'running';
    """,
    # 4: the newest runs, and what was forked from a run.
    """
    CREATE INDEX runs_started ON runs (started);
    CREATE INDEX runs_origin ON runs (origin) WHERE origin <> '';
    """,
)

_UNWRITABLE = "it cannot be written. Give yourself the right to, or set CREWKIT_HOME to another folder."
_MOVE_AWAY = "Move it away to begin a new one; `sqlite3 FILE .recover` may save more of it."
_HINTS = {
    sqlite3.SQLITE_FULL: "the disk is full. Nothing recorded is lost: free some space and resume the run.",
    sqlite3.SQLITE_READONLY: _UNWRITABLE,
    sqlite3.SQLITE_PERM: _UNWRITABLE,
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened. Check the rights on file and folder, or set CREWKIT_HOME.",
    sqlite3.SQLITE_CORRUPT: f"it is damaged. {_MOVE_AWAY}",
    sqlite3.SQLITE_NOTADB: f"it is no journal, or damaged. {_MOVE_AWAY}",
    sqlite3.SQLITE_IOERR: "the disk failed. Nothing recorded is lost: check the disk and resume the run.",
    sqlite3.SQLITE_TOOBIG: "an event is larger than SQLite can hold (1 GB).",
}
_DAMAGE = (0, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR)
"""Codes of errors that come from the place that is read; 0 is text that is not UTF-8."""


class Database:
    """One SQLite file with one connection that writes and one that reads, each under a lock."""

    def __init__(self, path: Path, *, create: bool, timeout: float) -> None:
        """Open the file and bring its tables to this version.

        Args:
            path: The SQLite file.
            create: Make it, and the folder, if it is not there.
            timeout: Seconds to wait for another program that is writing.

        Raises:
            InputError: The file is not there and `create` is false.
            JournalError: It cannot be opened, or a newer crewkit wrote it.
        """
        self.path = path
        self._timeout = timeout
        self._writing = threading.RLock()
        self._reading = threading.Lock()
        self._synchronous = ""
        self._closed = False
        if create:
            self._make_file()
        elif not path.exists():
            raise InputError(f"No runs here yet: there is no {path}. Begin one: crewkit run FILE")
        with self._explained():
            self._writer = self._connect()
            self._file = _identity(path)
            try:
                self._migrate()
                self._reader = self._connect()
            except BaseException:
                self._writer.close()
                raise

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Generator[sqlite3.Connection]:
        """Write all that the block writes, or nothing. `durable`: on return it survives a loss of power."""
        with self._explained(), self._writing:
            self._check_file()
            synchronous = "FULL" if durable else "NORMAL"
            if synchronous != self._synchronous:
                self._writer.execute(f"PRAGMA synchronous = {synchronous}")
                self._synchronous = synchronous
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._writer.execute("ROLLBACK")
                raise

    def all(self, query: str, *values: str | int) -> list[Row]:
        """Read all rows."""
        with self._explained(), self._reading:
            return self._reader.execute(query, values).fetchall()

    def readable(self, query: str, values: Sequence[str | int]) -> tuple[list[Row], str]:
        """Read the rows that can be read; say what damage hides the others, or nothing."""
        rows: list[Row] = []
        try:
            with self._reading:
                rows.extend(self._reader.execute(query, values))
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if self._closed or _code(error) not in _DAMAGE:
                raise self._error(error) from error
            return rows, self._why(error)
        return rows, ""

    def compact(self) -> bool:
        """Write the file anew without the pages that nothing is on; say whether no other process was in the way."""
        with self._explained(), self._writing:
            self._check_file()
            try:
                self._writer.execute("VACUUM")
                (busy, _, _) = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.OperationalError as error:
                if _code(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL):
                    raise
                return False
            return not busy

    def close(self) -> None:
        """Close both connections."""
        with self._writing, self._reading:
            self._closed = True
            for connection in (self._writer, self._reader):
                with suppress(sqlite3.Error):
                    connection.close()

    def _make_file(self) -> None:
        folder = self.path.parent
        try:
            ours = folder.name == ".crewkit" or not folder.exists()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if ours and not (folder / ".gitignore").exists():
                (folder / ".gitignore").write_text("*\n")
            if not self.path.exists():
                # Made by us and not by SQLite: nobody else may read it, not even for a moment.
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise JournalError(
                f"The journal {self.path} cannot be made: {error.strerror}. "
                "Run in a folder that you can write, or set CREWKIT_HOME to one."
            ) from error

    def _check_file(self) -> None:
        """SQLite would go on in a file that no longer has a name, and nobody would ever read it."""
        if not self._closed and _identity(self.path) != self._file:
            raise JournalError(
                f"The journal {self.path} was removed or replaced while it was in use: what is recorded now "
                "would be lost. Put it back and begin again."
            )

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=self._timeout, isolation_level=None, check_same_thread=False)
        try:
            db.execute("SELECT 1 FROM sqlite_master").fetchall()
        except sqlite3.OperationalError:
            db.close()
            if os.access(self.path.parent, os.W_OK) or _has_content(Path(f"{self.path}-wal")):
                raise
            # A journal at rest, in a folder where SQLite may not make its side files.
            uri = f"{self.path.absolute().as_uri()}?immutable=1"
            return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        except BaseException:
            db.close()
            raise
        return db

    def _migrate(self) -> None:
        if self._version() == len(_SCHEMAS):
            return
        self._use_wal()
        with self.transaction(durable=True) as db:
            for schema in _SCHEMAS[self._version() :]:
                for statement in filter(str.strip, schema.split(";")):
                    db.execute(statement)
            db.execute("INSERT OR REPLACE INTO meta VALUES ('schema', ?)", (str(len(_SCHEMAS)),))

    def _use_wal(self) -> None:
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                self._writer.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                # SQLite itself does not wait here, and another process may be making the same file.
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _version(self) -> int:
        tables = {
            name for (name,) in self._writer.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        if not tables:
            return 0
        if not {"meta", "runs", "events"} <= tables:
            raise JournalError(
                f"{self.path} is another program's database. Set CREWKIT_HOME to another folder."
            )
        found = self._writer.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
        version = str(found[0]) if found else ""
        if not (version.isascii() and version.isdigit()):
            raise JournalError(
                f"The journal {self.path} does not say what it is made of: it is damaged. {_MOVE_AWAY}"
            )
        if int(version) > len(_SCHEMAS):
            raise JournalError(
                f"The journal {self.path} has schema {version}; this crewkit knows {len(_SCHEMAS)}. "
                "A newer crewkit wrote it: upgrade this one."
            )
        return int(version)

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:  # SQLite may quote what it cannot read
            raise self._error(error) from error

    def _error(self, error: Exception) -> JournalError:
        return JournalError(f"The journal {self.path}: {self._why(error)}")

    def _why(self, error: Exception) -> str:
        if self._closed:
            return "it is closed in this process."
        code = _code(error)
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return f"another program has kept it locked for {self._timeout:g} s. Find it: fuser {self.path}"
        if isinstance(error, UnicodeDecodeError):
            code = sqlite3.SQLITE_CORRUPT
        return f"{_HINTS.get(code, 'SQLite refused.')} ({error})"


def _code(error: Exception) -> int:
    """Return SQLite's primary result code, 0 where Python raised the error."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
