"""Who needs whom."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crewkit.coordinator.graph import dependents_of, topological
from crewkit.errors import DefinitionError


def test_the_order_is_as_near_to_the_given_one_as_the_needs_allow():
    assert topological({"c": ("a",), "a": (), "b": ()}) == ["a", "b", "c"]
    assert topological({"b": (), "a": ()}) == ["b", "a"]


@pytest.mark.parametrize(
    ("graph", "circle"),
    [
        ({"a": ("a",)}, "a → a"),
        ({"a": ("b",), "b": ("a",)}, "a → b → a"),
        ({"x": ("a",), "a": ("b",), "b": ("c",), "c": ("a",), "free": ()}, "a → b → c → a"),
        ({"free": (), "a": ("free", "b"), "b": ("a",), "after": ("a",)}, "a → b → a"),
    ],
)
def test_a_circle_is_shown_and_nothing_that_only_waits_for_it(graph, circle):
    with pytest.raises(DefinitionError) as caught:
        topological(graph)
    assert str(caught.value) == (
        f"Tasks wait for each other in a circle: {circle}. Take one of these needs away."
    )


graphs = st.integers(1, 12).flatmap(
    lambda n: st.tuples(*(st.sets(st.integers(0, n - 1), max_size=4) for _ in range(n)))
)


@given(graphs)
def test_every_graph_is_ordered_or_has_its_circle_shown(needs):
    graph = {f"t{i}": tuple(f"t{j}" for j in sorted(of)) for i, of in enumerate(needs)}
    try:
        order = topological(graph)
    except DefinitionError as error:
        circle = str(error).split(": ")[1].split(".")[0].split(" → ")
        assert circle[0] == circle[-1]
        assert all(after in graph[before] for before, after in pairwise(circle))
    else:
        assert sorted(order) == sorted(graph)
        assert all(order.index(need) < order.index(name) for name in graph for need in graph[name])


@given(graphs)
def test_dependents_turn_needs_round(needs):
    graph = {f"t{i}": tuple(f"t{j}" for j in sorted(of)) for i, of in enumerate(needs)}
    turned = dependents_of(graph)
    assert {(a, b) for a in graph for b in graph[a]} == {(a, b) for b in turned for a in turned[b]}
