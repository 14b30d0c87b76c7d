"""A crew that does a task is held to what the task says: its guardrails and its person."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from crewkit import Ask, Crew, DefinitionError, Deny, Input, Task


def hello(name: str = "you") -> str:
    return f"hello {name}"


def outer(**task: Any) -> Crew:
    return Crew([Task("sub", do=Crew([Task("greet", do=hello)], name="inner"), **task)])


@pytest.mark.parametrize("said", ["Too loud.", Deny("Too loud.")])
async def test_a_guardrail_may_refuse_what_a_crew_comes_to(make_options, said: Any):
    result = await outer(guardrails=[lambda text: said]).run({}, make_options())
    assert result.status == "denied"
    assert result.report.failed["sub"] == "The guardrail '<lambda>' refused the result: Too loud."


async def test_a_guardrail_sees_what_a_crew_comes_to_once(make_options, decide):
    seen: list[str] = []

    def look(text: str) -> Ask:
        seen.append(text)
        return Ask("Is it kind?")

    crew = outer(guardrails=[look])
    result = await crew.run({}, make_options())
    assert result.status == "paused"
    decide(result.run_id)
    assert (await crew.resume(result.run_id, make_options())).output == "hello you"
    assert seen == ["hello you"]


@pytest.mark.parametrize(("decision", "status"), [("approve", "completed"), ("deny", "denied")])
async def test_a_person_approves_what_a_crew_comes_to(make_options, decide, runs, decision: str, status: str):
    crew = outer(human_input="Shall we greet?")
    result = await crew.run({}, make_options())
    assert (result.status, result.outputs) == ("paused", {})
    (asked,) = [e for e in runs.events(result.run_id) if e.type == "approval.requested"]
    assert (asked.data["question"], asked.data["output"]) == ("Shall we greet?", "hello you")
    decide(result.run_id, decision)
    assert (await crew.resume(result.run_id, make_options())).status == status


class Told(BaseModel):
    words: int


def told(loud: bool = False) -> Told:
    return Told(words=3)


def count(sub: Told | None) -> int:
    return -1 if sub is None else sub.words


@pytest.mark.parametrize(("when", "words"), [(None, 3), ("loud", -1)])
async def test_what_a_crew_comes_to_has_the_type_of_its_last_task(make_options, when: str | None, words: int):
    inner = Crew([Task("tell", do=told, when=when)], inputs={"loud": Input(type=bool, default=False)})
    sub = Task("sub", do=inner, until="sub is None or sub.words == 3")
    result = await Crew([sub, Task("count", do=count, needs=[sub])]).run({}, make_options())
    assert result.output == words
    with pytest.raises(DefinitionError, match=r"there is no `sub\.word`"):
        Crew([sub, Task("count", do=count, needs=[sub], when="sub.word == 3")])
