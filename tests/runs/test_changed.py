"""A run carried on by a crew that is not what it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crewkit import Agent, Crew, Grant, ModelError, ReplayError, Scope, Task, tool
from crewkit.agents.delegate import ask_colleague
from crewkit.core.events import Event
from crewkit.journal.tree import tree
from crewkit.models.scripted import ScriptedModel, call
from crewkit.runs.changes import RepeatsEffects, compare, dependents

Say = Callable[..., ScriptedModel]


class World:
    """What the tests' crews do, counted, and whether the last model is up."""

    def __init__(self) -> None:
        self.up = False
        self.said: list[str] = []

    def model(self, *lines: Any) -> ScriptedModel:
        script = list(lines)

        def say(request: Any) -> Any:
            turn = sum(message.role == "assistant" for message in request.messages)
            line = script[min(turn, len(script) - 1)]
            self.said.append(str(line))
            if line == "down" and not self.up:
                raise ModelError("The server is down.")
            return "up" if line == "down" else line

        return ScriptedModel(say)


@pytest.fixture
def world() -> World:
    return World()


def three(
    world: World, first: str = "Write.", second: str = "Write.", third: str = "Write.", **more: Any
) -> Crew:
    """Three tasks in a row, of which the last fails while the model is down, and one beside them."""
    one = Task("one", first, agent=Agent("One", "Write.", model=world.model("one")))
    two = Task("two", second, agent=Agent("Two", "Write.", model=world.model("two")), needs=[one])
    side = Task("side", "Write.", agent=Agent("Side", "Write.", model=world.model("side")))
    last = Agent("Three", "Write.", model=world.model("down"), **more)
    return Crew([one, two, side, Task("three", third, agent=last, needs=[two])])


async def broken(world: World, make_options: Any, crew: Crew) -> str:
    result = await crew.run({}, make_options())
    assert result.status == "failed"
    world.up = True
    world.said.clear()
    return result.run_id


def resumed(runs: Any, run: str) -> Event:
    return [event for event in runs.events(run) if event.type == "run.resumed"][-1]


async def test_what_changed_is_named_part_by_part(make_options, world):
    @tool(effects="read")
    def look(place: str) -> str:
        """Look."""
        return place

    @tool(effects="read", name="look")
    def look_well(place: str) -> str:
        """Look."""
        return place + "!"

    @tool(effects="read", name="look")
    def look_again(place: str, often: int = 1) -> str:
        """Look."""
        return place

    def crew(**more: Any) -> Crew:
        given = {"role": "A", "goal": "Write.", "tools": [look], **more}
        return Crew([Task("t", "Write.", agent=Agent(**given))])

    before = crew().plan.definitions

    def what(**more: Any) -> str:
        return compare(before, crew(**more).plan.definitions)["t"].what

    assert what(goal="Write well.") == "prompt (goal)"
    assert what(backstory="Old.", temperature=0.5) == "prompt (backstory), temperature"
    assert what(tools=[look_well]) == "code of look()"
    assert what(tools=[look_again]) == "tool 'look', code of look()"
    assert what(tools=[]) == "tool 'look', code of look()"
    assert what(model="openai/gpt-5") == "model"
    assert compare(before, crew(limits=__import__("crewkit").Limits(tokens=7)).plan.definitions) == {}
    assert what(tools=[look, ask_colleague]).startswith("tool 'ask_colleague'")


async def test_a_colleague_who_may_be_asked_is_part_of_the_definition():
    def crew(goal: str) -> Crew:
        asker = Agent("A", "Ask.", tools=[ask_colleague])
        return Crew([Task("t", "Ask.", agent=asker)], agents=[Agent("B", goal)])

    changes = compare(crew("Know.").plan.definitions, crew("Know more.").plan.definitions)
    assert changes["t"].what == "colleague 'B'"


async def test_keep_keeps_what_is_finished_and_begins_what_changed_anew(make_options, world, runs):
    run = await broken(world, make_options, three(world))
    changed = three(world, first="Write well.", third="Write better.")
    with pytest.raises(ReplayError, match=r"three: prompt \(description\)\nAlso changed, and finished: one"):
        await changed.resume(run, make_options())
    result = await changed.resume(run, make_options(changed="keep"))
    assert (dict(result.outputs)["three"], world.said) == ("up", ["down"])
    event = resumed(runs, run)
    assert event.data["changed"] == {"one": "prompt (description)", "three": "prompt (description)"}
    assert event.data["forgets"] == ["three"]
    assert result.usage["steps"] == 4  # three paid, one more: the failed one cost nothing


async def test_keep_goes_on_in_the_middle_where_the_requests_still_fit(make_options, world, runs):
    looks: list[str] = []

    def crew(suffix: str) -> Crew:
        @tool(effects="read")
        def look() -> str:
            """Look."""
            looks.append(suffix)
            return f"seen{suffix}"

        agent = Agent("A", "Look.", tools=[look], model=world.model(call("look"), "down"))
        return Crew([Task("t", "Look.", agent=agent)])

    run = await broken(world, make_options, crew("!"))
    result = await crew("?").resume(run, make_options(changed="keep"))
    assert (result.output, looks) == ("up", ["!"])
    assert "forgets" not in resumed(runs, run).data


async def test_rerun_does_again_what_changed_and_what_depends_on_it(make_options, world, runs):
    run = await broken(world, make_options, three(world))
    result = await three(world, second="Write well.").resume(run, make_options(changed="rerun"))
    assert result.ok
    assert sorted(world.said) == ["down", "two"]
    assert sorted(resumed(runs, run).data["forgets"]) == ["three", "two"]
    begun = [e for e in runs.events(run) if e.type == "model.started"]
    assert [(e.path, e.attempt) for e in begun if e.path == "two/1/model"] == [
        ("two/1/model", 1),
        ("two/1/model", 2),
    ]
    assert len({(e.path, e.attempt) for e in begun}) == len(begun)
    assert result.usage["tokens"] > 0
    assert result.usage["steps"] == 5  # one, two twice, side, three


async def test_a_completed_run_is_reopened_where_its_crew_changed(make_options, world, runs):
    world.up = True
    first = await three(world).run({}, make_options())
    world.said.clear()
    changed = three(world, second="Write well.")
    assert (await changed.resume(first.run_id, make_options())).ok  # as it was, by default
    assert (await changed.resume(first.run_id, make_options(changed="keep"))).ok
    assert world.said == []
    again = await changed.resume(first.run_id, make_options(changed="rerun"))
    assert again.ok
    assert sorted(world.said) == ["down", "two"]
    world.said.clear()
    assert (await changed.resume(first.run_id, make_options(changed="rerun"))).ok  # nothing changed since
    assert world.said == []


async def test_added_and_removed_tasks_are_named_and_done(make_options, world, runs):
    def crew(*, more: bool) -> Crew:
        one = Task("one", "Write.", agent=Agent("One", "Write.", model=world.model("one")))
        old = Task("old", "Write.", agent=Agent("Old", "Write.", model=world.model("old")))
        new = Task("new", "Write.", agent=Agent("New", "Write.", model=world.model("new")), needs=[one])
        return Crew([one, new] if more else [one, old])

    first = await crew(more=False).run({}, make_options())
    assert first.ok
    for how in ("keep", "rerun"):
        world.said.clear()
        result = await crew(more=True).resume(first.run_id, make_options(changed=how))
        assert dict(result.outputs) == {"one": "one", "new": "new"}
        assert world.said == (["new"] if how == "keep" else [])
    assert resumed(runs, first.run_id).data["changed"] == {"new": "added", "old": "removed"}


async def test_a_removed_task_that_is_not_finished_stops_the_resume(make_options, world):
    run = await broken(world, make_options, three(world))
    shorter = Crew(list(three(world).tasks)[:3])
    with pytest.raises(ReplayError, match="three: removed"):
        await shorter.resume(run, make_options())
    assert dict((await shorter.resume(run, make_options(changed="keep"))).outputs) == {
        "one": "one",
        "two": "two",
        "side": "side",
    }


def nested(world: World, inner: str = "Write.", **more: Any) -> Crew:
    a = Task("a", inner, agent=Agent("A", "Write.", model=world.model("a")))
    b = Task("b", "Write.", agent=Agent("B", "Write.", model=world.model("b")), needs=[a])
    c = Task("c", "Write.", agent=Agent("C", "Write.", model=world.model("c")))
    sub = Task("sub", do=Crew([a, b, c], name="inner", **more))
    last = Agent("Last", "Write.", model=world.model("last"))
    return Crew([sub, Task("after", "Write.", agent=last, needs=[sub]), Task("beside", "Write.", agent=last)])


async def test_a_task_of_a_crew_in_a_task_is_done_again_with_what_depends_on_it_inside_and_outside(
    make_options, world, runs
):
    first = await nested(world).run({}, make_options())
    world.said.clear()
    changed = nested(world, inner="Write well.")
    result = await changed.resume(first.run_id, make_options(changed="rerun"))
    assert result.ok
    assert sorted(world.said) == ["a", "b", "last"]
    assert set(resumed(runs, first.run_id).data["forgets"]) == {"sub/a", "sub/b", "after"}
    assert list(dependents(changed.plan, "sub/a")) == ["after", "sub/b"]
    root = tree(runs.events(first.run_id))
    assert {node.path: node.status for node in root.walk() if node.kind == "task"} == dict.fromkeys(
        ("sub", "sub/a", "sub/b", "sub/c", "after", "beside"), "completed"
    )


async def test_a_changed_iteration_is_begun_anew_and_those_before_it_are_kept(make_options, world, runs):
    def crew(text: str) -> Crew:
        body = Crew(
            [
                Task("write", text, agent=Agent("A", "Write.", model=world.model("text"))),
                Task("look", "Look.", agent=Agent("B", "Look.", model=world.model("down")), needs=["write"]),
            ],
            name="body",
            inputs={"reason": __import__("crewkit").Input(default="")},
        )

        def content(loop: Any) -> str | None:
            return None if len(world.said) > 99 else "Once more."

        return Crew([Task("loop", do=body, until=content, iterations=2)])

    world.up = True
    seen: list[str] = []

    def stop_in_the_second(event: Event) -> None:
        if event.type == "iteration.started":
            world.up = False
        seen.append(event.path)

    result = await crew("Write.").run({}, make_options(listener=stop_in_the_second))
    assert result.status == "failed"
    world.up = True
    world.said.clear()
    result = await crew("Write well.").resume(result.run_id, make_options(changed="keep"))
    assert result.ok
    assert world.said == ["down"]  # loop#2/write was finished under its old definition
    world.said.clear()
    await crew("Write very well.").resume(result.run_id, make_options(changed="rerun"))
    assert world.said == ["text", "down", "text", "down"]


# Effects


def mailing(world: World, text: str, **given: Any) -> tuple[Crew, list[str]]:
    sent: list[str] = []

    @tool(effects=["write", "external"], **given)
    def send(to: str) -> str:
        """Send."""
        sent.append(to)
        return "sent"

    def log() -> str:
        sent.append("log")
        return "logged"

    agent = Agent(
        "A",
        "Send.",
        tools=[send],
        scope=Scope(Grant("send", "never")),
        model=world.model(call("send", to="ann"), "done"),
    )
    return Crew([Task("mail", text, agent=agent), Task("log", do=log, needs=["mail"])]), sent


async def test_effects_are_not_repeated_without_leave(make_options, world, runs):
    crew, sent = mailing(world, "Send.")
    first = await crew.run({}, make_options())
    assert sent == ["ann", "log"]
    changed, sent = mailing(world, "Send it.")
    events = runs.last(first.run_id)
    with pytest.raises(
        RepeatsEffects, match=r"\n  send\(\) at mail/1/tool:0 \(write, external\)\n.*--yes"
    ) as caught:
        await changed.resume(first.run_id, make_options(changed="rerun"))
    assert [effect.path for effect in caught.value.effects] == ["mail/1/tool:0"]
    assert (sent, runs.last(first.run_id)) == ([], events)
    result = await changed.resume(first.run_id, make_options(changed="rerun", repeat_effects=True))
    assert (result.ok, sent) == (True, ["ann", "log"])
    assert resumed(runs, first.run_id).data["repeats"] == [
        "send() at mail/1/tool:0 (write, external)",
        "log() at log/1/tool:0 (write, external)",
    ]
    keys = [
        e.data["key"]
        for e in runs.events(first.run_id)
        if e.type == "tool.started" and e.data["tool"] == "send"
    ]
    assert len(set(keys)) == 2


async def test_an_effect_that_may_be_repeated_needs_no_leave(make_options, world):
    crew, _ = mailing(world, "Send.", idempotent=True)
    first = await crew.run({}, make_options())
    changed, sent = mailing(world, "Send it.", idempotent=True)
    assert (await changed.resume(first.run_id, make_options(changed="rerun"))).ok
    assert sent == ["ann", "log"]


async def test_a_call_that_a_person_allowed_is_asked_about_again(make_options, world, runs, decide):
    def crew(text: str) -> Crew:
        @tool(effects=["write"])
        def send(to: str) -> str:
            """Send."""
            return "sent"

        agent = Agent("A", "Send.", tools=[send], model=world.model(call("send", to="ann"), "done"))
        return Crew([Task("mail", text, agent=agent, human_input="Good?")])

    paused = await crew("Send.").run({}, make_options())
    first = decide(paused.run_id)
    paused = await crew("Send.").resume(paused.run_id, make_options())
    second = decide(paused.run_id)
    assert (await crew("Send.").resume(paused.run_id, make_options())).ok
    paused = await crew("Send it.").resume(paused.run_id, make_options(changed="rerun"))
    assert paused.status == "paused"
    third = decide(paused.run_id)
    paused = await crew("Send it.").resume(paused.run_id, make_options())
    fourth = decide(paused.run_id)
    assert (await crew("Send it.").resume(paused.run_id, make_options())).ok
    assert len({*first, *second, *third, *fourth}) == 4
    asked = [(e.path, e.attempt) for e in runs.events(paused.run_id) if e.type == "approval.requested"]
    assert asked == [("mail/1/tool:0/ask", 1), ("mail/2/ask", 1), ("mail/1/tool:0/ask", 2), ("mail/2/ask", 2)]


# Models


async def test_a_model_that_is_named_anew_is_used_by_what_is_done_again(make_options, world, runs):
    def crew(model: str | None) -> Crew:
        agent = Agent("A", "Write.", model=model)
        return Crew([Task("t", "Write about tides.", agent=agent)])

    first = await crew(None).run({}, make_options())
    result = await crew("offline").resume(first.run_id, make_options(changed="rerun"))
    assert result.ok
    assert resumed(runs, first.run_id).data["changed"] == {"t": "model"}
    assert resumed(runs, first.run_id).data["models"]["t"] == "offline"
