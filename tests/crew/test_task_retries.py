"""A function that is a task is tried again as its tool says, and only where that is harmless."""

from __future__ import annotations

from crewkit import Crew, Task, tool
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
