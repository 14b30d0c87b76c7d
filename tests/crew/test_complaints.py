"""What users of such frameworks complain about most, replayed: here it holds."""

from __future__ import annotations

import asyncio
from typing import Any

from crewkit import Agent, Ask, Crew, Grant, Input, Limits, Options, Scope, Task, ask_colleague, tool
from crewkit.cli.transcript import Transcript
from crewkit.models.base import Request
from crewkit.models.scripted import ScriptedModel, call


async def test_two_tasks_of_one_agent_run_side_by_side(make_options):
    met = asyncio.Barrier(2)

    async def say(request: Request) -> str:
        await met.wait()  # each waits for the other: one after the other would hang
        return "done"

    agent = Agent("Writer", "Write.", model=ScriptedModel(say))
    crew = Crew([Task("a", "Write a.", agent=agent), Task("b", "Write b.", agent=agent)])
    async with asyncio.timeout(60):
        assert (await crew.run({}, make_options())).outputs == {"a": "done", "b": "done"}


async def test_a_run_begins_inside_a_running_loop_and_inside_a_tool_of_another_run(make_options, tmp_path):
    inner = Crew([Task("inner", do=lambda_free)], name="inner")

    @tool(effects="read")
    async def ask_other() -> str:
        """Run another crew, in this very loop."""
        return (await inner.run({}, make_options())).output

    @tool(effects="read")
    def ask_other_in_a_thread() -> str:
        """Run another crew from sync code, which has no loop of its own."""
        from crewkit.journal.sqlite import SqliteJournal

        with SqliteJournal(tmp_path / "other.db") as journal:
            return inner.run_sync({}, Options(journal=journal, environ={})).output

    crew = Crew([Task("loop", do=ask_other), Task("thread", do=ask_other_in_a_thread)])
    assert (await crew.run({}, make_options())).outputs == {"loop": "hello", "thread": "hello"}


def lambda_free() -> str:
    return "hello"


async def test_a_slow_sibling_holds_up_nobody_who_does_not_need_it(make_options):
    behind = asyncio.Event()

    @tool(effects="read")
    async def slow() -> str:
        """Wait for what comes behind the fast one."""
        await behind.wait()
        return "slow"

    @tool(effects="read")
    async def after(fast: str) -> str:
        """Come after the fast one, while the slow one still runs."""
        behind.set()
        return f"after {fast}"

    fast = Task("fast", do=lambda_free)
    crew = Crew([Task("slow", do=slow), fast, Task("after", do=after, needs=[fast])])
    async with asyncio.timeout(60):
        assert (await crew.run({}, make_options())).ok


async def test_a_used_up_cap_on_rounds_keeps_the_work(make_options, runs):
    def say(request: Request) -> Any:
        asked = sum(message.role == "tool" for message in request.messages)
        return (
            call("ask_colleague", to="Expert", question=f"And {asked}?") if asked < 3 else "My best answer."
        )

    asker = Agent("Asker", "Ask.", tools=[ask_colleague], model=ScriptedModel(say))
    expert = Agent("Expert", "Know.", model=ScriptedModel(lambda request: "Yes."))
    first = Task("first", do=lambda_free)
    crew = Crew(
        [first, Task("talk", "Talk.", agent=asker, needs=[first])], agents=[expert], limits=Limits(rounds=2)
    )
    result = await crew.run({}, make_options())
    assert (result.status, result.outputs) == ("completed", {"first": "hello", "talk": "My best answer."})
    (closed,) = [e for e in runs.events(result.run_id) if e.type == "round.closed"]
    assert (closed.data["rounds"], closed.data["cap"]) == (2, 2)


async def test_two_questions_are_answered_in_the_other_order(make_options, decide, runs):
    def task(name: str) -> Task[str]:
        return Task(name, do=lambda_free, human_input=f"Is {name} good?")

    crew = Crew([task("a"), task("b")])
    result = await crew.run({}, make_options())
    run = result.run_id
    assert len(result.approvals) == 2
    decide(run, only="b/")
    result = await crew.resume(run, make_options())
    assert (result.status, result.report.completed, len(result.approvals)) == ("paused", ("b",), 1)
    decide(run, "deny", "No.", only="a/")
    result = await crew.resume(run, make_options())
    assert (result.status, result.outputs) == ("denied", {"b": "hello"})


async def test_one_failing_source_of_a_fan_out_takes_nothing_from_the_others(make_options):
    @tool(effects="read")
    def look(item: str) -> str:
        """Look."""
        if item == "down":
            raise ConnectionError("nobody answers")
        return item.upper()

    @tool(effects="read")
    def down() -> str:
        """Be down."""
        raise ConnectionError("nobody answers")

    @tool(effects="read")
    def merge(a: str, b: str | None, many: list[str]) -> str:
        """Merge what there is."""
        return f"{a} {b} {many}"

    a, b = Task("a", do=lambda_free), Task("b", do=down, on_failure="continue")
    many = Task("many", do=look, for_each="sources", min_success=2)
    crew = Crew(
        [a, b, many, Task("merged", do=merge, needs=[a, b, many])],
        inputs={"sources": Input(type=list[str], default=["x", "down", "y"])},
    )
    result = await crew.run({}, make_options())
    assert (result.status, result.outputs["merged"]) == ("completed", "hello None ['X', 'Y']")
    assert (list(result.report.failed), list(result.report.capped)) == (["b"], ["many"])


# Crews in crews, and validation with downgrade, where they meet maps


async def test_a_crew_in_a_map_is_held_to_the_scope_of_its_caller_and_nested_in_the_transcript(
    make_options, runs
):
    sent: list[str] = []

    @tool(effects="external")
    def send(text: str) -> str:
        """Send."""
        sent.append(text)
        return "sent"

    @tool(effects="read")
    def read() -> str:
        """Read."""
        return "read"

    steps = [[call("read"), call("send", text="x")], "done"]

    def say(request: Request) -> Any:
        return steps[sum(message.role == "assistant" for message in request.messages)]

    agent = Agent(
        "Clerk",
        "Work.",
        tools=[send, read],
        model=ScriptedModel(say),
        scope=Scope("read", Grant("send", "never")),
    )
    inner = Crew([Task("work", "Work on {item}.", agent=agent)], inputs=["item"], name="inner")
    outer = Task("outer", do=inner, for_each="items", scope=Scope("read"))
    crew = Crew([outer], inputs={"items": Input(type=list[str], default=["a", "b"])})
    result = await crew.run({}, make_options())
    assert (result.status, result.output, sent) == ("completed", ["done", "done"], [])
    events = list(runs.events(result.run_id))
    withheld = [e.data["withheld"][0]["tool"] for e in events if e.type == "decision.made"][:2]
    assert withheld == ["send", "send"]
    lines = ["".join(text for text, _ in line.spans) for line in Transcript(events, alive=False)]
    indents = {
        "".join(text for text, _ in line.spans).split()[1]: line.indent
        for line in Transcript(events, alive=False)
        if line.spans and line.spans[0][0].startswith("✓")
    }
    assert indents["outer"] < indents["outer[0]"] < indents["outer[0]/work"], lines


async def test_each_item_of_a_map_has_the_ladder_of_its_task(make_options, decide, runs):
    def good(text: str) -> str | None:
        return None if "good" in text else "Not good."

    def weak(request: Request) -> str:
        return "good a" if "item: a" in request.messages[1].content else "bad"

    def strong(request: Request) -> str:
        return "good b" if "item: b" in request.messages[1].content else "worse"

    agent = Agent("Weak", "Try.", model=ScriptedModel(weak))
    other = Agent("Strong", "Try harder.", model=ScriptedModel(strong))
    task = Task(
        "written",
        "Write about {item}.",
        agent=agent,
        for_each="items",
        guardrails=[good],
        revisions=0,
        fallback=[other, Ask("Is it good enough?")],
        min_success=2,
    )
    crew = Crew([task], inputs={"items": Input(type=list[str], default=["a", "b", "c"])})
    result = await crew.run({}, make_options())
    assert (result.status, len(result.approvals)) == ("paused", 1)
    climbed = [e.path for e in runs.events(result.run_id) if e.type == "task.escalated"]
    assert sorted(climbed) == ["written[1]/fallback:1", "written[2]/fallback:1", "written[2]/fallback:2"]
    decide(result.run_id, "deny", "No.")
    result = await crew.resume(result.run_id, make_options())
    assert (result.status, result.output) == ("completed", ["good a", "good b"])
    assert result.report.capped["written"].startswith("1 of 3 items failed: [2] ")
