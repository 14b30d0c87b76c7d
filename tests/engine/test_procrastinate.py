"""The engine of many machines, by itself: what comes, what comes again, what is cancelled, what is given up."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
import pytest

from crewkit.engine.port import Job, NotHere
from crewkit.engine.procrastinate import Procrastinate
from crewkit.errors import JournalError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

Make = Callable[..., Procrastinate]


@pytest.fixture
async def make(postgres_url: str) -> AsyncIterator[Make]:
    engines: list[Procrastinate] = []

    def make_one(**more: object) -> Procrastinate:
        engines.append(Procrastinate(postgres_url, queue="/app", **{"concurrency": 4, **more}))
        return engines[-1]

    yield make_one
    for taker in TAKERS:
        taker.hold.clear()
    TAKERS.clear()
    for engine in engines:
        await engine.close()


TAKERS: list[Taker] = []


class Taker:
    """Serves in this process and notes what comes."""

    def __init__(self, engine: Procrastinate) -> None:
        self.engine = engine
        self.begun: list[Job] = []
        self.ended: list[str] = []
        self.lost: list[Job] = []
        self.hold: set[str] = set()
        self.refuse: dict[str, int] = {}
        self._serving: asyncio.Task[None] | None = None
        TAKERS.append(self)

    async def __aenter__(self) -> Taker:
        self._serving = asyncio.create_task(self.engine.serve(self._do, self._take_away))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._serving
        self._serving.cancel()
        await asyncio.gather(self._serving, return_exceptions=True)

    async def _do(self, job: Job) -> None:
        self.begun.append(job)
        if self.refuse.get(job.name, 0) > 0:
            self.refuse[job.name] -= 1
            raise NotHere("not now")
        try:
            while job.name in self.hold:
                await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            self.ended.append(f"{job.name} cancelled")
            raise
        self.ended.append(job.name)

    async def _take_away(self, job: Job) -> None:
        self.lost.append(job)


async def until(holds: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_what_is_delivered_comes_once(make: Make):
    engine = make()
    first, second = Job("r-1"), Job("r-1", "sub#2/draft", 7, "hash")
    for job in (first, first, second):
        await engine.deliver(job)
    async with Taker(engine) as taker:
        await until(lambda: len(taker.ended) == 2)
        await engine.deliver(second)
        await until(lambda: len(taker.ended) == 3)
    assert set(taker.begun) == {first, second}


async def test_two_of_a_name_are_not_done_at_the_same_time(make: Make):
    engine, job = make(), Job("r-1", "draft")
    async with Taker(engine) as taker:
        taker.hold = {job.name}
        await engine.deliver(job)
        await until(lambda: taker.begun)
        await engine.deliver(job)
        await engine.deliver(Job("r-1", "other"))
        await until(lambda: taker.ended == ["r-1/other"])
        assert taker.begun.count(job) == 1
        taker.hold.clear()
        await until(lambda: taker.ended.count(job.name) == 2)


async def test_what_cannot_be_done_here_comes_again(make: Make):
    told: list[str] = []
    engine = make(told=told.append)
    async with Taker(engine) as taker:
        taker.refuse["r-1"] = 1
        await engine.deliver(Job("r-1"))
        await until(lambda: taker.ended == ["r-1"])
    assert told == ["not now"]


async def test_a_queue_is_served_by_its_own(make: Make, postgres_url: str):
    engine, other = make(), Procrastinate(postgres_url, queue="/elsewhere", concurrency=1)
    await other.deliver(Job("r-other"))
    await engine.deliver(Job("r-1"))
    async with Taker(engine) as taker:
        await until(lambda: taker.ended == ["r-1"])
        await asyncio.sleep(0.3)
    assert taker.begun == [Job("r-1")]
    await other.close()


async def test_a_job_is_cancelled_where_it_waits_and_where_it_is_done(make: Make):
    engine = make(concurrency=1)
    done, waits = Job("r-1", "done"), Job("r-1", "waits")
    async with Taker(engine) as taker:
        taker.hold = {done.name, waits.name}
        await engine.deliver(done)
        await until(lambda: taker.begun)
        await engine.deliver(waits)
        await engine.cancel(waits)
        await engine.cancel(done)
        assert taker.ended == ["r-1/done cancelled"]
        await engine.deliver(Job("r-1", "next"))
        await until(lambda: len(taker.ended) == 2)
    assert waits not in taker.begun


async def test_who_is_told_to_stop_ends_what_it_has_and_gives_signs_of_life(make: Make):
    """Nobody takes it away, however long it takes."""
    engine, other = make(beat=0.2, stalled=1.0), make(beat=0.2, stalled=1.0)
    async with Taker(other) as idle:
        async with Taker(engine) as taker:
            taker.hold = idle.hold = {"r-1/a", "r-1/b"}
            for name in ("a", "b"):
                await engine.deliver(Job("r-1", name))
            await until(lambda: len(taker.begun) + len(idle.begun) == 2)
            both = [*taker.begun, *idle.begun]
        await asyncio.sleep(2.5)
        assert [*taker.begun, *idle.begun] == both
        assert idle.lost == []
        taker.hold.clear()
        await until(lambda: len(taker.ended) + len(idle.ended) == 2)


async def test_a_blocked_event_loop_is_no_dead_worker(make: Make):
    engine, other = make(beat=0.2, stalled=1.0), make(beat=0.2, stalled=1.0)

    async def block(_job: Job) -> None:
        time.sleep(2.5)

    blocked = asyncio.create_task(engine.serve(block, block))
    await engine.deliver(Job("r-1"))
    async with Taker(other) as taker:
        await asyncio.sleep(4)
        assert taker.lost == []
    blocked.cancel()


WORKER = """
    import asyncio, sys
    from crewkit.engine.port import Job
    from crewkit.engine.procrastinate import Procrastinate

    async def do(job):
        print("begun", job.name, flush=True)
        await asyncio.sleep(3600 if job.task else 0)
        print("ended", job.name, flush=True)

    async def main():
        engine = Procrastinate(sys.argv[1], queue="/app", concurrency=4, beat=0.3, stalled=1.0)
        await engine.serve(do, do)

    asyncio.run(main())
"""


@pytest.fixture
def process(postgres_url: str):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORKER), postgres_url],
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait(30)
    assert process.stdout
    process.stdout.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_the_job_of_a_dead_or_stopped_worker_comes_again(make: Make, process, how: signal.Signals):
    engine, job = make(beat=0.3, stalled=1.0), Job("r-1", "draft", 3)
    await engine.deliver(job)
    assert await asyncio.to_thread(process.stdout.readline) == "begun r-1/draft\n"
    async with Taker(engine) as taker:
        await asyncio.sleep(2)
        assert not taker.begun
        os.kill(process.pid, how)
        await until(lambda: taker.ended)
        assert (taker.lost, taker.begun) == ([job], [job])


async def test_what_a_dead_worker_had_comes_before_all_that_waits(make: Make, process, postgres_url: str):
    engine, job = make(beat=0.3, stalled=1.0, concurrency=1), Job("r-1", "draft", 3)
    first, second = Job("r-2", "first"), Job("r-2", "second")
    await engine.deliver(job)
    assert await asyncio.to_thread(process.stdout.readline) == "begun r-1/draft\n"
    os.kill(process.pid, signal.SIGKILL)
    for each in (
        first,
        second,
        job,
    ):  # whoever waits for a job delivers it again: that one must not be the one to come
        await engine.deliver(each)

    def has_come() -> bool:
        with psycopg.connect(postgres_url) as db:
            ((schema,),) = db.execute(
                "SELECT schemaname FROM pg_tables WHERE tablename = 'procrastinate_jobs'"
            ).fetchall()
            query = f"SELECT priority FROM {schema}.procrastinate_jobs WHERE lock = 'r-1/draft' AND status = 'todo'"
            return db.execute(query).fetchall() == [(1,)]

    async with Taker(engine) as taker:
        taker.hold = {first.name}
        await until(lambda: taker.begun and taker.lost)
        await until(has_come)
        taker.hold.clear()
        await until(lambda: len(taker.ended) == 3)
        assert taker.begun == [first, job, second]


async def test_a_restart_of_the_server_loses_nothing(make: Make, postgres):
    engine = make()
    async with Taker(engine) as taker:
        taker.hold = {"r-1"}
        await engine.deliver(Job("r-1"))
        await until(lambda: taker.begun)
        await asyncio.to_thread(postgres.crash)
        await engine.deliver(Job("r-2"))
        taker.hold.clear()
        await until(lambda: {"r-1", "r-2"} <= set(taker.ended))


async def test_a_server_that_is_not_there_is_named(tmp_path: Path):
    engine = Procrastinate("postgresql://nobody@127.0.0.1:1/none", queue="/app", patience=0.5)
    with pytest.raises(JournalError, match="engine could not be reached"):
        await engine.deliver(Job("r-1"))
    await engine.close()
