import json
import time
from typing import Annotated, Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from pydantic import AfterValidator, BaseModel, Field

from crewkit.errors import ToolError
from crewkit.tools.arguments import InvalidArguments, Problem, convert_arguments, parse_arguments
from crewkit.tools.tool import Tool, tool, tool_from_schema


class Item(BaseModel):
    name: str
    count: Annotated[int, Field(ge=1)] = 1


def even(number: int) -> int:
    if number % 2:
        raise ValueError("give an even number")
    return number


@tool
def search(
    query: str,
    limit: int = 5,
    kind: Literal["news", "history"] = "news",
    deep: bool = False,
    items: list[Item] = [],  # noqa: B006
    one: Item | None = None,
    ratio: float = 0.5,
) -> str:
    """Find."""
    return query


@tool
def pair_up(number: Annotated[int, AfterValidator(even)]) -> str:
    """Pair up."""
    return str(number)


@tool
def now() -> str:
    """Tell the time."""
    return ""


def refusal(raw: str, of: Tool = search) -> InvalidArguments:
    with pytest.raises(InvalidArguments) as caught:
        parse_arguments(raw, of)
    return caught.value


def problems(raw: str, of: Tool = search) -> list[Problem]:
    return refusal(raw, of).problems


def test_valid_arguments_come_back_as_json_data():
    raw = '{"query": "x", "items": [{"name": "a"}], "one": null, "ratio": 1}'
    assert parse_arguments(raw, search) == {"query": "x", "items": [{"name": "a"}], "one": None, "ratio": 1}
    assert convert_arguments({"query": "x", "one": {"name": "a"}}, search)["one"] == Item(name="a")


def test_empty_text_means_no_arguments():
    assert parse_arguments("", now) == {}
    assert parse_arguments("{}", now) == {}
    assert problems("") == [{"path": "query", "problem": "is missing", "expected": "a string"}]


def test_a_refusal_tells_the_model_what_to_write_instead():
    assert str(refusal('{"querry": "x", "limit": "5", "kind": "fun"}')) == snapshot("""\
Nothing was called: the arguments of 'search' are not valid.
- querry: is not known; did you mean 'query'?; expected: only: query, limit, kind, deep, items, one, ratio
- limit: got "5"; expected: an integer
- kind: got "fun"; expected: one of "news", "history"
- query: is missing; expected: a string
Its parameters: query (required), limit (optional), kind (optional), deep (optional), items (optional), one (optional), ratio (optional). Call it again with corrected arguments.\
""")  # noqa: E501
    assert isinstance(refusal("[]"), ToolError)


@pytest.mark.parametrize(
    ("raw", "path", "problem", "expected"),
    [
        ('{"query": 5}', "query", "got 5", "a string"),
        ('{"query": null}', "query", "got null", "a string"),
        ('{"query": "x", "limit": "5"}', "limit", 'got "5"', "an integer"),
        ('{"query": "x", "limit": true}', "limit", "got true", "an integer"),
        ('{"query": "x", "limit": 1.5}', "limit", "got 1.5", "an integer"),
        ('{"query": "x", "deep": 1}', "deep", "got 1", "true or false"),
        ('{"query": "x", "deep": "true"}', "deep", 'got "true"', "true or false"),
        ('{"query": "x", "items": {}}', "items", "got an object", "a list"),
        ('{"query": "x", "one": {"name": "a", "count": 0}}', "one.count", "got 0", "an integer (minimum 1)"),
        ('{"query": "x", "items": [{}]}', "items[0].name", "is missing", "a string"),
        ('{"query": "", "items": [{"name": "", "z": 1}]}', "items[0].z", "is not known", "only: name, count"),
        ('{"query": "x", "one": {"name": 1}}', "one.name", "got 1", "a string"),
    ],
)  # fmt: skip
def test_each_wrong_value_is_named_with_its_place(raw: str, path: str, problem: str, expected: str):
    assert problems(raw) == [{"path": path, "problem": problem, "expected": expected}]


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ('{"query": NaN}', "NaN is no JSON value"),
        ('{"query": "x", "ratio": Infinity}', "Infinity is no JSON value"),
        ('{"query": "x", "ratio": -Infinity}', "-Infinity is no JSON value"),
        ('{"query": "x", "ratio": 1e999}', "the number 1e999 is too large"),
        ('{"query": "x", "limit": ' + "9" * 5000 + "}", "a number of 5,000 digits"),
        ('{"query": "x", "ratio": 0.' + "9" * 5000 + "}", "a number of 5,002 digits"),
        ('{"query": "a", "query": "b"}', 'the key "query" is there twice'),
        ('{"query": "x", "items": [{"name": "a", "name": "a"}]}', 'the key "name" is there twice'),
        ('{"query": "a"} and more', "Extra data"),
        ('{"query": "a"}{"query": "b"}', "Extra data"),
        ('```json\n{"query": "a"}\n```', "not strict JSON"),
        ('\ufeff{"query": "a"}', "not strict JSON"),
        ("{'query': 'a'}", "not strict JSON"),
        ('{"query": "a",}', "not strict JSON"),
        ('{"query": "a\nb"}', "control character"),
        ('{"query": "a"', "not strict JSON"),
        ("   ", "not strict JSON"),
        ('{"query": "\\ud800"}', "half of a surrogate pair"),
        ('{"\\udfff": "x"}', "half of a surrogate pair"),
        ('{"query": "\ud800"}', "half of a surrogate pair"),
        ('{"a":' * 65 + "1" + "}" * 65, "nested too deeply"),
        ("[" * 500_000, "nested too deeply"),
        ('{"query": "' + "x" * 1_000_001 + '"}', "characters of arguments"),
        ("[1]", "got a list"),
        ("null", "got null"),
        ('"x"', 'got "x"'),
        ("5", "got 5"),
        ('"{\\"query\\": \\"x\\"}"', "a JSON text inside a JSON string (encoded twice)"),
    ],
    ids=lambda value: value[:24].encode("ascii", "replace").decode(),
)
def test_what_is_not_one_strict_json_object_is_refused(raw: str, says: str):
    assert says in str(refusal(raw))


def test_an_object_encoded_twice_is_named_where_it_stands():
    found = problems(json.dumps({"query": "x", "items": json.dumps([{"name": "a"}])}))
    assert [p["path"] for p in found] == ["items"]
    assert "encoded twice" in found[0]["problem"]


def test_text_that_looks_like_json_is_welcome_where_text_is_wanted():
    assert parse_arguments(r'{"query": "{\"a\": 1}"}', search) == {"query": '{"a": 1}'}


def test_whole_surrogate_pairs_are_characters():
    assert parse_arguments(r'{"query": "\ud83d\ude00"}', search) == {"query": "😀"}


def test_depth_within_the_cap_is_read():
    free = tool_from_schema("free", "Free.", {"type": "object"}, print)
    raw = '{"a":' * 64 + "{}" + "}" * 64
    assert refusal(raw, free)
    assert parse_arguments('{"a":' * 63 + "{}" + "}" * 63, free)
    assert parse_arguments('{"a": [' + ",".join(["[]"] * 1000) + "]}", free)


def test_a_validator_of_a_type_can_refuse_and_is_heard():
    assert parse_arguments('{"number": 4}', pair_up) == {"number": 4}
    found = problems('{"number": 3}', pair_up)
    assert found[0]["path"] == "number"
    assert "give an even number" in found[0]["problem"]


def test_a_conversion_that_fails_in_any_way_is_a_refusal():
    def explode(data: dict[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError("oh")

    made = Tool("odd", "Odd.", {"type": "object"}, print, convert=explode)
    assert "ZeroDivisionError: oh" in str(refusal("{}", made))


def test_a_refusal_stays_short_whatever_the_model_wrote():
    many = json.dumps({f"key{n}" + "x" * 500: n for n in range(1500)})
    assert len(refusal(many).problems) <= 10
    assert len(str(refusal(many))) < 10_000
    assert len(str(refusal(json.dumps({"query": ["y" * 900_000]})))) < 2_000


def test_a_megabyte_of_keys_is_refused_quickly():
    keys = ", ".join(f'"{n}": 0' for n in range(80_000))
    began = time.process_time()
    assert 'the key "79999" is there twice' in str(refusal(f'{{{keys}, "79999": 0}}'))
    assert len(problems(f"{{{keys}}}")) == 10
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/missing"}}},
        {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/schema.json"}}},
        {"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}},
        {"type": "object", "allOf": [{"$ref": "#"}]},
        {"type": "object", "properties": {"a": {"$dynamicRef": "#nowhere"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/%zz"}}},
    ],
)
def test_a_hostile_foreign_schema_is_a_refusal_and_never_a_request(schema: dict[str, Any]):
    made = tool_from_schema("foreign", "Foreign.", schema, print)
    assert "the schema could not be applied" in str(refusal('{"a": "x"}', made))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": False}},
        {"type": "object", "propertyNames": {"maxLength": 0}},
        {"type": "object", "not": {"required": ["a"]}},
        {"type": "object", "maxProperties": 0},
        {"type": "object", "unevaluatedProperties": False},
        {"type": "object", "patternProperties": {"^b": {}}, "additionalProperties": False},
        {"type": "object", "dependentRequired": {"a": ["b"]}},
        {"type": "object", "properties": {"a": {"type": ["integer", "null"]}}},
        {"type": "object", "properties": {"a": {"oneOf": [{"type": "integer"}, {"const": 3}]}}},
    ],
)
def test_every_kind_of_rule_is_explained(schema: dict[str, Any]):
    made = tool_from_schema("foreign", "Foreign.", schema, print)
    found = problems('{"a": "{}"}', made)
    assert found
    assert all("could not be applied" not in p["problem"] and p["problem"] for p in found)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
broken_json = st.builds(
    lambda text, at, junk: text[:at] + junk + text[at:],
    json_values.map(json.dumps),
    st.integers(0, 40),
    st.sampled_from(
        ['"', "{", "}", "[", "]", ",", ":", "\\", "\\u", "NaN", "0", "\x00", "\ud800", "\ufeff", " "]
    ),
)


@given(st.text() | broken_json | json_values.map(json.dumps) | st.text('{}[]":,0\\ue-', max_size=60))
@example("[" * 3000)
@example('{"":' * 3000)
def test_no_text_makes_parsing_raise_anything_but_a_refusal(raw: str):
    for of in (search, pair_up, now):
        try:
            data = parse_arguments(raw, of)
        except InvalidArguments as error:
            str(error).encode()
            json.dumps(error.problems)
        else:
            json.dumps(data, allow_nan=False).encode()


@given(
    st.dictionaries(st.sampled_from(["query", "limit", "kind", "deep", "items", "one", "ratio"]), json_values)
)
def test_no_value_makes_checking_raise_anything_but_a_refusal(data: dict[str, Any]):
    try:
        found = parse_arguments(json.dumps(data), search)
    except InvalidArguments as error:
        json.dumps(error.problems)
    else:
        assert isinstance(found["query"], str)
        assert type(found.get("deep", False)) is bool
