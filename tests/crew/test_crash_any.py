"""Any crew, cut off again and again at any moment, comes to what it comes to undisturbed."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from crewkit import Agent, Crew, JournalError, Options, Result, Task, Tool, ToolContext, ask_colleague, tool
from crewkit.core.events import Draft, Event
from crewkit.core.messages import ToolCall
from crewkit.journal.base import Journal, Write
from crewkit.journal.sqlite import SqliteJournal
from crewkit.models.base import Request
from crewkit.models.scripted import Line, ScriptedModel, call

RUN = "r-any"
ROLES = ("A", "B", "C")


@dataclass
class World:
    """What one process did."""

    requests: int = 0
    calls: list[str] = field(default_factory=list)
    """Paths of tools and functions that were called."""
    sent: list[str] = field(default_factory=list)
    """Those of them that must not be repeated."""


def short(text: str) -> str | None:
    return None if len(text) < 8 else "Shorter."


def make_tools(world: World, dawdle: Callable[[], Awaitable[None]]) -> list[Tool]:
    @tool(effects="read")
    async def read(what: str, context: ToolContext) -> str:
        """Read it."""
        await dawdle()
        world.calls.append(context.path)
        return what

    @tool(effects="write")
    def send(what: str, context: ToolContext) -> str:
        """Send it."""
        world.calls.append(context.path)
        world.sent.append(context.path)
        return what

    @tool(effects="write", idempotent=True)
    async def store(what: str, context: ToolContext) -> str:
        """Store it."""
        await dawdle()
        world.calls.append(context.path)
        return what

    return [read, send, store]


def make_crew(seed: int, world: World) -> Crew:
    """Make a crew of agents, functions and crews that call, ask, wait for people and are sent back."""
    plan, pace = Random(seed), Random()

    async def dawdle() -> None:
        for _ in range(pace.randint(0, 4)):
            await asyncio.sleep(0)

    tools = make_tools(world, dawdle)

    def one_call(role: str) -> ToolCall:
        name = plan.choice(["read", "send", "store", "ask_colleague", "nothing"])
        if name == "ask_colleague":
            others = [*(other for other in ROLES if other != role), "coordinator"]
            return call(name, to=plan.choice(others), question=f"q{plan.randint(0, 99)}")
        return call(name, what=str(plan.randint(0, 99)))

    def agent(role: str, *more: Tool) -> Agent:
        lines: list[Line] = [
            [one_call(role) for _ in range(plan.randint(1, 3))] for _ in range(plan.randint(0, 3))
        ]
        lines += ["too long an answer"] * plan.randint(0, 1)
        lines.append(f"{role} {plan.randint(0, 9)}")

        async def say(request: Request) -> Line:
            world.requests += 1
            await dawdle()
            return lines[min(sum(m.role == "assistant" for m in request.messages), len(lines) - 1)]

        return Agent(role, "Help.", tools=[*tools, *more], model=ScriptedModel(say))

    def function() -> Callable[..., str]:
        def work(topic: str, context: ToolContext) -> str:
            world.calls.append(context.path)
            world.sent.append(context.path)
            return f"{topic} {context.task}"

        return work

    agents = [agent(role, ask_colleague) for role in ROLES]
    inner = Crew(
        [Task("first", "Do {topic}.", agent=agent("I")), Task("second", do=function(), needs=["first"])],
        inputs=["topic"],
        name="inner",
    )
    tasks: list[Task] = []
    for i in range(plan.randint(2, 5)):
        needs = plan.sample([task.name for task in tasks], min(len(tasks), plan.randint(0, 2)))
        match plan.choice(["agent", "agent", "function", "crew"]):
            case "agent":
                guardrails = [short] if plan.random() < 0.5 else []
                asks = plan.random() < 0.2
                who = plan.choice(agents)
                tasks.append(
                    Task(f"t{i}", f"Do {i}.", agent=who, needs=needs, guardrails=guardrails, human_input=asks)
                )
            case "function":
                tasks.append(Task(f"t{i}", do=function(), needs=needs))
            case _:
                tasks.append(Task(f"t{i}", do=inner, needs=needs))
    return Crew(tasks, agents=agents, inputs=["topic"], name="any")


class Dying(SqliteJournal):
    """A journal whose process dies after so many events: what comes later is lost."""

    left = 0

    def append(self, writes: Sequence[Write]) -> list[list[Event]]:
        self.left -= sum(len(write.drafts) for write in writes if write.epoch is not None)
        if self.left < 0:
            raise JournalError("The power is out.")
        return super().append(writes)


def decide(journal: Journal) -> int:
    """Decide what waits, on each question always the same; return how many effects are done once more."""
    events = list(journal.events(RUN))
    decided = {event.data["id"] for event in events if event.type == "approval.decided"}
    waiting = [e for e in events if e.type == "approval.requested" and e.data["id"] not in decided]
    for event in waiting:
        denied = event.data["kind"] == "tool" and zlib.crc32(event.path.encode()) % 4 == 0
        data = {"id": event.data["id"], "decision": "deny" if denied else "approve", "by": "a test"}
        draft = Draft("approval.decided", event.path, data, event.task, key=f"decided {event.data['id']}")
        journal.append([Write(RUN, [draft], None)])
    return sum(event.data["kind"] == "unknown" for event in waiting)


async def carry_on(seed: int, world: World, journal: Journal) -> Result:
    options = Options(journal=journal, environ={}, run_id=RUN)
    crew = make_crew(seed, world)
    return await (crew.resume(RUN, options) if journal.last(RUN) else crew.run({"topic": "seas"}, options))


async def undisturbed(seed: int, path: Path) -> tuple[Result, int, list[str]]:
    world = World()
    with SqliteJournal(path) as journal:
        while (result := await carry_on(seed, world, journal)).status == "paused":
            decide(journal)
        return result, journal.last(RUN), world.sent


def check_paths(events: Sequence[Event]) -> None:
    """No model is asked again at a path where it answered."""
    answered: set[str] = set()
    for event in events:
        assert event.type != "model.started" or event.path not in answered
        if event.type == "model.finished" and "failed" not in event.data:
            answered.add(event.path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
async def test_any_crew_crashes_again_and_again_and_comes_to_the_same(tmp_path: Path, seed: int):
    expected, total, sent = await undisturbed(seed, tmp_path / "undisturbed.db")
    chance = Random(seed)
    done: list[str] = []
    again = 0
    for crash in range(20):
        world = World()
        result = None
        with Dying(tmp_path / "journal.db") as journal:
            held = list(journal.events(RUN))
            finished = {e.path for e in held if e.type == "tool.finished" and "failed" not in e.data}
            journal.left = chance.randint(5, max(6, total // 2)) if crash < 6 else 10**9
            try:
                result = await carry_on(seed, world, journal)
            except JournalError:
                journal.left = 0
            assert not finished & set(world.calls)
            done += world.sent
            events = list(journal.events(RUN))
            check_paths(events)
            if result is not None:
                asked = sum(e.type == "model.started" for e in events[len(held) :])
                assert asked == world.requests
            again += decide(journal)
        if result is not None and result.status != "paused":
            break
    assert result is not None
    assert (result.status, dict(result.outputs)) == (expected.status, dict(expected.outputs))
    assert set(done) == set(sent)
    assert len(done) - len(set(done)) <= again
