"""When an agent's work is not accepted: revise, another model, another agent, a person, and an end."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from crewkit import Agent, Ask, Crew, DefinitionError, ModelError, Receipt, Task, tool
from crewkit.models.scripted import ScriptedModel, call


def good(text: str) -> str | None:
    return None if "good" in text else "Make it good."


def task_of(model: ScriptedModel, **task: Any) -> Task:
    agent = Agent("Worker", "Work.", model=model, tools=task.pop("own", ()))
    return Task("t", "Do it.", agent=agent, **{"revisions": 1, **task})


def escalated(runs: Any, run: str) -> list[tuple[str, str]]:
    return [(e.path, e.data["to"]) for e in runs.events(run) if e.type == "task.escalated"]


async def test_each_rung_is_tried_in_its_order_and_told_what_came_before(make_options, runs):
    weak, strong = ScriptedModel(["bad", "worse"]), ScriptedModel(["bad too", "still bad"], name="strong")
    senior = ScriptedModel(["good at last"])
    agent = Agent("Senior", "Mend.", model=senior)
    task = task_of(weak, guardrails=[good], fallback=[strong, agent])
    result = await Crew([task]).run({}, make_options())
    assert result[task] == "good at last"
    assert escalated(runs, result.run_id) == [
        ("t/fallback:1", "the model strong"),
        ("t/fallback:2", "Senior"),
    ]
    assignment = senior.requests[0].messages[1].content
    assert "## An earlier attempt was not accepted" in assignment
    assert "still bad" in assignment
    assert "Make it good." in assignment


async def test_a_model_that_breaks_is_followed_by_another(make_options):
    task = task_of(ScriptedModel([ModelError("gone")]), fallback=[ScriptedModel(["good"], name="other")])
    result = await Crew([task]).run({}, make_options())
    assert result[task] == "good"


async def test_where_all_rungs_fail_the_task_fails_and_its_dependents_do_not_run(make_options):
    other = ScriptedModel(["never"])
    task = task_of(
        ScriptedModel(["a", "b"]), guardrails=[good], fallback=[ScriptedModel(["c", "d"], name="m")]
    )
    after = Task("after", "Go on.", agent=Agent("B", "W.", model=other), needs=[task])
    result = await Crew([task, after]).run({}, make_options())
    assert (result.status, other.requests) == ("failed", [])
    assert "Make it good." in result.why


@pytest.mark.parametrize(("decision", "status"), [("approve", "completed"), ("deny", "denied")])
async def test_a_person_accepts_the_last_answer_or_gives_up(make_options, decide, runs, decision, status):
    task = task_of(ScriptedModel(["bad", "worse"]), guardrails=[good], fallback=[Ask("Will this do?")])
    crew = Crew([task])
    result = await crew.run({}, make_options())
    assert result.status == "paused"
    (asked,) = [e for e in runs.events(result.run_id) if e.type == "approval.requested"]
    assert (asked.data["question"], asked.data["output"]) == ("Will this do?", "worse")
    assert "Make it good." in asked.data["reason"]
    decide(result.run_id, decision, note="so be it")
    result = await crew.resume(result.run_id, make_options())
    assert result.status == status
    assert dict(result.outputs) == ({"t": "worse"} if decision == "approve" else {})


async def test_a_resumed_run_goes_on_where_it_had_climbed_to(make_options, decide):
    weak = ScriptedModel([ModelError("gone"), "good"])
    asking = ScriptedModel(["fine", "good"], name="second")
    task = task_of(weak, fallback=[asking], human_input="Is it good?")
    crew = Crew([task])
    result = await crew.run({}, make_options())
    assert (result.status, len(weak.requests)) == ("paused", 1)
    decide(result.run_id)
    result = await crew.resume(result.run_id, make_options())
    assert (result[task], len(weak.requests), len(asking.requests)) == ("fine", 1, 1)


def test_what_is_no_one_to_fall_back_to_is_a_mistake():
    with pytest.raises(DefinitionError, match="fallback=5 is no one to fall back to"):
        Crew([task_of(ScriptedModel([]), fallback=[5])])


# What has to be done for an answer


@tool(effects="read")
def measure(place: str) -> str:
    """Measure."""
    if place == "moon":
        raise ValueError("too far")
    return f"{place}: 12 m"


async def test_an_agent_that_only_claims_to_have_called_is_told_once_and_then_not_accepted(make_options):
    model = ScriptedModel(["It is 12 m.", "It is 12 m, believe me."])
    task = task_of(model, own=[measure], requires_tools=[measure], revisions=5)
    result = await Crew([task]).run({}, make_options())
    assert result.status == "failed"
    assert "claims to be done and did not do it" in result.why
    assert "You answered without calling measure." in model.requests[1].messages[-1].content


async def test_a_call_that_failed_does_not_count_and_one_that_succeeded_does(make_options):
    model = ScriptedModel([call("measure", place="moon"), "12 m.", call("measure", place="sea"), "12 m."])
    task = task_of(model, own=[measure], requires_tools=["measure"])
    assert (await Crew([task]).run({}, make_options())).ok
    assert len(model.requests) == 4


def test_a_required_tool_that_the_agent_does_not_have_is_a_mistake():
    with pytest.raises(
        DefinitionError, match=r"requires 'mesure', which is none of its tools. Did you mean 'measure'"
    ):
        Crew([task_of(ScriptedModel([]), own=[measure], requires_tools=["mesure"])])


class Claim(BaseModel):
    text: str
    source: Receipt


async def test_a_false_receipt_is_sent_back_and_a_true_one_counts(make_options):
    model = ScriptedModel(
        [
            [call("measure", place="sea"), call("measure", place="moon")],
            '{"text": "12 m", "source": "call-0-1"}',
            '{"text": "12 m", "source": "call-0-0"}',
        ]
    )
    task = task_of(model, own=[measure], output_type=Claim)
    result = await Crew([task]).run({}, make_options())
    assert result[task].source == "call-0-0"
    shown = [m.content for m in model.requests[1].messages if m.role == "tool"]
    assert shown[0].startswith("[call call-0-0]\n")
    assert not shown[1].startswith("[call")
    assert "'call-0-1' is not the id of a tool call that succeeded" in model.requests[2].messages[-1].content


# Circles


async def test_an_agent_that_goes_round_in_a_circle_is_told_once_and_then_ended_before_its_cap(make_options):
    model = ScriptedModel([call("measure", place="sea")] * 24 + ["Done."])
    task = task_of(model, own=[measure])
    result = await Crew([task]).run({}, make_options())
    assert (result.status, len(model.requests)) == ("failed", 4)
    assert "repeated itself without learning anything new" in result.why
    assert model.requests[3].messages[-1].content.startswith("You are going round in a circle: measure(")
