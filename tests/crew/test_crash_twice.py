"""A crash, and another while it is carried on: approvals inside crews and inside questions included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from crewkit import Agent, Crew, JournalError, Options, Task, ToolContext, ask_colleague, tool
from crewkit.core.events import Draft, Event
from crewkit.crew.result import Result
from crewkit.journal.base import Write
from crewkit.journal.sqlite import SqliteJournal
from crewkit.models.base import Request
from crewkit.models.scripted import Line, ScriptedModel, call

RUN = "r-twice"


class Dying(SqliteJournal):
    """A journal whose disk is gone after so many more events."""

    def __init__(self, path: Path, left: int) -> None:
        super().__init__(path)
        self.left = left

    def append(self, writes: Sequence[Write]) -> list[list[Event]]:
        self.left -= sum(len(write.drafts) for write in writes if write.epoch is not None)
        if self.left < 0:
            raise JournalError("The power is out.")
        return super().append(writes)


@dataclass
class World:
    """What happened outside the journal, over all processes."""

    effects: Counter[str] = field(default_factory=Counter)
    """Path of a call that must not be repeated to how often it was made."""
    reads: list[str] = field(default_factory=list)
    """Paths of the reads of this process."""
    models: list[tuple[str, ...]] = field(default_factory=list)
    """Ids of the messages of every request of this process."""


def make_crew(world: World) -> Crew:
    def script(*lines: Line) -> ScriptedModel:
        def say(request: Request) -> Line:
            world.models.append(tuple(message.id() for message in request.messages))
            return lines[sum(message.role == "assistant" for message in request.messages)]

        return ScriptedModel(say)

    @tool(effects=["read"])
    async def read(page: str, context: ToolContext) -> str:
        """Read a page."""
        world.reads.append(context.path)
        return f"{page} is read"

    @tool(effects=["write"])
    def pay(amount: int, context: ToolContext) -> str:
        """Pay."""
        world.effects[context.path] += 1
        return f"{amount} paid"

    @tool(effects=["read"])
    def count(context: ToolContext) -> list[int]:
        """Count."""
        world.reads.append(context.path)
        return [1, 2]

    def total(count: list[int], sub: str) -> str:
        return f"{sum(count)} {sub}"

    def broken() -> str:
        raise ValueError("never mind")

    payer = Agent("Payer", "Pay.", tools=[read, pay])
    clerk = Agent(
        "Clerk",
        "Ask.",
        tools=[ask_colleague, read, pay],
        model=script(
            [call("read", page="a"), call("ask_colleague", to="Payer", question="Pay 3.")], "Paid by Payer."
        ),
    )
    inside = Agent(
        "Inside",
        "Pay.",
        tools=[pay, read],
        model=script([call("pay", amount=5), call("read", page="b")], "Paid inside."),
    )
    asks = Task("asks", "Have it paid.", agent=clerk)
    counts: Task[list[int]] = Task("count", do=count, output_type=list[int])
    sub = Task("sub", do=Crew([Task("inner", "Pay {asks}.", agent=inside)], inputs=["asks"]), needs=[asks])
    fails = Task("fails", do=broken, on_failure="skip")
    after = Task("after", "Go on.", agent=inside, needs=[fails])
    last = Task("last", do=total, needs=[counts, sub])
    return Crew(
        [asks, counts, sub, fails, after, last],
        agents=[
            Agent(payer.role, payer.goal, tools=payer.tools, model=script(call("pay", amount=3), "Yes."))
        ],
    )


def approve(journal: SqliteJournal) -> list[Event]:
    """Approve all that waits, but repeat no effect that nobody knows about; return the questions."""
    events = list(journal.events(RUN))
    decided = {event.data["id"] for event in events if event.type == "approval.decided"}
    asked = [e for e in events if e.type == "approval.requested" and e.data["id"] not in decided]
    for event in asked:
        id = event.data["id"]
        word = "deny" if event.data["kind"] == "unknown" else "approve"
        data = {"id": id, "decision": word, "note": "", "by": "a test"}
        draft = Draft("approval.decided", event.path, data, event.task, key=f"decided:{id}")
        journal.append([Write(RUN, [draft], None)])
    return asked


async def carry_on(journal: SqliteJournal, world: World) -> Result:
    """Begin or resume with a fresh crew, and approve, until the run ends."""
    options = Options(journal=journal, environ={}, run_id=RUN)
    for _ in range(8):
        crew = make_crew(world)
        begun = any(event.type == "run.started" for event in journal.events(RUN))
        result = await (crew.resume(RUN, options) if begun else crew.run(options=options))
        if result.status != "paused":
            return result
        approve(journal)
    raise AssertionError("the run never ends")


def finished(journal: SqliteJournal, kind: str) -> set[str]:
    return {e.path for e in journal.events(RUN, types=[f"{kind}.finished"]) if "failed" not in e.data}


async def die(path: Path, events: int, world: World) -> bool:
    """Carry on until the disk is gone; say whether it was."""
    with Dying(path, events) as journal:
        try:
            await carry_on(journal, world)
        except JournalError:
            return True
        return False


async def whole(path: Path) -> tuple[Result, int]:
    world = World()
    with SqliteJournal(path) as journal:
        result = await carry_on(journal, world)
        assert result.status == "completed", result.why
        assert set(world.effects.values()) == {1}
        assert len(world.effects) == 2
        return result, journal.last(RUN)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_two_crashes_at_any_two_writes_come_to_the_same(tmp_path: Path):
    expected, total = await whole(tmp_path / "whole.db")
    crashes = 0
    for first in range(1, total, 3):
        second = 1 + (first * 7) % 23
        path = tmp_path / f"{first}.db"
        world = World()
        crashes += await die(path, first, world) and await die(path, second, world)

        with SqliteJournal(path) as journal:
            answered, called = finished(journal, "model"), finished(journal, "tool")
            world.reads.clear()
            result = await carry_on(journal, world)

            assert result.status == "completed", (first, result.why, result.report)
            assert not called & set(world.reads), first
            assert set(world.effects.values()) <= {1}, (first, world.effects)
            begun = Counter(e.path for e in journal.events(RUN) if e.type == "model.finished")
            assert max(begun.values()) == 1, first
            assert answered <= set(begun)
            unknown = [
                e
                for e in journal.events(RUN)
                if e.type == "approval.requested" and e.data["kind"] == "unknown"
            ]
            assert dict(result.outputs) == dict(expected.outputs), first
            assert len(unknown) <= 2
    assert crashes > 20
