"""Models tried in order."""

from __future__ import annotations

from collections.abc import Sequence

from crewkit.errors import DefinitionError, ModelError
from crewkit.models.base import Answer, Model, Request, Watch


class Fallback:
    """Models tried in order until one answers. Each that fails is told as the event `retry.scheduled`."""

    def __init__(self, models: Sequence[Model]) -> None:
        if not models:
            raise DefinitionError("A list of models is empty. Name at least one, for example ['offline'].")
        self.models = tuple(models)

    @property
    def name(self) -> str:
        """The models' names in their order, with commas; `resolve` reads it back."""
        return ",".join(model.name for model in self.models)

    async def answer(self, request: Request, watch: Watch) -> Answer:
        """Return the first answer that a model gives.

        Raises:
            ModelError: None gave one; the message lists why, and it is retryable if one of the errors is.
        """
        errors: list[ModelError] = []
        for place, model in enumerate(self.models, 1):
            try:
                return await model.answer(request, watch)
            except ModelError as error:
                errors.append(error)
                if place < len(self.models):
                    why = f"{error} Asking '{self.models[place].name}' instead."
                    watch.event("retry.scheduled", {"attempt": place + 1, "seconds": 0.0, "why": why})
        if len(errors) == 1:
            raise errors[0]
        causes = "\n".join(f"- {error}" for error in errors)
        text = f"None of the {len(errors)} models answered:\n{causes}"
        raise ModelError(text, retryable=any(error.retryable for error in errors)) from errors[-1]

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """Return what the dearest takes for a call of this size in usd, `None` where one price is unknown."""
        prices = [model.price(input_tokens, output_tokens) for model in self.models]
        known = [price for price in prices if price is not None]
        return max(known) if len(known) == len(prices) else None
