"""A crash at every write of the journal: the same result afterwards, and nothing that was finished is repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import BaseModel

from crewkit import Agent, Crew, Grant, Scope, Task, ToolContext, ask_colleague, tool
from crewkit.core.events import Draft, Event
from crewkit.crew.crew import Input
from crewkit.crew.options import Options
from crewkit.crew.result import Result
from crewkit.errors import JournalError
from crewkit.journal.base import Journal, Write
from crewkit.journal.sqlite import SqliteJournal
from crewkit.models.base import Request, request_fingerprint
from crewkit.models.scripted import Line, ScriptedModel, call


class Summary(BaseModel):
    title: str
    points: list[str]


@dataclass
class World:
    """What happened outside the journal."""

    tools: list[tuple[str, str]] = field(default_factory=list)
    """Name and path of every tool call that was made."""
    models: list[str] = field(default_factory=list)
    """Fingerprint of every request that was sent."""
    sent: list[str] = field(default_factory=list)
    """What the effect that cannot be repeated did."""


def make_crew(world: World) -> Crew:
    def script(*lines: Line) -> ScriptedModel:
        def say(request: Request) -> Line:
            world.models.append(request_fingerprint(request))
            return lines[sum(message.role == "assistant" for message in request.messages)]

        return ScriptedModel(say)

    @tool(effects="read")
    async def search(query: str, context: ToolContext) -> list[str]:
        """Find pages."""
        world.tools.append(("search", context.path))
        return [f"{query} 1", f"{query} 2"]

    @tool(effects="write")
    def send(text: str, context: ToolContext) -> str:
        """Send a letter."""
        world.tools.append(("send", context.path))
        world.sent.append(text)
        return "sent"

    @tool(effects="write", idempotent=True)
    def store(text: str, context: ToolContext) -> str:
        """Keep a text."""
        world.tools.append(("store", context.path))
        return f"kept under {context.idempotency_key}"

    def merge(notes: str, facts: Summary, context: ToolContext) -> Summary:
        world.tools.append(("merge", context.path))
        return Summary(title=notes, points=[*facts.points, "merged"])

    finder = Agent(
        "Finder",
        "Find.",
        tools=[search],
        model=script([call("search", query="tides"), call("search", query="moon")], "notes"),
    )
    expert = Agent("Expert", "Know.", tools=[search], model=script("Twice a day."))
    asker = Agent(
        "Asker",
        "Ask.",
        tools=[ask_colleague, store],
        scope=Scope("ask_colleague", Grant("store", "never")),
        model=script(
            [call("ask_colleague", to="Expert", question="How often?"), call("store", text="x")],
            '{"title": "wrong"}',
            '{"title": "Facts", "points": ["twice"]}',
        ),
    )
    clerk = Agent(
        "Clerk",
        "Send.",
        tools=[send],
        model=script([call("send", text="a"), call("send", text="b")], "Done."),
    )
    inside = Agent("Insider", "Look.", tools=[search], model=script(call("search", query="in"), "seen"))

    notes = Task("notes", "Find notes on {topic}.", agent=finder)
    facts = Task("facts", "Get facts.", agent=asker, output_type=Summary)
    merged = Task("merged", do=merge, needs=[notes, facts])
    inner = Crew(
        [Task("look", "Look at {merged}.", agent=inside)],
        inputs={"merged": Input("what came of it", type=Summary)},
        name="inner",
    )
    nested = Task("nested", do=inner, needs=[merged])
    letter = Task("letter", "Send it.", agent=clerk, needs=[merged])
    final = Task(
        "final",
        "Sum up.",
        agent=Agent("Editor", "Edit.", model=script("all")),
        needs=[nested, letter],
        human_input=True,
    )
    return Crew(
        [notes, facts, merged, nested, letter, final], agents=[expert], inputs=["topic"], name="crash"
    )


class Dying(SqliteJournal):
    """A journal whose process dies after so many events: what comes later is lost."""

    def __init__(self, path: Path, left: int) -> None:
        super().__init__(path)
        self.left = left

    def append(self, writes: Sequence[Write]) -> list[list[Event]]:
        done: list[list[Event]] = []
        for write in writes:
            self.left -= len(write.drafts) if write.epoch is not None else 0
            if self.left < 0:
                raise JournalError("The power is out.")
            done += super().append([write])
        return done


def decide(journal: Journal, run: str) -> list[Event]:
    """Approve all that waits, as a person would; return the questions."""
    events = list(journal.events(run))
    decided = {event.data["id"] for event in events if event.type == "approval.decided"}
    waiting = [e for e in events if e.type == "approval.requested" and e.data["id"] not in decided]
    for event in waiting:
        data = {"id": event.data["id"], "decision": "approve", "note": "", "by": "a test"}
        draft = Draft("approval.decided", event.path, data, event.task, key=f"decided {event.data['id']}")
        journal.append([Write(run, [draft], None)])
    return waiting


def options(journal: Journal) -> Options:
    return Options(journal=journal, environ={}, run_id="r-crash")


async def to_the_end(journal: Journal, world: World) -> tuple[Result, list[Event]]:
    """Resume with a fresh crew, and decide, until nothing waits."""
    asked: list[Event] = []
    for _ in range(8):
        result = await make_crew(world).resume("r-crash", options(journal))
        if result.status != "paused":
            return result, asked
        asked += decide(journal, "r-crash")
    raise AssertionError("the run never ends")


async def whole(path: Path) -> tuple[Result, int]:
    """Run without a crash."""
    world = World()
    with SqliteJournal(path) as journal:
        result = await make_crew(world).run({"topic": "seas"}, options(journal))
        assert result.status == "paused"
        decide(journal, "r-crash")
        result, _ = await to_the_end(journal, world)
        assert result.ok, result.why
        assert sorted(world.sent) == ["a", "b"]
        return result, journal.last("r-crash")


def finished(events: Sequence[Event], kind: str) -> list[Event]:
    return [e for e in events if e.type == f"{kind}.finished" and "failed" not in e.data]


async def crashed(path: Path, after: int) -> World | None:
    """Run until the power goes out; approvals are given on the way. `None`: it did not go out before the end."""
    world = World()
    with Dying(path, after) as dying:
        try:
            result = await make_crew(world).run({"topic": "seas"}, options(dying))
            while result.status == "paused":
                decide(dying, "r-crash")
                result = await make_crew(world).resume("r-crash", options(dying))
        except JournalError:
            return world
    return None


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_crash_at_any_write_changes_nothing_and_repeats_nothing_finished(tmp_path: Path):
    expected, total = await whole(tmp_path / "whole.db")
    tried: set[int] = set()
    for after in range(1, total):
        before = await crashed(tmp_path / f"{after}.db", after)
        if before is None:
            break
        with SqliteJournal(tmp_path / f"{after}.db") as journal:
            held = list(journal.events("r-crash"))
            if len(held) in tried:  # what is recorded together is lost together
                continue
            tried.add(len(held))
            world = World()
            result, asked = await to_the_end(journal, world)
            assert result.ok, (after, result)
            assert dict(result.outputs) == dict(expected.outputs), after
            ended = {event.path for event in finished(held, "tool")}
            assert not ended & {path for _, path in world.tools}, after
            answered = {event.data["fingerprint"] for event in finished(held, "model")}
            assert not answered & set(world.models), after
            begun = {e.path for e in held if e.type == "tool.started"} - ended
            effects = {e.path for e in held if e.type == "tool.started" and "write" in e.data["effects"]}
            idempotent = {e.path for e in held if e.type == "tool.started" and e.data["idempotent"]}
            unknown = {e.path.removesuffix("/ask") for e in asked if e.data["kind"] == "unknown"}
            assert unknown == (begun & effects) - idempotent, after
            twice = len(before.sent) + len(world.sent) - 2
            assert twice <= len(unknown), after
            assert journal.last("r-crash") == len(list(journal.events("r-crash")))
    assert len(tried) > 25
