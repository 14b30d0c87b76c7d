"""Runs in one SQLite file, which any number of processes on the machine share."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from crewkit.core.events import Draft, Event
from crewkit.errors import JournalError
from crewkit.journal.base import Lease, Write
from crewkit.journal.database import Database
from crewkit.journal.lock import FileLock
from crewkit.journal.sql import (
    COLUMNS,
    Row,
    SqlJournal,
    Tail,
    check_run_id,
    me,
    now,
    plain,
    tail_of,
    taken,
    to_json,
)


def journal_home(start: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of runs: `CREWKIT_HOME`, or the nearest `.crewkit` upwards, or one to be made here.

    Args:
        start: Where to look from; the working directory if left out.
        environ: Where `CREWKIT_HOME` is looked up.
    """
    if home := environ.get("CREWKIT_HOME"):
        return Path(home).expanduser().absolute()
    try:
        here = (start or Path.cwd()).absolute()
    except FileNotFoundError as error:
        raise JournalError("The working directory does not exist any more: change to another one.") from error
    homes = (folder / ".crewkit" for folder in (here, *here.parents))
    return next((home for home in homes if home.is_dir()), here / ".crewkit")


class SqliteJournal(SqlJournal):
    """Runs in one SQLite file, which any number of processes on the machine share.

    The lease of a run is a locked file beside the journal, which the kernel frees when the process dies, and
    an epoch, by which an owner who lost it is refused. The table of runs is an index, kept in the same
    transaction as the events it is derived from.
    """

    def __init__(self, path: Path, *, create: bool = True, timeout: float = 10.0) -> None:
        """Open the file.

        Args:
            path: The SQLite file.
            create: Make it, and the folder, if it is not there.
            timeout: Seconds to wait for another program that is writing.

        Raises:
            InputError: The file is not there and `create` is false.
            JournalError: It cannot be opened, or a newer crewkit wrote it.
        """
        self.path = path
        self.where = str(path)
        self._db = Database(path, create=create, timeout=timeout)
        self._locks: dict[str, FileLock] = {}

    def begin(self, run: str, crew: str, seg: str) -> Lease:
        """Make a new run and take its lease."""
        return self._make(run, crew, seg)

    def fork(self, origin: str, seq: int, run: str, crew: str, seg: str) -> Lease:
        """Make a new run that shares the events of another up to `seq`, and take its lease."""
        return self._make(run, crew, seg, origin, seq)

    def _make(self, run: str, crew: str, seg: str, origin: str = "", shared: int = 0) -> Lease:
        check_run_id(run)
        self._lock(run)
        started = now()
        row = (run, plain(crew), started, started, shared, *me(seg), origin, shared)
        try:
            with self._db.transaction() as db:
                if origin:
                    self._check_origin(origin, shared)
                made = db.execute(
                    "INSERT INTO runs (run, crew, status, started, updated, seq, epoch, held, pid, host, seg, origin,"
                    " origin_seq) VALUES (?, ?, 'running', ?, ?, ?, 1, 1, ?, ?, ?, ?, ?) ON CONFLICT (run) DO UPDATE"
                    " SET crew = excluded.crew, started = excluded.started, updated = excluded.updated,"
                    " seq = excluded.seq, epoch = epoch + 1, held = 1, pid = excluded.pid, host = excluded.host,"
                    " seg = excluded.seg, origin = excluded.origin, origin_seq = excluded.origin_seq"
                    " WHERE seq = origin_seq",
                    row,
                ).rowcount
                if not made:
                    raise taken(run)
                (epoch,) = db.execute("SELECT epoch FROM runs WHERE run = ?", (run,)).fetchone()
        except BaseException:
            self._unlock(run)
            raise
        return Lease(run, epoch, seg)

    def take(self, run: str, seg: str) -> Lease:
        """Take the lease of a run that no living process holds."""
        self._owner(run)
        self._lock(run)
        try:
            with self._db.transaction() as db:
                db.execute(
                    "UPDATE runs SET epoch = epoch + 1, held = 1, pid = ?, host = ?, seg = ? WHERE run = ?",
                    (*me(seg), run),
                )
                (epoch,) = db.execute("SELECT epoch FROM runs WHERE run = ?", (run,)).fetchone()
        except BaseException:
            self._unlock(run)
            raise
        return Lease(run, epoch, seg)

    def release(self, lease: Lease) -> None:
        """Give the lease back. A dead process's lease is free without it."""
        try:
            with self._db.transaction() as db:
                db.execute("UPDATE runs SET held = 0 WHERE run = ? AND epoch = ?", (lease.run, lease.epoch))
        finally:
            self._unlock(lease.run)

    def append(self, writes: Sequence[Write]) -> list[list[Event]]:
        """Append all the writes in one transaction; return what became of each, in order."""
        tails: dict[str, Tail] = {}
        answer: list[list[Event]] = []
        with self._db.transaction(durable=any(write.durable for write in writes)) as db:
            for write in writes:
                tail = tails.get(write.run)
                if tail is None:
                    tail = tails[write.run] = _tail(db, write.run) or self._unknown(write.run)
                tail.check_right(write)
                outside = write.epoch is None
                answer.append(
                    [event for draft in write.drafts if (event := _add(db, tail, draft, outside=outside))]
                )
            for tail in tails.values():
                db.execute(
                    "UPDATE runs SET seq = ?, status = ?, started = ?, updated = ?, wake = ?, told = ?, bytes = ?,"
                    " queue = ? WHERE run = ?",
                    (*tail.values(), tail.run),
                )
        return answer

    def remove(self, run: str) -> None:
        """Remove a run and its events."""
        lease = self.take(run, "")
        try:
            with self._db.transaction(durable=True) as db:
                self._unshared(run)
                db.execute("DELETE FROM events WHERE run = ?", (run,))
                db.execute("DELETE FROM runs WHERE run = ?", (run,))
        finally:
            self.release(lease)

    def rewrite(self, run: str, change: Callable[[str, dict[str, Any]], dict[str, Any]]) -> None:
        """Put other data into a run's own events."""
        lease = self.take(run, "")
        try:
            rows = self._changed(run, change)
            size = sum(len(text.encode()) for text, _ in rows)
            with self._db.transaction(durable=True) as db:
                self._unshared(run)
                db.executemany(
                    "UPDATE events SET data = ? WHERE run = ? AND seq = ?", ((t, run, n) for t, n in rows)
                )
                db.execute("UPDATE runs SET bytes = ? WHERE run = ?", (size, run))
        finally:
            self.release(lease)

    def compact(self) -> bool:
        """Give the space of what was removed back to the disk; say whether that is done."""
        return self._db.compact()

    def close(self) -> None:
        """Give back the leases of this object and close the file."""
        if self._locks:
            with suppress(JournalError), self._db.transaction() as db:
                db.executemany("UPDATE runs SET held = 0 WHERE run = ?", [(run,) for run in self._locks])
        for run in list(self._locks):
            self._unlock(run)
        self._db.close()

    def _all(self, query: str, *values: str | int) -> list[Row]:
        return self._db.all(query, *values)

    def _readable(self, query: str, values: Sequence[str | int]) -> tuple[list[Row], str]:
        return self._db.readable(query, values)

    def _held_of(self, runs: Sequence[str]) -> set[str]:
        try:
            locked = set(os.listdir(self.path.parent / "locks"))  # of many runs few are held
        except OSError:
            return set()
        return {run for run in runs if run in locked and self._lock_file(run).held()}

    def _lock_file(self, run: str) -> FileLock:
        return FileLock(self.path.parent / "locks" / run)

    def _lock(self, run: str) -> None:
        lock = self._lock_file(run)
        if not lock.acquire():
            raise self._busy(run)
        self._locks[run] = lock

    def _unlock(self, run: str) -> None:
        if lock := self._locks.pop(run, None):
            lock.release()


def _add(db: sqlite3.Connection, tail: Tail, draft: Draft, *, outside: bool) -> Event | None:
    """Append one event; nothing where the run holds its key already."""
    key = None if draft.key is None else plain(draft.key)
    if (
        key is not None
        and db.execute("SELECT 1 FROM events WHERE run = ? AND key = ?", (tail.run, key)).fetchone()
    ):
        return None
    text = to_json(tail.run, draft)
    event = tail.add(draft, len(text.encode()), outside=outside)
    db.execute(
        f"INSERT INTO events ({COLUMNS}, key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (
            *(event.run, event.seq, event.type, event.ts, event.t, event.seg, event.path),
            *(event.task, event.agent, event.attempt, text, event.v, key),
        ),
    )
    return event


def _tail(db: sqlite3.Connection, run: str) -> Tail | None:
    row = db.execute(
        "SELECT run, seq, epoch, status, started, updated, wake, told, bytes, queue, pid, host FROM runs WHERE run = ?",
        (plain(run),),
    ).fetchone()
    return tail_of(row) if row else None
