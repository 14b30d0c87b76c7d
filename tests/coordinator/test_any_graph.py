"""Any graph ends as if its tasks were taken one by one, waiting and skipping included."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from crewkit.coordinator.graph import AnyOf, Graph, Need, names_in, topological
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
    graph: dict[str, tuple[Need, ...]] = {}
    scripts: dict[str, Script] = {}
    for i, name in enumerate(names):
        graph[name] = ()
        if i:
            earlier = st.sampled_from(names[:i])
            joins = st.lists(earlier, unique=True, min_size=1, max_size=3).map(tuple).map(AnyOf)
            graph[name] = (
                *draw(st.lists(earlier, unique=True, max_size=4)),
                *draw(st.lists(joins, max_size=2)),
            )
        status = draw(st.sampled_from(("completed", "completed", "failed", "waiting")))
        scripts[name] = Script(status, draw(st.booleans()), draw(st.integers(0, 4)))
    order = draw(st.permutations(names))
    return Case({name: graph[name] for name in order}, scripts)


def interpreted(case: Case) -> dict[str, str]:
    """Say what becomes of each task, one at a time, by the words of the design and nothing else."""
    ended: dict[str, str] = {}
    serves: dict[str, bool] = {}

    def lost(need: Need) -> bool:
        if isinstance(need, AnyOf):
            return all(ended[name] in ("failed", "skipped") for name in need.names)
        return ended[need] in ("failed", "skipped") and not serves[need]

    def open(need: Need) -> bool:
        names = need.names if isinstance(need, AnyOf) else (need,)
        return any(ended[name] in ("waiting", "stopped") for name in names)

    while len(ended) < len(case.graph):
        for name, needs in case.graph.items():
            if name in ended or any(need not in ended for need in names_in(needs)):
                continue
            script = case.scripts[name]
            if any(lost(need) for need in needs):
                ended[name], serves[name] = "skipped", script.passes
            elif any(open(need) for need in needs):
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
        outcomes = self.schedule.outcomes
        for need in self.case.graph[name]:
            if isinstance(need, AnyOf):
                assert any(outcomes[each].status == "completed" for each in need.names), f"{name}, {need}"
            else:
                assert outcomes[need].serves, f"{name} was begun before {need} served it"
        script = self.case.scripts[name]
        for _ in range(script.yields):
            await asyncio.sleep(0)
        return Outcome(script.status, passes=script.status == "failed" and script.passes)

    def skip(self, name: str, why: str) -> Outcome:
        self.skipped[name] += 1
        assert any(f"'{need}'" in why for need in names_in(self.case.graph[name])), why
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


@given(cases())
def test_any_graph_has_an_order_in_which_needs_come_first(case: Case):
    order = topological(case.graph)
    assert sorted(order) == sorted(case.graph)
    for name, needs in case.graph.items():
        assert all(order.index(need) < order.index(name) for need in names_in(needs))


def skip(_name: str, why: str) -> Outcome:
    return Outcome("skipped", why=why)


async def test_three_thousand_tasks_in_a_row_do_not_exhaust_the_stack():
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
