"""What workers say of themselves, for whoever asks which there are: a line each, written again while they live."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from crewkit.journal.link import Connection

SCHEMA: Final = """
    CREATE TABLE workers (
        name text PRIMARY KEY, queue text NOT NULL, host text NOT NULL, pid bigint NOT NULL,
        concurrency integer NOT NULL, in_hand integer NOT NULL, done bigint NOT NULL, gave_up bigint NOT NULL,
        since timestamptz NOT NULL DEFAULT now(), seen timestamptz NOT NULL DEFAULT now()
    ) WITH (fillfactor = 50);
"""

FORGOTTEN: Final = 86_400
"""Seconds after which a worker that says nothing is no longer listed."""

_SAY: Final = """
    INSERT INTO workers (name, queue, host, pid, concurrency, in_hand, done, gave_up)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (name) DO UPDATE SET queue = excluded.queue, host = excluded.host, pid = excluded.pid,
        concurrency = excluded.concurrency, in_hand = excluded.in_hand, done = excluded.done,
        gave_up = excluded.gave_up, seen = now(),
        since = CASE WHEN (workers.host, workers.pid) = (excluded.host, excluded.pid) THEN workers.since ELSE now() END
"""
_LIST: Final = """
    SELECT name, queue, host, pid, concurrency, in_hand, done, gave_up, extract(epoch FROM now() - since)::float,
        extract(epoch FROM now() - seen)::float
    FROM workers WHERE seen > now() - make_interval(secs => %s) ORDER BY since, name
"""


@dataclass(frozen=True, slots=True)
class WorkerState:
    """What a worker says of itself."""

    name: str
    queue: str
    host: str
    pid: int
    concurrency: int
    in_hand: int
    """Jobs that it works on."""
    done: int
    gave_up: int
    """Runs that it left to a person."""


@dataclass(frozen=True, slots=True)
class WorkerInfo(WorkerState):
    """The same, as others read it."""

    up: float
    """Seconds since it began."""
    silent: float
    """Seconds since it said so."""


def say(db: Connection, state: WorkerState) -> None:
    """Write a worker's line."""
    db.execute(_SAY, astuple(state))


def leave(db: Connection, name: str) -> None:
    """Remove the line of a worker that stops."""
    db.execute("DELETE FROM workers WHERE name = %s", (name,))


def known(db: Connection) -> list[WorkerInfo]:
    """Return the workers that said something lately, those that died without a word too; the oldest first."""
    rows: list[tuple[Any, ...]] = db.execute(_LIST, (FORGOTTEN,)).fetchall()
    return [WorkerInfo(*row) for row in rows]
