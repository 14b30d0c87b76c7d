"""Signatures made at random: what fits the types is accepted and arrives whole, what does not is refused."""

import enum
import inspect
import json
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

from crewkit.tools.arguments import InvalidArguments, convert_arguments, parse_arguments
from crewkit.tools.tool import Tool, tool


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    name: str
    count: int = 1


@dataclass
class Point:
    x: int
    label: str | None = None


short = st.text(st.characters(codec="utf-8"), max_size=12)
numbers = st.integers(-(2**53), 2**53)
leaves: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, short),
    (int, numbers),
    (bool, st.booleans()),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (Literal["a", "b"], st.sampled_from(["a", "b"])),
    (Colour, st.sampled_from(Colour)),
    (date, st.dates()),
    (UUID, st.uuids()),
    (Item, st.builds(Item, name=short, count=numbers)),
    (Point, st.builds(Point, x=numbers, label=st.none() | short)),
]


def wrapped(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return inner.flatmap(
        lambda typed: st.sampled_from(
            [
                (list[typed[0]], st.lists(typed[1], max_size=3)),
                (dict[str, typed[0]], st.dictionaries(short, typed[1], max_size=3)),
                (typed[0] | None, st.none() | typed[1]),
                (tuple[int, typed[0]], st.tuples(numbers, typed[1])),
            ]
        )
    )


types = st.recursive(st.sampled_from(leaves), wrapped, max_leaves=2)
names = st.sampled_from(["query", "limit", "schema", "json", "copy", "_x", "n"])


@st.composite
def calls(draw: st.DrawFn) -> tuple[Tool, dict[str, Any], dict[str, Any]]:
    """Draw a tool, values that its parameters take, and the same as JSON data."""
    typed = draw(st.dictionaries(names, types, min_size=1, max_size=4))

    def probe(**given: Any) -> dict[str, Any]:
        """Probe."""
        return given

    parameters = [
        inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, annotation=t) for n, (t, _) in typed.items()
    ]
    probe.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    values = {name: draw(strategy) for name, (_, strategy) in typed.items()}
    data = {
        name: TypeAdapter(typed[name][0]).dump_python(value, mode="json") for name, value in values.items()
    }
    return tool(probe), values, data


@given(calls())
def test_values_of_the_types_are_accepted_and_arrive_as_they_were(
    call: tuple[Tool, dict[str, Any], dict[str, Any]],
):
    made, values, data = call
    assert convert_arguments(parse_arguments(json.dumps(data), made), made) == values


@given(calls(), st.data())
def test_mutants_are_refused(call: tuple[Tool, dict[str, Any], dict[str, Any]], data: st.DataObject):
    made, _, good = call
    name = data.draw(st.sampled_from(sorted(good)))
    mutants = [
        {key: value for key, value in good.items() if key != name},
        {**good, "surplus": 1},
        {**good, name: {"none of": ["these", {}]}} if "dict" not in str(made.parameters) else {},
        {**good, name: [[[["too", "deep"]]]]},
    ]
    for mutant in mutants:
        with pytest.raises(InvalidArguments):
            parse_arguments(json.dumps(mutant), made)


@given(calls())
def test_every_object_in_a_schema_is_closed(call: tuple[Tool, dict[str, Any], dict[str, Any]]):
    def closed(schema: Any) -> bool:
        if isinstance(schema, list):
            return all(closed(part) for part in schema)
        if not isinstance(schema, dict):
            return True
        fits = schema.get("additionalProperties") is False if "properties" in schema else True
        return fits and all(closed(part) for part in schema.values())

    made = call[0]
    assert closed({key: value for key, value in made.parameters.items() if key != "properties"})
    assert made.parameters["additionalProperties"] is False
    assert all(closed(part) for part in made.parameters["properties"].values())
