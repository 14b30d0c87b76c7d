"""A schema on the arguments lets nothing slip through: not by type, not by half a match."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crewkit import Grant, Scope
from crewkit.checks.call import check_call
from crewkit.checks.where import where
from crewkit.core.verdict import Allow, Deny
from crewkit.tools.tool import tool_from_schema


def problem(schema: dict[str, Any], **arguments: Any) -> str:
    return where(schema, "Grant('x')").problem(arguments, Path("/"))


def prop(**schema: Any) -> dict[str, Any]:
    return {"properties": {"a": schema}}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (prop(maximum=100), [100, 100.0, -1, 0], [101, 100.5, "1", "100", True, None, [1], {"a": 1}, 10**30]),
        (prop(minimum=0), [0, 5], [-1, "5", False]),
        (prop(exclusiveMaximum=5), [4.9], [5, "4"]),
        (prop(multipleOf=5), [0, 10], [7, "10", True]),
        (prop(type="integer"), [5, 5.0], [5.5, "5", True]),
        (prop(enum=["a", 1]), ["a", 1], ["A", "a ", "a\n", "1", "\u0430"]),
        (prop(const=True), [True], [1, "true", 1.0]),
        (prop(maxLength=3), ["abc"], ["abcd", 1, ["a"]]),
        (prop(maxItems=1), [[], ["x"]], [["x", "y"], "x", {"0": "x"}]),
        (prop(items={"maximum": 1}), [[0, 1]], [[2], ["0"], "0"]),
        (prop(required=["b"]), [{"b": 1}], [{}, [], "b"]),
        (prop(format="email"), ["a@x.com"], ["ax.com", 5]),
        (prop(format="uuid"), ["6b7a5a3c-7b1e-4a41-9a43-0c2f9a1f1d5e"], ["6b7a", 5]),
        # Patterns match whole texts
        (prop(pattern="[a-z]+"), ["abc"], ["abc1", "1abc", "abc\n", "ABC", "", 5]),
        (prop(pattern="^[a-z]+$"), ["abc"], ["abc\n", "abc1", "x\nabc"]),
        (prop(pattern="^a|b$"), ["a", "b"], ["ax", "xb"]),
        (prop(pattern="a|ab"), ["ab", "a"], ["abx"]),
        (prop(pattern=".*@example\\.org"), ["x@example.org"], ["x@example.org.evil", "x@example\u3002org"]),
        (prop(pattern="(?i)yes"), ["YES"], ["yess"]),
        # What is said the other way round holds in both readings
        (prop(**{"not": {"pattern": "evil"}}), ["good"], ["evil", "evil.example", "an evil one"]),
        (prop(**{"not": {"const": "x"}}), ["y"], ["x"]),
        (prop(anyOf=[{"type": "null"}, {"maximum": 5}]), [None, 4], [6, "4"]),
        ({"required": ["a"]}, [1, None], []),
        ({"additionalProperties": False, "properties": {"b": {}}}, [], [1]),
        ({"patternProperties": {"^a": {"maximum": 3}}}, [3], [4]),
        ({"propertyNames": {"enum": ["a"]}}, [1], []),
        ({"$defs": {"small": {"maximum": 3}}, "properties": {"a": {"$ref": "#/$defs/small"}}}, [3], [4, "3"]),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, [], [1]),
    ],
)
def test_a_schema_holds(schema: dict[str, Any], good: list[Any], bad: list[Any]):
    for value in good:
        assert problem(schema, a=value) == "", value
    for value in bad:
        assert problem(schema, a=value), value


def test_a_text_too_long_to_match_does_not_match():
    assert problem(prop(pattern="(a+)+"), a="a" * 10_000) == ""
    assert problem(prop(pattern="a+"), a="a" * 10_001)


def test_what_is_left_out_counts_as_its_default():
    schema = {"type": "object", "properties": {"amount": {"type": "number", "default": 500}}}
    pay = tool_from_schema("pay", "Pay.", schema, lambda amount=500: amount, effects="financial")
    scope = Scope(Grant("pay", "never", where={"properties": {"amount": {"maximum": 100}}}))
    assert check_call(scope, pay, {"amount": 100}) == Allow()
    assert isinstance(check_call(scope, pay, {}), Deny)


def test_the_refusal_says_what_was_expected():
    assert problem(prop(maximum=100), a=150) == "a: got 150; expected: maximum 100"


def test_the_same_schema_is_the_same_constraint():
    one = where({"required": ["a"], "properties": {"a": {"maximum": 1}}}, "x")
    assert one == where({"properties": {"a": {"maximum": 1}}, "required": ["a"]}, "x")
