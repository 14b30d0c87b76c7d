"""Caps hold whatever is called at the same time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot

from crewkit.core.limits import CREW_LIMITS, Limits, Meter
from crewkit.errors import DefinitionError, LimitExceeded


@pytest.mark.parametrize("cap", [0, -1, True, "5", float("nan"), [1]])
def test_a_cap_is_a_number_above_0_or_none(cap: Any):
    with pytest.raises(DefinitionError, match="a cap is a number above 0, or None for no cap"):
        Limits(tokens=cap)


def test_what_is_left_out_comes_from_the_level_and_none_is_no_cap():
    limits = Limits(tokens=None, usd=1).over(CREW_LIMITS)
    assert limits.caps() == {
        "tokens": None,
        "usd": 1,
        "seconds": 1800,
        "steps": None,
        "rounds": 8,
        "depth": 3,
        "questions": 200,
    }


async def test_a_reservation_waits_while_what_is_in_flight_may_settle():
    meter = Meter("the run", Limits(tokens=100))
    first = await meter.reserve(80, 0)
    second = asyncio.create_task(meter.reserve(80, 0))
    await asyncio.sleep(0)
    assert not second.done()
    meter.settle(first, 10, 0)
    assert (await second).tokens == 80


async def test_a_reservation_fails_as_soon_as_waiting_cannot_help():
    meter = Meter("the run", Limits(tokens=100))
    first = await meter.reserve(80, 0)
    waiting = asyncio.create_task(meter.reserve(80, 0))
    await asyncio.sleep(0)
    meter.settle(first, 60, 0)
    with pytest.raises(LimitExceeded) as caught:
        await waiting
    assert str(caught.value) == snapshot("the run: 60 of 100 tokens used, and the next call may need 80.")
    assert caught.value.limit == "tokens"


async def test_a_reservation_that_never_fits_fails_at_once():
    meter = Meter("the run", Limits(usd=0.5))
    await meter.reserve(10, 0.4)
    with pytest.raises(LimitExceeded, match=r"the run: 0 of 0\.5 usd used, and the next call may need 0\.6"):
        await meter.reserve(10, 0.6)


async def test_a_parents_cap_holds_over_its_children():
    parent = Meter("the run", Limits(tokens=100))
    one, two = (Meter(f"Task '{n}'", Limits(tokens=90), (parent,)) for n in "ab")
    held = await one.reserve(60, 0)
    one.settle(held, 60, 0)
    with pytest.raises(LimitExceeded, match="the run: 60 of 100"):
        await two.reserve(60, 0)
    assert (one.tokens, two.tokens, parent.tokens) == (60, 0, 60)
    assert two.left()["tokens"] == 40


async def test_a_shared_parent_counts_once():
    run = Meter("the run", Limits())
    call = Meter("", Limits(), (Meter("task", Limits(), (run,)), Meter("agent", Limits(), (run,))))
    call.settle(await call.reserve(10, 1.0), 7, 0.5)
    assert run.used() == {"tokens": 7, "usd": 0.5, "steps": 1, "seconds": 0.0}


async def test_steps_are_counted_before_the_call():
    meter = Meter("Agent 'A'", Limits(steps=2))
    await meter.reserve(1, 0)
    await meter.reserve(1, 0)
    with pytest.raises(LimitExceeded, match=r"Agent 'A': 2 of 2 steps used\."):
        await meter.reserve(1, 0)


async def test_an_unknown_price_makes_the_sum_unknown():
    meter = Meter("the run", Limits())
    meter.settle(await meter.reserve(1, None), 1, None)
    assert meter.used()["usd"] is None


async def test_who_stops_waiting_does_not_take_the_turn_of_another():
    meter = Meter("the run", Limits(tokens=100))
    first = await meter.reserve(80, 0)
    quitter, patient = (asyncio.create_task(meter.reserve(80, 0)) for _ in range(2))
    await asyncio.sleep(0)
    quitter.cancel()
    await asyncio.sleep(0)
    meter.settle(first, 0, 0)
    assert (await asyncio.wait_for(patient, 1)).tokens == 80


CALLS = st.lists(
    st.tuples(
        st.integers(0, 2),  # whose call
        st.integers(1, 60),  # tokens reserved
        st.floats(0, 1),  # the part of it that is used
        st.integers(0, 3),  # turns of the loop in flight
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(CALLS, st.integers(1, 150), st.lists(st.integers(1, 150), min_size=3, max_size=3))
def test_used_and_reserved_never_exceed_a_cap(calls, run_cap: int, caps: list[int]):
    async def check() -> None:
        run = Meter("the run", Limits(tokens=run_cap))
        tasks = [Meter(f"Task '{i}'", Limits(tokens=cap), (run,)) for i, cap in enumerate(caps)]
        sent = [0, 0, 0]
        held = [0, 0, 0]

        async def one(who: int, tokens: int, part: float, turns: int) -> str:
            try:
                reservation = await tasks[who].reserve(tokens, 0)
            except LimitExceeded:
                return "refused"
            held[who] += tokens
            assert sum(sent) + sum(held) <= run_cap
            assert all(s + h <= cap for s, h, cap in zip(sent, held, caps, strict=True))
            for _ in range(turns):
                await asyncio.sleep(0)
            held[who] -= tokens
            sent[who] += int(tokens * part)
            tasks[who].settle(reservation, int(tokens * part), 0)
            return "done"

        ended = await asyncio.wait_for(asyncio.gather(*(one(*call) for call in calls)), 5)
        assert run.tokens == sum(sent)
        assert run.steps == ended.count("done")

    asyncio.run(check())
