"""Who needs whom: an order in which everything could run, or the circle that forbids one."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crewkit.coordinator.graph import Graph, dependents_of, topological
from crewkit.errors import DefinitionError


@st.composite
def graphs(draw: st.DrawFn, *, circles: bool) -> Graph:
    """Draw a graph in any order of its tasks; without circles unless they are allowed."""
    names = [f"t{i}" for i in range(draw(st.integers(0, 12)))]
    order = draw(st.permutations(names))
    graph: dict[str, tuple[str, ...]] = {}
    for i, name in enumerate(names):
        before = names if circles else names[:i]
        needs = draw(st.lists(st.sampled_from(before), unique=True, max_size=4)) if before else []
        graph[name] = tuple(needs)
    return {name: graph[name] for name in order}


@given(graphs(circles=False))
def test_every_task_stands_behind_its_needs(graph: Graph):
    order = topological(graph)

    assert sorted(order) == sorted(graph)
    place = {name: i for i, name in enumerate(order)}
    assert all(place[need] < place[name] for name, needs in graph.items() for need in needs)


@given(graphs(circles=True))
def test_the_circle_that_is_named_is_one(graph: Graph):
    circle = circle_of(graph)

    if circle:
        assert len(circle) > 1
        assert circle[0] == circle[-1]
        assert len(set(circle[1:])) == len(circle) - 1, "no task twice on the way round"
        assert all(need in graph[name] for name, need in pairwise(circle))
    else:
        place = {name: i for i, name in enumerate(topological(graph))}
        assert all(place[need] < place[name] for name, needs in graph.items() for need in needs)


def circle_of(graph: Graph) -> list[str]:
    """Return the circle that the error names; empty where there is none."""
    try:
        topological(graph)
    except DefinitionError as error:
        found = re.search(r"in a circle: (.+?)\. Take", str(error))
        return found[1].split(" → ") if found else [str(error)]
    return []


def test_tasks_without_needs_keep_the_order_in_which_they_were_written():
    assert topological({"c": (), "a": (), "b": ()}) == ["c", "a", "b"]


def test_a_task_that_needs_itself_is_the_smallest_circle():
    with pytest.raises(DefinitionError, match="a circle: a → a"):
        topological({"a": ("a",), "b": ()})


@given(graphs(circles=True))
def test_the_graph_turned_round_has_the_same_edges(graph: Graph):
    turned = dependents_of(graph)

    assert {(need, name) for name, needs in graph.items() for need in needs} == {
        (name, dependent) for name, dependents in turned.items() for dependent in dependents
    }
