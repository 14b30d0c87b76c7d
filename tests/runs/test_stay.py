"""Staying with a run that waits: it goes on when another process decides, an event comes or a time is there."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from crewkit import Crew, Task
from crewkit.journal.sqlite import SqliteJournal
from crewkit.journal.tell import signal, tell_event

RUN = "r-stays"


def text() -> str:
    return "text"


def crew() -> Crew:
    asked = Task("asked", do=text, human_input="Good?")
    waited = Task("waited", wait_for="ready", needs=[asked])
    slept = Task("slept", wait_for=timedelta(seconds=0.5), needs=[waited])
    return Crew([asked, waited, slept, Task("end", do=text, needs=[slept])])


async def paused(runs: SqliteJournal, times: int) -> None:
    while len(list(runs.events(RUN, types=("run.paused",)))) < times:
        await asyncio.sleep(0.02)


@pytest.mark.timeout(60)
async def test_it_goes_on_with_each_thing_that_comes(make_options, runs, decide):
    running = asyncio.create_task(crew().run({}, make_options(wait=True, run_id=RUN)))
    await paused(runs, 1)
    while runs.info(RUN).alive:  # nothing of it is held while it waits
        await asyncio.sleep(0.02)
    decide(RUN)
    await paused(runs, 2)
    with SqliteJournal(runs.path) as elsewhere:
        tell_event(elsewhere, RUN, "ready", None, "a test")
    result = await running
    assert (result.status, result.output) == ("completed", "text")


@pytest.mark.timeout(60)
async def test_another_process_may_carry_it_on_meanwhile(make_options, runs, decide):
    running = asyncio.create_task(crew().run({}, make_options(wait=True, run_id=RUN)))
    await paused(runs, 1)
    with SqliteJournal(runs.path) as elsewhere:
        decide(RUN)
        tell_event(elsewhere, RUN, "ready", None, "a test")
        result = await crew().resume(RUN, make_options(wait=True, journal=elsewhere))
    assert result.ok
    assert (await running).output == "text"
    assert len(list(runs.events(RUN, types=("run.finished",)))) == 1


@pytest.mark.timeout(60)
async def test_what_a_person_paused_waits_for_their_resume(make_options, runs, decide):
    first = await crew().run({}, make_options(run_id=RUN))
    assert first.status == "paused"
    staying = asyncio.create_task(crew().resume(RUN, make_options(wait=True)))
    await paused(runs, 2)
    lease = runs.take(RUN, "s-hold")
    from crewkit.core.events import Draft
    from crewkit.journal.base import Write

    runs.append([Write(RUN, [Draft("run.paused", data={"reason": "pause", "by": "Ann"})], lease.epoch)])
    runs.release(lease)
    decide(RUN)
    signal(runs, RUN, "event", "a test", event="ready", data=None)
    await asyncio.sleep(1.5)
    assert not staying.done()
    assert len(list(runs.events(RUN, types=("run.resumed",)))) == 1
    result = await crew().resume(RUN, make_options(wait=True))
    assert result.ok
    assert (await staying).ok
