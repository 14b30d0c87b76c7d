"""Carrying a run on: after an interruption, a failure, a change, a cancellation."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest
from pydantic import BaseModel

from crewkit import Agent, Crew, InputError, ModelError, ReplayError, RunBusy, Task, tool
from crewkit.core.events import Draft, Event
from crewkit.crew.crew import Input
from crewkit.journal.base import Write
from crewkit.journal.read import totals
from crewkit.journal.sqlite import SqliteJournal
from crewkit.models.base import Request
from crewkit.models.scripted import Line, ScriptedModel, call
from crewkit.runs.opened import Opened
from crewkit.testing import FakeClock


def writer(*lines, **agent) -> Agent:
    return Agent("Writer", "Write.", model=ScriptedModel(list(lines)), **agent)


def signal(runs: SqliteJournal, run: str) -> None:
    with SqliteJournal(runs.path) as elsewhere:
        draft = Draft("run.signal", data={"signal": "cancel", "id": "c-1", "by": "Ada"}, key="c-1")
        elsewhere.append([Write(run, [draft], None)])


async def test_a_run_that_was_interrupted_goes_on(make_options, runs):
    entered = asyncio.Event()
    calls: list[str] = []

    async def say(request: Request) -> str:
        calls.append("second")
        entered.set()
        if len(calls) == 1:
            await asyncio.Event().wait()
        return "two"

    model = ScriptedModel(["one"])
    first = Task("first", "Write.", agent=Agent("A", "Write.", model=model))
    second = Task("second", "Write.", agent=Agent("B", "Write.", model=ScriptedModel(say)), needs=[first])
    crew = Crew([first, second])
    running = asyncio.create_task(crew.run({}, make_options(run_id="r-1")))
    await entered.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    last = list(runs.events("r-1"))[-1]
    assert (last.type, last.data["reason"]) == ("run.paused", "interrupted")
    result = await crew.resume("r-1", make_options())
    assert dict(result.outputs) == {"first": "one", "second": "two"}
    assert (len(model.requests), len(calls)) == (1, 2)


async def test_a_completed_run_is_answered_from_the_journal(make_options, runs):
    model = ScriptedModel(["one"])
    task = Task("t", "Write.", agent=Agent("A", "Write.", model=model))
    crew = Crew([task])
    result = await crew.run({}, make_options())
    events = runs.last(result.run_id)
    again = await crew.resume("@last", make_options())
    assert (again[task], again.status, again.report) == ("one", "completed", result.report)
    assert len(model.requests) == 1
    assert runs.last(result.run_id) == events


async def test_a_failed_run_repeats_no_finished_call(make_options):
    looks: list[int] = []

    @tool(effects="read")
    def look() -> str:
        """Look."""
        looks.append(1)
        return "seen"

    down = [True]

    def say(request: Request):
        if len(request.messages) == 2:
            return call("look")
        if down:
            raise ModelError("The server is down.")
        return "Done."

    model = ScriptedModel(say)
    crew = Crew([Task("t", "Look.", agent=Agent("A", "Look.", tools=[look], model=model))])
    result = await crew.run({}, make_options())
    assert (result.status, dict(result.report.failed)) == ("failed", {"t": "The server is down."})
    down.clear()
    resumed = await crew.resume(result.run_id, make_options())
    assert (resumed.output, len(looks), len(model.requests)) == ("Done.", 1, 3)


async def test_a_changed_task_that_is_not_finished_stops_the_resume_by_name(make_options):
    first = Task("first", "Write.", agent=writer("one"))
    broken = Agent("B", "Write.", model=ScriptedModel([ModelError("down")]))
    crew = Crew([first, Task("second", "Write.", agent=broken, needs=[first])])
    result = await crew.run({}, make_options())
    changed = Crew([first, Task("second", "Write well.", agent=broken, needs=[first])])
    with pytest.raises(
        ReplayError, match=r"these tasks are not finished:\n  second: prompt \(description\)\nPut the old"
    ):
        await changed.resume(result.run_id, make_options())


async def test_a_changed_task_that_is_finished_is_only_noted(make_options, runs):
    lines: list[Line] = [ModelError("down")]
    second = Agent("B", "Write.", model=ScriptedModel(lambda _: lines[0]))

    def crew(text: str) -> Crew:
        return Crew(
            [
                Task("first", text, agent=writer("one")),
                Task("second", "Write.", agent=second, needs=["first"]),
            ]
        )

    result = await crew("Write.").run({}, make_options())
    lines[0] = "two"
    resumed = await crew("Write well.").resume(result.run_id, make_options())
    assert dict(resumed.outputs) == {"first": "one", "second": "two"}
    (event,) = [e for e in runs.events(result.run_id) if e.type == "run.resumed"]
    assert event.data["changed"] == {"first": "prompt (description)"}


async def test_what_was_recorded_last_is_kept(make_options, runs):
    async with Opened(make_options()) as opened:
        run = opened.run(await opened.begin("r-1", "crew"), ())
        run.record("note", data={"text": "x"})
    assert [event.data for event in runs.events("r-1")] == [{"text": "x"}]


async def test_a_divergence_names_the_run_and_the_path(make_options, runs):
    model = ScriptedModel([ModelError("down")])
    agent = Agent("A", "Write about {topic}.", model=model)
    crew = Crew([Task("t", "Write.", agent=agent)], inputs=["topic"])
    result = await crew.run({"topic": "x"}, make_options())
    as_older_versions_wrote(runs, result.run_id)
    colder = Agent("A", "Write about {topic}.", model=model, max_tokens=100)
    with pytest.raises(
        ReplayError, match=rf"Run {result.run_id} at t/1/model: the journal recorded another request"
    ):
        await Crew([Task("t", "Write.", agent=colder)], inputs=["topic"]).resume(
            result.run_id, make_options()
        )


def as_older_versions_wrote(runs: SqliteJournal, run: str) -> None:
    """Leave one hash of each definition, by which nobody can tell what changed."""
    db = sqlite3.connect(runs.path)
    told = "json_set(data, '$.definitions', json('{\"t\": \"a hash\"}'))"
    db.execute(f"UPDATE events SET data = {told} WHERE run = ? AND type = 'run.started'", (run,))
    db.commit()
    db.close()


async def test_another_crew_and_an_unknown_run_are_input_errors(make_options):
    crew = Crew([Task("t", "Write.", agent=writer("one"))], name="mine")
    result = await crew.run({}, make_options())
    other = Crew([Task("t", "Write.", agent=writer("one"))], name="other")
    with pytest.raises(InputError, match="is a run of 'mine', not of 'other'"):
        await other.resume(result.run_id, make_options())
    with pytest.raises(InputError, match="There is no run 'r-none'"):
        await crew.resume("r-none", make_options())


async def test_a_second_process_on_the_same_run_is_told_who_has_it(make_options, runs):
    entered, leave = asyncio.Event(), asyncio.Event()

    async def work() -> str:
        entered.set()
        await leave.wait()
        return "done"

    crew = Crew([Task("work", do=work)])
    running = asyncio.create_task(crew.run({}, make_options(run_id="r-1")))
    await entered.wait()
    with SqliteJournal(runs.path) as elsewhere, pytest.raises(RunBusy, match="in the hands of pid"):
        await crew.resume("r-1", make_options(journal=elsewhere))
    leave.set()
    assert (await running).output == "done"


async def test_a_signal_from_elsewhere_cancels_a_run(make_options, runs):
    entered = asyncio.Event()

    async def work() -> str:
        entered.set()
        await asyncio.Event().wait()
        return "never"

    def first() -> str:
        return "first"

    crew = Crew([Task("first", do=first), Task("work", do=work), Task("after", do=first, needs=["work"])])
    running = asyncio.create_task(crew.run({}, make_options(run_id="r-1")))
    await entered.wait()
    signal(runs, "r-1")
    result = await asyncio.wait_for(running, 10)
    assert (result.status, result.why) == ("cancelled", "Ada cancelled it. 1 of 3 tasks completed.")
    assert dict(result.report.skipped) == {"work": "Ada cancelled it.", "after": "Ada cancelled it."}
    assert result.outputs["first"] == "first"


async def test_secrets_of_the_environment_never_reach_the_journal_or_the_model(make_options, runs):
    secret = "hunter2-hunter2"

    @tool(effects="read")
    def leak() -> str:
        """Say too much."""
        return f"the key is {secret}"

    @tool(effects="read")
    def fail() -> str:
        """Fail with too much."""
        raise ValueError(secret)

    def tell(leaks: str) -> str:
        return f"{leaks} and {secret}"

    model = ScriptedModel(
        [[call("leak"), call("fail"), call("leak", wrong=secret), call(secret)], f"I heard {secret}."]
    )
    leaks = Task("leaks", "Tell.", agent=Agent("A", "Tell.", tools=[leak, fail], model=model))

    def broken(tell: str) -> str:
        raise ValueError(secret)

    crew = Crew(
        [
            leaks,
            Task("tell", do=tell, needs=[leaks]),
            Task("broken", do=broken, needs=["tell"], on_failure="continue"),
            Task("last", "Sum up.", agent=writer("x"), needs=["broken"]),
        ]
    )
    result = await crew.run({}, make_options(environ={"SERVICE_API_KEY": secret}))
    assert result.ok
    assert result[leaks] == "I heard [redacted:SERVICE_API_KEY]."
    assert not [e for e in runs.events(result.run_id) if secret in e.to_json()]
    assert secret not in repr(model.requests[1])
    assert "[redacted:SERVICE_API_KEY]" in repr(model.requests[1])


async def test_a_run_goes_on_where_an_error_held_a_secret(make_options):
    secret = "hunter2-hunter2"
    lines: list[Line] = [ModelError("down")]

    def broken() -> str:
        raise ValueError(secret)

    model = ScriptedModel(lambda _: lines[0])
    crew = Crew(
        [
            Task("broken", do=broken, on_failure="continue"),
            Task("last", "Sum up.", agent=Agent("A", "Write.", model=model), needs=["broken"]),
        ]
    )
    options = make_options(environ={"SERVICE_API_KEY": secret})
    result = await crew.run({}, options)
    lines[0] = "done"
    assert (await crew.resume(result.run_id, options)).output == "done"


async def test_a_run_whose_typed_inputs_hold_a_secret_is_carried_on(make_options, runs):
    class Account(BaseModel):
        user: str
        password: str

    secret = "hunter2-hunter2"
    lines: list[Line] = [ModelError("down")]
    model = ScriptedModel(lambda _: lines[0])
    agent = Agent("A", "Write about {account}.", model=model)
    crew = Crew([Task("t", "Write.", agent=agent)], inputs={"account": Input(type=Account)})
    options = make_options(environ={"SERVICE_PASSWORD": secret})
    result = await crew.run({"account": Account(user="ada", password=secret)}, options)
    assert result.status == "failed"
    lines[0] = "done"
    assert (await crew.resume(result.run_id, options)).output == "done"
    assert secret not in repr(model.requests)
    assert not [e for e in runs.events(result.run_id) if secret in e.to_json()]


async def test_a_run_interrupted_as_it_begins_says_so(make_options, runs):
    def listen(event: Event) -> None:
        if event.type == "run.started":
            running.cancel()

    crew = Crew([Task("t", "Write.", agent=writer("one"))])
    running = asyncio.ensure_future(crew.run({}, make_options(run_id="r-1", listener=listen)))
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [event.type for event in runs.events("r-1")] == ["run.started", "run.paused"]
    assert (await crew.resume("r-1", make_options())).output == "one"


async def test_a_clock_that_is_set_back_changes_no_order_and_makes_no_time_negative(make_options, runs):
    clock = FakeClock()

    @tool(effects="read")
    def first() -> str:
        """Go first, while somebody sets the clock back."""
        clock.set_back(2 * 86_400)
        return "first"

    one = Task("one", do=first)
    crew = Crew([one, Task("two", do=first, needs=[one], human_input=True)])
    result = await crew.run({}, make_options(clock=clock))
    clock.set_back(30 * 86_400)
    assert (await crew.resume(result.run_id, make_options(clock=clock))).status == "paused"
    events = list(runs.events(result.run_id))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].ts < events[0].ts
    spent = totals(events)
    assert min(spent.seconds, *(part.seconds for part in spent.tasks.values())) >= 0
    assert all(event.data.get("seconds", 0) >= 0 for event in events)
    (asked,) = [event for event in events if event.type == "approval.requested"]
    assert asked.data["expires"] > asked.ts
