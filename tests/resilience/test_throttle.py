"""Caps on how many at once and how many in a time."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crewkit.errors import DefinitionError
from crewkit.resilience.throttle import Rate, Throttle
from crewkit.testing.clock import FakeClock


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("30/min", Rate(30, 60)),
        ("2/s", Rate(2, 1)),
        (" 1000 / hour ", Rate(1000, 3600)),
        ("1/m", Rate(1, 60)),
    ],
)
def test_a_rate_is_written_as_calls_per_time(text: str, rate: Rate):
    assert Rate.parse(text, "here") == rate


@pytest.mark.parametrize("text", ["", "30", "0/min", "-1/s", "30/day", "1.5/s", "30/min/h"])
def test_what_is_no_rate_is_refused_with_an_example(text: str):
    with pytest.raises(DefinitionError, match=r"here: rate=.* Write calls per s, min or hour: '30/min'"):
        Rate.parse(text, "here")


@given(st.integers(1, 5), st.floats(0.5, 60), st.integers(0, 20))
def test_never_more_begin_in_any_stretch_of_the_window(calls: int, seconds: float, wanted: int):
    clock = FakeClock()
    throttle = Throttle(clock, rate=Rate(calls, seconds))
    begun: list[tuple[float, int]] = []

    async def one(n: int) -> None:
        async with throttle.slot():
            begun.append((clock.monotonic(), n))

    async def all_at_once() -> None:
        await asyncio.gather(*(one(n) for n in range(wanted)))

    asyncio.run(all_at_once())
    assert [n for _, n in begun] == list(range(wanted))
    times = [at for at, _ in begun]
    for i in range(len(times) - calls):
        assert times[i + calls] - times[i] >= seconds - 1e-6
    assert clock.monotonic() == pytest.approx(seconds * max((wanted - 1) // calls, 0))


async def test_never_more_are_under_way_than_may_be_and_a_place_is_given_back():
    throttle = Throttle(FakeClock(), concurrency=2)
    under_way = most = 0

    async def one(n: int) -> None:
        nonlocal under_way, most
        async with throttle.slot():
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1
            if n % 3 == 0:
                raise ValueError

    await asyncio.gather(*(one(n) for n in range(12)), return_exceptions=True)
    assert most == 2


async def test_who_is_cancelled_while_waiting_takes_no_place():
    throttle = Throttle(FakeClock(), concurrency=1)
    leave = asyncio.Event()

    async def hold() -> None:
        async with throttle.slot():
            await leave.wait()

    holding = asyncio.create_task(hold())
    await asyncio.sleep(0)
    waiting = asyncio.create_task(hold())
    await asyncio.sleep(0)
    waiting.cancel()
    leave.set()
    await asyncio.gather(holding, waiting, return_exceptions=True)
    async with asyncio.timeout(5), throttle.slot():
        pass


async def test_without_caps_nobody_waits():
    clock = FakeClock()
    async with Throttle(clock).slot():
        assert clock.slept == []
