"""A tool that does a task is taken care of as in the hands of an agent: tried again, kept, left alone, replaced."""

from __future__ import annotations

from typing import Any

import pytest

from crewkit import Ask, Breaker, Crew, Guardrails, Task, tool
from crewkit.testing.clock import FakeClock


async def test_a_read_that_fails_in_passing_is_tried_again(make_options, runs):
    tried: list[int] = []

    @tool(effects="read", retries=2, timeout=5)
    def fetch() -> str:
        """Fetch."""
        tried.append(1)
        if len(tried) < 3:
            raise ConnectionError("gone for a moment")
        return "here"

    result = await Crew([Task("fetch", do=fetch)]).run({}, make_options(clock=FakeClock()))
    assert (result.output, len(tried)) == ("here", 3)
    scheduled = [event.data for event in runs.events(result.run_id, types=("retry.scheduled",))]
    assert [data["attempt"] for data in scheduled] == [2, 3]
    assert "gone for a moment" in scheduled[0]["why"]


async def test_a_mistake_is_not_tried_again(make_options):
    tried: list[int] = []

    @tool(effects="read", retries=2)
    def fetch() -> str:
        """Fetch."""
        tried.append(1)
        raise ValueError("wrong")

    result = await Crew([Task("fetch", do=fetch)]).run({}, make_options())
    assert (result.status, len(tried)) == ("failed", 1)


def task(name: str, do: Any, **more: Any) -> Task[Any]:
    return Task(name, do=do, **more)


async def test_what_a_task_came_to_serves_an_equal_one(make_options, runs):
    called: list[str] = []

    @tool(effects="read", cache_ttl=60)
    def fetch(word: str) -> list[str]:
        """Fetch."""
        called.append(word)
        return [word]

    crew = Crew([task("a", fetch), task("b", fetch, needs=["a"])], inputs=["word"])
    result = await crew.run({"word": "tide"}, make_options())
    assert (result.outputs, called) == ({"a": ["tide"], "b": ["tide"]}, ["tide"])
    finished = [e.data for e in runs.events(result.run_id, types=("tool.finished",))]
    assert "cached" not in finished[0]
    assert finished[1]["cached"] | {"age": 0} == {"path": "a/1/tool:0", "age": 0, "stale": False}


async def test_a_stale_result_serves_a_task_where_the_tool_says_so(make_options, runs):
    called: list[int] = []

    @tool(effects="read", cache_ttl=1, stale_on_failure=True)
    def fetch() -> str:
        """Fetch."""
        called.append(1)
        if len(called) > 1:
            raise ConnectionError("gone")
        return "first"

    def wait() -> str:
        clock.advance(5)
        return "later"

    clock = FakeClock()
    crew = Crew([task("a", fetch), task("wait", wait, needs=["a"]), task("b", fetch, needs=["wait"])])
    result = await crew.run({}, make_options(clock=clock))
    assert (result.status, result.output, len(called)) == ("completed", "first", 2)
    *_, last = runs.events(result.run_id, types=("tool.finished",))
    assert last.data["cached"]["stale"] is True


async def test_a_tool_that_keeps_failing_is_left_alone_by_tasks_too(make_options, runs):
    called: list[int] = []

    @tool(effects="read", breaker=Breaker(failures=2, window=60, pause=60))
    def fetch() -> str:
        """Fetch."""
        called.append(1)
        raise ConnectionError("gone")

    tasks = [task(f"t{n}", fetch, on_failure="continue", needs=[f"t{n - 1}"][:n]) for n in range(4)]
    result = await Crew(tasks).run({}, make_options())
    assert len(called) == 2
    assert "'fetch' was not called: it failed 2 times" in str(result.report)
    assert [e.data["state"] for e in runs.events(result.run_id, types=("breaker.changed",))] == ["open"]


async def test_a_fallback_does_the_task_where_its_tool_fails(make_options, runs):
    called: list[str] = []

    @tool(effects="read")
    def archive(word: str) -> str:
        """Look into the archive."""
        called.append("archive")
        return f"old {word}"

    @tool(effects="read", fallback=archive)
    def fetch(word: str, more: str = "") -> str:
        """Fetch."""
        called.append("fetch")
        raise ConnectionError("gone")

    result = await Crew([task("t", fetch)], inputs=["word"]).run({"word": "tide"}, make_options())
    assert (result.output, called) == ("old tide", ["fetch", "archive"])
    finished = [(e.path, "failed" in e.data) for e in runs.events(result.run_id, types=("tool.finished",))]
    assert finished == [("t/1/tool:0", True), ("t/1/tool:0/fallback", False)]


@pytest.mark.parametrize("point", ["arguments", "results"])
async def test_guardrails_of_a_tool_look_at_a_task_too(make_options, runs, point: str):
    seen: list[Any] = []
    called: list[int] = []

    def look(value: Any) -> str:
        seen.append(value)
        return "Not that."

    @tool(effects="read", guardrails=Guardrails(**{point: [look]}))
    def fetch(word: str) -> str:
        """Fetch."""
        called.append(1)
        return f"about {word}"

    result = await Crew([task("t", fetch)], inputs=["word"]).run({"word": "tide"}, make_options())
    assert (result.status, len(called)) == ("denied", point == "results")
    assert seen == [{"word": "tide"} if point == "arguments" else "about tide"]
    assert "look: Not that." in str(result.report)


async def test_a_guardrail_of_a_tool_that_does_a_task_asks_a_person(make_options, decide):
    @tool(effects="read", guardrails=Guardrails(arguments=[lambda value: Ask(f"May it be {value}?")]))
    def fetch(word: str) -> str:
        """Fetch."""
        return f"about {word}"

    crew = Crew([task("t", fetch)], inputs=["word"])
    result = await crew.run({"word": "tide"}, make_options())
    assert result.status == "paused"
    decide(result.run_id)
    assert (await crew.resume(result.run_id, make_options())).output == "about tide"
