"""Waiting for a time, an event or a person: no process, a deadline that survives it, and going on by itself."""

# ruff: noqa: E501  messages stand here as people read them

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from inline_snapshot import snapshot
from pydantic import BaseModel

from crewkit import Ask, Crew, DefinitionError, InputError, Task, tool
from crewkit.core.clock import SystemClock, timestamp
from crewkit.core.events import Draft, Event
from crewkit.crew.result import Result
from crewkit.journal.base import Journal, Write
from crewkit.journal.sqlite import SqliteJournal
from crewkit.journal.tell import tell_event


class Calendar(SystemClock):
    """The time of day, turned forward by a test."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


class Signed(BaseModel):
    by: str
    pages: int = 1


def file(signed: Signed | None) -> str:
    return f"signed by {signed.by}" if signed else "not signed"


def contract(**rest: Any) -> Crew:
    signed = Task("signed", wait_for="contract_signed", output_type=Signed, **rest)
    return Crew([signed, Task("filed", do=file, needs=[signed])])


def events(journal: Journal, result: Result, *types: str) -> list[Event]:
    return list(journal.events(result.run_id, types=types))


# Events


async def test_a_task_waits_for_an_event_and_its_data_is_the_output(make_options, runs):
    crew = contract()
    result = await crew.run({}, make_options())
    assert (result.status, result.until) == ("paused", "")
    assert result.why == "It waits for the event 'contract_signed'. 0 of 2 tasks completed."
    [paused] = events(runs, result, "run.paused")
    [started] = events(runs, result, "wait.started")
    assert (started.path, started.data) == (
        "signed/wait",
        {"id": result.waits[0], "for": "event", "event": "contract_signed"},
    )
    assert paused.data | {"seen": 0, "seconds": 0} == {
        "reason": "wait", "why": result.why, "approvals": [], "waits": list(result.waits), "until": "", "seen": 0, "seconds": 0,
    }  # fmt: skip
    assert not runs.due(timestamp(datetime.now(UTC)))

    still = await crew.resume(result.run_id, make_options())
    assert (still.status, still.waits) == ("paused", result.waits)
    assert len(events(runs, result, "wait.started")) == 1

    assert tell_event(runs, result.run_id, "contract_signed", {"by": "Ann"}, "a test", id="mail-1")
    assert not tell_event(runs, result.run_id, "contract_signed", {"by": "Eve"}, "a test", id="mail-1")
    assert runs.due(timestamp(datetime.now(UTC))) == [result.run_id]
    done = await crew.resume(result.run_id, make_options())
    assert done.output == "signed by Ann"
    [finished] = events(runs, result, "wait.finished")
    assert finished.data == {
        "id": result.waits[0],
        "outcome": "arrived",
        "signal": "mail-1",
        "by": "a test",
        "output": {"by": "Ann", "pages": 1},
    }


async def test_an_event_that_came_before_anybody_waited_is_found(make_options, runs):
    entered, go = asyncio.Event(), asyncio.Event()

    async def prepare() -> str:
        entered.set()
        await go.wait()
        return "ready"

    ready = Task("ready", do=prepare)
    signed = Task("signed", wait_for="contract_signed", output_type=Signed, needs=[ready])
    running = asyncio.create_task(
        Crew([ready, signed, Task("filed", do=file, needs=[signed])]).run({}, make_options(run_id="r-early"))
    )
    await entered.wait()
    with SqliteJournal(runs.path) as elsewhere:
        tell_event(elsewhere, "r-early", "contract_signed", {"by": "Bob"}, "a test")
    go.set()
    result = await running
    if result.status == "paused":  # it had not looked again yet
        assert runs.due(timestamp(datetime.now(UTC))) == ["r-early"]
        result = await Crew([ready, signed, Task("filed", do=file, needs=[signed])]).resume(
            "r-early", make_options()
        )
    assert result.output == "signed by Bob"


async def test_an_event_is_heard_while_others_still_run(make_options, runs):
    heard = asyncio.Event()

    async def long() -> str:
        await asyncio.wait_for(heard.wait(), 30)
        return "done"

    def filed(signed: Signed) -> str:
        heard.set()
        return signed.by

    signed = Task("signed", wait_for="contract_signed", output_type=Signed)
    crew = Crew([signed, Task("filed", do=filed, needs=[signed]), Task("long", do=long)])
    running = asyncio.create_task(crew.run({}, make_options(run_id="r-live")))
    while not list(runs.events("r-live", types=("wait.started",))):
        await asyncio.sleep(0.01)
    with SqliteJournal(runs.path) as elsewhere:
        tell_event(elsewhere, "r-live", "contract_signed", {"by": "Ann"}, "a test")
    result = await running
    assert (result.status, result.output) == ("completed", {"filed": "Ann", "long": "done"})


async def test_an_event_nobody_waits_for_or_of_another_form_is_refused_at_the_door(make_options, runs):
    result = await contract().run({}, make_options())

    def told(name: str, data: Any) -> str:
        with pytest.raises(InputError) as error:
            tell_event(runs, result.run_id, name, data, "a test")
        return str(error.value).replace(result.run_id, "RUN")

    assert told("contract_sined", None) == snapshot(
        "Run RUN knows no event 'contract_sined'. Did you mean 'contract_signed'? It waits for: contract_signed."
    )
    assert told("contract_signed", {"by": 3}) == snapshot(
        'The data of event \'contract_signed\' is not what the run waits for: by: 3 is not of type \'string\'. Its schema: {"additionalProperties": false, "properties": {"by": {"type": "string"}, "pages": {"default": 1, "type": "integer"}}, "required": ["by"], "type": "object"}'
    )


async def test_an_event_whose_data_does_not_do_after_all_is_refused_and_the_wait_goes_on(make_options, runs):
    result = await contract().run({}, make_options())
    data = {"signal": "event", "id": "e1", "by": "a test", "event": "contract_signed", "data": {"pages": 2}}
    runs.append([Write(result.run_id, [Draft("run.signal", data=data, key="signal:e1")], None)])
    again = await contract().resume(result.run_id, make_options())
    assert again.status == "paused"
    [refused] = events(runs, result, "wait.refused")
    assert (refused.data["signal"], refused.data["why"]) == (
        "e1",
        "its data is not Signed: by: Field required",
    )
    again = await contract().resume(result.run_id, make_options())
    assert len(events(runs, result, "wait.refused")) == 1
    tell_event(runs, result.run_id, "contract_signed", {"by": "Ann"}, "a test")
    assert (await contract().resume(result.run_id, make_options())).output == "signed by Ann"


async def test_a_loop_takes_a_new_event_each_time_and_two_tasks_take_the_same(make_options, runs):
    def crew() -> Crew:
        one = Task(
            "one", wait_for="reading", output_type=int, until=lambda value: None if value > 2 else "too low"
        )
        two = Task("two", wait_for="reading", output_type=int)
        return Crew([one, two])

    result = await crew().run({}, make_options())
    for value in (1, 2, 3):
        tell_event(runs, result.run_id, "reading", value, "a test")
    result = await crew().resume(result.run_id, make_options())
    assert dict(result.outputs) == {"one": 3, "two": 1}
    paths = [event.path for event in events(runs, result, "wait.finished")]
    assert sorted(paths) == ["one#2/wait", "one#3/wait", "one/wait", "two/wait"]


# Deadlines


@pytest.mark.parametrize(
    ("on_failure", "status", "output"),
    [("fail", "failed", None), ("continue", "completed", "not signed"), ("skip", "completed", None)],
)
async def test_an_event_that_does_not_come_in_time_fails_the_task(
    make_options, runs, on_failure, status, output
):
    clock = Calendar()

    def crew() -> Crew:
        return contract(deadline=timedelta(days=2), on_failure=on_failure)

    result = await crew().run({}, make_options(clock=clock))
    [started] = events(runs, result, "wait.started")
    assert (result.status, result.until) == ("paused", started.data["deadline"])
    clock.ahead = timedelta(days=1)
    assert not runs.due(timestamp(clock.now()))
    again = await crew().resume(result.run_id, make_options(clock=clock))
    assert (again.status, again.until) == ("paused", result.until), "a restart does not move the deadline"
    clock.ahead = timedelta(days=2, seconds=1)
    assert runs.due(timestamp(clock.now())) == [result.run_id]
    done = await crew().resume(result.run_id, make_options(clock=clock))
    assert (done.status, done.output) == (status, output)
    assert "The event 'contract_signed' did not come by" in done.report.failed["signed"]


@pytest.mark.parametrize(("hours", "status"), [(47, "completed"), (49, "failed")])
async def test_when_it_came_counts_and_not_when_it_was_read(make_options, runs, hours: int, status: str):
    clock = Calendar()
    result = await contract(deadline=timedelta(days=2)).run({}, make_options(clock=clock))
    data = {"signal": "event", "id": "e1", "by": "", "event": "contract_signed", "data": {"by": "Ann"}}
    ts = timestamp(datetime.now(UTC) + timedelta(hours=hours))
    runs.append([Write(result.run_id, [Draft("run.signal", data=data, key="signal:e1", ts=ts)], None)])
    clock.ahead = timedelta(days=3)
    done = await contract(deadline=timedelta(days=2)).resume(result.run_id, make_options(clock=clock))
    assert done.status == status


async def test_a_question_nobody_answers_by_the_deadline_counts_as_denied(make_options, runs):
    clock = Calendar()

    def crew() -> Crew:
        review = Task("review", do=lambda_text, human_input="Good?", deadline=3600)
        inner = Crew([Task("text", do=lambda_text, guardrails=[lambda text: Ask("Really?")])])
        nested = Task("nested", do=inner, deadline=timedelta(hours=2))
        return Crew([review, nested])

    result = await crew().run({}, make_options(clock=clock))
    asked = {e.path: e.data["expires"] for e in events(runs, result, "approval.requested")}
    first = datetime.fromisoformat(asked["review/1/ask"])
    [second] = (datetime.fromisoformat(each) for path, each in asked.items() if path.startswith("nested/"))
    assert timedelta(minutes=50) < second - first < timedelta(minutes=70)
    assert result.until == asked["review/1/ask"]
    clock.ahead = timedelta(hours=3)
    done = await crew().resume(result.run_id, make_options(clock=clock))
    assert done.status == "denied"
    decided = events(runs, result, "approval.decided")
    assert [(e.data["decision"], e.data["by"]) for e in decided] == [("deny", "deadline")] * 2


def lambda_text() -> str:
    return "text"


# Times


async def test_a_task_waits_for_so_long(make_options, runs):
    clock = Calendar()

    def crew() -> Crew:
        cooled = Task("cooled", wait_for=timedelta(days=30))
        return Crew([cooled, Task("end", do=lambda_text, needs=[cooled])])

    result = await crew().run({}, make_options(clock=clock))
    [paused] = events(runs, result, "run.paused")
    assert (paused.data["reason"], paused.data["until"]) == ("wait", result.until)
    assert timedelta(days=29) < datetime.fromisoformat(result.until) - datetime.now(UTC) < timedelta(days=31)
    clock.ahead = timedelta(days=29)
    assert (await crew().resume(result.run_id, make_options(clock=clock))).until == result.until
    clock.ahead = timedelta(days=31)
    done = await crew().resume(result.run_id, make_options(clock=clock))
    assert done.outputs["cooled"] == result.until
    assert done.ok


@tool(effects="read")
def due(day: str) -> str:
    """Say when."""
    return day


@pytest.mark.parametrize(
    ("day", "why"),
    [
        ("2001-05-04T03:02:01+02:00", ""),
        (
            "2001-05-04T03:02:01",
            "tomorrow() returned datetime.datetime(2001, 5, 4, 3, 2, 1), which is no time to wait until: return a datetime with a timezone, or a timedelta.",
        ),
        ("never", "tomorrow() failed with ValueError: Invalid isoformat string: 'never'"),
    ],
)
async def test_a_function_says_until_when_once(make_options, runs, day: str, why: str):
    asked: list[str] = []

    def tomorrow(due: str) -> datetime:
        asked.append(due)
        return datetime.fromisoformat(due)

    first = Task("due", do=due)
    crew = Crew([first, Task("wait", wait_for=tomorrow, needs=[first])], inputs=["day"])
    result = await crew.run({"day": day}, make_options())
    assert asked == [day]
    if why:
        assert dict(result.report.failed) == {"wait": why}
    else:
        assert result.output == "2001-05-04T01:02:01.000000Z"


async def test_a_time_comes_while_others_still_run(make_options, runs):
    reached = asyncio.Event()

    async def long() -> str:
        await asyncio.wait_for(reached.wait(), 30)
        return "done"

    def after() -> str:
        reached.set()
        return "after"

    wait = Task("wait", wait_for=datetime.now(timezone(timedelta(hours=5))) + timedelta(seconds=0.3))
    result = await Crew([wait, Task("after", do=after, needs=[wait]), Task("long", do=long)]).run(
        {}, make_options()
    )
    assert result.ok, result.why


# Mistakes


def mistake(define: Callable[[], object]) -> str:
    with pytest.raises(DefinitionError) as error:
        define()
    return str(error.value)


def test_what_cannot_be_waited_for_is_found_before_it_runs():
    assert mistake(lambda: Task("w", wait_for="two words")) == snapshot(
        "Task 'w': wait_for='two words' is no name of an event: letters, digits, '_', '-' and '.', 100 at most."
    )
    assert mistake(lambda: Task("w", wait_for=datetime(2026, 1, 1))) == snapshot(
        "Task 'w': wait_for=datetime.datetime(2026, 1, 1, 0, 0) has no timezone. Say which: datetime(…, tzinfo=UTC)."
    )
    assert mistake(lambda: Task("w", wait_for=7)) == snapshot(
        "Task 'w': wait_for=7 is not the name of an event, a timedelta, a datetime or a function."
    )
    assert mistake(lambda: Task("w", wait_for="x", do=lambda_text)) == snapshot(
        "Task 'w' waits (`wait_for`), so nobody does it: leave out agent, do, tools and model."
    )
    assert mistake(lambda: Task("w", wait_for="x", deadline=0)) == snapshot(
        "Task 'w': deadline=0 is neither a timedelta nor a number of seconds above 0."
    )
    assert mistake(lambda: Task("w", wait_for=timedelta(1), deadline=3)) == snapshot(
        "Task 'w' waits for a time, which comes: it needs no deadline."
    )
    assert mistake(lambda: Crew([Task("w", wait_for=timedelta(1), output_type=int)])) == snapshot(
        "Task 'w' waits for a time, which is its output as a text: leave out output_type."
    )
    assert mistake(lambda: Crew([Task("w", wait_for=lambda day: day)])) == snapshot(
        "Task 'w': wait_for: <lambda>() takes 'day', which is neither an input nor one of its needs. There are: none."
    )
