"""The only way from a model's wish to a tool: nothing unknown, unfit, forbidden or unapproved is ever called."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from crewkit import Agent, Crew, Grant, Input, Scope, Task, Tool, ToolContext, tool
from crewkit.core.label import Label, unfenced
from crewkit.core.messages import ToolCall
from crewkit.core.verdict import Allow, Deny, Revise, Verdict
from crewkit.journal.redact import Redactor
from crewkit.journal.run import Run
from crewkit.journal.writer import Writer
from crewkit.models.scripted import ScriptedModel, call
from crewkit.tools.gateway import Gateway, Wanted

SECRET = "tops3cret-value-42"


def of_type(runs: Any, run: str, type: str) -> list[Any]:
    return [event for event in runs.events(run) if event.type == type]


def told(model: ScriptedModel) -> list[str]:
    return [unfenced(m.content) for m in model.requests[-1].messages if m.role == "tool"]


def crew_of(model: ScriptedModel, *tools: Tool, **agent: Any) -> Crew:
    return Crew([Task("job", "Do it.", agent=Agent("Clerk", "Work.", tools=tools, model=model, **agent))])


# Checks


class Blank:
    """The memory of a call that recalls nothing."""

    def __init__(self, label: Label) -> None:
        self.label = label


def context(path: str, label: Label) -> ToolContext:
    return ToolContext("r-1", "job", "Clerk", path, "key", Blank(label))


async def through_a_check(runs: Any, check: Any, called: list[str]) -> tuple[str, list[Any]]:
    """Call a tool once through a gateway with this check; return the answer and the journal's events."""

    @tool(effects="read")
    def send(text: str) -> str:
        """Send a text."""
        called.append(text)
        return "sent"

    lease = runs.begin("r-1", "crew", "seg")
    writer = Writer(runs)
    try:
        run = Run(writer, lease, redactor=Redactor())
        gateway = Gateway(run, "job", "Clerk", {"send": send}, check, context)
        message = await gateway.call(ToolCall("c1", "send", '{"text": "hello"}'), "job/1/tool:0", "why")
        await run.commit()
    finally:
        writer.close()
    return message.content, list(runs.events("r-1"))


def raises(wanted: Wanted) -> Verdict:
    raise LookupError("no policy")


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (raises, "The check failed: LookupError: no policy"),
        (lambda wanted: None, "The check failed: it returned None, which is no verdict."),
        (lambda wanted: True, "The check failed: it returned True, which is no verdict."),
        (lambda wanted: Allow, "which is no verdict."),
        (lambda wanted: Deny("Not today."), "Not today."),
        (lambda wanted: Revise("Shorter."), "Shorter."),
    ],
)
async def test_a_check_that_does_not_allow_denies(runs, check: Any, said: str):
    called: list[str] = []
    answer, events = await through_a_check(runs, check, called)
    assert said in answer
    assert called == []
    checked, finished = [e for e in events if e.type.startswith("tool.")]
    assert (checked.type, checked.data["verdict"]) == ("tool.checked", "deny")
    assert (finished.type, finished.data["outcome"]) == ("tool.finished", "denied")


async def test_a_check_sees_the_arguments_and_its_verdict_is_recorded_before_the_call(runs):
    seen: list[Any] = []
    called: list[str] = []
    answer, events = await through_a_check(
        runs, lambda wanted: seen.append((wanted.tool.name, wanted.arguments)) or Allow(), called
    )
    assert (answer, called, seen) == ("sent", ["hello"], [("send", {"text": "hello"})])
    assert [e.type for e in events if e.type.startswith("tool.")] == [
        "tool.checked",
        "tool.started",
        "tool.finished",
    ]


# Scope


async def test_what_a_scope_withholds_is_recorded_and_cannot_be_called(make_options, runs):
    called: list[str] = []

    @tool(effects="read")
    def look(text: str) -> str:
        """Look."""
        return "seen"

    @tool(effects="read")
    def peek(text: str) -> str:
        """Peek."""
        called.append(text)
        return "seen"

    model = ScriptedModel([call("peek", text="x"), "Done."])
    result = await crew_of(model, look, peek, scope=Scope("look")).run({}, make_options())
    assert (result.ok, called) == (True, [])
    assert told(model) == ["There is no tool 'peek'. Tools you can call: look."]
    assert [spec.name for spec in model.requests[0].tools] == ["look"]
    decision = of_type(runs, result.run_id, "decision.made")[0].data
    assert decision["offered"] == ["look"]
    assert decision["withheld"] == [{"tool": "peek", "by": "scope", "why": "not granted"}]


@pytest.mark.parametrize("near", ["Send", "send ", "send\u200b", "s\u0435nd", "send\n", "functions.send"])
async def test_a_name_that_only_looks_like_the_granted_one_calls_nothing(make_options, near: str):
    called: list[str] = []

    @tool(effects="read")
    def send() -> str:
        """Send."""
        called.append("sent")
        return "sent"

    model = ScriptedModel([ToolCall("", near, "{}"), "Done."])
    assert (await crew_of(model, send).run({}, make_options())).ok
    assert called == []


@pytest.mark.parametrize("effects", ["write", "external", "financial", None, ["read", "write"]])
async def test_a_person_is_asked_about_all_that_does_more_than_read(make_options, runs, effects: Any):
    called: list[int] = []

    @tool(effects=effects)
    def act() -> str:
        """Act."""
        called.append(1)
        return "acted"

    model = ScriptedModel([call("act"), "Done."])
    result = await crew_of(model, act).run({}, make_options())
    assert (result.status, len(result.approvals), called) == ("paused", 1, [])
    assert of_type(runs, result.run_id, "run.paused")
    assert not of_type(runs, result.run_id, "tool.started")


async def test_an_outer_scope_that_says_nothing_of_asking_does_not_loosen_or_keep_quiet(make_options):
    called: list[int] = []

    @tool(effects="write")
    def act() -> str:
        """Act."""
        called.append(1)
        return "acted"

    def crew(**scope: Any) -> Crew:
        bold = Agent(
            "Clerk",
            "Work.",
            tools=[act],
            scope=Scope(Grant("act", approval="never")),
            model=ScriptedModel([call("act"), "Done."]),
        )
        return Crew([Task("job", "Do it.", agent=bold)], **scope)

    assert (await crew().run({}, make_options())).ok
    assert (await crew(scope=Scope("act")).run({}, make_options())).status == "paused"
    assert called == [1]


# Approvals


async def test_an_approval_serves_the_one_call_that_was_asked_about(make_options, decide):
    sent: list[str] = []

    @tool(effects="external")
    def send(text: str) -> str:
        """Send."""
        sent.append(text)
        return f"sent {text}"

    model = ScriptedModel(
        [
            call("send", text="a"),
            call("send", text="a"),
            [call("send", text="b"), call("send", text="a")],
            "Done.",
        ]
    )
    crew, options = crew_of(model, send), make_options()
    result = await crew.run({}, options)
    for expected in ([], ["a"], ["a", "a"]):
        assert (result.status, sent) == ("paused", expected)
        decide(result.run_id)
        result = await crew.resume(result.run_id, options)
    assert (result.status, sorted(sent)) == ("completed", ["a", "a", "a", "b"])


async def test_a_denied_call_can_be_asked_for_again_and_is_a_new_question(make_options, decide):
    sent: list[str] = []

    @tool(effects="external")
    def send(text: str) -> str:
        """Send."""
        sent.append(text)
        return f"sent {text}"

    model = ScriptedModel([call("send", text="rude"), call("send", text="kind"), "Done."])
    crew, options = crew_of(model, send), make_options()
    first = await crew.run({}, options)
    decide(first.run_id, "deny", "be kind")
    second = await crew.resume(first.run_id, options)
    assert (second.status, sent) == ("paused", [])
    assert second.approvals != first.approvals
    assert told(model) == ["A person denied this call: be kind"]
    decide(first.run_id)
    assert (await crew.resume(first.run_id, options)).ok
    assert sent == ["kind"]


async def test_a_call_with_unfit_arguments_asks_nobody(make_options, runs):
    @tool(effects="external")
    def send(text: str) -> str:
        """Send."""
        return "sent"

    model = ScriptedModel([ToolCall("", "send", '{"text": 5}'), "Done."])
    result = await crew_of(model, send).run({}, make_options())
    assert result.ok
    assert not of_type(runs, result.run_id, "approval.requested")


async def test_unknown_outcomes_of_one_turn_are_asked_about_one_after_the_other(make_options, decide):
    begun: list[str] = []

    @tool(effects="write", timeout=0.05)
    async def send(text: str) -> str:
        """Send."""
        begun.append(text)
        await asyncio.sleep(5 if begun.count(text) == 1 else 0)
        return f"sent {text}"

    model = ScriptedModel([[call("send", text="a"), call("send", text="b")], "Done."])
    crew, options = crew_of(model, send, scope=Scope(Grant("send", "never"))), make_options()
    result = await crew.run({}, options)
    assert (result.status, len(result.approvals), begun) == ("paused", 1, ["a"])
    decide(result.run_id, "deny", "it arrived", only="tool:0")
    again = await crew.resume(result.run_id, options)
    assert (again.status, len(again.approvals), begun) == ("paused", 1, ["a", "b"])
    decide(result.run_id, "approve", only="tool:1")
    assert (await crew.resume(result.run_id, options)).ok
    assert begun == ["a", "b", "b"]
    assert told(model) == [
        "'send' was begun and it is not known whether it happened. It must not be repeated. "
        "A person says: it arrived",
        "sent b",
    ]


# Secrets


class Place(BaseModel):
    name: str
    key: str


async def test_secrets_reach_neither_the_file_nor_the_next_request(make_options, runs, decide):
    @tool(effects="read")
    def leak(context: ToolContext) -> dict[str, Any]:
        """Say too much."""
        context.note(f"the key is {SECRET}")
        return {"key": SECRET, SECRET: [SECRET]}

    @tool(effects="external")
    def post(text: str) -> str:
        """Post."""
        return f"posted {text}"

    def tell(place: Place) -> str:
        return f"key {place.key}"

    model = ScriptedModel(
        [
            [call("leak"), call("post", text=f"my {SECRET}"), ToolCall("", "post", SECRET)],
            f"It is {SECRET}.",
            "Done.",
        ]
    )
    agent = Agent("Clerk", f"Use {SECRET}.", f"Born with {SECRET}.", tools=[leak, post], model=model)
    crew = Crew(
        [
            Task("told", do=tell),
            Task("job", f"Use {SECRET} at {{place}}.", agent=agent, needs=["told"], guardrails=[objects]),
        ],
        inputs={"place": Input(type=Place), "more": Input(default=SECRET)},
    )
    options = make_options(environ={"MY_API_KEY": SECRET})
    result = await crew.run({"place": Place(name="Kiel", key=SECRET)}, options)
    assert result.status == "paused"
    decide(result.run_id, "approve", f"with {SECRET}")
    result = await crew.resume(result.run_id, options)
    assert (result.status, result.output) == ("completed", "Done.")
    assert result.outputs["told"] == "key [redacted:MY_API_KEY]"
    for request in model.requests:
        assert SECRET not in repr(request)
    assert "[redacted:MY_API_KEY]" in repr(model.requests[-1])
    on_disk = [event for event in runs.events(result.run_id) if event.type != "approval.decided"]
    assert not [event for event in on_disk if SECRET in event.to_json()]


def objects(text: str) -> str | None:
    return None if text == "Done." else f"Not {SECRET}."


async def test_a_secret_is_nowhere_in_the_bytes_of_the_journal(make_options, runs):
    @tool(effects="read")
    def leak() -> str:
        """Say too much."""
        return f"the key is {SECRET}"

    model = ScriptedModel([call("leak"), f"It is {SECRET}."])
    result = await crew_of(model, leak).run({}, make_options(environ={"MY_API_KEY": SECRET}))
    assert result.output == "It is [redacted:MY_API_KEY]."
    for file in runs.path.parent.glob("journal.db*"):
        assert SECRET.encode() not in file.read_bytes()
