import enum
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, model_serializer

from crewkit.tools.result import KEPT_CHARS, NOTHING, UnusableResult, to_text


class Colour(enum.Enum):
    RED = "red"


class Loud(enum.StrEnum):
    YES = "yes"


class Page(BaseModel):
    title: str
    at: datetime


@dataclass
class Point:
    x: int
    y: float
    tags: list[str] = field(default_factory=list)


class Angry(BaseModel):
    @model_serializer
    def explode(self) -> dict[str, Any]:
        raise ZeroDivisionError("oh")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is\n", "as it is\n"),
        ("", ""),
        (None, NOTHING),
        (5, "5"),
        (True, "true"),
        (1.5, "1.5"),
        (float("nan"), '"NaN"'),
        ([1, "ä", None], '[1,"ä",null]'),
        ({"a": (1, 2)}, '{"a":[1,2]}'),
        ({1: "x"}, '{"1":"x"}'),
        ({5}, "[5]"),
        (Colour.RED, "red"),
        ([Colour.RED], '["red"]'),
        (Loud.YES, "yes"),
        (Point(1, 2.0), '{"x":1,"y":2.0,"tags":[]}'),
        (Page(title="t", at=datetime(2026, 11, 21, tzinfo=UTC)), '{"title":"t","at":"2026-11-21T00:00:00Z"}'),
        ([Path("a/b"), Decimal("1.50")], '["a/b","1.50"]'),
        ({"data": b"text"}, '{"data":"text"}'),
        ("half \ud800 of a pair", "half � of a pair"),
        ("\ud83d\ude00", "😀"),
    ],
)
def test_results_are_written_as_text_or_json(value: object, text: str):
    assert to_text(value) == text


def cyclic_list() -> list[Any]:
    inner: list[Any] = []
    inner.append([{"a": inner}])
    return inner


def cyclic_model() -> Any:
    class Node(BaseModel):
        child: Any = None

    node = Node()
    node.child = [node]
    return node


def cyclic_dataclass() -> Point:
    point = Point(1, 1.0)
    point.tags.append(point)  # type: ignore[arg-type]
    return point


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def laughs() -> list[Any]:
    value: list[Any] = ["ha"] * 10
    for _ in range(30):
        value = [value] * 10
    return value


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: b"\x00" * 1234, r"binary \(bytes, 1,234 bytes\)"),
        (lambda: bytearray(7), r"binary \(bytearray, 7 bytes\)"),
        (lambda: memoryview(bytes(8)), r"binary \(memoryview, 8 bytes\)"),
        (lambda: {"data": b"\xff\xfe"}, "cannot be written as JSON"),
        (cyclic_list, "contains itself"),
        (cyclic_model, "contains itself"),
        (cyclic_dataclass, "contains itself"),
        (lambda: deep(200), "more than 100 levels"),
        (lambda: deep(100_000), "more than 100 levels"),
        (laughs, "more than 1,000,000 characters"),
        (lambda: [0] * 10_000_000, "more than 1,000,000 characters"),
        (lambda: {"a": "x" * 100_000_000}, "more than 1,000,000 characters"),
        (lambda: Point(1, 1.0, ["x" * 3_000_000]), "more than 1,000,000 characters"),
        (object, "of type object, cannot be written as JSON"),
        (lambda: object, "cannot be written as JSON"),
        (lambda: [lambda: 1], "cannot be written as JSON"),
        (lambda: (n for n in range(3)), "iterator"),
        (lambda: {"n": iter([1])}, "iterator"),
        (lambda: ValueError("returned, not raised"), "cannot be written as JSON"),
        (lambda: {"n": 1 << 30_000_000}, "more than 1,000 digits"),
        (lambda: ["\ud800"], "cannot be written as JSON"),
        (lambda: {(1, 2): [object()]}, "cannot be written as JSON"),
        (lambda: [Angry()], "cannot be written as JSON"),
    ],
)
def test_what_cannot_be_shown_is_refused_quickly_and_in_words(make: Any, says: str):
    value = make()
    began = time.process_time()
    with pytest.raises(UnusableResult, match=says) as caught:
        to_text(value)
    assert time.process_time() - began < 2
    assert len(str(caught.value)) < 600


def test_a_value_that_occurs_twice_is_no_cycle():
    shared = [1]
    assert to_text({"a": shared, "b": [shared, shared]}) == '{"a":[1],"b":[[1],[1]]}'


def test_an_inside_as_long_as_is_kept_is_shown():
    assert len(to_text(["x" * (KEPT_CHARS - 10)])) == KEPT_CHARS - 6


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes()
odd = plain | st.sampled_from(
    [object(), Colour.RED, len, Point(1, 1.0), Angry(), Ellipsis, 3j, ValueError("x")]
)
values = st.recursive(
    odd,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner)
        | st.dictionaries(plain, inner, max_size=4)
        | st.frozensets(plain, max_size=3)
    ),
    max_leaves=15,
)


@given(values)
def test_no_value_makes_writing_raise_anything_but_a_refusal(value: object):
    try:
        text = to_text(value)
    except UnusableResult as error:
        text = str(error)
    text.encode()
