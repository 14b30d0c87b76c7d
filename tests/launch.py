"""A crew in whose runs nearly everything happens that a transcript can show.

Two tasks at once, a tool that fails and is called again, one that is cut, one that is not granted, a colleague who is
asked, a crew in a crew, a guardrail that sends back, a model that is tried again, a person who decides, a task that
fails and one that is skipped.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

from pydantic import BaseModel

from crewkit import Agent, Crew, Grant, Limits, Scope, Task, ToolContext, tool
from crewkit.agents.delegate import ask_colleague
from crewkit.core.messages import ToolCall
from crewkit.errors import ToolError
from crewkit.memory.base import Record
from crewkit.models.base import Answer, Request, Usage, Watch
from crewkit.testing import ScriptedModel, call

PACE = 0.0
"""Seconds by which every part of the work is stretched, to look at it with the eye."""


class Paced(ScriptedModel):
    """A scripted model that takes its time, costs money and is busy at times."""

    def __init__(self, lines: Sequence[object], name: str, *, busy: Sequence[int] = ()) -> None:
        super().__init__(lines, name=name)
        self._busy = busy

    async def answer(self, request: Request, watch: Watch) -> Answer:
        if request.turn in self._busy:
            watch.event(
                "retry.scheduled", {"attempt": 1, "seconds": 3 * PACE, "why": "429 Too Many Requests"}
            )
            await asyncio.sleep(3 * PACE)
        await asyncio.sleep((2 + len(request.messages) % 3) * PACE)
        answer = await super().answer(request, watch)
        sent = sum(len(message.content) for message in request.messages) // 4 + 240
        usage = Usage(sent, len(answer.content) // 4 + 30, sent // 3)
        return replace(answer, usage=usage, usd=round(sent * 8e-7 + usage.output_tokens * 4e-6, 6))


class Brief(BaseModel):
    """What goes to the customers."""

    title: str
    points: list[str]
    sources: list[str]


_calls: dict[str, int] = {}


@tool(effects="read", max_tokens=225)
async def search_web(query: str, limit: int = 5) -> list[dict[str, str]]:
    """Find recent pages about a query."""
    await asyncio.sleep(2 * PACE)
    return [
        {
            "url": f"https://news.example.org/pump/{i}",
            "title": f"Seal pumps, part {i}: what buyers ask for in {2020 + i}",
            "text": "Two of three buyers ask for a seal that lasts five years. " * 4,
        }
        for i in range(1, limit + 1)
    ]


@tool(effects="read", timeout=5)
async def read_page(url: str, *, context: ToolContext) -> str:
    """Read a page."""
    await asyncio.sleep(3 * PACE)
    if url.endswith("/1") and context.run_id not in _calls:
        _calls[context.run_id] = 1
        raise ToolError("The server closed the connection before it answered.")
    context.note(f"{url} was read from the network, 41 kB")
    return (
        "# Seal pumps\n\nTwo of three buyers ask for a seal that lasts five years.\n"
        "One supplier makes it: Halden, in Norway. Delivery takes eleven weeks.\n"
    )


@tool(effects="read")
async def recall_notes(query: str, *, context: ToolContext) -> list[dict[str, object]]:
    """Find what we noted earlier."""
    await context.memory.add(
        [
            Record("The pilot in May had 41 customers; 36 would buy.", source="notes/pilot.md", start=0),
            Record("Returns of the last pump were 2.1 percent.", source="notes/returns.md", start=0),
        ]
    )
    hits = await context.memory.recall(query, k=2)
    return [
        {"text": hit.record.text, "source": hit.record.source, "score": round(hit.score, 3)} for hit in hits
    ]


@tool(effects="read")
def sales_of(month: str) -> float:
    """Look up the sales of a month, in thousand euro."""
    return {"April": 96.0, "May": 120.5}[month]


@tool(effects=["write", "external"])
async def publish(title: str, channel: str) -> str:
    """Put a text on a channel that customers read."""
    await asyncio.sleep(PACE)
    return f"published as https://example.org/{channel}/114"


@tool(effects=["write", "financial"])
def order_parts(supplier: str, count: int) -> str:
    """Order parts."""
    return f"{count} ordered from {supplier}"


def growth(read: str) -> str:
    """Say how sales grew."""
    return f"{read} That is 25.5 percent more in a month."


def crew() -> Crew:
    """Make the crew anew; its scripted models remember what they were asked."""
    researcher = Agent(
        "Researcher",
        "Find facts and keep their sources.",
        "You have covered pumps for ten years.",
        tools=[search_web, read_page, recall_notes, ask_colleague],
        model=Paced(
            [
                Answer(
                    "I look for pages and for what we noted ourselves.",
                    (
                        call("search_web", query="seal pump demand", limit=6),
                        call("recall_notes", query="pilot customers"),
                    ),
                    finish_reason="tool_calls",
                ),
                [call("read_page", url="https://news.example.org/pump/1"), call("read_pages", urls=["…/2"])],
                call("read_page", url="https://news.example.org/pump/1"),
                "Two of three buyers ask for a five-year seal (news.example.org/pump/1). In the pilot 36 of 41 "
                "customers would buy (pilot.md).",
            ],
            "openai/gpt-5-mini",
            busy=[2],
        ),
    )
    analyst = Agent(
        "Analyst",
        "Say what can go wrong.",
        tools=[ask_colleague, recall_notes, order_parts],
        scope=Scope(Grant("ask_colleague"), Grant("recall_notes")),
        model=Paced(
            [
                call(
                    "ask_colleague",
                    to="Researcher",
                    question="Who makes the seal, and how long does delivery take?",
                ),
                call("ask_colleague", to="Researcher", question="Is there a second supplier?"),
                "One risk: only Halden makes the seal, and delivery takes eleven weeks. No second supplier is known.",
            ],
            "openai/gpt-5",
        ),
    )
    answers = iter(
        [
            "Halden, in Norway, makes it; delivery takes eleven weeks.",
            "None that I have found. I would look in Italy first.",
        ]
    )

    def colleague(request: Request) -> str | ToolCall:
        return next(answers)

    asked = replace(researcher, model=_OnQuestion(researcher.model, colleague))
    bookkeeper = Agent(
        "Bookkeeper",
        "Read figures.",
        tools=[sales_of],
        model=Paced(
            [[call("sales_of", month="April"), call("sales_of", month="May"), call("sales_of", month="Juni")],
             "Sales were 96.0 in April and 120.5 in May."],
            "anthropic/claude-haiku-4-5",
        ),
    )  # fmt: skip
    figures = Crew(
        [
            (read := Task("read", "Read the sales of April and May.", "One line.", bookkeeper)),
            Task("growth", do=growth, needs=[read]),
        ],
        name="figures",
    )
    editor = Agent(
        "Editor",
        "Turn notes into a tight brief.",
        model=Paced(
            [
                json.dumps({"title": "A seal that lasts", "points": ["Buyers ask for it."], "sources": []}),
                json.dumps(
                    {
                        "title": "A seal that lasts five years",
                        "points": [
                            "Two of three buyers ask for it.",
                            "In the pilot, 36 of 41 customers would buy.",
                            "Sales grew by 25.5 percent in May.",
                            "Only one supplier makes the seal.",
                        ],
                        "sources": ["news.example.org/pump/1", "notes/pilot.md"],
                    }
                ),
            ],
            "anthropic/claude-sonnet-4-5",
        ),
    )
    publisher = Agent(
        "Publisher",
        "Put texts where customers read them.",
        tools=[publish],
        model=Paced(
            [
                Answer(
                    "The brief is checked and has its sources, so I publish it.",
                    (call("publish", title="A seal that lasts five years", channel="news"),),
                    finish_reason="tool_calls",
                ),
                "Published: https://example.org/news/114",
            ],
            "openai/gpt-5-mini",
        ),
    )
    translator = Agent(
        "Translator",
        "Translate briefs.",
        model=Paced(["Eine Dichtung, die fünf Jahre hält."] * 4, "ollama/qwen3"),
    )
    market = Task("market", "What do buyers of {product} ask for?", "Two sentences with sources.", asked)
    risks = Task("risks", "Which risks does the launch of {product} have?", "Two sentences.", analyst)
    money = Task("figures", do=figures)
    brief = Task(
        "brief", "Write a brief about {product} for customers.", "A title, points, sources.", editor,
        needs=[market, risks, money], output_type=Brief, guardrails=[has_sources],
    )  # fmt: skip
    german = Task(
        "german", "Translate the brief into German.", "The brief in German.", translator,
        needs=[brief], guardrails=[keeps_sources], revisions=1, on_failure="skip",
    )  # fmt: skip
    post = Task("post", "Post the German brief.", agent=publisher, needs=[german])
    release = Task("release", "Publish the brief.", "The address.", publisher, needs=[brief])
    return Crew(
        [market, risks, money, brief, german, post, release],
        inputs=["product"],
        name="launch",
        limits=Limits(tokens=120_000, usd=0.50, seconds=900),
    )


class _OnQuestion:
    """The researcher's own script, and another where a colleague asks."""

    def __init__(self, own, answers) -> None:
        self.name = own.name
        self._own = own
        self._answers = Paced(answers, own.name)

    async def answer(self, request: Request, watch: Watch) -> Answer:
        asked = any("# Question from" in message.content for message in request.messages)
        return await (self._answers if asked else self._own).answer(request, watch)

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        return input_tokens * 8e-7 + output_tokens * 4e-6


def has_sources(brief: Brief) -> str | None:
    """A brief without sources goes back."""
    return None if brief.sources else "Name the sources of what you say."


def keeps_sources(text: str) -> str | None:
    """A translation that lost its sources goes back."""
    return None if "example.org" in text else "The sources are gone."
