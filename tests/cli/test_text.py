import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from crewkit.cli.text import cells, cut, duration, one_line, safe
from crewkit.core.text import call_text


@given(st.text(st.characters(codec=None)))
def test_no_text_can_steer_a_terminal(text):
    shown = safe(text)
    assert not any(unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t" for char in shown)
    assert not any("\u202a" <= char <= "\u202e" or "\u2066" <= char <= "\u2069" for char in shown)


@given(st.text())
def test_making_a_text_safe_twice_changes_nothing(text):
    assert safe(safe(text)) == safe(text)


@given(st.text(), st.integers(2, 40))
def test_a_cut_line_fits(text, width):
    line = one_line(text)
    assert cells(cut(line, width)) <= width


def test_what_was_hidden_is_written_out():
    assert safe("a\x1b[31mred\x07\u202eevil\ud800") == "a\\x1b[31mred\\x07\\u202eevil\\ud800"


def test_wide_characters_take_two_columns():
    assert cells("日本") == 4
    assert cut("日本語", 5) == "日本…"


def test_a_call_is_written_as_people_write_it():
    assert call_text("search", {"query": "x", "limit": 5}) == 'search(query="x", limit=5)'
    assert call_text("search", "not json") == "search(not json)"


def test_durations_are_written_for_people():
    assert [duration(s) for s in (0.04, 9.94, 59.4, 185, 7800)] == [
        "0.0 s",
        "9.9 s",
        "59 s",
        "3 min 05 s",
        "2 h 10 min",
    ]
