"""What happens rarely, and must come out right all the same."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from crewkit import Agent, Crew, InputError, Limits, Task, ToolContext, ask_colleague, tool
from crewkit.core.events import Draft
from crewkit.core.messages import ToolCall
from crewkit.journal.base import Lease, Write
from crewkit.journal.sqlite import SqliteJournal
from crewkit.models.base import Request
from crewkit.models.scripted import ScriptedModel, call


def agent(role: str, script: Any, **more: Any) -> Agent:
    return Agent(role, "Work.", model=ScriptedModel(script), **more)


async def test_a_question_that_was_refused_counts_as_no_round(make_options):
    model = ScriptedModel(
        [
            ToolCall("", "ask_colleague", '{"to": "Expert"}'),
            call("ask_colleague", to="Expert", question="How high?"),
            "Done.",
        ]
    )
    expert = ScriptedModel(["Three metres."])
    crew = Crew(
        [Task("t", "Ask.", agent=Agent("Asker", "Ask.", tools=[ask_colleague], model=model))],
        agents=[Agent("Expert", "Know.", model=expert)],
        limits=Limits(rounds=2),
    )
    result = await crew.run(options=make_options())

    assert result.ok, result.why
    assert model.requests[-1].messages[-1].content == "Three metres."
    assert "last round" not in expert.requests[0].messages[-1].content


async def test_a_sync_tool_may_write_into_the_transcript_from_its_thread(make_options, runs):
    loop_thread = threading.get_ident()

    @tool(effects=["read"])
    def scan(context: ToolContext) -> str:
        """Scan."""
        assert threading.get_ident() != loop_thread
        for i in range(100):
            context.note(f"page {i}")
        return "scanned"

    asyncio.get_running_loop().set_debug(True)
    crew = Crew([Task("t", "Scan.", agent=agent("Scanner", [call("scan"), "Done."], tools=[scan]))])
    result = await crew.run(options=make_options())

    assert result.ok
    events = list(runs.events(result.run_id))
    notes = [event.data["text"] for event in events if event.type == "note"]
    assert notes == [f"page {i}" for i in range(100)]
    ended = next(event.seq for event in events if event.type == "tool.finished")
    assert ended > max(event.seq for event in events if event.type == "note")


async def test_a_resume_asks_colleagues_by_the_models_that_the_run_began_with(make_options, runs):
    asker = agent(
        "Asker", [call("ask_colleague", to="Expert", question="How high?"), "Done."], tools=[ask_colleague]
    )
    gate = Task("gate", "Say go.", agent=agent("Gate", ["go"]), human_input=True)
    crew = Crew([gate, Task("t", "Ask.", agent=asker, needs=[gate])], agents=[Agent("Expert", "Know.")])
    result = await crew.run(options=make_options())
    assert result.status == "paused"
    _approve_all(runs, result.run_id)

    again = await crew.resume(
        result.run_id, make_options(environ={"CREWKIT_MODEL": "openai/gpt-4o", "OPENAI_API_KEY": "sk-none"})
    )

    assert again.ok, again.report
    models = {e.agent: e.data["model"] for e in runs.events(result.run_id) if e.type == "agent.started"}
    assert models["Expert"] == "scripted", "the asker's, as when the run began"


def _approve_all(journal: SqliteJournal, run: str) -> None:
    for event in list(journal.events(run, types=["approval.requested"])):
        id = event.data["id"]
        data = {"id": id, "decision": "approve", "note": "", "by": "a test"}
        draft = Draft("approval.decided", event.path, data, event.task, key=f"decided {id}")
        journal.append([Write(run, [draft], None)])


async def test_a_run_that_was_cancelled_while_nobody_ran_it_is_refused(make_options, runs):
    crew = Crew([Task("t", "Work.", agent=agent("Worker", ["Done."]), human_input=True)])
    result = await crew.run(options=make_options())
    assert result.status == "paused"
    data = {"signal": "cancel", "id": "s-1", "by": "Ada"}
    runs.append([Write(result.run_id, [Draft("run.signal", "", data, key="signal s-1")], None)])

    with pytest.raises(InputError, match="was cancelled"):
        await crew.resume(result.run_id, make_options())


async def test_a_task_may_cap_the_rounds_of_its_questions(make_options):
    question = call("ask_colleague", to="Expert", question="And?")
    model = ScriptedModel([question, question, "Done."])
    expert = ScriptedModel(lambda _request: "Well.")
    crew = Crew(
        [
            Task(
                "t",
                "Ask.",
                agent=Agent("Asker", "Ask.", tools=[ask_colleague], model=model),
                limits=Limits(rounds=1),
            )
        ],
        agents=[Agent("Expert", "Know.", model=expert)],
    )
    result = await crew.run(options=make_options())

    assert result.ok
    assert len(expert.requests) == 1
    assert "was not passed on" in model.requests[-1].messages[-1].content


async def test_a_task_may_cap_the_steps_of_the_crew_that_does_it(make_options):
    @tool(effects=["read"])
    def look() -> str:
        """Look."""
        return "nothing"

    def script(request: Request) -> Any:
        return call("look")

    inner = Crew([Task("inside", "Look.", agent=agent("Looker", script, tools=[look]))])
    crew = Crew([Task("sub", do=inner, limits=Limits(steps=3))])
    result = await crew.run(options=make_options())

    assert result.status == "limit"
    assert result.usage["steps"] == 3
    assert result.report.skipped["sub"] == "Task 'sub': 3 of 3 steps used."


class Slow(SqliteJournal):
    """Somebody loses patience while it hands out a lease."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked = threading.Event()
        self.go_on = threading.Event()

    def take(self, run: str, seg: str) -> Lease:
        self.asked.set()
        self.go_on.wait(10)
        return super().take(run, seg)


async def test_a_lease_that_comes_after_its_taker_was_stopped_is_given_back(tmp_path, make_options, runs):
    crew = Crew([Task("t", "Work.", agent=agent("Worker", ["Done."]), human_input=True)])
    run = (await crew.run(options=make_options())).run_id
    with Slow(runs.path) as slow:
        resuming = asyncio.create_task(crew.resume(run, make_options(journal=slow)))
        await asyncio.to_thread(slow.asked.wait, 10)
        resuming.cancel()
        await asyncio.sleep(0)
        slow.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await resuming

        assert (await crew.resume(run, make_options())).status == "paused"


async def test_a_run_that_is_stopped_at_any_moment_can_be_carried_on_at_once(make_options, runs):
    crew = Crew([Task("t", "Work.", agent=agent("Worker", ["Done."]))])
    for moment in range(12):
        run = f"r-stop{moment}"
        task = asyncio.create_task(crew.run(options=make_options(run_id=run)))
        await asyncio.sleep(moment * 0.0007)
        task.cancel()
        await asyncio.wait([task])
        if any(event.type == "run.started" for event in runs.events(run)):
            assert (await crew.resume(run, make_options())).ok
