"""What is measured: the same crews and requests on every side of a comparison."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from crewkit import Agent, Crew, Limits, Task, tool
from crewkit.core.messages import ToolCall
from crewkit.crew.options import Options
from crewkit.journal.sqlite import open_journal
from crewkit.models.base import Model, Request
from crewkit.models.scripted import ScriptedModel, call

NO_LIMITS = Limits(tokens=None, usd=None, seconds=None, steps=None)
CALLS = 50


@tool(effects="read")
def search(query: str) -> str:
    """Search the notes for a word and return the line that fits best.

    Args:
        query: The word.
    """
    return f"The notes say of {query} that it stands on line 7, between the tides and the moon."


@tool(effects="read")
def count(n: int) -> int:
    """Count one further."""
    return n


@contextmanager
def options(model: Model | None = None) -> Iterator[Options]:
    """Give options with a journal of its own, on disk."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        journal = open_journal(Path(folder) / "journal.db")
        try:
            yield Options(journal=journal, model=model)
        finally:
            journal.close()


def searcher() -> Crew:
    """Return a crew of one agent, which searches for as long as its model asks it to."""
    agent = Agent("Searcher", "Find what is asked for.", tools=[search])
    return Crew([Task("find", "Find the tides.", agent=agent, limits=NO_LIMITS)], limits=NO_LIMITS)


def searches() -> list[Request]:
    """Return the 51 requests of an agent that makes 50 tool calls."""
    model = ScriptedModel([*(call("search", query="tides") for _ in range(CALLS)), "Done."])
    with options(model) as given:
        assert searcher().run_sync(options=given).ok
    return model.requests


def counting(upto: int, watch: Callable[[int], None] = lambda n: None) -> ScriptedModel:
    """Return a model that counts by tool calls, one a turn, and forgets what it was asked.

    Args:
        upto: How many calls it makes.
        watch: Called with the number of the turn, from 1, before each answer.
    """

    def script(request: Request) -> ToolCall | str:
        model.requests.clear()
        last = request.messages[-1]
        n = int(last.content) if last.role == "tool" else 0
        watch(n + 1)
        return call("count", n=n + 1) if n < upto else "Done."

    model = ScriptedModel(script)
    return model


def counter() -> Crew:
    """Return a crew of one agent with one long task."""
    agent = Agent("Counter", "Count.", tools=[count])
    return Crew([Task("count", "Count.", agent=agent, limits=NO_LIMITS)], limits=NO_LIMITS)
