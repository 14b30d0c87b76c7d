"""A crew with what several agents and many items do: a plan made twice, conversations, a map, effects taken back."""

from __future__ import annotations

import json
from typing import Any

from crewkit import (
    Agent,
    Conversation,
    Crew,
    Planner,
    Revise,
    Task,
    ToolError,
    Transitions,
    tool,
)
from crewkit.models.base import Request
from crewkit.models.scripted import ScriptedModel

PLANS = (
    {"find": ("Researcher", []), "latin": ("Latinist", ["find"])},
    {"notice": ("Writer", ["find"])},
)


def says(role: str, text: str) -> Agent:
    return Agent(role, f"Be the {role}.", model=ScriptedModel(lambda _: text))


def planned() -> Task[Any]:
    left = [
        json.dumps(
            {
                "tasks": [
                    {"name": name, "description": f"Do {name}.", "agent": role, "needs": needs}
                    for name, (role, needs) in plan.items()
                ]
            }
        )
        for plan in PLANS
    ]
    chief = Agent("Chief", "Plan.", model=ScriptedModel(lambda _: left.pop(0)))

    def breaks(_: Request) -> str:
        raise RuntimeError("no Latin here")

    latinist = Agent("Latinist", "Write Latin.", model=ScriptedModel(breaks))
    workers = [says("Researcher", "It costs 90 euro."), says("Writer", "The pump: 90 euro."), latinist]
    return Task("notice", "Write a notice.", do=Planner(workers, agent=chief))


def slogan() -> Task[Any]:
    def write(request: Request) -> str:
        again = "failure" in request.messages[-1].content.split("## Your turn")[0]
        return "Pumps that last." if again else "Our pumps are of steel, so they last for many, many years."

    def check(text: str) -> Revise | None:
        """Refuse what nobody can remember."""
        return Revise("Eight words at most.") if len(text.split()) > 8 else None

    writer = Agent("Sloganist", "Write slogans.", model=ScriptedModel(write))
    review = Transitions({"Sloganist": ["check"]}, back={"check": ["Sloganist"]})
    return Task("slogan", "Write a slogan.", do=Conversation([writer, check], speaker=review))


def debate() -> Task[Any]:
    sides = [says("Optimist", "It will sell well."), says("Pessimist", "Think of the cost.")]
    closing = says("Editor", "It may sell, at a cost.")
    return Task("debate", "Should we?", do=Conversation(sides, speaker="in turn", rounds=2, closing=closing))


def rated() -> list[Task[Any]]:
    @tool(effects="read")
    def rate(item: str) -> str:
        """Rate an item."""
        if item == "<b>rust</b>":
            raise ToolError(f"{item} cannot be rated")
        return f"{item}: {len(item)}"

    def list_names() -> list[str]:
        return ["steel", "<b>rust</b>", "brass"]

    names = Task("names", do=list_names)
    return [names, Task("rated", do=rate, for_each=names, min_success=0.5, needs=[names])]


def fair() -> Task[Any]:
    def cancel(result: str) -> None:
        """Give a stand back."""

    @tool(effects="write", undo=cancel)
    def book() -> str:
        """Book a stand."""
        return "stand 12A"

    @tool(effects="write")
    def announce(booked: str) -> str:
        """Announce it."""
        return "announced"

    @tool(effects="write")
    def pay(announced: str) -> str:
        """Pay for it."""
        raise ToolError("the card is refused")

    booked = Task("booked", do=book)
    announced = Task("announced", do=announce, needs=[booked])
    inner = Crew([booked, announced, Task("paid", do=pay, needs=[announced])], name="fair")
    return Task("fair", do=inner, on_failure="continue")


def crew() -> Crew:
    return Crew([planned(), slogan(), debate(), *rated(), fair()], name="venture")
