"""Conversations by plain functions: who speaks, who may, and when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from crewkit.coordinator.bus import Bus
from crewkit.coordinator.conversation import Ended, Rules, Said, Transitions, circling, converse, pairs
from crewkit.core.messages import Message

REVIEW = Transitions(
    {"Writer": ["Reviewer"], "Reviewer": ["Tester"]}, back={"Reviewer": ["Writer"], "Tester": ["Writer"]}
)


def held(rules: Rules, lines: Any, *, chosen: Sequence[str] = (), enough: int = 10**9) -> Ended:
    """Hold a conversation; `lines` says what is said, by speaker and round."""
    choices = list(chosen)

    async def speak(name: str, number: int, missing: str) -> Said:
        said = lines(name, number)
        said = Said(name, said) if isinstance(said, str) else said
        return replace(said, speaker=name, round=number)

    async def choose(candidates: Sequence[str], number: int) -> str:
        return choices.pop(0) if choices else candidates[0]

    async def content(said: Sequence[Said]) -> str | None:
        return None if len(said) >= enough else ""

    return asyncio.run(converse(rules, speak, choose, content))


def order(ended: Ended) -> str:
    return " ".join(f"{each.speaker}" for each in ended.said)


def new(name: str, number: int) -> str:
    return f"{name} {number}"


def test_members_speak_in_turn_until_there_is_enough():
    ended = held(Rules(("A", "B", "C")), new, enough=5)
    assert (order(ended), ended.early) == ("A B C A B", False)


def test_the_cap_on_rounds_ends_it_early():
    ended = held(Rules(("A", "B"), rounds=3), new)
    assert (order(ended), ended.early) == ("A B A", True)
    assert ended.why == "The 3 rounds of the conversation are used up."


def test_one_who_spoke_is_not_chosen_twice_in_a_row():
    asked: list[Sequence[str]] = []

    async def speak(name: str, number: int, missing: str) -> Said:
        return Said(name, new(name, number))

    async def choose(candidates: Sequence[str], number: int) -> str:
        asked.append(candidates)
        return candidates[-1] if number < 3 else ""

    async def content(said: Sequence[Said]) -> str | None:
        return ""

    ended = asyncio.run(converse(Rules(("A", "B", "C")), speak, choose, content))
    assert asked == [["A", "B", "C"], ["A", "B"], ["C", "A"]]
    assert (order(ended), ended.why, ended.early) == ("C B", "Nobody had more to say.", False)


def test_two_who_used_up_their_messages_make_room_for_others():
    ended = held(Rules(("A", "B", "C"), rounds=8, pair=1), new)
    # A-B, B-C and C-A have spoken once; then nobody may answer the one who spoke last.
    assert order(ended) == "A B C A"
    assert ended.early
    assert "used up" in ended.why


def hand(to: str, kind: Any = "message") -> Said:
    return Said("", f"to {to}", kind, to)


def test_it_goes_back_on_a_failure_alone_and_ends_with_who_hands_over_to_nobody():
    back = [True, True, False]

    def lines(name: str, number: int) -> Said:
        match name:
            case "Writer":
                return replace(hand("Reviewer"), text=f"version {number}")
            case "Reviewer":
                return hand("Writer", "failure") if back.pop(0) else hand("Tester")
            case _:
                return hand("end")

    ended = held(Rules(("Writer", "Reviewer", "Tester"), REVIEW), lines)
    assert order(ended) == "Writer Reviewer Writer Reviewer Writer Reviewer Tester"
    assert (ended.why, ended.early) == ("Tester ended it.", False)


def test_going_back_is_capped_per_pair():
    def lines(name: str, number: int) -> Said:
        return hand("Reviewer") if name == "Writer" else Said("", f"wrong {number}", "failure", "Writer")

    ended = held(Rules(("Writer", "Reviewer", "Tester"), REVIEW, pair=4), lines)
    assert order(ended) == "Writer Reviewer Writer Reviewer"
    assert (ended.why, ended.early) == ("The 4 messages between Reviewer and Writer are used up.", True)


def test_what_the_graph_does_not_allow_is_refused_with_what_it_does():
    assert REVIEW.refusal(Said("Writer", "", "message", "Reviewer")) == ""
    assert REVIEW.refusal(Said("Reviewer", "", "failure", "Writer")) == ""
    assert REVIEW.refusal(Said("Reviewer", "", "message", "Writer")) == (
        "Reviewer may not send a message to Writer. Allowed for Reviewer: a message to Tester, a failure to Writer."
    )
    assert REVIEW.refusal(Said("Writer", "", "failure", "Reviewer")) == (
        "Writer may not send a failure to Reviewer. Allowed for Writer: a message to Reviewer."
    )


def test_a_conversation_in_circles_ends():
    words = {"A": "After you.", "B": "No, after YOU!"}
    ended = held(Rules(("A", "B"), rounds=50), lambda name, _: words[name])
    assert order(ended) == "A B A B"
    assert ended.early
    assert ended.why == "It went in circles: the last 2 messages, of A, B, say what they had said before."


def test_figures_are_something_new():
    said = [Said("A", f"We are at {i} of the 12 pumps now") for i in range(9)]
    assert circling(said) == ""
    assert circling([*said, said[3], said[4]])


def test_one_repetition_among_news_is_no_circle():
    said = [Said("A", "One"), Said("B", "Two"), Said("A", "One"), Said("B", "Three")]
    assert circling(said) == ""


def test_pairs_are_counted_by_who_is_addressed_or_answered():
    said = [Said("A", "x"), Said("B", "y"), Said("C", "z", to="A"), Said("A", "w", to="C")]
    assert dict(pairs(said)) == {frozenset("AB"): 1, frozenset("AC"): 2}


@given(
    st.integers(2, 5),
    st.integers(1, 12),
    st.none() | st.integers(1, 3),
    st.lists(st.integers(0, 4), max_size=12),
)
def test_no_conversation_oversteps_its_caps(members: int, rounds: int, pair: int | None, picks: list[int]):
    names = tuple("ABCDE"[:members])

    async def speak(name: str, number: int, missing: str) -> Said:
        return Said(name, new(name, number))

    async def choose(candidates: Sequence[str], number: int) -> str:
        return candidates[picks[number - 1] % len(candidates)] if number <= len(picks) else candidates[0]

    async def content(said: Sequence[Said]) -> str | None:
        return ""

    ended = asyncio.run(converse(Rules(names, rounds=rounds, pair=pair), speak, choose, content))
    assert 1 <= len(ended.said) <= rounds
    assert ended.early
    assert all(one.speaker != other.speaker for one, other in zip(ended.said, ended.said[1:], strict=False))
    if pair is not None:
        assert all(count <= pair for count in pairs(ended.said).values())


def test_a_message_reaches_those_it_is_for_and_is_recorded_once():
    recorded: list[Message] = []
    bus = Bus(recorded.append)
    bus.send(Message("message", "A", "everyone", "talk", 1, "hello"), among=["B", "C"])
    bus.send(Message("message", "B", "C", "talk", 2, "psst"))
    assert [m.content for m in recorded] == ["hello", "psst"]
    assert [bus.take(name, "talk") is not None for name in ("A", "B", "C", "C", "B")] == [
        False,
        True,
        True,
        True,
        False,
    ]
