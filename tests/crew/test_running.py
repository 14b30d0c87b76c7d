"""Running crews: functions, crews within crews, failures that are contained, events as they happen."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from crewkit import (
    Agent,
    Crew,
    InputError,
    Limits,
    Options,
    RunError,
    Scope,
    Task,
    ToolContext,
    tool,
)
from crewkit.core.events import Event
from crewkit.core.label import unfenced
from crewkit.crew.crew import Input
from crewkit.journal.sqlite import SqliteJournal
from crewkit.models.scripted import ScriptedModel, call


class Brief(BaseModel):
    title: str
    on: date


def one() -> str:
    return "one"


def broken() -> str:
    raise ValueError("no")


# Ways to run


def test_run_sync_runs_from_code_that_is_not_async(make_options):
    result = Crew([Task("t", do=one)]).run_sync({}, make_options())
    assert (result.ok, result.output, bool(result.run_id)) == (True, "one", True)


def test_resume_sync_carries_a_run_on(make_options):
    first = Crew([Task("t", do=broken)]).run_sync({}, make_options())
    again = Crew([Task("t", do=one)]).resume_sync(first.run_id, make_options(changed="rerun"))
    assert (first.status, again.output) == ("failed", "one")


@pytest.mark.parametrize(("name", "arguments"), [("run", ()), ("resume", ("@last",))])
async def test_where_an_event_loop_runs_already_the_way_out_is_said(
    make_options, name: str, arguments: tuple
):
    crew = Crew([Task("t", do=one)])
    with pytest.raises(InputError, match=rf"as in a notebook\. Write: await crew\.{name}\("):
        getattr(crew, f"{name}_sync")(*arguments, options=make_options())


async def test_kickoff_is_run(make_options):
    assert Crew.kickoff is Crew.run
    assert (await Crew([Task("t", do=one)]).kickoff({}, make_options())).output == "one"


async def test_stream_yields_the_events_as_they_happen_and_the_end_last(make_options):
    leave = asyncio.Event()

    async def wait() -> str:
        await asyncio.wait_for(leave.wait(), 5)
        return "waited"

    crew = Crew(
        [Task("t", "Say.", agent=Agent("A", "Help.", model=ScriptedModel(["Hello."]))), Task("w", do=wait)]
    )
    events: list[Event] = []
    async for event in crew.stream({}, make_options()):
        events.append(event)
        if event.type == "task.finished" and event.path == "t":
            leave.set()
    assert (events[0].type, events[-1].type) == ("run.started", "run.finished")
    assert [e.data["text"] for e in events if e.type == "model.chunk"] == ["Hello."]
    recorded = [e.seq for e in events if e.seq]
    assert recorded == list(range(1, len(recorded) + 1))


async def test_leaving_a_stream_stops_the_run_in_order(make_options, runs):
    async def hang() -> str:
        await asyncio.Event().wait()
        return "never"

    crew = Crew([Task("hang", do=hang)])
    stream = crew.stream({}, make_options(run_id="r-1"))
    async for event in stream:
        if event.type == "tool.started":
            break
    await stream.aclose()
    assert [e.type for e in runs.events("r-1")][-1] == "run.paused"
    assert not runs.runs()[0].alive


async def test_a_stream_raises_what_the_run_raises(make_options):
    with pytest.raises(InputError):
        async for _ in Crew([Task("t", do=one)]).stream({"x": "y"}, make_options()):
            pass


async def test_a_listener_that_breaks_does_not_break_the_run(make_options):
    def listen(event: Event) -> None:
        raise ZeroDivisionError

    result = await asyncio.wait_for(Crew([Task("t", do=one)]).run({}, make_options(listener=listen)), 10)
    assert result.ok


async def test_one_agent_serves_many_tasks_at_once(make_options):
    barrier = asyncio.Barrier(20)

    async def say(request) -> str:
        await asyncio.wait_for(barrier.wait(), 10)
        return request.messages[1].content.splitlines()[0]

    agent = Agent("A", "Help.", model=ScriptedModel(say))
    result = await Crew([Task(f"t{i}", "Say.", agent=agent) for i in range(20)]).run({}, make_options())
    assert result.output == {f"t{i}": f"# Task: t{i}" for i in range(20)}


# Inputs


async def test_inputs_are_typed_and_checked_before_anything_runs(make_options, runs):
    def tell(brief: Brief, n: int, topic: str) -> str:
        return f"{brief.title} {brief.on:%Y} {n + 1} {topic}"

    crew = Crew(
        [Task("t", do=tell)],
        inputs={"brief": Input(type=Brief), "n": Input(type=int, default=4), "topic": Input("what about")},
    )
    raw = {"brief": {"title": "T", "on": "2026-01-02"}, "topic": "x"}
    typed = {"brief": Brief(title="T", on=date(2026, 1, 2)), "topic": "x"}
    for given_inputs in (raw, typed):
        assert (await crew.run(given_inputs, make_options())).output == "T 2026 5 x"
    before = len(runs.runs())
    for wrong, said in (
        ({}, "needs the input 'brief'"),
        ({**raw, "n": "many"}, "Input 'n' is 'many', which is not int"),
        ({**raw, "topics": "x"}, r"has no input 'topics'\. Did you mean 'topic'\?"),
        ({**raw, "brief": 5}, "Input 'brief' is 5, which is not Brief"),
        ({**raw, "brief": object()}, "which is not Brief"),
        ({"brief": raw["brief"]}, r"needs the input 'topic' \(what about\)\. Give it: -i topic="),
    ):
        with pytest.raises(InputError, match=said):
            await crew.run(wrong, make_options())
    assert len(runs.runs()) == before


async def test_typed_inputs_and_outputs_survive_a_resume(make_options, decide):
    def later(brief: Brief, first: Brief) -> Brief:
        return Brief(title=brief.title + first.title, on=first.on)

    def first(brief: Brief) -> Brief:
        return brief

    done = Task("first", do=first)
    last = Task("later", do=later, needs=[done], human_input=True)
    crew = Crew([done, last], inputs={"brief": Input(type=Brief)})
    brief = Brief(title="T", on=date(2026, 1, 2))
    result = await crew.run({"brief": brief}, make_options())
    assert result[done] == brief
    decide(result.run_id)
    resumed = await crew.resume(result.run_id, make_options())
    assert resumed[last] == Brief(title="TT", on=date(2026, 1, 2))
    assert resumed[done] == brief


# Functions


async def test_a_function_gets_inputs_outputs_and_context_by_name(make_options):
    def note(topic: str, first_part: str, context: ToolContext, extra: str = "default") -> list[str]:
        return [topic, first_part, context.task, extra]

    first = Task("first-part", do=one)
    crew = Crew([first, Task("note", do=note, needs=[first])], inputs=["topic"])
    assert (await crew.run({"topic": "x"}, make_options())).outputs["note"] == ["x", "one", "note", "default"]


async def test_a_tool_can_do_a_task(make_options):
    @tool(effects="read")
    async def measure(text: str) -> int:
        """Count the letters."""
        return len(text)

    text = Task("text", do=one)
    crew = Crew([text, Task("n", do=measure, needs=[text])])
    assert (await crew.run({}, make_options())).outputs["n"] == 3


@pytest.mark.parametrize("value", [float("nan"), b"\xff", object()])
async def test_a_function_that_returns_something_else_than_it_says_fails_its_task(make_options, value):
    def odd() -> dict[str, float]:
        return {"x": value}

    result = await Crew([Task("odd", do=odd)]).run({}, make_options())
    assert result.status == "failed"
    assert result.report.failed["odd"].startswith("Task 'odd' returned dict {'x': ")


async def test_a_function_that_exits_ends_its_task_and_not_the_run(make_options):
    def quits() -> str:
        raise SystemExit(1)

    result = await Crew([Task("quits", do=quits), Task("t", do=one)]).run({}, make_options())
    assert (result.status, result.outputs) == ("failed", {"t": "one"})


# Failures


def diamond(policy: Any) -> Crew:
    def after(bad: str | None) -> str:
        return f"after {bad}"

    bad = Task("bad", do=broken, on_failure=policy)
    return Crew(
        [
            bad,
            Task("free", do=one),
            Task("after", do=after, needs=[bad]),
            Task("end", do=one, needs=["after", "free"]),
        ]
    )


@pytest.mark.parametrize(
    ("policy", "status", "completed", "skipped"),
    [
        ("fail", "failed", ("free",), {"after", "end"}),
        ("skip", "completed", ("free",), {"after", "end"}),
        ("continue", "completed", ("free", "after", "end"), set()),
    ],
)
async def test_a_failure_is_contained(make_options, policy, status, completed, skipped):
    result = await diamond(policy).run({}, make_options())
    assert (result.status, set(result.report.completed), set(result.report.skipped)) == (
        status,
        set(completed),
        skipped,
    )
    assert dict(result.report.failed) == {"bad": "broken() raised ValueError: no"}
    if policy == "continue":
        assert result.outputs["after"] == "after None"
    else:
        assert dict(result.report.skipped) == {
            "after": "It needs 'bad', which failed.",
            "end": "It needs 'after', which was skipped.",
        }


async def test_an_agent_that_goes_on_without_a_result_is_told_why(make_options):
    model = ScriptedModel(["x"])
    bad = Task("bad", do=broken, on_failure="continue")
    crew = Crew([bad, Task("t", "Sum up.", agent=Agent("A", "Help.", model=model), needs=[bad])])
    assert (await crew.run({}, make_options())).ok
    told = unfenced(model.requests[0].messages[1].content)
    assert "(There is no result: broken() raised ValueError: no)" in told


async def test_a_result_without_output_says_why(make_options):
    bad = Task("bad", do=broken)
    after = Task("after", do=one, needs=[bad])
    result = await Crew([bad, after]).run({}, make_options())
    with pytest.raises(RunError, match=r"has no output of 'bad': broken\(\) raised ValueError: no") as caught:
        result[bad]
    assert caught.value.run_id == result.run_id
    with pytest.raises(RunError, match="has no output of 'after': It needs 'bad', which failed"):
        result[after]
    with pytest.raises(RunError, match="there is no such task in it"):
        result[Task("other", do=one)]


async def test_the_end_of_a_run_is_in_the_journal(make_options, runs):
    result = await diamond("fail").run({}, make_options())
    end = list(runs.events(result.run_id))[-1]
    assert end.type == "run.finished"
    assert end.data["report"] == {
        "completed": ["free"],
        "failed": [{"task": "bad", "error": "broken() raised ValueError: no"}],
        "skipped": [
            {"task": "after", "why": "It needs 'bad', which failed."},
            {"task": "end", "why": "It needs 'after', which was skipped."},
        ],
    }
    assert end.data["why"] == "Task 'bad' failed: broken() raised ValueError: no. 1 of 4 tasks completed."


# Crews in crews


async def test_a_crew_does_a_task_and_its_steps_are_under_it(make_options, runs):
    def shout(text: str) -> str:
        return text.upper()

    inner = Crew([Task("shout", do=shout)], inputs=["text"], name="inner")
    text = Task("text", do=one)
    result = await Crew([text, Task("loud", do=inner, needs=[text])], name="outer").run({}, make_options())
    # 'text' is an input of the inner crew and a need of the outer task.
    assert result.outputs["loud"] == "ONE"
    paths = {e.path for e in runs.events(result.run_id) if e.type == "task.finished"}
    assert paths == {"text", "loud/shout", "loud"}


async def test_an_inner_crew_whose_output_is_not_of_the_type_fails_its_task_and_not_the_run(make_options):
    inner = Crew([Task("one", do=one)], name="inner")
    crew = Crew([Task("t", do=inner, output_type=Brief), Task("free", do=one)])
    result = await crew.run({}, make_options())
    assert (result.status, result.outputs) == ("failed", {"free": "one"})
    assert result.report.failed["t"].startswith("The output of crew 'inner' is not what the task promises.")


async def test_a_failure_in_an_inner_crew_is_its_tasks_failure(make_options):
    inner = Crew([Task("bad", do=broken), Task("good", do=one)], name="inner")
    crew = Crew([Task("t", do=inner, on_failure="skip"), Task("free", do=one)])
    result = await crew.run({}, make_options())
    assert (result.status, result.outputs) == ("completed", {"free": "one"})
    assert result.report.failed["t"] == "Task 'bad' of crew 'inner' failed: broken() raised ValueError: no"


async def test_a_scope_narrows_the_crew_inside(make_options):
    @tool(effects="read")
    def look() -> str:
        """Look."""
        return "seen"

    @tool(effects="read")
    def listen() -> str:
        """Listen."""
        return "heard"

    def inner(model: ScriptedModel) -> Crew:
        agent = Agent("A", "Help.", tools=[look, listen], model=model)
        return Crew([Task("t", "Do it.", agent=agent)], name="inner")

    model = ScriptedModel([[call("look"), call("listen")], "Done."])
    outer = Crew([Task("nested", do=inner(model), scope=Scope("look"))])
    result = await outer.run({}, make_options())
    assert result.ok
    assert [spec.name for spec in model.requests[0].tools] == ["look"]
    told = [unfenced(m.content) for m in model.requests[-1].messages if m.role == "tool"]
    assert told == ["seen", "There is no tool 'listen'. Tools you can call: look."]
    model = ScriptedModel(["Done."])
    twice = Crew(
        [
            Task(
                "mid",
                do=Crew([Task("nested", do=inner(model))], scope=Scope("look", "listen"), name="mid"),
                scope=Scope("listen"),
            )
        ]
    )
    assert (await twice.run({}, make_options())).ok
    assert [spec.name for spec in model.requests[0].tools] == ["listen"]


async def test_a_whole_crew_resumes_inside_a_crew(make_options, decide):
    model = ScriptedModel(["one", "two"])
    inner = Crew(
        [
            Task("first", "Do.", agent=Agent("A", "Help.", model=model)),
            Task("second", do=one, needs=["first"], human_input=True),
        ],
        name="inner",
    )
    crew = Crew([Task("nested", do=inner)])
    result = await crew.run({}, make_options())
    assert result.status == "paused"
    decide(result.run_id)
    assert (await crew.resume(result.run_id, make_options())).output == "one"
    assert len(model.requests) == 1


# Any crew


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, list[str]], dict[str, bool], dict[str, str]]:
    """A graph, which of its tasks fail, and what is to be done then."""
    names = [f"t{i}" for i in range(draw(st.integers(1, 8)))]
    graph = {
        n: draw(st.lists(st.sampled_from(names[:i]), unique=True)) if i else [] for i, n in enumerate(names)
    }
    policies = st.sampled_from(["fail", "skip", "continue"])
    return graph, {n: draw(st.booleans()) for n in names}, {n: draw(policies) for n in names}


def reference(graph: dict[str, list[str]], fails: dict[str, bool], policy: dict[str, str]) -> dict[str, str]:
    ended: dict[str, str] = {}
    for name, needs in graph.items():
        served = all(ended[need] == "completed" or policy[need] == "continue" for need in needs)
        ended[name] = "skipped" if not served else "failed" if fails[name] else "completed"
    return ended


def test_any_crew_of_functions_ends_as_the_reference_says(tmp_path):
    with SqliteJournal(tmp_path / "journal.db") as journal:

        @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(cases())
        def check(case: Any) -> None:
            graph, fails, policy = case
            entered: list[str] = []

            def body(name: str):
                def do() -> str:
                    entered.append(name)
                    if fails[name]:
                        raise ValueError(name)
                    return name

                return do

            tasks = [Task(n, do=body(n), needs=needs, on_failure=policy[n]) for n, needs in graph.items()]
            result = Crew(tasks).run_sync({}, Options(journal=journal, environ={}))
            expected = reference(graph, fails, policy)
            report = result.report
            got = dict.fromkeys(report.completed, "completed") | dict.fromkeys(report.failed, "failed")
            assert got | dict.fromkeys(report.skipped, "skipped") == expected
            fatal = any(expected[n] == "failed" and policy[n] == "fail" for n in graph)
            assert result.status == ("failed" if fatal else "completed")
            assert sorted(entered) == sorted(n for n in graph if expected[n] != "skipped")

        check()


def test_definitions_are_frozen():
    task = Task("t", do=one)
    for definition, field in (
        (task, "name"),
        (Crew([task]), "tasks"),
        (Agent("A", "B"), "role"),
        (Limits(), "tokens"),
    ):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(definition, field, "x")
    assert isinstance(Crew([task]).tasks, tuple)
