"""Crews for the benchmarks, and a model that answers by a function and keeps nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crewkit import Agent, Crew, Limits, Options, Task, tool
from crewkit.core.messages import ToolCall
from crewkit.journal.sqlite import SqliteJournal
from crewkit.models.base import Answer, Request, Usage, Watch

NO_CAPS = Limits(tokens=None, usd=None, seconds=None, steps=None)
PAGE = "High water at the mole comes twice a day, about fifty minutes later each day. " * 5


@tool(effects="read")
def search(query: str) -> str:
    """Find pages about a subject.

    Args:
        query: What to find.
    """
    return f"{query}: {PAGE}"


class Says:
    """A model that answers by a function of the turn, and keeps nothing."""

    name = "says"

    def __init__(self, say: Callable[[int], str | ToolCall]) -> None:
        self._say = say
        self.asked = 0

    async def answer(self, request: Request, watch: Watch) -> Answer:
        said = self._say(self.asked)
        self.asked += 1
        usage = Usage(10, 10)
        if isinstance(said, str):
            return Answer(said, usage=usage, usd=0.0, model=self.name)
        return Answer("", (said,), usage, 0.0, self.name, "tool_calls")

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        return 0.0


def asks(number: int) -> ToolCall:
    """Return a call of the search tool, another one every time."""
    return ToolCall(f"call-{number}", "search", json.dumps({"query": f"tides {number}"}))


def searcher(model: Any, name: str = "bench") -> Crew:
    """Return a crew of one agent with one tool and no cap on its steps."""
    agent = Agent("Researcher", "Find facts and keep their sources.", tools=[search], model=model)
    task = Task("notes", "Find out when high water is.", "Ten lines.", agent, limits=Limits(steps=None))
    return Crew([task], name=name, limits=NO_CAPS)


def options(folder: Path, **more: Any) -> Options:
    """Return options with the journal on disk, in a folder."""
    return Options(journal=SqliteJournal(folder / "journal.db"), limits=NO_CAPS, **more)
