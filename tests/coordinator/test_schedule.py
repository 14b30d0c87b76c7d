"""Any graph: each node at most once, only after its needs, never waiting for what it does not need."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crewkit.coordinator.graph import Graph
from crewkit.coordinator.schedule import Outcome, Schedule, Status


@dataclass(frozen=True)
class Script:
    """What a generated node does: yield a few times, then end this way."""

    status: Status
    passes: bool
    yields: int


@dataclass(frozen=True)
class Case:
    graph: Graph
    scripts: Mapping[str, Script]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    names = [f"t{i}" for i in range(draw(st.integers(1, 12)))]
    graph: dict[str, tuple[str, ...]] = {}
    scripts: dict[str, Script] = {}
    for i, name in enumerate(names):
        graph[name] = tuple(draw(st.lists(st.sampled_from(names[:i]), unique=True, max_size=4))) if i else ()
        status = draw(st.sampled_from(("completed", "completed", "failed", "waiting")))
        scripts[name] = Script(status, draw(st.booleans()), draw(st.integers(0, 4)))
    order = draw(st.permutations(names))
    return Case({name: graph[name] for name in order}, scripts)


def interpreted(case: Case) -> dict[str, str]:
    """Say what becomes of each task, one at a time, by the words of the design and nothing else."""
    ended: dict[str, str] = {}
    serves: dict[str, bool] = {}
    while len(ended) < len(case.graph):
        for name, needs in case.graph.items():
            if name in ended or any(need not in ended for need in needs):
                continue
            script = case.scripts[name]
            if any(ended[need] in ("failed", "skipped") and not serves[need] for need in needs):
                ended[name], serves[name] = "skipped", script.passes
            elif any(ended[need] in ("waiting", "stopped") for need in needs):
                ended[name], serves[name] = "stopped", False
            else:
                ended[name] = script.status
                serves[name] = script.status == "completed" or (script.status == "failed" and script.passes)
    return ended


class Player:
    """Does what the scripts say and keeps book."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.begun: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.schedule = Schedule(case.graph, self.do, skipped=self.skip)

    async def do(self, name: str) -> Outcome:
        self.begun[name] += 1
        for need in self.case.graph[name]:
            assert self.schedule.outcomes[need].serves, f"{name} was begun before {need} served it"
        script = self.case.scripts[name]
        for _ in range(script.yields):
            await asyncio.sleep(0)
        return Outcome(script.status, passes=script.status == "failed" and script.passes)

    def skip(self, name: str, why: str) -> Outcome:
        self.skipped[name] += 1
        assert any(f"'{need}'" in why for need in self.case.graph[name]), why
        return Outcome("skipped", why=why, passes=self.case.scripts[name].passes)


@given(cases())
def test_any_graph_ends_as_if_its_tasks_were_taken_one_by_one(case: Case):
    player = Player(case)
    outcomes = asyncio.run(player.schedule.run())

    expected = interpreted(case)
    assert {name: outcomes[name].status for name in case.graph} == expected
    ran = ("completed", "failed", "waiting")
    assert player.begun == Counter(name for name, status in expected.items() if status in ran)
    assert player.skipped == Counter(name for name, status in expected.items() if status == "skipped")


def skip(_name: str, why: str) -> Outcome:
    return Outcome("skipped", why=why)


class Gates:
    """Tasks that end when the test says so."""

    def __init__(self, graph: Graph) -> None:
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self.gates: dict[str, asyncio.Future[Outcome]] = {}
        self.schedule = Schedule(graph, self.do, skipped=skip)

    async def do(self, name: str) -> Outcome:
        self.begun.append(name)
        self.gates[name] = asyncio.get_running_loop().create_future()
        try:
            return await self.gates[name]
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise

    async def end(self, name: str, status: Status = "completed") -> None:
        self.gates[name].set_result(Outcome(status))
        await idle()


async def idle() -> None:
    """Let everything go on that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_fast_branch_never_waits_for_a_slow_sibling():
    gates = Gates({"slow": (), "fast": (), "next": ("fast",), "last": ("next",), "join": ("slow", "last")})
    running = asyncio.create_task(gates.schedule.run())
    await idle()

    await gates.end("fast")
    await gates.end("next")
    await gates.end("last")
    assert gates.begun == ["slow", "fast", "next", "last"], "the whole fast branch, while 'slow' runs"
    assert "slow" not in gates.schedule.outcomes

    await gates.end("slow")
    await gates.end("join")
    assert {o.status for o in (await running).values()} == {"completed"}


async def test_halting_cancels_what_runs_and_starts_nothing_more():
    gates = Gates({"done": (), "running": (), "after": ("running",), "later": ("done", "after")})
    running = asyncio.create_task(gates.schedule.run())
    await idle()
    await gates.end("done")

    gates.schedule.halt("Somebody said so.")
    outcomes = await running

    assert gates.cancelled == ["running"]
    assert outcomes["done"].status == "completed"
    for name in ("running", "after", "later"):
        assert (outcomes[name].status, outcomes[name].why) == ("stopped", "Somebody said so.")


async def test_draining_lets_what_runs_end_and_starts_nothing_more():
    gates = Gates({"first": (), "after": ("first",)})
    running = asyncio.create_task(gates.schedule.run())
    await idle()

    gates.schedule.drain("The cap is reached.")
    gates.schedule.drain("Another reason, later.")
    await gates.end("first")
    outcomes = await running

    assert gates.begun == ["first"]
    assert outcomes["first"].status == "completed"
    assert (outcomes["after"].status, outcomes["after"].why) == ("stopped", "The cap is reached.")


async def test_a_task_that_waits_is_entered_again_when_woken_and_what_needs_it_goes_on():
    gates = Gates({"asks": (), "busy": (), "after": ("asks",)})
    running = asyncio.create_task(gates.schedule.run())
    await idle()
    await gates.end("asks", "waiting")
    assert gates.begun == ["asks", "busy"]

    gates.schedule.wake()
    await idle()
    assert gates.begun == ["asks", "busy", "asks"]
    await gates.end("asks")
    await gates.end("after")
    await gates.end("busy")

    assert {o.status for o in (await running).values()} == {"completed"}


async def test_waking_enters_nothing_once_the_schedule_is_drained():
    gates = Gates({"asks": (), "busy": ()})
    running = asyncio.create_task(gates.schedule.run())
    await idle()
    await gates.end("asks", "waiting")

    gates.schedule.drain("The cap is reached.")
    gates.schedule.wake()
    await gates.end("busy")

    assert (await running)["asks"].status == "waiting"
    assert gates.begun == ["asks", "busy"]


async def test_what_needs_a_waiting_task_is_told_to_wait_for_a_person():
    gates = Gates({"asks": (), "after": ("asks",)})
    running = asyncio.create_task(gates.schedule.run())
    await idle()
    await gates.end("asks", "waiting")

    outcomes = await running
    assert outcomes["asks"].status == "waiting"
    assert (outcomes["after"].status, outcomes["after"].why) == ("stopped", "The run waits for a person.")


async def test_a_mistake_in_the_engine_surfaces_as_itself_and_cancels_the_rest():
    gates = Gates({"broken": (), "running": (), "after": ("running",)})
    running = asyncio.create_task(gates.schedule.run())
    await idle()
    mistake = LookupError("not one of ours")

    gates.gates["broken"].set_exception(mistake)
    with pytest.raises(LookupError) as caught:
        await running

    assert caught.value is mistake
    assert gates.cancelled == ["running"]
    assert gates.begun == ["broken", "running"]


async def test_cancelling_the_run_leaves_no_task_behind():
    gates = Gates({"a": (), "b": (), "after": ("a", "b")})
    before = asyncio.all_tasks()
    running = asyncio.create_task(gates.schedule.run())
    await idle()

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert sorted(gates.cancelled) == ["a", "b"]
    assert asyncio.all_tasks() == before


async def test_a_thousand_tasks_in_a_row_do_not_exhaust_the_stack():
    names = [f"t{i}" for i in range(3_000)]
    graph = {name: (names[i - 1],) if i else () for i, name in enumerate(names)}

    async def fail(_name: str) -> Outcome:
        return Outcome("failed")

    async def succeed(_name: str) -> Outcome:
        return Outcome("completed")

    failed = await Schedule(graph, fail, skipped=skip).run()
    assert [failed[name].status for name in names[:2]] == ["failed", "skipped"]
    assert failed[names[-1]].status == "skipped"
    done = await Schedule(graph, succeed, skipped=skip).run()
    assert {outcome.status for outcome in done.values()} == {"completed"}
