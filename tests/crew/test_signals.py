"""Words from outside into a crew that goes on: pause, cancel, messages to its agents."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from crewkit import Agent, Crew, InputError, Task, ToolContext, tool
from crewkit.core.events import Event
from crewkit.errors import JournalError
from crewkit.journal.sqlite import SqliteJournal
from crewkit.journal.tell import signal, tell_agents
from crewkit.models.base import Request
from crewkit.models.scripted import Line, ScriptedModel, call

RUN = "r-told"


def texts(request: Request) -> list[str]:
    return [message.content for message in request.messages if message.role == "user"]


class Talk:
    """An agent whose first turn waits until a test has said something, and what it was told then."""

    def __init__(self, runs: SqliteJournal, *, also: str = "") -> None:
        self.runs = runs
        self.entered, self.go = asyncio.Event(), asyncio.Event()
        self.requests: list[Request] = []

        @tool(effects="read")
        async def look(context: ToolContext) -> str:
            """Look."""
            self.entered.set()
            await asyncio.wait_for(self.go.wait(), 30)
            return "seen"

        def say(request: Request) -> Line:
            self.requests.append(request)
            return call("look") if len(request.messages) == 2 else "done"

        self.agent = Agent("Writer", "Write.", tools=[look], model=ScriptedModel(say))

    def crew(self) -> Crew:
        other = Agent(
            "Editor", "Edit.", model=ScriptedModel(lambda request: self.requests.append(request) or "edited")
        )
        text = Task("text", "Write.", agent=self.agent)
        return Crew([text, Task("edited", "Edit.", agent=other, needs=[text])])


class Heard:
    """A listener that knows how many signals the run has read."""

    def __init__(self) -> None:
        self.signals = 0

    def __call__(self, event: Event) -> None:
        self.signals += event.type == "run.signal"

    async def until(self, signals: int) -> None:
        while self.signals < signals:
            await asyncio.sleep(0.01)
        for _ in range(20):  # and whoever acts on them has had its turn
            await asyncio.sleep(0)


async def test_a_message_is_read_before_the_next_turn_and_fixed_there(make_options, runs):
    talk, heard = Talk(runs), Heard()
    running = asyncio.create_task(talk.crew().run({}, make_options(run_id=RUN, listener=heard)))
    await talk.entered.wait()
    with SqliteJournal(runs.path) as elsewhere:
        assert tell_agents(elsewhere, RUN, "Be brief.", "Ann", to="Writer")
        assert tell_agents(elsewhere, RUN, "Mind the date.", "Ann")
    await heard.until(2)
    talk.go.set()
    result = await running
    assert result.ok, result.why
    writer, editor = texts(talk.requests[1]), texts(talk.requests[2])
    said = "A message from Ann, who watches over this run:\n"
    assert writer[1:] == [f"{said}Be brief.", f"{said}Mind the date."]
    assert editor[1:] == [f"{said}Mind the date."]
    read = [
        (e.path, [m["text"] for m in e.data["messages"]]) for e in runs.events(RUN, types=("inbox.read",))
    ]
    assert read == [("text/2/inbox", ["Be brief.", "Mind the date."]), ("edited/1/inbox", ["Mind the date."])]


class Broken(SqliteJournal):
    """A journal that breaks when the answer to the second request arrives."""

    def append(self, writes: Any) -> Any:
        done: list[Any] = []
        for write in writes:
            if any(d.type == "model.finished" and d.path == "text/2/model" for d in write.drafts):
                raise JournalError("The power is out.")
            done += super().append([write])
        return done


async def test_a_resumed_run_makes_the_same_request_whatever_was_said_since(make_options, runs):
    talk, heard = Talk(runs), Heard()
    with Broken(runs.path) as journal:
        options = make_options(run_id=RUN, journal=journal, listener=heard)
        running = asyncio.create_task(talk.crew().run({}, options))
        await talk.entered.wait()
        with SqliteJournal(runs.path) as elsewhere:
            tell_agents(elsewhere, RUN, "Be brief.", "Ann")
        await heard.until(1)
        talk.go.set()
        with pytest.raises(JournalError):
            await running
    tell_agents(runs, RUN, "Too late for this turn.", "Ann")
    result = await talk.crew().resume(RUN, make_options())
    assert result.ok, result.why
    asked = [r for r in talk.requests if "Writer" in r.messages[0].content and len(r.messages) > 3]
    first, second = asked[0], asked[1]
    assert first.messages == second.messages
    assert "Too late" in texts(talk.requests[-1])[-1]


async def test_a_message_that_nobody_can_read_any_more_is_said_so(make_options, runs):
    agent = Agent("Writer", "Write.", model=ScriptedModel(lambda request: "text"))
    text = Task("text", "Write.", agent=agent)
    crew = Crew([text, Task("signed", wait_for="signed", needs=[text])])
    result = await crew.run({}, make_options())
    assert not tell_agents(runs, result.run_id, "Hello?", "Ann", to="Writer")
    with pytest.raises(InputError, match=r"has no agent 'Writter'. Did you mean 'Writer'"):
        tell_agents(runs, result.run_id, "Hello?", "Ann", to="Writter")


async def test_a_pause_lets_the_calls_under_way_end_and_begins_no_other(make_options, runs):
    talk, heard = Talk(runs), Heard()
    running = asyncio.create_task(talk.crew().run({}, make_options(run_id=RUN, listener=heard)))
    await talk.entered.wait()
    with SqliteJournal(runs.path) as elsewhere:
        signal(elsewhere, RUN, "pause", "Ann")
    await heard.until(1)
    talk.go.set()
    result = await running
    assert (result.status, result.why) == ("paused", "Ann paused it. 0 of 2 tasks completed.")
    [paused] = runs.events(RUN, types=("run.paused",))
    assert (paused.data["reason"], paused.data["by"]) == ("pause", "Ann")
    assert [e.data["outcome"] for e in runs.events(RUN, types=("tool.finished",))] == ["ok"]
    assert len(talk.requests) == 1
    signal(runs, RUN, "event", "somebody", event="x", data=None)
    assert not runs.due("9999"), "nothing but a resume lets it go on"
    result = await talk.crew().resume(RUN, make_options())
    assert result.ok, result.why
    assert len(talk.requests) == 3


@pytest.mark.parametrize("kind", ["async", "sync", "function"])
async def test_a_cancel_tells_the_tools_that_run(make_options, runs, kind: str):
    entered, told = threading.Event(), threading.Event()

    @tool(effects="read")
    async def wait_async() -> str:
        """Wait."""
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            told.set()
        return ""

    @tool(effects="read")
    def wait_sync(context: ToolContext) -> str:
        """Wait."""
        assert not context.cancelled
        entered.set()
        if context.stopping.wait(30) and context.cancelled:
            told.set()
        return "late"

    chosen = wait_async if kind == "async" else wait_sync
    agent = Agent("Waiter", "Wait.", tools=[chosen], model=ScriptedModel([call(chosen.name), "done"]))
    first = Task("first", do=quick)
    task = Task("wait", do=wait_sync) if kind == "function" else Task("wait", "Wait.", agent=agent)
    running = asyncio.create_task(Crew([first, task]).run({}, make_options(run_id=RUN)))
    await asyncio.to_thread(entered.wait, 30)
    with SqliteJournal(runs.path) as elsewhere:
        signal(elsewhere, RUN, "cancel", "Ann")
    result = await running
    assert (result.status, result.why) == ("cancelled", "Ann cancelled it. 1 of 2 tasks completed.")
    assert told.is_set()
    assert result.report.completed == ("first",)
    assert result.report.skipped == {"wait": "Ann cancelled it."}


@tool(effects="read")
def quick() -> str:
    """Be quick."""
    return "done"
