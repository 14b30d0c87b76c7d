"""Which engine is meant: the journal's place decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from crewkit.core.environ import environment
from crewkit.engine.here import Here
from crewkit.engine.port import Engine, Job
from crewkit.engine.worker import Said, Worker
from crewkit.errors import InputError
from crewkit.journal.base import Journal
from crewkit.journal.open import open_journal, postgres_url
from crewkit.journal.workers import WorkerInfo


async def open_worker(
    queue: str, concurrency: int, say: Callable[[Said], None], name: str
) -> tuple[Worker, Engine, Journal]:
    """Open a worker for the journal that is meant here; on PostgreSQL it shares runs with others.

    Raises:
        InputError: What it needs is not installed.
        JournalError: The journal cannot be opened.
    """
    environ = environment()

    def put_off(why: str) -> None:
        say(Said("put off", why=why))

    url = postgres_url(environ)
    if not url:
        journal = await asyncio.to_thread(open_journal, None, environ)
        here = Here(journal, queue=queue, concurrency=concurrency, told=put_off)
        return Worker(journal, here, queue=queue, say=say), here, journal
    from crewkit.engine.procrastinate import Procrastinate
    from crewkit.journal.postgres import PostgresJournal

    shared = await asyncio.to_thread(PostgresJournal, url, worker=True)
    engine = Procrastinate(url, queue=queue, concurrency=concurrency, told=put_off)
    return (
        Worker(shared, engine, queue=queue, say=say, shared=shared, name=name, concurrency=concurrency),
        engine,
        shared,
    )


def list_workers() -> list[WorkerInfo]:
    """List the workers that said something lately, the oldest first.

    Raises:
        InputError: The journal is on SQLite, whose workers do not know of each other.
        JournalError: The journal cannot be reached.
    """
    url = postgres_url(environment())
    if not url:
        raise InputError(
            "Workers are listed on PostgreSQL alone: set CREWKIT_JOURNAL. On SQLite, `crewkit runs` tells which "
            "process carries a run on."
        )
    from crewkit.journal.postgres import PostgresJournal

    with PostgresJournal(url) as journal:
        return journal.workers()


async def announce(run: str, queue: str) -> None:
    """Tell workers of a run that was handed over. Where that is not possible from here, they find it themselves."""
    url = postgres_url(environment())
    if not url:
        return
    try:
        from crewkit.engine.procrastinate import Procrastinate

        engine = Procrastinate(url, queue=queue, patience=3.0)
    except ImportError:
        return
    try:
        await engine.deliver(Job(run))
    finally:
        await engine.close()
