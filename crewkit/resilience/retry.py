"""Doing it again, later, when what went wrong may pass."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from crewkit.core.clock import Clock, SystemClock
from crewkit.errors import expect_number

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how patiently to try again: after `first` seconds, then twice as long each time."""

    attempts: int = 4
    """Attempts in all, the first one included."""
    first: float = 0.5
    """Seconds before the second attempt; up to as much again is added at random."""
    longest: float = 30.0
    """Seconds that the pauses grow to."""
    patience: float = 120.0
    """Seconds a server may ask us to wait. If it asks for more, the error is raised at once."""

    def __post_init__(self) -> None:
        expect_number("Retry", "attempts", self.attempts, 1, whole=True)
        for name in ("first", "longest", "patience"):
            expect_number("Retry", name, getattr(self, name), 0)


async def retrying(
    do: Callable[[], Awaitable[T]],
    *,
    worth: Callable[[BaseException], bool],
    retry: Retry | None = None,
    asked: Callable[[BaseException], float | None] = lambda error: None,
    told: Callable[[int, float, BaseException], None] = lambda attempt, seconds, error: None,
    clock: Clock | None = None,
) -> T:
    """Do something, and again while its error is worth it.

    Args:
        do: Makes one attempt.
        worth: Whether trying again may help after this error.
        retry: How often and how patiently.
        asked: The seconds that the error itself asks us to wait, as a Retry-After does.
        told: Called before each pause with the number of the next attempt, the seconds, and the error.
        clock: Waits.

    Raises:
        BaseException: The last attempt's error, unchanged.
    """
    from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

    retry = retry or Retry()
    backoff = wait_exponential(multiplier=retry.first, max=retry.longest) + wait_random(0, retry.first)

    async def once() -> T:
        return await do()

    def hopeful(error: BaseException) -> bool:
        return worth(error) and (asked(error) or 0.0) <= retry.patience

    def wait(state: RetryCallState) -> float:
        return max(backoff(state), asked(_error(state)) or 0.0)

    def tell(state: RetryCallState) -> None:
        told(state.attempt_number + 1, state.upcoming_sleep, _error(state))

    attempts = AsyncRetrying(
        sleep=(clock or SystemClock()).sleep,
        stop=stop_after_attempt(retry.attempts),
        wait=wait,
        retry=retry_if_exception(hopeful),
        before_sleep=tell,
        reraise=True,
    )
    return await attempts(once)


def _error(state: RetryCallState) -> BaseException:
    error = state.outcome.exception() if state.outcome else None
    assert error is not None  # tenacity waits only after an error: results are never retried here
    return error
