"""A crew whose run goes on whatever happens: kept and stale results, another tool instead, an open circuit, an answer
that is escalated, a wait for an event, a word from outside, and a conversation that is summarised.
"""

from __future__ import annotations

from collections.abc import Sequence

from crewkit import Agent, Breaker, Crew, Limits, Task, Window, tool
from crewkit.errors import ToolError
from crewkit.models.base import Answer
from crewkit.models.scripted import ScriptedModel, call


def calls(*wanted: object) -> Answer:
    return Answer("", tuple(wanted), finish_reason="tool_calls")


def two_words(text: str) -> str | None:
    """An answer of more or fewer goes back."""
    return None if len(text.split()) == 2 else "Two words, please."


def crew() -> Crew:
    """Make the crew anew; its tools and scripted models remember what they were asked."""
    asked: list[str] = []

    @tool(effects="read", cache_ttl=0.001, stale_on_failure=True)
    def rates(day: str) -> str:
        """Look rates up."""
        asked.append(day)
        if len(asked) > 1:
            raise ToolError("The bank's server is away.")
        return "1 EUR = 1.08 USD"

    @tool(effects="read", cache_ttl=3600)
    def table(name: str) -> str:
        """Read a table."""
        return f"table {name}: a, b"

    @tool(effects="read")
    def archive(path: str) -> str:
        """Read from the archive."""
        return f"archived {path}"

    @tool(effects="read", fallback=archive, retries=0, breaker=Breaker(failures=2, window=600, pause=600))
    def fetch(path: str) -> str:
        """Fetch from the server."""
        raise ConnectionError("no route to the server")

    script: Sequence[object] = [
        calls(call("rates", day="Monday"), call("table", name="T1")),
        calls(call("table", name="T1"), call("fetch", path="/x")),
        calls(call("fetch", path="/y"), call("rates", day="Monday")),
        *(calls(call("table", name=f"T{i}")) for i in range(4, 10)),
        "One",
        "Three words here",
    ]
    summaries = ScriptedModel(lambda request: "Rates and tables were read.", name="cheap/summariser")
    junior = Agent(
        "Junior",
        "Find the rates.",
        tools=[rates, table, archive, fetch],
        model=ScriptedModel(script, name="small/junior"),
        window=Window(messages=14, every=10, model=summaries),
    )
    senior = Agent(
        "Senior", "Find the rates, and be exact.", model=ScriptedModel(["Two words"], name="large/senior")
    )
    clerk = Agent("Clerk", "File what came.", model=ScriptedModel(["It is filed."], name="small/clerk"))
    found = Task(
        "rates",
        "Find the rates.",
        "Two words.",
        junior,
        guardrails=[two_words],
        revisions=1,
        fallback=[senior],
    )
    signed = Task("signed", wait_for="contract_signed", needs=[found])
    filing = Task("filing", "File the contract.", "One line.", clerk, needs=[signed])
    return Crew([found, signed, filing], name="rescue", limits=Limits(tokens=200_000))
