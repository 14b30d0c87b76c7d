"""Which engine is meant: the journal's place decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from crewkit.core.environ import environment
from crewkit.engine.here import Here
from crewkit.engine.port import Engine, Job
from crewkit.engine.worker import Said, Worker
from crewkit.journal.base import Journal
from crewkit.journal.open import open_journal, postgres_url


async def open_worker(
    queue: str, concurrency: int, say: Callable[[Said], None]
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
    return Worker(shared, engine, queue=queue, say=say, shared=shared), engine, shared


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
