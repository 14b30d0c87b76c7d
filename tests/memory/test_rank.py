import pytest

from crewkit.memory.rank import Pipeline, add_neighbours, fuse, named, scaled


def test_a_leg_is_scaled_from_its_worst_to_its_best() -> None:
    assert scaled({1: 2.0, 2: 4.0, 3: 3.0}) == {1: 0.0, 2: 1.0, 3: 0.5}
    assert scaled({1: 2.0}) == {1: 1.0}
    assert scaled({}) == {}


def test_legs_are_added_over_the_union_of_their_candidates() -> None:
    parts = fuse({"dense": {1: 0.2, 2: 0.6}, "lexical": {2: 1.0, 3: 4.0}}, Pipeline(dense=0.5))
    assert parts == {1: {"dense": 0.0}, 2: {"dense": 0.5, "lexical": 0.25}, 3: {"lexical": 1.0}}


def test_a_full_lexical_leg_begins_at_its_worst_candidate() -> None:
    assert fuse({"lexical": {1: 1.0, 2: 3.0}}, Pipeline(candidates=2)) == {
        1: {"lexical": 0.0},
        2: {"lexical": 1.0},
    }


def test_neighbours_share_in_both_directions() -> None:
    parts = {1: {"dense": 1.0}, 5: {"dense": 0.2}}
    add_neighbours(parts, {1: [2], 5: [4, 6]}, 0.5)
    assert parts[2] == {"neighbour": 0.5}
    assert parts[4] == {"neighbour": pytest.approx(0.1)}
    assert parts[1] == {"dense": 1.0}


def test_an_author_is_named_by_any_of_its_names() -> None:
    asked = frozenset({"ann", "say"})
    assert named("Ann", asked) == 1.0
    assert named("Ann Lee", asked) == 0.5
    assert named("", asked) == named("Bob", asked) == 0.0
