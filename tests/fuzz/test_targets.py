"""The boundary to models and the reader of journals, given whatever there is; see `targets.py` for a longer look."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crewkit.core.shapes import readable
from tests.fuzz.targets import boundary, folds, journal, kept, proof

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
GOOD = b'{"to": "ann@x.example", "amount": 20, "lines": [1, null], "more": {"x": "a"}}'
PIECES = [
    b"{",
    b"}",
    b'"',
    b":",
    b",",
    b"[",
    b"]",
    b"1e9",
    b"\\u0000",
    b"\xff",
    b"NaN",
    b"to",
    b" ",
    b"\x00",
    b"-",
]

ODD = [None, True, 7, 1e300, "", "x", [], [1], ["x"], [{}], {}, {"id": []}]


@given(st.binary(max_size=80))
def test_no_bytes_break_the_boundary(data: bytes):
    boundary(data)


@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 4), st.sampled_from(PIECES)), max_size=4))
def test_a_good_call_with_something_else_in_it_is_judged(edits: list[tuple[int, int, bytes]]):
    data = GOOD
    for at, gone, piece in edits:
        data = data[:at] + piece + data[at + gone :]
    boundary(data)


@given(st.text(max_size=40), st.text(max_size=80))
def test_no_text_breaks_a_proof(value: str, text: str):
    proof(f"{value}\n{text}".encode("utf-8", "replace"))


@pytest.mark.slow
@settings(max_examples=200)
@given(st.data())
def test_whatever_stands_in_an_event_the_readers_read_around_it(data: Any):
    _, whole = kept()
    at = data.draw(st.integers(0, len(whole) - 1))
    names = st.sampled_from([*whole[at].data, "x"])
    odd = data.draw(st.dictionaries(names, json_values, min_size=1, max_size=2))
    event = replace(whole[at], data=readable(whole[at].type, {**whole[at].data, **odd}))
    folds([*whole[:at], event, *whole[at + 1 :]])


@settings(max_examples=60)
@given(st.integers(0, 255), st.integers(0, 3), st.text(max_size=30) | json_values.map(json.dumps))
def test_whatever_stands_in_a_row_the_journal_reads_around_it(at: int, column: int, text: str):
    journal(bytes([at, column]) + text.encode("utf-8", "replace"))


@pytest.mark.slow
def test_events_of_every_kind_in_every_odd_form_are_read_around():
    _, whole = kept()
    for at, event in enumerate(whole):
        for name in event.data:
            rest = {other: value for other, value in event.data.items() if other != name}
            for odd in ({}, *({name: value} for value in ODD)):
                changed = replace(event, data=readable(event.type, {**rest, **odd}))
                try:
                    folds([*whole[:at], changed, *whole[at + 1 :]])
                except Exception as error:
                    error.add_note(f"{event.type}: {odd}")
                    raise
