"""Runs in a PostgreSQL database, which any number of processes on any number of hosts share."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from crewkit.core.events import Event
from crewkit.errors import CrewkitError, JournalError, RunBusy
from crewkit.journal import places, workers
from crewkit.journal.base import Lease, Write
from crewkit.journal.batch import Batch
from crewkit.journal.late import late_ends
from crewkit.journal.leases import HELD, SCHEMA, WORKER, Leases, Place, claim, expel, give_back, number
from crewkit.journal.link import Link, rollback
from crewkit.journal.sql import (
    COLUMNS,
    Row,
    SqlJournal,
    StaleOwner,
    Tail,
    check_run_id,
    me,
    now,
    owner,
    plain,
    tail_of,
    taken,
)
from crewkit.journal.workers import WorkerInfo, WorkerState

if TYPE_CHECKING:
    from crewkit.journal.link import Connection

_SCHEMAS = (
    # 1: from nothing. A later version appends its step here; a database goes through those it has not seen.
    """
    CREATE TABLE meta (name text PRIMARY KEY, value text NOT NULL);
    CREATE TABLE runs (
        run text COLLATE "C" PRIMARY KEY, number integer GENERATED ALWAYS AS IDENTITY, crew text NOT NULL,
        status text NOT NULL, started text COLLATE "C" NOT NULL, updated text NOT NULL, seq bigint NOT NULL,
        epoch bigint NOT NULL, pid bigint NOT NULL, host text NOT NULL, seg text NOT NULL
    ) WITH (fillfactor = 50);
    CREATE INDEX runs_started ON runs (started, number);
    CREATE TABLE events (
        run text COLLATE "C" NOT NULL, seq bigint NOT NULL, v integer NOT NULL, type text NOT NULL,
        ts text NOT NULL, t double precision NOT NULL, seg text NOT NULL, path text NOT NULL,
        task text NOT NULL, agent text NOT NULL, attempt bigint NOT NULL, key text COLLATE "C",
        data text NOT NULL, batch bigint NOT NULL,
        PRIMARY KEY (run, seq)
    );
    CREATE UNIQUE INDEX events_key ON events (run, key) WHERE key IS NOT NULL;
    """,
    # 2: forks, paused runs that can go on, sizes.
    """
    ALTER TABLE runs ADD COLUMN origin text COLLATE "C" NOT NULL DEFAULT '',
        ADD COLUMN origin_seq bigint NOT NULL DEFAULT 0, ADD COLUMN wake text COLLATE "C" NOT NULL DEFAULT '',
        ADD COLUMN told bigint NOT NULL DEFAULT 0, ADD COLUMN bytes bigint NOT NULL DEFAULT 0;
    UPDATE runs SET bytes = (SELECT coalesce(sum(octet_length(data)), 0) FROM events WHERE run = runs.run);
    CREATE INDEX runs_wake ON runs (wake) WHERE wake <> '';
    """,
    # 3: runs that are handed over to workers.
    """
    ALTER TABLE runs ADD COLUMN queue text COLLATE "C" NOT NULL DEFAULT '';
    CREATE INDEX runs_queue ON runs (queue) WHERE queue <> '' AND status = 'running';
    """,
    # 4: leases of tasks.
    SCHEMA,
    # 5: calls begun, for rates that hold across workers.
    places.SCHEMA,
    # 6: what was forked from a run.
    "CREATE INDEX runs_origin ON runs (origin) WHERE origin <> '';",
    # 7: what workers say of themselves.
    workers.SCHEMA,
)
# `data` is text and not jsonb, which refuses NUL and half characters, and rewrites numbers and the order of keys.
# `batch` is the transaction's own mark: it tells whether one whose commit was not answered happened.

_MIGRATING = 0x637265776B6974
"""The advisory lock of who makes the tables."""

_TAILS: Final = """
    SELECT run, seq, epoch, status, started, updated, wake, told, bytes, queue, pid, host FROM runs
    WHERE run = ANY(%s) ORDER BY run FOR UPDATE
"""
_EPOCHS: Final = "SELECT run, task, epoch FROM leases WHERE run = ANY(%s) AND task = ANY(%s)"
_KEYS: Final = "SELECT run, key FROM events WHERE run = ANY(%s) AND key = ANY(%s)"
_DONE: Final = "SELECT 1 FROM events WHERE run = %s AND seq = %s AND batch = %s"
_INSERT: Final = (
    f"INSERT INTO events ({COLUMNS}, key, batch)"  # noqa: S608
    " SELECT * FROM unnest(%b::text[], %b::bigint[], %b::text[], %b::text[], %b::double precision[],"
    " %b::text[], %b::text[], %b::text[], %b::text[], %b::bigint[], %b::text[], %b::integer[], %b::text[],"
    " %b::bigint[])"
)
"""Takes the columns of all rows: one statement costs half of what one for each row does."""

_UNSYNCED = 1_000_000
"""Characters of events that are kept here, for a crash of the server to take, before it is told to sync."""


class PostgresJournal(SqlJournal):
    """Runs in a PostgreSQL database, which any number of processes on any number of hosts share.

    A lost connection is opened again, and with it the leases; what a crash of the server took of the events
    that were not yet synced is written again, and a transaction whose commit was not answered is looked for
    before it is repeated.
    """

    _born = "number"

    def __init__(self, url: str, *, patience: float = 30.0, worker: bool = False) -> None:
        """Reach the server, and make the tables in the schema `crewkit` where they are missing.

        Args:
            url: `postgresql://user:password@host:5432/database`, as libpq reads it.
            patience: Seconds to try again for, where the connection was lost.
            worker: Others may take its leases away when it stops answering; see `expel`.

        Raises:
            InputError: The URL cannot be read, or psycopg is not installed.
            JournalError: The server cannot be reached, or a newer crewkit made the tables.
        """
        name = f"{WORKER if worker else 'crewkit-'}{secrets.token_hex(8)}"
        self._writer = Link(url, name=name, patience=patience, opened=self._opened)
        self._reader = Link(url, name="crewkit", patience=patience, opened=self._prepare)
        self._name = name
        self.where = self._reader.where
        self._leases = Leases(self._is_busy)
        self._places = places.Held()
        self._unsynced: list[Batch] = []
        self._unsynced_size = 0
        self._stuck: dict[Place, JournalError] = {}
        self._reader.run(lambda _: None)

    def begin(self, run: str, crew: str, seg: str) -> Lease:
        """Make a new run and take its lease."""
        return self._make(run, crew, seg)

    def fork(self, origin: str, seq: int, run: str, crew: str, seg: str) -> Lease:
        """Make a new run that shares the events of another up to `seq`, and take its lease."""
        return self._make(run, crew, seg, origin, seq)

    def _make(self, run: str, crew: str, seg: str, origin: str = "", shared: int = 0) -> Lease:
        check_run_id(run)
        started = now()
        values = (plain(crew), started, started, *me(seg), origin, shared, shared)

        def work(db: Connection) -> Lease:
            _begin(db, durable=True)
            if origin:  # whoever removes it waits, and then finds the fork
                db.execute("SELECT 1 FROM runs WHERE run = %s FOR SHARE", (plain(origin),))
                self._check_origin(origin, shared)
            with db.pipeline():
                db.execute(
                    "INSERT INTO runs (run, crew, status, started, updated, pid, host, seg, origin, origin_seq, seq,"
                    " epoch) VALUES (%s, %s, 'running', %s, %s, %s, %s, %s, %s, %s, %s, 0) ON CONFLICT DO NOTHING",
                    (run, *values),
                )
                found = db.execute("SELECT number FROM runs WHERE run = %s AND seq = origin_seq", (run,))
            row = found.fetchone()
            if row is None:
                raise taken(run)
            self._leases.lock(db, (run, ""), row[0])
            with db.pipeline():
                mine = db.execute(
                    "UPDATE runs SET crew = %s, started = %s, updated = %s, pid = %s, host = %s, seg = %s, origin = %s,"
                    " origin_seq = %s, seq = %s, epoch = epoch + 1 WHERE run = %s AND seq = origin_seq RETURNING epoch",
                    (*values, run),
                )
                db.execute("COMMIT")
            claimed = mine.fetchone()
            if claimed is None:
                raise taken(run)
            self._leases.keep((run, ""), claimed[0])
            return Lease(run, claimed[0], seg)

        with self._leases.taking((run, ""), self._give_back):
            return self._writer.run(work)

    def take(self, run: str, seg: str, *, task: str = "", shared: bool = False) -> Lease:
        """Take the lease of a run, or of one of its tasks, that no living process holds."""
        self._owner(run)
        place = (run, task)
        if place in self._leases:
            raise self._is_busy(place)

        def work(db: Connection) -> Lease:
            self._leases.lock(db, place, number(db, place))
            _begin(db, durable=True)
            epoch = claim(db, place, me(seg))
            if not task and not shared:
                self._fence_tasks(db, run)
            db.execute("COMMIT")
            self._leases.keep(place, epoch)
            self._stuck.pop(place, None)
            return Lease(run, epoch, seg, task)

        with self._leases.taking(place, self._give_back):
            return self._writer.run(work)

    def release(self, lease: Lease) -> None:
        """Give the lease back. A dead process's lease is free without it."""
        if self._leases.epoch((lease.run, lease.task)) == lease.epoch:
            self._give_back((lease.run, lease.task))

    def expel(self, run: str, task: str = "") -> bool:
        """Take a lease from a worker that stopped answering; say whether nobody holds it any more."""

        def work(db: Connection) -> bool:
            if not expel(db, (run, task)):
                return False
            _begin(db, durable=False)
            claim(db, (run, task), me(""))
            db.execute("COMMIT")
            return True

        return self._writer.run(work)

    def lasts(self, runs: Sequence[str]) -> dict[str, int]:
        """Return the highest `seq` of each of these runs."""
        query = "SELECT run, seq FROM runs WHERE run = ANY(%s)"
        return dict(self._reader.run(lambda db: db.execute(query, (list(runs),)).fetchall()))

    def take_place(self, what: str, count: int) -> int:
        """Take one of so many places at something and return its number; 0 where there is none now."""
        return self._writer.run(lambda db: self._places.take(db, what, count))

    def leave_place(self, what: str, number: int) -> None:
        """Leave a place. Nothing happens where it was taken away."""
        self._writer.run(lambda db: self._places.leave(db, what, number))

    def keep_places(self) -> None:
        """Notice a lost connection, and take again what was held over it."""
        self._writer.run(lambda db: db.execute("SELECT 1"))

    def begin_call(self, what: str, calls: int, seconds: float) -> float:
        """Count a call as begun, where fewer were in so many seconds; otherwise return the seconds to wait."""
        return self._writer.run(lambda db: places.begin_call(db, what, calls, seconds))

    def tell_state(self, state: WorkerState) -> None:
        """Let others know of a worker of this process."""
        self._reader.run(lambda db: workers.say(db, state))

    def leave_workers(self, name: str) -> None:
        """Let others know that a worker stops."""
        self._reader.run(lambda db: workers.leave(db, name), patience=1)

    def workers(self) -> list[WorkerInfo]:
        """List the workers that said something lately, also those that died without a word; the oldest first."""
        return self._reader.run(workers.known)

    def append(self, writes: Sequence[Write]) -> list[list[Event]]:
        """Append all the writes in one transaction; return what became of each, in order."""
        if not writes:
            return []
        for write in writes:
            if write.epoch is not None and (error := self._stuck.get((write.run, write.task))):
                raise error
        durable = any(write.durable for write in writes)
        batch = Batch(writes, durable or self._unsynced_size >= _UNSYNCED)
        try:
            self._writer.run(lambda db: self._append(db, batch))
        except StaleOwner:
            self._append_late(writes)
            raise
        except JournalError as error:
            if batch.seqs:
                # Nobody knows whether it happened: the run is carried on by whoever reads what is there.
                self._stuck |= {(write.run, write.task): error for write in writes}
            raise
        return batch.answer

    def remove(self, run: str) -> None:
        """Remove a run and its events."""
        lease = self.take(run, "")

        def work(db: Connection) -> None:
            _begin(db, durable=True)
            db.execute("SELECT 1 FROM runs WHERE run = %s FOR UPDATE", (run,))
            self._unshared(run)
            for table in ("events", "leases", "runs"):
                db.execute(f"DELETE FROM {table} WHERE run = %s".encode(), (run,))  # noqa: S608
            db.execute("COMMIT")

        try:
            self._writer.run(work)
        finally:
            self.release(lease)

    def rewrite(self, run: str, change: Callable[[str, dict[str, Any]], dict[str, Any]]) -> None:
        """Put other data into a run's own events."""
        lease = self.take(run, "")

        def work(db: Connection) -> None:
            rows = self._changed(run, change)
            size = sum(len(text.encode()) for text, _ in rows)
            _begin(db, durable=True)
            db.execute("SELECT 1 FROM runs WHERE run = %s FOR UPDATE", (run,))
            self._unshared(run)
            db.execute(
                "UPDATE events SET data = new.data FROM unnest(%s::text[], %s::bigint[]) AS new (data, seq)"
                " WHERE events.run = %s AND events.seq = new.seq",
                ([text for text, _ in rows], [seq for _, seq in rows], run),
            )
            db.execute("UPDATE runs SET bytes = %s WHERE run = %s", (size, run))
            db.execute("COMMIT")

        try:
            self._writer.run(work)
        finally:
            self.release(lease)

    def compact(self) -> bool:
        """Leave it to the server: autovacuum lets what comes next use the space."""
        return False

    def close(self) -> None:
        """Close the connections; the leases of this object go with them."""
        # The server notices a closed connection soon, but whoever asks now must find the leases free.
        self._writer.close(b"SELECT pg_advisory_unlock_all()")
        self._reader.close()
        self._leases.clear()

    def _all(self, query: str, *values: str | int) -> list[Row]:
        return self._reader.run(_query(query, values))

    def _held_of(self, runs: Sequence[str]) -> set[str]:
        held = HELD.format("runs")
        query = f"SELECT run FROM runs JOIN {held} lease ON objid = number::oid WHERE run = ANY(%s)"  # noqa: S608
        rows = self._reader.run(lambda db: db.execute(query, (list(runs),)).fetchall()) if runs else []
        return {run for (run,) in rows}

    def _readable(self, query: str, values: Sequence[str | int]) -> tuple[list[Row], str]:
        return self._reader.readable(_query(query, values))

    # Writing

    def _append(self, db: Connection, batch: Batch) -> None:
        self._write(db, batch)
        if batch.durable:
            self._all_synced()
        elif batch.seqs:
            self._unsynced.append(batch)
            self._unsynced_size += batch.size

    def _append_late(self, writes: Sequence[Write]) -> None:
        """Append what those who lost a run or task have to say of the ends of calls that they had begun."""

        def work(db: Connection) -> None:
            tails, tasks, _, _ = _look(db, Batch(writes, durable=True))
            late: list[Write] = []
            for write in writes:
                try:
                    tails[write.run].check_right(write, tasks)
                except StaleOwner:
                    late += late_ends(db, write)
            rollback(db)
            if late:
                self._append(db, Batch(late, durable=True))

        with suppress(JournalError):
            self._writer.run(work)

    def _all_synced(self) -> None:
        """The server's log is synced up to here: a crash takes nothing any more."""
        self._unsynced, self._unsynced_size = [], 0

    def _write(self, db: Connection, batch: Batch) -> None:
        tails, tasks, keys, done = _look(db, batch)
        if done:
            return
        for write in batch.writes:
            (tails.get(write.run) or self._unknown(write.run)).check_right(write, tasks)
        rows = batch.assign(tails, keys)
        try:
            with db.pipeline():
                if rows:
                    db.execute(_INSERT, [list(column) for column in zip(*rows, strict=True)])
                for tail in tails.values():
                    db.execute(
                        "UPDATE runs SET seq = %s, status = %s, started = %s, updated = %s, wake = %s, told = %s,"
                        " bytes = %s, queue = %s WHERE run = %s",
                        (*tail.values(), tail.run),
                    )
                db.execute("COMMIT")
        except BaseException:
            if not db.closed:
                batch.seqs = {}  # the server said no: nothing was written
            raise

    # Leases

    def _is_busy(self, place: Place) -> RunBusy:
        run, task = place
        if not task:
            return self._busy(run)
        rows = self._all("SELECT pid, host FROM leases WHERE run = ? AND task = ?", run, task)
        who = owner(*rows[0]) if rows else "another process"
        return RunBusy(f"Task {run}/{task} is in the hands of {who}.")

    def _give_back(self, place: Place) -> None:
        which = self._leases.drop(place)
        if which is not None and self._writer.connected:  # a lost connection has lost its locks
            with suppress(JournalError):
                self._writer.run(lambda db: give_back(db, place, which), patience=0)

    def _fence_tasks(self, db: Connection, run: str) -> None:
        """Take over the tasks that others had; refuse where one of them still works."""
        held = (
            f"SELECT task FROM leases JOIN {HELD.format('leases')} held ON objid = number::oid WHERE run = %s"  # noqa: S608
        )
        for (task,) in db.execute(held, (run,)).fetchall():
            raise self._is_busy((run, task))
        db.execute("UPDATE leases SET epoch = epoch + 1 WHERE run = %s", (run,))

    # A new connection

    def _prepare(self, db: Connection) -> None:
        """Check the tables, and make them where they are missing."""
        _check_encoding(db, self.where)
        if self._version(db) == len(_SCHEMAS):
            return
        with db.transaction():
            db.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATING,))
            db.execute("SET LOCAL synchronous_commit TO on")
            # Before it is made: who may not make schemas may use one that is there.
            if db.execute("SELECT to_regnamespace('crewkit') IS NULL").fetchall()[0][0]:
                db.execute("CREATE SCHEMA crewkit")
            for schema in _SCHEMAS[self._version(db) :]:
                db.execute(schema)
            db.execute(
                "INSERT INTO meta VALUES ('schema', %s) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (str(len(_SCHEMAS)),),
            )

    def _version(self, db: Connection) -> int:
        if db.execute("SELECT to_regclass('crewkit.meta') IS NULL").fetchall()[0][0]:
            return 0
        ((version,),) = db.execute("SELECT value FROM meta WHERE name = 'schema'").fetchall()
        if int(version) > len(_SCHEMAS):
            raise JournalError(
                f"The journal {self.where} has schema {version}; this crewkit knows {len(_SCHEMAS)}. "
                "A newer crewkit wrote it: upgrade this one."
            )
        return int(version)

    def _opened(self, db: Connection) -> None:
        """Make a new connection what the lost one was."""
        self._prepare(db)
        # The server may not have noticed that the old one is lost.
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = %s AND pid <> pg_backend_pid()",
            (self._name,),
        )
        self._leases.regain(db)
        self._places.regain(db)
        self._restore(db)

    def _restore(self, db: Connection) -> None:
        """Write again what a crash of the server took: the commits that it had answered but not synced."""
        # Kept in parts, each with where its last attempt went: the connection may be lost again.
        self._unsynced = [part for batch in self._unsynced for part in batch.by_run()]
        for part in self._unsynced:
            try:
                self._write(db, part)
            except CrewkitError:
                pass  # the run is in other hands by now, and theirs is the truth
            finally:
                rollback(db)
        self._all_synced()


def _look(
    db: Connection, batch: Batch
) -> tuple[dict[str, Tail], dict[Place, int], set[tuple[str, str]], bool]:
    """Lock the runs of a batch; return their ends, epochs of tasks, which keys they hold, and whether it is there."""
    runs = sorted({plain(write.run) for write in batch.writes})
    keys = [plain(draft.key) for write in batch.writes for draft in write.drafts if draft.key is not None]
    tasks = sorted({write.task for write in batch.writes if write.task})
    tried = next(iter(batch.seqs.items()), None)
    with db.pipeline():
        _begin(db, durable=batch.durable)
        tails = db.execute(_TAILS, (runs,))
        leases = db.execute(_EPOCHS, (runs, tasks)) if tasks else None
        held = db.execute(_KEYS, (runs, keys)) if keys else None
        done = db.execute(_DONE, (*tried, batch.id)) if tried else None
    found = {row[0]: tail_of(row) for row in tails.fetchall()}
    epochs = {(run, task): epoch for run, task, epoch in leases.fetchall()} if leases else {}
    return found, epochs, set(held.fetchall() if held else ()), bool(done and done.fetchall())


def _begin(db: Connection, *, durable: bool) -> None:
    db.execute("BEGIN")
    if durable:
        db.execute("SET LOCAL synchronous_commit TO on")


def _query(query: str, values: Sequence[str | int]) -> Callable[[Connection], list[Row]]:
    return lambda db: db.execute(query.replace("?", "%s").encode(), values).fetchall()


def _check_encoding(db: Connection, where: str) -> None:
    encoding = db.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise JournalError(
            f"The database {where} is in {encoding}, which does not hold every text. Make one that does: "
            "CREATE DATABASE crewkit ENCODING 'UTF8' TEMPLATE template0"
        )
