"""Going round in a circle: noticed, told once, then ended."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crewkit.agents.repetition import LONGEST_CYCLE, PATIENCE, PATIENCE_WITH_EFFECTS, Called, Repetition
from crewkit.errors import RunError


def look(query: str, result: str = "nothing", *, effect: bool = False) -> Called:
    return Called("look", f'{{"query": "{query}"}}', result, effect)


def outcome(turns: list[list[Called]]) -> tuple[int, int]:
    """After how many turns it was told and ended; 0 where it was not."""
    watch, told = Repetition(), 0
    for n, turn in enumerate(turns, 1):
        try:
            said = watch.add(turn)
        except RunError:
            return told, n
        told = told or (n if said else 0)
    return told, 0


def test_the_same_call_with_the_same_result_is_told_once_and_then_ends_the_task():
    watch = Repetition()
    assert [watch.add([look("tides")]) for _ in range(2)] == ["", ""]
    assert watch.add([look("tides")]).startswith(
        'You are going round in a circle: look({"query": "tides"}), 3 times, and the results were the same each time.'
    )
    with pytest.raises(RunError, match=r'look\(\{"query": "tides"\}\), 4 times with the same result'):
        watch.add([look("tides")])


@pytest.mark.parametrize("length", range(1, LONGEST_CYCLE + 1))
def test_a_cycle_is_told_after_three_rounds_and_ended_when_it_goes_on(length: int):
    cycle = [[look(str(n))] for n in range(length)]
    assert outcome(cycle * 10) == (PATIENCE * length, PATIENCE * length + 1)


def test_a_cycle_is_named_in_its_order():
    watch = Repetition()
    said = [watch.add([look(q)]) for _ in range(3) for q in "ab"][-1]
    assert 'look({"query":"a"}), then look({"query":"b"})' in said


def test_the_order_and_the_form_of_the_arguments_do_not_matter():
    spaced = Called("look", '{ "query" :"a" }', "nothing")
    assert outcome([[look("a"), look("b")], [look("b"), spaced], [look("a"), look("b")]]) == (3, 0)


def test_polling_and_paging_with_changing_results_are_no_loops():
    assert outcome([[look("state", f"{n} %")] for n in range(50)]) == (0, 0)
    assert outcome([[look(f"page {n}", "same")] for n in range(50)]) == (0, 0)
    assert outcome([[look("a"), look(f"{n}")] for n in range(50)]) == (0, 0)


def test_who_leaves_a_circle_and_comes_back_is_ended_sooner():
    circle = [[look("a")]] * 3
    assert outcome([*circle, [look("b")], *circle]) == (3, 7)


def test_effects_that_count_each_time_are_given_more_patience():
    turns = [[look("step", "ok", effect=True)]] * 20
    assert outcome(turns) == (PATIENCE_WITH_EFFECTS, PATIENCE_WITH_EFFECTS + 1)


def test_arguments_that_are_no_json_are_compared_as_they_are():
    assert outcome([[Called("look", "{broken", "invalid")]] * 5) == (3, 4)


turns = st.lists(
    st.lists(st.builds(look, st.sampled_from("abc"), st.sampled_from("xy")), max_size=2), max_size=30
)


@given(turns)
def test_it_never_ends_what_it_has_not_told_and_says_the_same_again_after_a_resume(
    history: list[list[Called]],
):
    told, ended = outcome(history)
    assert not ended or 0 < told < ended
    assert outcome(history) == (told, ended)


@given(turns)
def test_a_history_without_three_equal_turns_is_let_alone(history: list[list[Called]]):
    seen = [tuple(sorted(call.signature() for call in turn)) for turn in history]
    if all(seen.count(turn) < PATIENCE for turn in seen):
        assert outcome(history) == (0, 0)
