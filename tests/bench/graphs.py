"""3. Graphs of 100 ms tasks against their critical path."""

import asyncio
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from table import Row, times
from work import NO_LIMITS, options

from crewkit import Agent, Crew, Task, tool
from crewkit.models.base import Request
from crewkit.models.scripted import ScriptedModel

SECONDS = 0.1
ROUNDS = 3

Needs = Mapping[int, Sequence[int]]


@tool(effects="read")
async def rest() -> str:
    """Take 100 ms."""
    await asyncio.sleep(SECONDS)
    return "Done."


async def answer(_: Request) -> str:
    await asyncio.sleep(SECONDS)
    return "Done."


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
    return {i: sorted(chance.sample(range(i), min(i, chance.randint(0, 3)))) for i in range(n)}


def critical(needs: Needs) -> int:
    """Return how many tasks the longest chain has."""
    depth: dict[int, int] = {}
    for i in needs:
        depth[i] = 1 + max((depth[need] for need in needs[i]), default=0)
    return max(depth.values())


def functions(needs: Needs) -> Crew:
    return Crew([Task(f"t{i}", do=rest, needs=[f"t{n}" for n in needs[i]]) for i in needs], limits=NO_LIMITS)


def agents(needs: Needs) -> Crew:
    clerk = Agent("Clerk", "Answer.")
    tasks = [
        Task(f"t{i}", "Rest.", agent=clerk, needs=[f"t{n}" for n in needs[i]], limits=NO_LIMITS)
        for i in needs
    ]
    return Crew(tasks, limits=NO_LIMITS)


def makespan(crew: Crew) -> float:
    with options(ScriptedModel(answer)) as given:
        begun = time.monotonic()
        assert crew.run_sync(options=given).ok
        return time.monotonic() - begun


def rows() -> Iterator[Row]:
    for shape, needs in (("40-task layered", layered(8, 5)), ("1,000-task random", scattered(1000))):
        path = critical(needs) * SECONDS
        for kind, crew in (("functions", functions(needs)), ("agents", agents(needs))):
            took = median(makespan(crew) for _ in range(ROUNDS))
            yield Row(
                f"{shape} graph of 100 ms {kind}",
                f"{took:.2f} s",
                f"critical path {path:.1f} s",
                times(took, path),
                "1.1 times at most",
                took <= 1.1 * path,
            )
