"""Foreign schemas, of whatever draft or provider: good arguments are taken, others refused, names and ends exact."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crewkit import Allow, DefinitionError, Deny, Grant, Scope, Tool, check_call, tool_from_schema
from crewkit.core.pattern import ecma


def tool_of(schema: Any, description: str = "Do it.") -> Tool:
    return tool_from_schema("f", description, schema, lambda **_: None, effects="read")


def verdict(tool: Tool, arguments: Any) -> Any:
    return check_call(Scope("f"), tool, arguments)


def prop(**schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": schema}}


DRAFT_4 = "http://json-schema.org/draft-04/schema#"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
DRAFT_2019 = "https://json-schema.org/draft/2019-09/schema"
TUPLE = [{"type": "integer"}, {"type": "string"}]
LINKED = {"type": "object", "properties": {"x": {"type": "integer"}, "next": {"$ref": "#/$defs/N"}}}

CASES: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "anything": ({"type": "object"}, [{}, {"x": 1}], []),
    "no arguments": ({"type": "object", "properties": {}}, [{}], [{"x": 1}]),
    "no type": ({"properties": {"a": {"type": "integer"}}}, [{"a": 1}, {}], [{"a": "x"}, {"b": 1}]),
    "names of Python's types": (
        {"type": "dict", "properties": {"a": {"type": "float"}, "b": {"type": "tuple", "items": {"type": "int"}}}},
        [{"a": 1.5, "b": [1]}],
        [{"a": "x"}, {"b": ["x"]}, {"b": 1}],
    ),
    "names in capitals": ({"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}, [{"a": "x"}], [{"a": 1}]),
    "any": (prop(type="any"), [{"a": 1}, {"a": "x"}, {"a": None}], [{"b": 1}]),
    "nullable": (prop(type="string", nullable=True), [{"a": None}, {"a": "x"}], [{"a": 1}]),
    "nullable and listed": (prop(type="string", nullable=True, enum=["x"]), [{"a": None}, {"a": "x"}], [{"a": "y"}]),
    "nullable, said elsewhere": (
        prop(oneOf=[{"type": "string"}, {"type": "integer"}], nullable=True, description="Either."),
        [{"a": None}, {"a": "x"}, {"a": 1}],
        [{"a": 1.5}, {"a": []}],
    ),
    "nullable and constant": (prop(const="x", nullable=True), [{"a": None}, {"a": "x"}], [{"a": "y"}]),
    "not nullable": (prop(type="string", nullable=False), [{"a": "x"}], [{"a": None}]),
    "a list of types": (prop(type=["string", "null"]), [{"a": None}, {"a": "x"}], [{"a": 1}]),
    "exclusive, as a boolean": (prop(type="number", minimum=0, exclusiveMinimum=True), [{"a": 1}], [{"a": 0}]),
    "exclusive, not": (prop(type="number", minimum=0, exclusiveMinimum=False), [{"a": 0}], [{"a": -1}]),
    "Draft 4": (
        {"$schema": DRAFT_4, **prop(type="number", maximum=9, exclusiveMaximum=True)},
        [{"a": 8}],
        [{"a": 9}],
    ),
    "Draft 7": ({"$schema": DRAFT_7, **prop(type="array", items=TUPLE)}, [{"a": [1, "x"]}], [{"a": ["x", 1]}]),
    "Draft 2019": (
        {"$schema": DRAFT_2019, **prop(dependentRequired={"x": ["y"]})},
        [{"a": {"y": 1}}],
        [{"a": {"x": 1}}],
    ),
    "tuples, unsaid": (prop(type="array", items=TUPLE), [{"a": [1, "x"]}], [{"a": ["x", 1]}]),
    "tuples, closed": (
        prop(type="array", items=TUPLE, additionalItems=False),
        [{"a": [1, "x"]}],
        [{"a": [1, "x", 2]}],
    ),
    "required, as a boolean": (
        {"properties": {"a": {"type": "string", "required": True}, "b": {"required": False}}},
        [{"a": "x"}],
        [{}, {"b": 1}],
    ),
    "dependencies": (
        {"properties": {"a": {}, "b": {}}, "dependencies": {"a": ["b"]}},
        [{"a": 1, "b": 2}, {"b": 1}],
        [{"a": 1}],
    ),
    "definitions": (
        {"properties": {"a": {"$ref": "#/definitions/A"}}, "definitions": {"A": {"type": "integer"}}},
        [{"a": 1}],
        [{"a": "x"}],
    ),
    "recursion": (
        {"properties": {"a": {"$ref": "#/$defs/N"}}, "$defs": {"N": LINKED}},
        [{"a": {"x": 1, "next": {"next": {"x": 2}}}}],
        [{"a": {"next": {"x": "y"}}}],
    ),
    "all of": (
        {"type": "object", "allOf": [{"properties": {"a": {"type": "string"}}, "required": ["a"]}]},
        [{"a": "x"}],
        [{}, {"a": 1}],
    ),
    "one of": (
        {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        [{"a": 1}, {"b": 1}],
        [{}, {"a": 1, "b": 1}],
    ),
    "a map": ({"type": "object", "additionalProperties": {"type": "integer"}}, [{"q": 1}], [{"q": "x"}]),
    "open": ({"type": "object", "properties": {"a": {}}, "additionalProperties": True}, [{"q": 1}], []),
    "whole numbers": (prop(type="integer"), [{"a": 1.0}, {"a": 10**300}, {"a": -1}], [{"a": 1.5}, {"a": True}]),
    "patterns end where they end": (prop(type="string", pattern="^[a-z]+$"), [{"a": "ab"}], [{"a": "ab\n"}]),
    "digits are digits": (prop(type="string", pattern=r"^\d+$"), [{"a": "12"}], [{"a": "\uff11\uff12"}, {"a": "1\n"}]),
    "letters of any script": (prop(type="string", pattern=r"^\p{L}+$"), [{"a": "\u00fcber"}], [{"a": "1"}]),
    "named groups": (prop(type="string", pattern="^(?<y>[0-9]{4})$"), [{"a": "2024"}], [{"a": "24"}]),
    "a draft that it is not of": (
        {"$schema": DRAFT_7, **prop(type="number", minimum=0, exclusiveMinimum=True)},
        [{"a": 1}],
        [{"a": 0}],
    ),
    "nothing required, in Draft 4": ({"$schema": DRAFT_4, **prop(type="string"), "required": []}, [{}], [{"a": 1}]),
    "words that are null": (
        {**prop(type="string", pattern=None, default=None), "required": None},
        [{"a": "x"}],
        [{"a": 1}],
    ),
    "a tuple of nothing": (prop(type="array", items=[]), [{"a": [1]}], [{"a": 1}]),
    "a list of whole numbers": (prop(type="List[int]"), [{"a": [1]}], [{"a": ["x"]}, {"a": 1}]),
    "an array of texts": (prop(type="ArrayList<String>"), [{"a": ["x"]}], [{"a": [1]}]),
    "optional": (prop(type="Optional[str]"), [{"a": "x"}, {"a": None}], [{"a": 1}]),
    "one or the other": (prop(type="integer|string"), [{"a": 1}, {"a": "x"}], [{"a": 1.5}]),
    "a union": (prop(type="Union[int, str]"), [{"a": 1}, {"a": "x"}], [{"a": None}]),
    "a day": (prop(type="datetime"), [{"a": "2024-05-15"}], [{"a": 1}]),
    "the same twice": (prop(type=["string", "str"]), [{"a": "x"}], [{"a": 1}]),
    "cents": (prop(type="number", multipleOf=0.01), [{"a": 19.99}, {"a": 0.07}, {"a": 1e300}], [{"a": 0.001}]),
    "a class before a dash": (prop(type="string", pattern=r"^[\w-_.]+$"), [{"a": "a-_."}], [{"a": "!"}, {"a": "\\"}]),
    "itself": (
        {"type": "object", "properties": {"a": {"type": "integer"}, "next": {"$ref": "#"}}},
        [{"next": {"a": 1}}],
        [{"next": {"a": "x"}}],
    ),
    "properties with the names of words": (
        {"type": "object", "properties": {"type": {"type": "str"}, "items": {"type": "int"}, "$ref": {"type": "str"}}},
        [{"type": "dict", "items": 1, "$ref": "#/x"}],
        [{"type": 1}, {"items": "x"}, {"$ref": 1}],
    ),
    "values that look like schemas": (
        prop(enum=[{"type": "dict"}]),
        [{"a": {"type": "dict"}}],
        [{"a": {"type": "object"}}],
    ),
    "nothing at all": ({}, [{}, {"x": 1}], []),
    "an object, or nothing": ({"type": ["object", "null"], "properties": {"a": {}}}, [{"a": 1}, {}], [{"b": 1}]),
    "OpenAPI's components": (
        {
            **prop(**{"$ref": "#/components/schemas/A"}),
            "components": {"schemas": {"A": prop(type="number", minimum=0, exclusiveMinimum=True, nullable=True)}},
        },
        [{"a": {"a": 1}}, {"a": {"a": None}}],
        [{"a": {"a": 0}}, {"a": {"a": "x"}}],
    ),
    "numbers in quotes": (
        prop(type="ARRAY", items={"type": "NUMBER", "minimum": "0.5"}, minItems="1"),
        [{"a": [1]}],
        [{"a": []}, {"a": [0]}, {"a": "1"}],
    ),
    "required, as a word": (
        {"properties": {"a": {"type": "string", "required": "true"}, "b": {"required": "false"}}, "required": True},
        [{"a": "x"}],
        [{}, {"b": 1}],
    ),
    "required, among the properties": (
        {"properties": {"a": {"type": "string"}, "required": ["a", "a"]}},
        [{"a": "x"}],
        [{}, {"a": "x", "required": []}],
    ),
    "required twice": ({**prop(type="string"), "required": ["a", "a"]}, [{"a": "x"}], [{}]),
    "a type in the place of a schema": ({"properties": {"a": "string", "b": "int"}}, [{"a": "x", "b": 1}], [{"a": 1}]),
    "texts, as in TypeScript": (prop(type="string[]"), [{"a": ["x"]}], [{"a": [1]}, {"a": "x"}]),
    "one or another, in words": (prop(type="string or integer"), [{"a": 1}, {"a": "x"}], [{"a": 1.5}]),
    "types with their modules": (
        {"properties": {"a": {"type": "datetime.date"}, "b": {"type": "java.lang.Double"}}},
        [{"a": "2024-05-15", "b": 1.5}],
        [{"a": 1}, {"b": "x"}],
    ),
    "an enum as a type": (prop(type="enum", enum=["x", 1]), [{"a": "x"}, {"a": 1}], [{"a": "y"}]),
    "a wide character": (prop(type="string", pattern=r"^[\u{1F600}-\u{1F64F}]$"), [{"a": "\U0001f600"}], [{"a": "x"}]),
    "Draft 3": (
        {
            "$schema": "http://json-schema.org/draft-03/schema#",
            "extends": {"properties": {"z": {"type": "integer", "required": True}}},
            **prop(type="integer", divisibleBy=5),
        },
        [{"a": 5, "z": 1}],
        [{"a": 6, "z": 1}, {"a": 5}, {"z": "x"}],
    ),
    "an unknown format": (prop(type="string", format="card-number"), [{"a": "x"}], [{"a": 1}]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_good_arguments_are_taken_and_others_refused(case: tuple[Any, list[Any], list[Any]]):
    schema, good, bad = case
    before = copy.deepcopy(schema)
    tool = tool_of(schema)
    for arguments in good:
        assert verdict(tool, arguments) == Allow(), arguments
    for arguments in bad:
        assert isinstance(verdict(tool, arguments), Deny), arguments
    assert schema == before, "the caller's schema is left as it was"
    json.dumps(tool.parameters)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array"},
        {"type": "string"},
        {"type": "nonsense"},
        {"properties": []},
        {"properties": {"a": {"type": "string", "pattern": "("}}},
        {"properties": {"a": {"minimum": "x"}}},
        {"properties": {"a": {"type": "string", "pattern": r"\u{110000}"}}},
        {"properties": {"a": "the user's name"}},
        {"required": "a"},
    ],
)
def test_what_is_no_schema_of_arguments_is_a_mistake(schema: Any):
    with pytest.raises(DefinitionError):
        tool_of(schema)


def test_a_tool_without_a_description_is_described_by_its_name():
    assert tool_of({"type": "object"}, "").description == "Call f."


@pytest.mark.parametrize(
    ("pattern", "matches", "fails"),
    [
        ("^a$", ["a"], ["a\n", "aa"]),
        (r"\$5$", ["$5"], ["5", "$5\n"]),
        ("[$]", ["$"], ["x"]),
        (r"[\d$]+$", ["5$"], ["5$\n"]),
        (r"^\D$", ["x"], ["5"]),
        (r"^[\D]$", ["x"], ["5"]),
        (r"^\w+$", ["a_1"], ["\u00e4"]),
        (r"^[^\w]$", ["\u00e4", "-"], ["a"]),
        (r"a\/b", ["a/b"], ["ab"]),
        (r"(?<=a)b", ["ab"], ["b"]),
        (r"(?<!a)b", ["b"], ["ab"]),
        (r"^[a[]$", ["[", "a"], ["b"]),
        (r"^\u00e4$", ["\u00e4"], ["a"]),
    ],
)
def test_patterns_mean_what_the_standard_says(pattern: str, matches: list[str], fails: list[str]):
    assert all(ecma(pattern).search(text) for text in matches)
    assert not any(ecma(pattern).search(text) for text in fails)


def test_a_pattern_that_takes_for_ever_refuses_and_lets_nothing_by():
    endless, text = "^(a|a)*$", "a" * 60 + "!"
    assert isinstance(verdict(tool_of(prop(type="string", pattern=endless)), {"a": text}), Deny)
    scope = Scope(Grant("f", where={"properties": {"a": {"not": {"pattern": endless}}}}))
    assert isinstance(check_call(scope, tool_of(prop(type="string")), {"a": text}), Deny)


# Any schema, its arguments, and mutants of them


@st.composite
def described(draw: Any, depth: int = 2) -> tuple[dict[str, Any], Any, Any]:
    """Return a schema, a value that fits it and one that does not."""
    kind = draw(
        st.sampled_from(["string", "integer", "number", "boolean", "enum", "array", "object"][: 5 + depth])
    )
    match kind:
        case "string":
            return (
                {"type": "string", "maxLength": 5},
                draw(st.text("ab", max_size=5)),
                draw(st.sampled_from([1, "abcdef", None])),
            )
        case "integer":
            return (
                {"type": "integer", "minimum": 0},
                draw(st.integers(0)),
                draw(st.sampled_from([-1, 1.5, "1", True])),
            )
        case "number":
            return (
                {"type": "number", "maximum": 9},
                draw(st.floats(-9, 9)),
                draw(st.sampled_from([10, "1", False, None])),
            )
        case "boolean":
            return {"type": "boolean"}, draw(st.booleans()), draw(st.sampled_from([0, 1, "true", None]))
        case "enum":
            return (
                {"enum": ["x", 3]},
                draw(st.sampled_from(["x", 3])),
                draw(st.sampled_from(["X", "x ", 3.5, "3"])),
            )
        case "array":
            schema, good, bad = draw(described(depth - 1))
            return (
                {"type": "array", "items": schema},
                [good] * draw(st.integers(0, 2)),
                draw(st.sampled_from([[bad], {}, "x"])),
            )
        case _:
            schema, good, bad = draw(described(depth - 1))
            whole = {"type": "object", "properties": {"k": schema}, "required": ["k"]}
            return whole, {"k": good}, draw(st.sampled_from([{"k": bad}, {}, [], {"K": good}]))


@given(st.dictionaries(st.sampled_from("abc"), described(), min_size=1), st.data())
def test_a_mutant_of_good_arguments_is_refused(fields: dict[str, Any], data: Any):
    properties = {name: schema for name, (schema, _, _) in fields.items()}
    tool = tool_of({"type": "object", "properties": properties, "required": list(properties)})
    good = {name: value for name, (_, value, _) in fields.items()}
    assert verdict(tool, good) == Allow()
    name = data.draw(st.sampled_from(sorted(fields)))
    mutants = [
        {**good, name: fields[name][2]},
        {other: value for other, value in good.items() if other != name},
        {**good, f"{name} ": 1},
        {**good, "__class__": 1},
        {**good, name.upper(): good[name]},
    ]
    for mutant in mutants:
        assert isinstance(verdict(tool, mutant), Deny), mutant
