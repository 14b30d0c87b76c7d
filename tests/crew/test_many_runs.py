"""Several runs in one process and on one journal do not know of each other."""

from __future__ import annotations

import asyncio

import pytest

from crewkit import Agent, Crew, JournalError, Task, tool
from crewkit.models.scripted import ScriptedModel, call


@tool(effects="read")
async def look(place: str) -> str:
    """Look."""
    await asyncio.sleep(0)
    return f"{place} seen"


def make_crew() -> Crew:
    model = ScriptedModel([call("look", place="x"), "Done."])
    agent = Agent("A", "Help with {topic}.", tools=[look], model=model)
    return Crew([Task(f"t{i}", "Look.", agent=agent) for i in range(3)], inputs=["topic"])


async def test_runs_at_the_same_time_on_one_journal_stay_apart(make_options, runs):
    crew = make_crew()
    results = await asyncio.gather(*(crew.run({"topic": f"topic {i}"}, make_options()) for i in range(20)))
    assert all(result.ok for result in results)
    assert len({result.run_id for result in results}) == 20
    lengths = set()
    for i, result in enumerate(results):
        events = list(runs.events(result.run_id))
        assert events[0].data["inputs"] == {"topic": f"topic {i}"}
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        lengths.add(len(events))
    assert len(lengths) == 1


async def test_one_crew_serves_many_threads(make_options):
    crew = make_crew()
    results = await asyncio.gather(
        *(asyncio.to_thread(crew.run_sync, {"topic": str(i)}, make_options()) for i in range(4))
    )
    assert all(result.ok for result in results)


async def test_a_run_id_is_used_once(make_options):
    crew = make_crew()
    await crew.run({"topic": "x"}, make_options(run_id="r-mine"))
    with pytest.raises(JournalError, match="There is a run r-mine already"):
        await crew.run({"topic": "x"}, make_options(run_id="r-mine"))
