"""A model that is not asked more at once, or more in a time, than it bears."""

from __future__ import annotations

from crewkit.models.base import Answer, Model, Request, Watch
from crewkit.resilience.places import Places
from crewkit.resilience.throttle import Rate


class ThrottledModel:
    """A model whose requests wait for a place: every attempt for one of its own."""

    def __init__(self, model: Model, places: Places, *, rate: Rate | None, concurrency: int | None) -> None:
        self.model = model
        self._places = places
        self._rate = rate
        self._concurrency = concurrency

    @property
    def name(self) -> str:
        """The model's name. Whoever asks a model of this name shares its places."""
        return self.model.name

    async def answer(self, request: Request, watch: Watch) -> Answer:
        """Wait for a place, and answer one request."""
        async with self._places.at(f"model {self.name}", rate=self._rate, concurrency=self._concurrency):
            return await self.model.answer(request, watch)

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """Return what a call of this size costs in usd, `None` where the price is unknown."""
        return self.model.price(input_tokens, output_tokens)
