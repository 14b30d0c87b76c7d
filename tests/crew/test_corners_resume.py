"""What a resume keeps of the run's beginning, and what it says where it cannot."""

from __future__ import annotations

from typing import Any

import pytest

from crewkit import Agent, Crew, Limits, ReplayError, Task
from crewkit.models.scripted import ScriptedModel


def writer(model: Any) -> Agent:
    return Agent("Writer", "Write.", model=model, max_tokens=50)


def chain(model: Any) -> Crew:
    agent = writer(model)
    first = Task("first", "Write.", agent=agent)
    return Crew([first, Task("second", "Write on.", agent=agent, needs=[first], human_input=True)])


async def test_a_cap_given_with_the_run_holds_over_its_resumes(make_options, runs):
    crew = chain(ScriptedModel(["Done."]))
    result = await crew.run(options=make_options(limits=Limits(steps=1)))
    assert result.status == "limit"

    again = await crew.resume(result.run_id, make_options())
    assert again.status == "limit", "nobody raised the cap"

    raised = await crew.resume(result.run_id, make_options(limits=Limits(steps=2)))
    assert raised.status == "paused"
    resumed = [e.data["limits"] for e in runs.events(result.run_id, types=["run.resumed"])]
    assert resumed == [{"steps": 1}, {"steps": 2}]


async def test_a_cap_taken_away_stays_away(make_options, runs):
    crew = Crew(chain(ScriptedModel(["Done."])).tasks, limits=Limits(steps=1))
    result = await crew.run(options=make_options())
    assert result.status == "limit"

    freed = await crew.resume(result.run_id, make_options(limits=Limits(steps=None)))
    assert freed.status == "paused"
    assert (await crew.resume(result.run_id, make_options())).status == "paused"
    resumed = [e.data["limits"] for e in runs.events(result.run_id, types=["run.resumed"])]
    assert resumed == [{"steps": None}] * 2


async def test_a_completed_run_whose_outputs_changed_their_type_says_so(make_options):
    def number() -> int:
        return 3

    result = await Crew([Task("t", do=number)]).run(options=make_options())
    assert result.ok

    def words() -> list[str]:
        return []

    with pytest.raises(ReplayError, match="recorded output of 't' is no longer of its type"):
        await Crew([Task("t", do=words)]).resume(result.run_id, make_options())
