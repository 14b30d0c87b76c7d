"""The loop of model and tool calls: nothing that a model or a tool does ends it out of order."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Annotated

import pytest
from inline_snapshot import snapshot
from pydantic import AfterValidator, BaseModel

from crewkit import Agent, Ask, Crew, Deny, Limits, Revise, Task, ToolError, tool
from crewkit.agents.loop import LAST_STEP
from crewkit.agents.window import HEAD, Window
from crewkit.core.label import unfenced
from crewkit.core.messages import ToolCall
from crewkit.crew.crew import Input
from crewkit.models.base import Answer, Request
from crewkit.models.scripted import ScriptedModel, call


class Brief(BaseModel):
    title: str
    n: int


@tool(effects="read")
def look(place: str, times: int = 1) -> str:
    """Look at a place."""
    return f"{place} x{times}"


def alone(model: ScriptedModel, *tools, **task) -> Crew:
    agent = Agent("Worker", "Work.", tools=tools, model=model)
    return Crew([Task("t", "Do it.", agent=agent, **task)])


def told(model: ScriptedModel) -> list[str]:
    """What the tools said to the model, in order."""
    return [unfenced(m.content) for m in model.requests[-1].messages if m.role == "tool"]


# Tools


async def test_the_calls_of_one_turn_run_at_the_same_time_and_answer_in_order(make_options):
    met = asyncio.Barrier(3)

    @tool(effects="read")
    async def meet(name: str) -> str:
        """Meet the others."""
        async with asyncio.timeout(5):
            await met.wait()
        return f"{name} met"

    model = ScriptedModel([[call("meet", name=name) for name in "abc"], "Done."])
    assert (await alone(model, meet).run({}, make_options())).ok
    assert told(model) == ["a met", "b met", "c met"]


async def test_sync_tools_are_not_limited_to_a_handful_of_threads_and_do_not_block_the_loop(make_options):
    barrier = threading.Barrier(60)

    @tool(effects="read")
    def meet() -> str:
        """Meet the others."""
        barrier.wait(10)
        return "met"

    model = ScriptedModel([[call("meet")] * 60, "Done."])
    assert (await alone(model, meet).run({}, make_options())).ok
    assert told(model) == ["met"] * 60


async def test_an_unknown_tool_is_answered_with_the_list_and_nothing_near_is_called(make_options, runs):
    model = ScriptedModel([[call("Look", place="x"), call("look ", place="x")], "Done."])
    result = await alone(model, look).run({}, make_options())
    assert told(model) == [
        "There is no tool 'Look'. Tools you can call: look.",
        "There is no tool 'look '. Tools you can call: look.",
    ]
    assert not any(e.type == "tool.started" for e in runs.events(result.run_id))
    outcomes = [e.data["outcome"] for e in runs.events(result.run_id) if e.type == "tool.finished"]
    assert outcomes == ["unknown_tool", "unknown_tool"]


@pytest.mark.parametrize(
    "raw",
    [
        "{",
        "[]",
        '"{\\"place\\": \\"x\\"}"',
        '{"place": "x", "times": NaN}',
        '{"place": "x", "place": "y"}',
        '{"place": 5}',
        '{"place": "x", "unknown": 1}',
        "{}",
    ],
)
async def test_arguments_that_are_not_valid_go_back_with_the_reasons(make_options, raw):
    model = ScriptedModel([ToolCall("", "look", raw), "Done."])
    assert (await alone(model, look).run({}, make_options())).ok
    (answer,) = told(model)
    assert answer.startswith("Nothing was called: the arguments of 'look' are not valid.\n- ")
    assert answer.endswith("Call it again with corrected arguments.")


async def test_a_types_own_validator_goes_back_to_the_model_and_does_not_end_the_run(make_options):
    def even(number: int) -> int:
        if number % 2:
            raise ValueError("must be even")
        return number

    @tool(effects="read")
    def half(number: Annotated[int, AfterValidator(even)]) -> int:
        """Halve a number."""
        return number // 2

    model = ScriptedModel([call("half", number=3), call("half", number=4), "Done."])
    assert (await alone(model, half).run({}, make_options())).ok
    assert "must be even" in told(model)[0]
    assert told(model)[1] == "2"


async def test_a_tool_that_raises_or_times_out_is_answered_with_a_structured_error(make_options, runs):
    @tool(effects="read")
    def broken() -> str:
        """Break."""
        raise KeyError("x")

    @tool(effects="read")
    def honest() -> str:
        """Say what is wrong."""
        raise ToolError("The index is empty. Fill it first.")

    @tool(effects="read")
    def quits() -> str:
        """Quit."""
        raise SystemExit(3)

    @tool(effects="read", timeout=0.05)
    async def hangs() -> str:
        """Hang."""
        await asyncio.sleep(60)
        return ""

    @tool(effects="read", timeout=0.05)
    def blocks() -> str:
        """Block."""
        time.sleep(1)
        return ""

    names = ["broken", "honest", "quits", "hangs", "blocks"]
    model = ScriptedModel([[call(name) for name in names], "Done."])
    result = await alone(model, broken, honest, quits, hangs, blocks).run({}, make_options())
    assert result.ok
    assert told(model) == snapshot(
        [
            "'broken' failed. KeyError: 'x'",
            "The index is empty. Fill it first.",
            "'quits' failed. SystemExit: 3",
            "'hangs' did not end within 0.05 seconds and was given up.",
            "'blocks' did not end within 0.05 seconds and was given up.",
        ]
    )
    errors = {
        e.data["tool"]: e.data["error"]["type"]
        for e in runs.events(result.run_id)
        if e.type == "tool.finished"
    }
    assert errors == {
        "broken": "KeyError",
        "honest": "ToolError",
        "quits": "SystemExit",
        "hangs": "Timeout",
        "blocks": "Timeout",
    }


async def test_a_long_result_is_cut_for_the_model_and_kept_whole_in_the_journal(make_options, runs):
    @tool(effects="read", max_tokens=75)
    def long() -> str:
        """Say much."""
        return "a" * 1000 + "z"

    model = ScriptedModel([call("long"), "Done."])
    result = await alone(model, long).run({}, make_options())
    (shown,) = told(model)
    note, _, rest = shown.partition("\n")
    assert (
        note == '[701 of 1,001 characters left out; read_result(call="call-0-0", page=2) shows page 2 of 4]'
    )
    assert unfenced(rest) == "a" * 300
    (event,) = [e for e in runs.events(result.run_id) if e.type == "tool.finished"]
    assert event.data["full"] == "a" * 1000 + "z"
    assert event.data["received"] == 1001
    assert event.data["selected"] == 300


async def test_a_tool_granted_for_one_task_is_not_there_in_the_other(make_options):
    model = ScriptedModel([call("look", place="x"), "Done."])
    agent = Agent("Worker", "Work.", model=model)
    first = Task("first", "Look.", agent=agent, tools=[look])
    crew = Crew([first, Task("second", "Look.", agent=agent, needs=[first])])
    assert (await crew.run({}, make_options())).ok
    assert told(model) == ["There is no tool 'look'. There are no tools you can call."]
    assert [len(request.tools) for request in model.requests] == [1, 1, 0, 0]


# Steps and answers


async def test_at_the_step_cap_no_tools_are_offered_and_the_model_is_told(make_options, runs):
    def say(request: Request):
        return call("look", place=str(len(request.messages))) if request.tools else "What I have."

    model = ScriptedModel(say)
    result = await alone(model, look, limits=Limits(steps=3)).run({}, make_options())
    assert (result.output, len(model.requests)) == ("What I have.", 3)
    assert [len(request.tools) for request in model.requests] == [1, 1, 0]
    assert model.requests[-1].messages[-1].content == LAST_STEP
    last = [e for e in runs.events(result.run_id) if e.type == "decision.made"][-1]
    assert (last.data["offered"], last.data["withheld"]) == (
        [],
        [{"tool": "look", "by": "limit", "why": "last step"}],
    )


async def test_a_model_that_calls_on_after_its_last_step_ends_at_the_limit(make_options):
    model = ScriptedModel(lambda _: call("look", place="x"))
    result = await alone(model, look, limits=Limits(steps=2)).run({}, make_options())
    assert (result.status, len(model.requests)) == ("limit", 2)
    assert result.report.skipped["t"] == snapshot(
        "Worker used its 2 steps without an answer that stands. You called a tool where only an answer was left to "
        "give."
    )


async def test_more_steps_carry_on_where_the_cap_ended_it_and_no_call_is_left_without_a_result(make_options):
    lines = [call("look", place="x"), call("look", place="y"), "Done."]

    def crew(steps: int) -> tuple[Crew, ScriptedModel]:
        model = ScriptedModel(lines)
        return alone(model, look, limits=Limits(steps=steps)), model

    first, _ = crew(2)
    result = await first.run({}, make_options())
    second, model = crew(4)
    resumed = await second.resume(result.run_id, make_options())
    assert (resumed.output, len(model.requests)) == ("Done.", 1)
    messages = model.requests[-1].messages
    calls = [c.id for m in messages for c in m.tool_calls]
    assert calls == [m.tool_call_id for m in messages if m.role == "tool"]


async def test_a_wrong_structured_answer_goes_back_with_the_reasons(make_options):
    model = ScriptedModel(["no json", '{"title": "x"}', '{"title": "x", "n": NaN}', '{"title": "x", "n": 1}'])
    result = await alone(model, output_type=Brief).run({}, make_options())
    assert result.output == Brief(title="x", n=1)
    said = [m.content for m in model.requests[-1].messages if m.role == "user"][1:]
    assert [text.splitlines()[0] for text in said] == snapshot(
        [
            "Your answer is not JSON (Expecting value: line 1 column 1 (char 0)). Answer with one JSON value that "
            "satisfies the schema, and nothing around it.",
            "Your answer does not fit the schema:",
            "Your answer is not JSON (NaN is not JSON). Answer with one JSON value that satisfies the schema, and "
            "nothing around it.",
        ]
    )
    assert "- n: Field required" in said[1]


async def test_wrong_answers_are_sent_back_a_capped_number_of_times(make_options):
    model = ScriptedModel(lambda _: "nonsense")
    result = await alone(model, output_type=Brief, revisions=2).run({}, make_options())
    assert (result.status, len(model.requests)) == ("failed", 3)
    assert result.report.failed["t"].startswith("Worker's answer was sent back 2 times and is still wrong.")


@pytest.mark.parametrize(
    "text", ['```json\n{"title": "x", "n": 1}\n```', 'Here:\n```\n{"title": "x", "n": 1}\n```']
)
async def test_a_fenced_answer_is_read(make_options, text):
    result = await alone(ScriptedModel([text]), output_type=Brief).run({}, make_options())
    assert result.output == Brief(title="x", n=1)


@pytest.mark.parametrize(
    "text", ['{"title": "x", "n": 1e999}', '{"title": "\\ud800", "n": 1}', "[" * 100_000, "1" * 5000]
)
async def test_a_hostile_answer_is_a_wrong_answer(make_options, text):
    model = ScriptedModel([text, '{"title": "x", "n": 1}'])
    assert (await alone(model, output_type=Brief).run({}, make_options())).output == Brief(title="x", n=1)


async def test_an_empty_or_cut_off_answer_is_sent_back(make_options):
    model = ScriptedModel(["", Answer("half an ans", finish_reason="length"), "whole"])
    assert (await alone(model).run({}, make_options())).output == "whole"


async def test_a_model_that_breaks_fails_its_task_and_not_the_run(make_options):
    class Broken(ScriptedModel):
        async def answer(self, request, watch):
            raise ZeroDivisionError("by zero")

    def other() -> str:
        return "kept"

    agent = Agent("A", "Help.", model=Broken([]))
    result = await Crew([Task("t", "Do.", agent=agent), Task("o", do=other)]).run({}, make_options())
    assert (result.status, result.outputs) == ("failed", {"o": "kept"})
    assert result.report.failed["t"] == "Model 'scripted' broke with ZeroDivisionError: by zero"


# Guardrails


async def test_guardrails_run_in_order_and_the_first_objection_goes_back(make_options):
    seen: list[str] = []

    def short(text: str) -> str | None:
        seen.append(f"short {text}")
        return None if len(text) < 6 else "Too long."

    async def kind(text: str) -> Revise | None:
        seen.append(f"kind {text}")
        return Revise("Be kind.") if text == "no" else None

    model = ScriptedModel(["much too long", "no", "yes"])
    assert (await alone(model, guardrails=[short, kind]).run({}, make_options())).output == "yes"
    assert seen == ["short much too long", "short no", "kind no", "short yes", "kind yes"]
    said = [m.content for m in model.requests[-1].messages if m.role == "user"][1:]
    assert said == [
        "Your answer was not accepted: Too long. Answer again, whole.",
        "Your answer was not accepted: Be kind. Answer again, whole.",
    ]


def denies(_: str) -> Deny:
    return Deny("It is forbidden.")


def raises(_: str) -> None:
    raise ValueError("oops")


def exits(_: str) -> None:
    raise SystemExit(1)


def lies(_: str):
    return 42


@pytest.mark.parametrize(
    ("guardrail", "why"),
    [
        (denies, "It is forbidden."),
        (raises, "it failed with ValueError: oops"),
        (exits, "it failed with RuntimeError: SystemExit: 1"),
        (lies, "it returned 42, which is no verdict: return None, a sentence or a verdict"),
    ],
)
async def test_a_guardrail_that_denies_or_breaks_denies_the_task(make_options, guardrail, why):
    result = await alone(ScriptedModel(["x"]), guardrails=[guardrail]).run({}, make_options())
    assert result.status == "denied"
    name = guardrail.__name__
    assert result.report.failed["t"] == f"The guardrail '{name}' refused the answer of Worker: {why}"


async def test_a_guardrail_sees_the_typed_output(make_options):
    seen: list[object] = []
    model = ScriptedModel(['{"title": "x", "n": 1}'])
    await alone(model, output_type=Brief, guardrails=[seen.append]).run({}, make_options())
    assert seen == [Brief(title="x", n=1)]


async def test_a_guardrails_verdict_is_not_asked_for_again_after_a_resume(make_options, decide):
    looks: list[str] = []

    def once(text: str) -> Ask | None:
        looks.append(text)
        return Ask("Is it fine?")

    crew = alone(ScriptedModel(["x"]), guardrails=[once])
    result = await crew.run({}, make_options())
    decide(result.run_id)
    assert (await crew.resume(result.run_id, make_options())).ok
    assert looks == ["x"]


# Long conversations


async def test_a_long_conversation_stays_in_its_window_and_no_result_is_orphaned(make_options):
    def say(request: Request):
        last = unfenced(request.messages[-1].content)
        turn = int(last.rpartition("x")[2] or 0) if len(request.messages) > 2 else 0
        if turn >= 150:
            return "Done."
        return [call("look", place="p", times=turn + 1)] * (1 + turn % 3)

    model = ScriptedModel(say)
    crew = alone(model, look, limits=Limits(steps=None))
    result = await crew.run({}, make_options(limits=Limits(tokens=None)))
    assert (result.output, len(model.requests)) == ("Done.", 151)
    head = model.requests[0].messages[:HEAD]
    for request in model.requests:
        messages = request.messages
        assert len(messages) <= Window().messages + 1
        assert messages[:HEAD] == head
        open_calls: list[str] = []
        for message in messages:
            if message.role == "tool":
                assert message.tool_call_id in open_calls
            elif message.role == "assistant":
                open_calls = [c.id for c in message.tool_calls]
    assert "oldest messages of this conversation" in model.requests[-1].messages[HEAD].content
    assert len(model.requests[-1].messages) >= Window().messages - 20


async def test_what_an_agent_is_told(make_options):
    class Place(BaseModel):
        name: str

    model = ScriptedModel(['["a"]'])
    crew = Crew(
        [
            Task("first", do=given),
            Task(
                "t",
                "Look at {place} with {{braces}}.",
                "A list.",
                Agent("Worker", "Know {topic}.", "Old.", model=model),
                needs=["first"],
                output_type=list[str],
            ),
        ],
        inputs={"topic": Input(), "place": Input(type=Place)},
    )
    await crew.run({"topic": "seas", "place": Place(name="Kiel")}, make_options())
    system, assignment = model.requests[0].messages
    assert system.content.startswith("You are Worker. Your goal: Know seas. Old.")
    assert assignment.content == snapshot(
        """\
# Task: t

Look at {"name": "Kiel"} with {braces}.

## Expected output
A list.

## Inputs
- topic: seas
- place: {"name": "Kiel"}

## Result of "first"
<result task="first">
from the first
</result>

## Form of the answer
Answer with one JSON value that satisfies this JSON Schema, and nothing around it:
```json
{"items": {"type": "string"}, "type": "array"}
```\
"""
    )


@tool(trusted=True, effects="read")
def given() -> str:
    """Give."""
    return "from the first"


async def test_the_transcript_holds_every_decision(make_options, runs):
    model = ScriptedModel([call("look", place="x"), "Done."])
    result = await alone(model, look).run({}, make_options())
    first, second = [e for e in runs.events(result.run_id) if e.type == "decision.made"]
    assert (first.path, first.data["offered"], first.data["chosen"]) == (
        "t/1",
        ["look"],
        [{"id": "call-0-0", "tool": "look", "arguments": json.dumps({"place": "x"})}],
    )
    assert (second.path, second.data["text"]) == ("t/2", "Done.")
    assert first.data["budget"]["tokens"] < 200_000
