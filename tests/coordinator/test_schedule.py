"""Each task the moment its own needs are met, once, whatever becomes of the others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crewkit.coordinator.schedule import Outcome, Schedule

DONE = Outcome("completed")
FAILED = Outcome("failed", why="broken")
PASSES = Outcome("failed", why="broken", passes=True)


def skipped(name: str, why: str) -> Outcome:
    return Outcome("skipped", why=why)


def schedule(graph, do, skip=skipped) -> Schedule:
    return Schedule(graph, do, skipped=skip)


def statuses(outcomes) -> dict[str, str]:
    return {name: outcome.status for name, outcome in outcomes.items()}


async def test_a_fast_branch_never_waits_for_a_slow_sibling():
    deep = asyncio.Event()

    async def do(name: str) -> Outcome:
        if name == "slow":
            await asyncio.wait_for(deep.wait(), 5)
        if name == "fast3":
            deep.set()
        return DONE

    graph = {"slow": (), "fast1": (), "fast2": ("fast1",), "fast3": ("fast2",), "end": ("slow", "fast3")}
    assert set(statuses(await schedule(graph, do).run()).values()) == {"completed"}


async def test_all_that_can_start_starts_at_once():
    barrier = asyncio.Barrier(200)

    async def do(name: str) -> Outcome:
        await asyncio.wait_for(barrier.wait(), 10)
        return DONE

    outcomes = await schedule({f"t{i}": () for i in range(200)}, do).run()
    assert len(outcomes) == 200


async def test_an_exception_of_the_engine_ends_it_as_itself_and_cancels_the_rest():
    cancelled: list[str] = []

    async def do(name: str) -> Outcome:
        if name == "broken":
            await asyncio.sleep(0)
            raise ZeroDivisionError("by zero")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(name)
            raise
        return DONE

    with pytest.raises(ZeroDivisionError, match="by zero"):
        await schedule({"a": (), "b": (), "broken": (), "after": ("broken",)}, do).run()
    assert sorted(cancelled) == ["a", "b"]


async def test_cancelling_it_cancels_what_runs_and_leaves_nothing_behind():
    running = asyncio.Event()
    left: list[str] = []

    async def do(name: str) -> Outcome:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            left.append(name)
        return DONE

    task = asyncio.create_task(_run(schedule({"a": ()}, do)))
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left == ["a"]


async def test_drain_starts_nothing_more_and_lets_the_running_end():
    entered, leave = asyncio.Event(), asyncio.Event()

    async def do(name: str) -> Outcome:
        if name == "long":
            entered.set()
            await leave.wait()
        return DONE

    it = schedule({"long": (), "after": ("long",)}, do)
    task = asyncio.create_task(_run(it))
    await entered.wait()
    it.drain("enough")
    leave.set()
    outcomes = await task
    assert statuses(outcomes) == {"long": "completed", "after": "stopped"}
    assert outcomes["after"].why == "enough"


async def test_halt_cancels_the_running_and_says_why():
    entered = asyncio.Event()

    async def do(name: str) -> Outcome:
        if name == "quick":
            return DONE
        entered.set()
        await asyncio.Event().wait()
        return DONE

    it = schedule({"quick": (), "long": (), "after": ("long",)}, do)
    task = asyncio.create_task(_run(it))
    await entered.wait()
    await asyncio.sleep(0)
    it.halt("cancelled")
    outcomes = await task
    assert statuses(outcomes) == {"quick": "completed", "long": "stopped", "after": "stopped"}
    assert {outcomes[name].why for name in ("long", "after")} == {"cancelled"}


async def test_what_waits_is_entered_again_when_woken_and_then_its_dependents():
    decided = asyncio.Event()
    slow = asyncio.Event()
    entries: list[str] = []

    async def do(name: str) -> Outcome:
        entries.append(name)
        if name == "asks" and not decided.is_set():
            return Outcome("waiting", approvals=("a-1",))
        if name == "after":
            slow.set()
        if name == "slow":
            await slow.wait()
        return DONE

    it = schedule({"slow": (), "asks": (), "after": ("asks",)}, do)
    task = asyncio.create_task(_run(it))
    while "asks" not in it.outcomes:
        await asyncio.sleep(0)
    it.wake()
    while entries.count("asks") < 2 or "asks" not in it.outcomes:
        await asyncio.sleep(0)
    decided.set()
    it.wake()
    assert set(statuses(await task).values()) == {"completed"}
    assert entries.count("asks") == 3
    assert entries.count("after") == 1


async def test_what_waits_is_left_waiting_and_what_needs_it_is_stopped():
    async def do(name: str) -> Outcome:
        return Outcome("waiting", approvals=("a-1",)) if name == "asks" else DONE

    outcomes = await schedule({"asks": (), "free": (), "after": ("asks", "free")}, do).run()
    assert statuses(outcomes) == {"asks": "waiting", "free": "completed", "after": "stopped"}


async def test_waking_after_a_halt_starts_nothing():
    async def do(name: str) -> Outcome:
        return Outcome("waiting")

    it = schedule({"asks": ()}, do)
    await it.run()
    it.halt("over")
    it.wake()
    assert statuses(it.outcomes) == {"asks": "waiting"}


# Any graph

Policy = str
cases = st.integers(1, 10).flatmap(
    lambda n: st.tuples(
        st.tuples(
            *(st.sets(st.integers(0, max(i - 1, 0)), max_size=4) if i else st.just(set()) for i in range(n))
        ),
        st.lists(st.booleans(), min_size=n, max_size=n),  # fails
        st.lists(st.sampled_from(["fail", "skip", "continue"]), min_size=n, max_size=n),
        st.lists(st.integers(0, 3), min_size=n, max_size=n),  # turns of the loop it takes
    )
)


def reference(
    graph: dict[str, tuple[str, ...]], fails: dict[str, bool], policy: dict[str, Policy]
) -> dict[str, str]:
    """What should become of each task, worked out one by one in the order of their names."""
    ended: dict[str, str] = {}
    for name, needs in graph.items():
        served = all(ended[need] == "completed" or policy[need] == "continue" for need in needs)
        ended[name] = "skipped" if not served else "failed" if fails[name] else "completed"
    return ended


@settings(max_examples=300, deadline=None)
@given(cases)
def test_any_graph_runs_each_task_once_after_its_needs(case: Any):
    needs, fail, policies, turns = case
    names = [f"t{i:02}" for i in range(len(needs))]
    graph = {names[i]: tuple(names[j] for j in sorted(of)) for i, of in enumerate(needs)}
    fails, policy = dict(zip(names, fail, strict=True)), dict(zip(names, policies, strict=True))
    entered: list[str] = []
    ended: set[str] = set()

    async def do(name: str) -> Outcome:
        assert all(need in ended for need in graph[name])
        entered.append(name)
        for _ in range(turns[names.index(name)]):
            await asyncio.sleep(0)
        ended.add(name)
        return Outcome("failed", passes=policy[name] == "continue") if fails[name] else DONE

    def skip(name: str, why: str) -> Outcome:
        ended.add(name)
        return Outcome("skipped", why=why, passes=policy[name] == "continue")

    outcomes = asyncio.run(_run(schedule(graph, do, skip)))
    assert statuses(outcomes) == reference(graph, fails, policy)
    assert len(entered) == len(set(entered))
    assert set(entered) == {name for name, outcome in outcomes.items() if outcome.status != "skipped"}


async def _run(it: Schedule):
    return await it.run()
