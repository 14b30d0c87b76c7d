"""The engine of many machines: procrastinate, in a schema of its own in the journal's database.

Nothing in there is the truth. A job says what is to be looked at; the journal says whether there is anything to do,
and its leases who may. So what procrastinate leaves open does no harm: a job that comes twice finds its work done, and
one that was lost is delivered again by whoever waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from crewkit.core.messages import fingerprint
from crewkit.engine.port import Do, Job, NotHere
from crewkit.errors import CrewkitError, InputError, JournalError

if TYPE_CHECKING:
    from procrastinate import App, JobContext
    from procrastinate.jobs import Job as Stalled

    from crewkit.engine.tables import Patient

T = TypeVar("T")

BEAT = 0.5
"""Seconds between two signs of life of a worker."""

STALLED = 2.5
"""Seconds without one, after which its jobs are given to others."""

WALKS = 64
"""Runs whose graph one worker walks at a time. They wait most of the time, and do their tasks elsewhere."""

PATIENCE = 60.0
"""Seconds to try a statement again for, where the connection was lost."""

_SWEEP = 0.3
"""Seconds between two looks for jobs of dead workers."""

_LATER = (1.0, 30.0)
"""Seconds until a job that could not be done is tried again: at first, and at most."""

_POLL = 1.0
"""Seconds between two looks for jobs whose time has come, or that are cancelled: all others are announced."""

_FIRST = 1
"""Priority of what a dead worker had: it was begun before all that waits (with 0). Once only: what kills each worker
that does it must not go before all others for ever."""

_FORGOTTEN = 86_400.0
"""Seconds until a dead worker is forgotten. Its jobs were given to others long before."""

_CANCELLING = 10.0
"""Seconds to wait for whoever does a job that is cancelled."""

_RUN, _TASK = "crewkit.run", "crewkit.task"


class Procrastinate:
    """Delivers jobs by procrastinate.

    It lives in a thread of its own: a tool that blocks the event loop of the worker must not keep it from giving signs
    of life.
    """

    def __init__(
        self,
        url: str,
        *,
        queue: str,
        concurrency: int = 0,
        beat: float = BEAT,
        stalled: float = STALLED,
        patience: float = PATIENCE,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Describe the engine; nothing is opened yet.

        Args:
            url: Where the database is.
            queue: Whose jobs are delivered and taken.
            concurrency: Tasks that are done at a time.
            beat: Seconds between two signs of life.
            stalled: Seconds without one, after which a worker counts as dead.
            patience: Seconds to try again for, where the connection was lost.
            told: Is told why a job could not be done.

        Raises:
            InputError: procrastinate is not installed.
        """
        try:
            from crewkit.engine.tables import open_app
        except ImportError as error:
            raise InputError(
                "Workers on PostgreSQL need procrastinate. Install it: pip install 'crewkit[worker]'"
            ) from error
        logger = logging.getLogger("procrastinate")
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())  # what matters of it is told in our own words
        self._open = lambda: open_app(url, patience)
        self._queue = queue
        self._concurrency = concurrency
        self._beat = beat
        self._stalled = stalled
        self._told = told
        self._thread = _LoopThread()
        self._app: App | None = None
        self._connector: Patient
        self._opening: asyncio.Lock | None = None
        self._serving: Future[None] | None = None
        self._in_hand: dict[int, int | None] = {}
        """Jobs that are done here, by number, and the number of the worker that fetched them."""

    async def deliver(self, job: Job) -> None:
        """Let some worker do this. Nothing happens where it waits for one already."""
        await self._thread.run(self._deliver(job))

    async def cancel(self, job: Job) -> None:
        """Do not do this, and let whoever does it stop; return when nobody does it any more, or after a while."""
        await self._thread.run(self._cancel(job))

    async def serve(self, do: Do, lost: Do) -> None:
        """Do the jobs that are delivered, those of a dead worker too, until cancelled; then take no more."""
        home = asyncio.get_running_loop()
        stop = asyncio.Event()
        self._serving = self._thread.start(self._serve(_Bridge(home, do), _Bridge(home, lost), stop))
        try:
            await asyncio.shield(asyncio.wrap_future(self._serving))
        finally:
            self._thread.call(stop.set)

    async def close(self) -> None:
        """Release connections; jobs in hand are waited for."""
        if self._serving is not None:
            await asyncio.wait([asyncio.wrap_future(self._serving)])
        with suppress(JournalError):
            await self._thread.run(self._close())
        self._thread.close()

    # In the thread

    async def _opened(self) -> App:
        self._opening = self._opening or asyncio.Lock()
        async with self._opening:
            if self._app is None:
                app, self._connector = await self._open()
                app.task(name=_RUN, pass_context=True)(self._perform)
                app.task(name=_TASK, pass_context=True)(self._perform)
                self._app = app
            return self._app

    async def _close(self) -> None:
        if self._app is not None:
            await self._app.close_async()

    async def _deliver(self, job: Job, *, queue: str = "", tries: int = 0, priority: int = 0) -> None:
        from procrastinate.exceptions import AlreadyEnqueued

        app = await self._opened()
        queue = queue or self._queue
        seconds = min(_LATER[0] * 2 ** (tries - 1), _LATER[1]) if tries else 0.0
        given = {**asdict(job), "queue": queue, "tries": tries}
        how: dict[str, Any] = {"schedule_in": {"seconds": seconds}} if seconds else {}
        how |= {
            "queue": _channel(queue, job.task),
            "lock": job.name,
            "queueing_lock": job.name,
            "priority": priority,
        }

        async def defer(connection: Any) -> None:
            later = app.configure_task(_TASK if job.task else _RUN, connection=connection, **how)
            await later.defer_async(**given)

        with suppress(AlreadyEnqueued):
            await self._connector.synced(defer)

    async def _cancel(self, job: Job) -> None:
        manager = (await self._opened()).job_manager
        deadline = time.monotonic() + _CANCELLING
        while True:
            jobs = list(await manager.list_jobs_async(lock=job.name))
            for each in jobs:
                if each.id is not None and not each.abort_requested:
                    await manager.cancel_job_by_id_async(each.id, abort=True, delete_job=True)
            if not jobs or time.monotonic() > deadline:
                return
            await asyncio.sleep(0.05)

    async def _serve(self, do: Do, lost: Do, stop: asyncio.Event) -> None:
        app = await self._opened()
        self._do = do
        sides = [asyncio.create_task(self._beating(app)), asyncio.create_task(self._sweeping(app, lost))]
        try:
            while not stop.is_set():
                await self._work(app, stop)
        finally:
            for side in sides:
                side.cancel()
            await asyncio.gather(*sides, return_exceptions=True)

    async def _work(self, app: App, stop: asyncio.Event) -> None:
        """Let procrastinate's workers take jobs until told to stop, or until one gives up."""
        workers = [
            asyncio.create_task(self._worker(app, "", WALKS)),
            asyncio.create_task(self._worker(app, "task", self._concurrency)),
        ]
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([*workers, stopped], return_when=asyncio.FIRST_COMPLETED)
        for each in (*workers, stopped):
            each.cancel()  # they wait for what is in hand
        for ended in await asyncio.gather(*workers, return_exceptions=True):
            if isinstance(ended, Exception):
                self._told(f"The engine was lost and is looked for again: {ended}")
                await asyncio.sleep(self._beat)

    async def _worker(self, app: App, task: str, concurrency: int) -> None:
        await app.run_worker_async(
            queues=[_channel(self._queue, task)],
            concurrency=concurrency,
            fetch_job_polling_interval=_POLL,
            abort_job_polling_interval=_POLL,
            update_heartbeat_interval=self._beat,
            stalled_worker_timeout=_FORGOTTEN,
            delete_jobs="always",
            install_signal_handlers=False,
        )

    async def _perform(self, context: JobContext, **given: Any) -> None:
        number = context.job.id or 0
        queue, tries = given.pop("queue"), given.pop("tries")
        job = Job(**given)
        self._in_hand[number] = context.job.worker_id
        try:
            await self._do(job)
        except NotHere as error:
            if str(error):
                self._told(str(error))
            await self._deliver(job, queue=queue, tries=tries + 1)
        finally:
            del self._in_hand[number]

    async def _beating(self, app: App) -> None:
        """Give signs of life for what is in hand: procrastinate's workers give none while they are stopping."""
        while True:
            await asyncio.sleep(self._beat)
            for worker in {worker for worker in self._in_hand.values() if worker is not None}:
                with suppress(Exception):
                    await app.job_manager.update_heartbeat(worker)

    async def _sweeping(self, app: App, lost: Do) -> None:
        """Give the jobs of dead workers to others, and those that are said to be done here and are not."""
        seen = time.monotonic()
        silent = seen + self._stalled  # after an outage, or a sleep of our own, everybody speaks first
        strays: set[int | None] = set()
        while True:
            await asyncio.sleep(_SWEEP)
            try:
                stalled = list(await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=self._stalled))
                mine = await self._not_in_hand(app)
            except Exception:  # noqa: BLE001, S112  looked for again
                continue
            now = time.monotonic()
            if now - seen > 2 * _SWEEP + self._beat:
                silent = now + self._stalled
            seen = now
            for job in stalled if now > silent else ():
                await self._take_over(app, job, lost)
            for job in mine:
                if job.id in strays:  # the second time: it is not just being begun or ended
                    await self._take_over(app, job, lost)
            strays = {job.id for job in mine}

    async def _not_in_hand(self, app: App) -> list[Stalled]:
        """Return the jobs that workers of this process fetched and do not do: an answer of the server was lost."""
        doing = [
            job
            for worker in self._connector.workers
            for job in await app.job_manager.list_jobs_async(worker_id=worker, status="doing")
        ]
        return [job for job in doing if job.id not in self._in_hand]

    async def _take_over(self, app: App, stalled: Stalled, lost: Do) -> None:
        from procrastinate.exceptions import ConnectorException
        from procrastinate.jobs import Status

        given = dict(stalled.task_kwargs)
        queue, _ = str(given.pop("queue")), given.pop("tries")
        job = Job(**given)  # pyright: ignore[reportArgumentType]
        try:
            # Whoever takes it away delivers it again; whoever had it cannot end it any more.
            await app.job_manager.finish_job_by_id_async(stalled.id or 0, Status.ABORTED, delete_job=True)
        except ConnectorException:
            return
        try:
            await lost(job)
        except CrewkitError as error:
            self._told(f"{job.name} could not be taken from a worker that stopped answering: {error}")
        # One that waits already was announced while nobody could take it, or its time comes later: it would be found
        # at the next look only.
        for waiting in await app.job_manager.list_jobs_async(queueing_lock=job.name, status="todo"):
            await app.job_manager.cancel_job_by_id_async(waiting.id or 0, delete_job=True)
        await self._deliver(job, queue=queue, priority=0 if stalled.priority else _FIRST)


class _LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_quiet)
        self._thread = threading.Thread(target=self._loop.run_forever, name="crewkit-engine", daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin something there."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something there and return what came of it."""
        from procrastinate.exceptions import ProcrastinateException

        try:
            return await asyncio.wrap_future(self.start(work))
        except ProcrastinateException as error:
            raise JournalError(f"The engine could not be reached: {error.__cause__ or error}") from error

    def call(self, what: Callable[[], None]) -> None:
        """Call something there."""
        self._loop.call_soon_threadsafe(what)

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Bridge:
    """Does jobs in another event loop than the engine's; cancelled here, they are cancelled there, and waited for."""

    def __init__(self, home: asyncio.AbstractEventLoop, do: Do) -> None:
        self._home = home
        self._do = do

    async def __call__(self, job: Job) -> None:
        here = asyncio.get_running_loop()
        ended: asyncio.Future[None] = here.create_future()
        tasks: list[asyncio.Task[None]] = []

        def start() -> None:
            task = self._home.create_task(_awaited(self._do(job)), name=job.name)
            tasks.append(task)
            task.add_done_callback(lambda task: here.call_soon_threadsafe(_pass_on, task, ended))

        def cancel() -> None:
            tasks[0].cancel()

        self._home.call_soon_threadsafe(start)
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            self._home.call_soon_threadsafe(cancel)
            await asyncio.wait([ended])
            raise


async def _awaited(work: Awaitable[None]) -> None:
    await work


def _pass_on(task: asyncio.Task[None], ended: asyncio.Future[None]) -> None:
    if ended.done():
        return
    error = None if task.cancelled() else task.exception()
    if task.cancelled():
        ended.cancel()
    elif error is not None:
        ended.set_exception(error)
    else:
        ended.set_result(None)


def _quiet(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say nothing of a worker that wants to end a job which was taken from it."""
    from procrastinate.exceptions import ConnectorException

    if not isinstance(context.get("exception"), ConnectorException):
        loop.default_exception_handler(context)


def _channel(queue: str, task: str) -> str:
    """Return procrastinate's name of a queue, which PostgreSQL has to take for a channel's too: 63 bytes at most."""
    return f"{'tasks' if task else 'runs'}-{fingerprint(queue)}"
