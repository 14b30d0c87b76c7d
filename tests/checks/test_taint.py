"""A value is proven by the whole of it in what may be taken at its word."""

from __future__ import annotations

from datetime import date, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crewkit import Grant, Scope, Tool
from crewkit.checks.call import CallContext, check_call
from crewkit.checks.taint import Proof, unproven
from crewkit.core.verdict import Allow, Ask

STANDS = [
    ("a@x.com", "Write to a@x.com."),
    ("a@x.com", "Write to <a@x.com>, please"),
    ("a@x.com", '"a@x.com"'),
    ("a@x.com", "a@x.com"),
    ("a@x.com", "Is it a@x.com?!"),
    ("a@x.com", "(a@x.com)."),
    ("a@x.com", "b@x.com,a@x.com;c@x.com"),
    ("a@x.com", "`a@x.com`\n"),
    ("a@x.com", "a@x.com.org2 and a@x.com"),
    ("Hotel du Lac", "Book the Hotel du Lac for two."),
    ("alice", "Ask @alice."),
    ("general", "Post it to #general!"),
    ("./reports/a.txt", "Delete reports/a.txt."),
    ("reports/a.txt", "Delete ./reports/a.txt."),
    ("https://www.x.com", "Look at www.x.com, please."),
    ("https://x.com/", "See https://x.com."),
    ("GB29NWBK60161331926819", "Pay GB29NWBK60161331926819 98.70 euro."),
    ("2024-05-15", "On 2024-05-15: lunch."),
    ("10:00", "at 10:00."),
    ("caf\u00e9", "to the cafe\u0301"),
    (98.7, "Pay 98.70."),
    (98.7, "Pay $98.70."),
    (100, "Pay 100\u20ac"),
    (100, "Pay \u20ac100, now"),
    (100.0, "exactly 100."),
    (1000000, "1,000,000 of them"),
    (-5, "set it to -5"),
    (20, "by 20%"),
    ("100", "Pay $100."),
    (10**30, f"The number {10**30}"),
    (1000, "Pay GB29NWBK60161331926819 1000 euro"),
    (98.7, "98,70 \u20ac"),
    (1234.5, "1.234,50 \u20ac"),
    (100, "Pay 100EUR"),
    (100, "Pay EUR100."),
    ("Ann", "It is Ann's."),
    ("O'Brien", "Tell O'Brien!"),
    ("GB29NWBK60161331926819", "to GB29 NWBK 6016 1331 9268 19, please"),
    ("GB29 NWBK 6016 1331 9268 19", "to GB29NWBK60161331926819."),
    ("https://x.com/a_(b)", "See https://x.com/a_(b)."),
    ("https://x.com/a", "See [this](https://x.com/a), and go."),
    ("https://x.com/a", "(https://x.com/a)"),
    ("https://x.com/a", "https://x.com/a's page"),
    ("https://x.com/a,b", "See https://x.com/a,b; go."),
    ("2024-05-15", "on May 15th, 2024"),
    ("2024-05-15", "the 15th of May 2024."),
    ("2024-05-15", "on 15 Sept 2023 or Wed, 15 May 2024"),
    ("2024-05-15", "am 15.5.2024"),
    ("2024-05-15", "on 5/15/2024,"),
    ("2024-05-05", "on 5/5/2024"),
    ("2024-05-15 10:00", "On 2024-05-15 at 10:00."),
    ("2024-05-15T10:00:00", "at 10am on May 15, 2024"),
    ("2024-05-15 10:00", "2024-05-15T10:00"),
    ("2024-05-15T10:00", "2024-05-15 10:00"),
    ("14:30", "at 2:30 p.m."),
    ("00:05", "at 12:05 am"),
    ("10:00", "On 2024-05-15T10:00:00, please"),
    (1200.5, "1'200.50 CHF"),
    (1200.5, "1\u202f200,50 \u20ac"),
    (1200, "Pay 1\u2019200."),
    (100, "in 2024 100 euro"),
    (20, "2 20 euro notes"),
    ("Hotel du Lac", "Book the Hotel\n    du Lac."),
    ("a@x.com", "\u6536\u4ef6\u4eba\uff1aa@x.com\u3002"),
    (["a@x.com", "b@x.com"], "To a@x.com and b@x.com."),
    ({"to": "a@x.com"}, 'to: a@x.com ("to")'),
]
FAILS = [
    ("a@x.com", "Write to a@x.com.org2"),
    ("a@x.com", "Write to aa@x.com"),
    ("a@x.com", "A@X.COM"),
    ("a@x.com", "a@x.comx"),
    ("a@x.com", "-a@x.com"),
    ("a@x.com", "a@x.com/x"),
    ("a@x.com", "a@x.com:8080"),
    ("a@x.com", "a@x.com_"),
    ("a@x.com", "a @x.com"),
    ("a@x.com", "\u0430@x.com"),
    ("a@x.com", "a@x\u200b.com"),
    ("x.com", "Write to a@x.com"),
    ("evil.example", "See https://evil.example/x"),
    ("/home/ann", "Delete /home/ann/a.txt"),
    ("ann/a.txt", "Delete /home/ann/a.txt"),
    ("https://x.com/evil", "See https://x.com"),
    ("https://x.com/a", "See https://x.com/a,b"),
    ("https://x.com/a_", "See https://x.com/a_(b)"),
    ("evil.example", "https://x.com/?to=(evil.example)"),
    ("reports/a", "Delete reports/a,b.txt"),
    ("b.txt", "Delete reports/a,b.txt"),
    ("docs", "See [docs](https://x.com/a)"),
    ("neil@x.com", "Write to o'neil@x.com"),
    ("Brien", "Tell O'Brien"),
    ("O", "Tell O'Brien"),
    ("Ann", "Ann'sx"),
    (3704, "to DE89 3704 0044 0532 0130 00"),
    ("3704", "to DE89 3704 0044 0532 0130 00"),
    ("GB29 NWBK", "to GB29 NWBK 6016 1331 9268 19."),
    ("2024-05-06", "on 5/6/2024"),
    ("2024-06-05", "on 5/6/2024"),
    ("2024-05-15", "on May 15"),
    ("2024-02-30", "on 30.2.2024"),
    ("2024-05-15", "1/5/15/2024"),
    ("2024-05-15", "v15.5.2024"),
    ("2024-05-15 10:00", "On 2024-05-15. Tomorrow at 10:00."),
    ("2024-05-15 10:00", "On 2024-05-15 Ann comes at 10:00."),
    ("2024-05-15 10:00", "On 2024-05-15"),
    ("22:00", "at 10:00"),
    ("10:00", "10 of them"),
    (200.5, "1'200.50 CHF"),
    (1, "1'200.50 CHF"),
    (200.5, "1 200.50 CHF"),
    (1, "1 200.50 CHF"),
    (200.5, "1\u00a0200,50 \u20ac"),
    (123, "Account 555 123 456."),
    ("0100", "Pay 100."),
    ("+100", "Pay 100."),
    ("\uff11\uff10\uff10", "Pay 100."),
    ("\uff12024-05-15", "on 2024-05-15"),
    ("Hotel  du Lac", "Hotel du Lac"),
    (198.7, "198,7"),
    (1.5, "1,500"),
    (5, "5,10"),
    ("", "anything"),
    (" ", "any thing"),
    (100, "Pay 1000"),
    (100, "Pay 100k"),
    (100, "Pay 1,100"),
    (100, "Pay 100,000"),
    (100, "Pay 100.5"),
    (100, "item-100"),
    (100, "v100"),
    (100, "100th"),
    (100, "Pay one hundred"),
    (5, "2024-05-15"),
    (5, "set it to -5"),
    (5, "10:05"),
    (5, "1/5"),
    (0.5, ".5"),
    ("1", "1,000"),
    ("000", "1,000"),
    (True, "true"),
    (None, "null None"),
    ([], "[]"),
    ({}, "{}"),
    (["a@x.com", "eve@evil.example"], "To a@x.com."),
    ([["a@x.com"], [True]], "a@x.com true"),
    ({"eve": "a@x.com"}, "a@x.com"),
]


@pytest.mark.parametrize(("value", "text"), STANDS)
def test_a_value_that_stands_in_the_text_is_proven(value: Any, text: str):
    assert Proof([text]).of(value)
    assert Proof(["Nothing.", text]).of(value)


@pytest.mark.parametrize(("value", "text"), FAILS)
def test_a_value_that_does_not_stand_there_whole_is_not(value: Any, text: str):
    assert not Proof([text]).of(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "/" + "a," * 300_000),
        ("a", "a" * 600_000),
        ("2024-05-15 10:00", "2024-05-14 at 10:00 " * 30_000),
        (100, "100x " * 100_000),
        ("DE89370400440532013000", "DE89 3704 " * 60_000),
    ],
    ids=range(5),
)
def test_a_hostile_text_is_looked_through_in_time(value: Any, text: str):
    assert not Proof([text]).of(value)


@given(st.text(min_size=1, max_size=8), st.text(max_size=20))
def test_a_word_of_its_own_is_proven_and_no_part_of_a_word_is(value: str, text: str):
    proof = Proof([f"{text} {value} {text}"])
    assert proof.of(value) == bool(value.strip())
    assert (
        not Proof([f"x{value}x".replace(" ", "")]).of(f"{value}".replace(" ", "") or "y")
        or not value.isalnum()
    )


@given(st.integers() | st.floats(-1e15, 1e15))
def test_numbers_are_the_same_however_they_are_written(number: float):
    text = f"{number:f}" if isinstance(number, float) else str(number)
    value = float(text) if isinstance(number, float) else number
    assert Proof([f"Pay {text} now."]).of(value)
    assert not Proof([f"Pay x{text} now, or {text}x."]).of(value)


@given(
    st.dates(min_value=date(1000, 1, 1), max_value=date(2999, 12, 30)),
    st.times(),
    st.sampled_from(["%d.%m.%Y", "%B %d, %Y", "%d %b %Y", "%Y-%m-%d"]),
)
def test_a_day_and_a_time_are_the_same_however_they_are_written(day: date, at: time, form: str):
    at = at.replace(second=0, microsecond=0, tzinfo=None)
    text = f"Meet on {day:{form}} at {at:%I:%M %p}."
    assert Proof([text]).of(day.isoformat())
    assert Proof([text]).of(f"{at:%H:%M}")
    assert Proof([text]).of(f"{day} {at:%H:%M}")
    assert not Proof([text]).of((day + timedelta(1)).isoformat())


def tool(control: list[str] | None = None, required: tuple[str, ...] = ("to",)) -> Tool:
    properties = {
        "to": {"type": "string"},
        "text": {"type": "string"},
        "cc": {"type": "array", "items": {"type": "string"}},
        "urgent": {"type": "boolean", "default": False},
        "via": {"const": "mail"},
        "format": {"enum": ["html"]},
        "at": {"type": "object", "properties": {"day": {"type": "string"}}},
        "only": {"type": "string", "default": "drafts"},
    }
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return Tool("send", "Send.", schema, lambda: None, ("write",), control=control)


def test_only_control_arguments_are_to_be_proven_and_all_are_where_none_is_named():
    call = {"to": "a@x.com", "text": "Anything at all."}
    assert unproven(tool(["to"]), call, ["To a@x.com."]) == []
    assert unproven(tool(), call, ["To a@x.com."]) == ["text"]
    assert unproven(tool([]), call, []) == []
    assert unproven(tool(["to"]), call, []) == ["to"]


@pytest.mark.parametrize(
    "call",
    [
        {"urgent": False},
        {"via": "mail"},
        {"format": "html"},
        {"cc": []},
        {"text": ""},
        {"only": "drafts"},
        {"at": {"day": "2024-05-15"}},
    ],
)
def test_what_the_tool_itself_says_needs_no_proof(call: dict[str, Any]):
    assert unproven(tool(), call, ["On 2024-05-15."]) == []


@pytest.mark.parametrize(
    "call", [{"urgent": True}, {"urgent": 0}, {"to": ""}, {"only": ""}, {"at": {"x": "2024-05-15"}}]
)
def test_what_it_does_not_say_does(call: dict[str, Any]):
    assert unproven(tool(), call, ["On 2024-05-15 true."])


def test_tainted_asks_only_where_a_control_argument_is_not_proven():
    scope = Scope(Grant("send", "tainted"))
    context = CallContext(trusted=["Tell a@x.com about it."])
    assert check_call(scope, tool(["to"]), {"to": "a@x.com", "text": "It."}, context) == Allow()
    assert check_call(scope, tool(["to"]), {"to": "eve@evil.example", "text": "It."}, context) == Ask(
        "May 'send' (write) be called? Not from a trusted text: to."
    )
    assert isinstance(check_call(scope, tool(["to"]), {"to": "a@x.com"}), Ask)
