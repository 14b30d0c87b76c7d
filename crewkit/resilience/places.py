"""Places at what several callers share: a tool or a model that bears so many calls at once, and so many in a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from crewkit.core.clock import Clock
from crewkit.resilience.throttle import Rate, Throttle


class Places(Protocol):
    """Lets callers wait until they may call something."""

    def at(
        self, what: str, *, rate: Rate | None = None, concurrency: int | None = None
    ) -> AbstractAsyncContextManager[None]:
        """Wait for a place and for the rate; hold the place until left.

        Args:
            what: Who is called: `tool search`, `model openai/gpt-5-mini`.
            rate: Calls begun in a time, at most; `None`: no cap.
            concurrency: Calls at once, at most; `None`: no cap.
        """
        ...


class OwnPlaces:
    """The places of one process: those of a run, or of several that are given the same."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._throttles: dict[str, Throttle] = {}

    @asynccontextmanager
    async def at(
        self, what: str, *, rate: Rate | None = None, concurrency: int | None = None
    ) -> AsyncGenerator[None]:
        """Wait for a place and for the rate; hold the place until left. The caps that are named first count."""
        if rate is None and concurrency is None:
            yield
            return
        if what not in self._throttles:
            self._throttles[what] = Throttle(self._clock, rate=rate, concurrency=concurrency)
        async with self._throttles[what].slot():
            yield
