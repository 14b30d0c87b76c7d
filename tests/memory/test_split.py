import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crewkit.memory.split import split

MARKUP = st.sampled_from(
    ["# ", "## ", "\n", "\r\n", "\r", "\n\n", "```", "~~~\n", "- ", "1. ", "| a |", "---", "===", " ", "\t", ". ",
     "word", "sentence. Next", "\u2028", "\x1c", "。", "é\u0301", "\ud800", "\0"]
)  # fmt: skip
TEXTS = st.one_of(st.text(st.characters(), max_size=300), st.lists(MARKUP, max_size=80).map("".join))


@given(TEXTS, st.integers(1, 60))
def test_places_are_exact_and_only_blanks_are_lost(text: str, most: int) -> None:
    end = 0
    for record in split(text, source="s", max_chars=most):
        assert record.start is not None
        assert record.end is not None
        assert text[record.start : record.end] == record.text
        assert 0 < len(record.text) <= most
        assert record.text == record.text.strip()
        assert record.start >= end
        assert not text[end : record.start].strip()
        end = record.end
    assert not text[end:].strip()


GUIDE = """---
author: Ann
---

# Guide

Welcome. This guide is short.

## Install

### With pip

Run this:

```sh
pip install it

it --help
```

- one
- two

  more of two

Notes
-----

Last words.
"""


def test_documents_are_cut_at_their_structure() -> None:
    records = split(GUIDE, source="guide.md", title="guide", max_chars=60)
    assert [(record.title, record.text) for record in records] == [
        ("guide", "---\nauthor: Ann\n---"),
        ("Guide", "# Guide\n\nWelcome. This guide is short."),
        ("Guide › Install › With pip", "## Install\n\n### With pip\n\nRun this:"),  # noqa: RUF001
        ("Guide › Install › With pip", "```sh\npip install it\n\nit --help\n```"),  # noqa: RUF001
        ("Guide › Install › With pip", "- one\n- two\n\n  more of two"),  # noqa: RUF001
        ("Guide › Notes", "Notes\n-----\n\nLast words."),  # noqa: RUF001
    ]
    assert all(record.source == "guide.md" for record in records)


def test_the_title_is_not_said_twice() -> None:
    assert [record.title for record in split("# Bees\n\nBuzz.", source="s", title="bees")] == ["Bees"]


def test_long_paragraphs_are_cut_at_sentence_ends() -> None:
    text = "One is short. Two has (a bit) more! Three asks: why? Four ends."
    assert [r.text for r in split(text, source="s", max_chars=40)] == [
        "One is short. Two has (a bit) more!",
        "Three asks: why? Four ends.",
    ]
    assert [r.text for r in split("one two three four", source="s", max_chars=9)] == [
        "one two",
        "three",
        "four",
    ]


def test_long_lists_are_cut_at_items_and_long_code_at_lines() -> None:
    items = "- first item\n  goes on\n- second item\n- third item"
    assert [r.text for r in split(items, source="s", max_chars=36)] == [
        "- first item\n  goes on",
        "- second item\n- third item",
    ]
    code = "```\nx = 1 + 2\ny = 3 + 4\nz = 5 + 6\n```"
    assert [r.text for r in split(code, source="s", max_chars=25)] == [
        "```\nx = 1 + 2\ny = 3 + 4",
        "z = 5 + 6\n```",
    ]


@pytest.mark.parametrize(
    "text",
    ["x" * 1_000_000, "# h\n" * 100_000, "!" * 1_000_000, "a" + " " * 1_000_000 + "b", "- a\n" + "\n" * 900_000,
     "a\n---\n" * 100_000, ("\n" + "\t" * 1_000) * 1_000, "```\n" * 250_000],
    ids=["no-newline", "headings", "exclamations", "blanks", "list-end", "underlines", "tabs", "fences"],
)  # fmt: skip
def test_hostile_documents_take_linear_time(text: str) -> None:
    started = time.process_time()
    split(text[: len(text) // 10], source="s")
    a_tenth = time.process_time() - started
    started = time.process_time()
    split(text, source="s")
    assert time.process_time() - started < 40 * a_tenth + 0.5
