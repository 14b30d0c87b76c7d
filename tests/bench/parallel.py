"""2. Many independent tasks of one call each, 200 ms at the server, journal on, against asyncio.gather."""

import asyncio
import time
from collections.abc import Iterator
from statistics import median

from table import Row, times
from work import NO_LIMITS, options

from crewkit import Agent, Crew, Task
from crewkit.models.base import Request, Watch
from crewkit.models.chat import ChatModel
from crewkit.models.scripted import ScriptedModel
from crewkit.testing.server import server_process

SECONDS = 0.2
ROUNDS = 3


def many(n: int) -> Crew:
    clerk = Agent("Clerk", "Answer.")
    tasks = [Task(f"t{i}", f"Say {i}.", agent=clerk, limits=NO_LIMITS) for i in range(n)]
    return Crew(tasks, limits=NO_LIMITS)


def requests(crew: Crew) -> list[Request]:
    model = ScriptedModel(["Done."])
    with options(model) as given:
        assert crew.run_sync(options=given).ok
    return model.requests


def by_crew(crew: Crew, model: ChatModel) -> float:
    with options(model) as given:
        begun = time.monotonic()
        assert crew.run_sync(options=given).ok
        return time.monotonic() - begun


def by_gather(asked: list[Request], model: ChatModel) -> float:
    async def ask() -> None:
        await asyncio.gather(*(model.answer(request, Watch()) for request in asked))

    begun = time.monotonic()
    asyncio.run(ask())
    return time.monotonic() - begun


def rows() -> Iterator[Row]:
    with server_process("--delay", str(SECONDS)) as url:
        model = ChatModel("any", url)
        for n in (200, 1000):
            crew = many(n)
            asked = requests(crew)
            rounds = [(by_crew(crew, model), by_gather(asked, model)) for _ in range(ROUNDS)]
            ours, theirs = (median(each) for each in zip(*rounds, strict=True))
            more = (ours - theirs) / n
            yield Row(
                f"{n:,} tasks of one 200 ms call",
                f"{ours:.2f} s",
                f"asyncio.gather {theirs:.2f} s",
                f"{times(ours, theirs)}, +{more * 1000:.2f} ms a task",
                "+1 ms at most",
                more <= 0.001,
            )
