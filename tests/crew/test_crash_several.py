"""Conversations, conflicts and plans, cut off at every event and resumed: the same in the end, nothing asked twice."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from crewkit import (
    Agent,
    Conversation,
    Crew,
    JournalError,
    Options,
    Planner,
    Resolve,
    Revise,
    RunError,
    Said,
    Task,
    Transitions,
    tool,
)
from crewkit.core.events import Event
from crewkit.journal.base import Write
from crewkit.journal.sqlite import SqliteJournal
from crewkit.models.base import Request
from crewkit.models.scripted import Line, ScriptedModel

RUN = "r-several"


class Dying(SqliteJournal):
    """A journal whose process dies after so many events: what comes later is lost."""

    left = 10**9

    def append(self, writes: Sequence[Write]) -> list[list[Event]]:
        self.left -= sum(len(write.drafts) for write in writes if write.epoch is not None)
        if self.left < 0:
            raise JournalError("The power is out.")
        return super().append(writes)


def agent(role: str, script: Callable[[Request], Line]) -> Agent:
    return Agent(role, f"Be {role}.", model=ScriptedModel(script))


def number(request: Request) -> int:
    found = re.search(r"## Your turn, message (\d+)", request.messages[1].content)
    return int(found[1]) if found else 0


def spoken(role: str) -> Agent:
    def script(request: Request) -> str:
        asked = request.messages[1].content
        if "raise your hand" in asked:
            return json.dumps({"urgency": len(role) % 3 + 1, "why": "So."})
        return f"{role} on {number(request)}"

    return agent(role, script)


def by_hand() -> Crew:
    talk = Conversation(
        [spoken("A"), spoken("Bo"), spoken("Col")], speaker="by hand", rounds=3, closing=spoken("End")
    )
    return Crew([Task("talk", "Talk.", do=talk)])


def by_transitions() -> Crew:
    def test(said: list[Said]) -> Revise | None:
        """Run it."""
        return None if len(said) > 4 else Revise("It does not run.")

    def review(request: Request) -> str:
        kind, to = ("failure", "Writer") if number(request) == 2 else ("message", "test")
        return json.dumps({"text": f"{kind} at {number(request)}", "kind": kind, "to": to})

    graph = Transitions(
        {"Writer": ["Reviewer"], "Reviewer": ["test"]}, {"Reviewer": ["Writer"], "test": ["Writer"]}
    )
    members = [spoken("Writer"), agent("Reviewer", review), tool(effects="read")(test)]
    return Crew([Task("talk", "Talk.", do=Conversation(members, speaker=graph))])


def by_judge() -> Crew:
    @tool(effects="read")
    def one() -> int:
        """Say one."""
        return 1

    @tool(effects="read")
    def two() -> int:
        """Say two."""
        return 2

    judge = agent("Judge", lambda _: '{"chosen": "two", "why": "So."}')
    parties = [Task("one", do=one), Task("two", do=two)]
    return Crew([*parties, Task("figure", do=Resolve("vote", judge), needs=parties)])


def by_plan() -> Crew:
    def step(name: str, agent: str, *needs: str) -> dict[str, Any]:
        return {"name": name, "description": f"Do {name}.", "agent": agent, "needs": list(needs)}

    def plan(request: Request) -> str:
        again = "What became of the plan before" in request.messages[1].content
        other = "other" if again else "risks"
        steps = [step(other, "Bo"), step("page", "A", "facts", other)]
        return json.dumps({"tasks": steps if again else [step("facts", "A"), *steps]})

    def work(request: Request) -> Line:
        task = request.messages[1].content.split("\n")[0]
        return RunError("It is down.") if "risks" in task else f"{task}: done"

    members = [agent("A", work), agent("Bo", work)]
    return Crew([Task("launch", "Launch.", do=Planner(members, agent=agent("Chief", plan)))])


CREWS = {"hands": by_hand, "transitions": by_transitions, "judge": by_judge, "plan": by_plan}


async def carry_on(crew: Crew, journal: SqliteJournal) -> Any:
    options = Options(journal=journal, environ={}, run_id=RUN)
    return await (crew.resume(RUN, options) if journal.last(RUN) else crew.run({}, options))


def said(events: Sequence[Event]) -> list[tuple[Any, ...]]:
    bus = [e.data for e in events if e.type == "message.recorded" and "kind" in e.data]
    return sorted((m["thread"], m["round"], m["kind"], m["sender"], m["to"], m["content"]) for m in bus)


def steps(events: Sequence[Event]) -> list[str]:
    ends = ("model.finished", "tool.finished")
    return sorted(e.path for e in events if e.type in ends and "failed" not in e.data)


@pytest.mark.slow
@pytest.mark.parametrize("name", CREWS)
async def test_cut_off_at_any_event_it_comes_to_the_same_and_asks_nothing_twice(tmp_path: Path, name: str):
    make = CREWS[name]
    with SqliteJournal(tmp_path / "whole.db") as journal:
        expected = await carry_on(make(), journal)
        assert expected.ok, expected.why
        whole = list(journal.events(RUN))
    for cut in range(2, len(whole), 1 + len(whole) // 60):
        with Dying(tmp_path / f"{cut}.db") as journal:
            journal.left = cut
            with pytest.raises(JournalError):
                await carry_on(make(), journal)
            journal.left = 10**9
            answered = set(steps(list(journal.events(RUN))))
            result = await carry_on(make(), journal)
            events = list(journal.events(RUN))
        assert (result.status, result.outputs) == (expected.status, expected.outputs), cut
        assert said(events) == said(whole), cut
        assert steps(events) == steps(whole), cut
        held = next(i for i, e in enumerate(events) if e.type == "run.resumed")
        again = {e.path for e in events[held:] if e.type in ("model.started", "tool.started")}
        assert not again & answered, cut
