"""Not more at once, and not more in a time, than somebody else can bear."""

from __future__ import annotations

import re
from asyncio import Lock, Semaphore
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from crewkit.core.clock import Clock
from crewkit.errors import DefinitionError

_SECONDS = {
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "m": 60.0,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
}
_RATE = re.compile(r"\s*(\d+)\s*/\s*([a-z]+)\s*")


@dataclass(frozen=True, slots=True)
class Rate:
    """At most so many calls begun in any stretch of so many seconds."""

    calls: int
    seconds: float

    @classmethod
    def parse(cls, text: str, where: str) -> Rate:
        """Read `30/min`, `2/s`, `1000/hour`.

        Raises:
            DefinitionError: It is no rate; the message begins with `where`.
        """
        match = _RATE.fullmatch(text)
        if match is None or match[2] not in _SECONDS or not int(match[1]):
            raise DefinitionError(
                f"{where}: rate={text!r} is no rate. Write calls per s, min or hour: '30/min'."
            )
        return cls(int(match[1]), _SECONDS[match[2]])


class Throttle:
    """Lets calls through one after the other, in the order in which they came, as its caps allow."""

    def __init__(self, clock: Clock, *, rate: Rate | None = None, concurrency: int | None = None) -> None:
        self._clock = clock
        self._rate = rate
        self._places = Semaphore(concurrency) if concurrency else None
        self._begun: deque[float] = deque(maxlen=rate.calls if rate else 1)
        self._turn = Lock()

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator[None]:
        """Wait for a place and for the rate; hold the place until left."""
        if self._places is None:
            await self._wait()
            yield
            return
        async with self._places:
            await self._wait()
            yield

    async def _wait(self) -> None:
        if self._rate is None:
            return
        async with self._turn:
            if len(self._begun) == self._rate.calls:
                await self._sleep_until(self._begun[0] + self._rate.seconds)
            self._begun.append(self._clock.monotonic())

    async def _sleep_until(self, moment: float) -> None:
        while (left := moment - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)
