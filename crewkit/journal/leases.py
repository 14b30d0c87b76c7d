"""Leases on PostgreSQL: of runs, and of single tasks where several processes carry one run on.

A lease is an advisory lock of the connection that writes, which the server frees when the process dies, and an
epoch, by which an owner who lost it is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crewkit.errors import RunBusy
from crewkit.journal.sql import Row

if TYPE_CHECKING:
    from crewkit.journal.link import Connection

Place = tuple[str, str]
"""A run and one of its tasks; no task: the run itself."""

WORKER: Final = "crewkit-worker-"
"""How the server calls the connections of workers: theirs may be ended when they stop answering."""

SCHEMA: Final = """
    CREATE TABLE leases (
        run text COLLATE "C" NOT NULL REFERENCES runs (run) ON DELETE CASCADE, task text COLLATE "C" NOT NULL,
        number integer GENERATED ALWAYS AS IDENTITY, epoch bigint NOT NULL DEFAULT 0,
        pid bigint NOT NULL DEFAULT 0, host text NOT NULL DEFAULT '', seg text NOT NULL DEFAULT '',
        PRIMARY KEY (run, task)
    ) WITH (fillfactor = 70);
"""

HELD: Final = """
    (SELECT DISTINCT objid, pid AS holder FROM pg_locks WHERE locktype = 'advisory' AND granted
     AND classid = 'crewkit.{}'::regclass::oid AND objsubid = 2
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""
"""The numbers of the runs or leases that somebody holds, and by which session."""

_TRIES = 20
"""Attempts to lock again what nobody else has taken."""


@dataclass(slots=True)
class _Held:
    """A lease of this process."""

    number: int
    epoch: int = 0
    """0 while it is being taken."""


class Leases:
    """The leases that one connection holds."""

    def __init__(self, busy: Callable[[Place], RunBusy]) -> None:
        """Hold nothing yet; `busy` says who holds what is wanted."""
        self._busy = busy
        self._held: dict[Place, _Held] = {}

    def __contains__(self, place: Place) -> bool:
        return place in self._held

    def epoch(self, place: Place) -> int | None:
        """Return under which epoch a lease is held here."""
        held = self._held.get(place)
        return held.epoch if held else None

    def lock(self, db: Connection, place: Place, number: int) -> None:
        """Lock a place in this session, where it is not yet: locks outlive a transaction that failed.

        Raises:
            RunBusy: Another session has it.
        """
        if place not in self._held:
            if not _try_lock(db, place, number):
                raise self._busy(place)
            self._held[place] = _Held(number)

    def keep(self, place: Place, epoch: int) -> None:
        """Note the epoch of a lease that is locked."""
        self._held[place].epoch = epoch

    def drop(self, place: Place) -> int | None:
        """Forget a lease and return its number, for `give_back`."""
        held = self._held.pop(place, None)
        return held.number if held else None

    def clear(self) -> None:
        """Forget all: the connection is closed."""
        self._held.clear()

    @contextmanager
    def taking(self, place: Place, give_back: Callable[[Place], None]) -> Generator[None]:
        """Give a lease back where taking it did not come to its end."""
        before = place in self._held
        try:
            yield
        except BaseException:
            if not before:
                give_back(place)
            raise

    def regain(self, db: Connection) -> None:
        """Lock in a new session what the lost one held, where nobody has taken it meanwhile."""
        for place, held in list(self._held.items()):
            if not _regained(db, place, held):
                del self._held[place]


def number(db: Connection, place: Place) -> int:
    """Return the number of a place; a task gets one when it is first asked for."""
    run, task = place
    if not task:
        return db.execute("SELECT number FROM runs WHERE run = %s", (run,)).fetchall()[0][0]
    with db.pipeline():
        db.execute("INSERT INTO leases (run, task) VALUES (%s, %s) ON CONFLICT DO NOTHING", place)
        found = db.execute("SELECT number FROM leases WHERE run = %s AND task = %s", place)
    return found.fetchall()[0][0]


def claim(db: Connection, place: Place, owner: Row) -> int:
    """Make someone the owner of a place, within a transaction; return the new epoch.

    The run's row is locked first, as every append does: what an owner before has appended is there from then on.
    """
    run, task = place
    if not task:
        mine = db.execute(
            "UPDATE runs SET epoch = epoch + 1, pid = %s, host = %s, seg = %s WHERE run = %s RETURNING epoch",
            (*owner, run),
        )
        return mine.fetchall()[0][0]
    with db.pipeline():
        db.execute("SELECT 1 FROM runs WHERE run = %s FOR UPDATE", (run,))
        mine = db.execute(
            "UPDATE leases SET epoch = epoch + 1, pid = %s, host = %s, seg = %s WHERE run = %s AND task = %s"
            " RETURNING epoch",
            (*owner, *place),
        )
    return mine.fetchall()[0][0]


def expel(db: Connection, place: Place) -> bool:
    """End the session of the worker that holds a place, if one does; say whether nobody holds it any more."""
    kind = _kind(place)
    holder = f"SELECT holder FROM {HELD.format(kind)} held WHERE objid = %s::oid"  # noqa: S608
    ended = (
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid IN ({holder})"  # noqa: S608
        " AND starts_with(application_name, %s) AND pid <> pg_backend_pid()"
    )
    which = number(db, place)
    for _ in range(_TRIES):
        if not db.execute(holder.encode(), (which,)).fetchall():
            return True
        if not db.execute(ended.encode(), (which, WORKER)).fetchall():
            return False
        time.sleep(0.02)
    return False


def give_back(db: Connection, place: Place, number: int) -> None:
    """Unlock a place."""
    db.execute(f"SELECT pg_advisory_unlock({_class(place)}, %s)".encode(), (number,))


def _regained(db: Connection, place: Place, held: _Held) -> bool:
    run, task = place
    query = "SELECT epoch FROM runs WHERE run = %s"
    query = "SELECT epoch FROM leases WHERE run = %s AND task = %s" if task else query
    for _ in range(_TRIES):
        free = _try_lock(db, place, held.number)
        rows = db.execute(query.encode(), place if task else (run,)).fetchall()
        if free and rows == [(held.epoch,)]:
            return True
        if free:
            give_back(db, place, held.number)
        if rows != [(held.epoch,)]:
            break
        time.sleep(0.05)  # the server may be about to end our old session
    return False


def _try_lock(db: Connection, place: Place, number: int) -> bool:
    return db.execute(f"SELECT pg_try_advisory_lock({_class(place)}, %s)".encode(), (number,)).fetchall()[0][
        0
    ]


def _kind(place: Place) -> str:
    return "leases" if place[1] else "runs"


def _class(place: Place) -> str:
    """Return the first half of the key of a place's advisory lock; the second is its number."""
    return f"'crewkit.{_kind(place)}'::regclass::oid::integer"
