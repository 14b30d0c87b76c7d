"""The present code against recorded answers."""

from __future__ import annotations

from typing import Any

import pytest

from crewkit import Agent, Crew, InputError, ModelError, Result, Scope, Task, tool
from crewkit.models.scripted import ScriptedModel, call
from crewkit.runs.replay import Replay, replay
from tests.runs.test_fork import World, rich, world

__all__ = ["world"]


async def replayed(crew: Crew, runs: Any, run: str) -> Replay:
    told, _ = await replay(crew, list(runs.events(run)))
    return told


async def test_the_same_code_asks_for_the_same_and_calls_nothing(make_options, world: World, runs):
    crew = rich(world)
    first = await crew.run({}, make_options())
    asked = list(world.asked)
    world.done.clear()
    told, result = await replay(crew, list(runs.events(first.run_id)))
    assert told.same, told.divergences
    assert (world.asked, world.done) == (asked, [])
    assert (told.ends, told.unseen, result.output) == ([], {}, first.output)


def finding(world: World, **given: Any) -> Crew:
    @tool(effects="read")
    def look(place: str) -> str:
        """Look."""
        world.done.append(place)
        return f"seen {place}"

    goal, description = given.pop("goal", "Find."), given.pop("description", "Look for tides.")
    model = ScriptedModel([call("look", place="a"), given.pop("answer", "found")])
    agent = Agent("Finder", goal, tools=[look], model=model, scope=given.pop("scope", None))
    last = Agent("Writer", "Write.", model=ScriptedModel(["written"]))
    return Crew(
        [Task("find", description, agent=agent, **given), Task("write", "Write.", agent=last, needs=["find"])]
    )


async def test_the_first_divergence_is_told_message_by_message(make_options, world: World, runs):
    first = await finding(world).run({}, make_options())
    told = await replayed(finding(world, description="Look for storms."), runs, first.run_id)
    assert not told.same
    assert told.divergences[0].path == "find/1/model"
    (difference,) = told.divergences[0].differences
    assert "Look for tides." in difference.then
    assert "Look for storms." in difference.now


@pytest.mark.parametrize(
    ("given", "path", "why"),
    [
        ({"goal": "Find well."}, "find/1/model", "Another request"),
        ({"scope": Scope()}, "find/1/model", "Another request"),
        ({"guardrails": [lambda output: "Longer, please."]}, "find/3/model", "not asked then"),
        ({"human_input": "Good?"}, "find/2/ask", "A person is asked now"),
        ({"output_type": list[str]}, "find/1/model", "Another request"),
    ],
)
async def test_what_diverges_is_found_where_it_does(make_options, world: World, runs, given, path, why):
    first = await finding(world).run({}, make_options())
    told = await replayed(finding(world, **given), runs, first.run_id)
    assert told.divergences
    assert told.divergences[0].path == path
    assert why in told.divergences[0].why


async def test_changed_tool_code_is_not_seen_and_said_so(make_options, world: World, runs):
    def crew(suffix: str) -> Crew:
        @tool(effects="read")
        def look() -> str:
            """Look."""
            return f"seen{suffix}"

        agent = Agent("A", "Look.", tools=[look], model=ScriptedModel([call("look"), "done"]))
        return Crew([Task("t", "Look.", agent=agent)])

    first = await crew("!").run({}, make_options())
    told = await replayed(crew("?"), runs, first.run_id)
    assert (told.same, told.unseen) == (True, {"t": "code of look()"})


async def test_a_task_that_was_added_or_taken_away_diverges(make_options, world: World, runs):
    crew = finding(world)
    first = await crew.run({}, make_options())
    more = Crew([*crew.tasks, Task("more", "More.", agent=Agent("M", "More."))])
    told = await replayed(more, runs, first.run_id)
    assert [each.path for each in told.divergences] == ["more/1/model"]
    told = await replayed(Crew(list(crew.tasks)[:1]), runs, first.run_id)
    assert [each.path for each in told.divergences] == ["write/1/model"]
    assert "not asked any more" in told.divergences[0].why


async def test_a_run_that_failed_or_waits_is_the_same_as_far_as_it_came(
    make_options, world: World, runs, decide
):
    def crew(**more: Any) -> Crew:
        broken = Agent("A", "Fail.", model=ScriptedModel([ModelError("The server is down.")]))
        fine = Task("fine", "Do.", agent=world.agent("B", "one"), human_input="Good?")
        return Crew(
            [
                fine,
                Task("broken", "Do.", agent=broken, on_failure="continue"),
                Task("after", do=after, needs=["broken"]),
            ]
        )

    def after(broken: Any) -> str:
        return "after"

    paused = await crew().run({}, make_options())
    assert paused.status == "paused"
    assert (await replayed(crew(), runs, paused.run_id)).same
    decide(paused.run_id, "deny", "Better.")
    await crew().resume(paused.run_id, make_options())
    assert (await replayed(crew(), runs, paused.run_id)).same
    decide(paused.run_id)
    done = await crew().resume(paused.run_id, make_options())
    told, result = await replay(crew(), list(runs.events(paused.run_id)))
    assert (told.same, result.status, done.status) == (True, "completed", "completed"), told.divergences


async def test_a_fork_with_an_edited_message_is_replayed_as_it_went(make_options, world: World, runs):
    crew = finding(world)
    first = await crew.run({}, make_options())
    fork = await crew.fork(first.run_id, "find/2/model", edit="edited", options=make_options())
    assert (await replayed(crew, runs, fork.run_id)).same


async def test_a_fork_is_replayed_with_the_leave_that_calls_before_it_had(
    make_options, world: World, runs, decide
):
    @tool(effects="write")
    def order(what: str) -> str:
        """Order."""
        world.done.append(what)
        return f"ordered {what}"

    buyer = world.agent("Buyer", call("order", what="pumps"), "bought", tools=[order])
    bought = Task("bought", "Buy.", agent=buyer)
    told = Task("told", "Tell.", agent=world.agent("Teller", "told"), needs=[bought], human_input="Good?")
    crew = Crew([bought, told])

    async def finished(result: Result) -> str:
        while result.status == "paused":
            assert decide(result.run_id)
            result = await crew.resume(result.run_id, make_options())
        assert result.status == "completed"
        return result.run_id

    first = await finished(await crew.run({}, make_options()))
    fork = await finished(await crew.fork(first, "told", options=make_options()))
    again = await finished(await crew.fork(fork, "told", options=make_options()))
    assert world.done == ["pumps"]
    for run in (first, fork, again):
        assert (await replayed(crew, runs, run)).divergences == []


@pytest.mark.parametrize("on_failure", ["fail", "continue"])
async def test_what_was_given_up_and_undone_is_replayed_too_and_undoes_nothing(
    make_options, world: World, runs, on_failure: Any
):
    def cancel(result: str) -> None:
        """Cancel."""
        world.done.append(f"cancel {result}")

    @tool(effects="write", undo=cancel)
    def book() -> str:
        """Book."""
        world.done.append("book")
        return "12A"

    def pay(booked: str) -> str:
        raise ValueError(f"no card for {booked}")

    def note() -> str:
        return "noted"

    booked = Task("booked", do=book)
    trip = Crew([booked, Task("paid", do=pay, needs=[booked])], name="trip")
    crew = Crew([Task("trip", do=trip, on_failure=on_failure), Task("note", do=note)])
    first = await crew.run({}, make_options())
    assert world.done == ["book", "cancel 12A"]
    told, result = await replay(crew, list(runs.events(first.run_id)))
    assert (told.divergences, told.ends, told.steps, result.status) == ([], [], 2, first.status)
    assert world.done == ["book", "cancel 12A"]


async def test_another_crew_is_refused(make_options, world: World, runs):
    first = await finding(world).run({}, make_options())
    with pytest.raises(InputError, match="not of 'other'"):
        await replay(Crew(finding(world).tasks, name="other"), list(runs.events(first.run_id)))
