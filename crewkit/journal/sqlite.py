"""Runs in one SQLite file, which any number of processes on the machine share."""

from __future__ import annotations

import json
import os
import re
import socket
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn, Self

from crewkit.core.clock import timestamp
from crewkit.core.events import VERSION, Draft, Event
from crewkit.errors import InputError, JournalError, RunBusy, did_you_mean
from crewkit.journal.base import Lease, RunInfo, Write
from crewkit.journal.database import Database, Row, plain, storable
from crewkit.journal.lock import FileLock

_PAGE = 256
"""Events read at a time."""

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_STATUS = {"run.started": "running", "run.resumed": "running", "run.paused": "paused"}
_COLUMNS = "run, seq, type, ts, t, seg, path, task, agent, attempt, data, v"


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


def open_journal(
    start: Path | None = None, environ: Mapping[str, str] = os.environ, *, create: bool = True
) -> SqliteJournal:
    """Open the journal that belongs to a folder, or make it.

    Raises:
        InputError: There is none and `create` is false.
        JournalError: It cannot be opened or made.
    """
    return SqliteJournal(journal_home(start, environ) / "journal.db", create=create)


class SqliteJournal:
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
        self._db = Database(path, create=create, timeout=timeout)
        self._locks: dict[str, FileLock] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self, run: str, crew: str, seg: str) -> Lease:
        """Make a new run and take its lease."""
        if not _RUN_ID.fullmatch(run):
            raise InputError(f"'{run}' cannot be a run id: use letters, digits, '.', '_' and '-'.")
        self._lock(run)
        now = timestamp(datetime.now(UTC))
        row = (run, plain(crew), now, now, os.getpid(), socket.gethostname(), plain(seg))
        try:
            with self._db.transaction() as db:
                made = db.execute(
                    "INSERT OR IGNORE INTO runs VALUES (?, ?, 'running', ?, ?, 0, 1, 1, ?, ?, ?)", row
                ).rowcount
            if not made:
                raise JournalError(f"There is a run {run} already. See it: crewkit show {run}")
        except BaseException:
            self._unlock(run)
            raise
        return Lease(run, 1, seg)

    def take(self, run: str, seg: str) -> Lease:
        """Take the lease of a run that no living process holds."""
        self._owner(run)
        self._lock(run)
        owner = (os.getpid(), socket.gethostname(), plain(seg), run)
        try:
            with self._db.transaction() as db:
                db.execute(
                    "UPDATE runs SET epoch = epoch + 1, held = 1, pid = ?, host = ?, seg = ? WHERE run = ?",
                    owner,
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
        tails: dict[str, _Tail] = {}
        answer: list[list[Event]] = []
        with self._db.transaction(durable=any(write.durable for write in writes)) as db:
            for write in writes:
                tail = tails.get(write.run)
                if tail is None:
                    tail = tails[write.run] = _tail(db, write.run) or self._unknown(write.run)
                _check_right(write, tail)
                answer.append([event for draft in write.drafts if (event := tail.add(db, draft))])
            for tail in tails.values():
                tail.store(db)
        return answer

    def events(self, run: str, *, after: int = 0, types: Sequence[str] = ()) -> Iterator[Event]:
        """Read a run's events in order, from `seq` greater than `after`, of these types or of all."""
        end = 0
        with suppress(JournalError):  # the index is damaged: the events may not be
            end = self.last(run)
        only = f"AND type IN ({', '.join('?' * len(types))})" if types else ""
        query = f"SELECT {_COLUMNS} FROM events WHERE run = ? AND seq > ? {only} ORDER BY seq LIMIT {_PAGE}"  # noqa: S608
        while True:
            rows, why = self._db.readable(query, (plain(run), after, *types))
            for row in rows:
                if not types and row[1] != after + 1:
                    why = f"event {after + 1} is missing"
                    break
                try:
                    event = _read(row)
                except ValueError as error:
                    why = f"event {row[1]} is not JSON: {error}"
                    break
                yield event
                after = event.seq
            if not types and not why and len(rows) < _PAGE and after < end:
                why = f"the events after {after} are missing, up to {end}"
            if why:
                data = {"why": why, "after": after, "file": str(self.path)}
                yield Event(
                    run, 0, "journal.damaged", ts=timestamp(datetime.now(UTC)), t=0.0, seg="", data=data
                )
            if why or len(rows) < _PAGE:
                return

    def last(self, run: str) -> int:
        """Return the highest `seq` of the run (0: no such run)."""
        row = self._db.one("SELECT seq FROM runs WHERE run = ?", plain(run))
        return row[0] if row else 0

    def runs(self) -> list[RunInfo]:
        """List the runs, the newest first."""
        rows = self._db.all(
            "SELECT run, crew, status, started, updated, seq, held, pid, host FROM runs WHERE seq > 0"
            " ORDER BY started DESC, rowid DESC"
        )
        return [
            RunInfo(
                *row[:6],
                alive=bool(row[6]) and self._lock_file(row[0]).held(),
                owner=f"pid {row[7]} on {row[8]}",
            )
            for row in rows
        ]

    def find(self, name: str) -> str:
        """Return the run that `name` means: an id, a unique prefix of one, or `@last`."""
        if name == "@last":
            row = self._db.one("SELECT run FROM runs WHERE seq > 0 ORDER BY started DESC, rowid DESC LIMIT 1")
            if row is None:
                raise InputError(f"No runs here yet: {self.path} is empty. Begin one: crewkit run FILE")
            return row[0]
        if not name:
            raise InputError(
                "Which run? Name it by its id, the beginning of its id, or @last. All: crewkit runs"
            )
        rows = self._db.all(
            "SELECT run FROM runs WHERE run >= ? AND run < ? AND seq > 0 ORDER BY run LIMIT 9",
            plain(name),
            plain(name) + "\U0010ffff",
        )
        found = [run for (run,) in rows]
        if len(found) == 1 or name in found:
            return found[0]  # the shortest comes first
        if found:
            more = " and more" if len(found) > 8 else ""
            raise InputError(f"'{name}' may mean {', '.join(found[:8])}{more}: write more of the id.")
        return self._unknown(name)

    def close(self) -> None:
        """Give back the leases of this object and close the file."""
        if self._locks:
            with suppress(JournalError), self._db.transaction() as db:
                db.executemany("UPDATE runs SET held = 0 WHERE run = ?", [(run,) for run in self._locks])
        for run in list(self._locks):
            self._unlock(run)
        self._db.close()

    def _lock_file(self, run: str) -> FileLock:
        return FileLock(self.path.parent / "locks" / run)

    def _lock(self, run: str) -> None:
        lock = self._lock_file(run)
        if not lock.acquire():
            raise RunBusy(
                f"Run {run} is in the hands of {self._owner(run)}. Watch it: crewkit show {run} --follow"
            )
        self._locks[run] = lock

    def _unlock(self, run: str) -> None:
        if lock := self._locks.pop(run, None):
            lock.release()

    def _owner(self, run: str) -> str:
        row = self._db.one("SELECT pid, host FROM runs WHERE run = ?", plain(run))
        if row is None:
            self._unknown(run)
        return f"pid {row[0]} on {row[1]}"

    def _unknown(self, name: str) -> NoReturn:
        rows = self._db.all("SELECT run FROM runs WHERE seq > 0 ORDER BY started DESC LIMIT 100")
        newest = [run for (run,) in rows]
        known = (
            f" The newest: {', '.join(newest[:3])}. All: crewkit runs" if newest else " There are none yet."
        )
        raise InputError(f"There is no run '{name}' in {self.path}.{did_you_mean(name, newest)}{known}")


@dataclass(slots=True)
class _Tail:
    """The end of a run, while a transaction appends to it."""

    run: str
    seq: int
    epoch: int
    status: str
    started: str
    updated: str
    owner: str

    def add(self, db: sqlite3.Connection, draft: Draft) -> Event | None:
        """Append one event; nothing where the run holds its key already."""
        key = None if draft.key is None else plain(draft.key)
        if (
            key is not None
            and db.execute("SELECT 1 FROM events WHERE run = ? AND key = ?", (self.run, key)).fetchone()
        ):
            return None
        self._follow(draft)
        event = Event(
            self.run,
            self.seq,
            draft.type,
            self.updated,
            draft.t,
            draft.seg,
            plain(draft.path),
            plain(draft.task),
            plain(draft.agent),
            draft.attempt,
            draft.data,
        )
        db.execute(
            f"INSERT INTO events ({_COLUMNS}, key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (
                *(event.run, event.seq, event.type, event.ts, event.t, event.seg, event.path),
                *(event.task, event.agent, event.attempt, _json(event), event.v, key),
            ),
        )
        return event

    def store(self, db: sqlite3.Connection) -> None:
        """Write the end of the run into the index."""
        db.execute(
            "UPDATE runs SET seq = ?, status = ?, started = ?, updated = ? WHERE run = ?",
            (self.seq, self.status, self.started, self.updated, self.run),
        )

    def _follow(self, draft: Draft) -> None:
        self.seq += 1
        self.updated = draft.ts or timestamp(datetime.now(UTC))
        if draft.type == "run.started":
            self.started = self.updated
        if draft.type == "run.finished":
            self.status = plain(str(draft.data.get("status", "completed")))
        else:
            self.status = _STATUS.get(draft.type, self.status)


def _tail(db: sqlite3.Connection, run: str) -> _Tail | None:
    row = db.execute(
        "SELECT run, seq, epoch, status, started, updated, pid, host FROM runs WHERE run = ?", (plain(run),)
    ).fetchone()
    return _Tail(*row[:6], owner=f"pid {row[6]} on {row[7]}") if row else None


def _check_right(write: Write, tail: _Tail) -> None:
    if write.epoch is None:
        if any(draft.key is None for draft in write.drafts):
            raise JournalError(f"Run {write.run}: only its owner may append events without a key.")
    elif write.epoch != tail.epoch:
        raise JournalError(
            f"Run {write.run} was taken over by {tail.owner}: this process may record nothing more of it. "
            f"Watch it: crewkit show {write.run} --follow"
        )


def _read(row: Row) -> Event:
    run, seq, kind, ts, t, seg, path, task, agent, attempt, data, v = row
    if v > VERSION:
        raise JournalError(
            f"Event {seq} of run {run} has version {v}; this crewkit knows {VERSION}. "
            "A newer crewkit wrote it: upgrade this one."
        )
    return Event(run, seq, kind, ts, t, seg, path, task, agent, attempt, json.loads(data), v)


def _json(event: Event) -> str:
    try:
        text = json.dumps(event.data, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise JournalError(
            f"Run {event.run}, {event.type} at '{event.path}': not JSON data: {error}"
        ) from error
    return text if storable(text) else json.dumps(event.data, separators=(",", ":"))
