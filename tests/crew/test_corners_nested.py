"""Crews inside crews, and effects inside them, where things go wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from crewkit import Agent, Crew, Limits, ReplayError, Task, tool
from crewkit.models.base import Request
from crewkit.models.scripted import ScriptedModel, call


def agent(role: str, script: Any, **more: Any) -> Agent:
    return Agent(role, "Work.", model=ScriptedModel(script), **more)


async def test_an_effect_whose_result_is_of_the_wrong_type_is_not_repeated_by_a_resume(make_options):
    paid: list[int] = []

    def pay() -> list[int]:
        paid.append(1)
        return "paid"  # pyright: ignore[reportReturnType]

    crew = Crew([Task("pay", do=pay)])
    result = await crew.run(options=make_options())
    assert result.status == "failed"
    assert "pay" in result.report.failed

    again = await crew.resume(result.run_id, make_options())
    assert paid == [1], again
    assert again.status == "failed"
    assert again.report.failed == result.report.failed


async def test_a_failed_effect_in_an_inner_crew_is_not_tried_again_while_the_run_goes_on(
    make_options, decide, runs
):
    tries: list[int] = []
    go_on = asyncio.Event()

    def flaky() -> str:
        tries.append(1)
        raise ValueError("no")

    async def slow() -> str:
        await go_on.wait()
        return "slow"

    inner = Crew(
        [
            Task("flaky", do=flaky, on_failure="skip"),
            Task("a", "Say.", agent=agent("A", ["a"]), human_input=True),
            Task("b", "Say.", agent=agent("B", ["b"]), human_input=True),
        ]
    )
    crew = Crew([Task("sub", do=inner, output_type=dict[str, str]), Task("slow", do=slow)])
    running = asyncio.create_task(crew.run(options=make_options()))
    async with asyncio.timeout(20):
        run = ""
        for inside in ("sub/a", "sub/b"):
            while not run or not [
                e for e in runs.events(run, types=["approval.requested"]) if inside in e.path
            ]:
                await asyncio.sleep(0.01)
                run = next((info.run for info in runs.runs()), "")
            decide(run, only=inside)
            while not [e for e in runs.events(run, types=["task.finished"]) if e.path == inside]:
                await asyncio.sleep(0.01)
        go_on.set()
        result = await running

    assert result.status == "completed", result.report
    assert len(tries) == 1


async def test_a_crew_inside_a_crew_cannot_widen_how_deep_it_may_go(make_options):
    def deep() -> str:
        return "deep"

    third = Crew([Task("third", do=deep)])
    second = Crew([Task("second", do=third)], limits=Limits(depth=9))
    first = Crew([Task("first", do=second)], limits=Limits(depth=2))
    result = await first.run(options=make_options())

    assert result.status == "limit"
    assert "the cap is 2" in result.report.skipped["first"]


async def test_a_change_inside_an_unfinished_inner_crew_stops_the_resume_by_name(make_options):
    def build(text: str) -> Crew:
        inner = Crew([Task("inner", text, agent=agent("A", ["a"]), human_input=True)])
        return Crew([Task("sub", do=inner), Task("free", do=free)])

    result = await build("Say a.").run(options=make_options())
    assert result.status == "paused"

    with pytest.raises(ReplayError, match=r"sub/inner: prompt \(description\)"):
        await build("Say something else.").resume(result.run_id, make_options())
    assert (await build("Say a.").resume(result.run_id, make_options())).status == "paused"


def free() -> str:
    return "free"


async def test_many_runs_share_a_journal_at_once(make_options, runs):
    @tool(effects=["read"])
    async def look(n: int) -> int:
        """Look."""
        await asyncio.sleep(0)
        return n

    def script(request: Request) -> Any:
        return call("look", n=1) if request.messages[-1].role == "user" else "Done."

    crew = Crew([Task("t", "Look.", agent=agent("Looker", script, tools=[look]))])
    results = await asyncio.gather(*(crew.run(options=make_options()) for _ in range(20)))

    assert {result.status for result in results} == {"completed"}
    for result in results:
        events = list(runs.events(result.run_id))
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
