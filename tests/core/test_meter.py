"""The meter at random: no cap is overrun and nobody waits for ever, however its calls fall."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crewkit.core.limits import Limits, Meter, Reservation
from crewkit.errors import LimitExceeded

TOLERANCE = 1e-9
"""Sums of money are floats."""

caps = st.one_of(st.none(), st.integers(1, 60))
money = st.one_of(st.none(), st.integers(1, 60).map(lambda cents: cents / 100))
calls = st.tuples(
    st.integers(0, 2),  # which of the leaves
    st.integers(0, 40),  # tokens reserved
    st.integers(0, 40),  # cents reserved
    st.floats(0, 1),  # the part of it that is used
    st.integers(1, 5),  # turns of the loop that it takes
)


@given(
    tokens=st.tuples(caps, caps, caps, caps),
    usd=st.tuples(money, money, money, money),
    work=st.lists(calls, max_size=20),
)
def test_whatever_happens_at_the_same_time_no_cap_is_overrun_and_nobody_waits_for_ever(
    tokens: tuple[int | None, ...],
    usd: tuple[float | None, ...],
    work: list[tuple[int, int, int, float, int]],
):
    limits = [Limits(tokens=t, usd=u, steps=None, seconds=None) for t, u in zip(tokens, usd, strict=True)]
    root = Meter("the run", limits[0])
    shared = Meter("agent", limits[1], (root,))
    leaves = (
        Meter("task a", limits[2], (root,)),
        Meter("task b", limits[3], (root, shared)),
        Meter("", Limits(), (shared, root)),
    )
    everyone = {root: limits[0], shared: limits[1], leaves[0]: limits[2], leaves[1]: limits[3]}

    def check() -> None:
        for meter, own in everyone.items():
            held = meter.tokens + meter._reserved_tokens
            assert (cap := own.cap("tokens")) is None or held <= cap
            held = meter.usd + meter._reserved_usd
            assert (cap := own.cap("usd")) is None or held <= cap + TOLERANCE

    async def one(leaf: int, tokens: int, cents: int, part: float, turns: int) -> str:
        try:
            held = await leaves[leaf].reserve(tokens, cents / 100)
        except LimitExceeded:
            return "refused"
        check()
        for _ in range(turns):
            await asyncio.sleep(0)
        leaves[leaf].settle(held, int(tokens * part), cents / 100 * part)
        check()
        return "done"

    async def everything() -> list[str]:
        async with asyncio.timeout(5):
            return await asyncio.gather(*(one(*each) for each in work))

    ended = asyncio.run(everything())

    assert root.steps == ended.count("done")
    for meter in (*everyone, leaves[2]):
        assert meter._reserved_tokens == 0
        assert meter._reserved_usd == 0
        assert not [waiter for waiter in meter._waiters if not waiter.done()]


async def test_a_reservation_that_fits_alone_is_not_held_up_by_what_rounding_left_behind():
    meter = Meter("the run", Limits(usd=0.6))
    async with asyncio.timeout(1):
        held = [await meter.reserve(0, usd) for usd in (0.1, 0.2, 0.3)]  # 0.6000000000000001
        for each in held:
            meter.settle(each, 0, 0.0)
        assert await meter.reserve(0, 0.6) == Reservation(0, 0.6)


async def test_a_waiting_reservation_fails_once_what_was_in_flight_used_too_much():
    meter = Meter("the run", Limits(tokens=100))
    first = await meter.reserve(80, 0.0)
    second = asyncio.create_task(meter.reserve(60, 0.0))
    await asyncio.sleep(0)
    assert not second.done()

    meter.settle(first, 70, 0.0)
    with pytest.raises(LimitExceeded) as caught:
        await second
    assert caught.value.limit == "tokens"
