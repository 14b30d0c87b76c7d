"""One function says whether a call may be made; whatever is wrong with a call, or with a check, denies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crewkit import CallContext, Grant, Scope, Tool, check_call, tool
from crewkit.core.verdict import Allow, Ask, Deny
from crewkit.tools.tool import tool_from_schema


@tool(effects="financial", control=["to", "amount"])
def pay(to: str, amount: float, note: str = "", *, urgent: bool = False) -> str:
    """Pay somebody.

    Args:
        to: Whom.
        amount: In euro.
        note: For the receiver.
        urgent: Today.
    """
    raise AssertionError("a check calls nothing")


SCOPE = Scope(Grant("pay", "never", where={"properties": {"amount": {"maximum": 100}}}))
GOOD = '{"to": "ann", "amount": 20}'


def test_a_call_within_its_grant_is_allowed_as_text_and_as_data():
    assert check_call(SCOPE, pay, GOOD) == Allow()
    assert check_call(SCOPE, pay, json.loads(GOOD)) == Allow()
    assert check_call(SCOPE, pay, ' {"to":"ann","amount":1e2,"urgent":true}\n') == Allow()
    assert isinstance(check_call(Scope("pay"), pay, GOOD), Ask)


BAD_JSON = {
    "truncated": '{"to": "ann", "amount": 20',
    "trailing": GOOD + "}",
    "twice": GOOD + GOOD,
    "fenced": f"```json\n{GOOD}\n```",
    "commented": '{"to": "ann", "amount": 20} // pay',
    "trailing comma": '{"to": "ann", "amount": 20,}',
    "single quotes": "{'to': 'ann', 'amount': 20}",
    "bare keys": "{to: 'ann', amount: 20}",
    "duplicate key": '{"to": "ann", "amount": 20, "amount": 2000}',
    "duplicate key, escaped": '{"to": "ann", "amount": 20, "\\u0061mount": 2000}',
    "NaN": '{"to": "ann", "amount": NaN}',
    "Infinity": '{"to": "ann", "amount": Infinity}',
    "-Infinity": '{"to": "ann", "amount": -Infinity}',
    "overflowing": '{"to": "ann", "amount": 1e999}',
    "5,000 digits": '{"to": "ann", "amount": ' + "9" * 5000 + "}",
    "5,000 decimals": '{"to": "ann", "amount": 0.' + "1" * 5000 + "}",
    "leading zero": '{"to": "ann", "amount": 020}',
    "plus": '{"to": "ann", "amount": +20}',
    "hexadecimal": '{"to": "ann", "amount": 0x14}',
    "deep": '{"to": ' + "[" * 5000 + "]" * 5000 + ', "amount": 20}',
    "very deep": "[" * 200_000,
    "huge": '{"to": "' + "a" * 2_000_000 + '", "amount": 20}',
    "lone surrogate, escaped": '{"to": "ann\\ud800", "amount": 20}',
    "lone surrogate": '{"to": "ann\ud800", "amount": 20}',
    "NUL": '{"to": "ann", "amount": 20}\0',
    "NUL inside": '{"to": "a\0nn", "amount": 20}',
    "control character": '{"to": "a\nnn", "amount": 20}',
    "BOM": "\ufeff" + GOOD,
    "empty": "",
    "blank": "  ",
    "null": "null",
    "list": "[" + GOOD + "]",
    "text": json.dumps(GOOD),
    "number": "20",
}
BAD_ARGUMENTS: dict[str, dict[str, Any]] = {
    "missing": {"to": "ann"},
    "unknown": {"x": 1},
    "cased": {"Amount": 20},
    "padded": {"amount ": 20},
    "zero width": {"amount\u200b": 20},
    "homoglyph": {"\u0430mount": 20},
    "trailing newline": {"amount\n": 20},
    "dunder": {"__class__": "x"},
    "prototype": {"__proto__": {"amount": 1}},
    "empty name": {"": 1},
    "number as text": {"amount": "20"},
    "bool as number": {"amount": True},
    "null": {"amount": None},
    "list": {"amount": [20]},
    "object": {"amount": {"$gt": 0}},
    "over the cap": {"amount": 100.01},
    "far over the cap": {"amount": 10**300},
    "text as list": {"to": ["ann"]},
    "number as name": {"to": 7},
    "bool as text": {"urgent": "true"},
    "number as bool": {"urgent": 1},
}


@pytest.mark.parametrize("raw", BAD_JSON.values(), ids=BAD_JSON.keys())
def test_what_is_not_strict_json_of_an_object_is_denied(raw: str):
    assert isinstance(check_call(SCOPE, pay, raw), Deny)
    assert isinstance(check_call(Scope("pay"), pay, raw), Deny)


@pytest.mark.parametrize("change", BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS.keys())
def test_arguments_that_are_not_the_tools_are_denied(change: dict[str, Any]):
    base = (
        {} if "to" in change and len(change) == 1 and change["to"] == "ann" else {"to": "ann", "amount": 20}
    )
    assert isinstance(check_call(SCOPE, pay, {**base, **change}), Deny)


@pytest.mark.parametrize(
    "data", [{"to": "ann", "amount": float("nan")}, {"to": {1}, "amount": 1}, {1: 2}, [], 7, None, b"{}"]
)
def test_data_that_is_no_json_is_denied(data: Any):
    assert isinstance(check_call(SCOPE, pay, data), Deny)


class Broken(Mapping[str, int]):
    """A count that cannot be read."""

    def __getitem__(self, key: str) -> int:
        raise OSError("gone")

    def __iter__(self) -> Iterator[str]:
        raise OSError("gone")

    def __len__(self) -> int:
        raise OSError("gone")

    def get(self, key: str, default: Any = None) -> int:
        raise OSError("gone")


def test_a_check_that_breaks_denies():
    scope = Scope(Grant("pay", "never", max_calls=1))
    assert check_call(scope, pay, GOOD, CallContext(calls=Broken())) == Deny(
        "The check failed: OSError: gone"
    )
    schema = {"type": "object", "properties": {"a": {"$ref": "https://evil.example/schema"}}}
    outside = tool_from_schema("outside", "Look.", schema, print, effects="read")
    assert isinstance(check_call(Scope("outside"), outside, {"a": 1}), Deny)
    assert isinstance(check_call(None, pay, GOOD), Deny)


def test_calls_are_counted():
    scope = Scope(Grant("pay", "never", max_calls=2))
    assert check_call(scope, pay, GOOD, CallContext(calls={"pay": 1})) == Allow()
    assert check_call(scope, pay, GOOD, CallContext(calls={"pay": 2})) == Deny(
        "'pay' may be called 2 times in a run, and it was."
    )


def test_the_example_in_the_documentation_holds():
    scope = Scope(Grant("pay", where={"properties": {"amount": {"maximum": 100}}}, approval="tainted"))
    context = CallContext(trusted=["Pay ann 20 euro."])
    assert check_call(scope, pay, GOOD, context) == Allow()
    assert check_call(scope, pay, GOOD, CallContext("Pay ann 20 euro.")) == Allow()
    assert check_call(scope, pay, '{"to": "eve", "amount": 20}', context) == Ask(
        "May 'pay' (financial) be called? Not from a trusted text: to."
    )


@pytest.mark.parametrize(
    ("call", "control", "asked"),
    [
        ({}, None, True),
        ({"folder": "/"}, None, True),
        ({"folder": "/home/ann"}, None, False),
        ({"folder": "/home/bob"}, None, True),
        ({}, ["folder"], True),
        ({}, [], False),
    ],
)
def test_a_call_that_no_text_can_ask_for_is_asked_about(call: Any, control: Any, asked: bool):
    schema = {"type": "object", "properties": {"folder": {"type": "string", "default": "/"}}}
    wipe = tool_from_schema("wipe", "Delete all.", schema, print, effects="write", control=control)
    verdict = check_call(
        Scope(Grant("wipe", "tainted")), wipe, call, CallContext(trusted=["Wipe /home/ann."])
    )
    assert isinstance(verdict, Ask if asked else Allow)


def test_what_was_paid_before_is_asked_about():
    scope = Scope(Grant("pay", approval="tainted"))
    context = CallContext(trusted=["Pay ann 20 euro."], repeated=True)
    assert check_call(scope, pay, GOOD, context) == Ask(
        "May 'pay' (financial) be called? It was already called with to='ann', amount=20."
    )


# Whatever comes


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
near = st.fixed_dictionaries(
    {}, optional={name: anything for name in ("to", "amount", "note", "urgent", "Amount", "__class__")}
)


def fits(call: Any) -> bool:
    """Say plainly whether arguments are what `SCOPE` allows of `pay`."""
    if not isinstance(call, dict) or not {"to", "amount"} <= call.keys() <= {
        "to",
        "amount",
        "note",
        "urgent",
    }:
        return False
    amount = call["amount"]
    return (
        isinstance(call["to"], str)
        and isinstance(amount, int | float)
        and not isinstance(amount, bool)
        and amount <= 100
        and isinstance(call.get("note", ""), str)
        and isinstance(call.get("urgent", False), bool)
    )


def storable(value: Any) -> bool:
    try:
        return len(json.dumps(value, allow_nan=False, ensure_ascii=False).encode()) < 100_000
    except (UnicodeEncodeError, ValueError):
        return False


@given(near | st.dictionaries(st.text(max_size=5), anything, max_size=3))
def test_only_fitting_arguments_are_allowed(call: Any):
    verdict = check_call(SCOPE, pay, call)
    assert isinstance(verdict, Allow if fits(call) and storable(call) else Deny)


@given(st.text() | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_no_text_breaks_the_check(raw: str):
    assert isinstance(check_call(SCOPE, pay, raw), Deny)


@given(st.integers(0, len(GOOD)), st.text(max_size=2))
def test_a_good_call_with_something_put_into_it_is_still_judged(at: int, more: str):
    verdict = check_call(SCOPE, pay, GOOD[:at] + more + GOOD[at:])
    if isinstance(verdict, Allow):
        assert fits(json.loads(GOOD[:at] + more + GOOD[at:]))


@given(st.text(min_size=1, max_size=8))
def test_only_the_exact_name_is_granted(name: str):
    try:
        named = Tool(name, "Do it.", {"type": "object"}, lambda: None, ("read",))
    except Exception:  # noqa: BLE001  no tool has such a name
        return
    assert isinstance(check_call(Scope("pay", "Pay"), named, {}), Allow if name in ("pay", "Pay") else Deny)
