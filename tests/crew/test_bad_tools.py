"""Tools that return what nobody can read, or break in ways of their own, in a whole run."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from crewkit import Agent, Crew, Task, tool
from crewkit.core.label import unfenced
from crewkit.models.scripted import ScriptedModel, call

HUGE = 100_000_000


def cycle() -> Any:
    ring: list[Any] = []
    ring.append(ring)
    return ring


def end_its_thread() -> str:
    sys.exit("enough")


def interrupt() -> str:
    raise KeyboardInterrupt


def run_too_deep() -> str:
    return run_too_deep()


def exhaust() -> str:
    raise MemoryError


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "bytes": (lambda: b"\x00\xff\x80", "bytes"),
    "cycle": (cycle, "contains itself"),
    "not a number": (lambda: {"value": float("nan")}, "NaN"),
    "an object": (object, "object"),
    "half a surrogate": (lambda: "a\ud800b", "a\ufffdb"),
    "exit": (end_its_thread, "SystemExit: enough"),
    "interrupt": (interrupt, "KeyboardInterrupt"),
    "deep": (run_too_deep, "RecursionError"),
    "memory": (exhaust, "MemoryError"),
}


def crew_with(function: Callable[[], Any]) -> tuple[Crew, ScriptedModel]:
    """A task whose agent calls the tool beside a good one, and another that has nothing to do with it."""

    @tool(effects="read")
    def bad() -> Any:
        """Do it badly."""
        return function()

    @tool(effects="read")
    def good() -> str:
        """Do it well."""
        return "well done"

    model = ScriptedModel([[call("bad"), call("good")], "I made do."])
    agent = Agent("Doer", "Do.", tools=[bad, good], model=model)
    other = Task("other", "Say something.", agent=Agent("Other", "Say.", model=ScriptedModel(["Something."])))
    return Crew([Task("bad", "Do it.", agent=agent), other]), model


@pytest.mark.parametrize(("function", "told"), BAD.values(), ids=BAD)
async def test_the_agent_is_told_and_goes_on(function, told, make_options, runs):
    crew, model = crew_with(function)
    result = await asyncio.wait_for(crew.run({}, make_options()), 30)
    assert dict(result.outputs) == {"bad": "I made do.", "other": "Something."}
    bad, good = model.requests[1].messages[-2:]
    assert told in bad.content
    assert unfenced(good.content) == "well done"
    finished = [e.data for e in runs.events(result.run_id) if e.type == "tool.finished"]
    assert {each["tool"] for each in finished} == {"bad", "good"}


async def test_a_hundred_megabytes_are_cut_and_never_reach_model_or_journal_whole(make_options, runs):
    crew, model = crew_with(lambda: "x" * HUGE)
    began = time.monotonic()
    result = await crew.run({}, make_options())
    assert result.ok
    assert time.monotonic() - began < 20
    assert len(model.requests[1].messages[-2].content) < 21_000
    [finished] = [
        e.data for e in runs.events(result.run_id) if e.data.get("tool") == "bad" and "outcome" in e.data
    ]
    assert finished["received"] == HUGE
    assert runs.path.stat().st_size + runs.path.with_name("journal.db-wal").stat().st_size < 20_000_000


@pytest.mark.parametrize(
    "function", [lambda: b"\xff", cycle, end_its_thread, interrupt, run_too_deep, object]
)
async def test_a_function_that_breaks_so_fails_its_task_alone(function, make_options):
    def bad() -> str:
        return function()

    def good() -> str:
        return "well done"

    crew = Crew([Task("bad", do=bad), Task("good", do=good)])
    result = await asyncio.wait_for(crew.run({}, make_options()), 30)
    assert (result.status, dict(result.outputs)) == ("failed", {"good": "well done"})
    assert "bad" in result.report.failed["bad"]
    assert len(result.report.failed["bad"]) < 3000


async def test_a_tool_that_never_returns_does_not_keep_the_run(make_options):
    leave = threading.Event()

    @tool(effects="read", timeout=0.1)
    def hang() -> str:
        """Hang."""
        leave.wait(30)
        return "late"

    model = ScriptedModel([call("hang"), "I went on."])
    crew = Crew([Task("t", "Do.", agent=Agent("A", "Do.", tools=[hang], model=model))])
    result = await asyncio.wait_for(crew.run({}, make_options()), 10)
    leave.set()
    assert result.output == "I went on."
    assert "did not end within 0.1 seconds" in model.requests[1].messages[-1].content


async def test_a_tool_that_closes_the_files_of_others_breaks_only_its_own_call(make_options):
    def close() -> str:
        os.close(9_999)
        return "closed"

    crew, model = crew_with(close)
    assert (await crew.run({}, make_options())).ok
    assert "Bad file descriptor" in model.requests[1].messages[-2].content
