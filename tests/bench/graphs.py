"""3. Graphs of 100 ms tasks against their critical path."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from functools import partial

from measure import Row, home, interleaved, medians

from crewkit import Agent, Crew, Task, tool
from crewkit.models.base import Answer, Request, Watch
from crews import NO_CAPS, Says, options

SECONDS = 0.1
ROUNDS = 3

Needs = Mapping[int, Sequence[int]]


class Slow(Says):
    """Takes its time."""

    async def answer(self, request: Request, watch: Watch) -> Answer:
        await asyncio.sleep(SECONDS)
        return await super().answer(request, watch)


@tool(effects="read")
async def rest() -> str:
    """Take 100 ms."""
    await asyncio.sleep(SECONDS)
    return "Done."


def rows() -> list[Row]:
    """Measure a layered and a random graph, of functions and of agents."""
    table: list[Row] = []
    for shape, needs in (("40-task layered", layered(8, 5)), ("1,000-task random", scattered(1000))):
        path = critical(needs) * SECONDS
        crews = {"functions": functions(needs), "agents": agents(needs)}
        sides = {kind: partial(makespan, crew) for kind, crew in crews.items()}
        taken = medians(interleaved({**sides, "asyncio": partial(plain, needs)}, ROUNDS))
        beside = f"critical path {path:.1f} s; bare asyncio {taken.pop('asyncio'):.2f} s"
        for kind, took in taken.items():
            what = f"{shape} graph of 100 ms {kind}"
            compared = f"{took / path:.2f} times"
            table.append(
                Row(what, f"{took:.2f} s", beside, compared, "1.1 times at most", took <= 1.1 * path)
            )
    return table


def layered(layers: int, wide: int) -> Needs:
    """Every task needs every task of the layer before."""
    return {
        layer * wide + i: range((layer - 1) * wide, layer * wide) if layer else ()
        for layer in range(layers)
        for i in range(wide)
    }


def scattered(n: int) -> Needs:
    """Every task needs up to three earlier ones, the same ones in every run."""
    chance = random.Random(7)
    return {i: chance.sample(range(i), min(i, chance.randint(0, 3))) for i in range(n)}


def critical(needs: Needs) -> int:
    """Return how many tasks the longest chain has."""
    depth: dict[int, int] = {}
    for i in needs:
        depth[i] = 1 + max((depth[need] for need in needs[i]), default=0)
    return max(depth.values())


def functions(needs: Needs) -> Crew:
    return Crew([Task(f"t{i}", do=rest, needs=[f"t{n}" for n in needs[i]]) for i in needs], limits=NO_CAPS)


def agents(needs: Needs) -> Crew:
    clerk = Agent("Clerk", "Answer.", model=Slow(lambda _: "Done."))
    tasks = [Task(f"t{i}", "Rest.", agent=clerk, needs=[f"t{n}" for n in needs[i]]) for i in needs]
    return Crew(tasks, limits=NO_CAPS)


def makespan(crew: Crew) -> float:
    with home() as folder:
        settings = options(folder)
        begun = time.monotonic()
        assert crew.run_sync(options=settings).ok
        return time.monotonic() - begun


def plain(needs: Needs) -> float:
    """Walk the graph with tasks of asyncio and nothing else: what the machine takes at this moment."""

    async def walk() -> None:
        done: dict[int, asyncio.Task[None]] = {}
        for i in needs:
            done[i] = asyncio.create_task(one([done[n] for n in needs[i]]))
        await asyncio.gather(*done.values())

    async def one(before: Sequence[asyncio.Task[None]]) -> None:
        for task in before:
            await task
        await asyncio.sleep(SECONDS)

    begun = time.monotonic()
    asyncio.run(walk())
    return time.monotonic() - begun
