"""Long runs: a resume and a fork of 10,000 steps; 40 tasks of three 50 ms calls with the journal on."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

from measure import Row, home

from crewkit import Agent, Crew, Limits, Task
from crewkit.core.messages import ToolCall
from crewkit.errors import ModelError
from crewkit.models.base import Answer, Request, Usage, Watch
from crewkit.runs.fork import fork_only
from crews import NO_CAPS, options, search

TASKS, TURNS = 100, 50
CHAINS, LINKS, CALLS, SECONDS = 10, 4, 3, 0.05
IDEAL = LINKS * CALLS * SECONDS


class Turns:
    """A model that calls the tool so many times in each task and then is done; it may take time, and break once."""

    name = "turns"

    def __init__(self, turns: int, seconds: float = 0.0, breaks: bool = False) -> None:
        self._turns = turns
        self._seconds = seconds
        self.breaks = breaks
        self.asked = 0

    async def answer(self, request: Request, watch: Watch) -> Answer:
        self.asked += 1
        await asyncio.sleep(self._seconds)
        turn = request.turn or 0
        if turn < self._turns - 1:
            arguments = json.dumps({"query": f"tides {turn}"})
            return Answer(
                "",
                (ToolCall(f"call-{turn}", "search", arguments),),
                Usage(10, 10),
                0.0,
                self.name,
                "tool_calls",
            )
        if self.breaks and "Task 99" in str(request.messages[1].content):
            raise ModelError("It broke.")
        return Answer("Done.", usage=Usage(10, 10), usd=0.0, model=self.name)

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        return 0.0


def rows() -> list[Row]:
    """Measure them."""
    with home() as folder:
        long = _long(folder)
    seconds = min(_chains() for _ in range(5))
    return [
        *long,
        Row(
            f"{CHAINS * LINKS} tasks of {CALLS} calls of {SECONDS * 1000:.0f} ms, journal on",
            f"{seconds:.2f} s",
            f"ideal {IDEAL:.2f} s",
            f"{seconds / IDEAL:.2f} times",
        ),
    ]


def _long(folder: Path) -> list[Row]:
    model = Turns(TURNS, breaks=True)
    agent = Agent("Researcher", "Find facts.", tools=[search], model=model)
    tasks = [
        Task(f"t{i}", f"Task {i}: find out when high water is.", agent=agent, limits=Limits(steps=None))
        for i in range(TASKS)
    ]
    crew = Crew(tasks, name="long", limits=NO_CAPS)
    begun = time.monotonic()
    broken = crew.run_sync(options=options(folder))
    first = time.monotonic() - begun
    assert broken.status == "failed", broken
    asked, model.breaks = model.asked, False
    began = time.monotonic()
    result = asyncio.run(crew.resume(broken.run_id, options(folder)))
    again = time.monotonic() - began
    assert result.ok, result
    assert model.asked == asked + 1
    steps = TASKS * (2 * TURNS - 1)
    place, keeping = f"t99/{TURNS}", replace(options(folder), changed="keep")
    began = time.monotonic()
    asyncio.run(fork_only(crew, broken.run_id, place, {}, "", keeping))
    made = time.monotonic() - began
    began = time.monotonic()
    fork = asyncio.run(crew.fork(broken.run_id, place, options=keeping))
    ended = time.monotonic() - began
    assert fork.ok, fork
    return [
        Row(
            f"resume of {steps:,} steps, one of them open",
            f"{again:.2f} s",
            f"the run itself {first:.2f} s",
            f"{again / first:.2f} times",
        ),
        Row(
            f"fork of {steps:,} steps, left for a resume",
            f"{made:.2f} s",
            f"forked and carried on to its end {ended:.2f} s",
            "",
            "< 1 s",
            made < 1,
        ),
    ]


def _chains() -> float:
    """Return the seconds of four layers of ten tasks, each of which needs one of the layer before."""
    agent = Agent("Researcher", "Find facts.", tools=[search], model=Turns(CALLS, SECONDS))
    tasks: list[Task] = []
    for i in range(CHAINS):
        last: list[Task] = []
        for j in range(LINKS):
            last = [Task(f"t{i}-{j}", "Find out when high water is.", agent=agent, needs=last)]
            tasks += last
    crew = Crew(tasks, name="chains", limits=NO_CAPS)
    with home() as folder:
        given = options(folder)
        began = time.monotonic()
        assert crew.run_sync(options=given).ok
        return time.monotonic() - began
