"""A crash at every write of a crew with nested loops, a route, effects and a question: nothing finished is repeated."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from crewkit import Agent, Ask, Crew, Grant, Input, Options, Scope, Task, ToolContext, any_of, tool
from crewkit.crew.result import Result
from crewkit.errors import JournalError
from crewkit.journal.base import Journal
from crewkit.journal.sqlite import SqliteJournal
from crewkit.models.base import Request, request_fingerprint
from crewkit.models.scripted import Line, ScriptedModel, call
from tests.crew.dying import Dying, answer, open_questions

RUN = "r-loops"


@dataclass
class World:
    """What happened outside the journal."""

    done: list[str] = field(default_factory=list)
    """Path of every call of a tool or function."""
    asked: list[str] = field(default_factory=list)
    """Fingerprint of every request to a model."""
    checked: list[str] = field(default_factory=list)


def make_crew(world: World) -> Crew:
    def say(request: Request) -> Line:
        world.asked.append(request_fingerprint(request))
        again = "again" in request.messages[1].content
        if not again or len(request.messages) > 3:
            return "better" if again else "draft"
        return call("keep", text="x")

    @tool(effects="write", idempotent=True)
    async def keep(text: str, context: ToolContext) -> str:
        """Keep a text."""
        world.done.append(context.path)
        return "kept"

    @tool(effects="read")
    def polish(draft: str, context: ToolContext, previous: str | None, reason: str) -> str:
        """Polish a draft."""
        world.done.append(context.path)
        return f"{previous or ''}{draft}{reason};"

    def enough(text: str) -> str | None:
        world.checked.append(text)
        return None if text.count(";") == 2 else "!"

    writer = Agent(
        "Writer", "Write.", tools=[keep], model=ScriptedModel(say), scope=Scope(Grant("keep", "never"))
    )
    draft = Task("draft", "Draft.", agent=writer, until="draft == 'better'")
    polished = Task("polished", do=polish, needs=[draft], until=enough)
    desk = Crew(
        [draft, polished], inputs={"previous": Input(type=Any, default=None), "reason": Input(default="")}
    )
    text = Task("text", do=desk, output_type=str, until=lambda text: Ask("Good?") if ";" in text else "no")
    short = Task("short", do=polished_again(world), needs=[text], when="text == 'never'")
    long = Task("long", do=polished_again(world), needs=[text], when=lambda text: "!" in text)
    end = Task("end", do=joined(world), needs=[any_of(short, long)], until="end == ''", iterations=2)
    return Crew([text, short, long, end])


def polished_again(world: World) -> Any:
    @tool(effects="read")
    def polish_again(text: str, context: ToolContext) -> str:
        """Polish once more."""
        world.done.append(context.path)
        return text.upper()

    return polish_again


def joined(world: World) -> Any:
    @tool(effects="read")
    def join(short: str | None, long: str | None, context: ToolContext) -> str:
        """Join."""
        world.done.append(context.path)
        return f"{short} {long}"

    return join


def decide(journal: Journal) -> None:
    """Refuse the first version, and accept the second."""
    for question in open_questions(journal, RUN):
        answer(journal, question, "approve" if "#2" in question.path else "deny", "more")


async def to_the_end(journal: Journal, world: World) -> Result:
    options = Options(journal=journal, environ={}, run_id=RUN)
    crew = make_crew(world)
    begun = journal.last(RUN) > 0
    result = await (crew.resume(RUN, options) if begun else crew.run({}, options))
    while result.status == "paused":
        decide(journal)
        result = await make_crew(world).resume(RUN, options)
    return result


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_crash_at_any_write_of_a_loop_changes_nothing_and_repeats_nothing(tmp_path: Path):
    world = World()
    with SqliteJournal(tmp_path / "whole.db") as journal:
        expected = await to_the_end(journal, world)
        assert expected.ok, expected.why
        total = journal.last(RUN)
        paths = {event.path for event in journal.events(RUN, types=("tool.finished",))}
    assert "text#2/polished#2/1/tool:0" in paths
    assert "text/draft#2/1/tool:0" in paths
    assert expected.report.capped
    assert len(world.done) == len(set(world.done)) == len(paths)
    tried: set[int] = set()
    for after in range(1, total):
        path = tmp_path / f"{after}.db"
        with Dying(path, after) as dying:
            try:
                await to_the_end(dying, World())
                break
            except JournalError:
                pass
        with SqliteJournal(path) as journal:
            held = list(journal.events(RUN))
            if len(held) in tried:
                continue
            tried.add(len(held))
            world = World()
            result = await to_the_end(journal, world)
            assert result.ok, (after, result)
            assert (result.outputs, result.report) == (expected.outputs, expected.report), after
            done = {e.path for e in held if e.type == "tool.finished" and "failed" not in e.data}
            assert not done & set(world.done), after
            answered = [e.data["fingerprint"] for e in held if e.type == "model.finished"]
            whole = [e.data["fingerprint"] for e in journal.events(RUN, types=("model.finished",))]
            assert len(world.asked) == len(whole) - len(answered), after
            checked = [e.path for e in held if e.type == "condition.checked" and "polished" in e.path]
            assert len(world.checked) == 4 - len(checked), after
    assert len(tried) > 10, "how many events go into one write, and so how many states there are, is chance"
