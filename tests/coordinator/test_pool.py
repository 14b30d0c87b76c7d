"""A pool does each item once, so many at a time, and keeps what succeeded."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crewkit.coordinator.pool import Pool
from crewkit.coordinator.schedule import Outcome


@given(
    st.lists(
        st.tuples(st.sampled_from(["completed", "completed", "failed", "waiting"]), st.integers(0, 3)),
        max_size=30,
    ),
    st.integers(1, 5),
    st.integers(0, 30),
)
def test_any_pool_does_each_item_once_and_stops_only_where_too_many_failed(
    scripts, concurrency: int, may_fail: int
):
    begun: list[int] = []
    under_way = 0

    async def do(i: int) -> Outcome:
        nonlocal under_way
        begun.append(i)
        under_way += 1
        assert under_way <= concurrency
        for _ in range(scripts[i][1]):
            await asyncio.sleep(0)
        under_way -= 1
        return Outcome(scripts[i][0])

    pool = Pool(range(len(scripts)), do, concurrency=concurrency, may_fail=may_fail)
    outcomes = asyncio.run(pool.run())
    assert begun == sorted(set(begun))  # in their order, each once
    assert {i: outcome.status for i, outcome in outcomes.items()} == {i: scripts[i][0] for i in begun}
    if pool.failed <= may_fail:
        assert len(begun) == len(scripts)
    else:
        assert pool.failed <= may_fail + concurrency


async def test_a_waiting_item_makes_room_and_is_entered_again_when_somebody_decides():
    decided = asyncio.Event()
    slow = asyncio.Event()
    entered: list[int] = []

    async def do(i: int) -> Outcome:
        entered.append(i)
        if i == 0 and not decided.is_set():
            return Outcome("waiting")
        if i == 1:
            await slow.wait()
        if i == 0:
            slow.set()  # what waited is done while its slow sibling still runs
        return Outcome("completed")

    pool = Pool(range(2), do, concurrency=2, may_fail=0)
    running = asyncio.create_task(pool.run())
    while 1 not in entered:
        await asyncio.sleep(0)
    decided.set()
    pool.wake()
    outcomes = await asyncio.wait_for(running, 30)
    assert {i: o.status for i, o in outcomes.items()} == {0: "completed", 1: "completed"}


async def test_a_drained_pool_ends_what_runs_and_begins_nothing_more():
    entered: list[int] = []

    async def do(i: int) -> Outcome:
        entered.append(i)
        pool.drain("no more")
        return Outcome("completed")

    pool = Pool(range(5), do, concurrency=2, may_fail=0)
    outcomes = await pool.run()
    assert (entered, sorted(outcomes), pool.halted) == ([0, 1], [0, 1], "no more")


async def test_a_mistake_in_an_item_cancels_the_others_and_is_raised_as_itself():
    cancelled: list[int] = []

    async def do(i: int) -> Outcome:
        if i == 1:
            raise KeyError("broken")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(i)
            raise
        raise AssertionError

    with pytest.raises(KeyError, match="broken"):
        await Pool(range(3), do, concurrency=3, may_fail=9).run()
    assert cancelled == [0, 2]
