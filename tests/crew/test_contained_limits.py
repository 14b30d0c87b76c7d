"""A cap of one task or agent stops what needs that, and nothing else."""

from __future__ import annotations

from crewkit import Agent, Crew, Limits, Task
from crewkit.testing import ScriptedModel


def crew(**tight: Limits) -> Crew:
    def agent(role: str, **given: Limits) -> Agent:
        return Agent(role, "Help.", model=ScriptedModel(["fine"]), **given)

    small = agent("Small", **({"limits": tight["agent"]} if "agent" in tight else {}))
    first = Task("first", "Do it.", agent=small, **({"limits": tight["task"]} if "task" in tight else {}))
    after = Task("after", "Go on.", agent=agent("Other"), needs=[first])
    alone = Task("alone", "Do something else.", agent=agent("Third"))
    last = Task("last", "End.", agent=agent("Fourth"), needs=[alone])
    return Crew([first, after, alone, last])


async def ended(crew: Crew, make_options):
    return await crew.run({}, make_options())


async def test_a_tasks_own_cap_stops_only_what_needs_the_task(make_options):
    result = await ended(crew(task=Limits(tokens=10)), make_options)
    assert result.status == "limit"
    assert result.report.completed == ("alone", "last")
    assert "Task 'first'" in result.why
    assert result.report.skipped["after"].startswith("It needs 'first', which was stopped:")


async def test_an_agents_own_cap_stops_only_what_needs_its_tasks(make_options):
    result = await ended(crew(agent=Limits(tokens=10)), make_options)
    assert result.status == "limit"
    assert result.report.completed == ("alone", "last")
    assert "Agent 'Small'" in result.why


async def test_it_goes_on_when_the_cap_is_raised(make_options):
    stopped = await ended(crew(task=Limits(tokens=10)), make_options)
    result = await crew(task=Limits(tokens=10_000)).resume(stopped.run_id, make_options())
    assert result.status == "completed"
    assert result.usage["steps"] == 4
