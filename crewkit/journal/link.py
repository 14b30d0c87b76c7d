"""A connection to PostgreSQL that comes back: retries, sessions, and what its errors mean."""

from __future__ import annotations

import logging
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from crewkit.errors import InputError, JournalError

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

T = TypeVar("T")

_FIRST_PATIENCE = 3.0
"""Seconds for a server that was never reached: it may be starting, or its name is wrong."""

_PARTING = 2.0
"""Seconds to wait for the answer to a last statement."""

_LONGEST_PAUSE = 1.0
"""Seconds between two attempts, at most."""

_SESSION = """
    SET search_path TO crewkit;
    SET client_encoding TO 'UTF8';
    SET synchronous_commit TO off;
    SET lock_timeout TO '10s';
    SET statement_timeout TO 0;
    SET idle_session_timeout TO 0;
    SET idle_in_transaction_session_timeout TO '3s';
    SET tcp_keepalives_idle TO 10;
    SET tcp_keepalives_interval TO 5;
    SET tcp_keepalives_count TO 2;
    SET tcp_user_timeout TO 20000
"""
# A process that is stopped in the middle of a transaction must not keep others from its run: after three
# seconds the server ends its session. One whose host died is noticed by the keepalives.

_PASSING = ("08", "40", "53300", "55P03", "57P01", "57P02", "57P03", "25P03")
"""Beginnings of the codes of errors that may pass by themselves."""

_DAMAGE = ("XX001", "XX002", "22021", "58030")
"""Codes of errors that come from the place that is read: pages, indexes, characters, the disk."""

_HINTS = {
    "53100": "the server's disk is full. Nothing recorded is lost: free some space and resume the run.",
    "25006": "the server only reads: it is a replica, or set to. Name the one that writes.",
    "42501": "this user may not do that. Let its owner do it once: CREATE SCHEMA crewkit AUTHORIZATION user",
    "42P01": "its tables were removed while it was in use. Put them back and begin again.",
    "3F000": "its schema was removed while it was in use. Put it back and begin again.",
    "55P03": "another program has kept it locked. Find it: SELECT * FROM pg_stat_activity",
    "57014": "the server cancelled a command. Nothing recorded is lost: resume the run.",
}


_LIVENESS = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


class Link:
    """One connection under a lock, opened when first used and again whenever it was lost."""

    def __init__(self, url: str, *, name: str, patience: float, opened: Callable[[Connection], None]) -> None:
        """Check the URL; nothing is opened yet.

        Args:
            url: Where the server is.
            name: What the server calls the connection.
            patience: Seconds to try again for, where the connection was lost.
            opened: Called with each new connection before it is used.

        Raises:
            InputError: The URL cannot be read, or psycopg is not installed.
        """
        self.where = address(url)
        _quieten()
        self._url = url
        self._name = name
        self._patience = patience
        self._opened = opened
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._connection: Connection | None = None
        self._was_open = False
        self._gave_up = False

    def run(self, work: Callable[[Connection], T], *, patience: float | None = None) -> T:
        """Do this with the connection; do it again on a new one where the connection was lost.

        Each statement is committed by itself; a transaction that `work` leaves open is rolled back.

        Args:
            work: What to do. May be done several times.
            patience: Seconds to try again for, instead of the usual.

        Raises:
            JournalError: The server refused, or could not be reached in time.
        """
        import psycopg

        began, pause = 0.0, 0.05
        with self._lock:
            while True:
                try:
                    result = work(self._connected())
                    self._gave_up = False
                    return result
                except psycopg.Error as error:
                    if self._closed.is_set() or not self._may_pass(error):
                        raise self._error(error) from error
                    began = began or time.monotonic()
                    waited = time.monotonic() - began
                    if self._gave_up or waited + pause > (self._bound() if patience is None else patience):
                        self._gave_up = patience is None
                        raise self._error(error, waited) from error
                finally:
                    self._clean()
                self._closed.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

    def readable(self, work: Callable[[Connection], list[T]]) -> tuple[list[T], str]:
        """Do this as `run` does; where damage keeps the server from it, return nothing and why."""
        import psycopg

        damage = ""

        def careful(db: Connection) -> list[T]:
            nonlocal damage
            try:
                return work(db)
            except psycopg.Error as error:
                if error.sqlstate not in _DAMAGE:
                    raise
                damage = _gist(error)
                return []

        return self.run(careful), damage

    @property
    def connected(self) -> bool:
        """The connection was not lost, as far as this side knows."""
        return self._connection is not None and not self._connection.closed

    def close(self, parting: bytes = b"") -> None:
        """Close the connection for good.

        Args:
            parting: A last statement, where the connection is open. A server that does not answer it is left.
        """
        self._closed.set()  # ends the retries of whoever has the lock
        with self._lock:
            if parting and self._connection is not None and not self._connection.closed:
                _part(self._connection, parting)
            self._drop()

    def _connected(self) -> Connection:
        if self._closed.is_set():
            raise self._is_closed()
        if self._connection is None:
            import psycopg

            connection = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=10,
                application_name=self._name,
                client_encoding="UTF8",
                **liveness(self._url),
            )
            try:
                connection.execute(_SESSION)
                self._opened(connection)
            except BaseException:
                connection.close()
                raise
            self._connection, self._was_open = connection, True
        return self._connection

    def _clean(self) -> None:
        """Leave a connection that the next one can use, or none."""
        from psycopg import Error

        try:
            if self._connection is not None:
                rollback(self._connection)
        except Error:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _bound(self) -> float:
        return self._patience if self._was_open else min(self._patience, _FIRST_PATIENCE)

    def _may_pass(self, error: psycopg.Error) -> bool:
        if error.sqlstate:
            return error.sqlstate.startswith(_PASSING)
        # A server that answers the first knock with a refusal means it: a wrong password, no such database.
        return self._was_open or "FATAL" not in str(error) or "the database system is" in str(error)

    def _error(self, error: psycopg.Error, waited: float = 0) -> JournalError:
        if self._closed.is_set():
            return self._is_closed()
        why = _HINTS.get(error.sqlstate or "")
        if why is None and not self._was_open:
            why = "it cannot be reached. Check CREWKIT_JOURNAL, and that the server is up."
        elif why is None and self._may_pass(error):
            why = (
                f"the connection was lost, and {waited:.0f} s of trying did not bring it back. "
                "What is recorded is kept: bring the server back and resume the run."
            )
        return JournalError(f"The journal {self.where}: {why or 'the server refused.'} ({_gist(error)})")

    def _is_closed(self) -> JournalError:
        return JournalError(f"The journal {self.where}: it is closed in this process.")


def may_pass(error: BaseException) -> bool:
    """Say whether an error of psycopg or its pool may pass by itself: the connection was lost, the server restarts."""
    import psycopg

    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return not error.sqlstate or error.sqlstate.startswith(_PASSING)


def _part(db: Connection, statement: bytes) -> None:
    """Say a last thing and wait for the answer, but not for long: the network may be gone."""
    from psycopg import Error

    with suppress(Error, OSError):
        db.pgconn.send_query(statement)
        select.select([db.pgconn.socket], [], [], _PARTING)


def _quieten() -> None:
    """Keep what psycopg says of connections that we open again from the screen of who set up no logging."""
    logger = logging.getLogger("psycopg")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def rollback(db: Connection) -> None:
    """Roll back a transaction that was left open; nothing happens where there is none."""
    from psycopg.pq import TransactionStatus

    if db.info.transaction_status is not TransactionStatus.IDLE:
        db.execute("ROLLBACK")


def liveness(url: str) -> dict[str, Any]:
    """Return how soon a network that swallows all is found out, as far as the URL does not say it itself.

    These are libpq's parameters (seconds, and `tcp_user_timeout` in ms). Without them the kernel tries for a quarter
    of an hour. A server that is only slow answers on this level.
    """
    from psycopg.conninfo import conninfo_to_dict

    return {name: value for name, value in _LIVENESS.items() if name not in conninfo_to_dict(url)}


def address(url: str) -> str:
    """Return a URL as it may be shown: without its password.

    Raises:
        InputError: It cannot be read, or psycopg is not installed.
    """
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict
    except ImportError as error:
        raise InputError(
            "A journal on PostgreSQL needs psycopg. Install it: pip install 'crewkit[postgres]'"
        ) from error
    scheme, _, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres"):
        raise InputError("The URL of a journal on PostgreSQL begins with postgresql://.")
    login, at, _ = rest.rpartition("@")
    if at and any(mark in login for mark in "/?#@[] "):
        # libpq would take a part of the password for the host, and say so.
        raise InputError(
            "In the URL of the journal, write these characters of user and password as %XX: / ? # @ [ ] space."
        )
    try:
        parts = conninfo_to_dict(url)
    except ProgrammingError:
        # What libpq says may quote the password.
        raise InputError(
            "The URL of the journal cannot be read: write postgresql://user:password@host:5432/database."
        ) from None
    user = f"{parts['user']}@" if parts.get("user") else ""
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"postgresql://{user}{parts.get('host') or ''}{port}/{parts.get('dbname') or ''}"


def _gist(error: psycopg.Error) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[:300] or type(error).__name__
