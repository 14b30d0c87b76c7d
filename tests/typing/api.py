"""What type checkers see of a crew. Checked by pyright, never run."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, assert_type

from pydantic import BaseModel

from crewkit import Agent, Crew, Event, Input, Limits, Options, Result, Revise, Scope, Task, Verdict, tool


class Brief(BaseModel):
    title: str


@dataclass
class Score:
    points: int


@tool(effects="read")
def search(query: str, limit: int = 5) -> list[str]:
    """Search."""
    return [query] * limit


@tool
async def fetch(url: str) -> bytes:
    """Fetch."""
    return url.encode()


def count(brief: Brief) -> int:
    return len(brief.title)


async def rate(brief: Brief) -> Score:
    return Score(len(brief.title))


def enough(brief: Brief) -> str | None:
    return None if brief.title else "A title is missing."


async def kind(brief: Brief) -> Verdict:
    return Revise(brief.title)


editor = Agent("Editor", "Edit.", tools=[search, fetch], scope=Scope("search"), model=["a/b", "c/d"])
text = Task("text", "Write.", agent=editor)
named = Task("named", "Write.", "A page.", editor, needs=[text, "brief"], output_type=str)
brief = Task("brief", "Write.", agent=editor, output_type=Brief, guardrails=[enough, kind])
names = Task("names", "List.", agent=editor, needs=[text], output_type=list[str])
score = Task("score", "Rate.", agent=editor, output_type=Score)
counted = Task("counted", do=count, needs=[brief])
rated = Task("rated", do=rate, needs=[brief, text])
found = Task("found", do=search)
inner = Task("inner", do=Crew([text]))
crew = Crew(
    [text, brief, names, counted, rated],
    agents=[editor],
    inputs={"topic": Input("What about.", default="tides")},
    limits=Limits(usd=0.5, seconds=None),
)


async def use() -> None:
    result = await crew.run({"topic": "tides"}, Options(model="offline"))
    assert_type(result, Result)
    assert_type(result[text], str)
    assert_type(result[named], str)
    assert_type(result[brief], Brief)
    assert_type(result[names], list[str])
    assert_type(result[score], Score)
    assert_type(result[counted], int)
    assert_type(result[rated], Score)
    assert_type(result[found], list[str])
    assert_type(result.each(rated), list[Score])
    assert_type(result.output, Any)
    assert_type(result.ok, bool)
    assert_type(crew.run_sync(), Result)
    assert_type(crew.resume_sync("@last"), Result)
    assert_type(await crew.kickoff({}), Result)
    assert_type(await crew.resume("@last"), Result)
    assert_type(crew.stream(), AsyncIterator[Event])
    assert_type(search("x", limit=3), list[str])
    assert_type(await fetch("x"), bytes)
    search(5)  # pyright: ignore[reportArgumentType]
    Task("x", "X.", agent=editor, on_failure="ignore")  # pyright: ignore[reportArgumentType]
    text.name = "other"  # pyright: ignore[reportAttributeAccessIssue]
