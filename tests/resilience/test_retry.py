from datetime import UTC, datetime

import pytest

from crewkit.core.clock import Clock
from crewkit.resilience.retry import Retry, retrying


class StoppedClock:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.monotonic(), UTC)

    def monotonic(self) -> float:
        return sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Busy(Exception):
    def __init__(self, after: float | None = None) -> None:
        super().__init__("busy")
        self.after = after


def failing(*errors: Exception):
    left = list(errors)

    async def do() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return do


async def attempt(
    clock: Clock, *errors: Exception, retry: Retry | None = None, told=lambda *said: None
) -> str:
    return await retrying(
        failing(*errors),
        worth=lambda error: isinstance(error, Busy),
        asked=lambda error: getattr(error, "after", None),
        told=told,
        retry=retry,
        clock=clock,
    )


async def test_an_error_that_passes_is_waited_for_longer_each_time():
    clock, told = StoppedClock(), []
    assert await attempt(clock, Busy(), Busy(), Busy(), told=lambda *said: told.append(said)) == "done"
    assert [0.5 <= clock.slept[0] <= 1.0, 1.0 <= clock.slept[1] <= 1.5, 2.0 <= clock.slept[2] <= 2.5] == [
        True
    ] * 3
    assert [(n, s) for n, s, _ in told] == list(zip((2, 3, 4), clock.slept, strict=True))
    assert all(isinstance(error, Busy) for _, _, error in told)


async def test_the_last_error_is_raised_when_the_attempts_are_used_up():
    clock, last = StoppedClock(), Busy()
    with pytest.raises(Busy) as caught:
        await attempt(clock, Busy(), Busy(), Busy(), last, Busy())
    assert caught.value is last
    assert len(clock.slept) == 3


async def test_an_error_that_is_not_worth_it_is_raised_at_once():
    clock = StoppedClock()
    with pytest.raises(ValueError, match="wrong"):
        await attempt(clock, ValueError("wrong"))
    assert clock.slept == []


async def test_what_the_server_asks_for_is_waited_if_we_have_the_patience():
    clock = StoppedClock()
    assert await attempt(clock, Busy(after=60), Busy(after=0)) == "done"
    assert clock.slept[0] == 60
    assert clock.slept[1] >= 1.0
    with pytest.raises(Busy):
        await attempt(clock, Busy(after=3600))
    assert len(clock.slept) == 2


async def test_pauses_stop_growing():
    clock = StoppedClock()
    await attempt(clock, *[Busy()] * 9, retry=Retry(attempts=10, first=1, longest=4))
    assert max(clock.slept) <= 5
