"""Runs that branch off others: what they share, what they do again, what they cost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from crewkit import Agent, Crew, InputError, ReplayError, Task, tool
from crewkit.agents.delegate import ask_colleague
from crewkit.core.events import Event
from crewkit.crew.crew import Input
from crewkit.journal.forget import standing
from crewkit.journal.read import inherited, pending, totals
from crewkit.models.base import Request
from crewkit.models.scripted import ScriptedModel, call
from crewkit.runs.changes import RepeatsEffects
from crewkit.runs.fork import fork_only


class World:
    """Counts what is asked and done."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.done: list[str] = []

    def agent(self, role: str, *lines: Any, **more: Any) -> Agent:
        def say(request: Request) -> Any:
            self.asked.append(role)
            turn = sum(m.role == "assistant" for m in request.messages)
            line = lines[min(turn, len(lines) - 1)]
            return line(request) if callable(line) else line

        return Agent(role, f"Be {role}.", model=ScriptedModel(say), **more)

    def clear(self) -> None:
        self.asked.clear()
        self.done.clear()


@pytest.fixture
def world() -> World:
    return World()


def rich(world: World) -> Crew:
    """Tasks side by side, tools, a colleague, a crew in a task, a loop and a function."""

    @tool(effects="read")
    def look(place: str) -> str:
        """Look."""
        world.done.append(f"look {place}")
        return f"seen {place}"

    def sign(draft: str, topic: str) -> str:
        world.done.append("sign")
        return f"{draft}, signed for {topic}"

    facts = Task(
        "facts",
        "Find.",
        agent=world.agent(
            "Finder",
            [call("look", place="a"), call("look", place="b")],
            call("look", place="c"),
            "facts",
            tools=[look],
        ),
    )
    views = Task(
        "views",
        "Ask.",
        agent=world.agent(
            "Asker", call("ask_colleague", to="Knower", question="Why?"), "views", tools=[ask_colleague, look]
        ),
    )
    inner = Crew(
        [
            Task("one", "Do.", agent=world.agent("One", "one")),
            Task("two", "Do.", agent=world.agent("Two", "two"), needs=["one"]),
            Task("side", "Do.", agent=world.agent("Side", "side")),
        ],
        name="inner",
    )
    sub = Task("sub", do=inner)

    def content(draft: str) -> str | None:
        return None if draft == "better" else "Once more."

    def write(request: Request) -> str:
        return "better" if "Once more." in request.messages[1].content else "draft"

    draft = Task("draft", "Write.", agent=world.agent("Writer", write), needs=[facts, views], until=content)
    signed = Task("signed", do=sign, needs=[draft])
    knower = world.agent("Knower", call("look", place="d"), "because", tools=[look])
    return Crew(
        [facts, views, sub, draft, signed],
        agents=[knower],
        inputs={"topic": Input(default="tides")},
        name="rich",
    )


def paths(events: list[Event]) -> list[str]:
    found = dict.fromkeys(e.path for e in standing(events).events if e.path and " " not in e.path)
    return [path for path in found if not path.endswith("/0")]


async def test_forking_at_every_path_gives_the_same_outputs(make_options, world, runs):
    crew = rich(world)
    first = await crew.run({}, make_options())
    assert first.ok, first.why
    events = list(runs.events(first.run_id))
    assert len(paths(events)) > 30
    for path in paths(events):
        result = await crew.fork(first.run_id, path, options=make_options())
        assert result.outputs.keys() == first.outputs.keys(), path
        assert result.output == first.output, path
        merged = list(runs.events(result.run_id))
        assert [e.seq for e in merged] == list(range(1, len(merged) + 1))
        ends = [(e.type, e.path, e.attempt) for e in merged if e.type in ("model.started", "tool.started")]
        assert len(set(ends)) == len(ends), path
    assert list(runs.events(first.run_id)) == events  # the origin is as it was


@pytest.mark.parametrize(
    ("at", "asked", "done"),
    [
        ("facts/2", ["Finder", "Finder", "Writer", "Writer"], ["look c", "sign"]),
        ("facts/1/tool:1", ["Finder", "Finder", "Writer", "Writer"], ["look b", "look c", "sign"]),
        ("views/1/tool:0/Knower/2/model", ["Asker", "Knower", "Writer", "Writer"], ["sign"]),
        ("sub/one", ["One", "Two"], []),
        ("sub", ["One", "Side", "Two"], []),
        ("signed", [], ["sign"]),
    ],
)
async def test_only_what_lies_downstream_is_done_again(make_options, world, runs, at, asked, done):
    crew = rich(world)
    first = await crew.run({}, make_options())
    world.clear()
    result = await crew.fork(first.run_id, at, options=make_options())
    assert (result.ok, sorted(world.asked), world.done) == (True, asked, done)
    events = list(runs.events(result.run_id))
    assert totals(events).steps == len(asked) == result.usage["steps"]
    assert inherited(events).tokens == first.usage["tokens"]


async def test_a_fork_of_a_fork_and_a_fork_of_a_run_that_failed(make_options, world, runs):
    def crew(last: Any) -> Crew:
        one = Task("one", "Do.", agent=world.agent("One", "one"))
        two = Task("two", "Do.", agent=world.agent("Two", "two"), needs=[one])

        def three(two: str) -> str:
            if last is None:
                raise ValueError("no")
            return two + last

        return Crew([one, two, Task("three", do=three, needs=[two])])

    first = await crew(None).run({}, make_options())
    assert first.status == "failed"
    second = await crew("!").fork(first.run_id, "three", options=make_options())
    assert (second.output, world.asked) == ("two!", ["One", "Two"])
    world.clear()
    third = await crew("?").fork(second.run_id, "two", options=make_options(changed="keep"))
    assert (third.output, world.asked) == ("two?", ["Two"])
    infos = {info.run: info.origin for info in runs.runs()}
    assert infos == {first.run_id: "", second.run_id: first.run_id, third.run_id: second.run_id}
    assert (await crew("?").resume(third.run_id, make_options())).output == "two?"


async def test_a_fork_that_is_interrupted_goes_on(make_options, world, runs):
    crew = rich(world)
    first = await crew.run({}, make_options())
    for stop in range(1, 12):
        run = f"r-stop{stop}"
        await interrupted_fork(crew, first.run_id, run, stop, make_options)
        result = await crew.resume(run, make_options())
        assert result.output == first.output
        merged = [e for e in runs.events(run) if e.type == "model.finished"]
        assert len({(e.path, e.attempt) for e in merged}) == len(merged)


async def interrupted_fork(crew: Crew, origin: str, run: str, stop: int, make_options: Any) -> None:
    """Fork a run, and cut the fork off at one of its own events."""
    seen = 0

    def listen(event: Event) -> None:
        nonlocal seen
        seen += event.run == run
        if seen == stop:
            running.cancel()

    options = make_options(run_id=run, listener=listen)
    running = asyncio.ensure_future(crew.fork(origin, "facts/2", options=options))
    with pytest.raises(asyncio.CancelledError):
        await running


# Inputs, models, messages


async def test_another_input_is_given_to_those_who_see_it_and_the_rest_is_kept(make_options, world, runs):
    def loud(topic: str) -> str:
        world.done.append("loud")
        return topic.upper()

    def fixed() -> str:
        world.done.append("fixed")
        return "fixed"

    def joined(loud: str, fixed: str) -> str:
        return f"{loud} {fixed}"

    crew = Crew(
        [Task("loud", do=loud), Task("fixed", do=fixed), Task("joined", do=joined, needs=["loud", "fixed"])],
        inputs=["topic"],
    )
    first = await crew.run({"topic": "tides"}, make_options())
    world.clear()
    result = await crew.fork(first.run_id, inputs={"topic": "moon"}, options=make_options())
    assert (result.output, world.done) == ("MOON fixed", ["loud"])
    forked = next(e for e in runs.events(result.run_id) if e.type == "run.forked")
    assert (forked.data["inputs"], forked.data["edits"]) == ({"topic": "moon"}, ["input topic"])
    again = await crew.fork(result.run_id, "joined", options=make_options())
    assert again.output == "MOON fixed"
    with pytest.raises(InputError, match=r"In the run 'topic' is the same\. Where does the fork branch off"):
        await crew.fork(first.run_id, inputs={"topic": "tides"}, options=make_options())
    with pytest.raises(InputError, match=r"no input 'topik'.*Did you mean 'topic'"):
        await crew.fork(first.run_id, inputs={"topik": "x"}, options=make_options())


async def test_an_input_that_a_crew_sees_within_a_map_or_a_loop_is_seen_anew_there(make_options, world):
    def seen(name: str) -> Callable[..., str]:
        def see(place: str, item: str) -> str:
            world.done.append(f"{name} {item} {place}")
            return f"{item} in {place}"

        return see

    @tool(effects="read")
    def aside(item: str) -> str:
        """Look at the item alone."""
        world.done.append(f"aside {item}")
        return item

    inner = {"place": Input(), "item": Input()}
    desk = Crew([Task("near", do=seen("near")), Task("aside", do=aside)], name="desk", inputs=inner)
    twice = Crew([Task("far", do=seen("far"))], name="twice", inputs=inner)
    crew = Crew(
        [Task("all", do=desk, for_each="rows"), Task("again", do=twice, until=lambda _: False, iterations=2)],
        name="places",
        inputs={
            "place": Input(),
            "item": Input(),
            "rows": Input(type=list[str]),
            "unseen": Input(default=""),
        },
    )
    given = {"place": "Brest", "item": "x", "rows": ["a", "b"]}
    first = await crew.run(given, make_options())
    world.clear()
    result = await crew.fork(first.run_id, inputs={"place": "Kiel"}, options=make_options())
    assert [row["near"] for row in result.outputs["all"]] == ["a in Kiel", "b in Kiel"]
    assert result.outputs["again"] == "x in Kiel"
    assert sorted(world.done) == ["far x Kiel", "far x Kiel", "near a Kiel", "near b Kiel"]
    with pytest.raises(InputError, match=r"No task sees 'unseen'\. Where does the fork branch off"):
        await crew.fork(first.run_id, inputs={"unseen": "x"}, options=make_options())


async def test_what_an_agent_said_can_be_edited(make_options, world, runs):
    @tool(effects="read")
    def look(place: str) -> str:
        """Look."""
        world.done.append(place)
        return f"seen {place}"

    agent = world.agent("A", call("look", place="a"), "the end", tools=[look])
    crew = Crew([Task("t", "Look.", agent=agent)])
    first = await crew.run({}, make_options())
    world.clear()
    said = await crew.fork(first.run_id, "t/1", edit="I know it already.", options=make_options())
    assert (said.output, world.asked, world.done) == ("I know it already.", [], [])
    assert said.usage["tokens"] == 0
    calls = '{"tool_calls": [{"name": "look", "arguments": {"place": "b"}}]}'
    called = await crew.fork(first.run_id, "t/1/model", edit=calls, options=make_options())
    assert (called.output, world.asked, world.done) == ("the end", ["A"], ["b"])
    (edited,) = [e for e in runs.events(called.run_id) if "edited_by" in e.data]
    assert (edited.path, edited.attempt, edited.data["usd"]) == ("t/1/model", 2, 0.0)
    assert (await crew.resume(called.run_id, make_options())).output == "the end"
    with pytest.raises(InputError, match=r"Nobody said anything at 't/9/model'|nothing at 't/9'"):
        await crew.fork(first.run_id, "t/9", edit="x", options=make_options())
    with pytest.raises(InputError, match="tool_calls of an edited message are a list"):
        await crew.fork(first.run_id, "t/1", edit='{"tool_calls": [{"nam": 1}]}', options=make_options())


async def test_another_model_is_used_for_what_is_done_again(make_options, world, runs):
    crew = rich(world)
    first = await crew.run({}, make_options())
    world.clear()
    other = ScriptedModel(["other"], name="other")
    result = await crew.fork(first.run_id, "sub/two", options=make_options(model=other))
    assert (
        result.outputs["sub"]["two"] if "two" in result.outputs["sub"] else result.outputs["sub"]
    ) == "other"
    assert (world.asked, len(other.requests)) == ([], 1)


# People and effects


async def test_a_question_that_was_open_is_asked_again_and_an_answer_to_it_counts_for_the_fork_alone(
    make_options, world, runs, decide
):
    crew = Crew(
        [
            Task("t", "Do.", agent=world.agent("A", "one"), human_input="Good?"),
            Task("u", "Do.", agent=world.agent("B", "two")),
        ]
    )
    first = await crew.run({}, make_options())
    assert first.status == "paused"
    fork = await crew.fork(first.run_id, "u", options=make_options())
    assert (fork.status, world.asked) == ("paused", ["A", "B", "B"])
    (mine,), (theirs,) = pending(runs.events(fork.run_id)), pending(runs.events(first.run_id))
    assert mine.id != theirs.id
    decide(fork.run_id)
    assert (await crew.resume(fork.run_id, make_options())).ok
    assert (await crew.resume(first.run_id, make_options())).status == "paused"


async def test_a_result_that_a_person_sent_back_stays_sent_back_in_a_fork(make_options, world, runs, decide):
    crew = Crew([Task("t", "Do.", agent=world.agent("A", "one", "two", "three"), human_input="Good?")])
    first = await crew.run({}, make_options())
    decide(first.run_id, "deny", "Better.")
    await crew.resume(first.run_id, make_options())
    decide(first.run_id)
    assert (await crew.resume(first.run_id, make_options())).output == "two"
    world.clear()
    fork = await crew.fork(first.run_id, "t/2/model", options=make_options())
    assert (fork.status, world.asked) == ("paused", ["A"])
    decide(fork.run_id)
    assert (await crew.resume(fork.run_id, make_options())).output == "two"


async def test_effects_are_not_repeated_without_leave(make_options, world, runs):
    @tool(effects=["write"])
    def send() -> str:
        """Send."""
        world.done.append("sent")
        return "sent"

    crew = Crew([Task("one", "Do.", agent=world.agent("A", "one")), Task("mail", do=send, needs=["one"])])
    first = await crew.run({}, make_options())
    with pytest.raises(RepeatsEffects, match=r"send\(\) at mail/1/tool:0"):
        await crew.fork(first.run_id, "one", options=make_options())
    assert world.done == ["sent"]
    assert [info.run for info in runs.runs()] == [first.run_id]
    assert (await crew.fork(first.run_id, "one", options=make_options(repeat_effects=True))).ok
    assert world.done == ["sent", "sent"]


# Wrong use


async def test_a_place_that_is_not_there_is_refused_with_what_is_near(make_options, world, runs):
    crew = rich(world)
    first = await crew.run({}, make_options())
    for at, said in (
        ("fact", r"nothing at 'fact'\. Did you mean 'facts'"),
        ("facts/9", r"There are: .*facts/1"),
        ("facts/1/tool:7", r"There are: .*facts/1/tool:0"),
        ("nowhere/1", "There are: facts"),
        ("draft#9", "nothing at 'draft#9'"),
    ):
        with pytest.raises(InputError, match=said):
            await crew.fork(first.run_id, at, options=make_options())
    with pytest.raises(InputError, match="There is no run 'r-none'"):
        await crew.fork("r-none", "facts", options=make_options())
    with pytest.raises(InputError, match="is a run of 'rich', not of 'other'"):
        await Crew([Task("facts", do=lambda_free)], name="other").fork(
            first.run_id, "facts", options=make_options()
        )
    assert len(runs.runs()) == 1


def lambda_free() -> str:
    return "x"


async def test_a_changed_task_behind_the_fork_is_fine_and_one_that_was_left_unfinished_is_named(
    make_options, world
):
    def crew(first: str, last: str) -> Crew:
        one = Task("one", first, agent=world.agent("A", "one"), human_input="Good?")
        two = Task("two", last, agent=world.agent("B", "two"))
        return Crew([one, two])

    run = await crew("Do.", "Do.").run({}, make_options())
    assert (await crew("Do.", "Do it.").fork(run.run_id, "two", options=make_options())).status == "paused"
    with pytest.raises(ReplayError, match=r"one: prompt \(description\)"):
        await crew("Do it.", "Do.").fork(run.run_id, "two", options=make_options())


async def test_a_fork_that_is_only_made_is_run_by_a_resume(make_options, world, runs):
    crew = rich(world)
    first = await crew.run({}, make_options())
    world.clear()
    made = await fork_only(crew, first.run_id, "signed", {}, "", make_options(run_id="r-made"))
    assert (made, world.done) == ("r-made", [])
    assert (await crew.resume("r-made", make_options())).output == first.output
    assert world.done == ["sign"]
