"""At a limit the run ends in order, keeps what is done, and goes on when the limit is raised."""

from __future__ import annotations

import asyncio

import pytest
from inline_snapshot import snapshot

from crewkit import Agent, Crew, DefinitionError, Limits, Task, tool
from crewkit.models.base import Answer, Request, Usage
from crewkit.models.scripted import ScriptedModel, call


class Unpriced(ScriptedModel):
    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        return None


class Priced(ScriptedModel):
    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        return (input_tokens + output_tokens) / 1000


def answering(text: str, tokens: int, usd: float = 0.0):
    async def say(request: Request) -> Answer:
        await asyncio.sleep(0.01)
        return Answer(text, usage=Usage(tokens - 10, 10), usd=usd)

    return say


async def test_ten_parallel_calls_cannot_overrun_a_cap_on_tokens(make_options, runs):
    model = ScriptedModel(answering("ok", 600))
    agent = Agent("A", "Help.", model=model, max_tokens=500)
    crew = Crew([Task(f"t{i}", "Do it.", agent=agent) for i in range(10)], limits=Limits(tokens=2000))
    result = await crew.run({}, make_options())
    assert result.status == "limit"
    assert result.usage["tokens"] <= 2000
    assert result.usage["tokens"] == 600 * len(model.requests)
    assert len(result.report.completed) == len(model.requests) == 3
    assert len(result.report.skipped) == 7
    assert any(e.type == "limit.exceeded" for e in runs.events(result.run_id))


async def test_a_reservation_waits_and_everything_gets_its_turn(make_options):
    model = ScriptedModel(answering("ok", 50))
    agent = Agent("A", "Help.", model=model, max_tokens=500)
    crew = Crew([Task(f"t{i}", "Do it.", agent=agent) for i in range(10)], limits=Limits(tokens=1500))
    result = await crew.run({}, make_options())
    assert (result.status, result.usage["tokens"]) == ("completed", 500)


async def test_a_run_at_its_limit_goes_on_with_a_higher_one_and_repeats_nothing(make_options):
    model = ScriptedModel(answering("ok", 600))
    agent = Agent("A", "Help.", model=model, max_tokens=500)
    tasks = [Task("t0", "Do 0.", agent=agent)]
    for i in range(1, 5):
        tasks.append(Task(f"t{i}", f"Do {i}.", agent=agent, needs=[tasks[-1]]))
    crew = Crew(tasks, limits=Limits(tokens=2000))
    result = await crew.run({}, make_options())
    assert (result.status, result.report.completed) == ("limit", ("t0", "t1", "t2"))
    assert result.outputs["t2"] == "ok"
    assert result.why.startswith("A limit was reached: the run: 1,800 of 2,000 tokens used")
    same = await crew.resume(result.run_id, make_options())
    assert (same.status, len(model.requests)) == ("limit", 3)
    resumed = await crew.resume(result.run_id, make_options(limits=Limits(tokens=10_000)))
    assert (resumed.status, len(model.requests)) == ("completed", 5)
    assert resumed.usage["tokens"] == 3000


async def test_money_is_reserved_and_capped(make_options):
    model = Priced(answering("ok", 600, usd=0.6))
    agent = Agent("A", "Help.", model=model, max_tokens=500)
    crew = Crew([Task(f"t{i}", "Do it.", agent=agent) for i in range(10)], limits=Limits(usd=2))
    result = await crew.run({}, make_options())
    assert (result.status, len(model.requests)) == ("limit", 3)
    assert result.usage["usd"] == pytest.approx(1.8)


async def test_a_cap_in_usd_over_an_unknown_price_is_found_before_anything_runs(make_options, runs):
    model = Unpriced(["x"], name="mystery")
    for limits, agent_limits, task_limits in (
        (Limits(usd=1), Limits(), Limits()),
        (Limits(), Limits(usd=1), Limits()),
        (Limits(), Limits(), Limits(usd=1)),
    ):
        agent = Agent("A", "Help.", model=model, limits=agent_limits)
        crew = Crew([Task("t", "Do it.", agent=agent, limits=task_limits)], limits=limits)
        with pytest.raises(DefinitionError) as caught:
            await crew.run({}, make_options())
        assert str(caught.value) == snapshot(
            "The price of model 'mystery' (t) is unknown, so a cap in usd cannot hold. "
            "Cap tokens instead, or use a model with a listed price."
        )
    assert runs.runs() == []


async def test_an_unknown_price_is_reported_as_unknown(make_options):
    class Model(Unpriced):
        async def answer(self, request, watch):
            return Answer("ok", usage=Usage(1, 1), usd=None)

    result = await Crew([Task("t", "Do it.", agent=Agent("A", "H.", model=Model([])))]).run(
        {}, make_options()
    )
    assert result.usage["usd"] is None


async def test_steps_of_a_crew_end_the_run(make_options):
    model = ScriptedModel(["ok"])
    tasks = [Task(f"t{i}", "Do it.", agent=Agent("A", "Help.", model=model)) for i in range(4)]
    result = await Crew(tasks, limits=Limits(steps=3)).run({}, make_options())
    assert (result.status, len(model.requests), len(result.report.completed)) == ("limit", 3, 3)


async def test_steps_of_an_agent_count_over_all_its_tasks(make_options):
    busy = Agent("Busy", "Help.", model=ScriptedModel(["ok"]), limits=Limits(steps=2))
    free = Agent("Free", "Help.", model=ScriptedModel(["ok"]))
    tasks = [Task(f"t{i}", "Do it.", agent=busy, on_failure="skip") for i in range(3)]
    result = await Crew([*tasks, Task("u", "Do it.", agent=free)]).run({}, make_options())
    assert (result.status, len(result.report.completed)) == ("completed", 3)
    assert list(result.report.failed.values()) == ["Agent 'Busy': 2 of 2 steps used."]


async def test_seconds_end_a_run_that_hangs(make_options):
    async def hang() -> str:
        await asyncio.Event().wait()
        return "never"

    def quick() -> str:
        return "quick"

    crew = Crew([Task("quick", do=quick), Task("hang", do=hang)], limits=Limits(seconds=0.3))
    result = await asyncio.wait_for(crew.run({}, make_options()), 10)
    assert (result.status, result.outputs) == ("limit", {"quick": "quick"})
    assert result.report.skipped["hang"] == "the run: 0.3 of 0.3 seconds used."


async def test_seconds_of_a_task_are_a_limit_and_its_timeout_a_failure(make_options):
    async def hang() -> str:
        await asyncio.Event().wait()
        return "never"

    limited = Crew([Task("hang", do=hang, limits=Limits(seconds=0.1))])
    result = await asyncio.wait_for(limited.run({}, make_options()), 10)
    assert (result.status, result.report.skipped["hang"]) == (
        "limit",
        "Task 'hang': 0.1 of 0.1 seconds used.",
    )
    late = Crew([Task("hang", do=hang, timeout=0.1)])
    result = await asyncio.wait_for(late.run({}, make_options()), 10)
    assert (result.status, result.report.failed["hang"]) == (
        "failed",
        "It was not done within its 0.1 seconds.",
    )


async def test_seconds_of_a_crew_inside_a_crew_hold(make_options):
    async def hang() -> str:
        await asyncio.Event().wait()
        return "never"

    inner = Crew([Task("hang", do=hang)], name="inner", limits=Limits(seconds=0.1))
    crew = Crew([Task("nested", do=inner, on_failure="skip")])
    result = await asyncio.wait_for(crew.run({}, make_options()), 10)
    assert result.report.failed == {"nested": "crew 'inner': 0.1 of 0.1 seconds used."}


async def test_waiting_for_a_person_is_not_active_time(make_options, decide):
    @tool(effects="write")
    def send() -> str:
        """Send."""
        return "sent"

    agent = Agent("A", "Help.", tools=[send], model=ScriptedModel([call("send"), "Done."]))
    crew = Crew([Task("t", "Send.", agent=agent)], limits=Limits(seconds=2))
    result = await crew.run({}, make_options())
    await asyncio.sleep(2.1)
    decide(result.run_id)
    assert (await crew.resume(result.run_id, make_options())).status == "completed"


async def test_a_nested_crew_holds_its_own_cap_and_its_parents(make_options):
    def inner(limits: Limits) -> Crew:
        agent = Agent("A", "Help.", model=ScriptedModel(answering("ok", 600)), max_tokens=500)
        return Crew([Task(f"t{i}", "Do it.", agent=agent) for i in range(4)], name="inner", limits=limits)

    own = Crew([Task("nested", do=inner(Limits(tokens=1500)), on_failure="skip")])
    result = await own.run({}, make_options())
    assert (result.status, list(result.report.failed)) == ("completed", ["nested"])
    assert result.report.failed["nested"].startswith("crew 'inner': 1,200 of 1,500 tokens used")
    assert result.usage["tokens"] <= 1500
    parents = Crew([Task("nested", do=inner(Limits(tokens=None)))], limits=Limits(tokens=1500))
    result = await parents.run({}, make_options())
    assert result.status == "limit"
    assert result.usage["tokens"] <= 1500


async def test_crews_nest_as_deep_as_allowed(make_options):
    def leaf() -> str:
        return "leaf"

    crew = Crew([Task("leaf", do=leaf)], name="c0")
    for i in range(1, 4):
        crew = Crew([Task("down", do=crew)], name=f"c{i}")
    result = await crew.run({}, make_options())
    assert result.status == "limit"
    assert "Crew 'c0' would be 4 deep; the cap is 3." in result.why
    assert (await crew.resume(result.run_id, make_options(limits=Limits(depth=4)))).output == "leaf"


async def test_a_call_that_never_came_back_counts_as_reserved_after_a_resume(make_options):
    entered = asyncio.Event()
    hang = [True]

    async def say(request: Request) -> Answer:
        entered.set()
        if hang:
            await asyncio.Event().wait()
        return Answer("ok", usage=Usage(1, 1))

    agent = Agent("A", "Help.", model=ScriptedModel(say), max_tokens=500)
    crew = Crew([Task("t", "Do it.", agent=agent)])
    running = asyncio.create_task(crew.run({}, make_options(run_id="r-1")))
    await entered.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    hang.clear()
    result = await crew.resume("r-1", make_options())
    assert result.ok
    assert 500 < result.usage["tokens"] < 1000
