"""procrastinate's tables, and a way to them that outlives lost connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import procrastinate
from procrastinate.connector import Notify
from procrastinate.exceptions import ConnectorException
from procrastinate.schema import SchemaManager
from procrastinate.sync_psycopg_connector import wrap_exceptions

from crewkit.journal.link import liveness, may_pass

T = TypeVar("T")

_SETTINGS = """
    SET search_path TO {};
    SET synchronous_commit TO off;
    SET lock_timeout TO '10s';
    SET idle_in_transaction_session_timeout TO '3s';
    SET tcp_keepalives_idle TO 10;
    SET tcp_keepalives_interval TO 5;
    SET tcp_keepalives_count TO 2;
    SET tcp_user_timeout TO 20000
"""
# A job that was begun or ended is not waited for until it is synced: where a crash of the server takes that, whoever
# has it or had it finds out. One that is delivered is, or its number would be given to another.


async def open_app(url: str, patience: float) -> tuple[procrastinate.App, Patient]:
    """Open procrastinate on a database, and make its tables where they are missing.

    They are in a schema of their own, named after the version of the tables. A newer procrastinate that wants others
    makes them, and the runs that are not done are delivered there: what is in a queue can always be told from the
    journal.
    """
    schema = _schema()
    settings = _SETTINGS.format(schema).encode()

    async def configure(connection: Any) -> None:
        async with connection.transaction():
            await connection.execute(settings)

    connector = Patient(
        patience,
        conninfo=url,
        kwargs=liveness(url),
        min_size=1,
        max_size=4,
        timeout=patience,
        configure=configure,
        name="crewkit-engine",
    )
    app = procrastinate.App(connector=connector)
    await app.open_async()
    if not await app.check_connection_async():
        await _make(app, schema)
    return app, connector


async def _make(app: procrastinate.App, schema: str) -> None:
    sql = app.schema_manager.get_schema().replace("%", "%%")
    try:
        synced = "SET LOCAL synchronous_commit TO on"
        await app.connector.execute_query_async(f"{synced}; CREATE SCHEMA IF NOT EXISTS {schema}; {sql}")  # pyright: ignore[reportArgumentType]
    except ConnectorException:
        # Somebody else makes them.
        deadline = time.monotonic() + 10
        while not await app.check_connection_async():
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


def _schema() -> str:
    """Return the schema's name: with the version of the last change of procrastinate's tables."""
    changes = sorted(path.name for path in Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    return f"crewkit_jobs_{changes[-1].split('_')[0].replace('.', '')}"


class Patient(procrastinate.PsycopgConnector):
    """A connector that tries again where the connection was lost, so that a worker outlives it.

    A statement whose answer was lost may have been done. That does no harm: a job that was fetched and never begun is
    delivered again by whoever waits for it, and one that was ended is gone.
    """

    def __init__(self, patience: float, **how: Any) -> None:
        """Connect like procrastinate's own, and try again for so many seconds."""
        super().__init__(**how)  # pyright: ignore[reportUnknownMemberType]
        self._patience = patience
        self.workers: set[int] = set()
        """Numbers of the workers that were registered here."""

    async def open_async(self, pool: Any = None) -> None:
        """Open the pool.

        Raises:
            ConnectorException: The server could not be reached.
        """
        try:
            await super().open_async(pool)
        except Exception as error:
            raise ConnectorException(str(error)) from error

    async def execute_query_async(self, query: Any, **arguments: Any) -> None:
        """Execute a statement."""
        await self._patiently(lambda: super(Patient, self).execute_query_async(query, **arguments))

    async def execute_query_one_async(self, query: Any, **arguments: Any) -> dict[str, Any]:
        """Return the row of a statement."""
        row = await self._patiently(lambda: super(Patient, self).execute_query_one_async(query, **arguments))
        if row.keys() == {"worker_id"}:
            self.workers.add(row["worker_id"])
        return row

    async def execute_query_all_async(self, query: Any, **arguments: Any) -> list[dict[str, Any]]:
        """Return the rows of a statement."""
        return await self._patiently(lambda: super(Patient, self).execute_query_all_async(query, **arguments))

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        """Listen until cancelled."""
        channels = list(channels)
        await self._patiently(lambda: super(Patient, self).listen_notify(on_notification, channels))

    async def synced(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Do something with a connection; what it wrote is safe from a crash of the server on return."""

        async def once() -> T:
            with wrap_exceptions():
                async with self.pool.connection() as connection:
                    await connection.execute("SET LOCAL synchronous_commit TO on")
                    return await work(connection)

        return await self._patiently(once)

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        began, pause = 0.0, 0.05
        while True:
            tried = time.monotonic()
            try:
                return await work()
            except ConnectorException as error:
                if error.__cause__ is None or not may_pass(error.__cause__):
                    raise
                now = time.monotonic()
                if not began or now - tried > self._patience:  # what held for long is a new trouble
                    began, pause = now, 0.05
                if now - began > self._patience:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)
