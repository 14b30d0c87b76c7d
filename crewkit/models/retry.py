"""A model that is asked again when its error may pass."""

from __future__ import annotations

from crewkit.core.clock import Clock
from crewkit.errors import ModelError
from crewkit.models.base import Answer, Model, Request, Watch
from crewkit.resilience.retry import Retry, retrying


class RetryingModel:
    """A model, asked again after errors that may pass: 408, 409, 429, 5xx, timeouts, broken answers.

    Each pause is told as the event `retry.scheduled` with {attempt, seconds, why}.
    """

    def __init__(self, model: Model, retry: Retry | None = None, *, clock: Clock | None = None) -> None:
        self.model = model
        self._retry = retry or Retry()
        self._clock = clock

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    async def answer(self, request: Request, watch: Watch) -> Answer:
        """Ask until there is an answer, an error that will not pass, or no attempt left.

        Raises:
            ModelError: The last one, with the number of attempts.
        """
        pauses: list[float] = []

        def tell(attempt: int, seconds: float, error: BaseException) -> None:
            pauses.append(seconds)
            watch.event(
                "retry.scheduled", {"attempt": attempt, "seconds": round(seconds, 3), "why": str(error)}
            )

        try:
            return await retrying(
                lambda: self.model.answer(request, watch),
                worth=_may_pass,
                retry=self._retry,
                asked=_retry_after,
                told=tell,
                clock=self._clock,
            )
        except ModelError as error:
            if not pauses:
                raise
            raise ModelError(
                f"{error} (attempt {len(pauses) + 1} of {self._retry.attempts})",
                retryable=error.retryable,
                status=error.status,
                retry_after=error.retry_after,
            ) from error

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """Return what one attempt of this size costs in usd, `None` where the price is unknown."""
        return self.model.price(input_tokens, output_tokens)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, ModelError) and error.retryable


def _retry_after(error: BaseException) -> float | None:
    return error.retry_after if isinstance(error, ModelError) else None
