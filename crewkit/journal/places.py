"""Places that all workers on one PostgreSQL share: so many calls at once, so many in a time.

A place is an advisory lock of the connection that writes, as a lease is: the server frees it when the process dies,
and whoever takes a stopped worker's leases away takes its places with them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from crewkit.journal.link import Connection

SCHEMA: Final = """
    CREATE TABLE places (what text COLLATE "C" PRIMARY KEY, begun double precision[] NOT NULL DEFAULT '{}')
        WITH (fillfactor = 50);
"""

SETTLING: Final = 3.0
"""Seconds for which nobody takes a place after an outage: those who had one take it again first."""

# Only as many rows are looked at as it takes to lock one. Nothing else may stand in the condition: the server chooses
# what it looks at first.
_TAKE: Final = """
    SELECT number FROM unnest(%s::bigint[]) number WHERE pg_try_advisory_lock(hashtextextended(%s, number)) LIMIT 1
"""
_TAKE_AGAIN: Final = "SELECT pg_try_advisory_lock(hashtextextended(%s, %s))"
_YOUNG: Final = "SELECT pg_postmaster_start_time() > now() - make_interval(secs => %s)"
_LEAVE: Final = "SELECT pg_advisory_unlock(hashtextextended(%s, %s))"
_KNOWN: Final = "INSERT INTO places (what) VALUES (%s) ON CONFLICT DO NOTHING"
# What is kept are the moments of the last calls, as many as anybody's cap has.
_BEGIN: Final = """
    UPDATE places SET begun = begun[CASE WHEN cardinality(begun) < %(calls)s THEN 1 ELSE 2 END:]
        || extract(epoch FROM clock_timestamp())::double precision
    WHERE what = %(what)s AND (cardinality(begun) < %(calls)s
        OR begun[cardinality(begun) - %(calls)s + 1] <= extract(epoch FROM clock_timestamp()) - %(seconds)s)
    RETURNING 1
"""
_WAIT: Final = """
    SELECT begun[cardinality(begun) - %(calls)s + 1] + %(seconds)s - extract(epoch FROM clock_timestamp())
    FROM places WHERE what = %(what)s
"""


@dataclass
class Held:
    """The places that one connection holds."""

    taken: dict[str, set[int]] = field(default_factory=dict[str, set[int]])
    _from: float = 0.0
    """From this moment on (monotonic seconds) places are taken."""
    _opened: bool = False

    def take(self, db: Connection, what: str, count: int) -> int:
        """Take one of so many places and return its number; 0 where there is none now."""
        if time.monotonic() < self._from:
            return 0
        mine = self.taken.setdefault(what, set())
        # One session may lock what it has locked as often as it likes.
        others = [number for number in range(1, count + 1) if number not in mine]
        rows = db.execute(_TAKE, (others, _key(what))).fetchall()
        for (number,) in rows:
            mine.add(number)
            return number
        return 0

    def leave(self, db: Connection, what: str, number: int) -> None:
        """Leave a place. Nothing happens where it was taken away."""
        if number in self.taken.get(what, set()):
            db.execute(_LEAVE, (_key(what), number))
            self.taken[what].discard(number)

    def regain(self, db: Connection) -> None:
        """Take again in a new session what the lost one held, where nobody has taken it meanwhile."""
        if self._opened or db.execute(_YOUNG, (SETTLING,)).fetchall()[0][0]:
            self._from = time.monotonic() + SETTLING
        self._opened = True
        for what, numbers in self.taken.items():
            for number in sorted(numbers):
                if not db.execute(_TAKE_AGAIN, (_key(what), number)).fetchall()[0][0]:
                    numbers.discard(number)


def begin_call(db: Connection, what: str, calls: int, seconds: float) -> float:
    """Count a call as begun, where fewer were in so many seconds; otherwise return the seconds to wait."""
    values = {"what": what, "calls": calls, "seconds": seconds}
    for _ in range(2):
        if db.execute(_BEGIN, values).fetchall():
            return 0.0
        rows = db.execute(_WAIT, values).fetchall()
        if rows:
            return max(rows[0][0] or 0.0, 0.001)
        db.execute(_KNOWN, (what,))
    return 0.001


def _key(what: str) -> str:
    return f"crewkit place {what}"
