"""2. Many independent tasks of one call each, 200 ms at the server, journal on, against asyncio.gather."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from measure import Row, home, interleaved, medians

from crewkit import Agent, Crew, Task
from crewkit.models.base import Answer, Model, Request, Watch
from crewkit.models.chat import ChatModel
from crewkit.testing.server import server_process
from crews import NO_CAPS, Says, options

SECONDS = 0.2
ROUNDS = 3


class Keeps(Says):
    """Keeps what it is asked."""

    def __init__(self) -> None:
        super().__init__(lambda _: "Done.")
        self.requests: list[Request] = []

    async def answer(self, request: Request, watch: Watch) -> Answer:
        self.requests.append(request)
        return await super().answer(request, watch)


def rows() -> list[Row]:
    """Measure 200 and 1,000 tasks, each against the same requests alone."""
    with server_process("--delay", str(SECONDS)) as url:
        return [_row(n, ChatModel("any", url)) for n in (200, 1000)]


def _row(n: int, model: Model) -> Row:
    keeps = Keeps()
    by_crew(n, keeps)
    sides = {"crew": lambda: by_crew(n, model), "gather": lambda: by_gather(keeps.requests, model)}
    taken = medians(interleaved(sides, ROUNDS))
    ours, theirs = taken["crew"], taken["gather"]
    more = (ours - theirs) / n
    return Row(
        f"{n:,} tasks of one 200 ms call",
        f"{ours:.2f} s",
        f"asyncio.gather {theirs:.2f} s",
        f"{ours / theirs:.2f} times, {more * 1000:+.2f} ms a task",
        "1 ms more a task at most",
        more <= 0.001,
    )


def by_crew(n: int, model: Model) -> float:
    clerk = Agent("Clerk", "Answer.", model=model)
    crew = Crew([Task(f"t{i}", f"Say {i}.", agent=clerk) for i in range(n)], limits=NO_CAPS)
    with home() as folder:
        settings = options(folder)
        begun = time.monotonic()
        assert crew.run_sync(options=settings).ok
        return time.monotonic() - begun


def by_gather(requests: Sequence[Request], model: Model) -> float:
    async def ask() -> None:
        await asyncio.gather(*(model.answer(request, Watch()) for request in requests))

    begun = time.monotonic()
    asyncio.run(ask())
    return time.monotonic() - begun
