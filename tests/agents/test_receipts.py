"""Receipts: an answer names the calls that it rests on, and is not believed where they were not made."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from pydantic import BaseModel

from crewkit.agents.output import Output, WrongAnswer
from crewkit.agents.receipts import Receipt, wants_receipts


class Claim(BaseModel):
    text: str
    source: Receipt


@dataclass
class Report:
    claims: list[Claim]
    checked: Receipt | None = None


def test_a_type_says_whether_it_wants_receipts():
    assert wants_receipts(Output(Report).schema)
    assert wants_receipts(Output(Claim).schema)
    assert not wants_receipts(Output(dict[str, str]).schema)
    assert not wants_receipts(Output(str).schema)


def test_a_receipt_of_a_call_that_was_made_is_accepted():
    text = '{"claims": [{"text": "It is 12 m.", "source": "c1"}]}'
    assert Output(Report).parse(text, {"c1": "measure"}).claims[0].source == "c1"


def test_a_false_receipt_is_refused_with_its_place_and_the_true_ones():
    text = '{"claims": [{"text": "a", "source": "c1"}, {"text": "b", "source": "c9"}], "checked": "c8"}'
    with pytest.raises(WrongAnswer) as caught:
        Output(Report).parse(text, {"c1": "measure"})
    assert (
        "claims.1.source: Value error, 'c9' is not the id of a tool call that succeeded. "
        "Calls that did: c1 (measure)"
    ) in str(caught.value)
    assert "'c8' is not the id" in str(caught.value)
    assert "claims.0" not in str(caught.value)


def test_where_no_call_is_known_none_is_true():
    with pytest.raises(WrongAnswer, match="Calls that did: none"):
        Output(Claim).parse('{"text": "a", "source": "c1"}', {})


def test_a_recorded_output_is_read_without_its_calls():
    assert Output(Claim).load({"text": "a", "source": "c1"}).source == "c1"
