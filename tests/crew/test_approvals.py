"""A person decides: on calls with effects, on results, from another process, before or while the run goes on."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from crewkit import Agent, Ask, Crew, Grant, Limits, Scope, Task, tool
from crewkit.core.events import Draft
from crewkit.core.label import unfenced
from crewkit.journal.base import Write
from crewkit.models.scripted import ScriptedModel, call


def sender(sent: list[str], *letters: str, last: str = "Done.", **agent) -> Agent:
    @tool(effects=["write", "external"])
    def send(text: str) -> str:
        """Send a letter."""
        sent.append(text)
        return f"sent {text}"

    calls = [call("send", text=letter) for letter in letters]
    return Agent("Clerk", "Send.", tools=[send], model=ScriptedModel([calls, last]), **agent)


def said_to_model(runs, run: str) -> list[str]:
    return [e.data["content"] for e in runs.events(run) if e.data.get("role") == "tool"]


async def test_a_person_is_asked_before_a_tool_with_effects(make_options, decide, runs):
    sent: list[str] = []
    crew = Crew([Task("letter", "Send it.", agent=sender(sent, "a"))])
    result = await crew.run({}, make_options())
    assert (result.status, sent) == ("paused", [])
    assert dict(result.report.waiting) == {"letter": "A person must decide."}
    (asked,) = [e for e in runs.events(result.run_id) if e.type == "approval.requested"]
    assert asked.data == {
        "id": result.approvals[0],
        "kind": "tool",
        "question": "May 'send' (write and external) be called?",
        "tool": "send",
        "definition": asked.data["definition"],
        "arguments": {"text": "a"},
        "origins": {"text": {"from": "no text: the model's own words", "trusted": False}},
        "parameters": crew.tasks[0].agent.tools[0].parameters,
        "binding": asked.data["binding"],
        "expires": asked.data["expires"],
    }
    decide(result.run_id)
    resumed = await crew.resume(result.run_id, make_options())
    assert (resumed.status, resumed.output, sent) == ("completed", "Done.", ["a"])


async def test_a_tool_without_declared_effects_is_asked_about(make_options):
    @tool
    def thing() -> str:
        """Do a thing."""
        return "done"

    agent = Agent("A", "Help.", tools=[thing], model=ScriptedModel([call("thing"), "x"]))
    result = await Crew([Task("t", "Do it.", agent=agent)]).run({}, make_options())
    assert result.status == "paused"


async def test_resuming_before_anyone_decided_waits_again_and_asks_once(make_options, runs):
    crew = Crew([Task("letter", "Send it.", agent=sender([], "a"))])
    result = await crew.run({}, make_options())
    again = await crew.resume(result.run_id, make_options())
    assert (again.status, again.approvals) == ("paused", result.approvals)
    assert sum(e.type == "approval.requested" for e in runs.events(result.run_id)) == 1


async def test_a_denial_reaches_the_model_with_its_note(make_options, decide, runs):
    sent: list[str] = []
    crew = Crew([Task("letter", "Send it.", agent=sender(sent, "a"))])
    result = await crew.run({}, make_options())
    decide(result.run_id, "deny", "not on a Sunday")
    resumed = await crew.resume(result.run_id, make_options())
    assert (resumed.status, sent) == ("completed", [])
    assert said_to_model(runs, result.run_id) == ["A person denied this call: not on a Sunday"]


@pytest.mark.parametrize("first", [0, 1])
async def test_two_approvals_answered_in_any_order_do_not_mix(make_options, decide, first):
    sent: list[str] = []
    clerk = sender(sent, "a", "b")
    crew = Crew([Task("letter", "Send them.", agent=clerk)])
    result = await crew.run({}, make_options())
    assert len(result.approvals) == 2
    decisions = ["approve", "deny"]
    decide(result.run_id, decisions[first], "no", only=f"tool:{first}")
    assert (await crew.resume(result.run_id, make_options())).status == "paused"
    decide(result.run_id, decisions[1 - first], "no", only=f"tool:{1 - first}")
    resumed = await crew.resume(result.run_id, make_options())
    assert (resumed.status, sent) == ("completed", ["a"])
    told = [unfenced(message.content) for message in clerk.model.requests[-1].messages[-2:]]
    assert told == ["sent a", "A person denied this call: no"]


@pytest.mark.parametrize(
    ("caps", "where"),
    [({"task": 2}, "in this task"), ({"agent": 2}, "by this agent"), ({"crew": 2}, "in this run")],
)
async def test_a_model_puts_so_many_questions_to_a_person_and_no_more(
    make_options, decide, runs, caps, where
):
    sent: list[str] = []
    limits = {level: Limits(questions=cap) for level, cap in caps.items()}
    clerk = sender(sent, "a", "b", "c", "d", limits=limits.get("agent", Limits()))
    task = Task("letters", "Send them.", agent=clerk, limits=limits.get("task", Limits()))
    crew = Crew([task], limits=limits.get("crew", Limits()))
    result = await crew.run({}, make_options())
    assert (result.status, len(result.approvals)) == ("paused", 2)
    decide(result.run_id, "deny")
    resumed = await crew.resume(result.run_id, make_options())
    assert (resumed.status, sent) == ("completed", [])
    refused = f"'send' was not called: a person is asked about 2 calls {where} at most, and was."
    told = [unfenced(text) for text in said_to_model(runs, result.run_id)]
    assert sum(refused in text for text in told) == 2
    assert len({e.path for e in runs.events(result.run_id) if e.type == "approval.requested"}) == 2


async def test_nobody_is_asked_a_third_time_about_what_they_did_not_agree_to(make_options, decide, runs):
    sent: list[str] = []
    result = await (crew := Crew([Task("letters", "Send.", agent=sender(sent, *"aaab"))])).run(
        {}, make_options()
    )
    assert len(result.approvals) == 3
    decide(result.run_id, "deny")
    resumed = await crew.resume(result.run_id, make_options())
    assert (resumed.status, sent) == ("completed", [])
    refused = "'send' was not called: a person was asked about exactly this call 2 times and did not agree."
    assert sum(refused in text for text in said_to_model(runs, result.run_id)) == 1


async def test_a_call_that_was_agreed_to_is_asked_about_each_time(make_options, decide, runs):
    sent: list[str] = []

    async def beside() -> str:
        while len(sent) < 3:  # so that one process hears of all decisions
            await asyncio.sleep(0.01)
        return "done"

    clerk = sender(sent)
    clerk = replace(clerk, model=ScriptedModel([[call("send", text="a")]] * 3 + ["Done."]))
    crew = Crew([Task("letters", "Send.", agent=clerk), Task("beside", do=beside)])
    running = asyncio.create_task(crew.run({}, make_options(run_id="r-1")))
    for number in range(3):
        while sum(event.type == "approval.requested" for event in runs.events("r-1")) == number:
            await asyncio.sleep(0.01)
        decide("r-1")
    result = await asyncio.wait_for(running, 10)
    assert (result.status, sent) == ("completed", ["a", "a", "a"])


async def test_the_first_decision_on_a_question_counts(make_options, decide, runs):
    sent: list[str] = []
    crew = Crew([Task("letter", "Send it.", agent=sender(sent, "a"))])
    result = await crew.run({}, make_options())
    (id,) = decide(result.run_id, "deny", "first")
    late = Draft("approval.decided", data={"id": id, "decision": "approve"}, key=f"decided {id}")
    assert runs.append([Write(result.run_id, [late], None)]) == [[]]
    await crew.resume(result.run_id, make_options())
    assert sent == []


async def test_a_decision_is_noticed_while_a_sibling_still_runs(make_options, decide, runs):
    sent: list[str] = []

    async def slow() -> str:
        while not sent:
            await asyncio.sleep(0.01)
        return "slow"

    crew = Crew([Task("letter", "Send it.", agent=sender(sent, "a")), Task("slow", do=slow)])
    running = asyncio.create_task(crew.run({}, make_options(run_id="r-1")))
    while not any(e.type == "approval.requested" for e in runs.events("r-1")):
        await asyncio.sleep(0.01)
    decide("r-1")
    result = await asyncio.wait_for(running, 10)
    assert (result.status, sent) == ("completed", ["a"])
    assert not any(e.type == "run.resumed" for e in runs.events("r-1"))


async def test_a_read_beside_a_waiting_call_is_made_once(make_options, decide):
    reads: list[int] = []

    @tool(effects="read")
    def look() -> str:
        """Look."""
        reads.append(1)
        return "seen"

    @tool(effects="write")
    def send() -> str:
        """Send."""
        return "sent"

    agent = Agent(
        "A", "Help.", tools=[look, send], model=ScriptedModel([[call("look"), call("send")], "Done."])
    )
    crew = Crew([Task("t", "Do it.", agent=agent)])
    result = await crew.run({}, make_options())
    decide(result.run_id)
    assert (await crew.resume(result.run_id, make_options())).output == "Done."
    assert len(reads) == 1


async def test_a_grant_says_when_a_person_is_asked(make_options):
    sent: list[str] = []
    never = sender(sent, "a", scope=Scope(Grant("send", "never")))
    assert (await Crew([Task("t", "Send.", agent=never)]).run({}, make_options())).ok
    assert sent == ["a"]

    @tool(effects="read")
    def look() -> str:
        """Look."""
        return "seen"

    watched = Agent(
        "A",
        "Look.",
        tools=[look],
        scope=Scope(Grant("look", "always")),
        model=ScriptedModel([call("look"), "x"]),
    )
    assert (await Crew([Task("t", "Look.", agent=watched)]).run({}, make_options())).status == "paused"


async def test_a_result_that_a_person_refuses_is_made_again(make_options, decide, runs):
    model = ScriptedModel(["first", "second"])
    crew = Crew([Task("t", "Write.", agent=Agent("A", "Write.", model=model), human_input="Is it nice?")])
    result = await crew.run({}, make_options())
    (asked,) = [e for e in runs.events(result.run_id) if e.type == "approval.requested"]
    assert (asked.data["kind"], asked.data["question"], asked.data["output"]) == (
        "output",
        "Is it nice?",
        "first",
    )
    decide(result.run_id, "deny", "shorter")
    assert (await crew.resume(result.run_id, make_options())).status == "paused"
    assert "shorter" in model.requests[-1].messages[-1].content
    decide(result.run_id)
    resumed = await crew.resume(result.run_id, make_options())
    assert (resumed.output, len(model.requests)) == ("second", 2)


async def test_a_function_whose_result_is_refused_fails_its_task_as_denied(make_options, decide):
    def write() -> str:
        return "text"

    crew = Crew([Task("t", do=write, human_input=True), Task("u", do=write, needs=["t"])])
    result = await crew.run({}, make_options())
    decide(result.run_id, "deny", "no")
    resumed = await crew.resume(result.run_id, make_options())
    assert resumed.status == "denied"
    assert dict(resumed.report.failed) == {"t": "A person did not accept the result of 't': no"}


async def test_a_guardrail_may_ask_a_person(make_options, decide):
    def odd(text: str) -> Ask:
        return Ask(f"Is {text!r} odd?")

    crew = Crew(
        [Task("t", "W.", agent=Agent("A", "W.", model=ScriptedModel(["one", "two"])), guardrails=[odd])]
    )
    result = await crew.run({}, make_options())
    assert result.status == "paused"
    decide(result.run_id, "deny", "very")
    assert (await crew.resume(result.run_id, make_options())).status == "paused"
    decide(result.run_id)
    assert (await crew.resume(result.run_id, make_options())).output == "two"


async def test_a_nested_crew_waits_for_a_person_and_goes_on(make_options, decide):
    sent: list[str] = []
    inner = Crew([Task("letter", "Send it.", agent=sender(sent, "a"))], name="inner")
    crew = Crew([Task("nested", do=inner)])
    result = await crew.run({}, make_options())
    assert (result.status, sent) == ("paused", [])
    decide(result.run_id)
    resumed = await crew.resume(result.run_id, make_options())
    assert (resumed.output, sent) == ("Done.", ["a"])


async def test_a_nested_crew_entered_again_counts_its_use_once(make_options, decide, runs):
    sent: list[str] = []

    async def slow() -> str:
        while not sent:
            await asyncio.sleep(0.01)
        return "slow"

    inner = Crew([Task("letter", "Send it.", agent=sender(sent, "a"))], name="inner")
    crew = Crew([Task("nested", do=inner), Task("slow", do=slow)])
    running = asyncio.create_task(crew.run({}, make_options(run_id="r-1")))
    while not any(e.type == "approval.requested" for e in runs.events("r-1")):
        await asyncio.sleep(0.01)
    decide("r-1")
    result = await asyncio.wait_for(running, 10)
    assert (result.output["nested"], result.usage["steps"]) == ("Done.", 2)


async def test_a_nested_crew_resumed_counts_its_use_once(make_options, decide):
    inner = Crew([Task("letter", "Send it.", agent=sender([], "a"))], name="inner")
    crew = Crew([Task("nested", do=inner)])
    result = await crew.run({}, make_options())
    assert result.usage["steps"] == 1
    decide(result.run_id)
    assert (await crew.resume(result.run_id, make_options())).usage["steps"] == 2
