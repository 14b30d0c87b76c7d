"""What a model is shown of a long result: within its allowance, in form, and the whole of it in pages."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crewkit.tools.cut import TOKEN_BYTES, cut, pages
from crewkit.tools.outline import LEAST, outline

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
data = st.recursive(
    scalars | st.text(min_size=40),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=60), inner, max_size=8),
    max_leaves=40,
)
texts = st.text() | st.text("ab \nä🌊", min_size=50) | data.map(json.dumps)


def size(text: str) -> int:
    return len(text.encode())


def test_a_result_within_the_allowance_is_not_touched():
    shown = cut("short", 2)
    assert (shown.text, shown.left_out, shown.pages) == ("short", "", 1)


def test_text_is_cut_after_a_line_and_says_what_is_missing():
    text = "".join(f"line {n}\n" for n in range(1000))
    shown = cut(text, 25)
    assert text.startswith(shown.text + "\n")
    assert len(shown.text) <= 100
    assert shown.left_out == f"{len(text) - len(shown.text):,} of {len(text):,} characters left out"
    assert shown.page == 2


def test_one_long_line_is_cut_at_the_allowance():
    assert cut("x" * 1000, 25).text == "x" * 100


def test_a_letter_of_several_bytes_counts_as_what_it_is():
    assert cut("水" * 1000, 25).text == "水" * 33


@pytest.mark.parametrize("indent", [None, 2])
def test_a_list_is_cut_after_a_whole_item_and_goes_on_in_lists(indent: int | None):
    whole = [{"id": n, "text": "],[" * 3} for n in range(50)]
    text = json.dumps(whole, indent=indent)
    shown = cut(text, 50)
    first = json.loads(shown.text)
    assert first == whole[: len(first)]
    assert shown.left_out == f"{50 - len(first)} of 50 items left out"
    listed = pages(text, 50)
    assert len(listed) == shown.pages
    assert listed[0] == shown.text
    assert [item for page in listed for item in json.loads(page)] == whole


def test_an_object_keeps_its_keys_and_what_is_long_in_it_is_shortened():
    whole = {
        "total": 100,
        "next": "/orders?page=2",
        "orders": [{"id": n, "item": "pump"} for n in range(100)],
        "note": "word " * 500,
    }
    shown = cut(json.dumps(whole), 150)
    short = json.loads(shown.text)
    assert list(short) == list(whole)
    assert (short["total"], short["next"]) == (100, "/orders?page=2")
    orders = short["orders"]
    assert orders[:-1] == whole["orders"][: len(orders) - 1]
    assert orders[-1] == f"… {100 - (len(orders) - 1)} more items"
    assert short["note"].startswith("word word")
    assert short["note"].endswith("more characters")
    assert shown.left_out == f"{len(json.dumps(whole)):,} characters shortened where … stands"
    assert shown.page == 1
    assert "".join(pages(json.dumps(whole), 150)) == json.dumps(whole)


def test_a_list_of_items_larger_than_a_page_is_shortened_inside():
    mails = [{"from": f"{n}@x.org", "body": "blah " * 200} for n in range(5)]
    short = json.loads(cut(json.dumps(mails), 100).text)
    assert short[0]["from"] == "0@x.org"
    assert short[0]["body"].endswith("more characters")
    assert short[-1] == "… 4 more items"


def test_of_thousands_of_keys_the_first_stay():
    short = json.loads(cut(json.dumps({f"key{n}": n for n in range(5000)}), 100).text)
    assert short["key0"] == 0
    assert short["…"] == f"{5000 - (len(short) - 1):,} more keys"


def test_numbers_stay_as_they_were_written():
    text = '{"a": 1.10, "b": 1e400, "c": 12345678901234567890123, "d": "' + "x" * 500 + '"}'
    assert cut(text, 60).text.startswith('{"a":1.10,"b":1e400,"c":12345678901234567890123,"d":"xxx')


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        "[1, 2" * 99,
        "[1] and [2]" * 99,
        "[,]" * 99,
        '["' + "x" * 500 + '"]',
        '{"a": NaN, "b": "' + "x" * 500 + '"}',
        '{"' + "x" * 5000 + '": 1}',
        "[1" + "0" * 5000 + "]",
    ],
)
def test_what_has_no_short_form_is_cut_as_text(text: str):
    shown = cut(text, 5)
    assert shown.text == text[:20]
    assert "characters left out" in shown.left_out


@pytest.mark.parametrize(
    "text",
    ["x" * 1_000_000, json.dumps(list(range(140_000))), json.dumps({"a": [{"b": "c"}] * 80_000})],
)
def test_a_million_characters_are_cut_and_paged(text: str):
    assert size(cut(text, 5_000).text) <= 20_000
    assert len(pages(text, 5_000)) == cut(text, 5_000).pages >= 40


@given(texts, st.integers(1, 60))
def test_what_is_shown_is_within_the_allowance_and_json_where_the_whole_is(text: str, tokens: int):
    shown = cut(text, tokens)
    assert size(shown.text) <= tokens * TOKEN_BYTES
    assert bool(shown.left_out) == (shown.text != text)
    assert shown.pages == len(pages(text, tokens))
    if shown.left_out:
        assert 1 <= shown.page <= shown.pages


@given(data, st.integers(2 * LEAST, 400))
def test_a_short_form_is_json_within_the_room_and_of_the_same_form(value: Any, room: int):
    short = outline(json.dumps(value, ensure_ascii=False), room)
    if not short:
        return
    assert size(short) <= room
    read = json.loads(short)
    assert type(read) is type(value)
    if isinstance(value, dict) and "…" not in read:
        assert list(read) == list(value)


@given(texts, st.integers(1, 60))
def test_all_pages_together_are_the_whole(text: str, tokens: int):
    parts = pages(text, tokens)
    assert all(size(part) <= tokens * TOKEN_BYTES for part in parts)
    if "".join(parts) == text:
        return
    assert [item for part in parts for item in json.loads(part)] == json.loads(text)
