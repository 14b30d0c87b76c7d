"""Models of somebody's own, and what they may do wrong: the task fails and names the model, the rest goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from crewkit import Agent, Crew, Task, tool
from crewkit.agents.window import Window
from crewkit.core.messages import ToolCall
from crewkit.models.base import Answer, Request, Usage, Watch
from crewkit.models.scripted import ScriptedModel, call


class Own:
    """A model that returns or raises what it is told to."""

    name = "own"

    def __init__(self, comes: Any, price: Any = 0.0) -> None:
        self.comes = comes
        self.costs = price

    async def answer(self, request: Request, watch: Watch) -> Any:
        return give(self.comes)

    def price(self, input_tokens: int, output_tokens: int) -> Any:
        return give(self.costs)


def give(what: Any) -> Any:
    if isinstance(what, BaseException):
        raise what
    return what


@tool(effects="read")
def look(place: str = "here") -> str:
    """Look at a place."""
    return place


def kept() -> str:
    return "kept"


async def outcome(model: Any, options: Any) -> str:
    """Run a task by the model beside another task; return why the first one failed."""
    agent = Agent("Worker", "Work.", tools=[look], model=model)
    crew = Crew([Task("job", "Do it.", agent=agent), Task("other", do=kept)])
    async with asyncio.timeout(10):
        result = await crew.run({}, options)
    assert (result.status, result.outputs) == ("failed", {"other": "kept"})
    return result.report.failed["job"]


@pytest.mark.parametrize(
    ("comes", "said"),
    [
        (None, "AttributeError"),
        ("text", "AttributeError"),
        (Answer(None), "is no Answer of text, tool calls and usage"),  # pyright: ignore[reportArgumentType]
        (Answer("x", tool_calls=None), "TypeError"),  # pyright: ignore[reportArgumentType]
        (Answer("x", (ToolCall("1", "look", {}),)), "is no Answer"),  # pyright: ignore[reportArgumentType]
        (Answer("x", (ToolCall("1", None, "{}"),)), "is no Answer"),  # pyright: ignore[reportArgumentType]
        (Answer("x", usage=None), "is no Answer"),  # pyright: ignore[reportArgumentType]
        (Answer("x", model=None), "is no Answer"),  # pyright: ignore[reportArgumentType]
        (Answer("x", usage=Usage(None, 1)), "is no Answer"),  # pyright: ignore[reportArgumentType]
        (Answer("x", usage=Usage(-5, 1)), "is no Answer"),
        (Answer("x", usd=float("nan")), "is no Answer"),
        (Answer("x", usd=float("inf")), "is no Answer"),
        (Answer("x", usd=-1.0), "is no Answer"),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
        (TimeoutError("too late"), "TimeoutError: too late"),
        (SystemExit(3), "SystemExit: 3"),
        (ExceptionGroup("several", [ValueError("x")]), "ExceptionGroup: several"),
        (BaseExceptionGroup("several", [SystemExit(3)]), "BaseExceptionGroup: several"),
        (asyncio.CancelledError(), "it cancelled its own call."),
    ],
)
async def test_whatever_a_model_returns_or_raises_fails_its_task_alone(make_options, comes: Any, said: str):
    why = await outcome(Own(comes), make_options())
    assert why.startswith("Model 'own' broke")
    assert said in why


async def test_a_price_that_breaks_fails_its_task_alone(make_options):
    why = await outcome(Own(Answer("x"), price=LookupError("no list")), make_options())
    assert why.startswith("Model 'own' broke with LookupError: ")


async def test_what_ends_python_itself_ends_the_run_and_nothing_hangs(make_options):
    agent = Agent("Worker", "Work.", model=Own(GeneratorExit()))
    with pytest.raises(GeneratorExit):
        async with asyncio.timeout(10):
            await Crew([Task("job", "Do it.", agent=agent)]).run({}, make_options())


async def test_turns_of_more_calls_than_the_window_is_kept_at_leave_the_window_all_the_same(make_options):
    def say(_: Request) -> Any:
        return "Done." if len(model.requests) > 6 else [call("look", place=str(len(model.requests)))] * 120

    model = ScriptedModel(say)
    agent = Agent("Worker", "Work.", tools=[look], model=model)
    assert (await Crew([Task("job", "Do it.", agent=agent)]).run({}, make_options())).ok
    for request in model.requests:
        assert len(request.messages) <= Window().messages + 2
        calls = [c.id for m in request.messages for c in m.tool_calls]
        assert calls == [m.tool_call_id for m in request.messages if m.role == "tool"]
        assert request.messages[:2] == model.requests[0].messages[:2]
