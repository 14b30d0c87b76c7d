"""What may have happened is asked about each time, and never done by itself."""

from __future__ import annotations

import asyncio

import pytest

from crewkit import Agent, Crew, Grant, Scope, Task, tool
from crewkit.models.scripted import ScriptedModel, call


def make_crew(sent: list[str], dies: list[bool], *, idempotent: bool = False) -> Crew:
    @tool(effects="write", idempotent=idempotent)
    async def send(text: str) -> str:
        """Send a letter."""
        sent.append(text)
        if dies.pop(0):
            await asyncio.Event().wait()
        return "sent"

    clerk = Agent(
        "Clerk",
        "Send.",
        tools=[send],
        scope=Scope(Grant("send", "never")),
        model=ScriptedModel([call("send", text="a"), "Done."]),
    )
    return Crew([Task("letter", "Send it.", agent=clerk)])


async def interrupted(running, until) -> None:
    """Let it run until something is so, then end it in the middle."""
    task = asyncio.ensure_future(running)
    while not until():
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_effect_cut_off_twice_is_asked_about_twice(make_options, decide):
    sent: list[str] = []
    options = make_options(run_id="r-1")
    await interrupted(make_crew(sent, [True]).run({}, options), lambda: len(sent) == 1)
    result = await make_crew(sent, []).resume("r-1", options)
    assert (result.status, len(sent)) == ("paused", 1)
    assert decide("r-1") == list(result.approvals)
    await interrupted(make_crew(sent, [True]).resume("r-1", options), lambda: len(sent) == 2)
    again = await make_crew(sent, []).resume("r-1", options)
    assert (again.status, len(sent)) == ("paused", 2)
    assert again.approvals != result.approvals
    decide("r-1")
    assert (await make_crew(sent, [False]).resume("r-1", options)).output == "Done."
    assert len(sent) == 3


async def test_an_effect_that_must_not_be_repeated_is_told_to_the_model(make_options, decide, runs):
    sent: list[str] = []
    options = make_options(run_id="r-1")
    await interrupted(make_crew(sent, [True]).run({}, options), lambda: bool(sent))
    await make_crew(sent, []).resume("r-1", options)
    decide("r-1", "deny", "it is in the outbox")
    assert (await make_crew(sent, []).resume("r-1", options)).output == "Done."
    assert len(sent) == 1
    told = [e.data["content"] for e in runs.events("r-1") if e.data.get("role") == "tool"]
    assert told == [
        "'send' was begun and it is not known whether it happened. It must not be repeated. "
        "A person says: it is in the outbox"
    ]


async def test_an_idempotent_effect_is_done_again_without_a_question(make_options):
    sent: list[str] = []
    options = make_options(run_id="r-1")
    await interrupted(make_crew(sent, [True], idempotent=True).run({}, options), lambda: bool(sent))
    assert (await make_crew(sent, [False], idempotent=True).resume("r-1", options)).output == "Done."
    assert len(sent) == 2


async def test_an_effect_that_times_out_is_an_unknown_outcome_in_the_same_run(make_options, decide):
    calls: list[int] = []

    @tool(effects="write", timeout=0.05)
    async def send(text: str) -> str:
        """Send a letter."""
        calls.append(1)
        await asyncio.sleep(0 if len(calls) > 1 else 5)
        return "sent"

    def crew() -> Crew:
        clerk = Agent(
            "Clerk",
            "Send.",
            tools=[send],
            scope=Scope(Grant("send", "never")),
            model=ScriptedModel([call("send", text="a"), "Done."]),
        )
        return Crew([Task("letter", "Send it.", agent=clerk)])

    options = make_options(run_id="r-1")
    result = await crew().run({}, options)
    assert (result.status, len(calls)) == ("paused", 1)
    decide("r-1")
    assert (await crew().resume("r-1", options)).output == "Done."
    assert len(calls) == 2


async def test_a_function_that_raised_is_tried_again_without_a_question(make_options):
    calls: list[int] = []

    def work() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("not yet")
        return "done"

    options = make_options(run_id="r-1")
    crew = Crew([Task("work", do=work)])
    failed = await crew.run({}, options)
    assert (failed.status, dict(failed.report.failed)) == (
        "failed",
        {"work": "work() raised ValueError: not yet"},
    )
    assert (await crew.resume("r-1", options)).output == "done"
    assert len(calls) == 2


async def test_a_function_cut_off_in_the_middle_is_asked_about(make_options, decide):
    calls: list[int] = []

    async def work() -> str:
        calls.append(1)
        if len(calls) == 1:
            await asyncio.Event().wait()
        return "done"

    options = make_options(run_id="r-1")
    crew = Crew([Task("work", do=work)])
    await interrupted(crew.run({}, options), lambda: bool(calls))
    assert (await crew.resume("r-1", options)).status == "paused"
    assert len(calls) == 1
    decide("r-1")
    assert (await crew.resume("r-1", options)).output == "done"
