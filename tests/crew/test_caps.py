"""A run that reaches a cap ends in order, keeps what is done, and goes on when the cap is raised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crewkit import Agent, Crew, Limits, Options, Task, tool
from crewkit.journal.sqlite import SqliteJournal
from crewkit.models.base import Answer, Request, Usage
from crewkit.models.scripted import ScriptedModel, call


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    with SqliteJournal(tmp_path / "journal.db") as journal:
        yield journal


class Metered(ScriptedModel):
    """Uses as many tokens at each call as the test says."""

    def __init__(self, script: Any, *, tokens: int = 10) -> None:
        super().__init__(script, name="metered")
        self.tokens = tokens
        self.answered = 0

    async def answer(self, request: Request, watch: Any) -> Answer:
        self.answered += 1
        return replace(await super().answer(request, watch), usage=Usage(0, self.tokens))


def writer(model: Any, **more: Any) -> Agent:
    return Agent("Writer", "Write.", model=model, max_tokens=50, **more)


def parallel(model: Any, count: int = 10, *, limits: Limits, **more: Any) -> Crew:
    agent = writer(model)
    return Crew([Task(f"t{i}", f"Write part {i}.", agent=agent, **more) for i in range(count)], limits=limits)


def reasons(result: Any) -> set[str]:
    return {*result.report.skipped.values(), *result.report.failed.values()}


@tool(effects=["read"])
def look() -> str:
    """Look around."""
    return "There is nothing."


def fine() -> str:
    return "fine"


def looking(turns: int) -> Callable[[Request], Any]:
    def script(request: Request) -> Any:
        turn = sum(message.role == "assistant" for message in request.messages)
        return call("look") if turn < turns and request.tools else "Done."

    return script


async def test_a_task_with_a_cap_on_steps_is_told_at_its_last_step_and_offered_no_tool(
    journal: SqliteJournal,
):
    model = Metered(looking(99))
    crew = Crew([Task("t", "Look.", agent=writer(model, tools=[look]), limits=Limits(steps=3))])
    result = await crew.run(options=Options(journal=journal))

    assert result.status == "completed"
    assert model.answered == 3
    assert [len(request.tools) for request in model.requests] == [1, 1, 0]
    assert "last step" in model.requests[-1].messages[-1].content


async def test_a_task_and_an_agent_have_caps_of_their_own(journal: SqliteJournal):
    model = Metered(looking(9), tokens=100)
    small = Task("small", "Look.", agent=writer(model, tools=[look]), limits=Limits(tokens=400))
    other = Task("other", do=fine)
    result = await Crew([small, other]).run(options=Options(journal=journal))
    assert result.status == "limit"
    assert result.report.completed == ("other",)
    assert result.report.skipped["small"].startswith("Task 'small': ")

    agent = writer(model, tools=[look], limits=Limits(steps=3))
    crew = Crew([Task("a", "Look.", agent=agent), Task("b", "Look.", agent=agent)])
    result = await crew.run(options=Options(journal=journal))
    assert result.status == "limit"
    assert result.usage["steps"] == 3
    assert reasons(result) == {"Agent 'Writer': 3 of 3 steps used."}


async def test_a_task_that_may_fail_takes_its_cap_for_itself(journal: SqliteJournal):
    model = Metered(looking(9), tokens=100)
    agent = writer(model, tools=[look])
    small = Task("small", "Look.", agent=agent, limits=Limits(tokens=400), on_failure="skip")
    other = Task("other", "Write.", agent=replace(agent, role="Other", model=ScriptedModel(["fine"])))
    result = await Crew([small, other]).run(options=Options(journal=journal))

    assert result.status == "completed"
    assert result.report.completed == ("other",)
    assert "400 tokens used" in result.report.failed["small"]


async def test_a_crew_that_may_fail_takes_the_caps_inside_it_for_itself(journal: SqliteJournal):
    model = Metered(looking(9), tokens=100)
    agent = writer(model, tools=[look])
    for inner in (
        Crew([Task("small", "Look.", agent=agent)], limits=Limits(tokens=400)),
        Crew([Task("small", "Look.", agent=agent, limits=Limits(tokens=400))]),
    ):
        crew = Crew(
            [
                Task("sub", do=inner, on_failure="skip"),
                Task("other", "Look.", agent=replace(agent, model=ScriptedModel(looking(2)))),
                Task("last", do=fine, needs=["other"]),
            ]
        )
        result = await crew.run(options=Options(journal=journal))

        assert result.status == "completed", result.why
        assert result.report.completed == ("other", "last")
        assert "400 tokens used" in result.report.failed["sub"]


async def test_resuming_without_a_higher_cap_ends_at_it_again_and_pays_nothing(journal: SqliteJournal):
    model = Metered(["Done."], tokens=150)
    crew = parallel(model, limits=Limits(tokens=500))
    result = await crew.run(options=Options(journal=journal))
    paid = model.answered

    again = await crew.resume(result.run_id, Options(journal=journal))
    assert again.status == "limit"
    assert again.report.completed == result.report.completed
    assert model.answered == paid
