"""Conditions as text: what they say, what they refuse, and that nothing in them is ever run."""

from __future__ import annotations

import ast
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crewkit.coordinator.condition import BadCondition, Condition, Undecided

VALUES: dict[str, Any] = {
    "mail": {"kind": "tax", "confidence": 0.8, "tags": ["a", "b"], "from": {"name": "Ann"}},
    "topic": "tides",
    "nothing": None,
    "rows": [{"n": 1}, {"n": 2}],
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("mail.confidence < 0.9", True),
        ("mail.confidence < 0.9 and topic == 'moon'", False),
        ("mail.confidence > 0.9 or topic == 'tides'", True),
        ("not mail.kind == 'tax'", False),
        ("0.5 <= mail.confidence <= 1", True),
        ("0.5 <= mail.confidence <= 0.7", False),
        ("mail.kind in ('tax', 'law')", True),
        ("mail.kind not in ['tax', 'law']", False),
        ("'a' in mail.tags", True),
        ("'ide' in topic", True),
        ("nothing is None", True),
        ("nothing is not None and nothing.confidence > 1", False),
        ("nothing is None or nothing.confidence > 1", True),
        ("rows[0].n == 1 and rows[-1].n == 2", True),
        ("mail['from'].name == \"Ann\"", True),
        ("mail.confidence > -1", True),
        ("topic", True),
        ("nothing", False),
        ("True", True),
        ("mail.tags == ['a', 'b']", True),
    ],
)
def test_it_says_what_python_would_say(text: str, holds: bool):
    assert Condition(text).holds(VALUES) is holds


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("mail.confidence <", "cannot be read"),
        ("", "cannot be read"),
        ("__import__('os').system('true')", "is not allowed"),
        ("len(topic) > 3", "`len(topic)` is not allowed"),
        ("mail.confidence + 1 > 2", "is not allowed"),
        ("(lambda: 1)()", "is not allowed"),
        ("[x for x in rows]", "is not allowed"),
        ("rows[topic]", "is not allowed"),
        ("rows[0:1]", "is not allowed"),
        ("f'{topic}'", "is not allowed"),
        ("mail is topic", "`is` goes with None alone"),
        ("1 if topic else 2", "is not allowed"),
        ("(x := 1)", "is not allowed"),
        ("b'x' == topic", "is not allowed"),
        ("x" + ".a" * 60, "60 steps"),
        ("not " * 60 + "x", "levels deep"),
        ("(" * 900 + ")" * 900, "cannot be read"),
        ("x == '" + "a" * 3000 + "'", "characters"),
        ("x\0", "cannot be read"),
    ],
)
def test_whatever_else_python_has_is_refused(text: str, why: str):
    with pytest.raises(BadCondition) as error:
        _ = Condition(text).paths
    assert why.replace("60 steps", "50 steps") in str(error.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("mail.kind < 3", "`mail.kind` is 'tax' and `3` is 3"),
        ("nothing.kind == 'tax'", "`nothing` is None, so there is no `nothing.kind`"),
        ("mail.sender == 'Ann'", "so there is no `mail.sender`"),
        ("rows[2].n == 1", "so there is no `rows[2]`"),
        ("topic.upper == 'x'", "so there is no `topic.upper`"),
        ("'a' in nothing", "cannot be compared"),
    ],
)
def test_what_cannot_be_decided_says_what_was_there(text: str, why: str):
    with pytest.raises(Undecided) as error:
        Condition(text).holds(VALUES)
    assert why in str(error.value)


def test_it_tells_what_it_looks_at_and_what_stood_there():
    condition = Condition("mail.confidence < 0.9 and (topic == 'x' or mail.gone == mail.confidence)")
    assert condition.paths == (("mail", "confidence"), ("topic",), ("mail", "gone"))
    assert condition.seen(VALUES) == {"mail.confidence": 0.8, "topic": "tides"}


texts = st.text(alphabet="abx.0'\"[]() <=>!,andorti:+*\n\\{}@", max_size=40) | st.text(max_size=40)


@given(texts)
def test_any_text_is_a_condition_or_refused_and_never_anything_else(text: str):
    condition = Condition(text)
    try:
        names = {path[0] for path in condition.paths}
    except BadCondition:
        return
    tree = ast.parse(text.strip(), mode="eval")
    assert names == {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    with suppress(Undecided):
        assert condition.holds({name: {"a": 1} for name in names}) in (True, False)


small = st.integers(-2, 2)


@given(st.dictionaries(st.sampled_from("xyz"), small, min_size=3), st.data())
def test_comparisons_agree_with_python(values: dict[str, int], data: st.DataObject):
    atoms = st.sampled_from(["x", "y", "z", "0", "1", "-1"])
    compared = st.tuples(atoms, st.sampled_from(["<", "<=", "==", "!=", ">", ">="]), atoms).map(" ".join)
    grown = st.recursive(
        compared,
        lambda inner: (
            st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({' '.join(t)})")
            | inner.map(lambda t: f"not ({t})")
        ),
        max_leaves=8,
    )
    text = data.draw(grown)
    assert Condition(text).holds(values) == eval(text, {}, dict(values))
