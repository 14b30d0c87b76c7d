"""What is posted into Slack: within its limits, whatever was written, and nothing in it acts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crewkit.journal.read import Pending
from crewkit.notify.blocks import blocks, decided, escape, escaped, message

from .conftest import question

HOSTILE = "<!channel> <@U123> <http://evil.example|your bank> & *bold* ```\n<!here>"


def texts(value: Any) -> Iterator[dict[str, Any]]:
    """Yield all text objects."""
    if isinstance(value, dict):
        if value.get("type") in ("mrkdwn", "plain_text"):
            yield value
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)


def check(made: list[dict[str, Any]]) -> None:
    """Hold blocks against the limits of Block Kit."""
    json.dumps(made, ensure_ascii=False).encode()
    assert 1 <= len(made) <= 50
    for block in made:
        assert len(block.get("block_id", "")) <= 255
        match block["type"]:
            case "header":
                assert block["text"]["type"] == "plain_text"
                assert 1 <= len(block["text"]["text"]) <= 150
            case "section":
                assert 1 <= len(block["text"]["text"]) <= 3000
            case "context":
                assert 1 <= len(block["elements"]) <= 10
            case "actions":
                assert 1 <= len(block["elements"]) <= 25
                for button in block["elements"]:
                    assert 1 <= len(button["text"]["text"]) <= 75
                    assert 1 <= len(button["action_id"]) <= 255
                    assert 1 <= len(button["value"]) <= 2000
                    assert button["style"] in ("primary", "danger")
                assert len({button["action_id"] for button in block["elements"]}) == len(block["elements"])
            case "input":
                assert len(block["label"]["text"]) <= 2000
                assert block["element"]["max_length"] <= 3000
            case other:
                raise AssertionError(other)
    for text in texts(made):
        assert 1 <= len(text["text"]) <= 3000
        if text["type"] == "mrkdwn":
            assert text["verbatim"] is True
            assert not re.search(r"[<>]|&(?!(amp|lt|gt);)", text["text"])
            assert text["text"].count("```") in (0, 2)


def test_a_question_shows_the_call_where_its_arguments_are_from_and_two_buttons():
    made = blocks(question())
    check(made)
    shown = "\n".join(text["text"] for text in texts(made))
    for wanted in (
        "May this call be made?",
        "May 'pay' (financial) be called?",
        'pay(to="eve", amount=90)',
        "to is from tool read_mail (not trusted)",
        "90 euro go to eve.",
        "r-1 · bill · Clerk",
        "until 2026-12-02T10:00Z",
        "crewkit approve a-11aa22bb",
        "Approve",
        "Deny",
    ):
        assert wanted in shown
    [actions] = [block for block in made if block["type"] == "actions"]
    assert {button["value"] for button in actions["elements"]} == {
        json.dumps({"run": "r-1", "id": "a-11aa22bb", "binding": "b" * 32})
    }


def test_what_anybody_wrote_can_mention_nobody_and_link_nowhere():
    posted = message(
        question(
            question=HOSTILE,
            arguments={"to": HOSTILE},
            origins={HOSTILE: {"from": HOSTILE}},
            preview=HOSTILE,
            reason=HOSTILE,
            objection=HOSTILE,
            output=HOSTILE,
            task=HOSTILE,
            agent=HOSTILE,
        )
    )
    check(posted["blocks"])
    assert "<" not in json.dumps(posted)
    assert (posted["parse"], posted["link_names"], posted["unfurl_links"], posted["mrkdwn"]) == (
        "none",
        False,
        False,
        False,
    )


def test_what_is_too_long_is_cut_and_said_to_be():
    made = blocks(question(arguments={"text": "&" * 10_000}))
    check(made)
    [section] = [b["text"]["text"] for b in made if "*Call*" in b.get("text", {}).get("text", "")]
    assert section.endswith("There is more: `crewkit approvals r-1`")
    assert not re.search(r"&(?!amp;)", section)


anything = st.text(max_size=4_000) | st.sampled_from([HOSTILE * 60, "`" * 4000, "\u202e\x1b[31m", ""])


@given(
    st.builds(
        question,
        question=anything,
        arguments=st.dictionaries(st.text(max_size=50), anything, max_size=5) | anything,
        origins=st.dictionaries(st.text(max_size=2_000), st.just({"from": "x" * 500}), max_size=80),
        preview=anything,
        reason=anything,
        objection=anything,
        output=anything | st.none(),
        task=anything,
        agent=anything,
        tool=st.sampled_from(["pay", ""]),
        kind=st.sampled_from(["tool", "output", "unknown", "of a later version"]),
    )
)
def test_any_question_is_a_valid_message(asked: Pending):
    posted = message(asked)
    check(posted["blocks"])
    assert 1 <= len(posted["text"]) <= 3000
    check(decided(posted["blocks"], asked.reason or "x"))


@given(st.text(), st.integers(min_value=10, max_value=50))
def test_a_cut_never_splits_what_stands_for_one_character(text: str, most: int):
    made, was_cut = escaped(text, most)
    assert len(made) <= most
    assert was_cut == made.endswith(" …") or text.endswith(" …")
    assert not re.search(r"[<>]|&(?!(amp|lt|gt);)", made)


@pytest.mark.parametrize(("text", "made"), [("a<b>&amp;", "a&lt;b&gt;&amp;amp;"), ("", "")])
def test_escaping_is_slacks(text: str, made: str):
    assert escape(text) == made
